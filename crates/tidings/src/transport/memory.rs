//! Links inside one process: the same queues, budgets and rules as over QUIC, without sockets or cryptography.
//!
//! Identities are taken at their word here, networks are compared in the open. A dial to nobody fails at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use tidings_proto::identity::{Addr, Network, NodeId};
use tidings_proto::wire::{Frame, Lane, LinkRefusal, MAX_DATAGRAM};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::cutter::Cutter;
use super::hub::{Candidate, Carried, Carrier, Dial, Hub, Link, Refusal};
use super::inbox::parking::{Mutex, lock};
use super::stats::add;
use super::{Inbox, LinkLimits, SendError, Transport, TransportEvent, TransportStats};

/// As long as QUIC waits by default: a dial only waits for the other end's own dial.
const DIAL: Duration = Duration::from_millis(500);
/// As for QUIC.
const FLUSH: Duration = Duration::from_millis(200);
/// As for QUIC.
const GOODBYE: Duration = Duration::from_millis(500);

/// Nodes of one process that can reach each other.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    nodes: Arc<Mutex<HashMap<NodeId, Weak<Node>>>>,
}

impl MemoryNetwork {
    /// Nobody in it.
    pub fn new() -> MemoryNetwork {
        MemoryNetwork::default()
    }

    /// A new node under `id`; it takes the place of an earlier one with the same id, as a restarted process does.
    /// Must be called within a tokio runtime.
    pub fn join(&self, id: NodeId, network: Network) -> Arc<MemoryTransport> {
        let node = Arc::new(Node {
            hub: Arc::new(Hub::new(id)),
            network,
            peers: self.clone(),
            runtime: Handle::current(),
            tasks: Mutex::default(),
        });
        lock(&self.nodes).insert(id, Arc::downgrade(&node));
        Arc::new(MemoryTransport { node })
    }

    fn find(&self, id: NodeId) -> Option<Arc<Node>> {
        lock(&self.nodes).get(&id)?.upgrade()
    }
}

struct Node {
    hub: Arc<Hub>,
    network: Network,
    peers: MemoryNetwork,
    runtime: Handle,
    tasks: Mutex<JoinSet<()>>,
}

impl Node {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime);
    }
}

/// What two ends of a link share.
#[derive(Default)]
struct Wire {
    ends: [OnceLock<Weak<Link>>; 2],
    closed: [Notify; 2],
    reason: Mutex<Option<Refusal>>,
    sent: [AtomicU64; 2],
}

impl Wire {
    fn end(&self, side: usize) -> Option<Arc<Link>> {
        self.ends[side].get()?.upgrade()
    }
}

/// One end of a wire. Dropped without a word, the other end sees silence.
struct End {
    wire: Arc<Wire>,
    side: usize,
}

impl End {
    fn other(&self) -> usize {
        1 - self.side
    }

    fn close(&self, reason: Refusal) {
        lock(&self.wire.reason).get_or_insert(reason);
        self.wire.closed[self.other()].notify_one();
    }

    async fn closed(&self) -> Refusal {
        self.wire.closed[self.side].notified().await;
        lock(&self.wire.reason).unwrap_or(Refusal::Link(LinkRefusal::Error))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close(Refusal::Link(LinkRefusal::Silent));
    }
}

struct MemoryCarrier {
    wire: Arc<Wire>,
    side: usize,
    /// The receiving node counts what arrives.
    receiver: Weak<Node>,
}

impl Carrier for MemoryCarrier {
    fn datagram(&self, bytes: Bytes) -> Result<(), SendError> {
        let len = bytes.len();
        if len > MAX_DATAGRAM {
            return Err(SendError::TooLarge { len, max: MAX_DATAGRAM });
        }
        let receiver = self.receiver.upgrade().ok_or(SendError::NotLinked)?;
        self.wire.sent[self.side].fetch_add(len as u64, Ordering::Relaxed);
        // Before the other end is ready it is lost, as a datagram may be.
        if let Some(link) = self.wire.end(1 - self.side) {
            add(&receiver.hub.counters.datagrams_in, 1);
            if !link.queue.datagram(&link.flow, bytes) {
                add(&receiver.hub.counters.datagrams_dropped, 1);
            }
        }
        Ok(())
    }

    fn rtt(&self) -> Duration {
        Duration::ZERO
    }

    fn addr(&self) -> Option<Addr> {
        None
    }

    fn wire_bytes(&self) -> (u64, u64) {
        let read = |side: usize| self.wire.sent[side].load(Ordering::Relaxed);
        (read(self.side), read(1 - self.side))
    }
}

/// Links to the other nodes of a [`MemoryNetwork`].
pub struct MemoryTransport {
    node: Arc<Node>,
}

async fn connect(node: &Arc<Node>, dial: &Dial) -> Result<(), Refusal> {
    let me = node.hub.me;
    if dial.peer == me {
        return Err(Refusal::Link(LinkRefusal::WrongPeer));
    }
    let nobody = Refusal::Link(LinkRefusal::Timeout);
    let target = node.peers.find(dial.peer).ok_or(nobody)?;
    let answer = async {
        if target.network != node.network {
            return Err(Refusal::Link(LinkRefusal::WrongNetwork));
        }
        if !target.hub.is_attached() {
            return Err(Refusal::Link(LinkRefusal::Full));
        }
        target.hub.own_dial_ended(me).await;
        let wire = Arc::new(Wire::default());
        let carrier = |side, receiver| Box::new(MemoryCarrier { wire: wire.clone(), side, receiver });
        let theirs = carrier(1, Arc::downgrade(node));
        let candidate = Candidate { peer: me, peer_stamp: dial.stamp, carrier: theirs };
        let (their_link, peer_stamp) = target.hub.accepted(candidate)?;
        Ok((
            wire.clone(),
            Carried::new(target.hub.clone(), their_link),
            peer_stamp,
            carrier(0, Arc::downgrade(&target)),
        ))
    };
    let (wire, theirs, peer_stamp, carrier) =
        answer.await.inspect_err(|refusal| target.hub.refused(Some(me), *refusal))?;
    let ends = [0, 1].map(|side| End { wire: wire.clone(), side });
    let [our_end, their_end] = ends;
    let _ = wire.ends[1].set(Arc::downgrade(&theirs.link));
    let ours = node.hub.dialed(dial, Candidate { peer: dial.peer, peer_stamp, carrier });
    let ours = match ours {
        Ok(link) => Carried::new(node.hub.clone(), link),
        Err(refusal) => {
            our_end.close(refusal);
            target.spawn(run(target.clone(), theirs, their_end, Weak::new()));
            return Err(refusal);
        }
    };
    let _ = wire.ends[0].set(Arc::downgrade(&ours.link));
    target.spawn(run(target.clone(), theirs, their_end, Arc::downgrade(node)));
    node.spawn(run(node.clone(), ours, our_end, Arc::downgrade(&target)));
    Ok(())
}

/// Carries one end of a link until it ends.
async fn run(node: Arc<Node>, carried: Carried, end: End, peer: Weak<Node>) {
    let link = &carried.link;
    let mut pumps = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = link.wake.notified() => {
                let (lanes, close) = link.take_work();
                for lane in lanes {
                    pumps.spawn(pump(link.clone(), end.wire.clone(), end.other(), lane, peer.clone()));
                }
                let Some(refusal) = close else { continue };
                if link.flow.is_down() {
                    for lane in &link.lanes {
                        lane.finish();
                    }
                    let flushed = async {
                        while !link.lanes[Lane::Control as usize].is_flushed() {
                            if pumps.join_next().await.is_none() {
                                return;
                            }
                        }
                    };
                    let _ = timeout(FLUSH, flushed).await;
                } else if let Refusal::Link(reason) = refusal {
                    node.hub.ended(link, reason);
                }
                return end.close(refusal);
            }
            refusal = end.closed() => {
                let reason = if let Refusal::Link(reason) = refusal { reason } else { LinkRefusal::Closed };
                return node.hub.ended(link, reason);
            }
        }
    }
}

/// Moves one lane's frames into the other end's inbox as its budget allows.
async fn pump(link: Arc<Link>, wire: Arc<Wire>, other: usize, lane: Lane, peer: Weak<Node>) {
    let queue = &link.lanes[lane as usize];
    let mut cutter = Cutter::default();
    let (mut pieces, mut frames) = (Vec::new(), Vec::new());
    while queue.ready().await {
        queue.take(&mut pieces);
        for piece in pieces.drain(..) {
            let (Some(end), Some(peer)) = (wire.end(other), peer.upgrade()) else { return };
            end.flow.may_read(lane).await;
            let len = piece.len();
            let cut = cutter.feed(piece, &mut frames);
            add(&peer.hub.counters.frames_in, frames.len());
            add(&peer.hub.counters.frame_bytes_in, frames.iter().map(Bytes::len).sum());
            wire.sent[1 - other].fetch_add(len as u64, Ordering::Relaxed);
            end.queue.frames(&end.flow, lane, frames.drain(..));
            queue.written(len);
            link.queue.credit(&link.flow, lane, len);
            if let Err(error) = cut {
                let version = matches!(error, tidings_proto::wire::WireError::Version(_));
                let reason = if version { LinkRefusal::Version } else { LinkRefusal::Protocol };
                return end.start_close(Refusal::Link(reason));
            }
        }
    }
    queue.set_flushed();
}

impl MemoryTransport {
    /// As [`QuicTransport::hold_reading`](super::QuicTransport::hold_reading).
    pub fn hold_reading(&self, held: bool) {
        self.node.hub.hold(held);
    }
}

impl Transport for MemoryTransport {
    fn local_peer_id(&self) -> NodeId {
        self.node.hub.me
    }

    /// None: nodes of a memory network find each other by id.
    fn local_addrs(&self) -> Vec<Addr> {
        Vec::new()
    }

    fn subscribe_events(&self) -> broadcast::Receiver<TransportEvent> {
        self.node.hub.subscribe()
    }

    fn attach(&self, limits: LinkLimits) -> Inbox {
        self.node.hub.attach(limits)
    }

    fn dial(&self, peer: NodeId, _addrs: Vec<Addr>) {
        let Some(dial) = self.node.hub.begin_dial(peer) else { return };
        let node = self.node.clone();
        self.node.spawn(async move {
            let result = timeout(DIAL, connect(&node, &dial)).await;
            node.hub.end_dial(&dial, result.unwrap_or(Err(Refusal::Link(LinkRefusal::Timeout))));
        });
    }

    fn close(&self, peer: NodeId, reason: LinkRefusal) {
        self.node.hub.close(peer, reason);
    }

    fn try_send_frame(&self, peer: NodeId, lane: Lane, frame: Frame) -> Result<(), SendError> {
        self.node.hub.try_send(peer, lane, frame)
    }

    fn detach(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.node.hub.detach();
            let _ = timeout(GOODBYE, self.node.hub.idle()).await;
        })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.detach().await;
            self.leave();
        })
    }

    fn stats(&self) -> TransportStats {
        self.node.hub.stats()
    }

    fn rtt(&self, peer: NodeId) -> Option<Duration> {
        Some(self.node.hub.link(peer)?.carrier.rtt())
    }
}

impl MemoryTransport {
    /// Out of the network, unless another node has taken the place.
    fn leave(&self) {
        let mut nodes = lock(&self.node.peers.nodes);
        if nodes.get(&self.node.hub.me).is_some_and(|now| std::ptr::eq(now.as_ptr(), Arc::as_ptr(&self.node))) {
            nodes.remove(&self.node.hub.me);
        }
        drop(nodes);
        lock(&self.node.tasks).abort_all();
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.node.hub.detach();
        self.leave();
    }
}
