//! Capabilities to publish, as text that can be handed on.

use std::fmt;
use std::str::FromStr;

use tidings_proto::identity::{AgentId, TopicId};
use tidings_proto::pubsub::{CapabilityError, TopicCapability};
use tidings_proto::time::UnixMillis;

use crate::ticket::{self, TicketError};

/// How every capability begins.
const PREFIX: &str = "tidingsmay1";
const DOMAIN: &str = "tidings 1 capability text";

/// A topic's owner's word that an agent may publish on the topic until a time: see [`Agent::grant`](crate::Agent::grant) and
/// [`Agent::accept`](crate::Agent::accept). No secret: it serves nobody but the agent it names. `Display` is text to hand on, of
/// some 8700 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability(TopicCapability);

/// Why a text is no capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapabilityTextError {
    /// It is not spelled as one.
    #[error("a capability begins with {PREFIX} and is copied whole")]
    Text,
    /// What is spelled is none.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
}

impl From<TicketError> for CapabilityTextError {
    fn from(_: TicketError) -> Self {
        CapabilityTextError::Text
    }
}

impl Capability {
    pub(crate) fn new(capability: TopicCapability) -> Capability {
        Capability(capability)
    }

    pub(crate) fn inner(&self) -> &TopicCapability {
        &self.0
    }

    /// Reads a capability. White space around it does no harm, nor do capitals. Whether its owner signed it is seen by who
    /// accepts it.
    pub fn parse(text: &str) -> Result<Capability, CapabilityTextError> {
        let bytes = ticket::unspell(PREFIX, DOMAIN, text)?;
        Ok(Capability(TopicCapability::parse(bytes.into())?))
    }

    /// On which topic.
    pub fn topic(&self) -> TopicId {
        self.0.statement().topic
    }

    /// Whose topic it is.
    pub fn owner(&self) -> AgentId {
        self.0.statement().owner
    }

    /// Who may publish.
    pub fn agent(&self) -> AgentId {
        self.0.statement().agent
    }

    /// Until when.
    pub fn expires(&self) -> UnixMillis {
        UnixMillis(self.0.statement().expires_ms)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ticket::spell(PREFIX, DOMAIN, self.0.bytes().to_vec()))
    }
}

impl FromStr for Capability {
    type Err = CapabilityTextError;

    fn from_str(s: &str) -> Result<Self, CapabilityTextError> {
        Capability::parse(s)
    }
}
