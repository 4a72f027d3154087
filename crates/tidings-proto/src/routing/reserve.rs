//! The relay's side of links by which others are found: it keeps them, so many at most, while it is asked to.
//!
//! A link that nobody but a node behind it needs would be closed for want of use. So that node asks for it anew every
//! [`RENEW`], and is told how busy the relay is, or that it is to look for another one. Who asks for nothing loses nothing
//! but that: envelopes go along any link.
//!
//! A relay that is one no longer says so to all of them at once, takes no new ones for a while, and goes on carrying for those
//! it has until they have moved (`HOLD`).

use std::collections::BTreeMap;

use super::{Routing, Timer, merit};
use crate::identity::NodeId;
use crate::io::Overlay;
use crate::layer::{Cx, TimerKey};
use crate::links::Claim;
use crate::roles::PeerRole;
use crate::time::{Span, Time};
use crate::wire::{Reserve, Reserved};

/// How often a link is asked for anew.
pub(super) const RENEW: Span = Span::from_secs(20);
/// It is kept for so long: two lost askings are none.
const HOLD: Span = Span::from_secs(65);
/// Links kept for others: with its own a relay holds all that it may (`max_links`).
const MOST: usize = 96;
/// Who was a relay takes none for so long: until those that knew it for one know better.
const RETIRED: Span = Span::from_secs(60);

const CLAIM: Claim = Claim { layer: 104, overlay: Overlay::Root };

const HELD: u8 = 0;
const FULL: u8 = 1;
const NO_RELAY: u8 = 2;

/// What a relay keeps for others.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    until: BTreeMap<NodeId, Time>,
    retired: Option<Time>,
}

impl Reservations {
    fn is_retired(&self, now: Time) -> bool {
        self.retired.is_some_and(|at| now.since(at) < RETIRED)
    }
}

impl Routing {
    /// A node asks for the link by which it is found.
    pub(super) fn on_reserve(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Reserve) {
        let now = cx.now.mono;
        if !m.hold {
            if self.reservations.until.remove(&from).is_some() {
                cx.release(from, CLAIM);
            }
            return;
        }
        let known = self.reservations.until.contains_key(&from);
        let most = MOST.min(cx.config.max_links * 3 / 4);
        let why = match self.left || self.reservations.is_retired(now) {
            true => NO_RELAY,
            false if !known && self.reservations.until.len() >= most => FULL,
            false => HELD,
        };
        if why == HELD {
            self.reservations.until.insert(from, now + HOLD);
            cx.claim(from, CLAIM);
            cx.deadlines.set_no_later(TimerKey::Routing(Timer::Reserved), now + HOLD);
        } else {
            cx.counters.reservations_declined += 1;
        }
        let load = self.relaying.load(now);
        cx.send(from, Reserved { why, load });
    }

    /// Gives back what nobody asks for any more.
    pub(super) fn tend_reservations(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let over: Vec<NodeId> =
            self.reservations.until.iter().filter(|(_, until)| **until <= now).map(|(n, _)| *n).collect();
        for node in over {
            self.reservations.until.remove(&node);
            cx.release(node, CLAIM);
        }
        if let Some(next) = self.reservations.until.values().min() {
            cx.deadlines.set_no_later(TimerKey::Routing(Timer::Reserved), *next);
        }
    }

    pub(super) fn reservation_lost(&mut self, peer: &NodeId) {
        self.reservations.until.remove(peer);
    }

    /// This node's own role is another.
    pub(super) fn own_role_changed(&mut self, cx: &mut Cx<'_>, role: PeerRole) {
        if role == PeerRole::Relay {
            self.reservations.retired = None;
            return;
        }
        self.reservations.retired = Some(cx.now.mono);
        let load = self.relaying.load(cx.now.mono);
        for node in self.reservations.until.keys().copied().collect::<Vec<_>>() {
            cx.send(node, Reserved { why: NO_RELAY, load });
        }
    }

    /// A relay's answer.
    pub(super) fn on_reserved(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Reserved) {
        if !self.ways.answered(cx, &from, m.why == HELD) {
            cx.counters.reservations_unexpected += 1;
            return;
        }
        self.merits.load(from, m.load, cx.now.mono);
        if m.why != HELD {
            self.tend_ways(cx);
        }
    }

    pub(super) fn tend_ways(&mut self, cx: &mut Cx<'_>) {
        if self.left {
            return;
        }
        let merits: &merit::Merits = &self.merits;
        self.ways.tend(cx, &self.group, merits, &mut self.rng);
    }
}
