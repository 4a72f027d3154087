//! The layer in a node: what it gives and takes, tells and remembers.

use bytes::Bytes;
use tidings_proto::io::{Event, Overlay};
use tidings_proto::layer::Signal;
use tidings_proto::records::sets::ROLES;
use tidings_proto::wire::*;

use super::*;

impl Driven {
    fn tell(&mut self, signal: Signal) {
        self.node.tell_layers(self.now, signal);
        self.run();
    }

    fn credit(&mut self, relay: &Fake, messages: u32, bytes: u64) {
        self.tell(Signal::RelayCredited { relay: relay.id, messages, bytes });
    }

    fn credited(&mut self, messages: u32, bytes: u64) {
        self.tell(Signal::CreditedAsRelay { by: id(90), of: id(1), messages, bytes });
    }

    /// What this node says of itself to everybody, so far.
    fn told(&self) -> Option<RoleChangeAnnounce> {
        let record = self.node.records().get(ROLES, &self.id().into())?;
        Some(RoleChangeAnnounce::parse(&record.bytes).unwrap())
    }

    fn events(&self) -> Vec<(NodeId, PeerRole, RoleSource)> {
        self.did
            .iter()
            .filter_map(|d| match d {
                Did::Event(Event::RolePromoted { node, source, .. }) => Some((*node, PeerRole::Relay, *source)),
                Did::Event(Event::RoleDemoted { node, source, .. }) => Some((*node, PeerRole::Peer, *source)),
                _ => None,
            })
            .collect()
    }

    fn bring_record(&mut self, by: &Fake, said: &RoleChangeAnnounce) {
        let bytes = said.to_bytes();
        let full = FullRecord { set: ROLES, len: bytes.len() as u16, age: 0, refresh: None };
        let frame = Message::from(Records { full: vec![full], fresh: vec![] }).frame_with(bytes);
        self.frame(by, Lane::Control, frame.to_bytes()).unwrap();
    }

    fn give_word(&mut self, by: &Fake, v: &Vouch) {
        let m = VouchFor { messages: v.messages, bytes: v.bytes, at_ms: v.at.0 };
        let frame = Message::from(m).frame_with(Bytes::copy_from_slice(&v.signature));
        self.frame(by, Lane::Control, frame.to_bytes()).unwrap();
    }
}

fn words(d: &Driven, to: &Fake) -> Vec<VouchFor> {
    let all = d.sent_to(&to.id).into_iter();
    all.filter_map(|m| if let Message::VouchFor(v) = m { Some(v.clone()) } else { None }).collect()
}

/// A node with one neighbour.
fn node() -> (Driven, Fake) {
    let (mut d, friend) = (Driven::new(), Fake::new(1));
    d.link(&friend);
    d.befriend(&friend, Overlay::Root);
    (d, friend)
}

#[test]
fn who_carried_for_us_is_given_our_word_when_it_is_worth_twice_as_much() {
    let (mut d, relay) = node();
    for _ in 0..3 {
        d.credit(&relay, 1, 1_000);
    }
    d.pass_ms(1_100);
    assert_eq!(words(&d, &relay).len(), 1, "a burst is one word");
    d.credit(&relay, 1, 1_000);
    d.pass_ms(1_100);
    assert_eq!(words(&d, &relay).len(), 1, "little more");
    d.credit(&relay, 3, 1_000);
    d.pass_ms(1_100);
    let last = words(&d, &relay).pop().unwrap();
    assert_eq!((words(&d, &relay).len(), last.messages, last.bytes), (2, 6, 4_999));
}

#[test]
fn our_word_holds_for_that_relay() {
    let (mut d, relay) = node();
    d.credit(&relay, 5, 1_000);
    d.pass_ms(1_100);
    let sent = d.did.iter().find_map(|d| match d {
        Did::Sent { message: Message::VouchFor(v), payload, .. } => Some((v.clone(), payload.clone())),
        _ => None,
    });
    let (m, signature) = sent.unwrap();
    let signature = signature[..].try_into().unwrap();
    let v = Vouch { by: d.id(), messages: m.messages, bytes: m.bytes, at: UnixMillis(m.at_ms), signature };
    assert!(v.verify(&key(), relay.port(), &relay.id));
    assert!(!v.verify(&key(), relay.port(), &id(2)));
}

#[test]
fn failures_alone_are_worth_no_word() {
    let (mut d, relay) = node();
    d.tell(Signal::RelayFailed { relay: relay.id });
    d.pass_ms(1_100);
    assert_eq!(words(&d, &relay), []);
}

#[test]
fn the_tenth_credit_makes_a_relay_at_once_and_everybody_is_told() {
    let (mut d, friend) = node();
    d.credited(9, 900);
    d.give_word(&friend, &Vouch::sign(&key(), friend.port(), &d.id(), 9, 900, d.now.wall));
    assert_eq!((d.told(), d.events()), (None, vec![]));
    d.credited(1, 100);
    d.pass_ms(1);
    let local = |d: &Did| matches!(d, Did::Event(Event::LocalRoleChanged { role: PeerRole::Relay, .. }));
    assert!(d.did.iter().any(local));
    assert_eq!(d.events(), [(d.id(), PeerRole::Relay, RoleSource::Judged)]);
    let told = d.told().unwrap();
    assert_eq!((told.new_role, told.vouches.len()), (PeerRole::Relay, 1));
    assert!(told.score > 10.0 && told.verify_signature(&key(), friend.port()).is_ok());
}

#[test]
fn a_relay_says_so_again_each_hour_and_not_more() {
    let (mut d, _) = node();
    d.credited(1_000, 0);
    d.pass_ms(1);
    let first = d.told().unwrap().sequence;
    d.pass(Span::from_secs(3_500));
    assert_eq!(d.told().unwrap().sequence, first);
    d.pass(Span::from_secs(101));
    assert!(d.told().unwrap().sequence > first);
    assert_eq!(d.counters().roles_announced, 2);
}

#[test]
fn a_relay_with_twice_as_much_to_show_shows_it() {
    let (mut d, friend) = node();
    d.credited(10, 0);
    d.pass_ms(1);
    assert_eq!(d.told().unwrap().vouches, []);
    d.give_word(&friend, &Vouch::sign(&key(), friend.port(), &d.id(), 9, 900, d.now.wall));
    d.pass(Span::from_secs(301));
    assert_eq!(d.told().unwrap().vouches.len(), 1);
    assert_eq!(d.counters().roles_announced, 2);
}

#[test]
fn a_relay_that_leaves_says_that_it_is_one_no_longer() {
    let (mut d, _) = node();
    d.credited(10, 0);
    d.pass_ms(1);
    d.command(tidings_proto::io::Command::Leave);
    assert_eq!(d.told().unwrap().new_role, PeerRole::Peer);
}

#[test]
fn what_another_says_is_a_claim_and_told_as_one() {
    let (mut d, friend) = node();
    let stranger = Fake::new(7);
    d.bring_record(&friend, &announce(&stranger, 1, 500.0, &[(&Fake::new(8), 400)]));
    assert_eq!(d.events(), [(stranger.id, PeerRole::Relay, RoleSource::Claimed)]);
    d.pass_ms(2_000);
    let row = d.node.role_row(&stranger.id);
    assert_eq!((row.claimed, row.effective), (Some(PeerRole::Relay), PeerRole::Peer));
    assert!(!d.node.peers().iter().any(|p| p.id == stranger.id));
}

#[test]
fn it_is_believed_when_one_that_carried_for_us_says_so() {
    let (mut d, friend) = node();
    let stranger = Fake::new(7);
    d.credit(&friend, 30, 1_000);
    d.bring_record(&friend, &announce(&stranger, 1, 500.0, &[(&friend, 400)]));
    d.pass_ms(1_000);
    assert!(d.events().contains(&(stranger.id, PeerRole::Relay, RoleSource::Believed)), "{:?}", d.events());
    assert_eq!(d.node.role_row(&stranger.id).effective, PeerRole::Relay);
}

#[test]
fn what_is_over_is_claimed_no_longer() {
    let (mut d, friend) = node();
    d.bring_record(&friend, &announce(&Fake::new(7), 1, 500.0, &[]));
    d.pass(announce::LIFE + Span::from_secs(2));
    assert_eq!(d.node.role_row(&id(7)).claimed, None);
    assert_eq!(d.events().last(), Some(&(id(7), PeerRole::Peer, RoleSource::Claimed)));
}

#[test]
fn forged_and_implausible_announcements_are_counted_and_nothing_else() {
    let (mut d, friend) = node();
    let mut forged = announce(&Fake::new(7), 1, 500.0, &[]);
    forged.score = 501.0;
    d.bring_record(&friend, &forged);
    assert_eq!(d.counters().records_forged, 1);
    let mut words = announce(&Fake::new(7), 1, 500.0, &[(&Fake::new(8), 400)]);
    words.vouches[0].messages = 401;
    d.bring_record(&friend, &words.sign(&key(), Fake::new(7).port()));
    assert_eq!(d.counters().records_forged, 2);
    for score in [f64::NAN, f64::INFINITY, 1_001.0] {
        d.bring_record(&friend, &announce(&Fake::new(7), 1, score, &[]));
    }
    assert_eq!(d.counters().roles_implausible, 3);
    assert_eq!((d.node.role_row(&id(7)), d.events()), (RoleRow::default(), vec![]));
}

#[test]
fn customers_words_that_do_not_hold_are_counted_and_nothing_else() {
    let (mut d, friend) = node();
    let (me, at) = (d.id(), d.now.wall);
    let good = Vouch::sign(&key(), friend.port(), &me, 9, 900, at);
    d.give_word(&friend, &good);
    assert_eq!(d.counters().vouches_refused, 1, "nothing was carried for it");
    d.credited(1, 1);
    let mut forged = good.clone();
    forged.messages = 10;
    d.give_word(&friend, &forged);
    d.give_word(&friend, &Vouch::sign(&key(), friend.port(), &id(5), 9, 900, at));
    d.give_word(&friend, &Vouch::sign(&key(), friend.port(), &me, 9, 900, UnixMillis(at.0 + 20 * 60_000)));
    d.give_word(&friend, &Vouch::sign(&key(), friend.port(), &me, 9, 900, UnixMillis(at.0 - announce::VOUCH_LIFE_MS)));
    d.give_word(&friend, &Vouch::sign(&key(), friend.port(), &me, 0, 0, at));
    assert_eq!((d.counters().vouches_refused, d.counters().vouches_taken), (6, 0));
    d.give_word(&friend, &good);
    d.give_word(&friend, &good);
    assert_eq!((d.counters().vouches_limited, d.counters().vouches_taken), (1, 1));
    d.pass_ms(600);
    d.give_word(&friend, &good);
    assert_eq!((d.counters().vouches_refused, d.counters().vouches_taken), (7, 1), "the same again");
}

#[test]
fn what_was_seen_outlives_the_process_and_fades_meanwhile() {
    let (mut d, _) = node();
    let relay = Fake::new(2);
    d.credit(&relay, 100, 0);
    d.credited(20, 0);
    d.pass(Span::from_secs(120));
    let before = d.node.role_metrics(&relay.id).unwrap();
    let own = d.node.role_metrics(&d.id()).unwrap();
    let mut d = d.restart(Span::from_secs(20 * 3_600));
    d.pass_ms(1);
    let after = d.node.role_metrics(&relay.id).unwrap();
    assert_eq!((after.relay_count, after.role, after.first_seen), (100, PeerRole::Relay, before.first_seen));
    let expected = before.score * (-0.05f64 * 20.0).exp();
    assert!((after.score - expected).abs() < 0.01, "{} {expected}", after.score);
    assert_eq!((own.role, d.node.role_metrics(&d.id()).unwrap().role), (PeerRole::Relay, PeerRole::Relay));
}

#[test]
fn a_relay_that_was_restarted_says_that_it_is_one() {
    let (mut d, _) = node();
    d.credited(20, 0);
    d.pass(Span::from_secs(120));
    let mut d = d.restart(Span::from_secs(60));
    d.pass(Span::from_secs(31));
    assert_eq!(d.told().unwrap().new_role, PeerRole::Relay);
}

#[test]
fn rows_that_make_no_sense_are_passed_over_and_erased() {
    let mut d = Driven::new();
    let mut key = b"role/".to_vec();
    key.extend([4; 32]);
    d.disk.insert(key.into(), Bytes::from_static(b"\xa1\x00\x01"));
    d.disk.insert(Bytes::from_static(b"role/x"), Bytes::new());
    let d = d.restart(Span::from_secs(1));
    assert!(!d.disk.keys().any(|k| k.starts_with(b"role/")));
    assert_eq!(d.node.role_scores(), []);
}
