//! The two views of one overlay: active (neighbours) and passive (spares), and the requests under way.

use crate::identity::{NodeId, PeerAddr};
use crate::io::Overlay;
use crate::membership::size::Size;
use crate::rng::Rng;
use crate::time::{Now, Span, Time};

/// A neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Active {
    pub(super) id: NodeId,
    pub(super) since: Time,
    /// It does not answer: it keeps its place in name only, until it recovers or is removed.
    pub(super) suspected: bool,
}

/// A spare neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spare {
    pub(super) id: NodeId,
    /// Not asked again before.
    pub(super) not_before: Time,
    /// Refusals in a row.
    pub(super) refused: u8,
}

/// What we asked a peer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To let us into the overlay.
    Join,
    /// To become neighbours: we have room.
    Neighbor,
    /// To become neighbours although we are full: when it accepts, one of ours makes room.
    Split,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) peer: NodeId,
    pub(super) asked: Asked,
    pub(super) sent: bool,
    pub(super) deadline: Time,
}

/// So many now, one more each interval, at most so many.
#[derive(Debug)]
pub(super) struct Tokens {
    left: u32,
    most: u32,
    every: Span,
    last: Time,
}

impl Tokens {
    pub(super) fn new(most: u32, every: Span, now: Time) -> Self {
        Tokens { left: most, most, every, last: now }
    }

    pub(super) fn take(&mut self, now: Time) -> bool {
        let grown = now.since(self.last).0 / self.every.0.max(1);
        if grown > 0 {
            self.left = self.left.saturating_add(u32::try_from(grown).unwrap_or(u32::MAX)).min(self.most);
            self.last += Span(grown.saturating_mul(self.every.0));
        }
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }
}

/// One overlay as this node sees it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) overlay: Overlay,
    pub(super) rng: Rng,
    pub(super) active: Vec<Active>,
    pub(super) passive: Vec<Spare>,
    pub(super) pending: Vec<Pending>,
    pub(super) size: Size,
    pub(super) joins: Tokens,
    pub(super) splits: Tokens,
    /// Fill attempts since the view last grew or shrank, for the back-off.
    pub(super) attempts: u32,
    pub(super) fill_at: Time,
    /// Visits to the bootstrap peers since there last was a neighbour.
    pub(super) visits: u32,
    pub(super) visit_at: Time,
    /// A bootstrap peer has answered since the start. Until one has, neighbours may be as lost as we are.
    pub(super) answered: bool,
    pub(super) shuffles: u32,
    /// Shuffles whose answer may still come.
    pub(super) shuffles_open: u32,
}

impl View {
    pub(super) fn new(overlay: Overlay, me: NodeId, seed: &[u8; 32], now: Now) -> Self {
        let instance: &[u8] = match &overlay {
            Overlay::Root => &[],
            Overlay::Topic(t) => t.as_bytes(),
        };
        View {
            overlay,
            rng: Rng::derive(seed, "membership", instance),
            active: Vec::new(),
            passive: Vec::new(),
            pending: Vec::new(),
            size: Size::new(me, overlay, now.wall),
            // A newcomer costs a contact some ten frames: fifty at once and twenty a second are cheap, a flood of
            // thousands is not (guesses).
            joins: Tokens::new(50, Span::from_millis(50), now.mono),
            // Neighbours exchanged for newcomers: slow enough that a flood of joins cannot turn a view over before
            // its victims have found others.
            splits: Tokens::new(4, Span::from_millis(500), now.mono),
            attempts: 0,
            fill_at: now.mono,
            visits: 0,
            visit_at: now.mono,
            answered: false,
            shuffles: 0,
            shuffles_open: 0,
        }
    }

    pub(super) fn is_active(&self, peer: &NodeId) -> bool {
        self.active.iter().any(|a| a.id == *peer)
    }

    pub(super) fn pending(&self, peer: &NodeId) -> Option<&Pending> {
        self.pending.iter().find(|p| p.peer == *peer)
    }

    pub(super) fn take_pending(&mut self, peer: &NodeId) -> Option<Pending> {
        let at = self.pending.iter().position(|p| p.peer == *peer)?;
        Some(self.pending.swap_remove(at))
    }

    /// Neighbours that count: those not suspected.
    pub(super) fn counted(&self) -> usize {
        self.active.iter().filter(|a| !a.suspected).count()
    }

    /// Places neither taken nor asked for.
    pub(super) fn room(&self, target: usize) -> usize {
        let asked = self.pending.iter().filter(|p| p.asked == Asked::Neighbor).count();
        target.saturating_sub(self.counted() + asked)
    }

    /// Remembers a spare. When full, one at random makes room, refused ones first.
    pub(super) fn remember(&mut self, peer: NodeId, me: NodeId, capacity: usize) {
        if peer == me || self.is_active(&peer) || self.passive.iter().any(|s| s.id == peer) {
            return;
        }
        if self.passive.len() >= capacity {
            let refused: Vec<usize> = (0..self.passive.len()).filter(|i| self.passive[*i].refused > 2).collect();
            let at = match self.rng.pick(&refused) {
                Some(i) => *i,
                None => self.rng.below(self.passive.len()),
            };
            self.passive.swap_remove(at);
        }
        self.passive.push(Spare { id: peer, not_before: Time::default(), refused: 0 });
    }

    pub(super) fn forget(&mut self, peer: &NodeId) {
        self.passive.retain(|s| s.id != *peer);
    }

    /// A neighbour other than `but`, uniformly.
    pub(super) fn random_active(&mut self, but: &[NodeId]) -> Option<NodeId> {
        let well = self.active.iter().filter(|a| !a.suspected);
        let from: Vec<NodeId> = well.map(|a| a.id).filter(|p| !but.contains(p)).collect();
        self.rng.pick(&from).copied()
    }

    /// A neighbour that may make room: at random among the younger half. The older half is protected, so that a
    /// stream of newcomers can never take a whole view over.
    pub(super) fn victim(&mut self, but: &NodeId) -> Option<NodeId> {
        let mut by_age: Vec<(Time, NodeId)> =
            self.active.iter().filter(|a| !a.suspected).map(|a| (a.since, a.id)).collect();
        by_age.sort_unstable();
        let young: Vec<NodeId> =
            by_age.split_off(by_age.len().div_ceil(2)).into_iter().map(|(_, p)| p).filter(|p| p != but).collect();
        self.rng.pick(&young).copied()
    }

    /// A uniform sample of `k` spares.
    pub(super) fn sample_passive(&mut self, k: usize) -> Vec<NodeId> {
        let mut all: Vec<NodeId> = self.passive.iter().map(|s| s.id).collect();
        self.rng.sample(&mut all, k);
        all
    }

    /// A uniform sample of `k` neighbours other than `but`.
    pub(super) fn sample_active(&mut self, k: usize, but: &[NodeId]) -> Vec<NodeId> {
        let well = self.active.iter().filter(|a| !a.suspected);
        let mut all: Vec<NodeId> = well.map(|a| a.id).filter(|p| !but.contains(p)).collect();
        self.rng.sample(&mut all, k);
        all
    }
}

/// The part of [`crate::wire::Disconnect::reason`] that is not a replacement.
pub(super) const LEFT: u8 = 1;
/// See [`LEFT`].
pub(super) const GOODBYE: u8 = 2;

/// The addresses of `peers`, as messages carry them; those without any are left out.
pub(super) fn with_addrs(topology: &crate::topology::Topology, peers: Vec<NodeId>) -> Vec<PeerAddr> {
    peers.iter().map(|p| topology.peer_addr(p)).filter(|p| !p.addrs.is_empty()).collect()
}
