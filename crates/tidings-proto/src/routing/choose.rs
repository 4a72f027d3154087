//! Which way: what ways there are to a node, which of them are held ready, and which the next content goes.

use crate::layer::Cx;
use crate::links::Claimed;
use crate::records::sets;
use crate::roles::{PeerRole, wanted};
use crate::time::Span;

use super::course::{Course, OPEN, Path, Why};
use super::send::CLAIM;
use super::{Routing, ways};
use crate::identity::NodeId;

/// Links to relays claimed at once for all courses: a part of what `max_links` allows.
const MAX_LINKS: usize = 32;
/// What a node states is looked at again so often.
const LOOK: Span = Span::from_secs(2);
/// One content in so many goes by another way than the best, an unproven one if there is any.
const EXPLORE: usize = 16;
/// Of the ways opened, one in so many is drawn at random instead of being the better of two.
const EXPLORE_OPEN: usize = 8;
/// Neighbours tried for a node that states nothing.
const BLIND: usize = 8;
/// Ways that cost at most a quarter more than the cheapest take turns, so that relays carry alike. What decides is what this node gave
/// each, and not what they say of their load: who says the least would get the most.
const ALIKE: (u64, u64) = (5, 4);

fn is_alike(cost: u64, least: u64) -> bool {
    cost.saturating_mul(ALIKE.1) <= least.saturating_mul(ALIKE.0)
}

impl Routing {
    /// Sees to it that there are ways at hand: [`OPEN`] of them, each the better of two drawn at random.
    pub(super) fn open_ways(&mut self, cx: &mut Cx<'_>, to: NodeId) {
        let now = cx.now.mono;
        let Some(c) = self.courses.get_mut(&to) else { return };
        if c.open.is_empty() || c.looked.is_none_or(|at| now.since(at) >= LOOK) {
            c.looked = Some(now);
            c.state(ways::stated(cx, &self.group, &to));
        }
        // A relay that the node no longer states is no way to it.
        let stale = |c: &Course, p: &Path| {
            !c.stated.is_empty() && !p.last().is_some_and(|l| c.stated.iter().any(|s| s.relay == *l))
        };
        let gone: Vec<Path> = c.open.iter().filter(|p| stale(c, p)).cloned().collect();
        c.open.retain(|p| !gone.contains(p));
        if c.current.as_ref().is_some_and(|p| gone.contains(p)) {
            c.current = None;
        }
        for path in &gone {
            self.let_go(cx, path);
        }
        for _ in 0..2 * OPEN {
            let Some(c) = self.courses.get(&to) else { return };
            let most = match c.open.iter().any(|p| cx.links().is_direct(&p[0])) {
                _ if c.is_busy() => OPEN,
                true => 1,
                false => 2,
            };
            if c.open.len() >= most {
                return;
            }
            let mut options = self.single(cx, c);
            if options.is_empty() && c.open.is_empty() {
                options = self.roundabout(cx, &to);
            }
            let Some(path) = self.draw(cx, &to, options).or_else(|| self.least_failed(cx, &to)) else { return };
            let first = path[0];
            let addrs = ways::addrs(cx, &self.group, &first);
            let claimed = cx.claim_at(first, CLAIM, &addrs);
            let Some(c) = self.courses.get_mut(&to) else { return };
            match claimed {
                Claimed::Up | Claimed::Dialing => c.open.push(path),
                Claimed::Full | Claimed::NoAddress => c.avoid(&path, now, Why::Busy),
            }
        }
    }

    /// The ways through one of the relays that the node states.
    fn single(&self, cx: &Cx<'_>, c: &Course) -> Vec<Path> {
        let claimed = self.courses.values().flat_map(|c| &c.open).count();
        let fit = |relay: &NodeId, known: bool| {
            if cx.links().is_circuit(relay) {
                return false;
            }
            cx.links().is_direct(relay) || (known && claimed < MAX_LINKS && cx.topology.is_ready(relay, cx.now.mono))
        };
        let stated = c.stated.iter().filter(|s| fit(&s.relay, !s.addrs.is_empty())).map(|s| vec![s.relay]);
        stated.filter(|p| !c.open.contains(p) && !c.is_avoided(p, cx.now.mono)).collect()
    }

    /// Of the ways through a relay stated, all of which have failed, the one that was to be taken again first: better than none.
    fn least_failed(&mut self, cx: &Cx<'_>, to: &NodeId) -> Option<Path> {
        let c = self.courses.get_mut(to).filter(|c| c.open.is_empty())?;
        let linked = c.stated.iter().filter(|s| cx.links().is_direct(&s.relay)).map(|s| vec![s.relay]);
        let (_, path) = linked.filter_map(|p| Some((c.failed_until(&p)?, p))).min()?;
        c.forgive(&path, cx.now.mono);
        Some(path)
    }

    /// Ways through a neighbour: to one of the relays stated, or to the node itself if it states none.
    fn roundabout(&mut self, cx: &Cx<'_>, to: &NodeId) -> Vec<Path> {
        let mut near: Vec<NodeId> = cx.links().up().filter(|p| p != to).collect();
        self.rng.sample(&mut near, BLIND);
        let Some(c) = self.courses.get(to) else { return Vec::new() };
        let mut out = Vec::new();
        for n in near {
            match c.stated.is_empty() {
                true => out.push(vec![n]),
                false => out.extend(c.stated.iter().filter(|s| s.relay != n).map(|s| vec![n, s.relay])),
            }
        }
        out.retain(|p| !c.open.contains(p) && !c.is_avoided(p, cx.now.mono));
        out
    }

    /// The better of two drawn at random; now and then any, an unproven one if there is one.
    fn draw(&mut self, cx: &Cx<'_>, to: &NodeId, mut options: Vec<Path>) -> Option<Path> {
        if self.rng.below(EXPLORE_OPEN) == 0 {
            let unproven = |p: &&Path| p.iter().any(|r| !self.merits.is_proven(r));
            let some: Vec<Path> = options.iter().filter(unproven).cloned().collect();
            return self.rng.pick(if some.is_empty() { &options } else { &some }).cloned();
        }
        let c = self.courses.get(to)?;
        // Relays come before others: the receiver's, and those of this node.
        let most = ways::RELAYS.min(wanted(cx.records.len(sets::PRESENCE)));
        let first = |relay: &NodeId| c.stated.iter().take(most).any(|s| s.relay == *relay);
        let relays = |p: &Path| p.iter().all(|r| first(r) || cx.topology.role(r) == PeerRole::Relay);
        if options.iter().any(relays) {
            options.retain(relays);
        }
        // One of the two is that by which the last thing came, if it is to be had: so it gets better with time.
        let good = c.good.clone().filter(|g| options.contains(g));
        self.rng.sample(&mut options, 2);
        if let Some(good) = good.filter(|g| !options.contains(g)) {
            options.pop();
            options.push(good);
        }
        let cost = |p: &Path| c.cost(p, cx.topology.rtt(&p[0]), &self.merits);
        let least = options.iter().map(cost).min()?;
        options.retain(|p| is_alike(cost(p), least));
        options.into_iter().next()
    }

    /// A way drawn at random among those at hand, rather one that is not in use.
    pub(super) fn any(&mut self, cx: &Cx<'_>, to: NodeId) -> Option<Path> {
        let c = self.courses.get(&to)?;
        let up = |p: &&Path| cx.links().is_direct(&p[0]) && !c.is_avoided(p, cx.now.mono);
        let mut all: Vec<Path> = c.open.iter().filter(up).cloned().collect();
        all.extend(self.single(cx, c).into_iter().filter(|p| cx.links().is_direct(&p[0])));
        let others: Vec<Path> = all.iter().filter(|p| c.current.as_ref() != Some(*p)).cloned().collect();
        self.rng.pick(if others.is_empty() { &all } else { &others }).cloned()
    }

    /// The way that the next content goes.
    pub(super) fn best(&mut self, cx: &Cx<'_>, to: NodeId) -> Option<Path> {
        let at = cx.now.mono;
        let c = self.courses.get(&to)?;
        let cost = |p: &Path| c.cost(p, cx.topology.rtt(&p[0]), &self.merits);
        let up = |p: &&Path| cx.links().is_direct(&p[0]) && !c.is_avoided(p, cx.now.mono);
        let least = c.open.iter().filter(up).map(cost).min()?;
        let alike = |p: &&Path| up(p) && is_alike(cost(p), least);
        // What follows closely goes the same way, so that it need not wait for what went before.
        let busy = |p: &Path| at.since(c.went.unwrap_or_default()) < c.takes(p, cx.topology.rtt(&p[0]));
        let kept = c.current.as_ref().filter(|p| c.went.is_some() && busy(p)).filter(alike).cloned();
        let next = || c.open.iter().filter(alike).min_by_key(|p| (c.used_last(p), (*p).clone())).cloned();
        let now = kept.or_else(next)?;
        let others: Vec<Path> = c.open.iter().filter(up).filter(|p| **p != now).cloned().collect();
        let c = self.courses.get_mut(&to)?;
        c.current = Some(now.clone());
        c.turn(&now, at);
        if self.rng.below(EXPLORE) > 0 {
            return Some(now);
        }
        let unproven = others.iter().find(|p| p.iter().any(|r| !self.merits.is_proven(r)));
        Some(unproven.or_else(|| self.rng.pick(&others)).cloned().unwrap_or(now))
    }
}
