//! The tree: pushing batches along eager links, announcing them on lazy ones, pruning, grafting, exchanging.

use std::sync::Arc;

use bytes::Bytes;

use super::author::{Arrived, Author, Came, Verdict, WIDE};
use super::batch::{Batch, Delivery, Peeked};
use super::message_log::{Entry, Known};
use super::policy::Ruling;
use super::prune::PRUNE_AGAIN;
use super::repair::{Lack, new_gap};
use super::tree::{Queued, Rival};
use super::{MAX_AUTHORS, PubSub, Timer, Topic};
use crate::identity::{NodeId, TopicId};
use crate::layer::{Cx, Request, TimerKey};
use crate::time::{Span, Time};
use crate::wire::{Bundle, Fetch, Gossip, Graft, IHave, Lane, MAX_RANGES, Message, Prune, Range};

/// A lazy neighbour replaces a parent when its copies would have come earlier by this much, this many times in a
/// row, at most once per [`SWAP_EVERY`] and topic (guesses, settled in simulation: below, rotating publishers and
/// jitter make the tree flap).
const FASTER: i64 = 2_000;
const FASTER_TIMES: u8 = 8;
const SWAP_EVERY: Span = Span::from_millis(500);
/// Batches that came within so long of each other are one observation: when many nodes publish at once, the copies of
/// one instant say nothing about the next, and all nodes would exchange links at once.
const FASTER_APART: Span = Span::from_millis(50);
/// Authors heard so recently may have been cut off with an eager link.
const RECENT: Span = Span::from_secs(15);
/// Batches signed further in the future than this are refused: clocks may be 10 minutes apart.
pub(super) const FUTURE_MS: u64 = 15 * 60_000;

/// How a batch came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Links travelled.
    pub(super) hop: u16,
    /// It was asked for.
    pub(super) pulled: bool,
    /// It was asked for because logs differ, and this is how long the neighbour has had it.
    pub(super) held: Option<Span>,
}

impl PubSub {
    /// Batches that were asked for because logs differ.
    pub(super) fn on_bundle(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Bundle, mut payload: Bytes) {
        for b in &m.batches {
            let len = b.len as usize;
            if len > payload.len() {
                cx.counters.batches_malformed += 1;
                return;
            }
            let held = Some(Span(b.held.saturating_mul(100)));
            self.on_gossip(cx, from, Arrival { hop: b.hop, pulled: true, held }, payload.split_to(len));
        }
        cx.counters.batches_malformed += u64::from(!payload.is_empty());
    }

    pub(super) fn on_gossip(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Arrival, payload: Bytes) {
        let Ok(peeked) = Batch::peek(&payload) else {
            cx.counters.batches_malformed += 1;
            return;
        };
        let h = &peeked.header;
        let Some(t) = self.topics.get_mut(&h.topic) else {
            cx.counters.batches_off_topic += 1;
            return;
        };
        let fetched = m.held.is_some();
        if fetched {
            t.sync.fetched(cx, from, h.wall_ms, h.count(), payload.len());
            // Known, but no longer here: it is wanted in the log, and nowhere else.
            let known = h.author == cx.me || t.authors.get(&h.author).is_some_and(|a| a.judge(h) != Verdict::New);
            if known && h.wall_ms >= t.log.horizon() && t.log.at_place(h).is_none() {
                return self.refill(cx, from, m, peeked, payload);
            }
        }
        if h.author == cx.me {
            // Our own, come back: whatever it holds, we have it.
            t.duplicate(cx, from, m.pulled, h, &payload);
            return;
        }
        // Nothing is known of an author but what its signatures said, so no forgery stands in a true batch's way.
        let verdict = t.authors.get(&h.author).map_or(Verdict::New, |a| a.judge(h));
        match verdict {
            Verdict::New => {}
            Verdict::Seen => {
                t.duplicate(cx, from, m.pulled, h, &payload);
                return;
            }
            Verdict::Contradictory => {
                cx.counters.batches_contradictory += 1;
                return;
            }
            Verdict::Forgotten => {
                cx.counters.batches_out_of_time += 1;
                return;
            }
        }
        let oldest = cx.now.wall.0.saturating_sub(u64::try_from(cx.config.history_max_age.as_millis()).unwrap_or(0));
        if h.wall_ms < oldest || h.wall_ms > cx.now.wall.0 + FUTURE_MS {
            cx.counters.batches_out_of_time += 1;
            return;
        }
        let ruling = self.policing.judge(cx, h);
        if ruling == Ruling::Refused {
            cx.counters.batches_unauthorised += 1;
            return;
        }
        if ruling == Ruling::Unknown && !self.policing.has_room(cx, from, h, payload.len()) {
            return;
        }
        let batch = match Batch::verify(payload, peeked, &self.key.0, cx.crypto) {
            Ok(b) => Arc::new(b),
            Err(_) => {
                cx.counters.batches_forged += 1;
                return;
            }
        };
        if ruling == Ruling::Unknown {
            return self.hold(cx, from, m, batch);
        }
        self.admit(cx, from, m, batch);
    }

    /// Takes in a batch that is new, verified, and its author's to publish.
    pub(super) fn admit(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Arrival, batch: Arc<Batch>) {
        let Some(t) = self.topics.get_mut(&batch.header().topic) else { return };
        if let Some(certificate) = batch.header().certificate
            && cx.agents.is_news(cx.certificates, &batch.header().author, batch.header().epoch, certificate)
        {
            cx.request(Request::Prove(batch.header().author, batch.header().epoch, certificate, from));
        }
        cx.counters.batches_received += 1;
        cx.counters.batches_pulled += u64::from(m.pulled);
        let hop = m.hop.max(1);
        let Some(held) = m.held else {
            t.take_in(cx, from, &batch, hop, m.pulled);
            let listening = cx.now.mono.since(t.joined);
            return self.accept(cx, batch, hop, Came::Listening(listening));
        };
        cx.counters.batches_recovered += 1;
        let there = cx.now.mono - held;
        let came = if there < t.joined { Came::Before } else { Came::Listening(there.since(t.joined)) };
        t.keep(cx, from, &batch, hop);
        self.accept(cx, batch, hop, came);
    }

    /// A batch that was known comes back into the log.
    fn refill(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Arrival, peeked: Peeked, payload: Bytes) {
        let h = &peeked.header;
        let ruling = if h.author == cx.me { Ruling::Allowed } else { self.policing.judge(cx, h) };
        cx.counters.batches_unauthorised += u64::from(ruling == Ruling::Refused);
        let waits = ruling == Ruling::Unknown && self.policing.has_room(cx, from, h, payload.len());
        if !(waits || ruling == Ruling::Allowed) {
            return;
        }
        let Ok(batch) = Batch::verify(payload, peeked, &self.key.0, cx.crypto) else {
            cx.counters.batches_forged += 1;
            return;
        };
        match waits {
            true => self.hold(cx, from, m, Arc::new(batch)),
            false => self.refilled(cx, from, m.hop.max(1), &Arc::new(batch)),
        }
    }

    pub(super) fn refilled(&mut self, cx: &mut Cx<'_>, from: NodeId, hop: u16, batch: &Arc<Batch>) {
        let Some(t) = self.topics.get_mut(&batch.header().topic) else { return };
        cx.counters.batches_refilled += 1;
        t.keep(cx, from, batch, hop);
        if t.subscribed {
            // It was delivered before; who asked for history gets it as that.
            let own = batch.header().author == cx.me;
            let told = self.secrets.event(cx, Delivery::history(batch.clone(), own, hop));
            told.into_iter().for_each(|e| cx.event(e));
        }
    }

    /// Orders a new batch within its author's stream, and delivers what is next.
    fn accept(&mut self, cx: &mut Cx<'_>, batch: Arc<Batch>, hop: u16, came: Came) {
        let (topic, id) = (batch.header().topic, batch.header().author);
        let Some(t) = self.topics.get_mut(&topic) else { return };
        if !t.authors.contains_key(&id) && t.authors.len() >= MAX_AUTHORS {
            let oldest = t.authors.iter().filter(|(_, a)| !a.is_waiting()).min_by_key(|(_, a)| a.heard);
            if let Some(gone) = oldest.map(|(p, _)| *p).and_then(|p| t.authors.remove(&p)) {
                t.wide = t.wide.saturating_sub(usize::from(gone.is_wide()));
                cx.counters.authors_forgotten += 1;
            }
        }
        let author = t.authors.entry(id).or_insert_with(Author::default);
        author.heard = cx.now.mono;
        let (mut ready, mut gaps) = (Vec::new(), Vec::new());
        let (before, wide) = (author.waits(), author.is_wide());
        let arrived = Arrived { hop, came, wide: wide || t.wide < WIDE };
        let resumed = author.accept(batch, arrived, &mut ready);
        t.wide = (t.wide + usize::from(author.is_wide())).saturating_sub(usize::from(wide));
        while author.overflows() {
            cx.counters.gaps_hurried += 1;
            gaps.extend(author.give_up(id, &mut ready));
        }
        t.waiting.change(before, author.waits());
        if author.is_waiting() {
            let lack = match (author.has_begun(), resumed) {
                (false, _) => Lack::Beginning,
                (true, true) => Lack::Resumed,
                (true, false) => Lack::Numbers,
            };
            let patience = t.patience.wait();
            let gap = author.gap.get_or_insert_with(|| new_gap(cx, patience, lack));
            if lack == Lack::Beginning && gap.asked > 0 {
                // What was asked for came, and there is one before it.
                gap.ask_at = cx.now.mono;
            }
            cx.deadlines.set_no_later(TimerKey::PubSub(Timer::Gap(topic)), gap.deadline.min(gap.ask_at));
        }
        self.hand_over(cx, topic, id, gaps, ready);
        while self.topics.get(&topic).is_some_and(|t| t.waiting.overflows()) {
            self.hurry_oldest_gap(cx, topic);
        }
    }

    /// Gives the program what is ready, gaps first, once it is stored.
    pub(super) fn hand_over(
        &mut self,
        cx: &mut Cx<'_>,
        topic: TopicId,
        id: NodeId,
        gaps: Vec<crate::wire::Range>,
        ready: Vec<super::author::Ready>,
    ) {
        let Some(t) = self.topics.get(&topic) else { return };
        let Some(author) = t.authors.get(&id) else { return };
        for r in &gaps {
            cx.counters.gaps += 1;
            // An author may claim any numbers: the count stays at its end rather than begin again.
            let missed = (r.to - r.from).saturating_add(1);
            cx.counters.messages_missed = cx.counters.messages_missed.saturating_add(missed);
            if t.subscribed {
                self.persist.deliver(&topic, &id, author, cx.now.wall, t.gap_event(r));
            }
        }
        for r in ready {
            if r.history {
                let history = self.secrets.event(cx, Delivery::history(r.batch, false, r.hop));
                self.persist.deliver(&topic, &id, author, cx.now.wall, history);
                continue;
            }
            let delivery = Delivery::new(r.batch, r.late, false, r.hop);
            cx.counters.delivered += delivery.len() as u64;
            cx.counters.delivered_late += if delivery.late() { delivery.len() as u64 } else { 0 };
            let event = if t.subscribed { self.secrets.event(cx, delivery) } else { None };
            self.persist.deliver(&topic, &id, author, cx.now.wall, event);
        }
    }

    pub(super) fn on_ihave(&mut self, cx: &mut Cx<'_>, from: NodeId, m: IHave) {
        let Some(t) = self.topics.get_mut(&m.topic).filter(|t| t.peers.iter().any(|p| p.id == from)) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        cx.counters.ihaves_received += m.batches.len() as u64;
        let now = cx.now.mono;
        for a in &m.batches {
            let held = Span(u64::from(a.held) * 100);
            let there = now - held;
            match t.log.known(&a.id).copied() {
                Some(known) => t.compare(cx, from, known, there),
                // What it had before we came is history: asked for, not pushed.
                None if there < t.joined => {}
                None => t.repair.announced(cx, from, a.id, there, t.patience.wait()),
            }
        }
        t.arm_repair(cx);
    }

    pub(super) fn on_graft(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Graft) {
        let Some(t) = self.topics.get_mut(&m.topic) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let Some(p) = t.peer(&from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        if m.eager {
            p.graft();
        }
        let distinct: std::collections::BTreeSet<_> = m.ids.iter().collect();
        for id in distinct {
            match t.log.get(id) {
                Some(e) if !serve(cx, from, &e.batch, e.hop) => return,
                Some(_) => {}
                None => cx.counters.log_misses += 1,
            }
        }
    }

    pub(super) fn on_prune(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Prune) {
        let Some(t) = self.topics.get_mut(&m.topic) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let Some(p) = t.peer(&from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        p.eager = false;
        t.keep_a_parent(cx);
    }
}

/// Sends a batch that was asked for. Returns whether the link had room.
pub(super) fn serve(cx: &mut Cx<'_>, to: NodeId, batch: &Arc<Batch>, hop: u16) -> bool {
    let frame = Message::from(Gossip { hop: hop.saturating_add(1), pulled: true }).frame_with(batch.bytes().clone());
    let sent = cx.send_frame(to, Lane::Data, frame);
    if sent {
        cx.counters.batches_served += 1;
        cx.counters.batches_sent += 1;
    } else {
        cx.counters.batches_shed += 1;
    }
    sent
}

impl Topic {
    /// Logs a new batch, passes it on, and learns from who brought it.
    fn take_in(&mut self, cx: &mut Cx<'_>, from: NodeId, batch: &Arc<Batch>, hop: u16, pulled: bool) {
        let now = cx.now.mono;
        if !self.built {
            self.outbox.hold_until(now + self.flood_span(cx));
            self.built = true;
        }
        self.hear(cx, batch.header().author);
        let id = batch.short_id();
        let known = Known { received: now, from: Some(from), pulled };
        self.log.add(cx.config, cx.now, Entry { batch: batch.clone(), hop, received: now }, known);
        self.durable.note(batch);
        self.trim(cx);
        let announcers = self.repair.arrived(&id);
        if !pulled {
            self.patience.note(now, announcers.iter().map(|a| now.since(a.heard)).max().unwrap_or(Span::ZERO));
        }
        for a in announcers {
            self.compare(cx, a.peer, known, a.there);
        }
        if let Some(p) = self.peer(&from) {
            p.brought = Some(now);
            if pulled {
                self.pulled = Some(now);
            } else if !p.just_pruned(now, PRUNE_AGAIN) {
                // It counts us as eager. (Right after a prune, what was on its way still comes.)
                p.eager = true;
            }
        }
        self.disseminate(cx, batch, hop.saturating_add(1), Some(from));
        self.pull_contents(cx, from, batch);
    }

    /// Logs what was fetched. The tree has no part in it: whoever lacks it fetches it as well.
    fn keep(&mut self, cx: &mut Cx<'_>, from: NodeId, batch: &Arc<Batch>, hop: u16) {
        let now = cx.now.mono;
        let known = Known { received: now, from: Some(from), pulled: true };
        self.repair.arrived(&batch.short_id());
        self.pull_contents(cx, from, batch);
        self.log.add(cx.config, cx.now, Entry { batch: batch.clone(), hop, received: now }, known);
        self.durable.note(batch);
        self.trim(cx);
    }

    /// Pushes a batch to the eager neighbours and announces it to the others. Returns how many took it.
    pub(super) fn disseminate(&mut self, cx: &mut Cx<'_>, batch: &Arc<Batch>, hop: u16, but: Option<NodeId>) -> usize {
        let frame = Message::from(Gossip { hop, pulled: false }).frame_with(batch.bytes().clone());
        let messages = batch.header().payloads.len();
        let queued = Queued { id: batch.short_id(), hop: hop - 1, received: cx.now.mono, messages };
        let mut took = 0;
        for p in self.peers.iter_mut().filter(|p| Some(p.id) != but) {
            if p.eager {
                if cx.push(p.id, &frame) {
                    took += 1;
                    continue;
                }
                // It is slow: it learns of the batch, and asks for it when it can.
                cx.counters.batches_shed += 1;
            }
            p.queue_announcement(cx, queued);
        }
        cx.counters.batches_sent += took as u64;
        self.arm_announce(cx);
        took
    }

    /// A lazy neighbour had a batch that we have: would its copy have come earlier? If it would again and again,
    /// it takes the parent's place.
    fn compare(&mut self, cx: &mut Cx<'_>, from: NodeId, known: Known, there: Time) {
        let lag = there.0 as i64 - known.received.0 as i64;
        let (now, topic) = (cx.now.mono, self.id);
        let Some(parent) = known.from.filter(|p| *p != from && !known.pulled) else { return };
        let swapped = self.swapped;
        let Some(p) = self.peer(&from).filter(|p| !p.eager) else { return };
        p.note_lag(lag);
        // A machine or a link under load delays copies by more than any path does, now here, now there.
        let faster = lag < -FASTER && p.lag_is_steady();
        let wins = match p.rival {
            Some(r) if r.parent == parent && !faster => 0,
            Some(r) if r.parent == parent && known.received < r.at + FASTER_APART => return,
            Some(r) if r.parent == parent => r.wins.saturating_add(1),
            Some(r) if r.wins > 0 => return,
            _ => u8::from(faster),
        };
        p.rival = Some(Rival { parent, wins, at: known.received });
        if wins < FASTER_TIMES || now.since(swapped) < SWAP_EVERY {
            return;
        }
        p.rival = None;
        // Make before break: both links stay in the tree until a copy comes twice, and the slower one is pruned.
        p.graft();
        self.swapped = now;
        cx.counters.swaps += 1;
        cx.send(from, Graft { topic, ids: Vec::new(), eager: true });
    }

    /// An eager link is lost, on which a batch came last at `brought`. If it was where batches came from, the way is cut:
    /// take another at once, rather than wait for an announcement to go unanswered.
    pub(super) fn lost(&mut self, cx: &mut Cx<'_>, brought: Option<Time>) {
        let newest = self.peers.iter().filter(|p| p.eager).filter_map(|p| p.brought).max();
        if brought.is_some() && brought >= newest {
            self.graft_best(cx);
        }
        self.keep_a_parent(cx);
    }

    /// A node without an eager link hears nothing until an announcement goes unanswered: take one.
    pub(super) fn keep_a_parent(&mut self, cx: &mut Cx<'_>) {
        if self.built && !self.peers.iter().any(|p| p.eager) {
            self.graft_best(cx);
        }
    }

    /// Makes the lazy neighbour whose copies come earliest eager.
    pub(super) fn graft_best(&mut self, cx: &mut Cx<'_>) {
        let (now, topic) = (cx.now.mono, self.id);
        let best = self
            .peers
            .iter()
            .filter(|p| !p.eager && !p.suspected)
            .min_by_key(|p| {
                (
                    cx.links().is_slow(&p.id),
                    p.lag().unwrap_or(i64::MAX),
                    cx.topology.rtt(&p.id).unwrap_or(Span(u64::MAX)),
                    p.id,
                )
            })
            .map(|p| p.id);
        let Some(best) = best else { return };
        if let Some(p) = self.peer(&best) {
            p.graft();
        }
        cx.counters.grafts_sent += 1;
        cx.send(best, Graft { topic, ids: Vec::new(), eager: true });
        // What fell between the old link and this one is asked for at once, by number.
        let ranges: Vec<Range> = self
            .authors
            .iter()
            .filter(|(_, a)| now.since(a.heard) < RECENT)
            .filter_map(|(id, a)| a.rest(*id))
            .take(MAX_RANGES)
            .collect();
        if !ranges.is_empty() {
            cx.counters.fetches_sent += 1;
            cx.send(best, Fetch { topic, ranges });
        }
    }
}
