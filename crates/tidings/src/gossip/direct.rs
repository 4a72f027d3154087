//! The handle on direct messages.

use bytes::Bytes;
use serde::{Serialize, Serializer};
use tidings_proto::identity::{AgentId, NodeId, PeerAddr};
use tidings_proto::io::{Command, CommandError};
use tidings_proto::messaging::{EnvelopeId, MessageStatus, Progress, Received};
use tokio::sync::broadcast;

use super::handle::RuntimeHandle;
use super::pending::Sending;
use super::run::Control;
use super::runtime::RuntimeError;

pub use tidings_proto::messaging::MAX_BODY_LEN as MAX_DIRECT;

/// Why a direct message was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody knows where the agent is.
    #[error("the agent was not found: is it up, in this network, and not hidden?")]
    NotFound,
    /// The node refused, or the receiver did, or there was no receipt.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The node is not running, or stopped meanwhile.
    #[error("the node is not running")]
    Stopped,
}

impl From<RuntimeError> for SendError {
    fn from(error: RuntimeError) -> SendError {
        match error {
            RuntimeError::Refused(why) => SendError::Refused(why),
            _ => SendError::Stopped,
        }
    }
}

/// A message is in its receiver's inbox, on its disk: the receiver has signed that. Or the receiver is away, and others keep it on
/// theirs until it is back.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Sent {
    /// Its id.
    #[serde(serialize_with = "text")]
    pub id: EnvelopeId,
    /// The node of the agent that it is for.
    #[serde(serialize_with = "text")]
    pub node: NodeId,
    /// The nodes it went through; none on a direct way, and none while it is kept.
    #[serde(serialize_with = "texts")]
    pub via: Vec<NodeId>,
    /// From when it was handed in until the receipt, or until it was kept.
    pub took_ms: f64,
    /// If the receiver is away: who keeps it, and until when.
    #[serde(flatten)]
    pub kept: Option<KeptBy>,
}

/// A message is kept for a receiver that is away. What becomes of it is in [`MessagingManager::progress`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeptBy {
    /// The nodes that keep it.
    #[serde(serialize_with = "texts")]
    pub kept_by: Vec<NodeId>,
    /// Until when, in milliseconds since 1970.
    pub kept_until: u64,
}

/// A direct message that came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DirectMessage {
    /// Its id.
    #[serde(serialize_with = "text")]
    pub id: EnvelopeId,
    /// The agent that sent it: proven.
    #[serde(serialize_with = "text")]
    pub agent: AgentId,
    /// The node it sent it from.
    #[serde(serialize_with = "text")]
    pub node: NodeId,
    /// When it was sent, by the sender's clock, in milliseconds since 1970.
    pub at: u64,
    /// When it came, by this node's.
    pub received_at: u64,
    /// What was sent.
    #[serde(skip)]
    pub payload: Bytes,
}

fn text<T: std::fmt::Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

fn texts<S: Serializer>(value: &[NodeId], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(value.iter().map(ToString::to_string))
}

impl DirectMessage {
    pub(crate) fn of(r: &Received) -> DirectMessage {
        DirectMessage {
            id: r.id,
            agent: r.agent,
            node: r.from,
            at: r.at_ms,
            received_at: r.received_ms,
            payload: r.body.clone(),
        }
    }
}

/// How far a direct message of this node's has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MessageProgress {
    /// Which.
    #[serde(serialize_with = "text")]
    pub id: EnvelopeId,
    /// The node it is for.
    #[serde(serialize_with = "text")]
    pub node: NodeId,
    /// `pending`, `sent`, `relayed`, `delivered`, `read` or `failed`.
    #[serde(serialize_with = "name")]
    pub status: MessageStatus,
    /// Why it has failed.
    pub error: Option<String>,
    /// The nodes it went through, by the receiver's word, once it is delivered; none on a direct way.
    #[serde(serialize_with = "texts")]
    pub via: Vec<NodeId>,
}

impl MessageProgress {
    fn of(p: Progress) -> MessageProgress {
        let error = match &p.status {
            MessageStatus::Failed(why) => Some(why.to_string()),
            _ => None,
        };
        MessageProgress { id: p.id, node: p.to, status: p.status, error, via: p.via }
    }
}

fn name<S: Serializer>(status: &MessageStatus, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(status.name())
}

/// Direct messages from now on.
pub struct DirectMessages {
    events: broadcast::Receiver<DirectMessage>,
}

impl DirectMessages {
    pub(crate) fn new(events: broadcast::Receiver<DirectMessage>) -> DirectMessages {
        DirectMessages { events }
    }

    /// The next one; `None` when the node has stopped. Who reads too slowly misses some here: all that is unread is in
    /// [`MessagingManager::inbox`].
    pub async fn recv(&mut self) -> Option<DirectMessage> {
        loop {
            match self.events.recv().await {
                Ok(message) => return Some(message),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Messages from one agent to another, sealed end to end.
#[derive(Clone)]
pub struct MessagingManager {
    handle: RuntimeHandle,
}

impl MessagingManager {
    pub(crate) fn new(handle: RuntimeHandle) -> MessagingManager {
        MessagingManager { handle }
    }

    /// Sends up to [`MAX_DIRECT`] bytes to an agent and waits for the receipt, for some 30 s to each of its nodes at most: the
    /// first node that takes it has it, the one heard of last first. If the agent is away, and its certificate is known here,
    /// relays keep the message for it, for a day at most: [`Sent::kept`].
    pub async fn send(&self, agent: AgentId, payload: impl Into<Bytes>) -> Result<Sent, SendError> {
        let payload = payload.into();
        let mut found = self.handle.rendezvous().lookup(agent).await?.unwrap_or_default();
        let known = self.handle.run()?.inspect(move |view| view.node.nodes_of(&agent)).await?;
        if found.is_empty() && known.is_empty() {
            found = self.handle.discovery().find_agent(agent).await?.unwrap_or_default();
        }
        let mut nodes: Vec<PeerAddr> = found.iter().map(|node| node.peer_addr()).collect();
        if nodes.is_empty() {
            nodes = known.into_iter().map(|id| PeerAddr { id, addrs: Vec::new() }).collect();
        }
        let mut last = SendError::NotFound;
        for node in nodes {
            match self.send_to(node, agent, payload.clone()).await {
                Ok(sent) => return Ok(sent),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// The same to one node of an agent, which was found before.
    pub async fn send_to(&self, to: PeerAddr, agent: AgentId, body: impl Into<Bytes>) -> Result<Sent, SendError> {
        let since = std::time::Instant::now();
        let command = Command::SendDirect { to, agent, body: body.into() };
        let asked = self.handle.run()?.ask_for(|asked| Control::Send(command, asked)).await?;
        Ok(match asked? {
            Sending::Delivered(d) => {
                Sent { id: d.id, node: d.node, via: d.via, took_ms: d.took.0 as f64 / 1_000.0, kept: None }
            }
            Sending::Kept(k) => {
                let kept = Some(KeptBy { kept_by: k.keepers, kept_until: k.until_ms });
                let took_ms = since.elapsed().as_secs_f64() * 1_000.0;
                Sent { id: k.id, node: k.node, via: Vec::new(), took_ms, kept }
            }
        })
    }

    /// What came and was not said to be read, in the order it came; it is on the disk until then.
    pub async fn inbox(&self) -> Result<Vec<DirectMessage>, RuntimeError> {
        self.handle.run()?.inspect(|view| view.node.inbox().map(DirectMessage::of).collect()).await
    }

    /// These were read: the inbox keeps them no longer. What is not there is passed over.
    pub async fn mark_read(&self, ids: Vec<EnvelopeId>) -> Result<(), RuntimeError> {
        self.handle.run()?.command(|done| Control::Command(Command::ReadDirect { ids }, done)).await
    }

    /// How far a message of this node's has come, if it is remembered: some thousands that have come to their end are.
    pub async fn progress(&self, id: EnvelopeId) -> Result<Option<MessageProgress>, RuntimeError> {
        self.handle.run()?.inspect(move |view| view.node.message(&id).map(MessageProgress::of)).await
    }

    /// Whether an agent is told from now on which of its messages were read here. At first nobody is.
    pub async fn tell_read(&self, agent: AgentId, on: bool) -> Result<(), RuntimeError> {
        self.handle.run()?.command(|done| Control::Command(Command::TellRead { agent, on }, done)).await
    }

    /// What comes from now on.
    pub fn subscribe(&self) -> Result<DirectMessages, RuntimeError> {
        self.handle.run()?.direct_messages()
    }
}
