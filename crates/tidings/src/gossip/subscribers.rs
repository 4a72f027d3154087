//! The driver's side of subscriptions: who gets a topic's messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_proto::identity::{NodeId, TopicId};
use tidings_proto::io::Reply;
use tidings_proto::pubsub::Delivery;

use super::authors::Author;
use super::pending;
use super::run::Done;
use crate::subscription::{Contents, Queue};

#[derive(Default)]
struct Topic {
    queues: Vec<Arc<Queue>>,
    confirmed: bool,
    /// The core was told to keep it on disk.
    kept: bool,
    waiting: Vec<Done>,
}

/// What the core is to be told of subscriptions that went.
#[derive(Default)]
pub(crate) struct Reaped {
    /// Nobody is left on these.
    pub(crate) left: Vec<TopicId>,
    /// Nobody wants these kept on disk any longer.
    pub(crate) unkept: Vec<TopicId>,
}

/// The subscriptions of a node. The core is subscribed to a topic while it is in here.
#[derive(Default)]
pub(crate) struct Subscribers {
    topics: BTreeMap<TopicId, Topic>,
}

impl Subscribers {
    /// Adds a subscription; `done` is answered when the core takes part in the topic. Whether the core must be told.
    pub(crate) fn add(&mut self, queue: Arc<Queue>, done: Done) -> bool {
        let new = !self.topics.contains_key(&queue.topic);
        let topic = self.topics.entry(queue.topic).or_default();
        topic.queues.push(queue);
        if topic.confirmed {
            // Whoever asked may have gone meanwhile.
            let _ = done.send(Ok(()));
        } else {
            topic.waiting.push(done);
        }
        new
    }

    /// As [`Subscribers::add`], of one that wants the topic kept on disk; the core answers that.
    pub(crate) fn add_durable(&mut self, queue: Arc<Queue>) -> bool {
        let new = !self.topics.contains_key(&queue.topic);
        let topic = self.topics.entry(queue.topic).or_default();
        topic.queues.push(queue);
        topic.kept = true;
        new
    }

    /// The core answered.
    pub(crate) fn answered(&mut self, topic: &TopicId, reply: &Reply) {
        let Some(entry) = self.topics.get_mut(topic) else { return };
        let result = pending::done(reply.clone());
        for done in entry.waiting.drain(..) {
            let _ = done.send(result.clone());
        }
        match result {
            Ok(()) => entry.confirmed = true,
            Err(_) => self.end(topic),
        }
    }

    /// Hands out a batch.
    pub(crate) fn deliver(&self, delivery: &Delivery, contents: &Contents, author: &Author) {
        for queue in self.queues(&delivery.topic()) {
            queue.deliver(delivery, contents, author);
        }
    }

    /// Hands out the news of a gap.
    pub(crate) fn gap(&self, topic: &TopicId, author: NodeId, epoch: u64, from: u64, to: u64) {
        for queue in self.queues(topic) {
            queue.gap(author, epoch, from, to);
        }
    }

    /// The queues of a topic.
    pub(crate) fn queues(&self, topic: &TopicId) -> &[Arc<Queue>] {
        self.topics.get(topic).map_or(&[], |t| &t.queues)
    }

    /// Drops the queues whose readers are gone.
    pub(crate) fn reap(&mut self) -> Reaped {
        let mut reaped = Reaped::default();
        self.topics.retain(|id, topic| {
            topic.queues.retain(|q| !q.is_abandoned());
            if topic.queues.is_empty() {
                reaped.left.push(*id);
            } else if topic.kept && !topic.queues.iter().any(|q| q.durable()) {
                topic.kept = false;
                reaped.unkept.push(*id);
            }
            !topic.queues.is_empty()
        });
        reaped
    }

    /// Ends a topic's subscriptions.
    pub(crate) fn end(&mut self, topic: &TopicId) {
        if let Some(topic) = self.topics.remove(topic) {
            topic.queues.iter().for_each(|q| q.end());
        }
    }

    /// Ends all subscriptions.
    pub(crate) fn end_all(&mut self) {
        for topic in std::mem::take(&mut self.topics).values() {
            topic.queues.iter().for_each(|q| q.end());
        }
    }
}
