//! What one receiver got: each message once, and in what time. Owned by the receiver's task alone.

use std::collections::BTreeMap;

use super::histogram::Histogram;
use super::payload::Stamp;

/// A growing set of small numbers.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Whether `n` is new.
    fn insert(&mut self, n: u64) -> bool {
        let (word, bit) = ((n / 64) as usize, 1 << (n % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }
}

/// The counts of one receiver.
pub(super) struct Tally {
    messages: u64,
    size: usize,
    places: BTreeMap<([u8; 32], u64), Bits>,
    numbers: Bits,
    latency: Histogram,
    duplicates: u64,
    foreign: u64,
    missed: u64,
    delivered: u64,
}

impl Tally {
    /// For a run of `messages` messages of `size` bytes.
    pub(super) fn new(messages: u64, size: usize) -> Self {
        Tally {
            messages,
            size,
            places: BTreeMap::new(),
            numbers: Bits::default(),
            latency: Histogram::new(),
            duplicates: 0,
            foreign: 0,
            missed: 0,
            delivered: 0,
        }
    }

    /// Counts one message, read at `now_ns`. True if it is one of the run's and the first of its kind.
    /// `payload` is the beginning of a message of `len` bytes.
    pub(super) fn count(
        &mut self,
        author: [u8; 32],
        epoch: u64,
        seq: u64,
        len: usize,
        payload: &[u8],
        now_ns: u64,
    ) -> bool {
        let stamp = Stamp::read(payload).filter(|s| s.number < self.messages && len == self.size);
        // A sequence number past the run's length is nothing this run published, and must not grow the bitmap.
        let Some(stamp) = stamp.filter(|_| (1..=self.messages).contains(&seq)) else {
            self.foreign += 1;
            return false;
        };
        let new_place = self.places.entry((author, epoch)).or_default().insert(seq);
        let new_number = self.numbers.insert(stamp.number);
        if !(new_place && new_number) {
            self.duplicates += 1;
            return false;
        }
        self.delivered += 1;
        self.latency.record(now_ns.saturating_sub(stamp.sent_ns) / 1000);
        true
    }
}

impl Tally {
    /// The node said that it missed `n` messages.
    pub(super) fn missed(&mut self, n: u64) {
        self.missed = self.missed.saturating_add(n);
    }
}

/// The counts of all receivers.
pub(super) struct Totals {
    pub(super) delivered: u64,
    pub(super) duplicates: u64,
    /// Messages that nobody published in this run, or that have another length.
    pub(super) foreign: u64,
    /// Messages that the nodes said they missed.
    pub(super) missed: u64,
    pub(super) latency: Histogram,
}

impl Totals {
    pub(super) fn new() -> Self {
        Totals { delivered: 0, duplicates: 0, foreign: 0, missed: 0, latency: Histogram::new() }
    }

    pub(super) fn add(&mut self, tally: &Tally) {
        self.delivered += tally.delivered;
        self.duplicates += tally.duplicates;
        self.foreign += tally.foreign;
        self.missed += tally.missed;
        self.latency.merge(&tally.latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(number: u64) -> Vec<u8> {
        Stamp { number, sent_ns: 1_000 }.payload(32)
    }

    fn totals(tally: &Tally) -> (u64, u64, u64) {
        let mut t = Totals::new();
        t.add(tally);
        (t.delivered, t.duplicates, t.foreign)
    }

    #[test]
    fn a_message_counts_once_however_it_comes_again() {
        let mut t = Tally::new(10, 32);
        assert!(t.count([1; 32], 1, 1, 32, &payload(0), 2_000));
        assert!(!t.count([1; 32], 1, 1, 32, &payload(0), 2_000), "the same place");
        assert!(!t.count([1; 32], 1, 2, 32, &payload(0), 2_000), "the same content under another number");
        assert!(!t.count([1; 32], 2, 1, 32, &payload(0), 2_000), "the same content in another epoch");
        assert!(t.count([2; 32], 1, 1, 32, &payload(1), 2_000), "another author's");
        assert_eq!(totals(&t), (2, 3, 0));
    }

    #[test]
    fn what_nobody_published_is_not_counted_as_delivered() {
        let mut t = Tally::new(10, 32);
        assert!(!t.count([1; 32], 1, 1, 5, b"short", 0));
        assert!(!t.count([1; 32], 1, 1, 32, &payload(10), 0), "a number past the run");
        assert!(!t.count([1; 32], 1, u64::MAX, 32, &payload(0), 0), "a sequence number past the run");
        assert!(!t.count([1; 32], 1, 1, 31, &payload(0)[..31], 0), "cut short");
        assert_eq!(totals(&t), (0, 0, 4));
    }
}
