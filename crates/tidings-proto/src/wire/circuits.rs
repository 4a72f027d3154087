//! What the two ends of a circuit say (`circuits/`): inside envelopes only.

use minicbor::{Decode, Encode};

/// Opens a circuit. The payload: a one-time key for boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OpenCircuit {
    /// Names the circuit; drawn at random.
    #[n(0)]
    pub session: u64,
}

/// It is open. The payload: a box with its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CircuitOpened {
    /// Which.
    #[n(0)]
    pub session: u64,
}

/// A piece of what one end says on its links. The payload: sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CircuitPiece {
    /// Of which circuit.
    #[n(0)]
    pub session: u64,
    /// Which, from 0.
    #[n(1)]
    #[cbor(default)]
    pub piece: u64,
}

/// All pieces before `next` are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CircuitAck {
    /// Of which circuit.
    #[n(0)]
    pub session: u64,
    /// The first that is not.
    #[n(1)]
    #[cbor(default)]
    pub next: u64,
}

/// The circuit is over, or there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CloseCircuit {
    /// Which.
    #[n(0)]
    pub session: u64,
    /// A [`LinkRefusal`](super::LinkRefusal), as a link would say it.
    #[n(1)]
    #[cbor(default)]
    pub why: u8,
    /// Who says it has sent all pieces before this one.
    #[n(2)]
    #[cbor(default)]
    pub next: u64,
}
