//! Neighbours' neighbours: telling ours, visiting a suspect's, and looking for those that were removed.

use super::{CLAIM, Swim, dials};
use crate::identity::{Addr, NodeId, PeerAddr};
use crate::io::{Event, Overlay};
use crate::layer::{Cx, Signal};
use crate::links::Claimed;
use crate::membership::view::Tokens;
use crate::time::{Span, Time};
use crate::topology::PeerState;
use crate::wire::{MAX_PEERS, Neighbors, Suspect};

/// A suspect's other neighbours that are dialed.
const VISITED: usize = 2;
/// Visits at once.
const MAX_VISITS: usize = 8;
/// How long a visit lasts: a dial of 1.5 s, or time for an answer and for membership to ask.
const VISIT: Span = Span::from_secs(3);
/// Changes of our neighbours are told together, at most this often.
const TELL_EVERY: Span = Span::from_secs(1);
/// And not before this: neighbours change in pairs.
const TELL_AFTER: Span = Span::from_millis(100);
/// Removed neighbours looked for at once: three views' worth.
const MAX_GONE: usize = 32;
/// Looked for so often, after 0.2 to 1 s, then 1, 2, 4, … 32 s (a quarter more or less): two minutes (a guess). A node
/// that was stopped for some seconds is found at the first try, by both ends.
const SEEK_TIMES: u8 = 7;
/// When no dial is left.
const SEEK_LATER: Span = Span::from_millis(400);

/// A link held for a moment: to a suspect's other neighbour, or to see who is back.
#[derive(Debug)]
struct Visit {
    peer: NodeId,
    /// On whose account.
    about: Option<NodeId>,
    until: Time,
}

/// A neighbour that was removed.
#[derive(Debug)]
struct Gone {
    peer: NodeId,
    addrs: Vec<Addr>,
    tries: u8,
    next: Time,
}

/// What is done about those that fail.
#[derive(Debug)]
pub(super) struct Rescue {
    /// Our neighbours in the network's overlay, and how often they changed.
    roots: Vec<NodeId>,
    version: u64,
    tell_at: Option<Time>,
    told_at: Time,
    visits: Vec<Visit>,
    gone: Vec<Gone>,
    dials: Tokens,
}

impl Rescue {
    pub(super) fn new(now: Time) -> Self {
        Rescue {
            roots: Vec::new(),
            version: 0,
            tell_at: None,
            told_at: Time::default(),
            visits: Vec::new(),
            gone: Vec::new(),
            dials: dials(now),
        }
    }

    pub(super) fn link_down(&mut self, peer: &NodeId) {
        self.visits.retain(|v| v.peer != *peer);
    }

    pub(super) fn next(&self) -> Option<Time> {
        let visits = self.visits.iter().map(|v| v.until);
        visits.chain(self.gone.iter().map(|g| g.next)).chain(self.tell_at).min()
    }

    fn changed(&mut self, now: Time) {
        self.version += 1;
        let at = (now + TELL_AFTER).max(self.told_at + TELL_EVERY);
        self.tell_at.get_or_insert(at);
    }
}

impl Swim {
    pub(super) fn neighbor_up(&mut self, cx: &mut Cx<'_>, peer: NodeId, overlay: Overlay) {
        if overlay == Overlay::Root && !self.rescue.roots.contains(&peer) {
            self.rescue.roots.push(peer);
            self.rescue.changed(cx.now.mono);
        }
        self.tell(cx, peer);
        self.arm_chores(cx);
    }

    pub(super) fn neighbor_down(&mut self, cx: &mut Cx<'_>, peer: NodeId, overlay: Overlay) {
        if overlay == Overlay::Root && self.rescue.roots.contains(&peer) {
            self.rescue.roots.retain(|p| *p != peer);
            self.rescue.changed(cx.now.mono);
            self.arm_chores(cx);
        }
    }

    /// Tells a watched peer who our neighbours are, if it does not know.
    fn tell(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let version = self.rescue.version;
        let Some(w) = self.watched.get_mut(&peer).filter(|w| w.told != version) else { return };
        w.told = version;
        let peers: Vec<PeerAddr> = self
            .rescue
            .roots
            .iter()
            .filter(|p| **p != peer)
            .take(MAX_PEERS)
            .map(|p| cx.topology.peer_addr(p))
            .collect();
        cx.send(peer, Neighbors { incarnation: self.incarnation.0, peers });
    }

    pub(super) fn on_neighbors(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Neighbors) {
        self.note(cx, from, m.incarnation);
        let Some(w) = self.watched.get_mut(&from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        w.neighbors = m.peers;
        w.neighbors.retain(|p| p.id != cx.me && p.id != from);
        w.neighbors.shrink_to_fit();
    }

    pub(super) fn chores(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        self.end_relays(cx);
        if self.rescue.tell_at.is_some_and(|at| at <= now) {
            self.rescue.tell_at = None;
            self.rescue.told_at = now;
            let all: Vec<NodeId> = self.watched.keys().copied().collect();
            for peer in all {
                self.tell(cx, peer);
            }
        }
        let over: Vec<NodeId> = self.rescue.visits.iter().filter(|v| v.until <= now).map(|v| v.peer).collect();
        self.rescue.visits.retain(|v| v.until > now);
        for peer in over {
            cx.release(peer, CLAIM);
        }
        self.seek(cx);
        self.arm_chores(cx);
    }

    /// Dials some of a suspect's other neighbours.
    pub(super) fn visit_others(&mut self, cx: &mut Cx<'_>, suspect: NodeId) {
        let Some(w) = self.watched.get(&suspect) else { return };
        let mut others: Vec<PeerAddr> = w
            .neighbors
            .iter()
            .filter(|p| !cx.links.is_up(&p.id) && cx.topology.state(&p.id) == PeerState::Alive)
            .cloned()
            .collect();
        self.rng.sample(&mut others, VISITED);
        for other in others {
            self.visit(cx, other.id, &other.addrs, Some(suspect));
        }
        self.arm_chores(cx);
    }

    /// Holds a link to `peer` for a moment. Returns whether it is on its way.
    fn visit(&mut self, cx: &mut Cx<'_>, peer: NodeId, addrs: &[Addr], about: Option<NodeId>) -> bool {
        let r = &mut self.rescue;
        if r.visits.iter().any(|v| v.peer == peer) {
            return true;
        }
        if r.visits.len() >= MAX_VISITS || !r.dials.take(cx.now.mono) {
            cx.counters.rescue_dials_limited += 1;
            return false;
        }
        match cx.claim_at(peer, CLAIM, addrs) {
            Claimed::Up | Claimed::Dialing => {
                cx.counters.rescue_dials += 1;
                r.visits.push(Visit { peer, about, until: cx.now.mono + VISIT });
                true
            }
            Claimed::Full | Claimed::NoAddress => false,
        }
    }

    pub(super) fn on_link_up(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let now = cx.now.mono;
        if let Some(v) = self.rescue.visits.iter_mut().find(|v| v.peer == peer) {
            v.until = now + VISIT;
            if let Some(suspect) = v.about
                && self.watched.get(&suspect).is_some_and(|w| w.suspicion.is_some())
            {
                let incarnation = self.known.of(&suspect).unwrap_or_default().0;
                cx.send(peer, Suspect { peer: suspect, incarnation });
                self.ask_relay(cx, suspect, peer);
                cx.signal(Signal::Candidate { peer });
            }
        }
        if let Some(at) = self.rescue.gone.iter().position(|g| g.peer == peer) {
            self.rescue.gone.remove(at);
            cx.counters.returned += 1;
            cx.topology.set_state(peer, PeerState::Alive);
            cx.signal(Signal::Recovered { peer });
            cx.event(Event::PeerRecovered { peer });
        }
        self.arm_chores(cx);
    }

    /// A neighbour was removed: shuffles do not bring it back, and it is looked for.
    pub(super) fn bury(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if self.rescue.gone.len() >= MAX_GONE {
            let oldest = self.rescue.gone.remove(0);
            cx.topology.set_state(oldest.peer, PeerState::Alive);
        }
        let addrs = cx.topology.addrs(&peer).to_vec();
        let next = cx.now.mono + Span::from_millis(self.rng.between(200, 1_000));
        self.rescue.gone.push(Gone { peer, addrs, tries: 0, next });
        cx.topology.set_state(peer, PeerState::Dead);
        self.arm_chores(cx);
    }

    /// Looks for removed neighbours.
    fn seek(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        for mut g in std::mem::take(&mut self.rescue.gone) {
            if g.next > now {
                self.rescue.gone.push(g);
                continue;
            }
            if g.tries >= SEEK_TIMES {
                cx.topology.set_state(g.peer, PeerState::Alive);
                continue;
            }
            if self.visit(cx, g.peer, &g.addrs, None) {
                let wait = 1_000_000u64 << g.tries.min(5);
                g.tries += 1;
                g.next = now + Span(self.rng.between(wait - wait / 4, wait + wait / 4));
            } else {
                g.next = now + SEEK_LATER;
            }
            self.rescue.gone.push(g);
        }
    }
}
