//! What a program can ask of a node.

use bytes::Bytes;

use super::Outgoing;
use crate::identity::{Addr, AgentId, NodeId, PeerAddr, TopicId};
use crate::messaging::EnvelopeId;
use crate::pubsub::{HistoryQuery, TopicTerms};
use crate::time::UnixMillis;

/// What a program can ask of a node.
#[derive(Clone, Debug)]
pub enum Command {
    /// Add bootstrap peers and join the network through them. They are never forgotten.
    Join {
        /// Whom to ask.
        peers: Vec<PeerAddr>,
    },
    /// Replace the bootstrap peers.
    SetBootstrap {
        /// The new ones.
        peers: Vec<PeerAddr>,
    },
    /// The addresses this node can be reached at.
    SetAddrs {
        /// All of them.
        addrs: Vec<Addr>,
    },
    /// Take part in a topic and receive its messages.
    Subscribe {
        /// Which.
        topic: TopicId,
    },
    /// Stop receiving a topic's messages and stop carrying its frames.
    Unsubscribe {
        /// Which.
        topic: TopicId,
    },
    /// Publish one message.
    Publish {
        /// On which topic.
        topic: TopicId,
        /// What.
        message: Outgoing,
    },
    /// Give the history of a topic this node is in; answered by [`Reply::History`](super::Reply::History) when the neighbours' part is here, or
    /// after some seconds. What comes later is delivered as it comes.
    History {
        /// Which.
        topic: TopicId,
        /// Which part.
        query: HistoryQuery,
    },
    /// Compare a topic's log with all neighbours' now; answered by [`Reply::Reconciled`](super::Reply::Reconciled).
    Reconcile {
        /// Which.
        topic: TopicId,
    },
    /// Publish one message once it is stored: it is answered, and sent, when it is on the medium. If it cannot be
    /// stored, it is refused and never sent. What is published on the topic behind it waits for it.
    PublishDurable {
        /// On which topic.
        topic: TopicId,
        /// What.
        message: Outgoing,
    },
    /// Append every batch of a topic from now on to the durable log, or no longer. The node must be in the topic.
    /// Nothing waits for these: they are on the medium within about a second.
    KeepLog {
        /// Which topic.
        topic: TopicId,
        /// Whether.
        keep: bool,
    },
    /// Open what comes on a private topic, and hold its authors to its policy, until the topic is left. Before it is
    /// subscribed.
    Unlock {
        /// Which; its id is [`TopicTerms::topic`].
        topic: TopicId,
        /// What its ticket says.
        terms: TopicTerms,
    },
    /// Keep a capability that this node's agent was given, and publish by it.
    AcceptCapability {
        /// Its bytes.
        capability: Bytes,
    },
    /// Issue a capability as this node's agent, which is the topic's owner; answered by [`Reply::Capability`](super::Reply::Capability).
    IssueCapability {
        /// To publish on which topic.
        topic: TopicId,
        /// Its owner, by its policy.
        owner: AgentId,
        /// To whom.
        agent: AgentId,
        /// Until when it holds: at most [`crate::identity::MAX_LIFE_MS`] from now.
        expires: UnixMillis,
    },
    /// Certify that another of this agent's nodes speaks for it no longer, for good.
    RevokeNode {
        /// Which.
        node: NodeId,
    },
    /// Renew this node's certificate and its prekey now rather than when they are due.
    RenewCertificate,
    /// Find out where an agent is, by asking neighbours, who ask theirs; answered by [`Reply::Located`](super::Reply::Located).
    FindAgent {
        /// Which.
        agent: AgentId,
    },
    /// Let others find this node's agent by asking neighbours, from now on or no longer.
    AdvertiseSelf {
        /// Whether.
        on: bool,
    },
    /// Be a coordinator when one is wanted, whenever this node can be reached, or never.
    Coordinate {
        /// Which.
        mode: crate::discovery::coordinator::Mode,
    },
    /// Tell everybody this short status, at most [`crate::presence::MAX_STATUS`] bytes in one line; empty for none.
    SetStatus {
        /// What.
        status: String,
    },
    /// Take part in the network's index, from now on or no longer: hold for others where agents and topics' members are, if
    /// this node can be reached.
    ServeIndex {
        /// Whether.
        on: bool,
    },
    /// Leave word with the holders of its shard where this node's agent is, from now on or no longer.
    Register {
        /// Whether.
        on: bool,
    },
    /// Find out where an agent is, by asking the holders of its shard; answered by [`Reply::Located`](super::Reply::Located).
    LookUp {
        /// Which.
        agent: AgentId,
    },
    /// Send a direct message to a node of an agent whose certificate is known, as it is of those that were found; answered by
    /// [`Reply::Delivered`](super::Reply::Delivered), or refused.
    SendDirect {
        /// The node, and where it can be reached.
        to: PeerAddr,
        /// The agent it speaks for.
        agent: AgentId,
        /// At most [`crate::messaging::MAX_BODY_LEN`] bytes.
        body: Bytes,
    },
    /// These direct messages were read: the inbox need not keep them.
    ReadDirect {
        /// Which; what is not there is passed over.
        ids: Vec<EnvelopeId>,
    },
    /// From now on an agent is told which of its direct messages were read here, or is not; nobody is at first.
    TellRead {
        /// Which agent.
        agent: AgentId,
        /// Whether.
        on: bool,
    },
    /// Say goodbye to every neighbour. The node does nothing afterwards.
    Leave,
}
