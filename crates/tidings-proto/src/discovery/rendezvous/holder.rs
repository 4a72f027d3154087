//! A holder's side: taking statements in, and answering with them.

use bytes::Bytes;
use minicbor::bytes::ByteVec;

use super::shelf::Kept;
use super::{Rendezvous, TAKES, Timer};
use crate::discovery::{Place, Whereabouts, proven, shard_id};
use crate::identity::NodeId;
use crate::layer::{Cx, TimerKey};
use crate::time::Span;
use crate::wire::{Holds, Lane, LookUp, MAX_HELD, Message, Register, Registered};

/// How often what has expired is looked for.
const SWEEP: Span = Span::from_secs(60);

/// Kept.
pub(super) const KEPT: u8 = 0;
/// The certificate is needed.
pub(super) const LACKS: u8 = 1;
/// Not a holder of this shard.
const NO_HOLDER: u8 = 2;
/// Not believed.
const NOT_BELIEVED: u8 = 3;

impl Rendezvous {
    pub(super) fn on_register(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Register, certificate: &Bytes) {
        let said = Whereabouts::parse(m.statement.into()).ok().filter(|w| w.node() == from);
        let outcome = said.as_ref().map_or(NOT_BELIEVED, |w| self.take(cx, w, certificate));
        match outcome {
            KEPT => cx.counters.registrations_kept += 1,
            LACKS => {}
            _ => cx.counters.registrations_refused += 1,
        }
        let topic = said.filter(|w| outcome == KEPT && w.agent().is_none()).map(|w| w.subject());
        let members = topic.filter(|_| m.find).map_or(Vec::new(), |t| self.members(cx, &t, &from));
        let crowd = topic.map_or(0, |t| self.shelf.crowd(&t));
        cx.send(from, Registered { id: m.id, outcome, members, crowd });
    }

    /// Takes a statement in: what is known first, then what is cheap, then the signatures.
    fn take(&mut self, cx: &mut Cx<'_>, w: &Whereabouts, certificate: &Bytes) -> u8 {
        if let Some(old) = self.shelf.get(&w.subject(), &w.node())
            && old.issued_ms() >= w.issued_ms()
        {
            return if old == w { KEPT } else { NOT_BELIEVED };
        }
        if !w.in_time(cx.now.wall) {
            return NOT_BELIEVED;
        }
        if !self.index.is_among(shard_id(&w.subject()), TAKES, &cx.me) {
            return NO_HOLDER;
        }
        // What was left before came with the same certificate, as a rule: it may be known by its hash alone meanwhile.
        let kept = self.shelf.certificate(&w.subject(), w);
        let here = |id| kept.is_some() || cx.certificates.bytes(id, cx.now.wall).is_some();
        let lacks = |id| cx.certificates.agent(id, &w.node(), cx.now.wall).is_none() || !here(id);
        if certificate.is_empty() && w.certificate().is_some_and(lacks) {
            return LACKS;
        }
        if w.check(cx.now.wall, &self.key, cx.crypto).is_err() || !proven(cx, w, certificate) {
            return NOT_BELIEVED;
        }
        let bytes = w.certificate().and_then(|id| cx.certificates.bytes(id, cx.now.wall)).or(kept);
        let bytes = bytes.unwrap_or_else(|| certificate.clone());
        let at = cx.topology.whereabouts(&w.node()).first().or(w.peer_addr().addrs.first());
        let place = at.map_or(Place::Local(w.node()), |a| Place::of(&w.node(), a));
        cx.counters.registrations_evicted += self.shelf.put(cx.now.mono, w.clone(), bytes, place) as u64;
        self.sweep_later(cx);
        KEPT
    }

    fn sweep_later(&self, cx: &mut Cx<'_>) {
        let timer = TimerKey::Rendezvous(Timer::Shelf);
        if self.shelf.len() > 0 && !cx.deadlines.armed(&timer) {
            cx.deadlines.set(timer, cx.now.mono + SWEEP);
        }
    }

    pub(super) fn sweep_shelf(&mut self, cx: &mut Cx<'_>) {
        self.shelf.sweep(cx.now.mono, cx.now.wall);
        self.sweep_later(cx);
    }

    /// Some of a topic's members, but for `asker`.
    fn members(&mut self, cx: &Cx<'_>, topic: &[u8; 32], asker: &NodeId) -> Vec<ByteVec> {
        let others = |k: &&Kept| k.whereabouts.node() != *asker && !k.whereabouts.is_withdrawn();
        let mut all: Vec<&Kept> = self.shelf.of(topic, cx.now.wall).into_iter().filter(others).collect();
        self.rng.sample(&mut all, MAX_HELD);
        all.iter().map(|k| ByteVec::from(k.whereabouts.bytes().to_vec())).collect()
    }

    pub(super) fn on_look_up(&mut self, cx: &mut Cx<'_>, from: NodeId, m: LookUp) {
        cx.counters.look_ups_answered += 1;
        let held = self.shelf.of(&m.subject, cx.now.wall);
        if held.first().is_some_and(|k| k.whereabouts.agent().is_none()) {
            let statements = self.members(cx, &m.subject, &from);
            cx.send(from, Holds { id: m.id, statements });
            return;
        }
        let (mut statements, mut certificates) = (Vec::new(), Vec::new());
        for k in held.into_iter().take(MAX_HELD) {
            statements.push(ByteVec::from(k.whereabouts.bytes().to_vec()));
            let known = k.whereabouts.certificate().is_some_and(|id| m.have.contains(&id.into()));
            // Two certificates at most: who is on more nodes is asked for the others'.
            if !known && certificates.len() < 2 * (2 + k.certificate.len()) {
                certificates.extend_from_slice(&(k.certificate.len() as u16).to_le_bytes());
                certificates.extend_from_slice(&k.certificate);
            }
        }
        let frame = Message::from(Holds { id: m.id, statements }).frame_with(certificates.into());
        cx.send_frame(from, Lane::Control, frame);
    }

    /// What this node itself holds of a subject, as if it had been asked.
    pub(super) fn own_shelf(&self, cx: &Cx<'_>, subject: &[u8; 32]) -> Vec<Whereabouts> {
        self.shelf.of(subject, cx.now.wall).into_iter().take(MAX_HELD).map(|k| k.whereabouts.clone()).collect()
    }

    /// Keeps a statement of this node's own, as if it had been left.
    pub(super) fn leave_here(&mut self, cx: &mut Cx<'_>, w: &Whereabouts) {
        let newer = self.shelf.get(&w.subject(), &w.node()).is_none_or(|old| old.issued_ms() < w.issued_ms());
        if newer {
            let bytes = w.certificate().and_then(|id| cx.certificates.bytes(id, cx.now.wall)).unwrap_or_default();
            self.shelf.put(cx.now.mono, w.clone(), bytes, Place::Local(cx.me));
            self.sweep_later(cx);
        }
    }
}
