//! The certificate of the node's own agent.

use super::*;

fn named(d: &Driven) -> CertificateRef {
    d.node.certificate().expect("a certificate")
}

/// What the node's record holds.
fn kept(d: &Driven) -> AgentCertificate {
    let value = &d.disk[&Bytes::from_static(b"agent/own")];
    let mut decoder = minicbor::Decoder::new(value);
    assert!(decoder.map().unwrap().unwrap() >= 2 && decoder.u8().unwrap() == 0);
    AgentCertificate::parse(Bytes::copy_from_slice(decoder.bytes().unwrap())).unwrap()
}

/// The same node started again after a while, with this agent's key.
fn restarted(d: Driven, agent: u8, after_ms: u64) -> Driven {
    let mut new = unstarted(agent);
    new.disk = d.disk;
    new.now.wall.0 = d.now.wall.0 + after_ms;
    new.run();
    new.command(Command::SetAddrs { addrs: vec![addr(200)] });
    new.command(Command::Subscribe { topic: news() });
    new
}

#[test]
fn is_issued_at_the_first_start() {
    let d = node();
    let c = kept(&d);
    assert_eq!(c.check(d.now.wall, &SimCrypto::new(&SecretKey::from_bytes([1; 32]))), Ok(()));
    assert_eq!((c.statement().node, Some(c.statement().agent)), (d.id(), d.node.agent_id()));
    assert_eq!(named(&d), short(&c));
}

#[test]
fn is_not_named_before_it_is_stored() {
    let mut d = unstarted(77);
    d.auto_store = false;
    d.run();
    assert_eq!(d.node.certificate(), None);
    d.write();
    assert!(d.node.certificate().is_some());
}

#[test]
fn is_named_all_the_same_where_nothing_can_be_stored() {
    let mut d = unstarted(77);
    d.store_result = Err(StoreError("full".into()));
    d.run();
    assert!(d.node.certificate().is_some() && d.counters().storage_failures > 0);
}

#[test]
fn stays_the_same_over_a_restart() {
    let d = node();
    let before = named(&d);
    assert_eq!(named(&restarted(d, 77, 60_000)), before);
}

#[test]
fn is_another_for_another_agent() {
    let d = node();
    let before = named(&d);
    let d = restarted(d, 78, 60_000);
    assert_ne!(named(&d), before);
    assert_eq!(d.node.agent_id(), Some(kept(&d).statement().agent));
}

#[test]
fn is_issued_anew_where_the_record_makes_no_sense() {
    let mut d = unstarted(77);
    d.disk.insert(Bytes::from_static(b"agent/own"), Bytes::from_static(b"rubbish"));
    d.run();
    assert!(d.node.certificate().is_some() && d.counters().storage_failures == 1);
}

#[test]
fn is_renewed_after_a_week_while_the_node_runs() {
    let mut d = node();
    let before = kept(&d);
    d.now.wall.0 += 7 * DAY_MS;
    d.pass(Span::from_secs(3_600));
    let after = kept(&d);
    assert_ne!(named(&d), short(&before));
    assert!(after.statement().serial > before.statement().serial);
    assert_ne!(after.statement().prekeys, before.statement().prekeys);
}

#[test]
fn is_not_renewed_before() {
    let mut d = node();
    let before = named(&d);
    d.now.wall.0 += 6 * DAY_MS;
    d.pass(Span::from_secs(3_600));
    assert_eq!(named(&d), before);
}

#[test]
fn is_renewed_on_demand() {
    let mut d = node();
    let before = named(&d);
    d.command(Command::RenewCertificate);
    assert_ne!(named(&d), before);
}

#[test]
fn is_issued_anew_when_a_clock_turns_out_to_have_been_wrong() {
    let d = node();
    let (before, last) = (named(&d), kept(&d).statement().serial);
    let mut d = restarted(d, 77, 0);
    d.now.wall.0 -= DAY_MS;
    d.pass(Span::from_secs(3_600));
    assert_ne!(named(&d), before);
    assert!(kept(&d).statement().serial > last, "its number grows whatever the clock says");
}

#[test]
fn leaves_the_secrets_of_earlier_ones_behind() {
    let mut d = node();
    let (crypto, prekey) = (port(SECRET, 77), kept(&d).statement().prekeys[0].clone());
    let boxed = crypto.box_seal(&prekey.key, &[1; 32], b"", b"late").unwrap();
    d.command(Command::RenewCertificate);
    let d = restarted(d, 77, 60_000);
    let secret = d.node.prekey_secret(prekey.id).unwrap();
    assert_eq!(crypto.box_open(secret, b"", &boxed).as_deref(), Some(&b"late"[..]));
}

#[test]
fn leaves_a_bounded_number_of_secrets_behind() {
    let mut d = node();
    let first = kept(&d).statement().prekeys[0].id;
    for _ in 0..20 {
        d.command(Command::RenewCertificate);
    }
    assert!(d.node.prekey_secret(first).is_none());
    assert!(d.disk[&Bytes::from_static(b"agent/own")].len() < 16_000);
}

#[test]
fn is_told_to_each_neighbour_once() {
    let mut d = node();
    let peer = Fake::new(1);
    d.neighbor(&peer);
    assert_eq!(introduced(&d, &peer), vec![named(&d)]);
}

#[test]
fn is_told_again_when_it_changes() {
    let mut d = node();
    let peer = Fake::new(1);
    d.neighbor(&peer);
    let first = named(&d);
    d.command(Command::RenewCertificate);
    assert_eq!(introduced(&d, &peer), vec![first, named(&d)]);
}

#[test]
fn is_given_to_whoever_asks() {
    let mut d = node();
    let peer = Fake::new(1);
    d.neighbor(&peer);
    d.say(&peer, AskCertificates { certificates: vec![named(&d)] });
    assert_eq!(given(&d, &peer), vec![named(&d)]);
}

#[test]
fn does_not_exist_without_an_agents_key() {
    let mut d = plain();
    let peer = Fake::new(1);
    d.neighbor(&peer);
    d.publish(b"x");
    assert!(introduced(&d, &peer).is_empty() && d.node.certificate().is_none());
    assert_eq!(d.batches_to(&peer.id)[0].header().certificate, None);
    let refused = d.command(Command::RenewCertificate);
    assert_eq!(d.reply(refused), Some(&Reply::Refused(CommandError::NoAgent)));
}

#[test]
fn proves_the_author_of_own_messages() {
    let mut d = node();
    d.publish(b"x");
    assert_eq!(proof(&d), Proof::Proven(d.node.agent_id().unwrap()));
}

#[test]
fn is_named_by_the_first_batch_and_not_by_those_right_behind_it() {
    let mut d = node();
    let peer = Fake::new(1);
    d.neighbor(&peer);
    for _ in 0..5 {
        d.publish(b"x");
        d.pass_ms(100);
    }
    let names: Vec<_> = d.batches_to(&peer.id).iter().map(|b| b.header().certificate).collect();
    assert_eq!(names, vec![Some(named(&d)), None, None, None, None]);
}

#[test]
fn is_named_again_after_a_second() {
    let mut d = node();
    let peer = Fake::new(1);
    d.neighbor(&peer);
    d.publish(b"x");
    d.pass_ms(1_000);
    d.publish(b"x");
    assert_eq!(d.batches_to(&peer.id)[1].header().certificate, Some(named(&d)));
}

#[test]
fn is_named_at_once_when_it_changes() {
    let mut d = node();
    let peer = Fake::new(1);
    d.neighbor(&peer);
    d.publish(b"x");
    d.pass_ms(100);
    d.command(Command::RenewCertificate);
    d.publish(b"x");
    assert_eq!(d.batches_to(&peer.id)[1].header().certificate, Some(named(&d)));
}
