//! How much memory a node can be made to hold: the sum of everything that is bounded elsewhere.
//!
//! `docs/limits.md` has the table. What is counted is the worst that members of the network can do together, every
//! structure full at once; batches that several structures share are counted in each.

use crate::config::GossipConfig;
use crate::large::MAX_HELD;
use crate::links::{SHARE, UNSENT};
use crate::wire::Lane;

/// What a batch costs in memory beside its bytes, where it is kept: itself, its header, its places in the indexes (an
/// estimate from the sizes of the structures: some 600 bytes).
const BATCH: usize = 1 << 10;

/// Bytes that the core of a node in `topics` topics holds at most, under whatever load.
pub fn core_bytes(config: &GossipConfig, topics: usize) -> u64 {
    let limits = crate::pubsub::limits();
    let batches = limits.young_batches + config.message_cache_size;
    let log = config.history_max_bytes + (batches * BATCH) as u64;
    let gaps = limits.waiting_bytes + limits.waiting_batches * BATCH;
    let neighbors = config.active_view_size * 2;
    // The set under our own key, an asker's part of it, and under the key of the neighbour we fetch from; what is offered.
    let comparing = batches * (3 * 96 + 16) + limits.symbols * 96;
    let topic = log
        + comparing as u64
        + (gaps + limits.holes + limits.outbox_bytes + limits.ids * 192 + limits.missing * 640 + limits.authors * 4_608)
            as u64
        + (neighbors * limits.announcements * 48) as u64;
    let links = UNSENT + config.max_links * (2 * SHARE + Lane::Control.budget() + limits.serving * 16);
    let records = crate::records::bytes(neighbors, limits.symbols * 96) as u64;
    let (discovery, identity) = (crate::discovery::BYTES as u64, crate::identity::layer::bytes() as u64);
    let direct =
        (crate::messaging::BYTES + crate::routing::BYTES + crate::circuits::BYTES + crate::roles::BYTES) as u64;
    topic * topics as u64
        + links as u64
        + records
        + discovery
        + identity
        + direct
        + (limits.dormant + limits.policing) as u64
        + MAX_HELD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_says_how_much_it_is() {
        let mib = core_bytes(&GossipConfig::default(), 10) >> 20;
        let says = include_str!("../../../docs/limits.md").contains(&format!(" {mib} MiB at most"));
        assert!(says, "{mib} MiB");
    }
}
