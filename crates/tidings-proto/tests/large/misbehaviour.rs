//! Neighbours that lie, keep silent, or send what nobody asked for.

use super::*;

#[test]
fn wrong_bytes_are_counted_and_their_sender_is_never_asked_again() {
    let (mut d, a, b) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    have(&mut d, &b, &c, 0..4);
    let wrong = Bytes::from(vec![0xee; c.chunks()[0].len()]);
    d.frame(&a, Lane::Bulk, chunk_frame(&c, 0, wrong)).unwrap();
    assert_eq!(d.counters().chunks_forged, 1);
    let mut all = asked(&d, &b);
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    // What it sends of the rest is true, or it is dropped; but nothing more is asked of it.
    d.pass(Span::from_secs(20));
    assert_eq!(asked(&d, &a).len(), 4);
}

#[test]
fn a_chunk_cut_short_is_a_wrong_one() {
    let (mut d, a, _) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    d.frame(&a, Lane::Bulk, chunk_frame(&c, 0, c.chunks()[0].slice(1..))).unwrap();
    assert_eq!((d.counters().chunks_forged, d.counters().chunks_received), (1, 0));
}

#[test]
fn who_sends_nothing_is_left_for_another() {
    let (mut d, a, b) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    have(&mut d, &b, &c, 0..4);
    d.pass_ms(900);
    assert_eq!(asked(&d, &b), [], "it has its time");
    d.pass_ms(600);
    assert_eq!(asked(&d, &b).len(), 4);
    assert_eq!(d.counters().chunks_timed_out, 4);
    let taken_back = d.sent_to(&a.id).iter().any(|m| matches!(m, Message::Unwant(_)));
    assert!(taken_back, "and need not send them any more");
}

#[test]
fn who_claims_what_it_lacks_is_asked_for_nothing_more_of_it() {
    let (mut d, a, b) = three();
    let c = content(20 * 32 * 1024);
    d.bring(&a, &manifest(&a, 1, &c));
    have(&mut d, &b, &c, 0..20);
    let claimed = asked(&d, &b);
    let id = c.manifest().id();
    d.say(&b, Lack { asks: vec![Ask { content: id, chunks: ChunkSet::from_iter([claimed[0]]) }] });
    assert_eq!(d.counters().chunks_lacked, 1);
    have(&mut d, &b, &c, 0..20);
    assert_eq!(asked(&d, &b), claimed);
    have(&mut d, &a, &c, 0..20);
    assert!(asked(&d, &a).len() >= 16, "another is asked: {:?}", asked(&d, &a));
}

#[test]
fn a_chunk_nobody_asked_for_is_dropped_unread() {
    let (mut d, a, b) = three();
    let c = content(100_000);
    bring_chunk(&mut d, &a, &c, 0);
    d.bring(&a, &manifest(&a, 1, &c));
    bring_chunk(&mut d, &b, &c, 0);
    assert_eq!((d.counters().chunks_unexpected, d.counters().chunks_received), (2, 0));
    // And no more of those that were than were asked for.
    for _ in 0..6 {
        bring_chunk(&mut d, &a, &c, 1);
    }
    assert_eq!((d.counters().chunks_duplicate, d.counters().chunks_unexpected), (3, 4));
}

#[test]
fn chunks_past_the_end_are_refused_whoever_claims_or_sends_or_wants_them() {
    let (mut d, a, b) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    have(&mut d, &b, &c, [4]);
    assert_eq!(d.counters().frames_unexpected, 1);
    d.frame(&a, Lane::Bulk, chunk_frame(&c, u32::MAX, Bytes::from_static(b"x"))).unwrap();
    assert_eq!(d.counters().chunks_forged, 1);
    want(&mut d, &b, &c, [999]);
    assert_eq!((d.counters().wants_refused, lacked(&d, &b)), (1, 1));
}

#[test]
fn a_late_chunk_is_taken_and_not_asked_for_elsewhere_any_longer() {
    let (mut d, a, b) = three();
    let c = content(40_000);
    d.bring(&a, &manifest(&a, 1, &c));
    have(&mut d, &b, &c, 0..2);
    d.pass_ms(3_000);
    assert_eq!(asked(&d, &b).len(), 2);
    bring_chunk(&mut d, &a, &c, 0);
    bring_chunk(&mut d, &a, &c, 1);
    assert!(whole(&d, c.manifest().id()).is_some());
    let back: usize = d.sent_to(&b.id).iter().filter(|m| matches!(m, Message::Unwant(_))).count();
    assert_eq!(back, 2);
}

#[test]
fn a_chunk_on_another_lane_is_refused() {
    let (mut d, a, _) = three();
    let c = content(40_000);
    let frame = chunk_frame(&c, 0, c.chunks()[0].clone());
    assert!(d.frame(&a, Lane::Data, frame).is_err());
    assert_eq!(d.counters().frames_wrong_lane, 1);
}

#[test]
fn words_of_strangers_are_refused() {
    let (mut d, a, _) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    bring_chunk(&mut d, &a, &c, 0);
    let stranger = Fake::new(9);
    d.link(&stranger);
    want(&mut d, &stranger, &c, [0]);
    have(&mut d, &stranger, &c, 0..4);
    assert_eq!(d.counters().frames_unexpected, 2);
    assert_eq!(served(&d, &stranger), []);
}

#[test]
fn contents_that_nobody_has_hold_no_other_up() {
    let (mut d, a, b) = three();
    for seq in 1..200 {
        let c = Content::of(vec![seq as u8; 600_000].into()).unwrap();
        d.bring(&a, &manifest(&a, seq, &c));
    }
    let c = content(100_000);
    d.bring(&b, &manifest(&b, 1, &c));
    assert_eq!(asked(&d, &b), [0, 1, 2, 3]);
}

#[test]
fn neighbours_on_another_topic_are_refused() {
    let (mut d, a, _) = three();
    let other = TopicId::from_name("other").unwrap();
    d.command(Command::Subscribe { topic: other });
    let outsider = Fake::new(9);
    d.link(&outsider);
    d.befriend(&outsider, Overlay::Topic(other));
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    bring_chunk(&mut d, &a, &c, 0);
    want(&mut d, &outsider, &c, [0]);
    have(&mut d, &outsider, &c, 0..4);
    assert_eq!((served(&d, &outsider), lacked(&d, &outsider)), (vec![], 1));
    assert_eq!((d.counters().wants_refused, d.counters().frames_unexpected), (1, 1));
}
