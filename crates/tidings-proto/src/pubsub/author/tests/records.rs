use super::*;

fn restored(a: &Author) -> Author {
    let mut bytes = Vec::new();
    minicbor::encode(a.record(1), &mut bytes).unwrap();
    Author::restore(Record::parse(&bytes).unwrap(), Time(5))
}

#[test]
fn keep_what_was_delivered() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 3));
    take(&mut a, batch(2, 1, 2));
    let mut b = restored(&a);
    assert_eq!(b.judge(&header(1, 2, 2, None)), Verdict::Seen);
    assert_eq!(b.judge(&header(2, 1, 2, None)), Verdict::Seen);
    assert_eq!(take(&mut b, batch(2, 3, 1)), [(2, 3, false)]);
}

#[test]
fn leave_out_what_only_waits() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 1));
    take(&mut a, batch(1, 3, 2));
    take(&mut a, batch(2, 4, 1));
    let mut b = restored(&a);
    assert_eq!(b.judge(&header(1, 3, 2, None)), Verdict::New, "it was never delivered");
    assert_eq!(b.judge(&header(2, 4, 1, None)), Verdict::New);
    assert_eq!(b.judge(&header(1, 1, 1, None)), Verdict::Seen);
    assert_eq!(take(&mut b, batch(1, 2, 1)), [(1, 2, false)]);
}

#[test]
fn keep_a_reported_gap_open_for_what_comes_late() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 1));
    take(&mut a, batch(1, 3, 1));
    give_up(&mut a);
    let mut b = restored(&a);
    assert_eq!(take(&mut b, batch(1, 2, 1)), [(1, 2, true)]);
}

#[test]
fn keep_refusing_epochs_too_old_to_tell_whatever_waits() {
    let mut a = Author::default();
    for epoch in 1..=EPOCHS as u64 {
        take(&mut a, batch(epoch, 1, 1));
    }
    assert_eq!(take(&mut a, after(at(EPOCHS as u64, 9), 99, 1)), []);
    assert_eq!(a.judge(&header(1, 1, 1, None)), Verdict::Forgotten);
    let b = restored(&a);
    assert_eq!(b.judge(&header(1, 1, 1, None)), Verdict::Forgotten, "it would be delivered again");
    assert_eq!(b.judge(&header(99, 1, 1, None)), Verdict::New);
}

#[test]
fn tell_a_gap_from_before_the_start() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 1));
    let accept =
        |a: &mut Author, seq| a.accept(batch(1, seq, 1), arrived(1, Came::Listening(LISTENING)), &mut Vec::new());
    assert!(accept(&mut restored(&a), 3), "missed while the process was down");
    let mut b = restored(&a);
    assert!(!accept(&mut b, 2));
    assert!(!accept(&mut b, 4), "missed since");
    let mut b = restored(&a);
    accept(&mut b, 3);
    assert!(!accept(&mut b, 5), "told once");
}

#[test]
fn without_their_place_begin_a_new_baseline_and_repeat_nothing() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 3));
    let mut b = Author::restore(a.record(1).without_place(), Time(5));
    assert_eq!(b.judge(&header(1, 2, 1, None)), Verdict::Seen);
    assert_eq!(take(&mut b, batch(1, 50, 1)), [(1, 50, false)]);
}

#[test]
fn that_are_damaged_are_refused() {
    let encode = |r: &Record| {
        let mut out = Vec::new();
        minicbor::encode(r, &mut out).unwrap();
        out
    };
    let one = |from, to| {
        let mut i = Intervals::default();
        i.insert(from, to, FEW);
        i
    };
    let good = Record { heard_ms: 1, next: Some(at(2, 3)), epochs: vec![(1, one(1, 2)), (2, one(1, 2))], start: None };
    assert_eq!(Record::parse(&encode(&good)), Some(good.clone()));
    for len in 0..encode(&good).len() {
        assert_eq!(Record::parse(&encode(&good)[..len]), None, "cut at {len}");
    }
    let twice = Record { epochs: vec![(2, one(1, 2)), (2, one(1, 2))], ..good.clone() };
    assert_eq!(Record::parse(&encode(&twice)), None);
    let many = Record { epochs: (0..=EPOCHS as u64).map(|e| (e, one(1, 2))).collect(), ..good };
    assert_eq!(Record::parse(&encode(&many)), None);
}
