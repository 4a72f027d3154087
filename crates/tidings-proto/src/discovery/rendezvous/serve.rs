//! This node's own place in the index: being reached by two others, and saying so.
//!
//! A neighbour that dialed this node has reached it already, and says so when asked. Where none has, neighbours are asked to
//! hand the request on to theirs, who dial. Those of other places than this node's, and of two different ones, are preferred;
//! in a network that sits in one place any will do after a while.

use super::calls::CLAIM;
use super::{Rendezvous, Timer};
use crate::discovery::Place;
use crate::discovery::advert::{self, ADVERT_LIFE, ATTESTATION_LIFE, ATTESTED, Advert, Attestation};
use crate::identity::{Addr, NodeId, PeerAddr, RecordKey};
use crate::io::{Overlay, Reply, Ticket};
use crate::layer::{Cx, Request, TimerKey};
use crate::links::{Claim, Claimed};
use crate::membership::Tokens;
use crate::records::chain::{Chain, MAX_STEPS};
use crate::records::sets::{INDEX, rules};
use crate::records::signed;
use crate::time::{Span, Time};
use crate::wire::{AskReached, Reached, Refresh};

/// While attestations are missing: between two rounds of asking, the first and at most.
const ASK: u64 = 1_000;
const ASK_MOST: u64 = 60_000;
/// After so many rounds two attestations of one place, or of this node's own, will do.
const CHOOSY: u32 = 4;
/// Attestations kept to choose from.
const KEPT: usize = 6;
/// How often a node that is not in the index looks whether there is room.
const LOOK: Span = Span::from_secs(300);
/// Dials for others at once, how often, and how long each may take.
const MAX_REACHING: usize = 4;
const REACHING: (u32, Span) = (8, Span::from_secs(4));
const REACH_PATIENCE: Span = Span::from_secs(5);
/// An attestation is asked for anew when it has so much left.
const LEFT: Span = Span::from_secs(3_600);

/// An advert is refreshed when half its life is over.
const HALF: Span = Span(ADVERT_LIFE.0 / 2);

/// Of links that are dialed to see whether somebody is there.
const REACHES: Claim = Claim { layer: CLAIM.layer + 1, overlay: Overlay::Root };

/// This node's part in the index.
#[derive(Debug, Default)]
pub(super) struct Serving {
    on: bool,
    /// Neighbours in the network's overlay.
    pub(super) friends: Vec<NodeId>,
    /// At which address, by whom and from where this node was reached.
    reached: Vec<(Addr, Attestation, Option<Place>)>,
    rounds: u32,
    own: Option<Own>,
    /// Whom this node dials for others.
    reaching: Vec<(PeerAddr, Time)>,
    may_reach: Option<Tokens>,
}

/// An advert of this node's that is in the set.
#[derive(Debug)]
struct Own {
    key: RecordKey,
    addrs: Vec<Addr>,
    chain: Chain,
    step: u16,
    issued: Time,
}

impl Rendezvous {
    pub(super) fn serve(&mut self, cx: &mut Cx<'_>, ticket: Ticket, on: bool) {
        match on {
            true if !self.serving.on => {
                self.serving.on = true;
                self.serving.rounds = 0;
                cx.deadlines.set(TimerKey::Rendezvous(Timer::Serve), cx.now.mono + Span::from_millis(ASK));
            }
            true => {}
            false => self.stop_serving(cx),
        }
        cx.reply(ticket, Reply::Done);
    }

    /// The advert is not renewed any more.
    pub(super) fn stop_serving(&mut self, cx: &mut Cx<'_>) {
        self.serving.on = false;
        self.serving.own = None;
        cx.deadlines.cancel(TimerKey::Rendezvous(Timer::Serve));
    }

    pub(super) fn readvertise(&mut self, cx: &mut Cx<'_>) {
        if self.serving.on {
            self.serving.rounds = 0;
            cx.deadlines.set_no_later(TimerKey::Rendezvous(Timer::Serve), cx.now.mono + Span::from_millis(ASK));
        }
    }

    /// Gets attested, gets in, stays in.
    pub(super) fn tend_advert(&mut self, cx: &mut Cx<'_>) {
        if !self.serving.on {
            return;
        }
        let now = cx.now.mono;
        let next = match cx.own_addrs.first().copied() {
            None => now + Span::from_millis(ASK),
            Some(addr) => self.tend_advert_at(cx, addr),
        };
        cx.deadlines.set(TimerKey::Rendezvous(Timer::Serve), next);
    }

    fn tend_advert_at(&mut self, cx: &mut Cx<'_>, addr: Addr) -> Time {
        let now = cx.now.mono;
        let wall = cx.now.wall.0;
        let fresh = |at: u64| wall.saturating_sub(at) + LEFT.as_millis() < ATTESTATION_LIFE.as_millis();
        self.serving.reached.retain(|(a, t, _)| *a == addr && fresh(t.at_ms));
        let place = Place::of(&cx.me, &addr);
        let key = advert::key(place, &cx.me);
        if let Some(own) = &mut self.serving.own {
            let there = cx.records.get(INDEX, &own.key).is_some_and(|r| r.from.is_none());
            if there && own.key == key && own.addrs == cx.own_addrs && own.step < MAX_STEPS {
                let due = own.issued + HALF.times(u64::from(own.step) + 1);
                if due > now {
                    return due;
                }
                own.step += 1;
                if let Some(value) = own.chain.value(own.step) {
                    cx.request(Request::RefreshRecord(INDEX, key, Refresh { step: own.step, value }));
                }
                return own.issued + HALF.times(u64::from(own.step) + 1);
            }
            self.serving.own = None;
        }
        let Some(attested) = self.attested(place) else { return self.ask_reached(cx, addr) };
        if !has_room(cx, &key) {
            return now + LOOK;
        }
        let mut secret = [0; 32];
        for part in secret.chunks_mut(8) {
            part.copy_from_slice(&self.rng.next_u64().to_le_bytes());
        }
        let chain = Chain::new(&key, &secret);
        let version = cx.records.get(INDEX, &key).map_or(wall, |r| wall.max(r.claim.version + 1));
        let said = signed::Statement { version, issued: cx.now.wall, life: ADVERT_LIFE, anchor: chain.anchor() };
        let record = Advert { node: cx.own_address(), attested }.sign(&self.network, &said, INDEX, cx.crypto);
        cx.request(Request::PutRecord(INDEX, record));
        self.serving.own = Some(Own { key, addrs: cx.own_addrs.to_vec(), chain, step: 0, issued: now });
        now + HALF
    }

    /// Two attestations, of two places that are not this node's if there are any.
    fn attested(&self, own: Place) -> Option<Vec<Attestation>> {
        let mut out: Vec<(Attestation, Option<Place>)> = Vec::new();
        for (_, t, place) in &self.serving.reached {
            let other = place.is_some_and(|p| p != own) && out.iter().all(|(_, p)| p != place);
            if other && out.len() < ATTESTED {
                out.push((*t, *place));
            }
        }
        if out.len() < ATTESTED && self.serving.rounds >= CHOOSY {
            for (_, t, place) in &self.serving.reached {
                if out.len() < ATTESTED && out.iter().all(|(o, _)| o.by != t.by) {
                    out.push((*t, *place));
                }
            }
        }
        (out.len() == ATTESTED).then(|| out.into_iter().map(|(t, _)| t).collect())
    }

    /// Asks some neighbours: those that dialed this node, or any, to hand it on.
    fn ask_reached(&mut self, cx: &mut Cx<'_>, addr: Addr) -> Time {
        let by = |f: &NodeId| self.serving.reached.iter().any(|(_, t, _)| t.by == *f);
        let mut friends: Vec<NodeId> = self.serving.friends.iter().filter(|f| !by(f)).copied().collect();
        let all = friends.len();
        self.rng.sample(&mut friends, all);
        friends.sort_by_key(|f| cx.links.outbound(f));
        let subject = PeerAddr { id: cx.me, addrs: vec![addr] };
        for f in friends.into_iter().take(ATTESTED + 1) {
            cx.send(f, AskReached { subject: subject.clone(), hand_on: true });
        }
        let wait = (ASK << self.serving.rounds.min(16)).min(ASK_MOST);
        self.serving.rounds = self.serving.rounds.saturating_add(1);
        cx.now.mono + Span::from_millis(self.rng.between(wait / 2, wait + wait / 2))
    }

    /// Somebody wants to know whether it, or a neighbour of its, can be reached.
    pub(super) fn on_ask_reached(&mut self, cx: &mut Cx<'_>, from: NodeId, m: AskReached) {
        let [addr] = m.subject.addrs.as_slice() else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let (subject, addr) = (m.subject.id, *addr);
        if subject == cx.me || !self.serving.friends.contains(&from) || m.hand_on != (from == subject) {
            cx.counters.frames_unexpected += 1;
            return;
        }
        if self.has_reached(cx, &subject, &addr) {
            return self.attest(cx, subject, addr);
        }
        let now = cx.now.mono;
        let tokens = self.serving.may_reach.get_or_insert_with(|| Tokens::new(REACHING.0, REACHING.1, now));
        if !tokens.take(now) {
            cx.counters.questions_limited += 1;
            return;
        }
        if m.hand_on {
            let others: Vec<NodeId> = self.serving.friends.iter().filter(|f| **f != from).copied().collect();
            if let Some(next) = self.rng.pick(&others) {
                cx.send(*next, AskReached { hand_on: false, ..m });
            }
            return;
        }
        self.serving.reaching.retain(|(_, at)| now.since(*at) < REACH_PATIENCE);
        let linked = cx.links.is_up(&subject) || !cx.links.claims(&subject).is_empty();
        if linked || self.serving.reaching.len() >= MAX_REACHING {
            return;
        }
        if cx.claim_saying(&m.subject, REACHES, None) == Claimed::Dialing {
            self.serving.reaching.push((m.subject, now));
        }
    }

    /// Whether this node has a link to `subject` that it dialed at `addr`.
    fn has_reached(&self, cx: &Cx<'_>, subject: &NodeId, addr: &Addr) -> bool {
        cx.links.is_up(subject) && cx.links.outbound(subject) && cx.topology.whereabouts(subject).first() == Some(addr)
    }

    fn attest(&mut self, cx: &mut Cx<'_>, id: NodeId, addr: Addr) {
        let t = Attestation::sign(&self.network, &id, &addr, cx.now.wall.0, cx.crypto);
        let subject = PeerAddr { id, addrs: vec![addr] };
        cx.counters.attested += 1;
        cx.send(id, Reached { subject, at_ms: t.at_ms, signature: t.signature });
    }

    /// A link came up: it may be one that was dialed for somebody.
    pub(super) fn on_reach(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(at) = self.serving.reaching.iter().position(|(p, _)| p.id == peer) else { return };
        let (subject, _) = self.serving.reaching.swap_remove(at);
        if let Some(addr) = subject.addrs.first().filter(|a| self.has_reached(cx, &peer, a)) {
            self.attest(cx, peer, *addr);
        }
        cx.release(peer, REACHES);
    }

    pub(super) fn not_reached(&mut self, peer: &NodeId) {
        self.serving.reaching.retain(|(p, _)| p.id != *peer);
    }

    /// Somebody has reached this node.
    pub(super) fn on_reached(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Reached) {
        let addr = m.subject.addrs.first().copied().filter(|a| cx.own_addrs.first() == Some(a));
        let Some(addr) = addr.filter(|_| self.serving.on && m.subject.id == cx.me) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let t = Attestation { by: from, at_ms: m.at_ms, signature: m.signature };
        let known = self.serving.reached.iter().any(|(_, o, _)| o.by == from);
        if known || self.serving.reached.len() >= KEPT {
            return;
        }
        if !t.holds(&self.network, &cx.me, &addr, cx.crypto) {
            cx.counters.attestations_forged += 1;
            return;
        }
        let place = cx.topology.whereabouts(&from).first().map(|a| Place::of(&from, a));
        self.serving.reached.push((addr, t, place));
        if self.serving.own.is_none() {
            self.tend_advert(cx);
        }
    }
}

/// Whether an advert with this key may be put into the set: the key is free, or this node's own, and it would stay.
fn has_room(cx: &Cx<'_>, key: &RecordKey) -> bool {
    if let Some(r) = cx.records.get(INDEX, key) {
        return Advert::parse(&r.bytes).is_ok_and(|a| a.node.id == cx.me);
    }
    let most = rules(INDEX).map_or(0, |r| r.most);
    if cx.records.len(INDEX) < most {
        return true;
    }
    let rank = |k: &RecordKey| advert::rank(k, cx.now.wall);
    cx.records.iter(INDEX).any(|r| rank(&r.claim.key) > rank(key))
}
