//! What changed just now: two nodes' records that differ by that alone do not differ for long.

use super::store::Store;
use crate::anti_entropy::Digest;
use crate::time::{Span, Time};

/// Changes within so long are on their way between neighbours: a difference they explain is none (the slowest paths measured
/// take half a second). And so many of them are looked at, in all combinations.
const YOUNG: Span = Span::from_secs(3);
const MAX_YOUNG: usize = 10;
/// A neighbour is told of what changed within so long, so many at most; what it knows of that, it has known for no longer
/// than is remembered.
const TOLD: Span = Span::from_secs(1);
/// Changes that a comparison tells of, at most.
pub const MAX_TOLD: usize = 32;
const RECENT: Span = Span::from_secs(10);
const MAX_RECENT: usize = 512;

impl Store {
    /// The set changed from what `before` is the digest of.
    pub(super) fn note(&mut self, now: Time, before: Digest) {
        self.recent.push_back((now, self.digest.minus(before)));
        while self.recent.front().is_some_and(|y| now.since(y.0) > RECENT || self.recent.len() > MAX_RECENT) {
            self.recent.pop_front();
        }
    }

    /// What changed within `span`, and since then, the latest first.
    fn changes(&self, now: Time, since: Time, span: Span) -> impl Iterator<Item = Digest> {
        let young = move |y: &&(Time, Digest)| y.0 > since && now.since(y.0) <= span;
        self.recent.iter().rev().take_while(young).map(|y| y.1)
    }

    /// What is told a node that has been told of every change since then.
    pub(super) fn told(&self, now: Time, since: Time) -> Vec<Digest> {
        self.changes(now, since, TOLD).take(MAX_TOLD).collect()
    }

    /// Whether a node that is told of every change since then may hold this only because some of our changes have not come
    /// to it yet, and some of those it told of not to us.
    pub(super) fn may_be(&self, now: Time, since: Time, theirs: Digest, told: &[Digest]) -> bool {
        let known = |d: &Digest| self.recent.iter().any(|r| r.1 == *d);
        let theirs = told.iter().filter(|d| !known(d)).fold(theirs, |sum, d| sum.minus(*d));
        let young: Vec<Digest> =
            self.changes(now, since, YOUNG).filter(|d| !told.contains(d)).take(MAX_YOUNG).collect();
        // In the order of Gray's code: each combination is one change from the last.
        let mut at = self.digest;
        for step in 1..=1u32 << young.len() {
            if at == theirs {
                return true;
            }
            let (i, gray) = (step.trailing_zeros() as usize, step ^ step >> 1);
            if let Some(y) = young.get(i) {
                at = if gray >> i & 1 == 1 { at.minus(*y) } else { at.plus(*y) };
            }
        }
        false
    }
}
