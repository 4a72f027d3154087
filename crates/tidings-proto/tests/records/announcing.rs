//! Announcements and waves.

use super::*;

/// How a record is announced, learned from a node that announces it.
fn id_of(bytes: &Bytes) -> u32 {
    let (mut d, peers) = among(2);
    push(&mut d, &peers[0], bytes);
    d.pass_ms(5_000);
    let told = d.sent_to(&peers[1].id).into_iter().find_map(|m| match m {
        Message::RecordsHeld(m) => m.ids.last().copied(),
        _ => None,
    });
    told.expect("not announced")
}

#[test]
fn what_is_announced_and_does_not_come_is_asked_for_and_the_link_is_eager_then() {
    let (mut d, peers) = among(2);
    let owner = Fake::new(50);
    let id = id_of(&plain(&owner, 1));
    d.say(&peers[1], RecordsHeld { ids: vec![id] });
    d.pass_ms(100);
    assert_eq!(asked(&d, &peers[1]), [], "it may be on its way");
    d.pass_ms(300);
    assert_eq!(asked(&d, &peers[1]), [RecordsWanted { ids: vec![id], keys: vec![], eager: true }]);
}

#[test]
fn what_comes_meanwhile_is_not_asked_for() {
    let (mut d, peers) = among(2);
    let bytes = plain(&Fake::new(50), 1);
    d.say(&peers[1], RecordsHeld { ids: vec![id_of(&bytes)] });
    push(&mut d, &peers[0], &bytes);
    d.pass_ms(3_000);
    assert_eq!(asked(&d, &peers[1]), []);
}

#[test]
fn an_announcer_that_has_nothing_is_asked_a_few_times_and_no_more() {
    let (mut d, peers) = among(2);
    d.say(&peers[1], RecordsHeld { ids: vec![1, 2, 3] });
    d.pass_ms(20_000);
    assert_eq!(asked(&d, &peers[1]).iter().filter(|a| !a.ids.is_empty()).count(), 3);
}

#[test]
fn endless_announcements_are_forgotten() {
    let (mut d, peers) = among(1);
    for n in 0..100u32 {
        d.say(&peers[0], RecordsHeld { ids: (n * 2_000..n * 2_000 + 2_000).collect() });
    }
    assert!(d.counters().records_shed > 190_000);
}

#[test]
fn who_asks_gets_it() {
    let (mut d, peers) = among(2);
    let bytes = plain(&Fake::new(50), 1);
    push(&mut d, &peers[0], &bytes);
    d.say(&peers[1], RecordsWanted { ids: vec![id_of(&bytes)], keys: vec![], eager: true });
    assert_eq!(sent(&d, &peers[1]).0, 1);
}

#[test]
fn a_wave_goes_on_once_and_its_bringer_is_told_that_it_is_the_parent() {
    let (mut d, peers) = among(3);
    d.say(&peers[1], RecordsWave { id: 7 });
    d.say(&peers[2], RecordsWave { id: 7 });
    let waves = |p: &Fake| d.sent_to(&p.id).iter().filter(|m| matches!(m, Message::RecordsWave(_))).count();
    assert_eq!((waves(&peers[0]), waves(&peers[1]), waves(&peers[2])), (1, 0, 1));
    assert_eq!(asked(&d, &peers[1]), [RecordsWanted { eager: true, ..RecordsWanted::default() }]);
}

#[test]
fn after_a_wave_links_to_neither_parent_nor_child_leave_the_tree() {
    let (mut d, peers) = among(4);
    for p in &peers {
        d.say(p, RecordsWanted { eager: true, ..RecordsWanted::default() });
    }
    d.say(&peers[0], RecordsWave { id: 7 });
    for p in &peers[1..3] {
        d.say(p, RecordsWave { id: 7 });
    }
    // This one got it from us first.
    d.say(&peers[3], RecordsWanted { eager: true, ..RecordsWanted::default() });
    d.say(&peers[3], RecordsWave { id: 7 });
    d.pass_ms(1_000);
    let left = |p: &Fake| d.sent_to(&p.id).iter().any(|m| matches!(m, Message::RecordsLazy(_)));
    assert_eq!(peers.iter().map(left).collect::<Vec<_>>(), [false, true, true, false]);
}

#[test]
fn of_two_waves_at_once_the_lower_goes_on_and_waves_too_soon_do_not() {
    let (mut d, peers) = among(3);
    d.say(&peers[0], RecordsWave { id: 7 });
    d.say(&peers[1], RecordsWave { id: 8 });
    d.say(&peers[1], RecordsWave { id: 6 });
    let waves = |d: &Driven| {
        let of = |m: &&Message| if let Message::RecordsWave(w) = m { Some(w.id) } else { None };
        d.sent_to(&peers[2].id).iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(waves(&d), [7, 6]);
    d.pass_ms(2_000);
    d.say(&peers[0], RecordsWave { id: 1 });
    assert_eq!(waves(&d), [7, 6]);
    d.pass_ms(10_000);
    d.say(&peers[0], RecordsWave { id: 9 });
    assert_eq!(waves(&d).last(), Some(&9));
}

#[test]
fn who_loses_its_parent_takes_another_and_begins_a_wave() {
    let (mut d, peers) = among(3);
    d.say(&peers[1], RecordsWave { id: 7 });
    d.pass_ms(15_000);
    d.did.clear();
    d.input(Input::LinkDown { peer: peers[1].id, reason: LinkRefusal::Silent }).unwrap();
    let eager = |p: &Fake| asked(&d, p).iter().any(|a| a.eager);
    assert!(eager(&peers[0]) || eager(&peers[2]));
    d.pass_ms(5_000);
    assert!(d.sent_to(&peers[0].id).iter().any(|m| matches!(m, Message::RecordsWave(_))));
}
