//! What a node says of its inputs and its peers.

use serde::{Serialize, Serializer};

use bytes::Bytes;

use super::Node;
use crate::identity::{Addr, AgentId, NodeId};
use crate::io::Overlay;
use crate::layer::{Request, RequestTicket};
use crate::presence::{self, OnlineAgent, PresenceInfo};
use crate::records;
use crate::time::{Now, Span};
use crate::topology::PeerState;
use crate::wire::{Lane, WireError};

/// What was wrong with an input. It was dropped and counted; the node goes on unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The frame could not be read.
    #[error("from {from:?}: {error}")]
    Wire {
        /// Who sent it.
        from: NodeId,
        /// What is wrong with it.
        error: WireError,
    },
    /// The frame came on a lane it does not belong on.
    #[error("from {from:?}: a {name} frame on lane {lane:?}")]
    Lane {
        /// Who sent it.
        from: NodeId,
        /// What it is.
        name: &'static str,
        /// Where it came.
        lane: Lane,
    },
    /// More came before storage was read than can be held back.
    #[error("from {from:?}: a frame before the node was ready")]
    NotReady {
        /// Who sent it.
        from: NodeId,
    },
}

/// A peer as this node knows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Who.
    #[serde(serialize_with = "as_text")]
    pub id: NodeId,
    /// The agent it speaks for, if that is proven.
    #[serde(serialize_with = "as_text_if_any")]
    pub agent: Option<AgentId>,
    /// Where it can be reached.
    #[serde(serialize_with = "all_as_text")]
    pub addrs: Vec<Addr>,
    /// Whether a link to it is up.
    pub linked: bool,
    /// Whether we dialed it.
    pub outbound: bool,
    /// Whether the link goes through relays, since neither end can dial the other.
    pub circuit: bool,
    /// Round-trip time, if measured.
    #[serde(serialize_with = "as_ms")]
    #[serde(rename = "rtt_ms")]
    pub rtt: Option<Span>,
    /// Whether it does not take what it is sent: nothing is pushed to it until it does.
    pub slow: bool,
    /// What the failure detector makes of it.
    pub state: PeerState,
    /// The overlays it is a neighbour in.
    #[serde(skip)]
    pub active_in: Vec<Overlay>,
}

/// Serializes an id as its hexadecimal text.
pub(crate) fn as_text<T: std::fmt::Display, S: Serializer>(id: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(id)
}

pub(crate) fn as_text_or_null<T: std::fmt::Display, S: Serializer>(id: &Option<T>, s: S) -> Result<S::Ok, S::Error> {
    id.as_ref().map(ToString::to_string).serialize(s)
}

pub(crate) fn as_text_if_any<T: std::fmt::Display, S: Serializer>(id: &Option<T>, s: S) -> Result<S::Ok, S::Error> {
    id.as_ref().map(ToString::to_string).serialize(s)
}

pub(crate) fn all_as_text<S: Serializer>(addrs: &[Addr], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(addrs.iter().map(ToString::to_string))
}

fn as_ms<S: Serializer>(rtt: &Option<Span>, s: S) -> Result<S::Ok, S::Error> {
    rtt.map(|r| r.0 as f64 / 1000.0).serialize(s)
}

impl Node {
    /// Who is here: this node first, if it has told anybody, then the others in the order of their ids.
    pub fn presence(&self) -> Vec<PresenceInfo> {
        let now = self.now.mono;
        let me = self.presence.me(now, &self.store, self.id);
        me.into_iter().chain(self.presence.online(now, &self.store)).collect()
    }

    /// Which agents are here, each with its nodes.
    pub fn agents_here(&self) -> Vec<OnlineAgent> {
        presence::by_agent(self.presence())
    }

    /// The network's records as this node has them.
    pub fn records(&self) -> &records::Store {
        &self.store
    }

    /// Publishes a record as a layer of this node would, for tools and tests: its owner is to be this node.
    pub fn put_record(&mut self, now: Now, set: records::SetId, bytes: Bytes) {
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
        let ticket = RequestTicket(self.queues.next_request);
        self.queues.next_request += 1;
        self.queues.requests.push_back((ticket, Request::PutRecord(set, bytes)));
        self.route();
    }
}
