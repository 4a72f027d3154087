//! What is done with one topic, whoever does it.

use super::batch::Batch;
use super::message_log::MessageLog;
use super::{Timer, Topic, tree::Peer};
use crate::identity::{NodeId, TopicId};
use crate::io::Event;
use crate::large::Manifest;
use crate::layer::{Cx, Request, TimerKey};
use crate::time::Span;

impl Topic {
    pub(super) fn trim(&mut self, cx: &mut Cx<'_>) {
        trim(cx, self.id, &mut self.log);
    }

    /// Asks for the contents of a batch's large messages.
    pub(super) fn pull_contents(&self, cx: &mut Cx<'_>, from: NodeId, batch: &Batch) {
        for payload in batch.manifests() {
            match Manifest::decode(&payload) {
                Ok(manifest) => drop(cx.request(Request::Pull(self.id, from, Box::new(manifest)))),
                Err(_) => cx.counters.manifests_malformed += 1,
            }
        }
    }

    pub(super) fn peer(&mut self, id: &NodeId) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|p| p.id == *id)
    }

    pub(super) fn gap_event(&self, r: &crate::wire::Range) -> Event {
        Event::Gap { topic: self.id, author: r.author, epoch: r.epoch, from: r.from, to: r.to }
    }
}

/// Drops what is past the limits of a topic's log.
pub(super) fn trim(cx: &mut Cx<'_>, id: TopicId, log: &mut MessageLog) {
    log.trim(cx.config, cx.now);
    if let Some(at) = log.expires(cx.config, cx.now) {
        // Once a second is enough; the size limits hold at all times.
        let at = at.max(cx.now.mono + Span::from_secs(1));
        cx.deadlines.set_no_later(TimerKey::PubSub(Timer::Trim(id)), at);
    }
}
