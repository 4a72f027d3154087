//! The two views of one overlay: active (neighbours) and passive (spares), and the requests under way.

use std::collections::VecDeque;

use crate::identity::{NodeId, PeerAddr};
use crate::io::Overlay;
use crate::layer::Cx;
use crate::membership::prefix::{Prefix, Quota};
use crate::membership::repair::Lost;
use crate::membership::size::Size;
use crate::membership::spares::{Spare, Spares};
use crate::rng::Rng;
use crate::time::{Now, Span, Time};

/// A neighbour.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) id: NodeId,
    pub(super) since: Time,
    pub(super) prefix: Prefix,
    /// It asked, unasked for; we did not choose it.
    pub(super) guest: bool,
    /// Shuffles it may pass on to us.
    pub(super) shuffles: Tokens,
    /// It does not answer: it keeps its place in name only, until it recovers or is removed.
    pub(super) suspected: bool,
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
    /// To become neighbours although both are full: when it accepts, this one of ours makes room.
    Exchange {
        old: NodeId,
        /// For a nearer neighbour; otherwise for one found again.
        near: bool,
    },
}

/// The share of peers is never taken to be smaller: there may always be one, and each dial costs.
const REACH_LEAST: f64 = 0.05;

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
pub(crate) struct Tokens {
    left: u32,
    most: u32,
    every: Span,
    last: Time,
}

impl Tokens {
    pub(crate) fn new(most: u32, every: Span, now: Time) -> Self {
        Tokens { left: most, most, every, last: now }
    }

    pub(crate) fn take(&mut self, now: Time) -> bool {
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
    pub(super) spares: Spares,
    pub(super) lost: Lost,
    pub(super) pending: Vec<Pending>,
    pub(super) size: Size,
    pub(super) joins: Tokens,
    pub(super) splits: Tokens,
    pub(super) joins_of: Quota,
    pub(super) splits_of: Quota,
    /// Fill attempts since the view last grew or shrank, for the back-off.
    pub(super) attempts: u32,
    pub(super) fill_at: Time,
    /// Trades for a nearer neighbour looked for so far, and when the next is.
    pub(super) trades: u32,
    pub(super) trade_at: Time,
    /// Where this node sits itself.
    pub(super) own: Option<Prefix>,
    /// The share of peers known that can be reached, as recent dials and losses had it.
    pub(super) reach: f64,
    /// Visits to the bootstrap peers since there last was a neighbour.
    pub(super) visits: u32,
    pub(super) visit_at: Time,
    /// A bootstrap peer has answered since the start. Until one has, neighbours may be as lost as we are.
    pub(super) answered: bool,
    pub(super) shuffles: u32,
    /// Shuffles whose answer may still come: through whom, and how many entries it may have.
    pub(super) shuffles_open: VecDeque<(NodeId, usize)>,
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
            spares: Spares::new(seed, instance),
            lost: Lost::default(),
            pending: Vec::new(),
            size: Size::new(me, overlay, now.wall),
            // A newcomer costs a contact some ten frames: fifty at once and twenty a second are cheap, a flood of
            // thousands is not (guesses).
            joins: Tokens::new(50, Span::from_millis(50), now.mono),
            // Neighbours exchanged for newcomers: slow enough that a flood of joins cannot turn a view over before
            // its victims have found others.
            splits: Tokens::new(4, Span::from_millis(500), now.mono),
            // Half of both for one prefix, so that whoever floods from one leaves the other half to others.
            joins_of: Quota::new(25, Span::from_millis(100)),
            splits_of: Quota::new(2, Span::from_secs(1)),
            attempts: 0,
            fill_at: now.mono,
            reach: 1.0,
            own: None,
            trades: 0,
            trade_at: now.mono,
            visits: 0,
            visit_at: now.mono,
            answered: false,
            shuffles: 0,
            shuffles_open: VecDeque::new(),
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

    /// Neighbours that count: those not suspected, less those whose place a peer of another prefix could have.
    pub(super) fn counted(&self) -> usize {
        let (mut well, mut firsts) = (0, 0);
        for (i, a) in self.active.iter().enumerate().filter(|(_, a)| !a.suspected) {
            well += 1;
            let before = self.active[..i].iter().filter(|b| !b.suspected && b.prefix == a.prefix).count();
            firsts += usize::from(before < self.owed(a.prefix));
        }
        let more = well - firsts;
        well - if more > 0 { more.min(self.absent()) } else { 0 }
    }

    /// How many neighbours a prefix may have before others come first.
    fn owed(&self, prefix: Prefix) -> usize {
        if self.own == Some(prefix) { OWN } else { 1 }
    }

    /// Prefixes of spares that no neighbour has.
    fn absent(&self) -> usize {
        self.spares.prefixes().filter(|p| self.like(*p) == 0).count()
    }

    /// Whether a spare's prefix is one that no neighbour has.
    fn has_absent(&self) -> bool {
        self.spares.prefixes().any(|p| self.like(p) == 0)
    }

    /// Whether another neighbour at `prefix` would not count.
    pub(super) fn has_enough_of(&self, prefix: Prefix) -> bool {
        self.like(prefix) >= self.owed(prefix) && self.has_absent()
    }

    /// Whether a peer at `prefix` that asks by itself may come in, though others could as well: not everybody may, so
    /// that a few who ask everywhere do not become everybody's neighbours.
    pub(super) fn lets_in(&self, prefix: Prefix, target: usize) -> bool {
        if self.has_enough_of(prefix) {
            return false;
        }
        let known = self.spares.prefixes().len() + self.active.len();
        self.counted() * 2 < target
            || self.own == Some(prefix)
            || self.spares.favours(prefix, (FAVOURED * target) as f64 / known as f64)
    }

    /// The youngest neighbour of the prefix that has most of them, if any has more than it is owed.
    pub(super) fn crowded(&self) -> Option<NodeId> {
        let well = self.active.iter().filter(|a| !a.suspected);
        let too_many = well.filter(|a| self.like(a.prefix) > self.owed(a.prefix));
        too_many.max_by_key(|a| (self.like(a.prefix), a.since, a.id)).map(|a| a.id)
    }

    /// Places neither taken nor, as far as requests under way can be expected to succeed, asked for.
    pub(super) fn room(&self, target: usize) -> usize {
        let expected = (self.asked() as f64 * self.reach) as usize;
        target.saturating_sub(self.counted() + expected)
    }

    /// Peers asked to become neighbours that have not answered.
    pub(super) fn asked(&self) -> usize {
        self.pending.iter().filter(|p| p.asked == Asked::Neighbor).count()
    }

    /// A peer was reached, or was not: the estimate of how many can be moves a fifth of the way (a guess: eight
    /// neighbours lost of ten, and it is believed that one in six is left).
    pub(super) fn met(&mut self, reached: bool) {
        let seen = if reached { 1.0 } else { 0.0 };
        self.reach = (self.reach + (seen - self.reach) / 5.0).max(REACH_LEAST);
    }

    /// A neighbour other than `but`, uniformly.
    pub(super) fn random_active(&mut self, but: &[NodeId]) -> Option<NodeId> {
        let well = self.active.iter().filter(|a| !a.suspected);
        let from: Vec<NodeId> = well.map(|a| a.id).filter(|p| !but.contains(p)).collect();
        self.rng.pick(&from).copied()
    }

    /// A neighbour that may make room for one at `prefix`, which we chose or which asked by itself (`guest`): one of a
    /// prefix that has too many; or one of the newcomer's own prefix, if that has what it may; or else one at random of
    /// the younger half. The older half is protected, so that a stream of newcomers can never take a whole view over;
    /// and once half of a view are guests, a guest displaces nobody but guests.
    pub(super) fn victim(&mut self, but: &NodeId, prefix: Prefix, guest: bool) -> Option<NodeId> {
        if let Some(crowded) = self.crowded().filter(|p| p != but && self.has_absent()) {
            return Some(crowded);
        }
        let mut by_age: Vec<&Active> = self.active.iter().filter(|a| !a.suspected && a.id != *but).collect();
        by_age.sort_unstable_by_key(|a| (a.since, a.id));
        // Who came back from a suspicion is among the neighbours already.
        let like = by_age.iter().filter(|a| a.prefix == prefix).count();
        if like >= self.owed(prefix) && self.has_absent() {
            return by_age.iter().rev().find(|a| a.prefix == prefix).map(|a| a.id);
        }
        let guests = by_age.iter().filter(|a| a.guest).count();
        let only_guests = guest && guests * 2 >= by_age.len();
        let half = by_age.len().div_ceil(2);
        let young: Vec<NodeId> = by_age.iter().skip(half).filter(|a| a.guest || !only_guests).map(|a| a.id).collect();
        self.rng.pick(&young).copied()
    }

    /// Whether a neighbour may make room now for one at `prefix`; counts as one that did.
    pub(super) fn may_split(&mut self, prefix: Prefix, now: Time) -> bool {
        self.splits_of.take(prefix, now) && self.splits.take(now)
    }

    /// Neighbours at a prefix, those not suspected.
    pub(super) fn like(&self, prefix: Prefix) -> usize {
        self.active.iter().filter(|a| !a.suspected && a.prefix == prefix).count()
    }

    /// A uniform sample of `k` neighbours other than `but`.
    pub(super) fn sample_active(&mut self, k: usize, but: &[NodeId]) -> Vec<NodeId> {
        let well = self.active.iter().filter(|a| !a.suspected);
        let mut all: Vec<NodeId> = well.map(|a| a.id).filter(|p| !but.contains(p)).collect();
        self.rng.sample(&mut all, k);
        all
    }
}

/// Peers that may become neighbours by asking, for each place (a guess: enough that a place is soon taken, few enough that
/// whoever asks everywhere gets twice its share by it).
const FAVOURED: usize = 2;
/// Of the node's own prefix so many come before others: a local network stays tied together, and a party in it is near enough
/// to be known (a guess).
const OWN: usize = 3;

/// The part of [`crate::wire::Disconnect::reason`] that is not a replacement.
pub(super) const LEFT: u8 = 1;
/// See [`LEFT`].
pub(super) const GOODBYE: u8 = 2;
/// As a replacement, but the place need not be filled: the other side's former neighbour is on its way.
pub(super) const EXCHANGED: u8 = 3;

/// The addresses of `peers`, as messages carry them; those without any are left out.
pub(super) fn with_addrs(topology: &crate::topology::Topology, peers: Vec<NodeId>) -> Vec<PeerAddr> {
    peers.iter().map(|p| topology.peer_addr(p)).filter(|p| !p.addrs.is_empty()).collect()
}

/// Takes `peer` in as a spare, unless it is one of us, a neighbour, or could not be reached lately.
pub(super) fn remember(cx: &Cx<'_>, v: &mut View, peer: NodeId) {
    // Whom the view knows already, as nearly everybody is that a shuffle brings to a small network, changes nothing.
    if v.spares.contains(&peer) || peer == cx.me || v.is_active(&peer) || !cx.topology.is_ready(&peer, cx.now.mono) {
        return;
    }
    let spare = Spare { id: peer, prefix: prefix(cx, &peer), met: None };
    v.spares.add(&mut v.rng, spare, cx.config.passive_view_size);
}

/// Where `peer` sits.
pub(super) fn prefix(cx: &Cx<'_>, peer: &NodeId) -> Prefix {
    Prefix::of(peer, cx.topology.whereabouts(peer), cx.own_addrs)
}

/// Where this node sits, as far as it knows.
pub(super) fn own(cx: &Cx<'_>) -> Option<Prefix> {
    (!cx.own_addrs.is_empty()).then(|| Prefix::of(&cx.me, cx.own_addrs, cx.own_addrs))
}
