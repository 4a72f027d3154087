//! What nodes say to each other about the index and what its holders hold (`discovery/index.rs`, `discovery/rendezvous.rs`).

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::CertificateRef;
use super::foaf::MAX_WHEREABOUTS;

/// Most statements in one answer.
pub const MAX_HELD: usize = 8;
/// Most certificates an asker says it has.
pub const MAX_HAVE: usize = 8;

/// Most nodes a neighbour vouches for: as many as the index has.
pub const MAX_VOUCHED: usize = 2_048;

/// Says which nodes of the index the sender has reached itself, each by the first eight bytes of its id.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct VouchReached {
    /// Whether what was said before is void.
    #[n(0)]
    #[cbor(default)]
    pub anew: bool,
    /// Those it has reached, besides what it said before; at most [`MAX_VOUCHED`].
    #[n(1)]
    #[cbor(with = "minicbor::bytes", default)]
    pub reached: Vec<u8>,
    /// Those it no longer vouches for; at most [`MAX_VOUCHED`].
    #[n(2)]
    #[cbor(with = "minicbor::bytes", default)]
    pub lost: Vec<u8>,
}

impl VouchReached {
    /// Node ids, as they are in the message.
    pub fn pack(heads: impl Iterator<Item = u64>) -> Vec<u8> {
        heads.flat_map(u64::to_be_bytes).collect()
    }

    /// And back.
    pub fn unpack(bytes: &[u8]) -> Vec<u64> {
        bytes.chunks_exact(8).map(|c| c.try_into().map_or(0, u64::from_be_bytes)).collect()
    }
}

pub(super) fn vouch_ok(m: &VouchReached) -> bool {
    let fits = |b: &[u8]| b.len() <= 8 * MAX_VOUCHED && b.len().is_multiple_of(8);
    fits(&m.reached) && fits(&m.lost)
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
