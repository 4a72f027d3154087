//! Sending a neighbour what it found missing, as fast as its bulk lane takes it and no faster.
//!
//! What is to be sent is kept as ids: a batch that leaves the log meanwhile is passed over. Bounded by ids and by requests; a
//! neighbour that wants more is told that there is more.

use std::collections::{BTreeMap, VecDeque};

use super::PubSub;
use crate::identity::{NodeId, TopicId};
use crate::layer::Cx;
use crate::wire::{Gossip, Lane, Message, Served, SetTag, ShortId};

/// Unsent bytes on a neighbour's bulk lane above which the next batch waits: some milliseconds of a local network, and no
/// more than what a distant one has on its way (a guess).
const WINDOW: usize = 512 << 10;
/// Batches sent for one request, and requests of one neighbour that may wait; what it asks for beyond is dropped and counted.
const MOST: usize = 16_384;
const REQUESTS: usize = 8;

/// One request.
#[derive(Debug)]
struct Serve {
    topic: TopicId,
    session: u32,
    ids: VecDeque<ShortId>,
    sent: u64,
    more: bool,
}

/// What neighbours wait for.
#[derive(Debug, Default)]
pub(super) struct Serving(BTreeMap<NodeId, VecDeque<Serve>>);

impl Serving {
    pub(super) fn forget_peer(&mut self, peer: &NodeId) {
        self.0.remove(peer);
    }

    pub(super) fn forget_topic(&mut self, topic: &TopicId) {
        for requests in self.0.values_mut() {
            requests.retain(|r| r.topic != *topic);
        }
        self.0.retain(|_, r| !r.is_empty());
    }
}

impl PubSub {
    /// Sends `peer` these batches and says when that is done.
    pub(super) fn serve_later(
        &mut self,
        cx: &mut Cx<'_>,
        peer: NodeId,
        topic: TopicId,
        session: u32,
        ids: impl IntoIterator<Item = ShortId>,
    ) {
        let requests = self.serving.0.entry(peer).or_default();
        if requests.len() >= REQUESTS {
            cx.counters.reconcile_limited += 1;
            return;
        }
        let mut ids: VecDeque<ShortId> = ids.into_iter().take(MOST + 1).collect();
        let more = ids.len() > MOST;
        ids.truncate(MOST);
        requests.push_back(Serve { topic, session, ids, sent: 0, more });
        self.pump(cx, peer);
    }

    /// The bulk lane to `peer` has room again.
    pub(crate) fn pump(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(requests) = self.serving.0.get_mut(&peer) else { return };
        while let Some(r) = requests.front_mut() {
            let log = self.topics.get(&r.topic).map(|t| &t.log);
            while let Some(id) = r.ids.front() {
                let Some(e) = log.and_then(|l| l.get(id)) else {
                    r.ids.pop_front();
                    continue;
                };
                if cx.links().credit(&peer, Lane::Bulk) + WINDOW < Lane::Bulk.budget() {
                    return;
                }
                let held = Some(cx.now.mono.since(e.received).0 / 100);
                let gossip = Gossip { hop: e.hop.saturating_add(1), pulled: true, held };
                let frame = Message::from(gossip).frame_with(e.batch.bytes().clone());
                if !cx.send_frame(peer, Lane::Bulk, frame) {
                    return;
                }
                cx.counters.batches_served += 1;
                cx.counters.batches_sent += 1;
                r.sent += 1;
                r.ids.pop_front();
            }
            let served = Served { set: SetTag::new(&r.topic), session: r.session, count: r.sent, more: r.more };
            if !cx.send_frame(peer, Lane::Bulk, Message::from(served).frame()) {
                return;
            }
            requests.pop_front();
        }
        self.serving.0.remove(&peer);
    }
}
