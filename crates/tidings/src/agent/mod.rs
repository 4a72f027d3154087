//! A program's place in the network.

mod builder;
mod status;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use builder::AgentBuilder;
use bytes::Bytes;
pub use status::Status;
use tidings_proto::identity::{Addr, AgentId, Network, NodeId, PeerAddr};
use tidings_proto::io::Published;
use tidings_proto::node::PeerInfo;

use crate::capability::Capability;
use crate::card::write_card;
use crate::data_dir::{DataDir, DataDirError};
use crate::gossip::{
    Events, Found, GossipRuntime, HistoryQuery, MembershipManager, MessagingManager, PresenceManager, PubSubManager,
    ReconciliationStats, RuntimeError, RuntimeHandle, SendError, Sent, TopicStatus,
};
use crate::publisher::{PublishError, PublishHandle, Publisher};
use crate::subscription::{Message, SubscribeOptions, Subscription};
use crate::sync::lock;
use crate::ticket::Ticket;
use crate::transport::{Transport, TransportError};

/// A node that has just started names its certificate once it is on the disk: so often, and so long, a card waits for that.
const CARD_TRIES: u32 = 40;
const CARD_WAIT: Duration = Duration::from_millis(50);

/// What went wrong with an agent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The transport could not be started.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The node refused, cannot be set up as asked for, or is not running.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A transport was given without the key it was made from.
    #[error("a transport of your own needs the secret key it was made from: give it with .secret(…)")]
    TransportWithoutSecret,
    /// There is no card yet.
    #[error("the node names no certificate or has no address yet: ask again in a moment")]
    NoCard,
    /// A store and a data directory were given.
    #[error("a data directory has a store of its own: give one or the other")]
    TwoStores,
}

/// A running node. Cheap to clone; the node runs until [`Agent::shutdown`], or until the last clone is dropped
/// (then without a goodbye).
#[derive(Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: GossipRuntime,
    agent: AgentId,
    transport: Arc<dyn Transport>,
    path: Option<PathBuf>,
    dir: Mutex<Option<DataDir>>,
}

impl Agent {
    /// Begins to set up an agent.
    pub fn builder() -> AgentBuilder {
        AgentBuilder::default()
    }

    /// The node's id.
    pub fn node_id(&self) -> NodeId {
        self.inner.runtime.node_id()
    }

    /// The agent the node speaks for. It may have other nodes.
    pub fn agent_id(&self) -> AgentId {
        self.inner.agent
    }

    /// Certifies that another of the agent's nodes speaks for it no longer, for good: for one that was lost or given away.
    /// Others learn it as this node's new certificate spreads.
    pub async fn revoke_node(&self, node: NodeId) -> Result<(), AgentError> {
        Ok(self.handle().revoke_node(node).await?)
    }

    /// Renews the node's certificate and its prekey now. It does so by itself every week.
    pub async fn renew_certificate(&self) -> Result<(), AgentError> {
        Ok(self.handle().renew_certificate().await?)
    }

    /// Where the node can be reached, as far as it knows itself.
    pub fn addrs(&self) -> Vec<Addr> {
        self.inner.transport.local_addrs()
    }

    /// The node and its addresses, for others to join through who are in the network already.
    pub fn peer_addr(&self) -> PeerAddr {
        PeerAddr { id: self.node_id(), addrs: self.addrs() }
    }

    /// All that others need to join the network through this node. Whoever has it can join.
    pub fn ticket(&self) -> Ticket {
        Ticket::new(self.network().clone(), [self.peer_addr()])
    }

    /// A card to hand to others, as one word, signed by the node: with it they can join, and know by the agent's id whom they
    /// meet. Whoever has it can join the network. See [`crate::read_card`].
    pub async fn card(&self) -> Result<String, AgentError> {
        for _ in 0..CARD_TRIES {
            let network = self.network().clone();
            if let Some(bytes) = self.handle().run()?.inspect(move |view| view.node.card(&network)).await? {
                return Ok(write_card(bytes));
            }
            tokio::time::sleep(CARD_WAIT).await;
        }
        Err(AgentError::NoCard)
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.inner.runtime.network()
    }

    /// The settings in force.
    pub fn config(&self) -> &crate::gossip::GossipConfig {
        self.inner.runtime.config()
    }

    /// The data directory, if there is one.
    pub fn data_dir(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// Joins the network through `peers`. They are remembered for good: a node that loses everybody comes back to
    /// them. Returns at once; what is published before the first neighbour is there is sent when it is.
    pub async fn join_network(&self, peers: impl IntoIterator<Item = PeerAddr>) -> Result<(), AgentError> {
        Ok(self.membership().join(peers).await?)
    }

    /// Subscribes to a topic. Returns when the node takes part in it; this node's own messages are not delivered
    /// back.
    pub async fn subscribe(&self, topic: &str) -> Result<Subscription, AgentError> {
        Ok(self.pubsub().subscribe(topic).await?)
    }

    /// As [`Agent::subscribe`], with options.
    pub async fn subscribe_with(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription, AgentError> {
        Ok(self.pubsub().subscribe_with(topic, options).await?)
    }

    /// A part of a topic's history; see [`PubSubManager::history`].
    pub async fn history(&self, topic: &str, query: HistoryQuery) -> Result<Vec<Message>, AgentError> {
        Ok(self.pubsub().history(topic, query).await?)
    }

    /// Compares a topic's log with the neighbours' now; see [`crate::AntiEntropyManager::reconcile`].
    pub async fn reconcile(&self, topic: &str) -> Result<ReconciliationStats, AgentError> {
        Ok(self.handle().anti_entropy().reconcile(topic).await?)
    }

    /// Publishes one message, of up to 64 MiB, and waits until it is signed and on its way; while the queue of the topic is
    /// full, because no neighbour takes more, it waits for room. For more than a few, see
    /// [`Agent::publisher`].
    pub async fn publish(&self, topic: &str, payload: impl Into<Bytes>) -> Result<Published, PublishError> {
        self.pubsub().publish(topic, payload).await
    }

    /// As [`Agent::publish`], but refuses with [`PublishError::QueueFull`] where that would wait for room. The handle
    /// tells what became of the message.
    pub fn try_publish(&self, topic: &str, payload: impl Into<Bytes>) -> Result<PublishHandle, PublishError> {
        self.pubsub().publisher(topic)?.try_publish(payload)
    }

    /// Publishes a file's content as one message, of up to 64 MiB. Returns when the message is signed and on its way; the
    /// content follows, in chunks that neighbours pass on to each other.
    pub async fn publish_file(&self, topic: &str, path: impl AsRef<Path>) -> Result<Published, PublishError> {
        self.pubsub().publish_file(topic, path).await
    }

    /// As [`Agent::publish`], and waits until the message is on this node's disk: it survives a crash of the machine.
    /// If it cannot be stored, it is refused with [`tidings_proto::io::CommandError::NotStored`] and sent to nobody;
    /// so is a message of more than 32 KiB.
    pub async fn publish_durable(&self, topic: &str, payload: impl Into<Bytes>) -> Result<Published, PublishError> {
        self.pubsub().publisher(topic)?.durable().publish(payload).await
    }

    /// A publisher on a topic: pipelines messages, so that they travel in batches.
    pub async fn publisher(&self, topic: &str) -> Result<Publisher, PublishError> {
        self.pubsub().publisher(topic)
    }

    /// Lets an agent publish on a topic whose owner this node's agent is; see [`PubSubManager::grant`].
    pub async fn grant(&self, topic: &str, agent: AgentId, life: Duration) -> Result<Capability, AgentError> {
        Ok(self.pubsub().grant(topic, agent, life).await?)
    }

    /// Keeps a capability that this node's agent was given, and publishes by it; see [`PubSubManager::accept`].
    pub async fn accept(&self, capability: &Capability) -> Result<(), AgentError> {
        Ok(self.pubsub().accept(capability).await?)
    }

    /// Ends all of this node's subscriptions to a topic and stops carrying its messages.
    pub async fn unsubscribe(&self, topic: &str) -> Result<(), AgentError> {
        Ok(self.pubsub().unsubscribe(topic).await?)
    }

    /// What happens to the node from now on. After the node has stopped, it ends at once.
    pub fn events(&self) -> Events {
        self.handle().events().unwrap_or_else(|_| Events::ended())
    }

    /// The node at a glance.
    pub async fn status(&self) -> Result<Status, AgentError> {
        let node = self.handle().status().await?;
        Ok(Status { addrs: self.addrs(), node, transport: self.inner.transport.stats() })
    }

    /// Linked peers and neighbours.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, AgentError> {
        Ok(self.handle().peers().await?)
    }

    /// The topics the node takes part in, with their names where it knows them.
    pub async fn topics(&self) -> Result<Vec<TopicStatus>, AgentError> {
        Ok(self.handle().topics().await?)
    }

    /// The node's membership.
    pub fn membership(&self) -> MembershipManager {
        self.inner.runtime.membership()
    }

    /// The node's topics.
    pub fn pubsub(&self) -> PubSubManager {
        self.inner.runtime.pubsub()
    }

    /// Who is here: see [`PresenceManager`].
    pub fn presence(&self) -> PresenceManager {
        self.handle().presence()
    }

    /// Where an agent's nodes are, the latest to say so first: from those with which it has left word, or else from friends of
    /// friends. `None` if nobody knows; that takes up to 30 s.
    pub async fn find_agent(&self, agent: AgentId) -> Result<Option<Vec<Found>>, AgentError> {
        Ok(self.handle().find_agent(agent).await?)
    }

    /// Sends a direct message to an agent, sealed end to end, and waits until it is in its inbox: see [`MessagingManager`].
    pub async fn send(&self, agent: AgentId, payload: impl Into<Bytes>) -> Result<Sent, SendError> {
        self.messaging().send(agent, payload).await
    }

    /// Direct messages: see [`MessagingManager`].
    pub fn messaging(&self) -> MessagingManager {
        self.handle().messaging()
    }

    /// Whether this node's agent can be found, from now on: it leaves word with the holders of its shard, and with friends of
    /// friends. It can unless [`AgentBuilder::findable`] says otherwise.
    pub async fn advertise_self(&self, on: bool) -> Result<(), AgentError> {
        let handle = self.handle();
        handle.discovery().advertise_self(on).await?;
        match on {
            true => handle.rendezvous().register().await?,
            false => handle.rendezvous().unregister().await?,
        }
        Ok(())
    }

    /// The node itself.
    pub fn handle(&self) -> RuntimeHandle {
        self.inner.runtime.handle()
    }

    /// Whether the node is running.
    pub fn is_running(&self) -> bool {
        self.inner.runtime.is_running()
    }

    /// Says goodbye, closes every link, and lets go of the data directory. Does nothing the second time.
    pub async fn shutdown(&self) {
        self.inner.runtime.shutdown().await;
        self.inner.transport.shutdown().await;
        self.inner.runtime.close_store();
        *lock(&self.inner.dir) = None;
    }
}

impl Inner {
    fn new(runtime: GossipRuntime, agent: AgentId, transport: Arc<dyn Transport>, dir: Option<DataDir>) -> Inner {
        let path = dir.as_ref().map(|d| d.path().to_path_buf());
        Inner { runtime, agent, transport, path, dir: Mutex::new(dir) }
    }
}
