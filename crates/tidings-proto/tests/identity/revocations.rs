//! Revocations as records: in force at every node, whenever it comes.

use super::*;
use tidings_proto::identity::RecordKey;
use tidings_proto::records::sets;

const SET: SetId = sets::REVOCATIONS;

fn of(peer: &Fake, revoked: &[NodeId]) -> Revocations {
    let revoked = revoked.iter().map(|node| Revoked { node: *node, up_to: u64::MAX }).collect();
    Revocations { agent: agent_of(peer), issued_ms: WALL, revoked }
}

fn record(peer: &Fake, said: &Revocations) -> Bytes {
    said.sign(&peer.crypto).unwrap()
}

fn push(d: &mut Driven, by: &Fake, bytes: &Bytes) {
    let full = FullRecord { set: SET, len: bytes.len() as u16, age: 0, refresh: None };
    let m = Message::from(Records { full: vec![full], fresh: vec![] }).frame_with(bytes.clone());
    d.frame(by, Lane::Control, m.to_bytes()).unwrap();
}

fn prove(d: &mut Driven, peer: &Fake, c: &AgentCertificate) {
    d.say(peer, Certified { certificate: short(c) });
    send(d, peer, c);
}

/// What the network's record says of an agent's nodes, as this node has it.
fn kept(d: &Driven, agent: AgentId) -> Option<Revocations> {
    d.node.records().get(SET, &RecordKey(agent.0)).map(|r| Revocations::parse(&r.bytes).unwrap())
}

fn revoked(d: &Driven, agent: AgentId) -> Vec<NodeId> {
    kept(d, agent).map_or(vec![], |s| s.revoked.iter().map(|r| r.node).collect())
}

/// The records of the set that were sent to a peer.
fn told_of(d: &Driven, peer: &Fake) -> usize {
    let of = |m: &&Message| match m {
        Message::Records(m) => m.full.iter().filter(|f| f.set == SET).count(),
        _ => 0,
    };
    d.sent_to(&peer.id).iter().map(of).sum()
}

/// A node with a neighbour, and another one of a stranger's agent; `77` is the node's own agent.
fn stage(agent: u8) -> (Driven, Fake, Fake) {
    let mut d = node();
    let (near, goes) = (Fake::new(1), speaker(2, agent));
    d.neighbor(&near);
    d.neighbor(&goes);
    (d, near, goes)
}

#[test]
fn a_record_revokes_a_certificate_that_was_known() {
    let (mut d, near, goes) = stage(90);
    prove(&mut d, &goes, &certificate(&goes));
    assert_eq!(d.node.agent_of(&goes.id), Proof::Proven(agent_of(&goes)));
    push(&mut d, &near, &record(&goes, &of(&goes, &[goes.id])));
    assert_eq!(d.node.agent_of(&goes.id), Proof::Refused(CertificateError::Revoked));
    assert_eq!(told(&d).last(), Some(&(goes.id, None)));
}

#[test]
fn a_record_revokes_a_certificate_that_comes_later() {
    let (mut d, near, goes) = stage(90);
    push(&mut d, &near, &record(&goes, &of(&goes, &[goes.id])));
    let later = issue(&goes, |c| c.serial += 1_000_000);
    prove(&mut d, &goes, &later);
    assert_eq!(d.node.agent_of(&goes.id), Proof::Refused(CertificateError::Revoked));
    assert_eq!(told(&d), vec![]);
}

#[test]
fn a_record_leaves_the_agent_s_other_nodes_alone() {
    let (mut d, near, stays) = stage(90);
    prove(&mut d, &stays, &certificate(&stays));
    push(&mut d, &near, &record(&stays, &of(&stays, &[NodeId([8; 32])])));
    assert_eq!(d.node.agent_of(&stays.id), Proof::Proven(agent_of(&stays)));
}

#[test]
fn a_record_by_another_agent_revokes_nothing() {
    let (mut d, near, goes) = stage(90);
    prove(&mut d, &goes, &certificate(&goes));
    let other = speaker(3, 91);
    push(&mut d, &near, &record(&other, &of(&other, &[goes.id])));
    assert_eq!(revoked(&d, agent_of(&other)), vec![goes.id]);
    assert_eq!(d.node.agent_of(&goes.id), Proof::Proven(agent_of(&goes)));
}

#[test]
fn a_forged_record_is_dropped() {
    let (mut d, near, goes) = stage(90);
    let mut bytes = record(&goes, &of(&goes, &[goes.id])).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    push(&mut d, &near, &bytes.into());
    assert_eq!((kept(&d, agent_of(&goes)), d.counters().records_forged), (None, 1));
}

#[test]
fn a_record_with_another_agent_s_key_is_none() {
    let (mut d, near, goes) = stage(90);
    let other = speaker(3, 91);
    let theirs = record(&other, &of(&other, &[goes.id]));
    let mine = record(&goes, &of(&goes, &[goes.id]));
    let bytes = [&mine[..mine.len() - 1952 - 3309], &theirs[theirs.len() - 1952 - 3309..]].concat();
    push(&mut d, &near, &bytes.into());
    assert_eq!((kept(&d, agent_of(&goes)), d.counters().records_malformed), (None, 1));
}

#[test]
fn records_that_are_cut_short_or_revoke_nothing_or_too_many_are_none() {
    let (mut d, near, goes) = stage(90);
    let whole = record(&goes, &of(&goes, &[goes.id]));
    let nobody = record(&goes, &of(&goes, &[]));
    let many: Vec<NodeId> = (0..=MAX_REVOKED).map(|n| NodeId([n as u8; 32])).collect();
    let many = record(&goes, &of(&goes, &many));
    for bytes in [whole.slice(..whole.len() - 1), whole.slice(..1), Bytes::new(), nobody, many] {
        push(&mut d, &near, &bytes);
    }
    assert_eq!((kept(&d, agent_of(&goes)), d.counters().records_malformed), (None, 5));
}

#[test]
fn records_of_a_far_future_or_past_are_refused() {
    let (mut d, near, goes) = stage(90);
    for issued_ms in [WALL + CLOCKS_MS + 1, WALL - MAX_LIFE_MS - CLOCKS_MS, u64::MAX] {
        push(&mut d, &near, &record(&goes, &Revocations { issued_ms, ..of(&goes, &[goes.id]) }));
    }
    assert_eq!((kept(&d, agent_of(&goes)), d.counters().records_out_of_time), (None, 3));
}

#[test]
fn an_older_record_does_not_take_a_revocation_back() {
    let (mut d, near, goes) = stage(90);
    push(&mut d, &near, &record(&goes, &of(&goes, &[goes.id])));
    let older = Revocations { issued_ms: WALL - 1, ..of(&goes, &[NodeId([8; 32])]) };
    push(&mut d, &near, &record(&goes, &older));
    assert_eq!(revoked(&d, agent_of(&goes)), vec![goes.id]);
}

#[test]
fn nor_does_a_newer_one_that_leaves_it_out() {
    let (mut d, near, goes) = stage(90);
    prove(&mut d, &goes, &certificate(&goes));
    push(&mut d, &near, &record(&goes, &of(&goes, &[goes.id])));
    let newer = Revocations { issued_ms: WALL + 1, ..of(&goes, &[NodeId([8; 32])]) };
    push(&mut d, &near, &record(&goes, &newer));
    assert_eq!(d.node.agent_of(&goes.id), Proof::Refused(CertificateError::Revoked));
}

#[test]
fn revoking_a_node_tells_the_network() {
    let (mut d, near, goes) = stage(77);
    d.say(&near, RecordsWanted { eager: true, ..RecordsWanted::default() });
    d.did.clear();
    d.command(Command::RevokeNode { node: goes.id });
    assert_eq!(revoked(&d, agent_of(&goes)), vec![goes.id]);
    assert_eq!(told_of(&d, &near), 1);
}

#[test]
fn revoking_it_again_tells_nobody_anything() {
    let (mut d, _, goes) = stage(77);
    d.command(Command::RevokeNode { node: goes.id });
    let before = kept(&d, agent_of(&goes));
    d.pass_ms(10_000);
    d.command(Command::RevokeNode { node: goes.id });
    assert_eq!(kept(&d, agent_of(&goes)), before);
}

#[test]
fn what_another_node_of_the_agent_left_out_is_added() {
    let (mut d, near, goes) = stage(77);
    let third = NodeId([9; 32]);
    d.command(Command::RevokeNode { node: goes.id });
    let theirs = Revocations { issued_ms: WALL + 60_000, ..of(&goes, &[third]) };
    push(&mut d, &near, &record(&goes, &theirs));
    let mut all = revoked(&d, agent_of(&goes));
    all.sort_unstable();
    let mut both = vec![goes.id, third];
    both.sort_unstable();
    assert_eq!(all, both);
    let c = kept(&d, agent_of(&goes)).unwrap();
    assert!(c.issued_ms > theirs.issued_ms);
}

#[test]
fn two_nodes_that_know_too_many_come_to_rest_on_the_same() {
    let (mut d, near, own) = stage(77);
    let ids = |from: u8| (from..from + MAX_REVOKED as u8).map(|n| NodeId([n; 32])).collect::<Vec<_>>();
    push(&mut d, &near, &record(&own, &of(&own, &ids(100))));
    assert_eq!(revoked(&d, agent_of(&own)), ids(100));
    push(&mut d, &near, &record(&own, &Revocations { issued_ms: WALL + 1, ..of(&own, &ids(80)) }));
    d.pass_ms(60_000);
    assert_eq!(revoked(&d, agent_of(&own)), ids(80));
    assert!(kept(&d, agent_of(&own)).unwrap().issued_ms == WALL + 1, "it was said again and again");
}

#[test]
fn this_node_s_own_revocation_reaches_it_by_record() {
    let (mut d, near, stays) = stage(77);
    let me = d.id();
    push(&mut d, &near, &record(&stays, &of(&stays, &[me])));
    assert_eq!(d.node.certificate(), None);
    assert!(d.did.iter().any(|did| matches!(did, Did::Event(Event::CastOut))));
}

#[test]
fn a_node_that_starts_again_says_what_it_revoked() {
    let (mut d, _, goes) = stage(77);
    d.command(Command::RevokeNode { node: goes.id });
    let mut again = unstarted(77);
    again.disk = d.disk;
    again.run();
    again.command(Command::Subscribe { topic: news() });
    assert_eq!(revoked(&again, agent_of(&goes)), vec![goes.id]);
}

#[test]
fn a_node_does_not_revoke_itself() {
    let (mut d, ..) = stage(77);
    let me = d.id();
    let ticket = d.command(Command::RevokeNode { node: me });
    assert_eq!(d.reply(ticket), Some(&Reply::Refused(CommandError::RevokesItself)));
    assert!(d.node.certificate().is_some());
}

#[test]
fn more_nodes_than_an_agent_can_revoke_are_refused_and_not_forgotten() {
    let (mut d, _, own) = stage(77);
    for n in 0..MAX_REVOKED {
        d.command(Command::RevokeNode { node: NodeId([100 + n as u8; 32]) });
    }
    let before = revoked(&d, agent_of(&own)).len();
    let one_more = d.command(Command::RevokeNode { node: NodeId([1; 32]) });
    assert_eq!(d.reply(one_more), Some(&Reply::Refused(CommandError::TooManyRevoked { limit: MAX_REVOKED })));
    let again = d.command(Command::RevokeNode { node: NodeId([100; 32]) });
    assert_eq!((before, d.reply(again)), (MAX_REVOKED, Some(&Reply::Done)));
}
