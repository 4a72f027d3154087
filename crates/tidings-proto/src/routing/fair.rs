//! Fairness among those for whom a relay carries: nobody is banned, and nobody is made to wait by another's flood.
//!
//! *Allowance.* Each sender, by the link or the signature that proves it, may hand in so many envelopes and bytes, of every kind. Who
//! exceeds that has half as much from then on, and half of that a second later, down to one part in 64: a flood is soon
//! cheap, and something always passes. For each ten seconds in which it was kept to, it is doubled again. It is remembered over
//! links, so that a new link is no new allowance. A relay that hands in for others has an allowance that does not shrink, and
//! those others have their own behind it.
//!
//! *Turns.* What waits for a link goes by turns of the senders, as many bytes from each (deficit round robin: Shreedhar, Varghese, SIGCOMM
//! 1995), and only little of it is on its way in the link's lane. So what one has waiting delays its own.
//!
//! Invariants: of what a relay holds each sender has a quarter at most, by count and by bytes; who keeps to its allowance loses
//! nothing to who does not.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use crate::identity::NodeId;
use crate::time::{Span, Time};
use crate::wire::{Frame, PassageId};

/// What one sender may hand in: envelopes at once, and each second; bytes at once, and each second (guesses: a thousand small
/// messages a second, or a few hundred of the longest frames at once).
const AT_ONCE: u64 = 1_024;
const A_SECOND: u64 = 1_000;
const BYTES_AT_ONCE: u64 = 16 << 20;
pub(super) const BYTES_A_SECOND: u64 = 8 << 20;
/// A relay may hand in so many times that for others: who is behind it has as much as if it came itself.
const FOR_OTHERS: u64 = 8;
/// How often it is halved at most, how soon again, and after how long it is doubled.
const HALVINGS: u32 = 6;
const HALVE: Span = Span::from_secs(1);
const DOUBLE: Span = Span::from_secs(10);
/// Senders remembered; and how long one is that has nothing to be remembered for.
const SENDERS: usize = 8_192;
const FORGET: Span = Span::from_secs(60);
/// What waits for links with room: so many, so many bytes, so long; a quarter of each from one sender.
pub(super) const QUEUE: usize = 1_024;
pub(super) const QUEUE_BYTES: usize = 8 << 20;
pub(super) const QUEUE_AGE: Span = Span::from_secs(2);
const SHARE: usize = 4;
/// And half of it for one link.
const LINK_SHARE: usize = 2;
/// Bytes of a turn: a few small messages, and a seventh of the longest frame.
const QUANTUM: usize = 16 << 10;
/// Bytes it all takes.
pub(super) const BYTES: usize = QUEUE_BYTES + QUEUE * 256 + SENDERS * 128;

const MICRO: u64 = 1_000_000;

/// What a sender may hand in now.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    /// In millionths.
    count: u64,
    bytes: u64,
    last: Time,
    halvings: u32,
    /// When it was exceeded last, or doubled.
    since: Time,
    times: u64,
}

impl Allowance {
    fn new(now: Time, times: u64) -> Allowance {
        let (count, bytes) = (AT_ONCE * times * MICRO, BYTES_AT_ONCE * times * MICRO);
        Allowance { count, bytes, last: now, halvings: 0, since: now, times }
    }

    fn take(&mut self, now: Time, bytes: usize, shrinks: bool) -> bool {
        while self.halvings > 0 && now.since(self.since) >= DOUBLE {
            self.halvings -= 1;
            self.since += DOUBLE;
        }
        let grown = |rate: u64| now.since(self.last).0.saturating_mul((rate * self.times) >> self.halvings);
        let most = |at_once: u64| ((at_once * self.times) >> self.halvings) * MICRO;
        self.count = self.count.saturating_add(grown(A_SECOND)).min(most(AT_ONCE));
        self.bytes = self.bytes.saturating_add(grown(BYTES_A_SECOND)).min(most(BYTES_AT_ONCE));
        self.last = now;
        let cost = bytes as u64 * MICRO;
        if self.count >= MICRO && self.bytes >= cost {
            (self.count, self.bytes) = (self.count - MICRO, self.bytes - cost);
            return true;
        }
        if shrinks && self.halvings < HALVINGS && (self.halvings == 0 || now.since(self.since) >= HALVE) {
            self.halvings += 1;
            self.since = now;
        } else if now.since(self.since) >= HALVE {
            self.since = now;
        }
        false
    }
}

/// The allowances of senders, and of relays that hand in for others.
#[derive(Debug, Default)]
pub(super) struct Allowances(BTreeMap<(NodeId, bool), Allowance>);

impl Allowances {
    /// Whether `of` may hand in so much, for itself or `for_others`.
    pub(super) fn take(&mut self, now: Time, of: NodeId, for_others: bool, bytes: usize) -> bool {
        let key = (of, for_others);
        if self.0.len() >= SENDERS && !self.0.contains_key(&key) {
            self.forget(now);
            let oldest = self.0.iter().min_by_key(|(_, a)| a.last).map(|(k, _)| *k);
            if let Some(oldest) = oldest.filter(|_| self.0.len() >= SENDERS) {
                self.0.remove(&oldest);
            }
        }
        let times = if for_others { FOR_OTHERS } else { 1 };
        self.0.entry(key).or_insert_with(|| Allowance::new(now, times)).take(now, bytes, !for_others)
    }

    /// Forgets those that have been silent for long enough to have all they may have again.
    pub(super) fn forget(&mut self, now: Time) {
        let back = |a: &Allowance| FORGET.0.max(DOUBLE.0 * u64::from(a.halvings));
        self.0.retain(|_, a| now.since(a.last).0 < back(a));
    }
}

/// An envelope that waits for a link.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) id: PassageId,
    /// Who handed it over, and whose it is.
    pub(super) by: NodeId,
    pub(super) from: NodeId,
    pub(super) frame: Frame,
    pub(super) at: Time,
}

#[derive(Debug, Default)]
struct Flow {
    waiting: VecDeque<Queued>,
    /// Bytes that it may send in this turn.
    left: usize,
}

/// What waits for one link.
#[derive(Debug, Default)]
struct Flows {
    by_sender: BTreeMap<NodeId, Flow>,
    /// Whose turn it is.
    turn: Option<NodeId>,
}

impl Flows {
    /// The next by turns, if it fits.
    fn next(&mut self, fits: &mut impl FnMut(usize) -> bool) -> Option<Queued> {
        loop {
            let at = self.turn.filter(|t| self.by_sender.contains_key(t));
            if let Some(flow) = at.and_then(|t| self.by_sender.get_mut(&t))
                && let Some(len) = flow.waiting.front().map(|q| q.frame.len()).filter(|len| *len <= flow.left)
            {
                if !fits(len) {
                    return None;
                }
                flow.left -= len;
                let q = flow.waiting.pop_front();
                if flow.waiting.is_empty() {
                    self.by_sender.remove(&q.as_ref()?.from);
                }
                return q;
            }
            let from = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
            let after = self.by_sender.range((from, Bound::Unbounded)).next().map(|(n, _)| *n);
            let next = after.or_else(|| self.by_sender.keys().next().copied())?;
            self.by_sender.get_mut(&next)?.left += QUANTUM;
            self.turn = Some(next);
        }
    }
}

/// Whose share of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Sender,
    Neighbor,
    Link,
}

/// What waits for links with room.
#[derive(Debug, Default)]
pub(super) struct Queue {
    links: BTreeMap<NodeId, Flows>,
    /// Envelopes of each sender, from each neighbour, and for each link, and their bytes.
    shares: BTreeMap<(Part, NodeId), (usize, usize)>,
    len: usize,
    bytes: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether something waits for a link.
    pub(super) fn waits_for(&self, next: &NodeId) -> bool {
        self.links.contains_key(next)
    }

    /// Whether there is room for so much of a sender's, from a neighbour, for a link: none of them fills it alone.
    pub(super) fn has_room(&self, from: &NodeId, by: &NodeId, next: &NodeId, bytes: usize) -> bool {
        let within = |part: Part, of: &NodeId, share: usize| {
            let (count, held) = self.shares.get(&(part, *of)).copied().unwrap_or_default();
            count < QUEUE / share && held + bytes <= QUEUE_BYTES / share
        };
        self.len < QUEUE
            && self.bytes + bytes <= QUEUE_BYTES
            && within(Part::Sender, from, SHARE)
            && within(Part::Neighbor, by, SHARE)
            && within(Part::Link, next, LINK_SHARE)
    }

    pub(super) fn push(&mut self, next: NodeId, q: Queued) {
        let len = q.frame.len();
        for (part, of) in [(Part::Sender, q.from), (Part::Neighbor, q.by), (Part::Link, next)] {
            let share = self.shares.entry((part, of)).or_default();
            *share = (share.0 + 1, share.1 + len);
        }
        (self.len, self.bytes) = (self.len + 1, self.bytes + len);
        self.links.entry(next).or_default().by_sender.entry(q.from).or_default().waiting.push_back(q);
    }

    fn gone(&mut self, next: &NodeId, q: &Queued) {
        let len = q.frame.len();
        (self.len, self.bytes) = (self.len - 1, self.bytes - len);
        for key in [(Part::Sender, q.from), (Part::Neighbor, q.by), (Part::Link, *next)] {
            let Some(share) = self.shares.get_mut(&key) else { continue };
            *share = (share.0 - 1, share.1 - len);
            if share.0 == 0 {
                self.shares.remove(&key);
            }
        }
    }

    /// The links that something waits for.
    pub(super) fn links(&self) -> Vec<NodeId> {
        self.links.keys().copied().collect()
    }

    /// The next that goes over a link by turns, if it fits.
    pub(super) fn next(&mut self, next: &NodeId, mut fits: impl FnMut(usize) -> bool) -> Option<Queued> {
        let flows = self.links.get_mut(next)?;
        let q = flows.next(&mut fits);
        if flows.by_sender.is_empty() {
            self.links.remove(next);
        }
        q.inspect(|q| self.gone(next, q))
    }

    /// A link is gone, and what waited for it.
    pub(super) fn lost(&mut self, next: &NodeId) -> Vec<Queued> {
        let flows = self.links.remove(next).map(|f| f.by_sender).unwrap_or_default();
        let lost: Vec<Queued> = flows.into_values().flat_map(|f| f.waiting).collect();
        lost.iter().for_each(|q| self.gone(next, q));
        lost
    }

    /// Takes out what has waited too long.
    pub(super) fn late(&mut self, now: Time) -> Vec<Queued> {
        let mut late = Vec::new();
        for (next, flows) in &mut self.links {
            for flow in flows.by_sender.values_mut() {
                while flow.waiting.front().is_some_and(|q| now.since(q.at) >= QUEUE_AGE) {
                    late.extend(flow.waiting.pop_front().map(|q| (*next, q)));
                }
            }
            flows.by_sender.retain(|_, f| !f.waiting.is_empty());
        }
        self.links.retain(|_, f| !f.by_sender.is_empty());
        late.iter().for_each(|(next, q)| self.gone(next, q));
        late.into_iter().map(|(_, q)| q).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 32]);
    const B: NodeId = NodeId([2; 32]);
    const NEXT: NodeId = NodeId([9; 32]);

    fn at(ms: u64) -> Time {
        Time(1_000_000_000 + ms * 1_000)
    }

    /// How many of `tries` a millisecond pass in a second from `ms` on.
    fn pass(a: &mut Allowances, ms: u64, tries: usize, bytes: usize) -> usize {
        (0..1_000).map(|i| (0..tries).filter(|_| a.take(at(ms + i), A, false, bytes)).count()).sum()
    }

    #[test]
    fn who_floods_has_less_and_less_and_always_something() {
        let mut a = Allowances::default();
        let passed: Vec<usize> = (0..20).map(|s| pass(&mut a, s * 1_000, 10, 100)).collect();
        assert!(passed[0] > 1_024, "{passed:?}");
        assert!(passed[8..].iter().all(|n| (10..=20).contains(n)), "a 64th: {passed:?}");
        assert!(passed.is_sorted_by(|a, b| a + 20 >= *b), "{passed:?}");
    }

    #[test]
    fn who_keeps_to_it_is_never_held_back() {
        let mut a = Allowances::default();
        assert!((0..20).all(|s| pass(&mut a, s * 1_000, 1, 100) == 1_000));
    }

    #[test]
    fn it_has_all_of_it_again_a_minute_after() {
        let mut a = Allowances::default();
        for s in 0..10 {
            pass(&mut a, s * 1_000, 10, 100);
        }
        let half_way: usize = pass(&mut a, 40_000, 1, 100);
        assert!((100..600).contains(&half_way), "{half_way}");
        assert_eq!(pass(&mut a, 110_000, 1, 100), 1_000);
    }

    #[test]
    fn bytes_count_as_well() {
        let mut a = Allowances::default();
        let (at_once, each) = (BYTES_AT_ONCE as usize >> 16, BYTES_A_SECOND as usize >> 16);
        let passed = pass(&mut a, 0, 1, 64 << 10);
        assert!((at_once..at_once + each + 2).contains(&passed), "{passed}");
        // At the floor the longest frame still passes now and then.
        let later: Vec<usize> = (1..40).map(|s| pass(&mut a, s * 1_000, 1, 96 << 10)).collect();
        assert!(later[20..].iter().sum::<usize>() >= 10, "{later:?}");
    }

    #[test]
    fn others_have_their_own_and_so_has_a_relay_for_those_behind_it() {
        let mut a = Allowances::default();
        for s in 0..10 {
            pass(&mut a, s * 1_000, 10, 100);
        }
        assert!((0..1_000).all(|_| a.take(at(10_000), B, false, 100)));
        assert!((0..8_000).all(|_| a.take(at(10_000), A, true, 100)));
        let through = |a: &mut Allowances, ms| (0..40_000).filter(|_| a.take(at(ms), A, true, 100)).count();
        through(&mut a, 11_000);
        assert_eq!((12..20).map(|s| through(&mut a, s * 1_000)).min(), Some(8_000), "it does not shrink");
    }

    #[test]
    fn those_remembered_are_bounded_and_the_silent_go_first() {
        let mut a = Allowances::default();
        for s in 0..5 {
            pass(&mut a, s * 1_000, 10, 100);
        }
        for n in 0..2 * SENDERS as u64 {
            let mut id = [7; 32];
            id[..8].copy_from_slice(&n.to_le_bytes());
            a.take(at(5_000 + n / 100), NodeId(id), false, 100);
            a.take(at(5_000 + n / 100), A, false, 100);
        }
        assert!(a.0.len() <= SENDERS);
        assert!(a.0[&(A, false)].halvings > 0, "a crowd made it be forgotten");
        a.forget(at(1_000_000));
        assert!(a.0.is_empty());
    }

    fn queued(from: NodeId, n: u8, len: usize) -> Queued {
        let m = crate::wire::RelayAck { id: PassageId([n; 16]), why: 0, load: 0 };
        let frame = crate::wire::Message::from(m).frame_with(vec![0; len].into());
        Queued { id: PassageId([n; 16]), by: from, from, frame, at: at(u64::from(n)) }
    }

    #[test]
    fn what_one_has_waiting_delays_its_own() {
        let mut q = Queue::default();
        (0..100).for_each(|n| q.push(NEXT, queued(A, n, 10_000)));
        q.push(NEXT, queued(B, 200, 200));
        let order: Vec<NodeId> = std::iter::from_fn(|| q.next(&NEXT, |_| true)).map(|q| q.from).collect();
        assert_eq!(order.len(), 101);
        assert!(order.iter().position(|n| *n == B).unwrap() <= 3);
        assert!(q.is_empty() && q.bytes() == 0 && q.shares.is_empty() && !q.waits_for(&NEXT));
    }

    #[test]
    fn each_has_as_many_bytes_of_the_link() {
        let mut q = Queue::default();
        (0..20).for_each(|n| q.push(NEXT, queued(A, n, 60_000)));
        (0..200).for_each(|n| q.push(NEXT, queued(B, n, 1_000)));
        let mut sent = BTreeMap::new();
        for _ in 0..90 {
            let q = q.next(&NEXT, |_| true).unwrap();
            *sent.entry(q.from).or_insert(0) += q.frame.len();
        }
        let (a, b) = (sent[&A] as f64, sent[&B] as f64);
        assert!((0.4..2.5).contains(&(a / b)), "{sent:?}");
    }

    #[test]
    fn what_does_not_fit_stays_and_what_is_late_or_lost_is_named() {
        let mut q = Queue::default();
        (0..5).for_each(|n| q.push(NEXT, queued(A, n, 100)));
        assert!(q.next(&NEXT, |_| false).is_none());
        assert_eq!(q.late(at(2_002)).iter().map(|q| q.id.0[0]).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(q.lost(&NEXT).len(), 2);
        assert!(q.is_empty() && q.bytes() == 0 && q.shares.is_empty());
    }

    #[test]
    fn nobody_fills_it_alone() {
        let mut q = Queue::default();
        let mut n = 0;
        while q.has_room(&A, &A, &NEXT, 100) {
            q.push(NEXT, queued(A, 0, 100));
            n += 1;
        }
        assert_eq!(n, QUEUE / SHARE);
        assert!(q.has_room(&B, &B, &NEXT, 100) && !q.has_room(&B, &B, &NEXT, QUEUE_BYTES / SHARE + 1));
        // Nor with other keys behind the same link, nor for one link.
        assert!(!q.has_room(&B, &A, &NEXT, 100));
        while q.has_room(&B, &B, &NEXT, 100) {
            q.push(NEXT, queued(B, 0, 100));
        }
        let c = NodeId([3; 32]);
        assert!(!q.has_room(&c, &c, &NEXT, 100) && q.has_room(&c, &c, &A, 100));
    }
}
