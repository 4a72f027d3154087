//! Contents that are held: complete, or on their way.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::manifest::join;
use super::{Content, Large, MAX_CONTENTS, MAX_HELD, Manifest, Timer, WHOLE};
use crate::identity::{ContentId, NodeId, TopicId};
use crate::io::Event;
use crate::layer::{Cx, TimerKey};
use crate::time::{Span, Time};
use crate::wire::ChunkSet;

/// One content.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) manifest: Arc<Manifest>,
    /// The topics it was published on: their members are served.
    pub(super) topics: Vec<TopicId>,
    pub(super) chunks: Vec<Option<Bytes>>,
    pub(super) have: ChunkSet,
    pub(super) count: usize,
    pub(super) whole: Option<Bytes>,
    /// Complete since then.
    pub(super) since: Time,
    /// How it is got, until it is complete.
    pub(super) pull: Option<super::pull::Pull>,
    pub(super) sources: BTreeMap<NodeId, Source>,
    /// Our own: the chunks never sent.
    pub(super) unsent: ChunkSet,
}

/// A neighbour, as one content is concerned.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// It brought the manifest: it has the content, or is getting it.
    pub(super) promise: bool,
    /// What it said it has.
    pub(super) has: ChunkSet,
    /// Chunks asked of it that never came.
    pub(super) owes: usize,
    /// It is not asked before.
    pub(super) banned: Time,
    pub(super) strikes: u32,
    /// It wants to hear what we have, and was told so many chunks then.
    pub(super) listens: bool,
    pub(super) told: Option<usize>,
    pub(super) told_at: Time,
    /// Chunks sent to it.
    pub(super) served: usize,
}

/// It is not asked again.
pub(super) const FOR_EVER: Time = Time(u64::MAX);

impl Holding {
    pub(super) fn new(manifest: Arc<Manifest>, topic: TopicId, now: Time) -> Self {
        Holding {
            chunks: vec![None; manifest.chunks()],
            manifest,
            topics: vec![topic],
            have: ChunkSet::default(),
            count: 0,
            whole: None,
            since: now,
            pull: None,
            sources: BTreeMap::new(),
            unsent: ChunkSet::default(),
        }
    }

    pub(super) fn lacks(&self, set: &ChunkSet) -> bool {
        !self.have.is_within(set)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.chunks.iter().flatten().map(|c| c.len() as u64).sum()
    }

    /// A checked chunk.
    pub(super) fn put(&mut self, index: u32, bytes: Bytes) {
        if self.have.insert(index) {
            self.count += 1;
            self.chunks[index as usize] = Some(bytes);
        }
    }

    /// Puts a content in one piece if it is short enough; the chunks are parts of that from then on.
    fn join(&mut self) {
        let size = self.manifest.size();
        if size > WHOLE || self.whole.is_some() {
            return;
        }
        let whole = match &self.chunks[..] {
            [Some(one)] => one.clone(),
            many => join(many.iter().flatten(), size),
        };
        let mut at = 0;
        for chunk in self.chunks.iter_mut().flatten() {
            let len = chunk.len();
            *chunk = whole.slice(at..at + len);
            at += len;
        }
        self.whole = Some(whole);
    }
}

/// A content as a driver sees it.
#[derive(Clone, Copy, Debug)]
pub struct ContentView<'a>(pub(super) &'a Holding);

impl<'a> ContentView<'a> {
    /// What it is made of.
    pub fn manifest(&self) -> &'a Arc<Manifest> {
        &self.0.manifest
    }

    /// Whether all of it is here.
    pub fn is_complete(&self) -> bool {
        self.0.pull.is_none()
    }

    /// Its chunks, in order, as far as they are here.
    pub fn chunks(&self) -> &'a [Option<Bytes>] {
        &self.0.chunks
    }

    /// All of it in one piece, if it is complete and [`WHOLE`] bytes long at most.
    pub fn whole(&self) -> Option<&'a Bytes> {
        self.0.whole.as_ref()
    }
}

impl Large {
    /// Holds and serves a content published here.
    pub(super) fn offer(&mut self, cx: &mut Cx<'_>, topic: TopicId, content: &Content) {
        let id = content.manifest().id();
        let now = cx.now.mono;
        let new = !self.contents.contains_key(&id);
        if new {
            self.make_place(cx);
        }
        let h = self.contents.entry(id).or_insert_with(|| Holding::new(content.manifest().clone(), topic, now));
        if !h.topics.contains(&topic) {
            h.topics.push(topic);
        }
        let missing: Vec<u32> = (0..h.chunks.len() as u32).filter(|n| !h.have.has(*n)).collect();
        if new {
            h.unsent = ChunkSet::full(h.chunks.len());
            h.whole = content.whole().cloned();
            self.unsent += h.manifest.size() as u64;
            self.owing.insert(id, now);
        }
        for n in missing {
            self.take(cx, id, n, content.chunks()[n as usize].clone());
        }
        self.completed(cx, id);
    }

    /// Takes in a chunk that was checked; whoever waits for it gets it.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>, id: ContentId, index: u32, bytes: Bytes) {
        let Some(h) = self.contents.get_mut(&id) else { return };
        h.put(index, bytes.clone());
        self.held += bytes.len() as u64;
        if h.manifest.size() > WHOLE && h.pull.is_some() {
            cx.event(Event::Chunk { content: id, index, bytes });
        }
        let news = h.sources.values().any(|s| s.listens);
        if news {
            self.telling.insert(id);
            self.arm_tell(cx);
        }
        self.make_room(cx, id);
        self.unpark(cx, id, index);
    }

    /// All chunks are there, if they are.
    pub(super) fn completed(&mut self, cx: &mut Cx<'_>, id: ContentId) {
        let Some(h) = self.contents.get_mut(&id).filter(|h| h.count == h.chunks.len()) else { return };
        h.join();
        self.complete.remove(&(h.since, id));
        h.since = cx.now.mono;
        self.complete.insert((h.since, id));
        cx.deadlines.set_no_later(TimerKey::Large(Timer::Trim), h.since + Span::from(cx.config.message_cache_ttl));
        if h.pull.is_none() {
            return;
        }
        let whole = h.whole.clone();
        self.end_pull(cx, id);
        cx.counters.contents_received += 1;
        cx.event(Event::ContentComplete { content: id, whole });
    }

    /// The content cannot be had, or must make room.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>, id: ContentId) {
        cx.counters.contents_lost += 1;
        self.end_pull(cx, id);
        self.evict(cx, id);
        cx.event(Event::ContentLost { content: id });
    }

    pub(super) fn evict(&mut self, cx: &mut Cx<'_>, id: ContentId) {
        let Some(h) = self.contents.remove(&id) else { return };
        self.unserve(cx, id, &h);
        self.held -= h.bytes();
        self.complete.remove(&(h.since, id));
        self.telling.remove(&id);
        self.owing.remove(&id);
        self.unsent -= h.unsent.iter().map(|n| h.manifest.len_of(n) as u64).sum::<u64>();
    }

    /// Sees to it that one more content may be held. Returns whether it may.
    pub(super) fn make_place(&mut self, cx: &mut Cx<'_>) -> bool {
        while self.contents.len() >= MAX_CONTENTS {
            let Some((_, oldest)) = self.complete.first().copied() else { return false };
            cx.counters.contents_evicted += 1;
            self.evict(cx, oldest);
        }
        true
    }

    /// Brings what is held back within its bytes, at the cost of others than `but` if it can be.
    fn make_room(&mut self, cx: &mut Cx<'_>, but: ContentId) {
        while self.held > MAX_HELD {
            if let Some((_, oldest)) = self.complete.iter().find(|(_, id)| *id != but).copied() {
                cx.counters.contents_evicted += 1;
                self.evict(cx, oldest);
            } else if let Some((_, youngest)) = self.pulls.last().copied() {
                self.give_up(cx, youngest);
            } else {
                return;
            }
        }
    }
}
