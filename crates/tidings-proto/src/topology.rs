//! The one table of known peers: where they are and how far.
//!
//! Each column has one writer: addresses come from membership; round-trip times from links as they come up and, from
//! then on, from the failure detector; states from the failure detector. What a peer says of itself over its own link
//! stands; what others say of it fills in only while nothing better is known.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::{Addr, MAX_ADDRS, NodeId, PeerAddr};
use crate::time::Span;

/// Peers remembered at most. Views refer to far fewer; the rest is refused, not evicted (a guess).
pub const MAX_KNOWN: usize = 8192;

/// What the failure detector makes of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PeerState {
    /// Nothing speaks against it.
    #[default]
    Alive,
    /// It does not answer.
    Suspected,
    /// It was a neighbour, died not long ago, and has not been seen since.
    Dead,
}

#[derive(Clone, Debug, Default)]
struct Record {
    addrs: Vec<Addr>,
    /// The peer said so itself, or was reached there.
    proven: bool,
    rtt: Option<Span>,
    state: PeerState,
}

/// Known peers.
#[derive(Debug, Default)]
pub struct Topology {
    peers: BTreeMap<NodeId, Record>,
}

impl Topology {
    /// Addresses of `peer`, best first; empty if none is known.
    pub fn addrs(&self, peer: &NodeId) -> &[Addr] {
        self.peers.get(peer).map_or(&[], |r| &r.addrs)
    }

    /// `peer` with its addresses, as messages carry it.
    pub fn peer_addr(&self, peer: &NodeId) -> PeerAddr {
        PeerAddr { id: *peer, addrs: self.addrs(peer).to_vec() }
    }

    /// Round-trip time to `peer`, if it has been measured.
    pub fn rtt(&self, peer: &NodeId) -> Option<Span> {
        self.peers.get(peer).and_then(|r| r.rtt)
    }

    /// What the failure detector makes of `peer`.
    pub fn state(&self, peer: &NodeId) -> PeerState {
        self.peers.get(peer).map_or(PeerState::Alive, |r| r.state)
    }

    /// The failure detector's verdict. It bounds how many peers are anything but alive.
    pub(crate) fn set_state(&mut self, peer: NodeId, state: PeerState) {
        if state != PeerState::Alive || self.peers.contains_key(&peer) {
            self.peers.entry(peer).or_default().state = state;
        }
    }

    /// The failure detector measured the round trip to `peer`.
    pub(crate) fn measured(&mut self, peer: &NodeId, rtt: Span) {
        if let Some(r) = self.peers.get_mut(peer) {
            r.rtt = Some(rtt);
        }
    }

    /// How many peers are known.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Somebody says that `peer` can be reached at its addresses.
    pub(crate) fn claim(&mut self, peer: &PeerAddr) {
        if peer.addrs.is_empty() || (!self.peers.contains_key(&peer.id) && self.peers.len() >= MAX_KNOWN) {
            return;
        }
        let r = self.peers.entry(peer.id).or_default();
        if !r.proven {
            r.addrs = peer.addrs[..peer.addrs.len().min(MAX_ADDRS)].to_vec();
        }
    }

    /// `peer` itself says over its own link where it can be reached.
    pub(crate) fn prove(&mut self, peer: &PeerAddr) {
        if peer.addrs.is_empty() {
            return;
        }
        let r = self.peers.entry(peer.id).or_default();
        r.addrs = peer.addrs[..peer.addrs.len().min(MAX_ADDRS)].to_vec();
        r.proven = true;
    }

    /// A link to `peer` came up, at `addr` if we dialed it.
    pub(crate) fn reached(&mut self, peer: NodeId, addr: Option<Addr>, rtt: Option<Span>) {
        let r = self.peers.entry(peer).or_default();
        if let Some(a) = addr {
            r.addrs.retain(|x| *x != a);
            r.addrs.insert(0, a);
            r.addrs.truncate(MAX_ADDRS);
        }
        r.rtt = rtt.or(r.rtt);
    }

    /// `peer` could not be reached: what is known of it may be wrong, so that others may say better.
    pub(crate) fn unreachable(&mut self, peer: &NodeId) {
        if let Some(r) = self.peers.get_mut(peer) {
            r.proven = false;
        }
    }

    /// Forgets everybody not in `keep`, but for those the failure detector has something to say about.
    pub(crate) fn retain(&mut self, keep: &BTreeSet<NodeId>) {
        self.peers.retain(|p, r| keep.contains(p) || r.state != PeerState::Alive);
    }
}
