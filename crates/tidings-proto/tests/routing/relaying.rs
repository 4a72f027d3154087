//! What a relay passes on, and for whom.

use super::*;
use tidings_proto::routing::{envelope, key};

/// A relay with two that hand it something, and one that gets it.
struct Relay {
    d: Driven,
    a: Fake,
    b: Fake,
    c: Fake,
}

fn relay() -> Relay {
    let mut d = node(9);
    d.auto_ack = true;
    let (a, b, c) = (Fake::new(1), Fake::new(2), Fake::new(3));
    for f in [&a, &b, &c] {
        d.link(f);
    }
    d.did.clear();
    Relay { d, a, b, c }
}

fn head(from: &Fake, relay: NodeId, to: &Fake, n: u8) -> Envelope {
    let id = PassageId([n; 16]);
    Envelope {
        id,
        from: from.id,
        to: to.id,
        via: vec![relay],
        kind: 0,
        ttl: 2,
        at_ms: WALL,
        messages: 1,
        credits: None,
    }
}

fn signed(by: &Fake, m: &Envelope, inner: &[u8]) -> bytes::Bytes {
    envelope::seal(by.port(), &key(&network()), m, inner)
}

impl Relay {
    fn head(&self, n: u8) -> Envelope {
        head(&self.a, self.d.id(), &self.c, n)
    }

    /// An envelope comes over a link.
    fn hand(&mut self, over: u8, m: &Envelope) {
        let payload = signed(&self.a, m, b"content");
        self.hand_payload(over, m, payload);
    }

    fn hand_payload(&mut self, over: u8, m: &Envelope, payload: bytes::Bytes) {
        let from = Fake::new(over);
        let bytes = Message::from(m.clone()).frame_with(payload).to_bytes();
        let _ = self.d.frame(&from, Lane::Control, bytes);
    }

    fn passed_on(&self) -> usize {
        self.d.sent_to(&self.c.id).iter().filter(|m| matches!(m, Message::Envelope(_))).count()
    }

    fn acks(&self, to: &Fake) -> Vec<u8> {
        let why = |m: &&Message| match m {
            Message::RelayAck(a) => Some(a.why),
            _ => None,
        };
        self.d.sent_to(&to.id).iter().filter_map(why).collect()
    }
}

#[test]
fn an_envelope_of_any_kind_is_passed_on_as_it_is_but_for_its_ttl() {
    for kind in [0, 1, 200] {
        let mut r = relay();
        let m = Envelope { kind, ..r.head(1) };
        r.hand(1, &m);
        let sent = r.d.sent_to(&r.c.id);
        assert_eq!(sent, [&Message::from(Envelope { ttl: 1, ..m })]);
    }
}

#[test]
fn what_is_taken_is_acknowledged() {
    let mut r = relay();
    let m = r.head(1);
    r.hand(1, &m);
    assert_eq!(r.acks(&r.a), [0]);
}

#[test]
fn what_makes_no_sense_is_dropped() {
    let mut r = relay();
    let (me, a, b, c) = (r.d.id(), r.a.id, r.b.id, r.c.id);
    let day = 24 * 3_600_000;
    let bad: Vec<Envelope> = vec![
        Envelope { ttl: 0, ..r.head(1) },
        Envelope { ttl: 4, ..r.head(2) },
        Envelope { ttl: 255, ..r.head(3) },
        Envelope { to: a, ..r.head(4) },
        Envelope { via: vec![me, me], ..r.head(5) },
        Envelope { via: vec![me, a], ..r.head(6) },
        Envelope { via: vec![me, c], ..r.head(7) },
        Envelope { at_ms: WALL - day, ..r.head(8) },
        Envelope { at_ms: WALL + day, ..r.head(9) },
        Envelope { at_ms: u64::MAX, ..r.head(10) },
        Envelope { at_ms: 0, ..r.head(11) },
    ];
    for m in &bad {
        r.hand(1, m);
    }
    assert_eq!((r.d.counters().envelopes_unsound, r.passed_on()), (bad.len() as u64, 0));
    let m = Envelope { via: vec![me, b], ttl: 1, ..r.head(12) };
    r.hand(1, &m);
    assert_eq!(r.d.counters().envelopes_unsound, bad.len() as u64 + 1, "it would not arrive");
}

#[test]
fn only_who_is_named_before_hands_it_over() {
    let mut r = relay();
    let m = r.head(1);
    r.hand(2, &m);
    let elsewhere = Envelope { via: vec![r.b.id], ..r.head(2) };
    r.hand(1, &elsewhere);
    let own = Envelope { from: r.d.id(), via: vec![r.a.id], ..r.head(3) };
    r.hand(1, &own);
    assert_eq!((r.d.counters().envelopes_misrouted, r.passed_on()), (3, 0));
}

#[test]
fn nothing_is_passed_on_twice() {
    let mut r = relay();
    let m = r.head(1);
    r.hand(1, &m);
    r.hand(1, &m);
    assert_eq!((r.d.counters().envelopes_repeated, r.passed_on()), (1, 1));
}

#[test]
fn a_second_relay_sees_the_senders_signature() {
    let mut r = relay();
    let m = Envelope { via: vec![r.b.id, r.d.id()], ttl: 2, ..r.head(1) };
    let forged = signed(&r.b, &m, b"content");
    r.hand_payload(2, &m, forged);
    assert_eq!((r.d.counters().envelopes_refused_forged, r.passed_on()), (1, 0));
    r.hand(2, &m);
    assert_eq!(r.passed_on(), 1);
}

#[test]
fn a_way_that_is_not_known_is_said_not_to_be() {
    let mut r = relay();
    let m = Envelope { to: NodeId([77; 32]), ..r.head(1) };
    r.hand(1, &m);
    assert_eq!((r.acks(&r.a), r.d.counters().envelopes_declined), (vec![3], 1));
}

#[test]
fn a_flood_of_one_neighbour_is_cut_off_and_others_pass() {
    let mut r = relay();
    for n in 0..3_000u32 {
        let mut m = r.head(0);
        m.id.0[..4].copy_from_slice(&n.to_le_bytes());
        let payload = signed(&r.a, &m, b"content");
        r.hand_payload(1, &m, payload);
    }
    assert!((1_024..1_100).contains(&r.passed_on()), "{}", r.passed_on());
    assert_eq!(r.d.counters().envelopes_limited as usize + r.passed_on(), 3_000);
    let m = head(&r.b, r.d.id(), &r.c, 99);
    let payload = signed(&r.b, &m, b"content");
    let before = r.passed_on();
    r.hand_payload(2, &m, payload);
    assert_eq!(r.passed_on(), before + 1);
}

#[test]
fn receipts_are_no_exception_and_a_new_link_is_no_new_allowance() {
    let mut r = relay();
    for n in 0..2_000u32 {
        let mut m = Envelope { kind: 1, ..r.head(0) };
        m.id.0[..4].copy_from_slice(&n.to_le_bytes());
        r.hand(1, &m);
    }
    let passed = r.passed_on();
    assert!((1_024..1_100).contains(&passed), "{passed}");
    let a = Fake::new(1);
    r.d.input(Input::LinkDown { peer: a.id, reason: LinkRefusal::Closed }).unwrap();
    r.d.link(&a);
    for n in 2_000..2_100u32 {
        let mut m = r.head(0);
        m.id.0[..4].copy_from_slice(&n.to_le_bytes());
        r.hand(1, &m);
    }
    assert_eq!(r.passed_on(), passed);
}

#[test]
fn who_floods_through_other_relays_is_held_back_and_not_those_beside_it() {
    let mut r = relay();
    // From 77 and 78, by way of `a` and `b`, as second relay; either hands in no more than it may.
    let (flood, other) = (Fake::new(77), Fake::new(78));
    let by = |r: &Relay, from: &Fake, n: u32| {
        let first = if n.is_multiple_of(2) { &r.a } else { &r.b };
        let mut m = head(from, r.d.id(), &r.c, 0);
        m.id.0[..4].copy_from_slice(&n.to_le_bytes());
        m.id.0[15] = from.id.0[0];
        (m.via, m.ttl) = (vec![first.id, r.d.id()], 2);
        let payload = signed(from, &m, b"content");
        (m, payload)
    };
    let mut handed = 0;
    for _ in 0..60 {
        for _ in 0..90 {
            handed += 1;
            let (m, payload) = by(&r, &flood, handed);
            r.hand_payload(if handed.is_multiple_of(2) { 1 } else { 2 }, &m, payload);
        }
        r.d.pass_ms(50);
    }
    // 1024 at once, and in three seconds less than half of what there would be.
    let passed = r.passed_on();
    assert!((1_024..3_000).contains(&passed), "{passed} of {handed}");
    assert_eq!(r.d.counters().envelopes_limited as usize, handed as usize - passed);
    let before = r.passed_on();
    for n in 0..50 {
        let (m, payload) = by(&r, &other, 2 * n + 1);
        r.hand_payload(2, &m, payload);
    }
    assert_eq!(r.passed_on(), before + 50);
}

#[test]
fn who_has_much_waiting_for_a_slow_link_lets_others_pass() {
    let mut r = relay();
    r.d.auto_credit = false;
    let content = vec![7; 32 << 10];
    for n in 0..50u8 {
        let m = r.head(n);
        let payload = signed(&r.a, &m, &content);
        r.hand_payload(1, &m, payload);
    }
    let m = head(&r.b, r.d.id(), &r.c, 99);
    let payload = signed(&r.b, &m, b"small");
    r.hand_payload(2, &m, payload);
    let small = |r: &Relay| {
        let sent = r.d.sent_to(&r.c.id);
        sent.iter().any(|m| matches!(m, Message::Envelope(e) if e.id == PassageId([99; 16])))
    };
    assert!(!small(&r), "nothing waits");
    // Room for two or three of the long ones.
    r.d.input(Input::SendCredit { peer: r.c.id, lane: Lane::Control, bytes: 100 << 10 }).unwrap();
    assert!(small(&r));
    assert!(r.passed_on() < 30, "all went");
}

#[test]
fn what_waits_for_a_slow_link_is_bounded_and_goes_when_there_is_room() {
    let mut r = relay();
    r.d.auto_credit = false;
    let content = vec![7; 64 << 10];
    for n in 0..100u8 {
        let m = r.head(n);
        let payload = signed(&r.a, &m, &content);
        r.hand_payload(1, &m, payload);
    }
    let (passed, declined) = (r.passed_on(), r.acks(&r.a).iter().filter(|why| **why == 1).count());
    assert!((5..10).contains(&passed), "a quarter of a lane: {passed}");
    let queued = 100 - passed - declined;
    assert!((25..40).contains(&queued), "a quarter of the queue: {queued}");
    let bytes = passed * (content.len() + 500);
    r.d.input(Input::SendCredit { peer: r.c.id, lane: Lane::Control, bytes }).unwrap();
    assert!(r.passed_on() > passed);
    r.d.pass_ms(3_000);
    assert!(r.d.counters().envelopes_dropped > 0, "what waited too long");
}

/// A receipt of the receiver's that passes through the relay.
fn receipt(r: &Relay, n: u8, credits: Credits) -> Envelope {
    let head = head(&r.c, r.d.id(), &r.a, n);
    Envelope { kind: 1, messages: 0, credits: Some(credits), ..head }
}

fn give(by: &Fake, at_ms: u64, list: Vec<Credit>) -> Credits {
    Credits::give(by.port(), &key(&network()), at_ms, list)
}

#[test]
fn a_relay_counts_what_it_is_credited_with_once_and_only_for_what_it_carried() {
    let mut r = relay();
    let m = r.head(1);
    r.hand(1, &m);
    let me = r.d.id();
    let credit = Credit { id: m.id, relays: vec![me], messages: 1, bytes: 7 };
    let later = |n: u8| Credit { id: PassageId([n; 16]), ..credit.clone() };
    let day = 24 * 3_600_000;
    let bad = [
        give(&r.b, WALL, vec![credit.clone()]),
        give(&r.c, WALL, vec![later(77)]),
        give(&r.c, WALL, vec![Credit { bytes: 8, ..credit.clone() }]),
        give(&r.c, WALL - day, vec![credit.clone()]),
        give(&r.c, WALL + day, vec![credit.clone()]),
    ];
    for (n, credits) in bad.iter().enumerate() {
        let e = receipt(&r, 10 + n as u8, credits.clone());
        let payload = signed(&r.c, &e, b"");
        r.hand_payload(3, &e, payload);
    }
    assert_eq!((r.d.counters().credits_refused, r.d.counters().credits_taken), (bad.len() as u64, 0));
    for n in 0..2 {
        let e = receipt(&r, 20 + n, give(&r.c, WALL, vec![credit.clone()]));
        let payload = signed(&r.c, &e, b"");
        r.hand_payload(3, &e, payload);
    }
    assert_eq!((r.d.counters().credits_refused, r.d.counters().credits_taken), (bad.len() as u64 + 1, 1));
}

#[test]
fn a_credit_that_comes_too_late_is_none() {
    let mut r = relay();
    let m = r.head(1);
    r.hand(1, &m);
    r.d.pass_ms(61_000);
    let credit = Credit { id: m.id, relays: vec![r.d.id()], messages: 1, bytes: 7 };
    let wall = r.d.now.wall.0;
    let e = Envelope { at_ms: wall, ..receipt(&r, 2, give(&r.c, wall, vec![credit])) };
    r.d.link(&Fake::new(3));
    let payload = signed(&r.c, &e, b"");
    r.hand_payload(3, &e, payload);
    assert_eq!((r.d.counters().credits_taken, r.d.counters().credits_refused), (0, 1));
}
