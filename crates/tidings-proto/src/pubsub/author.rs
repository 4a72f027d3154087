//! One author on one topic, as a receiver knows it: what was seen, what comes next, what waits behind a gap.
//!
//! Invariants: nothing is delivered twice; what is not flagged `late` is delivered in the author's order; what waits
//! is bounded; a record in storage holds what was delivered, never what only waits.
//!
//! Where a stream begins for us: at the first batch whose predecessor was signed before we listened. A batch says how
//! long before it its predecessor was signed, and we know how long we have listened, so both are compared on the
//! author's clock alone. While a tree is being built, or joined, later batches overtake earlier ones: those wait for
//! what we were there for, and never for history.

use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use super::batch::{Batch, BatchHeader, Position};
use super::intervals::{FEW, Intervals, MANY};
use crate::identity::NodeId;
use crate::time::{Span, Time};
use crate::wire::Range;

/// Epochs of an author whose numbers are remembered: older ones are refused.
pub(super) const EPOCHS: usize = 4;
/// Batches and bytes of one author that may wait behind a gap; more, and the gap is reported early.
const WAITING: usize = 1_024;
const WAITING_BYTES: usize = 16 << 20;
/// Authors of a topic that may have [`MANY`] holes; the others have [`FEW`] (a guess: more publish seldom at once, and each
/// may take 128 KiB).
pub(super) const WIDE: usize = 64;

/// What a header is to an author's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not seen before.
    New,
    /// All of it was seen.
    Seen,
    /// Part of it was seen: its author contradicts itself.
    Contradictory,
    /// Of an epoch too old to tell.
    Forgotten,
}

/// A batch ready for the program.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) batch: Arc<Batch>,
    pub(super) hop: u16,
    pub(super) late: bool,
    /// From before this node came to the topic.
    pub(super) history: bool,
}

#[derive(Debug)]
struct Waiting {
    batch: Arc<Batch>,
    hop: u16,
}

/// When a batch was there, beside what its author says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// When we had been on the topic for so long.
    Listening(Span),
    /// Before we were on the topic: a neighbour had it then.
    Before,
}

/// How a batch came to an author's record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// Links travelled.
    pub(super) hop: u16,
    /// When it was there.
    pub(super) came: Came,
    /// Whether the author may have [`MANY`] holes.
    pub(super) wide: bool,
}

/// How far the repair of a gap has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    /// Reported then, if not repaired.
    pub(super) deadline: Time,
    /// Asked for next then.
    pub(super) ask_at: Time,
    /// How often it was asked for.
    pub(super) asked: usize,
}

/// What is stored of an author.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Record {
    #[n(0)]
    heard_ms: u64,
    #[n(1)]
    next: Option<Position>,
    #[n(2)]
    epochs: Vec<(u64, Intervals)>,
    #[n(3)]
    start: Option<Position>,
}

impl Record {
    /// Reads a record from storage; `None` if it is damaged.
    pub(super) fn parse(bytes: &[u8]) -> Option<Record> {
        let r: Record = minicbor::decode(bytes).ok()?;
        let sorted = r.epochs.windows(2).all(|w| w[0].0 < w[1].0);
        (r.epochs.len() <= EPOCHS && sorted && r.epochs.iter().all(|(_, i)| i.valid())).then_some(r)
    }

    /// When the author was last heard, by our wall clock.
    pub(super) fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// Without its place in the stream: the next batch seen is a new baseline. Of many holes the oldest are closed.
    pub(super) fn without_place(mut self) -> Record {
        (self.next, self.start) = (None, None);
        self.narrow();
        self
    }

    /// Closes the oldest holes beyond what every author may have.
    pub(super) fn narrow(&mut self) {
        for (_, seen) in &mut self.epochs {
            seen.narrow(FEW);
        }
    }

    /// Whether it has more holes than every author may have.
    pub(super) fn is_wide(&self) -> bool {
        self.epochs.iter().any(|(_, seen)| seen.len() > FEW)
    }
}

/// One author.
#[derive(Debug, Default)]
pub(super) struct Author {
    epochs: Vec<(u64, Intervals)>,
    /// The next number in order; none before the stream has begun for us.
    next: Option<Position>,
    /// Where the stream began for us: what is before is history, not late.
    start: Option<Position>,
    /// When we began to listen, by the author's wall clock; known once a batch came.
    listened: Option<u64>,
    waiting: BTreeMap<Position, Waiting>,
    waiting_bytes: usize,
    pub(super) gap: Option<Gap>,
    pub(super) heard: Time,
    /// The place is from before this start, and nothing has come since.
    resumed: bool,
}

impl Author {
    pub(super) fn restore(record: Record, now: Time) -> Self {
        let resumed = record.next.is_some();
        let Record { epochs, next, start, .. } = record;
        Author { epochs, next, start, heard: now, resumed, ..Author::default() }
    }

    /// What to store: everything delivered.
    pub(super) fn record(&self, wall_ms: u64) -> Record {
        let mut epochs = self.epochs.clone();
        for w in self.waiting.values() {
            let h = w.batch.header();
            if let Some((_, seen)) = epochs.iter_mut().find(|e| e.0 == h.epoch) {
                seen.remove(h.first_seq, h.last_seq());
            }
        }
        // A full list says that older epochs were forgotten, and stays full: else they would be new again.
        if epochs.len() < EPOCHS {
            epochs.retain(|(_, i)| !i.is_empty());
        }
        Record { heard_ms: wall_ms, next: self.next, epochs, start: self.start }
    }

    pub(super) fn judge(&self, h: &BatchHeader) -> Verdict {
        let Some((_, seen)) = self.epochs.iter().find(|e| e.0 == h.epoch) else {
            let full = self.epochs.len() >= EPOCHS;
            let older = self.epochs.first().is_some_and(|e| h.epoch < e.0);
            return if full && older { Verdict::Forgotten } else { Verdict::New };
        };
        match (seen.contains(h.first_seq, h.last_seq()), seen.touches(h.first_seq, h.last_seq())) {
            (true, _) => Verdict::Seen,
            (false, true) => Verdict::Contradictory,
            (false, false) => Verdict::New,
        }
    }

    /// Whether it has more holes than every author may have.
    pub(super) fn is_wide(&self) -> bool {
        self.epochs.iter().any(|(_, seen)| seen.len() > FEW)
    }

    /// Takes in a new, verified batch. Puts what can be delivered now into `ready`, in order. Returns whether a gap from
    /// before this start was just found.
    pub(super) fn accept(&mut self, batch: Arc<Batch>, came: Arrived, ready: &mut Vec<Ready>) -> bool {
        let Arrived { hop, came, wide } = came;
        let h = batch.header();
        let at = Position { epoch: h.epoch, seq: h.first_seq };
        self.see(h.epoch, h.first_seq, h.last_seq(), if wide { MANY } else { FEW });
        if came == Came::Before && (self.next.is_none() || self.start.is_some_and(|start| at < start)) {
            ready.push(Ready { batch, hop, late: false, history: true });
            return false;
        }
        let resumed = std::mem::take(&mut self.resumed);
        match self.next {
            None => {
                let Came::Listening(listening) = came else { return false };
                self.listened.get_or_insert(h.wall_ms.saturating_sub(listening.as_millis()));
                self.waiting_bytes += batch.bytes().len();
                self.waiting.insert(at, Waiting { batch, hop });
                if let Some((at, _)) = self.waiting.first_key_value().filter(|(_, w)| self.begins(w.batch.header())) {
                    self.begin(*at);
                    self.drain(ready);
                }
            }
            Some(next) if at < next => ready.push(Ready { batch, hop, late: true, history: false }),
            Some(next) if follows(next, h) => {
                self.advance(&batch);
                ready.push(Ready { batch, hop, late: false, history: false });
                self.drain(ready);
            }
            Some(_) => {
                self.waiting_bytes += batch.bytes().len();
                self.waiting.insert(at, Waiting { batch, hop });
                return resumed;
            }
        }
        false
    }

    fn see(&mut self, epoch: u64, from: u64, to: u64, holes: usize) {
        let at = match self.epochs.binary_search_by_key(&epoch, |e| e.0) {
            Ok(at) => at,
            Err(at) => {
                self.epochs.insert(at, (epoch, Intervals::default()));
                at
            }
        };
        self.epochs[at].1.insert(from, to, holes);
        if self.epochs.len() > EPOCHS {
            self.epochs.remove(0);
        }
    }

    fn begin(&mut self, at: Position) {
        self.start.get_or_insert(at);
        self.next = Some(at);
    }

    fn advance(&mut self, batch: &Batch) {
        let h = batch.header();
        self.next = Some(Position { epoch: h.epoch, seq: h.last_seq() + 1 });
    }

    fn drain(&mut self, ready: &mut Vec<Ready>) {
        while let Some(next) = self.next {
            let Some(first) = self.waiting.first_entry() else { break };
            if *first.key() >= next && !follows(next, first.get().batch.header()) {
                return;
            }
            // What it waited for is here; should another gap follow, its own wait begins.
            self.gap = None;
            let late = *first.key() < next;
            let w = first.remove();
            self.waiting_bytes -= w.batch.bytes().len();
            if !late {
                self.advance(&w.batch);
            }
            ready.push(Ready { batch: w.batch, hop: w.hop, late, history: false });
        }
        self.gap = None;
    }

    /// Whether the stream begins for us with this batch: there is none before it, or we were not there yet when the
    /// one before was signed, or that one was delivered.
    fn begins(&self, h: &BatchHeader) -> bool {
        let before = h.apart_ms.map(|apart| h.wall_ms.saturating_sub(apart));
        h.first_seq == 1
            || before.is_none_or(|at| self.listened.is_none_or(|since| at < since))
            || self.epochs.iter().any(|(e, seen)| *e == h.epoch && seen.contains(h.first_seq - 1, h.first_seq - 1))
    }

    /// Whether it is known where the stream begins for us.
    pub(super) fn has_begun(&self) -> bool {
        self.next.is_some()
    }

    /// Whether a batch waits behind a gap.
    pub(super) fn holds_back(&self, h: &BatchHeader) -> bool {
        self.waiting.contains_key(&Position { epoch: h.epoch, seq: h.first_seq })
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many batches wait, and their bytes.
    pub(super) fn waits(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting_bytes)
    }

    /// Whether more waits than may.
    pub(super) fn overflows(&self) -> bool {
        self.waiting.len() > WAITING || self.waiting_bytes > WAITING_BYTES
    }

    /// What is missing before the first batch that waits.
    pub(super) fn missing(&self, author: NodeId) -> Vec<Range> {
        let Some((at, w)) = self.waiting.first_key_value() else { return Vec::new() };
        let Some(next) = self.next else {
            // The batch that holds this number is the one before.
            return vec![Range { author, epoch: at.epoch, from: at.seq - 1, to: at.seq - 1 }];
        };
        let mut ranges = Vec::new();
        let mut add = |epoch, from, to| {
            if from <= to {
                ranges.push(Range { author, epoch, from, to });
            }
        };
        if at.epoch == next.epoch {
            add(next.epoch, next.seq, at.seq - 1);
        } else {
            match w.batch.header().previous {
                Some(p) if p.epoch == next.epoch => add(next.epoch, next.seq, p.seq),
                Some(p) if p.epoch > next.epoch => add(p.epoch, 1, p.seq),
                _ => {}
            }
            add(at.epoch, 1, at.seq - 1);
        }
        ranges
    }

    /// Everything of the current epoch from the first number not delivered on.
    pub(super) fn rest(&self, author: NodeId) -> Option<Range> {
        self.next.map(|n| Range { author, epoch: n.epoch, from: n.seq, to: u64::MAX })
    }

    /// Gives the gap up: what waited behind it is delivered. Returns what was missed; nothing where the stream had
    /// not begun for us, for nobody knows how much that would have been.
    pub(super) fn give_up(&mut self, author: NodeId, ready: &mut Vec<Ready>) -> Vec<Range> {
        let missed = if self.has_begun() { self.missing(author) } else { Vec::new() };
        if let Some((at, _)) = self.waiting.first_key_value() {
            self.begin(*at);
        }
        self.gap = None;
        self.drain(ready);
        missed
    }
}

/// Whether a batch is the next one in its author's order.
fn follows(next: Position, h: &BatchHeader) -> bool {
    if h.epoch == next.epoch {
        return h.first_seq == next.seq;
    }
    // A new epoch follows when it begins with its first number and its author's last one before it is known here,
    // or when the author itself does not know of a later one.
    let complete = match h.previous {
        None => true,
        Some(p) => p.epoch < next.epoch || (p.epoch == next.epoch && p.seq < next.seq),
    };
    h.epoch > next.epoch && h.first_seq == 1 && complete
}

#[cfg(test)]
mod tests;
