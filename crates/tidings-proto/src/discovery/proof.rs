//! The certificates behind statements.

use bytes::Bytes;

use super::{About, Whereabouts};
use crate::identity::MAX_CERTIFICATE;
use crate::layer::Cx;

/// Whether the agent of a statement wants the node: by a certificate that is known, or that comes with it and is verified now.
/// A topic's statement needs none.
pub(super) fn proven(cx: &mut Cx<'_>, w: &Whereabouts, certificate: &Bytes) -> bool {
    let About::Agent(agent, id) = w.about() else { return true };
    let (now, node) = (cx.now.wall, w.node());
    if certificate.len() > MAX_CERTIFICATE {
        return false;
    }
    if !certificate.is_empty() && cx.certificates.agent(id, &node, now).is_none() {
        // What is wrong with it shows below.
        let _ = cx.certificates.admit(certificate, now, cx.crypto);
    }
    cx.certificates.agent(id, &node, now) == Some(Ok(agent))
}
