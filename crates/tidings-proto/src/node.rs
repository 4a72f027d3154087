//! The node: the layers side by side, and the table that routes between them. Holds no policy.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::circuits::Circuits;
use crate::config::GossipConfig;
use crate::counters::Counters;
use crate::crypto::Crypto;
use crate::deadlines::Deadlines;
use crate::discovery::coordinator::Coordinators;
use crate::discovery::foaf::Foaf;
use crate::discovery::reach::{Attestations, Reach};
use crate::discovery::rendezvous::Rendezvous;
use crate::identity::layer::{self as certifying, Identity};
use crate::identity::{self, Addr, Agents, Certificates, NodeId};
use crate::io::{Input, NodeSetup, Output};
use crate::large::{self, Large, Uploads};
use crate::layer::{Cx, Layer, Queues, Request, TimerKey};
use crate::links::Links;
use crate::membership::swim::Swim;
use crate::membership::{self, Membership};
use crate::messaging::{self, Messaging};
use crate::presence::Presence;
use crate::pubsub::PubSub;
use crate::records::{self, Records};
use crate::roles::{self, Roles};
use crate::routing::Routing;
use crate::time::{Now, Span, Time};
use crate::topology::Topology;
use crate::wire::{Lane, Message};

mod agents;
mod info;
mod look;
mod roles_view;

pub use info::{Error, PeerInfo};
pub(crate) use info::{all_as_text, as_text, as_text_or_null};

/// Signals and requests routed in one turn; what exceeds them waits for the next and is counted. A turn of a busy
/// node routes a few dozen; thousands mean that two layers answer each other without end.
const HOPS: usize = 4_096;
/// Frames held back until storage has been read.
const HELD: usize = 4_096;
/// How often unclaimed links are looked for.
const REAP: Span = Span::from_secs(5);

/// Why the node wants to be woken.
pub type Reason = TimerKey;

/// A node: feed it inputs, carry out its outputs, wake it at its deadline.
///
/// Per turn: [`Node::handle`] for each input at hand, then [`Node::poll`] until `None`. What was published in a turn
/// is signed together when `poll` has nothing else left, so a driver that drains its queues before polling gets
/// batches for free.
pub struct Node {
    id: NodeId,
    now: Now,
    config: GossipConfig,
    seed: [u8; 32],
    crypto: Arc<dyn Crypto>,
    own_addrs: Vec<Addr>,
    topology: Topology,
    agents: Agents,
    counters: Counters,
    links: Links,
    deadlines: Deadlines<TimerKey>,
    queues: Queues,
    membership: Membership,
    pubsub: PubSub,
    swim: Swim,
    identity: Identity,
    large: Large,
    records: Records,
    presence: Presence,
    store: records::Store,
    foaf: Foaf,
    reach: Reach,
    coordinators: Coordinators,
    attestations: Attestations,
    rendezvous: Rendezvous,
    roles: Roles,
    messaging: Messaging,
    routing: Routing,
    circuits: Circuits,
    vias: Vec<crate::presence::Via>,
    certificates: Certificates,
    uploads: Uploads,
    held: VecDeque<Input>,
    left: bool,
}

macro_rules! cx {
    ($node:ident) => {
        Cx {
            now: $node.now,
            me: $node.id,
            config: &$node.config,
            seed: &$node.seed,
            crypto: &*$node.crypto,
            own_addrs: &$node.own_addrs,
            topology: &mut $node.topology,
            agents: &mut $node.agents,
            counters: &mut $node.counters,
            certificates: &mut $node.certificates,
            uploads: &mut $node.uploads,
            attestations: &mut $node.attestations,
            vias: &mut $node.vias,
            records: &mut $node.store,
            links: &mut $node.links,
            deadlines: &mut $node.deadlines,
            queues: &mut $node.queues,
        }
    };
}

mod commands;
mod discovery;
mod linked;

impl Node {
    /// A node that has not met anybody. It first asks for what is stored, and carries on when it is `Loaded`.
    pub fn new(setup: NodeSetup, crypto: Arc<dyn Crypto>, now: Now) -> Self {
        let id = crypto.node_id();
        let mut node = Node {
            id,
            now,
            membership: Membership::new(id, &setup.seed, now),
            pubsub: PubSub::new(&setup.network),
            swim: Swim::new(&setup.network, &setup.seed, now),
            identity: Identity::new(&setup.seed),
            large: Large::new(&setup.seed),
            presence: Presence::new(&setup.network, &setup.seed),
            records: Records::new(&setup.network, &setup.seed),
            store: records::Store::new(&setup.seed),
            foaf: Foaf::new(&setup.network, &setup.seed),
            reach: Reach::new(&setup.network),
            coordinators: Coordinators::new(&setup.network, &setup.seed),
            attestations: Attestations::default(),
            rendezvous: Rendezvous::new(&setup.network, &setup.seed),
            roles: Roles::new(id, &setup.network, &setup.seed),
            messaging: Messaging::new(&setup.network, &setup.seed),
            routing: Routing::new(&setup.network, &setup.seed),
            circuits: Circuits::new(&setup.network, &setup.seed),
            vias: Vec::new(),
            certificates: Certificates::default(),
            uploads: Uploads::default(),
            links: Links::new(setup.config.max_links),
            config: setup.config,
            seed: setup.seed,
            crypto,
            own_addrs: Vec::new(),
            topology: Topology::default(),
            agents: Agents::default(),
            counters: Counters::default(),
            deadlines: Deadlines::default(),
            queues: Queues::default(),
            held: VecDeque::new(),
            left: false,
        };
        node.deadlines.set(TimerKey::Reap, now.mono + REAP);
        node.identity.begin(&mut cx!(node));
        node.messaging.begin(&mut cx!(node));
        node.roles.begin(&mut cx!(node));
        node.membership.begin(&mut cx!(node));
        node.pubsub.begin(&mut cx!(node));
        node
    }

    /// Takes in one input. An error says what was dropped; the node's state is as if it had never come.
    pub fn handle(&mut self, now: Now, input: Input) -> Result<(), Error> {
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
        let result = self.take(input);
        self.fire();
        self.route();
        result
    }

    fn take(&mut self, input: Input) -> Result<(), Error> {
        if !self.pubsub.loaded() {
            match input {
                Input::Loaded { .. } | Input::Stored { .. } | Input::Tick | Input::Acknowledged { .. } => {}
                Input::Frame { from, .. } | Input::Datagram { from, .. } if self.held.len() >= HELD => {
                    self.counters.frames_unexpected += 1;
                    return Err(Error::NotReady { from });
                }
                other => {
                    self.held.push_back(other);
                    return Ok(());
                }
            }
        }
        match input {
            Input::Frame { from, lane, bytes } => return self.on_frame(from, lane, bytes),
            Input::Datagram { from, bytes } => return self.on_datagram(from, bytes),
            Input::LinkUp { peer, addr, outbound, rtt } => self.on_link_up(peer, addr, outbound, rtt),
            Input::LinkDown { peer, reason } => self.driver_lost(peer, reason),
            Input::DialFailed { peer, reason } => self.on_dial_failed(peer, reason),
            Input::SendCredit { peer, lane, bytes } => {
                self.links.on_credit(&peer, lane, bytes, self.now.mono);
                if lane == Lane::Bulk {
                    self.pubsub.pump(&mut cx!(self), peer);
                    self.records.pump(&mut cx!(self), peer);
                }
                self.large.on_credit(&mut cx!(self), peer, lane);
            }
            Input::Acknowledged { peers } => self.swim.acknowledged(self.now.mono, &peers),
            Input::Command { ticket, command } => self.on_command(ticket, command),
            Input::Stored { ticket, result } if membership::is_ours(ticket) => {
                self.membership.on_stored(&mut cx!(self), result);
            }
            Input::Loaded { ticket, result } if membership::is_ours(ticket) => {
                self.membership.on_loaded(&mut cx!(self), result);
            }
            Input::Stored { ticket, result } if identity::is_ours(ticket) => {
                self.identity.on_stored(&mut cx!(self), ticket, result);
            }
            Input::Loaded { ticket, result } if identity::is_ours(ticket) => {
                self.identity.on_loaded(&mut cx!(self), result);
            }
            Input::Stored { ticket, result } if roles::is_ours(ticket) => {
                self.roles.on_stored(&mut cx!(self), result);
            }
            Input::Loaded { ticket, result } if roles::is_ours(ticket) => {
                self.roles.on_loaded(&mut cx!(self), result);
            }
            Input::Stored { ticket, result } if messaging::is_ours(ticket) => {
                self.messaging.on_stored(&mut cx!(self), ticket, result);
            }
            Input::Loaded { ticket, result } if messaging::is_ours(ticket) => {
                self.messaging.on_loaded(&mut cx!(self), result);
            }
            Input::Stored { ticket, result } => {
                self.pubsub.on_stored(&mut cx!(self), ticket, result);
                if let Some(epoch) = self.pubsub.epoch().filter(|_| !self.presence.has_begun()) {
                    self.presence.begin(&mut cx!(self), epoch);
                }
            }
            Input::Loaded { ticket, result } => {
                let before = self.pubsub.loaded();
                self.pubsub.on_loaded(&mut cx!(self), ticket, result);
                if !before {
                    self.swim.begin(self.now, self.pubsub.start());
                }
                for held in std::mem::take(&mut self.held) {
                    // Their errors are counted where they happen.
                    let _ = self.take(held);
                }
            }
            Input::Appended { ticket, result } => self.pubsub.on_appended(&mut cx!(self), ticket, result),
            Input::LogRead { ticket, result } => self.pubsub.on_log_read(&mut cx!(self), ticket, result),
            Input::Tick => {}
        }
        Ok(())
    }

    fn on_frame(&mut self, from: NodeId, lane: Lane, bytes: Bytes) -> Result<(), Error> {
        self.counters.frames_in += 1;
        if !self.links.is_up(&from) {
            self.counters.frames_unexpected += 1;
            return Ok(());
        }
        let (message, payload) = match Message::parse(bytes) {
            Ok(Some(m)) => m,
            Ok(None) => {
                self.counters.frames_unknown += 1;
                return Ok(());
            }
            Err(error) => {
                self.counters.frames_malformed += 1;
                return Err(Error::Wire { from, error });
            }
        };
        let expected = match &message {
            Message::Gossip(_) => Lane::Data,
            Message::Bundle(_)
            | Message::Symbols(_)
            | Message::Served(_)
            | Message::Chunk(_)
            | Message::Capability(_)
            | Message::Certificate(_) => Lane::Bulk,
            Message::Records(_) if lane == Lane::Bulk => Lane::Bulk,
            _ => Lane::Control,
        };
        if lane != expected {
            self.counters.frames_wrong_lane += 1;
            return Err(Error::Lane { from, name: message.name(), lane });
        }
        self.links.on_frame(&from, self.now.mono);
        self.swim.heard(&mut cx!(self), from);
        match message {
            m if records::Store::is_meant(&m) => self.records.on_frame(&mut cx!(self), from, lane, m, payload),
            Message::Release(_) => self.links.on_release(&mut self.queues.out, &mut self.counters, from),
            Message::Gossip(_)
            | Message::IHave(_)
            | Message::Graft(_)
            | Message::Prune(_)
            | Message::Fetch(_)
            | Message::Bundle(_)
            | Message::Compare(_)
            | Message::Same(_)
            | Message::Differ(_)
            | Message::Ranges(_)
            | Message::Pull(_)
            | Message::AskSymbols(_)
            | Message::Symbols(_)
            | Message::WantItems(_)
            | Message::Offer(_)
            | Message::AskCapabilities(_)
            | Message::Capability(_)
            | Message::Served(_) => {
                self.pubsub.on_frame(&mut cx!(self), from, message, payload);
            }
            Message::Want(_) | Message::Have(_) | Message::Chunk(_) | Message::Lack(_) | Message::Unwant(_) => {
                self.large.on_frame(&mut cx!(self), from, message, payload);
            }
            Message::Certified(_)
            | Message::AskCertificates(_)
            | Message::Certificate(_)
            | Message::NoCertificates(_) => self.identity.on_frame(&mut cx!(self), from, message, payload),
            m @ Message::VouchFor(_) => self.roles.on_frame(&mut cx!(self), from, &m, &payload),
            m if Circuits::is_meant(&m) => self.counters.frames_unexpected += 1,
            // What relays carry is not carried by relays.
            m if Routing::is_meant(&m) && self.links.is_circuit(&from) => self.counters.frames_unexpected += 1,
            m if Routing::is_meant(&m) => self.routing.on_frame(&mut cx!(self), from, m, &payload),
            m if messaging::is_meant(&m) => self.messaging.on_frame(&mut cx!(self), from, m, &payload),
            m if discovery::is_ours(&m) => self.on_discovery(from, m, payload),
            Message::Ping(_)
            | Message::Ack(_)
            | Message::PingReq(_)
            | Message::Nack(_)
            | Message::RelayedPing(_)
            | Message::Alive(_)
            | Message::Suspect(_)
            | Message::Neighbors(_) => self.swim.on_message(&mut cx!(self), from, message),
            _ => self.membership.on_message(&mut cx!(self), from, message),
        }
        Ok(())
    }

    /// Fires what is due.
    fn fire(&mut self) {
        let mut left = HOPS;
        while let Some(key) = self.deadlines.pop_due(self.now.mono) {
            match key {
                TimerKey::Reap => {
                    self.links.reap(&mut self.queues.out, &mut self.counters, self.now.mono);
                    self.deadlines.set(TimerKey::Reap, self.now.mono + REAP);
                }
                TimerKey::Membership(t) => self.membership.on_timer(&mut cx!(self), t),
                TimerKey::PubSub(t) => self.pubsub.on_timer(&mut cx!(self), t),
                TimerKey::Swim(t) => self.swim.on_timer(&mut cx!(self), t),
                TimerKey::Presence(t) => self.presence.on_timer(&mut cx!(self), t),
                TimerKey::Identity(t) => self.identity.on_timer(&mut cx!(self), t),
                TimerKey::Records(t) => self.records.on_timer(&mut cx!(self), t),
                TimerKey::Large(t) => self.large.on_timer(&mut cx!(self), t),
                TimerKey::Foaf(t) => self.foaf.on_timer(&mut cx!(self), t),
                TimerKey::Reach(t) => self.reach.on_timer(&mut cx!(self), t),
                TimerKey::Coordinators(t) => self.coordinators.on_timer(&mut cx!(self), t),
                TimerKey::Routing(t) => self.routing.on_timer(&mut cx!(self), t),
                TimerKey::Circuits => {
                    self.circuits.tend(&mut cx!(self));
                    self.hand_in();
                }
                TimerKey::Messaging(t) => self.messaging.on_timer(&mut cx!(self), t),
                TimerKey::Roles(t) => self.roles.on_timer(&mut cx!(self), t),
                TimerKey::Rendezvous(t) => self.rendezvous.on_timer(&mut cx!(self), t),
            }
            left -= 1;
            if left == 0 {
                self.counters.turns_over_budget += 1;
                break;
            }
        }
    }

    /// Routes signals to every layer and requests to theirs, first in, first out.
    fn route(&mut self) {
        for _ in 0..HOPS {
            if let Some(signal) = self.queues.signals.pop_front() {
                self.identity.on_signal(&mut cx!(self), &signal);
                self.membership.on_signal(&mut cx!(self), &signal);
                self.pubsub.on_signal(&mut cx!(self), &signal);
                self.swim.on_signal(&mut cx!(self), &signal);
                self.large.on_signal(&mut cx!(self), &signal);
                self.records.on_signal(&mut cx!(self), &signal);
                self.foaf.on_signal(&mut cx!(self), &signal);
                self.reach.on_signal(&mut cx!(self), &signal);
                self.coordinators.on_signal(&mut cx!(self), &signal);
                self.presence.on_signal(&mut cx!(self), &signal);
                self.rendezvous.on_signal(&mut cx!(self), &signal);
                self.messaging.on_signal(&mut cx!(self), &signal);
                self.roles.on_signal(&mut cx!(self), &signal);
                self.routing.on_signal(&mut cx!(self), &signal);
            } else if let Some((ticket, request)) = self.queues.requests.pop_front() {
                match request {
                    Request::Convey(c) => self.routing.on_command(&mut cx!(self), *c),
                    Request::DrawRelays(most) => {
                        let drawn = self.rendezvous.index().drawn(self.now.wall, most);
                        self.messaging.set_drawn(&drawn);
                        self.routing.set_drawn(drawn);
                    }
                    Request::Remember(peer) => self.membership.remember_way(*peer),
                    Request::Prove(node, epoch, certificate, from) => {
                        let named = certifying::Command::Named(node, epoch, certificate, from);
                        self.identity.on_command(&mut cx!(self), named);
                    }
                    Request::PutRecord(set, bytes) => {
                        self.records.on_command(&mut cx!(self), records::Command::Put(set, bytes));
                    }
                    Request::RefreshRecord(set, key, refresh) => {
                        self.records.on_command(&mut cx!(self), records::Command::Refresh(set, key, refresh));
                    }
                    Request::Offer(topic, content) => {
                        self.large.on_command(&mut cx!(self), large::Command::Offer(topic, content));
                    }
                    Request::Pull(topic, from, manifest) => {
                        self.large.on_command(&mut cx!(self), large::Command::Pull(topic, from, *manifest));
                    }
                    Request::Enter(_) | Request::Exit(_) | Request::Introduce(..) => {
                        if let Request::Exit(topic) = request {
                            self.large.on_command(&mut cx!(self), large::Command::Forget(topic));
                        }
                        self.membership.on_command(&mut cx!(self), membership::Command::Request(ticket, request));
                        for (ticket, done) in self.membership.take_done() {
                            self.pubsub.on_done(&mut cx!(self), ticket, done);
                        }
                    }
                }
            } else {
                let up = self.routing.take_up();
                if up.is_empty() {
                    return;
                }
                for up in up {
                    self.on_up(up);
                }
            }
        }
        self.counters.turns_over_budget += 1;
        self.deadlines.set(TimerKey::Reap, self.now.mono);
    }

    /// The next thing to carry out; `None` when the turn is over.
    pub fn poll(&mut self) -> Option<Output> {
        loop {
            if let Some(out) = self.queues.out.pop_front() {
                match self.circuits.keep(&mut cx!(self), out) {
                    Some(out) => return Some(out),
                    None => self.hand_in(),
                }
            } else {
                let any = self.pubsub.flush(&mut cx!(self)) || self.records.flush(&mut cx!(self));
                if !any && !self.messaging.flush(&mut cx!(self)) && !self.flush_circuits() {
                    return None;
                }
            }
            self.route();
        }
    }

    /// When the node wants an [`Input::Tick`], and why.
    pub fn deadline(&self) -> Option<(Time, Reason)> {
        self.deadlines.next()
    }
}
