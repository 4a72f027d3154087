//! Tidings: programs find each other, broadcast on topics and hear of everything they missed, with no broker and no
//! server.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use tidings::{Agent, Network, parse_join};
//!
//! let agent = Agent::builder().network(Network::from_name("village")?).build().await?;
//! println!("others join with {}", agent.ticket());
//!
//! let mut news = agent.subscribe("news").await?;
//! agent.join_network(parse_join("NODE@192.0.2.7:4242")?.peers().to_vec()).await?;
//! agent.publish("news", "hello").await?;
//! while let Some(item) = news.recv().await {
//!     println!("{item:?}");
//! }
//! # Ok(()) }
//! ```
//!
//! [`Agent`] is the whole of it. Below it, [`gossip::GossipRuntime`] drives the protocols of `tidings_proto` over a
//! [`transport::Transport`] and a [`store::Store`], for programs that bring their own.

mod agent;
mod capability;
mod card;
mod data_dir;
pub mod gossip;
mod lan;
mod large;
mod publisher;
pub mod roles;
mod sealed_key;
pub mod store;
mod subscription;
mod sync;
mod ticket;
mod topic;
pub mod transport;

pub use agent::{Agent, AgentBuilder, AgentError, Status};
pub use capability::{Capability, CapabilityTextError};
pub use card::{CardTextError, read_card};
pub use data_dir::{DataDir, DataDirError, MAX_NAME, MAX_NAMES, NameError, Names, load_config};
pub use gossip::{
    AgentEvent, AntiEntropyManager, ConfigError, CoordinatorAdvert, CoordinatorManager, CoordinatorMode, Counters,
    DirectMessage, DirectMessages, DiscoveryManager, Events, Found, GossipConfig, GossipRuntime, HistoryQuery, How,
    MAX_DIRECT, MembershipEvent, MembershipEvents, MembershipManager, MessageProgress, MessagingManager, OfflineReason,
    OnlineAgent, PeerInfo, PresenceEvent, PresenceEvents, PresenceInfo, PresenceManager, PubSubManager,
    ReconciliationStats, RendezvousManager, RuntimeError, RuntimeHandle, RuntimeOptions, SendError, Sent, TopicInfo,
    TopicStatus,
};
pub use lan::{Lan, LanError};
pub use large::{Large, LargeError};
pub use publisher::{PublishError, PublishHandle, Publisher};
pub use sealed_key::{MIN_PASSPHRASE, SealedKeyError, open_agent_key, seal_agent_key};
pub use subscription::{Item, Message, SubscribeOptions, Subscription};
pub use ticket::{JoinTarget, MAX_TICKET_PEERS, Ticket, TicketError, parse_join};
pub use tidings_proto as proto;
pub use tidings_proto::identity::{
    Addr, AgentId, AgentSecret, Card, CardError, CertificateError, ContentId, IdError, MessageId, Network,
    NetworkError, NodeId, PeerAddr, Proof, SecretKey, TopicError, TopicId,
};
pub use tidings_proto::io::{CommandError, LeaveReason, Outgoing, Overlay, Published};
pub use tidings_proto::messaging::{EnvelopeId, MessageStatus};
pub use tidings_proto::pubsub::{CapabilityError, PolicyError, TopicPolicy};
pub use tidings_proto::time::UnixMillis;
pub use topic::{TopicTicket, TopicTicketError};

/// Bytes from the operating system.
fn os_random() -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

/// A new secret key, drawn from the operating system.
pub fn new_secret() -> Result<SecretKey, RuntimeError> {
    os_random().map(SecretKey::from_bytes).map_err(RuntimeError::Random)
}

/// A new agent's key, drawn from the operating system.
pub fn new_agent_secret() -> Result<AgentSecret, RuntimeError> {
    os_random().map(AgentSecret::from_bytes).map_err(RuntimeError::Random)
}

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
