//! The capabilities that were verified, by their hash, and those that were seen not to hold.
//!
//! Invariants: nothing unverified is among the known; of both there are at most [`KNOWN`]; the least recently used eighth of
//! the known goes, and of the refused those that were refused first; a neighbour is given [`A_WINDOW`] in [`WINDOW`].

use std::collections::BTreeMap;

use super::capability::TopicCapability;
use crate::identity::{NodeId, TopicId};
use crate::time::{Span, Time};
use crate::wire::CapabilityRef;

/// Most capabilities known, and most remembered as refused (some 5.4 kB each of the known; a guess: the authors of a node's
/// topics that are heard in an hour).
pub(in crate::pubsub) const KNOWN: usize = 1_024;
/// What does not hold is not asked for again before (a guess; clocks may be set meanwhile).
const REFUSED: Span = Span::from_secs(60);

/// What one neighbour is given in a while: the authors of a busy topic, at a newcomer's (guesses).
const A_WINDOW: u32 = 128;
const WINDOW: Span = Span::from_secs(10);

/// What a neighbour was given lately.
#[derive(Debug)]
struct Given {
    since: Time,
    count: u32,
}

#[derive(Debug)]
struct Held {
    capability: TopicCapability,
    used: u64,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    verified: BTreeMap<CapabilityRef, Held>,
    refused: BTreeMap<(TopicId, CapabilityRef), Time>,
    given: BTreeMap<NodeId, Given>,
    clock: u64,
}

impl Known {
    /// The verified capability with this hash, of a batch's author: it is not among those that go first.
    pub(super) fn get(&mut self, id: CapabilityRef) -> Option<&TopicCapability> {
        self.clock += 1;
        let held = self.verified.get_mut(&id)?;
        held.used = self.clock;
        Some(&held.capability)
    }

    /// The same, to look at.
    pub(super) fn look(&self, id: &CapabilityRef) -> Option<&TopicCapability> {
        self.verified.get(id).map(|held| &held.capability)
    }

    /// Whether it was seen not to hold on this topic, lately.
    pub(super) fn is_refused(&self, topic: TopicId, id: CapabilityRef, now: Time) -> bool {
        self.refused.get(&(topic, id)).is_some_and(|until| now < *until)
    }

    /// One whose signature was verified.
    pub(super) fn insert(&mut self, capability: TopicCapability) {
        if self.verified.len() >= KNOWN && !self.verified.contains_key(&capability.id()) {
            let mut used: Vec<u64> = self.verified.values().map(|held| held.used).collect();
            used.sort_unstable();
            let oldest = used[used.len() / 8];
            self.verified.retain(|_, held| held.used > oldest);
        }
        self.clock += 1;
        self.verified.insert(capability.id(), Held { capability, used: self.clock });
    }

    /// It does not hold on this topic.
    pub(super) fn refuse(&mut self, topic: TopicId, id: CapabilityRef, now: Time) {
        if self.refused.len() >= KNOWN {
            self.refused.retain(|_, until| now < *until);
        }
        if self.refused.len() >= KNOWN
            && let Some(first) = self.refused.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key)
        {
            self.refused.remove(&first);
        }
        self.refused.insert((topic, id), now + REFUSED);
    }

    /// Whether a neighbour may be given one more now.
    pub(super) fn may_have(&mut self, peer: NodeId, now: Time) -> bool {
        let given = self.given.entry(peer).or_insert(Given { since: now, count: 0 });
        if now >= given.since + WINDOW {
            *given = Given { since: now, count: 0 };
        }
        given.count = given.count.saturating_add(1);
        given.count <= A_WINDOW
    }

    /// A link is gone.
    pub(super) fn forget_peer(&mut self, peer: &NodeId) {
        self.given.remove(peer);
    }

    /// The topic was left.
    pub(super) fn forget(&mut self, topic: &TopicId) {
        self.verified.retain(|_, held| held.capability.statement().topic != *topic);
        self.refused.retain(|(of, _), _| of != topic);
    }
}
