//! The neighbours records are exchanged with: what waits to be sent to each, and what each may cost.

use std::collections::VecDeque;

use crate::identity::{NodeId, RecordKey};
use crate::layer::Cx;
use crate::time::{Span, Time};
use crate::wire::SetId;

/// Records that wait to be pushed to one neighbour, and announcements; what is more is left to comparing.
pub(super) const WAITING: usize = 4_096;
/// New keys, and records asked for, that one neighbour is good for in a second, and at once (guesses: a thousand nodes that
/// start within some seconds, all behind one link; at 100 µs a signature, a fiftieth of a core).
const PER_SECOND: u64 = 200;
const BURST: u64 = 2_000;

/// A record on its way to a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Push {
    pub(super) set: SetId,
    pub(super) key: RecordKey,
    /// The neighbour knows all but the refresh.
    pub(super) fresh: bool,
}

/// What may be spent on somebody, by time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowance(Time);

impl Allowance {
    /// Spends one, if there is one left.
    pub(super) fn spend(&mut self, now: Time) -> bool {
        let each = Span(1_000_000 / PER_SECOND);
        let next = self.0.max(now - each.times(BURST)) + each;
        if next > now {
            return false;
        }
        self.0 = next;
        true
    }
}

/// A neighbour in the network's overlay.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    /// Since when it is a neighbour.
    pub(super) since: Time,
    /// Its link is in the tree.
    pub(super) eager: bool,
    /// It does not answer.
    pub(super) suspected: bool,
    /// What is pushed to it next.
    pub(super) pushes: Vec<Push>,
    /// When the first of them has to leave.
    pub(super) push_at: Time,
    /// What is announced to it next.
    pub(super) announce: VecDeque<u32>,
    /// When they have to leave.
    pub(super) announce_at: Time,
    /// New keys it may still bring, and records it may still ask for.
    pub(super) brings: Allowance,
    pub(super) asks: Allowance,
}

impl Peer {
    pub(super) fn new(id: NodeId, now: Time) -> Peer {
        Peer {
            id,
            since: now,
            eager: false,
            suspected: false,
            pushes: Vec::new(),
            push_at: Time(u64::MAX),
            announce: VecDeque::new(),
            announce_at: Time(u64::MAX),
            brings: Allowance::default(),
            asks: Allowance::default(),
        }
    }

    /// Pushes a record with the next frame, which leaves at `at` at the latest.
    pub(super) fn push(&mut self, cx: &mut Cx<'_>, push: Push, at: Time) {
        if self.pushes.iter().rev().take(32).any(|p| (p.set, p.key) == (push.set, push.key) && p.fresh == push.fresh) {
            self.push_at = self.push_at.min(at);
            return;
        }
        if self.pushes.len() >= WAITING {
            cx.counters.records_shed += 1;
            return;
        }
        self.pushes.push(push);
        self.push_at = self.push_at.min(at);
    }

    /// Announces a record with the next frame of announcements, which leaves at `at` at the latest.
    pub(super) fn tell(&mut self, cx: &mut Cx<'_>, id: u32, at: Time) {
        if self.announce.len() >= WAITING {
            self.announce.pop_front();
            cx.counters.records_shed += 1;
        }
        self.announce.push_back(id);
        self.announce_at = self.announce_at.min(at);
    }
}
