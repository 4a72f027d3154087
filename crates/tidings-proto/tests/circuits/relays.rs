//! Relays that die, and relays that do what they want.

use super::*;

#[test]
fn a_relay_that_dies_is_gone_around_and_nothing_is_lost() {
    for first in [B, D] {
        let mut m = mesh(4);
        m.subscribe(&[A, C]);
        m.publish(A, "0");
        m.pass(500);
        m.kill(first);
        for n in 1..20 {
            m.publish(A, &n.to_string());
            m.pass(200);
        }
        m.pass(10_000);
        assert_eq!(m.got(C), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn without_relays_it_ends_and_with_another_it_is_back() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    m.kill(B);
    m.kill(D);
    m.pass(30_000);
    assert_eq!((m.circuits(A), m.circuits(C)), (0, 0));
    m.publish(A, "while there was none");
    m.comes_back(B, D);
    m.pass(60_000);
    m.publish(A, "again");
    m.pass(5_000);
    assert_eq!(m.got(C), ["while there was none", "again"]);
}

/// Holds back envelopes that a test picks, until so many others have gone by.
fn delaying(m: &mut Mesh, others: usize, mut picks: impl FnMut(&Envelope) -> bool + 'static) {
    let (mut held, mut n) = (std::collections::VecDeque::new(), 0);
    m.fate = Some(Box::new(move |p| {
        n += 1;
        let mut out = Vec::new();
        while held.front().is_some_and(|(at, _)| *at <= n) {
            out.extend(held.pop_front().map(|(_, p)| p));
        }
        let late = matches!(&p.message, Message::Envelope(e) if [B, D].contains(&p.from) && picks(e));
        if late {
            held.push_back((n + others, p))
        } else {
            out.push(p)
        }
        out
    }));
}

#[test]
fn pieces_may_overtake_the_answer_to_who_opens() {
    for others in [3, 5, 8, 12, 20] {
        let mut m = mesh(4);
        let mut answered = std::collections::BTreeSet::new();
        delaying(&mut m, others, move |e| e.kind == 1 && answered.insert(e.from));
        m.subscribe(&[A, C]);
        for n in 0..20 {
            m.publish(C, &n.to_string());
            m.publish(A, &n.to_string());
            m.pass(300);
        }
        m.pass(4_000);
        let all: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert_eq!((m.got(A), m.got(C)), (all.clone(), all), "{others}");
        // Both may have opened one at the same time.
        let opened = [A, C].map(|n| m.nodes[n].counters().circuits_opened);
        assert!(m.circuits(A) == 1 && opened.iter().all(|n| *n == 1), "{others}: {opened:?}");
    }
}

#[test]
fn the_last_words_come_though_the_end_overtakes_them() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    let (from, mut n) = (m.id(A), 0);
    // The first piece from then on comes last.
    delaying(&mut m, 24, move |e| {
        n += u32::from(e.kind == 0 && e.from == from);
        n == 1 && e.kind == 0 && e.from == from
    });
    m.publish(A, "before the end");
    m.nodes[A].command(Command::Leave);
    m.pass(1_500);
    assert_eq!((m.got(C), m.circuits(C)), (vec!["before the end".into()], 0));
}

#[test]
fn the_last_words_go_though_others_are_still_on_their_way() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    // What says that pieces came does not come itself any more.
    let to = m.id(A);
    m.fate = Some(Box::new(move |p| match &p.message {
        Message::Envelope(e) if e.kind == 1 && e.to == to => vec![],
        _ => vec![p],
    }));
    for n in 0..6 {
        m.publish(A, &n.to_string());
        m.pass(50);
    }
    m.nodes[A].command(Command::Leave);
    m.pass(1_500);
    assert_eq!(m.got(C), (0..6).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn while_there_is_no_way_pieces_wait_and_the_circuit_stands() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    for relay in [B, D] {
        m.barred.push((A, relay));
        m.part(A, relay);
    }
    for n in 0..4 {
        m.publish(A, &n.to_string());
        m.pass(300);
    }
    m.barred.retain(|pair| pair.0 != A || ![B, D].contains(&pair.1));
    for relay in [B, D] {
        m.link(A, relay);
    }
    m.pass(6_000);
    assert_eq!(m.got(C), (0..4).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(m.nodes[A].counters().circuits_opened, 1, "it stood");
}

/// What a relay does with each piece's passage, by a number.
fn misbehaving(mut does: impl FnMut(u64, Passing) -> Vec<Passing> + 'static) {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    let mut n = 0;
    m.fate = Some(Box::new(move |p| match &p.message {
        Message::Envelope(e) if [B, D].contains(&p.from) && e.kind == 0 => {
            n += 1;
            does(n, p)
        }
        _ => vec![p],
    }));
    let texts: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    for text in &texts {
        m.publish(A, text);
        m.pass(150);
    }
    m.pass(15_000);
    assert_eq!(m.got(C), texts);
    assert_eq!((m.circuits(A), m.nodes[C].counters().circuit_pieces_refused), (1, 0));
}

#[test]
fn what_relays_drop_comes_all_the_same() {
    misbehaving(|n, p| if n % 5 == 0 { vec![] } else { vec![p] });
}

#[test]
fn what_relays_repeat_comes_once() {
    misbehaving(|_, p| vec![p.clone(), p]);
}

#[test]
fn what_relays_exchange_comes_in_order() {
    let mut held = None;
    misbehaving(move |n, p| match n % 3 {
        1 => {
            held = Some(p);
            vec![]
        }
        2 => [Some(p), held.take()].into_iter().flatten().collect(),
        _ => vec![p],
    });
}

#[test]
fn what_relays_alter_comes_another_time() {
    misbehaving(|n, mut p| {
        if n % 7 == 0 {
            let mut bytes = p.payload.to_vec();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            p.payload = bytes.into();
        }
        vec![p]
    });
}
