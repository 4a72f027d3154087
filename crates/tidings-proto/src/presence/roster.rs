//! Who is here, as far as this node knows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::beacon::Beacon;
use crate::id_map::IdMap;
use crate::identity::{Addr, AgentId, NodeId};
use crate::time::Time;

/// Why an agent counts as gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OfflineReason {
    /// It said goodbye.
    Goodbye,
    /// Nothing was heard of it for as long as its word holds.
    Expired,
    /// It was a neighbour, and the failure detector found it dead.
    Died,
    /// Its node speaks for another agent now.
    Replaced,
}

/// Who came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceEvent {
    /// An agent is here, with its first node; or a node that names none.
    AgentOnline(Box<PresenceInfo>),
    /// Something about an agent that is here changed: its status, addresses or proof, or it is on one more node.
    AgentChanged(Box<PresenceInfo>),
    /// A node of an agent is gone, and the agent is still here on another.
    NodeOffline {
        /// Which node.
        node: NodeId,
        /// Whose, by its own word.
        agent: Option<AgentId>,
        /// Why.
        reason: OfflineReason,
    },
    /// An agent is gone, with its last node: the last that is proven to be its, if any was.
    AgentOffline {
        /// Which node.
        node: NodeId,
        /// Whose, by its own word.
        agent: Option<AgentId>,
        /// Why.
        reason: OfflineReason,
    },
}

/// How something was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Learned {
    /// It is this node itself.
    Own,
    /// From the node itself, over its own link.
    Direct,
    /// It came through others, under the node's signature.
    Relayed,
}

/// One node that is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PresenceInfo {
    /// Which.
    #[serde(serialize_with = "crate::node::as_text")]
    pub node: NodeId,
    /// The agent it speaks for, by its own word.
    #[serde(serialize_with = "crate::node::as_text_or_null")]
    pub agent: Option<AgentId>,
    /// Whether a certificate proves that.
    pub proven: bool,
    /// Where it says it can be reached.
    #[serde(serialize_with = "crate::node::all_as_text")]
    pub addrs: Vec<Addr>,
    /// What it says.
    pub status: String,
    /// For how long it is known to be here, in milliseconds.
    pub online_ms: u64,
    /// How long ago it last said so, in milliseconds.
    pub seen_ms: u64,
    /// When it is taken for gone if nothing comes, in milliseconds.
    pub expires_in_ms: u64,
    /// How its last word was learned.
    pub learned: Learned,
    /// The neighbour that brought it.
    #[serde(serialize_with = "crate::node::as_text_or_null")]
    pub via: Option<NodeId>,
}

/// One agent that is here, on one node or several; or a node that names no agent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnlineAgent {
    /// Which.
    pub agent: Option<AgentId>,
    /// Whether its nodes' certificates prove that. Who only says so is listed apart from who proves it.
    pub proven: bool,
    /// Its nodes, at least one.
    pub nodes: Vec<PresenceInfo>,
}

/// Nodes, each with those of the same agent; an agent stands where its first node stood.
pub fn by_agent(nodes: Vec<PresenceInfo>) -> Vec<OnlineAgent> {
    let (mut out, mut at) = (Vec::<OnlineAgent>::new(), BTreeMap::new());
    for p in nodes {
        let (agent, proven) = (p.agent, p.proven);
        let known = agent.map(|agent| *at.entry((agent, proven)).or_insert(out.len()));
        match known.and_then(|i| out.get_mut(i)) {
            Some(a) => a.nodes.push(p),
            None => out.push(OnlineAgent { agent, proven, nodes: vec![p] }),
        }
    }
    out
}

/// A node whose beacon is known.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) beacon: Beacon,
    /// Since when it is here; none if it is not.
    pub(super) online: Option<Time>,
    /// Whether the agent it names is proven to be its, while it is here.
    pub(super) proven: bool,
}

/// Everybody whose beacon is known, here or just gone. As large as the set of records at most.
pub(super) type Roster = IdMap<Entry>;
