use super::*;

#[test]
fn follow_each_other_when_the_new_one_names_the_last_place() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 3));
    assert_eq!(take(&mut a, after(at(1, 3), 5, 1)), [(5, 1, false)]);
    assert_eq!(take(&mut a, after(at(1, 3), 5, 2)), [(5, 2, false)]);
}

#[test]
fn follow_each_other_when_the_author_knows_of_none_before() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 3));
    assert_eq!(take(&mut a, batch(5, 1, 1)), [(5, 1, false)]);
}

#[test]
fn follow_each_other_when_the_author_names_less_than_was_seen() {
    let mut a = Author::default();
    take(&mut a, batch(3, 1, 3));
    assert_eq!(take(&mut a, after(at(3, 2), 5, 1)), [(5, 1, false)]);
    assert_eq!(take(&mut a, after(at(2, 9), 7, 1)), [(7, 1, false)]);
}

#[test]
fn wait_for_the_end_of_the_one_before() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 3));
    assert_eq!(take(&mut a, after(at(1, 5), 5, 1)), []);
    assert_eq!(missing(&a), [(1, 4, 5)]);
    assert_eq!(take(&mut a, batch(1, 4, 2)), [(1, 4, false), (5, 1, false)]);
}

#[test]
fn wait_for_their_own_beginning() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 3));
    assert_eq!(take(&mut a, after(at(1, 5), 5, 3)), []);
    assert_eq!(missing(&a), [(1, 4, 5), (5, 1, 2)]);
    assert_eq!(give_up(&mut a), (vec![(1, 4, 5), (5, 1, 2)], vec![(5, 3, false)]));
    assert_eq!(take(&mut a, after(at(1, 5), 5, 1)), [(5, 1, true)]);
}

#[test]
fn wait_for_one_that_was_missed_altogether() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 3));
    assert_eq!(take(&mut a, after(at(4, 2), 9, 1)), []);
    assert_eq!(missing(&a), [(4, 1, 2)]);
    assert_eq!(take(&mut a, after(at(1, 3), 4, 1)), [(4, 1, false)]);
    assert_eq!(take(&mut a, after(at(1, 3), 4, 2)), [(4, 2, false), (9, 1, false)]);
}

#[test]
fn that_are_older_are_late() {
    let mut a = Author::default();
    take(&mut a, batch(5, 1, 1));
    assert_eq!(take(&mut a, batch(3, 8, 1)), [(3, 8, true)]);
    assert_eq!(take(&mut a, batch(5, 2, 1)), [(5, 2, false)]);
}

#[test]
fn have_numbers_of_their_own() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 3));
    take(&mut a, batch(2, 1, 1));
    assert_eq!(a.judge(&header(2, 2, 1, None)), Verdict::New);
    assert_eq!(a.judge(&header(1, 2, 1, None)), Verdict::Seen);
}

#[test]
fn that_are_too_old_to_tell_are_refused() {
    let mut a = Author::default();
    for epoch in 10..10 + EPOCHS as u64 {
        assert_eq!(a.judge(&header(9, 1, 1, None)), Verdict::New);
        take(&mut a, batch(epoch, 1, 1));
    }
    assert_eq!(a.judge(&header(9, 1, 1, None)), Verdict::Forgotten);
    take(&mut a, batch(99, 1, 1));
    assert_eq!(a.judge(&header(10, 1, 1, None)), Verdict::Forgotten, "only so many are kept");
    assert_eq!(a.judge(&header(11, 1, 1, None)), Verdict::Seen);
}
