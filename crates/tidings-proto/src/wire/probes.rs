//! What the failure detector says: probes, signs of life, suspicions, and who is whose neighbour.

use minicbor::{Decode, Encode};

use crate::identity::{NodeId, PeerAddr};

/// Asks whether the peer is there. As a datagram, and when those stay unanswered also on the control lane.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ping {
    /// Comes back in the answer.
    #[n(0)]
    pub seq: u32,
    /// The asker's incarnation.
    #[n(1)]
    pub incarnation: u64,
    /// The receiver is suspected in this incarnation of it, and may refute.
    #[n(2)]
    pub suspected: Option<u64>,
}

/// Answers [`Ping`] on the lane it came on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ack {
    /// The ping's.
    #[n(0)]
    pub seq: u32,
    /// The answerer's incarnation.
    #[n(1)]
    pub incarnation: u64,
}

/// Asks a peer to find out whether a neighbour of its is there.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PingReq {
    /// Drawn at random; comes back in the answer, under the target's signature.
    #[n(0)]
    pub nonce: u64,
    /// Who.
    #[n(1)]
    pub target: NodeId,
}

/// Answers [`PingReq`]: the relay is there, and has no sign of the target.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Nack {
    /// The request's.
    #[n(0)]
    pub nonce: u64,
}

/// A relay passes a [`PingReq`] on to its target.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RelayedPing {
    /// The request's.
    #[n(0)]
    pub nonce: u64,
    /// Who wants to know.
    #[n(1)]
    pub requester: NodeId,
}

/// Answers [`RelayedPing`]; the relay hands it to the requester unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Alive {
    /// The request's.
    #[n(0)]
    pub nonce: u64,
    /// Who is there.
    #[n(1)]
    pub who: NodeId,
    /// Who wanted to know.
    #[n(2)]
    pub requester: NodeId,
    /// The incarnation of who is there.
    #[n(3)]
    pub incarnation: u64,
    /// By who is there, over all of the above.
    #[n(4)]
    #[cbor(with = "minicbor::bytes")]
    pub signature: [u8; 64],
}

/// Tells another neighbour of a peer that the peer is suspected. A hint to look, never a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Suspect {
    /// Who is suspected.
    #[n(0)]
    pub peer: NodeId,
    /// In which incarnation of it.
    #[n(1)]
    pub incarnation: u64,
}

/// Tells a neighbour who else is a neighbour of the sender in the network's overlay.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Neighbors {
    /// The sender's incarnation.
    #[n(0)]
    pub incarnation: u64,
    /// All of them; replaces what was said before.
    #[n(1)]
    #[cbor(default)]
    pub peers: Vec<PeerAddr>,
}
