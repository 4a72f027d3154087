//! Telling neighbours which chunks we have, and hearing which they have.

use super::serve::shares;
use super::{Large, TREE_CHUNKS, Timer};
use crate::identity::{ContentId, NodeId, TopicId};
use crate::layer::{Cx, TimerKey};
use crate::time::Span;
use crate::wire::{ChunkSet, Have};

/// Neighbours hear of news when they are so much of the content, or so old, whichever comes first (guesses: some thirty
/// messages a content and neighbour at most, a fraction of one of its chunks in bytes).
const SHARE: usize = 32;
const OLD: Span = Span::from_millis(250);
/// How often news are looked through.
const EVERY: Span = Span::from_millis(25);

impl Large {
    pub(super) fn on_have(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Have) {
        let Some(p) = self.peers.get(&from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        // Its manifest may be on its way to us by another neighbour; when it is here we ask.
        let Some(h) = self.contents.get_mut(&m.content) else {
            cx.counters.haves_unknown += 1;
            return;
        };
        let n = h.chunks.len();
        if !shares(h, p) || m.chunks.iter().any(|c| c as usize >= n) {
            cx.counters.frames_unexpected += 1;
            return;
        }
        let lacks = h.lacks(&m.chunks);
        let count = h.count;
        let s = h.sources.entry(from).or_default();
        s.listens = m.chunks.count() < n;
        s.has = m.chunks;
        let first = s.told.is_none();
        if s.told.is_none_or(|told| told < count) && (lacks || first) {
            self.tell_peer(cx, m.content, from);
        }
        self.fill(cx);
    }

    fn tell_peer(&mut self, cx: &mut Cx<'_>, content: ContentId, peer: NodeId) {
        let Some(h) = self.contents.get_mut(&content) else { return };
        let (chunks, count) = (h.have.clone(), h.count);
        let s = h.sources.entry(peer).or_default();
        s.told = Some(count);
        s.told_at = cx.now.mono;
        cx.counters.haves_sent += 1;
        cx.send(peer, Have { content, chunks });
    }

    /// Tells all neighbours what we have of a content, so that they tell what they have.
    pub(super) fn announce(&mut self, cx: &mut Cx<'_>, content: ContentId) {
        let Some(h) = self.contents.get_mut(&content) else { return };
        let Some(pull) = &mut h.pull else { return };
        pull.announced = Some(cx.now.mono);
        let n = h.chunks.len();
        let knows = |id: &NodeId| h.sources.get(id).is_some_and(|s| s.has.count() == n);
        let peers: Vec<NodeId> =
            self.peers.iter().filter(|(id, p)| shares(h, p) && !knows(id)).map(|(id, _)| *id).collect();
        for peer in peers {
            self.tell_peer(cx, content, peer);
        }
    }

    /// A new neighbour hears of what is being got on its topic, if others do as well.
    pub(super) fn greet(&mut self, cx: &mut Cx<'_>, topic: TopicId, peer: NodeId) {
        let pulls: Vec<ContentId> = self.pulls.iter().map(|(_, id)| *id).collect();
        for id in pulls {
            let tells = self.contents.get(&id).is_some_and(|h| {
                h.topics.contains(&topic)
                    && (h.chunks.len() > TREE_CHUNKS || h.pull.as_ref().is_some_and(|p| p.announced.is_some()))
            });
            if tells {
                self.tell_peer(cx, id, peer);
            }
        }
    }

    pub(super) fn arm_tell(&self, cx: &mut Cx<'_>) {
        cx.deadlines.set_no_later(TimerKey::Large(Timer::Tell), cx.now.mono + EVERY);
    }

    /// Tells the news that are due.
    pub(super) fn tell(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        for id in std::mem::take(&mut self.telling) {
            let Some(h) = self.contents.get(&id) else { continue };
            let n = h.chunks.len();
            let all: &ChunkSet = &h.have;
            let mut due = Vec::new();
            for (peer, s) in &h.sources {
                let news = h.count - s.told.unwrap_or(0).min(h.count);
                if !s.listens || news == 0 || s.has.count() >= all.count() && !h.lacks(&s.has) {
                    continue;
                }
                if h.count == n || news >= n.div_ceil(SHARE) || now.since(s.told_at) >= OLD {
                    due.push(*peer);
                } else {
                    self.telling.insert(id);
                }
            }
            for peer in due {
                self.tell_peer(cx, id, peer);
            }
        }
        if !self.telling.is_empty() {
            self.arm_tell(cx);
        }
    }
}
