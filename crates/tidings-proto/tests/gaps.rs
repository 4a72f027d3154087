//! What is missing of an author: how it is asked for, how long it is waited for, and what the program is told.

mod common;

use std::time::Duration;

use common::*;
use tidings_proto::config::GossipConfig;
use tidings_proto::io::*;
use tidings_proto::time::Span;
use tidings_proto::wire::*;

fn scene(gap_wait: Duration) -> (Driven, Fake, Fake) {
    let mut d = Driven::with(GossipConfig { gap_wait, ..GossipConfig::default() });
    d.command(Command::Subscribe { topic: news() });
    let friend = Fake::new(1);
    d.neighbor(&friend);
    (d, friend, Fake::new(9))
}

fn fetched(d: &Driven, from: &Fake) -> Vec<(u64, u64)> {
    d.sent_to(&from.id)
        .iter()
        .filter_map(|m| match m {
            Message::Fetch(f) => Some(f.ranges.iter().map(|r| (r.from, r.to)).collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect()
}

#[test]
fn a_missing_range_is_asked_of_a_neighbour_and_delivery_goes_on_when_it_comes() {
    let (mut d, friend, author) = scene(Duration::from_secs(10));
    d.bring(&friend, &author.batch(1, b"1"));
    d.bring(&friend, &author.batch(4, b"4"));
    d.pass_ms(3_000);
    assert_eq!(fetched(&d, &friend).first(), Some(&(2, 3)));
    d.bring(&friend, &author.batch(3, b"3"));
    assert_eq!(d.payloads(), ["1"]);
    d.bring(&friend, &author.batch(2, b"2"));
    assert_eq!(d.payloads(), ["1", "2", "3", "4"]);
    d.pass_ms(60_000);
    assert_eq!(d.gaps(), []);
}

#[test]
fn a_gap_is_reported_when_it_was_waited_for_and_not_before() {
    let (mut d, friend, author) = scene(Duration::from_secs(10));
    d.bring(&friend, &author.batch(1, b"1"));
    d.bring(&friend, &author.batch(4, b"4"));
    d.pass_ms(9_990);
    assert_eq!((d.gaps(), d.payloads().len()), (vec![], 1));
    d.pass_ms(20);
    assert_eq!((d.gaps(), d.payloads().len()), (vec![(1, 2, 3)], 2));
    assert_eq!((d.counters().gaps, d.counters().messages_missed), (1, 2));
}

#[test]
fn what_comes_after_its_gap_was_reported_is_delivered_as_late() {
    let (mut d, friend, author) = scene(Duration::from_secs(1));
    d.bring(&friend, &author.batch(1, b"1"));
    d.bring(&friend, &author.batch(3, b"3"));
    d.pass_ms(1_100);
    d.bring(&friend, &author.batch(2, b"2"));
    let late: Vec<bool> = d.delivered().iter().map(|x| x.late()).collect();
    assert_eq!(late, [false, false, true]);
}

#[test]
fn without_a_wait_a_gap_is_reported_at_once() {
    let (mut d, friend, author) = scene(Duration::ZERO);
    d.bring(&friend, &author.batch(1, b"1"));
    d.bring(&friend, &author.batch(3, b"3"));
    d.pass_ms(10);
    assert_eq!(d.gaps(), [(1, 2, 2)]);
    assert_eq!(d.payloads(), ["1", "3"]);
}

#[test]
fn the_wait_for_a_second_gap_begins_when_the_first_is_repaired() {
    let (mut d, friend, author) = scene(Duration::from_secs(10));
    d.bring(&friend, &author.batch(1, b"1"));
    d.bring(&friend, &author.batch(3, b"3"));
    d.pass_ms(9_000);
    d.bring(&friend, &author.batch(5, b"5"));
    d.pass_ms(500);
    d.bring(&friend, &author.batch(2, b"2"));
    assert_eq!(d.payloads(), ["1", "2", "3"]);
    d.pass_ms(9_000);
    assert_eq!(d.gaps(), [], "4 has been missing for less than the wait");
    d.pass_ms(1_500);
    assert_eq!(d.gaps(), [(1, 4, 4)]);
}

#[test]
fn a_gap_is_reported_before_what_comes_behind_it() {
    let (mut d, friend, author) = scene(Duration::from_secs(1));
    d.bring(&friend, &author.batch(1, b"1"));
    d.bring(&friend, &author.batch(3, b"3"));
    d.did.clear();
    d.pass_ms(1_100);
    let order: Vec<&str> = d
        .did
        .iter()
        .filter_map(|x| match x {
            Did::Event(Event::Gap { .. }) => Some("gap"),
            Did::Event(Event::Delivered(_)) => Some("delivered"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["gap", "delivered"]);
}

#[test]
fn a_gap_from_before_the_start_is_asked_for_at_once_and_waited_for_briefly() {
    let (mut d, friend, author) = scene(Duration::from_secs(10));
    d.bring(&friend, &author.batch(1, b"1"));
    let mut d = d.restart(Span::from_secs(1));
    d.command(Command::Subscribe { topic: news() });
    d.neighbor(&friend);
    d.bring(&friend, &author.batch(3, b"3"));
    d.pass_ms(1);
    assert_eq!(fetched(&d, &friend), [(2, 2)]);
    d.pass_ms(1_100);
    assert_eq!(d.gaps(), [(1, 2, 2)]);
    assert_eq!(d.payloads(), ["3"]);
}

#[test]
fn more_than_may_wait_is_delivered_before_its_time() {
    let (mut d, friend, author) = scene(Duration::from_secs(600));
    d.bring(&friend, &author.batch(1, b"1"));
    for n in 3..3 + 1_025 {
        d.bring(&friend, &author.batch(n, b"x"));
    }
    assert_eq!(d.gaps(), [(1, 2, 2)]);
    assert_eq!(d.payloads().len(), 1_026);
    assert_eq!(d.counters().gaps_hurried, 1);
}

#[test]
fn of_too_much_that_waits_on_a_topic_the_oldest_gap_is_given_up_first() {
    let (mut d, friend, _) = scene(Duration::from_secs(600));
    // Twenty authors with 240 batches behind a gap each: none too many, all together are.
    let authors: Vec<Fake> = (30..50).map(Fake::new).collect();
    for (i, a) in authors.iter().enumerate() {
        d.bring(&friend, &a.batch(1, b"1"));
        for n in 3..243 {
            d.bring(&friend, &a.batch(n, b"x"));
        }
        d.pass_ms(1_000);
        let given_up = (240 * (i + 1)).saturating_sub(4_096).div_ceil(240);
        assert_eq!(d.counters().gaps_hurried, given_up as u64, "after {} authors", i + 1);
    }
    let gave: Vec<_> = d
        .did
        .iter()
        .filter_map(|x| match x {
            Did::Event(Event::Gap { author, .. }) => Some(*author),
            _ => None,
        })
        .collect();
    assert_eq!(gave, authors[..3].iter().map(|a| a.id).collect::<Vec<_>>());
}

#[test]
fn of_too_many_bytes_that_wait_on_a_topic_too() {
    let (mut d, friend, _) = scene(Duration::from_secs(600));
    let authors: Vec<Fake> = (30..42).map(Fake::new).collect();
    let large = [7; 32_000];
    for a in &authors {
        d.bring(&friend, &a.batch(1, b"1"));
        for n in 3..103 {
            d.bring(&friend, &a.batch(n, &large));
        }
        d.pass_ms(1_000);
    }
    // 3.2 MB each, of 32 MiB.
    assert_eq!(d.counters().gaps_hurried, 2);
}

#[test]
fn a_missing_batch_that_was_announced_is_asked_for_by_its_id() {
    let (mut d, friend, author) = scene(Duration::from_secs(10));
    d.bring(&friend, &author.batch(1, b"1"));
    let second = author.batch(2, b"2");
    let batches = vec![Announced { id: second.short_id(), hop: 2, held: 0 }];
    d.say(&friend, IHave { topic: news(), batches });
    d.pass_ms(3_000);
    let asked = d.sent_to(&friend.id).iter().any(|m| matches!(m, Message::Graft(g) if g.ids == [second.short_id()]));
    assert!(asked);
    d.bring(&friend, &second);
    d.did.clear();
    d.pass_ms(20_000);
    assert!(!d.sent_to(&friend.id).iter().any(|m| matches!(m, Message::Graft(g) if !g.ids.is_empty())), "it has come");
}

#[test]
fn a_request_unanswered_goes_to_another_announcer() {
    let (mut d, friend, author) = scene(Duration::from_secs(10));
    let other = Fake::new(2);
    d.neighbor(&other);
    d.bring(&friend, &author.batch(1, b"1"));
    let id = author.batch(2, b"2").short_id();
    for p in [&friend, &other] {
        d.say(p, IHave { topic: news(), batches: vec![Announced { id, hop: 2, held: 0 }] });
    }
    d.pass_ms(3_000);
    for p in [&friend, &other] {
        let asked = d.sent_to(&p.id).iter().any(|m| matches!(m, Message::Graft(g) if g.ids == [id]));
        assert!(asked);
    }
    d.pass_ms(60_000);
    let asked = d.counters().grafts_sent;
    d.pass_ms(60_000);
    assert_eq!(d.counters().grafts_sent, asked, "it is asked for without end");
}

#[test]
fn what_a_neighbour_misses_is_served_from_the_log_in_order() {
    let (mut d, friend, author) = scene(Duration::from_secs(10));
    let late = Fake::new(2);
    for n in 1..=5 {
        d.bring(&friend, &author.batch(n, &[n as u8]));
    }
    d.neighbor(&late);
    d.did.clear();
    let ranges = vec![Range { author: author.id, epoch: 1, from: 2, to: 4 }];
    d.say(&late, Fetch { topic: news(), ranges });
    let got: Vec<u64> = d.batches_to(&late.id).iter().map(|b| b.header().first_seq).collect();
    assert_eq!(got, [2, 3, 4]);
    let pulled = d.sent_to(&late.id).iter().all(|m| !matches!(m, Message::Gossip(g) if !g.pulled));
    assert!(pulled);
}

#[test]
fn a_batch_that_reaches_into_a_range_is_served_too() {
    let (mut d, friend, author) = scene(Duration::from_secs(10));
    let three: [&[u8]; 3] = [b"1", b"2", b"3"];
    d.bring(&friend, &author.seal(author.header(1, &three), &three));
    d.did.clear();
    let ranges = vec![Range { author: author.id, epoch: 1, from: 3, to: 3 }];
    d.say(&friend, Fetch { topic: news(), ranges });
    assert_eq!(d.batches_to(&friend.id).len(), 1);
}
