//! Becoming neighbours and ceasing to be: what each end says and notes, and whose links they are when there are few.

use crate::identity::NodeId;
use crate::io::{Event, LeaveReason, Overlay};
use crate::layer::{Cx, Signal, TimerKey};
use crate::membership::view::{self, Active, Tokens, View, prefix, remember, with_addrs};
use crate::membership::{LAYER, Membership, Timer, claim, target, wire_of};
use crate::time::Span;
use crate::wire::{Disconnect, LinkRefusal, NeighborReply, Sketch, WireOverlay};

/// Neighbours that every overlay has before any has more, when links are scarce.
pub(super) const FAIR: usize = 5;
/// Spares handed over with a refusal.
pub(super) const OTHERS: usize = 4;

impl Membership {
    /// An overlay with few neighbours finds no link free: the one with most gives up the youngest whose link serves
    /// nothing else.
    pub(super) fn free_a_link(&mut self, cx: &mut Cx<'_>, needy: Overlay) {
        let rich = |v: &&mut View| v.overlay != needy && v.counted() > FAIR;
        let Some(v) = self.views.values_mut().filter(rich).max_by_key(|v| v.counted()) else { return };
        let alone = |a: &&Active| cx.links.claims(&a.id).iter().all(|c| *c == claim(v.overlay) || c.layer != LAYER);
        let Some(victim) = v.active.iter().filter(alone).max_by_key(|a| (a.since, a.id)).map(|a| a.id) else { return };
        cx.counters.links_shared_out += 1;
        replace(cx, v, victim, None);
    }
}

/// Whether a peer is at the end of a circuit, and none for this overlay: the network's is made of links that relays do not carry.
pub(super) fn is_apart(cx: &Cx<'_>, v: &View, peer: &NodeId) -> bool {
    v.overlay == Overlay::Root && cx.links.is_circuit(peer)
}

/// Whether an overlay may have one more link for itself: when few are left, only if it has few neighbours.
pub(super) fn may_have_link(cx: &Cx<'_>, v: &View, peer: &NodeId) -> bool {
    let max = cx.config.max_links;
    let scarce = cx.links.len() + max / 8 >= max;
    !is_apart(cx, v, peer) && (!scarce || v.counted() < FAIR || !cx.links.claims(peer).is_empty())
}

/// Says yes to `peer`, which asked: it is a neighbour from now on.
pub(super) fn accept(cx: &mut Cx<'_>, v: &mut View, peer: NodeId) {
    let sketch = v.size.sketch(cx.now.wall);
    let me = Some(cx.own_address());
    let guest = v.take_pending(&peer).is_none();
    cx.send(peer, NeighborReply { overlay: wire_of(v.overlay), accept: true, others: Vec::new(), sketch, me });
    promote(cx, v, peer, guest);
}

/// Says no: this node is not in that overlay.
pub(super) fn not_in(cx: &mut Cx<'_>, peer: NodeId, overlay: WireOverlay) {
    let sketch = Sketch::default();
    cx.send(peer, NeighborReply { overlay, accept: false, others: Vec::new(), sketch, me: None });
}

pub(super) fn refuse(cx: &mut Cx<'_>, v: &mut View, peer: NodeId) {
    let mut others = v.spares.pick(&mut v.rng, OTHERS);
    others.retain(|p| *p != peer);
    let others = with_addrs(cx.topology, others);
    let sketch = v.size.sketch(cx.now.wall);
    let me = Some(cx.own_address());
    cx.send(peer, NeighborReply { overlay: wire_of(v.overlay), accept: false, others, sketch, me });
}

/// Both agreed: `peer` is a neighbour.
pub(super) fn promote(cx: &mut Cx<'_>, v: &mut View, peer: NodeId, guest: bool) {
    if v.is_active(&peer) {
        return;
    }
    cx.claim(peer, claim(v.overlay));
    v.spares.take(&peer);
    let prefix = prefix(cx, &peer);
    // A neighbour passes on some four shuffles in ten seconds, more while views are young (guesses).
    let shuffles = Tokens::new(16, Span::from_secs(1), cx.now.mono);
    v.active.push(Active { id: peer, since: cx.now.mono, prefix, guest, shuffles, suspected: false });
    v.attempts = 0;
    v.visits = 0;
    if v.active.len() == 1 {
        let at = cx.now.mono + Span::from_millis(v.rng.between(500, 1_500));
        cx.deadlines.set(TimerKey::Membership(Timer::Shuffle(v.overlay)), at);
    }
    if v.lost.found(&peer) {
        // Whom it knows, we have not heard of for as long as we were parted.
        v.shuffles = 0;
        let at = cx.now.mono + Span::from_millis(v.rng.between(100, 500));
        cx.deadlines.set_no_later(TimerKey::Membership(Timer::Shuffle(v.overlay)), at);
    }
    v.fill_at = cx.now.mono;
    cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(v.overlay)), cx.now.mono);
    cx.signal(Signal::NeighborUp { overlay: v.overlay, peer });
    cx.event(Event::PeerJoined { peer, overlay: v.overlay });
    let well = v.active.iter().filter(|a| !a.suspected).count();
    if well > target(v, cx.config, cx.now)
        && let Some(crowded) = v.crowded()
    {
        replace(cx, v, crowded, None);
    }
}

/// `peer` is a neighbour no longer, whoever wanted it.
pub(super) fn demote(cx: &mut Cx<'_>, v: &mut View, peer: NodeId, reason: LeaveReason) {
    v.active.retain(|a| a.id != peer);
    use LinkRefusal::{Error, Silent, Timeout};
    if matches!(reason, LeaveReason::Died | LeaveReason::Link(Silent | Timeout | Error)) {
        v.lost.add(&mut v.rng, peer, cx.now.mono);
        if let Some(wait) = v.lost.wait(&mut v.rng, cx.now.mono) {
            cx.deadlines.set_no_later(TimerKey::Membership(Timer::Lost), cx.now.mono + wait);
        }
    }
    cx.release(peer, claim(v.overlay));
    v.attempts = 0;
    v.fill_at = cx.now.mono;
    cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(v.overlay)), cx.now.mono);
    cx.signal(Signal::NeighborDown { overlay: v.overlay, peer, reason });
    cx.event(Event::PeerLeft { peer, overlay: v.overlay, reason });
}

/// Tells a neighbour that another took its place.
pub(super) fn replace(cx: &mut Cx<'_>, v: &mut View, victim: NodeId, instead: Option<NodeId>) {
    let instead = instead.map(|p| cx.topology.peer_addr(&p)).filter(|p| !p.addrs.is_empty());
    let bye = Disconnect { overlay: wire_of(v.overlay), reason: 0, instead };
    let_go(cx, v, victim, bye);
}

pub(super) fn let_go(cx: &mut Cx<'_>, v: &mut View, victim: NodeId, bye: Disconnect) {
    cx.send(victim, bye);
    cx.counters.neighbors_replaced += 1;
    demote(cx, v, victim, LeaveReason::Replaced);
    remember(cx, v, victim);
}

/// Ends a neighbourhood because this node leaves the overlay.
pub(super) fn part(cx: &mut Cx<'_>, v: &mut View, peer: NodeId) {
    cx.send(peer, Disconnect { overlay: wire_of(v.overlay), reason: view::LEFT, instead: None });
    demote(cx, v, peer, LeaveReason::Unsubscribed);
}
