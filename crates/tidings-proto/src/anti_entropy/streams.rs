//! What a set holds, said by its authors' numbers: far shorter than anything else while authors are few or much is missing.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::{MAX_SPANS, MAX_STREAMS};
use crate::identity::NodeId;

/// An author's epoch. The author by the first eight bytes of its id: who makes another with the same confuses the repair
/// of its own messages, for the true one's are found by all 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct StreamTag {
    /// Whose.
    #[n(0)]
    pub author: u64,
    /// Of which epoch.
    #[n(1)]
    pub epoch: u64,
}

impl StreamTag {
    /// Of this author and epoch.
    pub fn new(author: &NodeId, epoch: u64) -> StreamTag {
        let mut first = [0; 8];
        first.copy_from_slice(&author.0[..8]);
        StreamTag { author: u64::from_be_bytes(first), epoch }
    }
}

/// A stretch of numbers, both ends included.
type Span = (u64, u64);

/// Numbers that are missing: whose, from, to.
pub type Gaps = Vec<(StreamTag, u64, u64)>;

/// The numbers a set holds: for each stream, ascending spans that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Streams(BTreeMap<StreamTag, Vec<Span>>);

impl Streams {
    /// A batch with these numbers is in the set. Quick in ascending order, exact in any.
    pub fn add(&mut self, tag: StreamTag, from: u64, to: u64) {
        let spans = self.0.entry(tag).or_default();
        match spans.last_mut() {
            Some(last) if last.1.saturating_add(1) == from => last.1 = to,
            Some(last) if last.1 >= from => {
                let start = spans.partition_point(|s| s.1.saturating_add(1) < from);
                let end = spans.partition_point(|s| s.0 <= to.saturating_add(1));
                let all = spans[start..end].iter().fold((from, to), |m, s| (m.0.min(s.0), m.1.max(s.1)));
                spans.splice(start..end, [all]);
            }
            _ => spans.push((from, to)),
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes it takes to say, about.
    pub fn cost(&self) -> usize {
        self.0.values().map(|s| 20 + s.len() * 6).sum()
    }

    /// Whether it can be said in one message.
    pub fn fits(&self) -> bool {
        let spans: usize = self.0.values().map(Vec::len).sum();
        // A tag takes 20 bytes at most, a span 20 with the largest numbers; the body's length has two bytes.
        self.0.len() <= MAX_STREAMS && spans <= MAX_SPANS && self.0.len() * 20 + spans * 20 <= 60_000
    }

    /// Whether spans are ascending, apart and few: what comes from a peer must be.
    pub fn valid(&self) -> bool {
        let spans: usize = self.0.values().map(Vec::len).sum();
        let apart = |s: &Vec<Span>| s.windows(2).all(|w| w[0].1 < u64::MAX && w[0].1 + 1 < w[1].0);
        self.0.len() <= MAX_STREAMS
            && spans <= MAX_SPANS
            && self.0.values().all(|s| s.iter().all(|(a, b)| a <= b) && apart(s))
    }

    /// Whether all these numbers are there.
    pub fn holds(&self, tag: &StreamTag, from: u64, to: u64) -> bool {
        self.0.get(tag).is_some_and(|spans| {
            let at = spans.partition_point(|s| s.1 < from);
            spans.get(at).is_some_and(|s| s.0 <= from && to <= s.1)
        })
    }

    /// The numbers that `other` holds and these do not, `most` stretches at most.
    pub fn lacking(&self, other: &Streams, most: usize) -> Gaps {
        let mut gaps = Vec::new();
        for (tag, theirs) in &other.0 {
            let ours = self.0.get(tag).map_or(&[][..], Vec::as_slice);
            for &(from, to) in theirs {
                let mut next = Some(from);
                for o in &ours[ours.partition_point(|o| o.1 < from)..] {
                    let Some(at) = next.filter(|at| *at <= to && o.0 <= to) else { break };
                    if at < o.0 {
                        gaps.push((*tag, at, o.0 - 1));
                    }
                    next = o.1.checked_add(1);
                }
                if let Some(at) = next.filter(|at| *at <= to) {
                    gaps.push((*tag, at, to));
                }
                if gaps.len() >= most {
                    gaps.truncate(most);
                    return gaps;
                }
            }
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn tag(author: u64) -> StreamTag {
        StreamTag { author, epoch: 1 }
    }

    proptest! {
        #[test]
        fn streams_agree_with_plain_sets(
            ours in proptest::collection::vec((0u64..3, 1u64..40, 0u64..6), 0..30),
            theirs in proptest::collection::vec((0u64..3, 1u64..40, 0u64..6), 0..30),
            probe in (0u64..3, 1u64..40, 0u64..6),
        ) {
            let build = |of: &[(u64, u64, u64)]| {
                let (mut s, mut plain) = (Streams::default(), BTreeSet::new());
                for (a, from, len) in of {
                    s.add(tag(*a), *from, from + len);
                    plain.extend((*from..=from + len).map(|n| (*a, n)));
                }
                (s, plain)
            };
            let ((a, plain_a), (b, plain_b)) = (build(&ours), build(&theirs));
            prop_assert!(a.valid() && b.valid());
            let gaps = a.lacking(&b, usize::MAX);
            let found: BTreeSet<(u64, u64)> =
                gaps.iter().flat_map(|(t, from, to)| (*from..=*to).map(|n| (t.author, n))).collect();
            prop_assert_eq!(found, plain_b.difference(&plain_a).copied().collect::<BTreeSet<_>>());
            let (author, from, len) = probe;
            let all = (from..=from + len).all(|n| plain_a.contains(&(author, n)));
            prop_assert_eq!(a.holds(&tag(author), from, from + len), all);
        }
    }

    #[test]
    fn the_largest_numbers_do_no_harm() {
        let (mut a, mut b) = (Streams::default(), Streams::default());
        a.add(tag(1), 1, 5);
        b.add(tag(1), 1, u64::MAX);
        assert_eq!(a.lacking(&b, 9), [(tag(1), 6, u64::MAX)]);
        assert_eq!(b.lacking(&a, 9), []);
        b.add(tag(1), 7, u64::MAX);
        assert!(b.valid());
    }
}
