//! A topic's log as a set that neighbours keep equal; what is done about a difference is [`crate::anti_entropy::sync`]'s.
//!
//! While something is fetched, numbers missing in an author's stream are not asked for besides. What is fetched is verified,
//! logged and put in its author's order like any batch, but not passed on: neighbours compare and fetch it themselves, each
//! once. What was published before this node came to the topic is history: logged for who asks for it, and not delivered
//! otherwise.
//!
//! The digest leaves out what is younger than [`YOUNG_MS`] unless a link is new, since that is on its way through the tree.

mod history;

pub use history::HistoryQuery;
pub(super) use history::Waiting;

use std::collections::VecDeque;

use bytes::BytesMut;

use super::message_log::MessageLog;
use super::tree::Peer;
use super::{PubSub, Timer, Topic};
use crate::anti_entropy::serving::{PAGE, Page};
use crate::anti_entropy::sync::{Serve, Set, Sync};
use crate::anti_entropy::{Digest, MAX_BUNDLE, MAX_WANTED, StreamTag, Streams};
use crate::identity::{NodeId, TopicId};
use crate::layer::{Cx, TimerKey};
use crate::time::Span;
use crate::wire::{
    AskSymbols, Bundle, Bundled, Compare, Differ, Message, Offer, Pull, Ranges, Same, Served, SetTag, ShortId, Symbols,
    WantItems, Wanted,
};

/// Batches signed so recently are on their way through the tree (the slowest paths measured take a tenth of a second; the
/// rest is for clocks that disagree: a guess).
const YOUNG_MS: u64 = 1_000;

/// A topic's log.
struct LogSet<'a> {
    id: TopicId,
    log: &'a mut MessageLog,
    peers: &'a [Peer],
}

impl Set for LogSet<'_> {
    fn tag(&self) -> SetTag {
        SetTag::new(&self.id)
    }

    fn timer(&self) -> TimerKey {
        TimerKey::PubSub(Timer::Reconcile(self.id))
    }

    fn peers(&self) -> Vec<NodeId> {
        self.peers.iter().map(|p| p.id).collect()
    }

    fn trim(&mut self, cx: &mut Cx<'_>) {
        super::topic::trim(cx, self.id, self.log);
    }

    fn horizon(&self) -> u64 {
        self.log.horizon()
    }

    fn until(&self, cx: &Cx<'_>, all: bool) -> u64 {
        // Further in the future nothing is accepted.
        if all { cx.now.wall.0 + super::plumtree::FUTURE_MS } else { cx.now.wall.0.saturating_sub(YOUNG_MS) }
    }

    fn len(&self, _: &Cx<'_>) -> usize {
        self.log.len()
    }

    fn is_empty(&self, _: &Cx<'_>) -> bool {
        self.log.between(self.log.horizon(), u64::MAX).next().is_none()
    }

    fn digest(&self, _: &Cx<'_>, from: u64, until: u64) -> Digest {
        self.log.digest(from, until)
    }

    fn streams(&self, _: &Cx<'_>, from: u64, until: u64) -> Streams {
        self.log.streams(from, until)
    }

    fn ids(&self, _: &Cx<'_>, from: u64) -> Vec<ShortId> {
        self.log.between(from, u64::MAX).map(|e| e.batch.short_id()).collect()
    }

    fn symbols(
        &mut self,
        cx: &mut Cx<'_>,
        from: u64,
        as_of: Option<u64>,
        which: (usize, usize),
    ) -> Option<crate::anti_entropy::Symbols> {
        self.log.symbols(cx.now.wall, from, as_of, which)
    }

    fn item(&self, _: &Cx<'_>, key: u64, item: u64) -> Option<(u64, ShortId)> {
        self.log.item(key, item).map(|e| (e.batch.header().wall_ms, e.batch.short_id()))
    }

    fn lacking(&self, _: &Cx<'_>, m: &Ranges) -> Vec<ShortId> {
        let shared = m.from.max(self.log.horizon());
        let lacks = self.log.between(shared, m.from.saturating_add(m.span)).filter(|e| {
            let h = e.batch.header();
            !m.streams.holds(&StreamTag::new(&h.author, h.epoch), h.first_seq, h.last_seq())
        });
        lacks.map(|e| e.batch.short_id()).collect()
    }

    fn missing(&self, _: &Cx<'_>, m: &Ranges) -> Vec<Wanted> {
        let gaps = self.log.streams(m.from, u64::MAX).lacking(&m.streams, MAX_WANTED);
        gaps.into_iter().map(|(stream, from, to)| Wanted { stream, from, to }).collect()
    }

    fn wanted(&self, _: &Cx<'_>, w: &Wanted) -> Vec<(u64, ShortId)> {
        let found = self.log.wanted(&w.stream, w.from, w.to);
        found.map(|e| (e.batch.header().wall_ms, e.batch.short_id())).collect()
    }

    fn settles(&self, cx: &Cx<'_>, latest: u64) -> Span {
        Span::from_millis((latest + YOUNG_MS + 1).saturating_sub(cx.now.wall.0).min(YOUNG_MS * 2))
    }
}

impl Topic {
    fn parts(&mut self) -> (&mut Sync, LogSet<'_>) {
        self.sync.wake = self.history.deadline();
        (&mut self.sync, LogSet { id: self.id, log: &mut self.log, peers: &self.peers })
    }

    /// A neighbour came: what either lacks is found at once.
    pub(super) fn compare_with_new(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let wanted = self.history.is_wanted();
        let (sync, set) = self.parts();
        sync.compare_with_new(cx, &set, peer, wanted);
    }

    pub(super) fn forget_sync(&mut self, cx: &mut Cx<'_>, peer: &NodeId) {
        let (sync, set) = self.parts();
        sync.forget(cx, &set, peer);
    }
}

impl PubSub {
    /// The topic's timer, and after every answer: what is due.
    pub(super) fn reconcile(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let Some(t) = self.topics.get_mut(&topic) else { return };
        let (sync, mut set) = t.parts();
        sync.turn(cx, &mut set, &mut self.sessions);
        self.finish_round(cx, topic);
        self.answer_history(cx, topic);
        if let Some(t) = self.topics.get_mut(&topic) {
            let (sync, set) = t.parts();
            sync.arm(cx, &set);
        }
    }

    /// The topic a tag names, if this neighbour is one in it.
    fn set(&mut self, cx: &mut Cx<'_>, set: &SetTag, from: &NodeId) -> Option<&mut Topic> {
        let bound = |fill: u8| {
            let mut id = [fill; 32];
            id[..8].copy_from_slice(&set.0.to_be_bytes());
            TopicId(id)
        };
        let mut named = self.topics.range_mut(bound(0)..=bound(255)).map(|(_, t)| t);
        let found = named.find(|t| t.peers.iter().any(|p| p.id == *from));
        cx.counters.frames_unexpected += u64::from(found.is_none());
        found
    }

    fn asked(&mut self, cx: &mut Cx<'_>, from: NodeId, session: u32) -> Option<&mut Topic> {
        let found = self.topics.values_mut().find(|t| t.sync.has_asked(&from, session));
        cx.counters.frames_unexpected += u64::from(found.is_none());
        found
    }

    pub(super) fn on_compare(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Compare) {
        let Some(t) = self.set(cx, &m.set, &from) else { return };
        let (sync, mut set) = t.parts();
        sync.on_compare(cx, &mut set, from, m);
    }

    pub(super) fn on_same(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Same) {
        let Some(t) = self.asked(cx, from, m.session) else { return };
        let (sync, set) = t.parts();
        sync.on_same(cx, &set, m);
    }

    pub(super) fn on_differ(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Differ) {
        let Some(t) = self.asked(cx, from, m.session) else { return };
        let (sync, set) = t.parts();
        sync.on_differ(cx, &set, from, m);
    }

    pub(super) fn on_ranges(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Ranges) {
        let Some(t) = self.set(cx, &m.set, &from) else { return };
        let (topic, (sync, set)) = (t.id, t.parts());
        if let Some(serve) = sync.on_ranges(cx, &set, from, m) {
            self.serve(cx, from, topic, serve);
        }
    }

    pub(super) fn on_pull(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Pull) {
        let Some(t) = self.set(cx, &m.set, &from) else { return };
        let (topic, (sync, set)) = (t.id, t.parts());
        let serve = sync.on_pull(cx, &set, from, m);
        self.serve(cx, from, topic, serve);
    }

    pub(super) fn on_ask_symbols(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &AskSymbols) {
        let Some(t) = self.set(cx, &m.set, &from) else { return };
        let (sync, mut set) = t.parts();
        sync.on_ask_symbols(cx, &mut set, from, m);
    }

    pub(super) fn on_symbols(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Symbols, payload: &[u8]) {
        let Some(t) = self.set(cx, &m.set, &from) else { return };
        let (sync, set) = t.parts();
        sync.on_symbols(cx, &set, from, m, payload);
    }

    pub(super) fn on_want_items(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &WantItems) {
        let Some(t) = self.set(cx, &m.set, &from) else { return };
        let (topic, (sync, set)) = (t.id, t.parts());
        let serve = sync.on_want_items(cx, &set, m);
        self.serve(cx, from, topic, serve);
    }

    pub(super) fn on_offer(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Offer) {
        let Some(t) = self.set(cx, &m.set, &from) else { return };
        let (sync, set) = t.parts();
        sync.on_offer(cx, &set, from, m);
    }

    pub(super) fn on_served(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Served) {
        let Some(t) = self.set(cx, &m.set, &from) else { return };
        let (sync, set) = t.parts();
        sync.on_served(cx, &set, from, m);
    }

    fn serve(&mut self, cx: &mut Cx<'_>, peer: NodeId, topic: TopicId, serve: Serve) {
        self.serving.add(cx, peer, topic, SetTag::new(&topic), serve);
        self.pump(cx, peer);
    }

    /// The bulk lane to `peer` has room.
    pub(crate) fn pump(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let topics = &self.topics;
        let sent = self.serving.pump(cx, peer, |cx, topic, ids| {
            let log = topics.get(topic).map(|t| &t.log);
            page(cx, log, ids)
        });
        cx.counters.batches_served += sent;
        cx.counters.batches_sent += sent;
    }
}

/// The first of these batches that fit a frame.
fn page(cx: &Cx<'_>, log: Option<&MessageLog>, ids: &VecDeque<ShortId>) -> Page {
    let (mut batches, mut payload, mut taken) = (Vec::new(), BytesMut::new(), 0);
    for id in ids.iter().take(MAX_BUNDLE) {
        let found = log.and_then(|l| l.get(id));
        let len = found.map_or(0, |e| e.batch.bytes().len());
        if !batches.is_empty() && payload.len() + len > PAGE {
            break;
        }
        taken += 1;
        let Some(e) = found else { continue };
        let held = cx.now.mono.since(e.received).0 / 100;
        batches.push(Bundled { len: len as u32, hop: e.hop.saturating_add(1), held });
        payload.extend_from_slice(e.batch.bytes());
    }
    let count = batches.len() as u64;
    let frame = (count > 0).then(|| Message::from(Bundle { batches }).frame_with(payload.freeze()));
    Page { frame, count, taken }
}
