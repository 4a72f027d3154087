//! Links between nodes: what the driver sends and receives through, over QUIC or inside one process.
//!
//! A [`Transport`] is driven by one [`Inbox`]: everything that happens on any link arrives there, in order and
//! without loss. Sending never waits: a lane whose budget is used up says [`SendError::Full`] and reports
//! [`Inbound::Credit`] as it drains.
//!
//! Invariants, for every peer and every implementation:
//!
//! 1. `LinkUp` comes before the peer's first frame, `LinkDown` after its last, and they alternate: there is one link
//!    per peer, whoever dialed and however often.
//! 2. A peer's id is what its handshake proved, and a link is up only after both ends proved the same network.
//! 3. Frames of one lane arrive in the order they were accepted, each once, until the link ends.
//! 4. Bytes accepted on a stream lane come back as credit once, or the link ends.
//! 5. What a peer can make us hold is bounded: unread frames by its inbox budget (then its streams are no longer
//!    read and flow control holds it back), unsent ones by [`Lane::budget`].

mod cutter;
mod error;
mod hub;
mod inbox;
mod lane_queue;
mod memory;
mod quic;
mod stats;

use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use tidings_proto::identity::{Addr, NodeId};
use tidings_proto::wire::{Frame, Lane, LinkRefusal};
use tokio::sync::broadcast;

pub use error::{SendError, TransportError};
pub use inbox::{Budget, Inbound, Inbox};
pub use memory::{MemoryNetwork, MemoryTransport};
pub use quic::{QuicConfig, QuicTransport};
pub use stats::TransportStats;

/// Links to peers. Object safe: the driver holds an `Arc<dyn Transport>`.
///
/// No method blocks; those that return `()` report what came of it through the [`Inbox`].
pub trait Transport: Send + Sync + 'static {
    /// This node's own id, as its handshakes prove it.
    fn local_peer_id(&self) -> NodeId;

    /// Where this node can be reached, as far as it knows itself.
    fn local_addrs(&self) -> Vec<Addr>;

    /// Sends a complete frame on the control lane.
    fn send(&self, peer: NodeId, frame: Bytes) -> Result<(), SendError> {
        self.try_send(peer, Lane::Control, frame)
    }

    /// Sends a complete frame on the control lane of each of `peers`; one result for each, in their order.
    fn broadcast(&self, peers: &[NodeId], frame: Bytes) -> Vec<(NodeId, Result<(), SendError>)> {
        peers.iter().map(|peer| (*peer, self.send(*peer, frame.clone()))).collect()
    }

    /// What happens to links, for observers: a slow observer lags, the transport does not wait for it.
    fn subscribe_events(&self) -> broadcast::Receiver<TransportEvent>;

    /// Makes the caller the one driver: from now on links may come up. Links of an earlier attachment are closed
    /// with [`LinkRefusal::Goodbye`] and its inbox ends.
    fn attach(&self, limits: LinkLimits) -> Inbox;

    /// Connects to `peer`. Ends in `LinkUp` or `DialFailed` within the dial time-out. Does nothing, and reports
    /// nothing, if the peer is linked or being dialed already. When both ends dial at once, one link comes up.
    /// After `DialFailed` a link that the peer dialed may still come up.
    fn dial(&self, peer: NodeId, addrs: Vec<Addr>);

    /// As [`Transport::dial`], and says `first` on the control lane before anything else: with the handshake, so that the
    /// peer's answer comes as soon as the link. It is not said if another link comes up instead, and gives no credit. What
    /// is returned the transport will not say: that is for the caller to send when the link is up.
    fn dial_saying(&self, peer: NodeId, addrs: Vec<Addr>, first: Vec<Frame>) -> Vec<Frame> {
        self.dial(peer, addrs);
        first
    }

    /// Ends the link: `LinkDown` with this `reason` is in the inbox when this returns, and nothing of this link comes
    /// after it. What is queued on the control lane is flushed first, for a bounded time; the peer sees `reason`
    /// as [`LinkRefusal`]s travel (see `LinkRefusal::Closed`, `Goodbye`, `Full`, `Protocol`, `Version`; all others
    /// arrive as `Closed`). Does nothing if the peer is not linked.
    fn close(&self, peer: NodeId, reason: LinkRefusal);

    /// Queues a complete frame on a stream lane, or sends a datagram on [`Lane::Probe`]. On an error nothing was
    /// queued.
    fn try_send(&self, peer: NodeId, lane: Lane, frame: Bytes) -> Result<(), SendError> {
        self.try_send_frame(peer, lane, Frame { head: frame, payload: Bytes::new() })
    }

    /// As [`Transport::try_send`], with head and payload apart: a large payload is shared, never copied.
    fn try_send_frame(&self, peer: NodeId, lane: Lane, frame: Frame) -> Result<(), SendError>;

    /// Ends the attachment: closes every link with [`LinkRefusal::Goodbye`], ends the inbox after the last
    /// `LinkDown`, refuses dials and incoming links until the next [`Transport::attach`]. Takes about half a second
    /// at most.
    fn detach(&self) -> BoxFuture<'_, ()>;

    /// Detaches and closes the endpoint for good. Everything afterwards fails with [`SendError::NotLinked`].
    fn shutdown(&self) -> BoxFuture<'_, ()>;

    /// The peers that acknowledged packets since this was asked last, as far as this transport sees acknowledgements.
    fn acknowledged(&self) -> Vec<NodeId> {
        Vec::new()
    }

    /// Counters since the transport was made.
    fn stats(&self) -> TransportStats;

    /// The last known round-trip time of a link.
    fn rtt(&self, peer: NodeId) -> Option<Duration>;
}

/// What one attachment allows.
#[derive(Clone, Debug)]
pub struct LinkLimits {
    /// Most links at once; a handshake past it is refused with [`LinkRefusal::Full`]. The core bounds its own
    /// links: this stands a little above it and protects against strangers.
    pub max_links: usize,
    /// Most unread bytes of one peer in the inbox, per stream lane; see [`LinkLimits::lane_budget`].
    pub inbox_bytes: usize,
}

impl Default for LinkLimits {
    /// 64 links (a guess: several times a default active view), 1 MiB for each (some ten of the largest frames).
    fn default() -> Self {
        LinkLimits { max_links: 64, inbox_bytes: 1 << 20 }
    }
}

impl LinkLimits {
    /// A lane's share of [`LinkLimits::inbox_bytes`]: half for data, a quarter each for control and bulk, so that a
    /// flood on one lane never stops another from being read.
    pub fn lane_budget(&self, lane: Lane) -> usize {
        match lane {
            Lane::Data => self.inbox_bytes / 2,
            Lane::Control | Lane::Bulk | Lane::Probe => self.inbox_bytes / 4,
        }
    }
}

/// What observers see; may lag behind what the driver sees.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportEvent {
    /// A link came up.
    LinkUp {
        /// With whom.
        peer: NodeId,
        /// Did this node dial it?
        outbound: bool,
    },
    /// A link ended.
    LinkDown {
        /// With whom.
        peer: NodeId,
        /// Why.
        reason: LinkRefusal,
    },
    /// A dial of ours came to nothing.
    DialFailed {
        /// Who was dialed.
        peer: NodeId,
        /// Why.
        reason: LinkRefusal,
    },
    /// An incoming connection was refused before it became a link.
    Refused {
        /// Who came, if the handshake got that far.
        peer: Option<NodeId>,
        /// Why.
        reason: LinkRefusal,
    },
}
