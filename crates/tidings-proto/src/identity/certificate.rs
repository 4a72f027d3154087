//! What binds an agent to a node: the agent's statement that a node speaks for it.
//!
//! One certificate is for one node. An agent on several nodes has one for each, issued there, so that the nodes need not
//! know of each other and share no secret but the agent's own key. Each carries that node's prekeys, and which of the
//! agent's other nodes speak for it no longer: whoever sees any newer certificate of the agent learns that.
//!
//! ```text
//! 0..2        length of the statement   u16 little endian
//! ..          statement                 CBOR map, see `Statement`: fields can be added, the signature covers them
//! ..+1952     the agent's public key    ML-DSA-65
//! ..+3309     signature                 ML-DSA-65 over the certificate's hash
//! ```
//!
//! The hash is `BLAKE3-derive-key("tidings 1 agent certificate", length of the statement u32 little endian ‖ statement)`. The
//! statement names the key by its own hash, the agent's id; the signature is left out, of which there are many for one
//! statement.
//!
//! A certificate alone proves that the agent wants the node, not that the node wants the agent: anybody can certify
//! anybody's node. It counts only where the node itself names its hash: in a batch or beacon it signs, or over its own link.
//!
//! Invariants: a parsed certificate is within the limits and its key is its agent's; it is believed only once
//! [`AgentCertificate::verify`] and [`AgentCertificate::in_time`] have said so.

use bytes::{Bytes, BytesMut};
use minicbor::{Decode, Encode};

use super::{AgentId, CertificateId, NodeId};
use crate::crypto::{AGENT_KEY_LEN, AGENT_SIGNATURE_LEN, BOX_KEY_LEN, Crypto};
use crate::time::UnixMillis;

/// Most prekeys in a certificate: the newest, and one on its way in or out.
pub const MAX_PREKEYS: usize = 2;
/// Most nodes that a certificate revokes (a guess: an agent has a handful of nodes, and revocations outlive what they
/// revoke by [`MAX_LIFE_MS`] only).
pub const MAX_REVOKED: usize = 32;
/// Longest life of a certificate: a year and some, so that a longer one is no way around revoking (a guess).
pub const MAX_LIFE_MS: u64 = 400 * 24 * 3_600_000;
/// How far apart clocks may be, as for batches.
pub const CLOCKS_MS: u64 = 15 * 60_000;
/// Longest statement: all prekeys and revocations, and as much again for what is added one day.
const MAX_STATEMENT: usize = 8 * 1024;
/// Longest certificate.
pub const MAX_CERTIFICATE: usize = 2 + MAX_STATEMENT + AGENT_KEY_LEN + AGENT_SIGNATURE_LEN;

/// What an agent says of one of its nodes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Statement {
    /// Who says so.
    #[n(0)]
    pub agent: AgentId,
    /// The node that speaks for it.
    #[n(1)]
    pub node: NodeId,
    /// Grows with every certificate for the node; of two, the higher one is the newer.
    #[n(2)]
    pub serial: u64,
    /// When it was issued, in milliseconds of the issuer's wall clock.
    #[n(3)]
    pub issued_ms: u64,
    /// Until when it holds.
    #[n(4)]
    pub expires_ms: u64,
    /// What others seal to the node with, newest first.
    #[n(5)]
    #[cbor(default)]
    pub prekeys: Vec<Prekey>,
    /// The agent's nodes that speak for it no longer.
    #[n(6)]
    #[cbor(default)]
    pub revoked: Vec<Revoked>,
}

/// A public key of a box that only the node opens; it changes every few days.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Prekey {
    /// Names it among the node's.
    #[n(0)]
    pub id: u64,
    /// The key, [`BOX_KEY_LEN`] bytes.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub key: Vec<u8>,
}

/// A node that speaks for the agent no longer, whatever certificates up to a serial number say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Revoked {
    /// Which.
    #[n(0)]
    pub node: NodeId,
    /// Certificates with this serial number and all below do not hold.
    #[n(1)]
    pub up_to: u64,
}

/// Why a certificate does not hold. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Cut short, or not in the format.
    #[error("a malformed certificate")]
    Malformed,
    /// A length, count or life past its limit.
    #[error("a certificate past the limits")]
    Limit,
    /// The key in it is not the agent's.
    #[error("a certificate with another agent's key")]
    Key,
    /// The signature is not the agent's.
    #[error("a forged certificate")]
    Forged,
    /// It is for another node, or is another one than was asked for.
    #[error("another certificate than this node's")]
    Other,
    /// Issued in the future, further than clocks may be apart.
    #[error("a certificate from the future: is the clock right?")]
    Future,
    /// Expired.
    #[error("the certificate has expired: is the clock right?")]
    Expired,
    /// Revoked by its agent.
    #[error("the agent has revoked the certificate")]
    Revoked,
}

/// A certificate, parsed. Cloning it shares its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCertificate {
    bytes: Bytes,
    statement: Statement,
    id: CertificateId,
}

impl AgentCertificate {
    /// Signs `statement` as the agent of `crypto`. `None` if it holds no agent's key, or another's than the statement's.
    /// The caller keeps to the limits.
    pub fn issue(statement: Statement, crypto: &dyn Crypto) -> Option<AgentCertificate> {
        let key = crypto.agent_key().filter(|key| AgentId::of_key(key) == statement.agent)?;
        let said = minicbor::to_vec(&statement).ok().filter(|said| said.len() <= MAX_STATEMENT)?;
        let id = hash(&said);
        let signature = crypto.agent_sign(id.as_bytes())?;
        let mut bytes = BytesMut::with_capacity(2 + said.len() + AGENT_KEY_LEN + AGENT_SIGNATURE_LEN);
        bytes.extend_from_slice(&(said.len() as u16).to_le_bytes());
        for part in [said.as_slice(), key, &signature] {
            bytes.extend_from_slice(part);
        }
        Some(AgentCertificate { bytes: bytes.freeze(), statement, id })
    }

    /// Reads a certificate and checks all but its signature and its time.
    pub fn parse(bytes: Bytes) -> Result<AgentCertificate, CertificateError> {
        let id = AgentCertificate::id_of(&bytes)?;
        AgentCertificate::parse_as(bytes, id)
    }

    /// Reads a certificate whose hash is known.
    pub(super) fn parse_as(bytes: Bytes, id: CertificateId) -> Result<AgentCertificate, CertificateError> {
        let (said, key) = split(&bytes)?;
        let mut d = minicbor::Decoder::new(said);
        let statement: Statement = d.decode().map_err(|_| CertificateError::Malformed)?;
        if d.position() != said.len() {
            return Err(CertificateError::Malformed);
        }
        let s = &statement;
        if s.prekeys.len() > MAX_PREKEYS || s.revoked.len() > MAX_REVOKED {
            return Err(CertificateError::Limit);
        }
        if s.expires_ms <= s.issued_ms || s.prekeys.iter().any(|p| p.key.len() != BOX_KEY_LEN) {
            return Err(CertificateError::Malformed);
        }
        if s.expires_ms - s.issued_ms > MAX_LIFE_MS {
            return Err(CertificateError::Limit);
        }
        if AgentId::of_key(key) != s.agent {
            return Err(CertificateError::Key);
        }
        Ok(AgentCertificate { bytes, statement, id })
    }

    /// The hash of a certificate that has not been read otherwise.
    pub fn id_of(bytes: &[u8]) -> Result<CertificateId, CertificateError> {
        split(bytes).map(|(said, _)| hash(said))
    }

    /// Whether the agent signed it. Costly: [`super::Certificates`] does it once.
    pub fn verify(&self, crypto: &dyn Crypto) -> Result<(), CertificateError> {
        let (rest, signature) = self.bytes.split_at(self.bytes.len() - AGENT_SIGNATURE_LEN);
        let key = &rest[rest.len() - AGENT_KEY_LEN..];
        match crypto.agent_verify(key, self.id.as_bytes(), signature) {
            true => Ok(()),
            false => Err(CertificateError::Forged),
        }
    }

    /// Whether it holds now, by a clock that may be [`CLOCKS_MS`] off.
    pub fn in_time(&self, now: UnixMillis) -> Result<(), CertificateError> {
        in_time(self.statement.issued_ms, self.statement.expires_ms, now)
    }

    /// All checks but those against other certificates, cheap ones first.
    pub fn check(&self, now: UnixMillis, crypto: &dyn Crypto) -> Result<(), CertificateError> {
        self.in_time(now)?;
        self.verify(crypto)
    }

    /// What the agent says.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Its hash.
    pub fn id(&self) -> CertificateId {
        self.id
    }

    /// The bytes, as they travel.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The agent's public key.
    pub fn agent_key(&self) -> &[u8] {
        let end = self.bytes.len() - AGENT_SIGNATURE_LEN;
        &self.bytes[end - AGENT_KEY_LEN..end]
    }
}

/// Whether what was issued and expires then holds now.
pub(super) fn in_time(issued_ms: u64, expires_ms: u64, now: UnixMillis) -> Result<(), CertificateError> {
    if issued_ms > now.0.saturating_add(CLOCKS_MS) {
        return Err(CertificateError::Future);
    }
    if expires_ms.saturating_add(CLOCKS_MS) <= now.0 {
        return Err(CertificateError::Expired);
    }
    Ok(())
}

/// The statement's bytes and the key's.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), CertificateError> {
    let (len, rest) = bytes.split_first_chunk().ok_or(CertificateError::Malformed)?;
    let len = usize::from(u16::from_le_bytes(*len));
    if len > MAX_STATEMENT {
        return Err(CertificateError::Limit);
    }
    if rest.len() != len + AGENT_KEY_LEN + AGENT_SIGNATURE_LEN {
        return Err(CertificateError::Malformed);
    }
    Ok((&rest[..len], &rest[len..len + AGENT_KEY_LEN]))
}

fn hash(said: &[u8]) -> CertificateId {
    let mut h = blake3::Hasher::new_derive_key("tidings 1 agent certificate");
    h.update(&(said.len() as u32).to_le_bytes()).update(said);
    CertificateId(*h.finalize().as_bytes())
}
