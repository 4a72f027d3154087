//! What is known of one node as a relay, for whoever asks.

use serde::{Serialize, Serializer};

use super::PeerRole;
use super::manager::Claim;
use super::scoring::{ContributionMetrics, Terms};
use crate::identity::NodeId;
use crate::node::as_text;
use crate::time::UnixMillis;

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RoleMetrics {
    /// Whose.
    #[serde(serialize_with = "as_text")]
    pub node_id: NodeId,
    /// What it is taken for.
    pub role: PeerRole,
    /// By what was seen of it.
    pub score: f64,
    /// The score, term by term.
    pub terms: Terms,
    /// Messages relayed and credited.
    pub relay_count: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// The share of attempts that succeeded, 0 to 1.
    pub success_rate: f64,
    /// Bytes relayed and credited.
    pub bytes_relayed: u64,
    /// Bytes that others relayed for it.
    pub bytes_received: u64,
    /// The one to the other, at most 10.
    pub ratio: f64,
    /// Hours that it was seen to be up.
    pub uptime_hours: f64,
    /// When anything was seen of it first.
    #[serde(rename = "first_seen_ms", serialize_with = "millis")]
    pub first_seen: Option<UnixMillis>,
    /// When it last relayed something.
    #[serde(rename = "last_activity_ms", serialize_with = "millis")]
    pub last_activity: Option<UnixMillis>,
    /// What it says of itself, if it says anything.
    pub claim: Option<RoleClaim>,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RoleClaim {
    /// The role.
    pub role: PeerRole,
    /// The score.
    pub score: f64,
    /// As much of it as others' words bear out, here.
    pub covered: f64,
    /// Customers whose words it shows.
    pub vouches: usize,
    /// When it said so, by its clock.
    #[serde(rename = "timestamp_ms", serialize_with = "milli")]
    pub timestamp: UnixMillis,
    /// When that is over, by its clock.
    #[serde(rename = "expires_ms", serialize_with = "milli")]
    pub expires: UnixMillis,
    /// The how-manieth.
    pub sequence: u64,
}

fn millis<S: Serializer>(value: &Option<UnixMillis>, s: S) -> Result<S::Ok, S::Error> {
    value.map(|v| v.0).serialize(s)
}

fn milli<S: Serializer>(value: &UnixMillis, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u64(value.0)
}

impl RoleMetrics {
    pub(super) fn of(
        node_id: NodeId,
        m: &ContributionMetrics,
        role: PeerRole,
        claim: Option<&Claim>,
        now: UnixMillis,
    ) -> RoleMetrics {
        RoleMetrics {
            node_id,
            role,
            score: m.score(now),
            terms: m.terms(now),
            relay_count: m.messages_relayed,
            failures: m.relay_failures,
            success_rate: m.success_rate(),
            bytes_relayed: m.bytes_relayed,
            bytes_received: m.bytes_received,
            ratio: m.ratio(),
            uptime_hours: m.total_uptime_ms as f64 / 3_600_000.0,
            first_seen: m.first_seen,
            last_activity: m.last_activity,
            claim: claim.map(|c| RoleClaim {
                role: c.said.new_role,
                score: c.said.score,
                covered: c.covered,
                vouches: c.said.vouches.len(),
                timestamp: c.said.timestamp,
                expires: c.said.expires,
                sequence: c.said.sequence,
            }),
        }
    }
}
