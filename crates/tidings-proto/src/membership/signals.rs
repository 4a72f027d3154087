//! What links and the failure detector report, and what it means for the views.

use crate::identity::NodeId;
use crate::io::{LeaveReason, Overlay};
use crate::layer::{Cx, TimerKey};
use crate::membership::neighbors::{demote, replace};
use crate::membership::view::{Asked, prefix, remember};
use crate::membership::{Membership, Timer, target};
use crate::wire::LinkRefusal;

impl Membership {
    pub(super) fn on_link_up(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let mut waiting = Vec::new();
        for v in self.views.values_mut() {
            v.spares.met(&peer, cx.now.mono);
            if v.pending(&peer).is_some_and(|p| !p.sent) {
                v.met(true);
                waiting.push(v.overlay);
            }
        }
        for overlay in waiting {
            self.send_asked(cx, overlay, peer);
        }
        self.looked(cx, peer);
    }

    pub(super) fn on_link_down(&mut self, cx: &mut Cx<'_>, peer: NodeId, reason: LinkRefusal, dial: bool) {
        // Full and closed say that it lives; everything else that it does not, or not for us.
        let lives = matches!(reason, LinkRefusal::Full | LinkRefusal::Closed);
        if dial || reason != LinkRefusal::Closed {
            cx.topology.doubt(&peer);
        }
        if !lives {
            cx.topology.back_off(&peer, cx.now.mono);
        }
        let looked = self.looking.remove(&peer);
        for v in self.views.values_mut() {
            let asked = v.take_pending(&peer).is_some();
            let was = v.is_active(&peer);
            let known = v.active.iter().any(|a| a.id == peer && a.suspected);
            if was {
                let why = match reason {
                    LinkRefusal::Goodbye => LeaveReason::Goodbye,
                    other => LeaveReason::Link(other),
                };
                demote(cx, v, peer, why);
            }
            if !lives {
                v.spares.forget(&peer);
            } else if asked {
                v.spares.refused(peer, cx.now.mono);
            }
            if !lives && reason != LinkRefusal::Goodbye && (asked || (was && !known) || looked) {
                v.met(false);
            }
            if asked {
                // Who cannot be reached is no reason to wait with the next.
                if !lives {
                    v.attempts = v.attempts.saturating_sub(1);
                    v.fill_at = cx.now.mono;
                }
                cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(v.overlay)), v.fill_at.max(cx.now.mono));
            }
        }
    }

    /// A neighbour does not answer: it counts no longer, and a replacement is looked for at once.
    pub(super) fn on_suspected(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        for v in self.views.values_mut() {
            let Some(a) = v.active.iter_mut().find(|a| a.id == peer) else { continue };
            a.suspected = true;
            v.met(false);
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
                v.met(true);
                if v.counted() > target
                    && let Some(victim) = v.victim(&peer, prefix(cx, &peer), false)
                {
                    replace(cx, v, victim, None);
                }
            } else if v.overlay == Overlay::Root {
                remember(cx, v, peer);
                cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(v.overlay)), v.fill_at.max(cx.now.mono));
            }
        }
    }

    /// A suspect did not recover.
    pub(super) fn on_dead(&mut self, cx: &mut Cx<'_>, peer: NodeId, reason: LeaveReason) {
        cx.topology.doubt(&peer);
        cx.topology.back_off(&peer, cx.now.mono);
        for v in self.views.values_mut() {
            v.spares.forget(&peer);
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
            remember(cx, v, peer);
        }
    }
}
