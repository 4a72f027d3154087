//! HyParView's messages: joining, asking to be neighbours, answering, parting.

use crate::identity::{NodeId, PeerAddr};
use crate::io::{LeaveReason, Overlay};
use crate::layer::{Cx, TimerKey};
use crate::links::Claimed;
use crate::membership::neighbors::{
    FAIR, OTHERS, accept, demote, is_apart, let_go, may_have_link, not_in, promote, refuse, replace,
};
use crate::membership::view::{Asked, Pending, prefix, remember};
use crate::membership::{Membership, Timer, bias, claim, overlay_of, target, view, wire_of};
use crate::time::Span;
use crate::wire::{Disconnect, Exchange, ForwardJoin, Join, Neighbor, NeighborReply};

/// Hops of a newcomer's walk: it ends at the first node from the seventh on (the paper's ARWL, 6) that would let the
/// newcomer in, or after ten more.
const WALK: u8 = 16;
const WALK_MIXED: u8 = 10;
/// At this many hops left the walk leaves the newcomer in a passive view (the paper's PRWL: at the third hop).
const WALK_PASSIVE: u8 = 13;
/// Walks started for a newcomer: with edges split that gives it up to ten neighbours.
const WALKS: usize = 5;
/// How long a request may take: a dial of 500 ms and a few round trips.
pub(super) const REQUEST: Span = Span::from_millis(2_500);
/// How long a place is kept for a neighbour that is on its way: a dial and a few round trips.
const ON_ITS_WAY: Span = Span::from_millis(800);
/// How soon an overlay for which a link was freed tries again: a goodbye and its answer on a slow path, so that not a
/// second one is given up for the same place.
const LINK_FREE: Span = Span::from_millis(500);

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
        let at = prefix(cx, &from);
        if cx.links.is_stuck(&from) || !v.joins_of.take(at, now) || !v.joins.take(now) {
            cx.counters.joins_limited += 1;
            refuse(cx, v, from);
            return;
        }
        let target = target(v, cx.config, cx.now);
        for peer in v.sample_active(WALKS, &[from]) {
            cx.send(peer, ForwardJoin { overlay: m.overlay, newcomer: newcomer.clone(), ttl: WALK });
        }
        if v.is_active(&from) || (v.room(target) > 0 && v.lets_in(at, target) && may_have_link(cx, v, &from)) {
            accept(cx, v, from);
        } else {
            refuse(cx, v, from);
            remember(cx, v, from);
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
        if newcomer == cx.me {
            return;
        }
        let target = target(v, cx.config, cx.now);
        let ends = ttl == 0 || (ttl <= WALK_MIXED && v.lets_in(prefix(cx, &newcomer), target));
        let next = if ends { None } else { v.random_active(&[from, newcomer]) };
        if let Some(next) = next {
            if ttl == WALK_PASSIVE {
                remember(cx, v, newcomer);
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
        let at = prefix(cx, &newcomer);
        if !v.lets_in(at, target) {
            remember(cx, v, newcomer);
        } else if v.room(target) > 0 {
            self.ask(cx, overlay, newcomer, Asked::Neighbor);
        } else if v.may_split(at, cx.now.mono) {
            self.ask(cx, overlay, newcomer, Asked::Split);
        } else {
            cx.counters.joins_limited += 1;
            remember(cx, v, newcomer);
        }
    }

    /// Asks `peer` for something over a link that may have to be dialed first.
    pub(super) fn ask(&mut self, cx: &mut Cx<'_>, overlay: Overlay, peer: NodeId, asked: Asked) -> bool {
        let Some(v) = self.views.get_mut(&overlay) else { return false };
        if peer == cx.me || v.pending(&peer).is_some() || v.is_active(&peer) {
            return false;
        }
        if !may_have_link(cx, v, &peer) {
            return false;
        }
        let claimed = cx.claim(peer, claim(overlay));
        match claimed {
            Claimed::Up | Claimed::Dialing => {}
            Claimed::Full => {
                if v.counted() < FAIR {
                    v.fill_at = cx.now.mono + LINK_FREE;
                    self.free_a_link(cx, overlay);
                }
                return false;
            }
            Claimed::NoAddress => {
                v.spares.forget(&peer);
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

    pub(super) fn send_asked(&mut self, cx: &mut Cx<'_>, overlay: Overlay, peer: NodeId) {
        let Some(v) = self.views.get_mut(&overlay) else { return };
        if is_apart(cx, v, &peer) {
            v.take_pending(&peer);
            return cx.release(peer, claim(overlay));
        }
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
            Asked::Exchange { old, near } => {
                let old = cx.topology.peer_addr(&old);
                cx.send(peer, Exchange { overlay, me, old, near })
            }
        };
    }

    /// This node's addresses changed: its neighbours hear of it, by being asked for what they are already.
    pub(crate) fn tell_addrs(&mut self, cx: &mut Cx<'_>) {
        let Some(v) = self.views.get_mut(&Overlay::Root) else { return };
        let (me, sketch) = (cx.own_address(), v.size.sketch(cx.now.wall));
        for peer in v.active.iter().map(|a| a.id) {
            let (me, sketch) = (me.clone(), sketch.clone());
            cx.send(peer, Neighbor { overlay: None, me, urgent: false, room: 0, sketch });
        }
    }

    pub(super) fn on_neighbor(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Neighbor) {
        let overlay = overlay_of(m.overlay);
        cx.topology.prove(&PeerAddr { id: from, addrs: m.me.addrs });
        let Some(v) = self.views.get_mut(&overlay) else { return not_in(cx, from, m.overlay) };
        v.size.merge(cx.now.wall, &m.sketch);
        if cx.links.is_stuck(&from) && !v.is_active(&from) {
            return refuse(cx, v, from);
        }
        if is_apart(cx, v, &from) {
            return refuse(cx, v, from);
        }
        let target = target(v, cx.config, cx.now);
        // Both may have asked each other: the other's request stands for an answer to ours.
        let asked = v.pending(&from).map(|p| p.asked);
        let at = prefix(cx, &from);
        let room = v.counted() < target && may_have_link(cx, v, &from);
        if v.is_active(&from) || (room && (asked.is_some() || v.lets_in(at, target))) {
            accept(cx, v, from);
            return;
        }
        let wants_split = m.urgent || m.room >= 2 || asked == Some(Asked::Split);
        if wants_split
            && v.counted() >= target
            && (asked.is_some() || v.lets_in(at, target))
            && v.may_split(at, cx.now.mono)
            && let Some(victim) = v.victim(&from, at, asked.is_none())
        {
            replace(cx, v, victim, Some(from).filter(|_| m.room >= 2));
            accept(cx, v, from);
            return;
        }
        refuse(cx, v, from);
        remember(cx, v, from);
    }

    /// A full node asks a full node. Whom we let go is sent to whom the asker lets go: nobody's degree changes.
    pub(super) fn on_exchange(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Exchange) {
        let overlay = overlay_of(m.overlay);
        cx.topology.prove(&PeerAddr { id: from, addrs: m.me.addrs });
        let Some(v) = self.views.get_mut(&overlay) else { return not_in(cx, from, m.overlay) };
        if is_apart(cx, v, &from) {
            return refuse(cx, v, from);
        }
        let target = target(v, cx.config, cx.now);
        let at = prefix(cx, &from);
        if v.is_active(&from) || (v.counted() < target && v.lets_in(at, target)) {
            return accept(cx, v, from);
        }
        let victim = match m.near {
            true => bias::traded_for(cx, v, &from).filter(|_| v.may_split(at, cx.now.mono)),
            false if v.lets_in(at, target) && v.may_split(at, cx.now.mono) => v.victim(&from, at, true),
            false => None,
        };
        let Some(victim) = victim else {
            refuse(cx, v, from);
            return remember(cx, v, from);
        };
        let old = Some(m.old).filter(|o| o.id != victim && o.id != cx.me && !o.addrs.is_empty());
        let bye = Disconnect { overlay: wire_of(overlay), reason: 0, instead: old };
        let_go(cx, v, victim, bye);
        accept(cx, v, from);
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
            if m.accept && v.is_active(&from) {
                return;
            }
            // Too late, or never asked. If the other end counts on us, tell it not to.
            cx.counters.frames_unexpected += 1;
            if m.accept && !v.is_active(&from) {
                cx.send(from, Disconnect { overlay: m.overlay, reason: 0, instead: None });
            }
            return;
        };
        v.answered |= pending.asked == Asked::Join && self.bootstrap.iter().any(|b| b.id == from);
        for other in m.others.iter().take(OTHERS) {
            cx.topology.claim(other);
            remember(cx, v, other.id);
        }
        let target = target(v, cx.config, cx.now);
        if m.accept {
            if !v.is_active(&from)
                && v.counted() >= target
                && pending.asked == Asked::Split
                && let Some(victim) = v.victim(&from, prefix(cx, &from), false)
            {
                replace(cx, v, victim, Some(from));
            }
            if let Asked::Exchange { old, .. } = pending.asked
                && !v.is_active(&from)
                && v.counted() >= target
            {
                let old = Some(old).filter(|o| v.is_active(o)).or_else(|| v.victim(&from, prefix(cx, &from), false));
                if let Some(old) = old {
                    let bye = Disconnect { overlay: wire_of(overlay), reason: view::EXCHANGED, instead: None };
                    let_go(cx, v, old, bye);
                }
            }
            if v.is_active(&from) || v.counted() < target {
                promote(cx, v, from, false);
            } else {
                cx.send(from, Disconnect { overlay: m.overlay, reason: 0, instead: None });
                cx.release(from, claim(overlay));
                remember(cx, v, from);
            }
        } else if !v.is_active(&from) {
            v.spares.refused(from, cx.now.mono);
            cx.release(from, claim(overlay));
            remember(cx, v, from);
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
        match reason {
            LeaveReason::Replaced => remember(cx, v, from),
            _ => v.spares.forget(&from),
        }
        if m.reason == view::EXCHANGED {
            v.fill_at = cx.now.mono + ON_ITS_WAY;
        }
        if let Some(instead) = m.instead.filter(|i| i.id != cx.me && !i.addrs.is_empty()) {
            cx.topology.claim(&instead);
            if !v.is_active(&instead.id) {
                remember(cx, v, instead.id);
                self.ask(cx, overlay, instead.id, Asked::Neighbor);
            }
        }
    }
}
