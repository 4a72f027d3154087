//! Sets of sequence numbers as intervals: small, exact, and bounded.

use minicbor::{Decode, Encode};

/// Intervals kept at most. When a set has more holes, the oldest hole is closed: what is in it counts as seen, and
/// will be refused if it ever comes (64 holes mean an author of whom most is lost; a guess).
const MAX: usize = 64;

/// A set of sequence numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    /// Adds `from..=to`. Returns how many numbers of a closed hole now count as seen.
    pub(super) fn insert(&mut self, from: u64, to: u64) -> u64 {
        debug_assert!(from <= to);
        let start = self.0.partition_point(|(_, b)| b.saturating_add(1) < from);
        let end = self.0.partition_point(|(a, _)| *a <= to.saturating_add(1));
        let merged = self.0[start..end].iter().fold((from, to), |m, i| (m.0.min(i.0), m.1.max(i.1)));
        self.0.splice(start..end, [merged]);
        if self.0.len() <= MAX {
            return 0;
        }
        let closed = self.0[1].0 - self.0[0].1 - 1;
        let second = self.0.remove(1);
        self.0[0].1 = second.1;
        closed
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
        self.0.len() <= MAX
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
                    prop_assert_eq!(fast.insert(from, to), 0);
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
        for i in 0..MAX as u64 {
            assert_eq!(s.insert(i * 10 + 1, i * 10 + 5), 0);
        }
        assert_eq!(s.insert(MAX as u64 * 10 + 1, MAX as u64 * 10 + 1), 5);
        assert!(s.contains(1, 15), "the oldest hole counts as seen");
        assert!(!s.touches(16, 20), "the next one is still open");
    }
}
