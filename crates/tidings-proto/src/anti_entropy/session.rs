//! The asker's side of a comparison, apart from whatever the set is of: which way to find the difference, how many symbols
//! to ask for, when to stop.

use super::riblt::{Decoder, Difference, Key, RibltError, Symbol};
use super::{Digest, MAX_SYMBOLS, Mirror, Streams};
use crate::wire::ShortId;

/// Bytes a symbol takes, about, and symbols a difference of a few items takes.
const SYMBOL: usize = 14;
/// Symbols taken at most (24 bytes of memory each); a larger difference is not found this way.
pub(crate) const MOST: usize = 1 << 18;
/// The least worth asking for: one packet's worth.
const LEAST: usize = 48;
/// Symbols from which the size of a difference is known to a tenth or so.
const ROUGH: usize = 256;
/// Streams that are always said rather than looked for in symbols: no more than one packet.
const FEW: usize = 24;

/// How to find the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Say what is there, author by author.
    Streams,
    /// Coded symbols.
    Symbols,
    /// Neither fits: too many authors, and no symbols left to try.
    Neither,
}

/// The shorter way. `streams` is how many the other has; symbols have been tried if `failed`.
pub fn way(ours: &Streams, mine: Digest, streams: u64, theirs: Digest, failed: bool) -> Way {
    if !ours.fits() || streams > super::MAX_STREAMS as u64 {
        return if failed { Way::Neither } else { Way::Symbols };
    }
    let differ = usize::try_from(mine.count.abs_diff(theirs.count)).unwrap_or(usize::MAX);
    let few = ours.len().max(usize::try_from(streams).unwrap_or(usize::MAX)) <= FEW;
    if failed || few || ours.cost() <= differ.saturating_mul(SYMBOL + SYMBOL / 2) { Way::Streams } else { Way::Symbols }
}

/// Symbols on their way to a difference.
#[derive(Debug)]
pub struct Decoding {
    ours: Mirror,
    decoder: Decoder,
    most: usize,
    used: usize,
}

impl Decoding {
    /// Of our set against one with `theirs` items, under the other's key.
    pub fn new(key: u64, theirs: u64, ids: impl IntoIterator<Item = ShortId>) -> Decoding {
        let ours = Mirror::new(key, ids);
        let all = usize::try_from(ours.len().saturating_add(theirs)).unwrap_or(usize::MAX);
        let most = all.saturating_mul(2).saturating_add(128).min(MOST);
        Decoding { ours, decoder: Decoder::new(Key(key), most), most, used: 0 }
    }

    /// The key.
    pub fn key(&self) -> u64 {
        self.ours.key()
    }

    /// Symbols taken so far.
    pub fn taken(&self) -> usize {
        self.decoder.taken()
    }

    /// Symbols it took until the difference was known.
    pub fn used(&self) -> usize {
        self.used
    }

    /// How many symbols to ask for next: as many as the difference seems to need, then a few at a time.
    pub fn next(&self) -> usize {
        let taken = self.taken();
        // A few symbols tell the size only roughly (a third more or less from fifty): what is asked for on their word is
        // less than is likely to be needed.
        let share = if taken < ROUGH { 3 } else { 5 };
        let seems = self.decoder.estimate().saturating_mul(share) / 4;
        let next = seems.saturating_sub(taken).max(taken / 16).max(LEAST);
        next.min(MAX_SYMBOLS).min(self.most.saturating_sub(taken))
    }

    /// Takes symbols; the difference, once it is known. An error ends the attempt.
    pub fn take(&mut self, symbols: &[Symbol]) -> Result<Option<Difference>, RibltError> {
        let mut rest = symbols;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at((self.taken() / 512).clamp(1, rest.len()));
            rest = behind;
            let taken = self.taken() + part.len();
            self.ours.extend(if taken <= LEAST { LEAST } else { taken.next_power_of_two() });
            let ours = &self.ours;
            let done = self.decoder.take(part, ours.sketch(), |item| ours.has(item))?;
            if done.is_some() {
                self.used = self.taken();
                return Ok(done);
            }
        }
        if self.taken() >= self.most {
            return Err(RibltError::TooMany(self.most));
        }
        Ok(None)
    }

    /// What an item of ours stands for.
    pub fn id(&self, item: u64) -> Option<ShortId> {
        self.ours.id(item)
    }
}

/// How many symbols to ask for first, before anything is known but how many items each set has.
pub fn first(mine: Digest, theirs: Digest) -> usize {
    let differ = usize::try_from(mine.count.abs_diff(theirs.count)).unwrap_or(usize::MAX);
    (differ.saturating_mul(5) / 4).clamp(LEAST, MAX_SYMBOLS)
}

#[cfg(test)]
mod tests;
