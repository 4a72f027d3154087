//! A topic's neighbours and which of their links are in the tree.

use std::collections::VecDeque;

use crate::identity::NodeId;
use crate::time::{Span, Time};
use crate::wire::ShortId;

/// An announcement waiting to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued {
    pub(super) id: ShortId,
    pub(super) hop: u16,
    pub(super) received: Time,
    pub(super) messages: usize,
}

/// A parent whose copies come later than a lazy neighbour's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rival {
    pub(super) parent: NodeId,
    /// How many times in a row it was later.
    pub(super) wins: u8,
    /// When the batch came that was compared last.
    pub(super) at: Time,
}

/// A neighbour on a topic.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    /// Whether batches travel this link at once (eager), or are announced on it (lazy).
    pub(super) eager: bool,
    /// It does not answer: it is not to become a parent.
    pub(super) suspected: bool,
    /// Announcements waiting.
    pub(super) queue: VecDeque<Queued>,
    /// The messages of those that came by dissemination.
    pub(super) queued: usize,
    /// They cannot wait for its turn.
    pub(super) urgent: bool,
    /// When its last turn was.
    pub(super) announced: Time,
    /// When it was last told to prune, unless it was grafted since.
    pub(super) pruned: Option<Time>,
    /// The neighbour it would have beaten.
    pub(super) rival: Option<Rival>,
    /// How much later than ours its copies come, in microseconds, smoothed, and how much that varies; negative if
    /// earlier. None if unknown.
    lag: Option<(i64, i64)>,
    /// When it last brought a batch first.
    pub(super) brought: Option<Time>,
}

impl Peer {
    pub(super) fn new(id: NodeId, eager: bool) -> Self {
        Peer {
            id,
            eager,
            suspected: false,
            queue: VecDeque::new(),
            queued: 0,
            urgent: false,
            announced: Time::default(),
            pruned: None,
            rival: None,
            lag: None,
            brought: None,
        }
    }

    /// The link is in the tree from now on.
    pub(super) fn graft(&mut self) {
        self.eager = true;
        self.pruned = None;
    }

    /// Whether it was told to prune within `span`.
    pub(super) fn just_pruned(&self, now: Time, span: Span) -> bool {
        self.pruned.is_some_and(|at| now.since(at) <= span)
    }

    /// Notes how much later than ours its copy of a batch came, or would have come over an eager link.
    pub(super) fn note_lag(&mut self, us: i64) {
        // Smoothed as TCP smooths round-trip times (RFC 6298): one eighth and one quarter.
        self.lag = Some(match self.lag {
            None => (us, 0),
            Some((mean, spread)) => (mean + (us - mean) / 8, spread + ((us - mean).abs() - spread) / 4),
        });
    }

    pub(super) fn lag(&self) -> Option<i64> {
        self.lag.map(|l| l.0)
    }

    /// Whether its copies come earlier by much more than that varies.
    pub(super) fn lag_is_steady(&self) -> bool {
        self.lag.is_some_and(|(mean, spread)| mean < 0 && spread.saturating_mul(2) < -mean)
    }
}

/// How long announced batches are waited for before they are asked for: learned from how long the tree takes after
/// an announcement that overtook it.
#[derive(Debug)]
pub(super) struct Patience {
    longest: Span,
    noted: Time,
}

/// The bounds of [`Patience::wait`], and where it starts (guesses: below the least, a busy machine looks like a
/// broken tree; above the most, nobody would wait).
const LEAST: Span = Span::from_millis(150);
const MOST: Span = Span::from_secs(2);
const START: Span = Span::from_millis(250);
/// What was learned fades over so long (a guess). By time and not by batches: else a fast publisher's tree, late by
/// retransmissions, is taken for a broken one again and again.
const FADES: Span = Span::from_secs(8);

impl Default for Patience {
    fn default() -> Self {
        Patience { longest: START, noted: Time::default() }
    }
}

impl Patience {
    /// A batch came over the tree so long after its announcement, or before it (no time at all).
    pub(super) fn note(&mut self, now: Time, after: Span) {
        let since = now.since(self.noted).0.min(FADES.0);
        let faded = self.longest.0 - self.longest.0 * since / FADES.0;
        self.longest = Span(faded.max(after.0).min(MOST.0));
        self.noted = now;
    }

    /// How long to wait for the tree.
    pub(super) fn wait(&self) -> Span {
        Span((self.longest.0 + self.longest.0 / 2).clamp(LEAST.0, MOST.0))
    }
}
