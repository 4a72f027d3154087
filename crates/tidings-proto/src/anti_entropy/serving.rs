//! Sending a neighbour what it found missing, as fast as its bulk lane takes it and no faster.
//!
//! What is to be sent is kept as ids: an item that leaves its set meanwhile is passed over. Bounded by ids and by requests; a
//! neighbour that wants more is told that there is more.

use std::collections::{BTreeMap, VecDeque};

use super::sync::Serve;
use crate::identity::NodeId;
use crate::layer::Cx;
use crate::wire::{Frame, Lane, Message, Served, SetTag, ShortId};

/// Unsent bytes on a neighbour's bulk lane above which the next frame waits: some milliseconds of a local network, and no
/// more than what a distant one has on its way (a guess).
const WINDOW: usize = 512 << 10;
/// Bytes of items put in one frame: few enough that they leave at once, enough that headers and packets do not count.
pub(crate) const PAGE: usize = 24 << 10;
/// Items sent for one request, and requests of one neighbour that may wait; what it asks for beyond is dropped and counted.
pub(crate) const MOST: usize = 4_096;
pub(crate) const REQUESTS: usize = 4;

/// One request.
#[derive(Debug)]
struct Request<K> {
    /// Of which set.
    of: K,
    tag: SetTag,
    session: u32,
    ids: VecDeque<ShortId>,
    sent: u64,
    more: bool,
}

/// What neighbours wait for, of sets known by a `K`.
#[derive(Debug)]
pub(crate) struct Serving<K>(BTreeMap<NodeId, VecDeque<Request<K>>>);

impl<K> Default for Serving<K> {
    fn default() -> Self {
        Serving(BTreeMap::new())
    }
}

/// The next items of a request, in one frame.
pub(crate) struct Page {
    /// None if none of them is there any more.
    pub(crate) frame: Option<Frame>,
    /// How many it holds.
    pub(crate) count: u64,
    /// How many ids are done with.
    pub(crate) taken: usize,
}

impl<K: Copy + PartialEq> Serving<K> {
    pub(crate) fn forget_peer(&mut self, peer: &NodeId) {
        self.0.remove(peer);
    }

    /// A set is kept no longer.
    pub(crate) fn forget(&mut self, of: &K) {
        for requests in self.0.values_mut() {
            requests.retain(|r| r.of != *of);
        }
        self.0.retain(|_, r| !r.is_empty());
    }

    /// `peer` is to be sent these items, and told when that is done.
    pub(crate) fn add(&mut self, cx: &mut Cx<'_>, peer: NodeId, of: K, tag: SetTag, (session, ids): Serve) {
        let requests = self.0.entry(peer).or_default();
        if requests.len() >= REQUESTS {
            cx.counters.reconcile_limited += 1;
            return;
        }
        let mut ids = VecDeque::from(ids);
        let more = ids.len() > MOST;
        ids.truncate(MOST);
        requests.push_back(Request { of, tag, session, ids, sent: 0, more });
    }

    /// Sends what the bulk lane to `peer` has room for. Returns how many items.
    pub(crate) fn pump(
        &mut self,
        cx: &mut Cx<'_>,
        peer: NodeId,
        page: impl Fn(&Cx<'_>, &K, &VecDeque<ShortId>) -> Page,
    ) -> u64 {
        let mut all = 0;
        let Some(requests) = self.0.get_mut(&peer) else { return 0 };
        while let Some(r) = requests.front_mut() {
            while !r.ids.is_empty() {
                if cx.links().credit(&peer, Lane::Bulk) + WINDOW < Lane::Bulk.budget() {
                    return all;
                }
                let Page { frame, count, taken } = page(cx, &r.of, &r.ids);
                if frame.is_some_and(|f| !cx.send_frame(peer, Lane::Bulk, f)) {
                    return all;
                }
                all += count;
                r.sent += count;
                r.ids.drain(..taken.max(1));
            }
            let served = Served { set: r.tag, session: r.session, count: r.sent, more: r.more };
            if !cx.send_frame(peer, Lane::Bulk, Message::from(served).frame()) {
                return all;
            }
            requests.pop_front();
        }
        self.0.remove(&peer);
        all
    }
}
