//! A capability: an owner's statement that an agent may publish on a topic, until a time.
//!
//! ```text
//! 0..2        length of the statement   u16 little endian
//! ..          statement                 CBOR map, see `CapabilityStatement`: fields can be added, the signature covers them
//! ..+1952     the owner's public key    ML-DSA-65
//! ..+3309     signature                 ML-DSA-65 over the capability's hash
//! ```
//!
//! The hash is `BLAKE3-derive-key("tidings 1 topic capability", length of the statement u32 little endian ‖ statement)`; batches
//! name its first 16 bytes. It is no secret: it lets nobody publish but the nodes of the agent it names.

use bytes::{Bytes, BytesMut};
use minicbor::{Decode, Encode};

use crate::crypto::{AGENT_KEY_LEN, AGENT_SIGNATURE_LEN, Crypto};
use crate::identity::{AgentId, CLOCKS_MS, MAX_LIFE_MS, TopicId};
use crate::time::UnixMillis;
use crate::wire::CapabilityRef;

/// Longest statement: what there is, and three times as much for what is added one day.
const MAX_STATEMENT: usize = 512;
/// Longest capability.
pub const MAX_CAPABILITY: usize = 2 + MAX_STATEMENT + AGENT_KEY_LEN + AGENT_SIGNATURE_LEN;

/// What an owner says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CapabilityStatement {
    /// On which topic.
    #[n(0)]
    pub topic: TopicId,
    /// Who says so.
    #[n(1)]
    pub owner: AgentId,
    /// Who may publish, on whichever of its nodes.
    #[n(2)]
    pub agent: AgentId,
    /// When it was issued, in milliseconds of the issuer's wall clock.
    #[n(3)]
    pub issued_ms: u64,
    /// Until when it holds; at most [`MAX_LIFE_MS`] after it was issued.
    #[n(4)]
    pub expires_ms: u64,
}

/// Why a capability is none, or does not hold. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapabilityError {
    /// Cut short, or not in the format.
    #[error("a malformed capability")]
    Malformed,
    /// A length or a life past its limit.
    #[error("a capability past the limits")]
    Limit,
    /// The key in it is not its owner's.
    #[error("a capability with another agent's key")]
    Key,
    /// The signature is not its owner's.
    #[error("a forged capability")]
    Forged,
    /// It is for another agent.
    #[error("the capability is for agent {0}, which is not this node's")]
    Agent(AgentId),
    /// It is for another topic, or another's than the topic's owner.
    #[error("the capability is not for this topic")]
    Topic,
    /// This node's agent is not the topic's owner.
    #[error("only the topic's owner can let others publish on it, and this node's agent is not the owner")]
    NotOwner,
    /// Issued in the future, further than clocks may be apart.
    #[error("a capability from the future: is the clock right?")]
    Future,
    /// Expired.
    #[error("the capability has expired: have the topic's owner issue another")]
    Expired,
}

/// A capability, parsed. Cloning it shares its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicCapability {
    bytes: Bytes,
    statement: CapabilityStatement,
    id: CapabilityRef,
}

impl TopicCapability {
    /// Signs `statement` as the agent of `crypto`. Fails with [`CapabilityError::Key`] if that is not the statement's owner.
    pub fn issue(statement: CapabilityStatement, crypto: &dyn Crypto) -> Result<TopicCapability, CapabilityError> {
        within(&statement)?;
        let key = crypto.agent_key().filter(|key| AgentId::of_key(key) == statement.owner);
        let key = key.ok_or(CapabilityError::Key)?;
        let said = minicbor::to_vec(&statement).map_err(|_| CapabilityError::Malformed)?;
        let hash = hash(&said);
        let signature = crypto.agent_sign(&hash).ok_or(CapabilityError::Key)?;
        let mut bytes = BytesMut::with_capacity(2 + said.len() + AGENT_KEY_LEN + AGENT_SIGNATURE_LEN);
        bytes.extend_from_slice(&(said.len() as u16).to_le_bytes());
        for part in [said.as_slice(), key, &signature] {
            bytes.extend_from_slice(part);
        }
        Ok(TopicCapability { bytes: bytes.freeze(), statement, id: short(&hash) })
    }

    /// Reads a capability and checks all but its signature, and that it holds.
    pub fn parse(bytes: Bytes) -> Result<TopicCapability, CapabilityError> {
        let (said, key, _) = split(&bytes)?;
        let mut d = minicbor::Decoder::new(said);
        let statement: CapabilityStatement = d.decode().map_err(|_| CapabilityError::Malformed)?;
        if d.position() != said.len() {
            return Err(CapabilityError::Malformed);
        }
        within(&statement)?;
        if AgentId::of_key(key) != statement.owner {
            return Err(CapabilityError::Key);
        }
        let id = short(&hash(said));
        Ok(TopicCapability { bytes, statement, id })
    }

    /// What batches would name of a capability that has not been read otherwise.
    pub fn id_of(bytes: &[u8]) -> Result<CapabilityRef, CapabilityError> {
        split(bytes).map(|(said, ..)| short(&hash(said)))
    }

    /// Whether the owner signed it. Costly: done once.
    pub fn verify(&self, crypto: &dyn Crypto) -> Result<(), CapabilityError> {
        let (said, key, signature) = split(&self.bytes)?;
        if crypto.agent_verify(key, &hash(said), signature) { Ok(()) } else { Err(CapabilityError::Forged) }
    }

    /// What the owner says.
    pub fn statement(&self) -> &CapabilityStatement {
        &self.statement
    }

    /// What batches name it by.
    pub fn id(&self) -> CapabilityRef {
        self.id
    }

    /// The bytes, as they travel.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl CapabilityStatement {
    /// Whether it holds for something its agent signed at `signed_ms` by its own clock, for a receiver whose clock says `now`
    /// and which may be `grace_ms` late in learning of it.
    pub fn in_time(&self, signed_ms: u64, now: UnixMillis, grace_ms: u64) -> Result<(), CapabilityError> {
        if self.issued_ms > signed_ms.saturating_add(CLOCKS_MS) {
            return Err(CapabilityError::Future);
        }
        if signed_ms >= self.expires_ms || now.0 >= self.expires_ms.saturating_add(grace_ms) {
            return Err(CapabilityError::Expired);
        }
        Ok(())
    }
}

/// The limits of what can be said.
fn within(s: &CapabilityStatement) -> Result<(), CapabilityError> {
    if s.expires_ms <= s.issued_ms {
        return Err(CapabilityError::Malformed);
    }
    if s.expires_ms - s.issued_ms > MAX_LIFE_MS { Err(CapabilityError::Limit) } else { Ok(()) }
}

/// The statement's bytes, the key's and the signature's.
/// What is said, the key and the signature.
type Parts<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn split(bytes: &[u8]) -> Result<Parts<'_>, CapabilityError> {
    let (len, rest) = bytes.split_first_chunk().ok_or(CapabilityError::Malformed)?;
    let len = usize::from(u16::from_le_bytes(*len));
    if len > MAX_STATEMENT {
        return Err(CapabilityError::Limit);
    }
    if rest.len() != len + AGENT_KEY_LEN + AGENT_SIGNATURE_LEN {
        return Err(CapabilityError::Malformed);
    }
    let (said, rest) = rest.split_at(len);
    let (key, signature) = rest.split_at(AGENT_KEY_LEN);
    Ok((said, key, signature))
}

fn hash(said: &[u8]) -> [u8; 32] {
    let mut h = blake3::Hasher::new_derive_key("tidings 1 topic capability");
    h.update(&(said.len() as u32).to_le_bytes()).update(said);
    *h.finalize().as_bytes()
}

fn short(hash: &[u8; 32]) -> CapabilityRef {
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    CapabilityRef(id)
}
