//! The recent batches of a topic, kept for neighbours that missed them: bounded by messages, bytes and age. The
//! youngest are bounded by bytes and age alone.
//!
//! The ids are remembered longer than the batches, so that a late announcement is not mistaken for news.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::batch::{Batch, BatchHeader};
use crate::config::GossipConfig;
use crate::identity::NodeId;
use crate::time::{Span, Time};
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

/// The log of one topic.
#[derive(Debug, Default)]
pub(super) struct MessageLog {
    entries: VecDeque<Entry>,
    first: u64,
    by_id: BTreeMap<ShortId, u64>,
    by_place: BTreeMap<Place, u64>,
    messages: usize,
    bytes: u64,
    ids: BTreeMap<ShortId, Known>,
    ids_by_age: VecDeque<(Time, ShortId)>,
}

impl MessageLog {
    pub(super) fn add(&mut self, config: &GossipConfig, entry: Entry, known: Known) {
        let h = entry.batch.header();
        let n = self.first + self.entries.len() as u64;
        self.messages += h.payloads.len();
        self.bytes += entry.batch.bytes().len() as u64;
        self.by_place.insert((h.author, h.epoch, h.first_seq), n);
        let id = entry.batch.short_id();
        self.by_id.insert(id, n);
        if self.ids.insert(id, known).is_none() {
            self.ids_by_age.push_back((known.received, id));
        }
        let now = entry.received;
        self.entries.push_back(entry);
        self.trim(config, now);
    }

    /// Drops what is past the limits.
    pub(super) fn trim(&mut self, config: &GossipConfig, now: Time) {
        let ttl = Span::from(config.message_cache_ttl);
        while let Some(e) = self.entries.front() {
            let age = now.since(e.received);
            let needed = age < YOUNG && self.bytes <= YOUNG_BYTES && self.entries.len() <= YOUNG_BATCHES;
            let many = self.messages > config.message_cache_size && !needed;
            if !(many || self.bytes > config.history_max_bytes || age > ttl) {
                break;
            }
            let h = e.batch.header();
            self.messages -= h.payloads.len();
            self.bytes -= e.batch.bytes().len() as u64;
            self.by_place.remove(&(h.author, h.epoch, h.first_seq));
            self.by_id.remove(&e.batch.short_id());
            self.entries.pop_front();
            self.first += 1;
        }
        while let Some((at, id)) = self.ids_by_age.front() {
            let old = now.since(*at) > IDS_AGE && !self.by_id.contains_key(id);
            if !(old || self.ids_by_age.len() > IDS) {
                break;
            }
            self.ids.remove(id);
            self.ids_by_age.pop_front();
        }
    }

    /// When the oldest batch grows too old, or no longer counts as young.
    pub(super) fn expires(&self, config: &GossipConfig) -> Option<Time> {
        let many = self.messages > config.message_cache_size;
        let ttl = Span::from(config.message_cache_ttl);
        self.entries.front().map(|e| e.received + if many { ttl.min(YOUNG) } else { ttl })
    }

    pub(super) fn get(&self, id: &ShortId) -> Option<&Entry> {
        self.at(*self.by_id.get(id)?)
    }

    fn at(&self, n: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(n - self.first).ok()?)
    }

    pub(super) fn known(&self, id: &ShortId) -> Option<&Known> {
        self.ids.get(id)
    }

    /// The batch at this header's place, while it is in the log.
    pub(super) fn at_place(&self, h: &BatchHeader) -> Option<&Entry> {
        self.at(*self.by_place.get(&(h.author, h.epoch, h.first_seq))?)
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
            .and_then(|(_, n)| self.at(*n))
            .filter(|e| e.batch.header().last_seq() >= r.from);
        let within = self.by_place.range((r.author, r.epoch, r.from)..=(r.author, r.epoch, r.to));
        before.into_iter().chain(within.filter_map(|(_, n)| self.at(*n))).take(limit).cloned().collect()
    }

    /// The batches received since `since`, newest first, at most `limit`.
    pub(super) fn recent(&self, since: Time, limit: usize) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev().take_while(move |e| e.received >= since).take(limit)
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
