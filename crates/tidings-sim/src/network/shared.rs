//! One certificate, one piece of memory: a thousand nodes that keep the same ones would not fit otherwise.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidings_proto::identity::{AgentCertificate, CertificateId};
use tidings_proto::wire::{Certificate, Frame, Message};

/// Frames that carry a certificate, whole, by its hash.
#[derive(Default)]
pub(super) struct Shared(BTreeMap<CertificateId, Bytes>);

impl Shared {
    /// A frame as its receiver sees it; that of a certificate seen before in the memory it has already.
    pub(super) fn whole(&mut self, frame: &Frame) -> Bytes {
        if frame.payload.is_empty() || frame.head.get(1) != Some(&Message::from(Certificate {}).tag()) {
            return frame.to_bytes();
        }
        let Ok(id) = AgentCertificate::id_of(&frame.payload) else { return frame.to_bytes() };
        let known = self.0.entry(id).or_insert_with(|| frame.to_bytes());
        // Of one hash there may be several signatures, and forged ones.
        if known.ends_with(&frame.payload) && known.len() == frame.len() { known.clone() } else { frame.to_bytes() }
    }
}
