//! What nodes say to each other about the index and what its holders hold (`discovery/index.rs`, `discovery/rendezvous.rs`).

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::CertificateRef;
use super::foaf::MAX_WHEREABOUTS;

/// Most statements in one answer.
pub const MAX_HELD: usize = 8;
/// Most certificates an asker says it has.
pub const MAX_HAVE: usize = 8;

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
    pub have: Vec<CertificateRef>,
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
