//! What two nodes say to each other in messages meant for one of them (`messaging/`).

use minicbor::{Decode, Encode};

use super::CertificateRef;
use crate::identity::NodeId;

/// Opens a session for what the sender has to say to the receiver. The payload: what is sealed to the receiver's prekey, the
/// sender's signature, and the certificate of the sender's agent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OpenSession {
    /// Names the session among the sender's; drawn at random.
    #[n(0)]
    pub session: u64,
    /// For whom.
    #[n(1)]
    pub to: NodeId,
    /// The sender's agent's certificate.
    #[n(2)]
    pub certificate: CertificateRef,
    /// To which of the receiver's prekeys it is sealed.
    #[n(3)]
    pub prekey: u64,
    /// The run of the sender that numbers the envelopes.
    #[n(4)]
    pub epoch: u64,
    /// When, by the sender's clock; each session of a sender is later than the one before.
    #[n(5)]
    pub at_ms: u64,
}

/// Some envelopes, sealed. The payload: the ciphertext and the sender's signature.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Envelopes {
    /// In which session.
    #[n(0)]
    pub session: u64,
    /// The how-manieth frame of the session, from 0.
    #[n(1)]
    pub frame: u64,
    /// The number of the first envelope, from 1; the others follow.
    #[n(2)]
    pub first: u64,
}

/// The receiver has all envelopes of an epoch before this number. The payload is its signature.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// Of which session.
    #[n(0)]
    pub session: u64,
    /// The first number it does not have.
    #[n(1)]
    pub next: u64,
}

/// The receiver takes nothing more in this session.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CloseSession {
    /// Which.
    #[n(0)]
    pub session: u64,
    /// 1 it is not known, 2 it is older than what was here, 3 the sender's agent is not proven, 4 the prekey is not known, 5
    /// the inbox is full, 6 the receiver speaks for no agent.
    #[n(1)]
    #[cbor(default)]
    pub why: u8,
    /// If it is older: when the last one was opened, and its epoch.
    #[n(2)]
    #[cbor(default)]
    pub at_ms: u64,
    #[n(3)]
    #[cbor(default)]
    #[expect(missing_docs, reason = "said above")]
    pub epoch: u64,
}
