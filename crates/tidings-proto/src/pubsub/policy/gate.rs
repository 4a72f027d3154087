//! The judge, and what becomes of a batch that cannot be judged yet.

use std::sync::Arc;

use bytes::Bytes;

use super::Policing;
use super::capability::{CapabilityError, TopicCapability};
use super::waiting::{Held, PATIENCE};
use crate::identity::{CLOCKS_MS, NodeId, Proof, TopicId};
use crate::layer::{Cx, Request, TimerKey};
use crate::pubsub::author::Verdict;
use crate::pubsub::batch::{Batch, BatchHeader};
use crate::pubsub::plumtree::Arrival;
use crate::pubsub::{PubSub, Timer};
use crate::wire::{AskCapabilities, Capability, CapabilityRef, Lane, Message};

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pubsub) enum Ruling {
    /// Its author may publish it.
    Allowed,
    /// Who its author is, or what it is allowed, is not known.
    Unknown,
    /// Its author may not.
    Refused,
}

/// How long past its expiry a capability is heeded in what was signed before.
fn grace_ms(cx: &Cx<'_>) -> u64 {
    let kept = u64::try_from(cx.config.message_cache_ttl.as_millis()).unwrap_or(u64::MAX);
    kept.max(CLOCKS_MS)
}

impl Policing {
    /// Whether a batch's author may publish it, by what its header says; the signature is checked elsewhere.
    pub(in crate::pubsub) fn judge(&mut self, cx: &Cx<'_>, h: &BatchHeader) -> Ruling {
        let Some(policy) = self.policies.get(&h.topic) else { return Ruling::Allowed };
        let Some(certificate) = h.certificate else { return Ruling::Refused };
        let agent = match cx.agents.by_name(cx.certificates, &h.author, certificate, cx.now.wall) {
            Proof::Proven(agent) if policy.names(&agent) => return Ruling::Allowed,
            Proof::Proven(agent) => Some(agent),
            Proof::Refused(_) => return Ruling::Refused,
            Proof::None | Proof::Pending | Proof::Lacking => None,
        };
        // Without a capability only the agent matters, and this one is not named.
        let by_name_alone = if agent.is_some() { Ruling::Refused } else { Ruling::Unknown };
        let (Some(owner), Some(id)) = (policy.owner(), h.capability) else { return by_name_alone };
        let Some(capability) = self.known.get(id) else {
            return if self.known.is_refused(h.topic, id, cx.now.mono) { by_name_alone } else { Ruling::Unknown };
        };
        let s = capability.statement();
        let holds = s.topic == h.topic
            && s.owner == owner
            && s.in_time(h.wall_ms, cx.now.wall, grace_ms(cx)).is_ok()
            && agent.is_none_or(|agent| agent == s.agent);
        match agent {
            Some(_) if holds => Ruling::Allowed,
            None if holds => Ruling::Unknown,
            _ => by_name_alone,
        }
    }

    /// Whether a copy of a batch that cannot be judged may be verified, to wait.
    pub(in crate::pubsub) fn has_room(&mut self, cx: &mut Cx<'_>, from: NodeId, h: &BatchHeader, len: usize) -> bool {
        if let Some((new, held)) = self.waiting.again(h, from) {
            // A neighbour that brought it may have what another that did keeps to itself.
            let h = held.batch.header();
            if let Some(certificate) = h.certificate.filter(|c| new && !cx.certificates.knows(*c)) {
                cx.request(Request::Prove(h.author, h.epoch, certificate, from));
            }
            cx.counters.batches_duplicate += 1;
            return false;
        }
        let room = self.waiting.has_room(&from, len);
        cx.counters.batches_unproven_shed += u64::from(!room);
        room
    }

    /// Whether a batch read back from the disk may be shown to neighbours.
    pub(in crate::pubsub) fn may_share(&mut self, cx: &Cx<'_>, h: &BatchHeader) -> bool {
        h.author == cx.me || self.judge(cx, h) == Ruling::Allowed
    }

    /// A capability that was asked for, if it may be of use for what waits: checked, cheap checks first, and verified.
    fn check(&self, cx: &Cx<'_>, bytes: Bytes, topic: TopicId) -> Result<TopicCapability, CapabilityError> {
        let capability = TopicCapability::parse(bytes)?;
        let s = capability.statement();
        let owner = self.policies.get(&topic).and_then(|p| p.owner());
        if s.topic != topic || Some(s.owner) != owner {
            return Err(CapabilityError::Topic);
        }
        s.in_time(cx.now.wall.0.min(s.expires_ms.saturating_sub(1)), cx.now.wall, grace_ms(cx))?;
        capability.verify(cx.crypto)?;
        Ok(capability)
    }
}

impl PubSub {
    /// A batch waits until it can be judged; what it takes is asked for.
    pub(in crate::pubsub) fn hold(&mut self, cx: &mut Cx<'_>, from: NodeId, arrival: Arrival, batch: Arc<Batch>) {
        cx.counters.batches_unproven += 1;
        let h = batch.header();
        let (topic, capability) = (h.topic, h.capability);
        if let Some(certificate) = h.certificate
            && !cx.certificates.knows(certificate)
        {
            cx.request(Request::Prove(h.author, h.epoch, certificate, from));
        }
        self.policing.waiting.hold(from, batch, arrival, cx.now.mono);
        let owned = self.policing.policies.get(&topic).is_some_and(|p| p.owner().is_some());
        if let Some(id) = capability.filter(|id| owned && self.policing.known.look(id).is_none()) {
            self.ask_capability(cx, topic, id);
        }
        self.arm_prove(cx);
    }

    fn ask_capability(&mut self, cx: &mut Cx<'_>, topic: TopicId, id: CapabilityRef) {
        if let Some(source) = self.policing.waiting.next_source(topic, id, cx.now.mono) {
            cx.counters.capabilities_asked += 1;
            cx.send(source, AskCapabilities { topic, capabilities: vec![id] });
        }
    }

    fn arm_prove(&mut self, cx: &mut Cx<'_>) {
        match self.policing.waiting.next() {
            Some(at) => cx.deadlines.set(TimerKey::PubSub(Timer::Prove), at),
            None => cx.deadlines.cancel(TimerKey::PubSub(Timer::Prove)),
        }
    }

    /// Something was learned: judges again what waits and fulfils a condition.
    fn judge_again(&mut self, cx: &mut Cx<'_>, which: impl FnMut(&Held) -> bool) {
        for held in self.policing.waiting.take(which) {
            match self.policing.judge(cx, held.batch.header()) {
                Ruling::Allowed => self.let_in(cx, held),
                Ruling::Refused => cx.counters.batches_unauthorised += 1,
                Ruling::Unknown => self.policing.waiting.put_back(held),
            }
        }
        self.arm_prove(cx);
    }

    /// A node's agent is proven, or is no longer.
    pub(in crate::pubsub) fn on_agent(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        if self.policing.waiting.iter().any(|held| held.batch.header().author == node) {
            self.judge_again(cx, |held| held.batch.header().author == node);
        }
    }

    /// A batch that waited may be published: it goes the way of all others, unless another copy of it has.
    fn let_in(&mut self, cx: &mut Cx<'_>, held: Held) {
        let h = held.batch.header();
        let Some(t) = self.topics.get(&h.topic) else { return };
        let Some(from) = held.sources.first().copied() else { return };
        if t.authors.get(&h.author).is_some_and(|a| a.judge(h) != Verdict::New) {
            let wanted = held.arrival.held.is_some() && h.wall_ms >= t.log.horizon() && t.log.at_place(h).is_none();
            cx.counters.batches_duplicate += u64::from(!wanted);
            return if wanted {
                self.refilled(cx, from, held.arrival.hop.max(1), &held.batch)
            };
        }
        let waited = cx.now.mono.since(held.since);
        let arrival = Arrival { held: held.arrival.held.map(|had| had + waited), ..held.arrival };
        self.admit(cx, from, arrival, held.batch);
    }

    /// Asks others, and gives up on what has waited long enough.
    pub(in crate::pubsub) fn prove(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let over = self.policing.waiting.take(|held| now >= held.since + PATIENCE);
        cx.counters.batches_unproven_shed += over.len() as u64;
        for (topic, id) in self.policing.waiting.due(now) {
            self.ask_capability(cx, topic, id);
        }
        self.arm_prove(cx);
    }

    /// A capability comes.
    pub(in crate::pubsub) fn on_capability(&mut self, cx: &mut Cx<'_>, from: NodeId, bytes: Bytes) {
        // Which topic's it is it says itself; what it says is checked below.
        let asked = TopicCapability::parse(bytes.clone()).ok().map(|c| (c.id(), c.statement().topic));
        let asked = asked.and_then(|(id, topic)| Some((id, self.policing.waiting.asked_for(topic, id, &from)?)));
        let Some((id, topic)) = asked else {
            cx.counters.capabilities_unexpected += 1;
            return;
        };
        match self.policing.check(cx, bytes, topic) {
            Ok(capability) => {
                cx.counters.capabilities_verified += 1;
                self.policing.known.insert(capability);
                self.policing.waiting.answered(topic, id);
            }
            // Not what its hash names: another may have it right.
            Err(CapabilityError::Forged | CapabilityError::Key) => {
                cx.counters.capabilities_refused += 1;
                self.policing.waiting.failed(topic, id, from, cx.now.mono);
                self.ask_capability(cx, topic, id);
                return self.arm_prove(cx);
            }
            Err(_) => {
                cx.counters.capabilities_refused += 1;
                self.policing.known.refuse(topic, id, cx.now.mono);
                self.policing.waiting.answered(topic, id);
            }
        }
        self.judge_again(cx, |held| held.batch.header().capability == Some(id));
    }

    /// A neighbour asks for capabilities that batches name which it had from here.
    pub(in crate::pubsub) fn on_ask_capabilities(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &AskCapabilities) {
        if !self.topics.get(&m.topic).is_some_and(|t| t.peers.iter().any(|p| p.id == from)) {
            cx.counters.frames_unexpected += 1;
            return;
        }
        for id in &m.capabilities {
            let own = self.policing.own.get(&m.topic).filter(|c| c.id() == *id);
            let known = self.policing.known.look(id).filter(|c| c.statement().topic == m.topic);
            let Some(bytes) = own.or(known).map(|c| c.bytes().clone()) else {
                cx.counters.capabilities_not_held += 1;
                continue;
            };
            if !self.policing.known.may_have(from, cx.now.mono) {
                cx.counters.capabilities_limited += 1;
                return;
            }
            let sent = cx.send_frame(from, Lane::Bulk, Message::from(Capability {}).frame_with(bytes));
            cx.counters.capabilities_served += u64::from(sent);
        }
    }
}
