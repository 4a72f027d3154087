//! Agents: who is behind a node, on however many nodes.

use std::fmt;

use super::AgentId;
use crate::crypto::Crypto;

impl AgentId {
    /// The agent whose ML-DSA-65 public key this is.
    pub fn of_key(key: &[u8]) -> Self {
        AgentId(*blake3::hash(key).as_bytes())
    }

    /// The first 96 bits as six words that can be read aloud (Wilkerson's proquints, arXiv 0901.4016), to compare by
    /// telephone: nobody finds a key with a chosen 96 bits.
    pub fn words(&self) -> String {
        let word = |pair: &[u8]| {
            let n = u16::from_be_bytes([pair[0], pair[1]]);
            let consonant = |shift: u16| char::from(b"bdfghjklmnprstvz"[usize::from(n >> shift & 15)]);
            let vowel = |shift: u16| char::from(b"aiou"[usize::from(n >> shift & 3)]);
            String::from_iter([consonant(12), vowel(10), consonant(6), vowel(4), consonant(0)])
        };
        self.0[..12].chunks_exact(2).map(word).collect::<Vec<_>>().join("-")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_words_are_the_published_ones() {
        let mut id = AgentId([0; 32]);
        id.0[..8].copy_from_slice(&[127, 0, 0, 1, 63, 84, 220, 193]);
        assert!(id.words().starts_with("lusab-babad-gutih-tugad-"), "{}", id.words());
    }
}
