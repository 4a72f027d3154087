use std::collections::BTreeSet;

use bytes::Bytes;
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
    }
}

fn sealed(header: BatchHeader, size: usize) -> Arc<Batch> {
    let payload = |len: &u32| Outgoing { payload: vec![0; *len as usize].into(), headers: Bytes::new() };
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
    a.accept(b, 1, LISTENING, &mut ready);
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

mod epochs {
    use super::*;

    #[test]
    fn follow_each_other_when_the_new_one_names_the_last_place() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 3));
        assert_eq!(take(&mut a, after(at(1, 3), 5, 1)), [(5, 1, false)]);
        assert_eq!(take(&mut a, after(at(1, 3), 5, 2)), [(5, 2, false)]);
    }

    #[test]
    fn follow_each_other_when_the_author_knows_of_none_before() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 3));
        assert_eq!(take(&mut a, batch(5, 1, 1)), [(5, 1, false)]);
    }

    #[test]
    fn follow_each_other_when_the_author_names_less_than_was_seen() {
        let mut a = Author::default();
        take(&mut a, batch(3, 1, 3));
        assert_eq!(take(&mut a, after(at(3, 2), 5, 1)), [(5, 1, false)]);
        assert_eq!(take(&mut a, after(at(2, 9), 7, 1)), [(7, 1, false)]);
    }

    #[test]
    fn wait_for_the_end_of_the_one_before() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 3));
        assert_eq!(take(&mut a, after(at(1, 5), 5, 1)), []);
        assert_eq!(missing(&a), [(1, 4, 5)]);
        assert_eq!(take(&mut a, batch(1, 4, 2)), [(1, 4, false), (5, 1, false)]);
    }

    #[test]
    fn wait_for_their_own_beginning() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 3));
        assert_eq!(take(&mut a, after(at(1, 5), 5, 3)), []);
        assert_eq!(missing(&a), [(1, 4, 5), (5, 1, 2)]);
        assert_eq!(give_up(&mut a), (vec![(1, 4, 5), (5, 1, 2)], vec![(5, 3, false)]));
        assert_eq!(take(&mut a, after(at(1, 5), 5, 1)), [(5, 1, true)]);
    }

    #[test]
    fn wait_for_one_that_was_missed_altogether() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 3));
        assert_eq!(take(&mut a, after(at(4, 2), 9, 1)), []);
        assert_eq!(missing(&a), [(4, 1, 2)]);
        assert_eq!(take(&mut a, after(at(1, 3), 4, 1)), [(4, 1, false)]);
        assert_eq!(take(&mut a, after(at(1, 3), 4, 2)), [(4, 2, false), (9, 1, false)]);
    }

    #[test]
    fn that_are_older_are_late() {
        let mut a = Author::default();
        take(&mut a, batch(5, 1, 1));
        assert_eq!(take(&mut a, batch(3, 8, 1)), [(3, 8, true)]);
        assert_eq!(take(&mut a, batch(5, 2, 1)), [(5, 2, false)]);
    }

    #[test]
    fn have_numbers_of_their_own() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 3));
        take(&mut a, batch(2, 1, 1));
        assert_eq!(a.judge(&header(2, 2, 1, None)), Verdict::New);
        assert_eq!(a.judge(&header(1, 2, 1, None)), Verdict::Seen);
    }

    #[test]
    fn that_are_too_old_to_tell_are_refused() {
        let mut a = Author::default();
        for epoch in 10..10 + EPOCHS as u64 {
            assert_eq!(a.judge(&header(9, 1, 1, None)), Verdict::New);
            take(&mut a, batch(epoch, 1, 1));
        }
        assert_eq!(a.judge(&header(9, 1, 1, None)), Verdict::Forgotten);
        take(&mut a, batch(99, 1, 1));
        assert_eq!(a.judge(&header(10, 1, 1, None)), Verdict::Forgotten, "only so many are kept");
        assert_eq!(a.judge(&header(11, 1, 1, None)), Verdict::Seen);
    }
}

mod bounds {
    use super::*;

    #[test]
    fn of_batches_that_wait() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 1));
        for i in 0..WAITING as u64 {
            take(&mut a, batch(1, 3 + i, 1));
            assert!(!a.overflows(), "{i}");
        }
        take(&mut a, batch(1, 3 + WAITING as u64, 1));
        assert!(a.overflows());
        let (missed, got) = give_up(&mut a);
        assert_eq!((missed, got.len()), (vec![(1, 2, 2)], WAITING + 1));
        assert!(!a.overflows());
    }

    #[test]
    fn of_bytes_that_wait() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 1));
        let full = |seq| sealed(header(1, seq, 1, None), 32 * 1024);
        let mut seq = 3;
        while !a.overflows() {
            take(&mut a, full(seq));
            seq += 1;
        }
        let waited = (seq - 3) as usize * full(3).bytes().len();
        assert!(waited > WAITING_BYTES && waited - full(3).bytes().len() <= WAITING_BYTES);
        give_up(&mut a);
        assert!(!a.overflows());
        assert_eq!(a.waiting_bytes, 0);
    }

    #[test]
    fn of_numbers_at_the_end() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 1));
        let last = u64::MAX - 1;
        assert_eq!(take(&mut a, batch(1, last, 1)), []);
        assert_eq!(missing(&a), [(1, 2, last - 1)]);
        give_up(&mut a);
        assert_eq!(take(&mut a, after(at(1, u64::MAX), u64::MAX, 1)), []);
        assert_eq!(missing(&a), [(1, u64::MAX, u64::MAX)]);
        assert_eq!(give_up(&mut a).1, [(u64::MAX, 1, false)]);
    }
}

mod records {
    use super::*;

    fn restored(a: &Author) -> Author {
        let mut bytes = Vec::new();
        minicbor::encode(a.record(1), &mut bytes).unwrap();
        Author::restore(Record::parse(&bytes).unwrap(), Time(5))
    }

    #[test]
    fn keep_what_was_delivered() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 3));
        take(&mut a, batch(2, 1, 2));
        let mut b = restored(&a);
        assert_eq!(b.judge(&header(1, 2, 2, None)), Verdict::Seen);
        assert_eq!(b.judge(&header(2, 1, 2, None)), Verdict::Seen);
        assert_eq!(take(&mut b, batch(2, 3, 1)), [(2, 3, false)]);
    }

    #[test]
    fn leave_out_what_only_waits() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 1));
        take(&mut a, batch(1, 3, 2));
        take(&mut a, batch(2, 4, 1));
        let mut b = restored(&a);
        assert_eq!(b.judge(&header(1, 3, 2, None)), Verdict::New, "it was never delivered");
        assert_eq!(b.judge(&header(2, 4, 1, None)), Verdict::New);
        assert_eq!(b.judge(&header(1, 1, 1, None)), Verdict::Seen);
        assert_eq!(take(&mut b, batch(1, 2, 1)), [(1, 2, false)]);
    }

    #[test]
    fn keep_a_reported_gap_open_for_what_comes_late() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 1));
        take(&mut a, batch(1, 3, 1));
        give_up(&mut a);
        let mut b = restored(&a);
        assert_eq!(take(&mut b, batch(1, 2, 1)), [(1, 2, true)]);
    }

    #[test]
    fn keep_refusing_epochs_too_old_to_tell_whatever_waits() {
        let mut a = Author::default();
        for epoch in 1..=EPOCHS as u64 {
            take(&mut a, batch(epoch, 1, 1));
        }
        assert_eq!(take(&mut a, after(at(EPOCHS as u64, 9), 99, 1)), []);
        assert_eq!(a.judge(&header(1, 1, 1, None)), Verdict::Forgotten);
        let b = restored(&a);
        assert_eq!(b.judge(&header(1, 1, 1, None)), Verdict::Forgotten, "it would be delivered again");
        assert_eq!(b.judge(&header(99, 1, 1, None)), Verdict::New);
    }

    #[test]
    fn tell_a_gap_from_before_the_start() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 1));
        let accept = |a: &mut Author, seq| a.accept(batch(1, seq, 1), 1, LISTENING, &mut Vec::new());
        assert!(accept(&mut restored(&a), 3), "missed while the process was down");
        let mut b = restored(&a);
        assert!(!accept(&mut b, 2));
        assert!(!accept(&mut b, 4), "missed since");
        let mut b = restored(&a);
        accept(&mut b, 3);
        assert!(!accept(&mut b, 5), "told once");
    }

    #[test]
    fn without_their_place_begin_a_new_baseline_and_repeat_nothing() {
        let mut a = Author::default();
        take(&mut a, batch(1, 1, 3));
        let mut b = Author::restore(a.record(1).without_place(), Time(5));
        assert_eq!(b.judge(&header(1, 2, 1, None)), Verdict::Seen);
        assert_eq!(take(&mut b, batch(1, 50, 1)), [(1, 50, false)]);
    }

    #[test]
    fn that_are_damaged_are_refused() {
        let encode = |r: &Record| {
            let mut out = Vec::new();
            minicbor::encode(r, &mut out).unwrap();
            out
        };
        let one = |from, to| {
            let mut i = Intervals::default();
            i.insert(from, to);
            i
        };
        let good = Record { heard_ms: 1, next: Some(at(2, 3)), epochs: vec![(1, one(1, 2)), (2, one(1, 2))] };
        assert_eq!(Record::parse(&encode(&good)), Some(good.clone()));
        for len in 0..encode(&good).len() {
            assert_eq!(Record::parse(&encode(&good)[..len]), None, "cut at {len}");
        }
        let twice = Record { epochs: vec![(2, one(1, 2)), (2, one(1, 2))], ..good.clone() };
        assert_eq!(Record::parse(&encode(&twice)), None);
        let many = Record { epochs: (0..=EPOCHS as u64).map(|e| (e, one(1, 2))).collect(), ..good };
        assert_eq!(Record::parse(&encode(&many)), None);
    }
}

mod the_beginning {
    use super::*;

    const MS: u64 = 1_700_000_000_000;

    #[test]
    fn waits_for_what_was_signed_since_we_listen() {
        let mut a = Author::default();
        assert_eq!(take(&mut a, signed_at(3, MS, Some(5))), []);
        assert_eq!(missing(&a), [(1, 2, 2)]);
        assert_eq!(take(&mut a, signed_at(2, MS - 5, Some(5))), []);
        assert_eq!(missing(&a), [(1, 1, 1)]);
        assert_eq!(take(&mut a, signed_at(1, MS - 10, None)), [(1, 1, false), (1, 2, false), (1, 3, false)]);
        assert_eq!(take(&mut a, signed_at(4, MS, Some(0))), [(1, 4, false)]);
    }

    #[test]
    fn does_not_wait_for_history() {
        let mut a = Author::default();
        let listening = LISTENING.as_millis();
        assert_eq!(take(&mut a, signed_at(3, MS, Some(listening + 1))), [(1, 3, false)]);
        let mut a = Author::default();
        assert_eq!(take(&mut a, signed_at(3, MS, Some(listening))), []);
        assert_eq!(take(&mut a, signed_at(2, MS - listening, Some(1))), [(1, 2, false), (1, 3, false)]);
    }

    #[test]
    fn given_up_names_no_gap() {
        let mut a = Author::default();
        take(&mut a, signed_at(3, MS, Some(5)));
        take(&mut a, signed_at(5, MS, Some(5)));
        assert_eq!(give_up(&mut a), (vec![], vec![(1, 3, false)]));
        assert_eq!(missing(&a), [(1, 4, 4)], "what is missing between two batches is a gap like any other");
        assert_eq!(take(&mut a, signed_at(2, MS - 5, Some(5))), [(1, 2, true)]);
    }

    #[test]
    fn does_not_wait_for_what_was_delivered_before_the_topic_was_left() {
        let mut a = Author::default();
        take(&mut a, signed_at(1, MS, None));
        let mut b = Author::restore(a.record(1).without_place(), Time(5));
        assert_eq!(take(&mut b, signed_at(2, MS, Some(0))), [(1, 2, false)]);
    }

    #[test]
    fn is_not_stored_while_it_waits() {
        let mut a = Author::default();
        take(&mut a, signed_at(3, MS, Some(5)));
        let mut b = Author::restore(a.record(1), Time(5));
        assert_eq!(take(&mut b, signed_at(1, MS, None)), [(1, 1, false)]);
        assert_eq!(b.judge(&header(1, 3, 1, None)), Verdict::New);
    }
}

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
                a.accept(b.clone(), 1, Span::ZERO, &mut ready);
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
            a.accept(b, 1, listening, &mut ready);
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
            a.accept(b.clone(), 1, Span::ZERO, &mut ready);
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
