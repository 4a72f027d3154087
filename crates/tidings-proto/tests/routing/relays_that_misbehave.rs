//! Relays that drop, alter, repeat, exchange and delay what they are given.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

#[test]
fn one_that_is_not_in_use_and_drops_what_it_is_given_is_found_out_by_spot_checks() {
    let mut m = Mesh::new();
    m.send(A, C, b"0");
    m.pass(1_000);
    let used = m.first_relay(A);
    let bad = if used == B { D } else { B };
    m.fate = Some(Box::new(move |p| if carried(&p, bad) { vec![] } else { vec![p] }));
    m.envelopes.clear();
    let mut sent = 1;
    while m.nodes[A].counters().relays_failed == 0 && sent < 20 {
        m.pass(100_000);
        m.send(A, C, format!("{sent}").as_bytes());
        m.pass(2_000);
        sent += 1;
    }
    assert!(m.nodes[A].counters().spot_checks > 0 && m.nodes[A].counters().relays_failed > 0);
    // What it cost was said to nobody: all messages are there, and nothing else was shown.
    m.pass(20_000);
    assert_eq!(m.texts(C), (0..sent).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(m.nodes[C].counters().envelopes_unknown, 0);
}

#[test]
fn a_spot_check_follows_what_was_said_at_a_time_nobody_knows_and_none_follows_a_check() {
    let mut m = Mesh::new();
    let mut after = Vec::new();
    for _ in 0..6 {
        let before = m.nodes[A].counters().spot_checks;
        m.send(A, C, b"hello");
        let said = m.nodes[A].now.mono;
        while m.nodes[A].counters().spot_checks == before {
            m.pass(500);
            assert!(m.nodes[A].now.mono.since(said).as_millis() < 100_000, "none");
        }
        after.push(m.nodes[A].now.mono.since(said).as_millis() / 5_000);
        m.pass(200_000);
        assert_eq!(m.nodes[A].counters().spot_checks, before + 1);
    }
    after.sort_unstable();
    after.dedup();
    assert!(after.len() >= 3, "{after:?}");
    assert_eq!(m.texts(C).len(), 6);
}

/// A mesh whose sender has sent one message, and the relay through which the next will go: they take turns.
fn under_way() -> (Mesh, usize) {
    let mut m = Mesh::new();
    m.send(A, C, b"0");
    m.pass(500);
    assert_eq!(m.texts(C), ["0"]);
    let next = if m.first_relay(A) == B { D } else { B };
    (m, next)
}

#[test]
fn what_a_relay_drops_goes_another_way_and_it_is_blamed() {
    let (mut m, bad) = under_way();
    m.fate = Some(Box::new(move |p| if carried(&p, bad) { vec![] } else { vec![p] }));
    let t = m.send(A, C, b"1");
    m.pass(3_000);
    let good = if bad == B { D } else { B };
    assert_eq!(m.delivered(A, t).unwrap().via, [m.id(good)]);
    assert_eq!(m.texts(C), ["0", "1"]);
    assert_eq!(m.nodes[A].counters().relays_failed, 1);
}

#[test]
fn a_relay_that_does_not_even_answer_is_left() {
    let (mut m, bad) = under_way();
    m.fate = Some(Box::new(move |p| {
        let of_routing = matches!(p.message, Message::Envelope(_) | Message::RelayAck(_));
        if of_routing && (p.from == bad || p.to == bad) { vec![] } else { vec![p] }
    }));
    let t = m.send(A, C, b"1");
    m.pass(1_000);
    assert!(m.delivered(A, t).is_some());
    assert_eq!(m.nodes[A].counters().relays_failed, 1);
}

#[test]
fn what_a_relay_alters_is_refused_and_goes_another_way() {
    let (mut m, bad) = under_way();
    m.fate = Some(Box::new(move |mut p| {
        if carried(&p, bad) {
            let mut payload = p.payload.to_vec();
            payload[9] ^= 1;
            p.payload = payload.into();
        }
        vec![p]
    }));
    let t = m.send(A, C, b"1");
    m.pass(3_000);
    assert!(m.delivered(A, t).is_some());
    assert_eq!(m.texts(C), ["0", "1"]);
    assert_eq!(m.nodes[C].counters().envelopes_refused_forged, 1);
}

#[test]
fn a_relay_cannot_give_an_envelope_another_head() {
    let heads: [fn(&mut Envelope, NodeId); 4] =
        [|m, other| m.from = other, |m, _| m.messages = 9, |m, _| m.at_ms += 1, |m, _| m.kind = 1];
    for change in heads {
        let (mut m, bad) = under_way();
        let other = m.id(if bad == B { D } else { B });
        m.fate = Some(Box::new(move |mut p| {
            if carried(&p, bad)
                && let Message::Envelope(e) = &mut p.message
            {
                change(e, other);
            }
            vec![p]
        }));
        let t = m.send(A, C, b"1");
        m.pass(3_000);
        assert!(m.delivered(A, t).is_some());
        assert_eq!(m.nodes[C].counters().envelopes_refused_forged, 1);
    }
}

#[test]
fn what_a_relay_repeats_comes_once() {
    let (mut m, _) = under_way();
    m.fate = Some(Box::new(|p| if [B, D].contains(&p.from) { vec![p.clone(), p] } else { vec![p] }));
    for n in 1..=5 {
        m.send(A, C, format!("{n}").as_bytes());
        m.pass(200);
    }
    assert_eq!(m.texts(C), ["0", "1", "2", "3", "4", "5"]);
    assert!(m.nodes[C].counters().envelopes_repeated >= 5);
    assert_eq!(m.nodes[A].counters().sessions_opened, 1);
    assert_eq!(m.nodes[A].counters().relays_credited, 6, "each is credited once");
}

#[test]
fn what_a_relay_exchanges_comes_in_order() {
    let (mut m, bad) = under_way();
    let kept: Rc<RefCell<Option<Passing>>> = Rc::default();
    m.fate = Some(Box::new(move |p| {
        if !carried(&p, bad) {
            return vec![p];
        }
        let before = kept.borrow_mut().take();
        match before {
            Some(first) => vec![p, first],
            None => {
                *kept.borrow_mut() = Some(p);
                vec![]
            }
        }
    }));
    for n in 1..=4 {
        m.send(A, C, format!("{n}").as_bytes());
    }
    m.pass(3_000);
    assert_eq!(m.texts(C), ["0", "1", "2", "3", "4"]);
    assert_eq!(m.nodes[A].counters().sessions_opened, 1);
}

#[test]
fn what_a_relay_delays_comes_once_and_old_frames_are_played_back_to_nobody() {
    let (mut m, bad) = under_way();
    let kept: Rc<RefCell<Vec<Passing>>> = Rc::default();
    let keeps = kept.clone();
    m.fate = Some(Box::new(move |p| {
        if carried(&p, bad) {
            keeps.borrow_mut().push(p);
            return vec![];
        }
        vec![p]
    }));
    let t = m.send(A, C, b"1");
    m.pass(5_000);
    assert!(m.delivered(A, t).is_some(), "by another way");
    m.fate = None;
    let late: Vec<Passing> = kept.borrow().clone();
    assert!(!late.is_empty());
    for p in late.iter().chain(&late) {
        m.deliver(p);
    }
    m.pass(1_000);
    assert_eq!(m.texts(C), ["0", "1"]);
    let t = m.send(A, C, b"2");
    m.pass(1_000);
    assert!(m.delivered(A, t).is_some());
}

#[test]
fn a_receipt_that_a_relay_alters_or_takes_for_itself_counts_for_nothing() {
    let changes: [fn(&mut Envelope, NodeId); 3] = [
        |m, _| m.credits.as_mut().unwrap().list[0].messages = 99,
        |m, me| m.credits.as_mut().unwrap().list[0].relays = vec![me],
        |m, _| m.credits.as_mut().unwrap().signature[3] ^= 1,
    ];
    for change in changes {
        let (mut m, bad) = under_way();
        let me = m.id(if bad == B { D } else { B });
        m.fate = Some(Box::new(move |mut p| {
            if p.from == bad
                && let Message::Envelope(e) = &mut p.message
                && e.credits.is_some()
            {
                change(e, me);
            }
            vec![p]
        }));
        let before = m.nodes[A].counters().relays_credited;
        let t = m.send(A, C, b"1");
        m.pass(50);
        assert_eq!((m.delivered(A, t), m.nodes[A].counters().relays_credited), (None, before));
        assert_eq!(m.nodes[A].counters().envelopes_refused_forged, 1);
        m.pass(3_000);
        assert!(m.delivered(A, t).is_some());
    }
}
