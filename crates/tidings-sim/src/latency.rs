//! One-way delays between nodes.

use std::fmt;
use std::str::FromStr;

/// Where a pair's one-way delay is drawn from, uniformly, once per pair. In microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The least.
    pub min_us: u64,
    /// The most.
    pub max_us: u64,
}

impl Latency {
    /// 0.2 to 1 ms.
    pub const LAN: Latency = Latency { min_us: 200, max_us: 1_000 };
    /// 10 to 150 ms.
    pub const WAN: Latency = Latency { min_us: 10_000, max_us: 150_000 };

    /// The delay of one pair; the same in both directions.
    pub fn of(&self, seed: u64, a: u32, b: u32) -> u64 {
        let (lo, hi) = if a < b { (a, b) } else { (b, a) };
        let mut x = seed ^ (u64::from(lo) << 32 | u64::from(hi)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // The finaliser of SplitMix64 (Steele, Lea, Flood 2014): one draw per pair without storing any.
        for m in [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB] {
            x = (x ^ (x >> 30)).wrapping_mul(m);
            x ^= x >> 27;
        }
        x ^= x >> 31;
        self.min_us + ((u128::from(x) * u128::from(self.max_us - self.min_us + 1)) >> 64) as u64
    }
}

impl Default for Latency {
    fn default() -> Self {
        Latency { min_us: 10_000, max_us: 50_000 }
    }
}

/// A text that is no latency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no latency: say lan, wan, or MIN..MAX in milliseconds, such as 10..50")]
pub struct LatencyError(String);

impl FromStr for Latency {
    type Err = LatencyError;

    fn from_str(s: &str) -> Result<Self, LatencyError> {
        let wrong = || LatencyError(s.to_owned());
        let ms = |t: &str| t.trim().parse::<f64>().ok().filter(|v| (0.0..=60_000.0).contains(v)).ok_or_else(wrong);
        match s {
            "lan" => Ok(Latency::LAN),
            "wan" => Ok(Latency::WAN),
            _ => {
                let (a, b) = s.split_once("..").ok_or_else(wrong)?;
                let (min_us, max_us) = ((ms(a)? * 1000.0) as u64, (ms(b)? * 1000.0) as u64);
                if min_us == 0 || min_us > max_us { Err(wrong()) } else { Ok(Latency { min_us, max_us }) }
            }
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.min_us as f64 / 1000.0, self.max_us as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_delay_in_both_directions_within_the_range() {
        let l = Latency::default();
        let mut sum = 0;
        for i in 0..2000 {
            let d = l.of(7, i, i + 1);
            assert_eq!(d, l.of(7, i + 1, i));
            assert!((l.min_us..=l.max_us).contains(&d));
            sum += d;
        }
        let mean = sum / 2000;
        assert!((28_000..32_000).contains(&mean), "the mean delay is {mean} us, not that of a uniform draw");
    }

    #[test]
    fn texts_are_read_and_nonsense_is_refused() {
        assert_eq!("lan".parse(), Ok(Latency::LAN));
        assert_eq!("5..7.5".parse(), Ok(Latency { min_us: 5_000, max_us: 7_500 }));
        for bad in ["", "5", "7..5", "0..5", "a..b", "-1..5", "1..1e9"] {
            assert!(bad.parse::<Latency>().is_err(), "{bad:?}");
        }
    }
}
