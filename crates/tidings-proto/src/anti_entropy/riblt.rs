//! Rateless invertible Bloom lookup tables: an endless stream of coded symbols of a set, of which anybody with a similar
//! set needs about 1.35 for each difference (Yang, Gilad, Alizadeh, SIGCOMM 2024).
//!
//! A set is one of 64-bit items: keyed hashes of what is reconciled, so that nobody can choose them for everybody. Each item
//! goes into symbol 0, into one of the next few, and then ever more rarely: into symbol i with probability 2 / (2 + i). A
//! symbol holds the xor of its items, the xor of their checks, and how many there are. Symbols of two sets, subtracted, are
//! the symbols of their difference; one with a single item left gives that item away, which is taken out of all its other
//! symbols, and so on until symbol 0 is empty.
//!
//! What differs from the paper, and why:
//! - *Items of eight bytes, checks of four, and counts as what they differ from the expected* (one byte, mostly): some
//!   thirteen bytes a symbol. Who has an item finds out what it stands for; who has not asks for it by those eight bytes.
//! - *Symbols are kept, not made anew*: the first ones of a set ([`Sketch`]) follow each change of it, so that any number of
//!   peers can be served.
//! - *A stream that cannot be one is noticed*: items found twice, items of ours that we do not have, of theirs that we do, an
//!   empty symbol 0 with others left, or no end within the bound.
//!
//! Invariants: an item's symbols depend on the item and the key alone; a sketch equals one made from nothing of the same
//! items; decoding takes memory in proportion to the symbols taken, and no more of those than the bound.

/// The symbols of one set, subtracted or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Symbol {
    sum: u64,
    check: u32,
    count: i64,
}

impl Symbol {
    fn apply(&mut self, item: u64, check: u32, by: i64) {
        self.sum ^= item;
        self.check ^= check;
        self.count = self.count.wrapping_add(by);
    }

    fn minus(self, other: Symbol) -> Symbol {
        Symbol {
            sum: self.sum ^ other.sum,
            check: self.check ^ other.check,
            count: self.count.wrapping_sub(other.count),
        }
    }

    fn is_empty(self) -> bool {
        self == Symbol::default()
    }
}

/// What items are mapped and checked by: both ends of a reconciliation use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub u64);

impl Key {
    fn check(self, item: u64) -> u32 {
        (mix(item ^ self.0.rotate_left(17)) >> 32) as u32
    }

    /// Puts an item into symbols of which the first has index `first`, or takes it out of them.
    pub(super) fn apply_to(self, symbols: &mut [Symbol], first: usize, item: u64, by: i64) {
        let (check, mut at) = (self.check(item), self.symbols(item));
        let end = (first + symbols.len()) as u64;
        while at.at < end {
            if at.at >= first as u64 {
                symbols[at.at as usize - first].apply(item, check, by);
            }
            at.step();
        }
    }

    /// The symbols that an item goes into, in order.
    fn symbols(self, item: u64) -> Indices {
        Indices { state: mix(item.wrapping_add(self.0)), at: 0 }
    }
}

/// A bijection that scatters (the finaliser of SplitMix64; Steele, Lea, Flood, OOPSLA 2014).
pub(super) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Where an item is in the stream, and how to go on from there.
#[derive(Clone, Copy, Debug)]
struct Indices {
    state: u64,
    at: u64,
}

impl Indices {
    /// The next symbol: from i on, the chance that it lies beyond j is ((i + 1.5) / (j + 1.5))², close to the product of
    /// 1 − 2 / (2 + k) for k from i + 1 to j (section 4.2 of the paper). Square roots are exact to the last bit wherever
    /// this runs (IEEE 754), so both ends get the same.
    fn step(&mut self) {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let u = ((mix(self.state) >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
        let gap = (self.at as f64 + 1.5) * (1.0 / u.sqrt() - 1.0);
        // A float past the end saturates.
        self.at = self.at.saturating_add((gap.ceil() as u64).max(1));
    }
}

/// The first symbols of a set, kept up to date.
#[derive(Clone, Debug)]
pub struct Sketch {
    key: Key,
    symbols: Vec<Symbol>,
    items: u64,
}

impl Sketch {
    /// Of an empty set; no symbols yet.
    pub fn new(key: Key) -> Sketch {
        Sketch { key, symbols: Vec::new(), items: 0 }
    }

    /// Of a set of so many items, which [`Sketch::extend`] is given; no symbols yet.
    pub fn of(key: Key, items: u64) -> Sketch {
        Sketch { key, symbols: Vec::new(), items }
    }

    /// The symbols made so far.
    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    /// How many items the set has.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// An item came to the set. It must not have been there.
    pub fn add(&mut self, item: u64) {
        self.items += 1;
        self.apply(item, 1);
    }

    /// An item left the set. It must have been there.
    pub fn remove(&mut self, item: u64) {
        self.items = self.items.saturating_sub(1);
        self.apply(item, -1);
    }

    fn apply(&mut self, item: u64, by: i64) {
        let (check, mut at) = (self.key.check(item), self.key.symbols(item));
        while let Some(s) = usize::try_from(at.at).ok().and_then(|i| self.symbols.get_mut(i)) {
            s.apply(item, check, by);
            at.step();
        }
    }

    /// Makes symbols until there are `count`, from the items of the set, which are all that was added and not removed.
    pub fn extend(&mut self, count: usize, items: impl IntoIterator<Item = u64>) {
        let from = self.symbols.len();
        if count <= from {
            return;
        }
        self.symbols.resize(count, Symbol::default());
        for item in items {
            let (check, mut at) = (self.key.check(item), self.key.symbols(item));
            while at.at < count as u64 {
                if at.at >= from as u64 {
                    self.symbols[at.at as usize].apply(item, check, 1);
                }
                at.step();
            }
        }
    }
}

/// Why a stream of symbols was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RibltError {
    /// More symbols than allowed, and no end: the difference is too large for this way.
    #[error("{0} symbols did not decode")]
    TooMany(usize),
    /// No set has these symbols.
    #[error("the symbols contradict each other or our own set")]
    Lied,
    /// Not an encoding of symbols.
    #[error("not an encoding of symbols")]
    Malformed,
}

/// The difference of two sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// What only the other has.
    pub theirs: Vec<u64>,
    /// What only we have.
    pub ours: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    item: u64,
    check: u32,
    by: i64,
    at: Indices,
}

/// Finds the difference between our set and the one whose symbols come in.
#[derive(Debug)]
pub struct Decoder {
    key: Key,
    most: usize,
    left: Vec<Symbol>,
    found: Vec<Found>,
    /// Symbols that may hold a single item.
    pure: Vec<usize>,
    seen: std::collections::BTreeSet<u64>,
}

impl Decoder {
    /// Takes `most` symbols at most. The key is the other's.
    pub fn new(key: Key, most: usize) -> Decoder {
        Decoder {
            key,
            most,
            left: Vec::new(),
            found: Vec::new(),
            pure: Vec::new(),
            seen: std::collections::BTreeSet::new(),
        }
    }

    /// Symbols taken so far: the index of the next.
    pub fn taken(&self) -> usize {
        self.left.len()
    }

    /// How large the difference seems to be, from what is left of the later half of the symbols taken: what their signed
    /// counts scatter around what the first one, which counts all items, lets expect.
    pub fn estimate(&self) -> usize {
        let net = self.left.first().map_or(0.0, |s| s.count as f64);
        let (mut squares, mut share) = (0.0, 0.0);
        for (i, s) in self.left.iter().enumerate().skip(self.left.len() / 2) {
            let p = 2.0 / (2.0 + i as f64);
            squares += (s.count as f64 - net * p).powi(2);
            share += p * (1.0 - p);
        }
        let left = if share > 0.0 { squares / share } else { 0.0 };
        self.found.len().saturating_add(left.max(net.abs()) as usize)
    }

    /// Takes the next symbols. `sketch` is of our own set by the same key and has that many symbols at least; `is_ours`
    /// tells whether our set has an item. The difference, once it is known.
    pub fn take(
        &mut self,
        symbols: &[Symbol],
        sketch: &Sketch,
        is_ours: impl Fn(u64) -> bool,
    ) -> Result<Option<Difference>, RibltError> {
        let from = self.left.len();
        let to = from + symbols.len();
        if to > self.most {
            return Err(RibltError::TooMany(self.most));
        }
        let Some(own) = sketch.symbols.get(from..to).filter(|_| sketch.key == self.key) else {
            return Err(RibltError::Malformed);
        };
        self.left.extend(symbols.iter().zip(own).map(|(theirs, ours)| theirs.minus(*ours)));
        for f in &mut self.found {
            while f.at.at < to as u64 {
                self.left[f.at.at as usize].apply(f.item, f.check, -f.by);
                f.at.step();
            }
        }
        self.pure.extend(from..to);
        self.peel(&is_ours)?;
        if !self.left.first().is_some_and(|first| first.is_empty()) {
            return Ok(None);
        }
        if self.left.iter().any(|s| !s.is_empty()) {
            return Err(RibltError::Lied);
        }
        let of = |by| self.found.iter().filter(|f| f.by == by).map(|f| f.item).collect();
        Ok(Some(Difference { theirs: of(1), ours: of(-1) }))
    }

    fn peel(&mut self, is_ours: &impl Fn(u64) -> bool) -> Result<(), RibltError> {
        while let Some(i) = self.pure.pop() {
            let Symbol { sum: item, check, count: by } = self.left[i];
            if by.abs() != 1 || check != self.key.check(item) {
                continue;
            }
            if is_ours(item) != (by < 0) || !self.seen.insert(item) {
                return Err(RibltError::Lied);
            }
            let mut at = self.key.symbols(item);
            while at.at < self.left.len() as u64 {
                let j = at.at as usize;
                self.left[j].apply(item, check, -by);
                if self.left[j].count.abs() == 1 {
                    self.pure.push(j);
                }
                at.step();
            }
            self.found.push(Found { item, check, by, at });
        }
        Ok(())
    }
}

/// What symbol `i` of a set of `items` counts, about.
fn expected(items: u64, i: usize) -> i64 {
    let of = u128::from(items) * 2 / (2 + i as u128);
    i64::try_from(of).unwrap_or(i64::MAX)
}

/// Symbols as they travel, `from` being the index of the first: eight bytes of items and four of checks, little endian, and
/// what the count differs from the expected as a zigzag varint.
pub fn encode(symbols: &[Symbol], from: usize, items: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(symbols.len() * 14);
    for (i, s) in symbols.iter().enumerate() {
        out.extend_from_slice(&s.sum.to_le_bytes());
        out.extend_from_slice(&s.check.to_le_bytes());
        let more = s.count.wrapping_sub(expected(items, from + i));
        let mut zigzag = ((more << 1) ^ (more >> 63)) as u64;
        while zigzag >= 0x80 {
            out.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        out.push(zigzag as u8);
    }
    out
}

/// Reads what [`encode`] wrote; `most` symbols at most.
pub fn decode(mut bytes: &[u8], from: usize, items: u64, most: usize) -> Result<Vec<Symbol>, RibltError> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        if out.len() >= most {
            return Err(RibltError::Malformed);
        }
        let (sum, rest) = bytes.split_first_chunk::<8>().ok_or(RibltError::Malformed)?;
        let (check, rest) = rest.split_first_chunk::<4>().ok_or(RibltError::Malformed)?;
        let (mut zigzag, mut len) = (0u64, 0);
        loop {
            let byte = *rest.get(len).ok_or(RibltError::Malformed)?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has one bit left, and nothing is longer than it need be.
            if len > 9 || (len == 9 && bits > 1) || (byte == 0 && len > 0) {
                return Err(RibltError::Malformed);
            }
            zigzag |= bits << (7 * len);
            len += 1;
            if byte < 0x80 {
                break;
            }
        }
        let more = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        let count = more.wrapping_add(expected(items, from + out.len()));
        out.push(Symbol { sum: u64::from_le_bytes(*sum), check: u32::from_le_bytes(*check), count });
        bytes = &rest[len..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
