//! Discovery: where an agent is that is no neighbour.
//!
//! [`foaf`] asks friends of friends; it needs nothing but neighbours. [`rendezvous`] asks those nodes of the [`index`] with
//! which an agent or topic has left word; anybody can compute who they are. [`reach`] proves where a node can be dialed, and
//! [`coordinator`]s are those that anybody can dial, known to all.

pub mod admission;
pub mod advert;
pub mod coordinator;
pub mod foaf;
pub mod index;
mod place;
mod proof;
pub mod reach;
pub mod rendezvous;
mod shard;
mod whereabouts;

pub use place::Place;
pub use shard::{SHARDS, shard_id};

pub use whereabouts::{About, LIFE, MAX_LIFE, Refused, Whereabouts, WhereaboutsKey};

use crate::identity::{Addr, AgentId, NodeId, PeerAddr};
use crate::time::{Span, UnixMillis};
use proof::proven;

/// Bytes that discovery holds at most.
pub(crate) const BYTES: usize = foaf::BYTES + rendezvous::BYTES;

/// What came of looking for an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Its nodes, the latest to say so first; none if it was not found.
    pub found: Vec<Located>,
    /// Holders that were asked for it, dead ones included; none where friends of friends were.
    pub asked: u32,
    /// Those of them that a link had to be made to.
    pub dialed: u32,
    /// The holder whose answer settled it, and whether a link to it was there already.
    pub settled_by: Option<(NodeId, bool)>,
}

impl From<Vec<Located>> for Search {
    fn from(found: Vec<Located>) -> Search {
        Search { found, ..Search::default() }
    }
}

/// One node of an agent that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The agent.
    pub agent: AgentId,
    /// The node that speaks for it: both have said so, and both signatures were checked.
    pub node: NodeId,
    /// Where the node says it can be reached.
    pub addrs: Vec<Addr>,
    /// How this was found.
    pub how: How,
    /// How long ago the node said so, by its clock and ours.
    pub age: Span,
    /// For how long it may be believed.
    pub left: Span,
}

/// How an agent was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum How {
    /// It is this node's own agent.
    Own,
    /// This node knew, from what others had left with it.
    Known,
    /// A friend of a friend knew.
    Foaf,
    /// Holders of its shard had its word.
    Rendezvous,
}

impl Located {
    fn of(w: &Whereabouts, how: How, now: UnixMillis) -> Option<Located> {
        Some(Located {
            agent: w.agent()?,
            node: w.node(),
            addrs: w.peer_addr().addrs.clone(),
            how,
            age: Span::from_millis(now.0.saturating_sub(w.issued_ms())),
            left: Span::from_millis(w.expires_ms().saturating_sub(now.0)),
        })
    }

    /// The node and its addresses, to be dialed.
    pub fn peer_addr(&self) -> PeerAddr {
        PeerAddr { id: self.node, addrs: self.addrs.clone() }
    }
}
