//! What is no record, not its owner's, or too much.

use super::*;

#[test]
fn a_record_that_its_owner_did_not_sign() {
    let (mut d, peers) = among(1);
    let (owner, liar) = (Fake::new(50), Fake::new(51));
    let mut bytes = plain(&liar, 1).to_vec();
    bytes[..32].copy_from_slice(&owner.id.0);
    push(&mut d, &peers[0], &bytes.into());
    let mut changed = plain(&owner, 1).to_vec();
    changed[70] ^= 1;
    push(&mut d, &peers[0], &changed.into());
    assert_eq!((kept(&d, &owner), d.counters().records_forged), (None, 2));
}

#[test]
fn a_record_of_another_network() {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    let bytes = signed::sign(SET, &[1; 32], owner.port(), &said(&owner, 1), b"content");
    push(&mut d, &peers[0], &bytes);
    assert_eq!((kept(&d, &owner), d.counters().records_forged), (None, 1));
}

#[test]
fn a_record_of_a_key_that_anybody_can_sign_for() {
    let (mut d, peers) = among(1);
    for weak in
        [[0; 32], std::array::from_fn(|i| u8::from(i == 0)), std::array::from_fn(|i| if i < 31 { 255 } else { 127 })]
    {
        let mut bytes = plain(&Fake::new(50), 1).to_vec();
        bytes[..32].copy_from_slice(&weak);
        // With its sign either way; the last is no low-order point and only a forgery.
        push(&mut d, &peers[0], &bytes.clone().into());
        bytes[31] ^= 0x80;
        push(&mut d, &peers[0], &bytes.into());
    }
    assert_eq!((d.counters().records_malformed, d.counters().records_forged), (4, 2));
}

#[test]
fn bytes_that_are_none_or_too_long_or_of_no_set() {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    push(&mut d, &peers[0], &Bytes::from_static(b"short"));
    let long = signed::sign(SET, &records::key(&network()), owner.port(), &said(&owner, 1), &[0; 400]);
    push(&mut d, &peers[0], &long);
    let full = FullRecord { set: SetId(99), len: 5, age: 0, refresh: None };
    let m = Message::from(Records { full: vec![full], fresh: vec![] }).frame_with(Bytes::from_static(b"bytes"));
    d.frame(&peers[0], Lane::Control, m.to_bytes()).unwrap();
    assert_eq!(d.counters().records_malformed, 3);
}

#[test]
fn a_length_past_the_payload_and_bytes_behind() {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    let bytes = plain(&owner, 1);
    let full = FullRecord { set: SET, len: bytes.len() as u16 + 1, age: 0, refresh: None };
    let m = Message::from(Records { full: vec![full], fresh: vec![] }).frame_with(bytes.clone());
    d.frame(&peers[0], Lane::Control, m.to_bytes()).unwrap();
    assert_eq!((kept(&d, &owner), d.counters().records_malformed), (None, 1));
    let m = Message::from(Records::default()).frame_with(bytes);
    d.frame(&peers[0], Lane::Control, m.to_bytes()).unwrap();
    assert_eq!(d.counters().records_malformed, 2);
}

#[test]
fn more_versions_of_a_key_than_anybody_needs() {
    let (mut d, peers) = among(2);
    let owner = Fake::new(50);
    for version in 1..=100 {
        push(&mut d, &peers[0], &plain(&owner, version));
    }
    let (stands, _) = kept(&d, &owner).unwrap();
    assert!(stands < 20, "{stands} versions at once");
    assert_eq!(d.counters().records_limited, 100 - stands);
    d.pass_ms(10_000);
    push(&mut d, &peers[0], &plain(&owner, 101));
    assert_eq!(kept(&d, &owner), Some((101, 0)), "who has waited is heard again");
}

#[test]
fn more_keys_from_one_neighbour_than_a_network_makes() {
    let (mut d, peers) = among(2);
    for n in 0..3_000u32 {
        let mut secret = [7; 32];
        secret[..4].copy_from_slice(&n.to_le_bytes());
        let owner = Fake::of(secret);
        push(&mut d, &peers[0], &plain(&owner, 1));
    }
    let many = d.node.records().len(SET);
    assert!((1_900..2_100).contains(&many), "{many}");
    let owner = Fake::new(50);
    push(&mut d, &peers[1], &plain(&owner, 1));
    assert_eq!(kept(&d, &owner), Some((1, 0)), "another neighbour's are taken");
}

#[test]
fn what_is_asked_for_beyond_measure() {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    push(&mut d, &peers[0], &plain(&owner, 1));
    for _ in 0..40 {
        let keys = vec![(SET, head(&owner)); MAX_NAMED];
        d.say(&peers[0], RecordsWanted { ids: vec![], keys, eager: false });
    }
    let (full, _) = sent(&d, &peers[0]);
    assert!((1..=2_100).contains(&full), "{full} records for one neighbour at once");
    assert!(d.counters().records_limited > 70_000);
}
