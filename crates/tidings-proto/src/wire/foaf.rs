//! What nodes say to each other to find an agent through friends of friends (`discovery/foaf.rs`).

use minicbor::{Decode, Encode};

use crate::identity::CertificateId;

/// Longest statement of a node where it is, with its signature.
pub const MAX_WHEREABOUTS: usize = 512;

/// Asks for an agent, without saying which and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Seek {
    /// Names this question on this link alone; answers carry it.
    #[n(0)]
    pub id: u64,
    /// Drawn for the query, and mixed into the target.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub salt: [u8; 16],
    /// The agent's id, hashed with the salt.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub target: [u8; 16],
    /// The asker's one-time key, to seal the answer to.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub key: [u8; 32],
    /// Hops left of the stem, the receiver's included; 0 behind it.
    #[n(4)]
    #[cbor(default)]
    pub stem: u8,
    /// Hops left of the walk, the receiver's included.
    #[n(5)]
    pub ttl: u8,
}

/// Answers a [`Seek`]: the frame's payload is what was found, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Found {
    /// Which question's.
    #[n(0)]
    pub id: u64,
}

/// Answers a [`Seek`]: nothing was found there, or behind it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NotFound {
    /// Which question's.
    #[n(0)]
    pub id: u64,
}

/// Leaves with a node where an agent is, and walks on. The frame's payload is the certificate, or nothing: who lacks it
/// asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Deposit {
    /// The agent's node's own statement, at most [`MAX_WHEREABOUTS`] bytes.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub whereabouts: Vec<u8>,
    /// Which of the agent's walks this is.
    #[n(1)]
    #[cbor(default)]
    pub walk: u8,
    /// Hops left, the receiver's not included.
    #[n(2)]
    #[cbor(default)]
    pub ttl: u8,
    /// Nodes in a row that had it already.
    #[n(3)]
    #[cbor(default)]
    pub known: u8,
}

/// Answers a [`Deposit`]: to take it, its receiver needs this certificate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LackProof {
    /// Which.
    #[n(0)]
    pub certificate: CertificateId,
    /// As in the [`Deposit`].
    #[n(1)]
    #[cbor(default)]
    pub walk: u8,
    /// As in the [`Deposit`].
    #[n(2)]
    #[cbor(default)]
    pub ttl: u8,
    /// As in the [`Deposit`].
    #[n(3)]
    #[cbor(default)]
    pub known: u8,
}
