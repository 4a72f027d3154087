//! Refreshes: who knows the chain's next value is believed, and nobody else.

use super::*;

#[test]
fn the_owners_next_value_keeps_a_record_alive() {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    push(&mut d, &peers[0], &plain(&owner, 1));
    d.pass(Span::from_secs(400));
    refresh(&mut d, &peers[0], &owner, 1, chain(&owner).value(1).unwrap());
    assert_eq!(kept(&d, &owner), Some((1, 1)));
    d.pass(Span::from_secs(590));
    assert_eq!(kept(&d, &owner), Some((1, 1)));
    d.pass(Span::from_secs(20));
    assert_eq!(kept(&d, &owner), None);
}

#[test]
fn refreshes_may_be_missed() {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    push(&mut d, &peers[0], &plain(&owner, 1));
    d.pass(Span::from_secs(500));
    refresh(&mut d, &peers[0], &owner, 3, chain(&owner).value(3).unwrap());
    assert_eq!(kept(&d, &owner), Some((1, 3)));
    refresh(&mut d, &peers[0], &owner, 2, chain(&owner).value(2).unwrap());
    assert_eq!((kept(&d, &owner), d.counters().records_old), (Some((1, 3)), 1));
}

#[test]
fn a_wrong_value_changes_nothing_and_has_the_whole_record_asked_for_once() {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    push(&mut d, &peers[0], &plain(&owner, 1));
    d.did.clear();
    for value in [ChainValue([0; 16]), chain(&owner).value(2).unwrap(), chain(&owner).anchor()] {
        refresh(&mut d, &peers[0], &owner, 1, value);
    }
    assert_eq!(kept(&d, &owner), Some((1, 0)));
    assert_eq!(asked(&d, &peers[0]).len(), 1);
}

#[test]
fn a_refresh_of_something_unknown_has_it_asked_for() {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    refresh(&mut d, &peers[0], &owner, 1, chain(&owner).value(1).unwrap());
    assert_eq!(asked(&d, &peers[0]).last().map(|a| a.keys.clone()), Some(vec![(SET, head(&owner))]));
    let last = Refresh { step: 1, value: chain(&owner).value(1).unwrap() };
    let f = frame(&plain(&owner, 1), 1_000, Some(last));
    d.frame(&peers[0], Lane::Control, f.to_bytes()).unwrap();
    assert_eq!(kept(&d, &owner), Some((1, 1)));
}

#[test]
fn a_whole_record_with_a_wrong_refresh_is_refused() {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    for (step, value) in [(1, ChainValue([3; 16])), (2, chain(&owner).value(1).unwrap()), (0, chain(&owner).anchor())] {
        let f = frame(&plain(&owner, 1), 0, Some(Refresh { step, value }));
        d.frame(&peers[0], Lane::Control, f.to_bytes()).unwrap();
    }
    assert_eq!((kept(&d, &owner), d.counters().records_forged), (None, 3));
}

#[test]
fn values_far_ahead_of_their_time_are_refused() {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    push(&mut d, &peers[0], &plain(&owner, 1));
    refresh(&mut d, &peers[0], &owner, 60, chain(&owner).value(60).unwrap());
    assert_eq!((kept(&d, &owner), d.counters().records_out_of_time), (Some((1, 0)), 1));
}

#[test]
fn a_refresh_goes_on_as_one() {
    let (mut d, peers) = among(2);
    let owner = Fake::new(50);
    push(&mut d, &peers[1], &plain(&owner, 1));
    d.did.clear();
    refresh(&mut d, &peers[1], &owner, 1, chain(&owner).value(1).unwrap());
    d.pass_ms(200);
    assert_eq!(sent(&d, &peers[0]), (0, 1));
}
