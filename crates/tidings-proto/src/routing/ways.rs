//! How a node that nobody can dial is found: it keeps links to some that can be, and says so in its beacon.
//!
//! Most of them are links to nodes that others in its place link to as well, so that a network has few relays, each of which
//! carries for many, and about as much as the others: those that it takes for relays ([`crate::roles`]), by what they carried
//! for it, or for those whom it believes; and since in the beginning nobody has carried anything, those that are drawn for the day
//! from the index ([`crate::discovery::index::Index::drawn`]), as many as the network wants relays. What a node says of itself
//! gets it nowhere here. Some are tried at a time, and the nearest kept. The others that it says are neighbours as they come:
//! there the next relays are found.
//!
//! It asks each to keep the link (`reserve.rs`), and says only those that do.
//!
//! What it says is told to everybody. So it changes at once only where a link is lost or there is room, and for
//! better ones ever more seldom.

use std::collections::{BTreeMap, BTreeSet};

use super::Timer;
use super::merit::Merits;
use super::reserve::RENEW;
use crate::identity::{Addr, AgentId, NodeId, PeerAddr, RecordKey};
use crate::io::Overlay;
use crate::layer::{Cx, Request, Signal, TimerKey};
use crate::links::{Claim, Claimed};
use crate::presence::{GroupSecret, MAX_VIAS, Via, beacon};
use crate::records::sets;
use crate::rng::Rng;
use crate::roles::{PeerRole, wanted};
use crate::time::{Span, Time};
use crate::topology::PeerState;
use crate::wire::{Message, Reserve};

/// A node that nobody has dialed for so long after its first link says how else it is found: those whose neighbours dial them hear of
/// that within seconds (a guess).
const BELIEVE: Span = Span::from_secs(5);
/// How often it is seen to.
const EVERY: Span = Span::from_secs(2);
/// Or, while there is none: links come up one soon after another.
const SOON: Span = Span::from_millis(100);
/// Links kept for it: as many as the beacon holds.
pub(super) const KEPT: usize = MAX_VIAS;
/// Of these so many are to relays, if that many are known. They come first in the beacon.
pub(super) const RELAYS: usize = 6;
/// Who is drawn is asked so often.
const DRAW: Span = Span::from_secs(60);
/// Relays tried at a time, to be kept if they are near, and how long each.
const TRIED: usize = 2;
const TRIAL: Span = Span::from_secs(10);
/// Each is forgotten after so long: then it may be tried again.
const TRY_AGAIN: Span = Span::from_secs(300);
/// A relay that does not say for so long that it keeps the link does not.
const ANSWERS: Span = Span::from_secs(10);
/// A kept link is given up for a better one after so long, and each time after twice as long, at most so many doublings.
const EXCHANGE: Span = Span::from_secs(15);
const EXCHANGE_MOST: u32 = 6;

const CLAIM: Claim = Claim { layer: 102, overlay: Overlay::Root };

/// A link that is asked for.
#[derive(Clone, Copy, Debug)]
struct Kept {
    rtt: Span,
    asked: Time,
    /// When the relay said last that it keeps it.
    answered: Option<Time>,
}

/// This node's own ways.
#[derive(Debug, Default)]
pub(super) struct Ways {
    since: Option<Time>,
    kept: BTreeMap<NodeId, Kept>,
    drawn: BTreeMap<NodeId, PeerAddr>,
    drawn_at: Option<Time>,
    /// Relays that were linked to see how far they are, and those that do not keep the link.
    tried: BTreeMap<NodeId, Time>,
    trying: BTreeSet<NodeId>,
    declined: BTreeMap<NodeId, Time>,
    exchanged: Time,
    exchanges: u32,
}

/// The lower the better: relays before others, then the near before the far.
type Rank = (Class, u64, NodeId);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Relay,
    Other,
}

impl Ways {
    /// A link came up: there is something to see to.
    pub(super) fn met(&mut self, cx: &mut Cx<'_>) {
        if self.since.is_none() {
            self.since = Some(cx.now.mono);
            cx.deadlines.set(TimerKey::Routing(Timer::Ways), cx.now.mono + BELIEVE);
        } else if self.kept.is_empty() {
            // Who has lost all of them is not to be found until it has another.
            cx.deadlines.set_no_later(TimerKey::Routing(Timer::Ways), cx.now.mono + SOON);
        }
    }

    /// Whether a link that is gone was one of them.
    pub(super) fn lost(&mut self, peer: &NodeId) -> bool {
        self.trying.remove(peer);
        let was = self.kept.remove(peer).is_some();
        if was {
            self.exchanges = 0;
        }
        was
    }

    pub(super) fn set_drawn(&mut self, drawn: Vec<PeerAddr>) {
        self.drawn = drawn.into_iter().map(|p| (p.id, p)).collect();
    }

    /// A relay says whether it keeps the link. Returns false if it was not asked.
    pub(super) fn answered(&mut self, cx: &mut Cx<'_>, relay: &NodeId, keeps: bool) -> bool {
        let Some(k) = self.kept.get_mut(relay) else { return false };
        if keeps {
            k.answered = Some(cx.now.mono);
            if cx.vias.is_empty() {
                self.say(cx);
            }
        } else {
            self.give_up(cx, relay);
            self.declined.insert(*relay, cx.now.mono);
        }
        true
    }

    fn give_up(&mut self, cx: &mut Cx<'_>, peer: &NodeId) {
        if self.kept.remove(peer).is_some() {
            if cx.links().is_direct(peer) {
                cx.send(*peer, Reserve { hold: false });
            }
            cx.release(*peer, CLAIM);
        }
    }

    fn keep(&mut self, cx: &mut Cx<'_>, group: &GroupSecret, peer: NodeId) {
        let rtt = cx.topology.rtt(&peer).unwrap_or(Span::from_secs(1));
        let addrs = self.addrs(cx, group, &peer);
        let ask = Message::from(Reserve { hold: true }).frame();
        let claimed = cx.claim_saying(&PeerAddr { id: peer, addrs }, CLAIM, Some(ask));
        self.trying.remove(&peer);
        match claimed {
            Claimed::Up | Claimed::Dialing => {
                self.kept.insert(peer, Kept { rtt, asked: cx.now.mono, answered: None });
            }
            Claimed::Full | Claimed::NoAddress => {
                self.declined.insert(peer, cx.now.mono);
            }
        }
    }

    fn addrs(&self, cx: &Cx<'_>, group: &GroupSecret, relay: &NodeId) -> Vec<Addr> {
        self.drawn.get(relay).map_or_else(|| addrs(cx, group, relay), |p| p.addrs.clone())
    }

    /// Keeps the links that this node is found by, and says which.
    pub(super) fn tend(&mut self, cx: &mut Cx<'_>, group: &GroupSecret, merits: &Merits, rng: &mut Rng) {
        cx.deadlines.set(TimerKey::Routing(Timer::Ways), cx.now.mono + EVERY);
        if self.since.is_none_or(|s| cx.now.mono.since(s) < BELIEVE) {
            return;
        }
        let dialed = cx.links().up().any(|p| !cx.links().outbound(&p));
        if dialed || cx.attestations.any(cx.own_addrs) {
            for peer in self.kept.keys().copied().collect::<Vec<_>>() {
                self.give_up(cx, &peer);
            }
            for peer in std::mem::take(&mut self.trying) {
                cx.release(peer, CLAIM);
            }
        } else {
            self.renew(cx);
            self.choose(cx, group, merits);
            self.try_relays(cx, group, rng);
        }
        self.say(cx);
    }

    fn say(&self, cx: &mut Cx<'_>) {
        let said = self.kept.iter().filter(|(_, k)| k.answered.is_some());
        let mut said: Vec<(Class, Span, NodeId)> = said.map(|(p, k)| (self.class(cx, p), k.rtt, *p)).collect();
        said.sort_unstable();
        let vias: Vec<Via> = said.iter().map(|(_, rtt, p)| Via::new(p, *rtt)).collect();
        if *cx.vias != vias {
            *cx.vias = vias;
            cx.signal(Signal::ViasChanged);
        }
    }

    /// Asks for links anew, and gives up those that were asked for in vain.
    fn renew(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let silent = |k: &Kept| now.since(k.asked) >= ANSWERS && k.answered.is_none_or(|at| at < k.asked);
        for peer in self.kept.iter().filter(|(_, k)| silent(k)).map(|(p, _)| *p).collect::<Vec<_>>() {
            self.give_up(cx, &peer);
            self.declined.insert(peer, now);
        }
        for (peer, k) in self.kept.iter_mut().filter(|(_, k)| now.since(k.asked) >= RENEW) {
            k.asked = now;
            cx.send(*peer, Reserve { hold: true });
        }
    }

    fn class(&self, cx: &Cx<'_>, p: &NodeId) -> Class {
        match cx.topology.role(p) == PeerRole::Relay || self.drawn.contains_key(p) {
            true => Class::Relay,
            false => Class::Other,
        }
    }

    /// A relay of which nothing is known is as good as one that is a quarter farther and has proven itself.
    fn rank(&self, cx: &Cx<'_>, merits: &Merits, p: NodeId) -> Rank {
        let rtt = cx.topology.rtt(&p).unwrap_or(Span::from_secs(1));
        let cost = merits.cost(&p, rtt);
        match cx.topology.role(&p) == PeerRole::Relay {
            true => (Class::Relay, cost, p),
            false => (self.class(cx, &p), cost.saturating_add(cost / 4), p),
        }
    }

    fn choose(&mut self, cx: &mut Cx<'_>, group: &GroupSecret, merits: &Merits) {
        let now = cx.now.mono;
        self.declined.retain(|_, at| now.since(*at) < TRY_AGAIN);
        let fit = |p: &NodeId| match (self.kept.contains_key(p), cx.links().is_direct(p)) {
            (true, _) => true,
            _ if self.declined.contains_key(p) || cx.links().is_circuit(p) => false,
            (_, true) => cx.links().outbound(p) && cx.topology.state(p) == PeerState::Alive,
            _ => cx.topology.rtt(p).is_some() && cx.topology.is_ready(p, now),
        };
        let all: BTreeSet<NodeId> = self.relays(cx).chain(cx.links().up()).chain(self.kept.keys().copied()).collect();
        let mut best: Vec<Rank> = all.into_iter().filter(fit).map(|p| self.rank(cx, merits, p)).collect();
        best.sort_unstable();
        let relays = best.iter().take_while(|r| r.0 == Class::Relay).count();
        best.drain(relays.min(RELAYS)..relays);
        best.truncate(KEPT);
        let out = self.kept.keys().filter(|p| !best.iter().any(|b| b.2 == **p));
        let mut out: Vec<Rank> = out.map(|p| self.rank(cx, merits, *p)).collect();
        out.sort_unstable();
        let may = now.since(self.exchanged) >= EXCHANGE.times(1 << self.exchanges);
        let mut exchanged = false;
        for new in best {
            if self.kept.contains_key(&new.2) {
                continue;
            }
            if self.kept.len() >= KEPT {
                // A relay for one that is none, at once; or one that is a quarter nearer.
                let better =
                    |old: &Rank| new.0 < old.0 || (may && new.0 == old.0 && new.1.saturating_add(new.1 / 4) < old.1);
                let Some(old) = out.pop().filter(better) else { break };
                exchanged |= new.0 == old.0;
                self.give_up(cx, &old.2);
            }
            self.keep(cx, group, new.2);
        }
        if exchanged {
            self.exchanged = now;
            self.exchanges = (self.exchanges + 1).min(EXCHANGE_MOST);
        }
    }

    /// Those that are relays, or may be.
    fn relays(&self, cx: &Cx<'_>) -> impl Iterator<Item = NodeId> {
        let me = cx.me;
        let relays = cx.topology.roles().filter(|(_, r)| r.effective == PeerRole::Relay).map(|(n, _)| n);
        relays.chain(self.drawn.keys().copied()).filter(move |n| *n != me)
    }

    /// Links to relays of which it is not known how far they are.
    fn try_relays(&mut self, cx: &mut Cx<'_>, group: &GroupSecret, rng: &mut Rng) {
        let now = cx.now.mono;
        if self.drawn_at.is_none_or(|at| now.since(at) >= DRAW) {
            self.drawn_at = Some(now);
            cx.request(Request::DrawRelays(wanted(cx.records.len(sets::PRESENCE))));
        }
        // What was worth keeping is kept.
        let over = |p: &NodeId| self.tried.get(p).is_none_or(|at| now.since(*at) >= TRIAL);
        for peer in self.trying.iter().copied().filter(over).collect::<Vec<_>>() {
            self.trying.remove(&peer);
            cx.release(peer, CLAIM);
        }
        self.tried.retain(|_, at| now.since(*at) < TRY_AGAIN);
        let fit = |n: &NodeId| !cx.links().is_direct(n) && !self.tried.contains_key(n) && cx.topology.is_ready(n, now);
        let relays: BTreeSet<NodeId> = self.relays(cx).filter(fit).collect();
        let mut relays: Vec<NodeId> = relays.into_iter().collect();
        rng.sample(&mut relays, TRIED.saturating_sub(self.trying.len()));
        for relay in relays {
            self.tried.insert(relay, now);
            let addrs = self.addrs(cx, group, &relay);
            if matches!(cx.claim_at(relay, CLAIM, &addrs), Claimed::Up | Claimed::Dialing) {
                self.trying.insert(relay);
            }
        }
    }
}

/// A relay by which a node says that it is found.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    pub(super) relay: NodeId,
    pub(super) addrs: Vec<Addr>,
    /// Its round trip to the node.
    pub(super) rtt: Span,
}

fn beacon_of(cx: &Cx<'_>, group: &GroupSecret, key: &RecordKey) -> Option<beacon::Beacon> {
    let r = cx.records.get(sets::PRESENCE, key)?;
    beacon::open(cx.crypto, group, &r.claim, &r.bytes).filter(|b| !b.leaving)
}

/// Whether a node says that it is found through relays.
pub(crate) fn is_behind(cx: &Cx<'_>, group: &GroupSecret, node: &NodeId) -> bool {
    beacon_of(cx, group, &RecordKey::from(*node)).is_some_and(|b| !b.vias.is_empty())
}

/// Whether a node says that it is here.
pub(crate) fn says_it_is_here(cx: &Cx<'_>, group: &GroupSecret, node: &NodeId) -> bool {
    beacon_of(cx, group, &RecordKey::from(*node)).is_some()
}

/// The agent of a node, by the certificate that its beacon names, or that it named elsewhere.
pub(crate) fn agent(cx: &Cx<'_>, group: &GroupSecret, node: &NodeId) -> Option<AgentId> {
    cx.agent_of(node).agent().or_else(|| {
        let beacon = beacon_of(cx, group, &RecordKey::from(*node))?;
        let named = cx.certificates.agent(beacon.certificate?, node, cx.now.wall)?;
        named.ok().filter(|agent| beacon.agent == Some(*agent))
    })
}

/// Where a node can be dialed, by what is known.
pub(crate) fn addrs(cx: &Cx<'_>, group: &GroupSecret, node: &NodeId) -> Vec<Addr> {
    let known = cx.topology.addrs(node);
    match known.is_empty() {
        false => known.to_vec(),
        true => beacon_of(cx, group, &RecordKey::from(*node)).map(|b| b.addrs).unwrap_or_default(),
    }
}

/// The relays by which a node says that it is found.
pub(super) fn stated(cx: &Cx<'_>, group: &GroupSecret, node: &NodeId) -> Vec<Stated> {
    let Some(beacon) = beacon_of(cx, group, &RecordKey::from(*node)) else { return Vec::new() };
    let mut out = Vec::new();
    for via in beacon.vias {
        // The records with such a beginning are one, nearly always.
        for key in cx.records.beginning(sets::PRESENCE, u64::from_be_bytes(via.head)) {
            let relay = NodeId(key.0);
            if relay != cx.me && relay != *node {
                out.push(Stated { relay, addrs: addrs(cx, group, &relay), rtt: via.span() });
            }
        }
    }
    out
}
