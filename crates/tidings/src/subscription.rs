//! What a subscriber reads: messages in each author's order, and what was missed among them.
//!
//! The driver queues whole batches and never waits; the reader takes them apart.
//!
//! Large messages ([`tidings_proto::large`]) keep their place: up to [`WHOLE`] bytes the reader, and nobody else, waits
//! for the content, and the program gets it as any other message; of longer ones it gets a [`Large`] at once, to read as
//! the content comes. So neither core nor driver waits for anything, a program of small messages need not know, and
//! nobody waits for 64 MiB to learn that they are coming.
//!
//! Of an author heard for the first time the certificate may still be on its way: its messages wait for that, a second at
//! most, and only they (`subscription/parked.rs`). So a program that heeds who an agent is misses nothing of it.
//!
//! Invariants:
//!
//! 1. The queue is bounded by messages and bytes; only an empty queue takes a batch past the bounds.
//! 2. What does not fit is dropped, and an [`Item::Lagged`] stands exactly where it would have stood, with the exact
//!    number of messages. Two of them never stand side by side, so they are bounded too.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use tidings_proto::identity::{AgentId, MessageId, NodeId, Proof, TopicId};
use tidings_proto::large::WHOLE;
use tidings_proto::pubsub::{Delivery, HistoryQuery, MessageView};
use tidings_proto::time::UnixMillis;

use crate::gossip::Run;
use crate::large::Large;

mod parked;
mod queue;

use parked::Parked;
use queue::Entry;
pub(crate) use queue::{Contents, History, Queue};

/// How a subscription behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Whether this node's own messages are delivered back. Default: no.
    pub own: bool,
    /// Whether every message of the topic is kept on this node's disk from now on, as long as this subscription is
    /// there. They are on the disk within about a second; nothing waits for that. Default: no.
    pub durable: bool,
    /// Whether messages of an author whose certificate is not known yet wait for it, a second at most, while those of
    /// others go by. Otherwise they come at once, and [`Message::agent`] may be missing. Default: yes.
    pub await_agents: bool,
    /// Messages that may wait unread. Default: 65 536.
    pub capacity_messages: usize,
    /// Bytes that may wait unread. Default: 64 MiB.
    pub capacity_bytes: usize,
    /// Which part of the topic's history comes first. Default: none of it. With one, the subscription begins some
    /// seconds late at most, while the neighbours' part is fetched; what they send later still comes as it comes, if it
    /// was asked for by time.
    pub history: Option<HistoryQuery>,
}

impl Default for SubscribeOptions {
    /// Room for some seconds at full speed (both bounds are guesses).
    fn default() -> Self {
        SubscribeOptions {
            own: false,
            durable: false,
            await_agents: true,
            capacity_messages: 65_536,
            capacity_bytes: 64 << 20,
            history: None,
        }
    }
}

/// What a subscription yields.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every item is a message, and a box would cost an allocation each"
)]
pub enum Item {
    /// A message.
    Message(Message),
    /// Messages of an author that could not be had in time. Those repaired later arrive with `late` set.
    Gap {
        /// Whose.
        author: NodeId,
        /// In which of the author's epochs.
        epoch: u64,
        /// The first sequence number missed.
        from: u64,
        /// The last one missed.
        to: u64,
    },
    /// The program read too slowly: this many messages were dropped at this place. [`Item::Gap`]s that no longer
    /// fitted are included, with the messages they stand for.
    Lagged {
        /// Exactly how many.
        missed: u64,
    },
    /// A large message whose content could not be had. Its number is used up: it is no [`Item::Gap`].
    Unavailable {
        /// Whose.
        author: NodeId,
        /// In which of the author's epochs.
        epoch: u64,
        /// The message's sequence number.
        seq: u64,
        /// Length of the content; 0 if not even that is known.
        size: usize,
    },
}

impl Item {
    /// The message, if it is one.
    pub fn message(self) -> Option<Message> {
        match self {
            Item::Message(m) => Some(m),
            Item::Gap { .. } | Item::Lagged { .. } | Item::Unavailable { .. } => None,
        }
    }
}

/// A message as it was delivered; its author is proven by a signature.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Message {
    /// On which topic.
    pub topic: TopicId,
    /// The topic's name, as it was subscribed to.
    pub topic_name: Arc<str>,
    /// Whose: the node that published it.
    pub author: NodeId,
    /// The agent that the author speaks for, if that is proven.
    pub agent: Option<AgentId>,
    /// What is known of the author's agent, and why it is not proven.
    pub proof: Proof,
    /// In which of the author's epochs: one per start of its process, ever growing.
    pub epoch: u64,
    /// Its sequence number within topic, author and epoch, from 1.
    pub seq: u64,
    /// When the author signed it, by the author's clock.
    pub at: UnixMillis,
    /// Whether it comes after the gap it belongs in was reported, or after a later message.
    pub late: bool,
    /// Whether it is part of the topic's history: from before the subscription, and asked for.
    pub history: bool,
    /// Whether this node published it.
    pub own: bool,
    /// Links travelled.
    pub hop: u16,
    /// What was published. Shares memory with the batch it came in, or with what is served of it. Empty if it is in
    /// `large`.
    pub payload: Bytes,
    /// What was published, if it has more than [`WHOLE`](tidings_proto::large::WHOLE) bytes: it may still be on its way.
    pub large: Option<Large>,
    /// Its encoded headers; empty for none.
    pub headers: Bytes,
    view: MessageView,
}

impl Message {
    /// Its id: hashed when asked for.
    pub fn id(&self) -> MessageId {
        self.view.id()
    }
}

struct Reading {
    delivery: Delivery,
    contents: Contents,
    proof: Proof,
    index: usize,
    offset: usize,
}

/// A subscription to one topic: a stream of [`Item`]s that ends when the topic is unsubscribed or the node stops.
/// Dropping the last one of a topic unsubscribes from it.
pub struct Subscription {
    queue: Arc<Queue>,
    reading: Option<Reading>,
    parked: Parked<Entry>,
    run: Arc<Run>,
}

impl Subscription {
    /// The reading end of `queue`, a queue of `run`.
    pub(crate) fn new(queue: Arc<Queue>, run: Arc<Run>) -> Subscription {
        Subscription { queue, reading: None, parked: Parked::default(), run }
    }

    /// The topic.
    pub fn topic(&self) -> TopicId {
        self.queue.topic
    }

    /// The topic's name.
    pub fn topic_name(&self) -> &str {
        &self.queue.name
    }

    /// How many messages were dropped so far because they were read too slowly, reported yet or not.
    pub fn lagged(&self) -> u64 {
        self.queue.lagged()
    }

    /// The next item; `None` when nothing more will come. Cancel safe.
    pub async fn recv(&mut self) -> Option<Item> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next message, passing over everything that is none.
    pub async fn next_message(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.recv().await?.message() {
                return Some(message);
            }
        }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        loop {
            match self.next_of_batch(cx) {
                Poll::Ready(Some(item)) => return Poll::Ready(Some(item)),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
            let entry = match self.poll_entry(cx) {
                Poll::Ready(Some(entry)) => entry,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            match entry {
                Entry::Delivery(delivery, contents, author, skip) => {
                    let mut reading = Reading { delivery, contents, proof: author.proof(), index: 0, offset: 0 };
                    while reading.index < skip
                        && let Some((_, next)) = reading.delivery.message_at(reading.index, reading.offset)
                    {
                        (reading.index, reading.offset) = (reading.index + 1, next);
                    }
                    self.reading = Some(reading);
                }
                Entry::Gap { author, epoch, from, to } => {
                    return Poll::Ready(Some(Item::Gap { author, epoch, from, to }));
                }
                Entry::Lagged(missed) => return Poll::Ready(Some(Item::Lagged { missed })),
            }
        }
    }

    /// What waits for a certificate no longer; then what comes and need not wait.
    fn poll_entry(&mut self, cx: &Context<'_>) -> Poll<Option<Entry>> {
        loop {
            if let Poll::Ready(entry) = self.parked.poll_next(cx) {
                return Poll::Ready(Some(entry));
            }
            let entry = match self.queue.poll_pop(cx) {
                Poll::Ready(Some(entry)) => entry,
                Poll::Ready(None) => return Poll::Ready(self.parked.first()),
                Poll::Pending => return Poll::Pending,
            };
            if !self.queue.awaits() {
                return Poll::Ready(Some(entry));
            }
            if let Some(entry) = self.parked.park(entry) {
                return Poll::Ready(Some(entry));
            }
        }
    }

    fn next_of_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let d = &reading.delivery;
        let Some((mut view, next)) = d.message_at(reading.index, reading.offset) else {
            self.reading = None;
            return Poll::Ready(None);
        };
        let mut large = None;
        if view.large {
            let place = reading.index;
            let content = reading.contents.iter().flat_map(|c| c.iter()).find(|(i, _)| *i == place);
            let whole = match content {
                Some((_, l)) if l.size() > WHOLE => {
                    large = Some(l.clone());
                    Some(Bytes::new())
                }
                // The author's next message waits for this one: the order is the author's.
                Some((_, l)) => match l.poll_whole(cx) {
                    Poll::Ready(whole) => whole,
                    Poll::Pending => return Poll::Pending,
                },
                None => None,
            };
            let Some(whole) = whole else {
                let size = content.map_or(0, |(_, l)| l.size());
                let item = Item::Unavailable { author: d.author(), epoch: d.epoch(), seq: view.seq, size };
                (reading.index, reading.offset) = (place + 1, next);
                return Poll::Ready(Some(item));
            };
            view.payload = whole;
        }
        let message = Message::of(&self.queue.name, d, view, large, reading.proof);
        (reading.index, reading.offset) = (reading.index + 1, next);
        Poll::Ready(Some(Item::Message(message)))
    }
}

impl Message {
    fn of(name: &Arc<str>, d: &Delivery, mut view: MessageView, large: Option<Large>, proof: Proof) -> Message {
        Message {
            topic: d.topic(),
            topic_name: name.clone(),
            author: d.author(),
            agent: proof.agent(),
            proof,
            epoch: d.epoch(),
            seq: view.seq,
            at: d.at(),
            late: d.late(),
            history: d.is_history(),
            own: d.own(),
            hop: d.hop(),
            payload: std::mem::take(&mut view.payload),
            large,
            headers: std::mem::take(&mut view.headers),
            view,
        }
    }

    /// All messages of some batches, the latest `last` of them. What is large comes as a handle.
    pub(crate) fn all(name: &Arc<str>, history: &History, last: Option<usize>) -> Vec<Message> {
        let mut all = Vec::new();
        for (d, contents, author) in history {
            let (mut index, mut offset) = (0, 0);
            while let Some((mut view, next)) = d.message_at(index, offset) {
                let mut large = None;
                if view.large {
                    let mut found = contents.iter().flat_map(|c| c.iter());
                    large = found.find(|(i, _)| *i == index).map(|(_, l)| l.clone());
                    view.payload = Bytes::new();
                }
                all.push(Message::of(name, d, view, large, author.proof()));
                (index, offset) = (index + 1, next);
            }
        }
        let surplus = last.map_or(0, |last| all.len().saturating_sub(last));
        all.drain(..surplus);
        all
    }
}

impl Stream for Subscription {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.poll_recv(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.queue.abandon();
        self.run.reap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gaps_past_the_bounds_are_counted_where_they_stood() {
        let options = SubscribeOptions { capacity_messages: 2, ..SubscribeOptions::default() };
        let topic = TopicId([1; 32]);
        let queue = Arc::new(Queue::new(
            crate::topic::Named { id: topic, name: "t".into(), terms: Default::default() },
            options,
        ));
        let crypto = tidings_proto::crypto::SimCrypto::new(&tidings_proto::identity::SecretKey::from_bytes([2; 32]));
        let mut subscription = Subscription::new(queue.clone(), Run::new(NodeId([2; 32]), Arc::new(crypto)).0);
        let author = NodeId([3; 32]);
        for from in [1, 11, 21, 31] {
            queue.gap(author, 1, from, from + 4);
        }
        for expected in [1, 11] {
            assert!(matches!(subscription.recv().await, Some(Item::Gap { from, .. }) if from == expected));
        }
        queue.gap(author, 1, 41, 41);
        queue.end();
        assert!(matches!(subscription.recv().await, Some(Item::Lagged { missed: 10 })));
        assert!(matches!(subscription.recv().await, Some(Item::Gap { from: 41, to: 41, .. })));
        assert!(subscription.recv().await.is_none());
    }
}
