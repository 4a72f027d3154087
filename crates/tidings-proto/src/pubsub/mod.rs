//! Publish and subscribe: signed batches over Plumtree.
//!
//! Plumtree (Leitão, Pereira, Rodrigues, SRDS 2007): each topic's neighbours are *eager* (batches are pushed to them
//! at once) or *lazy* (batches are only announced). Eager links form a tree; announcements repair it.
//!
//! What differs, and why:
//! - *The unit is a signed batch* (`batch.rs`), not a message; the author's bytes are forwarded unchanged.
//! - *The first batch builds the tree.* Until a topic has seen one, all links are eager: the flood reaches each node
//!   first along the shortest path, and prunes leave exactly that tree. From then on new links begin *lazy*: an eager
//!   one would close a cycle, and the prunes that break it can break the tree when publishers rotate.
//! - *One flood at a time decides* which links leave the tree (`prune.rs`), however many nodes publish at once.
//! - *Exchange by measured delay, not by hops.* Announcements say how long they were held back, so a node knows when
//!   a lazy neighbour's copy would have come. Only a neighbour that beats the same parent many times in a row
//!   replaces it. A shared tree thus stays put while publishers rotate, which is what it is judged on.
//! - *Announcements are batched*, sent to one lazy neighbour after the other (`announce.rs`), and name batches by 16
//!   bytes.
//! - *How long an announced batch is waited for* follows from how late the tree was before.
//! - *Missing ranges are asked for by number* (`Fetch`) besides by id: order per author shows what is missing.
//!
//! Invariants: duplicates are recognised before anything is hashed or verified; nothing is verified twice, delivered
//! twice, or forwarded unverified; only members of a topic carry its frames; what was delivered is stored before the
//! program sees it; a number is never used twice, because the epoch is stored before the first batch leaves.
//!
//! Messages: `Gossip`, `IHave`, `Graft`, `Prune`, `Fetch`, and anti-entropy's (`reconcile`). Timers, per topic: `Announce`,
//! `Repair` (grafts and fetches), `Gap`, `Prune`, `Trim`, `Idle`, `Seal` and `Reconcile`; of all topics: `Prove` (`policy`).

mod announce;
mod author;
mod batch;
mod durable;
mod info;
mod intervals;
mod message_log;
mod neighbors;
mod persist;
mod plumtree;
mod policy;
mod private;
mod prune;
mod publish;
mod reconcile;
mod repair;
mod topic;
mod tree;

pub use crate::anti_entropy::ReconciliationStats;
pub use batch::{
    Batch, BatchError, BatchHeader, BatchKey, Delivery, MAX_BODY, MAX_HEADERS, MAX_MESSAGE, MAX_MESSAGES, MessageView,
    Peeked, Position,
};
pub use info::TopicInfo;
pub(crate) use info::limits;
pub use policy::{
    CapabilityError, CapabilityStatement, MAX_CAPABILITY, MAX_PUBLISHERS, PolicyError, TopicCapability, TopicPolicy,
    TopicTerms,
};
pub use private::TopicSecret;
pub use publish::{MAX_WAITING_BYTES, MAX_WAITING_MESSAGES};
pub use reconcile::HistoryQuery;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::anti_entropy::serving::Serving;
use crate::anti_entropy::sync::{Sessions, Sync};
use crate::identity::{AgentId, Network, NodeId, TopicId};
use crate::io::{CommandError, Outgoing, Overlay, Reply, StoreError, StoreTicket, Ticket};
use crate::layer::{Cx, Done, Layer, Request, RequestTicket, Signal, TimerKey};
use crate::time::{Span, Time, UnixMillis};
use crate::wire::Message;
use author::Author;
use message_log::MessageLog;
use plumtree::Arrival;
use tree::{Patience, Peer};

/// Authors remembered per topic. More, and the one not heard for longest is forgotten: its old batches are refused
/// by their age alone (some 300 bytes each; a guess).
const MAX_AUTHORS: usize = 16_384;
/// A topic entered only to publish is left after this long without publishing.
const IDLE: Span = Span::from_secs(300);
/// So much earlier than the clocks say a topic's history begins here: clocks that are right agree within a second or two.
const CLOCKS_MS: u64 = 2_000;

/// The timers of publish and subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Send a topic's waiting announcements.
    Announce(TopicId),
    /// Ask for a topic's missing batches.
    Repair(TopicId),
    /// Look at a topic's gaps.
    Gap(TopicId),
    /// Drop what is too old from a topic's log.
    Trim(TopicId),
    /// Leave a topic that nobody subscribed and nobody publishes on.
    Idle(TopicId),
    /// Take links out of a topic's tree.
    Prune(TopicId),
    /// Sign what was held back for a moment so that a batch could form.
    Seal(TopicId),
    /// Compare a topic's log with the neighbours'.
    Reconcile(TopicId),
    /// Ask again for what waiting batches need to be judged, and give up on some.
    Prove,
}

/// What publish and subscribe is asked to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Receive a topic's messages.
    Subscribe(Ticket, TopicId),
    /// Receive them no longer.
    Unsubscribe(Ticket, TopicId),
    /// Publish a message.
    Publish(Ticket, TopicId, Outgoing),
    /// Give a topic's history, as far as there is one here or at the neighbours.
    History(Ticket, TopicId, HistoryQuery),
    /// Compare a topic's log with all neighbours' now.
    Reconcile(Ticket, TopicId),
    /// Publish a message once it is stored.
    PublishDurable(Ticket, TopicId, Outgoing),
    /// Open what comes on a private topic, and hold its authors to its policy.
    Unlock(Ticket, TopicId, TopicTerms),
    /// This node's agent was given a capability.
    Accept(Ticket, Bytes),
    /// Issue a capability as a topic's owner to an agent, which expires then.
    Grant(Ticket, TopicId, AgentId, AgentId, UnixMillis),
    /// Keep a topic's batches in the durable log, or no longer.
    KeepLog(Ticket, TopicId, bool),
    /// The node says goodbye.
    Leave,
}

/// One topic.
#[derive(Debug)]
struct Topic {
    id: TopicId,
    subscribed: bool,
    peers: Vec<Peer>,
    /// A batch has travelled: the tree exists, new links begin lazy.
    built: bool,
    authors: BTreeMap<NodeId, Author>,
    /// How many of them have more holes than every author may have.
    wide: usize,
    /// What waits behind the authors' gaps.
    waiting: repair::Waits,
    log: MessageLog,
    durable: durable::TopicLog,
    repair: repair::Repair,
    patience: Patience,
    outbox: publish::Outbox,
    sync: Sync,
    history: reconcile::Waiting,
    joined: Time,
    /// The copies that decide which links leave the tree.
    contest: Option<prune::Contest>,
    /// The lowest author heard lately, and when.
    root: Option<(NodeId, Time)>,
    swapped: Time,
    /// When a batch last came because we asked, and the tree has not brought it since.
    pulled: Option<Time>,
    /// When a link was last taken into the tree because it seemed broken.
    mended: Time,
    last_published: Time,
}

/// The publish and subscribe layer.
#[derive(Debug)]
pub struct PubSub {
    topics: BTreeMap<TopicId, Topic>,
    key: KeyBox,
    persist: persist::Persist,
    durable: durable::Durable,
    secrets: private::Secrets,
    policing: policy::Policing,
    leaving: bool,
    entering: BTreeMap<RequestTicket, TopicId>,
    /// What neighbours are being sent.
    serving: Serving<TopicId>,
    /// The numbers of comparisons.
    sessions: Sessions,
}

/// Keeps the batch key out of `Debug`.
struct KeyBox(BatchKey);

impl std::fmt::Debug for KeyBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BatchKey(…)")
    }
}

impl PubSub {
    pub(crate) fn new(network: &Network) -> Self {
        PubSub {
            topics: BTreeMap::new(),
            key: KeyBox(BatchKey::new(network)),
            persist: persist::Persist::default(),
            durable: durable::Durable::default(),
            secrets: private::Secrets::default(),
            policing: policy::Policing::default(),
            leaving: false,
            entering: BTreeMap::new(),
            serving: Serving::default(),
            sessions: Sessions::of_topics(),
        }
    }

    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>) {
        self.persist.begin(cx);
    }

    pub(crate) fn loaded(&self) -> bool {
        self.persist.loaded()
    }

    /// The number of this start, higher at each; known once storage has been read.
    pub(crate) fn start(&self) -> u64 {
        self.persist.start()
    }

    /// The epoch of this start, once it is stored.
    pub(crate) fn epoch(&self) -> Option<u64> {
        self.persist.epoch()
    }

    pub(crate) fn on_loaded(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: StoreTicket,
        result: Result<Vec<(Bytes, Bytes)>, StoreError>,
    ) {
        if let Ok(records) = &result {
            for over in self.policing.recall(cx, records) {
                self.persist.put(cx, over, None);
            }
        }
        self.persist.on_loaded(cx, ticket, result);
    }

    /// From now on the topic is what its terms say. Fails if too many are known.
    fn agree(&mut self, topic: TopicId, terms: TopicTerms) -> Result<(), CommandError> {
        if let Some(secret) = terms.secret {
            self.secrets.add(topic, secret)?;
        }
        terms.policy.map_or(Ok(()), |policy| self.policing.add(topic, policy))
    }

    /// The topic was left, or could not be entered.
    fn forget_terms(&mut self, topic: &TopicId) {
        self.secrets.remove(topic);
        self.policing.remove(topic);
    }

    pub(crate) fn on_stored(&mut self, cx: &mut Cx<'_>, ticket: StoreTicket, result: Result<(), StoreError>) {
        self.persist.on_stored(cx, ticket, result);
    }

    /// The topics this node is in.
    pub fn topics(&self) -> impl Iterator<Item = TopicInfo> + '_ {
        self.topics.values().map(|t| TopicInfo {
            topic: t.id,
            subscribed: t.subscribed,
            neighbors: t.peers.len(),
            eager: t.peers.iter().filter(|p| p.eager).count(),
            passive: 0,
            members_estimate: 0.0,
            authors: t.authors.len(),
            cached_messages: t.log.messages(),
            cached_bytes: t.log.bytes(),
            waiting: t.outbox.len(),
        })
    }

    fn topic(&mut self, cx: &mut Cx<'_>, id: TopicId) -> &mut Topic {
        if !self.topics.contains_key(&id) {
            let ticket = cx.request(Request::Enter(id));
            self.entering.insert(ticket, id);
            let horizon = self.persist.heard_last(&id).unwrap_or(cx.now.wall.0).saturating_sub(CLOCKS_MS);
            let authors = self.persist.authors(&id, cx.now.mono);
            let topic = Topic {
                id,
                subscribed: false,
                peers: Vec::new(),
                built: false,
                wide: authors.values().filter(|a| a.is_wide()).count(),
                authors,
                waiting: repair::Waits::default(),
                log: MessageLog::new(horizon, *blake3::keyed_hash(cx.seed, id.as_bytes()).as_bytes()),
                durable: durable::TopicLog::default(),
                repair: repair::Repair::default(),
                patience: Patience::default(),
                outbox: publish::Outbox::default(),
                sync: Sync::default(),
                history: reconcile::Waiting::default(),
                joined: cx.now.mono,
                contest: None,
                root: None,
                swapped: Time::default(),
                pulled: None,
                mended: Time::default(),
                last_published: cx.now.mono,
            };
            self.topics.insert(id, topic);
            self.durable.restore(cx, id);
        }
        self.topics.entry(id).or_insert_with(|| unreachable!("inserted above"))
    }

    fn leave_topic(&mut self, cx: &mut Cx<'_>, id: TopicId) {
        let Some(mut t) = self.topics.remove(&id) else { return };
        t.outbox.refuse_all(cx, &CommandError::TopicLeft);
        t.outbox.drop_unsent(cx);
        self.forget_terms(&id);
        Self::refuse_history(cx, &mut t);
        self.serving.forget(&id);
        self.drop_round(cx, &mut t, &CommandError::TopicLeft);
        self.persist.put_back(&id, t.authors, cx.now.wall);
        for timer in [
            Timer::Announce(id),
            Timer::Repair(id),
            Timer::Gap(id),
            Timer::Trim(id),
            Timer::Idle(id),
            Timer::Prune(id),
            Timer::Seal(id),
            Timer::Reconcile(id),
        ] {
            cx.deadlines.cancel(TimerKey::PubSub(timer));
        }
        cx.request(Request::Exit(id));
    }

    /// A message of a peer, with the raw payload behind it.
    pub(crate) fn on_frame(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message, payload: Bytes) {
        match message {
            Message::Gossip(m) => {
                self.on_gossip(cx, from, Arrival { hop: m.hop, pulled: m.pulled, held: None }, payload)
            }
            Message::Bundle(m) => self.on_bundle(cx, from, &m, payload),
            Message::Symbols(m) => self.on_symbols(cx, from, &m, &payload),
            Message::Capability(_) => self.on_capability(cx, from, payload),
            other => self.on_message(cx, from, other),
        }
    }
}

impl Layer for PubSub {
    type Message = Message;
    type Command = Command;
    type Timer = Timer;

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        match message {
            Message::IHave(m) => self.on_ihave(cx, from, m),
            Message::Graft(m) => self.on_graft(cx, from, m),
            Message::Prune(m) => self.on_prune(cx, from, m),
            Message::Fetch(m) => self.on_fetch(cx, from, m),
            Message::Compare(m) => self.on_compare(cx, from, &m),
            Message::Same(m) => self.on_same(cx, from, &m),
            Message::Differ(m) => self.on_differ(cx, from, &m),
            Message::Ranges(m) => self.on_ranges(cx, from, &m),
            Message::Pull(m) => self.on_pull(cx, from, &m),
            Message::AskSymbols(m) => self.on_ask_symbols(cx, from, &m),
            Message::WantItems(m) => self.on_want_items(cx, from, &m),
            Message::Offer(m) => self.on_offer(cx, from, &m),
            Message::Served(m) => self.on_served(cx, from, &m),
            Message::AskCapabilities(m) => self.on_ask_capabilities(cx, from, &m),
            _ => cx.counters.frames_unexpected += 1,
        }
    }

    fn on_command(&mut self, cx: &mut Cx<'_>, command: Command) {
        match command {
            Command::Subscribe(ticket, id) => {
                let limit = crate::membership::MAX_TOPICS;
                if !self.topics.contains_key(&id) && self.topics.len() >= limit {
                    return cx.reply(ticket, Reply::Refused(CommandError::TooManyTopics { limit }));
                }
                let t = self.topic(cx, id);
                t.subscribed = true;
                cx.deadlines.cancel(TimerKey::PubSub(Timer::Idle(id)));
                cx.reply(ticket, Reply::Done);
            }
            Command::Unsubscribe(ticket, id) => {
                // After the answer nothing more is delivered, not even what was being stored.
                cx.counters.deliveries_unwanted += self.persist.forget_deliveries(&id);
                match self.topics.get_mut(&id) {
                    // What was promised to the first neighbour is kept for it a while, as when one only publishes.
                    Some(t) if t.outbox.has_unsent() || t.durable.is_storing() => {
                        t.subscribed = false;
                        t.durable.keep_no_more();
                        t.outbox.refuse_all(cx, &CommandError::TopicLeft);
                        cx.deadlines.set(TimerKey::PubSub(Timer::Idle(id)), t.last_published + IDLE);
                    }
                    _ => self.leave_topic(cx, id),
                }
                cx.reply(ticket, Reply::Done);
            }
            Command::Publish(ticket, id, message) => self.publish(cx, ticket, id, message, false),
            Command::Unlock(ticket, id, terms) => {
                let reply = self.agree(id, terms).map_or_else(Reply::Refused, |()| Reply::Done);
                cx.reply(ticket, reply);
            }
            Command::Accept(ticket, bytes) => self.accept_capability(cx, ticket, bytes),
            Command::Grant(ticket, topic, owner, agent, expires) => {
                policy::grant(
                    cx,
                    ticket,
                    CapabilityStatement { topic, owner, agent, issued_ms: cx.now.wall.0, expires_ms: expires.0 },
                );
            }
            Command::PublishDurable(ticket, id, message) => self.publish(cx, ticket, id, message, true),
            Command::KeepLog(ticket, id, keep) => self.keep_log(cx, ticket, id, keep),
            Command::History(ticket, id, query) => self.history(cx, ticket, id, query),
            Command::Reconcile(ticket, id) => self.reconcile_now(cx, ticket, id),
            Command::Leave => {
                self.leaving = true;
                for t in self.topics.values_mut() {
                    t.outbox.refuse_all(cx, &CommandError::Leaving);
                    t.outbox.drop_unsent(cx);
                }
            }
        }
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match *signal {
            Signal::NeighborUp { overlay: Overlay::Topic(t), peer } => self.on_neighbor_up(cx, t, peer),
            Signal::NeighborDown { overlay: Overlay::Topic(t), peer, .. } => self.on_neighbor_down(cx, t, peer),
            Signal::Suspected { peer } => self.on_suspected(cx, peer),
            Signal::Recovered { peer } => self.on_recovered(&peer),
            Signal::LinkDown { peer, .. } => {
                self.serving.forget_peer(&peer);
                self.policing.forget_peer(&peer);
            }
            Signal::Agent { node, .. } => self.on_agent(cx, node),
            _ => {}
        }
    }

    fn on_done(&mut self, cx: &mut Cx<'_>, ticket: RequestTicket, done: Done) {
        let Some(id) = self.entering.remove(&ticket) else { return };
        if done == Done::Full
            && let Some(mut t) = self.topics.remove(&id)
        {
            self.forget_terms(&id);
            let limit = crate::membership::MAX_TOPICS;
            let why = CommandError::TooManyTopics { limit };
            t.outbox.refuse_all(cx, &why);
            t.outbox.drop_unsent(cx);
            self.drop_round(cx, &mut t, &why);
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::Announce(id) => self.announce(cx, id),
            Timer::Repair(id) => self.repair(cx, id),
            Timer::Gap(id) => self.look_at_gaps(cx, id),
            Timer::Trim(id) => {
                if let Some(t) = self.topics.get_mut(&id) {
                    t.trim(cx);
                }
            }
            Timer::Idle(id) => {
                if self.topics.get(&id).is_some_and(|t| !t.subscribed && cx.now.mono.since(t.last_published) >= IDLE) {
                    self.leave_topic(cx, id);
                }
            }
            Timer::Prune(id) => {
                if let Some(t) = self.topics.get_mut(&id) {
                    t.prune(cx);
                }
            }
            // Sealing happens whenever the node has nothing else to do; the timer only wakes it.
            Timer::Seal(_) => {}
            Timer::Reconcile(id) => self.reconcile(cx, id),
            Timer::Prove => self.prove(cx),
        }
    }
}
