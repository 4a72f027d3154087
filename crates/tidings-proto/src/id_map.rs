//! A map from node ids in id order, laid out for few cache misses.
//!
//! What an event costs is mostly memory that is not in the cache: a simulated network holds thousands of nodes, a real
//! machine does other things in between. Here a look-up reads the ids' first eight bytes, which lie side by side in order,
//! and then the one entry. Inserting moves twelve bytes for each id behind, whatever the size of an entry.
//!
//! Invariants: iteration is in id order; ids that begin alike, as an attacker's can, are told apart by bisection as all
//! others are.

use crate::identity::NodeId;

/// A map from node ids, in id order.
#[derive(Debug)]
pub(crate) struct IdMap<V> {
    /// The first eight bytes of each id, in order.
    heads: Vec<u64>,
    /// Which entry each is.
    places: Vec<u32>,
    entries: Vec<(NodeId, V)>,
}

impl<V> Default for IdMap<V> {
    fn default() -> Self {
        IdMap { heads: Vec::new(), places: Vec::new(), entries: Vec::new() }
    }
}

impl<V> IdMap<V> {
    /// Where `id` is in the order, or where it would go.
    fn find(&self, id: &NodeId) -> Result<usize, usize> {
        let head = id.head();
        let first = self.heads.partition_point(|h| *h < head);
        if self.heads.get(first) != Some(&head) {
            return Err(first);
        }
        let alike = match self.heads.get(first + 1) {
            Some(h) if *h == head => first + self.heads[first..].partition_point(|h| *h == head),
            _ => first + 1,
        };
        let at = first + self.places[first..alike].partition_point(|p| self.entries[*p as usize].0 < *id);
        if at < alike && self.entries[self.places[at] as usize].0 == *id { Ok(at) } else { Err(at) }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn contains_key(&self, id: &NodeId) -> bool {
        self.find(id).is_ok()
    }

    pub(crate) fn get(&self, id: &NodeId) -> Option<&V> {
        let at = self.find(id).ok()?;
        Some(&self.entries[self.places[at] as usize].1)
    }

    pub(crate) fn get_mut(&mut self, id: &NodeId) -> Option<&mut V> {
        let at = self.find(id).ok()?;
        Some(&mut self.entries[self.places[at] as usize].1)
    }

    /// The value of `id`; a new one if it has none.
    pub(crate) fn get_or_insert_with(&mut self, id: NodeId, new: impl FnOnce() -> V) -> &mut V {
        let place = match self.find(&id) {
            Ok(at) => self.places[at] as usize,
            Err(at) => {
                let place = self.entries.len();
                self.entries.push((id, new()));
                self.heads.insert(at, id.head());
                self.places.insert(at, place as u32);
                place
            }
        };
        &mut self.entries[place].1
    }

    /// Puts `value` at `id`; what was there goes.
    pub(crate) fn insert(&mut self, id: NodeId, value: V) {
        match self.find(&id) {
            Ok(at) => self.entries[self.places[at] as usize].1 = value,
            Err(_) => {
                self.get_or_insert_with(id, || value);
            }
        }
    }

    pub(crate) fn remove(&mut self, id: &NodeId) -> Option<V> {
        let at = self.find(id).ok()?;
        let place = self.places[at];
        // The last entry takes its place.
        let last = self.entries.last().map(|(k, _)| *k)?;
        if let Ok(moved) = self.find(&last) {
            self.places[moved] = place;
        }
        self.heads.remove(at);
        self.places.remove(at);
        Some(self.entries.swap_remove(place as usize).1)
    }

    /// Keeps those that `keep` says yes to, and gives back the room of the others.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&NodeId, &V) -> bool) {
        self.entries.retain(|(k, v)| keep(k, v));
        self.entries.sort_unstable_by_key(|(k, _)| *k);
        self.heads = self.entries.iter().map(|(k, _)| k.head()).collect();
        self.places = (0..self.entries.len() as u32).collect();
        self.entries.shrink_to_fit();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &V)> {
        self.places.iter().map(|p| &self.entries[*p as usize]).map(|(k, v)| (k, v))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &NodeId> {
        self.iter().map(|(k, _)| k)
    }

    /// All values, in no particular order.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, v)| v)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn it_does_what_a_tree_does_also_for_ids_that_begin_alike() {
        let mut rng = Rng::derive(&[1; 32], "id map", &[]);
        let (mut map, mut tree) = (IdMap::default(), BTreeMap::new());
        for n in 0..20_000u64 {
            // Few first bytes, then many last ones.
            let mut id = [7; 32];
            id[0] = rng.below(4) as u8;
            id[31] = rng.below(40) as u8;
            let id = NodeId(id);
            match rng.below(5) {
                0 | 1 => {
                    map.insert(id, n);
                    tree.insert(id, n);
                }
                2 | 3 => assert_eq!(map.remove(&id), tree.remove(&id)),
                _ => assert_eq!(map.get_or_insert_with(id, || n), tree.entry(id).or_insert(n)),
            }
            if n % 1_000 == 0 {
                map.retain(|_, v| v % 3 > 0);
                tree.retain(|_, v| *v % 3 > 0);
            }
            assert_eq!((map.get(&id).copied(), map.len()), (tree.get(&id).copied(), tree.len()));
        }
        assert!(map.iter().eq(tree.iter()) && map.len() > 40);
    }
}
