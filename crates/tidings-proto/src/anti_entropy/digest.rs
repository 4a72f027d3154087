//! A set in eight bytes: enough to see that two are equal.

use crate::wire::{Change, ShortId};

/// Any number but zero: no item is to weigh nothing (the golden ratio's digits, as in SplitMix64).
const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The sum of a set's items, each scattered: independent of their order, and able to follow the set. Items are halves of
/// keyed hashes; whoever can choose them to cancel out hides its own batches from repair, and nobody else's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// The sum.
    pub sum: u64,
    /// How many items.
    pub count: u64,
}

impl Digest {
    /// An item belongs to the set.
    pub fn add(&mut self, id: &ShortId) {
        *self = self.plus(Digest::of(id));
    }

    /// An item belongs to the set no longer.
    pub fn remove(&mut self, id: &ShortId) {
        *self = self.minus(Digest::of(id));
    }

    /// Of one item alone.
    fn of(id: &ShortId) -> Digest {
        let (a, b) = halves(id);
        Digest { sum: super::riblt::mix(super::riblt::mix(a).wrapping_add(b) ^ SCATTER), count: 1 }
    }

    /// Of both sets together. Differences are digests as well, whose counts wrap.
    pub fn plus(self, other: Digest) -> Digest {
        Digest { sum: self.sum.wrapping_add(other.sum), count: self.count.wrapping_add(other.count) }
    }

    /// What is left without the other's items.
    pub fn minus(self, other: Digest) -> Digest {
        Digest { sum: self.sum.wrapping_sub(other.sum), count: self.count.wrapping_sub(other.count) }
    }
}

impl From<Digest> for Change {
    fn from(d: Digest) -> Change {
        // A change is of one item, whose place another may take.
        Change { sum: d.sum, count: d.count.cast_signed().clamp(-1, 1) as i8 }
    }
}

impl From<Change> for Digest {
    fn from(c: Change) -> Digest {
        Digest { sum: c.sum, count: i64::from(c.count).cast_unsigned() }
    }
}

/// An id as two numbers.
pub(super) fn halves(id: &ShortId) -> (u64, u64) {
    let (mut a, mut b) = ([0; 8], [0; 8]);
    a.copy_from_slice(&id.0[..8]);
    b.copy_from_slice(&id.0[8..]);
    (u64::from_le_bytes(a), u64::from_le_bytes(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(items: &[u8]) -> Digest {
        let mut d = Digest::default();
        items.iter().for_each(|i| d.add(&ShortId([*i; 16])));
        d
    }

    #[test]
    fn order_does_not_matter_and_each_item_does() {
        assert_eq!(digest(&[1, 2, 3]), digest(&[3, 1, 2]));
        assert_ne!(digest(&[1, 2, 3]).sum, digest(&[1, 2, 4]).sum);
        assert_ne!(digest(&[1, 2]).sum, digest(&[1, 2, 0]).sum);
    }
}
