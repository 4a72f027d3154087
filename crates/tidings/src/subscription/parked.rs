//! Batches that wait for their authors' certificates, while those of others go by.
//!
//! Invariants: each author's batches and gaps stay in order; at most [`ENTRIES`] and [`BYTES`] wait, and where there are
//! more none of them waits any longer; nothing waits longer than the core has it wait, a second.

use std::collections::{BTreeSet, VecDeque};
use std::task::{Context, Poll};

use tidings_proto::identity::NodeId;

/// Most that wait (guesses: an author that is heard for the first time sends a handful in the time it takes).
const ENTRIES: usize = 256;
const BYTES: usize = 4 << 20;

/// Something that may have to wait.
pub(super) trait Entry {
    /// Whose it is; nobody's if it is about a place in the queue.
    fn author(&self) -> Option<NodeId>;
    /// Whether its author's certificate is on its way.
    fn is_awaited(&self) -> bool;
    /// Ready when there is no use in waiting for that.
    fn poll_author(&self, cx: &Context<'_>) -> Poll<()>;
    /// Bytes.
    fn size(&self) -> usize;
}

/// What waits.
pub(super) struct Parked<E> {
    entries: VecDeque<E>,
    bytes: usize,
    /// The first so many are read as they are.
    hurried: usize,
}

impl<E> Default for Parked<E> {
    fn default() -> Self {
        Parked { entries: VecDeque::new(), bytes: 0, hurried: 0 }
    }
}

impl<E: Entry> Parked<E> {
    /// Takes in what must wait: its author is awaited, or something earlier of the same author is here. Everything else
    /// comes back.
    pub(super) fn park(&mut self, entry: E) -> Option<E> {
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

    fn push(&mut self, entry: E) {
        self.bytes += entry.size();
        self.entries.push_back(entry);
    }

    /// The next that need not wait any longer. Whoever asks is woken when there is one.
    pub(super) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<E> {
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
    pub(super) fn first(&mut self) -> Option<E> {
        self.take(0)
    }

    fn take(&mut self, at: usize) -> Option<E> {
        let entry = self.entries.remove(at)?;
        self.bytes -= entry.size();
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use futures_util::task::noop_waker_ref;

    use super::*;

    /// Number, author (0: nobody), whether its author has been settled, bytes.
    struct Fake(u32, u8, Option<Rc<Cell<bool>>>, usize);

    impl Entry for Fake {
        fn author(&self) -> Option<NodeId> {
            (self.1 > 0).then_some(NodeId([self.1; 32]))
        }
        fn is_awaited(&self) -> bool {
            self.2.as_ref().is_some_and(|settled| !settled.get())
        }
        fn poll_author(&self, _: &Context<'_>) -> Poll<()> {
            if self.is_awaited() { Poll::Pending } else { Poll::Ready(()) }
        }
        fn size(&self) -> usize {
            self.3
        }
    }

    #[derive(Default)]
    struct Stage {
        parked: Parked<Fake>,
        settled: Rc<Cell<bool>>,
    }

    impl Stage {
        /// Of an author that is awaited: whether it is read at once.
        fn awaited(&mut self, number: u32) -> bool {
            self.park(Fake(number, 1, Some(self.settled.clone()), 1))
        }

        fn park(&mut self, entry: Fake) -> bool {
            self.parked.park(entry).is_some()
        }

        fn next(&mut self) -> Option<u32> {
            match self.parked.poll_next(&Context::from_waker(noop_waker_ref())) {
                Poll::Ready(e) => Some(e.0),
                Poll::Pending => None,
            }
        }

        fn all(&mut self) -> Vec<u32> {
            std::iter::from_fn(|| self.next()).collect()
        }
    }

    #[test]
    fn what_is_awaited_waits_and_comes_in_order() {
        let mut s = Stage::default();
        assert!(!s.awaited(1) && !s.awaited(2));
        assert_eq!(s.next(), None);
        s.settled.set(true);
        assert_eq!(s.all(), [1, 2]);
    }

    #[test]
    fn others_go_by() {
        let mut s = Stage::default();
        assert!(!s.awaited(1));
        assert!(s.park(Fake(2, 2, None, 1)));
    }

    #[test]
    fn what_is_of_the_same_author_stays_behind_it() {
        let mut s = Stage::default();
        s.awaited(1);
        assert!(!s.park(Fake(2, 1, None, 1)), "a gap, or a batch of which more is known");
        assert_eq!(s.next(), None);
        s.settled.set(true);
        assert_eq!(s.all(), [1, 2]);
    }

    #[test]
    fn nothing_waits_past_a_place_in_the_queue() {
        let mut s = Stage::default();
        s.awaited(1);
        assert!(!s.park(Fake(2, 0, None, 0)));
        assert_eq!(s.all(), [1, 2]);
    }

    #[test]
    fn a_place_in_the_queue_waits_for_nobody() {
        let mut s = Stage::default();
        assert!(s.park(Fake(2, 0, None, 0)));
    }

    #[test]
    fn too_many_wait_no_longer() {
        let mut s = Stage::default();
        let n = ENTRIES as u32 + 1;
        (0..n).for_each(|i| assert!(!s.awaited(i)));
        assert_eq!(s.all(), (0..n).collect::<Vec<_>>());
    }

    #[test]
    fn too_many_bytes_wait_no_longer() {
        let mut s = Stage::default();
        s.park(Fake(1, 1, Some(s.settled.clone()), BYTES));
        assert_eq!(s.next(), None);
        s.awaited(2);
        assert_eq!(s.all(), [1, 2]);
    }

    #[test]
    fn at_the_end_the_rest_comes_as_it_is() {
        let mut s = Stage::default();
        s.awaited(1);
        assert_eq!(s.parked.first().map(|e| e.0), Some(1));
    }
}
