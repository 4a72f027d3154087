//! What one run of a node shares between its driver and everybody who holds a handle.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tidings_proto::crypto::Crypto;
use tidings_proto::discovery::Search;
use tidings_proto::identity::{ContentId, NodeId, TopicId};
use tidings_proto::io::{Command, CommandError};
use tidings_proto::pubsub::{HistoryQuery, ReconciliationStats, TopicCapability};
use tokio::sync::{mpsc, oneshot, watch};

use super::RuntimeError;
use super::direct::{DirectMessage, DirectMessages};
use super::driver::View;
use super::events::{AgentEvent, Events};
use super::feed::{Feed, Teller};
use super::pending::Sending;
use super::presence::{PresenceEvent, PresenceEvents};
use crate::large::Large;
use crate::publisher::Outbox;
use crate::subscription::{History, Queue};
use crate::sync::{Signal, lock};
use crate::topic::Named;

/// Requests other than publishing that may wait for the driver (a guess: more than a program has tasks that ask).
const CONTROLS: usize = 256;

/// Events an observer may lag behind before it is told how many it missed (a guess).
const EVENTS: usize = 1024;

/// The same of comings and goings: a node that joins hears of everybody at once.
const PRESENCE_EVENTS: usize = 4096;

/// Direct messages likewise; all that is unread is in the inbox besides.
const DIRECT: usize = 4096;

/// Where a driver tells what happens.
pub(crate) struct Told {
    pub(crate) events: Teller<AgentEvent>,
    pub(crate) presence: Teller<PresenceEvent>,
    pub(crate) direct: Teller<DirectMessage>,
}

/// Outboxes kept for topics nobody holds a publisher of, so that publishing by name does not make one each time.
const IDLE_OUTBOXES: usize = 256;

pub(crate) type Done = oneshot::Sender<Result<(), CommandError>>;
/// Where something that was asked for goes.
pub(crate) type Asked<T> = oneshot::Sender<T>;

/// What the driver can be asked beside publishing.
pub(crate) enum Control {
    /// Hand a command to the core.
    Command(Command, Done),
    /// Feed a new subscription.
    Subscribe(Arc<Queue>, Done),
    /// End all subscriptions of a topic.
    Unsubscribe(TopicId, Done),
    /// Give a topic's history.
    History(TopicId, HistoryQuery, Asked<History>),
    /// Hand in a command that lets an agent publish.
    Grant(Command, Asked<Result<TopicCapability, CommandError>>),
    /// Compare a topic's log with the neighbours'.
    Reconcile(TopicId, Asked<ReconciliationStats>),
    /// Find an agent.
    Search(Command, Asked<Result<Search, CommandError>>),
    /// Send a direct message.
    Send(Command, Asked<Result<Sending, CommandError>>),
    /// Find the content of a large message.
    Content(ContentId, oneshot::Sender<Option<Large>>),
    /// Look at the node.
    Inspect(Box<dyn FnOnce(&View<'_>) + Send>),
}

/// One run: from start to shutdown.
pub(crate) struct Run {
    pub(crate) node_id: NodeId,
    /// What contents of private topics are sealed with.
    pub(crate) crypto: Arc<dyn Crypto>,
    pub(crate) work: Arc<Signal>,
    events: Arc<Feed<AgentEvent>>,
    presence: Arc<Feed<PresenceEvent>>,
    direct: Arc<Feed<DirectMessage>>,
    controls: mpsc::Sender<Control>,
    ready: Mutex<Vec<Arc<Outbox>>>,
    outboxes: Mutex<BTreeMap<TopicId, Arc<Outbox>>>,
    reap: AtomicBool,
    stop: AtomicBool,
    ended: watch::Sender<bool>,
}

impl Run {
    /// A run, and its driver's ends: what it is asked, and where it tells what happened.
    pub(crate) fn new(node_id: NodeId, crypto: Arc<dyn Crypto>) -> (Arc<Run>, mpsc::Receiver<Control>, Told) {
        let (controls, receiver) = mpsc::channel(CONTROLS);
        let (events, tell) = Feed::new(EVENTS);
        let (presence, tell_presence) = Feed::new(PRESENCE_EVENTS);
        let (direct, tell_direct) = Feed::new(DIRECT);
        let run = Run {
            node_id,
            crypto,
            work: Arc::default(),
            events,
            presence,
            direct,
            controls,
            ready: Mutex::default(),
            outboxes: Mutex::default(),
            reap: false.into(),
            stop: false.into(),
            ended: watch::Sender::new(false),
        };
        (Arc::new(run), receiver, Told { events: tell, presence: tell_presence, direct: tell_direct })
    }

    /// Asks the driver for something.
    pub(crate) async fn ask(&self, control: Control) -> Result<(), RuntimeError> {
        self.controls.send(control).await.map_err(|_| RuntimeError::Stopped)?;
        self.work.raise();
        Ok(())
    }

    /// Asks the driver for something and waits until the core has answered.
    pub(crate) async fn command(&self, control: impl FnOnce(Done) -> Control) -> Result<(), RuntimeError> {
        let (done, answer) = oneshot::channel();
        self.ask(control(done)).await?;
        Ok(answer.await.map_err(|_| RuntimeError::Stopped)??)
    }

    /// Asks the driver for something and waits for it.
    pub(crate) async fn ask_for<T>(&self, control: impl FnOnce(Asked<T>) -> Control) -> Result<T, RuntimeError> {
        let (asked, answer) = oneshot::channel();
        self.ask(control(asked)).await?;
        answer.await.map_err(|_| RuntimeError::Stopped)
    }

    /// Looks at the node.
    pub(crate) async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let (seen, answer) = oneshot::channel();
        self.ask(Control::Inspect(Box::new(move |view| drop(seen.send(look(view)))))).await?;
        answer.await.map_err(|_| RuntimeError::Stopped)
    }

    /// What happens from now on.
    pub(crate) fn events(&self) -> Result<Events, RuntimeError> {
        self.events.listen().map(Events::new).ok_or(RuntimeError::Stopped)
    }

    /// Direct messages from now on.
    pub(crate) fn direct_messages(&self) -> Result<DirectMessages, RuntimeError> {
        self.direct.listen().map(DirectMessages::new).ok_or(RuntimeError::Stopped)
    }

    /// Who comes and goes from now on.
    pub(crate) fn presence_events(&self) -> Result<PresenceEvents, RuntimeError> {
        self.presence.listen().map(PresenceEvents::new).ok_or(RuntimeError::Stopped)
    }

    /// The way out for a topic.
    pub(crate) fn outbox(&self, named: Named) -> Result<Arc<Outbox>, RuntimeError> {
        let topic = named.id;
        let mut outboxes = lock(&self.outboxes);
        // Under the lock: the end of the run closes what is in the map, and nothing may slip in behind it.
        if self.has_ended() {
            return Err(RuntimeError::Stopped);
        }
        if outboxes.len() >= IDLE_OUTBOXES && !outboxes.contains_key(&topic) {
            outboxes.retain(|_, o| Arc::strong_count(o) > 1 || !o.is_idle());
        }
        Ok(outboxes.entry(topic).or_insert_with(|| Arc::new(Outbox::new(named))).clone())
    }

    /// The name of a topic this node publishes on.
    pub(crate) fn published_name(&self, topic: &TopicId) -> Option<Arc<str>> {
        lock(&self.outboxes).get(topic).map(|o| o.name.clone())
    }

    /// `outbox` has something to send.
    pub(crate) fn schedule(&self, outbox: Arc<Outbox>) {
        lock(&self.ready).push(outbox);
        self.work.raise();
    }

    /// Takes the outboxes that have something to send.
    pub(crate) fn take_ready(&self, into: &mut Vec<Arc<Outbox>>) {
        into.append(&mut lock(&self.ready));
    }

    /// A subscription was dropped.
    pub(crate) fn reap(&self) {
        self.reap.store(true, Ordering::Release);
        self.work.raise();
    }

    /// Whether subscriptions were dropped since the last call.
    pub(crate) fn take_reap(&self) -> bool {
        self.reap.load(Ordering::Relaxed) && self.reap.swap(false, Ordering::AcqRel)
    }

    /// Asks the driver to say goodbye and end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.work.raise();
    }

    /// Whether the driver was asked to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Whether the driver has ended.
    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until the driver has ended.
    pub(crate) async fn wait_ended(&self) {
        // The sender is ours: it cannot be gone.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// The driver has ended: nobody waits for it any longer.
    pub(crate) fn end(&self) {
        let outboxes = {
            let mut outboxes = lock(&self.outboxes);
            self.ended.send_replace(true);
            std::mem::take(&mut *outboxes)
        };
        for outbox in outboxes.values() {
            outbox.close();
        }
        lock(&self.ready).clear();
    }
}
