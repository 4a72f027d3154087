//! The one table of known peers: where they are and how far.
//!
//! Each column has one writer: addresses come from membership; round-trip times from links as they come up and, from
//! then on, from the failure detector; states from the failure detector; roles from theirs. What a peer says of itself over its own link
//! stands; what others say of it fills in only while nothing better is known.

use std::collections::BTreeSet;

use crate::id_map::IdMap;
use crate::identity::{Addr, MAX_ADDRS, NodeId, PeerAddr};
use crate::roles::columns::RoleColumns;
use crate::roles::{PeerRole, RoleRow};
use crate::time::{Span, Time};

/// Peers remembered at most. Views refer to far fewer; the rest is refused, not evicted (a guess).
pub const MAX_KNOWN: usize = 8192;

/// The wait after a first failure; each further one in a row doubles it, seven times at most (guesses: from a round of
/// retries to some nine minutes).
const BACK_OFF: Span = Span::from_secs(4);

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
    /// The other end of the last link to it, which is no claim of anybody.
    seen: Option<Addr>,
    /// Dials that failed and links that went silent in a row.
    failures: u8,
    /// Not worth a dial before.
    retry_at: Time,
    state: PeerState,
}

impl Record {
    /// Mostly they are the ones known already.
    fn set_addrs(&mut self, addrs: &[Addr]) {
        let addrs = &addrs[..addrs.len().min(MAX_ADDRS)];
        if self.addrs != addrs {
            self.addrs = addrs.to_vec();
        }
    }
}

/// Known peers.
#[derive(Debug, Default)]
pub struct Topology {
    peers: IdMap<Record>,
    roles: RoleColumns,
}

impl Topology {
    /// Addresses of `peer`, best first; empty if none is known.
    pub fn addrs(&self, peer: &NodeId) -> &[Addr] {
        self.peers.get(peer).map_or(&[], |r| &r.addrs)
    }

    /// Where `peer` is: where a link showed it to be, or else where it is said to be.
    pub(crate) fn whereabouts(&self, peer: &NodeId) -> &[Addr] {
        match self.peers.get(peer) {
            Some(Record { seen: Some(seen), .. }) => std::slice::from_ref(seen),
            Some(r) => &r.addrs,
            None => &[],
        }
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

    /// What `node` is taken for.
    pub fn role(&self, node: &NodeId) -> PeerRole {
        self.roles.get(node).effective
    }

    /// What is known of `node`'s role, also if nothing else is known of it.
    pub fn role_row(&self, node: &NodeId) -> RoleRow {
        self.roles.get(node)
    }

    /// Whoever claims a role, or has one, in the order of their ids.
    pub fn roles(&self) -> impl Iterator<Item = (NodeId, RoleRow)> {
        self.roles.iter()
    }

    /// What the roles layer makes of `node`. It bounds how many have a row.
    pub(crate) fn set_role(&mut self, node: NodeId, row: RoleRow) {
        self.roles.set(node, row);
    }

    /// The failure detector's verdict. It bounds how many peers are anything but alive.
    pub(crate) fn set_state(&mut self, peer: NodeId, state: PeerState) {
        if state != PeerState::Alive || self.peers.contains_key(&peer) {
            self.peers.get_or_insert_with(peer, Record::default).state = state;
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
        let r = self.peers.get_or_insert_with(peer.id, Record::default);
        if !r.proven {
            r.set_addrs(&peer.addrs);
        }
    }

    /// `peer` itself says over its own link where it can be reached.
    pub(crate) fn prove(&mut self, peer: &PeerAddr) {
        if peer.addrs.is_empty() {
            return;
        }
        let r = self.peers.get_or_insert_with(peer.id, Record::default);
        r.set_addrs(&peer.addrs);
        r.proven = true;
    }

    /// A link to `peer` came up, from or to `addr`; `outbound` if we dialed it there.
    pub(crate) fn reached(&mut self, peer: NodeId, addr: Option<Addr>, outbound: bool, rtt: Option<Span>) {
        let r = self.peers.get_or_insert_with(peer, Record::default);
        r.seen = addr.or(r.seen);
        if let Some(a) = addr.filter(|_| outbound) {
            r.addrs.retain(|x| *x != a);
            r.addrs.insert(0, a);
            r.addrs.truncate(MAX_ADDRS);
        }
        r.rtt = rtt.or(r.rtt);
        (r.failures, r.retry_at) = (0, Time::default());
    }

    /// `peer` could not be reached: what is known of it may be wrong, so that others may say better.
    pub(crate) fn doubt(&mut self, peer: &NodeId) {
        if let Some(r) = self.peers.get_mut(peer) {
            r.proven = false;
        }
    }

    /// `peer` is not worth another try for a while, which outlives its place in any view.
    pub(crate) fn back_off(&mut self, peer: &NodeId, now: Time) {
        if let Some(r) = self.peers.get_mut(peer) {
            r.retry_at = now + BACK_OFF.times(1 << r.failures.min(7));
            r.failures = r.failures.saturating_add(1);
        }
    }

    /// Whether `peer` may be dialed: it has not failed lately.
    pub fn is_ready(&self, peer: &NodeId, now: Time) -> bool {
        self.peers.get(peer).is_none_or(|r| r.retry_at <= now)
    }

    /// Forgets everybody not in `keep`, but for those the failure detector has something to say about, and those who
    /// failed only when they may be tried again.
    pub(crate) fn retain(&mut self, keep: &BTreeSet<NodeId>, now: Time) {
        self.peers.retain(|p, r| keep.contains(p) || r.retry_at > now || r.state != PeerState::Alive);
    }
}
