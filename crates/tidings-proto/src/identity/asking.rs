//! Asking for certificates, and giving them to those who ask.
//!
//! Invariants: at most [`WANTS`] are asked for at once, each of one peer at a time, of [`SOURCES`] in all; an answer is read
//! only if that peer was asked for that one; at most [`WAITERS`] wait for each; one peer gets [`A_WINDOW`] in [`WINDOW`].

use bytes::Bytes;

use super::certificate::{AgentCertificate, CertificateError};
use super::layer::{Identity, Timer, tell};
use super::{CertificateId, NodeId};
use crate::io::Event;
use crate::layer::{Cx, TimerKey};
use crate::time::{Span, Time};
use crate::wire::{AskCertificates, Certificate, CertificateRef, Lane, Message, NoCertificates};

/// Most certificates asked for at once (a network's roster, at a newcomer's).
const WANTS: usize = 1_024;
/// Most peers asked for one.
const SOURCES: usize = 4;
/// Most nodes that are told when it is here: one certificate is for one node, the rest would be nonsense.
const NAMERS: usize = 4;
/// Most peers that wait for one: as many as are neighbours.
const WAITERS: usize = 24;
/// How long a peer may take: whom it asked itself has to answer first (a guess: some round trips).
const ANSWER: Span = Span::from_secs(1);
/// What could not be had is not asked for again before (a guess).
const LACKING: Span = Span::from_secs(60);
/// Nor what does not hold.
const REFUSED: Span = Span::from_secs(600);
/// What one peer gets in a while: a roster's worth from two or three neighbours (guesses).
const A_WINDOW: u32 = 512;
const WINDOW: Span = Span::from_secs(10);

/// A certificate that is asked for.
pub(super) struct Want {
    /// Who names it.
    namers: Vec<NodeId>,
    /// Whom it can be asked of yet.
    sources: Vec<NodeId>,
    /// Of whom it was asked, the one that has not answered yet last.
    asked: Vec<NodeId>,
    until: Time,
    /// Who asked us for it.
    waiters: Vec<NodeId>,
}

/// What a peer has got lately.
pub(super) struct Allowance {
    since: Time,
    given: u32,
}

impl Identity {
    /// Asks for a certificate that `node` names and `from` brought word of.
    pub(super) fn want(&mut self, cx: &mut Cx<'_>, certificate: CertificateRef, node: NodeId, from: NodeId) {
        if let Some(w) = self.wants.get_mut(&certificate) {
            if w.namers.len() < NAMERS && !w.namers.contains(&node) {
                w.namers.push(node);
            }
            w.offer(from);
            return;
        }
        if cx.agents.lacked.get(&certificate).is_some_and(|(until, _)| *until > cx.now.mono) {
            return;
        }
        if self.wants.len() >= WANTS {
            cx.counters.certificates_limited += 1;
            return;
        }
        cx.agents.lacked.remove(&certificate);
        cx.agents.pending.insert(certificate, true);
        let mut w = Want {
            namers: vec![node],
            sources: Vec::new(),
            asked: Vec::new(),
            until: cx.now.mono,
            waiters: Vec::new(),
        };
        // Whoever brought it first; then the node itself, should it be linked.
        w.offer(node);
        w.offer(from);
        self.wants.insert(certificate, w);
        self.ask_next(cx, certificate, None);
    }

    /// Asks the next source; gives up if there is none.
    fn ask_next(&mut self, cx: &mut Cx<'_>, certificate: CertificateRef, why: Option<CertificateError>) {
        let Some(w) = self.wants.get_mut(&certificate) else { return };
        while let Some(source) = w.sources.pop() {
            if cx.send(source, AskCertificates { certificates: vec![certificate] }) {
                cx.counters.certificates_asked += 1;
                w.asked.push(source);
                w.until = cx.now.mono + ANSWER;
                cx.deadlines.set_no_later(TimerKey::Identity(Timer::Ask), w.until);
                return;
            }
        }
        cx.counters.certificates_lacking += 1;
        self.give_up(cx, certificate, why, LACKING);
    }

    fn give_up(&mut self, cx: &mut Cx<'_>, certificate: CertificateRef, why: Option<CertificateError>, wait: Span) {
        let Some(w) = self.wants.remove(&certificate) else { return };
        cx.agents.pending.remove(&certificate);
        cx.agents.lack(certificate, why, cx.now.mono, wait);
        for waiter in w.waiters {
            cx.send(waiter, NoCertificates { certificates: vec![certificate] });
        }
        cx.event(Event::Certificate { certificate });
    }

    /// Some have not answered in time.
    pub(super) fn ask_others(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let due: Vec<CertificateRef> = self.wants.iter().filter(|(_, w)| w.until <= now).map(|(c, _)| *c).collect();
        for certificate in due {
            cx.counters.certificates_timed_out += 1;
            // It may come yet, but nobody is to wait for it.
            cx.agents.pending.insert(certificate, false);
            cx.event(Event::Certificate { certificate });
            self.ask_next(cx, certificate, None);
        }
        if let Some(next) = self.wants.values().map(|w| w.until).min() {
            cx.deadlines.set_no_later(TimerKey::Identity(Timer::Ask), next);
        }
    }

    /// A link is gone: whoever was asked over it answers no more.
    pub(super) fn gone(&mut self, cx: &mut Cx<'_>, peer: &NodeId) {
        let asked: Vec<CertificateRef> =
            self.wants.iter().filter(|(_, w)| w.asked.last() == Some(peer)).map(|(c, _)| *c).collect();
        for w in self.wants.values_mut() {
            w.waiters.retain(|p| p != peer);
        }
        for certificate in asked {
            self.ask_next(cx, certificate, None);
        }
    }

    pub(super) fn on_none(&mut self, cx: &mut Cx<'_>, from: NodeId, certificates: &[CertificateRef]) {
        for c in certificates {
            if self.wants.get(c).is_some_and(|w| w.asked.last() == Some(&from)) {
                self.ask_next(cx, *c, None);
            } else {
                cx.counters.certificates_unexpected += 1;
            }
        }
    }

    pub(super) fn on_certificate(&mut self, cx: &mut Cx<'_>, from: NodeId, bytes: Bytes) {
        let Ok(id) = AgentCertificate::id_of(&bytes) else {
            cx.counters.certificates_refused += 1;
            return;
        };
        let certificate = CertificateRef::from(id);
        // One that comes late is still welcome.
        if !self.wants.get(&certificate).is_some_and(|w| w.asked.contains(&from)) {
            cx.counters.certificates_unexpected += 1;
            return;
        }
        match cx.certificates.admit(&bytes, cx.now.wall, cx.crypto) {
            Ok(_) => self.have(cx, id, &bytes),
            // Not what its hash names: another may have it right.
            Err(why @ (CertificateError::Forged | CertificateError::Key)) => {
                cx.counters.certificates_refused += 1;
                if self.wants.get(&certificate).is_some_and(|w| w.asked.last() == Some(&from)) {
                    self.ask_next(cx, certificate, Some(why));
                }
            }
            Err(why) => {
                cx.counters.certificates_refused += 1;
                self.give_up(cx, certificate, Some(why), REFUSED);
            }
        }
    }

    /// A certificate is verified: whoever waited for it hears.
    fn have(&mut self, cx: &mut Cx<'_>, id: CertificateId, bytes: &Bytes) {
        cx.counters.certificates_verified += 1;
        let certificate = CertificateRef::from(id);
        let Some(w) = self.wants.remove(&certificate) else { return };
        cx.agents.pending.remove(&certificate);
        for waiter in w.waiters {
            self.give(cx, waiter, bytes);
        }
        for node in w.namers {
            match cx.certificates.agent(certificate, &node, cx.now.wall) {
                Some(Ok(agent)) => {
                    // An author: it named this in what it published.
                    if cx.agents.named.get(&node).is_some_and(|n| n.certificate == certificate && n.epoch > 0) {
                        self.remember(cx, node, certificate);
                    }
                    tell(cx, node, Some(agent));
                }
                _ => cx.counters.certificates_refused += 1,
            }
        }
        self.tell_revoked(cx);
        cx.event(Event::Certificate { certificate });
        self.heed(cx, id);
    }

    fn give(&mut self, cx: &mut Cx<'_>, to: NodeId, bytes: &Bytes) -> bool {
        let sent = cx.send_frame(to, Lane::Bulk, Message::from(Certificate {}).frame_with(bytes.clone()));
        cx.counters.certificates_served += u64::from(sent);
        sent
    }

    pub(super) fn on_ask(&mut self, cx: &mut Cx<'_>, from: NodeId, certificates: &[CertificateRef]) {
        let mut none = Vec::new();
        for c in certificates {
            if !self.may_have(cx, from) {
                cx.counters.certificates_limited += 1;
                return;
            }
            let own = cx.agents.own_certificate().filter(|(id, _)| CertificateRef::from(*id) == *c);
            let bytes = own.map(|(_, bytes)| bytes.clone()).or_else(|| cx.certificates.bytes(*c, cx.now.wall));
            let given = match (bytes, self.wants.get_mut(c)) {
                (Some(bytes), _) => self.give(cx, from, &bytes),
                // Two that ask each other would both wait.
                (None, Some(w)) if w.asked.last() != Some(&from) && w.waiters.len() < WAITERS => {
                    if !w.waiters.contains(&from) {
                        w.waiters.push(from);
                    }
                    true
                }
                (None, _) => false,
            };
            if !given {
                none.push(*c);
            }
        }
        if !none.is_empty() {
            cx.counters.certificates_not_held += none.len() as u64;
            cx.send(from, NoCertificates { certificates: none });
        }
    }

    fn may_have(&mut self, cx: &Cx<'_>, peer: NodeId) -> bool {
        let now = cx.now.mono;
        let a = self.allowances.entry(peer).or_insert(Allowance { since: now, given: 0 });
        if now >= a.since + WINDOW {
            *a = Allowance { since: now, given: 0 };
        }
        a.given += 1;
        a.given <= A_WINDOW
    }
}

/// Bytes of all that is asked for at most.
pub(super) fn bytes() -> usize {
    WANTS * (256 + (NAMERS + 2 * SOURCES + WAITERS) * 32)
}

impl Want {
    /// One more that it can be asked of; the last to come is asked first.
    fn offer(&mut self, peer: NodeId) {
        let known = self.sources.contains(&peer) || self.asked.contains(&peer);
        if !known && self.sources.len() + self.asked.len() < SOURCES {
            self.sources.push(peer);
        }
    }
}
