//! Letting others publish, and being let.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidings_proto::identity::AgentId;
use tidings_proto::io::Command;
use tidings_proto::pubsub::TopicPolicy;
use tidings_proto::time::UnixMillis;

use super::handle::PubSubManager;
use super::run::Control;
use super::runtime::RuntimeError;
use crate::capability::Capability;
use crate::topic::{TopicTicketError, named};

impl PubSubManager {
    /// Lets an agent publish on a topic whose owner this node's agent is, for so long: at most some 400 days. Hand what
    /// it returns to the agent; nobody else has a use for it. It cannot be taken back, only let expire.
    pub async fn grant(&self, topic: &str, agent: AgentId, life: Duration) -> Result<Capability, RuntimeError> {
        let topic = named(topic)?;
        let owner = topic.terms.policy.as_deref().and_then(TopicPolicy::owner).ok_or(TopicTicketError::NoOwner)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires = u64::try_from(now.saturating_add(life).as_millis()).map_or(UnixMillis(u64::MAX), UnixMillis);
        let command = Command::IssueCapability { topic: topic.id, owner, agent, expires };
        let issued = self.handle.run()?.ask_for(|asked| Control::Grant(command, asked)).await?;
        Ok(Capability::new(issued?))
    }

    /// Keeps a capability that this node's agent was given. From now on it publishes by it, also after a restart.
    pub async fn accept(&self, capability: &Capability) -> Result<(), RuntimeError> {
        let capability = capability.inner().bytes().clone();
        self.handle.run()?.command(|done| Control::Command(Command::AcceptCapability { capability }, done)).await
    }
}
