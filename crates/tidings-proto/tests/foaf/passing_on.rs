//! Queries of others that this node cannot answer.

use super::*;

#[test]
fn a_walk_goes_on_to_three_others_with_a_hop_less() {
    let mut d = among(6);
    d.say(&Fake::new(1), seek_nobody(9));
    let on = passed_on(&d);
    assert_eq!(on.len(), 3);
    assert!(on.iter().all(|(to, m)| *to != Fake::new(1).id && m.ttl == 2 && m.stem == 0), "{on:?}");
}

#[test]
fn each_is_asked_under_another_id() {
    let mut d = among(6);
    d.say(&Fake::new(1), seek_nobody(9));
    let mut ids: Vec<u64> = passed_on(&d).iter().map(|(_, m)| m.id).collect();
    ids.push(1_000);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn the_last_hop_asks_nobody() {
    let mut d = among(6);
    d.say(&Fake::new(1), Seek { ttl: 1, ..seek_nobody(9) });
    assert_eq!(passed_on(&d), []);
    assert_eq!(answers(&d), [(Fake::new(1).id, 1_000, None)]);
}

#[test]
fn a_stem_goes_on_to_one() {
    let mut d = among(6);
    d.say(&Fake::new(1), Seek { stem: 2, ..seek_nobody(9) });
    let on = passed_on(&d);
    assert_eq!(on.len(), 1);
    assert_eq!((on[0].1.stem, on[0].1.ttl), (1, 3));
}

#[test]
fn a_stem_is_never_longer_than_three() {
    let mut d = among(6);
    d.say(&Fake::new(1), Seek { stem: 255, ..seek_nobody(9) });
    assert_eq!(passed_on(&d)[0].1.stem, 2);
}

#[test]
fn a_query_that_comes_again_is_not_passed_on_again() {
    let mut d = among(6);
    d.say(&Fake::new(1), seek_nobody(9));
    d.did.clear();
    d.say(&Fake::new(2), Seek { id: 5, ttl: 255, stem: 3, ..seek_nobody(9) });
    assert_eq!(passed_on(&d), []);
    assert_eq!(answers(&d), [(Fake::new(2).id, 5, None)]);
}

#[test]
fn a_query_that_comes_again_later_is_still_known() {
    let mut d = among(6);
    d.say(&Fake::new(1), seek_nobody(9));
    d.pass_ms(25_000);
    d.did.clear();
    d.say(&Fake::new(2), seek_nobody(9));
    assert_eq!(passed_on(&d), []);
}

#[test]
fn a_flood_of_queries_is_limited() {
    let mut d = among(6);
    for n in 0..200 {
        d.say(&Fake::new(1), seek_nobody(n));
    }
    assert_eq!(passed_on(&d).len(), 64 * 3);
    assert_eq!(d.counters().seeks_limited, 200 - 64);
    d.did.clear();
    d.say(&Fake::new(2), seek_nobody(201));
    assert_eq!(passed_on(&d).len(), 3, "the others' queries suffer");
}

#[test]
fn nothing_is_kept_of_old_queries() {
    let mut d = among(6);
    for round in 0..30 {
        for n in 0..64 {
            let m = Seek { key: [round; 32], ..seek_nobody(n) };
            d.say(&Fake::new(1 + round % 6), m);
        }
        d.pass_ms(10_000);
    }
    // The room is there, whatever came before.
    d.pass_ms(60_000);
    d.did.clear();
    d.say(&Fake::new(2), seek_nobody(201));
    assert_eq!(passed_on(&d).len(), 3);
}

#[test]
fn only_neighbours_may_ask() {
    let mut d = among(6);
    let stranger = Fake::new(50);
    d.link(&stranger);
    let before = d.counters().frames_unexpected;
    d.say(&stranger, seek_nobody(9));
    assert_eq!(passed_on(&d), []);
    assert_eq!(d.counters().frames_unexpected, before + 1);
}

#[test]
fn a_suspected_neighbour_is_not_asked() {
    let mut d = among(4);
    d.mute.extend([2, 3].map(|n| Fake::new(n).id));
    d.pass_ms(4_000);
    d.did.clear();
    d.say(&Fake::new(1), seek_nobody(9));
    assert_eq!(passed_on(&d).iter().map(|(to, _)| *to).collect::<Vec<_>>(), [Fake::new(4).id]);
}
