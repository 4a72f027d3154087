//! What nodes say to each other about agents' certificates (`identity/`).

use minicbor::{Decode, Encode};

use crate::identity::CertificateId;

/// Most certificates asked for or refused in one message (a frame of some 1200 bytes).
pub const MAX_CERTIFICATES_ASKED: usize = 64;

/// The first 16 bytes of a certificate's hash: enough that nobody can make another certificate with the same ones; only
/// the agent of both could, by some 2^64 tries, and both would be its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct CertificateRef(#[cbor(with = "minicbor::bytes")] pub [u8; 16]);

impl std::fmt::Debug for CertificateRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CertificateRef({})", crate::identity::hex(&self.0[..5]))
    }
}

impl From<CertificateId> for CertificateRef {
    fn from(id: CertificateId) -> Self {
        let mut short = [0; 16];
        short.copy_from_slice(&id.0[..16]);
        CertificateRef(short)
    }
}

impl From<&CertificateId> for CertificateRef {
    fn from(id: &CertificateId) -> Self {
        CertificateRef::from(*id)
    }
}

/// "This is my agent's certificate": said to each neighbour once, and again when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Certified {
    /// Which.
    #[n(0)]
    pub certificate: CertificateRef,
}

/// Asks for certificates. One that the peer does not have yet, but has asked for itself, it sends when it comes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AskCertificates {
    /// At most [`MAX_CERTIFICATES_ASKED`].
    #[n(0)]
    pub certificates: Vec<CertificateRef>,
}

/// One certificate; its bytes are the frame's payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Certificate {}

/// Answers [`AskCertificates`]: these cannot be had here.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NoCertificates {
    /// At most [`MAX_CERTIFICATES_ASKED`].
    #[n(0)]
    pub certificates: Vec<CertificateRef>,
}
