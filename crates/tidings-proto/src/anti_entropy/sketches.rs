//! A set under one key: the items its ids become, and their symbols, kept up to date while it changes.
//!
//! The key is the responder's own and changes each hour, so that nobody can choose ids that are hard to tell apart. Who is
//! being served must see one set although it changes meanwhile: what came or went since its session began is taken back out
//! of the symbols it is sent.

use std::collections::{BTreeMap, VecDeque};

use super::riblt::{Key, Sketch, Symbol};
use crate::time::UnixMillis;
use crate::wire::ShortId;

/// How long a key is used.
const KEY_AGE_MS: u64 = 3_600_000;
/// Changes remembered for sessions under way; one that began before them has to begin again (a guess: half a minute of a
/// hundred batches a second).
const CHANGES: usize = 4_096;

/// A set under a key.
#[derive(Debug)]
pub struct Stream {
    key: u64,
    hash: [u8; 32],
    sketch: Sketch,
    ids: BTreeMap<u64, ShortId>,
}

impl Stream {
    /// Of these items, under this key.
    pub fn new(key: u64, ids: impl IntoIterator<Item = ShortId>) -> Stream {
        let hash = blake3::derive_key("tidings 1 reconciled item", &key.to_le_bytes());
        let mut s = Stream { key, hash, sketch: Sketch::new(Key(key)), ids: BTreeMap::new() };
        for id in ids {
            s.add(&id);
        }
        s
    }

    fn item(&self, id: &ShortId) -> u64 {
        let hash = blake3::keyed_hash(&self.hash, &id.0);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(first)
    }

    fn add(&mut self, id: &ShortId) -> Option<u64> {
        let item = self.item(id);
        // The same hash for two ids: some 2^-40 for a million, and then one of them waits for the next key.
        if self.ids.insert(item, *id).is_some() {
            return None;
        }
        self.sketch.add(item);
        Some(item)
    }

    fn remove(&mut self, id: &ShortId) -> Option<u64> {
        let item = self.item(id);
        self.ids.remove(&item)?;
        self.sketch.remove(item);
        Some(item)
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
        self.ids.contains_key(&item)
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

    /// The sketch as it is.
    pub fn kept(&self) -> &Sketch {
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
