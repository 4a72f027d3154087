//! What this node holds for others.
//!
//! Invariants: nothing unverified is in here; of one node of a subject the latest statement; of an agent those of [`NODES`]
//! nodes, of a topic those of [`MEMBERS`]; [`MAX_SHELF`] in all. Who goes is of the place (/24 or /48) from which most came,
//! and there the one that came first: a place that floods displaces its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::discovery::{Place, Whereabouts};
use crate::identity::{MAX_CERTIFICATE, NodeId};
use crate::time::{Span, Time, UnixMillis};
use crate::wire::MAX_WHEREABOUTS;

/// Statements held: some 9 MB with what keeping them takes, and ten times that with a certificate for each that is known no
/// longer otherwise. With a thousand holders there is room for two million.
pub(super) const MAX_SHELF: usize = 16_384;
/// Nodes of one agent.
pub(super) const NODES: usize = 8;
/// Members of one topic: enough that some of them are still there, whatever happens.
pub(super) const MEMBERS: usize = 64;
/// Registrations on a topic are counted over so long, and so many at most.
const CROWD: Span = Span::from_secs(600);
const MAX_CROWD: usize = 4_096;

/// Bytes of all of it at most: every statement of the longest, every certificate kept by it alone; of the counts of topics as
/// many as a node's links may bring.
pub(super) const BYTES: usize = MAX_SHELF * (MAX_WHEREABOUTS + MAX_CERTIFICATE + 512) + (32 << 20);

#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) whereabouts: Whereabouts,
    pub(super) certificate: Bytes,
    place: Place,
    at: u64,
}

#[derive(Debug, Default)]
struct Subject {
    kept: Vec<Kept>,
    /// Who registered lately, of a topic, and when.
    crowd: VecDeque<(Time, NodeId)>,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    subjects: BTreeMap<[u8; 32], Subject>,
    /// What came from each place, first that which came first.
    by_place: BTreeMap<Place, BTreeSet<(u64, [u8; 32])>>,
    count: usize,
    clock: u64,
}

impl Shelf {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// What `node` said of a subject.
    pub(super) fn get(&self, subject: &[u8; 32], node: &NodeId) -> Option<&Whereabouts> {
        let kept = &self.subjects.get(subject)?.kept;
        kept.iter().find(|k| k.whereabouts.node() == *node).map(|k| &k.whereabouts)
    }

    /// The certificate that is kept with what the same node said before by the same certificate.
    pub(super) fn certificate(&self, subject: &[u8; 32], w: &Whereabouts) -> Option<Bytes> {
        let kept = &self.subjects.get(subject)?.kept;
        let same = kept.iter().find(|k| k.whereabouts.node() == w.node())?;
        (same.whereabouts.certificate() == w.certificate() && !same.certificate.is_empty())
            .then(|| same.certificate.clone())
    }

    /// All that is held of a subject and can be believed now, withdrawn or not, the latest first.
    pub(super) fn of(&self, subject: &[u8; 32], now: UnixMillis) -> Vec<&Kept> {
        let kept = self.subjects.get(subject).map_or(&[][..], |s| &s.kept);
        let mut out: Vec<&Kept> = kept.iter().filter(|k| k.whereabouts.in_time(now)).collect();
        out.sort_by_key(|k| std::cmp::Reverse(k.whereabouts.issued_ms()));
        out
    }

    /// Takes in a statement that was checked and is later than what is here. Returns how many had to go for it.
    pub(super) fn put(&mut self, now: Time, w: Whereabouts, certificate: Bytes, place: Place) -> usize {
        self.clock += 1;
        let (subject, node, topic) = (w.subject(), w.node(), w.agent().is_none());
        self.take_out(&subject, &node);
        let new = Kept { whereabouts: w, certificate, place, at: self.clock };
        let s = self.subjects.entry(subject).or_default();
        if topic {
            // Each node counts once, however often it says so.
            s.crowd.retain(|(at, of)| now.since(*at) < CROWD && *of != node);
            if s.crowd.len() < MAX_CROWD {
                s.crowd.push_back((now, node));
            }
        }
        s.kept.push(new);
        self.by_place.entry(place).or_default().insert((self.clock, subject));
        self.count += 1;
        let mut gone = 0;
        let most = if topic { MEMBERS } else { NODES };
        if self.subjects.get(&subject).is_some_and(|s| s.kept.len() > most) {
            gone += usize::from(self.thin(&subject));
        }
        if self.count > MAX_SHELF {
            gone += usize::from(self.evict());
        }
        gone
    }

    /// How many members registered on a topic lately.
    pub(super) fn crowd(&self, subject: &[u8; 32]) -> u32 {
        self.subjects.get(subject).map_or(0, |s| s.crowd.len() as u32)
    }

    fn take_out(&mut self, subject: &[u8; 32], node: &NodeId) {
        let Some(s) = self.subjects.get_mut(subject) else { return };
        let Some(at) = s.kept.iter().position(|k| k.whereabouts.node() == *node) else { return };
        let old = s.kept.swap_remove(at);
        self.forget(subject, &old);
    }

    fn forget(&mut self, subject: &[u8; 32], old: &Kept) {
        self.count -= 1;
        if let Some(of_place) = self.by_place.get_mut(&old.place) {
            of_place.remove(&(old.at, *subject));
            if of_place.is_empty() {
                self.by_place.remove(&old.place);
            }
        }
        // Its count goes too: what is evicted must leave nothing behind.
        if self.subjects.get(subject).is_some_and(|s| s.kept.is_empty()) {
            self.subjects.remove(subject);
        }
    }

    /// Of one subject, one goes: of the place with most, the first.
    fn thin(&mut self, subject: &[u8; 32]) -> bool {
        let Some(s) = self.subjects.get_mut(subject) else { return false };
        let mut places: BTreeMap<Place, usize> = BTreeMap::new();
        s.kept.iter().for_each(|k| *places.entry(k.place).or_default() += 1);
        let of = |k: &Kept| places.get(&k.place).copied().unwrap_or(0);
        let victim = s.kept.iter().enumerate().max_by_key(|(_, k)| (of(k), std::cmp::Reverse(k.at)));
        let Some((at, _)) = victim else { return false };
        let old = s.kept.swap_remove(at);
        self.forget(subject, &old);
        true
    }

    /// Of all, one goes: of the place with most, the first.
    fn evict(&mut self) -> bool {
        let most = self.by_place.values().max_by_key(|of| of.len());
        let Some((at, subject)) = most.and_then(|of| of.first().copied()) else { return false };
        let Some(s) = self.subjects.get_mut(&subject) else { return false };
        let Some(i) = s.kept.iter().position(|k| k.at == at) else { return false };
        let old = s.kept.swap_remove(i);
        self.forget(&subject, &old);
        true
    }

    /// Forgets what has expired.
    pub(super) fn sweep(&mut self, now: Time, wall: UnixMillis) {
        let mut over = Vec::new();
        for (subject, s) in &mut self.subjects {
            s.crowd.retain(|(at, _)| now.since(*at) < CROWD);
            over.extend(
                s.kept.iter().filter(|k| !k.whereabouts.in_time(wall)).map(|k| (*subject, k.whereabouts.node())),
            );
        }
        for (subject, node) in over {
            self.take_out(&subject, &node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SimCrypto;
    use crate::discovery::{About, WhereaboutsKey};
    use crate::identity::{Network, PeerAddr, SecretKey, TopicId};

    #[test]
    fn a_place_that_fills_it_displaces_its_own() {
        let crypto = SimCrypto::new(&SecretKey::from_bytes([1; 32]));
        let key = WhereaboutsKey::new(&Network::from_name("shelf").unwrap());
        let of = |n: usize| {
            let topic = TopicId(*blake3::hash(&n.to_le_bytes()).as_bytes());
            let node = PeerAddr { id: crate::crypto::Crypto::node_id(&crypto), addrs: vec![] };
            Whereabouts::issue(
                About::Topic(topic),
                node,
                (UnixMillis(1_000), Span::from_secs(60)),
                false,
                &key,
                &crypto,
            )
        };
        let mut shelf = Shelf::default();
        let (few, many) = (Place::Net([4, 1, 1, 1, 0, 0, 0]), Place::Net([4, 2, 2, 2, 0, 0, 0]));
        shelf.put(Time::default(), of(0), Bytes::new(), few);
        let gone: usize = (1..=MAX_SHELF).map(|n| shelf.put(Time::default(), of(n), Bytes::new(), many)).sum();
        assert_eq!((shelf.len(), gone), (MAX_SHELF, 1));
        let there = |n: usize| !shelf.of(&of(n).subject(), UnixMillis(1_000)).is_empty();
        assert!(there(0) && !there(1) && there(2) && there(MAX_SHELF));
        assert_eq!(shelf.subjects.len(), MAX_SHELF, "what has gone leaves nothing behind");
    }
}
