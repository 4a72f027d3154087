//! What is not what it says.

use super::*;

/// Flips one bit of what the first sent last, and delivers it instead.
fn tampered(tag: u8, at: impl Fn(usize) -> usize) -> Pair {
    let mut p = Pair::new();
    p.open = false;
    p.send(0, b"to be changed");
    p.pass(50);
    let frames: Vec<Passing> = p.passed.iter().filter(|f| f.by_first).take(2).cloned().collect();
    for mut f in frames {
        if f.message.tag() == tag {
            let mut payload = f.payload.to_vec();
            let at = at(payload.len());
            payload[at] ^= 1;
            f.payload = payload.into();
        }
        p.deliver(&f);
    }
    p.carry();
    p
}

#[test]
fn a_frame_that_was_changed_is_refused() {
    for at in [0, 5, 20] {
        let p = tampered(109, |len| if at == 20 { len - 1 } else { at });
        assert_eq!((p.texts(1).len(), p.ends[1].counters().envelopes_forged), (0, 1));
    }
}

#[test]
fn an_opening_that_was_changed_is_refused() {
    // In the box, in the signature, in the certificate.
    for at in [3, 1_168 + 5] {
        let p = tampered(108, |_| at);
        assert_eq!((p.texts(1).len(), p.ends[1].counters().sessions_refused), (0, 1), "{at}");
    }
}

#[test]
fn a_receipt_that_was_changed_or_is_of_nothing_counts_for_nothing() {
    let mut p = Pair::new();
    p.send(0, b"1");
    let real = p.passed.iter().rfind(|f| f.message.tag() == 110).unwrap().clone();
    p.open = false;
    let t = p.send(0, b"2");
    let Message::Receipt(m) = real.message.clone() else { panic!() };
    for forged in [Receipt { next: 3, ..m.clone() }, Receipt { next: 99, ..m.clone() }, Receipt { session: 1, ..m }] {
        p.deliver(&Passing { message: forged.into(), ..real.clone() });
    }
    assert_eq!(p.ends[0].reply(t), None);
    assert_eq!(p.ends[0].counters().receipts_refused, 3);
}

#[test]
fn a_frame_out_of_turn_or_twice_ends_the_session_and_loses_nothing() {
    let mut p = Pair::new();
    p.send(0, b"1");
    let first = p.passed.iter().find(|f| f.message.tag() == 109).unwrap().clone();
    p.deliver(&first);
    p.carry();
    let t = p.send(0, b"2");
    p.pass(6_000);
    assert!(p.is_delivered(0, t));
    assert_eq!(p.texts(1), ["1", "2"]);
}

#[test]
fn a_flood_of_openings_is_cut_off() {
    let mut p = Pair::new();
    p.send(0, b"1");
    let open = p.passed.iter().find(|f| f.message.tag() == 108).unwrap().clone();
    for _ in 0..100 {
        p.deliver(&open);
    }
    let c = p.ends[1].counters();
    assert!(c.sessions_refused <= 16 && c.sessions_limited >= 84, "{} {}", c.sessions_refused, c.sessions_limited);
}

#[test]
fn a_number_that_was_changed_on_the_way_is_refused() {
    for first in [0, u64::MAX, u64::MAX - 1] {
        let mut p = Pair::new();
        p.open = false;
        p.send(0, b"1");
        let frames: Vec<Passing> = p.passed.iter().filter(|f| f.by_first).cloned().collect();
        for f in frames {
            match f.message.clone() {
                Message::Envelopes(m) => p.deliver(&Passing { message: Envelopes { first, ..m }.into(), ..f }),
                _ => p.deliver(&f),
            }
        }
        p.carry();
        assert_eq!((p.texts(1).len(), p.ends[1].counters().envelopes_forged), (0, 1), "{first}");
    }
}

#[test]
fn who_names_another_certificate_is_not_believed() {
    let mut p = Pair::new();
    let mut open = {
        p.open = false;
        p.send(0, b"1");
        p.passed[0].clone()
    };
    let Message::OpenSession(mut m) = open.message.clone() else { panic!() };
    m.certificate = CertificateRef([9; 16]);
    open.message = m.into();
    p.deliver(&open);
    p.open = true;
    assert_eq!((p.texts(1).len(), p.ends[1].counters().sessions_refused), (0, 1));
}
