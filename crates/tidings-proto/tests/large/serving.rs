//! What neighbours get of contents, and what they do not.

use super::*;

#[test]
fn what_is_published_is_served() {
    let (mut d, a, b) = three();
    let c = content(100_000);
    let t = d.command(publish(&c));
    assert_eq!(d.published(t).seq, 1);
    want(&mut d, &b, &c, 0..4);
    want(&mut d, &a, &c, [2]);
    assert_eq!((served(&d, &b), served(&d, &a)), (vec![0, 1, 2, 3], vec![2]));
}

#[test]
fn the_batch_says_which_messages_are_large_and_the_content_does_not_travel_with_it() {
    let (mut d, a, _) = three();
    let c = content(100_000);
    d.hand_in_command(Command::Publish { topic: news(), message: out(b"small") });
    d.hand_in_command(publish(&c));
    d.run();
    let batches = d.batches_to(&a.id);
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].header().large(), [1]);
    assert!(batches[0].bytes().len() < 1_000);
}

#[test]
fn what_is_wanted_before_it_is_here_is_sent_on_as_it_comes() {
    let (mut d, a, b) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    want(&mut d, &b, &c, 0..4);
    assert_eq!(served(&d, &b), []);
    bring_chunk(&mut d, &a, &c, 1);
    assert_eq!(served(&d, &b), [1], "long before the content is complete");
    bring_chunk(&mut d, &a, &c, 0);
    assert_eq!(served(&d, &b), [1, 0]);
}

#[test]
fn what_is_wanted_no_longer_is_not_sent() {
    let (mut d, a, b) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    want(&mut d, &b, &c, [0, 1]);
    let id = c.manifest().id();
    d.say(&b, Unwant { asks: vec![Ask { content: id, chunks: ChunkSet::from_iter([0]) }] });
    bring_chunk(&mut d, &a, &c, 0);
    bring_chunk(&mut d, &a, &c, 1);
    assert_eq!(served(&d, &b), [1]);
}

#[test]
fn what_is_not_here_is_said_not_to_be() {
    let (mut d, _, b) = three();
    want(&mut d, &b, &content(100_000), 0..4);
    assert_eq!((lacked(&d, &b), d.counters().wants_refused), (4, 1));
}

#[test]
fn a_content_is_offered_for_as_long_as_messages_are_cached() {
    let (mut d, _, b) = three();
    let c = content(40_000);
    d.command(publish(&c));
    d.pass(Span::from_secs(299));
    want(&mut d, &b, &c, [0]);
    assert_eq!(served(&d, &b), [0]);
    d.pass(Span::from_secs(3));
    want(&mut d, &b, &c, [1]);
    assert_eq!((served(&d, &b).len(), lacked(&d, &b)), (1, 1));
}

#[test]
fn a_neighbour_that_asks_without_end_is_refused() {
    let (mut d, _, b) = three();
    let c = content(40_000);
    d.command(publish(&c));
    for _ in 0..100 {
        want(&mut d, &b, &c, [0]);
    }
    assert_eq!(served(&d, &b).len(), 4, "twice as often as there are chunks");
    assert_eq!(d.counters().wants_refused, 96);
}

#[test]
fn only_so_much_waits_on_a_lane_and_the_rest_follows() {
    let (mut d, _, b) = three();
    let c = content(WHOLE);
    d.command(publish(&c));
    d.auto_credit = false;
    want(&mut d, &b, &c, 0..32);
    let first = served(&d, &b).len();
    assert!((8..24).contains(&first), "{first}");
    d.auto_credit = true;
    d.input(Input::SendCredit { peer: b.id, lane: Lane::Bulk, bytes: 1 << 20 }).unwrap();
    assert_eq!(served(&d, &b).len(), 32);
}

#[test]
fn a_fast_publisher_of_large_messages_is_told_to_wait_and_small_ones_pass() {
    let (mut d, a, _) = three();
    let size = 8 << 20;
    let contents: Vec<Content> = (0..3).map(|n| Content::of(vec![n; size].into()).unwrap()).collect();
    for c in &contents[..2] {
        let t = d.command(publish(c));
        d.pass_ms(200);
        d.published(t);
    }
    let t = d.command(publish(&contents[2]));
    assert!(matches!(d.reply(t), Some(Reply::Refused(CommandError::QueueFull { .. }))));
    let t = d.publish(b"small");
    d.published(t);
    want(&mut d, &a, &contents[0], 0..contents[0].chunks().len() as u32);
    let t = d.command(publish(&contents[2]));
    d.published(t);
}

#[test]
fn a_small_message_does_not_pass_a_large_one_that_has_to_wait() {
    let (mut d, _, _) = three();
    for n in 0..2 {
        d.command(publish(&Content::of(vec![n; 8 << 20].into()).unwrap()));
        d.pass_ms(200);
    }
    let large = d.hand_in_command(publish(&Content::of(vec![9; 8 << 20].into()).unwrap()));
    let small = d.hand_in_command(Command::Publish { topic: news(), message: out(b"small") });
    d.run();
    for t in [large, small] {
        assert!(matches!(d.reply(t), Some(Reply::Refused(CommandError::QueueFull { .. }))));
    }
}

#[test]
fn contents_nobody_asks_for_do_not_hold_the_publisher_up_for_good() {
    let (mut d, _, _) = three();
    for n in 0..2 {
        d.command(publish(&Content::of(vec![n; 8 << 20].into()).unwrap()));
        d.pass_ms(200);
    }
    d.pass(Span::from_secs(11));
    let t = d.command(publish(&Content::of(vec![9; 8 << 20].into()).unwrap()));
    d.published(t);
}

#[test]
fn the_oldest_contents_make_room() {
    let (mut d, a, b) = three();
    let contents: Vec<Content> = (0..5).map(|n| Content::of(vec![n; MAX_LARGE].into()).unwrap()).collect();
    for (seq, c) in (1..).zip(&contents) {
        d.pass_ms(1);
        d.bring(&a, &manifest(&a, seq, c));
        have(&mut d, &a, c, 0..c.chunks().len() as u32);
        let mut next = 0;
        while let Some(index) = asked_of(&d, &a, c).get(next).copied() {
            bring_chunk(&mut d, &a, c, index);
            next += 1;
        }
    }
    assert_eq!(d.counters().contents_received, 5);
    assert_eq!(d.counters().contents_evicted, 1);
    want(&mut d, &b, &contents[0], [0]);
    want(&mut d, &b, &contents[4], [0]);
    assert_eq!((served(&d, &b).len(), lacked(&d, &b)), (1, 1));
}

/// As [`asked`], of one content.
fn asked_of(d: &Driven, of: &Fake, c: &Content) -> Vec<u32> {
    let wants = d.sent_to(&of.id).into_iter().filter_map(|m| match m {
        Message::Want(m) => Some(m.asks.iter().filter(|a| a.content == c.manifest().id())),
        _ => None,
    });
    wants.flatten().flat_map(|a| a.chunks.iter().collect::<Vec<_>>()).collect()
}
