//! Thin handles on the running node.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tidings_proto::identity::{ContentId, NodeId, PeerAddr};
use tidings_proto::io::{Command, Overlay, Published};
use tidings_proto::node::PeerInfo;
use tidings_proto::pubsub::{HistoryQuery, ReconciliationStats};
use tokio::sync::oneshot;

use super::coordinators::CoordinatorManager;
use super::direct::MessagingManager;
use super::events::{Events, MembershipEvents};
use super::presence::PresenceManager;
use super::run::{Control, Run};
use super::runtime::RuntimeError;
use super::status::{NodeStatus, TopicStatus};
use crate::large::Large;
use crate::publisher::{PublishError, Publisher};
use crate::subscription::{Message, Queue, SubscribeOptions, Subscription};
use crate::sync::lock;
use crate::topic::{Named, named};

/// A handle on a node: cheap to clone, good for every run of its runtime. Fails with [`RuntimeError::Stopped`]
/// between runs.
#[derive(Clone)]
pub struct RuntimeHandle {
    node_id: NodeId,
    current: Arc<Mutex<Option<Arc<Run>>>>,
}

impl RuntimeHandle {
    pub(crate) fn new(node_id: NodeId) -> RuntimeHandle {
        RuntimeHandle { node_id, current: Arc::default() }
    }

    pub(crate) fn set(&self, run: Option<Arc<Run>>) {
        *lock(&self.current) = run;
    }

    pub(crate) fn run(&self) -> Result<Arc<Run>, RuntimeError> {
        lock(&self.current).as_ref().filter(|run| !run.has_ended()).cloned().ok_or(RuntimeError::Stopped)
    }

    /// The node's id.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// Its membership.
    pub fn membership(&self) -> MembershipManager {
        MembershipManager { handle: self.clone() }
    }

    /// Its topics.
    pub fn pubsub(&self) -> PubSubManager {
        PubSubManager { handle: self.clone() }
    }

    /// The network's coordinators.
    pub fn coordinators(&self) -> CoordinatorManager {
        CoordinatorManager::new(self.clone())
    }

    /// Its comparing with neighbours.
    pub fn anti_entropy(&self) -> AntiEntropyManager {
        AntiEntropyManager { handle: self.clone() }
    }

    /// Direct messages.
    pub fn messaging(&self) -> MessagingManager {
        MessagingManager::new(self.clone())
    }

    /// Who is here.
    pub fn presence(&self) -> PresenceManager {
        PresenceManager::new(self.clone())
    }

    /// What happens to the node from now on.
    pub fn events(&self) -> Result<Events, RuntimeError> {
        self.run()?.events()
    }

    /// Certifies that another of the agent's nodes speaks for it no longer, for good.
    pub async fn revoke_node(&self, node: NodeId) -> Result<(), RuntimeError> {
        self.run()?.command(|done| Control::Command(Command::RevokeNode { node }, done)).await
    }

    /// Renews the node's certificate and its prekey now. It does so by itself every week.
    pub async fn renew_certificate(&self) -> Result<(), RuntimeError> {
        self.run()?.command(|done| Control::Command(Command::RenewCertificate, done)).await
    }

    /// Linked peers and neighbours.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, RuntimeError> {
        self.run()?.inspect(|view| view.node.peers()).await
    }

    /// The topics the node takes part in, with their names where it knows them.
    pub async fn topics(&self) -> Result<Vec<TopicStatus>, RuntimeError> {
        self.run()?.inspect(TopicStatus::all).await
    }

    /// The node at a glance.
    pub async fn status(&self) -> Result<NodeStatus, RuntimeError> {
        self.run()?.inspect(NodeStatus::of).await
    }
}

/// Who the node's neighbours are.
#[derive(Clone)]
pub struct MembershipManager {
    handle: RuntimeHandle,
}

impl MembershipManager {
    /// Joins the network through `bootstrap`. They are remembered for good: a node that loses everybody comes back
    /// to them. Returns at once; [`MembershipManager::subscribe`] tells when a neighbour is there.
    pub async fn join(&self, bootstrap: impl IntoIterator<Item = PeerAddr>) -> Result<(), RuntimeError> {
        let peers = bootstrap.into_iter().filter(|p| p.id != self.handle.node_id).collect();
        self.handle.run()?.command(|done| Control::Command(Command::Join { peers }, done)).await
    }

    /// The neighbours in the network's overlay, oldest first.
    pub async fn active_view(&self) -> Result<Vec<NodeId>, RuntimeError> {
        self.view(Overlay::Root, true).await
    }

    /// The spare neighbours in the network's overlay.
    pub async fn passive_view(&self) -> Result<Vec<NodeId>, RuntimeError> {
        self.view(Overlay::Root, false).await
    }

    /// The neighbours in a topic's overlay, oldest first.
    pub async fn topic_view(&self, topic: &str) -> Result<Vec<NodeId>, RuntimeError> {
        self.view(Overlay::Topic(named(topic)?.id), true).await
    }

    async fn view(&self, overlay: Overlay, active: bool) -> Result<Vec<NodeId>, RuntimeError> {
        let look = move |view: &super::driver::View<'_>| {
            if active { view.node.active_view(overlay) } else { view.node.passive_view(overlay) }
        };
        self.handle.run()?.inspect(look).await
    }

    /// Joins and leaves from now on.
    pub fn subscribe(&self) -> Result<MembershipEvents, RuntimeError> {
        Ok(MembershipEvents::new(self.handle.events()?))
    }
}

/// What the node publishes and receives.
#[derive(Clone)]
pub struct PubSubManager {
    pub(super) handle: RuntimeHandle,
}

impl PubSubManager {
    /// Takes part in a topic and receives its messages. Returns when the node does.
    pub async fn subscribe(&self, topic: &str) -> Result<Subscription, RuntimeError> {
        self.subscribe_with(topic, SubscribeOptions::default()).await
    }

    /// As [`PubSubManager::subscribe`], with options.
    pub async fn subscribe_with(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription, RuntimeError> {
        let run = self.handle.run()?;
        let queue = Arc::new(Queue::new(named(topic)?, options));
        // Made before the answer is waited for: dropped with this future, it takes itself away.
        let subscription = Subscription::new(queue.clone(), run.clone());
        run.command(|done| Control::Subscribe(queue, done)).await?;
        Ok(subscription)
    }

    /// Publishes one message; see [`Publisher::publish`].
    pub async fn publish(&self, topic: &str, payload: impl Into<Bytes>) -> Result<Published, PublishError> {
        self.publisher(topic)?.publish(payload).await
    }

    /// Publishes a file's content as one message; see [`Publisher::publish_file`].
    pub async fn publish_file(&self, topic: &str, path: impl AsRef<Path>) -> Result<Published, PublishError> {
        self.publisher(topic)?.publish_file(path).await
    }

    /// The content of a large message, while the node has it or is getting it.
    pub async fn content(&self, id: ContentId) -> Result<Option<Large>, RuntimeError> {
        let (found, answer) = oneshot::channel();
        self.handle.run()?.ask(Control::Content(id, found)).await?;
        answer.await.map_err(|_| RuntimeError::Stopped)
    }

    /// A publisher on a topic, for more than one message.
    pub fn publisher(&self, topic: &str) -> Result<Publisher, PublishError> {
        let named = named(topic)?;
        let run = self.handle.run().map_err(|_| PublishError::Stopped)?;
        let outbox = run.outbox(named).map_err(|_| PublishError::Stopped)?;
        Ok(Publisher::new(outbox, run))
    }

    /// A part of a topic's history, in the order of its authors' clocks: what this node's log holds of it after the
    /// neighbours were asked for what it lacks, which takes some seconds at most. Empty if the node is not in the topic.
    /// A subscriber that was told [`crate::Item::Lagged`] finds here what it missed, as long as the log holds it.
    pub async fn history(&self, topic: &str, query: HistoryQuery) -> Result<Vec<Message>, RuntimeError> {
        let Named { id, name, .. } = named(topic)?;
        let found = self.handle.run()?.ask_for(|asked| Control::History(id, query, asked)).await?;
        Ok(Message::all(&name, &found, query.last))
    }

    /// Ends all of this node's subscriptions to a topic and stops carrying its messages.
    pub async fn unsubscribe(&self, topic: &str) -> Result<(), RuntimeError> {
        let topic = named(topic)?.id;
        self.handle.run()?.command(|done| Control::Unsubscribe(topic, done)).await
    }
}

/// What the node does to hold the same as its neighbours. It compares by itself, at once with a new neighbour and then each
/// [`crate::GossipConfig::anti_entropy_interval`].
#[derive(Clone)]
pub struct AntiEntropyManager {
    handle: RuntimeHandle,
}

impl AntiEntropyManager {
    /// Compares a topic's log with all neighbours' now, fetches what it lacks, and says what came of it.
    pub async fn reconcile(&self, topic: &str) -> Result<ReconciliationStats, RuntimeError> {
        let id = named(topic)?.id;
        self.handle.run()?.ask_for(|asked| Control::Reconcile(id, asked)).await
    }
}
