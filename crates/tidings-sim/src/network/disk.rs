//! Simulated disks: they answer at once or later, fail, refuse to be read, and lose at a crash what they had not
//! confirmed.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tidings_proto::io::{Input, StoreError, StoreTicket};
use tidings_proto::rng::Rng;
use tidings_proto::time::Span;

use super::{Network, What};

type Records = Vec<(Bytes, Option<Bytes>)>;

/// The disk of one node. It outlives the node.
#[derive(Default)]
pub(super) struct Disk {
    records: BTreeMap<Bytes, Bytes>,
    /// Writes not yet confirmed, oldest first.
    under_way: VecDeque<(StoreTicket, Records)>,
    pub(super) log: super::log::DiskLog,
    pub(super) fails: bool,
    pub(super) barred: bool,
    pub(super) delay: Span,
}

impl Disk {
    pub(super) fn copy(&self) -> Disk {
        Disk { records: self.records.clone(), log: self.log.copy(), ..Disk::default() }
    }

    fn write(&mut self, records: Records) {
        for (k, v) in records {
            match v {
                Some(v) => self.records.insert(k, v),
                None => self.records.remove(&k),
            };
        }
    }

    /// The process dies: of the writes under way the oldest few were made, each as a whole, and the others never.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        self.log.crash(rng);
        if self.under_way.is_empty() {
            return;
        }
        let made = rng.below(self.under_way.len() + 1);
        for (_, records) in std::mem::take(&mut self.under_way).into_iter().take(made) {
            self.write(records);
        }
    }
}

impl Network {
    /// A node's disk fails to write, or works again.
    pub fn set_disk_fails(&mut self, n: u32, fails: bool) {
        self.slots[n as usize].disk.fails = fails;
    }

    /// A node's disk can't be read, or can again.
    pub fn set_disk_barred(&mut self, n: u32, barred: bool) {
        self.slots[n as usize].disk.barred = barred;
    }

    /// How long a node's disk takes to confirm a write. A crash meanwhile may lose it.
    pub fn set_disk_delay(&mut self, n: u32, delay: Span) {
        self.slots[n as usize].disk.delay = delay;
    }

    pub(super) fn store(&mut self, n: u32, ticket: StoreTicket, records: Records, inputs: &mut Vec<Input>) {
        let now = self.now;
        let slot = &mut self.slots[n as usize];
        if slot.disk.fails {
            let result = Err(StoreError("the simulated disk fails".into()));
            inputs.push(Input::Stored { ticket, result });
        } else if slot.disk.delay == Span::ZERO && slot.disk.under_way.is_empty() {
            slot.disk.write(records);
            inputs.push(Input::Stored { ticket, result: Ok(()) });
        } else {
            slot.disk.under_way.push_back((ticket, records));
            let (at, start) = (now + slot.disk.delay.0, slot.starts);
            self.schedule(at, n, What::Written { start });
        }
    }

    /// The oldest write under way is confirmed.
    pub(super) fn written(&mut self, n: u32, start: u64) {
        let slot = &mut self.slots[n as usize];
        if slot.starts != start {
            return;
        }
        let Some((ticket, records)) = slot.disk.under_way.pop_front() else { return };
        slot.disk.write(records);
        self.turn(n, Input::Stored { ticket, result: Ok(()) });
    }

    pub(super) fn load(&mut self, n: u32, ticket: StoreTicket, prefix: &Bytes, inputs: &mut Vec<Input>) {
        let disk = &self.slots[n as usize].disk;
        let result = if disk.barred {
            Err(StoreError("the simulated disk can't be read".into()))
        } else {
            let found = disk.records.range(prefix.clone()..).take_while(|(k, _)| k.starts_with(prefix));
            Ok(found.map(|(k, v)| (k.clone(), v.clone())).collect())
        };
        inputs.push(Input::Loaded { ticket, result });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(n: u8) -> Records {
        (0..3).map(|k| (Bytes::from(vec![k]), Some(Bytes::from(vec![n])))).collect()
    }

    #[test]
    fn a_crash_keeps_what_was_confirmed_and_tears_no_set() {
        let mut rng = Rng::derive(&[1; 32], "disk", &[]);
        let mut ends = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let mut disk = Disk::default();
            disk.write(set(1));
            disk.under_way.extend((2..5).map(|n| (StoreTicket(u64::from(n)), set(n))));
            disk.crash(&mut rng);
            let values: std::collections::BTreeSet<&Bytes> = disk.records.values().collect();
            assert_eq!((disk.records.len(), values.len()), (3, 1), "a set was torn: {:?}", disk.records);
            ends.extend(values.into_iter().map(|v| v[0]));
            assert!(disk.under_way.is_empty());
        }
        assert_eq!(ends.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4], "some crashes lose nothing, some all");
    }
}
