//! Getting into the index, and helping others to.

use super::*;

/// A node that wants to be in the index, with neighbours 2, 3, … that dialed it.
fn serving(neighbors: u8) -> Driven {
    let mut d = Driven::new();
    for n in 2..2 + neighbors {
        let f = Fake::new(n);
        d.link(&f);
        d.befriend(&f, Overlay::Root);
    }
    d.did.clear();
    d.command(Command::ServeIndex { on: true });
    d
}

fn own(d: &Driven) -> PeerAddr {
    PeerAddr { id: d.id(), addrs: vec![addr(200)] }
}

/// Peer `n` says that it has reached the node.
fn reach(d: &mut Driven, n: u8) {
    let t = Attestation::sign(&records::key(&network()), &d.id(), &addr(200), d.now.wall.0, &port(n));
    let m = Reached { subject: own(d), at_ms: t.at_ms, signature: t.signature };
    d.say(&Fake::new(n), m);
}

fn asked(d: &Driven) -> Vec<(NodeId, AskReached)> {
    let sent = |x: &Did| match x {
        Did::Sent { to, message: Message::AskReached(m), .. } => Some((*to, m.clone())),
        _ => None,
    };
    d.did.iter().filter_map(sent).collect()
}

fn attested(d: &Driven) -> Vec<(NodeId, Reached)> {
    let sent = |x: &Did| match x {
        Did::Sent { to, message: Message::Reached(m), .. } => Some((*to, m.clone())),
        _ => None,
    };
    d.did.iter().filter_map(sent).collect()
}

#[test]
fn neighbours_are_asked() {
    let mut d = serving(5);
    d.pass_ms(1_100);
    let asked = asked(&d);
    assert!(asked.len() >= 2);
    assert!(asked.iter().all(|(_, m)| *m == AskReached { subject: own(&d), hand_on: true }));
}

#[test]
fn two_that_reached_it_get_a_node_into_the_index() {
    let mut d = serving(5);
    d.pass_ms(1_100);
    reach(&mut d, 2);
    assert!(d.node.index().is_empty(), "one is not enough");
    reach(&mut d, 3);
    assert!(d.node.index().contains(&d.id()));
}

#[test]
fn it_stays_in_as_long_as_it_runs() {
    let mut d = serving(5);
    d.pass_ms(1_100);
    reach(&mut d, 2);
    reach(&mut d, 3);
    for _ in 0..40 {
        d.pass(ADVERT_LIFE);
        // After a day it needs new witnesses.
        reach(&mut d, 4);
        reach(&mut d, 5);
        assert!(d.node.index().contains(&d.id()));
    }
}

#[test]
fn it_leaves_when_it_stops() {
    let mut d = serving(5);
    d.pass_ms(1_100);
    reach(&mut d, 2);
    reach(&mut d, 3);
    d.command(Command::ServeIndex { on: false });
    d.pass(ADVERT_LIFE + Span::from_secs(2));
    assert!(d.node.index().is_empty());
}

#[test]
fn its_new_address_has_to_be_reached_again() {
    let mut d = serving(5);
    d.pass_ms(1_100);
    reach(&mut d, 2);
    reach(&mut d, 3);
    d.command(Command::SetAddrs { addrs: vec![addr(123)] });
    d.did.clear();
    d.pass_ms(1_100);
    assert_eq!(asked(&d)[0].1.subject.addrs, [addr(123)]);
}

#[test]
fn what_is_not_signed_by_who_says_it_does_not_count() {
    let mut d = serving(5);
    d.pass_ms(1_100);
    let t = Attestation::sign(&records::key(&network()), &d.id(), &addr(200), WALL, &port(9));
    for n in [2, 3] {
        let m = Reached { subject: own(&d), at_ms: t.at_ms, signature: t.signature };
        d.say(&Fake::new(n), m);
    }
    assert_eq!(d.counters().attestations_forged, 2);
    assert!(d.node.index().is_empty());
}

#[test]
fn who_does_not_want_in_does_not_get_in() {
    let mut d = serving(5);
    d.command(Command::ServeIndex { on: false });
    reach(&mut d, 2);
    reach(&mut d, 3);
    assert!(d.node.index().is_empty());
}

/// A node that dialed peer 2 at its address, and was dialed by peers 3 and 4.
fn helpful() -> Driven {
    let mut d = Driven::new();
    let f = Fake::new(2);
    let up = Input::LinkUp { peer: f.id, addr: Some(addr(2)), outbound: true, rtt: None };
    d.command(Command::Join { peers: vec![f.addr.clone()] });
    d.pass_ms(100);
    d.input(up).unwrap();
    d.befriend(&f, Overlay::Root);
    for n in [3, 4] {
        let f = Fake::new(n);
        d.link(&f);
        d.befriend(&f, Overlay::Root);
    }
    d.did.clear();
    d
}

fn subject(n: u8, at: u8) -> PeerAddr {
    PeerAddr { id: Fake::new(n).id, addrs: vec![addr(at)] }
}

#[test]
fn who_was_dialed_is_attested_where_it_was() {
    let mut d = helpful();
    d.say(&Fake::new(2), AskReached { subject: subject(2, 2), hand_on: true });
    let (to, m) = attested(&d).remove(0);
    assert_eq!((to, &m.subject), (Fake::new(2).id, &subject(2, 2)));
    let t = Attestation { by: d.id(), at_ms: m.at_ms, signature: m.signature };
    assert!(t.holds(&records::key(&network()), &Fake::new(2).id, &addr(2), &port(1)));
}

#[test]
fn who_was_dialed_is_not_attested_elsewhere() {
    let mut d = helpful();
    d.say(&Fake::new(2), AskReached { subject: subject(2, 99), hand_on: true });
    assert_eq!(attested(&d), []);
}

#[test]
fn who_dialed_is_handed_on() {
    let mut d = helpful();
    d.say(&Fake::new(3), AskReached { subject: subject(3, 3), hand_on: true });
    assert_eq!(attested(&d), []);
    let (to, m) = asked(&d).remove(0);
    assert_ne!(to, Fake::new(3).id);
    assert_eq!(m, AskReached { subject: subject(3, 3), hand_on: false });
}

#[test]
fn who_is_handed_on_is_dialed_and_attested() {
    let mut d = helpful();
    d.say(&Fake::new(3), AskReached { subject: subject(50, 50), hand_on: false });
    assert_eq!(dialed(&d), [Fake::new(50).id]);
    let up = Input::LinkUp { peer: Fake::new(50).id, addr: Some(addr(50)), outbound: true, rtt: None };
    d.input(up).unwrap();
    assert_eq!(attested(&d)[0].0, Fake::new(50).id);
    let released = |m: &&Message| matches!(m, Message::Release(_));
    assert_eq!(d.sent_to(&Fake::new(50).id).into_iter().filter(released).count(), 1);
}

#[test]
fn who_cannot_be_dialed_is_not_attested() {
    let mut d = helpful();
    d.say(&Fake::new(3), AskReached { subject: subject(50, 50), hand_on: false });
    fail_dial(&mut d, Fake::new(50).id);
    d.link(&Fake::new(50));
    assert_eq!(attested(&d), []);
}

#[test]
fn questions_that_make_no_sense_are_dropped() {
    let mut d = helpful();
    let before = d.counters().frames_unexpected;
    let stranger = Fake::new(60);
    d.link(&stranger);
    d.say(&stranger, AskReached { subject: subject(60, 60), hand_on: true });
    d.say(&Fake::new(3), AskReached { subject: subject(50, 50), hand_on: true });
    d.say(&Fake::new(3), AskReached { subject: subject(3, 3), hand_on: false });
    d.say(&Fake::new(3), AskReached { subject: own(&d), hand_on: false });
    d.say(&Fake::new(3), AskReached { subject: PeerAddr { id: Fake::new(3).id, addrs: vec![] }, hand_on: true });
    assert_eq!(d.counters().frames_unexpected, before + 5);
    assert_eq!((asked(&d), attested(&d), dialed(&d)), (vec![], vec![], vec![]));
}

#[test]
fn nobody_can_make_a_node_dial_for_ever() {
    let mut d = helpful();
    for n in 50..100 {
        d.say(&Fake::new(3), AskReached { subject: subject(n, n), hand_on: false });
        fail_dial(&mut d, Fake::new(n).id);
    }
    assert_eq!(dialed(&d).len(), 8);
}
