//! Latencies in buckets a 64th of their value wide: a fixed 15 KiB however many are counted, 1.6 % off at most.

const SUB_BITS: u32 = 6;
const SUBS: usize = 1 << SUB_BITS;
/// Up to 2^36 µs, some 19 hours.
const OCTAVES: usize = 30;

/// Counts of durations in microseconds.
pub(super) struct Histogram {
    counts: Box<[u32]>,
    max: u64,
    total: u64,
}

fn bucket(us: u64) -> usize {
    if us < SUBS as u64 {
        return us as usize;
    }
    let octave = us.ilog2() - SUB_BITS;
    let index = (octave as usize + 1) * SUBS + (us >> octave) as usize - SUBS;
    index.min((OCTAVES + 1) * SUBS - 1)
}

/// The middle of a bucket.
fn value(index: usize) -> f64 {
    if index < SUBS {
        return index as f64;
    }
    let (octave, sub) = (index / SUBS - 1, index % SUBS + SUBS);
    (sub as f64 + 0.5) * (1_u64 << octave) as f64
}

impl Histogram {
    pub(super) fn new() -> Self {
        Histogram { counts: vec![0; (OCTAVES + 1) * SUBS].into(), max: 0, total: 0 }
    }

    pub(super) fn record(&mut self, us: u64) {
        let count = &mut self.counts[bucket(us)];
        *count = count.saturating_add(1);
        self.max = self.max.max(us);
        self.total += 1;
    }

    pub(super) fn merge(&mut self, other: &Histogram) {
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a = a.saturating_add(*b);
        }
        self.max = self.max.max(other.max);
        self.total += other.total;
    }

    /// The longest, in microseconds, exact.
    pub(super) fn max_us(&self) -> Option<f64> {
        (self.total > 0).then_some(self.max as f64)
    }

    /// The duration that a share `q` of all stay within, in microseconds.
    pub(super) fn quantile_us(&self, q: f64) -> Option<f64> {
        let rank = ((self.total as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        let index = self.counts.iter().position(|c| {
            seen += u64::from(*c);
            seen >= rank
        })?;
        Some(value(index).min(self.max as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_two_percent() {
        let mut h = Histogram::new();
        for us in 1..=100_000 {
            h.record(us);
        }
        for (q, exact) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.0001, 10.0)] {
            let got = h.quantile_us(q).unwrap();
            assert!((got / exact - 1.0_f64).abs() < 0.02, "{q}: {got}");
        }
        assert_eq!(h.max_us(), Some(100_000.0));
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(Histogram::new().quantile_us(0.5), None);
        assert_eq!(Histogram::new().max_us(), None);
    }

    #[test]
    fn the_longest_durations_fit() {
        let mut h = Histogram::new();
        h.record(u64::MAX);
        assert!(h.quantile_us(0.5).is_some());
    }

    #[test]
    fn buckets_follow_one_another() {
        let mut last = 0;
        for us in 0..1_000_000_u64 {
            let b = bucket(us);
            assert!(b == last || b == last + 1, "{us}");
            last = b;
        }
    }
}
