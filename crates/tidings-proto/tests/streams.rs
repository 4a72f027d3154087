//! What a node remembers of its own streams is bounded, and no number is used twice for it.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::*;
use tidings_proto::identity::TopicId;
use tidings_proto::io::*;
use tidings_proto::time::Span;

const BOUND: usize = 4_096;

fn nth(n: usize) -> TopicId {
    TopicId::from_name(&n.to_string()).unwrap()
}

fn publish_on(d: &mut Driven, topic: TopicId) -> Published {
    let t = d.command(Command::Publish { topic, message: out(b"x") });
    let p = d.published(t);
    d.did.clear();
    p
}

fn stream_key(topic: TopicId) -> Bytes {
    [b"pub/".as_slice(), topic.as_bytes()].concat().into()
}

fn stored(d: &Driven) -> usize {
    d.disk.keys().filter(|k| k.starts_with(b"pub/")).count()
}

#[test]
fn more_topics_than_are_remembered_use_no_number_twice() {
    let mut d = Driven::new();
    let mut last: BTreeMap<TopicId, (u64, u64)> = BTreeMap::new();
    for topics in [0..1000, 1000..2000, 2000..3000, 3000..4000, 4000..5000, 0..1000] {
        for topic in topics.map(nth) {
            let p = publish_on(&mut d, topic);
            let place = (p.epoch, p.seq);
            let before = last.insert(topic, place);
            assert!(before.is_none_or(|b| b < place), "{before:?}, then {place:?}");
        }
        d.pass(Span::from_secs(400));
        assert!(d.node.topics().is_empty(), "idle topics are left");
        assert!(stored(&d) <= 2 * BOUND);
    }
    let epochs: std::collections::BTreeSet<u64> = last.values().map(|p| p.0).collect();
    assert_eq!(epochs.len(), 2, "a new epoch began");
    assert_eq!(last[&nth(0)].1, 1);
    // The process is killed: what was stored suffices.
    let mut d = d.restart(Span::ZERO);
    for topic in [0, 4_500].map(nth) {
        let p = publish_on(&mut d, topic);
        assert!((p.epoch, p.seq) > last[&topic]);
    }
}

#[test]
fn a_new_epoch_is_stored_before_anything_is_signed_in_it() {
    let mut d = Driven::new();
    let mut old = 0;
    for n in 0..BOUND {
        old = publish_on(&mut d, nth(n)).epoch;
        if n % 1000 == 999 {
            d.pass(Span::from_secs(400));
        }
    }
    d.auto_store = false;
    let t = d.command(Command::Publish { topic: nth(9_999), message: out(b"x") });
    assert_eq!(d.reply(t), None);
    d.write();
    assert_eq!(d.published(t).seq, 1);
    assert!(d.published(t).epoch > old);
    d.auto_store = true;
    assert_eq!(previous(&mut d, nth(BOUND - 1)), Some((old, 1)), "receivers are told what was before");
}

/// A stream that stood at number 7 of an epoch, last used then.
fn stood(epoch: u64, wall_ms: u64) -> Bytes {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(3).unwrap().u64(epoch).unwrap().u64(7).unwrap().u64(wall_ms).unwrap();
    e.into_writer().into()
}

fn previous(d: &mut Driven, topic: TopicId) -> Option<(u64, u64)> {
    d.command(Command::Subscribe { topic });
    d.command(Command::Publish { topic, message: out(b"x") });
    let previous = d.delivered().pop().unwrap().batch().header().previous;
    previous.map(|p| (p.epoch, p.seq))
}

#[test]
fn streams_older_than_anybodys_history_are_forgotten() {
    let mut d = Driven::unloaded(Default::default());
    let hour = 3_600_000;
    d.disk.insert(stream_key(nth(1)), stood(5, WALL - hour - 19 * 60_000));
    d.disk.insert(stream_key(nth(2)), stood(5, WALL - hour - 21 * 60_000));
    d.run();
    assert_eq!(stored(&d), 1);
    assert_eq!(previous(&mut d, nth(1)), Some((5, 7)));
    assert_eq!(previous(&mut d, nth(2)), None);
}

#[test]
fn of_too_many_streams_the_longest_unused_are_forgotten() {
    let mut d = Driven::unloaded(Default::default());
    for n in 0..BOUND + 10 {
        d.disk.insert(stream_key(nth(n)), stood(5, WALL - 100_000 + n as u64));
    }
    d.run();
    assert_eq!(stored(&d), BOUND);
    assert_eq!(previous(&mut d, nth(9)), None);
    assert_eq!(previous(&mut d, nth(10)), Some((5, 7)));
}

#[test]
fn a_place_stored_without_its_time_is_read() {
    let mut d = Driven::unloaded(Default::default());
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(2).unwrap().u64(WALL - 1_000).unwrap().u64(7).unwrap();
    d.disk.insert(stream_key(nth(1)), e.into_writer().into());
    d.run();
    assert_eq!(previous(&mut d, nth(1)), Some((WALL - 1_000, 7)));
}
