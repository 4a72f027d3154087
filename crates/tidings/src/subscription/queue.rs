//! One subscription's queue: whole batches, bounded, and what did not fit counted where it would have stood.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tidings_proto::identity::{NodeId, TopicId};
use tidings_proto::pubsub::{Delivery, HistoryQuery, TopicTerms};

use super::SubscribeOptions;
use crate::gossip::Author;
use crate::large::Large;
use crate::sync::lock;
use crate::topic::Named;

/// What an entry costs beside its bytes: about its size in memory.
const ENTRY_OVERHEAD: usize = 176;

/// The large messages of a delivery, by their place in it.
pub(crate) type Contents = Option<Arc<[(usize, Large)]>>;

/// Batches from a log, with the large messages they announce, and by whom they are.
pub(crate) type History = Vec<(Delivery, Contents, Author)>;

pub(super) enum Entry {
    /// A batch, its large messages, its author, and how many of its first messages are left out.
    Delivery(Delivery, Contents, Author, usize),
    Gap {
        author: NodeId,
        epoch: u64,
        from: u64,
        to: u64,
    },
    Lagged(u64),
}

impl Entry {
    fn cost(&self) -> (usize, usize) {
        match self {
            Entry::Delivery(d, contents, _, skip) => {
                let contents: usize = contents.iter().flat_map(|c| c.iter()).map(|(_, l)| l.size()).sum();
                (d.len() - skip, d.batch().bytes().len() + contents + ENTRY_OVERHEAD)
            }
            Entry::Gap { .. } => (1, ENTRY_OVERHEAD),
            Entry::Lagged(_) => (0, 0),
        }
    }

    fn stands_for(&self) -> u64 {
        match self {
            Entry::Delivery(d, _, _, skip) => (d.len() - skip) as u64,
            Entry::Gap { from, to, .. } => to.saturating_sub(*from).saturating_add(1),
            Entry::Lagged(missed) => *missed,
        }
    }
}

impl super::parked::Entry for Entry {
    fn author(&self) -> Option<NodeId> {
        match self {
            Entry::Delivery(d, ..) => Some(d.author()),
            Entry::Gap { author, .. } => Some(*author),
            Entry::Lagged(_) => None,
        }
    }

    fn is_awaited(&self) -> bool {
        matches!(self, Entry::Delivery(_, _, author, _) if author.is_awaited())
    }

    fn poll_author(&self, cx: &Context<'_>) -> Poll<()> {
        match self {
            Entry::Delivery(_, _, author, _) => author.poll(cx),
            _ => Poll::Ready(()),
        }
    }

    fn size(&self) -> usize {
        self.cost().1
    }
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    messages: usize,
    bytes: usize,
    waker: Option<Waker>,
    ended: bool,
    /// The history has not come yet: it will hold what is delivered meanwhile.
    held: bool,
}

/// One subscription's queue: the driver writes, one [`Subscription`] reads.
pub(crate) struct Queue {
    /// On which topic.
    pub(crate) topic: TopicId,
    /// Its name.
    pub(crate) name: Arc<str>,
    /// The rest of its ticket.
    pub(crate) terms: TopicTerms,
    options: SubscribeOptions,
    state: Mutex<State>,
    abandoned: AtomicBool,
    lagged: AtomicU64,
}

impl Queue {
    /// An empty queue.
    pub(crate) fn new(Named { id, name, terms }: Named, options: SubscribeOptions) -> Queue {
        let state = Mutex::new(State { held: options.history.is_some(), ..State::default() });
        Queue { topic: id, name, terms, options, state, abandoned: false.into(), lagged: 0.into() }
    }

    /// Which part of the topic's history it begins with.
    pub(crate) fn history(&self) -> Option<HistoryQuery> {
        self.options.history
    }

    /// The history is here: it comes first, and what is delivered from now on behind it.
    pub(crate) fn begin(&self, history: &History) {
        lock(&self.state).held = false;
        let wanted = |(d, ..): &&(Delivery, Contents, Author)| !d.own() || self.options.own;
        let all: usize = history.iter().filter(wanted).map(|(d, ..)| d.len()).sum();
        let mut surplus = self.options.history.and_then(|q| q.last).map_or(0, |last| all.saturating_sub(last));
        for (d, contents, author) in history.iter().filter(wanted) {
            let skip = surplus.min(d.len());
            surplus -= skip;
            if skip < d.len() {
                self.push(Entry::Delivery(d.clone(), contents.clone(), author.clone(), skip));
            }
        }
    }

    /// Whether it takes a batch at all.
    pub(crate) fn wants(&self, delivery: &Delivery) -> bool {
        // Old messages that come later are for who asked for them by time.
        let by_time = |q: HistoryQuery| q.last.is_none() && q.since.is_none_or(|since| delivery.at() >= since);
        let wanted = !delivery.is_history() || self.options.history.is_some_and(by_time);
        wanted && (!delivery.own() || self.options.own)
    }

    /// Whether messages wait for their authors' certificates.
    pub(super) fn awaits(&self) -> bool {
        self.options.await_agents
    }

    /// Whether the topic is to be kept on disk.
    pub(crate) fn durable(&self) -> bool {
        self.options.durable
    }

    /// Queues a batch, or counts its messages as missed.
    pub(crate) fn deliver(&self, delivery: &Delivery, contents: &Contents, author: &Author) {
        if self.wants(delivery) && !lock(&self.state).held {
            self.push(Entry::Delivery(delivery.clone(), contents.clone(), author.clone(), 0));
        }
    }

    /// Queues the news of a gap, or counts its messages as missed.
    pub(crate) fn gap(&self, author: NodeId, epoch: u64, from: u64, to: u64) {
        self.push(Entry::Gap { author, epoch, from, to });
    }

    fn push(&self, entry: Entry) {
        let waker = {
            let mut state = lock(&self.state);
            let (messages, bytes) = entry.cost();
            let fits = state.messages.saturating_add(messages) <= self.options.capacity_messages
                && state.bytes.saturating_add(bytes) <= self.options.capacity_bytes;
            if fits || state.messages == 0 {
                state.messages += messages;
                state.bytes += bytes;
                state.entries.push_back(entry);
            } else {
                let missed = entry.stands_for();
                self.lagged.fetch_add(missed, Ordering::Relaxed);
                match state.entries.back_mut() {
                    Some(Entry::Lagged(n)) => *n = n.saturating_add(missed),
                    _ => state.entries.push_back(Entry::Lagged(missed)),
                }
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn poll_pop(&self, cx: &Context<'_>) -> Poll<Option<Entry>> {
        let mut state = lock(&self.state);
        if let Some(entry) = state.entries.pop_front() {
            let (messages, bytes) = entry.cost();
            state.messages -= messages;
            state.bytes -= bytes;
            return Poll::Ready(Some(entry));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        if !state.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Nothing more will come; what is queued can still be read.
    pub(crate) fn end(&self) {
        let waker = {
            let mut state = lock(&self.state);
            state.ended = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Its reader is gone.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Whether its reader is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Messages dropped so far.
    pub(crate) fn lagged(&self) -> u64 {
        self.lagged.load(Ordering::Relaxed)
    }
}
