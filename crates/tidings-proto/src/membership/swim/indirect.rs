//! Indirect probes: asking a suspect's other neighbours, relaying for others, and signing our own sign of life.
//!
//! The requester draws a nonce; the relay passes it to the target, if that is a neighbour of its own; the target signs
//! it. A relay can swallow the answer, and cannot make one.

use super::Swim;
use super::watched::Doubt;
use crate::identity::{Network, NodeId};
use crate::layer::Cx;
use crate::time::Time;
use crate::wire::{Alive, Nack, PingReq, RelayedPing};

/// Relays asked in one round (SWIM's k, 3).
const RELAYS: usize = 3;
/// Probes relayed at once, for all requesters together.
const MAX_RELAYED: usize = 64;

/// The key under which what a sign of life says is hashed before it is signed: the network's, for this purpose.
pub(super) struct AliveKey([u8; 32]);

impl std::fmt::Debug for AliveKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AliveKey(…)")
    }
}

impl AliveKey {
    pub(super) fn new(network: &Network) -> Self {
        AliveKey(network.derive("tidings 1 alive"))
    }

    /// What is signed: every field has a fixed length.
    fn digest(&self, who: &NodeId, requester: &NodeId, nonce: u64, incarnation: u64) -> [u8; 32] {
        let mut h = blake3::Hasher::new_keyed(&self.0);
        h.update(&who.0).update(&requester.0).update(&nonce.to_le_bytes()).update(&incarnation.to_le_bytes());
        *h.finalize().as_bytes()
    }
}

/// A probe relayed for another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relay {
    requester: NodeId,
    nonce: u64,
    target: NodeId,
    pub(super) until: Time,
}

impl Swim {
    /// Asks those of a neighbour's other neighbours that are linked with us.
    pub(super) fn ask_relays(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(w) = self.watched.get(&peer) else { return };
        let linked = |p: &NodeId| *p != peer && cx.links.is_up(p);
        let mut relays: Vec<NodeId> = w.neighbors.iter().map(|p| p.id).filter(linked).collect();
        self.rng.sample(&mut relays, RELAYS);
        for relay in relays {
            self.ask_relay(cx, peer, relay);
        }
    }

    /// Asks one relay whether a neighbour is there.
    pub(super) fn ask_relay(&mut self, cx: &mut Cx<'_>, target: NodeId, relay: NodeId) {
        let Some(w) = self.watched.get_mut(&target) else { return };
        let nonce = *w.nonce.get_or_insert_with(|| self.rng.next_u64());
        if cx.send(relay, PingReq { nonce, target })
            && let Some(r) = &mut w.round
        {
            r.asked.push(relay);
        }
    }

    pub(super) fn on_ping_req(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &PingReq) {
        let now = cx.now.mono;
        // To our own neighbours only: whoever is asked for here is somebody we probe anyway.
        let target = self.watched.get(&m.target).filter(|_| m.target != from && cx.links.is_up(&m.target));
        let until = target.map(|w| now + self.health.stretch(w.rtt.patience().times(2)));
        let free = self.relays.len() < MAX_RELAYED;
        match until.filter(|_| free && self.allowance(from, now).relays.take(now)) {
            Some(until) => {
                cx.counters.probes_relayed += 1;
                cx.send(m.target, RelayedPing { nonce: m.nonce, requester: from });
                self.relays.push(Relay { requester: from, nonce: m.nonce, target: m.target, until });
                self.arm_chores(cx);
            }
            None => {
                cx.counters.probes_refused += 1;
                cx.send(from, Nack { nonce: m.nonce });
            }
        }
    }

    /// Says so to those whose relayed probes were not answered.
    pub(super) fn end_relays(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let (over, left): (Vec<Relay>, Vec<Relay>) = self.relays.drain(..).partition(|r| r.until <= now);
        self.relays = left;
        for r in over {
            if cx.links.is_up(&r.requester) {
                cx.send(r.requester, Nack { nonce: r.nonce });
            }
        }
    }

    pub(super) fn on_nack(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Nack) {
        let asked = self.watched.values_mut().find(|w| w.nonce == Some(m.nonce));
        match asked.and_then(|w| w.round.as_mut()) {
            Some(r) => r.asked.retain(|p| *p != from),
            // The round is over.
            None => cx.counters.acks_unexpected += 1,
        }
    }

    pub(super) fn on_relayed_ping(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &RelayedPing) {
        let now = cx.now.mono;
        // Nobody needs a relay to ask for himself.
        if m.requester == cx.me || m.requester == from || !self.allowance(from, now).signs.take(now) {
            cx.counters.probes_refused += 1;
            return;
        }
        let incarnation = self.incarnation.0;
        let signature = cx.crypto.sign(&self.key.digest(&cx.me, &m.requester, m.nonce, incarnation));
        let (nonce, requester) = (m.nonce, m.requester);
        cx.send(from, Alive { nonce, who: cx.me, requester, incarnation, signature });
    }

    pub(super) fn on_alive(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Alive) {
        if m.requester != cx.me {
            let asked = |r: &Relay| r.nonce == m.nonce && r.requester == m.requester && r.target == from;
            let Some(at) = self.relays.iter().position(asked).filter(|_| m.who == from) else {
                cx.counters.alives_forged += 1;
                return;
            };
            let r = self.relays.remove(at);
            if cx.links.is_up(&r.requester) {
                cx.send(r.requester, m);
            }
            return;
        }
        let Some(w) = self.watched.get_mut(&m.who).filter(|w| w.nonce == Some(m.nonce)) else {
            cx.counters.acks_unexpected += 1;
            return;
        };
        let digest = self.key.digest(&m.who, &m.requester, m.nonce, m.incarnation);
        if !cx.crypto.verify(&m.who, &digest, &m.signature) {
            cx.counters.alives_forged += 1;
            return;
        }
        // Another relay's answer to the same request would say nothing new.
        w.nonce = None;
        w.heard = cx.now.mono;
        if let Some(r) = &mut w.round {
            r.asked.clear();
        }
        if let Some(s) = w.suspicion.as_mut().filter(|s| s.doubt == Doubt::Silent) {
            s.doubt = Doubt::Deaf;
        }
        self.note(cx, m.who, m.incarnation);
    }
}
