//! HyParView's messages: joining, becoming neighbours, parting, shuffling.

use crate::identity::{NodeId, PeerAddr};
use crate::io::{Event, LeaveReason, Overlay};
use crate::layer::{Cx, Signal, TimerKey};
use crate::links::Claimed;
use crate::membership::view::{Active, Asked, Pending, View, with_addrs};
use crate::membership::{Membership, Timer, claim, overlay_of, target, view, wire_of};
use crate::time::Span;
use crate::topology::PeerState;
use crate::wire::{
    Disconnect, ForwardJoin, Join, LinkRefusal, MAX_PATH, MAX_PEERS, Neighbor, NeighborReply, Shuffle, ShuffleReply,
};

/// Hops of a newcomer's walk (the paper's ARWL, 6).
const WALK: u8 = 6;
/// At this many hops left the walk leaves the newcomer in a passive view (the paper's PRWL, 3).
const WALK_PASSIVE: u8 = 3;
/// Walks started for a newcomer: with edges split that gives it up to ten neighbours.
const WALKS: usize = 5;
/// Hops of a shuffle: enough to mix, short enough to answer along the path (a guess; the paper walks 6).
const SHUFFLE_HOPS: u8 = 4;
/// Neighbours and spares in a shuffle (the paper: 3 and 4 for a passive view of 30; ours holds 96).
const SHUFFLE_ACTIVE: usize = 3;
const SHUFFLE_PASSIVE: usize = 11;
/// How long a request may take: a dial of 500 ms and a few round trips.
pub(super) const REQUEST: Span = Span::from_millis(2_500);
/// Spares handed over with a refusal.
const OTHERS: usize = 4;

impl Membership {
    pub(super) fn on_join(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Join) {
        let overlay = overlay_of(m.overlay);
        let newcomer = PeerAddr { id: from, addrs: m.me.addrs };
        cx.topology.prove(&newcomer);
        let newcomer = cx.topology.peer_addr(&from);
        let now = cx.now.mono;
        let Some(v) = self.views.get_mut(&overlay) else {
            if let Overlay::Topic(topic) = overlay {
                self.answer_seeker(cx, from, topic);
            }
            return;
        };
        v.size.merge(cx.now.wall, &m.sketch);
        if !v.joins.take(now) {
            cx.counters.joins_limited += 1;
            refuse(cx, v, from);
            return;
        }
        let target = target(v, cx.config, cx.now);
        for peer in v.sample_active(WALKS, &[from]) {
            cx.send(peer, ForwardJoin { overlay: m.overlay, newcomer: newcomer.clone(), ttl: WALK });
        }
        if v.is_active(&from) || v.room(target) > 0 {
            accept(cx, v, from);
        } else {
            refuse(cx, v, from);
            v.remember(from, cx.me, cx.config.passive_view_size);
        }
    }

    pub(super) fn on_forward_join(&mut self, cx: &mut Cx<'_>, from: NodeId, m: ForwardJoin) {
        let overlay = overlay_of(m.overlay);
        let Some(v) = self.views.get_mut(&overlay).filter(|v| v.is_active(&from)) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let newcomer = m.newcomer.id;
        cx.topology.claim(&m.newcomer);
        let ttl = m.ttl.min(WALK);
        let next = if ttl == 0 { None } else { v.random_active(&[from, newcomer]) };
        if newcomer == cx.me {
            return;
        }
        if let Some(next) = next {
            if ttl == WALK_PASSIVE {
                v.remember(newcomer, cx.me, cx.config.passive_view_size);
            }
            cx.send(next, ForwardJoin { ttl: ttl - 1, ..m });
            return;
        }
        self.adopt(cx, overlay, newcomer);
    }

    /// A newcomer's walk ends here: ask it to become a neighbour, splitting one of our links if there is no room.
    pub(super) fn adopt(&mut self, cx: &mut Cx<'_>, overlay: Overlay, newcomer: NodeId) {
        let Some(v) = self.views.get_mut(&overlay) else { return };
        if newcomer == cx.me || v.is_active(&newcomer) || v.pending(&newcomer).is_some() {
            return;
        }
        let target = target(v, cx.config, cx.now);
        if v.room(target) > 0 {
            self.ask(cx, overlay, newcomer, Asked::Neighbor);
        } else if v.splits.take(cx.now.mono) {
            self.ask(cx, overlay, newcomer, Asked::Split);
        } else {
            cx.counters.joins_limited += 1;
            v.remember(newcomer, cx.me, cx.config.passive_view_size);
        }
    }

    /// Asks `peer` for something over a link that may have to be dialed first.
    pub(super) fn ask(&mut self, cx: &mut Cx<'_>, overlay: Overlay, peer: NodeId, asked: Asked) -> bool {
        let Some(v) = self.views.get_mut(&overlay) else { return false };
        if peer == cx.me || v.pending(&peer).is_some() || v.is_active(&peer) {
            return false;
        }
        let claimed = cx.claim(peer, claim(overlay));
        match claimed {
            Claimed::Up | Claimed::Dialing => {}
            Claimed::Full | Claimed::NoAddress => {
                if claimed == Claimed::NoAddress {
                    v.forget(&peer);
                }
                return false;
            }
        }
        let deadline = cx.now.mono + REQUEST;
        v.pending.push(Pending { peer, asked, sent: false, deadline });
        cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(overlay)), deadline);
        if claimed == Claimed::Up {
            self.send_asked(cx, overlay, peer);
        }
        true
    }

    fn send_asked(&mut self, cx: &mut Cx<'_>, overlay: Overlay, peer: NodeId) {
        let Some(v) = self.views.get_mut(&overlay) else { return };
        let target = target(v, cx.config, cx.now);
        let sketch = v.size.sketch(cx.now.wall);
        let urgent = v.counted() == 0;
        let room = v.room(target) + 1;
        let Some(p) = v.pending.iter_mut().find(|p| p.peer == peer && !p.sent) else { return };
        p.sent = true;
        let (overlay, me) = (wire_of(overlay), cx.own_address());
        match p.asked {
            Asked::Join => cx.send(peer, Join { overlay, me, sketch }),
            Asked::Neighbor => {
                let room = u8::try_from(room).unwrap_or(u8::MAX);
                cx.send(peer, Neighbor { overlay, me, urgent, room, sketch })
            }
            Asked::Split => cx.send(peer, Neighbor { overlay, me, urgent: false, room: 0, sketch }),
        };
    }

    pub(super) fn on_neighbor(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Neighbor) {
        let overlay = overlay_of(m.overlay);
        cx.topology.prove(&PeerAddr { id: from, addrs: m.me.addrs });
        let Some(v) = self.views.get_mut(&overlay) else {
            let reply = NeighborReply {
                overlay: m.overlay,
                accept: false,
                others: Vec::new(),
                sketch: Default::default(),
                me: None,
            };
            cx.send(from, reply);
            return;
        };
        v.size.merge(cx.now.wall, &m.sketch);
        let target = target(v, cx.config, cx.now);
        // Both may have asked each other: the other's request stands for an answer to ours.
        let asked = v.pending(&from).map(|p| p.asked);
        if v.is_active(&from) || v.counted() < target {
            accept(cx, v, from);
            return;
        }
        let wants_split = m.urgent || m.room >= 2 || asked == Some(Asked::Split);
        if wants_split
            && v.splits.take(cx.now.mono)
            && let Some(victim) = v.victim(&from)
        {
            replace(cx, v, victim, Some(from).filter(|_| m.room >= 2));
            accept(cx, v, from);
            return;
        }
        refuse(cx, v, from);
        v.remember(from, cx.me, cx.config.passive_view_size);
    }

    pub(super) fn on_neighbor_reply(&mut self, cx: &mut Cx<'_>, from: NodeId, m: NeighborReply) {
        let overlay = overlay_of(m.overlay);
        if let Some(me) = &m.me {
            cx.topology.prove(&PeerAddr { id: from, addrs: me.addrs.clone() });
        }
        let Some(v) = self.views.get_mut(&overlay) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        v.size.merge(cx.now.wall, &m.sketch);
        let pending = v.take_pending(&from);
        let Some(pending) = pending else {
            // Too late, or never asked. If the other end counts on us, tell it not to.
            cx.counters.frames_unexpected += 1;
            if m.accept && !v.is_active(&from) {
                cx.send(from, Disconnect { overlay: m.overlay, reason: 0, instead: None });
            }
            return;
        };
        v.answered |= pending.asked == Asked::Join;
        for other in m.others.iter().take(OTHERS) {
            cx.topology.claim(other);
            v.remember(other.id, cx.me, cx.config.passive_view_size);
        }
        let target = target(v, cx.config, cx.now);
        if m.accept {
            if !v.is_active(&from)
                && v.counted() >= target
                && pending.asked == Asked::Split
                && let Some(victim) = v.victim(&from)
            {
                replace(cx, v, victim, Some(from));
            }
            if v.is_active(&from) || v.counted() < target {
                promote(cx, v, from);
            } else {
                cx.send(from, Disconnect { overlay: m.overlay, reason: 0, instead: None });
                cx.release(from, claim(overlay));
                v.remember(from, cx.me, cx.config.passive_view_size);
            }
        } else if !v.is_active(&from) {
            if let Some(s) = v.passive.iter_mut().find(|s| s.id == from) {
                s.refused = s.refused.saturating_add(1);
                let wait = Span::from_millis(1_000 << u32::from(s.refused).min(6));
                s.not_before = cx.now.mono + wait;
            }
            cx.release(from, claim(overlay));
        }
        cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(overlay)), v.fill_at.max(cx.now.mono));
    }

    pub(super) fn on_disconnect(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Disconnect) {
        let overlay = overlay_of(m.overlay);
        let Some(v) = self.views.get_mut(&overlay) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let asked = v.take_pending(&from).is_some();
        if asked && !v.is_active(&from) {
            cx.release(from, claim(overlay));
        }
        if !v.is_active(&from) {
            cx.counters.frames_unexpected += u64::from(!asked);
            return;
        }
        let reason = Membership::leave_reason(m.reason);
        demote(cx, v, from, reason);
        if reason == LeaveReason::Replaced {
            v.remember(from, cx.me, cx.config.passive_view_size);
        }
        if let Some(instead) = m.instead.filter(|i| i.id != cx.me && !i.addrs.is_empty()) {
            cx.topology.claim(&instead);
            if !v.is_active(&instead.id) {
                v.remember(instead.id, cx.me, cx.config.passive_view_size);
                self.ask(cx, overlay, instead.id, Asked::Neighbor);
            }
        }
    }

    pub(super) fn on_link_up(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let waiting: Vec<Overlay> =
            self.views.values().filter(|v| v.pending(&peer).is_some_and(|p| !p.sent)).map(|v| v.overlay).collect();
        for overlay in waiting {
            self.send_asked(cx, overlay, peer);
        }
    }

    pub(super) fn on_link_down(&mut self, cx: &mut Cx<'_>, peer: NodeId, reason: LinkRefusal, dial: bool) {
        if dial || reason != LinkRefusal::Closed {
            cx.topology.unreachable(&peer);
        }
        for v in self.views.values_mut() {
            let asked = v.take_pending(&peer).is_some();
            if v.is_active(&peer) {
                let why = match reason {
                    LinkRefusal::Goodbye => LeaveReason::Goodbye,
                    other => LeaveReason::Link(other),
                };
                demote(cx, v, peer, why);
            }
            // Full and closed say that it lives; everything else that it does not, or not for us.
            match reason {
                LinkRefusal::Full | LinkRefusal::Closed => {
                    if let Some(s) = v.passive.iter_mut().find(|s| s.id == peer) {
                        s.refused = s.refused.saturating_add(1);
                        s.not_before = cx.now.mono + Span::from_secs(2);
                    }
                }
                _ => v.forget(&peer),
            }
            if asked {
                cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(v.overlay)), v.fill_at.max(cx.now.mono));
            }
        }
    }

    /// A neighbour does not answer: it counts no longer, and a replacement is looked for at once.
    pub(super) fn on_suspected(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        for v in self.views.values_mut() {
            let Some(a) = v.active.iter_mut().find(|a| a.id == peer) else { continue };
            a.suspected = true;
            v.attempts = 0;
            v.fill_at = cx.now.mono;
            cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(v.overlay)), cx.now.mono);
        }
    }

    /// A suspect is well: if its place is taken, the newest neighbours make room. A neighbour of before that is back is
    /// a spare again.
    pub(super) fn on_recovered(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        for v in self.views.values_mut() {
            let target = target(v, cx.config, cx.now);
            if let Some(a) = v.active.iter_mut().find(|a| a.id == peer && a.suspected) {
                a.suspected = false;
                if v.counted() > target
                    && let Some(victim) = v.victim(&peer)
                {
                    replace(cx, v, victim, None);
                }
            } else if v.overlay == Overlay::Root {
                v.remember(peer, cx.me, cx.config.passive_view_size);
                cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(v.overlay)), v.fill_at.max(cx.now.mono));
            }
        }
    }

    /// A suspect did not recover.
    pub(super) fn on_dead(&mut self, cx: &mut Cx<'_>, peer: NodeId, reason: LeaveReason) {
        cx.topology.unreachable(&peer);
        for v in self.views.values_mut() {
            v.forget(&peer);
            if v.is_active(&peer) {
                demote(cx, v, peer, reason);
            }
        }
    }

    /// A suspect's other neighbour is linked for a moment, and may have the same hole to fill.
    pub(super) fn on_candidate(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(v) = self.views.get_mut(&Overlay::Root) else { return };
        if v.room(target(v, cx.config, cx.now)) > 0 {
            self.ask(cx, Overlay::Root, peer, Asked::Neighbor);
        } else {
            v.remember(peer, cx.me, cx.config.passive_view_size);
        }
    }

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
        v.shuffles_open = (v.shuffles_open + 1).min(4);
        let mut peers = vec![cx.own_address()];
        peers.retain(|p| !p.addrs.is_empty());
        let mut ids = v.sample_active(SHUFFLE_ACTIVE, &[to]);
        ids.extend(v.sample_passive(SHUFFLE_PASSIVE));
        peers.extend(with_addrs(cx.topology, ids));
        peers.truncate(MAX_PEERS);
        let sketch = v.size.sketch(cx.now.wall);
        cx.send(to, Shuffle { overlay: wire_of(overlay), ttl: SHUFFLE_HOPS, path: vec![cx.me], peers, sketch });
    }

    pub(super) fn on_shuffle(&mut self, cx: &mut Cx<'_>, from: NodeId, mut m: Shuffle) {
        let Some(v) = self.views.get_mut(&overlay_of(m.overlay)).filter(|v| v.is_active(&from)) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        if m.path.last() != Some(&from) || m.path.contains(&cx.me) {
            cx.counters.frames_unexpected += 1;
            return;
        }
        let ttl = m.ttl.min(SHUFFLE_HOPS);
        if ttl > 1
            && m.path.len() < MAX_PATH
            && let Some(next) = v.random_active(&m.path)
        {
            m.path.push(cx.me);
            cx.send(next, Shuffle { ttl: ttl - 1, ..m });
            return;
        }
        let ids = v.sample_passive(m.peers.len());
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
        if v.shuffles_open == 0 {
            cx.counters.frames_unexpected += 1;
            return;
        }
        v.shuffles_open -= 1;
        v.size.merge(cx.now.wall, &m.sketch);
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
        v.remember(p.id, cx.me, cx.config.passive_view_size);
    }
}

/// Says yes to `peer`, which asked: it is a neighbour from now on.
fn accept(cx: &mut Cx<'_>, v: &mut View, peer: NodeId) {
    let sketch = v.size.sketch(cx.now.wall);
    let me = Some(cx.own_address());
    v.take_pending(&peer);
    cx.send(peer, NeighborReply { overlay: wire_of(v.overlay), accept: true, others: Vec::new(), sketch, me });
    promote(cx, v, peer);
}

fn refuse(cx: &mut Cx<'_>, v: &mut View, peer: NodeId) {
    let mut others = v.sample_passive(OTHERS);
    others.retain(|p| *p != peer);
    let others = with_addrs(cx.topology, others);
    let sketch = v.size.sketch(cx.now.wall);
    let me = Some(cx.own_address());
    cx.send(peer, NeighborReply { overlay: wire_of(v.overlay), accept: false, others, sketch, me });
}

/// Both agreed: `peer` is a neighbour.
fn promote(cx: &mut Cx<'_>, v: &mut View, peer: NodeId) {
    if v.is_active(&peer) {
        return;
    }
    cx.claim(peer, claim(v.overlay));
    v.forget(&peer);
    v.active.push(Active { id: peer, since: cx.now.mono, suspected: false });
    v.attempts = 0;
    v.visits = 0;
    if v.active.len() == 1 {
        let at = cx.now.mono + Span::from_millis(v.rng.between(500, 1_500));
        cx.deadlines.set(TimerKey::Membership(Timer::Shuffle(v.overlay)), at);
    }
    v.fill_at = cx.now.mono;
    cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(v.overlay)), cx.now.mono);
    cx.signal(Signal::NeighborUp { overlay: v.overlay, peer });
    cx.event(Event::PeerJoined { peer, overlay: v.overlay });
}

/// `peer` is a neighbour no longer, whoever wanted it.
pub(super) fn demote(cx: &mut Cx<'_>, v: &mut View, peer: NodeId, reason: LeaveReason) {
    v.active.retain(|a| a.id != peer);
    cx.release(peer, claim(v.overlay));
    v.attempts = 0;
    v.fill_at = cx.now.mono;
    cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(v.overlay)), cx.now.mono);
    cx.signal(Signal::NeighborDown { overlay: v.overlay, peer, reason });
    cx.event(Event::PeerLeft { peer, overlay: v.overlay, reason });
}

/// Tells a neighbour that another took its place.
fn replace(cx: &mut Cx<'_>, v: &mut View, victim: NodeId, instead: Option<NodeId>) {
    let instead = instead.map(|p| cx.topology.peer_addr(&p)).filter(|p| !p.addrs.is_empty());
    cx.send(victim, Disconnect { overlay: wire_of(v.overlay), reason: 0, instead });
    cx.counters.neighbors_replaced += 1;
    demote(cx, v, victim, LeaveReason::Replaced);
    v.remember(victim, cx.me, cx.config.passive_view_size);
}

/// Ends a neighbourhood because this node leaves the overlay.
pub(super) fn part(cx: &mut Cx<'_>, v: &mut View, peer: NodeId) {
    cx.send(peer, Disconnect { overlay: wire_of(v.overlay), reason: view::LEFT, instead: None });
    demote(cx, v, peer, LeaveReason::Unsubscribed);
}
