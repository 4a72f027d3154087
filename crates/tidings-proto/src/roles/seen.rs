//! What was seen of one node, and the role that follows from it alone.

use super::PeerRole;
use super::manager::{ATTEMPTS, DEMOTE_BELOW, DWELL_MS, ENOUGH_BYTES, ENOUGH_MESSAGES, PROMOTE_AT, SUCCEEDING};
use super::scoring::ContributionMetrics;
use crate::time::UnixMillis;

/// Fewer attempts say nothing yet (a guess: two failures among the first three are bad luck).
const FEWEST_ATTEMPTS: u32 = 10;
/// What an hour leaves of work: in that time the tenth message makes ten, though the first has faded a little.
const AN_HOUR: f64 = 0.95;

/// The last attempts, newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    pub(super) good: u64,
    pub(super) made: u32,
}

impl Attempts {
    pub(super) fn push(&mut self, good: bool, times: u64) {
        for _ in 0..times.min(u64::from(ATTEMPTS)) {
            self.good = (self.good << 1 | u64::from(good)) & ((1 << ATTEMPTS) - 1);
            self.made = (self.made + 1).min(ATTEMPTS);
        }
    }

    pub(super) fn failing(&self) -> bool {
        self.made >= FEWEST_ATTEMPTS && self.good.count_ones() * 100 < self.made * SUCCEEDING
    }
}

/// What was seen of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) metrics: ContributionMetrics,
    pub(super) attempts: Attempts,
    pub(super) role: PeerRole,
    /// Since when, if it ever changed.
    pub(super) since: Option<UnixMillis>,
    /// What was relayed when it was demoted last.
    pub(super) before: (u64, u64),
}

impl Seen {
    /// Whether there is enough work to judge by, since it was demoted last.
    pub(super) fn enough(&self, now: UnixMillis) -> bool {
        let (messages, bytes) = self.metrics.work(now);
        let since = |all: u64, before: u64| all.saturating_sub(before) as f64;
        let is = |weighs: f64, done: f64, enough: f64| done >= enough && weighs >= enough * AN_HOUR;
        is(messages, since(self.metrics.messages_relayed, self.before.0), ENOUGH_MESSAGES)
            || is(bytes, since(self.metrics.bytes_relayed, self.before.1), ENOUGH_BYTES)
    }

    /// Whether this node goes by what it saw, and not by what is said.
    pub(super) fn is_evidence(&self, now: UnixMillis) -> bool {
        self.role == PeerRole::Relay || self.enough(now) || self.attempts.made >= FEWEST_ATTEMPTS
    }

    /// The role to have, if it is another.
    pub(super) fn verdict(&self, now: UnixMillis) -> Option<PeerRole> {
        let score = self.metrics.score(now);
        let held = self.since.map_or(u64::MAX, |at| now.0.saturating_sub(at.0));
        match self.role {
            PeerRole::Peer if score >= PROMOTE_AT && self.enough(now) && !self.attempts.failing() => {
                Some(PeerRole::Relay)
            }
            PeerRole::Relay if self.attempts.failing() || (score < DEMOTE_BELOW && held >= DWELL_MS) => {
                Some(PeerRole::Peer)
            }
            _ => None,
        }
    }

    pub(super) fn change(&mut self, role: PeerRole, now: UnixMillis) {
        self.role = role;
        self.since = Some(now);
        if role == PeerRole::Peer {
            self.before = (self.metrics.messages_relayed, self.metrics.bytes_relayed);
            self.attempts = Attempts::default();
        }
    }
}
