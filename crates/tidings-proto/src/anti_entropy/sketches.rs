//! A set under one key: the items its ids become, and their symbols, kept up to date while it changes.
//!
//! The key is the responder's own and changes each hour, so that nobody can choose ids that are hard to tell apart. Who is
//! being served must see one set although it changes meanwhile: what came or went since its session began is taken back out
//! of the symbols it is sent.

use std::collections::{BTreeMap, VecDeque};

use super::digest::halves;
use super::riblt::{Key, Sketch, Symbol, mix};
use crate::time::UnixMillis;
use crate::wire::ShortId;

/// How long a key is used.
const KEY_AGE_MS: u64 = 3_600_000;
/// Changes remembered for sessions under way; one that began before them has to begin again (a guess: half a minute of a
/// hundred batches a second).
const CHANGES: usize = 4_096;

/// What an id becomes under a key: two rounds of a bijection that scatters. Ids are hashes, so that nobody chooses one; two
/// of the same item are as hard to find as with any hash of 64 bits, by who knows the key.
fn item(key: u64, id: &ShortId) -> u64 {
    let (a, b) = halves(id);
    mix(mix(a ^ key).wrapping_add(b) ^ key.rotate_left(32))
}

/// A set under another's key, as it is: to find out what the two do not share.
#[derive(Debug)]
pub struct Mirror {
    key: u64,
    sketch: Sketch,
    /// In order.
    ids: Vec<(u64, ShortId)>,
}

impl Mirror {
    /// Of these items, under this key.
    pub fn new(key: u64, ids: impl IntoIterator<Item = ShortId>) -> Mirror {
        let mut ids: Vec<(u64, ShortId)> = ids.into_iter().map(|id| (item(key, &id), id)).collect();
        ids.sort_unstable_by_key(|i| i.0);
        // The same item for two ids: some 2^-40 for a million, and then one of them waits for the next key.
        ids.dedup_by_key(|i| i.0);
        Mirror { key, sketch: Sketch::of(Key(key), ids.len() as u64), ids }
    }

    /// The key.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// How many items.
    pub fn len(&self) -> u64 {
        self.sketch.items()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether the set has an item.
    pub fn has(&self, item: u64) -> bool {
        self.id(item).is_some()
    }

    /// What an item stands for.
    pub fn id(&self, item: u64) -> Option<ShortId> {
        self.ids.binary_search_by_key(&item, |i| i.0).ok().map(|at| self.ids[at].1)
    }

    /// Makes `count` symbols at least.
    pub fn extend(&mut self, count: usize) {
        self.sketch.extend(count, self.ids.iter().map(|i| i.0));
    }

    /// The sketch as it is.
    pub fn sketch(&self) -> &Sketch {
        &self.sketch
    }
}

/// A set under a key, kept while it changes.
#[derive(Debug)]
pub struct Stream {
    key: u64,
    sketch: Sketch,
    ids: BTreeMap<u64, ShortId>,
}

impl Stream {
    /// Of these items, under this key.
    pub fn new(key: u64, ids: impl IntoIterator<Item = ShortId>) -> Stream {
        let mut s = Stream { key, sketch: Sketch::new(Key(key)), ids: BTreeMap::new() };
        for id in ids {
            s.add(&id);
        }
        s
    }

    fn add(&mut self, id: &ShortId) -> Option<u64> {
        let item = item(self.key, id);
        if self.ids.insert(item, *id).is_some() {
            return None;
        }
        self.sketch.add(item);
        Some(item)
    }

    fn remove(&mut self, id: &ShortId) -> Option<u64> {
        let item = item(self.key, id);
        self.ids.remove(&item)?;
        self.sketch.remove(item);
        Some(item)
    }

    /// How many items.
    pub fn len(&self) -> u64 {
        self.sketch.items()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// What an item stands for.
    pub fn id(&self, item: u64) -> Option<ShortId> {
        self.ids.get(&item).copied()
    }

    /// The sketch, with `count` symbols at least.
    pub fn sketch(&mut self, count: usize) -> &Sketch {
        self.sketch.extend(count, self.ids.keys().copied());
        &self.sketch
    }
}

/// Symbols to send.
#[derive(Debug)]
pub struct Symbols {
    /// The key they are made with.
    pub key: u64,
    /// Of how many items.
    pub items: u64,
    /// Names the state of the set they are of.
    pub as_of: u64,
    /// The symbols asked for.
    pub symbols: Vec<Symbol>,
}

#[derive(Debug)]
struct Kept {
    stream: Stream,
    /// How often the set changed since it is kept.
    version: u64,
    changes: VecDeque<(u64, bool)>,
}

impl Kept {
    fn changed(&mut self, item: u64, added: bool) {
        self.version += 1;
        self.changes.push_back((item, added));
        if self.changes.len() > CHANGES {
            self.changes.pop_front();
        }
    }

    /// What undoes the changes since `as_of`; nothing if that is too long ago.
    fn since(&self, as_of: u64) -> Option<impl Iterator<Item = (u64, i64)> + '_> {
        let n = usize::try_from(self.version.checked_sub(as_of)?).ok().filter(|n| *n <= self.changes.len())?;
        let since = self.changes.range(self.changes.len() - n..);
        Some(since.map(|(item, added)| (*item, if *added { -1 } else { 1 })))
    }
}

/// The symbols of a set that its owner serves: nothing is kept before somebody asks, and nothing longer than an hour.
#[derive(Debug, Default)]
pub struct Sketches {
    secret: [u8; 32],
    period: u64,
    kept: Option<Kept>,
    /// Of a shorter span than the whole set's, as one asker wanted it.
    narrow: Option<(u64, Stream)>,
}

impl Sketches {
    /// With keys derived from `secret`.
    pub fn new(secret: [u8; 32]) -> Sketches {
        Sketches { secret, ..Sketches::default() }
    }

    /// An item came to the set.
    pub fn add(&mut self, id: &ShortId) {
        if let Some(k) = &mut self.kept
            && let Some(item) = k.stream.add(id)
        {
            k.changed(item, true);
        }
    }

    /// An item left the set.
    pub fn remove(&mut self, id: &ShortId) {
        if let Some(k) = &mut self.kept
            && let Some(item) = k.stream.remove(id)
        {
            k.changed(item, false);
        }
    }

    fn renew(&mut self, wall: UnixMillis) -> u64 {
        let period = wall.0 / KEY_AGE_MS;
        if self.period != period {
            (self.period, self.kept, self.narrow) = (period, None, None);
        }
        let mut h = blake3::Hasher::new_keyed(&self.secret);
        h.update(b"reconciliation key");
        h.update(&period.to_le_bytes());
        let mut key = [0; 8];
        key.copy_from_slice(&h.finalize().as_bytes()[..8]);
        u64::from_le_bytes(key)
    }

    /// Symbols `first..first + count` of the whole set, which `ids` are, in the state `as_of` names; none if that is past.
    pub fn whole(
        &mut self,
        wall: UnixMillis,
        as_of: Option<u64>,
        (first, count): (usize, usize),
        ids: impl FnOnce() -> Vec<ShortId>,
    ) -> Option<Symbols> {
        let key = self.renew(wall);
        let kept = self.kept.get_or_insert_with(|| Kept {
            stream: Stream::new(key, ids()),
            version: 1,
            changes: VecDeque::new(),
        });
        let as_of = as_of.unwrap_or(kept.version);
        let mut symbols = kept.stream.sketch(first + count).symbols()[first..first + count].to_vec();
        let mut items = kept.stream.len();
        for (item, by) in kept.since(as_of)? {
            Key(key).apply_to(&mut symbols, first, item, by);
            items = items.saturating_add_signed(by);
        }
        Some(Symbols { key, items, as_of, symbols })
    }

    /// The same of the part of it since `from`, which `ids` are. It is made anew for each asker with another span.
    pub fn since(
        &mut self,
        wall: UnixMillis,
        from: u64,
        (first, count): (usize, usize),
        ids: impl FnOnce() -> Vec<ShortId>,
    ) -> Option<Symbols> {
        let key = self.renew(wall);
        if first == 0 && self.narrow.as_ref().is_none_or(|n| n.0 != from) {
            self.narrow = Some((from, Stream::new(key, ids())));
        }
        let (_, stream) = self.narrow.as_mut().filter(|n| n.0 == from)?;
        let symbols = stream.sketch(first + count).symbols()[first..first + count].to_vec();
        Some(Symbols { key, items: stream.len(), as_of: 0, symbols })
    }

    /// What an item named under `key` stands for.
    pub fn id(&self, key: u64, item: u64) -> Option<ShortId> {
        let kept = self.kept.as_ref().map(|k| &k.stream).filter(|s| s.key == key);
        let narrow = self.narrow.as_ref().map(|n| &n.1).filter(|s| s.key == key);
        kept.and_then(|s| s.id(item)).or_else(|| narrow.and_then(|s| s.id(item)))
    }
}
