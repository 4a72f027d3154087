//! What nodes say to each other about capabilities to publish (`pubsub/policy/`).

use minicbor::{Decode, Encode};

use crate::identity::TopicId;

/// Most capabilities asked for in one message: as many as a neighbour may send at once without filling a lane (84 kB).
pub const MAX_CAPABILITIES_ASKED: usize = 16;

/// The first 16 bytes of a capability's hash: enough that nobody can make another capability with the same ones; only its
/// owner could make both, by some 2^64 tries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct CapabilityRef(#[cbor(with = "minicbor::bytes")] pub [u8; 16]);

impl std::fmt::Debug for CapabilityRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CapabilityRef({})", crate::identity::hex(&self.0[..5]))
    }
}

/// Asks a neighbour on a topic for capabilities that batches it brought name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AskCapabilities {
    /// Of which topic.
    #[n(0)]
    pub topic: TopicId,
    /// At most [`MAX_CAPABILITIES_ASKED`].
    #[n(1)]
    pub capabilities: Vec<CapabilityRef>,
}

/// One capability; its bytes are the frame's payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Capability {}
