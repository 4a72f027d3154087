//! What nodes say to each other about the index and what its holders hold (`discovery/index.rs`, `discovery/rendezvous.rs`).

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::foaf::MAX_WHEREABOUTS;
use crate::identity::{CertificateId, PeerAddr};

/// Most statements in one answer.
pub const MAX_HELD: usize = 8;
/// Most certificates an asker says it has.
pub const MAX_HAVE: usize = 8;

/// Asks a node to confirm that the sender, or for whom it asks, can be reached at an address.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AskReached {
    /// Whom, and at which one address.
    #[n(0)]
    pub subject: PeerAddr,
    /// Whether the receiver may hand it on to a neighbour of its own: the sender asks for itself.
    #[n(1)]
    #[cbor(default)]
    pub hand_on: bool,
}

/// Answers [`AskReached`], to the subject: the sender has dialed it at this address, and signs that.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Reached {
    /// At which address.
    #[n(0)]
    pub subject: PeerAddr,
    /// When it was signed, by the signer's clock.
    #[n(1)]
    pub at_ms: u64,
    /// The signature.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub signature: [u8; 64],
}

/// Leaves a statement with a holder. The frame's payload is the certificate of an agent's, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Register {
    /// Names the question; the answer carries it.
    #[n(0)]
    pub id: u64,
    /// The sender's own statement, at most [`MAX_WHEREABOUTS`] bytes.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub statement: Vec<u8>,
    /// Of a topic: whether to answer with other members.
    #[n(2)]
    #[cbor(default)]
    pub find: bool,
}

/// Answers [`Register`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Registered {
    /// Which question's.
    #[n(0)]
    pub id: u64,
    /// 0 it is kept, 1 its certificate is needed, 2 the receiver is no holder of this shard, 3 it is not believed, 4 there
    /// is no room.
    #[n(1)]
    #[cbor(default)]
    pub outcome: u8,
    /// Of a topic: other members, at most [`MAX_HELD`].
    #[n(2)]
    #[cbor(default)]
    pub members: Vec<ByteVec>,
    /// Of a topic: how many members registered here lately.
    #[n(3)]
    #[cbor(default)]
    pub crowd: u32,
}

/// Asks a holder for what it holds of an agent or topic.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LookUp {
    /// Names the question; the answer carries it.
    #[n(0)]
    pub id: u64,
    /// The agent's or topic's id.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub subject: [u8; 32],
    /// Certificates that need not be sent, at most [`MAX_HAVE`].
    #[n(2)]
    #[cbor(default)]
    pub have: Vec<CertificateId>,
}

/// Answers [`LookUp`]. The frame's payload are certificates, each behind its length (u16).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Holds {
    /// Which question's.
    #[n(0)]
    pub id: u64,
    /// Statements, at most [`MAX_HELD`], each at most [`MAX_WHEREABOUTS`] bytes.
    #[n(1)]
    #[cbor(default)]
    pub statements: Vec<ByteVec>,
}

pub(super) fn statements_ok(of: &[ByteVec]) -> bool {
    of.len() <= MAX_HELD && of.iter().all(|s| s.len() <= MAX_WHEREABOUTS)
}
