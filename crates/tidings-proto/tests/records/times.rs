//! Times: a receiver counts by its own clock, whatever the clocks of others say, and whatever neighbours say of an age.

use super::*;

const MINUTE: u64 = 60_000;

fn at(owner: &Fake, wall: u64) -> Bytes {
    record(owner, &signed::Statement { issued: UnixMillis(wall), ..said(owner, 1) })
}

/// For how long the owner's record is kept yet, if it is.
fn seconds_left(mut d: Driven, owner: &Fake) -> Option<u64> {
    kept(&d, owner)?;
    let began = d.now.mono;
    while kept(&d, owner).is_some() {
        d.pass_ms(1_000);
    }
    Some(d.now.mono.since(began).as_millis() / 1_000)
}

/// How long a record is kept that was issued at `wall` and is said to be so old.
fn lives(wall: u64, age_ms: u64) -> Option<u64> {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    d.frame(&peers[0], Lane::Control, frame(&at(&owner, wall), age_ms, None).to_bytes()).unwrap();
    seconds_left(d, &owner)
}

#[test]
fn what_is_said_to_be_old_lives_for_the_rest() {
    assert_eq!(lives(WALL, 0), Some(600));
    assert_eq!(lives(WALL - 4 * MINUTE, 4 * MINUTE), Some(360));
}

#[test]
fn clocks_ten_minutes_apart_make_no_difference_to_what_comes_at_once() {
    assert_eq!(lives(WALL + 10 * MINUTE, 0), Some(600));
    assert_eq!(lives(WALL - 10 * MINUTE, 0), Some(600));
}

#[test]
fn nor_to_what_is_older_when_the_clock_is_ahead_or_behind() {
    assert_eq!(lives(WALL + 6 * MINUTE, 4 * MINUTE), Some(360));
    assert_eq!(lives(WALL - 14 * MINUTE, 4 * MINUTE), Some(360));
}

#[test]
fn who_says_that_something_is_older_than_it_is_takes_nobody_offline() {
    assert_eq!(lives(WALL, 599_000), Some(600));
}

/// How long a record is kept that was issued 400 s ago, for 600 s, and whose first refresh is said to be so old.
fn refreshed_lives(age_ms: u64) -> Option<u64> {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    let refresh = Refresh { step: 1, value: chain(&owner).value(1).unwrap() };
    let bytes = at(&owner, WALL - 400_000);
    d.frame(&peers[0], Lane::Control, frame(&bytes, age_ms, Some(refresh)).to_bytes()).unwrap();
    seconds_left(d, &owner)
}

#[test]
fn a_refresh_that_came_early_ends_for_those_who_learn_it_late_when_it_does_for_all() {
    assert_eq!(refreshed_lives(200_000), Some(400), "said 200 s after the record, a hundred before it was due");
}

#[test]
fn who_says_that_a_refresh_is_older_than_it_is_takes_nobody_offline_before_the_next() {
    assert_eq!(refreshed_lives(599_000), Some(350), "the next is due in 200 s");
}

#[test]
fn far_future_long_past_and_endless_records_are_refused() {
    assert_eq!(lives(WALL + 16 * MINUTE, 0), None);
    assert_eq!(lives(WALL - 26 * MINUTE, 0), None);
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    push(&mut d, &peers[0], &record(&owner, &signed::Statement { life: Span::from_secs(90_000), ..said(&owner, 1) }));
    push(&mut d, &peers[0], &record(&owner, &signed::Statement { life: Span::ZERO, ..said(&owner, 1) }));
    assert_eq!((kept(&d, &owner), d.counters().records_malformed), (None, 2));
    d.frame(&peers[0], Lane::Control, frame(&plain(&owner, 1), 600_000, None).to_bytes()).unwrap();
    assert_eq!((kept(&d, &owner), d.counters().records_out_of_time), (None, 1));
}

#[test]
fn what_is_over_does_not_come_back() {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    push(&mut d, &peers[0], &plain(&owner, 1));
    d.pass(Span::from_secs(601));
    assert_eq!(kept(&d, &owner), None);
    push(&mut d, &peers[0], &plain(&owner, 1));
    assert_eq!((kept(&d, &owner), d.counters().records_old), (None, 1));
    let now = record(&owner, &signed::Statement { issued: d.now.wall, ..said(&owner, 2) });
    push(&mut d, &peers[0], &now);
    assert_eq!(kept(&d, &owner), Some((2, 0)));
}
