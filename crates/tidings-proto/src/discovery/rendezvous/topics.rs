//! Topics without a bootstrap peer: whoever enters one and finds nobody leaves word with the holders of its shard, and is
//! answered with whoever has.
//!
//! A node that does find members, as most do, leaves word later and at a time of its own: the holders need a sample, and
//! must not be called by everybody at once when everybody subscribes.

use bytes::Bytes;

use super::calls::What;
use super::{Rendezvous, Timer};
use crate::discovery::index::HOLDERS;
use crate::discovery::{About, Whereabouts, shard_id};
use crate::identity::{PeerAddr, TopicId};
use crate::layer::{Cx, Request, TimerKey};
use crate::time::{Span, Time};
use crate::wire::{LookUp, Message};

/// After entering, until somebody is looked for: neighbours that are in the topic come sooner (measured: two round trips).
const ALONE: Span = Span::from_millis(150);
/// When who found somebody leaves word.
const LATER: (Span, Span) = (Span::from_secs(10), Span::from_secs(120));
/// Between two questions for members, the first and at most.
const AGAIN: u64 = 500;
const AGAIN_MOST: u64 = 60_000;
/// Holders asked each time.
const ASKED: usize = 2;

/// A topic this node is in.
#[derive(Debug)]
pub(super) struct Topic {
    neighbors: usize,
    tries: u32,
    register_at: Time,
}

impl Topic {
    /// Whether there is no neighbour in it.
    pub(super) fn is_alone(&self) -> bool {
        self.neighbors == 0
    }
}

impl Rendezvous {
    pub(super) fn topic_entered(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let later = Span(self.rng.between(LATER.0.0, LATER.1.0));
        self.topics.insert(topic, Topic { neighbors: 0, tries: 0, register_at: cx.now.mono + later });
        cx.deadlines.set(TimerKey::Rendezvous(Timer::Topic(topic)), cx.now.mono + ALONE);
    }

    pub(super) fn topic_left(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        self.topics.remove(&topic);
        cx.deadlines.cancel(TimerKey::Rendezvous(Timer::Topic(topic)));
        self.withdraw(cx, topic.0);
    }

    pub(super) fn topic_neighbors(&mut self, topic: TopicId, by: isize) {
        if let Some(t) = self.topics.get_mut(&topic) {
            t.neighbors = t.neighbors.saturating_add_signed(by);
        }
    }

    /// The last neighbour may be gone.
    pub(super) fn seek_again(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        if let Some(t) = self.topics.get_mut(&topic).filter(|t| t.neighbors == 0) {
            t.tries = 0;
            cx.deadlines.set_no_later(TimerKey::Rendezvous(Timer::Topic(topic)), cx.now.mono + ALONE);
        }
    }

    pub(super) fn tend_topic(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let now = cx.now.mono;
        let Some(t) = self.topics.get_mut(&topic) else { return };
        let timer = TimerKey::Rendezvous(Timer::Topic(topic));
        if t.neighbors > 0 {
            if t.register_at > now {
                return cx.deadlines.set(timer, t.register_at);
            }
            if !self.is_registered(&topic.0) {
                self.register(cx, topic.0, Some(topic));
            }
            return;
        }
        let wait = (AGAIN << t.tries.min(16)).min(AGAIN_MOST);
        t.tries = t.tries.saturating_add(1);
        cx.deadlines.set(timer, now + Span::from_millis(self.rng.between(wait / 2, wait + wait / 2)));
        match self.is_registered(&topic.0) {
            // Holders answer with members.
            false => self.register(cx, topic.0, Some(topic)),
            true => self.ask_members(cx, topic),
        }
    }

    fn ask_members(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let near = self.index.nodes(shard_id(&topic.0), HOLDERS);
        let mut holders: Vec<PeerAddr> = near.into_iter().filter(|n| n.id != cx.me).cloned().collect();
        self.rng.sample(&mut holders, ASKED);
        for to in holders {
            let id = self.rng.next_u64();
            let frame = Message::from(LookUp { id, subject: topic.0, have: Vec::new() }).frame();
            self.call(cx, &to, id, What::Members(topic), frame);
        }
        let own = self.own_shelf(cx, &topic.0).into_iter().map(|w| w.bytes().clone()).collect::<Vec<_>>();
        self.take_members(cx, topic, own.into_iter());
    }

    /// Members that a holder named: membership gets to know them.
    pub(super) fn take_members(&mut self, cx: &mut Cx<'_>, topic: TopicId, said: impl Iterator<Item = Bytes>) {
        if !self.topics.contains_key(&topic) {
            return;
        }
        let mut peers = Vec::new();
        for w in said.filter_map(|b| Whereabouts::parse(b).ok()) {
            let other = w.node() != cx.me && !w.is_withdrawn() && w.about() == About::Topic(topic);
            match other && w.check(cx.now.wall, &self.key, cx.crypto).is_ok() {
                true => peers.push(w.peer_addr().clone()),
                false => cx.counters.answers_forged += u64::from(w.node() != cx.me),
            }
        }
        if !peers.is_empty() {
            cx.counters.members_found += peers.len() as u64;
            cx.request(Request::Introduce(topic, peers));
        }
    }
}
