//! Where a node can be reached, as others attest it.

mod common;

use common::*;
use tidings_proto::crypto::SimCrypto;
use tidings_proto::discovery::coordinator::Mode;
use tidings_proto::discovery::reach::{self, Attestation};
use tidings_proto::identity::{Addr, AgentSecret, PeerAddr, SecretKey};
use tidings_proto::io::*;
use tidings_proto::records::sets;
use tidings_proto::time::Span;
use tidings_proto::wire::*;

/// Where the node is.
fn here() -> Addr {
    addr(200)
}

/// What neighbour `n` says of where it reached the node.
fn word(d: &Driven, n: u8, at: Addr) -> Reached {
    let crypto = SimCrypto::new(&SecretKey::from_bytes([n; 32]));
    let you = PeerAddr { id: d.id(), addrs: vec![at] };
    Attestation::issue(&crypto, &reach::key(&network()), you, d.now.wall.0).told()
}

/// A node with so many neighbours that dialed it and were asked.
fn asked(count: u8) -> (Driven, Vec<Fake>) {
    let mut d = Driven::agent(&AgentSecret::from_bytes([3; 32]));
    let friends: Vec<Fake> = (1..=count).map(Fake::new).collect();
    for f in &friends {
        d.link(f);
        d.befriend(f, Overlay::Root);
    }
    d.pass(Span::from_secs(3));
    (d, friends)
}

fn questions(d: &Driven, to: &Fake) -> usize {
    d.sent_to(&to.id).iter().filter(|m| matches!(m, Message::AskReach(_))).count()
}

#[test]
fn is_asked_of_those_who_dialed_and_counts_when_two_have_said_so() {
    let (mut d, friends) = asked(2);
    assert_eq!(friends.iter().map(|f| questions(&d, f)).collect::<Vec<_>>(), [1, 1]);
    let first = word(&d, 1, here());
    d.say(&friends[0], first);
    assert!(d.node.confirmed_addrs().is_empty(), "one is not enough");
    let second = word(&d, 2, here());
    d.say(&friends[1], second);
    assert_eq!(d.node.confirmed_addrs(), [here()]);
    d.pass(Span::from_secs(25 * 3_600));
    assert!(d.node.confirmed_addrs().is_empty(), "it counts for a day");
}

#[test]
fn is_not_believed_when_forged_of_elsewhere_or_not_asked_for() {
    let (mut d, friends) = asked(3);
    let good = word(&d, 1, here());
    let forged = Reached { signature: [7; 64], ..good.clone() };
    let elsewhere = word(&d, 1, addr(99));
    let another = word(&d, 2, here());
    let old = Reached { at_ms: good.at_ms - 26 * 3_600_000, ..good.clone() };
    for bad in [forged, elsewhere, another, old] {
        let before = d.counters().reach_forged;
        d.say(&friends[0], bad);
        assert_eq!(d.counters().reach_forged, before + 1);
        // It is asked again when its turn comes.
        d.pass(Span::from_secs(601));
    }
    let again = word(&d, 1, here());
    d.say(&friends[0], again.clone());
    d.say(&friends[0], again);
    assert_eq!(d.counters().frames_unexpected, 1, "what was not asked for");
    assert!(d.node.confirmed_addrs().is_empty());
}

#[test]
fn is_not_attested_for_who_dialed_us_and_not_too_often() {
    let (mut d, friends) = asked(1);
    for _ in 0..3 {
        d.say(&friends[0], AskReach { me: friends[0].addr.clone() });
    }
    assert_eq!(d.counters().reach_attested, 0, "we never reached it");
    let stranger = Fake::new(9);
    d.link(&stranger);
    d.say(&stranger, AskReach { me: stranger.addr.clone() });
    assert_eq!(d.counters().reach_limited, 1);
}

#[test]
fn makes_nobody_a_coordinator_without_confirmation_or_against_its_will() {
    let own = |d: &Driven| d.node.records().len(sets::COORDINATORS);
    for (mode, confirmed, expected) in
        [(Mode::Auto, true, 1), (Mode::Always, true, 1), (Mode::Never, true, 0), (Mode::Always, false, 0)]
    {
        let (mut d, friends) = asked(2);
        d.command(Command::Coordinate { mode });
        for (n, f) in (1..).zip(&friends).filter(|_| confirmed) {
            let w = word(&d, n, here());
            d.say(f, w);
        }
        d.pass(Span::from_secs(200));
        assert_eq!(own(&d), expected, "{mode:?}, confirmed: {confirmed}");
        assert_eq!(d.node.coordinators().len(), expected);
    }
}
