//! A network that came together by itself: every node started with one random earlier node's address.

use tidings_proto::discovery::Search;
use tidings_proto::identity::{PeerAddr, TopicId};
use tidings_proto::io::{Command, CommandError, Event, Outgoing, Overlay, Ticket};
use tidings_proto::messaging::{Delivered, Kept};
use tidings_proto::rng::Rng;
use tidings_proto::time::{Span, Time};

use super::graph::Graph;
use super::ledger::Ledger;
use super::players::Players;
use crate::network::{Network, Told};
use crate::options::Options;

/// Size of every payload.
pub(super) const SIZE: usize = 256;

/// Until neighbours, the index and everybody in it are there.
const SETTLE: Span = Span::from_secs(20);
const INDEXED: Span = Span::from_secs(60);
const REGISTERED: Span = Span::from_secs(30);

/// What came of a direct message: when, at which node, and what.
pub(super) type Sent = (Time, u32, Ticket, Result<Delivered, CommandError>);

pub(super) struct Stage {
    pub(super) net: Network,
    pub(super) rng: Rng,
    pub(super) ledger: Ledger,
    pub(super) topic: TopicId,
    /// What came of looking for agents.
    pub(super) located: Vec<(Time, u32, Ticket, Search)>,
    /// What came of direct messages, if it is kept.
    pub(super) sent: Option<Vec<Sent>>,
    /// Direct messages that others keep, if it is kept here.
    pub(super) kept: Option<Vec<(Time, u32, Ticket, Kept)>>,
    /// What nodes said of their neighbours, if it is kept.
    pub(super) heard: Option<Vec<(Time, u32, Event)>>,
    /// The one address each node started with.
    first: Vec<Option<PeerAddr>>,
    /// Who plays the nodes without a core.
    pub(super) players: Option<Players>,
    subscribed: bool,
    told: Vec<(u32, Told)>,
}

impl Stage {
    /// Starts all nodes, over ten seconds at most, and lets them settle. All subscribe to one topic.
    pub(super) fn set(options: &Options, seed: u64, settle: Span) -> Stage {
        Stage::of(options, seed, settle, true)
    }

    /// As [`Stage::set`], in the network's own overlay only.
    pub(super) fn set_without_topic(options: &Options, seed: u64, settle: Span) -> Stage {
        Stage::of(options, seed, settle, false)
    }

    /// As [`Stage::set_without_topic`], with everybody in the index.
    pub(super) fn set_indexed(options: &Options, seed: u64) -> Stage {
        let mut stage = Stage::of(options, seed, SETTLE, false);
        let up = stage.alive();
        for (span, command) in
            [(INDEXED, Command::ServeIndex { on: true }), (REGISTERED, Command::Register { on: true })]
        {
            for n in &up {
                stage.net.command(*n, Ticket(0), command.clone());
                stage.run(Span(span.0 / up.len() as u64));
            }
        }
        stage
    }

    fn of(options: &Options, seed: u64, settle: Span, subscribed: bool) -> Stage {
        let net = Network::new(options, seed);
        let rng = net.script_rng("scenario");
        let topic = TopicId(*blake3::hash(b"scenario topic").as_bytes());
        let ledger = Ledger::default();
        let mut stage = Stage {
            net,
            rng,
            ledger,
            topic,
            located: Vec::new(),
            sent: None,
            kept: None,
            heard: None,
            first: Vec::new(),
            players: None,
            subscribed,
            told: Vec::new(),
        };
        let apart = Span((10_000_000 / options.nodes as u64).clamp(500, 50_000));
        for i in 0..options.nodes as u32 {
            let contact = stage.contact(i);
            let n = stage.add(contact);
            // Who is there first is somebody's first contact.
            if i > 0 && options.unreachable > 0.0 && stage.rng.unit() < options.unreachable {
                stage.net.shield(n);
            }
            stage.run(apart);
        }
        stage.run(settle);
        stage
    }

    /// A random earlier node, of those that can be dialed: an address that nobody answers at lets nobody in.
    fn contact(&mut self, i: u32) -> Option<u32> {
        loop {
            let c = (i > 0).then(|| self.rng.below(i as usize) as u32)?;
            if !self.net.is_shielded(c) {
                return Some(c);
            }
        }
    }

    /// Starts a new node that knows `contact`.
    pub(super) fn add(&mut self, contact: Option<u32>) -> u32 {
        let n = self.net.add();
        self.first.resize(self.net.len(), None);
        self.first[n as usize] = contact.map(|c| self.net.peer_addr(c));
        self.enter(n);
        n
    }

    /// The bootstrap peers that a node started with: one, or none for the very first.
    pub(super) fn first(&self, n: u32) -> Vec<PeerAddr> {
        self.first[n as usize].iter().cloned().collect()
    }

    fn enter(&mut self, n: u32) {
        let peers = self.first(n);
        if !peers.is_empty() {
            self.net.command(n, Ticket(0), Command::Join { peers });
        }
        if self.subscribed {
            self.net.command(n, Ticket(0), Command::Subscribe { topic: self.topic });
        }
    }

    /// Starts node `n` again with its key, its disk, and the address it began with.
    pub(super) fn restart(&mut self, n: u32) {
        self.ledger.restarted(n);
        self.net.start(n);
        self.enter(n);
    }

    pub(super) fn now(&self) -> Time {
        self.net.now()
    }

    /// Runs the network for a while, keeping the books.
    pub(super) fn run(&mut self, span: Span) {
        let until = self.net.now() + span;
        self.run_until(until);
    }

    pub(super) fn run_until(&mut self, until: Time) {
        let mut told = std::mem::take(&mut self.told);
        while self.net.step(until, &mut told) {
            let now = self.net.now();
            for (n, t) in told.drain(..) {
                match t {
                    Told::Event(Event::Delivered(d)) => {
                        let net = &self.net;
                        self.ledger.deliver(n, now, &d, |id| net.index(id));
                    }
                    Told::Event(Event::Gap { .. }) => self.ledger.gaps += 1,
                    Told::Event(e) => {
                        if let Some(heard) = &mut self.heard {
                            heard.push((now, n, e));
                        }
                    }
                    Told::Reply => {}
                    Told::Sent(ticket, what) => {
                        if let Some(sent) = &mut self.sent {
                            sent.push((now, n, ticket, what));
                        }
                    }
                    Told::Kept(ticket, what) => {
                        if let Some(kept) = &mut self.kept {
                            kept.push((now, n, ticket, what));
                        }
                    }
                    Told::Located(ticket, found) => self.located.push((now, n, ticket, found)),
                    Told::Overheard(from, bytes) => {
                        if let Some(players) = &mut self.players {
                            players.overhear(from, bytes);
                        }
                    }
                    Told::Puppet(input) => {
                        if let Some(players) = &mut self.players {
                            players.react(&mut self.net, n, input);
                        }
                    }
                }
            }
        }
        self.told = told;
    }

    /// Those who play nodes without a core do their worst, once.
    pub(super) fn act(&mut self, honest: &[u32]) {
        if let Some(mut players) = self.players.take() {
            players.act(&mut self.net, honest);
            self.players = Some(players);
        }
    }

    /// Publishes on another topic than all are in.
    pub(super) fn publish_on(&mut self, by: u32, topic: TopicId) {
        let payload = self.ledger.publish(by, self.net.now(), SIZE, false);
        let message = Outgoing { payload: payload.into(), ..Outgoing::default() };
        self.net.command(by, Ticket(1), Command::Publish { topic, message });
    }

    pub(super) fn publish(&mut self, by: u32, measured: bool) {
        let payload = self.ledger.publish(by, self.net.now(), SIZE, measured);
        let message = Outgoing { payload: payload.into(), ..Outgoing::default() };
        self.net.command(by, Ticket(1), Command::Publish { topic: self.topic, message });
    }

    /// Nodes that are up.
    pub(super) fn alive(&self) -> Vec<u32> {
        (0..self.net.len() as u32).filter(|n| self.net.node(*n).is_some()).collect()
    }

    /// The share of the nodes that are up in the largest component of an overlay's active views; an edge counts when
    /// both ends have it.
    pub(super) fn connected(&self, overlay: Overlay) -> f64 {
        Graph::of(&self.net, overlay).connected()
    }

    /// The smaller of [`Stage::connected`] in the network's overlay and in the topic's.
    pub(super) fn whole(&self) -> f64 {
        let root = self.connected(Overlay::Root);
        if self.subscribed { root.min(self.connected(Overlay::Topic(self.topic))) } else { root }
    }

    /// What must hold of every node at any time.
    pub(super) fn check(&mut self) {
        self.ledger.broken.extend(self.net.take_broken());
        for n in self.alive() {
            let Some(node) = self.net.node(n) else { continue };
            let mut wrong = Vec::new();
            for overlay in [Overlay::Root, Overlay::Topic(self.topic)] {
                let Some(v) = node.view(overlay) else { continue };
                let me = self.net.id(n);
                if v.active.len() > 12 || v.passive.len() > 128 {
                    wrong.push(format!("node {n} has views of {} and {}", v.active.len(), v.passive.len()));
                }
                if v.active.contains(&me) || v.passive.contains(&me) {
                    wrong.push(format!("node {n} is in its own views"));
                }
                if v.active.iter().any(|p| v.passive.contains(p)) {
                    wrong.push(format!("node {n} has a peer in both views"));
                }
            }
            if node.counters().turns_over_budget > 0 {
                wrong.push(format!("node {n} had turns over the routing budget"));
            }
            self.ledger.broken.extend(wrong);
        }
    }
}
