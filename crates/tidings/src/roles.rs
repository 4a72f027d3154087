//! Relays by merit: the core's own types.

pub use tidings_proto::roles::{
    BANDWIDTH_MB_WEIGHT, BANDWIDTH_RATIO_WEIGHT, ContributionMetrics, MAX_PLAUSIBLE_SCORE, PeerRole,
    RELAY_COUNT_WEIGHT, RoleAction, RoleChangeAnnounce, RoleClaim, RoleManager, RoleMetrics, RoleSource,
    SUCCESS_RATE_WEIGHT, Terms, UPTIME_WEIGHT, Vouch,
};
pub use tidings_proto::topology::Topology;
