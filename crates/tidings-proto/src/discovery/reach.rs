//! Reachability: proof for strangers that a node can be dialed where it says it is.
//!
//! A node asks those of its neighbours that dialed it to attest the address at which they reached it: no further dial is
//! needed, since half of all links were dialed by the other end. Whoever did so signs the asker's id, the address and the
//! time. An address counts as confirmed when [`UNRELATED`] neighbours of different prefixes (/24, /48) have attested it within
//! [`HOLDS`]; behind an address translation nobody reaches a node without its help, and nobody attests it.
//!
//! What it proves: that so many peers signed it. Somebody with nodes behind several prefixes can attest whatever they like, as
//! they could run a reachable node there; it keeps out those who are merely mistaken about their address, and makes many
//! false adverts cost many prefixes.
//!
//! Messages: `AskReach`, `Reached`. Timer: `Ask`. Invariants: an attestation is kept only if it was asked for, is of an address of
//! ours, and its signature is right; at most one is kept of each neighbour, `KEPT` in all; a neighbour is answered once a
//! second.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use crate::crypto::{Crypto, SIGNATURE_LEN};
use crate::identity::{Addr, Network, NodeId, PeerAddr};
use crate::io::Overlay;
use crate::layer::{Cx, Done, Layer, RequestTicket, Signal, TimerKey};
use crate::membership::prefix::Prefix;
use crate::time::{Span, Time, UnixMillis};
use crate::topology::Topology;
use crate::wire::{AskReach, Message, Reached};

/// So many peers must have reached an address for it to count as confirmed.
pub const UNRELATED: usize = 2;
/// An attestation counts for so long: addresses that change, change about daily.
pub const HOLDS: Span = Span::from_secs(24 * 3_600);
/// Clocks may be so far apart.
const CLOCKS: Span = Span::from_secs(15 * 60);
/// Attestations kept, one a neighbour: twice an active view.
const KEPT: usize = 24;
/// How often the neighbours are asked that have not answered, or long ago (a guess).
const EVERY: Span = Span::from_secs(600);
/// The first time, soon after the neighbours have come.
const SOON: Span = Span::from_secs(2);
/// A neighbour is answered so often.
const APART: Span = Span::from_secs(1);

/// A peer's word that it dialed a node at an address and reached it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Attestation {
    /// Whose word.
    #[n(0)]
    pub by: NodeId,
    /// Whom it reached, and where: one address.
    #[n(1)]
    pub of: PeerAddr,
    /// When, in milliseconds of its wall clock.
    #[n(2)]
    pub at_ms: u64,
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    signature: [u8; SIGNATURE_LEN],
}

fn digest(key: &[u8; 32], of: &PeerAddr, at_ms: u64) -> [u8; 32] {
    let of = minicbor::to_vec(of).unwrap_or_default();
    let mut h = blake3::Hasher::new_keyed(key);
    h.update(&at_ms.to_le_bytes()).update(&(of.len() as u32).to_le_bytes()).update(&of);
    *h.finalize().as_bytes()
}

/// The key that binds attestations to a network.
pub fn key(network: &Network) -> [u8; 32] {
    network.derive("tidings 1 reached")
}

impl Attestation {
    /// The word of whom `crypto` signs for, that it reached a node at its one address.
    pub fn issue(crypto: &dyn Crypto, key: &[u8; 32], of: PeerAddr, at_ms: u64) -> Attestation {
        let signature = crypto.sign(&digest(key, &of, at_ms));
        Attestation { by: crypto.node_id(), of, at_ms, signature }
    }

    /// As it is told to the node it is of.
    pub fn told(self) -> Reached {
        Reached { you: self.of, at_ms: self.at_ms, signature: self.signature }
    }

    /// Whether it is of `subject` in the network of `key`, and its author's.
    pub fn verify(&self, crypto: &dyn Crypto, key: &[u8; 32], subject: &NodeId) -> bool {
        self.by != *subject
            && self.of.id == *subject
            && crypto.verify(&self.by, &digest(key, &self.of, self.at_ms), &self.signature)
    }

    /// Whether it is of this address.
    pub fn is_of(&self, addr: &Addr) -> bool {
        self.of.addrs == [*addr]
    }

    /// Whether it counts at a time of somebody's wall clock.
    pub fn counts_at(&self, wall: UnixMillis) -> bool {
        self.at_ms <= wall.0.saturating_add(CLOCKS.as_millis())
            && wall.0 <= self.at_ms.saturating_add((HOLDS + CLOCKS).as_millis())
    }
}

/// Whether these prove to anybody that `subject` was reached at every one of `addrs`: at each by [`UNRELATED`] peers at least.
/// Where a stranger's peers sit nobody can tell, so that they are unrelated is the node's own check.
pub fn proves(
    attestations: &[Attestation],
    crypto: &dyn Crypto,
    key: &[u8; 32],
    subject: &NodeId,
    addrs: &[Addr],
    at: UnixMillis,
) -> bool {
    let good = |a: &&Attestation| a.counts_at(at) && a.verify(crypto, key, subject);
    let good: Vec<&Attestation> = attestations.iter().filter(good).collect();
    !addrs.is_empty()
        && addrs.iter().all(|addr| {
            let by: BTreeSet<NodeId> = good.iter().filter(|a| a.is_of(addr)).map(|a| a.by).collect();
            by.len() >= UNRELATED
        })
}

/// What others have attested of this node.
#[derive(Debug, Default)]
pub struct Attestations(BTreeMap<NodeId, Attestation>);

impl Attestations {
    /// Those of a node's addresses that are confirmed, each with the attestations of [`UNRELATED`] peers of different prefixes.
    pub(crate) fn confirmed(
        &self,
        wall: UnixMillis,
        own: &[Addr],
        topology: &Topology,
    ) -> Vec<(Addr, Vec<Attestation>)> {
        let confirmed = own.iter().filter_map(|addr| {
            let mut some = self.of(wall, addr, own, topology, false);
            some.truncate(UNRELATED);
            (some.len() == UNRELATED).then_some((*addr, some))
        });
        confirmed.collect()
    }

    /// Whether anybody has reached this node at one of these addresses.
    pub(crate) fn any(&self, own: &[Addr]) -> bool {
        self.0.values().any(|a| own.iter().any(|addr| a.is_of(addr)))
    }

    /// The attestations of one address: one of each prefix, or with `related` those of one prefix too, the others first.
    pub(crate) fn of(
        &self,
        wall: UnixMillis,
        addr: &Addr,
        own: &[Addr],
        topology: &Topology,
        related: bool,
    ) -> Vec<Attestation> {
        let mut prefixes = BTreeSet::new();
        let (mut first, mut more) = (Vec::new(), Vec::new());
        for a in self.0.values().filter(|a| a.is_of(addr) && a.counts_at(wall)) {
            match prefixes.insert(Prefix::of(&a.by, topology.whereabouts(&a.by), own)) {
                true => first.push(a.clone()),
                false => more.push(a.clone()),
            }
        }
        if related {
            first.extend(more);
        }
        first
    }
}

/// The timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Ask for attestations.
    Ask,
}

/// The layer that asks for attestations and gives them.
#[derive(Debug)]
pub struct Reach {
    key: [u8; 32],
    neighbors: BTreeSet<NodeId>,
    asked: BTreeSet<NodeId>,
    answered: BTreeMap<NodeId, Time>,
}

impl Reach {
    pub(crate) fn new(network: &Network) -> Reach {
        Reach { key: key(network), neighbors: BTreeSet::new(), asked: BTreeSet::new(), answered: BTreeMap::new() }
    }

    /// Asks the neighbours that dialed this node and have not attested it lately where it is now.
    fn ask(&mut self, cx: &mut Cx<'_>) {
        let wall = cx.now.wall;
        let fresh = |a: &Attestation| {
            cx.own_addrs.iter().any(|addr| a.is_of(addr)) && wall.0 <= a.at_ms.saturating_add(HOLDS.half().as_millis())
        };
        let due = |p: &NodeId| {
            cx.links().is_direct(p) && !cx.links().outbound(p) && !cx.attestations.0.get(p).is_some_and(fresh)
        };
        let due: Vec<NodeId> = self.neighbors.iter().copied().filter(due).collect();
        if cx.own_addrs.is_empty() {
            return;
        }
        for peer in due {
            self.asked.insert(peer);
            let me = cx.own_address();
            cx.send(peer, AskReach { me });
        }
    }

    fn answer(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &AskReach) {
        let now = cx.now.mono;
        if self.answered.get(&from).is_some_and(|at| now.since(*at) < APART) || !self.neighbors.contains(&from) {
            cx.counters.reach_limited += 1;
            return;
        }
        if !cx.links().outbound(&from) {
            return;
        }
        self.answered.insert(from, now);
        let at = cx.topology.whereabouts(&from).iter().find(|a| m.me.addrs.contains(a)).copied();
        let Some(addr) = at else { return };
        let you = PeerAddr { id: from, addrs: vec![addr] };
        // Whole minutes: more would only tell clocks apart.
        let at_ms = cx.now.wall.0 / 60_000 * 60_000;
        cx.counters.reach_attested += 1;
        cx.send(from, Attestation::issue(cx.crypto, &self.key, you, at_ms).told());
    }

    fn take(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Reached) {
        if !self.asked.remove(&from) {
            cx.counters.frames_unexpected += 1;
            return;
        }
        let a = Attestation { by: from, of: m.you, at_ms: m.at_ms, signature: m.signature };
        if !cx.own_addrs.iter().any(|addr| a.is_of(addr))
            || !a.counts_at(cx.now.wall)
            || !a.verify(cx.crypto, &self.key, &cx.me)
        {
            cx.counters.reach_forged += 1;
            return;
        }
        let kept = &mut cx.attestations.0;
        if kept.len() >= KEPT && !kept.contains_key(&from) {
            let oldest = kept.values().min_by_key(|a| (a.at_ms, a.by)).map(|a| a.by);
            oldest.map(|p| kept.remove(&p));
        }
        kept.insert(from, a);
    }
}

impl Layer for Reach {
    type Message = Message;
    type Command = ();
    type Timer = Timer;

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        match message {
            Message::AskReach(m) => self.answer(cx, from, &m),
            Message::Reached(m) => self.take(cx, from, m),
            _ => {}
        }
    }

    fn on_command(&mut self, _: &mut Cx<'_>, (): ()) {}

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match *signal {
            Signal::NeighborUp { overlay: Overlay::Root, peer } => {
                self.neighbors.insert(peer);
                cx.deadlines.set_no_later(TimerKey::Reach(Timer::Ask), cx.now.mono + SOON);
            }
            Signal::NeighborDown { overlay: Overlay::Root, peer, .. } => {
                self.neighbors.remove(&peer);
                self.asked.remove(&peer);
                self.answered.remove(&peer);
            }
            _ => {}
        }
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, _: Timer) {
        self.ask(cx);
        cx.deadlines.set(TimerKey::Reach(Timer::Ask), cx.now.mono + EVERY);
    }
}
