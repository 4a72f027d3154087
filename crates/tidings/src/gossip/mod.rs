//! The running node: the core, driven by tokio, over a transport and a store.

mod authors;
mod clock;
mod coordinators;
mod discovery;
mod disk;
mod downloads;
mod driver;
mod events;
mod first;
mod handle;
mod log;
mod pending;
mod policy;
mod presence;
mod publishing;
mod run;
mod runtime;
mod status;
mod subscribers;

pub(crate) use authors::Author;
pub use coordinators::CoordinatorManager;
pub use discovery::{DiscoveryManager, Found, How, RendezvousManager};
pub use events::{AgentEvent, Events, MembershipEvent, MembershipEvents};
pub use handle::{AntiEntropyManager, MembershipManager, PubSubManager, RuntimeHandle};
pub use presence::{PresenceEvent, PresenceEvents, PresenceManager};
pub(crate) use run::Run;
pub use runtime::{GossipRuntime, RuntimeError, RuntimeOptions};
pub use status::{NodeStatus, TopicStatus};
pub use tidings_proto::config::{ConfigError, GossipConfig};
pub use tidings_proto::counters::Counters;
pub use tidings_proto::discovery::coordinator::{CoordinatorAdvert, Mode as CoordinatorMode};
pub use tidings_proto::node::PeerInfo;
pub use tidings_proto::presence::{Learned, OfflineReason, PresenceInfo};
pub use tidings_proto::pubsub::{HistoryQuery, ReconciliationStats, TopicInfo};
