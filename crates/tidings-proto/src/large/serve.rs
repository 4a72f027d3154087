//! Serving: what neighbours asked for, in the order they did, as far as their links take it.

use super::holding::Holding;
use super::{Large, Peer};
use crate::identity::{ContentId, NodeId};
use crate::layer::Cx;
use crate::time::Span;
use crate::wire::{Ask, Chunk, ChunkSet, Lack, Lane, Message, Unwant, Want};

/// Chunks that one neighbour may wait for (twice the largest window in the smallest chunks).
const WANTS: usize = 512;
/// How often each chunk of a content is sent to one neighbour at most, on average.
const TIMES: usize = 2;
/// Unsent bytes on a neighbour's bulk lane beyond which no more is handed to it: what is further back can still be
/// taken back (a guess: some milliseconds of a fast link).
const DEPTH: usize = 512 * 1024;
/// A neighbour whose link takes nothing for so long is no longer waited for.
const STUCK: Span = Span::from_secs(5);
/// And nor is a content of ours that nobody asks for, though there are neighbours.
const UNASKED: Span = Span::from_secs(10);

fn lack(cx: &mut Cx<'_>, to: NodeId, asks: Vec<Ask>) {
    if !asks.is_empty() {
        cx.send(to, Lack { asks });
    }
}

/// Whether a peer is a neighbour on one of the topics a content was published on.
pub(super) fn shares(h: &Holding, p: &Peer) -> bool {
    h.topics.iter().any(|t| p.topics.contains(t))
}

impl Large {
    pub(super) fn on_want(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Want) {
        let Some(p) = self.peers.get_mut(&from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let mut lacks = Vec::new();
        for ask in m.asks {
            let known = self.contents.get_mut(&ask.content).filter(|h| shares(h, p));
            let Some(h) = known else {
                cx.counters.wants_refused += 1;
                lacks.push(ask);
                continue;
            };
            let n = h.chunks.len();
            let mut missing = ChunkSet::default();
            let s = h.sources.entry(from).or_default();
            for i in ask.chunks.iter() {
                let full = p.queue.len() + p.parked.len() >= WANTS || s.served >= TIMES * n;
                if i as usize >= n || full {
                    cx.counters.wants_refused += 1;
                    missing.insert(i);
                } else if h.have.has(i) {
                    if p.queue.is_empty() {
                        p.moved = cx.now.mono;
                    }
                    s.served += 1;
                    p.queue.push_back((ask.content, i));
                    self.queued += h.manifest.len_of(i) as u64;
                } else {
                    p.parked.insert((ask.content, i));
                }
            }
            if !missing.is_empty() {
                lacks.push(Ask { content: ask.content, chunks: missing });
            }
        }
        lack(cx, from, lacks);
        self.pump(cx, from);
    }

    pub(super) fn on_unwant(&mut self, from: NodeId, m: Unwant) {
        let Some(p) = self.peers.get_mut(&from) else { return };
        for ask in m.asks {
            for n in ask.chunks.iter() {
                p.parked.remove(&(ask.content, n));
            }
            let Some(h) = self.contents.get_mut(&ask.content) else { continue };
            let gone = |q: &(ContentId, u32)| q.0 == ask.content && ask.chunks.has(q.1);
            let before = p.queue.len();
            self.queued -= p.queue.iter().filter(|q| gone(q)).map(|q| h.manifest.len_of(q.1) as u64).sum::<u64>();
            p.queue.retain(|q| !gone(q));
            if let Some(s) = h.sources.get_mut(&from) {
                s.served -= before - p.queue.len();
            }
        }
    }

    /// Sends a neighbour what it waits for, as far as its lane has room.
    pub(super) fn pump(&mut self, cx: &mut Cx<'_>, to: NodeId) {
        let Some(p) = self.peers.get_mut(&to) else { return };
        while let Some((id, n)) = p.queue.front().copied() {
            let Some(h) = self.contents.get_mut(&id) else { break };
            let Some(bytes) = h.chunks.get(n as usize).cloned().flatten() else { break };
            let waiting = Lane::Bulk.budget() - cx.links().credit(&to, Lane::Bulk);
            if waiting > DEPTH {
                break;
            }
            let len = bytes.len() as u64;
            let frame = Message::from(Chunk { content: id, index: n }).frame_with(bytes);
            if !cx.send_frame(to, Lane::Bulk, frame) {
                break;
            }
            cx.counters.chunks_sent += 1;
            p.queue.pop_front();
            p.moved = cx.now.mono;
            self.queued -= len;
            if h.unsent.has(n) {
                h.unsent.remove(n);
                self.unsent -= len;
                self.owing.insert(id, cx.now.mono);
                if h.unsent.is_empty() {
                    self.owing.remove(&id);
                }
            }
        }
    }

    /// A chunk is here: those who waited for it get it.
    pub(super) fn unpark(&mut self, cx: &mut Cx<'_>, id: ContentId, n: u32) {
        let Some(h) = self.contents.get_mut(&id) else { return };
        let mut waiting = Vec::new();
        for (peer, p) in &mut self.peers {
            if p.parked.remove(&(id, n)) {
                if p.queue.is_empty() {
                    p.moved = cx.now.mono;
                }
                p.queue.push_back((id, n));
                self.queued += h.manifest.len_of(n) as u64;
                h.sources.entry(*peer).or_default().served += 1;
                waiting.push(*peer);
            }
        }
        for peer in waiting {
            self.pump(cx, peer);
        }
    }

    /// A content is gone: who waits for its chunks is told so.
    pub(super) fn unserve(&mut self, cx: &mut Cx<'_>, id: ContentId, h: &Holding) {
        for (peer, p) in &mut self.peers {
            let mut gone = ChunkSet::default();
            p.parked.retain(|(c, n)| {
                if *c == id {
                    gone.insert(*n);
                }
                *c != id
            });
            p.queue.retain(|(c, n)| {
                if *c == id {
                    gone.insert(*n);
                    self.queued -= h.manifest.len_of(*n) as u64;
                }
                *c != id
            });
            if !gone.is_empty() {
                lack(cx, *peer, vec![Ask { content: id, chunks: gone }]);
            }
        }
    }

    /// Nothing more is sent to a neighbour of what it asked for.
    pub(super) fn drop_wants(&mut self, of: &NodeId) {
        let Some(p) = self.peers.get_mut(of) else { return };
        for (id, n) in p.queue.drain(..) {
            self.queued -= self.contents.get(&id).map_or(0, |h| h.manifest.len_of(n) as u64);
        }
        p.parked.clear();
    }

    /// Neighbours that take nothing, and contents nobody asks for, hold the publisher up no longer.
    pub(super) fn look_at_uploads(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let stuck = |p: &Peer| !p.queue.is_empty() && now.since(p.moved) > STUCK;
        let stuck: Vec<NodeId> = self.peers.iter().filter(|(_, p)| stuck(p)).map(|(id, _)| *id).collect();
        for peer in stuck {
            cx.counters.uploads_stuck += 1;
            self.drop_wants(&peer);
        }
        let unasked = |(id, at): (&ContentId, &crate::time::Time)| {
            let h = self.contents.get(id)?;
            let company = self.peers.values().any(|p| shares(h, p));
            (now.since(*at) > UNASKED && company).then_some(*id)
        };
        let unasked: Vec<ContentId> = self.owing.iter().filter_map(unasked).collect();
        for id in unasked {
            self.owing.remove(&id);
            if let Some(h) = self.contents.get_mut(&id) {
                let unsent = std::mem::take(&mut h.unsent);
                self.unsent -= unsent.iter().map(|n| h.manifest.len_of(n) as u64).sum::<u64>();
            }
        }
    }
}
