//! What nodes say to each other to prove that one can be reached (`discovery/reach.rs`).

use minicbor::{Decode, Encode};

use crate::identity::PeerAddr;

/// Asks a neighbour that dialed this node to attest where it reached it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AskReach {
    /// Where the asker takes itself to be.
    #[n(0)]
    pub me: PeerAddr,
}

/// Attests that the sender dialed the receiver at an address and reached it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Reached {
    /// Whom, and where: one address.
    #[n(0)]
    pub you: PeerAddr,
    /// When, in milliseconds of the sender's wall clock.
    #[n(1)]
    pub at_ms: u64,
    /// The sender's, over both.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub signature: [u8; 64],
}
