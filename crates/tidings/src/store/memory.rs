//! A store that lives as long as its runtime.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Store, StoreError, SyncOutcome, SyncWork};

/// Records in memory: they outlive a restart of the same [`crate::gossip::GossipRuntime`], not the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    live: BTreeMap<Bytes, Bytes>,
}

impl Store for MemoryStore {
    fn write(&mut self, records: &[(Bytes, Option<Bytes>)]) -> Result<(), StoreError> {
        for (key, value) in records {
            match value {
                Some(value) => drop(self.live.insert(key.clone(), value.clone())),
                None => drop(self.live.remove(key)),
            }
        }
        Ok(())
    }

    fn load(&mut self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Ok(with_prefix(&self.live, prefix))
    }

    fn begin_sync(&mut self) -> Option<SyncWork> {
        None
    }

    fn end_sync(&mut self, _: SyncOutcome) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The records under a prefix, in key order.
pub(super) fn with_prefix(live: &BTreeMap<Bytes, Bytes>, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
    live.range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
        .take_while(|(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
