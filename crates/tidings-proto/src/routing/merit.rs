//! What this node has seen of relays: how often they carried what they were given, and how busy they say they are.

use std::collections::BTreeMap;

use crate::identity::NodeId;
use crate::time::{Span, Time};

/// Relays remembered; the one that was used longest ago goes.
const MAX: usize = 1_024;
/// Beyond so many both counts are halved: what was long ago counts less.
const HALVE: u32 = 128;

#[derive(Clone, Copy, Debug)]
struct Record {
    carried: u32,
    failed: u32,
    /// How busy it said it is.
    load: u8,
    at: Time,
}

/// The records of relays.
#[derive(Debug, Default)]
pub(super) struct Merits(BTreeMap<NodeId, Record>);

/// Bytes they take.
pub(super) const BYTES: usize = MAX * 96;

impl Merits {
    fn of(&mut self, relay: NodeId, now: Time) -> &mut Record {
        if self.0.len() >= MAX && !self.0.contains_key(&relay) {
            let oldest = self.0.iter().min_by_key(|(_, r)| r.at).map(|(id, _)| *id);
            oldest.map(|id| self.0.remove(&id));
        }
        let r = self.0.entry(relay).or_insert(Record { carried: 0, failed: 0, load: 0, at: now });
        r.at = now;
        if r.carried + r.failed >= HALVE {
            (r.carried, r.failed) = (r.carried / 2, r.failed / 2);
        }
        r
    }

    pub(super) fn carried(&mut self, relay: NodeId, now: Time) {
        self.of(relay, now).carried += 1;
    }

    pub(super) fn failed(&mut self, relay: NodeId, now: Time) {
        self.of(relay, now).failed += 1;
    }

    pub(super) fn load(&mut self, relay: NodeId, load: u8, now: Time) {
        self.of(relay, now).load = load;
    }

    /// Whether it has carried anything.
    pub(super) fn is_proven(&self, relay: &NodeId) -> bool {
        self.0.get(relay).is_some_and(|r| r.carried > 0)
    }

    /// What a way through it costs that takes so long: longer for who is busy, and much longer for who fails.
    pub(super) fn cost(&self, relay: &NodeId, takes: Span) -> u64 {
        let Some(r) = self.0.get(relay) else { return takes.0 };
        let (all, good) = (u64::from(r.carried + r.failed + 1), u64::from(r.carried + 1));
        let busy = takes.0.saturating_mul(255 + 2 * u64::from(r.load)) / 255;
        busy.saturating_mul(all * all) / (good * good)
    }
}
