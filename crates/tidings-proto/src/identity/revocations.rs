//! Revocations as the whole network keeps them: one record an agent, in the set [`sets::REVOCATIONS`].
//!
//! A certificate says which of its agent's nodes speak for it no longer, but reaches only who asks for that certificate. The
//! record reaches every node, also one that comes later, by comparing. It is signed by the agent itself, with its ML-DSA key,
//! and means the same in every network.
//!
//! ```text
//! 0..2        length of the statement   u16 little endian
//! ..          statement                 CBOR map: 0 agent, 1 when (ms), 2 the revoked nodes
//! ..+1952     the agent's public key    ML-DSA-65
//! ..+3309     signature                 ML-DSA-65 over BLAKE3-derive-key("tidings 1 revocations", length u32 LE ‖ statement)
//! ```
//!
//! It is kept under the agent's id. Its version is its time, so that a copy of the key cannot put one where no later one of the
//! owner's gets past it for longer than clocks may be apart. Each of the agent's nodes adds what it knows and says the whole again
//! where the network's record lacks some of it; a union, so that they agree after that. More than [`MAX_REVOKED`] are not to be
//! had: those with the lowest ids stay, the same on each node.
//!
//! What no record can do: keep out whoever has a copy of the agent's key, who can revoke as well. And the set is bounded:
//! someone who makes agents by the thousand can fill it, so that others' revocations travel in certificates alone.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::certificate::{MAX_LIFE_MS, MAX_REVOKED, Revoked};
use super::layer::Identity;
use super::{AgentId, Proof, RecordKey};
use crate::crypto::{AGENT_KEY_LEN, AGENT_SIGNATURE_LEN, Crypto};
use crate::identity::CertificateError;
use crate::layer::{Cx, Request};
use crate::records::{Change, Claim, Context, Refused, SetId, sets};
use crate::time::{Span, UnixMillis};

/// How long a record holds: as long as any certificate can that was issued before. Renewed at half of it.
const LIFE: Span = Span::from_millis(MAX_LIFE_MS);
/// Longest statement: all revocations, and half as much again for what is added one day.
const MAX_STATEMENT: usize = 2_560;
/// Longest record.
pub(crate) const MAX_RECORD: usize = 2 + MAX_STATEMENT + AGENT_KEY_LEN + AGENT_SIGNATURE_LEN;
const DOMAIN: &str = "tidings 1 revocations";

/// What an agent says of its nodes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Revocations {
    /// Who says so.
    #[n(0)]
    pub agent: AgentId,
    /// When, in milliseconds of the clock of the node where it was said.
    #[n(1)]
    pub issued_ms: u64,
    /// The nodes that speak for it no longer, [`MAX_REVOKED`] at most.
    #[n(2)]
    pub revoked: Vec<Revoked>,
}

impl Revocations {
    /// The record, signed as the agent of `crypto`. `None` if that is another one.
    pub fn sign(&self, crypto: &dyn Crypto) -> Option<Bytes> {
        let key = crypto.agent_key().filter(|key| AgentId::of_key(key) == self.agent)?;
        let said = minicbor::to_vec(self).ok().filter(|said| said.len() <= MAX_STATEMENT)?;
        let signature = crypto.agent_sign(&digest(&said))?;
        let len = u16::try_from(said.len()).ok()?;
        Some([&len.to_le_bytes()[..], &said, key, &signature].concat().into())
    }

    /// Whether a record of that time can still be in force, by a clock that may be a quarter of an hour off.
    pub(super) fn holds(&self, now: UnixMillis) -> bool {
        super::certificate::in_time(self.issued_ms, self.issued_ms.saturating_add(MAX_LIFE_MS), now).is_ok()
    }

    /// What a record says; nothing is proven.
    pub fn parse(bytes: &[u8]) -> Result<Revocations, Refused> {
        let (said, key, _) = split(bytes)?;
        let mut d = minicbor::Decoder::new(said);
        let s: Revocations = d.decode().map_err(|_| Refused::Malformed)?;
        let fits = (1..=MAX_REVOKED).contains(&s.revoked.len()) && d.position() == said.len();
        if fits && AgentId::of_key(key) == s.agent { Ok(s) } else { Err(Refused::Malformed) }
    }
}

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8], &[u8]), Refused> {
    let (len, rest) = bytes.split_first_chunk::<2>().ok_or(Refused::Malformed)?;
    let len = usize::from(u16::from_le_bytes(*len));
    if len > MAX_STATEMENT || rest.len() != len + AGENT_KEY_LEN + AGENT_SIGNATURE_LEN {
        return Err(Refused::Malformed);
    }
    let (said, rest) = rest.split_at(len);
    let (key, signature) = rest.split_at(AGENT_KEY_LEN);
    Ok((said, key, signature))
}

fn digest(said: &[u8]) -> [u8; 32] {
    let mut h = blake3::Hasher::new_derive_key(DOMAIN);
    h.update(&(said.len() as u32).to_le_bytes()).update(said);
    *h.finalize().as_bytes()
}

/// What a record says of itself, for the table of sets.
pub(crate) fn peek(bytes: &[u8]) -> Result<Claim, Refused> {
    let said = Revocations::parse(bytes)?;
    let issued = UnixMillis(said.issued_ms);
    Ok(Claim { key: RecordKey(said.agent.0), version: issued.0, issued, life: LIFE, anchor: None })
}

/// Whether the agent signed it, for the table of sets.
pub(crate) fn verify(_: SetId, bytes: &[u8], context: &Context<'_>) -> bool {
    split(bytes).is_ok_and(|(said, key, signature)| context.crypto.agent_verify(key, &digest(said), signature))
}

impl Identity {
    /// A record of the set changed: what it revokes is in force.
    pub(super) fn on_revocations(&mut self, cx: &mut Cx<'_>, key: &RecordKey, change: Change) {
        self.remember_revoked(cx, AgentId(key.0));
        if change == Change::Gone {
            return cx.certificates.record(AgentId(key.0), false);
        }
        let record = cx.records.get(sets::REVOCATIONS, key);
        let Some(Ok(said)) = record.map(|r| Revocations::parse(&r.bytes)) else { return };
        cx.certificates.revoke(said.agent, &said.revoked, cx.now.wall);
        cx.certificates.record(said.agent, true);
        self.tell_revoked(cx);
        if Some(said.agent) == self.own.agent {
            self.memory.own_recalled = false;
            self.heed_revoked(cx, &said.revoked);
            self.publish_revocations(cx);
        }
    }

    /// Says whose nodes are nobody's any more.
    pub(super) fn tell_revoked(&mut self, cx: &mut Cx<'_>) {
        for lost in cx.certificates.take_revoked() {
            if cx.agent_of(&lost.node) == Proof::Refused(CertificateError::Revoked) {
                super::layer::tell(cx, lost.node, None);
            }
        }
    }

    /// Says what the own agent has revoked, where the network's record lacks some of it or will soon be over.
    pub(super) fn publish_revocations(&mut self, cx: &mut Cx<'_>) {
        let Some(agent) = self.own.agent.filter(|_| !self.own.cast_out && !self.own.revoked.is_empty()) else { return };
        let key = RecordKey(agent.0);
        let stands = cx.records.get(sets::REVOCATIONS, &key);
        let said = stands.and_then(|r| Revocations::parse(&r.bytes).ok());
        let before = said.as_ref().map_or(0, |s| s.issued_ms);
        let fresh = stands.is_some_and(|r| r.expires().since(cx.now.mono) > LIFE.half());
        if stands.is_none() && self.memory.own_recalled {
            // It is on its way to the others as it was; what it lacks is seen when it is there.
            return;
        }
        let whole = said.is_some_and(|s| self.own.revoked.iter().all(|r| s.revoked.contains(r)));
        if fresh && whole {
            return;
        }
        let issued_ms = cx.now.wall.0.max(before.saturating_add(1));
        let said = Revocations { agent, issued_ms, revoked: self.own.revoked.clone() };
        if let Some(record) = said.sign(cx.crypto) {
            cx.request(Request::PutRecord(sets::REVOCATIONS, record));
        }
    }
}
