//! Sending a neighbour what it found missing, as fast as its bulk lane takes it and no faster.
//!
//! What is to be sent is kept as ids: a batch that leaves the log meanwhile is passed over. Bounded by ids and by requests; a
//! neighbour that wants more is told that there is more.

use std::collections::{BTreeMap, VecDeque};

use super::PubSub;
use crate::anti_entropy::MAX_BUNDLE;
use crate::identity::{NodeId, TopicId};
use crate::layer::Cx;
use crate::wire::{Bundle, Bundled, Lane, Message, Served, SetTag, ShortId};
use bytes::BytesMut;

/// Unsent bytes on a neighbour's bulk lane above which the next batch waits: some milliseconds of a local network, and no
/// more than what a distant one has on its way (a guess).
const WINDOW: usize = 512 << 10;
/// Bytes of batches put in one frame: few enough that they leave at once, enough that headers and packets do not count.
const BUNDLE: usize = 24 << 10;
/// Batches sent for one request, and requests of one neighbour that may wait; what it asks for beyond is dropped and counted.
pub(super) const MOST: usize = 4_096;
pub(super) const REQUESTS: usize = 4;

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
            while !r.ids.is_empty() {
                if cx.links().credit(&peer, Lane::Bulk) + WINDOW < Lane::Bulk.budget() {
                    return;
                }
                let (mut batches, mut payload, mut taken) = (Vec::new(), BytesMut::new(), 0);
                for id in r.ids.iter().take(MAX_BUNDLE) {
                    let found = log.and_then(|l| l.get(id));
                    let len = found.map_or(0, |e| e.batch.bytes().len());
                    if !batches.is_empty() && payload.len() + len > BUNDLE {
                        break;
                    }
                    taken += 1;
                    let Some(e) = found else { continue };
                    let held = cx.now.mono.since(e.received).0 / 100;
                    batches.push(Bundled { len: len as u32, hop: e.hop.saturating_add(1), held });
                    payload.extend_from_slice(e.batch.bytes());
                }
                let count = batches.len() as u64;
                let frame = Message::from(Bundle { batches }).frame_with(payload.freeze());
                if count > 0 && !cx.send_frame(peer, Lane::Bulk, frame) {
                    return;
                }
                cx.counters.batches_served += count;
                cx.counters.batches_sent += count;
                r.sent += count;
                r.ids.drain(..taken);
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
