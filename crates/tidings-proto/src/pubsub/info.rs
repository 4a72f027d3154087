//! Publish and subscribe as seen from outside: its topics, and what it holds at most.

use super::{
    MAX_AUTHORS, MAX_CAPABILITY, MAX_WAITING_BYTES, MAX_WAITING_MESSAGES, announce, author, intervals, message_log,
    persist, policy, repair,
};
use crate::identity::TopicId;

/// A topic as seen from outside.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Which.
    #[serde(serialize_with = "crate::node::as_text")]
    pub topic: TopicId,
    /// Whether its messages are delivered here; otherwise this node only publishes on it.
    pub subscribed: bool,
    /// Neighbours in its overlay.
    pub neighbors: usize,
    /// Those whose links are in the tree.
    pub eager: usize,
    /// Spare neighbours.
    pub passive: usize,
    /// Estimated number of members, this node included.
    pub members_estimate: f64,
    /// Authors heard.
    pub authors: usize,
    /// Messages kept for neighbours.
    pub cached_messages: usize,
    /// Their bytes.
    pub cached_bytes: u64,
    /// Messages waiting to be signed and sent.
    pub waiting: usize,
}

/// The bounds of this layer's structures, of one topic where not said otherwise; see [`crate::limits`].
pub(crate) struct Limits {
    pub(crate) young_batches: usize,
    pub(crate) ids: usize,
    pub(crate) waiting_bytes: usize,
    pub(crate) waiting_batches: usize,
    pub(crate) outbox_bytes: usize,
    pub(crate) missing: usize,
    pub(crate) authors: usize,
    /// Of one neighbour.
    pub(crate) announcements: usize,
    /// Bytes of the records of authors with many holes, beyond what every author may have.
    pub(crate) holes: usize,
    /// Symbols of a session.
    pub(crate) symbols: usize,
    /// Ids of batches that wait to be served to one neighbour, of all topics.
    pub(crate) serving: usize,
    /// Bytes of the records of topics that were left, all together.
    pub(crate) dormant: usize,
    /// Bytes of what is known of who may publish, and of batches that wait for it, of all topics.
    pub(crate) policing: usize,
}

pub(crate) fn limits() -> Limits {
    Limits {
        young_batches: message_log::YOUNG_BATCHES,
        ids: message_log::IDS,
        waiting_bytes: repair::WAITING_BYTES,
        waiting_batches: repair::WAITING,
        outbox_bytes: 2 * MAX_WAITING_BYTES + MAX_WAITING_MESSAGES * 256,
        missing: repair::MAX_MISSING,
        authors: MAX_AUTHORS,
        holes: author::WIDE * author::EPOCHS * intervals::MANY * 16,
        announcements: announce::WAITING,
        symbols: crate::anti_entropy::session::MOST,
        serving: crate::anti_entropy::serving::MOST * crate::anti_entropy::serving::REQUESTS,
        dormant: persist::DORMANT * 4_608,
        policing: (policy::KNOWN + policy::OWN) * (MAX_CAPABILITY + 512)
            + policy::WAITING_BYTES
            + policy::WAITING * 1_024,
    }
}
