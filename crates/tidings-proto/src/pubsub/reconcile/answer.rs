//! Answering neighbours that compare, and what their answers lead to.

use super::session::Session;
use super::{Divergent, LIMIT, SOON};
use crate::anti_entropy::{Digest, MAX_WANTED, StreamTag, riblt};
use crate::identity::{NodeId, TopicId};
use crate::layer::{Cx, TimerKey};
use crate::pubsub::{PubSub, Timer, Topic};
use crate::wire::{
    AskSymbols, Compare, Differ, Lane, Message, Offer, Pull, Ranges, Same, SetTag, ShortId, Symbols, WantItems, Wanted,
};

/// Symbols served for each item, and at least: what a decoder with the same number of items may take.
const SYMBOLS_PER_ITEM: usize = 4;
const SYMBOLS_LEAST: usize = 4_096;

impl PubSub {
    /// The topic a tag names, if this neighbour is one in it.
    pub(super) fn set(&mut self, set: &SetTag, from: &NodeId) -> Option<&mut Topic> {
        let bound = |fill: u8| {
            let mut id = [fill; 32];
            id[..8].copy_from_slice(&set.0.to_be_bytes());
            TopicId(id)
        };
        let mut named = self.topics.range_mut(bound(0)..=bound(255)).map(|(_, t)| t);
        named.find(|t| t.peers.iter().any(|p| p.id == *from))
    }

    pub(in crate::pubsub) fn on_compare(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Compare) {
        let Some(t) = self.set(&m.set, &from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        if !t.sync.may_answer(cx, from) {
            return;
        }
        t.trim(cx);
        let shared = m.from.max(t.log.horizon());
        let until = m.from.saturating_add(m.span);
        let mine = t.log.digest(shared, until);
        // It asks, so we need not.
        t.sync.due.remove(&from);
        if shared == m.from && (mine == Digest { sum: m.sum, count: m.count }) {
            t.sync.compared = true;
            cx.send(from, Same { session: m.session });
            return t.arm_sync(cx);
        }
        let streams = t.log.streams(shared, until).len() as u64;
        cx.send(from, Differ { session: m.session, from: shared, sum: mine.sum, count: mine.count, streams });
        t.arm_sync(cx);
    }

    pub(in crate::pubsub) fn on_same(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Same) {
        if let Some(t) = self.asked(cx, from, m.session) {
            t.sync.asked.remove(&m.session);
            t.sync.compared = true;
            t.go_on(cx);
        }
    }

    pub(in crate::pubsub) fn on_differ(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Differ) {
        let Some(t) = self.asked(cx, from, m.session) else { return };
        let Some(a) = t.sync.asked.remove(&m.session) else { return };
        let shared = m.from.clamp(a.from, a.until);
        let theirs = Digest { sum: m.sum, count: m.count };
        if t.log.digest(shared, a.until) == theirs {
            t.sync.compared = true;
        } else {
            let streams = m.streams;
            t.sync.divergent.retain(|d| d.peer != from);
            t.sync.divergent.push(Divergent {
                peer: from,
                session: m.session,
                from: shared,
                until: a.until,
                theirs,
                streams,
            });
        }
        t.go_on(cx);
    }

    fn asked(&mut self, cx: &mut Cx<'_>, from: NodeId, session: u32) -> Option<&mut Topic> {
        let ours = |t: &&mut Topic| t.sync.asked.get(&session).is_some_and(|a| a.peer == from);
        let found = self.topics.values_mut().find(ours);
        cx.counters.frames_unexpected += u64::from(found.is_none());
        found
    }

    pub(in crate::pubsub) fn on_ranges(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Ranges) {
        let Some(t) = self.set(&m.set, &from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        if !t.sync.may_answer(cx, from) {
            return;
        }
        let topic = t.id;
        let shared = m.from.max(t.log.horizon());
        let lacks = t.log.between(shared, m.from.saturating_add(m.span)).filter(|e| {
            let h = e.batch.header();
            !m.streams.holds(&StreamTag::new(&h.author, h.epoch), h.first_seq, h.last_seq())
        });
        let ids: Vec<ShortId> = lacks.map(|e| e.batch.short_id()).collect();
        let gaps = t.log.streams(m.from, u64::MAX).lacking(&m.streams, MAX_WANTED);
        if !gaps.is_empty() && t.sync.may_fetch(cx, &from) {
            let ranges = gaps.into_iter().map(|(stream, from, to)| Wanted { stream, from, to }).collect();
            t.fetch(cx, from, m.session, ranges);
        } else if !gaps.is_empty() {
            t.sync.set_due(from, cx.now.mono + SOON, false);
        }
        t.arm_sync(cx);
        self.serve_later(cx, from, topic, m.session, ids);
    }

    pub(in crate::pubsub) fn on_pull(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Pull) {
        let Some(t) = self.set(&m.set, &from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let topic = t.id;
        let ids = if m.ranges.is_empty() {
            let offered = t.sync.offered.take_if(|o| o.0 == from && o.1 == m.session);
            offered.map(|o| o.2).unwrap_or_default()
        } else {
            let mut ids: Vec<(u64, ShortId)> = Vec::new();
            for w in &m.ranges {
                let found = t.log.wanted(&w.stream, w.from, w.to);
                ids.extend(found.map(|e| (e.batch.header().wall_ms, e.batch.short_id())));
            }
            ids.sort();
            ids.dedup();
            ids.into_iter().map(|(_, id)| id).collect()
        };
        self.serve_later(cx, from, topic, m.session, ids);
    }

    pub(in crate::pubsub) fn on_ask_symbols(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &AskSymbols) {
        let Some(t) = self.set(&m.set, &from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        if m.first == 0 && !t.sync.may_answer(cx, from) {
            return;
        }
        let (first, count) = (m.first as usize, m.count as usize);
        let horizon = t.log.horizon();
        let shared = m.from.max(horizon);
        let items = t.log.len();
        if first + count > items * SYMBOLS_PER_ITEM + SYMBOLS_LEAST {
            cx.counters.reconcile_limited += 1;
            return;
        }
        let s = t.log.symbols(cx.now.wall, shared, m.as_of, (first, count));
        let (set, session, first) = (m.set, m.session, m.first);
        let (answer, payload) = match s {
            Some(s) => {
                let payload = riblt::encode(&s.symbols, first as usize, s.items);
                (Symbols { set, session, key: s.key, items: s.items, as_of: s.as_of, first }, payload)
            }
            None => (Symbols { set, session, key: 0, items: 0, as_of: 0, first }, Vec::new()),
        };
        let frame = Message::from(answer).frame_with(payload.into());
        if !cx.send_frame(from, Lane::Bulk, frame) {
            cx.counters.reconcile_failed += 1;
        }
    }

    pub(in crate::pubsub) fn on_want_items(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &WantItems) {
        let Some(t) = self.set(&m.set, &from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let topic = t.id;
        let mut ids: Vec<(u64, ShortId)> = Vec::new();
        for item in &m.items {
            let found = t.log.item(m.key, *item);
            cx.counters.log_misses += u64::from(found.is_none());
            ids.extend(found.map(|e| (e.batch.header().wall_ms, e.batch.short_id())));
        }
        ids.sort();
        ids.dedup();
        self.serve_later(cx, from, topic, m.session, ids.into_iter().map(|(_, id)| id));
    }

    pub(in crate::pubsub) fn on_offer(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Offer) {
        let Some(t) = self.set(&m.set, &from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        if t.sync.may_fetch(cx, &from) {
            t.fetch(cx, from, m.session, Vec::new());
        } else {
            t.sync.set_due(from, cx.now.mono + SOON.max(LIMIT), false);
        }
        t.arm_sync(cx);
    }
}

impl Topic {
    /// Something was answered: what follows is decided when this turn's inputs are in.
    fn go_on(&self, cx: &mut Cx<'_>) {
        cx.deadlines.set(TimerKey::PubSub(Timer::Reconcile(self.id)), cx.now.mono);
    }

    /// The neighbour that asked has what we lack.
    fn fetch(&mut self, cx: &mut Cx<'_>, from: NodeId, session: u32, ranges: Vec<Wanted>) {
        if cx.send_counted(from, Pull { set: SetTag::new(&self.id), session, ranges }).is_some() {
            cx.counters.reconcile_sessions += 1;
            self.sync.active = Some(Session::wanting(from, session, cx.now.mono));
        }
    }
}
