use super::*;

#[test]
fn of_batches_that_wait() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 1));
    for i in 0..WAITING as u64 {
        take(&mut a, batch(1, 3 + i, 1));
        assert!(!a.overflows(), "{i}");
    }
    take(&mut a, batch(1, 3 + WAITING as u64, 1));
    assert!(a.overflows());
    let (missed, got) = give_up(&mut a);
    assert_eq!((missed, got.len()), (vec![(1, 2, 2)], WAITING + 1));
    assert!(!a.overflows());
}

#[test]
fn of_bytes_that_wait() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 1));
    let full = |seq| sealed(header(1, seq, 1, None), 32 * 1024);
    let mut seq = 3;
    while !a.overflows() {
        take(&mut a, full(seq));
        seq += 1;
    }
    let waited = (seq - 3) as usize * full(3).bytes().len();
    assert!(waited > WAITING_BYTES && waited - full(3).bytes().len() <= WAITING_BYTES);
    give_up(&mut a);
    assert!(!a.overflows());
    assert_eq!(a.waiting_bytes, 0);
}

#[test]
fn of_numbers_at_the_end() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 1));
    let last = u64::MAX - 1;
    assert_eq!(take(&mut a, batch(1, last, 1)), []);
    assert_eq!(missing(&a), [(1, 2, last - 1)]);
    give_up(&mut a);
    assert_eq!(take(&mut a, after(at(1, u64::MAX), u64::MAX, 1)), []);
    assert_eq!(missing(&a), [(1, u64::MAX, u64::MAX)]);
    assert_eq!(give_up(&mut a).1, [(u64::MAX, 1, false)]);
}

#[test]
fn of_holes_where_many_authors_have_some() {
    for (wide, verdict) in [(true, Verdict::New), (false, Verdict::Seen)] {
        let mut a = Author::default();
        for n in 0..=FEW as u64 {
            let came = Arrived { wide, ..arrived(1, Came::Listening(LISTENING)) };
            a.accept(batch(1, 2 * n + 1, 1), came, &mut Vec::new());
        }
        assert_eq!(a.judge(batch(1, 2, 1).header()), verdict, "wide: {wide}");
        assert_eq!(a.is_wide(), wide);
        assert_eq!(a.judge(batch(1, 4, 1).header()), Verdict::New);
    }
}
