//! Which of a sender's messages have come, by whatever way: a link, relays, or a backup that waited for days of the sender's life.
//!
//! Messages are numbered by their sender's epoch. Most come in order; what a backup brings may come before what went missing, or
//! long after the sender has begun another epoch. So for each epoch it is kept which numbers have not come. Of so many epochs,
//! and so many gaps in each: of what is older it is not known, and it is not taken, for twice would be worse; nor is it said to have
//! come. What a backup would bring beyond that waits where it is.

use minicbor::{Decode, Encode};

/// Epochs of a sender, and gaps in each.
const EPOCHS: usize = 4;
const GAPS: usize = 64;
/// Bytes that it takes at most.
pub(super) const BYTES: usize = EPOCHS * (GAPS * 16 + 72);

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Numbers {
    #[n(0)]
    epoch: u64,
    /// All from here on have not come.
    #[n(1)]
    next: u64,
    /// Those before that have not: first and past the last, in order.
    #[n(2)]
    gaps: Vec<(u64, u64)>,
    /// Of numbers below this it is not known: there were too many gaps.
    #[n(3)]
    known_from: u64,
}

/// What has come of one sender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Ledger {
    /// All of this epoch and those before count as come.
    #[n(0)]
    floor: u64,
    /// By epoch.
    #[n(1)]
    epochs: Vec<Numbers>,
}

impl Numbers {
    fn lacks(&self, number: u64) -> bool {
        number >= self.next || self.gaps.iter().any(|(first, past)| (*first..*past).contains(&number))
    }

    fn take(&mut self, number: u64) -> bool {
        if number >= self.next {
            if number > self.next {
                self.gaps.push((self.next, number));
            }
            self.next = number.saturating_add(1);
        } else {
            let Some(at) = self.gaps.iter().position(|(first, past)| (*first..*past).contains(&number)) else {
                return false;
            };
            let (first, past) = self.gaps.remove(at);
            let rest = [(number + 1, past), (first, number)];
            rest.into_iter().filter(|(first, past)| first < past).for_each(|gap| self.gaps.insert(at, gap));
        }
        if self.gaps.len() > GAPS {
            self.known_from = self.gaps.remove(0).1;
        }
        true
    }
}

impl Ledger {
    /// Whether this one has not come.
    pub(super) fn lacks(&self, epoch: u64, number: u64) -> bool {
        let of = self.epochs.iter().find(|n| n.epoch == epoch);
        number > 0 && epoch > self.floor && of.is_none_or(|n| n.lacks(number))
    }

    /// Whether it is known of all of these if they have come, and would be still if they came now.
    pub(super) fn has_room_for(&self, epoch: u64, numbers: std::ops::Range<u64>) -> bool {
        if epoch <= self.floor {
            return false;
        }
        let Some(n) = self.epochs.iter().find(|n| n.epoch == epoch) else { return self.epochs.len() < EPOCHS };
        // At most one more gap: before the first, or where one is split.
        numbers.start >= n.known_from && n.gaps.len() < GAPS
    }

    /// One comes. Returns whether it is the first time.
    pub(super) fn take(&mut self, epoch: u64, number: u64) -> bool {
        if !self.lacks(epoch, number) {
            return false;
        }
        let at = self.epochs.partition_point(|n| n.epoch < epoch);
        if self.epochs.get(at).is_none_or(|n| n.epoch != epoch) {
            self.epochs.insert(at, Numbers { epoch, next: 1, gaps: Vec::new(), known_from: 0 });
        }
        let new = self.epochs[at].take(number);
        if self.epochs.len() > EPOCHS {
            self.floor = self.epochs.remove(0).epoch;
        }
        new
    }

    /// One that was taken has not come after all.
    pub(super) fn give_back(&mut self, epoch: u64, number: u64) {
        let Some(n) = self.epochs.iter_mut().find(|n| n.epoch == epoch && number < n.next) else { return };
        let at = n.gaps.partition_point(|(first, _)| *first <= number);
        n.gaps.insert(at, (number, number + 1));
    }

    /// Whether what was read from a disk is one.
    pub(super) fn is_sound(&self) -> bool {
        let sound =
            |n: &Numbers| n.next > 0 && n.gaps.len() <= GAPS && n.gaps.iter().all(|(a, b)| a < b && *b <= n.next);
        self.epochs.len() <= EPOCHS && self.epochs.is_sorted_by_key(|n| n.epoch) && self.epochs.iter().all(sound)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn each_comes_once_in_any_order() {
        let mut rng = Rng::derive(&[7; 32], "ledger", &[]);
        for _ in 0..200 {
            let (mut ledger, mut come) = (Ledger::default(), BTreeSet::new());
            let mut all: Vec<(u64, u64)> = (1..=3).flat_map(|e| (1..=12).map(move |n| (e, n))).collect();
            all.extend_from_within(..);
            let len = all.len();
            rng.sample(&mut all, len);
            for (epoch, number) in all {
                assert_eq!(ledger.lacks(epoch, number), !come.contains(&(epoch, number)));
                assert_eq!(ledger.take(epoch, number), come.insert((epoch, number)), "{epoch} {number}");
                assert!(ledger.is_sound());
            }
        }
    }

    #[test]
    fn what_is_given_back_comes_again() {
        let mut l = Ledger::default();
        assert!((1..=5).all(|n| l.take(1, n)));
        assert!(l.has_room_for(1, 1..6) && l.has_room_for(2, 1..6));
        l.give_back(1, 3);
        l.give_back(1, 5);
        assert!(l.is_sound() && !l.lacks(1, 4));
        assert!(l.take(1, 3) && !l.take(1, 3) && l.take(1, 5) && !l.take(1, 5));
    }

    #[test]
    fn gaps_and_epochs_are_bounded_and_the_oldest_count_as_come() {
        let mut l = Ledger::default();
        assert!((1..=72).all(|n| l.take(9, 2 * n)));
        assert!(l.is_sound());
        assert!(!l.take(9, 1) && !l.has_room_for(9, 1..2), "of the oldest it is not known");
        assert!(!l.has_room_for(9, 143..144) && l.take(9, 143) && l.has_room_for(9, 141..142));
        assert!((10..=12).all(|e| l.take(e, 1)));
        assert!(!l.has_room_for(13, 1..2), "a fifth epoch has none");
        assert!(l.take(13, 1));
        assert!(!l.has_room_for(9, 141..142) && l.has_room_for(13, 2..9));
        assert!(!l.take(9, 77) && !l.take(8, 1), "of the oldest epoch nothing comes any more");
        assert!(l.take(10, 2));
        assert!(!l.take(10, 0));
        // Nor of one that is older still, though there was nothing of it.
        assert!(l.take(20, 1) && !l.take(10, 3) && l.take(11, 2));
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let mut l = Ledger::default();
        assert!(l.take(3, 1) && l.take(3, 4) && l.take(5, u64::MAX));
        let back: Ledger = minicbor::decode(&minicbor::to_vec(&l).unwrap()).unwrap();
        assert_eq!(back, l);
    }
}
