//! Two sets, and what passes between them.

use super::*;
use crate::anti_entropy::Sketches;
use crate::time::UnixMillis;

fn id(n: u64) -> ShortId {
    ShortId(*blake3::hash(&n.to_le_bytes()).as_bytes().first_chunk().unwrap())
}

fn ids(range: std::ops::Range<u64>) -> Vec<ShortId> {
    range.map(id).collect()
}

fn decode(theirs: &mut Sketches, whole: &[ShortId], ours: Vec<ShortId>) -> (Decoding, Difference, usize) {
    let wall = UnixMillis(5);
    let first = theirs.whole(wall, None, (0, 48), || whole.to_vec()).unwrap();
    let mut d = Decoding::new(first.key, first.items, ours);
    let mut sent = first.symbols.len();
    let mut done = d.take(&first.symbols).unwrap();
    while done.is_none() {
        let next = theirs.whole(wall, Some(first.as_of), (d.taken(), d.next()), Vec::new).unwrap();
        sent += next.symbols.len();
        done = d.take(&next.symbols).unwrap();
    }
    (d, done.unwrap(), sent)
}

#[test]
fn a_difference_is_found_from_both_sides() {
    let mut theirs = Sketches::new([1; 32]);
    let whole = ids(0..1_000);
    let (d, found, _) = decode(&mut theirs, &whole, ids(20..1_030));
    let mut missing: Vec<ShortId> = found.theirs.iter().filter_map(|i| theirs.id(d.key(), *i)).collect();
    missing.sort();
    let mut expected = ids(0..20);
    expected.sort();
    assert_eq!(missing, expected);
    assert_eq!(found.ours.len(), 30);
    assert!(found.ours.iter().all(|i| d.id(*i).is_some()));
}

#[test]
fn what_is_asked_for_at_a_time_hardly_exceeds_what_is_needed() {
    for differ in [100, 1_000, 5_000] {
        let (mut asked, mut needed) = (0.0, 0.0);
        for secret in 0..8 {
            let mut theirs = Sketches::new([secret; 32]);
            let whole = ids(0..20_000);
            let (d, found, sent) = decode(&mut theirs, &whole, ids(differ..20_000));
            assert_eq!(found.theirs.len() as u64, differ);
            (asked, needed) = (asked + sent as f64, needed + d.used() as f64);
        }
        assert!(asked <= needed * 1.1 + 48.0 * 8.0, "{asked} sent for {needed} used");
    }
}

#[test]
fn a_set_that_changes_meanwhile_is_sent_as_it_was() {
    let mut theirs = Sketches::new([3; 32]);
    let wall = UnixMillis(5);
    let first = theirs.whole(wall, None, (0, 48), || ids(0..5_000)).unwrap();
    let mut d = Decoding::new(first.key, first.items, ids(400..5_000));
    let mut done = d.take(&first.symbols).unwrap();
    let mut n = 10_000;
    while done.is_none() {
        for _ in 0..50 {
            theirs.add(&id(n));
            theirs.remove(&id(n - 5_100));
            n += 1;
        }
        let next = theirs.whole(wall, Some(first.as_of), (d.taken(), d.next()), Vec::new).unwrap();
        assert_eq!(next.items, 5_000);
        done = d.take(&next.symbols).unwrap();
    }
    assert_eq!(done.unwrap().theirs.len(), 400);
}

#[test]
fn a_state_too_long_ago_has_to_be_asked_for_again() {
    let mut theirs = Sketches::new([4; 32]);
    let wall = UnixMillis(5);
    let first = theirs.whole(wall, None, (0, 48), || ids(0..10)).unwrap();
    for n in 10..6_000 {
        theirs.add(&id(n));
    }
    assert!(theirs.whole(wall, Some(first.as_of), (48, 48), Vec::new).is_none());
}

#[test]
fn keys_differ_between_nodes_and_hours() {
    let key =
        |secret: u8, wall| Sketches::new([secret; 32]).whole(UnixMillis(wall), None, (0, 1), Vec::new).unwrap().key;
    assert_ne!(key(1, 0), key(2, 0));
    assert_ne!(key(1, 0), key(1, 3_600_000));
    assert_eq!(key(1, 0), key(1, 3_599_999));
}

#[test]
fn symbols_of_another_set_under_the_same_key_are_given_up() {
    let mut theirs = Sketches::new([5; 32]);
    let wall = UnixMillis(5);
    let first = theirs.whole(wall, None, (0, 48), || ids(0..300)).unwrap();
    let mut d = Decoding::new(first.key, first.items, Vec::new());
    let mut end = d.take(&first.symbols);
    while matches!(end, Ok(None)) {
        // Always the same ones, whatever was asked for.
        let n = d.next().min(48);
        end = d.take(&first.symbols[..n]);
    }
    assert!(matches!(end, Err(RibltError::TooMany(_) | RibltError::Lied)), "{end:?}");
}

#[test]
fn few_authors_or_a_large_difference_are_said_and_small_ones_looked_for() {
    let digest = |count| Digest { sum: count, count };
    let mut many = Streams::default();
    for n in 0..500 {
        many.add(crate::anti_entropy::StreamTag { author: n, epoch: 1 }, 1, 9);
    }
    assert_eq!(way(&Streams::default(), digest(0), 1, digest(9), false), Way::Streams);
    assert_eq!(way(&many, digest(4_500), 500, digest(4_501), false), Way::Symbols);
    assert_eq!(way(&many, digest(4_500), 500, digest(9_000), false), Way::Streams);
    assert_eq!(way(&many, digest(4_500), 500, digest(4_501), true), Way::Streams);
    assert_eq!(way(&many, digest(4_500), 5_000, digest(4_501), true), Way::Neither);
}
