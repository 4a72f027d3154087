//! Batches whose author's right to publish is not known yet, and what is asked for them.
//!
//! Invariants: at most [`WAITING`] batches and [`WAITING_BYTES`] wait, [`SHARE`] and [`SHARE_BYTES`] of them brought by one
//! neighbour, each for [`PATIENCE`] at most; what comes when there is no room is dropped, and comes again by repair. A
//! capability is asked for of those neighbours only that brought a batch which names it, one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::identity::{NodeId, TopicId};
use crate::pubsub::batch::{Batch, BatchHeader};
use crate::pubsub::plumtree::Arrival;
use crate::time::{Span, Time};
use crate::wire::CapabilityRef;

/// Batches and bytes that wait, in all (a guess: what eight fast authors send in the first tenth of a second).
pub(in crate::pubsub) const WAITING: usize = 1_024;
/// See [`WAITING`].
pub(in crate::pubsub) const WAITING_BYTES: usize = 16 << 20;
/// Of them, brought by one neighbour first: a quarter.
const SHARE: usize = WAITING / 4;
const SHARE_BYTES: usize = WAITING_BYTES / 4;
/// How long a batch waits: several neighbours are asked in turn meanwhile, each for [`ANSWER`].
pub(super) const PATIENCE: Span = Span::from_secs(5);
/// How long a neighbour may take to answer (some round trips; a guess).
const ANSWER: Span = Span::from_secs(1);
/// Neighbours remembered that brought a batch.
const SOURCES: usize = 4;

/// Names a batch before it is hashed: its author signs one for each.
pub(super) type Place = (TopicId, NodeId, u64, u64);

pub(super) fn place(h: &BatchHeader) -> Place {
    (h.topic, h.author, h.epoch, h.first_seq)
}

/// A batch that waits.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) batch: Arc<Batch>,
    pub(super) arrival: Arrival,
    pub(super) since: Time,
    /// Who brought it, first to last.
    pub(super) sources: Vec<NodeId>,
}

/// A capability that is asked for.
#[derive(Debug)]
struct Asking {
    asked: Vec<NodeId>,
    /// These gave something else for it, and are asked for it no more.
    false_ones: Vec<NodeId>,
    until: Time,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    held: BTreeMap<Place, Held>,
    bytes: usize,
    /// By topic too: what one topic's batches name may be another's capability.
    asking: BTreeMap<(TopicId, CapabilityRef), Asking>,
}

impl Waiting {
    /// One more copy of a batch that waits: whoever brought it can be asked as well. The one that waits, and whether the
    /// neighbour is new to it.
    pub(super) fn again(&mut self, h: &BatchHeader, from: NodeId) -> Option<(bool, &Held)> {
        let held = self.held.get_mut(&place(h))?;
        let new = held.sources.len() < SOURCES && !held.sources.contains(&from);
        if new {
            held.sources.push(from);
        }
        Some((new, held))
    }

    /// Whether one more that `from` brings may wait.
    pub(super) fn has_room(&self, from: &NodeId, len: usize) -> bool {
        if self.held.len() >= WAITING || self.bytes + len > WAITING_BYTES {
            return false;
        }
        let theirs = self.held.values().filter(|held| held.sources.first() == Some(from));
        let (count, bytes) = theirs.fold((0, 0), |(n, sum), held| (n + 1, sum + held.batch.bytes().len()));
        count < SHARE && bytes + len <= SHARE_BYTES
    }

    /// A verified batch waits from now on.
    pub(super) fn hold(&mut self, from: NodeId, batch: Arc<Batch>, arrival: Arrival, now: Time) {
        self.bytes += batch.bytes().len();
        let held = Held { arrival, since: now, sources: vec![from], batch };
        if let Some(before) = self.held.insert(place(held.batch.header()), held) {
            self.bytes -= before.batch.bytes().len();
        }
    }

    /// Takes out what waits and fulfils a condition, in the order of authors and numbers.
    pub(super) fn take(&mut self, mut which: impl FnMut(&Held) -> bool) -> Vec<Held> {
        let taken: Vec<Held> = self.held.extract_if(.., |_, held| which(held)).map(|(_, held)| held).collect();
        self.bytes -= taken.iter().map(|held| held.batch.bytes().len()).sum::<usize>();
        taken
    }

    /// Puts back what was taken out and waits on.
    pub(super) fn put_back(&mut self, held: Held) {
        self.bytes += held.batch.bytes().len();
        self.held.insert(place(held.batch.header()), held);
    }

    /// What waits.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    /// The topic was left.
    pub(super) fn forget(&mut self, topic: &TopicId) {
        self.take(|held| held.batch.header().topic == *topic);
    }

    /// Whom to ask for a capability now, if it is time to: somebody who brought a batch that names it and was not asked, or
    /// was asked longest ago.
    pub(super) fn next_source(&mut self, topic: TopicId, id: CapabilityRef, now: Time) -> Option<NodeId> {
        let new = Asking { asked: Vec::new(), false_ones: Vec::new(), until: now };
        let asking = self.asking.entry((topic, id)).or_insert(new);
        if now < asking.until {
            return None;
        }
        let names = |held: &&Held| held.batch.header().topic == topic && held.batch.header().capability == Some(id);
        let mut sources = self.held.values().filter(names).flat_map(|held| &held.sources);
        let mut sources = sources.by_ref().filter(|s| !asking.false_ones.contains(s));
        let next = sources.find(|s| !asking.asked.contains(s)).or(asking.asked.first()).copied()?;
        asking.asked.retain(|p| *p != next);
        asking.asked.push(next);
        // The last to be asked are those that may still answer.
        if asking.asked.len() > SOURCES {
            asking.asked.remove(0);
        }
        asking.until = now + ANSWER;
        Some(next)
    }

    /// On which topic `from` was asked for a capability: on the one it is for, if on that.
    pub(super) fn asked_for(&self, topic: TopicId, id: CapabilityRef, from: &NodeId) -> Option<TopicId> {
        if self.asking.get(&(topic, id)).is_some_and(|a| a.asked.contains(from)) {
            return Some(topic);
        }
        let asked = self.asking.iter().find(|((_, of), a)| *of == id && a.asked.contains(from));
        asked.map(|((topic, _), _)| *topic)
    }

    /// It is here, or is of no use.
    pub(super) fn answered(&mut self, topic: TopicId, id: CapabilityRef) {
        self.asking.remove(&(topic, id));
    }

    /// What `from` gave is not what it was asked for: another is asked at once.
    pub(super) fn failed(&mut self, topic: TopicId, id: CapabilityRef, from: NodeId, now: Time) {
        if let Some(asking) = self.asking.get_mut(&(topic, id)) {
            asking.until = now;
            asking.asked.retain(|p| *p != from);
            if asking.false_ones.len() < 2 * SOURCES {
                asking.false_ones.push(from);
            }
        }
    }

    /// What no batch names any longer is asked for no more.
    fn prune(&mut self) {
        let name = |h: &BatchHeader| h.capability.map(|id| (h.topic, id));
        let named: BTreeSet<_> = self.held.values().filter_map(|held| name(held.batch.header())).collect();
        self.asking.retain(|of, _| named.contains(of));
    }

    /// Capabilities that are due to be asked for again.
    pub(super) fn due(&mut self, now: Time) -> Vec<(TopicId, CapabilityRef)> {
        self.prune();
        self.asking.iter().filter(|(_, a)| a.until <= now).map(|(of, _)| *of).collect()
    }

    /// When something is to be done next.
    pub(super) fn next(&mut self) -> Option<Time> {
        self.prune();
        let over = self.held.values().map(|held| held.since + PATIENCE).min();
        let ask = self.asking.values().map(|a| a.until).min();
        over.into_iter().chain(ask).min()
    }
}
