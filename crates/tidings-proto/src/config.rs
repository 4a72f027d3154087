//! Settings of a node.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// Settings of a node, with defaults for all of them. Read from TOML or JSON; durations are texts such as `"30s"`.
///
/// ```
/// # use tidings_proto::config::GossipConfig;
/// let config = GossipConfig { active_view_size: 12, ..GossipConfig::default() };
/// assert!(config.validate().is_ok());
/// assert!(GossipConfig { active_view_size: 3, ..config }.validate().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GossipConfig {
    /// Neighbours kept in the network's overlay, and at most in each topic's: 8 to 12. More makes paths shorter
    /// and costs links.
    pub active_view_size: usize,
    /// Peers remembered per overlay as spare neighbours: 64 to 128.
    pub passive_view_size: usize,
    /// How often each link is probed: 100 ms to 60 s. A neighbour that dies is noticed within about this and half a
    /// second; halving it doubles the traffic of probes, some 170 bytes a second and link at 1 s.
    #[serde(with = "text_duration")]
    pub probe_interval: Duration,
    /// How long a suspected neighbour may take to refute if others suspect it as well, before it is removed: 500 ms to
    /// 5 min. While nobody else does it has twice as long. A link on which nothing comes at all ends after 5 s anyway.
    #[serde(with = "text_duration")]
    pub suspect_timeout: Duration,
    /// How long this node counts as here after it last said so: 30 s to 24 h. It says so every half of this; halving it
    /// doubles the traffic of presence, some 1.2 kB a second and node in a network of 1000 at 15 min.
    #[serde(with = "text_duration")]
    pub presence_beacon_ttl: Duration,
    /// Whether this node says that it is here: its addresses, its agent, its status, its relays. Off, others see it neither come
    /// nor go, write to it by what they find of it otherwise, and do not learn which relays it is behind; it sees who is here as before.
    pub presence: bool,
    /// How often neighbours compare their histories: 1 s to 1 h. They do so at once when they become neighbours; this is
    /// for what slips through afterwards. Comparing equal ones costs some 60 bytes a neighbour.
    #[serde(with = "text_duration")]
    pub anti_entropy_interval: Duration,
    /// Hops of a friend-of-a-friend walk, behind its stem: 1 to 4. No query goes further through this node, whatever it says.
    pub foaf_ttl: usize,
    /// Peers asked at each hop of such a walk: 1 to 4. With 3 hops of 3 it asks 39 nodes, with 4 of 4 it asks 340.
    pub foaf_fanout: usize,
    /// Messages kept in memory per topic for neighbours that missed them: 16 to 10 000 000. Those of the last five
    /// seconds are kept besides, up to 16 MiB.
    pub message_cache_size: usize,
    /// How long they are kept: 1 s to 24 h.
    #[serde(with = "text_duration")]
    pub message_cache_ttl: Duration,
    /// Batches older than this are refused, and deleted from the disk where they are kept there: 1 min to 30 days.
    #[serde(with = "text_duration")]
    pub history_max_age: Duration,
    /// Bytes kept in memory per topic, and at most as many on the disk of what is kept there: 1 MiB to 16 GiB.
    pub history_max_bytes: u64,
    /// How long delivery waits for a missing message of the same author before it reports a gap: 0 s to 10 min.
    #[serde(with = "text_duration")]
    pub gap_wait: Duration,
    /// Links held at most: 16 to 4096.
    pub max_links: usize,
}

impl Default for GossipConfig {
    fn default() -> Self {
        GossipConfig {
            active_view_size: 10,
            passive_view_size: 96,
            probe_interval: Duration::from_secs(1),
            suspect_timeout: Duration::from_secs(3),
            presence_beacon_ttl: Duration::from_secs(15 * 60),
            presence: true,
            anti_entropy_interval: Duration::from_secs(30),
            foaf_ttl: 3,
            foaf_fanout: 3,
            message_cache_size: 10_000,
            message_cache_ttl: Duration::from_secs(5 * 60),
            history_max_age: Duration::from_secs(60 * 60),
            history_max_bytes: 64 << 20,
            gap_wait: Duration::from_secs(10),
            max_links: 128,
        }
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Outside its range.
    #[error("{field} is {value}, it must be from {min} to {max}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What it was set to.
        value: String,
        /// The least allowed.
        min: String,
        /// The most allowed.
        max: String,
    },
}

impl GossipConfig {
    /// Checks every field. The error names the first one that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let count = |field, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(ConfigError::OutOfRange { field, value: value.to_string(), min: min.to_string(), max: max.to_string() })
        };
        let time = |field, value: Duration, min: Duration, max: Duration| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            let t = text_duration::text;
            Err(ConfigError::OutOfRange { field, value: t(value), min: t(min), max: t(max) })
        };
        let secs = Duration::from_secs;
        count("active_view_size", self.active_view_size as u64, 8, 12)?;
        count("passive_view_size", self.passive_view_size as u64, 64, 128)?;
        let ms = Duration::from_millis;
        time("probe_interval", self.probe_interval, ms(100), secs(60))?;
        time("suspect_timeout", self.suspect_timeout, ms(500), secs(300))?;
        count("message_cache_size", self.message_cache_size as u64, 16, 10_000_000)?;
        time("message_cache_ttl", self.message_cache_ttl, secs(1), secs(24 * 3600))?;
        time("history_max_age", self.history_max_age, secs(60), secs(30 * 24 * 3600))?;
        count("history_max_bytes", self.history_max_bytes, 1 << 20, 16 << 30)?;
        time("anti_entropy_interval", self.anti_entropy_interval, secs(1), secs(3600))?;
        time("gap_wait", self.gap_wait, Duration::ZERO, secs(600))?;
        time("presence_beacon_ttl", self.presence_beacon_ttl, secs(30), secs(24 * 3600))?;
        count("max_links", self.max_links as u64, 16, 4096)?;
        count("foaf_ttl", self.foaf_ttl as u64, 1, 4)?;
        count("foaf_fanout", self.foaf_fanout as u64, 1, 4)?;
        Ok(())
    }

    /// [`GossipConfig::probe_interval`] as the core counts time.
    pub fn probe_interval_span(&self) -> Span {
        self.probe_interval.into()
    }

    /// [`GossipConfig::suspect_timeout`] as the core counts time.
    pub fn suspect_timeout_span(&self) -> Span {
        self.suspect_timeout.into()
    }

    /// [`GossipConfig::gap_wait`] as the core counts time.
    pub fn gap_wait_span(&self) -> Span {
        self.gap_wait.into()
    }
}

/// Durations as people write them: `500ms`, `30s`, `15m`, `1h`, and sums such as `1h 30m`.
mod text_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn text(d: Duration) -> String {
        humantime::format_duration(d).to_string()
    }

    pub(super) fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&text(*d))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let s = String::deserialize(d)?;
        humantime::parse_duration(&s)
            .map_err(|e| D::Error::custom(format!("{s:?} is no duration such as \"500ms\", \"30s\" or \"15m\": {e}")))
    }
}
