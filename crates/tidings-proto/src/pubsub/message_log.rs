//! The recent batches of a topic, kept for neighbours that missed them and for programs that ask for history: bounded
//! by messages, bytes and age. The youngest are bounded by bytes and age alone.
//!
//! Batches stand in the order of their authors' clocks, and the oldest by those leave first. So two neighbours keep the same
//! ones, up to a *horizon* below which nothing is promised: sets that can be compared. Invariant: whatever was taken in and
//! is not older than the horizon is here.
//!
//! The ids are remembered longer than the batches, so that a late announcement is not mistaken for news.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::batch::{Batch, BatchHeader};
use crate::anti_entropy::{Digest, Sketches, StreamTag, Streams, Symbols};
use crate::config::GossipConfig;
use crate::identity::NodeId;
use crate::time::{Now, Span, Time, UnixMillis};
use crate::wire::{Range, ShortId};

/// Ids remembered at most, and how long at least (announcements are at most seconds late; guesses).
pub(super) const IDS: usize = 32_768;
const IDS_AGE: Span = Span::from_secs(120);

/// Batches younger than this are kept whatever their number, up to so many bytes: a neighbour that missed one must
/// notice, wait and ask before it is gone, and a fast publisher fills the log in a fraction of a second. (Noticing
/// takes an announcement, the patience for the tree and a few tries: some 3 s at worst.)
const YOUNG: Span = Span::from_secs(5);
const YOUNG_BYTES: u64 = 16 << 20;
/// And up to so many: the smallest ones cost more to keep than their bytes (several seconds' batches at full speed).
pub(super) const YOUNG_BATCHES: usize = 16_384;

/// One batch in the log.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) batch: Arc<Batch>,
    /// Links it travelled to get here.
    pub(super) hop: u16,
    pub(super) received: Time,
}

/// What is remembered of a batch after it left the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) received: Time,
    /// Who brought it; nobody for our own.
    pub(super) from: Option<NodeId>,
    pub(super) pulled: bool,
}

type Place = (NodeId, u64, u64);
/// The author's clock, and the order of arrival.
type Key = (u64, u64);

/// The log of one topic.
#[derive(Debug, Default)]
pub(super) struct MessageLog {
    entries: BTreeMap<Key, Entry>,
    arrivals: u64,
    by_id: BTreeMap<ShortId, Key>,
    by_place: BTreeMap<Place, Key>,
    messages: usize,
    bytes: u64,
    /// Nothing older by its author's clock is promised.
    horizon: u64,
    sketches: Sketches,
    ids: BTreeMap<ShortId, Known>,
    ids_by_age: VecDeque<(Time, ShortId)>,
}

impl MessageLog {
    /// The log of a topic of which everything signed since `horizon` is wanted; `secret` keys its sketches.
    pub(super) fn new(horizon: u64, secret: [u8; 32]) -> MessageLog {
        MessageLog { horizon, sketches: Sketches::new(secret), ..MessageLog::default() }
    }

    pub(super) fn add(&mut self, config: &GossipConfig, now: Now, entry: Entry, known: Known) {
        let h = entry.batch.header();
        let id = entry.batch.short_id();
        if self.by_id.contains_key(&id) {
            return;
        }
        let key = (h.wall_ms, self.arrivals);
        self.arrivals += 1;
        self.messages += h.payloads.len();
        self.bytes += entry.batch.bytes().len() as u64;
        self.by_place.insert((h.author, h.epoch, h.first_seq), key);
        self.by_id.insert(id, key);
        if self.ids.insert(id, known).is_none() {
            self.ids_by_age.push_back((known.received, id));
        }
        if key.0 >= self.horizon {
            self.sketches.add(&id);
        }
        self.entries.insert(key, entry);
        self.trim(config, now);
    }

    /// Drops what is past the limits.
    pub(super) fn trim(&mut self, config: &GossipConfig, now: Now) {
        let ttl = ttl_ms(config);
        self.raise(now.wall.0.saturating_sub(ttl));
        while let Some((key, e)) = self.entries.first_key_value() {
            let wall = key.0;
            let young = now.mono.since(e.received) < YOUNG;
            let needed = young && self.bytes <= YOUNG_BYTES && self.entries.len() <= YOUNG_BATCHES;
            let many = self.messages > config.message_cache_size || wall.saturating_add(ttl) < now.wall.0;
            if !(self.bytes > config.history_max_bytes || many && !needed) {
                break;
            }
            self.raise(wall.saturating_add(1));
            let Some((_, e)) = self.entries.pop_first() else { break };
            let h = e.batch.header();
            self.messages -= h.payloads.len();
            self.bytes -= e.batch.bytes().len() as u64;
            self.by_place.remove(&(h.author, h.epoch, h.first_seq));
            self.by_id.remove(&e.batch.short_id());
        }
        while let Some((at, id)) = self.ids_by_age.front() {
            let old = now.mono.since(*at) > IDS_AGE && !self.by_id.contains_key(id);
            if !(old || self.ids_by_age.len() > IDS) {
                break;
            }
            self.ids.remove(id);
            self.ids_by_age.pop_front();
        }
    }

    /// Nothing before `horizon` is promised any more.
    fn raise(&mut self, horizon: u64) {
        if horizon <= self.horizon {
            return;
        }
        for (_, e) in self.entries.range((self.horizon, 0)..(horizon, 0)) {
            self.sketches.remove(&e.batch.short_id());
        }
        self.horizon = horizon;
    }

    /// History since `horizon` is wanted from now on, as far as the limits allow.
    pub(super) fn lower(&mut self, config: &GossipConfig, now: Now, horizon: u64) {
        let horizon = horizon.max(now.wall.0.saturating_sub(ttl_ms(config)));
        if horizon >= self.horizon {
            return;
        }
        for (_, e) in self.entries.range((horizon, 0)..(self.horizon, 0)) {
            self.sketches.add(&e.batch.short_id());
        }
        self.horizon = horizon;
    }

    /// Everything taken in that its author signed since then is here.
    pub(super) fn horizon(&self) -> u64 {
        self.horizon
    }

    /// When there is something to drop: the oldest grows too old, or no longer counts as young.
    pub(super) fn expires(&self, config: &GossipConfig, now: Now) -> Option<Time> {
        let (key, e) = self.entries.first_key_value()?;
        let over = self.messages > config.message_cache_size;
        let old = key.0.saturating_add(ttl_ms(config)).saturating_sub(now.wall.0);
        let at = now.mono + if over { Span::ZERO } else { Span::from_millis(old + 1) };
        Some(at.max(e.received + YOUNG))
    }

    pub(super) fn get(&self, id: &ShortId) -> Option<&Entry> {
        self.entries.get(self.by_id.get(id)?)
    }

    pub(super) fn known(&self, id: &ShortId) -> Option<&Known> {
        self.ids.get(id)
    }

    /// The batch at this header's place, while it is in the log.
    pub(super) fn at_place(&self, h: &BatchHeader) -> Option<&Entry> {
        self.entries.get(self.by_place.get(&(h.author, h.epoch, h.first_seq))?)
    }

    /// The batches of a range, in order, at most `limit`.
    pub(super) fn range(&self, r: &Range, limit: usize) -> Vec<Entry> {
        if r.from > r.to {
            return Vec::new();
        }
        // A batch that begins before the range may reach into it.
        let before = self
            .by_place
            .range((r.author, r.epoch, 0)..(r.author, r.epoch, r.from))
            .next_back()
            .and_then(|(_, k)| self.entries.get(k))
            .filter(|e| e.batch.header().last_seq() >= r.from);
        let within = self.by_place.range((r.author, r.epoch, r.from)..=(r.author, r.epoch, r.to));
        before.into_iter().chain(within.filter_map(|(_, k)| self.entries.get(k))).take(limit).cloned().collect()
    }

    /// The batches signed from `from` until before `until`, in that order.
    pub(super) fn between(&self, from: u64, until: u64) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.range((from, 0)..(until.max(from), 0)).map(|(_, e)| e)
    }

    /// The batches that hold these numbers of a stream.
    pub(super) fn wanted(&self, stream: &StreamTag, from: u64, to: u64) -> impl Iterator<Item = &Entry> {
        let author = |fill: u8| {
            let mut id = [fill; 32];
            id[..8].copy_from_slice(&stream.author.to_be_bytes());
            NodeId(id)
        };
        // Authors whose ids begin alike are nearly always one.
        let places = self.by_place.range((author(0), stream.epoch, 0)..=(author(255), stream.epoch, to));
        let (epoch, alike) = (stream.epoch, places.filter_map(|(_, k)| self.entries.get(k)));
        alike.filter(move |e| {
            let h = e.batch.header();
            h.epoch == epoch && h.last_seq() >= from && h.first_seq <= to
        })
    }

    /// What tells whether two logs hold the same batches of a span.
    pub(super) fn digest(&self, from: u64, until: u64) -> Digest {
        let mut digest = Digest::default();
        self.between(from, until).for_each(|e| digest.add(&e.batch.short_id()));
        digest
    }

    /// The numbers that the batches of a span hold, author by author.
    pub(super) fn streams(&self, from: u64, until: u64) -> Streams {
        let mut streams = Streams::default();
        for e in self.between(from, until) {
            let h = e.batch.header();
            streams.add(StreamTag::new(&h.author, h.epoch), h.first_seq, h.last_seq());
        }
        streams
    }

    /// Coded symbols of the batches since `from`, of the set as it was when `as_of` was said.
    pub(super) fn symbols(
        &mut self,
        wall: UnixMillis,
        from: u64,
        as_of: Option<u64>,
        which: (usize, usize),
    ) -> Option<Symbols> {
        let ids = || self.entries.range((from, 0)..).map(|(_, e)| e.batch.short_id()).collect();
        if from > self.horizon {
            self.sketches.since(wall, from, which, ids)
        } else {
            self.sketches.whole(wall, as_of, which, ids)
        }
    }

    /// What an item named under `key` stands for.
    pub(super) fn item(&self, key: u64, item: u64) -> Option<&Entry> {
        self.get(&self.sketches.id(key, item)?)
    }

    /// How many batches there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn ttl_ms(config: &GossipConfig) -> u64 {
    u64::try_from(config.message_cache_ttl.as_millis()).unwrap_or(u64::MAX)
}
