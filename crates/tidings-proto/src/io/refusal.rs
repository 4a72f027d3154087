//! Why a command is refused.

use crate::identity::AgentId;
use crate::log::LogError;
use crate::pubsub::CapabilityError;

/// Why a command was refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The payload is longer than a message may be.
    #[error("the payload has {size} bytes, the limit is {limit}: split it, or send it as a file elsewhere")]
    PayloadTooLarge {
        /// Its length.
        size: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// The headers are longer than they may be.
    #[error("the message's headers have {size} bytes, the limit is {limit}")]
    HeadersTooLarge {
        /// Their length.
        size: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// Too much waits to be sent on this topic.
    #[error(
        "{waiting} bytes wait to be published on this topic, the limit is {limit}: slow down, or wait for a neighbour"
    )]
    QueueFull {
        /// Bytes waiting.
        waiting: usize,
        /// The most that may wait.
        limit: usize,
    },
    /// Too many topics.
    #[error("this node takes part in {limit} topics already: leave one first")]
    TooManyTopics {
        /// The most allowed.
        limit: usize,
    },
    /// The topic was left while the message waited to be sent.
    #[error("the topic was left before the message could be sent: publish it again if it still matters")]
    TopicLeft,
    /// What is stored is a message of this many bytes at most.
    #[error("a message of more than {limit} bytes can't be durable: publish it without, or in parts")]
    TooLargeToStore {
        /// The longest that is stored.
        limit: usize,
    },
    /// The durable log did not take it. It was not sent either.
    #[error("not stored: {0}")]
    NotStored(LogError),
    /// Too many agents are looked for at once.
    #[error("{limit} agents are being looked for already: wait until one is found")]
    TooManyQueries {
        /// The most allowed.
        limit: usize,
    },
    /// By the topic's policy others publish on it.
    #[error(
        "agent {agent} may not publish on this topic: {}ask its owner, agent {owner}, to run \
         \"tidings grant TICKET {agent}\", and give what that prints to \"tidings accept\" here",
        match why { Some(why) => format!("{why}; "), None => String::new() }
    )]
    MayNotPublish {
        /// This node's agent.
        agent: AgentId,
        /// Who can let it.
        owner: AgentId,
        /// What is wrong with the capability it has.
        why: Option<CapabilityError>,
    },
    /// By the topic's policy listed agents publish on it, and nobody can add to the list.
    #[error(
        "agent {agent} may not publish on this topic: its ticket does not list it; only another topic's can (tidings topic \
         NAME --publisher {agent})"
    )]
    NotListed {
        /// This node's agent.
        agent: AgentId,
    },
    /// The agent has revoked this node, which therefore proves nobody's right to publish.
    #[error("the agent has revoked this node: only its other nodes publish where not everyone may")]
    CastOut,
    /// The capability is none, or does not hold, or is not this agent's to use or to issue.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// The node holds no agent's key.
    #[error("this node holds no agent's key: there is no agent to speak for, or to be found")]
    NoAgent,
    /// A node cannot revoke itself: the certificate that says so would be its own.
    #[error("a node can't revoke itself: do it on another of the agent's nodes")]
    RevokesItself,
    /// As many nodes as an agent can revoke are.
    #[error("the agent has revoked {limit} nodes, and can't revoke more: make a new agent")]
    TooManyRevoked {
        /// The most there can be.
        limit: usize,
    },
    /// A status too long, or not one line.
    #[error("a status is one line of at most {limit} bytes, this has {size}")]
    StatusRefused {
        /// Its length.
        size: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// The node does not say that it is here.
    #[error(
        "this node does not say that it is here, so nobody would read its status: set presence = true, and start it again"
    )]
    NoPresence,
    /// A message to this node itself.
    #[error("this node can't send a message to itself")]
    ToOneself,
    /// The receiver's certificate is not known here.
    #[error("no certificate of that node is known that binds it to the agent: find the agent first")]
    NoCertificate,
    /// It was kept for its receiver until its time was over.
    #[error("the receiver did not come back within 24 h, and the message is not kept any longer: send it again")]
    NotCollected,
    /// The receiver could not open it.
    #[error("the receiver has no key any more that opens the message: find the agent anew, and send it again")]
    NotOpened,
    /// There was no receipt in time.
    #[error(
        "no receipt came within 30 s: the receiver can't be reached, or is gone; it may have the message all the same"
    )]
    NoReceipt,
    /// The receiver does not believe this node's certificate.
    #[error("the receiver does not believe that this node speaks for its agent: was it revoked, or is a clock wrong?")]
    NotProven,
    /// The receiver's inbox has no room.
    #[error("the receiver's inbox is full: try again when it has been read")]
    InboxFull,
    /// The receiver speaks for no agent.
    #[error("the receiver holds no agent's key")]
    NotAnAgent,
    /// The node has said goodbye.
    #[error("the node is shutting down")]
    Leaving,
}
