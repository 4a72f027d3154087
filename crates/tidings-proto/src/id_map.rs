//! A map from node ids in id order, laid out for few cache misses.
//!
//! What an event costs is mostly memory that is not in the cache: a simulated network holds thousands of nodes, a real
//! machine does other things in between. Here a look-up reads the ids' first four bytes, which lie side by side in order
//! with the place of their entry, and then the one entry. Ids are keys and as good as evenly spread, so where one stands is
//! guessed from its value (interpolation search) and looked for from there on in steps that double.
//!
//! Invariants: iteration is in id order; ids that begin alike or crowd together, as an attacker's can, cost no more than
//! twice a bisection.

use crate::identity::NodeId;

/// A map from node ids, in id order.
#[derive(Debug)]
pub(crate) struct IdMap<V> {
    /// The first four bytes of each id, in the ids' order, and below them which entry it is.
    slots: Vec<u64>,
    entries: Vec<(NodeId, V)>,
}

impl<V> Default for IdMap<V> {
    fn default() -> Self {
        IdMap { slots: Vec::new(), entries: Vec::new() }
    }
}

fn head(id: &NodeId) -> u64 {
    id.head() >> 32
}

fn slot(id: &NodeId, place: usize) -> u64 {
    head(id) << 32 | place as u64
}

fn place(slot: u64) -> usize {
    slot as u32 as usize
}

/// The first of `slots` that is not below `key`, guessed and then searched for around the guess.
fn first_from(slots: &[u64], key: u64) -> usize {
    let len = slots.len();
    if len == 0 {
        return 0;
    }
    let share = |v: u64| ((u128::from(v) * len as u128) >> 64) as usize;
    let mut at = share(key);
    // From how far the guess is off in value, a better one.
    at = if slots[at] < key {
        (at + share(key - slots[at])).min(len - 1)
    } else {
        at.saturating_sub(share(slots[at] - key))
    };
    let (mut step, mut low, mut high) = (4, 0, len);
    if slots[at] < key {
        low = at + 1;
        while low < len {
            let next = (low + step).min(len);
            if next == len || slots[next] >= key {
                high = next;
                break;
            }
            low = next + 1;
            step *= 2;
        }
    } else {
        high = at;
        while high > 0 {
            let next = high.saturating_sub(step);
            if slots[next] < key {
                low = next + 1;
                break;
            }
            high = next;
            step *= 2;
        }
    }
    low + slots[low..high.max(low)].partition_point(|s| *s < key)
}

impl<V> IdMap<V> {
    /// Where `id` is in the order, or where it would go.
    fn find(&self, id: &NodeId) -> Result<usize, usize> {
        let head = head(id);
        let first = first_from(&self.slots, head << 32);
        let alike = |at: usize| self.slots.get(at).is_some_and(|s| s >> 32 == head);
        if !alike(first) {
            return Err(first);
        }
        if !alike(first + 1) {
            // The usual case: one that begins so.
            return match self.entries[place(self.slots[first])].0.cmp(id) {
                std::cmp::Ordering::Equal => Ok(first),
                std::cmp::Ordering::Less => Err(first + 1),
                std::cmp::Ordering::Greater => Err(first),
            };
        }
        let many = self.slots[first..].partition_point(|s| s >> 32 == head);
        let at = first + self.slots[first..first + many].partition_point(|s| self.entries[place(*s)].0 < *id);
        if at < first + many && self.entries[place(self.slots[at])].0 == *id { Ok(at) } else { Err(at) }
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
        Some(&self.entries[place(self.slots[at])].1)
    }

    pub(crate) fn get_mut(&mut self, id: &NodeId) -> Option<&mut V> {
        let at = self.find(id).ok()?;
        Some(&mut self.entries[place(self.slots[at])].1)
    }

    /// The value of `id`; a new one if it has none.
    pub(crate) fn get_or_insert_with(&mut self, id: NodeId, new: impl FnOnce() -> V) -> &mut V {
        let place = match self.find(&id) {
            Ok(at) => place(self.slots[at]),
            Err(at) => {
                let place = self.entries.len();
                self.entries.push((id, new()));
                self.slots.insert(at, slot(&id, place));
                place
            }
        };
        &mut self.entries[place].1
    }

    /// Puts `value` at `id`; what was there goes.
    pub(crate) fn insert(&mut self, id: NodeId, value: V) {
        match self.find(&id) {
            Ok(at) => self.entries[place(self.slots[at])].1 = value,
            Err(_) => {
                self.get_or_insert_with(id, || value);
            }
        }
    }

    pub(crate) fn remove(&mut self, id: &NodeId) -> Option<V> {
        let at = self.find(id).ok()?;
        let place = place(self.slots[at]);
        // The last entry takes its place.
        let last = self.entries.last().map(|(k, _)| *k)?;
        if let Ok(moved) = self.find(&last) {
            self.slots[moved] = slot(&last, place);
        }
        self.slots.remove(at);
        Some(self.entries.swap_remove(place).1)
    }

    /// Keeps those that `keep` says yes to, and gives back the room of the others.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&NodeId, &V) -> bool) {
        self.entries.retain(|(k, v)| keep(k, v));
        self.entries.sort_unstable_by_key(|(k, _)| *k);
        self.slots = self.entries.iter().enumerate().map(|(place, (k, _))| slot(k, place)).collect();
        self.entries.shrink_to_fit();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &V)> {
        self.slots.iter().map(|s| &self.entries[place(*s)]).map(|(k, v)| (k, v))
    }

    /// Those whose ids begin with these eight bytes.
    pub(crate) fn beginning(&self, head: u64) -> impl Iterator<Item = (&NodeId, &V)> {
        let first = first_from(&self.slots, head >> 32 << 32);
        let alike = self.slots[first..].iter().take_while(move |s| **s >> 32 == head >> 32);
        alike.map(|s| &self.entries[place(*s)]).map(|(k, v)| (k, v)).filter(move |(k, _)| k.head() == head)
    }

    /// All values, in the order of their ids.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, v)| v)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &NodeId> {
        self.iter().map(|(k, _)| k)
    }

    /// All of them, in no particular order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&NodeId, &mut V)> {
        self.entries.iter_mut().map(|(k, v)| (&*k, v))
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
    fn a_guess_never_misses_where_bisection_finds() {
        let mut rng = Rng::derive(&[2; 32], "id map", &[]);
        for n in 0..400usize {
            // Evenly spread, crowded at one end, all alike but a few.
            let spread = [u64::MAX, 1 << 40, 3][rng.below(3)];
            let base = [0, u64::MAX - spread][rng.below(2)];
            let mut slots: Vec<u64> = (0..n).map(|_| base + rng.between(0, spread)).collect();
            slots.sort_unstable();
            let keys = [rng.between(0, u64::MAX), base + rng.between(0, spread), base, 0, u64::MAX];
            for key in keys.into_iter().chain(slots.iter().copied()) {
                assert_eq!(first_from(&slots, key), slots.partition_point(|s| *s < key), "{key} in {slots:?}");
            }
        }
    }

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
