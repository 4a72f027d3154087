//! The index: which nodes hold the records of a shard, the same for everybody who has the same adverts.
//!
//! Rendezvous hashing (Thaler, Ravishankar, IEEE/ACM ToN 1998): of all adverts, the holders of a shard are those with the
//! highest hash of (shard, node). What differs, and why: the hash is of the shard and the *place* (/24 or /48) of a node, one
//! node a place. Were it of the node's id, whoever has eight prefixes could draw ids until each of them is a highest one of a
//! shard it wants, a thousand tries each. A place cannot be drawn: it is had or not, and with k of n places a party holds k/n of
//! each shard's copies, whatever its ids. Within a place the node with the highest hash of (shard, id) counts.
//!
//! Loopback addresses set nobody apart: in a network on one machine each node is a place, and where there is any other address
//! they do not count. With fewer than eight places a shard has second and third nodes of the same places, so that a network
//! that sits in one place has eight holders too.
//!
//! Invariants: which holders a shard has depends on the adverts alone, not on their order or on who asks.

use std::collections::BTreeMap;

use super::Place;
use super::advert::Advert;
use crate::identity::{NodeId, PeerAddr, RecordKey};
use crate::records::Store;
use crate::records::sets::INDEX;

/// Holders of a shard.
pub const HOLDERS: usize = 8;

/// The adverts, read.
#[derive(Debug, Default)]
pub struct Index {
    nodes: BTreeMap<RecordKey, (Place, PeerAddr)>,
    by_place: BTreeMap<Place, Vec<RecordKey>>,
    /// Places that are not local.
    nets: usize,
    /// Grows with each change of who is in it, or where.
    version: u64,
}

impl Index {
    /// A record of the set changed. Returns whether who is in it changed, or where.
    pub fn changed(&mut self, records: &Store, key: &RecordKey) -> bool {
        let new = records.get(INDEX, key).and_then(|r| Advert::parse(&r.bytes).ok());
        // Where it was reached, and nowhere else: its other addresses nobody has attested.
        let new = new.and_then(|a| {
            let place = a.place()?;
            let addrs = a.node.addrs.into_iter().take(1).collect();
            Some((place, PeerAddr { id: a.node.id, addrs }))
        });
        if self.nodes.get(key) == new.as_ref() {
            return false;
        }
        if let Some((place, _)) = self.nodes.remove(key)
            && let Some(keys) = self.by_place.get_mut(&place)
        {
            keys.retain(|k| k != key);
            if keys.is_empty() {
                self.by_place.remove(&place);
                self.nets -= usize::from(!place.is_local());
            }
        }
        if let Some((place, node)) = new {
            self.nodes.insert(*key, (place, node));
            let keys = self.by_place.entry(place).or_default();
            self.nets += usize::from(keys.is_empty() && !place.is_local());
            keys.push(*key);
        }
        self.version += 1;
        true
    }

    /// Adverts in it.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether a node is in it.
    pub fn contains(&self, node: &NodeId) -> bool {
        self.nodes.values().any(|(_, n)| n.id == *node)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Grows with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The first `most` nodes for a shard, the holders first: who comes behind them steps in for one that cannot be reached.
    pub fn nodes(&self, shard: u16, most: usize) -> Vec<&PeerAddr> {
        // No hash is the highest of two places but by chance of 2^-128.
        let mut places: Vec<([u8; 16], &Place)> = self
            .by_place
            .keys()
            .filter(|p| self.nets == 0 || !p.is_local())
            .map(|p| (score(shard, p.bytes()), p))
            .collect();
        places.sort_unstable_by(|a, b| b.cmp(a));
        let mut out = Vec::with_capacity(most);
        let mut level = 0;
        while out.len() < most {
            let before = out.len();
            for (_, place) in &places {
                if out.len() == most {
                    break;
                }
                out.extend(self.of_place(shard, place, level));
            }
            if out.len() == before {
                break;
            }
            level += 1;
        }
        out
    }

    /// Of the nodes of one place, the one with the `level`-highest hash.
    fn of_place(&self, shard: u16, place: &Place, level: usize) -> Option<&PeerAddr> {
        let keys = self.by_place.get(place)?;
        if let ([only], 0) = (keys.as_slice(), level) {
            return self.nodes.get(only).map(|(_, node)| node);
        }
        let mut nodes: Vec<&PeerAddr> = keys.iter().filter_map(|k| self.nodes.get(k)).map(|(_, node)| node).collect();
        nodes.sort_unstable_by_key(|n| std::cmp::Reverse(score(shard, n.id.as_bytes())));
        nodes.get(level).copied()
    }

    /// Whether `node` is among the first `most` for a shard.
    pub fn is_among(&self, shard: u16, most: usize, node: &NodeId) -> bool {
        self.nodes(shard, most).iter().any(|n| n.id == *node)
    }
}

fn score(shard: u16, of: &[u8]) -> [u8; 16] {
    let mut h = blake3::Hasher::new();
    h.update(&shard.to_le_bytes()).update(of);
    let mut out = [0; 16];
    out.copy_from_slice(&h.finalize().as_bytes()[..16]);
    out
}
