//! The crypto port: what the core signs, verifies, seals and opens with.
//!
//! [`AwsLc`] is the real thing. [`SimCrypto`] has keys, signatures and ciphertexts of the same sizes and rejects the same
//! forgeries, for simulations: it costs little and draws no randomness, so that traces repeat.
//!
//! | what | real | public key | made of it |
//! |---|---|---|---|
//! | node's signature | Ed25519 | 32 | 64 |
//! | agent's signature | ML-DSA-65 (FIPS 204), empty context | 1952 | 3309 |
//! | seal | ChaCha20-Poly1305 (RFC 8439) | | 16 more |
//! | one-time key | X25519 (RFC 7748) | 32 | |
//! | box | HPKE base mode (RFC 9180) over X-Wing, HKDF-SHA256, ChaCha20-Poly1305 | 1216 | 1136 more |

mod agree;
#[cfg(feature = "aws-lc")]
mod aws_lc;
#[cfg(feature = "aws-lc")]
mod hpke;
mod sim;

use std::fmt;

#[cfg(feature = "aws-lc")]
pub use aws_lc::AwsLc;
pub use sim::SimCrypto;

use crate::identity::NodeId;

/// Length of a node's signature.
pub const SIGNATURE_LEN: usize = 64;
/// Length of an agent's public key (FIPS 204, ML-DSA-65).
pub const AGENT_KEY_LEN: usize = 1952;
/// Length of an agent's signature (FIPS 204, ML-DSA-65).
pub const AGENT_SIGNATURE_LEN: usize = 3309;
/// By how much a sealed text is longer than the plain one.
pub const TAG_LEN: usize = 16;
/// Length of a box's public key (X-Wing).
pub const BOX_KEY_LEN: usize = 1216;
/// By how much a boxed text is longer than the plain one: X-Wing's ciphertext and the tag.
pub const BOX_OVERHEAD: usize = 1120 + TAG_LEN;

/// Signs as one node and its agent, seals, and verifies and opens anybody's.
pub trait Crypto: Send + Sync {
    /// The node this port signs as.
    fn node_id(&self) -> NodeId;
    /// Signs `message` with the node's key.
    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN];
    /// Whether `signature` is `signer`'s over `message`.
    fn verify(&self, signer: &NodeId, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool;

    /// The public key of the agent this node holds the key of, [`AGENT_KEY_LEN`] bytes; `None` if it holds none.
    fn agent_key(&self) -> Option<&[u8]>;
    /// Signs `message` with the agent's key, [`AGENT_SIGNATURE_LEN`] bytes; `None` if there is none. Two signatures of one
    /// message may differ.
    fn agent_sign(&self, message: &[u8]) -> Option<Vec<u8>>;
    /// Whether `signature` is over `message` and by the agent whose public key is `key`.
    fn agent_verify(&self, key: &[u8], message: &[u8], signature: &[u8]) -> bool;

    /// Encrypts `plain` and binds it to `aad`; [`TAG_LEN`] bytes longer. A nonce must never serve twice under one key.
    fn seal(&self, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8>;
    /// What was sealed; `None` if it was not sealed exactly so.
    fn open(&self, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>>;

    /// A new pair of keys: the public one, [`BOX_KEY_LEN`] bytes, and the secret one. The simulated port makes them of
    /// `seed` alone, the real one draws them itself.
    fn box_keypair(&self, seed: &[u8; 32]) -> (Vec<u8>, BoxSecret);
    /// Encrypts `plain` to the holder of `public`'s secret and binds it to `aad`; [`BOX_OVERHEAD`] bytes longer. Anybody
    /// can: it says nothing about who did. `None` if `public` is no key. `seed` as in [`Crypto::box_keypair`].
    fn box_seal(&self, public: &[u8], seed: &[u8; 32], aad: &[u8], plain: &[u8]) -> Option<Vec<u8>>;
    /// What was boxed; `None` if it was not boxed exactly so for this secret.
    fn box_open(&self, secret: &BoxSecret, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>>;

    /// The public half of a one-time key (X25519) whose secret half are 32 random bytes.
    fn agree_public(&self, secret: &[u8; 32]) -> [u8; 32];
    /// What the holder of `secret` and that of `public`'s secret agree on; `None` if `public` is no key. To be hashed with
    /// what it is for.
    fn agree(&self, secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]>;
}

/// The secret half of a box's keys. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct BoxSecret(Vec<u8>);

impl BoxSecret {
    /// From bytes that [`BoxSecret::expose`] gave. Bytes of another kind open nothing.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        BoxSecret(bytes.to_vec())
    }

    /// The bytes, for a key file or a crypto library. Handle with care.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for BoxSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxSecret(…)")
    }
}
