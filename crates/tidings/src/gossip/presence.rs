//! Who is here.

use serde::Serialize;
use tidings_proto::identity::{AgentId, NodeId};
use tidings_proto::io::Command;
use tidings_proto::presence::{self, OfflineReason, OnlineAgent, PresenceInfo};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::events::text;
use super::handle::RuntimeHandle;
use super::run::Control;
use super::runtime::RuntimeError;

/// Who came or went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PresenceEvent {
    /// An agent is here, with its first node; or a node that names none.
    AgentOnline(Box<PresenceInfo>),
    /// Something about an agent that is here changed: its status, addresses or proof, or it is on one more node.
    AgentChanged(Box<PresenceInfo>),
    /// A node of an agent is gone, and the agent is still here on another.
    NodeOffline {
        /// Which node.
        #[serde(serialize_with = "text")]
        node: NodeId,
        /// Whose, by its own word.
        #[serde(serialize_with = "text_or_null")]
        agent: Option<AgentId>,
        /// Why.
        reason: OfflineReason,
    },
    /// An agent is gone, with its last node: the last that is proven to be its, if any was.
    AgentOffline {
        /// Which node.
        #[serde(serialize_with = "text")]
        node: NodeId,
        /// Whose, by its own word.
        #[serde(serialize_with = "text_or_null")]
        agent: Option<AgentId>,
        /// Why.
        reason: OfflineReason,
    },
    /// This observer read too slowly and missed some: ask who is here.
    Missed {
        /// How many.
        events: u64,
    },
}

fn text_or_null<S: serde::Serializer>(agent: &Option<AgentId>, s: S) -> Result<S::Ok, S::Error> {
    agent.as_ref().map(ToString::to_string).serialize(s)
}

impl PresenceEvent {
    /// What the core told; none for what this version does not know.
    pub(crate) fn of(event: presence::PresenceEvent) -> Option<PresenceEvent> {
        match event {
            presence::PresenceEvent::AgentOnline(info) => Some(PresenceEvent::AgentOnline(info)),
            presence::PresenceEvent::AgentChanged(info) => Some(PresenceEvent::AgentChanged(info)),
            presence::PresenceEvent::AgentOffline { node, agent, reason } => {
                Some(PresenceEvent::AgentOffline { node, agent, reason })
            }
            presence::PresenceEvent::NodeOffline { node, agent, reason } => {
                Some(PresenceEvent::NodeOffline { node, agent, reason })
            }
            _ => None,
        }
    }
}

/// Receives [`PresenceEvent`]s from now on.
pub struct PresenceEvents {
    receiver: broadcast::Receiver<PresenceEvent>,
}

impl PresenceEvents {
    pub(crate) fn new(receiver: broadcast::Receiver<PresenceEvent>) -> PresenceEvents {
        PresenceEvents { receiver }
    }

    /// The next event; `None` when the node has stopped. Cancel safe.
    pub async fn recv(&mut self) -> Option<PresenceEvent> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(events)) => Some(PresenceEvent::Missed { events }),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Who is here, and what this node says of itself. It says that it is here by itself, and goodbye when it shuts down.
#[derive(Clone)]
pub struct PresenceManager {
    handle: RuntimeHandle,
}

impl PresenceManager {
    pub(crate) fn new(handle: RuntimeHandle) -> PresenceManager {
        PresenceManager { handle }
    }

    /// Tells everybody this short status, one line of at most [`presence::MAX_STATUS`] bytes; empty for none. Changes within
    /// five seconds are told together.
    pub async fn broadcast_presence(&self, status: &str) -> Result<(), RuntimeError> {
        let status = status.to_owned();
        self.handle.run()?.command(|done| Control::Command(Command::SetStatus { status }, done)).await
    }

    /// Every agent that is here, with its nodes: this node's first, once it has told anybody, then the others. Each node says how
    /// fresh its word is and how it was learned.
    pub async fn get_online_agents(&self) -> Result<Vec<OnlineAgent>, RuntimeError> {
        self.handle.run()?.inspect(|view| view.node.agents_here()).await
    }

    /// Who comes and goes from now on.
    pub fn subscribe_presence(&self) -> Result<PresenceEvents, RuntimeError> {
        self.handle.run()?.presence_events()
    }
}
