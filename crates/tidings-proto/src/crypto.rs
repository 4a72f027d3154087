//! The crypto port: what the core signs and verifies with.
//!
//! [`AwsLc`] is the real thing. [`SimCrypto`] has keys and signatures of the same sizes and rejects the same
//! forgeries, for simulations: it costs nanoseconds and draws no randomness, so that traces repeat.

use crate::identity::{NodeId, SecretKey};

/// Length of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// Signs as one node and verifies anybody.
pub trait Crypto: Send + Sync {
    /// The node this port signs as.
    fn node_id(&self) -> NodeId;
    /// Signs `message` with the node's key.
    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN];
    /// Whether `signature` is `signer`'s over `message`.
    fn verify(&self, signer: &NodeId, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool;
}

/// Ed25519 by aws-lc.
#[cfg(feature = "aws-lc")]
pub struct AwsLc {
    pair: aws_lc_rs::signature::Ed25519KeyPair,
}

#[cfg(feature = "aws-lc")]
impl AwsLc {
    /// A port that signs with `secret`. `None` only if the library rejects the seed, which it has no reason to.
    pub fn new(secret: &SecretKey) -> Option<Self> {
        let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(secret.expose()).ok()?;
        Some(AwsLc { pair })
    }
}

#[cfg(feature = "aws-lc")]
impl Crypto for AwsLc {
    fn node_id(&self) -> NodeId {
        use aws_lc_rs::signature::KeyPair;
        let mut id = [0; 32];
        id.copy_from_slice(self.pair.public_key().as_ref());
        NodeId(id)
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut out = [0; SIGNATURE_LEN];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        out
    }

    fn verify(&self, signer: &NodeId, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        UnparsedPublicKey::new(&ED25519, signer.as_bytes()).verify(message, signature).is_ok()
    }
}

/// Simulated signatures: a keyed hash whose key follows from the signer's id by a constant that simulated
/// attackers do not use. Never on a real network.
pub struct SimCrypto {
    id: NodeId,
}

const SIM_MASK: [u8; 32] = *b"simulated signatures, never real";

impl SimCrypto {
    /// A port that signs with `secret`.
    pub fn new(secret: &SecretKey) -> Self {
        let mut id = *secret.expose();
        id.iter_mut().zip(SIM_MASK).for_each(|(b, m)| *b ^= m);
        SimCrypto { id: NodeId(id) }
    }

    fn tag(signer: &NodeId, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut key = *signer.as_bytes();
        key.iter_mut().zip(SIM_MASK).for_each(|(b, m)| *b ^= m);
        let mut out = [0; SIGNATURE_LEN];
        out[..32].copy_from_slice(blake3::keyed_hash(&key, message).as_bytes());
        out
    }
}

impl Crypto for SimCrypto {
    fn node_id(&self) -> NodeId {
        self.id
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        SimCrypto::tag(&self.id, message)
    }

    fn verify(&self, signer: &NodeId, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        SimCrypto::tag(signer, message) == *signature
    }
}
