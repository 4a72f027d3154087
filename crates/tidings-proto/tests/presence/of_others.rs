//! What a node makes of what others say.

use super::*;

#[test]
fn who_comes_changes_and_says_goodbye() {
    let (mut d, friend) = with_a_friend();
    let other = Fake::new(50);
    says(&mut d, &friend, &other, 1, &beacon("here"));
    says(&mut d, &friend, &other, 2, &beacon("busy"));
    says(&mut d, &friend, &other, 3, &beacon("busy"));
    says(&mut d, &friend, &other, 4, &Beacon { leaving: true, ..Beacon::default() });
    says(&mut d, &friend, &other, 5, &beacon("back"));
    assert_eq!(told(&d), ["online here", "changed busy", "offline Goodbye", "online back"]);
}

#[test]
fn the_list_says_how_fresh_and_how_learned() {
    let (mut d, friend) = with_a_friend();
    let other = Fake::new(50);
    says(&mut d, &friend, &other, 1, &beacon("here"));
    says(&mut d, &friend, &friend, 1, &beacon("near"));
    d.pass_ms(5_000);
    let all = d.node.presence();
    let of = |f: &Fake| all.iter().find(|p| p.node == f.id).unwrap();
    assert_eq!(
        (of(&other).learned, of(&friend).learned, all[0].learned),
        (Learned::Relayed, Learned::Direct, Learned::Own)
    );
    assert_eq!((of(&other).via, of(&other).seen_ms, of(&other).online_ms), (Some(friend.id), 5_000, 5_000));
    assert_eq!(of(&other).expires_in_ms, 895_000);
    assert_eq!(of(&other).addrs, [addr(7)]);
}

#[test]
fn who_falls_silent_is_gone_when_its_word_is_over() {
    let (mut d, friend) = with_a_friend();
    let other = Fake::new(50);
    says(&mut d, &friend, &other, 1, &beacon("here"));
    d.pass(Span::from_secs(899));
    assert_eq!(told(&d), ["online here"]);
    d.pass(Span::from_secs(2));
    assert_eq!(told(&d), ["online here", "offline Expired"]);
    assert!(d.node.presence().iter().all(|p| p.node != other.id));
}

#[test]
fn a_neighbour_that_dies_is_gone_at_once_and_back_when_it_is_heard_again() {
    let (mut d, friend) = with_a_friend();
    let other = Fake::new(2);
    d.link(&other);
    d.befriend(&other, Overlay::Root);
    says(&mut d, &other, &other, 1, &beacon("here"));
    d.mute.insert(other.id);
    d.pass_ms(10_000);
    assert_eq!(told(&d), ["online here", "offline Died"]);
    assert!(d.node.records().get(sets::PRESENCE, &RecordKey::from(other.id)).is_some(), "others may think otherwise");
    let value = chain(&other).value(1).unwrap();
    let key = u64::from_be_bytes(*other.id.0.first_chunk().unwrap());
    let fresh = FreshRecord { set: sets::PRESENCE, key, age: 0, refresh: Refresh { step: 1, value } };
    d.say(&friend, Records { full: vec![], fresh: vec![fresh] });
    assert_eq!(told(&d), ["online here", "offline Died", "online here"]);
}

#[test]
fn what_others_say_of_a_death_takes_nobody_offline() {
    let (mut d, friend) = with_a_friend();
    let other = Fake::new(50);
    says(&mut d, &friend, &other, 1, &beacon("here"));
    for _ in 0..100 {
        d.say(&friend, Suspect { peer: other.id, incarnation: 1 });
        d.pass_ms(200);
    }
    assert_eq!(told(&d), ["online here"]);
}

#[test]
fn a_beacon_of_another_group_says_nothing() {
    let (mut d, friend) = with_a_friend();
    let other = Fake::new(50);
    let elsewhere = GroupSecret::of(&Network::from_name("elsewhere").unwrap());
    let bytes = sealed(&other, &elsewhere, 1, d.now.wall.0, &beacon("here"));
    push(&mut d, &friend, &bytes);
    assert_eq!((told(&d).len(), d.counters().beacons_sealed), (0, 1));
    let mut broken = sealed(&other, &group(), 2, d.now.wall.0, &beacon("here")).to_vec();
    let at = broken.len() - 70;
    broken[at] ^= 1;
    push(&mut d, &friend, &broken.into());
    assert_eq!((told(&d).len(), d.counters().records_forged), (0, 1));
}

#[test]
fn a_replayed_beacon_brings_nobody_back() {
    let (mut d, friend) = with_a_friend();
    let other = Fake::new(50);
    let old = sealed(&other, &group(), 1, d.now.wall.0, &beacon("here"));
    push(&mut d, &friend, &old);
    says(&mut d, &friend, &other, 2, &Beacon { leaving: true, ..Beacon::default() });
    push(&mut d, &friend, &old);
    d.pass(LIFE + Span::from_secs(5));
    push(&mut d, &friend, &old);
    assert_eq!(told(&d), ["online here", "offline Goodbye"]);
}

#[test]
fn a_status_of_several_lines_is_no_beacon() {
    let (mut d, friend) = with_a_friend();
    let other = Fake::new(50);
    says(&mut d, &friend, &other, 1, &beacon("two\nlines"));
    assert_eq!((told(&d).len(), d.counters().beacons_sealed), (0, 1));
}
