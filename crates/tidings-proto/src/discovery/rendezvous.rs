//! Rendezvous: where agents and topics leave word with nodes that everybody finds by computing who they are.
//!
//! An agent or topic belongs to a shard (`shard.rs`), a shard to eight holders (`index.rs`): those who want to be found leave
//! a signed statement with each, those who look ask two of them. This is one-hop lookup (Gupta, Liskov, Rodrigues, NSDI 2004) over
//! a directory that all nodes have, instead of a distributed hash table with its many hops: for a thousand holders the
//! directory is 400 kB, and what changes in it a few hundred bytes a second.
//!
//! - *Two round trips to a stranger.* The question travels with the handshake (`Output::Dial`), so that the answer comes with
//!   the link. A link that was used stays for `calls::WARM`; the next question to the same node takes one round trip.
//! - *Statements are signed by nodes*, with a certificate by their agent, which a holder asks for once. So a holder can
//!   withhold, never forge; of several statements the latest counts, whoever brings it.
//! - *Two must agree.* An empty, stale or differing answer makes the asker ask the other holders too, and it believes what two
//!   of them say. Statements are renewed every [`register::RENEW`], so that an old one is noticed as stale.
//! - *Who cannot be reached is passed over*, by those who register and those who ask alike: the next in the order steps in. So
//!   holders that died, or never were where their advert says, cost a time-out once and no record.
//! - *Each node sees for itself who is there* (`judging.rs`), and hears from its neighbours whom they have reached: what is signed
//!   is no proof that somebody answers, and false adverts displace nobody (`discovery/admission.rs`).
//! - *When the index changes*, statements go to the new holders at once; those that were holders keep what they have, and are
//!   told of what is renewed for another minute, for those who have not heard of the change.
//! - *A topic's statements* are its members', sixty-four at most with each holder; a node that enters a topic and finds nobody
//!   among its neighbours registers there, and is answered with members, in one round trip. When more register than are kept,
//!   the holder says how many, and each comes back the less often. Friends of friends are asked at the same time (the walk of
//!   `membership/topics.rs`).
//!
//! Invariants: nothing is held, told or believed that was not verified here; a node holds statements of shards it is near of
//! only, so many in all and of each topic; what one place left makes room first; each question is answered or given up on;
//! links are claimed for as long as somebody is asked and `calls::WARM` more.
//!
//! Messages: `Register`, `Registered`, `LookUp`, `Holds`, `VouchReached`. Timers: `Serve` (this node's own advert),
//! `Judge` (who counts), `Probe` (who is there),
//! `Calls` (time-outs, idle links), `Look` (a look-up takes long), `Registration`, `Topic`, `Changed` (the index did),
//! `Shelf` (what is held expires).

mod calls;
mod holder;
mod judging;
mod lookup;
mod register;
mod serve;
mod shelf;
mod topics;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::WhereaboutsKey;
use super::admission::Admission;
use super::index::{HOLDERS, Index};
use crate::id_map::IdMap;
use crate::identity::{AgentId, Network, NodeId, TopicId};
use crate::io::{Overlay, Ticket};
use crate::layer::{Cx, Done, Layer, RequestTicket, Signal, TimerKey};
use crate::membership::Tokens;
use crate::records::sets::INDEX;
use crate::rng::Rng;
use crate::time::Span;
use crate::wire::{LinkRefusal, Message};
use calls::Calls;
use judging::Probing;
use lookup::Looking;
use register::Registration;
pub use register::{LEFT_LIFE, RENEW};
use serve::Serving;
use shelf::Shelf;
use topics::Topic;

/// Nodes that may hold a shard's records: the holders, and as many that step in.
pub(super) const NEAR: usize = 2 * HOLDERS;
/// A node takes what is left with it if it is among so many: others may know of fewer that are there (a guess).
const TAKES: usize = 4 * HOLDERS;
/// Questions that one link may bring: so many at once, and one more each interval (a guess).
const QUESTIONS: (u32, Span) = (64, Span::from_millis(50));
/// After the index changed, until registrations are looked at: changes come together (a guess).
const CHANGED: Span = Span::from_secs(1);

/// This layer's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// This node's own place in the index.
    Serve,
    /// Questions that are not answered, links that are not used.
    Calls,
    /// A look-up takes long.
    Look(u64),
    /// Something of this node's is to be left, or left again, with holders.
    Registration([u8; 32]),
    /// A topic's members are looked for.
    Topic(TopicId),
    /// The index has changed.
    Changed,
    /// Forget what has expired of what is held.
    Shelf,
    /// Who counts is judged anew.
    Judge,
    /// Somebody is dialed to see whether it is there.
    Probe,
}

/// What this layer is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take part in the index, or no longer.
    Serve(Ticket, bool),
    /// Leave word where this node's agent is, from now on or no longer.
    Register(Ticket, bool),
    /// Find an agent.
    LookUp(Ticket, AgentId),
    /// This node's addresses have changed.
    Moved,
    /// The node says goodbye.
    Leave,
}

/// The layer.
#[derive(Debug)]
pub struct Rendezvous {
    key: WhereaboutsKey,
    /// The key of the network's records.
    network: [u8; 32],
    rng: Rng,
    index: Index,
    admission: Admission,
    probing: Probing,
    serving: Serving,
    shelf: Shelf,
    calls: Calls,
    looking: BTreeMap<u64, Looking>,
    registrations: BTreeMap<[u8; 32], Registration>,
    topics: BTreeMap<TopicId, Topic>,
    /// What links may ask.
    questions: IdMap<Tokens>,
}

/// Bytes this layer holds at most: what it holds for others, the answers to look-ups, and the index as it was read, with what is
/// known of its nodes (4096 of some 200 bytes, and 24 neighbours' word on 2048 each, of some 32).
pub(super) const BYTES: usize = shelf::BYTES + lookup::BYTES + (8 << 20);

impl Rendezvous {
    pub(crate) fn new(network: &Network, seed: &[u8; 32]) -> Rendezvous {
        Rendezvous {
            key: WhereaboutsKey::new(network),
            network: crate::records::key(network),
            rng: Rng::derive(seed, "rendezvous", &[]),
            index: Index::default(),
            admission: Admission::default(),
            probing: Probing::new(),
            serving: Serving::default(),
            shelf: Shelf::default(),
            calls: Calls::default(),
            looking: BTreeMap::new(),
            registrations: BTreeMap::new(),
            topics: BTreeMap::new(),
            questions: IdMap::default(),
        }
    }

    /// The index, to look at.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// How many statements this node holds for others.
    pub fn held(&self) -> usize {
        self.shelf.len()
    }

    /// Whether a link may ask one thing more.
    fn may_ask(&mut self, cx: &mut Cx<'_>, from: NodeId) -> bool {
        let (most, every) = QUESTIONS;
        let tokens = self.questions.get_or_insert_with(from, || Tokens::new(most, every, cx.now.mono));
        let may = tokens.take(cx.now.mono);
        cx.counters.questions_limited += u64::from(!may);
        may
    }

    /// A message on the control lane; the payload is there for those that have one.
    pub(crate) fn on_frame(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message, payload: Bytes) {
        match message {
            Message::Registered(m) => self.on_registered(cx, from, m),
            Message::Holds(m) => self.on_holds(cx, from, m, payload),
            _ if !self.may_ask(cx, from) => {}
            Message::Register(m) => self.on_register(cx, from, m, &payload),
            Message::LookUp(m) => self.on_look_up(cx, from, m),
            Message::VouchReached(m) => self.on_vouch(cx, from, &m),
            _ => cx.counters.frames_unexpected += 1,
        }
    }
}

impl Layer for Rendezvous {
    type Message = Message;
    type Command = Command;
    type Timer = Timer;

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        self.on_frame(cx, from, message, Bytes::new());
    }

    fn on_command(&mut self, cx: &mut Cx<'_>, command: Command) {
        match command {
            Command::Serve(ticket, on) => self.serve(cx, ticket, on),
            Command::Register(ticket, on) => self.register_agent(cx, ticket, on),
            Command::LookUp(ticket, agent) => self.look_up(cx, ticket, agent),
            Command::Moved => {
                self.readvertise(cx);
                self.renew_all(cx);
            }
            Command::Leave => self.leave(cx),
        }
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match *signal {
            Signal::LinkUp { peer } => self.shown(cx, peer),
            Signal::LinkDown { peer, reason, dial } => {
                self.questions.remove(&peer);
                if dial && reason != LinkRefusal::Full && (self.is_probed(&peer) || self.is_called(&peer)) {
                    self.not_there(cx, peer);
                }
                self.probe_over(&peer);
                self.calls_failed(cx, peer);
            }
            Signal::NeighborUp { overlay: Overlay::Root, peer } => self.vouch_to(cx, peer),
            Signal::NeighborDown { overlay: Overlay::Root, peer, .. } => self.vouches_no_more(&peer),
            Signal::NeighborUp { overlay: Overlay::Topic(topic), .. } => self.topic_neighbors(topic, 1),
            Signal::NeighborDown { overlay: Overlay::Topic(topic), .. } => {
                self.topic_neighbors(topic, -1);
                self.seek_again(cx, topic);
            }
            Signal::OwnCertificate => self.renew_all(cx),
            Signal::TopicEntered { topic } => self.topic_entered(cx, topic),
            Signal::TopicLeft { topic } => self.topic_left(cx, topic),
            Signal::RecordChanged { set: INDEX, key, .. } if self.index.changed(cx.records, &key) => {
                self.advert_changed(cx, NodeId(key.0));
                cx.deadlines.set_no_later(TimerKey::Rendezvous(Timer::Changed), cx.now.mono + CHANGED);
            }
            _ => {}
        }
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::Serve => self.tend_advert(cx),
            Timer::Calls => self.tend_calls(cx),
            Timer::Look(id) => self.hedge(cx, id),
            Timer::Shelf => self.sweep_shelf(cx),
            Timer::Registration(subject) => self.tend_registration(cx, subject),
            Timer::Topic(topic) => self.tend_topic(cx, topic),
            Timer::Changed => self.index_changed(cx),
            Timer::Judge => self.judge(cx),
            Timer::Probe => self.probe(cx),
        }
    }
}

impl Rendezvous {
    /// Where everything is now: registrations that have new holders are left with them.
    fn index_changed(&mut self, cx: &mut Cx<'_>) {
        for subject in self.registrations.keys().copied().collect::<Vec<_>>() {
            self.tend_registration(cx, subject);
        }
        // It may have been displaced. Who has none looks when it is time.
        if self.serving.has_own() {
            self.tend_advert(cx);
        }
    }

    fn leave(&mut self, cx: &mut Cx<'_>) {
        self.stop_serving(cx);
        self.registrations.clear();
        self.topics.clear();
        for (_, l) in std::mem::take(&mut self.looking) {
            l.give_up(cx);
        }
    }
}
