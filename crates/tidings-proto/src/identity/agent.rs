//! Agents: who is behind a node, on however many nodes.

use std::fmt;

use super::AgentId;
use crate::crypto::Crypto;

impl AgentId {
    /// The agent whose ML-DSA-65 public key this is.
    pub fn of_key(key: &[u8]) -> Self {
        AgentId(*blake3::hash(key).as_bytes())
    }

    /// The agent that this port signs as.
    pub fn own(crypto: &dyn Crypto) -> Option<Self> {
        crypto.agent_key().map(AgentId::of_key)
    }
}

/// An agent's secret key: the 32 bytes its ML-DSA-65 key is made from (FIPS 204's ξ). Never printed.
#[derive(Clone)]
pub struct AgentSecret([u8; 32]);

impl AgentSecret {
    /// From 32 bytes drawn from the operating system, or read from a key file.
    pub const fn from_bytes(seed: [u8; 32]) -> Self {
        AgentSecret(seed)
    }

    /// The seed, for a key file or a crypto library. Handle with care.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for AgentSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentSecret(…)")
    }
}
