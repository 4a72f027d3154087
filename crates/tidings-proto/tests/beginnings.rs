//! Where an author's stream begins for a node: at what it was there for, never at history, and never after long.

mod common;

use common::*;
use tidings_proto::io::*;
use tidings_proto::pubsub::{Batch, BatchHeader};
use tidings_proto::time::Span;
use tidings_proto::wire::*;

/// A node that has been on the topic for `secs`, a neighbour, and an author it has not heard yet.
fn listening(secs: u64) -> (Driven, Fake, Fake) {
    let mut d = Driven::on_topic();
    let friend = Fake::new(1);
    d.neighbor(&friend);
    d.pass(Span::from_secs(secs));
    d.did.clear();
    (d, friend, Fake::new(9))
}

/// A batch signed now, so long after the one before it, by a clock `ahead` of ours.
fn apart_ahead(d: &Driven, author: &Fake, seq: u64, apart: u64, ahead: i64) -> Batch {
    let wall_ms = d.now.wall.0.saturating_add_signed(ahead);
    let payload = seq.to_string();
    let apart_ms = (seq > 1).then_some(apart);
    let header = BatchHeader { wall_ms, apart_ms, ..author.header(seq, &[payload.as_bytes()]) };
    author.seal(header, &[payload.as_bytes()])
}

fn apart(d: &Driven, author: &Fake, seq: u64, apart: u64) -> Batch {
    apart_ahead(d, author, seq, apart, 0)
}

fn fetched(d: &Driven, from: &Fake) -> Vec<(u64, u64)> {
    let fetches = d.sent_to(&from.id).into_iter().filter_map(|m| match m {
        Message::Fetch(f) => Some(f.ranges.iter().map(|r| (r.from, r.to)).collect::<Vec<_>>()),
        _ => None,
    });
    fetches.flatten().collect()
}

fn late(d: &Driven) -> usize {
    d.delivered().iter().filter(|x| x.late()).count()
}

#[test]
fn a_second_batch_that_overtakes_the_first_waits_for_it() {
    let (mut d, friend, author) = listening(10);
    let (one, two) = (apart(&d, &author, 1, 0), apart(&d, &author, 2, 20));
    d.bring(&friend, &two);
    assert_eq!(d.delivered().len(), 0);
    d.bring(&friend, &one);
    assert_eq!((d.payloads(), late(&d)), (vec!["1".into(), "2".into()], 0));
}

#[test]
fn whatever_the_authors_clock_says() {
    for ahead in [-600_000, 600_000] {
        let (mut d, friend, author) = listening(10);
        let (one, two) = (apart_ahead(&d, &author, 1, 0, ahead), apart_ahead(&d, &author, 2, 20, ahead));
        d.bring(&friend, &two);
        assert_eq!(d.delivered().len(), 0, "{ahead}");
        d.bring(&friend, &one);
        assert_eq!((d.delivered().len(), late(&d)), (2, 0), "{ahead}");
        let other = Fake::new(8);
        let history = apart_ahead(&d, &other, 50, 30_000, ahead);
        d.bring(&friend, &history);
        assert_eq!(d.delivered().len(), 3, "what was before we came is waited for, {ahead}");
    }
}

#[test]
fn what_came_before_we_did_is_not_waited_for() {
    let (mut d, friend, author) = listening(10);
    let b = apart(&d, &author, 50, 10_500);
    d.bring(&friend, &b);
    assert_eq!(d.payloads(), ["50"]);
    assert_eq!(fetched(&d, &friend), []);
}

#[test]
fn what_came_while_we_had_no_neighbour_is_waited_for() {
    let mut d = Driven::on_topic();
    d.pass(Span::from_secs(300));
    let (friend, author) = (Fake::new(1), Fake::new(9));
    d.neighbor(&friend);
    let (history, missed) = (apart(&d, &author, 50, 301_000), apart(&d, &Fake::new(8), 50, 299_000));
    d.bring(&friend, &history);
    assert_eq!(d.delivered().len(), 1, "it was published before we came");
    d.bring(&friend, &missed);
    assert_eq!(d.delivered().len(), 1, "logs are compared");
}

#[test]
fn an_author_that_does_not_say_is_not_waited_for() {
    let (mut d, friend, author) = listening(10);
    d.bring(&friend, &author.batch(7, b"x"));
    assert_eq!(d.payloads(), ["x"]);
}

#[test]
fn what_is_missing_is_asked_for_one_batch_after_the_other() {
    let (mut d, friend, author) = listening(10);
    let [two, three, four] = [2, 3, 4].map(|n| apart(&d, &author, n, 20));
    d.bring(&friend, &four);
    assert_eq!(fetched(&d, &friend), [], "it may only be late");
    d.pass_ms(600);
    assert_eq!(fetched(&d, &friend), [(3, 3)]);
    d.bring(&friend, &three);
    d.pass_ms(0);
    assert_eq!(fetched(&d, &friend), [(3, 3), (2, 2)]);
    d.bring(&friend, &two);
    d.pass_ms(0);
    assert_eq!(fetched(&d, &friend), [(3, 3), (2, 2), (1, 1)]);
}

#[test]
fn what_never_comes_is_waited_for_three_seconds() {
    let (mut d, friend, author) = listening(10);
    let [one, three] = [1, 3].map(|n| apart(&d, &author, n, 20));
    d.bring(&friend, &three);
    d.pass_ms(2_900);
    assert_eq!(d.delivered().len(), 0);
    d.pass_ms(200);
    assert_eq!((d.payloads(), d.gaps()), (vec!["3".into()], vec![]));
    d.bring(&friend, &one);
    assert_eq!((late(&d), d.counters().delivered_late), (1, 1));
}

#[test]
fn a_hole_behind_the_beginning_is_a_gap_like_any_other() {
    let (mut d, friend, author) = listening(10);
    let [one, four] = [1, 4].map(|n| apart(&d, &author, n, 20));
    d.bring(&friend, &four);
    d.bring(&friend, &one);
    assert_eq!(d.payloads(), ["1"]);
    d.pass_ms(9_000);
    assert_eq!((d.delivered().len(), d.gaps()), (1, vec![]));
    d.pass_ms(2_000);
    assert_eq!((d.delivered().len(), d.gaps()), (2, vec![(1, 2, 3)]));
}

#[test]
fn batches_say_how_far_apart_they_were_signed() {
    let mut d = Driven::on_topic();
    let friend = Fake::new(1);
    d.neighbor(&friend);
    d.publish(b"1");
    d.pass_ms(1_500);
    d.publish(b"2");
    d.command(Command::Unsubscribe { topic: news() });
    d.pass_ms(2_000);
    d.command(Command::Subscribe { topic: news() });
    d.befriend(&friend, Overlay::Topic(news()));
    d.publish(b"3");
    let apart: Vec<Option<u64>> = d.batches_to(&friend.id).iter().map(|b| b.header().apart_ms).collect();
    assert_eq!(apart, [None, Some(1_500), Some(2_000)]);
}
