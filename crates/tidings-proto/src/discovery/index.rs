//! The index: which nodes hold the records of a shard, nearly the same for everybody.
//!
//! Rendezvous hashing (Thaler, Ravishankar, IEEE/ACM ToN 1998): of all adverts, the holders of a shard are those with the
//! highest hash of (shard, node). What differs, and why:
//!
//! - *The hash is of the shard and the place* (/24 or /48) of a node, one node a place. Were it of the node's id, whoever has
//!   eight prefixes could draw ids until each of them is a highest one of a shard it wants, a thousand tries each. A place
//!   cannot be drawn: it is had or not, and with k of n places a party holds k/n of each shard's copies, whatever its ids.
//!   Within a place who was reached comes before who was not, then the node with the highest hash of (shard, id).
//! - *Each counts for as much as it is likely to answer*, by this node's own judgement (`admission.rs`): the holders are the
//!   first that together count for eight, so that false adverts make the list longer and push nobody out of it. Among nodes
//!   that have reached what there is it is the list of those that are there; others see some more or some less, which the
//!   eight nodes behind the eight holders allow for.
//! - *At most [`PLACES`] places count*, those lowest by the hash of day and place.
//!
//! Relays are drawn in the same way, others each day ([`Index::drawn`]): those that nodes which nobody can dial try first.
//!
//! Loopback addresses set nobody apart: in a network on one machine each node is a place, and where this node or somebody it
//! believes has reached any other address they do not count. With fewer than eight places a shard has second and third nodes
//! of the same places, so that a network that sits in one place has eight holders too.
//!
//! Invariants: which holders a shard has depends on the adverts and their standing alone, not on their order; what one
//! advert says moves no other but behind itself.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::Place;
use super::admission::Standing;
use super::advert::Advert;
use crate::id_map::IdMap;
use crate::identity::{Addr, NodeId, PeerAddr, RecordKey};
use crate::records::Store;
use crate::records::sets::INDEX;
use crate::time::{Time, UnixMillis};

/// Holders of a shard.
pub const HOLDERS: usize = 8;
/// Places that count at most (a guess: enough for two million statements with the holders that have them).
pub const PLACES: usize = 1_024;
/// What a node counts for that answers for sure.
pub(super) const WHOLE: u32 = 1_000;
/// A list is never so many times as long as it would be if all answered.
const STRETCH: usize = 4;

#[derive(Clone, Debug)]
struct Entry {
    place: Place,
    node: PeerAddr,
    /// When it was last said to hold.
    since: Time,
    standing: Standing,
}

/// Which places count.
#[derive(Clone, Copy, Debug)]
struct Places {
    /// Whether loopback addresses do.
    locals: bool,
    /// Those of a higher rank do not.
    cutoff: u64,
}

/// The adverts, read and judged.
#[derive(Debug)]
pub struct Index {
    nodes: IdMap<Entry>,
    by_place: BTreeMap<Place, Vec<NodeId>>,
    /// What a stranger counts for.
    strangers: u32,
    /// Which places count, looked at when it is asked for after a change.
    places: OnceLock<Places>,
    wall: UnixMillis,
    version: u64,
}

impl Default for Index {
    fn default() -> Index {
        Index {
            nodes: IdMap::default(),
            by_place: BTreeMap::new(),
            strangers: WHOLE,
            places: OnceLock::new(),
            wall: UnixMillis(0),
            version: 0,
        }
    }
}

impl Index {
    /// A record of the set changed. Returns whether who is in it changed, or where.
    pub fn changed(&mut self, records: &Store, key: &RecordKey) -> bool {
        let id = NodeId(key.0);
        let new = records.get(INDEX, key).and_then(|r| {
            let a = Advert::parse(&r.bytes).ok()?;
            let place = a.place()?;
            // Where it was reached, and nowhere else: its other addresses nobody has attested.
            let addrs = a.node.addrs.into_iter().take(1).collect();
            Some(Entry { place, node: PeerAddr { id: a.node.id, addrs }, since: r.since, standing: Standing::Stranger })
        });
        if let (Some(old), Some(new)) = (self.nodes.get_mut(&id), &new)
            && old.node == new.node
        {
            old.since = new.since;
            return false;
        }
        let old = self.nodes.remove(&id);
        if old.is_none() && new.is_none() {
            return false;
        }
        if let Some(Entry { place, .. }) = old
            && let Some(ids) = self.by_place.get_mut(&place)
        {
            ids.retain(|n| *n != id);
            if ids.is_empty() {
                self.by_place.remove(&place);
            }
        }
        if let Some(new) = new {
            self.by_place.entry(new.place).or_default().push(id);
            self.nodes.insert(id, new);
        }
        self.places.take();
        self.version += 1;
        true
    }

    /// Judges a node of it. Returns whether it counts for more or less than before.
    pub(super) fn set_standing(&mut self, node: &NodeId, standing: Standing) -> bool {
        let strangers = self.strangers;
        let Some(e) = self.nodes.get_mut(node) else { return false };
        let before = std::mem::replace(&mut e.standing, standing);
        if before == standing {
            return false;
        }
        self.places.take();
        self.version += 1;
        weight(before, strangers) != weight(standing, strangers)
    }

    /// Judges all of them anew. Returns whether any counts for more or less than before.
    pub(super) fn judge(
        &mut self,
        wall: UnixMillis,
        strangers: u32,
        me: &NodeId,
        of: impl Fn(&NodeId, &Addr, Time) -> Standing,
    ) -> bool {
        let mut changed = self.strangers != strangers;
        let mut moved = false;
        for (id, e) in self.nodes.iter_mut() {
            let Some(addr) = e.node.addrs.first() else { continue };
            let standing = if id == me { Standing::Reached } else { of(id, addr, e.since) };
            changed |= weight(e.standing, self.strangers) != weight(standing, strangers);
            moved |= e.standing != standing;
            e.standing = standing;
        }
        if changed || moved || day(self.wall) != day(wall) {
            self.places.take();
        }
        self.strangers = strangers;
        self.wall = wall;
        self.version += u64::from(changed);
        changed
    }

    /// Which places count.
    fn look_at_places(&self) -> Places {
        let counts = |p: &Place, ids: &Vec<NodeId>| {
            let in_it = || ids.iter().filter_map(|id| self.nodes.get(id));
            (!p.is_local()).then(|| (in_it().any(|e| e.standing.is_trusted()), in_it().any(|e| self.counts(e) > 0)))
        };
        let (mut trusted, mut any) = (false, false);
        for (t, a) in self.by_place.iter().filter_map(|(p, ids)| counts(p, ids)) {
            trusted |= t;
            any |= a;
        }
        let local = self.nodes.values().any(|e| e.place.is_local() && e.standing.is_trusted());
        let (locals, mut cutoff) = (!trusted && (local || !any), u64::MAX);
        if self.by_place.len() > PLACES {
            let admitted =
                |ids: &Vec<NodeId>| ids.iter().filter_map(|id| self.nodes.get(id)).any(|e| self.counts(e) > 0);
            let mut ranks: Vec<u64> =
                self.by_place.iter().filter(|(_, ids)| admitted(ids)).map(|(p, _)| rank(p, self.wall)).collect();
            if ranks.len() > PLACES {
                cutoff = *ranks.select_nth_unstable(PLACES - 1).1;
            }
        }
        Places { locals, cutoff }
    }

    fn counts(&self, e: &Entry) -> u32 {
        weight(e.standing, self.strangers)
    }

    /// Adverts in it.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether a node is in it.
    pub fn contains(&self, node: &NodeId) -> bool {
        self.nodes.contains_key(node)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Grows with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What this node makes of one of them.
    pub fn standing(&self, node: &NodeId) -> Option<Standing> {
        self.nodes.get(node).map(|e| e.standing)
    }

    /// Its place and where it is reached.
    pub(super) fn get(&self, node: &NodeId) -> Option<(&Place, &PeerAddr)> {
        self.nodes.get(node).map(|e| (&e.place, &e.node))
    }

    /// When its advert was last said to hold.
    pub(super) fn since(&self, node: &NodeId) -> Option<Time> {
        self.nodes.get(node).map(|e| e.since)
    }

    /// All of them, with what this node makes of each.
    pub fn all(&self) -> impl Iterator<Item = (&PeerAddr, Standing)> {
        self.nodes.values().map(|e| (&e.node, e.standing))
    }

    /// Whether strangers are not to be relied on.
    pub(super) fn doubts(&self) -> bool {
        self.strangers < WHOLE * 9 / 10
    }

    /// Those that were reached, or enough neighbours have, and so many of one place.
    pub(super) fn trusted(&self, most: usize) -> impl Iterator<Item = &NodeId> {
        let trusted = |id: &&NodeId| self.nodes.get(id).is_some_and(|e| e.standing.is_trusted());
        self.by_place.values().flat_map(move |ids| ids.iter().filter(trusted).take(most))
    }

    /// Whether there would be room for this node at `place`: among those that count, if it counted.
    pub(super) fn has_room(&self, me: &NodeId, place: Place, slots: usize, wall: UnixMillis) -> bool {
        let believed = |e: &Entry| e.standing.is_trusted() || (e.standing == Standing::Stranger && !self.doubts());
        let of_place = self.by_place.get(&place).into_iter().flatten().filter(|id| *id != me);
        if of_place.filter_map(|id| self.nodes.get(id)).filter(|e| believed(e)).count() >= slots {
            return false;
        }
        let there = |ids: &Vec<NodeId>| ids.iter().filter_map(|id| self.nodes.get(id)).any(believed);
        let mine = rank(&place, wall);
        self.by_place.iter().filter(|(p, ids)| **p != place && rank(p, wall) < mine && there(ids)).count() < PLACES
    }

    /// The first nodes for a shard that together count for `most`, the holders first: who comes behind them steps in for one
    /// that cannot be reached.
    pub fn nodes(&self, shard: u16, most: usize) -> Vec<&PeerAddr> {
        self.weighed(shard, most).into_iter().map(|(n, _)| n).collect()
    }

    /// As [`Index::nodes`], with what each counts for.
    pub(super) fn weighed(&self, shard: u16, most: usize) -> Vec<(&PeerAddr, u32)> {
        let list = self.list(&shard.to_le_bytes(), most, |e| weight(e.standing, self.strangers));
        if !list.is_empty() {
            return list;
        }
        // Rather one that failed than none.
        self.list(&shard.to_le_bytes(), most, |e| if e.standing == Standing::Dead { 0 } else { WHOLE })
    }

    /// The first `most` of those that were reached, by this node or enough neighbours.
    pub(super) fn trusted_nodes(&self, shard: u16, most: usize) -> Vec<&PeerAddr> {
        let list = self.list(&shard.to_le_bytes(), most, |e| if e.standing.is_trusted() { WHOLE } else { 0 });
        list.into_iter().map(|(n, _)| n).collect()
    }

    /// The first `most` of the order of the day: where the unproven are given something to carry. Nobody can choose to be among
    /// them, and most nodes name the same.
    pub fn drawn(&self, wall: UnixMillis, most: usize) -> Vec<PeerAddr> {
        let mut draw = *b"relays..........";
        draw[8..].copy_from_slice(&day(wall).to_le_bytes());
        let list = self.list(&draw, most, |e| weight(e.standing, self.strangers));
        list.into_iter().map(|(n, _)| n.clone()).collect()
    }

    fn list(&self, draw: &[u8], most: usize, weight: impl Fn(&Entry) -> u32) -> Vec<(&PeerAddr, u32)> {
        let counting = self.places.get_or_init(|| self.look_at_places());
        // No hash is the highest of two places but by chance of 2^-128.
        let mut places: Vec<([u8; 16], &Vec<NodeId>)> = self
            .by_place
            .iter()
            .filter(|(p, _)| counting.locals || !p.is_local())
            .filter(|(p, _)| counting.cutoff == u64::MAX || rank(p, self.wall) <= counting.cutoff)
            .map(|(p, ids)| (score(draw, p.bytes()), ids))
            .collect();
        places.sort_unstable_by_key(|(score, _)| std::cmp::Reverse(*score));
        let mut out: Vec<(&PeerAddr, u32)> = Vec::with_capacity(most);
        let (mut level, mut sum) = (0, 0);
        let enough = |sum: u32, len: usize| sum as usize >= most * WHOLE as usize || len >= most * STRETCH;
        while !enough(sum, out.len()) {
            let before = out.len();
            for (_, ids) in &places {
                if enough(sum, out.len()) {
                    break;
                }
                if let Some((e, w)) = self.of_place(draw, ids, level, &weight) {
                    sum += w;
                    out.push((&e.node, w));
                }
            }
            if out.len() == before {
                break;
            }
            level += 1;
        }
        out
    }

    /// Of the nodes of one place that count, the one with the `level`-highest hash, those that were reached first.
    fn of_place(
        &self,
        draw: &[u8],
        ids: &[NodeId],
        level: usize,
        weight: &impl Fn(&Entry) -> u32,
    ) -> Option<(&Entry, u32)> {
        let counting = |id: &NodeId| {
            let e = self.nodes.get(id)?;
            let w = weight(e);
            (w > 0).then_some((e, w))
        };
        if let ([only], 0) = (ids, level) {
            return counting(only);
        }
        let mut nodes: Vec<(&Entry, u32)> = ids.iter().filter_map(counting).collect();
        nodes.sort_unstable_by_key(|(e, _)| {
            (!e.standing.is_trusted(), std::cmp::Reverse(score(draw, e.node.id.as_bytes())))
        });
        nodes.get(level).copied()
    }

    /// Whether `node` is among the first that count for `most` for a shard.
    pub fn is_among(&self, shard: u16, most: usize, node: &NodeId) -> bool {
        self.nodes(shard, most).iter().any(|n| n.id == *node)
    }
}

fn weight(standing: Standing, strangers: u32) -> u32 {
    match standing {
        Standing::Reached | Standing::Vouched => WHOLE,
        Standing::Stranger => strangers,
        Standing::Failing | Standing::Dead => 0,
    }
}

/// Which places count when there are too many: others each day, which nobody chooses.
fn rank(place: &Place, wall: UnixMillis) -> u64 {
    let mut h = blake3::Hasher::new();
    h.update(&day(wall).to_le_bytes()).update(place.bytes());
    h.finalize().as_bytes().first_chunk().map_or(0, |b| u64::from_be_bytes(*b))
}

fn day(wall: UnixMillis) -> u64 {
    wall.0 / 86_400_000
}

fn score(draw: &[u8], of: &[u8]) -> [u8; 16] {
    let mut h = blake3::Hasher::new();
    h.update(draw).update(of);
    let mut out = [0; 16];
    out.copy_from_slice(&h.finalize().as_bytes()[..16]);
    out
}
