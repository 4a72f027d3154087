//! The own certificate: issued at the first start, kept, renewed before anybody could mind, and said to all.
//!
//! One record, `agent/own`: the certificate and what opens boxes for its prekeys and earlier ones. A certificate is named to
//! others only once that record is stored, so that nobody seals to a prekey whose secret a crash took. Where storage
//! fails it is named all the same: a node without a disk has an agent, too.
//!
//! Renewing changes the prekey and the serial number. Old prekeys' secrets are kept as long as their certificates hold,
//! for those who have not heard of the new one.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::certificate::{AgentCertificate, CLOCKS_MS, MAX_REVOKED, Prekey, Revoked, Statement};
use super::layer::{Identity, Timer, storage_failed};
use super::{AgentId, CertificateId, NodeId};
use crate::crypto::BoxSecret;
use crate::io::{Event, Output, StoreError, StoreTicket};
use crate::layer::{Cx, Signal, TimerKey};
use crate::time::Span;
use crate::wire::CertificateRef;

const HOUR_MS: u64 = 3_600_000;
/// How long our certificates hold: a month, for nodes that are rarely there.
const LIFE_MS: u64 = 30 * 24 * HOUR_MS;
/// How old a certificate may get: what is sealed to a prekey can be opened by whoever takes its secret within this and
/// [`LIFE_MS`] (a week, between the days that messengers use and what it costs to spread 7 kB).
const RENEW_MS: u64 = 7 * 24 * HOUR_MS;
/// How often that is looked at: clocks may be set meanwhile.
const LOOK: Span = Span::from_secs(3_600);
/// Most secrets kept: those of a month's certificates, and some for renewals by hand.
const SECRETS: usize = 8;

const KEY: &[u8] = b"agent/own";
/// It, and what is remembered of others.
const ALL: &[u8] = b"agent/";
/// Tells this layer's tickets from those of others.
const OURS: u64 = 1 << 62;
const LOAD: StoreTicket = StoreTicket(OURS);

/// Whether a storage ticket is this layer's.
pub(crate) fn is_ours(ticket: StoreTicket) -> bool {
    ticket.0 >> 62 == 1
}

/// What is kept.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Kept {
    #[cbor(n(0), with = "minicbor::bytes")]
    certificate: Vec<u8>,
    #[n(1)]
    secrets: Vec<KeptSecret>,
}

#[derive(Clone, Encode, Decode)]
#[cbor(map)]
struct KeptSecret {
    #[n(0)]
    id: u64,
    #[cbor(n(1), with = "minicbor::bytes")]
    secret: Vec<u8>,
    /// Nothing is sealed to it after this.
    #[n(2)]
    until_ms: u64,
}

/// The own certificate and what belongs to it.
#[derive(Default)]
pub(super) struct Own {
    pub(super) agent: Option<AgentId>,
    /// The newest, named to others or about to be.
    certificate: Option<AgentCertificate>,
    secrets: Vec<KeptSecret>,
    /// The agent's other nodes that speak for it no longer.
    pub(super) revoked: Vec<Revoked>,
    /// Being stored: the ticket of it.
    storing: Option<StoreTicket>,
    tickets: u64,
    /// The agent has revoked this node.
    pub(super) cast_out: bool,
}

impl Own {
    /// Names one more writing.
    pub(super) fn ticket(&mut self) -> StoreTicket {
        self.tickets += 1;
        StoreTicket(OURS + self.tickets)
    }
}

impl Identity {
    /// Asks for what was kept. A node without an agent's key keeps nothing.
    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>) {
        self.own.agent = AgentId::own(cx.crypto);
        if self.own.agent.is_some() {
            cx.output(Output::Load { ticket: LOAD, prefix: Bytes::from_static(ALL) });
        }
    }

    /// What was kept is here. A certificate of another agent, or one that makes no sense, is passed over.
    pub(super) fn recall(&mut self, cx: &mut Cx<'_>, records: &[(Bytes, Bytes)]) {
        if self.own.certificate.is_some() || self.own.agent.is_none() {
            return;
        }
        let kept = records.iter().find(|(k, _)| k.as_ref() == KEY).map(|(_, v)| v);
        let kept = kept.and_then(|value| match minicbor::decode::<Kept>(value) {
            Ok(kept) => Some(kept),
            Err(_) => {
                storage_failed(cx, StoreError("the record of the own certificate makes no sense".into()));
                None
            }
        });
        if let Some(kept) = kept
            && let Ok(certificate) = AgentCertificate::parse(kept.certificate.into())
            && certificate.statement().node == cx.me
            && Some(certificate.statement().agent) == self.own.agent
        {
            self.own.secrets = kept.secrets;
            self.own.secrets.truncate(SECRETS);
            self.own.revoked.clone_from(&certificate.statement().revoked);
            self.own.certificate = Some(certificate);
        }
        self.see_to_renewal(cx);
        if self.own.storing.is_none() {
            self.adopt(cx);
        }
    }

    /// Issues a new certificate if there is none, or it is old, or a clock was wrong.
    pub(super) fn see_to_renewal(&mut self, cx: &mut Cx<'_>) {
        cx.deadlines.set(TimerKey::Identity(Timer::Renew), cx.now.mono + LOOK);
        let now = cx.now.wall.0;
        let fresh = self.own.certificate.as_ref().is_some_and(|c| {
            let s = c.statement();
            s.issued_ms <= now + CLOCKS_MS && now < s.issued_ms.saturating_add(RENEW_MS) && c.verify(cx.crypto).is_ok()
        });
        if !fresh {
            self.issue(cx);
        }
        self.publish_revocations(cx);
    }

    /// Issues a new certificate with a new prekey, and stores it.
    pub(super) fn issue(&mut self, cx: &mut Cx<'_>) {
        let Some(agent) = self.own.agent else { return };
        let now = cx.now.wall.0;
        let last = self.own.certificate.as_ref().map_or(0, |c| c.statement().serial);
        // It grows also where the record was lost, or an older one put back.
        let serial = now.max(last + 1);
        let mut seed = [0; 32];
        seed.chunks_mut(8).for_each(|c| c.copy_from_slice(&self.rng.next_u64().to_le_bytes()));
        let (key, secret) = cx.crypto.box_keypair(&seed);
        let statement = Statement {
            agent,
            node: cx.me,
            serial,
            issued_ms: now,
            expires_ms: now + LIFE_MS,
            prekeys: vec![Prekey { id: serial, key }],
            revoked: self.own.revoked.clone(),
        };
        let Some(certificate) = AgentCertificate::issue(statement, cx.crypto) else { return };
        let until_ms = now + LIFE_MS + CLOCKS_MS;
        self.own.secrets.retain(|s| s.until_ms > now);
        self.own.secrets.push(KeptSecret { id: serial, secret: secret.expose().to_vec(), until_ms });
        let surplus = self.own.secrets.len().saturating_sub(SECRETS);
        self.own.secrets.drain(..surplus);
        self.own.certificate = Some(certificate);
        self.store(cx);
    }

    fn store(&mut self, cx: &mut Cx<'_>) {
        let Some(certificate) = &self.own.certificate else { return };
        let kept = Kept { certificate: certificate.bytes().to_vec(), secrets: self.own.secrets.clone() };
        let Ok(value) = minicbor::to_vec(&kept) else { return };
        let ticket = self.own.ticket();
        self.own.storing = Some(ticket);
        cx.output(Output::Store { ticket, records: vec![(Bytes::from_static(KEY), Some(value.into()))] });
    }

    /// What was to be written is, or is not.
    pub(crate) fn on_stored(&mut self, cx: &mut Cx<'_>, ticket: StoreTicket, result: Result<(), StoreError>) {
        if let Err(error) = result {
            storage_failed(cx, error);
        }
        if self.own.storing == Some(ticket) {
            self.own.storing = None;
            self.adopt(cx);
        }
    }

    /// From now on the certificate is what this node names.
    fn adopt(&mut self, cx: &mut Cx<'_>) {
        let Some(certificate) = &self.own.certificate else { return };
        let id = CertificateRef::from(certificate.id());
        let secret = |s: &KeptSecret| (s.id, BoxSecret::from_bytes(&s.secret));
        cx.agents.secrets = self.own.secrets.iter().map(secret).collect();
        if self.own.cast_out || cx.agents.own == Some(id) {
            return;
        }
        // Ours, and issued just now or read back: it only fails by a clock that was set back far.
        let _ = cx.certificates.admit(certificate.bytes(), cx.now.wall, cx.crypto);
        cx.agents.own = Some(id);
        cx.agents.own_certificate = Some((certificate.id(), certificate.bytes().clone()));
        cx.signal(Signal::OwnCertificate);
        if self.told.is_empty() {
            let up: Vec<NodeId> = cx.links().all_up().collect();
            self.told.extend(up);
        }
        self.introduce_again(cx);
        self.publish_revocations(cx);
    }

    /// Certifies that a node of the agent speaks for it no longer, whatever was certified or will be.
    pub(super) fn revoke(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        if self.learn_revoked(&[Revoked { node, up_to: u64::MAX }]) {
            self.issue(cx);
        }
        self.publish_revocations(cx);
    }

    /// Whether one more node can be revoked, or is already.
    pub(crate) fn may_revoke(&self, node: &NodeId) -> bool {
        self.own.revoked.len() < MAX_REVOKED || self.own.revoked.iter().any(|r| r.node == *node)
    }

    /// A certificate of the own agent, issued on another of its nodes: what it revokes we say as well, so that it is
    /// heard wherever we are.
    pub(super) fn heed(&mut self, cx: &mut Cx<'_>, id: CertificateId) {
        let Some(theirs) = cx.certificates.certificate(id, cx.now.wall) else { return };
        let said = theirs.statement();
        if Some(said.agent) == self.own.agent && said.node != cx.me {
            self.heed_revoked(cx, &said.revoked);
            self.publish_revocations(cx);
        }
    }

    /// The own agent has revoked these, on another of its nodes or before.
    pub(super) fn heed_revoked(&mut self, cx: &mut Cx<'_>, revoked: &[Revoked]) {
        let serial = self.own.certificate.as_ref().map_or(0, |c| c.statement().serial);
        if revoked.iter().any(|r| r.node == cx.me && r.up_to >= serial) && !self.own.cast_out {
            (self.own.cast_out, cx.agents.cast_out) = (true, true);
            (cx.agents.own, cx.agents.own_certificate) = (None, None);
            cx.event(Event::CastOut);
            return;
        }
        let others: Vec<Revoked> = revoked.iter().filter(|r| r.node != cx.me).copied().collect();
        if !self.own.cast_out && self.learn_revoked(&others) {
            self.issue(cx);
        }
    }

    /// Whether any of it is new. Of too many, those with the lowest ids stay: the same on each of the agent's nodes.
    fn learn_revoked(&mut self, nodes: &[Revoked]) -> bool {
        let before = self.own.revoked.clone();
        for r in nodes {
            match self.own.revoked.iter_mut().find(|old| old.node == r.node) {
                Some(old) => old.up_to = old.up_to.max(r.up_to),
                None => self.own.revoked.push(*r),
            }
        }
        self.own.revoked.sort_unstable();
        self.own.revoked.truncate(MAX_REVOKED);
        self.own.revoked != before
    }
}
