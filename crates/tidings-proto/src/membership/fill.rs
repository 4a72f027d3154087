//! Keeping an active view full: spares first, then bootstrap peers and walks, with back-off.

use std::collections::BTreeSet;

use crate::identity::NodeId;
use crate::io::Overlay;
use crate::layer::{Cx, TimerKey};
use crate::membership::neighbors::is_apart;
use crate::membership::view::{Asked, View, own, prefix, remember};
use crate::membership::{Membership, Timer, claim, target};
use crate::time::{Span, Time};

/// Peers at once that are asked and can be reached, with half a view or more, and with less.
const PARALLEL: usize = 3;
const PARALLEL_FEW: usize = 8;
/// Requests at once, whatever share of the peers can be reached: with 1.5 s to a failed dial all 96 spares are tried in
/// five seconds, at some 20 packets a second.
const PARALLEL_MOST: usize = 32;
/// Peers of other overlays looked at.
const ELSEWHERE: usize = 512;
/// Bootstrap peers visited at once.
const VISITS: usize = 3;
/// Remembered peers visited besides: eight dials in all.
const REMEMBERED: usize = 5;
/// The longest waits between attempts to fill a nearly full view, and between visits to the bootstrap peers.
const FILL_MOST: u64 = 16_000;
const VISIT_MOST: u64 = 30_000;
/// Attempts to fill the last place (a guess; they take two seconds).
const INSIST: u32 = 3;
/// How often a view is looked at when nothing is due.
const IDLE: Span = Span::from_secs(10);

impl Membership {
    pub(super) fn tend(&mut self, cx: &mut Cx<'_>, overlay: Overlay) {
        if let Some(v) = self.views.get_mut(&overlay) {
            v.own = own(cx);
        }
        self.give_up(cx, overlay);
        self.fill(cx, overlay);
        self.seek(cx, overlay);
        self.trade(cx, overlay);
        self.rearm(cx, overlay);
    }

    /// Requests that took too long count as failed.
    fn give_up(&mut self, cx: &mut Cx<'_>, overlay: Overlay) {
        let Some(v) = self.views.get_mut(&overlay) else { return };
        let now = cx.now.mono;
        let late: Vec<NodeId> = v.pending.iter().filter(|p| p.deadline <= now).map(|p| p.peer).collect();
        for peer in late {
            v.take_pending(&peer);
            v.spares.refused(peer, now);
            v.spares.forget(&peer);
            if !v.is_active(&peer) {
                cx.release(peer, claim(overlay));
            }
        }
    }

    /// Asks spares to become neighbours while there is room: as many at once as it takes for enough of them to be
    /// there, should as few be left as lately. After the crash of most of a network most spares are dead, and each
    /// takes as long as a dial that fails.
    fn fill(&mut self, cx: &mut Cx<'_>, overlay: Overlay) {
        let now = cx.now.mono;
        if let Overlay::Topic(topic) = overlay {
            let named = self.neighbors_in(topic);
            let Some(v) = self.views.get_mut(&overlay) else { return };
            for peer in named {
                remember(cx, v, peer);
            }
        }
        let Some(v) = self.views.get_mut(&overlay) else { return };
        let target = target(v, cx.config, cx.now);
        let missing = sought(v, target).saturating_sub(v.counted());
        if missing == 0 {
            return;
        }
        if v.fill_at > now {
            return;
        }
        let few = v.counted() * 2 < target;
        let parallel = if few { PARALLEL_FEW } else { PARALLEL };
        let scaled = |n: usize| (n as f64 / v.reach).ceil() as usize;
        let want = scaled(missing.min(parallel)).min(PARALLEL_MOST).saturating_sub(v.asked());
        let askable = |v: &View, p: &NodeId| {
            let able = v.pending(p).is_none() && cx.topology.is_ready(p, now) && !is_apart(cx, v, p);
            v.spares.is_willing(p, now) && able
        };
        let mut ready: Vec<NodeId> = v.spares.iter().map(|s| s.id).filter(|p| askable(v, p)).collect();
        let all = ready.len();
        v.rng.sample(&mut ready, all);
        if overlay == Overlay::Root && ready.len() < want {
            // Everybody is in the network's overlay, whatever overlay we know them from.
            let others = self.known_elsewhere();
            let Some(v) = self.views.get_mut(&overlay) else { return };
            ready.extend(others.into_iter().filter(|p| !v.is_active(p) && !v.spares.contains(p) && askable(v, p)));
        }
        let Some(v) = self.views.get_mut(&overlay) else { return };
        // On topics, a link that exists costs nothing.
        let topic = matches!(overlay, Overlay::Topic(_));
        // One of each prefix, in random order: who has many ids is not asked more often.
        let mut seen = BTreeSet::new();
        let varied = |p: &NodeId| {
            let at = prefix(cx, p);
            !v.has_enough_of(at) && (v.own == Some(at) || seen.insert(at))
        };
        let most = if topic { usize::MAX } else { want };
        let mut ready: Vec<NodeId> = ready.into_iter().filter(varied).take(most).collect();
        if topic {
            ready.sort_by_cached_key(|p| !cx.links.is_up(p));
        }
        ready.truncate(want);
        let asked = ready.len();
        for peer in ready {
            self.ask(cx, overlay, peer, Asked::Neighbor);
        }
        let Some(v) = self.views.get_mut(&overlay) else { return };
        if asked > 0 {
            v.attempts = v.attempts.saturating_add(1);
            // The last place or two of a view are often not to be had: others are full as well. Don't insist.
            let nearly = v.counted() + 2 > target;
            let wait = match v.attempts {
                _ if v.counted() == 0 => 100,
                n if nearly => (500u64 << n.min(6)).min(FILL_MOST),
                n => (100u64 << n.min(6)).min(FILL_MOST / 4),
            };
            v.fill_at = now + Span::from_millis(v.rng.between(wait / 2, wait + wait / 2));
        }
    }

    /// Whom the topics' overlays know: peers that are in the network's as well.
    fn known_elsewhere(&self) -> Vec<NodeId> {
        let topics = self.views.values().filter(|v| v.overlay != Overlay::Root);
        let all: BTreeSet<NodeId> =
            topics.flat_map(|v| v.active.iter().map(|a| a.id).chain(v.spares.iter().map(|s| s.id))).collect();
        all.into_iter().take(ELSEWHERE).collect()
    }

    /// To the bootstrap peers, then also to those remembered from disk, and on a walk for a topic's members: without
    /// neighbours; with some, while there is room and nobody to ask; and in the network's overlay until a bootstrap
    /// peer has answered once. Otherwise two nodes that found only each other would be content with that for ever.
    fn seek(&mut self, cx: &mut Cx<'_>, overlay: Overlay) {
        let now = cx.now.mono;
        let Some(v) = self.views.get_mut(&overlay) else { return };
        let busy = v.pending.iter().any(|p| matches!(p.asked, Asked::Join | Asked::Neighbor));
        let target = target(v, cx.config, cx.now);
        if busy || v.visit_at > now || !seeking(v, target, !self.bootstrap.is_empty(), now) {
            return;
        }
        let wait = (500u64 << v.visits.min(6)).min(VISIT_MOST);
        let first = v.visits == 0;
        v.visits = v.visits.saturating_add(1);
        v.visit_at = now + Span::from_millis(v.rng.between(wait / 2, wait + wait / 2));
        v.spares.forgive();
        let mut ways = self.bootstrap.clone();
        v.rng.sample(&mut ways, VISITS);
        if overlay == Overlay::Root && (ways.is_empty() || !first) {
            let mut remembered = self.memory.peers().to_vec();
            remembered.retain(|p| cx.topology.is_ready(&p.id, now));
            v.rng.sample(&mut remembered, REMEMBERED);
            ways.extend(remembered);
        }
        for way in &ways {
            cx.topology.claim(way);
        }
        for way in ways {
            self.ask(cx, overlay, way.id, Asked::Join);
        }
        if let Overlay::Topic(topic) = overlay {
            self.walk(cx, topic);
        }
    }

    fn rearm(&mut self, cx: &mut Cx<'_>, overlay: Overlay) {
        let now = cx.now.mono;
        let Some(v) = self.views.get(&overlay) else { return };
        let target = target(v, cx.config, cx.now);
        let mut next = now + IDLE;
        if let Some(p) = v.pending.iter().map(|p| p.deadline).min() {
            next = next.min(p);
        }
        if seeking(v, target, !self.bootstrap.is_empty(), now) {
            next = next.min(v.visit_at);
        }
        if v.counted() >= target {
            next = next.min(v.trade_at);
        }
        if v.room(sought(v, target)) > 0 && !v.spares.is_empty() {
            next = next.min(v.fill_at);
        }
        // Never at once again: everything that could be done now has been.
        let soon = now + Span::from_millis(20);
        cx.deadlines.set(TimerKey::Membership(Timer::Tend(overlay)), next.max(soon));
    }
}

/// The neighbours a view looks for: all it can have, and after some attempts a little fewer. So there is always room
/// somewhere, and who looks for a neighbour finds one soon; were all views full, only those would accept who always do,
/// for reasons of their own.
fn sought(v: &View, target: usize) -> usize {
    if v.attempts < INSIST { target } else { target - target / 8 }
}

fn seeking(v: &View, target: usize, ways: bool, now: Time) -> bool {
    let lost = ways && !v.answered && v.overlay == Overlay::Root;
    let few = v.counted() * 2 < target;
    let nobody = || if few { !v.spares.iter().any(|s| v.spares.is_willing(&s.id, now)) } else { v.spares.is_empty() };
    v.counted() == 0 || lost || (v.room(sought(v, target)) > 0 && nobody())
}
