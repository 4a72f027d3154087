//! A bias toward near neighbours on part of each view.
//!
//! X-BOT (Leitão, Marques, Pereira, Rodrigues, SRDS 2009): a node that is full and knows a spare much nearer than one of its
//! neighbours trades; four nodes take part and nobody's degree changes. What differs, and why:
//! - *Two messages instead of eight.* In the paper the initiator i, its old neighbour o, the candidate c and the neighbour d
//!   that c lets go all agree before anything changes, and d weighs its link to o as well. Here c decides with i
//!   ([`Exchange`](crate::wire::Exchange)), and d is sent to o without being asked. The link d–o is a random one, so i and c
//!   must gain clearly for both; d and o go on from there. A lost message costs two nodes a neighbour, which they replace.
//! - *Distances are measured by the looks at spares* (`repair.rs`), not by an oracle.
//! - *The oldest neighbours are never traded*, so that each view keeps links drawn without regard to distance: they hold
//!   clusters together, keep paths short, and cannot be displaced by somebody who is merely near.
//!
//! Trades are frequent in a young view and rare in a settled one: each takes two links out of trees.

use crate::identity::NodeId;
use crate::io::Overlay;
use crate::layer::Cx;
use crate::membership::repair::FAR;
use crate::membership::view::{Asked, View, prefix};
use crate::membership::{Membership, target};
use crate::time::{Span, Time};

/// Neighbours that are never traded, the oldest (the paper keeps one of five unbiased; more keeps paths short).
const UNBIASED: usize = 4;
/// A trade must bring a neighbour at least this much nearer, and a quarter nearer (guesses: what noise never feigns); and
/// only a neighbour that is [`FAR`] is traded, or a busy machine would trade without end.
const CLEAR: Span = Span::from_millis(4);
/// Trades looked for while a view is young, how often then, and how often later, ± half.
const YOUNG: u32 = 24;
const YOUNG_EVERY: Span = Span::from_secs(1);
const EVERY: Span = Span::from_secs(60);

fn is_clear(near: Span, far: Span) -> bool {
    far >= FAR && near.0.saturating_mul(4) <= far.0.saturating_mul(3) && far.0 - near.0 >= CLEAR.0
}

/// The farthest neighbour that may be traded.
fn farthest(cx: &Cx<'_>, v: &View) -> Option<(Span, NodeId)> {
    let mut by_age: Vec<(Time, NodeId)> = v.active.iter().filter(|a| !a.suspected).map(|a| (a.since, a.id)).collect();
    by_age.sort_unstable();
    by_age.iter().skip(UNBIASED).filter_map(|(_, p)| Some((cx.topology.rtt(p)?, *p))).max()
}

/// Whom this view would let go for `peer`, which is near.
pub(super) fn traded_for(cx: &Cx<'_>, v: &View, peer: &NodeId) -> Option<NodeId> {
    let near = cx.topology.rtt(peer)?;
    let (far, victim) = farthest(cx, v)?;
    let at = prefix(cx, peer);
    let varied = !v.has_enough_of(at) || prefix(cx, &victim) == at;
    (is_clear(near, far) && varied).then_some(victim)
}

impl Membership {
    /// Looks for a trade in a full view, if it is time.
    pub(super) fn trade(&mut self, cx: &mut Cx<'_>, overlay: Overlay) {
        let now = cx.now.mono;
        let Some(v) = self.views.get_mut(&overlay) else { return };
        if v.trade_at > now || v.counted() < target(v, cx.config, cx.now) {
            return;
        }
        let every = if v.trades < YOUNG { YOUNG_EVERY } else { EVERY };
        v.trades = v.trades.saturating_add(1);
        v.trade_at = now + Span(v.rng.between(every.0 / 2, every.0 + every.0 / 2));
        if !v.pending.is_empty() {
            return;
        }
        let measured = v.spares.iter().filter_map(|s| Some((cx.topology.rtt(&s.id)?, s.id)));
        let nearest = measured.filter(|(_, p)| v.spares.is_willing(p, now) && cx.topology.is_ready(p, now)).min();
        let Some((_, peer)) = nearest else { return };
        if let Some(old) = traded_for(cx, v, &peer) {
            self.ask(cx, overlay, peer, Asked::Exchange { old, near: true });
        }
    }
}
