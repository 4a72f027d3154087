//! What nodes say to each other about the content of large messages (`large/`).

use minicbor::{Decode, Encode};

use crate::identity::ContentId;

/// Most chunks of one content: what a manifest of 32 KiB can name.
pub const MAX_CHUNKS: usize = 1000;
/// Most contents named by one [`Want`], [`Lack`] or [`Unwant`] (at some 170 bytes each at most, a frame of 5 KiB).
pub const MAX_ASKS: usize = 32;

/// A set of chunks by number: a bit each, the lowest bit of the first byte being chunk 0. Bytes of zeros at the end are
/// left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct ChunkSet(#[cbor(with = "minicbor::bytes")] Vec<u8>);

impl ChunkSet {
    /// All of `n` chunks.
    pub fn full(n: usize) -> Self {
        (0..n as u32).collect()
    }

    /// Whether chunk `n` is in it.
    pub fn has(&self, n: u32) -> bool {
        self.0.get(n as usize / 8).is_some_and(|b| b >> (n % 8) & 1 == 1)
    }

    /// Adds a chunk. Returns whether it is new.
    pub fn insert(&mut self, n: u32) -> bool {
        debug_assert!((n as usize) < MAX_CHUNKS);
        if self.has(n) {
            return false;
        }
        let at = n as usize / 8;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] |= 1 << (n % 8);
        true
    }

    /// Takes a chunk out.
    pub fn remove(&mut self, n: u32) {
        if let Some(b) = self.0.get_mut(n as usize / 8) {
            *b &= !(1 << (n % 8));
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// How many chunks.
    pub fn count(&self) -> usize {
        self.0.iter().map(|b| b.count_ones() as usize).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|b| *b == 0)
    }

    /// The chunks, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let ones = |(at, byte): (usize, &u8)| {
            let mut left = *byte;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(at as u32 * 8 + bit)
            })
        };
        self.0.iter().enumerate().flat_map(ones)
    }

    /// Whether all of it is in `other`.
    pub fn is_within(&self, other: &ChunkSet) -> bool {
        let theirs = other.0.iter().copied().chain(std::iter::repeat(0));
        self.0.iter().zip(theirs).all(|(a, b)| a & !b == 0)
    }

    pub(super) fn within(&self) -> bool {
        self.0.len() <= MAX_CHUNKS / 8
    }
}

impl FromIterator<u32> for ChunkSet {
    fn from_iter<I: IntoIterator<Item = u32>>(chunks: I) -> Self {
        let mut set = ChunkSet::default();
        for n in chunks {
            set.insert(n);
        }
        set
    }
}

/// Some chunks of one content.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Ask {
    /// Of which content.
    #[n(0)]
    pub content: ContentId,
    /// Which chunks.
    #[n(1)]
    pub chunks: ChunkSet,
}

pub(super) fn asks_ok(asks: &[Ask]) -> bool {
    asks.len() <= MAX_ASKS && asks.iter().all(|a| a.chunks.within())
}

/// Asks for chunks. Those the peer does not have yet, but is getting, it sends when they come.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Want {
    /// At most [`MAX_ASKS`].
    #[n(0)]
    pub asks: Vec<Ask>,
}

/// Says which chunks of a content this node has, which is all, or in the middle of getting it. Whoever has something
/// that the sender lacks answers with its own, and keeps it up to date.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Have {
    /// Of which content.
    #[n(0)]
    pub content: ContentId,
    /// Which it has.
    #[n(1)]
    pub chunks: ChunkSet,
}

/// One chunk; its bytes are the frame's payload.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Chunk {
    /// Of which content.
    #[n(0)]
    pub content: ContentId,
    /// Its number.
    #[n(1)]
    pub index: u32,
}

/// Answers a [`Want`]: these chunks cannot be had here.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Lack {
    /// At most [`MAX_ASKS`].
    #[n(0)]
    pub asks: Vec<Ask>,
}

/// Takes a [`Want`] back.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Unwant {
    /// At most [`MAX_ASKS`].
    #[n(0)]
    pub asks: Vec<Ask>,
}
