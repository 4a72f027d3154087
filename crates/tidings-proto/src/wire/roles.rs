//! What a node says to a relay that carried for it (`roles/`).

use minicbor::{Decode, Encode};

/// So much the receiver of this carried for its sender, by what it weighs now. The payload is the sender's signature, over both nodes
/// and all of this.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct VouchFor {
    /// Messages.
    #[n(0)]
    pub messages: u64,
    /// Bytes.
    #[n(1)]
    pub bytes: u64,
    /// When, by the sender's clock.
    #[n(2)]
    pub at_ms: u64,
}
