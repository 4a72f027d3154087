//! The simulated port. Never on a real network.
//!
//! Every key follows from its public half by a constant that simulated attackers do not use. What a real scheme spreads
//! over thousands of bytes is 32 bytes here and zeros, which are checked: a flipped bit anywhere is noticed, as in the
//! real one.

use super::{AGENT_KEY_LEN, AGENT_SIGNATURE_LEN, BOX_KEY_LEN, BOX_OVERHEAD, BoxSecret, Crypto, SIGNATURE_LEN, TAG_LEN};
use crate::identity::{AgentSecret, NodeId, SecretKey};

const NODE_MASK: [u8; 32] = *b"simulated signatures, never real";
const AGENT_MASK: [u8; 32] = *b"simulated agents' keys, not real";
const BOX_MASK: [u8; 32] = *b"simulated boxes' keys, not real!";

/// What is compared with: quicker than looking at each byte.
const ZEROS: [u8; AGENT_SIGNATURE_LEN] = [0; AGENT_SIGNATURE_LEN];

/// Simulated signatures, seals and boxes.
pub struct SimCrypto {
    id: NodeId,
    agent: Option<Vec<u8>>,
}

impl SimCrypto {
    /// A port that signs with `secret` and holds no agent's key.
    pub fn new(secret: &SecretKey) -> Self {
        SimCrypto { id: NodeId(masked(secret.expose(), &NODE_MASK)), agent: None }
    }

    /// A port that signs with `secret`, and as the agent with `agent`.
    pub fn with_agent(secret: &SecretKey, agent: &AgentSecret) -> Self {
        let key = padded(&masked(agent.expose(), &AGENT_MASK), AGENT_KEY_LEN);
        SimCrypto { agent: Some(key), ..SimCrypto::new(secret) }
    }

    fn tag(signer: &NodeId, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut out = [0; SIGNATURE_LEN];
        out[..32].copy_from_slice(keyed(signer.as_bytes(), &NODE_MASK, message).as_bytes());
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

    fn agent_key(&self) -> Option<&[u8]> {
        self.agent.as_deref()
    }

    fn agent_sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let key = unpadded(self.agent.as_deref()?, AGENT_KEY_LEN)?;
        Some(padded(keyed(key, &AGENT_MASK, message).as_bytes(), AGENT_SIGNATURE_LEN))
    }

    fn agent_verify(&self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let Some(key) = unpadded(key, AGENT_KEY_LEN) else { return false };
        unpadded(signature, AGENT_SIGNATURE_LEN) == Some(keyed(key, &AGENT_MASK, message).as_bytes())
    }

    fn seal(&self, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut out = plain.to_vec();
        mix(key, nonce, &mut out);
        out.extend_from_slice(&tag(key, nonce, aad, plain));
        out
    }

    fn open(&self, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (sealed, tagged) = sealed.split_last_chunk::<TAG_LEN>()?;
        let mut out = sealed.to_vec();
        mix(key, nonce, &mut out);
        (tag(key, nonce, aad, &out) == *tagged).then_some(out)
    }

    fn agree_public(&self, secret: &[u8; 32]) -> [u8; 32] {
        super::agree::sim::public(secret)
    }

    fn agree(&self, secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
        super::agree::sim::agree(secret, public)
    }

    fn box_keypair(&self, seed: &[u8; 32]) -> (Vec<u8>, BoxSecret) {
        (padded(&masked(seed, &BOX_MASK), BOX_KEY_LEN), BoxSecret(seed.to_vec()))
    }

    fn box_seal(&self, public: &[u8], seed: &[u8; 32], aad: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let public = unpadded(public, BOX_KEY_LEN)?;
        let once = blake3::derive_key("tidings simulated box", seed);
        let mut out = padded(&once, BOX_OVERHEAD - TAG_LEN);
        let key = keyed(public, &BOX_MASK, &once);
        out.extend_from_slice(&self.seal(key.as_bytes(), &[0; 12], aad, plain));
        Some(out)
    }

    fn box_open(&self, secret: &BoxSecret, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let seed: &[u8; 32] = secret.expose().try_into().ok()?;
        let (enc, sealed) = sealed.split_at_checked(BOX_OVERHEAD - TAG_LEN)?;
        let once = unpadded(enc, BOX_OVERHEAD - TAG_LEN)?;
        let key = keyed(&masked(seed, &BOX_MASK), &BOX_MASK, once);
        self.open(key.as_bytes(), &[0; 12], aad, sealed)
    }
}

fn masked(bytes: &[u8; 32], mask: &[u8; 32]) -> [u8; 32] {
    let mut out = *bytes;
    out.iter_mut().zip(mask).for_each(|(b, m)| *b ^= m);
    out
}

fn keyed(public: &[u8; 32], mask: &[u8; 32], message: &[u8]) -> blake3::Hash {
    blake3::keyed_hash(&masked(public, mask), message)
}

fn padded(bytes: &[u8; 32], len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    out[..32].copy_from_slice(bytes);
    out
}

/// The 32 bytes, if what follows them is zeros up to `len`.
fn unpadded(bytes: &[u8], len: usize) -> Option<&[u8; 32]> {
    let (first, rest) = bytes.split_first_chunk::<32>()?;
    (bytes.len() == len && rest == &ZEROS[..rest.len()]).then_some(first)
}

/// Hides a text under a stream that repeats every 64 bytes: nobody who lacks the key can read it off, and that is all a
/// simulation asks.
fn mix(key: &[u8; 32], nonce: &[u8; 12], text: &mut [u8]) {
    let mut block = [0; 64];
    blake3::Hasher::new_keyed(key).update(nonce).finalize_xof().fill(&mut block);
    text.chunks_mut(64).for_each(|c| c.iter_mut().zip(block).for_each(|(t, b)| *t ^= b));
}

fn tag(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> [u8; TAG_LEN] {
    let mut h = blake3::Hasher::new_keyed(key);
    h.update(nonce).update(&(aad.len() as u64).to_le_bytes()).update(aad).update(plain);
    let mut out = [0; TAG_LEN];
    out.copy_from_slice(&h.finalize().as_bytes()[..TAG_LEN]);
    out
}
