//! Which links leave the tree.
//!
//! In Plumtree whoever brings a batch that is here already leaves the tree at once. That is right for one flood: the
//! links that brought it first are a tree. But of two floods at once each leaves another tree, and a node that prunes
//! for both of them cuts where the other counts on the link; announcements then mend the holes with links that close
//! new cycles, and so on, for as long as several nodes publish together.
//!
//! So only the copies of few batches count, and of the same ones everywhere: of the author with the lowest id among
//! those heard lately, the first batch in each second of its clock. Copies are gathered for half the time a flood
//! takes, in case a lower author is still to be heard. One batch is enough, because each travels every link of the
//! tree and shows every cycle; and where one flood alone decides, what it leaves is a tree, however late its copies.

use super::batch::BatchHeader;
use super::message_log::Known;
use super::{Timer, Topic};
use crate::identity::NodeId;
use crate::layer::{Cx, TimerKey};
use crate::time::Span;
use crate::wire::Prune;

/// A prune is repeated when duplicates go on coming, at most this often.
pub(super) const PRUNE_AGAIN: Span = Span::from_secs(1);

/// A flood takes a few round trips of the farthest neighbour (a guess that holds for up to some thousand nodes; in
/// larger networks floods that meet agree less often), within these bounds: a busy machine's, and patience's.
const FLOOD_ROUND_TRIPS: u64 = 3;
const FLOOD_LEAST: Span = Span::from_millis(50);
const FLOOD_MOST: Span = Span::from_millis(250);
/// An author is heard lately for two floods' time: long enough for those that publish together, and short enough that
/// every batch counts where they follow one another in peace.
const LATELY: u64 = 2;
/// Copies of one batch an author and this long count: the links have left by the next (a guess).
const PERIOD_MS: u64 = 1_000;

/// The batch whose copies decide, and who brought them.
#[derive(Debug)]
pub(super) struct Contest {
    place: (NodeId, u64, u64),
    /// Who brought it first; nobody if it is our own.
    first: Option<NodeId>,
    /// Who brought it again.
    again: Vec<NodeId>,
}

impl Topic {
    /// How long a flood may take.
    pub(super) fn flood_span(&self, cx: &Cx<'_>) -> Span {
        let farthest = self.peers.iter().filter_map(|p| cx.topology.rtt(&p.id)).max().unwrap_or(FLOOD_LEAST);
        Span(farthest.times(FLOOD_ROUND_TRIPS).0.clamp(FLOOD_LEAST.0, FLOOD_MOST.0))
    }

    /// An author is heard now.
    pub(super) fn hear(&mut self, cx: &Cx<'_>, author: NodeId) {
        let now = cx.now.mono;
        let lately = Span(self.flood_span(cx).0 * LATELY);
        if self.root.is_none_or(|(root, at)| author <= root || now.since(at) > lately) {
            self.root = Some((author, now));
        }
    }

    /// Whether copies of this batch say which links leave the tree.
    fn decides(&self, h: &BatchHeader) -> bool {
        let period = |ms: u64| ms / PERIOD_MS;
        self.root.is_some_and(|(root, _)| root == h.author)
            && h.apart_ms.is_none_or(|apart| period(h.wall_ms.saturating_sub(apart)) != period(h.wall_ms))
    }

    /// A batch came again. It was not verified; but it says nothing about the tree unless it is, byte for byte, one
    /// that was.
    pub(super) fn duplicate(&mut self, cx: &mut Cx<'_>, from: NodeId, pulled: bool, h: &BatchHeader, bytes: &[u8]) {
        let entry = self.log.at_place(h);
        if entry.is_some_and(|e| e.batch.bytes()[..] != *bytes) {
            cx.counters.batches_contradictory += 1;
            return;
        }
        cx.counters.batches_duplicate += 1;
        if pulled {
            return;
        }
        let first = match entry.and_then(|e| self.log.known(&e.batch.short_id()).copied()) {
            Some(Known { pulled: true, received, .. }) => {
                // The tree would have brought it: we asked too soon. The link is not to blame, and nothing is broken.
                self.pulled = None;
                let late = self.patience.wait() + cx.now.mono.since(received);
                return self.patience.note(cx.now.mono, late);
            }
            Some(k) => k.from,
            // Too long ago to tell.
            None => return,
        };
        if !self.decides(h) {
            return;
        }
        let place = (h.author, h.epoch, h.first_seq);
        match &mut self.contest {
            Some(c) if c.place < place => {}
            Some(c) if c.place == place => {
                if !c.again.contains(&from) {
                    c.again.push(from);
                }
            }
            c => {
                if c.is_none() {
                    // Half a flood's time: what is held for a whole one then finds the links gone at both ends.
                    let at = cx.now.mono + Span(self.flood_span(cx).0 / 2);
                    cx.deadlines.set(TimerKey::PubSub(Timer::Prune(self.id)), at);
                }
                self.contest = Some(Contest { place, first, again: vec![from] });
            }
        }
    }

    /// Of two links that bring the same, the slower one leaves the tree.
    pub(super) fn prune(&mut self, cx: &mut Cx<'_>) {
        let Some(c) = self.contest.take() else { return };
        // Only in favour of a link that stays: else none would be left.
        let stays = c.first.is_none_or(|by| self.peers.iter().any(|p| p.id == by && p.eager));
        if !stays {
            return;
        }
        let (now, topic) = (cx.now.mono, self.id);
        for p in self.peers.iter_mut().filter(|p| c.again.contains(&p.id)) {
            if p.eager || !p.just_pruned(now, PRUNE_AGAIN) {
                p.eager = false;
                p.pruned = Some(now);
                cx.counters.prunes_sent += 1;
                cx.send(p.id, Prune { topic });
            }
        }
        self.keep_a_parent(cx);
    }
}
