//! The certificates this node has verified, by their hash: each is verified once, and looked up ever after.
//!
//! Invariants: nothing unverified is in here. At most [`MAX_CERTIFICATES`] are known, the bytes of at most [`MAX_KEPT`] of them
//! are kept, and the revocations of at most [`MAX_REVOKERS`] agents are remembered; where there are more, the least
//! recently used eighth goes.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::certificate::{AgentCertificate, CertificateError, MAX_LIFE_MS, MAX_REVOKED, Revoked, in_time};
use super::{AgentId, NodeId};
use crate::crypto::Crypto;
use crate::time::UnixMillis;
use crate::wire::CertificateRef;

/// Most certificates known: some 250 bytes each (a guess: the members of a large network that one node hears).
pub const MAX_CERTIFICATES: usize = 16_384;
/// Most certificates whose bytes are kept, for others that ask, and for their prekeys: some 7 kB each.
pub const MAX_KEPT: usize = 1_024;
/// Most agents whose revocations are remembered: some 40 bytes for each node, [`MAX_REVOKED`] of them at most. Those of the network's
/// records are half of them at most, and stay.
pub const MAX_REVOKERS: usize = 2_048;

/// What a verified certificate says, without keys and signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The agent.
    pub agent: AgentId,
    /// The node that speaks for it, if it says so itself.
    pub node: NodeId,
    /// The certificate's number.
    pub serial: u64,
    /// When it was issued.
    pub issued_ms: u64,
    /// Until when it holds.
    pub expires_ms: u64,
}

struct Held {
    binding: Binding,
    revoked: bool,
    bytes: Option<Bytes>,
    used: u64,
}

struct Revoker {
    nodes: Vec<Revoked>,
    /// After this nothing they revoke can hold, so they go.
    until_ms: u64,
    used: u64,
    /// A record of the network says so, too.
    recorded: bool,
}

/// Verified certificates.
#[derive(Default)]
pub struct Certificates {
    known: BTreeMap<CertificateRef, Held>,
    /// The certificate with the highest number for each agent and node.
    newest: BTreeMap<(AgentId, NodeId), CertificateRef>,
    revokers: BTreeMap<AgentId, Revoker>,
    kept: usize,
    /// What was revoked while it was known.
    lost: Vec<Binding>,
    /// Counts uses: admissions and mentions.
    clock: u64,
}

impl Certificates {
    /// Takes in a certificate: verified, unless it is known. Of what is refused nothing stays.
    pub fn admit(&mut self, bytes: &Bytes, now: UnixMillis, crypto: &dyn Crypto) -> Result<Binding, CertificateError> {
        let full = AgentCertificate::id_of(bytes)?;
        let id = CertificateRef::from(full);
        if let Some(known) = self.binding(id, now)
            && self.known.get(&id).is_some_and(|h| h.bytes.is_some() || known.is_err())
        {
            return known;
        }
        let certificate = AgentCertificate::parse_as(bytes.clone(), full)?;
        let said = certificate.statement();
        if self.is_revoked(&said.agent, &said.node, said.serial) {
            return Err(CertificateError::Revoked);
        }
        certificate.check(now, crypto)?;
        let binding = Binding {
            agent: said.agent,
            node: said.node,
            serial: said.serial,
            issued_ms: said.issued_ms,
            expires_ms: said.expires_ms,
        };
        self.insert(id, binding, bytes.clone());
        self.revoke(binding.agent, &said.revoked, now);
        self.binding(id, now).unwrap_or(Ok(binding))
    }

    /// What the certificate with this hash says, or why it does not hold; `None` if it is not known here.
    pub fn binding(&self, id: impl Into<CertificateRef>, now: UnixMillis) -> Option<Result<Binding, CertificateError>> {
        let held = self.known.get(&id.into())?;
        let b = held.binding;
        Some(match held.revoked {
            true => Err(CertificateError::Revoked),
            false => in_time(b.issued_ms, b.expires_ms, now).map(|()| b),
        })
    }

    /// The agent of `node` by the certificate with this hash, which the node itself named; `None` if it is not known here.
    pub fn agent(
        &self,
        id: impl Into<CertificateRef>,
        node: &NodeId,
        now: UnixMillis,
    ) -> Option<Result<AgentId, CertificateError>> {
        Some(self.binding(id, now)?.and_then(|b| match b.node == *node {
            true => Ok(b.agent),
            false => Err(CertificateError::Other),
        }))
    }

    /// The certificate itself, if its bytes are kept and it holds.
    pub fn certificate(&self, id: impl Into<CertificateRef>, now: UnixMillis) -> Option<AgentCertificate> {
        AgentCertificate::parse(self.bytes(id, now)?).ok()
    }

    /// A certificate's bytes, for somebody who asks, if they are kept and it holds.
    pub fn bytes(&self, id: impl Into<CertificateRef>, now: UnixMillis) -> Option<Bytes> {
        let id = id.into();
        self.binding(id, now)?.ok()?;
        self.known.get(&id)?.bytes.clone()
    }

    /// Whether it is known, holding or not.
    pub fn knows(&self, id: impl Into<CertificateRef>) -> bool {
        self.known.contains_key(&id.into())
    }

    /// Its serial number, if it is known.
    pub(super) fn serial(&self, id: CertificateRef) -> Option<u64> {
        self.known.get(&id).map(|h| h.binding.serial)
    }

    /// What was revoked since this was last asked: certificates that were known and held.
    pub(super) fn take_revoked(&mut self) -> Vec<Binding> {
        std::mem::take(&mut self.lost)
    }

    /// Somebody names it: it is not among those that go first. Whether it is known.
    pub fn touch(&mut self, id: impl Into<CertificateRef>) -> bool {
        self.clock += 1;
        self.known.get_mut(&id.into()).map(|held| held.used = self.clock).is_some()
    }

    /// The nodes of an agent, by its newest certificates that hold.
    pub fn nodes(&self, agent: &AgentId, now: UnixMillis) -> Vec<(NodeId, CertificateRef)> {
        let range = (*agent, NodeId([0; 32]))..=(*agent, NodeId([255; 32]));
        let holds = |id: &CertificateRef| {
            let held = self.known.get(id);
            held.is_some_and(|h| !h.revoked && in_time(h.binding.issued_ms, h.binding.expires_ms, now).is_ok())
        };
        self.newest.range(range).filter(|(_, id)| holds(id)).map(|((_, node), id)| (*node, *id)).collect()
    }

    /// Whether the agent has revoked its certificates for `node` up to `serial`, as far as is known here.
    pub fn is_revoked(&self, agent: &AgentId, node: &NodeId, serial: u64) -> bool {
        let nodes = self.revokers.get(agent).map_or(&[][..], |r| &r.nodes);
        nodes.iter().any(|r| r.node == *node && serial <= r.up_to)
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// A record of the network says what an agent has revoked, or does so no longer: while it does, that is not forgotten.
    pub(super) fn record(&mut self, agent: AgentId, recorded: bool) {
        if let Some(r) = self.revokers.get_mut(&agent) {
            r.recorded = recorded;
        }
    }

    fn insert(&mut self, id: CertificateRef, binding: Binding, bytes: Bytes) {
        if self.known.len() >= MAX_CERTIFICATES && !self.known.contains_key(&id) {
            let oldest = eighth(self.known.values().map(|h| h.used));
            let (known, newest) = (&mut self.known, &mut self.newest);
            known.retain(|_, h| h.used > oldest);
            newest.retain(|_, id| known.contains_key(id));
            self.kept = self.known.values().filter(|h| h.bytes.is_some()).count();
        }
        if self.kept >= MAX_KEPT {
            let oldest = eighth(self.known.values().filter(|h| h.bytes.is_some()).map(|h| h.used));
            self.known.values_mut().filter(|h| h.used <= oldest).for_each(|h| h.bytes = None);
            self.kept = self.known.values().filter(|h| h.bytes.is_some()).count();
        }
        self.clock += 1;
        let held = Held { binding, revoked: false, bytes: Some(bytes), used: self.clock };
        let before = self.known.insert(id, held);
        self.kept += usize::from(before.is_none_or(|h| h.bytes.is_none()));
        let newest = self.newest.entry((binding.agent, binding.node)).or_insert(id);
        if self.known.get(newest).is_none_or(|h| h.binding.serial <= binding.serial) {
            *newest = id;
        }
    }

    /// An agent says that nodes speak for it no longer.
    pub(super) fn revoke(&mut self, agent: AgentId, nodes: &[Revoked], now: UnixMillis) {
        if nodes.is_empty() {
            return;
        }
        self.revokers.retain(|_, r| r.until_ms > now.0);
        if self.revokers.len() >= MAX_REVOKERS && !self.revokers.contains_key(&agent) {
            let oldest = eighth(self.revokers.values().filter(|r| !r.recorded).map(|r| r.used));
            self.revokers.retain(|_, r| r.recorded || r.used > oldest);
        }
        let r =
            self.revokers.entry(agent).or_insert(Revoker { nodes: Vec::new(), until_ms: 0, used: 0, recorded: false });
        (r.used, r.until_ms) = (self.clock, now.0.saturating_add(MAX_LIFE_MS));
        for new in nodes {
            if let Some(old) = r.nodes.iter_mut().find(|old| old.node == new.node) {
                old.up_to = old.up_to.max(new.up_to);
                continue;
            }
            // No certificate revokes more at once, so what is forgotten was left out of a later one.
            if r.nodes.len() >= MAX_REVOKED {
                r.nodes.remove(0);
            }
            r.nodes.push(*new);
        }
        let nodes = &r.nodes;
        let hit = |b: &Binding| nodes.iter().any(|r| r.node == b.node && b.serial <= r.up_to);
        for h in self.known.values_mut().filter(|h| !h.revoked && h.binding.agent == agent && hit(&h.binding)) {
            h.revoked = true;
            self.lost.push(h.binding);
        }
    }
}

/// The largest of the least eighth.
pub(super) fn eighth(of: impl Iterator<Item = u64>) -> u64 {
    let mut all: Vec<u64> = of.collect();
    let at = all.len() / 8;
    if all.is_empty() { 0 } else { *all.select_nth_unstable(at).1 }
}
