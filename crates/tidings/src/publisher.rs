//! Publishing: a queue per topic between the program and the driver, and the answers that come back.
//!
//! The queue holds at most [`QUEUE`] unanswered messages of a topic; who publishes faster waits. A message that the
//! core refuses for want of room goes back to the front and is tried again when something has changed, so that order
//! is kept. One topic's full queue holds up nobody else's.

use std::collections::VecDeque;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use tidings_proto::identity::TopicId;
use tidings_proto::io::{CommandError, Outgoing, Published};
use tidings_proto::pubsub::TopicTerms;
use tokio::sync::{Semaphore, oneshot};

use crate::gossip::Run;
use crate::large;
use crate::sync::lock;
use crate::topic::{Named, TopicTicketError};

/// Messages of one topic that may be unanswered: several full batches of small ones (a guess).
pub(crate) const QUEUE: usize = 1024;

/// Why a message was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic's name cannot be one.
    #[error(transparent)]
    Topic(#[from] TopicTicketError),
    /// Too much waits to be published on this topic. Only [`Publisher::try_publish`] says so; the others wait.
    #[error("{QUEUE} messages wait to be published on this topic: slow down, or wait for a neighbour")]
    QueueFull,
    /// The node refused the message.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The file cannot be read. Nothing was sent.
    #[error("can't read {path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// The node stopped. Whether the message left is unknown.
    #[error("the node is not running")]
    Stopped,
}

pub(crate) type Answer = Result<Published, PublishError>;

/// One message waiting for the driver.
pub(crate) struct Unsent {
    pub(crate) message: Outgoing,
    /// Whether it is to be stored first.
    pub(crate) durable: bool,
    pub(crate) answer: oneshot::Sender<Answer>,
}

impl Unsent {
    /// Bytes of it that the core counts.
    pub(crate) fn size(&self) -> usize {
        let content = self.message.content.as_ref().map_or(0, |c| c.manifest().size());
        self.message.payload.len() + self.message.headers.len() + content
    }
}

#[derive(Default)]
struct State {
    unsent: VecDeque<Unsent>,
    scheduled: bool,
    closed: bool,
}

/// A topic's way out, shared by all its publishers on this node.
pub(crate) struct Outbox {
    pub(crate) topic: TopicId,
    pub(crate) name: Arc<str>,
    pub(crate) terms: TopicTerms,
    room: Semaphore,
    full: AtomicBool,
    handed_in: AtomicUsize,
    lonely: AtomicUsize,
    state: Mutex<State>,
}

impl Outbox {
    pub(crate) fn new(Named { id, name, terms }: Named) -> Outbox {
        Outbox {
            topic: id,
            name,
            terms,
            room: Semaphore::new(QUEUE),
            full: false.into(),
            handed_in: 0.into(),
            lonely: 0.into(),
            state: Mutex::default(),
        }
    }

    /// Adds a message; the caller holds a permit. Says whether the driver must be told.
    fn push(&self, unsent: Unsent) -> Result<bool, PublishError> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(PublishError::Stopped);
        }
        state.unsent.push_back(unsent);
        Ok(!std::mem::replace(&mut state.scheduled, true))
    }

    /// Moves messages of up to `room` bytes into `to`, one at least. If none is left behind, the next push tells the
    /// driver again; else the driver must come back.
    pub(crate) fn take(&self, room: usize, to: &mut VecDeque<Unsent>) -> bool {
        let mut state = lock(&self.state);
        let mut size = 0;
        while let Some(unsent) = state.unsent.pop_front() {
            size += unsent.size();
            to.push_back(unsent);
            if size >= room {
                break;
            }
        }
        state.scheduled = !state.unsent.is_empty();
        state.scheduled
    }

    /// Puts a refused message back in front; the last one refused goes first. Whether the driver will come back
    /// anyway; if not, it must.
    pub(crate) fn put_back(&self, refused: Unsent) -> bool {
        let mut state = lock(&self.state);
        state.unsent.push_front(refused);
        std::mem::replace(&mut state.scheduled, true)
    }

    /// Marks the topic as refused for want of room, or not any longer.
    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Release);
    }

    /// Whether the core last refused a message for want of room.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// The core has been given a message of `size` bytes.
    pub(crate) fn handed_in(&self, size: usize) {
        self.handed_in.fetch_add(size, Ordering::Relaxed);
    }

    /// The core has not taken it.
    pub(crate) fn refused(&self, size: usize) {
        self.handed_in.fetch_sub(size, Ordering::Relaxed);
    }

    /// The core has signed it. Without a neighbour it goes on holding it, until there is one; one that is on the
    /// disk it need not hold.
    pub(crate) fn published(&self, size: usize, neighbors: usize, durable: bool) {
        self.refused(size);
        if neighbors > 0 {
            self.lonely.store(0, Ordering::Relaxed);
        } else if !durable {
            self.lonely.fetch_add(size, Ordering::Relaxed);
        }
    }

    /// Bytes the core holds of this topic, at most.
    pub(crate) fn held(&self) -> usize {
        self.handed_in.load(Ordering::Relaxed) + self.lonely.load(Ordering::Relaxed)
    }

    /// `n` messages were answered.
    pub(crate) fn answered(&self, n: usize) {
        self.room.add_permits(n);
    }

    /// Nothing waits and nothing is unanswered.
    pub(crate) fn is_idle(&self) -> bool {
        self.room.available_permits() == QUEUE
    }

    /// The node stopped: everything waiting is answered with that.
    pub(crate) fn close(&self) {
        self.room.close();
        let mut state = lock(&self.state);
        state.closed = true;
        state.unsent.clear();
    }
}

/// Publishes on one topic. Cheap to clone; messages of all publishers of a topic on a node leave in one order.
#[derive(Clone)]
pub struct Publisher {
    outbox: Arc<Outbox>,
    run: Arc<Run>,
    durable: bool,
}

impl Publisher {
    pub(crate) fn new(outbox: Arc<Outbox>, run: Arc<Run>) -> Publisher {
        Publisher { outbox, run, durable: false }
    }

    /// A publisher whose messages are on this node's disk when they are answered; they are sent then. A message that
    /// cannot be stored is refused, and sent to nobody. Messages published on the topic behind one wait for it, whoever
    /// published them. One sync of the disk covers many messages: do not wait for each before the next.
    #[must_use]
    pub fn durable(self) -> Publisher {
        Publisher { durable: true, ..self }
    }

    /// The topic.
    pub fn topic(&self) -> TopicId {
        self.outbox.topic
    }

    /// The topic's name.
    pub fn topic_name(&self) -> &str {
        &self.outbox.name
    }

    /// Publishes one message, of up to 64 MiB, and waits until it is signed and on its way. The content of one over
    /// 32 KiB follows in chunks.
    pub async fn publish(&self, payload: impl Into<Bytes>) -> Result<Published, PublishError> {
        self.queue(payload).await?.await
    }

    /// Queues one message and waits only for room in the queue; the handle tells what became of it. Whoever does
    /// not wait for each handle before the next message lets them travel in batches: many times faster.
    pub async fn queue(&self, payload: impl Into<Bytes>) -> Result<PublishHandle, PublishError> {
        self.queue_message(large::outgoing(payload.into()).await?).await
    }

    /// Queues a file's content as one message, of up to 64 MiB. It is read piece by piece and is in memory once.
    pub async fn queue_file(&self, path: impl AsRef<Path>) -> Result<PublishHandle, PublishError> {
        self.queue_message(large::file(path.as_ref().to_path_buf()).await?).await
    }

    /// Publishes a file's content; see [`Publisher::queue_file`]. Returns when the message is signed and on its way; the
    /// content follows.
    pub async fn publish_file(&self, path: impl AsRef<Path>) -> Result<Published, PublishError> {
        self.queue_file(path).await?.await
    }

    /// As [`Publisher::queue`], with encoded headers.
    pub async fn queue_message(&self, message: Outgoing) -> Result<PublishHandle, PublishError> {
        let message = large::sealed(message, &self.outbox.terms, self.outbox.topic, &self.run.crypto).await?;
        self.outbox.room.acquire().await.map_err(|_| PublishError::Stopped)?.forget();
        self.push(message)
    }

    /// Queues one message if there is room, and refuses it with [`PublishError::QueueFull`] if there is not.
    pub fn try_publish(&self, payload: impl Into<Bytes>) -> Result<PublishHandle, PublishError> {
        let payload = payload.into();
        let size = payload.len();
        self.try_publish_message(Outgoing::of(payload).map_err(|_| large::too_large(size))?)
    }

    /// As [`Publisher::try_publish`], of a message that is made already.
    pub fn try_publish_message(&self, message: Outgoing) -> Result<PublishHandle, PublishError> {
        use tokio::sync::TryAcquireError;
        if self.outbox.is_full() {
            return Err(PublishError::QueueFull);
        }
        match self.outbox.room.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(TryAcquireError::NoPermits) => return Err(PublishError::QueueFull),
            Err(TryAcquireError::Closed) => return Err(PublishError::Stopped),
        }
        // Here, so that the node need not.
        match large::seal(message, &self.outbox.terms, self.outbox.topic, &*self.run.crypto) {
            Ok(message) => self.push(message),
            Err(error) => {
                self.outbox.answered(1);
                Err(error)
            }
        }
    }

    fn push(&self, message: Outgoing) -> Result<PublishHandle, PublishError> {
        let message = Outgoing { terms: self.outbox.terms.clone(), ..message };
        let (answer, handle) = oneshot::channel();
        if self.outbox.push(Unsent { message, durable: self.durable, answer })? {
            self.run.schedule(self.outbox.clone());
        }
        Ok(PublishHandle { answer: handle })
    }
}

/// What becomes of a queued message. Dropping it changes nothing about the message.
#[must_use = "dropping the handle leaves unseen whether the message was refused"]
pub struct PublishHandle {
    answer: oneshot::Receiver<Answer>,
}

impl Future for PublishHandle {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(|answer| answer.unwrap_or(Err(PublishError::Stopped)))
    }
}
