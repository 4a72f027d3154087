//! What survives the process: the epoch, the place of our own streams, and what was delivered of each author.
//!
//! Keys: `epoch`; `pub/` ‖ topic: where our stream on the topic stands; `seen/` ‖ topic ‖ author: a
//! [`Record`](super::author::Record). Beside them `may/` ‖ topic, of [`super::policy`].
//!
//! What is remembered of our own streams is bounded, and yet no number is used twice. A number belongs to an epoch,
//! so the last one used on a topic may be forgotten once a later epoch is *stored*. While an epoch lasts, the numbers
//! used in it are kept, of at most [`STREAMS`] topics; a node that publishes on more goes on in a new epoch, as if
//! it had started again, and signs nothing until that is stored. The places of earlier epochs only tell receivers what came
//! before (`previous`): those not used longest are forgotten, and so is what is older than anybody's history. A
//! receiver is then not told of what it missed of that stream, and takes the new one as it comes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::author::{Author, Record, WIDE};
use super::batch::Position;
use crate::identity::{NodeId, TopicId};
use crate::io::{Event, Output, StoreError, StoreTicket};
use crate::layer::Cx;
use crate::time::{Time, UnixMillis};

/// Records of authors not heard for this long beyond the history's age are deleted: their old batches are refused
/// by age alone, by a margin for clocks that disagree (20 minutes).
const MARGIN_MS: u64 = 20 * 60_000;
/// Records kept of topics this node is not in now.
pub(super) const DORMANT: usize = 65_536;

/// Topics of which our own streams are remembered: in this epoch, and before it (four times as many as a node can be
/// in at once; some 100 bytes each).
const STREAMS: usize = 4_096;

const LOAD: StoreTicket = StoreTicket(0);
const EPOCH: StoreTicket = StoreTicket(1);

/// How far our own stream on a topic is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    /// The last number used.
    pub(super) seq: u64,
    /// When the batch that holds it was signed, by our wall clock.
    pub(super) wall_ms: u64,
}

/// Where our own stream stood, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Stood {
    #[n(0)]
    epoch: u64,
    #[n(1)]
    seq: u64,
    /// When the last batch was signed; the epoch says it as well as it can where this is missing.
    #[n(2)]
    #[cbor(default)]
    wall_ms: u64,
}

impl Stood {
    fn last_used(&self) -> u64 {
        self.wall_ms.max(self.epoch)
    }
}

/// The state of storage, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Persist {
    loaded: bool,
    /// Our epoch of this start, once it is stored.
    epoch: Option<u64>,
    next_epoch: u64,
    /// What was delivered on topics this node is not in.
    dormant: BTreeMap<(TopicId, NodeId), Record>,
    /// Where our own streams stood before this epoch.
    own: BTreeMap<TopicId, Stood>,
    /// How far our own streams of this epoch are, whether the node is in the topic now or not.
    used: BTreeMap<TopicId, Used>,
    /// Records to write with this turn's deliveries.
    dirty: BTreeMap<Bytes, Bytes>,
    ready: Vec<Event>,
    /// Deliveries that wait for their records.
    writing: BTreeMap<StoreTicket, Vec<Event>>,
    next_ticket: u64,
}

impl Persist {
    /// Asks for what is stored.
    pub(super) fn begin(&mut self, cx: &mut Cx<'_>) {
        self.next_ticket = 2;
        cx.output(Output::Load { ticket: LOAD, prefix: Bytes::new() });
    }

    /// Whether what is stored is known.
    pub(super) fn loaded(&self) -> bool {
        self.loaded
    }

    /// The number of this start, once what is stored is known.
    pub(super) fn start(&self) -> u64 {
        self.next_epoch
    }

    /// The epoch to publish in, once it is safe to.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    pub(super) fn on_loaded(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: StoreTicket,
        result: Result<Vec<(Bytes, Bytes)>, StoreError>,
    ) {
        if ticket != LOAD || self.loaded {
            return;
        }
        self.loaded = true;
        let mut stored = 0;
        match result {
            Ok(records) => {
                for (key, value) in records {
                    self.take_in(cx, &key, &value, &mut stored);
                }
            }
            Err(error) => fail(cx, error),
        }
        self.begin_epoch(cx, stored);
        self.trim_streams(cx);
    }

    /// Stores an epoch later than `last`, and publishes in it once that is done.
    fn begin_epoch(&mut self, cx: &mut Cx<'_>, last: u64) {
        self.epoch = None;
        // The wall clock backs the stored number up: should the directory be restored from an old copy, numbers
        // still do not repeat.
        self.next_epoch = last.saturating_add(1).max(cx.now.wall.0);
        let value = Bytes::copy_from_slice(&self.next_epoch.to_le_bytes());
        cx.output(Output::Store { ticket: EPOCH, records: vec![(Bytes::from_static(b"epoch"), Some(value))] });
    }

    /// Goes on in a new epoch when streams of more topics than are remembered would belong to this one.
    pub(super) fn renew_epoch(&mut self, cx: &mut Cx<'_>) {
        if let Some(epoch) = self.epoch.filter(|_| self.used.len() >= STREAMS) {
            self.abandon(cx, epoch);
        }
    }

    /// Goes on in a new epoch if `epoch` is the present one.
    pub(super) fn abandon(&mut self, cx: &mut Cx<'_>, epoch: u64) {
        if self.epoch != Some(epoch) {
            return;
        }
        for (topic, u) in std::mem::take(&mut self.used) {
            self.own.insert(topic, Stood { epoch, seq: u.seq, wall_ms: u.wall_ms });
        }
        self.begin_epoch(cx, epoch);
        self.trim_streams(cx);
    }

    /// Forgets what nobody can miss of our streams before this epoch, and the longest unused of too many.
    fn trim_streams(&mut self, cx: &mut Cx<'_>) {
        let keep_ms = keep_ms(cx);
        let mut ages: Vec<(u64, TopicId)> = self.own.iter().map(|(t, s)| (s.last_used(), *t)).collect();
        ages.sort();
        let too_many = ages.len().saturating_sub(STREAMS);
        let old = ages.partition_point(|(at, _)| at.saturating_add(keep_ms) <= cx.now.wall.0);
        let gone = &ages[..too_many.max(old)];
        if gone.is_empty() {
            return;
        }
        for (_, topic) in gone {
            self.own.remove(topic);
        }
        let records = gone.iter().map(|(_, topic)| (stream_key(topic), None)).collect();
        let ticket = self.ticket();
        self.writing.insert(ticket, Vec::new());
        cx.output(Output::Store { ticket, records });
    }

    fn take_in(&mut self, cx: &mut Cx<'_>, key: &Bytes, value: &Bytes, stored: &mut u64) {
        if key.as_ref() == b"epoch" {
            if let Ok(b) = value.as_ref().try_into() {
                *stored = u64::from_le_bytes(b);
            }
        } else if let Some(topic) = key.strip_prefix(b"pub/").and_then(|t| t.try_into().ok()) {
            if let Ok(s) = minicbor::decode::<Stood>(value) {
                *stored = (*stored).max(s.epoch);
                self.own.insert(TopicId(topic), s);
            }
        } else if let Some(ids) = key.strip_prefix(b"seen/").filter(|k| k.len() == 64) {
            let (mut t, mut a) = ([0; 32], [0; 32]);
            t.copy_from_slice(&ids[..32]);
            a.copy_from_slice(&ids[32..]);
            let record = Record::parse(value).filter(|r| r.heard_ms().saturating_add(keep_ms(cx)) > cx.now.wall.0);
            match record {
                Some(r) => {
                    self.dormant.insert((TopicId(t), NodeId(a)), r);
                }
                None => {
                    let ticket = self.ticket();
                    self.writing.insert(ticket, Vec::new());
                    cx.output(Output::Store { ticket, records: vec![(key.clone(), None)] });
                }
            }
        }
    }

    fn ticket(&mut self) -> StoreTicket {
        self.next_ticket += 1;
        StoreTicket(self.next_ticket)
    }

    pub(super) fn on_stored(&mut self, cx: &mut Cx<'_>, ticket: StoreTicket, result: Result<(), StoreError>) {
        if let Err(error) = result {
            fail(cx, error);
        }
        if ticket == EPOCH {
            self.epoch = Some(self.next_epoch);
        }
        for event in self.writing.remove(&ticket).unwrap_or_default() {
            cx.event(event);
        }
    }

    /// Writes a record of another part of the layer.
    pub(super) fn put(&mut self, cx: &mut Cx<'_>, key: Bytes, value: Option<Bytes>) {
        let ticket = self.ticket();
        self.writing.insert(ticket, Vec::new());
        cx.output(Output::Store { ticket, records: vec![(key, value)] });
    }

    /// What of a topic waits to be delivered until it is stored.
    pub(super) fn pending(&self, topic: &TopicId) -> BTreeSet<(NodeId, u64, u64)> {
        let events = self.writing.values().flatten().chain(&self.ready);
        let place = |e: &Event| match e {
            Event::Delivered(d) if d.topic() == *topic => {
                let h = d.batch().header();
                Some((h.author, h.epoch, h.first_seq))
            }
            _ => None,
        };
        events.filter_map(place).collect()
    }

    /// When anything was last heard on a topic before this start, by our wall clock.
    pub(super) fn heard_last(&self, topic: &TopicId) -> Option<u64> {
        let range = (*topic, NodeId([0; 32]))..=(*topic, NodeId([255; 32]));
        self.dormant.range(range).map(|(_, r)| r.heard_ms()).max()
    }

    /// The authors known on a topic from before.
    pub(super) fn authors(&mut self, topic: &TopicId, now: Time) -> BTreeMap<NodeId, Author> {
        let range = (*topic, NodeId([0; 32]))..=(*topic, NodeId([255; 32]));
        let keys: Vec<_> = self.dormant.range(range).map(|(k, _)| *k).collect();
        let mut wide = 0;
        let restored = keys.into_iter().filter_map(|k| {
            let mut record = self.dormant.remove(&k)?;
            wide += usize::from(record.is_wide());
            if wide > WIDE {
                record.narrow();
            }
            Some((k.1, Author::restore(record, now)))
        });
        restored.collect()
    }

    /// The topic was left: its authors are remembered, so that nothing is delivered twice if it is entered again.
    pub(super) fn put_back(&mut self, topic: &TopicId, authors: BTreeMap<NodeId, Author>, wall: UnixMillis) {
        for (id, a) in authors {
            if self.dormant.len() >= DORMANT {
                self.dormant.pop_first();
            }
            self.dormant.insert((*topic, id), a.record(wall.0).without_place());
        }
    }

    /// The last place used in our own stream before this epoch.
    pub(super) fn own(&self, topic: &TopicId) -> Option<Position> {
        self.own.get(topic).map(|s| Position { epoch: s.epoch, seq: s.seq })
    }

    /// How far our own stream of this epoch is; none if it has not begun.
    pub(super) fn used(&self, topic: &TopicId) -> Option<Used> {
        self.used.get(topic).copied()
    }

    /// Our stream on a topic stands here now.
    pub(super) fn publish(&mut self, topic: &TopicId, epoch: u64, last: Used) {
        self.used.insert(*topic, last);
        let stood = Stood { epoch, seq: last.seq, wall_ms: last.wall_ms };
        let mut value = Vec::with_capacity(32);
        let done = minicbor::encode(stood, &mut value);
        debug_assert!(done.is_ok());
        self.dirty.insert(stream_key(topic), value.into());
    }

    /// As [`Persist::publish`], for what was signed in an epoch that may have ended since.
    pub(super) fn confirm(&mut self, topic: &TopicId, epoch: u64, last: Used) {
        self.publish(topic, epoch, last);
        if self.epoch != Some(epoch) {
            self.used.remove(topic);
            self.own.insert(*topic, Stood { epoch, seq: last.seq, wall_ms: last.wall_ms });
        }
    }

    /// An author's delivery, if the program gets it, and its record to be stored before.
    pub(super) fn deliver(
        &mut self,
        topic: &TopicId,
        id: &NodeId,
        author: &Author,
        wall: UnixMillis,
        event: impl Into<Option<Event>>,
    ) {
        self.ready.extend(event.into());
        self.note(topic, id, author, wall);
    }

    /// An author's record changed.
    pub(super) fn note(&mut self, topic: &TopicId, id: &NodeId, author: &Author, wall: UnixMillis) {
        let mut value = Vec::with_capacity(64);
        let done = minicbor::encode(author.record(wall.0), &mut value);
        debug_assert!(done.is_ok());
        let key = [b"seen/".as_slice(), topic.as_bytes(), id.as_bytes()].concat();
        self.dirty.insert(key.into(), value.into());
    }

    /// The program wants nothing more of a topic. Returns how many deliveries it will not get.
    pub(super) fn forget_deliveries(&mut self, topic: &TopicId) -> u64 {
        let wanted = |e: &Event| match e {
            Event::Delivered(d) => d.topic() != *topic,
            Event::Gap { topic: t, .. } => t != topic,
            _ => true,
        };
        let mut dropped = 0;
        for events in self.writing.values_mut().chain([&mut self.ready]) {
            let before = events.len();
            events.retain(wanted);
            dropped += before - events.len();
        }
        dropped as u64
    }

    /// Writes what this turn changed; its deliveries follow when it is written. Returns whether there was anything.
    pub(super) fn write(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.dirty.is_empty() {
            return false;
        }
        let ticket = self.ticket();
        let records = std::mem::take(&mut self.dirty).into_iter().map(|(k, v)| (k, Some(v))).collect();
        self.writing.insert(ticket, std::mem::take(&mut self.ready));
        cx.output(Output::Store { ticket, records });
        true
    }
}

/// How long something may still be asked for or refused by age, and a margin.
fn keep_ms(cx: &Cx<'_>) -> u64 {
    u64::try_from(cx.config.history_max_age.as_millis()).unwrap_or(u64::MAX).saturating_add(MARGIN_MS)
}

fn stream_key(topic: &TopicId) -> Bytes {
    [b"pub/".as_slice(), topic.as_bytes()].concat().into()
}

fn fail(cx: &mut Cx<'_>, error: StoreError) {
    cx.counters.storage_failures += 1;
    cx.event(Event::StorageFailed { error });
}
