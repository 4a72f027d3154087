//! A node under test, its disk, and peers that speak the protocol by hand.

#![allow(dead_code, missing_docs, reason = "each test binary uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use tidings_proto::config::GossipConfig;
use tidings_proto::counters::Counters;
use tidings_proto::crypto::{Crypto, SimCrypto};
use tidings_proto::identity::{Addr, AgentSecret, Network, NodeId, PeerAddr, SecretKey, TopicId};
use tidings_proto::io::*;
use tidings_proto::log::*;
use tidings_proto::node::{Error, Node};
use tidings_proto::pubsub::{Batch, BatchHeader, BatchKey, Delivery, Position};
use tidings_proto::time::{Now, Span, Time, UnixMillis};
use tidings_proto::wire::*;

/// When every test begins, by the wall clock: the start of a period of the size sketch.
pub(crate) const WALL: u64 = 1_699_999_800_000;

/// The incarnation of peers that answer by themselves: they were started a second before the test.
pub(crate) const PEERS_SINCE: u64 = (WALL - 1_000) << 16;

/// The network of the node under test.
pub(crate) fn network() -> Network {
    Network::from_name("test").unwrap()
}

/// The topic most tests are about.
pub(crate) fn news() -> TopicId {
    TopicId::from_name("news").unwrap()
}

/// An address of its own for each peer.
pub(crate) fn addr(n: u8) -> Addr {
    Addr::Socket(([127, 0, 0, 1], 4000 + u16::from(n)).into())
}

/// A message without headers.
pub(crate) fn out(payload: &[u8]) -> Outgoing {
    Outgoing { payload: Bytes::copy_from_slice(payload), ..Outgoing::default() }
}

/// A peer that the test plays.
pub(crate) struct Fake {
    pub(crate) id: NodeId,
    pub(crate) addr: PeerAddr,
    pub(crate) crypto: SimCrypto,
}

impl Fake {
    pub(crate) fn new(n: u8) -> Fake {
        let crypto = SimCrypto::new(&SecretKey::from_bytes([n; 32]));
        let id = crypto.node_id();
        Fake { id, addr: PeerAddr { id, addrs: vec![addr(n)] }, crypto }
    }

    /// One of more than there are numbers for.
    pub(crate) fn of(secret: [u8; 32]) -> Fake {
        let crypto = SimCrypto::new(&SecretKey::from_bytes(secret));
        let id = crypto.node_id();
        Fake { id, addr: PeerAddr { id, addrs: vec![addr(0)] }, crypto }
    }

    /// A header for messages of this peer, to be changed as a test needs it.
    pub(crate) fn header(&self, seq: u64, payloads: &[&[u8]]) -> BatchHeader {
        BatchHeader {
            topic: news(),
            author: self.id,
            epoch: 1,
            first_seq: seq,
            wall_ms: WALL,
            previous: None,
            payloads: payloads.iter().map(|p| p.len() as u32).collect(),
            headers: vec![],
            apart_ms: None,
            large: None,
            certificate: None,
            capability: None,
        }
    }

    /// What this peer signs and seals with.
    pub(crate) fn port(&self) -> &SimCrypto {
        &self.crypto
    }

    /// Signs as this peer.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.crypto.sign(message)
    }

    /// Signs whatever the header says.
    pub(crate) fn seal(&self, header: BatchHeader, payloads: &[&[u8]]) -> Batch {
        self.seal_in(&network(), header, payloads)
    }

    pub(crate) fn seal_in(&self, network: &Network, header: BatchHeader, payloads: &[&[u8]]) -> Batch {
        let messages: Vec<Outgoing> = payloads.iter().map(|p| out(p)).collect();
        Batch::seal(header, &messages, &BatchKey::new(network), &self.crypto)
    }

    /// One message on the usual topic in epoch 1.
    pub(crate) fn batch(&self, seq: u64, payload: &[u8]) -> Batch {
        self.seal(self.header(seq, &[payload]), &[payload])
    }
}

/// A frame that carries a batch one link.
pub(crate) fn gossip(batch: &Batch) -> Frame {
    gossip_bytes(batch.bytes().clone())
}

pub(crate) fn gossip_bytes(batch: Bytes) -> Frame {
    Message::from(Gossip { hop: 1, pulled: false }).frame_with(batch)
}

/// What the node did, in order.
#[derive(Debug)]
pub(crate) enum Did {
    Sent { to: NodeId, lane: Lane, message: Message, payload: Bytes },
    Datagram { to: NodeId, message: Message },
    Dialed(NodeId),
    Closed(NodeId, LinkRefusal),
    Event(Event),
    Replied(Ticket, Reply),
    Stored(StoreTicket),
}

/// What waits to be written.
pub(crate) type Rows = Vec<(Bytes, Option<Bytes>)>;

/// What waits to be appended.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) ticket: StoreTicket,
    pub(crate) topic: TopicId,
    pub(crate) records: Vec<LogRecord>,
    pub(crate) sync: bool,
}

/// A node with a driver that keeps a disk and records everything.
pub(crate) struct Driven {
    pub(crate) node: Node,
    pub(crate) now: Now,
    pub(crate) disk: BTreeMap<Bytes, Bytes>,
    /// Answers `Store` at once; otherwise it is left in `writes`.
    pub(crate) auto_store: bool,
    /// What the disk says to writes.
    pub(crate) store_result: Result<(), StoreError>,
    /// Gives back what was sent at once.
    pub(crate) auto_credit: bool,
    /// Linked peers answer pings at once.
    pub(crate) auto_ack: bool,
    /// But for these.
    pub(crate) mute: BTreeSet<NodeId>,
    /// And these answer datagrams only, and read nothing.
    pub(crate) hung: BTreeSet<NodeId>,
    /// Answers every dial with a link.
    pub(crate) auto_link: bool,
    pub(crate) writes: Vec<(StoreTicket, Rows)>,
    /// The durable log, as it was appended.
    pub(crate) log: Vec<(TopicId, LogRecord)>,
    /// Answers `Append` at once; otherwise it is left in `appends`.
    pub(crate) auto_append: bool,
    /// What the log says.
    pub(crate) log_result: Result<(), LogError>,
    pub(crate) appends: Vec<Append>,
    pub(crate) did: Vec<Did>,
    /// The names of all that was to be written, in order.
    written: Vec<Bytes>,
    next_ticket: u64,
}

/// The secret of the node under test.
pub(crate) const SECRET: [u8; 32] = [200; 32];

impl Driven {
    /// A node that has not been told yet what is stored.
    pub(crate) fn unloaded(config: GossipConfig) -> Driven {
        Driven::drawn(config, 5)
    }

    fn drawn(config: GossipConfig, seed: u8) -> Driven {
        Driven::with_port(config, seed, SimCrypto::new(&SecretKey::from_bytes(SECRET)))
    }

    /// A node with a key of its own.
    pub(crate) fn keyed(key: u8) -> Driven {
        let port = SimCrypto::new(&SecretKey::from_bytes([key; 32]));
        let mut d = Driven::with_port(GossipConfig::default(), 5, port);
        d.run();
        d.command(Command::SetAddrs { addrs: vec![addr(200)] });
        d
    }

    /// A node that speaks for an agent.
    pub(crate) fn agent(agent: &AgentSecret) -> Driven {
        let port = SimCrypto::with_agent(&SecretKey::from_bytes(SECRET), agent);
        let mut d = Driven::with_port(GossipConfig::default(), 5, port);
        d.run();
        d.command(Command::SetAddrs { addrs: vec![addr(200)] });
        d
    }

    /// A node that signs with this, and has not been told yet what is stored.
    pub(crate) fn with_port(config: GossipConfig, seed: u8, crypto: impl Crypto + 'static) -> Driven {
        let now = Now { mono: Time(1_000_000_000), wall: UnixMillis(WALL) };
        let secret = SecretKey::from_bytes(SECRET);
        let crypto = Arc::new(crypto);
        config.validate().expect("a usable configuration");
        let setup = NodeSetup { secret, network: network(), config, seed: [seed; 32] };
        Driven {
            node: Node::new(setup, crypto, now),
            now,
            disk: BTreeMap::new(),
            auto_store: true,
            store_result: Ok(()),
            auto_credit: true,
            auto_ack: true,
            mute: BTreeSet::new(),
            hung: BTreeSet::new(),
            auto_link: false,
            writes: Vec::new(),
            log: Vec::new(),
            auto_append: true,
            log_result: Ok(()),
            appends: Vec::new(),
            did: Vec::new(),
            written: Vec::new(),
            next_ticket: 0,
        }
    }

    pub(crate) fn with(config: GossipConfig) -> Driven {
        let mut d = Driven::unloaded(config);
        d.run();
        d.command(Command::SetAddrs { addrs: vec![addr(200)] });
        d
    }

    pub(crate) fn new() -> Driven {
        Driven::with(GossipConfig::default())
    }

    /// A node with dice of its own.
    pub(crate) fn seeded(seed: u8) -> Driven {
        let mut d = Driven::drawn(GossipConfig::default(), seed);
        d.run();
        d.command(Command::SetAddrs { addrs: vec![addr(200)] });
        d
    }

    /// A node on the usual topic.
    pub(crate) fn on_topic() -> Driven {
        let mut d = Driven::new();
        d.command(Command::Subscribe { topic: news() });
        d
    }

    /// The same node started again, on what is on the disk.
    pub(crate) fn restart(self, after: Span) -> Driven {
        let mut d = Driven::unloaded(GossipConfig::default());
        d.disk = self.disk;
        d.log = self.log;
        d.now.wall = UnixMillis(self.now.wall.0 + after.as_millis());
        d.run();
        d.command(Command::SetAddrs { addrs: vec![addr(200)] });
        d
    }

    /// How often something of this beginning was written.
    pub(crate) fn writes_of(&self, prefix: &[u8]) -> usize {
        self.written.iter().filter(|k| k.starts_with(prefix)).count()
    }

    pub(crate) fn id(&self) -> NodeId {
        self.node.id()
    }

    /// Hands one input in and does all that follows from it.
    pub(crate) fn input(&mut self, input: Input) -> Result<(), Error> {
        let result = self.node.handle(self.now, input);
        self.run();
        result
    }

    /// Hands one input in without polling: the turn goes on.
    pub(crate) fn hand_in(&mut self, input: Input) -> Result<(), Error> {
        self.node.handle(self.now, input)
    }

    /// Carries out everything the node wants.
    pub(crate) fn run(&mut self) {
        while let Some(o) = self.node.poll() {
            match o {
                Output::Send { peer, lane, frame } => {
                    let bytes = frame.len();
                    let (message, payload) = Message::parse(frame.to_bytes()).unwrap().expect("a known tag");
                    let reads = self.answers(&peer) && !self.hung.contains(&peer);
                    if let (true, Message::Ping(p)) = (reads, &message) {
                        let ack = Message::from(Ack { seq: p.seq, incarnation: PEERS_SINCE });
                        let bytes = ack.frame().to_bytes();
                        self.node.handle(self.now, Input::Frame { from: peer, lane, bytes }).unwrap();
                    }
                    self.did.push(Did::Sent { to: peer, lane, message, payload });
                    if self.auto_credit {
                        self.node.handle(self.now, Input::SendCredit { peer, lane, bytes }).unwrap();
                    }
                }
                Output::Datagram { peer, bytes } => {
                    let (message, _) = Message::parse(bytes).unwrap().expect("a known tag");
                    if let (true, Message::Ping(p)) = (self.answers(&peer), &message) {
                        let ack = Message::from(Ack { seq: p.seq, incarnation: PEERS_SINCE });
                        let bytes = ack.frame().to_bytes();
                        self.node.handle(self.now, Input::Datagram { from: peer, bytes }).unwrap();
                    }
                    self.did.push(Did::Datagram { to: peer, message });
                }
                Output::Dial { peer, first, .. } => {
                    self.did.push(Did::Dialed(peer));
                    for frame in first {
                        let (message, payload) = Message::parse(frame.to_bytes()).unwrap().expect("a known tag");
                        self.did.push(Did::Sent { to: peer, lane: Lane::Control, message, payload });
                    }
                    if self.auto_link {
                        let up = Input::LinkUp { peer, addr: None, outbound: true, rtt: None };
                        self.node.handle(self.now, up).unwrap();
                    }
                }
                Output::Close { peer, reason } => {
                    self.did.push(Did::Closed(peer, reason));
                    self.node.handle(self.now, Input::LinkDown { peer, reason: LinkRefusal::Closed }).unwrap();
                }
                Output::Event(e) => self.did.push(Did::Event(e)),
                Output::Reply { ticket, reply } => self.did.push(Did::Replied(ticket, reply)),
                Output::Store { ticket, records } => {
                    self.did.push(Did::Stored(ticket));
                    self.written.extend(records.iter().map(|(key, _)| key.clone()));
                    self.writes.push((ticket, records));
                    if self.auto_store {
                        self.write_all();
                    }
                }
                Output::Load { ticket, prefix } => {
                    let found = self.disk.iter().filter(|(k, _)| k.starts_with(&prefix));
                    let result = Ok(found.map(|(k, v)| (k.clone(), v.clone())).collect());
                    self.node.handle(self.now, Input::Loaded { ticket, result }).unwrap();
                }
                Output::Append { ticket, topic, records, sync } => {
                    self.appends.push(Append { ticket, topic, records, sync });
                    if self.auto_append {
                        self.append_all();
                    }
                }
                Output::ReadLog { ticket, topic, query } => {
                    let result = match &self.log_result {
                        Ok(()) => Ok(self.read_log(&topic, &query)),
                        Err(e) => Err(e.clone()),
                    };
                    self.node.handle(self.now, Input::LogRead { ticket, result }).unwrap();
                }
            }
        }
    }

    /// One batch a page, as it was appended.
    fn read_log(&self, topic: &TopicId, query: &LogQuery) -> LogPage {
        let from = query.after.map_or(0, |p| p.offset as usize);
        let log: Vec<_> = self.log.iter().filter(|(t, r)| t == topic && r.at >= query.since).collect();
        let records = log.get(from).map(|(_, r)| r.clone()).into_iter().collect();
        let next = (from + 1 < log.len()).then_some(LogPlace { part: 0, offset: from as u64 + 1 });
        LogPage { records, next }
    }

    /// Answers the appends that wait, without polling.
    fn append_all(&mut self) {
        for a in std::mem::take(&mut self.appends) {
            let result = self.log_result.clone();
            if result.is_ok() {
                self.log.extend(a.records.into_iter().map(|r| (a.topic, r)));
            }
            self.node.handle(self.now, Input::Appended { ticket: a.ticket, result }).unwrap();
        }
    }

    /// Answers the appends that wait.
    pub(crate) fn append(&mut self) {
        self.append_all();
        self.run();
    }

    /// Whether the node is the end of its link with `peer` that probes.
    pub(crate) fn probes(&self, peer: &Fake) -> bool {
        let (me, it) = (self.id(), peer.id);
        ((me.0[31] ^ it.0[31]) & 1 == 1) == (me < it)
    }

    fn answers(&self, peer: &NodeId) -> bool {
        self.auto_ack && !self.mute.contains(peer)
    }

    /// Answers the writes that wait, without polling.
    fn write_all(&mut self) {
        for (ticket, records) in std::mem::take(&mut self.writes) {
            let result = self.store_result.clone();
            if result.is_ok() {
                for (k, v) in records {
                    match v {
                        Some(v) => self.disk.insert(k, v),
                        None => self.disk.remove(&k),
                    };
                }
            }
            self.node.handle(self.now, Input::Stored { ticket, result }).unwrap();
        }
    }

    /// Answers the writes that wait.
    pub(crate) fn write(&mut self) {
        self.write_all();
        self.run();
    }

    /// Lets time pass, waking the node at each of its deadlines.
    pub(crate) fn pass(&mut self, span: Span) {
        let end = self.now.mono + span;
        loop {
            let next = self.node.deadline().map_or(end, |d| d.0).clamp(self.now.mono, end);
            let at_end = next == end;
            self.now.wall.0 += next.since(self.now.mono).as_millis();
            self.now.mono = next;
            self.input(Input::Tick).unwrap();
            if at_end && self.node.deadline().is_none_or(|d| d.0 > end) {
                return;
            }
        }
    }

    pub(crate) fn pass_ms(&mut self, ms: u64) {
        self.pass(Span::from_millis(ms));
    }

    /// Gives a command; the ticket is what its answer carries.
    pub(crate) fn command(&mut self, command: Command) -> Ticket {
        let ticket = self.hand_in_command(command);
        self.run();
        ticket
    }

    pub(crate) fn hand_in_command(&mut self, command: Command) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.hand_in(Input::Command { ticket, command }).unwrap();
        ticket
    }

    pub(crate) fn publish(&mut self, payload: &[u8]) -> Ticket {
        self.command(Command::Publish { topic: news(), message: out(payload) })
    }

    /// The answer to a command, if it came.
    pub(crate) fn reply(&self, ticket: Ticket) -> Option<&Reply> {
        self.did.iter().find_map(|d| match d {
            Did::Replied(t, reply) if *t == ticket => Some(reply),
            _ => None,
        })
    }

    pub(crate) fn published(&self, ticket: Ticket) -> Published {
        match self.reply(ticket) {
            Some(Reply::Published(p)) => *p,
            other => panic!("not published but {other:?}"),
        }
    }

    /// A link came up from the other side.
    pub(crate) fn link(&mut self, peer: &Fake) {
        let up = Input::LinkUp { peer: peer.id, addr: None, outbound: false, rtt: Some(Span::from_millis(1)) };
        self.input(up).unwrap();
    }

    pub(crate) fn frame(&mut self, from: &Fake, lane: Lane, frame: impl Into<Bytes>) -> Result<(), Error> {
        self.input(Input::Frame { from: from.id, lane, bytes: frame.into() })
    }

    /// A message on the lane it belongs on.
    pub(crate) fn say(&mut self, from: &Fake, message: impl Into<Message>) {
        self.frame(from, Lane::Control, message.into().frame().to_bytes()).unwrap();
    }

    pub(crate) fn datagram(&mut self, from: &Fake, message: impl Into<Message>) {
        let bytes = message.into().frame().to_bytes();
        self.input(Input::Datagram { from: from.id, bytes }).unwrap();
    }

    /// A batch from a neighbour.
    pub(crate) fn bring(&mut self, from: &Fake, batch: &Batch) {
        self.frame(from, Lane::Data, gossip(batch).to_bytes()).unwrap();
    }

    /// Makes `peer` a neighbour in an overlay by asking as a peer would. The link must be up.
    pub(crate) fn befriend(&mut self, peer: &Fake, overlay: Overlay) {
        let overlay_on_wire = match overlay {
            Overlay::Root => None,
            Overlay::Topic(t) => Some(t),
        };
        let ask = Neighbor {
            overlay: overlay_on_wire,
            me: peer.addr.clone(),
            urgent: true,
            room: 1,
            sketch: Sketch::default(),
        };
        self.say(peer, ask);
        assert!(self.node.active_view(overlay).contains(&peer.id), "not let in");
    }

    /// Links `peer` and makes it a neighbour in the network's overlay and on the usual topic.
    pub(crate) fn neighbor(&mut self, peer: &Fake) {
        self.neighbor_on(peer, news());
    }

    /// As [`Driven::neighbor`], on another topic.
    pub(crate) fn neighbor_on(&mut self, peer: &Fake, topic: TopicId) {
        self.link(peer);
        self.befriend(peer, Overlay::Root);
        self.befriend(peer, Overlay::Topic(topic));
    }

    pub(crate) fn counters(&self) -> Counters {
        self.node.counters().clone()
    }

    pub(crate) fn delivered(&self) -> Vec<Delivery> {
        self.did
            .iter()
            .filter_map(|d| match d {
                Did::Event(Event::Delivered(d)) => Some(d.clone()),
                _ => None,
            })
            .collect()
    }

    /// The payloads delivered so far, in order.
    pub(crate) fn payloads(&self) -> Vec<Bytes> {
        self.delivered().iter().flat_map(|d| d.messages().map(|m| m.payload).collect::<Vec<_>>()).collect()
    }

    /// The gaps reported so far: epoch, first and last number.
    pub(crate) fn gaps(&self) -> Vec<(u64, u64, u64)> {
        self.did
            .iter()
            .filter_map(|d| match d {
                Did::Event(Event::Gap { epoch, from, to, .. }) => Some((*epoch, *from, *to)),
                _ => None,
            })
            .collect()
    }

    /// What was sent to `to`, in order.
    pub(crate) fn sent_to(&self, to: &NodeId) -> Vec<&Message> {
        self.did
            .iter()
            .filter_map(|d| match d {
                Did::Sent { to: t, message, .. } if t == to => Some(message),
                _ => None,
            })
            .collect()
    }

    /// The datagrams sent to `to`, in order.
    pub(crate) fn datagrams_to(&self, to: &NodeId) -> Vec<&Message> {
        self.did
            .iter()
            .filter_map(|d| match d {
                Did::Datagram { to: t, message } if t == to => Some(message),
                _ => None,
            })
            .collect()
    }

    /// The batches sent to `to`, in order.
    pub(crate) fn batches_to(&self, to: &NodeId) -> Vec<Batch> {
        self.did
            .iter()
            .filter_map(|d| match d {
                Did::Sent { to: t, message: Message::Gossip(_), payload, .. } if t == to => Some(payload.clone()),
                _ => None,
            })
            .map(|bytes| {
                let peeked = Batch::peek(&bytes).unwrap();
                let verifier = SimCrypto::new(&SecretKey::from_bytes([0; 32]));
                Batch::verify(bytes, peeked, &BatchKey::new(&network()), &verifier).unwrap()
            })
            .collect()
    }

    pub(crate) fn closed(&self) -> Vec<NodeId> {
        self.did
            .iter()
            .filter_map(|d| match d {
                Did::Closed(p, _) => Some(*p),
                _ => None,
            })
            .collect()
    }
}

/// A place in a stream.
pub(crate) fn at(epoch: u64, seq: u64) -> Position {
    Position { epoch, seq }
}
