//! Keeping passive views true: in the background, spares are dialed one at a time to see whether they are there.
//!
//! In HyParView a spare is found dead only when it is needed, and after a mass crash the dead outlive the living in
//! passive views, because shuffles go on spreading them. Here one spare every now and then is dialed: who is not there
//! leaves and is backed off from; who is there has its distance measured.

use crate::identity::NodeId;
use crate::io::Overlay;
use crate::layer::{Cx, TimerKey};
use crate::links::{Claim, Claimed};
use crate::membership::{Membership, Timer};
use crate::time::Span;

/// How often a spare is dialed, ± half: a view of 96 is gone through in a quarter of an hour at a dial's cost of some
/// 5 kB, half a kilobyte a second (a guess).
const LOOK: Span = Span::from_secs(10);
/// The same while less than half of the peers can be reached.
const LOOK_HARD: Span = Span::from_secs(1);
/// Dials under way at most, of this kind.
const LOOKING: usize = 4;
/// Links left free for those that are needed.
const SPARE_LINKS: usize = 16;

/// The claim on a link that is only there to see whether the peer is.
const LOOKS: Claim = Claim { layer: super::LAYER + 100, overlay: Overlay::Root };

impl Membership {
    /// Arms the next look.
    pub(super) fn look_later(&mut self, cx: &mut Cx<'_>) {
        let hard = self.views.values().any(|v| v.reach < 0.5 && !v.spares.is_empty());
        let every = if hard { LOOK_HARD.0 } else { LOOK.0 };
        let wait = self.rng.between(every / 2, every + every / 2);
        cx.deadlines.set(TimerKey::Membership(Timer::Look), cx.now.mono + Span(wait));
    }

    /// Dials one spare of one overlay, both at random.
    pub(super) fn look(&mut self, cx: &mut Cx<'_>) {
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
        if self.looking.remove(&peer) {
            for v in self.views.values_mut().filter(|v| v.spares.contains(&peer)) {
                v.met(true);
            }
            cx.release(peer, LOOKS);
        }
    }
}
