//! Keeping passive views true: in the background, spares are dialed one at a time to see whether they are there.
//!
//! In HyParView a spare is found dead only when it is needed, and after a mass crash the dead outlive the living in
//! passive views, because shuffles go on spreading them. Here one spare every now and then is dialed: who is not there
//! leaves and is backed off from; who is there has its distance measured.
//!
//! Keeping on after those who were lost: several neighbours that go silent at once may be dead, or on the other side of a
//! cut. Every view then keeps a list of them and dials one now and then, for ever: often at first, rarely after some
//! minutes. (Neighbours lost one at a time are looked for by the failure detector, for two minutes.) Whoever is back
//! becomes a neighbour again: for a free place, or, between two full nodes, by an
//! [`Exchange`](crate::wire::Exchange), which ties two more links across the healed cut: the two neighbours let go are
//! sent to each other.

use std::collections::BTreeSet;

use crate::identity::NodeId;
use crate::io::Overlay;
use crate::layer::{Cx, TimerKey};
use crate::links::{Claim, Claimed};
use crate::membership::view::{Asked, prefix, remember};
use crate::membership::{Membership, Timer, target};
use crate::rng::Rng;
use crate::time::{Span, Time};

/// How often a spare is dialed at most and at least, ± half. Between them all spares are gone through in
/// [`ROUND`]: with 96 of them one each ten seconds, at a dial's cost of some 5 kB half a kilobyte a second (guesses).
const LOOK: (Span, Span) = (Span::from_secs(10), Span::from_secs(120));
const ROUND: Span = Span::from_secs(960);
/// The same while less than half of the peers can be reached, and in the beginning.
const LOOK_HARD: Span = Span::from_secs(1);
/// Spares dialed at that pace after the start, to measure how far they are, if any neighbour is farther than this: on a
/// local network there is nothing to gain (guesses).
const MEASURED: u32 = 30;
pub(super) const FAR: Span = Span::from_millis(15);
/// Dials under way at most, of this kind.
const LOOKING: usize = 4;
/// Links left free for those that are needed.
const SPARE_LINKS: usize = 16;

/// The claim on a link that is only there to see whether the peer is.
const LOOKS: Claim = Claim { layer: super::LAYER + 100, overlay: Overlay::Root };

/// Lost neighbours remembered in an overlay; one at random makes room (a guess: three views' worth).
const LOST: usize = 32;
/// Losses this close together are one event; a view that loses this many at once may have been cut off.
const TOGETHER: Span = Span::from_secs(10);
const SEVERED: u32 = 3;
/// How long that is fresh, and how often a lost neighbour is dialed then, ± a third, and later, ± half: a healed cut is
/// crossed by one node in three each second, and in the long run the dead cost a dial every half a minute.
const FRESH: Span = Span::from_secs(600);
const LOST_FRESH: u64 = 3_000;
const LOST_USUAL: u64 = 30_000;

/// Neighbours of one overlay that went silent.
#[derive(Debug, Default)]
pub(super) struct Lost {
    peers: Vec<NodeId>,
    last: Option<Time>,
    together: u32,
    severed: Option<Time>,
}

impl Lost {
    pub(super) fn add(&mut self, rng: &mut Rng, peer: NodeId, now: Time) {
        let one_event = self.last.is_some_and(|t| now.since(t) <= TOGETHER);
        self.together = if one_event { self.together + 1 } else { 1 };
        self.last = Some(now);
        if !one_event && self.severed.is_none() {
            // Whoever was lost alone, the failure detector has looked for.
            self.peers.clear();
        }
        if self.together >= SEVERED {
            self.severed = Some(now);
        }
        if self.peers.contains(&peer) {
            return;
        }
        if self.peers.len() >= LOST {
            let at = rng.below(self.peers.len());
            self.peers.swap_remove(at);
        }
        self.peers.push(peer);
    }

    /// It is there: whether it had been lost.
    pub(super) fn found(&mut self, peer: &NodeId) -> bool {
        let before = self.peers.len();
        self.peers.retain(|p| p != peer);
        self.peers.len() < before
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.peers.iter().copied()
    }

    /// Until the next of them is dialed, if any is to be.
    pub(super) fn wait(&self, rng: &mut Rng, now: Time) -> Option<Span> {
        let severed = self.severed.filter(|_| !self.peers.is_empty())?;
        let ms = if now.since(severed) <= FRESH {
            rng.between(LOST_FRESH * 2 / 3, LOST_FRESH * 4 / 3)
        } else {
            rng.between(LOST_USUAL / 2, LOST_USUAL * 3 / 2)
        };
        Some(Span::from_millis(ms))
    }
}

impl Membership {
    /// Looks whether one of the neighbours lost in some overlay is back.
    pub(super) fn seek_lost(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let rng = &mut self.rng;
        let next = self.views.values().filter_map(|v| v.lost.wait(rng, now)).min();
        let Some(next) = next else { return };
        cx.deadlines.set(TimerKey::Membership(Timer::Lost), now + next);
        let severed = self.views.values().filter(|v| v.lost.severed.is_some());
        let all: BTreeSet<NodeId> = severed.flat_map(|v| v.lost.iter()).collect();
        let all: Vec<NodeId> = all.into_iter().collect();
        let Some(peer) = self.rng.pick(&all).copied() else { return };
        if cx.links.is_up(&peer) {
            self.reunite(cx, peer);
        } else {
            self.dial(cx, peer);
        }
    }

    /// A lost neighbour is there: it becomes one again in every overlay that lost it.
    fn reunite(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let lost: Vec<Overlay> =
            self.views.values().filter(|v| v.lost.peers.contains(&peer)).map(|v| v.overlay).collect();
        for overlay in lost {
            let Some(v) = self.views.get_mut(&overlay) else { continue };
            let full = v.counted() >= target(v, cx.config, cx.now);
            let asked = match v.victim(&peer, prefix(cx, &peer), false) {
                Some(old) if full => Asked::Exchange { old, near: false },
                _ => Asked::Neighbor,
            };
            if !v.is_active(&peer) {
                remember(cx, v, peer);
            }
            if !self.ask(cx, overlay, peer, asked)
                && let Some(v) = self.views.get_mut(&overlay)
                && v.is_active(&peer)
            {
                v.lost.found(&peer);
            }
        }
    }

    /// Arms the next look.
    pub(super) fn look_later(&mut self, cx: &mut Cx<'_>) {
        let hard = self.views.values().any(|v| v.reach < 0.5 && !v.spares.is_empty());
        let measuring = self.looks < MEASURED && self.views.keys().any(|o| self.has_far(cx, *o));
        let spares = self.views.values().map(|v| v.spares.iter().count() as u64).sum::<u64>();
        let usual = (ROUND.0 / spares.max(1)).clamp(LOOK.0.0, LOOK.1.0);
        // A node that has just begun knows nobody yet: its first look shows how far its neighbours are.
        let usual = if self.looks == 0 { LOOK.0.0 } else { usual };
        let every = if hard || measuring { LOOK_HARD.0 } else { usual };
        let wait = self.rng.between(every / 2, every + every / 2);
        cx.deadlines.set(TimerKey::Membership(Timer::Look), cx.now.mono + Span(wait));
    }

    /// Whether a neighbour is so far away that a nearer one is worth looking for.
    fn has_far(&self, cx: &Cx<'_>, overlay: Overlay) -> bool {
        let far = |p: &NodeId| cx.topology.rtt(p).is_some_and(|r| r >= FAR);
        self.views.get(&overlay).is_some_and(|v| v.active.iter().any(|a| far(&a.id)))
    }

    /// Dials one spare of one overlay, both at random.
    pub(super) fn look(&mut self, cx: &mut Cx<'_>) {
        self.looks = self.looks.saturating_add(1);
        self.look_later(cx);
        let overlays: Vec<Overlay> = self.views.keys().copied().collect();
        let Some(overlay) = self.rng.pick(&overlays) else { return };
        let Some(v) = self.views.get_mut(overlay) else { return };
        let now = cx.now.mono;
        let far: Vec<NodeId> = v.spares.iter().map(|s| s.id).filter(|p| !cx.links.is_up(p)).collect();
        let Some(peer) = v.rng.pick(&far).copied() else { return };
        if cx.topology.is_ready(&peer, now) {
            self.dial(cx, peer);
        }
    }

    /// Dials a peer only to see whether it is there.
    fn dial(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if self.looking.len() >= LOOKING || cx.links.len() + SPARE_LINKS > cx.config.max_links {
            return;
        }
        match cx.claim(peer, LOOKS) {
            Claimed::Dialing => {
                self.looking.insert(peer);
            }
            Claimed::Up => cx.release(peer, LOOKS),
            Claimed::Full | Claimed::NoAddress => {}
        }
    }

    /// A link came up, for a look or for something else.
    pub(super) fn looked(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        // The end that dialed asks; were both to ask, each would let one go too many.
        if cx.links.outbound(&peer) {
            self.reunite(cx, peer);
        }
        if self.looking.remove(&peer) {
            for v in self.views.values_mut().filter(|v| v.spares.contains(&peer)) {
                v.met(true);
            }
            cx.release(peer, LOOKS);
        }
    }
}
