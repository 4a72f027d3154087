//! A demo message: its number, the time it was sent, and filler that does not compress.

/// What a message says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Which message of the run, from 0.
    pub(super) number: u64,
    /// When it was published, in nanoseconds on the process's monotonic clock.
    pub(super) sent_ns: u64,
}

impl Stamp {
    /// The message, `size` bytes long; at least 16.
    pub(super) fn payload(self, size: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(size.max(16) + 8);
        out.extend(self.number.to_le_bytes());
        out.extend(self.sent_ns.to_le_bytes());
        // xorshift64*, Vigna 2016.
        let mut x = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        while out.len() < size {
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            out.extend(x.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
        }
        out.truncate(size.max(16));
        out
    }

    /// Reads a message's stamp.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let (number, rest) = payload.split_first_chunk()?;
        let sent_ns = rest.first_chunk()?;
        Some(Stamp { number: u64::from_le_bytes(*number), sent_ns: u64::from_le_bytes(*sent_ns) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_and_the_size_is_exact() {
        let stamp = Stamp { number: 7, sent_ns: 99 };
        for size in [16, 17, 23, 24, 256, 4099] {
            let payload = stamp.payload(size);
            assert_eq!(payload.len(), size);
            assert_eq!(Stamp::read(&payload), Some(stamp));
        }
        assert_eq!(Stamp::read(&[0; 15]), None);
    }
}
