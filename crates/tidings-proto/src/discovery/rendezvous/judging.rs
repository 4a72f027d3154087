//! Seeing for oneself: what links show of the nodes of the index, dials to those that nothing is known of, and what neighbours
//! vouch for (`discovery/admission.rs`).
//!
//! Every link that comes up or does not is evidence, whoever wanted it. Besides, nodes that others' word alone speaks for are
//! dialed, one at a time: as many as [`FIRST`] a second apart while a node is new to the index, and then one each [`EVERY`]; half of
//! them of those that neighbours vouch for. Whom a node has reached it tells its neighbours in the network's overlay, each once
//! whole and then what changes.
//!
//! Invariants: a dial is made only to an address in the set, and to each place one at a time; nobody is called dead by a node
//! that has no link itself.

use super::{Rendezvous, Timer};
use crate::discovery::Place;
use crate::discovery::admission::{Standing, head};
use crate::discovery::advert::SLOTS;
use crate::identity::{Addr, NodeId};
use crate::io::Overlay;
use crate::layer::{Cx, TimerKey};
use crate::links::{Claim, Claimed};
use crate::membership::Tokens;
use crate::records::sets::INDEX;
use crate::time::Span;
use crate::wire::{MAX_VOUCHED, VouchReached};

use std::collections::{BTreeMap, BTreeSet};

/// Nodes dialed only to see whether they are there: so many soon, a second apart, and then one each half a minute (a handshake
/// is some 6 kB: 6 kB/s for some minutes, 0.2 kB/s then; in a day each of the index is seen).
const FIRST: u32 = 512;
const APART: Span = Span::from_secs(1);
const EVERY: Span = Span::from_secs(30);
/// Where there is nobody to dial, or too many were, until it is looked again.
const IDLE: Span = Span::from_secs(10);
/// Nodes looked at each time.
const TRIES: usize = 8;
/// Dials under way at once.
const MAX_DIALING: usize = 4;
/// Links left for others.
const SPARE: usize = 24;
/// How often all is judged anew, and neighbours are told what changed.
const JUDGE: Span = Span::from_secs(20);
/// And when a neighbour has said something, or said it for the first time.
const HEARD: Span = Span::from_secs(5);
const NEWS: Span = Span::from_millis(300);

const CLAIM: Claim = Claim { layer: 91, overlay: Overlay::Root };

/// What is under way to see who is there.
#[derive(Debug)]
pub(super) struct Probing {
    tokens: Option<Tokens>,
    dialing: BTreeMap<NodeId, Place>,
    neighbors: BTreeSet<NodeId>,
    /// What neighbours were told.
    told: BTreeSet<u64>,
}

impl Probing {
    pub(super) fn new() -> Probing {
        Probing { tokens: None, dialing: BTreeMap::new(), neighbors: BTreeSet::new(), told: BTreeSet::new() }
    }
}

fn same_host(a: &Addr, b: &Addr) -> bool {
    let (Addr::Socket(a), Addr::Socket(b)) = (a, b);
    a.ip().to_canonical() == b.ip().to_canonical()
}

impl Rendezvous {
    /// A link to a node is up: it shows where the node is.
    pub(super) fn shown(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if cx.links().is_circuit(&peer) {
            // It shows nothing.
            if self.probing.dialing.remove(&peer).is_some() {
                cx.release(peer, CLAIM);
            }
            return;
        }
        let now = cx.now.mono;
        let own = self.probing.dialing.contains_key(&peer) || self.is_called(&peer);
        let seen = cx.topology.whereabouts(&peer).first().copied();
        match self.index.get(&peer).and_then(|(_, n)| n.addrs.first().copied()) {
            Some(addr) => {
                let was = self.index.standing(&peer);
                let there = match &seen {
                    Some(seen) => same_host(seen, &addr),
                    None => own && cx.links().outbound(&peer),
                };
                let elsewhere = seen.is_some_and(|s| Place::of(&peer, &s) != Place::of(&peer, &addr));
                if there {
                    self.admission.reached(now, peer, addr, was);
                } else if elsewhere && was != Some(Standing::Reached) {
                    cx.counters.adverts_elsewhere += 1;
                    self.admission.failed(now, peer, addr, was, true);
                }
                self.judged(cx, &peer);
            }
            None => {
                if let Some(seen) = seen {
                    self.admission.reached(now, peer, seen, None);
                }
            }
        }
        if self.probing.dialing.remove(&peer).is_some() {
            cx.release(peer, CLAIM);
        }
    }

    /// A dial of this layer's failed, or a question was not answered.
    pub(super) fn not_there(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        self.probing.dialing.remove(&peer);
        if cx.links().up().next().is_none() {
            return;
        }
        let Some((_, n)) = self.index.get(&peer) else { return };
        let Some(addr) = n.addrs.first().copied() else { return };
        let was = self.index.standing(&peer);
        self.admission.failed(cx.now.mono, peer, addr, was, false);
        cx.counters.adverts_unanswered += 1;
        self.judged(cx, &peer);
    }

    /// A link that was wanted to see whether a node is there is down, or did not come up.
    pub(super) fn probe_over(&mut self, peer: &NodeId) {
        self.probing.dialing.remove(peer);
    }

    /// Whether a dial is on its way to see whether a node is there.
    pub(super) fn is_probed(&self, peer: &NodeId) -> bool {
        self.probing.dialing.contains_key(peer)
    }

    /// What there is to say of one node has changed.
    fn judged(&mut self, cx: &mut Cx<'_>, node: &NodeId) {
        let Some(addr) = self.index.get(node).and_then(|(_, n)| n.addrs.first().copied()) else { return };
        let since = self.index.since(node).unwrap_or_default();
        let standing = self.admission.standing(cx.now.mono, node, &addr, since);
        if self.index.set_standing(node, standing) {
            cx.deadlines.set_no_later(TimerKey::Rendezvous(Timer::Changed), cx.now.mono + super::CHANGED);
        }
    }

    /// An advert came, or went, or moved.
    pub(super) fn advert_changed(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        if node == cx.me {
            self.index.set_standing(&node, Standing::Reached);
        } else if cx.links().is_direct(&node) {
            self.shown(cx, node);
        } else {
            self.judged(cx, &node);
        }
        let now = cx.now.mono;
        for timer in [Timer::Judge, Timer::Probe] {
            let timer = TimerKey::Rendezvous(timer);
            if !cx.deadlines.armed(&timer) {
                cx.deadlines.set(timer, now + Span(self.rng.between(APART.0 / 2, JUDGE.0)));
            }
        }
    }

    /// Judges all of them, and tells neighbours what is new.
    pub(super) fn judge(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        if self.index.is_empty() && self.probing.told.is_empty() {
            return;
        }
        let (admission, index) = (&mut self.admission, &mut self.index);
        let me = cx.me;
        let known = admission.known(now, |n| index.get(n).filter(|_| *n != me)?.1.addrs.first());
        admission.count(known.into_iter());
        let changed = index.judge(cx.now.wall, admission.strangers(), &cx.me, |n, addr, since| {
            admission.standing(now, n, addr, since)
        });
        let slots = usize::from(SLOTS);
        let favoured: Vec<u64> =
            index.trusted(slots).map(head).chain(admission.vouched()).take(2 * MAX_VOUCHED).collect();
        cx.records.favour(INDEX, favoured.into_iter());
        if changed {
            self.index_changed(cx);
        }
        self.tell(cx);
        cx.deadlines.set(TimerKey::Rendezvous(Timer::Judge), now + JUDGE);
    }

    fn tell(&mut self, cx: &mut Cx<'_>) {
        let reached = |n: &&NodeId| **n != cx.me && self.index.standing(n) == Some(Standing::Reached);
        let reached = self.index.trusted(SLOTS.into()).filter(reached).map(head);
        let now: BTreeSet<u64> = reached.take(MAX_VOUCHED).collect();
        let (new, gone) = (now.difference(&self.probing.told), self.probing.told.difference(&now));
        let m = VouchReached {
            anew: false,
            reached: VouchReached::pack(new.copied()),
            lost: VouchReached::pack(gone.copied()),
        };
        if m.reached.is_empty() && m.lost.is_empty() {
            return;
        }
        for n in self.probing.neighbors.iter().copied().collect::<Vec<_>>() {
            cx.counters.vouches_sent += 1;
            cx.send(n, m.clone());
        }
        self.probing.told = now;
    }

    /// Somebody became a neighbour in the network's overlay: it is told whom this node has reached.
    pub(super) fn vouch_to(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        self.probing.neighbors.insert(peer);
        if !self.probing.told.is_empty() {
            let reached = VouchReached::pack(self.probing.told.iter().copied());
            cx.counters.vouches_sent += 1;
            cx.send(peer, VouchReached { anew: true, reached, lost: Vec::new() });
        }
    }

    pub(super) fn vouches_no_more(&mut self, peer: &NodeId) {
        self.probing.neighbors.remove(peer);
        self.admission.forget(peer);
    }

    pub(super) fn on_vouch(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &VouchReached) {
        if !self.probing.neighbors.contains(&from) {
            cx.counters.frames_unexpected += 1;
            return;
        }
        let (reached, lost) = (VouchReached::unpack(&m.reached), VouchReached::unpack(&m.lost));
        cx.counters.vouches_shed += self.admission.vouches(from, m.anew, &reached, &lost) as u64;
        let soon = cx.now.mono + if m.anew { NEWS } else { HEARD };
        cx.deadlines.set_no_later(TimerKey::Rendezvous(Timer::Judge), soon);
    }

    /// Dials somebody of whom others' word is all there is.
    pub(super) fn probe(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        if self.index.is_empty() {
            return;
        }
        let picked = self.pick(cx);
        let tokens = self.probing.tokens.get_or_insert_with(|| Tokens::new(FIRST, EVERY, now));
        let node = picked.filter(|_| tokens.take(now));
        // Without anybody to dial, or anything to do it with, there is time.
        let apart = if node.is_some() { APART } else { IDLE };
        let apart = Span(self.rng.between(apart.0 / 2, apart.0 * 3 / 2));
        cx.deadlines.set(TimerKey::Rendezvous(Timer::Probe), now + apart);
        let Some(node) = node else { return };
        let Some((place, to)) = self.index.get(&node) else { return };
        let (place, to) = (*place, to.clone());
        match cx.claim_saying(&to, CLAIM, None) {
            Claimed::Dialing => {
                cx.counters.adverts_dialed += 1;
                self.probing.dialing.insert(node, place);
            }
            Claimed::Up => cx.release(node, CLAIM),
            Claimed::Full | Claimed::NoAddress => {}
        }
    }

    fn pick(&mut self, cx: &Cx<'_>) -> Option<NodeId> {
        if self.probing.dialing.len() >= MAX_DIALING || cx.links().len() + SPARE > cx.config.max_links {
            return None;
        }
        let (mut vouched, mut strangers) = (Vec::new(), Vec::new());
        for (n, standing) in self.index.all() {
            match standing {
                Standing::Vouched => vouched.push(n.id),
                Standing::Stranger => strangers.push(n.id),
                _ => {}
            }
        }
        let rather = if self.index.doubts() { 4 } else { 2 };
        let mut from = match (vouched.is_empty(), strangers.is_empty()) {
            (false, false) if self.rng.below(rather) == 0 => strangers,
            (true, _) => strangers,
            _ => vouched,
        };
        self.rng.sample(&mut from, TRIES);
        from.into_iter().find(|n| self.is_free(cx, n))
    }

    /// Whether somebody may be dialed to see whether it is there.
    fn is_free(&self, cx: &Cx<'_>, node: &NodeId) -> bool {
        let place = self.index.get(node).map(|(p, _)| p);
        *node != cx.me
            && cx.links().claims(node).is_empty()
            && !cx.links().is_direct(node)
            && cx.topology.is_ready(node, cx.now.mono)
            && !self.probing.dialing.values().any(|p| Some(p) == place)
    }
}
