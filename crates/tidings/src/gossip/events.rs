//! What happens to a node, for observers.

use std::fmt::Display;

use serde::{Serialize, Serializer};
use tidings_proto::identity::{AgentId, NodeId};
use tidings_proto::io::{LeaveReason, Overlay};
use tidings_proto::roles::{PeerRole, RoleSource};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Something that happened to the node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AgentEvent {
    /// A peer became a neighbour in an overlay.
    PeerJoined {
        /// Who.
        #[serde(serialize_with = "text")]
        peer: NodeId,
        /// In which overlay.
        #[serde(serialize_with = "overlay_text")]
        overlay: Overlay,
    },
    /// A neighbour left an overlay's active view.
    PeerLeft {
        /// Who.
        #[serde(serialize_with = "text")]
        peer: NodeId,
        /// Which overlay.
        #[serde(serialize_with = "overlay_text")]
        overlay: Overlay,
        /// Why.
        reason: LeaveReason,
    },
    /// A neighbour does not answer. Traffic goes around it and a replacement is looked for; it may recover.
    PeerSuspected {
        /// Who.
        #[serde(serialize_with = "text")]
        peer: NodeId,
    },
    /// A suspected neighbour answers again, or one that was removed for its silence is back.
    PeerRecovered {
        /// Who.
        #[serde(serialize_with = "text")]
        peer: NodeId,
    },
    /// Two live nodes use one key. Told once an hour and key.
    CloneSeen {
        /// Whose; this node's own, if others met a node with its key that it is not.
        #[serde(serialize_with = "text")]
        peer: NodeId,
    },
    /// The agent that a node speaks for is proven, or is no longer.
    Agent {
        /// The node.
        #[serde(serialize_with = "text")]
        peer: NodeId,
        /// Its agent.
        #[serde(serialize_with = "text_if_any")]
        agent: Option<AgentId>,
    },
    /// A node is a relay, or says so.
    RolePromoted {
        /// Which.
        #[serde(serialize_with = "text")]
        peer: NodeId,
        /// The score that this rests on.
        score: f64,
        /// What this rests on: this node's judgement, a claim that others' words bear out, or a claim and no more.
        source: RoleSource,
    },
    /// A node is a relay no longer, or says so.
    RoleDemoted {
        /// Which.
        #[serde(serialize_with = "text")]
        peer: NodeId,
        /// The score that this rests on.
        score: f64,
        /// What this rests on.
        source: RoleSource,
    },
    /// This node itself is something else than before, and tells everybody.
    LocalRoleChanged {
        /// What.
        role: PeerRole,
        /// Its score, by what was credited to it.
        score: f64,
    },
    /// The agent has revoked this node, on another of its nodes: it speaks for it no longer.
    CastOut,
    /// A record could not be written: messages flow on, but a restart may repeat or miss some.
    StorageFailed {
        /// What the storage said.
        error: String,
    },
    /// This observer read too slowly and missed some events.
    Missed {
        /// How many.
        events: u64,
    },
}

/// What happens to the views; the part of [`AgentEvent`] that concerns membership.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MembershipEvent {
    /// A peer became a neighbour in an overlay.
    PeerJoined {
        /// Who.
        peer: NodeId,
        /// In which overlay.
        overlay: Overlay,
    },
    /// A neighbour left an overlay's active view.
    PeerLeft {
        /// Who.
        peer: NodeId,
        /// Which overlay.
        overlay: Overlay,
        /// Why.
        reason: LeaveReason,
    },
    /// A neighbour does not answer. Traffic goes around it and a replacement is looked for; it may recover.
    PeerSuspected {
        /// Who.
        peer: NodeId,
    },
    /// A suspected neighbour answers again, or one that was removed for its silence is back.
    PeerRecovered {
        /// Who.
        peer: NodeId,
    },
    /// This observer read too slowly and missed some events, of whatever kind.
    Missed {
        /// How many.
        events: u64,
    },
}

/// An id or address as people read it.
pub(crate) fn text<T: Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

/// An id as people read it, if there is one.
pub(crate) fn text_if_any<T: Display, S: Serializer>(value: &Option<T>, s: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(s)
}

fn overlay_text<S: Serializer>(value: &Overlay, s: S) -> Result<S::Ok, S::Error> {
    match value {
        Overlay::Root => s.serialize_str("root"),
        Overlay::Topic(topic) => s.collect_str(topic),
    }
}

/// Receives [`AgentEvent`]s from now on.
pub struct Events {
    receiver: broadcast::Receiver<AgentEvent>,
}

impl Events {
    pub(crate) fn new(receiver: broadcast::Receiver<AgentEvent>) -> Events {
        Events { receiver }
    }

    /// Of a node that has stopped.
    pub(crate) fn ended() -> Events {
        Events { receiver: broadcast::channel(1).1 }
    }

    /// The next event; `None` when the node has stopped. Cancel safe.
    pub async fn recv(&mut self) -> Option<AgentEvent> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(events)) => Some(AgentEvent::Missed { events }),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Receives [`MembershipEvent`]s from now on.
pub struct MembershipEvents {
    events: Events,
}

impl MembershipEvents {
    pub(crate) fn new(events: Events) -> MembershipEvents {
        MembershipEvents { events }
    }

    /// The next event; `None` when the node has stopped. Cancel safe.
    pub async fn recv(&mut self) -> Option<MembershipEvent> {
        loop {
            return Some(match self.events.recv().await? {
                AgentEvent::PeerJoined { peer, overlay } => MembershipEvent::PeerJoined { peer, overlay },
                AgentEvent::PeerLeft { peer, overlay, reason } => MembershipEvent::PeerLeft { peer, overlay, reason },
                AgentEvent::Missed { events } => MembershipEvent::Missed { events },
                AgentEvent::PeerSuspected { peer } => MembershipEvent::PeerSuspected { peer },
                AgentEvent::PeerRecovered { peer } => MembershipEvent::PeerRecovered { peer },
                AgentEvent::StorageFailed { .. }
                | AgentEvent::CloneSeen { .. }
                | AgentEvent::Agent { .. }
                | AgentEvent::RolePromoted { .. }
                | AgentEvent::RoleDemoted { .. }
                | AgentEvent::LocalRoleChanged { .. }
                | AgentEvent::CastOut => continue,
            });
        }
    }
}
