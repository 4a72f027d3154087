//! Certificates behind statements: this node's own, and those of others.

use bytes::Bytes;

use super::{About, Whereabouts};
use crate::identity::{AgentCertificate, AgentId, CertificateId, MAX_CERTIFICATE, Statement};
use crate::layer::Cx;
use crate::time::Span;

/// The life of a certificate that is issued here.
const CERTIFIED: Span = Span::from_secs(30 * 24 * 3_600);

/// Whether the agent of a statement wants the node: by a certificate that is known, or that comes with it and is verified now.
/// A topic's statement needs none.
pub(super) fn proven(cx: &mut Cx<'_>, w: &Whereabouts, certificate: &Bytes) -> bool {
    let About::Agent(agent, id) = w.about() else { return true };
    let (now, node) = (cx.now.wall, w.node());
    if certificate.len() > MAX_CERTIFICATE {
        return false;
    }
    if !certificate.is_empty() && cx.certificates.agent(&id, &node, now).is_none() {
        // What is wrong with it shows below.
        let _ = cx.certificates.admit(certificate, now, cx.crypto);
    }
    cx.certificates.agent(&id, &node, now) == Some(Ok(agent))
}

/// The certificate by which this node speaks for its agent: the newest there is, or one issued now.
pub(super) fn own_certificate(cx: &mut Cx<'_>, agent: AgentId) -> Option<(CertificateId, Bytes)> {
    let now = cx.now.wall;
    let newest = cx.certificates.nodes(&agent, now).into_iter().find(|(node, _)| *node == cx.me);
    if let Some((_, id)) = newest
        && let Some(bytes) = cx.certificates.bytes(&id, now)
    {
        return Some((id, bytes));
    }
    let statement = Statement {
        agent,
        node: cx.me,
        serial: now.0,
        issued_ms: now.0,
        expires_ms: now.0.saturating_add(CERTIFIED.as_millis()),
        prekeys: Vec::new(),
        revoked: Vec::new(),
    };
    let issued = AgentCertificate::issue(statement, cx.crypto)?;
    cx.certificates.admit(issued.bytes(), now, cx.crypto).ok()?;
    Some((issued.id(), issued.bytes().clone()))
}
