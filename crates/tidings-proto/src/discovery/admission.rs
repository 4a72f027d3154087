//! Admission: which adverts this node counts on. Each node judges for itself, by what it and its neighbours have reached.
//!
//! Attestations (`reach.rs`) are signed by keys, and keys cost nothing: a member can make as many well-formed adverts as it
//! likes, at addresses where nobody is, with ids and places drawn to suit it. What it cannot make is an address of its own in
//! a network (/24, /48) where it has none: nobody who dials it there gets an answer. So what counts is who was reached.
//!
//! | standing | it is | counts |
//! |---|---|---|
//! | `Reached` | a link to it, or from it, showed its key at its address within a day | fully |
//! | `Vouched` | so many neighbours say that they have reached it as is usual among those this node has reached itself: at least half as many | fully |
//! | `Stranger` | none of these | as many in a thousand as answered, of the strangers that this node dialed last |
//! | `Failing` | a dial failed less than a minute ago, or its advert was not refreshed when it was due and it was not reached since | not |
//! | `Dead` | two dials failed, half a minute apart; for half an hour | not |
//!
//! The holders of a shard are the first of the order of places (`index.rs`) that together count for eight. Who is there and
//! counts is never moved out of the order by what somebody else signs: false adverts make the band longer while they are
//! strangers, by as many as are false, and are passed over when they have been dialed. When fewer than a quarter of the
//! strangers answer they count for nothing, and it takes a dial or the neighbours' word to come in.
//!
//! So somebody with k of n places has k/n of each shard's holders, whatever it signs: sybils multiply votes where an
//! identity is free (Douceur, IPTPS 2002), addresses are not. Neighbours are a sample that is hard to bias, since membership
//! keeps prefixes apart; to vouch for what is not there takes half of a node's neighbours, and a neighbour of whose word two
//! thirds prove false is not listened to. Measuring the usual number of votes on what this node has reached itself means that
//! there is no number to choose, and none that a liar can raise or lower but by its own vote: in a young network two votes are
//! enough, in an old one it takes half of the neighbours.
//!
//! Invariants: nothing a stranger signs changes the standing of another; evidence is of one key at one address; `MAX_PROOFS`
//! nodes are remembered, the one heard of longest ago goes; a neighbour vouches for [`MAX_VOUCHED`] at most.

use std::collections::{BTreeMap, BTreeSet};

use crate::id_map::IdMap;
use crate::identity::{Addr, NodeId};
use crate::time::{Span, Time};
pub(crate) use crate::wire::MAX_VOUCHED;

/// Having been reached counts for so long: addresses that change, change about daily.
const DAY: Span = Span::from_secs(24 * 3_600);
/// A node that failed counts for nothing for so long; another failure so much later makes it dead.
pub(crate) const RETRY: Span = Span::from_secs(60);
const APART: Span = Span::from_secs(30);
/// An advert that was not refreshed a minute after it was due is believed no longer, unless its node was reached since.
const LATE: Span = Span::from_secs(960);
/// For how long (that of an advert which nobody refreshes).
const DEAD: Span = Span::from_secs(1_800);
/// Nodes of which is remembered whether they were reached: twice what the index takes.
const MAX_PROOFS: usize = 4_096;
/// What strangers are taken for before any was dialed: four that answered (a guess: three that do not halve their weight).
const PRIOR: u32 = 4;
/// Dials of strangers that count: when there were so many they weigh half.
const LAST: u32 = 32;
/// Below this, in thousands, strangers count for nothing.
const LEAST: u32 = 250;
/// Neighbours whose word is remembered, former ones included.
const MAX_VOUCHERS: usize = 64;
/// A neighbour is not listened to of whose word so much was tried, and two thirds false.
const TRIED: u32 = 4;

/// What a node makes of an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// This node has been in touch with it there.
    Reached,
    /// Enough neighbours say that they have.
    Vouched,
    /// Nothing is known of it.
    Stranger,
    /// It did not answer just now, or its refresh is overdue.
    Failing,
    /// It did not answer twice.
    Dead,
}

impl Standing {
    /// Whether somebody that this node believes has reached it.
    pub fn is_trusted(self) -> bool {
        matches!(self, Standing::Reached | Standing::Vouched)
    }
}

#[derive(Clone, Copy, Debug)]
struct Proof {
    addr: Addr,
    reached: Option<Time>,
    failed: u8,
    last: Time,
}

#[derive(Debug, Default)]
struct Voucher {
    heads: BTreeSet<u64>,
    /// Of those it vouched for and this node dialed, how many answered, and how many did not.
    good: u32,
    bad: u32,
}

impl Voucher {
    fn is_liar(&self) -> bool {
        self.good + self.bad >= TRIED && self.bad > 2 * self.good
    }
}

/// What this node and its neighbours have reached.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    proofs: IdMap<Proof>,
    vouchers: BTreeMap<NodeId, Voucher>,
    votes: BTreeMap<u64, u32>,
    /// Votes it takes.
    need: u32,
    tried: u32,
    answered: u32,
}

/// How neighbours name a node to each other.
pub(crate) fn head(node: &NodeId) -> u64 {
    node.0.first_chunk().map_or(0, |b| u64::from_be_bytes(*b))
}

impl Admission {
    /// What a node is, that says to be at `addr`.
    /// `since`: when its advert was last said to hold.
    pub(crate) fn standing(&self, now: Time, node: &NodeId, addr: &Addr, since: Time) -> Standing {
        let late = now.since(since) > LATE;
        if let Some(p) = self.proofs.get(node).filter(|p| p.addr == *addr) {
            let ago = now.since(p.last);
            let lately = if late { LATE } else { DAY };
            match p.failed {
                0 if p.reached.is_some_and(|at| now.since(at) < lately) => return Standing::Reached,
                1 if ago < RETRY => return Standing::Failing,
                2.. if ago < DEAD => return Standing::Dead,
                _ => {}
            }
        }
        match self.is_vouched(head(node)) {
            _ if late => Standing::Failing,
            true => Standing::Vouched,
            false => Standing::Stranger,
        }
    }

    fn is_vouched(&self, head: u64) -> bool {
        self.votes.get(&head).is_some_and(|v| *v >= self.need.max(1))
    }

    /// Everybody that enough neighbours vouch for.
    pub(crate) fn vouched(&self) -> impl Iterator<Item = u64> {
        self.votes.iter().filter(|(_, v)| **v >= self.need.max(1)).map(|(h, _)| *h)
    }

    /// What strangers weigh, in thousandths.
    pub(crate) fn strangers(&self) -> u32 {
        let weight = (PRIOR + self.answered) * 1_000 / (PRIOR + self.tried);
        if weight < LEAST { 0 } else { weight }
    }

    /// The node with this key was at this address just now. `was`: what it was until then.
    pub(crate) fn reached(&mut self, now: Time, node: NodeId, addr: Addr, was: Option<Standing>) {
        self.learn(&node, was, true);
        self.keep(node, Proof { addr, reached: Some(now), failed: 0, last: now });
    }

    /// It was not: a dial failed there, or it sits elsewhere (`surely`). `was`: what it was until then.
    pub(crate) fn failed(&mut self, now: Time, node: NodeId, addr: Addr, was: Option<Standing>, surely: bool) {
        let old = self.proofs.get(&node).filter(|p| p.addr == addr).copied();
        let p = old.unwrap_or(Proof { addr, reached: None, failed: 0, last: now });
        if old.is_some() && p.failed > 0 && !surely && now.since(p.last) < APART {
            return;
        }
        if p.failed == 0 {
            self.learn(&node, was, false);
        }
        let failed = if surely { 2 } else { p.failed.saturating_add(1).min(2) };
        self.keep(node, Proof { failed, last: now, ..p });
    }

    fn keep(&mut self, node: NodeId, proof: Proof) {
        if self.proofs.len() >= MAX_PROOFS && !self.proofs.contains_key(&node) {
            let oldest = self.proofs.iter().min_by_key(|(n, p)| (p.last, **n)).map(|(n, _)| *n);
            oldest.map(|n| self.proofs.remove(&n));
        }
        self.proofs.insert(node, proof);
    }

    /// What a dial says of those that had only others' word.
    fn learn(&mut self, node: &NodeId, was: Option<Standing>, answered: bool) {
        match was {
            Some(Standing::Stranger) => {
                self.tried += 1;
                self.answered += u32::from(answered);
                if self.tried >= LAST {
                    (self.tried, self.answered) = (self.tried / 2, self.answered / 2);
                }
            }
            Some(Standing::Vouched) => {
                let of = head(node);
                for v in self.vouchers.values_mut().filter(|v| v.heads.contains(&of)) {
                    if answered {
                        v.good += 1
                    } else {
                        v.bad += 1
                    }
                    if v.good + v.bad > LAST {
                        (v.good, v.bad) = (v.good / 2, v.bad / 2);
                    }
                }
            }
            _ => {}
        }
    }

    /// A neighbour says whom it has reached, and whom no longer. Returns how many it names too many.
    pub(crate) fn vouches(&mut self, by: NodeId, anew: bool, reached: &[u64], lost: &[u64]) -> usize {
        let v = self.vouchers.entry(by).or_default();
        if anew {
            v.heads.clear();
        }
        lost.iter().for_each(|h| {
            v.heads.remove(h);
        });
        let mut over = 0;
        for h in reached {
            match v.heads.len() < MAX_VOUCHED {
                true => {
                    v.heads.insert(*h);
                }
                false => over += 1,
            }
        }
        over
    }

    /// It is a neighbour no longer. What its word was worth is remembered: who leaves and comes back has not become honest.
    pub(crate) fn forget(&mut self, by: &NodeId) {
        let Some(v) = self.vouchers.get_mut(by) else { return };
        v.heads.clear();
        if v.bad == 0 {
            self.vouchers.remove(by);
        } else if self.vouchers.len() > MAX_VOUCHERS {
            let least = self.vouchers.iter().filter(|(_, v)| v.heads.is_empty()).min_by_key(|(n, v)| (v.bad, **n));
            let least = least.map(|(n, _)| *n);
            least.map(|n| self.vouchers.remove(&n));
        }
    }

    /// Those that this node has reached where they are now, as `addr` says.
    pub(crate) fn known<'a>(&self, now: Time, addr: impl Fn(&NodeId) -> Option<&'a Addr>) -> Vec<u64> {
        let holds = |n: &NodeId, p: &Proof| {
            let reached = p.failed == 0 && p.reached.is_some_and(|at| now.since(at) < DAY);
            reached && addr(n) == Some(&p.addr)
        };
        self.proofs.iter().filter(|(n, p)| holds(n, p)).map(|(n, _)| head(n)).collect()
    }

    /// Counts votes anew. `known`: those this node has reached itself.
    pub(crate) fn count(&mut self, known: impl Iterator<Item = u64>) {
        self.votes.clear();
        for v in self.vouchers.values().filter(|v| !v.is_liar()) {
            for h in &v.heads {
                *self.votes.entry(*h).or_default() += 1;
            }
        }
        let (mut all, mut sum) = (0, 0);
        for h in known {
            all += 1;
            sum += self.votes.get(&h).copied().unwrap_or(0);
        }
        // Half of what is usual, rounded up, and where there are several neighbours not one alone.
        let heard = self.vouchers.values().filter(|v| !v.heads.is_empty()).count();
        let least = if heard > 2 { 2 } else { 1 };
        self.need = if all == 0 { least } else { sum.div_ceil(2 * all).max(least) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u16) -> NodeId {
        let mut id = [7; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        NodeId(id)
    }

    fn addr(n: u16) -> Addr {
        Addr::from(std::net::SocketAddr::from(([10, (n >> 8) as u8, n as u8, 1], 1)))
    }

    fn at(s: u64) -> Time {
        Time::default() + Span::from_secs(s)
    }

    #[test]
    fn one_failure_rests_it_and_two_make_it_dead_for_a_while() {
        let mut a = Admission::default();
        let standing = |a: &Admission, s| a.standing(at(s), &node(1), &addr(1), at(s));
        assert_eq!(standing(&a, 0), Standing::Stranger);
        a.failed(at(0), node(1), addr(1), None, false);
        a.failed(at(1), node(1), addr(1), None, false);
        assert_eq!((standing(&a, 2), standing(&a, 61)), (Standing::Failing, Standing::Stranger));
        a.failed(at(61), node(1), addr(1), None, false);
        assert_eq!((standing(&a, 62), standing(&a, 1_900)), (Standing::Dead, Standing::Stranger));
        a.reached(at(70), node(1), addr(1), None);
        assert_eq!(standing(&a, 71), Standing::Reached);
    }

    #[test]
    fn what_was_reached_was_reached_at_that_address() {
        let mut a = Admission::default();
        a.reached(at(0), node(1), addr(1), None);
        assert_eq!(a.standing(at(1), &node(1), &addr(2), at(1)), Standing::Stranger);
        assert_eq!(a.standing(at(86_401), &node(1), &addr(1), at(86_401)), Standing::Stranger);
    }

    #[test]
    fn strangers_weigh_as_much_as_they_answer() {
        let mut a = Admission::default();
        assert_eq!(a.strangers(), 1_000);
        for n in 0..30 {
            a.reached(at(0), node(n), addr(n), Some(Standing::Stranger));
        }
        assert_eq!(a.strangers(), 1_000);
        for n in 0..400 {
            a.failed(at(0), node(100 + n), addr(n), Some(Standing::Stranger), false);
        }
        assert_eq!(a.strangers(), 0);
    }

    #[test]
    fn it_takes_half_of_the_usual_votes() {
        let mut a = Admission::default();
        for by in 0..6 {
            a.vouches(node(by), true, &(0..20).map(|n| head(&node(500 + n))).collect::<Vec<_>>(), &[]);
        }
        let false_one = head(&node(900));
        for by in 0..2 {
            a.vouches(node(by), false, &[false_one], &[]);
        }
        a.count((0..10).map(|n| head(&node(500 + n))));
        assert!(a.is_vouched(head(&node(515))));
        assert!(!a.is_vouched(false_one));
        a.vouches(node(2), false, &[false_one], &[]);
        a.count((0..10).map(|n| head(&node(500 + n))));
        assert!(a.is_vouched(false_one), "three of six");
    }

    #[test]
    fn who_vouches_for_what_is_not_there_is_not_listened_to() {
        let mut a = Admission::default();
        let false_ones: Vec<u64> = (0..20).map(|n| head(&node(900 + n))).collect();
        a.vouches(node(1), true, &false_ones, &[]);
        a.count([].into_iter());
        for n in 0..TRIED as u16 {
            let was = a.standing(at(0), &node(900 + n), &addr(n), at(0));
            assert_eq!(was, Standing::Vouched);
            a.failed(at(0), node(900 + n), addr(n), Some(was), false);
        }
        a.count([].into_iter());
        assert_eq!(a.standing(at(0), &node(910), &addr(10), at(0)), Standing::Stranger);
    }

    #[test]
    fn whose_refresh_is_overdue_counts_only_if_it_was_reached_since() {
        let mut a = Admission::default();
        let standing = |a: &Admission, s| a.standing(at(s), &node(1), &addr(1), at(0));
        assert_eq!((standing(&a, 950), standing(&a, 961)), (Standing::Stranger, Standing::Failing));
        a.reached(at(10), node(1), addr(1), None);
        assert_eq!((standing(&a, 950), standing(&a, 990)), (Standing::Reached, Standing::Failing));
        a.reached(at(900), node(1), addr(1), None);
        assert_eq!(standing(&a, 990), Standing::Reached);
    }

    #[test]
    fn it_is_bounded() {
        let mut a = Admission::default();
        for n in 0..6_000 {
            a.reached(at(u64::from(n)), node(n), addr(n), None);
        }
        assert_eq!(a.proofs.len(), MAX_PROOFS);
        assert!(!a.proofs.contains_key(&node(0)) && a.proofs.contains_key(&node(5_999)));
        let over = a.vouches(node(1), true, &(0..3_000).collect::<Vec<_>>(), &[]);
        assert_eq!(over, 3_000 - MAX_VOUCHED);
    }
}
