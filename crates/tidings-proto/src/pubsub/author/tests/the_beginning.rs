use super::*;

const MS: u64 = 1_700_000_000_000;

#[test]
fn waits_for_what_was_signed_since_we_listen() {
    let mut a = Author::default();
    assert_eq!(take(&mut a, signed_at(3, MS, Some(5))), []);
    assert_eq!(missing(&a), [(1, 2, 2)]);
    assert_eq!(take(&mut a, signed_at(2, MS - 5, Some(5))), []);
    assert_eq!(missing(&a), [(1, 1, 1)]);
    assert_eq!(take(&mut a, signed_at(1, MS - 10, None)), [(1, 1, false), (1, 2, false), (1, 3, false)]);
    assert_eq!(take(&mut a, signed_at(4, MS, Some(0))), [(1, 4, false)]);
}

#[test]
fn does_not_wait_for_history() {
    let mut a = Author::default();
    let listening = LISTENING.as_millis();
    assert_eq!(take(&mut a, signed_at(3, MS, Some(listening + 1))), [(1, 3, false)]);
    let mut a = Author::default();
    assert_eq!(take(&mut a, signed_at(3, MS, Some(listening))), []);
    assert_eq!(take(&mut a, signed_at(2, MS - listening, Some(1))), [(1, 2, false), (1, 3, false)]);
}

#[test]
fn given_up_names_no_gap() {
    let mut a = Author::default();
    take(&mut a, signed_at(3, MS, Some(5)));
    take(&mut a, signed_at(5, MS, Some(5)));
    assert_eq!(give_up(&mut a), (vec![], vec![(1, 3, false)]));
    assert_eq!(missing(&a), [(1, 4, 4)], "what is missing between two batches is a gap like any other");
    assert_eq!(take(&mut a, signed_at(2, MS - 5, Some(5))), [(1, 2, true)]);
}

#[test]
fn does_not_wait_for_what_was_delivered_before_the_topic_was_left() {
    let mut a = Author::default();
    take(&mut a, signed_at(1, MS, None));
    let mut b = Author::restore(a.record(1).without_place(), Time(5));
    assert_eq!(take(&mut b, signed_at(2, MS, Some(0))), [(1, 2, false)]);
}

#[test]
fn is_not_stored_while_it_waits() {
    let mut a = Author::default();
    take(&mut a, signed_at(3, MS, Some(5)));
    let mut b = Author::restore(a.record(1), Time(5));
    assert_eq!(take(&mut b, signed_at(1, MS, None)), [(1, 1, false)]);
    assert_eq!(b.judge(&header(1, 3, 1, None)), Verdict::New);
}
