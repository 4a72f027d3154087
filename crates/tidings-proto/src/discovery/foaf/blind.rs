//! What a query shows: a hash of whom it seeks, and a one-time key for the answer.
//!
//! The target is hashed with a salt of the query's own, under a key of the network's: who knows the agent's id recognises it,
//! nobody else can tell whom is asked for, or that two queries ask for the same. It hides nothing from who keeps a list of
//! the ids in question.
//!
//! The answer is sealed to a one-time X25519 key. The port's box (X-Wing, post-quantum) would cost 1216 bytes at each of
//! some forty hops, 48 kB a query; this costs 32. What it gives up is little: an answer says where an agent is for an hour, so
//! nobody records it to read it in ten years. And the agent's id is hashed into the key as well, so that even with X25519
//! broken only those read it who know the id, who may ask for the answer themselves.
//!
//! ```text
//! 0..32    one-time key of whoever answers      X25519
//! 32..     sealed                               ChaCha20-Poly1305, nonce 0, aad = salt ‖ target
//! key    = BLAKE3-derive-key("tidings 1 foaf answer", agreed ‖ answerer's key ‖ asker's key ‖ salt ‖ agent id)
//! ```

use super::Tag;
use crate::crypto::Crypto;
use crate::identity::{AgentId, Network};
use crate::wire::Seek;

/// The key of the network's blinded targets.
#[derive(Clone)]
pub(super) struct Blind([u8; 32]);

impl std::fmt::Debug for Blind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Blind(…)")
    }
}

/// What of a query is the same at all its hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) salt: [u8; 16],
    pub(super) target: [u8; 16],
    pub(super) key: [u8; 32],
}

impl From<&Seek> for Query {
    fn from(m: &Seek) -> Query {
        Query { salt: m.salt, target: m.target, key: m.key }
    }
}

impl Blind {
    pub(super) fn new(network: &Network) -> Blind {
        Blind(network.derive("tidings 1 foaf target"))
    }

    /// How `agent` is named in a query with this salt.
    pub(super) fn target(&self, salt: &[u8; 16], agent: &AgentId) -> [u8; 16] {
        let mut both = [0; 48];
        both[..16].copy_from_slice(salt);
        both[16..].copy_from_slice(agent.as_bytes());
        first16(blake3::keyed_hash(&self.0, &both))
    }
}

fn first16(hash: blake3::Hash) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&hash.as_bytes()[..16]);
    out
}

impl Query {
    /// Tells this query from all others.
    pub(super) fn tag(&self) -> Tag {
        let mut h = blake3::Hasher::new();
        h.update(&self.salt).update(&self.target).update(&self.key);
        Tag(first16(h.finalize()))
    }

    fn aad(&self) -> [u8; 32] {
        let mut aad = [0; 32];
        aad[..16].copy_from_slice(&self.salt);
        aad[16..].copy_from_slice(&self.target);
        aad
    }

    fn answer_key(&self, agreed: &[u8; 32], theirs: &[u8; 32], agent: &AgentId) -> [u8; 32] {
        let mut h = blake3::Hasher::new_derive_key("tidings 1 foaf answer");
        h.update(agreed).update(theirs).update(&self.key).update(&self.salt).update(agent.as_bytes());
        *h.finalize().as_bytes()
    }

    /// Seals an answer about `agent`; `None` if the asker's key is none. `secret` must never serve twice.
    pub(super) fn seal(
        &self,
        agent: &AgentId,
        secret: &[u8; 32],
        plain: &[u8],
        crypto: &dyn Crypto,
    ) -> Option<Vec<u8>> {
        let public = crypto.agree_public(secret);
        let agreed = crypto.agree(secret, &self.key)?;
        let key = self.answer_key(&agreed, &public, agent);
        let mut out = public.to_vec();
        out.extend_from_slice(&crypto.seal(&key, &[0; 12], &self.aad(), plain));
        Some(out)
    }

    /// Opens an answer to our own query with `secret` about `agent`.
    pub(super) fn open(
        &self,
        agent: &AgentId,
        secret: &[u8; 32],
        sealed: &[u8],
        crypto: &dyn Crypto,
    ) -> Option<Vec<u8>> {
        let (public, sealed) = sealed.split_first_chunk::<32>()?;
        let agreed = crypto.agree(secret, public)?;
        crypto.open(&self.answer_key(&agreed, public, agent), &[0; 12], &self.aad(), sealed)
    }
}
