//! Announcing batches on lazy links.
//!
//! Announcements repair and improve the tree; a healthy tree does not wait for them, and on an idle machine each costs
//! as much as a batch. (Sent to all lazy neighbours each 400 ms, they were 40 % of all packets of sixteen nodes with
//! fifty messages a second.) So lazy neighbours are told in turn: one announcement at a time, often enough that a node
//! with a few lazy neighbours, who do the same, hears one every third of a second.

use super::tree::{Peer, Queued};
use super::{PubSub, Timer, Topic};
use crate::identity::TopicId;
use crate::layer::{Cx, TimerKey};
use crate::time::Span;
use crate::wire::{Announced, IHave, MAX_IHAVES};

/// The time from one lazy neighbour's turn to the next one's (a guess: about the patience for an announced batch).
const TURN: Span = Span::from_millis(300);
/// The least and most time from one of a neighbour's turns to its next: few neighbours need not be told more often
/// than this, and many must be told before the batches leave a fast publisher's log ([`super::message_log`]: 5 s).
const ROUND_LEAST: Span = Span::from_millis(400);
const ROUND_MOST: Span = Span::from_secs(2);
/// Announcements go out at once when they stand for this share of what a log holds: a fast publisher's batches must
/// be heard of while a neighbour still has them.
const SHARE: usize = 16;
/// Announcements waiting for one neighbour; more, and the oldest is dropped.
pub(super) const WAITING: usize = MAX_IHAVES * 4;

impl Peer {
    pub(super) fn queue_announcement(&mut self, cx: &mut Cx<'_>, batch: Queued) {
        if self.queue.len() >= WAITING
            && let Some(oldest) = self.queue.pop_front()
        {
            self.queued = self.queued.saturating_sub(oldest.messages);
            cx.counters.ihaves_shed += 1;
        }
        self.queue.push_back(batch);
        self.queued += batch.messages;
        // Who reads nothing hears of it when it does again.
        self.urgent |= self.queued >= cx.config.message_cache_size / SHARE && cx.links().may_announce(&self.id);
    }

    /// Sends what waits; what does not fit the lane waits on.
    fn announce(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let now = cx.now.mono;
        while !self.queue.is_empty() && cx.links().may_announce(&self.id) {
            let n = self.queue.len().min(MAX_IHAVES);
            let say = |q: &Queued| Announced {
                id: q.id,
                hop: q.hop.saturating_add(1),
                held: u32::try_from(now.since(q.received).0 / 100).unwrap_or(u32::MAX),
            };
            let batches = self.queue.iter().take(n).map(say).collect();
            if !cx.send(self.id, IHave { topic, batches }) {
                break;
            }
            cx.counters.ihaves_sent += 1;
            self.queued = self.queued.saturating_sub(self.queue.drain(..n).map(|q| q.messages).sum());
        }
        self.announced = now;
        self.urgent = false;
    }
}

impl Topic {
    /// Wakes the node for the next turn, if anything waits.
    pub(super) fn arm_announce(&self, cx: &mut Cx<'_>) {
        if self.peers.iter().all(|p| p.queue.is_empty()) {
            return;
        }
        let urgent = self.peers.iter().any(|p| p.urgent);
        let told = self.peers.iter().filter(|p| !p.eager || !p.queue.is_empty()).count() as u64;
        let round = (TURN.0 * told).clamp(ROUND_LEAST.0, ROUND_MOST.0);
        let turn = Span(if urgent { 0 } else { round / told });
        cx.deadlines.set_no_later(TimerKey::PubSub(Timer::Announce(self.id)), cx.now.mono + turn);
    }
}

impl PubSub {
    /// One neighbour's turn, and all for whom it is urgent.
    pub(super) fn announce(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let Some(t) = self.topics.get_mut(&topic) else { return };
        let waits = t.peers.iter().filter(|p| !p.queue.is_empty());
        let turn = waits.min_by_key(|p| (p.announced, p.id)).map(|p| p.id);
        for p in t.peers.iter_mut().filter(|p| p.urgent || Some(p.id) == turn) {
            p.announce(cx, topic);
        }
        t.arm_announce(cx);
    }
}
