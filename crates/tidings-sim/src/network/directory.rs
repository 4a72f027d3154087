//! Which node has which id: a lookup that costs the same however many there are.

use tidings_proto::identity::NodeId;

/// A free place.
const FREE: u32 = u32::MAX;

/// Open addressing, at most half full. Ids are public keys: their own first bytes are as good as any hash.
pub(super) struct Directory {
    places: Vec<u32>,
    ids: Vec<NodeId>,
}

impl Directory {
    pub(super) fn new() -> Self {
        Directory { places: vec![FREE; 16], ids: Vec::new() }
    }

    /// Where `id` is, or where it would go.
    fn place(&self, id: &NodeId) -> usize {
        let start = id.0.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b)) as usize;
        let mask = self.places.len() - 1;
        let mut at = start & mask;
        while self.places[at] != FREE && self.ids[self.places[at] as usize] != *id {
            at = (at + 1) & mask;
        }
        at
    }

    /// Adds the next node. Returns the first one with its id, which may be itself.
    pub(super) fn add(&mut self, id: NodeId) -> u32 {
        let n = self.ids.len() as u32;
        self.ids.push(id);
        if self.ids.len() * 2 > self.places.len() {
            self.places = vec![FREE; self.places.len() * 2];
            for old in 0..n {
                self.take(old);
            }
        }
        self.take(n)
    }

    fn take(&mut self, n: u32) -> u32 {
        let at = self.place(&self.ids[n as usize]);
        if self.places[at] == FREE {
            self.places[at] = n;
        }
        self.places[at]
    }

    /// The first node with this id.
    pub(super) fn get(&self, id: &NodeId) -> Option<u32> {
        Some(self.places[self.place(id)]).filter(|n| *n != FREE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_and_the_first_of_equal_ones_counts() {
        let mut d = Directory::new();
        // Half of them begin alike, as an attacker's could.
        let id = |i: u32| {
            let mut id = *blake3::hash(&i.to_le_bytes()).as_bytes();
            if i.is_multiple_of(2) {
                id[..8].fill(7);
            }
            NodeId(id)
        };
        for i in 0..500 {
            assert_eq!(d.get(&id(i)), None);
            assert_eq!(d.add(id(i)), i);
        }
        assert_eq!(d.add(id(123)), 123);
        assert_eq!(d.add(id(500)), 501);
        assert!((0..500).all(|i| d.get(&id(i)) == Some(i)));
        assert_eq!(d.get(&id(500)), Some(501));
    }
}
