//! Random streams: one per layer and topic, so that a new draw in one never changes another.

use chacha20::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};

/// A random stream, repeatable from its seed.
#[derive(Debug)]
pub struct Rng(Box<ChaCha8Rng>);

impl Rng {
    /// The stream of `purpose` (a layer's name) and `instance` (a topic, or nothing) under a node's seed.
    pub fn derive(seed: &[u8; 32], purpose: &str, instance: &[u8]) -> Self {
        let mut h = blake3::Hasher::new_keyed(seed);
        h.update(&(purpose.len() as u64).to_le_bytes());
        h.update(purpose.as_bytes());
        h.update(instance);
        Rng(Box::new(ChaCha8Rng::from_seed(*h.finalize().as_bytes())))
    }

    /// A uniform draw.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A uniform draw below `n`; 0 when `n` is 0. (The bias of a 64-bit product is below 2^-40 for any list.)
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// A uniform draw from `lo..hi`; `lo` if the range is empty.
    pub fn between(&mut self, lo: u64, hi: u64) -> u64 {
        if hi <= lo { lo } else { lo + ((u128::from(self.next_u64()) * u128::from(hi - lo)) >> 64) as u64 }
    }

    /// A uniform draw from 0 up to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One element, uniformly.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { Some(&of[self.below(of.len())]) }
    }

    /// Moves a uniform sample of `k` elements to the front and cuts the rest off.
    pub fn sample<T>(&mut self, of: &mut Vec<T>, k: usize) {
        let k = k.min(of.len());
        for i in 0..k {
            let j = i + self.below(of.len() - i);
            of.swap(i, j);
        }
        of.truncate(k);
    }
}
