//! Revocation: a node that speaks for its agent no longer.

use super::*;

/// A node that knows two others of one agent, both linked and proven.
struct Stage {
    d: Driven,
    stays: Fake,
    goes: Fake,
    near: Fake,
}

fn prove(d: &mut Driven, peer: &Fake, c: &AgentCertificate) {
    d.say(peer, Certified { certificate: short(c) });
    send(d, peer, c);
}

fn stage(agent: u8) -> Stage {
    let mut d = node();
    let (stays, goes, near) = (speaker(1, agent), speaker(2, agent), Fake::new(3));
    for peer in [&stays, &goes, &near] {
        d.neighbor(peer);
    }
    prove(&mut d, &stays, &certificate(&stays));
    prove(&mut d, &goes, &certificate(&goes));
    assert!([&stays, &goes].iter().all(|p| d.node.agent_of(&p.id).agent() == Some(agent_of(p))));
    d.did.clear();
    Stage { d, stays, goes, near }
}

/// The certificate of the node that stays, which revokes the other.
fn revocation(s: &Stage) -> AgentCertificate {
    issue(&s.stays, |c| {
        c.serial += 1;
        c.revoked = vec![Revoked { node: s.goes.id, up_to: u64::MAX }];
    })
}

#[test]
fn takes_effect_when_another_node_of_the_agent_says_so() {
    let mut s = stage(90);
    let c = revocation(&s);
    prove(&mut s.d, &s.stays, &c);
    assert_eq!(s.d.node.agent_of(&s.goes.id), Proof::Refused(CertificateError::Revoked));
    assert_eq!(s.d.node.agent_of(&s.stays.id), Proof::Proven(agent_of(&s.stays)));
    assert!(told(&s.d).contains(&(s.goes.id, None)));
}

#[test]
fn takes_effect_on_messages() {
    let mut s = stage(90);
    let name = Some(short(&certificate(&s.goes)));
    let batch = naming(&s.goes, 1, name);
    s.d.bring(&s.near, &batch);
    assert_eq!(proof(&s.d).agent(), Some(agent_of(&s.goes)));
    let c = revocation(&s);
    prove(&mut s.d, &s.stays, &c);
    let batch = naming(&s.goes, 2, name);
    s.d.bring(&s.near, &batch);
    assert_eq!(proof(&s.d), Proof::Refused(CertificateError::Revoked));
}

#[test]
fn stands_against_certificates_issued_after_it() {
    let mut s = stage(90);
    let c = revocation(&s);
    prove(&mut s.d, &s.stays, &c);
    let again = issue(&s.goes, |c| c.serial += 1_000_000);
    prove(&mut s.d, &s.goes, &again);
    assert_eq!(s.d.node.agent_of(&s.goes.id), Proof::Refused(CertificateError::Revoked));
}

#[test]
fn of_a_node_by_a_stranger_is_nothing() {
    let mut s = stage(90);
    let stranger = speaker(4, 91);
    s.d.neighbor(&stranger);
    let theirs = issue(&stranger, |c| c.revoked = vec![Revoked { node: s.goes.id, up_to: u64::MAX }]);
    prove(&mut s.d, &stranger, &theirs);
    assert_eq!(s.d.node.agent_of(&s.goes.id), Proof::Proven(agent_of(&s.goes)));
}

#[test]
fn on_command_is_said_to_the_neighbours() {
    let mut s = stage(77);
    let before = s.d.node.certificate().unwrap();
    s.d.command(Command::RevokeNode { node: s.goes.id });
    let after = s.d.node.certificate().unwrap();
    assert_eq!(introduced(&s.d, &s.near), vec![after]);
    assert_ne!(after, before);
    assert_eq!(s.d.node.agent_of(&s.goes.id), Proof::Refused(CertificateError::Revoked));
    s.d.say(&s.near, AskCertificates { certificates: vec![after] });
    assert_eq!(given(&s.d, &s.near), vec![after]);
}

#[test]
fn twice_says_nothing_new() {
    let mut s = stage(77);
    s.d.command(Command::RevokeNode { node: s.goes.id });
    let once = s.d.node.certificate();
    s.d.command(Command::RevokeNode { node: s.goes.id });
    assert_eq!(s.d.node.certificate(), once);
}

#[test]
fn by_another_node_of_the_own_agent_is_repeated() {
    let mut s = stage(77);
    let before = s.d.node.certificate();
    let c = revocation(&s);
    prove(&mut s.d, &s.stays, &c);
    assert_ne!(s.d.node.certificate(), before);
    assert_eq!(introduced(&s.d, &s.near).len(), 1);
}

#[test]
fn of_this_node_makes_it_speak_for_nobody() {
    let mut s = stage(77);
    let me = s.d.id();
    let c = issue(&s.stays, |c| {
        c.serial += 1;
        c.revoked = vec![Revoked { node: me, up_to: u64::MAX }];
    });
    prove(&mut s.d, &s.stays, &c);
    assert_eq!(s.d.node.certificate(), None);
    assert_eq!(s.d.node.agent_of(&me), Proof::Refused(CertificateError::Revoked));
    assert!(s.d.did.iter().any(|did| matches!(did, Did::Event(Event::CastOut))));
    s.d.publish(b"still here");
    assert_eq!(s.d.batches_to(&s.near.id)[0].header().certificate, None);
}

#[test]
fn survives_a_restart_of_the_node_that_said_it() {
    let mut s = stage(77);
    s.d.command(Command::RevokeNode { node: s.goes.id });
    let mut d = unstarted(77);
    d.disk = s.d.disk;
    d.run();
    d.command(Command::SetAddrs { addrs: vec![addr(200)] });
    d.command(Command::RenewCertificate);
    d.link(&s.goes);
    d.befriend(&s.goes, Overlay::Root);
    prove(&mut d, &s.goes, &certificate(&s.goes));
    assert_eq!(d.node.agent_of(&s.goes.id), Proof::Refused(CertificateError::Revoked));
}
