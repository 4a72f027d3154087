//! The tree that records travel along.
//!
//! As in Plumtree, some links are *eager* (records are pushed on them at once) and the others *lazy* (records are announced on
//! them, many at a time): whoever hears of a record and does not get it asks the announcer, and the link is eager from then on.
//!
//! What differs, and why:
//! - *No prune for a duplicate.* With as many publishers as nodes, and some at the same moment, prunes for one flood cut what
//!   another counts on; and records are too rare to keep a tree whole under churn. Instead a *wave* goes over all links every
//!   half a minute or so: whoever brings it first is the parent and is told so, and when it has passed, links that are neither to
//!   a parent nor to a child leave the tree. So the tree is one of shortest paths, whatever grew or broke before, and what a
//!   graft closed too much is open again. Of two waves at once the one with the lower id goes on. Anybody may begin one when
//!   none came for long, at a random time, so that mostly one does; who lost its parent begins one soon.
//! - *A newcomer's first neighbour is its parent.* Until the next wave the tree is as the network grew.
//! - *What only says that something still holds can wait*: it is held for [`HOLD`] at each hop, and announced every
//!   [`ROUND`]; what is new is pushed at once and announced within [`SOON`].

use bytes::BytesMut;

use super::peers::{Peer, Push};
use super::store::short;
use super::{Records, Timer};
use crate::identity::{NodeId, RecordKey};
use crate::layer::{Cx, TimerKey};
use crate::time::{Span, Time};
use crate::wire::{
    self, FreshRecord, FullRecord, Lane, Message, RecordsHeld, RecordsLazy, RecordsWanted, RecordsWave, SetId,
};

/// How long a refresh is held for others to share its frame (a guess: it is in no hurry, but neighbours whose records differ
/// for long compare them in vain).
const HOLD: Span = Span::from_millis(50);
/// Announcements of refreshes, and of what is new.
const ROUND: Span = Span::from_secs(4);
const SOON: Span = Span::from_millis(150);
/// What is announced is waited for so long before it is asked for, and once more before somebody else is.
const PATIENCE: Span = Span::from_millis(250);
const AGAIN: Span = Span::from_millis(700);
const TRIES: usize = 3;
/// Announcements remembered, and announcers of each.
const MAX_MISSING: usize = 8_192;
const ANNOUNCERS: usize = 4;
/// Bytes of those.
pub(super) const WAITING: usize = MAX_MISSING * (ANNOUNCERS * 32 + 96);
/// The time between waves; how much longer it may be here than elsewhere, at least and for each record, so that mostly one
/// node begins; how soon when a parent was lost; and the least that is let pass (guesses: a wave costs some twenty small
/// frames a node).
const WAVE: u64 = 30_000_000;
const WAVE_SPREAD: u64 = 30_000_000;
const WAVE_EACH: u64 = 500_000;
const SOONER: Span = Span::from_secs(1);
const WAVE_LEAST: Span = Span::from_secs(10);
/// A wave has passed after so long at most, and at least (as in `pubsub/prune.rs`: a few round trips).
const PASSED_MOST: Span = Span::from_millis(600);
const PASSED_LEAST: Span = Span::from_millis(60);
const ROUND_TRIPS: u64 = 3;
/// Records sent for one request: what is more is not repair but comparing's.
const ANSWERED: usize = 128;
/// Bytes of records in one frame.
const FRAME: usize = 24 << 10;

/// Something that was announced and is not here.
#[derive(Debug)]
pub(super) struct Missing {
    announcers: Vec<NodeId>,
    ask_at: Time,
    tries: usize,
}

/// A wave that passes.
#[derive(Debug)]
pub(super) struct Wave {
    id: u32,
    children: Vec<NodeId>,
    /// Who brought it again.
    again: Vec<NodeId>,
}

impl Records {
    /// Passes a record on: pushed along the tree, announced elsewhere.
    pub(super) fn spread(&mut self, cx: &mut Cx<'_>, but: Option<NodeId>, set: SetId, key: RecordKey, fresh: bool) {
        let Some(id) = cx.records.get(set, &key).map(|r| short(&r.id())) else { return };
        let now = cx.now.mono;
        let (push_at, tell_at) = if fresh { (now + HOLD, now + ROUND) } else { (now, now + SOON) };
        for p in self.peers.iter_mut().filter(|p| Some(p.id) != but) {
            if p.eager {
                p.push(cx, Push { set, key, fresh }, push_at);
            } else {
                p.tell(cx, id, tell_at);
            }
        }
        self.arm_flush(cx);
        self.arm_announce(cx);
    }

    fn arm_flush(&self, cx: &mut Cx<'_>) {
        if let Some(at) = self.peers.iter().map(|p| p.push_at).min().filter(|at| at.0 < u64::MAX) {
            cx.deadlines.set(TimerKey::Records(Timer::Flush), at);
        }
    }

    fn arm_announce(&self, cx: &mut Cx<'_>) {
        if let Some(at) = self.peers.iter().map(|p| p.announce_at).min().filter(|at| at.0 < u64::MAX) {
            cx.deadlines.set(TimerKey::Records(Timer::Announce), at);
        }
    }

    /// Sends what is due; asked when the node has nothing else to do, so that what came together leaves together. Returns whether
    /// there was anything.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>) -> bool {
        let now = cx.now.mono;
        let due: Vec<usize> = (0..self.peers.len()).filter(|i| self.peers[*i].push_at <= now).collect();
        if due.is_empty() {
            return false;
        }
        for i in due {
            let p = &mut self.peers[i];
            p.push_at = Time(u64::MAX);
            let (id, pushes) = (p.id, std::mem::take(&mut p.pushes));
            // Who takes nothing is left to comparing, when it does again.
            if cx.links().may_announce(&id) {
                send(cx, id, Lane::Control, &pushes);
            } else {
                cx.counters.records_shed += pushes.len() as u64;
            }
        }
        self.arm_flush(cx);
        true
    }

    pub(super) fn announce(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        for p in self.peers.iter_mut().filter(|p| p.announce_at <= now) {
            p.announce_at = Time(u64::MAX);
            // What was replaced meanwhile is announced as what it is now.
            let ids: Vec<u32> = p.announce.drain(..).filter(|id| cx.records.announced(*id).next().is_some()).collect();
            for ids in ids.chunks(wire::MAX_NAMED) {
                if cx.links().may_announce(&p.id) && cx.send(p.id, RecordsHeld { ids: ids.to_vec() }) {
                    cx.counters.records_announced += ids.len() as u64;
                }
            }
        }
        self.arm_announce(cx);
    }

    pub(super) fn on_held(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &RecordsHeld) {
        let now = cx.now.mono;
        if let Some(p) = self.peer(&from) {
            // It need not be told.
            p.announce.retain(|id| !m.ids.contains(id));
        }
        for id in m.ids.iter().filter(|id| !cx.records.knows(**id)) {
            if !self.missing.contains_key(id) && self.missing.len() >= MAX_MISSING {
                cx.counters.records_shed += 1;
                continue;
            }
            let new = || Missing { announcers: Vec::new(), ask_at: now + PATIENCE, tries: 0 };
            let lack = self.missing.entry(*id).or_insert_with(new);
            if lack.announcers.len() < ANNOUNCERS && !lack.announcers.contains(&from) {
                lack.announcers.push(from);
            }
        }
        self.arm_repair(cx);
    }

    fn arm_repair(&self, cx: &mut Cx<'_>) {
        if let Some(at) = self.missing.values().map(|m| m.ask_at).min() {
            cx.deadlines.set(TimerKey::Records(Timer::Repair), at);
        }
    }

    /// Asks for what was announced and did not come.
    pub(super) fn repair(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let mut asks: Vec<(NodeId, Vec<u32>)> = Vec::new();
        let peers = &self.peers;
        self.missing.retain(|id, m| {
            if cx.records.knows(*id) {
                return false;
            }
            if m.ask_at > now {
                return true;
            }
            m.announcers.retain(|a| peers.iter().any(|p| p.id == *a));
            if m.announcers.is_empty() || m.tries >= TRIES {
                // Comparing will find it.
                return false;
            }
            let whom = m.announcers[m.tries % m.announcers.len()];
            m.tries += 1;
            m.ask_at = now + AGAIN;
            match asks.iter_mut().find(|a| a.0 == whom && a.1.len() < wire::MAX_NAMED) {
                Some(a) => a.1.push(*id),
                None => asks.push((whom, vec![*id])),
            }
            true
        });
        for (whom, ids) in asks {
            cx.counters.records_asked += ids.len() as u64;
            if let Some(p) = self.peer(&whom) {
                p.eager = true;
            }
            cx.send(whom, RecordsWanted { ids, keys: Vec::new(), eager: true });
        }
        self.arm_repair(cx);
    }

    pub(super) fn on_wanted(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &RecordsWanted) {
        let now = cx.now.mono;
        let mut out = Vec::new();
        for id in &m.ids {
            out.extend(cx.records.announced(*id).map(|r| Push { set: r.set, key: r.claim.key, fresh: r.step() > 0 }));
        }
        for (set, head) in &m.keys {
            out.extend(cx.records.beginning(*set, *head).into_iter().map(|key| Push { set: *set, key, fresh: false }));
        }
        if let Some(wave) = self.wave.as_mut().filter(|w| m.eager && !w.children.contains(&from)) {
            wave.children.push(from);
        }
        let Some(p) = self.peer(&from) else { return };
        if m.eager {
            p.eager = true;
        }
        let asked = out.len();
        out.truncate(ANSWERED);
        out.retain(|_| p.asks.spend(now));
        cx.counters.records_limited += (asked - out.len()) as u64;
        if cx.links().may_announce(&from) {
            send(cx, from, Lane::Control, &out);
        }
    }

    pub(super) fn on_lazy(&mut self, cx: &mut Cx<'_>, from: NodeId) {
        if let Some(p) = self.peer(&from) {
            p.eager = false;
        }
        self.keep_a_parent(cx);
    }

    pub(super) fn on_neighbor_up(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if self.peers.iter().any(|p| p.id == peer) {
            return;
        }
        if self.peers.is_empty() {
            self.arm_wave(cx, false);
        }
        self.peers.push(Peer::new(peer, cx.now.mono));
        self.keep_a_parent(cx);
        self.compare_with_new(cx, peer);
    }

    pub(super) fn on_neighbor_down(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        self.peers.retain(|p| p.id != peer);
        self.forget_sync(cx, &peer);
        self.lost(cx, &peer);
    }

    pub(super) fn on_suspected(&mut self, cx: &mut Cx<'_>, peer: &NodeId) {
        let Some(p) = self.peer(peer) else { return };
        p.suspected = true;
        p.eager = false;
        self.lost(cx, peer);
    }

    pub(super) fn on_recovered(&mut self, peer: &NodeId) {
        if let Some(p) = self.peer(peer) {
            p.suspected = false;
        }
    }

    /// A node without an eager link hears nothing until an announcement goes unanswered: take the nearest.
    fn keep_a_parent(&mut self, cx: &mut Cx<'_>) {
        if self.peers.iter().any(|p| p.eager) {
            return;
        }
        let able = self.peers.iter().filter(|p| !p.suspected);
        let near = |p: &&Peer| (cx.topology.rtt(&p.id).unwrap_or(Span(u64::MAX)), p.id);
        if let Some(p) = able.min_by_key(near).map(|p| p.id) {
            self.parent = Some(p);
            self.graft(cx, p);
        }
    }

    /// Records come this way no longer. The next best neighbour may be one that gets them from us: a wave tells.
    fn lost(&mut self, cx: &mut Cx<'_>, peer: &NodeId) {
        self.keep_a_parent(cx);
        if self.parent == Some(*peer) {
            self.parent = None;
            let near = |p: &&Peer| (cx.topology.rtt(&p.id).unwrap_or(Span(u64::MAX)), p.id);
            let able = self.peers.iter().filter(|p| !p.suspected && !p.eager);
            if let Some(p) = able.min_by_key(near).map(|p| p.id) {
                self.parent = Some(p);
                self.graft(cx, p);
            }
            self.arm_wave(cx, true);
        }
    }

    /// When a wave is begun here if none comes: later the more others there are to begin one.
    fn arm_wave(&mut self, cx: &mut Cx<'_>, soon: bool) {
        let spread = WAVE_SPREAD.max(WAVE_EACH.saturating_mul(cx.records.digest().count));
        let wait = if soon { self.rng.between(SOONER.0, SOONER.0 * 3) } else { WAVE + self.rng.between(0, spread) };
        let (key, at) = (TimerKey::Records(Timer::Wave), cx.now.mono + Span(wait));
        if soon { cx.deadlines.set_no_later(key, at) } else { cx.deadlines.set(key, at) }
    }

    /// No wave came for long.
    pub(super) fn begin_wave(&mut self, cx: &mut Cx<'_>) {
        if self.peers.len() > 1 && self.wave.is_none() {
            let id = self.rng.next_u64() as u32;
            self.on_wave(cx, None, id);
        } else {
            self.arm_wave(cx, false);
        }
    }

    /// A wave comes by: from a neighbour, or begun here.
    pub(super) fn on_wave(&mut self, cx: &mut Cx<'_>, from: Option<NodeId>, id: u32) {
        let now = cx.now.mono;
        match &mut self.wave {
            Some(w) if w.id == id => {
                w.again.extend(from.filter(|f| !w.again.contains(f)));
                return;
            }
            Some(w) if w.id < id => return,
            Some(_) => {}
            None if from.is_some() && self.waved.is_some_and(|at| now.since(at) < WAVE_LEAST) => {
                cx.counters.records_limited += 1;
                return;
            }
            None => {}
        }
        cx.counters.record_waves += 1;
        self.wave = Some(Wave { id, children: Vec::new(), again: Vec::new() });
        self.waved = Some(now);
        self.parent = from;
        self.arm_wave(cx, false);
        let far = self.peers.iter().filter_map(|p| cx.topology.rtt(&p.id)).max().unwrap_or(PASSED_LEAST);
        let passed = Span(far.times(ROUND_TRIPS).0.clamp(PASSED_LEAST.0, PASSED_MOST.0));
        cx.deadlines.set(TimerKey::Records(Timer::Passed), now + passed);
        if let Some(from) = from {
            self.graft(cx, from);
        }
        for p in self.peers.iter().filter(|p| Some(p.id) != from) {
            cx.send(p.id, RecordsWave { id });
        }
    }

    fn graft(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if let Some(p) = self.peer(&peer) {
            p.eager = true;
            cx.send(peer, RecordsWanted { eager: true, ..RecordsWanted::default() });
        }
    }

    /// A wave has passed: what it did not need leaves the tree.
    pub(super) fn end_wave(&mut self, cx: &mut Cx<'_>) {
        let Some(w) = self.wave.take() else { return };
        for p in self.peers.iter_mut().filter(|p| p.eager && w.again.contains(&p.id)) {
            if Some(p.id) != self.parent && !w.children.contains(&p.id) {
                p.eager = false;
                cx.send(p.id, RecordsLazy {});
            }
        }
        self.keep_a_parent(cx);
    }
}

/// Sends records, as they are now, in as few frames as hold them.
pub(super) fn send(cx: &mut Cx<'_>, to: NodeId, lane: Lane, pushes: &[Push]) -> u64 {
    let (mut sent, mut rest) = (0, pushes);
    while !rest.is_empty() {
        let (m, payload, taken) = frame(cx, rest);
        let count = (m.full.len() + m.fresh.len()) as u64;
        if count > 0 {
            let frame = Message::from(m).frame_with(payload.freeze());
            if !cx.send_frame(to, lane, frame) {
                cx.counters.records_shed += rest.len() as u64;
                break;
            }
            sent += count;
        }
        rest = &rest[taken..];
    }
    cx.counters.records_sent += sent;
    sent
}

/// The first of `pushes` that fit one frame, and how many they are.
pub(super) fn frame(cx: &Cx<'_>, pushes: &[Push]) -> (wire::Records, BytesMut, usize) {
    let (mut m, mut payload, mut taken) = (wire::Records::default(), BytesMut::new(), 0);
    for p in pushes {
        let Some(r) = cx.records.get(p.set, &p.key) else {
            taken += 1;
            continue;
        };
        let age = u32::try_from(cx.now.mono.since(r.since).0 / 100_000).unwrap_or(u32::MAX);
        match r.refresh.filter(|_| p.fresh) {
            Some(_) if m.fresh.len() >= wire::MAX_RECORDS => break,
            Some(refresh) => m.fresh.push(FreshRecord { set: p.set, key: p.key.head(), age, refresh }),
            None if m.full.len() >= wire::MAX_RECORDS
                || (!payload.is_empty() && payload.len() + r.bytes.len() > FRAME) =>
            {
                break;
            }
            None => {
                let len = u16::try_from(r.bytes.len()).unwrap_or(u16::MAX);
                m.full.push(FullRecord { set: p.set, len, age, refresh: r.refresh });
                payload.extend_from_slice(&r.bytes);
            }
        }
        taken += 1;
    }
    (m, payload, taken)
}
