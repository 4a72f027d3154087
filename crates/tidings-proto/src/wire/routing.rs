//! What relays carry (`routing/`).

use minicbor::{Decode, Encode};

use crate::crypto::SIGNATURE_LEN;
use crate::identity::NodeId;

/// Most relays that an envelope goes through.
pub const MAX_VIA: usize = 2;
/// Most passages that one receipt credits.
pub const MAX_CREDITS: usize = 16;

/// Names one passage of an envelope through relays; drawn at random, and says nothing of who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct PassageId(#[cbor(with = "minicbor::bytes")] pub [u8; 16]);

/// Something for a node that goes through relays. The payload: frames that the two would exchange on a link, one behind the other,
/// and the sender's signature.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Envelope {
    /// This passage.
    #[n(0)]
    pub id: PassageId,
    /// Who sends it.
    #[n(1)]
    pub from: NodeId,
    /// For whom.
    #[n(2)]
    pub to: NodeId,
    /// The relays it goes through, in this order: one at least, [`MAX_VIA`] at most.
    #[n(3)]
    pub via: Vec<NodeId>,
    /// 0 something to be answered by a receipt, 1 a receipt or another answer. Relays carry every kind.
    #[n(4)]
    #[cbor(default)]
    pub kind: u8,
    /// Links left, this one included. The one thing that relays write.
    #[n(5)]
    pub ttl: u8,
    /// When, by the sender's clock.
    #[n(6)]
    pub at_ms: u64,
    /// Messages in it.
    #[n(7)]
    #[cbor(default)]
    pub messages: u16,
    /// What the sender has to say for relays that brought it something.
    #[n(8)]
    pub credits: Option<Credits>,
}

/// The part of a receipt that relays may read: signed by itself, so that it can be shown to others without saying to whom the
/// receipt went.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Credits {
    /// When, by the receiver's clock.
    #[n(0)]
    pub at_ms: u64,
    /// At most [`MAX_CREDITS`].
    #[n(1)]
    pub list: Vec<Credit>,
    /// The receiver's.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub signature: [u8; SIGNATURE_LEN],
}

/// One passage that came.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Credit {
    /// Which.
    #[n(0)]
    pub id: PassageId,
    /// Through whom.
    #[n(1)]
    pub relays: Vec<NodeId>,
    /// Messages in it.
    #[n(2)]
    pub messages: u16,
    /// Its payload's length.
    #[n(3)]
    pub bytes: u32,
}

/// A relay has taken a passage, or has not: said to whom it had it from.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RelayAck {
    /// Which.
    #[n(0)]
    pub id: PassageId,
    /// 0 taken; 1 its queue is full; 2 its sender sends too much; 3 it knows no way on.
    #[n(1)]
    #[cbor(default)]
    pub why: u8,
    /// How much of what it can carry it carries: 255 is all.
    #[n(2)]
    #[cbor(default)]
    pub load: u8,
}

pub(super) fn envelope_ok(m: &Envelope) -> bool {
    let list = |c: &Credits| {
        !c.list.is_empty()
            && c.list.len() <= MAX_CREDITS
            && c.list.iter().all(|c| !c.relays.is_empty() && c.relays.len() <= MAX_VIA)
    };
    !m.via.is_empty() && m.via.len() <= MAX_VIA && m.credits.as_ref().is_none_or(list)
}

/// Asks a relay to keep the link by which it finds this node for a while longer, or gives that back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Reserve {
    /// Whether it is to be kept.
    #[n(0)]
    #[cbor(default)]
    pub hold: bool,
}

/// What a relay does about it, also when nobody has asked anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Reserved {
    /// 0 it keeps it; 1 it keeps as many as it can; 2 it is a relay no longer.
    #[n(0)]
    #[cbor(default)]
    pub why: u8,
    /// How busy it is, as in [`RelayAck`].
    #[n(1)]
    #[cbor(default)]
    pub load: u8,
}
