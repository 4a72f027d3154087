//! Whose agent a node of the roster is.
//!
//! The certificate that a beacon names is asked for at once of whoever brought the beacon, as with batches: it comes along the tree
//! that the beacon came. A newcomer, which hears of all at once, asks for some a second, each of a neighbour drawn at random.
//! What could not be had is asked for again, more and more rarely while none of it comes.
//!
//! Invariants: who waits is in the roster; at most [`BURST`] at once and one each [`EACH`] are asked for, whatever beacons come;
//! the timer runs only while somebody is to be proven.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::beacon::{self, Beacon};
use super::{Presence, Timer};
use crate::identity::{NodeId, Proof};
use crate::layer::{Cx, Request, TimerKey};
use crate::records::sets;
use crate::time::{Span, Time};
use crate::wire::CertificateRef;

/// Certificates asked for at once, and how often one in the long run (guesses: a roster of a thousand is proven in a minute, at
/// some 100 kB a second).
const BURST: u64 = 32;
const EACH: Span = Span::from_micros(62_500);
/// How often waiting ones are looked at, and how many at most.
const TURN: Span = Span::from_secs(1);
const LOOKED_AT: usize = 256;
/// What could not be had is asked for again so much later, and then twice that (the identity layer asks nobody sooner).
const AGAIN: Span = Span::from_secs(61);
const AGAIN_MOST: Span = Span::from_secs(1_000);

/// Whom to prove yet.
#[derive(Debug)]
pub(super) struct Proving {
    waiting: BTreeSet<NodeId>,
    /// The last that was looked at.
    at: Option<NodeId>,
    /// Whether any was proven since they were all looked at.
    some: bool,
    again: Span,
    /// Until when asking is paid for.
    paid: Time,
}

impl Default for Proving {
    fn default() -> Proving {
        Proving { waiting: BTreeSet::new(), at: None, some: false, again: AGAIN, paid: Time::default() }
    }
}

impl Proving {
    /// A node is not in the roster any more.
    pub(super) fn forget(&mut self, node: &NodeId) {
        self.waiting.remove(node);
    }
}

/// What is known of the agent that a node names in its beacon; none if it names none.
fn proof(cx: &Cx<'_>, node: &NodeId, beacon: &Beacon) -> Option<Proof> {
    let (agent, certificate) = (beacon.agent?, CertificateRef::from(beacon.certificate?));
    let named = cx.agents.by_name(cx.certificates, node, certificate, cx.now.wall);
    // It may have another certificate by now and have said so elsewhere.
    match (named, cx.agent_of(node)) {
        (Proof::Proven(a), _) | (_, Proof::Proven(a)) if a == agent => Some(Proof::Proven(a)),
        (Proof::Proven(_), _) => None,
        (named, _) => Some(named),
    }
}

/// Whether the agent that a node names is proven to be its.
pub(super) fn is_proven(cx: &Cx<'_>, node: &NodeId, beacon: &Beacon) -> bool {
    matches!(proof(cx, node, beacon), Some(Proof::Proven(_)))
}

impl Presence {
    /// What is known of a node's agent may be another.
    pub(super) fn see_proof(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let Some(e) = self.roster.get_mut(&node).filter(|e| e.online.is_some()) else { return };
        let (before, agent) = (e.proven, e.beacon.agent);
        let now = is_proven(cx, &node, &e.beacon);
        if before == now {
            return;
        }
        e.proven = now;
        if now {
            self.proving.waiting.remove(&node);
            self.proving.some = true;
        }
        let comes = self.speaking.proves(cx, agent, before, now);
        self.tell(cx, node, comes);
    }

    /// Has the certificate that a node names asked for, unless it is known or there is none.
    pub(super) fn prove(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let Some(e) = self.roster.get(&node) else { return };
        if !matches!(proof(cx, &node, &e.beacon), Some(Proof::Lacking | Proof::Pending | Proof::None)) {
            self.proving.waiting.remove(&node);
            return;
        }
        self.proving.waiting.insert(node);
        if proof(cx, &node, &e.beacon) == Some(Proof::Pending) {
            // Its answer is told.
            return cx.deadlines.set_no_later(TimerKey::Presence(Timer::Prove), cx.now.mono + self.proving.again);
        }
        let bringer = cx.records.get(sets::PRESENCE, &node.into()).and_then(|r| r.from);
        let later = match bringer {
            Some(from) if self.may_ask(cx) => {
                self.ask(cx, node, from);
                self.proving.again
            }
            _ => TURN,
        };
        cx.deadlines.set_no_later(TimerKey::Presence(Timer::Prove), cx.now.mono + later);
    }

    fn may_ask(&mut self, cx: &Cx<'_>) -> bool {
        let next = self.proving.paid.max(cx.now.mono - EACH.times(BURST)) + EACH;
        let may = next <= cx.now.mono;
        if may {
            self.proving.paid = next;
        }
        may
    }

    fn ask(&self, cx: &mut Cx<'_>, node: NodeId, from: NodeId) {
        let Some(certificate) = self.roster.get(&node).and_then(|e| e.beacon.certificate) else { return };
        let Some(r) = cx.records.get(sets::PRESENCE, &node.into()) else { return };
        let epoch = beacon::epoch(r.claim.version);
        cx.request(Request::Prove(node, epoch, certificate.into(), from));
    }

    /// Those that wait, in turn.
    pub(super) fn prove_some(&mut self, cx: &mut Cx<'_>) {
        let neighbors: Vec<NodeId> = self.neighbors.iter().copied().collect();
        for _ in 0..LOOKED_AT {
            let from = self.proving.at.map_or(Bound::Unbounded, Bound::Excluded);
            let Some(node) = self.proving.waiting.range((from, Bound::Unbounded)).next().copied() else {
                // Once round.
                let p = &mut self.proving;
                p.at = None;
                p.again = if std::mem::take(&mut p.some) { AGAIN } else { p.again.times(2).min(AGAIN_MOST) };
                if !p.waiting.is_empty() {
                    cx.deadlines.set_no_later(TimerKey::Presence(Timer::Prove), cx.now.mono + p.again);
                }
                return;
            };
            let there = self.roster.get(&node).filter(|e| e.online.is_some());
            match there.and_then(|e| proof(cx, &node, &e.beacon)) {
                Some(Proof::Pending) => {}
                Some(Proof::Lacking | Proof::None) => match self.rng.pick(&neighbors).copied() {
                    Some(from) if self.may_ask(cx) => self.ask(cx, node, from),
                    _ => break,
                },
                _ => drop(self.proving.waiting.remove(&node)),
            }
            self.proving.at = Some(node);
        }
        cx.deadlines.set_no_later(TimerKey::Presence(Timer::Prove), cx.now.mono + TURN);
    }
}
