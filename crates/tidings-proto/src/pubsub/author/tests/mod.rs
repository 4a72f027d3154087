use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::crypto::{Crypto, SimCrypto};
use crate::identity::{Network, SecretKey, TopicId};
use crate::io::Outgoing;
use crate::pubsub::BatchKey;

fn crypto() -> SimCrypto {
    SimCrypto::new(&SecretKey::from_bytes([1; 32]))
}

fn me() -> NodeId {
    crypto().node_id()
}

fn arrived(hop: u16, came: Came) -> Arrived {
    Arrived { hop, came, wide: true }
}

fn at(epoch: u64, seq: u64) -> Position {
    Position { epoch, seq }
}

fn header(epoch: u64, first_seq: u64, count: u64, previous: Option<Position>) -> BatchHeader {
    BatchHeader {
        topic: TopicId([7; 32]),
        author: me(),
        epoch,
        first_seq,
        wall_ms: 0,
        previous,
        payloads: vec![0; count as usize],
        headers: vec![],
        apart_ms: None,
        large: None,
        certificate: None,
        capability: None,
    }
}

fn sealed(header: BatchHeader, size: usize) -> Arc<Batch> {
    let payload = |len: &u32| Outgoing { payload: vec![0; *len as usize].into(), ..Outgoing::default() };
    let header = BatchHeader { payloads: vec![size as u32; header.payloads.len()], ..header };
    let messages: Vec<Outgoing> = header.payloads.iter().map(payload).collect();
    let network = BatchKey::new(&Network::from_key([0; 32]));
    Arc::new(Batch::seal(header, &messages, &network, &crypto()))
}

fn batch(epoch: u64, first_seq: u64, count: u64) -> Arc<Batch> {
    sealed(header(epoch, first_seq, count, None), 0)
}

fn after(previous: Position, epoch: u64, first_seq: u64) -> Arc<Batch> {
    sealed(header(epoch, first_seq, 1, Some(previous)), 0)
}

/// Epoch, first number, and whether it is late.
type Got = (u64, u64, bool);

fn got(ready: &mut Vec<Ready>) -> Vec<Got> {
    ready.drain(..).map(|r| (r.batch.header().epoch, r.batch.header().first_seq, r.late)).collect()
}

fn take(a: &mut Author, b: Arc<Batch>) -> Vec<Got> {
    assert_eq!(a.judge(b.header()), Verdict::New);
    let mut ready = Vec::new();
    a.accept(b, arrived(1, Came::Listening(LISTENING)), &mut ready);
    got(&mut ready)
}

/// How long we have been on the topic.
const LISTENING: Span = Span::from_secs(60);

/// A batch of one message, signed at a time of its author's clock, its predecessor so long before.
fn signed_at(first_seq: u64, wall_ms: u64, apart_ms: Option<u64>) -> Arc<Batch> {
    sealed(BatchHeader { wall_ms, apart_ms, ..header(1, first_seq, 1, None) }, 0)
}

fn give_up(a: &mut Author) -> (Vec<(u64, u64, u64)>, Vec<Got>) {
    let mut ready = Vec::new();
    let missed = a.give_up(me(), &mut ready);
    assert!(missed.iter().all(|r| r.author == me()));
    (missed.iter().map(|r| (r.epoch, r.from, r.to)).collect(), got(&mut ready))
}

fn missing(a: &Author) -> Vec<(u64, u64, u64)> {
    a.missing(me()).iter().map(|r| (r.epoch, r.from, r.to)).collect()
}

#[test]
fn what_comes_in_order_is_delivered_at_once() {
    let mut a = Author::default();
    assert_eq!(take(&mut a, batch(1, 1, 3)), [(1, 1, false)]);
    assert_eq!(take(&mut a, batch(1, 4, 1)), [(1, 4, false)]);
    assert!(!a.is_waiting());
}

#[test]
fn the_first_batch_seen_is_the_baseline_wherever_it_begins() {
    let mut a = Author::default();
    assert_eq!(take(&mut a, batch(1, 40, 2)), [(1, 40, false)]);
    assert_eq!(missing(&a), []);
    assert_eq!(take(&mut a, batch(1, 42, 1)), [(1, 42, false)]);
}

#[test]
fn what_is_from_before_the_baseline_is_late() {
    let mut a = Author::default();
    take(&mut a, batch(1, 40, 1));
    assert_eq!(take(&mut a, batch(1, 39, 1)), [(1, 39, true)]);
    assert_eq!(take(&mut a, batch(1, 41, 1)), [(1, 41, false)], "the order goes on where it was");
}

#[test]
fn what_comes_after_a_gap_waits_until_it_is_repaired() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 1));
    assert_eq!(take(&mut a, batch(1, 4, 1)), []);
    assert_eq!(take(&mut a, batch(1, 5, 1)), []);
    assert_eq!(missing(&a), [(1, 2, 3)]);
    assert_eq!(take(&mut a, batch(1, 2, 1)), [(1, 2, false)]);
    assert_eq!(missing(&a), [(1, 3, 3)]);
    assert_eq!(take(&mut a, batch(1, 3, 1)), [(1, 3, false), (1, 4, false), (1, 5, false)]);
    assert!(!a.is_waiting() && missing(&a).is_empty());
}

#[test]
fn a_gap_given_up_names_exactly_what_was_missed() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 2));
    take(&mut a, batch(1, 6, 2));
    take(&mut a, batch(1, 10, 1));
    assert_eq!(give_up(&mut a), (vec![(1, 3, 5)], vec![(1, 6, false)]));
    assert_eq!(give_up(&mut a), (vec![(1, 8, 9)], vec![(1, 10, false)]));
    assert_eq!(give_up(&mut a), (vec![], vec![]));
}

#[test]
fn what_comes_after_its_gap_was_given_up_is_late() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 1));
    take(&mut a, batch(1, 3, 1));
    give_up(&mut a);
    assert_eq!(take(&mut a, batch(1, 2, 1)), [(1, 2, true)]);
    assert_eq!(take(&mut a, batch(1, 4, 1)), [(1, 4, false)]);
}

#[test]
fn a_batch_seen_is_recognised_delivered_or_waiting() {
    let mut a = Author::default();
    take(&mut a, batch(1, 1, 4));
    take(&mut a, batch(1, 9, 2));
    for (first, count) in [(1, 4), (2, 2), (9, 2), (10, 1)] {
        assert_eq!(a.judge(&header(1, first, count, None)), Verdict::Seen, "{first}+{count}");
    }
    assert_eq!(a.judge(&header(1, 5, 4, None)), Verdict::New);
}

#[test]
fn a_batch_half_seen_contradicts() {
    let mut a = Author::default();
    take(&mut a, batch(1, 3, 4));
    take(&mut a, batch(1, 9, 2));
    for (first, count) in [(1, 3), (6, 2), (2, 9), (8, 2), (10, 5)] {
        assert_eq!(a.judge(&header(1, first, count, None)), Verdict::Contradictory, "{first}+{count}");
    }
}

mod epochs;

mod bounds;

mod records;

mod the_beginning;

/// Batches of one author in three epochs, each naming the place before it, a second apart.
fn stream(counts: &[(bool, u64)]) -> Vec<Arc<Batch>> {
    let (mut epoch, mut seq, mut previous) = (10, 1, None);
    let mut all = Vec::new();
    for (restart, count) in counts {
        if *restart && seq > 1 && epoch < 10 + EPOCHS as u64 - 1 {
            previous = Some(at(epoch, seq - 1));
            (epoch, seq) = (epoch + 1, 1);
        }
        let wall_ms = 1_000_000 + 1_000 * all.len() as u64;
        let apart_ms = (seq > 1).then_some(1_000);
        all.push(sealed(BatchHeader { wall_ms, apart_ms, ..header(epoch, seq, *count, previous) }, 0));
        seq += count;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_the_order_each_batch_is_delivered_once_and_in_order_unless_late(
        counts in proptest::collection::vec((proptest::bool::weighted(0.2), 1u64..4), 1..25),
        order in proptest::collection::vec((any::<prop::sample::Index>(), proptest::bool::weighted(0.1)), 0..80),
        restart in proptest::option::of(0usize..80),
    ) {
        let all = stream(&counts);
        let mut a = Author::default();
        let (mut delivered, mut missed, mut brought) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (i, (which, give_up)) in order.iter().enumerate() {
            if restart == Some(i) {
                // What waits is lost with the process, and may come again.
                for w in a.waiting.values() {
                    brought.remove(&(w.batch.header().epoch, w.batch.header().first_seq));
                }
                a = Author::restore(a.record(0), Time(0));
            }
            let b = which.get(&all);
            let key = (b.header().epoch, b.header().first_seq);
            let mut ready = Vec::new();
            let verdict = a.judge(b.header());
            prop_assert_eq!(verdict == Verdict::New, brought.insert(key), "{:?} was {:?}", key, verdict);
            if verdict == Verdict::New {
                a.accept(b.clone(), arrived(1, Came::Listening(Span::ZERO)), &mut ready);
            }
            if *give_up {
                missed.extend(a.give_up(me(), &mut ready));
            }
            delivered.extend(got(&mut ready));
        }
        while a.is_waiting() {
            let mut ready = Vec::new();
            missed.extend(a.give_up(me(), &mut ready));
            prop_assert!(!ready.is_empty(), "giving up got nowhere");
            delivered.extend(got(&mut ready));
        }
        prop_assert_eq!(a.waiting_bytes, 0);
        let once: BTreeSet<_> = delivered.iter().map(|d| (d.0, d.1)).collect();
        prop_assert_eq!(once.len(), delivered.len(), "delivered twice");
        prop_assert_eq!(&once, &brought, "brought and never delivered");
        let in_order: Vec<_> = delivered.iter().filter(|d| !d.2).collect();
        prop_assert!(in_order.is_sorted(), "out of order: {:?}", in_order);
        for r in missed {
            prop_assert!(r.from <= r.to);
        }
    }

    #[test]
    fn whoever_listens_from_the_beginning_hears_all_in_order_whatever_the_order_it_comes_in(
        mut arrivals in proptest::collection::vec((Just(false), 1u64..4), 1..25).prop_flat_map(|counts| {
            Just(stream(&counts)).prop_shuffle()
        }),
    ) {
        let mut a = Author::default();
        let mut delivered = Vec::new();
        let listening = Span::from_secs(60);
        for b in arrivals.drain(..) {
            let mut ready = Vec::new();
            a.accept(b, arrived(1, Came::Listening(listening)), &mut ready);
            delivered.extend(got(&mut ready));
        }
        prop_assert!(!a.is_waiting());
        prop_assert!(delivered.iter().all(|d| !d.2), "late: {:?}", delivered);
        prop_assert!(delivered.is_sorted());
    }

    #[test]
    fn what_was_missed_is_what_had_not_come(
        counts in proptest::collection::vec((Just(false), 1u64..4), 2..25),
        lost in proptest::collection::vec(any::<bool>(), 25),
    ) {
        let all = stream(&counts);
        let mut a = Author::default();
        let (mut ready, mut missed) = (Vec::new(), BTreeSet::new());
        // The first sets the baseline and the last shows what is missing before it.
        let came = |i: usize| i == 0 || i == all.len() - 1 || !lost[i];
        for (_, b) in all.iter().enumerate().filter(|(i, _)| came(*i)) {
            a.accept(b.clone(), arrived(1, Came::Listening(Span::ZERO)), &mut ready);
        }
        while a.is_waiting() {
            for r in a.give_up(me(), &mut ready) {
                for n in r.from..=r.to {
                    prop_assert!(missed.insert(n), "{n} was reported twice");
                }
            }
        }
        let expected: BTreeSet<u64> = all
            .iter()
            .enumerate()
            .filter(|(i, _)| !came(*i))
            .flat_map(|(_, b)| b.header().first_seq..=b.header().last_seq())
            .collect();
        prop_assert_eq!(missed, expected);
    }
}
