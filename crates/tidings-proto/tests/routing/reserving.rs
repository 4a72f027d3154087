//! Links by which nodes are found that nobody can dial: asked for, kept, and given up.

use super::*;
use tidings_proto::layer::Signal;
use tidings_proto::presence::Via;
use tidings_proto::roles::PeerRole;
use tidings_proto::time::Span;

const HELD: u8 = 0;
const FULL: u8 = 1;
const NO_RELAY: u8 = 2;

fn relay(max_links: usize) -> Driven {
    let config = GossipConfig { max_links, ..GossipConfig::default() };
    let mut d = Driven::with_port(config, 99, SimCrypto::new(&SecretKey::from_bytes([99; 32])));
    d.run();
    d
}

fn ask(d: &mut Driven, by: &Fake, hold: bool) {
    d.say(by, Reserve { hold });
}

/// What a relay said about links, to one node.
fn answers(d: &Driven, to: &Fake) -> Vec<u8> {
    let why = |m: &&Message| match m {
        Message::Reserved(r) => Some(r.why),
        _ => None,
    };
    d.sent_to(&to.id).iter().filter_map(why).collect()
}

fn is_up(d: &Driven, to: &Fake) -> bool {
    d.node.links().is_up(&to.id)
}

#[test]
fn a_link_is_kept_as_long_as_it_is_asked_for() {
    let mut d = relay(128);
    let (quiet, asks) = (Fake::new(1), Fake::new(2));
    d.link(&quiet);
    d.link(&asks);
    for _ in 0..3 {
        ask(&mut d, &asks, true);
        d.pass_ms(50_000);
    }
    assert_eq!(answers(&d, &asks), [HELD; 3]);
    assert_eq!((is_up(&d, &quiet), is_up(&d, &asks)), (false, true));
    d.pass_ms(90_000);
    assert!(!is_up(&d, &asks), "nobody asks for it any more");
}

#[test]
fn what_is_given_back_is_not_kept() {
    let mut d = relay(128);
    let asks = Fake::new(2);
    d.link(&asks);
    ask(&mut d, &asks, true);
    ask(&mut d, &asks, false);
    d.pass_ms(40_000);
    assert!(!is_up(&d, &asks));
}

#[test]
fn a_relay_keeps_three_quarters_of_its_links_for_others_at_most() {
    let mut d = relay(16);
    let all: Vec<Fake> = (1..=13).map(Fake::new).collect();
    for f in &all {
        d.link(f);
        ask(&mut d, f, true);
    }
    let said: Vec<u8> = all.iter().flat_map(|f| answers(&d, f)).collect();
    assert_eq!(said, [[HELD; 12].as_slice(), &[FULL]].concat());
    assert_eq!(d.counters().reservations_declined, 1);
    ask(&mut d, &all[0], true);
    assert_eq!(answers(&d, &all[0]), [HELD; 2], "who has one keeps it");
    ask(&mut d, &all[0], false);
    ask(&mut d, &all[12], true);
    assert_eq!(answers(&d, &all[12]), [FULL, HELD]);
}

#[test]
fn who_is_a_relay_no_longer_says_so_to_all_and_takes_none_for_a_minute() {
    let mut d = relay(128);
    let (one, other) = (Fake::new(1), Fake::new(2));
    d.link(&one);
    d.link(&other);
    ask(&mut d, &one, true);
    let told = |d: &mut Driven, role| {
        let node = d.id();
        d.node.tell_layers(d.now, Signal::RoleChanged { node, role });
        d.run();
    };
    told(&mut d, PeerRole::Peer);
    assert_eq!(answers(&d, &one), [HELD, NO_RELAY]);
    ask(&mut d, &other, true);
    assert_eq!(answers(&d, &other), [NO_RELAY]);
    d.pass_ms(19_000);
    assert!(is_up(&d, &one), "it carries on until they have moved");
    ask(&mut d, &other, true);
    told(&mut d, PeerRole::Relay);
    ask(&mut d, &other, true);
    assert_eq!(answers(&d, &other), [NO_RELAY, NO_RELAY, HELD], "it is one again");
    told(&mut d, PeerRole::Peer);
    for _ in 0..4 {
        d.pass_ms(15_001);
        ask(&mut d, &one, true);
        ask(&mut d, &other, true);
    }
    assert_eq!(answers(&d, &other).last(), Some(&HELD), "a minute is over");
}

/// A node that was dialed by nobody, and the neighbours it dialed.
fn behind(n: u8) -> (Driven, Vec<Fake>) {
    let mut d = node(30);
    let all: Vec<Fake> = (1..=n).map(Fake::new).collect();
    for f in &all {
        let up = Input::LinkUp { peer: f.id, addr: Some(addr(1)), outbound: true, rtt: Some(Span::from_millis(10)) };
        d.input(up).unwrap();
    }
    d.pass_ms(7_000);
    (d, all)
}

fn asked(d: &Driven, of: &Fake) -> Vec<bool> {
    let hold = |m: &&Message| match m {
        Message::Reserve(r) => Some(r.hold),
        _ => None,
    };
    d.sent_to(&of.id).iter().filter_map(hold).collect()
}

fn says(d: &Driven) -> Vec<[u8; 8]> {
    d.node.vias().iter().map(|v| v.head).collect()
}

fn head(of: &Fake) -> [u8; 8] {
    Via::new(&of.id, Span::ZERO).head
}

#[test]
fn only_those_that_keep_the_link_are_said_and_they_are_asked_anew() {
    let (mut d, all) = behind(3);
    assert!(all.iter().all(|f| asked(&d, f) == [true]), "each is asked once");
    assert_eq!(says(&d), Vec::<[u8; 8]>::new(), "nobody has answered");
    d.say(&all[0], Reserved { why: HELD, load: 0 });
    d.say(&all[1], Reserved { why: FULL, load: 0 });
    d.pass_ms(2_000);
    assert_eq!(says(&d), [head(&all[0])]);
    d.pass_ms(18_000);
    assert_eq!(asked(&d, &all[0]), [true, true]);
    assert_eq!(asked(&d, &all[1]), [true, false], "who declined is left alone");
    assert_eq!(asked(&d, &all[2]), [true, false], "and so is who does not answer");
}

#[test]
fn a_relay_that_falls_silent_is_said_no_longer() {
    let (mut d, all) = behind(2);
    for f in &all {
        d.say(f, Reserved { why: HELD, load: 0 });
    }
    d.pass_ms(2_000);
    assert_eq!(says(&d).len(), 2);
    for _ in 0..20 {
        d.pass_ms(2_000);
        d.say(&all[0], Reserved { why: HELD, load: 0 });
    }
    assert_eq!(says(&d), [head(&all[0])]);
}

#[test]
fn a_relay_that_is_none_any_more_is_said_no_longer_at_once() {
    let (mut d, all) = behind(2);
    for f in &all {
        d.say(f, Reserved { why: HELD, load: 0 });
    }
    d.pass_ms(2_000);
    d.say(&all[0], Reserved { why: NO_RELAY, load: 0 });
    assert_eq!(says(&d), [head(&all[1])]);
}

#[test]
fn answers_nobody_asked_for_are_counted_and_nothing_else() {
    let (mut d, _) = behind(1);
    let stranger = Fake::new(7);
    d.link(&stranger);
    d.say(&stranger, Reserved { why: HELD, load: 0 });
    assert_eq!((d.counters().reservations_unexpected, says(&d).len()), (1, 0));
}

#[test]
fn who_is_dialed_needs_no_relays() {
    let (mut d, all) = behind(1);
    d.say(&all[0], Reserved { why: HELD, load: 0 });
    d.pass_ms(2_000);
    assert_eq!(says(&d), [head(&all[0])]);
    d.link(&Fake::new(7));
    d.pass_ms(2_000);
    assert_eq!((says(&d), asked(&d, &all[0])), (vec![], vec![true, false]));
}
