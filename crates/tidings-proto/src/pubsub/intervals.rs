//! Sets of sequence numbers as intervals: small, exact, and bounded.

use minicbor::{Decode, Encode};

/// Intervals every set may have. When a set has more holes than it may, the oldest hole is closed: what is in it counts as
/// seen, and will be refused if it ever comes.
pub(super) const FEW: usize = 64;
/// Intervals a set may have where there is room for that: as many holes as batches may wait behind them, when a node that
/// read nothing for a while gets every other batch.
pub(super) const MANY: usize = 2_048;

/// A set of sequence numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    /// Adds `from..=to`, and closes holes until there are `most` intervals. Returns how many numbers in closed holes now
    /// count as seen.
    pub(super) fn insert(&mut self, from: u64, to: u64, most: usize) -> u64 {
        debug_assert!(from <= to);
        let start = self.0.partition_point(|(_, b)| b.saturating_add(1) < from);
        let end = self.0.partition_point(|(a, _)| *a <= to.saturating_add(1));
        let merged = self.0[start..end].iter().fold((from, to), |m, i| (m.0.min(i.0), m.1.max(i.1)));
        self.0.splice(start..end, [merged]);
        self.narrow(most)
    }

    /// Closes the oldest holes until there are `most` intervals. Returns how many numbers they held.
    pub(super) fn narrow(&mut self, most: usize) -> u64 {
        let over = self.0.len().saturating_sub(most.max(1));
        let closed = (0..over).map(|i| self.0[i + 1].0 - self.0[i].1 - 1).sum();
        if over > 0 {
            self.0[over].0 = self.0[0].0;
            self.0.drain(..over);
        }
        closed
    }

    /// How many intervals.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Removes `from..=to`.
    pub(super) fn remove(&mut self, from: u64, to: u64) {
        let mut left = Vec::with_capacity(self.0.len() + 1);
        for &(a, b) in &self.0 {
            if b < from || a > to {
                left.push((a, b));
                continue;
            }
            if a < from {
                left.push((a, from - 1));
            }
            if b > to {
                left.push((to + 1, b));
            }
        }
        self.0 = left;
    }

    /// Whether all of `from..=to` is there.
    pub(super) fn contains(&self, from: u64, to: u64) -> bool {
        let at = self.0.partition_point(|(_, b)| *b < from);
        self.0.get(at).is_some_and(|(a, b)| *a <= from && to <= *b)
    }

    /// Whether any of `from..=to` is there.
    pub(super) fn touches(&self, from: u64, to: u64) -> bool {
        let at = self.0.partition_point(|(_, b)| *b < from);
        self.0.get(at).is_some_and(|(a, _)| *a <= to)
    }

    /// Whether the intervals are ascending, apart, and few: what a record from storage must be.
    pub(super) fn valid(&self) -> bool {
        self.0.len() <= MANY
            && self.0.iter().all(|(a, b)| a <= b)
            && self.0.windows(2).all(|w| w[0].1 < u64::MAX && w[0].1 + 1 < w[1].0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn intervals_agree_with_a_plain_set(
            steps in proptest::collection::vec((any::<bool>(), 1u64..60, 0u64..6), 1..60),
            probe in (1u64..60, 0u64..6),
        ) {
            let (mut fast, mut plain) = (Intervals::default(), BTreeSet::new());
            for (add, from, len) in steps {
                let to = from + len;
                if add {
                    prop_assert_eq!(fast.insert(from, to, FEW), 0);
                    plain.extend(from..=to);
                } else {
                    fast.remove(from, to);
                    plain.retain(|x| !(from..=to).contains(x));
                }
                prop_assert!(fast.valid());
            }
            let (from, to) = (probe.0, probe.0 + probe.1);
            prop_assert_eq!(fast.contains(from, to), (from..=to).all(|x| plain.contains(&x)));
            prop_assert_eq!(fast.touches(from, to), (from..=to).any(|x| plain.contains(&x)));
        }
    }

    #[test]
    fn too_many_holes_close_the_oldest() {
        let mut s = Intervals::default();
        for i in 0..FEW as u64 {
            assert_eq!(s.insert(i * 10 + 1, i * 10 + 5, FEW), 0);
        }
        assert_eq!(s.insert(FEW as u64 * 10 + 1, FEW as u64 * 10 + 1, FEW), 5);
        assert!(s.contains(1, 15), "the oldest hole counts as seen");
        assert!(!s.touches(16, 20), "the next one is still open");
        assert_eq!(s.narrow(FEW - 2), 10);
        assert!(s.contains(1, 35) && !s.touches(36, 40));
    }
}
