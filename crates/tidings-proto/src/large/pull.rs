//! Getting a content: what is still to be asked for, chunks that come, and what goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::holding::{FOR_EVER, Holding};
use super::{Large, Manifest, PATIENCE, PATIENCE_MOST, QUICK, SLOW, TREE_CHUNKS, WINDOW_LEAST, WINDOW_MOST};
use crate::identity::{ContentId, NodeId, TopicId};
use crate::io::Event;
use crate::layer::Cx;
use crate::time::{Span, Time};
use crate::wire::{Chunk, Lack};

/// A neighbour that was asked and sends nothing at all for so long beyond four round trips is asked no more for a while,
/// and a chunk is given up that does not come in four times that, whatever else comes (guesses: several retransmissions
/// of a lossy link).
const STALL: Span = Span::from_secs(2);
/// The same when another neighbour said that it has what is waited for.
const STALL_ELSEWHERE: Span = Span::from_secs(1);
const STALL_MOST: u64 = 4;
/// How long it is not asked: doubled each time.
const BAN: Span = Span::from_secs(4);
const BAN_DOUBLED: u32 = 6;
/// Without a chunk for so long beyond four round trips, neighbours are asked what they have, and again so often.
const TROUBLE: Span = Span::from_millis(750);
const ASK_AGAIN: Span = Span::from_secs(1);

/// How a content is got.
#[derive(Debug)]
pub(super) struct Pull {
    /// Counts up: the older is got first.
    pub(super) number: u64,
    /// Chunks to be asked for, in order.
    pub(super) todo: Vec<u32>,
    pub(super) asked: BTreeMap<u32, Asked>,
    pub(super) begun: Time,
    /// When a chunk last came, or it was last somebody else's turn.
    pub(super) progress: Time,
    /// When neighbours were last told what we have so that they tell what they have.
    pub(super) announced: Option<Time>,
}

/// A chunk that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) of: NodeId,
    pub(super) at: Time,
}

impl Large {
    /// Begins to get a content whose manifest `from` brought.
    pub(super) fn pull(&mut self, cx: &mut Cx<'_>, topic: TopicId, from: NodeId, manifest: Manifest) {
        let id = manifest.id();
        let now = cx.now.mono;
        if let Some(h) = self.contents.get_mut(&id) {
            if !h.topics.contains(&topic) {
                h.topics.push(topic);
            }
            if h.pull.is_some() {
                if self.peers.contains_key(&from) {
                    h.sources.entry(from).or_default().promise = true;
                }
                return self.fill(cx);
            }
            return self.completed(cx, id);
        }
        if !self.make_place(cx) {
            cx.counters.contents_lost += 1;
            return cx.event(Event::ContentLost { content: id });
        }
        let mut h = Holding::new(Arc::new(manifest), topic, now);
        let n = h.chunks.len();
        let mut todo: Vec<u32> = (0..n as u32).collect();
        if n > TREE_CHUNKS {
            self.rng.sample(&mut todo, n);
        }
        if self.peers.contains_key(&from) {
            h.sources.entry(from).or_default().promise = true;
        }
        let number = self.next;
        self.next += 1;
        h.pull = Some(Pull { number, todo, asked: BTreeMap::new(), begun: now, progress: now, announced: None });
        self.contents.insert(id, h);
        self.pulls.insert((number, id));
        self.hungry.insert((number, id));
        self.fill(cx);
        if n > TREE_CHUNKS {
            self.announce(cx, id);
        }
    }

    pub(super) fn on_chunk(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Chunk, payload: Bytes) {
        let now = cx.now.mono;
        let Some(h) = self.contents.get_mut(&m.content) else {
            cx.counters.chunks_unexpected += 1;
            return;
        };
        let Some(s) = h.sources.get_mut(&from).filter(|s| s.owes > 0) else {
            cx.counters.chunks_unexpected += 1;
            return;
        };
        s.owes -= 1;
        let manifest = h.manifest.clone();
        let Some(pull) = &mut h.pull else {
            cx.counters.chunks_duplicate += 1;
            return;
        };
        let asked = pull.asked.get(&m.index).copied();
        if asked.is_some_and(|a| a.of == from) {
            pull.asked.remove(&m.index);
            if let Some(p) = self.peers.get_mut(&from) {
                p.asked -= manifest.len_of(m.index);
            }
        }
        if h.have.has(m.index) {
            cx.counters.chunks_duplicate += 1;
            return;
        }
        if !manifest.is_chunk(m.index, &payload) {
            cx.counters.chunks_forged += 1;
            s.banned = FOR_EVER;
            if asked.is_some_and(|a| a.of == from) {
                pull.todo.insert(0, m.index);
            }
            self.release(m.content, &from);
            return self.fill(cx);
        }
        s.strikes = 0;
        pull.progress = now;
        cx.counters.chunks_received += 1;
        if let Some(p) = self.peers.get_mut(&from) {
            p.progress = now;
            if let Some(a) = asked.filter(|a| a.of == from) {
                let quiet = cx.topology.rtt(&from).unwrap_or(QUICK).times(2);
                let delay = now.since(a.at);
                if delay <= quiet + QUICK && p.asked * 2 >= p.window {
                    p.window = (p.window + payload.len()).min(WINDOW_MOST);
                } else if delay > quiet + SLOW {
                    p.window = p.window.saturating_sub(payload.len() / 2).max(WINDOW_LEAST);
                }
            }
        }
        match asked {
            // It came late, and was asked for elsewhere meanwhile.
            Some(a) if a.of != from => self.take_back(cx, m.content, m.index),
            Some(_) => {}
            None => {
                pull.todo.retain(|n| *n != m.index);
                if pull.todo.is_empty() {
                    self.hungry.remove(&(pull.number, m.content));
                }
            }
        }
        self.take(cx, m.content, m.index, payload);
        self.completed(cx, m.content);
        self.fill(cx);
    }

    pub(super) fn on_lack(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Lack) {
        for ask in m.asks {
            let Some(h) = self.contents.get_mut(&ask.content) else { continue };
            let (Some(pull), Some(s)) = (&mut h.pull, h.sources.get_mut(&from)) else { continue };
            let mut lacked = 0;
            for n in ask.chunks.iter() {
                if pull.asked.get(&n).is_some_and(|a| a.of == from) {
                    pull.asked.remove(&n);
                    pull.todo.insert(0, n);
                    s.owes = s.owes.saturating_sub(1);
                    lacked += 1;
                    if let Some(p) = self.peers.get_mut(&from) {
                        p.asked -= h.manifest.len_of(n);
                    }
                    // It said that it has it: it is not asked for anything of this content again.
                    if s.has.has(n) {
                        s.banned = FOR_EVER;
                    }
                }
            }
            if lacked > 0 {
                cx.counters.chunks_lacked += lacked;
                s.promise = false;
                self.hungry.insert((pull.number, ask.content));
                let banned = s.banned == FOR_EVER;
                if banned {
                    self.release(ask.content, &from);
                }
                self.announce(cx, ask.content);
            }
        }
        self.fill(cx);
    }

    /// Looks for time-outs.
    pub(super) fn look(&mut self, cx: &mut Cx<'_>) {
        let pulls: Vec<ContentId> = self.pulls.iter().map(|(_, id)| *id).collect();
        for id in pulls {
            self.look_at(cx, id);
        }
        self.look_at_uploads(cx);
        self.fill(cx);
    }

    fn look_at(&mut self, cx: &mut Cx<'_>, id: ContentId) {
        let now = cx.now.mono;
        let rtt = |p: &NodeId| cx.topology.rtt(p).unwrap_or(QUICK).times(4);
        let Some(h) = self.contents.get_mut(&id) else { return };
        let Some(pull) = &mut h.pull else { return };
        let mut stalled: Vec<NodeId> = Vec::new();
        let mut slowest = Span::ZERO;
        for (n, a) in &pull.asked {
            let Some(p) = self.peers.get(&a.of) else { continue };
            let elsewhere = h.sources.iter().any(|(id, s)| *id != a.of && s.banned <= now && s.has.has(*n));
            let most = rtt(&a.of) + if elsewhere { STALL_ELSEWHERE } else { STALL };
            slowest = slowest.max(rtt(&a.of));
            let silent = now.since(a.at.max(p.progress)) > most;
            if (silent || now.since(a.at) > most.times(STALL_MOST)) && !stalled.contains(&a.of) {
                stalled.push(a.of);
            }
        }
        let busy = |of: &NodeId| self.peers.get(of).is_some_and(|p| p.asked >= p.window);
        if pull.asked.is_empty() && h.sources.iter().any(|(of, s)| s.banned <= now && busy(of)) {
            // Others are before it.
            pull.progress = now;
        }
        let (progress, begun, announced) = (pull.progress, pull.begun, pull.announced);
        for of in stalled {
            self.strike(cx, id, of);
        }
        if now.since(progress) > PATIENCE || now.since(begun) > PATIENCE_MOST {
            return self.give_up(cx, id);
        }
        let due = announced.is_none_or(|at| now.since(at) >= ASK_AGAIN);
        if now.since(progress) > TROUBLE + slowest && due {
            self.announce(cx, id);
        }
    }

    /// A neighbour does not send what it was asked for.
    fn strike(&mut self, cx: &mut Cx<'_>, id: ContentId, of: NodeId) {
        if let Some(s) = self.contents.get_mut(&id).and_then(|h| h.sources.get_mut(&of)) {
            s.banned = cx.now.mono + BAN.times(1 << s.strikes.min(BAN_DOUBLED));
            s.strikes += 1;
        }
        if let Some(p) = self.peers.get_mut(&of) {
            p.window = WINDOW_LEAST;
        }
        let gone = self.release(id, &of);
        cx.counters.chunks_timed_out += gone.count() as u64;
        self.unwant(cx, of, id, gone);
    }

    /// The content is got no longer.
    pub(super) fn end_pull(&mut self, cx: &mut Cx<'_>, id: ContentId) {
        let Some(h) = self.contents.get_mut(&id) else { return };
        let asked: Vec<NodeId> = h.pull.iter().flat_map(|p| p.asked.values().map(|a| a.of)).collect();
        for of in asked {
            let gone = self.release(id, &of);
            self.unwant(cx, of, id, gone);
        }
        let Some(pull) = self.contents.get_mut(&id).and_then(|h| h.pull.take()) else { return };
        self.pulls.remove(&(pull.number, id));
        self.hungry.remove(&(pull.number, id));
    }
}
