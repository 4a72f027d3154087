//! The table of agents: whose certificate each node names, and what is known of it. Written by [`super::layer::Identity`], read by
//! everybody.
//!
//! A node names its certificate itself: in the batches it signs, or over its own link. What it names is looked up here each
//! time it matters, so that expiry and revocation are in force at once.
//!
//! Invariants: at most [`MAX_NAMED`] nodes are remembered, those named longest ago go first; an agent counts as proven only
//! through a verified certificate that is for this node, holds now, and is named by the node.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::certificate::CertificateError;
use super::{AgentId, CertificateId, Certificates, NodeId};
use crate::crypto::BoxSecret;
use crate::id_map::IdMap;
use crate::time::{Span, Time, UnixMillis};
use crate::wire::CertificateRef;

/// Most nodes whose certificates are remembered, as many as certificates.
pub const MAX_NAMED: usize = super::MAX_CERTIFICATES;
/// Most certificates remembered that could not be had.
pub(super) const LACKED: usize = 1_024;

/// What is known of the agent that a node speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The node names no certificate.
    None,
    /// It names one that is being asked for.
    Pending,
    /// Its agent, by a certificate that holds.
    Proven(AgentId),
    /// It names one that nobody had.
    Lacking,
    /// It names one that does not hold.
    Refused(CertificateError),
}

impl Proof {
    /// The agent, if it is proven.
    pub fn agent(&self) -> Option<AgentId> {
        match self {
            Proof::Proven(agent) => Some(*agent),
            _ => None,
        }
    }
}

/// What a node names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) certificate: CertificateRef,
    /// What it named before, while the new one is not here yet.
    pub(super) before: Option<CertificateRef>,
    /// In which of its epochs it named it; 0 over its link.
    pub(super) epoch: u64,
    /// How often it changed it since then.
    pub(super) changes: u8,
    pub(super) since: Time,
    pub(super) used: u64,
}

/// Who speaks for whom.
#[derive(Default)]
pub struct Agents {
    pub(super) own: Option<CertificateRef>,
    /// The agent has revoked this node.
    pub(super) cast_out: bool,
    /// The own certificate, whole.
    pub(super) own_certificate: Option<(CertificateId, Bytes)>,
    /// What opens boxes for this node, by the prekeys' ids; newest last.
    pub(super) secrets: Vec<(u64, BoxSecret)>,
    pub(super) named: IdMap<Named>,
    /// What is being asked for, and whether it is still to be expected soon.
    pub(super) pending: BTreeMap<CertificateRef, bool>,
    /// What could not be had, until when nobody is asked again, and what was wrong with it.
    pub(super) lacked: BTreeMap<CertificateRef, (Time, Option<CertificateError>)>,
    clock: u64,
}

impl Agents {
    /// The certificate of this node's own agent, for what it signs to name; `None` while it has none.
    pub fn own(&self) -> Option<CertificateRef> {
        self.own
    }

    /// Whether the agent has revoked this node.
    pub fn is_cast_out(&self) -> bool {
        self.cast_out
    }

    /// The secret to the prekey with this id of ours, if it is not too old.
    pub fn prekey_secret(&self, id: u64) -> Option<&BoxSecret> {
        self.secrets.iter().find(|(n, _)| *n == id).map(|(_, secret)| secret)
    }

    /// The certificate of this node's own agent, whole, once it is named to others.
    pub fn own_certificate(&self) -> Option<&(CertificateId, Bytes)> {
        self.own_certificate.as_ref()
    }

    /// The agent of `node`, by what it named last.
    pub fn of_node(&self, certificates: &Certificates, node: &NodeId, now: UnixMillis) -> Proof {
        let Some(named) = self.named.get(node) else { return Proof::None };
        match self.by_name(certificates, node, named.certificate, now) {
            Proof::Pending => match named.before.map(|c| self.by_name(certificates, node, c, now)) {
                Some(Proof::Proven(agent)) => Proof::Proven(agent),
                _ => Proof::Pending,
            },
            known => known,
        }
    }

    /// The agent of the author of something signed in `epoch`, which names `certificate` or, if it does not, is one of many
    /// of which others name it.
    pub fn of_author(
        &self,
        certificates: &Certificates,
        author: &NodeId,
        epoch: u64,
        certificate: Option<CertificateRef>,
        now: UnixMillis,
    ) -> Proof {
        let named = self.named.get(author);
        match (named, certificate) {
            (Some(n), Some(c)) if n.certificate == c => self.of_node(certificates, author, now),
            (_, Some(c)) => self.by_name(certificates, author, c, now),
            (Some(n), None) if n.epoch == epoch => self.of_node(certificates, author, now),
            _ => Proof::None,
        }
    }

    /// The certificate that would tell whose agent signed this, if it is being asked for and may come soon.
    pub(crate) fn pending_of(
        &self,
        author: &NodeId,
        epoch: u64,
        certificate: Option<CertificateRef>,
    ) -> Option<CertificateRef> {
        let named = self.named.get(author).filter(|n| n.epoch == epoch).map(|n| n.certificate);
        certificate.or(named).filter(|c| self.pending.get(c) == Some(&true))
    }

    /// What is known of the certificate that `node` names.
    pub fn by_name(
        &self,
        certificates: &Certificates,
        node: &NodeId,
        certificate: CertificateRef,
        now: UnixMillis,
    ) -> Proof {
        match certificates.agent(certificate, node, now) {
            Some(Ok(agent)) => Proof::Proven(agent),
            Some(Err(why)) => Proof::Refused(why),
            None if self.pending.contains_key(&certificate) => Proof::Pending,
            None => match self.lacked.get(&certificate) {
                Some((_, Some(why))) => Proof::Refused(*why),
                _ => Proof::Lacking,
            },
        }
    }

    /// Whether it is news that `node` names this: also while it is being asked for, of whoever brings it.
    pub(crate) fn is_news(
        &self,
        certificates: &Certificates,
        node: &NodeId,
        epoch: u64,
        certificate: CertificateRef,
    ) -> bool {
        let same = self.named.get(node).is_some_and(|n| n.certificate == certificate && n.epoch >= epoch);
        !(same && certificates.knows(certificate))
    }

    /// Remembers that `node` names this. What it named before stays until the new one is here.
    /// Returns how many nodes were forgotten for it.
    pub(super) fn note(
        &mut self,
        certificates: &Certificates,
        node: NodeId,
        epoch: u64,
        certificate: CertificateRef,
        now: Time,
        a_while: Span,
    ) -> usize {
        self.clock += 1;
        let clock = self.clock;
        let mut forgotten = 0;
        if self.named.len() >= MAX_NAMED && !self.named.contains_key(&node) {
            let oldest = super::certificates::eighth(self.named.iter().map(|(_, n)| n.used));
            let before = self.named.len();
            self.named.retain(|_, n| n.used > oldest);
            forgotten = before - self.named.len();
        }
        let fresh = Named { certificate, before: None, epoch, changes: 0, since: now, used: clock };
        let n = self.named.get_or_insert_with(node, || fresh);
        n.used = clock;
        n.epoch = n.epoch.max(epoch);
        if n.certificate != certificate {
            // The one that was proven, not one that never came.
            if certificates.knows(n.certificate) {
                n.before = Some(n.certificate);
            }
            n.certificate = certificate;
            if now >= n.since + a_while {
                (n.changes, n.since) = (0, now);
            }
            n.changes = n.changes.saturating_add(1);
        }
        forgotten
    }

    /// Nobody had this, or what was had does not hold.
    pub(super) fn lack(&mut self, certificate: CertificateRef, why: Option<CertificateError>, now: Time, wait: Span) {
        if self.lacked.len() >= LACKED {
            self.lacked.retain(|_, (until, _)| *until > now);
            // Those to be asked for again first are forgotten first.
            if self.lacked.len() >= LACKED
                && let Some(soonest) = self.lacked.iter().min_by_key(|(_, (until, _))| *until).map(|(c, _)| *c)
            {
                self.lacked.remove(&soonest);
            }
        }
        self.lacked.insert(certificate, (now + wait, why));
    }
}
