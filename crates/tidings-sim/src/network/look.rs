//! Looking at nodes from outside.

use tidings_proto::Node;
use tidings_proto::identity::{AgentId, NodeId, PeerAddr};
use tidings_proto::time::Span;

use super::Network;

impl Network {
    /// The address of a node, as a ticket would carry it.
    pub fn peer_addr(&self, n: u32) -> PeerAddr {
        PeerAddr { id: self.slots[n as usize].id, addrs: vec![self.slots[n as usize].addr] }
    }

    /// A node's id.
    pub fn id(&self, n: u32) -> NodeId {
        self.slots[n as usize].id
    }

    /// The round trip between two nodes, without jitter and loss.
    pub(crate) fn round_trip(&self, a: u32, b: u32) -> Span {
        Span(2 * self.latency.of(self.seed, a, b))
    }

    /// The agent that a node speaks for.
    pub fn agent(&self, n: u32) -> AgentId {
        AgentId::own(&*self.port(&self.slots[n as usize].secret)).unwrap_or(AgentId([0; 32]))
    }

    /// The node with this id; the first, if there are several.
    pub fn index(&self, id: &NodeId) -> Option<u32> {
        self.by_id.get(id)
    }

    /// The node with this id that `n` has a link to.
    pub(super) fn linked(&self, n: u32, peer: &NodeId) -> Option<u32> {
        let p = self.by_id.get(peer)?;
        let ends = &self.slots[n as usize].ends;
        if self.clones.is_empty() || ends.contains_key(&p) {
            return Some(p);
        }
        self.clones.get(peer)?.iter().copied().find(|p| ends.contains_key(p))
    }

    /// A running node; `None` if it is down.
    pub fn node(&self, n: u32) -> Option<&Node> {
        self.slots[n as usize].node.as_ref()
    }

    /// How many nodes were ever added.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}
