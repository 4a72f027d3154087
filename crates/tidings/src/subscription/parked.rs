//! Batches that wait for their authors' certificates, while those of others go by.
//!
//! Invariants: each author's batches and gaps stay in order; at most [`ENTRIES`] and [`BYTES`] wait, and where there are
//! more none of them waits any longer; nothing waits longer than the core has it wait, a second.

use std::collections::{BTreeSet, VecDeque};
use std::task::{Context, Poll};

use tidings_proto::identity::NodeId;

use super::queue::Entry;

/// Most that wait (guesses: an author that is heard for the first time sends a handful in the time it takes).
const ENTRIES: usize = 256;
const BYTES: usize = 4 << 20;

/// What waits.
#[derive(Default)]
pub(super) struct Parked {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The first so many are read as they are.
    hurried: usize,
}

impl Parked {
    /// Takes in what must wait: its author is awaited, or something earlier of the same author is here. Everything else
    /// comes back.
    pub(super) fn park(&mut self, entry: Entry) -> Option<Entry> {
        let Some(author) = entry.author() else {
            // It stands where it stands: what came before it comes before it.
            if self.entries.is_empty() {
                return Some(entry);
            }
            self.push(entry);
            self.hurried = self.entries.len();
            return None;
        };
        if !entry.is_awaited() && !self.entries.iter().any(|e| e.author() == Some(author)) {
            return Some(entry);
        }
        self.push(entry);
        if self.entries.len() > ENTRIES || self.bytes > BYTES {
            self.hurried = self.entries.len();
        }
        None
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.cost().1;
        self.entries.push_back(entry);
    }

    /// The next that need not wait any longer. Whoever asks is woken when there is one.
    pub(super) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Entry> {
        if self.hurried > 0 {
            self.hurried -= 1;
            return self.take(0).map_or(Poll::Pending, Poll::Ready);
        }
        let mut waiting: BTreeSet<NodeId> = BTreeSet::new();
        for at in 0..self.entries.len() {
            let Some(author) = self.entries[at].author() else { break };
            if waiting.contains(&author) {
                continue;
            }
            if self.entries[at].poll_author(cx).is_pending() {
                waiting.insert(author);
                continue;
            }
            return self.take(at).map_or(Poll::Pending, Poll::Ready);
        }
        Poll::Pending
    }

    /// The first, whether its author is known or not.
    pub(super) fn first(&mut self) -> Option<Entry> {
        self.take(0)
    }

    fn take(&mut self, at: usize) -> Option<Entry> {
        let entry = self.entries.remove(at)?;
        self.bytes -= entry.cost().1;
        Some(entry)
    }
}
