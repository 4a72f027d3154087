//! Beacons that are not what they should be: nobody comes, goes or changes by them.

use super::*;

const MINUTE: u64 = 60_000;

/// A node whose friend has told it of somebody.
fn with_somebody() -> (Driven, Fake, Fake) {
    let (mut d, friend) = with_a_friend();
    let somebody = Fake::new(50);
    says(&mut d, &friend, &somebody, 5, &beacon("here"));
    (d, friend, somebody)
}

#[test]
fn a_beacon_under_anothers_id() {
    let (mut d, friend, somebody) = with_somebody();
    let mut forged = sealed(&Fake::new(51), &group(), 6, d.now.wall.0, &beacon("forged")).to_vec();
    forged[..32].copy_from_slice(somebody.id.as_bytes());
    push(&mut d, &friend, &forged.into());
    assert_eq!((told(&d), d.counters().records_forged), (vec!["online here".to_owned()], 1));
}

#[test]
fn what_another_sealed_under_ones_own_id() {
    let (mut d, friend, somebody) = with_somebody();
    let (thief, network) = (Fake::new(51), records::key(&network()));
    let stolen = sealed(&somebody, &group(), 6, d.now.wall.0, &beacon("stolen"));
    let claim = signed::peek(&stolen).unwrap();
    let said = signed::Statement { version: 6, issued: claim.issued, life: claim.life, anchor: claim.anchor.unwrap() };
    let bytes = signed::sign(sets::PRESENCE, &network, thief.port(), &said, &signed::content(&stolen));
    push(&mut d, &friend, &bytes);
    assert_eq!((told(&d), d.counters().beacons_sealed), (vec!["online here".to_owned()], 1));
}

#[test]
fn an_old_sequence_number() {
    let (mut d, friend, somebody) = with_somebody();
    says(&mut d, &friend, &somebody, 4, &beacon("before"));
    assert_eq!((told(&d), d.counters().records_old), (vec!["online here".to_owned()], 1));
}

#[test]
fn a_time_to_come() {
    let (mut d, friend, somebody) = with_somebody();
    let at = d.now.wall.0 + 16 * MINUTE;
    push(&mut d, &friend, &sealed(&somebody, &group(), 6, at, &beacon("tomorrow")));
    assert_eq!((told(&d), d.counters().records_out_of_time), (vec!["online here".to_owned()], 1));
}

#[test]
fn a_time_long_past() {
    let (mut d, friend, somebody) = with_somebody();
    let at = d.now.wall.0 - LIFE.as_millis() - 16 * MINUTE;
    push(&mut d, &friend, &sealed(&somebody, &group(), 6, at, &beacon("yesterday")));
    assert_eq!((told(&d), d.counters().records_out_of_time), (vec!["online here".to_owned()], 1));
}

#[test]
fn a_beacon_sealed_with_another_groups_secret_takes_its_owner_out_of_ours() {
    let (mut d, friend, somebody) = with_somebody();
    let elsewhere = GroupSecret::from_bytes([7; 32]).unwrap();
    let bytes = sealed(&somebody, &elsewhere, 6, d.now.wall.0, &beacon("elsewhere"));
    push(&mut d, &friend, &bytes);
    assert_eq!(
        (told(&d), d.counters().beacons_sealed),
        (vec!["online here".to_owned(), "offline Expired".to_owned()], 1)
    );
}

#[test]
fn an_owner_of_zeros() {
    let (mut d, friend, _) = with_somebody();
    let mut zero = sealed(&Fake::new(51), &group(), 6, d.now.wall.0, &beacon("nobody")).to_vec();
    zero[..32].fill(0);
    push(&mut d, &friend, &zero.into());
    assert_eq!((told(&d), d.counters().records_malformed), (vec!["online here".to_owned()], 1));
}

#[test]
fn a_group_secret_of_zeros() {
    assert_eq!(GroupSecret::from_bytes([0; 32]), None);
}
