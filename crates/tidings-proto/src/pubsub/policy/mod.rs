//! Who may publish on a topic, and how every node of it sees to that.
//!
//! No paper. A topic's *policy* names an owner, agents, or both. The owner and the agents may publish, and so may whoever
//! holds a *capability* (`capability.rs`): the owner's signed statement that an agent may, until a time. All others' batches
//! are neither delivered nor stored, forwarded, announced or compared by any node that knows the policy.
//!
//! *How a node knows it.* The policy's hash is part of what the topic's id is made of, as a private topic's secret is; the
//! ticket carries the policy. Who changes a ticket's policy has a ticket of another topic, so nobody can lie about it, and
//! nothing about it need be agreed, signed or versioned. A plain name, and a private topic without a policy, are anyone's,
//! under the id they always had. To change who may publish at once is to make another topic; capabilities are for what
//! changes. Who has come by the id alone cannot know the policy and carries anything, to neighbours that drop it.
//!
//! *How a batch shows that it may.* On such a topic every batch names its author's certificate, and its capability if it is by
//! one, under the author's signature. So each batch can be judged by itself: the author's node speaks for an agent by a
//! certificate that holds, and that agent is listed, or the capability is the owner's, for this agent and topic, and in time.
//! What the judge needs and lacks is asked of whoever brought the batch, which has judged it before: an honest node forwards
//! nothing that it could not. The certificate comes as all do (`identity/`); capabilities by `AskCapabilities`. Meanwhile the
//! batch waits (`waiting.rs`), and is passed to nobody.
//!
//! *When a capability holds.* For what its holder signed before it expired, by the holder's clock, as long as the receiver's
//! clock is not past that by more than clocks may be apart, or than a log holds messages where that is longer. So all nodes
//! judge a batch alike for as long as logs are compared, and who signs with a clock set back gains that much. It is revoked
//! by letting it expire. One that is issued anew says so by a later expiry; both hold.
//!
//! Invariants: the judge stands where batches come in, whichever way they came, behind the check for duplicates and before
//! anything is kept; a batch waits only with its author's signature verified; a capability is verified once, when a batch that
//! waits names it and its owner, agent, topic and times fit, and found by its hash ever after; everything held is bounded, of
//! each neighbour and in all, and what is dropped is counted.
//!
//! Messages: `AskCapabilities`, `Capability`. Timer: `Prove`.

mod capability;
mod gate;
mod known;
mod own;
mod waiting;

pub use capability::{CapabilityError, CapabilityStatement, MAX_CAPABILITY, TopicCapability};
pub(super) use gate::Ruling;
pub(super) use known::KNOWN;
pub(super) use own::{OWN, grant};
pub(super) use waiting::{WAITING, WAITING_BYTES};

use std::collections::BTreeMap;
use std::sync::Arc;

use super::private::TopicSecret;
use crate::identity::{AgentId, MAX_TOPIC_NAME, NodeId, TopicError, TopicId};
use crate::io::CommandError;

/// Most agents that a policy lists: what a ticket of some 3500 characters holds. More are for capabilities.
pub const MAX_PUBLISHERS: usize = 64;
/// Policies remembered: those of topics a node is in, and as many that it only publishes on now and then.
const MAX_POLICIES: usize = 2 * crate::membership::MAX_TOPICS;

/// Who may publish on a topic: its owner, the agents it lists, and whoever holds a capability of the owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPolicy {
    owner: Option<AgentId>,
    /// Ascending.
    publishers: Vec<AgentId>,
}

/// Why there is no such policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Neither an owner nor an agent.
    #[error("a policy that lets nobody publish: name an owner or an agent")]
    Nobody,
    /// More agents than a ticket may list.
    #[error(
        "{0} agents may publish by this policy, the limit is {MAX_PUBLISHERS}: name an owner that issues capabilities"
    )]
    TooMany(usize),
}

impl TopicPolicy {
    /// A policy with an owner, agents that may publish, or both.
    pub fn new(
        owner: Option<AgentId>,
        publishers: impl IntoIterator<Item = AgentId>,
    ) -> Result<TopicPolicy, PolicyError> {
        let mut publishers: Vec<AgentId> = publishers.into_iter().collect();
        publishers.sort();
        publishers.dedup();
        match publishers.len() {
            0 if owner.is_none() => Err(PolicyError::Nobody),
            n if n > MAX_PUBLISHERS => Err(PolicyError::TooMany(n)),
            _ => Ok(TopicPolicy { owner, publishers }),
        }
    }

    /// Who may publish and issue capabilities, if anybody.
    pub fn owner(&self) -> Option<AgentId> {
        self.owner
    }

    /// Who else may publish without one, ascending.
    pub fn publishers(&self) -> &[AgentId] {
        &self.publishers
    }

    /// Whether an agent may publish without a capability.
    pub fn names(&self, agent: &AgentId) -> bool {
        self.owner == Some(*agent) || self.publishers.binary_search(agent).is_ok()
    }

    fn hash(&self) -> [u8; 32] {
        let mut h = blake3::Hasher::new_derive_key("tidings 1 topic policy");
        h.update(&[u8::from(self.owner.is_some())]);
        if let Some(owner) = &self.owner {
            h.update(owner.as_bytes());
        }
        h.update(&(self.publishers.len() as u32).to_le_bytes());
        for agent in &self.publishers {
            h.update(agent.as_bytes());
        }
        *h.finalize().as_bytes()
    }
}

/// What makes a topic more than its name: all that its ticket says besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicTerms {
    /// Of a private topic, its secret.
    pub secret: Option<TopicSecret>,
    /// Who may publish; anyone if absent.
    pub policy: Option<Arc<TopicPolicy>>,
}

impl TopicTerms {
    /// The id of the topic `name` on these terms. Fails on an empty name or one past [`MAX_TOPIC_NAME`] bytes.
    pub fn topic(&self, name: &str) -> Result<TopicId, TopicError> {
        let Some(policy) = &self.policy else {
            return self.secret.map_or_else(|| TopicId::from_name(name), |secret| secret.topic(name));
        };
        match name.len() {
            0 => return Err(TopicError::Empty),
            n if n > MAX_TOPIC_NAME => return Err(TopicError::TooLong(n)),
            _ => {}
        }
        // A topic that is private as well has another key, not another form.
        let key = match &self.secret {
            Some(secret) => blake3::derive_key("tidings 1 private topic with a policy", secret.expose()),
            None => blake3::derive_key("tidings 1 topic with a policy", &[]),
        };
        let mut h = blake3::Hasher::new_keyed(&key);
        h.update(&policy.hash()).update(name.as_bytes());
        Ok(TopicId(*h.finalize().as_bytes()))
    }
}

/// The policies in force, and what is known of who may publish by them.
#[derive(Debug, Default)]
pub(super) struct Policing {
    policies: BTreeMap<TopicId, Arc<TopicPolicy>>,
    known: known::Known,
    own: own::Own,
    waiting: waiting::Waiting,
}

impl Policing {
    /// From now on the policy is in force. Fails if too many are known.
    pub(super) fn add(&mut self, topic: TopicId, policy: Arc<TopicPolicy>) -> Result<(), CommandError> {
        if self.policies.len() >= MAX_POLICIES && !self.policies.contains_key(&topic) {
            return Err(CommandError::TooManyTopics { limit: MAX_POLICIES });
        }
        self.policies.insert(topic, policy);
        Ok(())
    }

    /// The topic was left.
    pub(super) fn remove(&mut self, topic: &TopicId) {
        self.policies.remove(topic);
        self.known.forget(topic);
        self.waiting.forget(topic);
    }

    /// A link is gone.
    pub(super) fn forget_peer(&mut self, peer: &NodeId) {
        self.known.forget_peer(peer);
    }

    /// Whether who may publish on a topic is limited.
    pub(super) fn is_policed(&self, topic: &TopicId) -> bool {
        self.policies.contains_key(topic)
    }
}
