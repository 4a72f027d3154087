//! Shuffles: how passive views are mixed.
//!
//! In HyParView the walk of a shuffle has a fixed length. Here it ends sooner at a node that has room for neighbours and
//! knows nobody: in small overlays a fixed length may lead back to those who know each other already, for ever.

use crate::identity::{NodeId, PeerAddr};
use crate::io::Overlay;
use crate::layer::{Cx, TimerKey};
use crate::membership::view::{View, remember, with_addrs};
use crate::membership::{Membership, Timer, overlay_of, target, wire_of};
use crate::time::Span;
use crate::topology::PeerState;
use crate::wire::{MAX_PATH, MAX_PEERS, Shuffle, ShuffleReply};

/// Hops of a shuffle: enough to mix, short enough to answer along the path (a guess; the paper walks 6).
const SHUFFLE_HOPS: u8 = 4;
/// Neighbours and spares in a shuffle (the paper: 3 and 4 for a passive view of 30; ours holds 96).
const SHUFFLE_ACTIVE: usize = 3;
const SHUFFLE_PASSIVE: usize = 11;
/// Shuffles open at once; the oldest makes room (a guess: an answer takes a second, shuffles are ten apart).
const OPEN: usize = 4;

impl Membership {
    pub(super) fn shuffle(&mut self, cx: &mut Cx<'_>, overlay: Overlay) {
        let Some(v) = self.views.get_mut(&overlay) else { return };
        // Young views mix fast, settled ones slowly: 1, 2, 4, then every 8 to 12 seconds.
        let wait = match v.shuffles {
            n @ 0..3 => 1_000 << n,
            _ => v.rng.between(8_000, 12_000),
        };
        cx.deadlines.set(TimerKey::Membership(Timer::Shuffle(overlay)), cx.now.mono + Span::from_millis(wait));
        let Some(to) = v.random_active(&[]) else { return };
        v.shuffles = v.shuffles.saturating_add(1);
        let mut peers = vec![cx.own_address()];
        peers.retain(|p| !p.addrs.is_empty());
        let mut ids = v.sample_active(SHUFFLE_ACTIVE, &[to]);
        ids.extend(v.spares.pick(&mut v.rng, SHUFFLE_PASSIVE));
        peers.extend(with_addrs(cx.topology, ids));
        peers.truncate(MAX_PEERS);
        if v.shuffles_open.len() >= OPEN {
            v.shuffles_open.pop_front();
        }
        v.shuffles_open.push_back((to, peers.len()));
        let sketch = v.size.sketch(cx.now.wall);
        cx.send(to, Shuffle { overlay: wire_of(overlay), ttl: SHUFFLE_HOPS, path: vec![cx.me], peers, sketch });
    }

    pub(super) fn on_shuffle(&mut self, cx: &mut Cx<'_>, from: NodeId, mut m: Shuffle) {
        let now = cx.now.mono;
        let Some(v) = self.views.get_mut(&overlay_of(m.overlay)) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let Some(a) = v.active.iter_mut().find(|a| a.id == from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        if !a.shuffles.take(now) {
            cx.counters.shuffles_limited += 1;
            return;
        }
        if m.path.last() != Some(&from) || m.path.contains(&cx.me) {
            cx.counters.frames_unexpected += 1;
            return;
        }
        // A walk of so many hops around a ring of one more node ends at a neighbour of its start, which learns nothing.
        let news = |p: &PeerAddr| p.id != cx.me && !v.is_active(&p.id);
        let in_need = v.spares.is_empty() && v.room(target(v, cx.config, cx.now)) > 0 && m.peers.iter().any(news);
        let ttl = m.ttl.min(SHUFFLE_HOPS);
        if ttl > 1
            && !in_need
            && m.path.len() < MAX_PATH
            && let Some(next) = v.random_active(&m.path)
        {
            m.path.push(cx.me);
            cx.send(next, Shuffle { ttl: ttl - 1, ..m });
            return;
        }
        let ids = v.spares.pick(&mut v.rng, m.peers.len());
        let peers = with_addrs(cx.topology, ids);
        v.size.merge(cx.now.wall, &m.sketch);
        learn(cx, v, &m.peers);
        m.path.pop();
        let sketch = v.size.sketch(cx.now.wall);
        cx.send(from, ShuffleReply { overlay: m.overlay, path: m.path, peers, sketch });
    }

    pub(super) fn on_shuffle_reply(&mut self, cx: &mut Cx<'_>, from: NodeId, mut m: ShuffleReply) {
        let Some(v) = self.views.get_mut(&overlay_of(m.overlay)).filter(|v| v.is_active(&from)) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        if let Some(next) = m.path.pop() {
            if v.is_active(&next) {
                cx.send(next, m);
            } else {
                cx.counters.walks_lost += 1;
            }
            return;
        }
        // The answer comes back the way the shuffle went, and brings no more than was given.
        let Some(at) = v.shuffles_open.iter().position(|(to, _)| *to == from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let most = v.shuffles_open.remove(at).map_or(0, |(_, sent)| sent);
        v.size.merge(cx.now.wall, &m.sketch);
        m.peers.truncate(most);
        learn(cx, v, &m.peers);
        cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(v.overlay)), v.fill_at.max(cx.now.mono));
    }
}

fn learn(cx: &mut Cx<'_>, v: &mut View, peers: &[PeerAddr]) {
    for p in peers.iter().filter(|p| !p.addrs.is_empty()) {
        // Others may not have noticed yet who died.
        if cx.topology.state(&p.id) == PeerState::Dead {
            continue;
        }
        cx.topology.claim(p);
        remember(cx, v, p.id);
    }
}
