//! What a node does for each batch: how long it takes, with simulated and with real signatures.
//!
//! The node is in the middle of a tree: one neighbour brings batches, four take them, five are announced to.

#![allow(missing_docs, reason = "criterion's macros define functions")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tidings_proto::config::GossipConfig;
use tidings_proto::crypto::{Crypto, SimCrypto};
use tidings_proto::identity::{Addr, Network, NodeId, PeerAddr, SecretKey, TopicId};
use tidings_proto::io::*;
use tidings_proto::node::Node;
use tidings_proto::pubsub::{Batch, BatchHeader, BatchKey, MAX_MESSAGE};
use tidings_proto::time::{Now, Span, Time, UnixMillis};
use tidings_proto::wire::*;

const WALL: u64 = 1_700_000_000_000;

type Port = fn(u8) -> Arc<dyn Crypto>;

fn sim(n: u8) -> Arc<dyn Crypto> {
    Arc::new(SimCrypto::new(&SecretKey::from_bytes([n; 32])))
}

#[cfg(feature = "aws-lc")]
fn real(n: u8) -> Arc<dyn Crypto> {
    Arc::new(tidings_proto::crypto::AwsLc::new(&SecretKey::from_bytes([n; 32])).expect("a key"))
}

const PORTS: &[(&str, Port)] = &[
    ("sim", sim),
    #[cfg(feature = "aws-lc")]
    ("real", real),
];

fn network() -> Network {
    Network::from_name("bench").expect("a name")
}

fn topic() -> TopicId {
    TopicId::from_name("bench").expect("a name")
}

/// One message of 256 bytes, and a batch as full as they get.
const LOADS: &[(&str, usize, usize)] = &[("256B", 1, 256), ("64KiB", 2, MAX_MESSAGE)];

struct Author {
    crypto: Arc<dyn Crypto>,
    key: BatchKey,
    seq: u64,
}

impl Author {
    fn new(port: Port) -> Author {
        Author { crypto: port(100), key: BatchKey::new(&network()), seq: 1 }
    }

    fn header(&self, count: usize, size: usize) -> BatchHeader {
        BatchHeader {
            topic: topic(),
            author: self.crypto.node_id(),
            epoch: 1,
            first_seq: self.seq,
            wall_ms: WALL,
            previous: None,
            payloads: vec![size as u32; count],
            headers: vec![],
            apart_ms: None,
            large: None,
            certificate: None,
            capability: None,
        }
    }

    fn batch(&mut self, count: usize, size: usize) -> Batch {
        let header = self.header(count, size);
        self.seq += count as u64;
        Batch::seal(header, &messages(count, size), &self.key, &*self.crypto)
    }
}

fn messages(count: usize, size: usize) -> Vec<Outgoing> {
    vec![Outgoing { payload: vec![7; size].into(), ..Outgoing::default() }; count]
}

fn gossip(batch: &Batch) -> Bytes {
    Message::from(Gossip { hop: 3, pulled: false }).frame_with(batch.bytes().clone()).to_bytes()
}

/// A node and the least a driver does.
struct Driven {
    node: Node,
    now: Now,
    peers: Vec<NodeId>,
}

impl Driven {
    fn new(port: Port) -> Driven {
        let now = Now { mono: Time(1_000_000_000), wall: UnixMillis(WALL) };
        let secret = SecretKey::from_bytes([1; 32]);
        let setup = NodeSetup { secret, network: network(), config: GossipConfig::default(), seed: [2; 32] };
        let peers: Vec<NodeId> = (10..20).map(|n| port(n).node_id()).collect();
        let mut d = Driven { node: Node::new(setup, port(1), now), now, peers };
        d.run();
        d.input(Input::Command { ticket: Ticket(1), command: Command::Subscribe { topic: topic() } });
        for (i, peer) in d.peers.clone().into_iter().enumerate() {
            d.input(Input::LinkUp { peer, addr: None, outbound: false, rtt: Some(Span::from_millis(1)) });
            let me = PeerAddr { id: peer, addrs: vec![Addr::Socket(([127, 0, 0, 1], 4000 + i as u16).into())] };
            let sketch = Sketch { period: WALL / 600_000, hashes: (0..16).map(|h| h << 52).collect() };
            for overlay in [None, Some(topic())] {
                d.say(peer, Neighbor { overlay, me: me.clone(), urgent: true, room: 1, sketch: sketch.clone() });
            }
        }
        assert_eq!(d.node.active_view(Overlay::Topic(topic())).len(), 10);
        let first = Author::new(port).batch(1, 1);
        d.frame(d.peers[0], Lane::Data, gossip(&first));
        for (i, peer) in d.peers.clone().into_iter().enumerate().skip(1) {
            match i {
                1..5 => d.say(peer, Graft { topic: topic(), ids: vec![], eager: true }),
                _ => d.say(peer, Prune { topic: topic() }),
            }
        }
        assert_eq!(d.node.topics()[0].eager, 5);
        d
    }

    fn input(&mut self, input: Input) {
        let done = self.node.handle(self.now, input);
        debug_assert!(done.is_ok());
        self.run();
    }

    fn frame(&mut self, from: NodeId, lane: Lane, bytes: Bytes) {
        self.input(Input::Frame { from, lane, bytes });
    }

    fn say(&mut self, from: NodeId, message: impl Into<Message>) {
        self.frame(from, Lane::Control, message.into().frame().to_bytes());
    }

    fn run(&mut self) {
        while let Some(o) = self.node.poll() {
            let answer = match black_box(o) {
                Output::Send { peer, lane, frame } => Input::SendCredit { peer, lane, bytes: frame.len() },
                Output::Store { ticket, .. } => Input::Stored { ticket, result: Ok(()) },
                Output::Load { ticket, .. } => Input::Loaded { ticket, result: Ok(vec![]) },
                _ => continue,
            };
            let done = self.node.handle(self.now, answer);
            debug_assert!(done.is_ok());
        }
    }

    fn pass(&mut self, span: Span) {
        self.now.mono += span;
    }
}

fn batches(c: &mut Criterion) {
    for (port_name, port) in PORTS {
        for (load, count, size) in LOADS {
            let mut g = c.benchmark_group(format!("first_seen/{port_name}"));
            g.throughput(Throughput::Bytes((count * size) as u64));
            let (mut d, mut author) = (Driven::new(*port), Author::new(*port));
            author.seq = 2;
            let from = d.peers[0];
            g.bench_function(*load, |b| {
                b.iter_batched(
                    || gossip(&author.batch(*count, *size)),
                    |bytes| {
                        d.pass(Span::from_millis(1));
                        d.frame(from, Lane::Data, bytes);
                    },
                    BatchSize::NumIterations(64),
                );
            });
            assert_eq!(d.node.counters().batches_forged + d.node.counters().batches_malformed, 0);
            assert_eq!(d.node.counters().batches_duplicate, 0);
            g.finish();

            let bytes = gossip(&author.batch(*count, *size));
            d.frame(from, Lane::Data, bytes.clone());
            let again = d.peers[7];
            c.bench_function(&format!("duplicate/{port_name}/{load}"), |b| {
                b.iter(|| d.frame(again, Lane::Data, bytes.clone()));
            });
        }
    }
}

fn announcements(c: &mut Criterion) {
    let (mut d, mut author) = (Driven::new(sim), Author::new(sim));
    author.seq = 2;
    let from = d.peers[0];
    let known: Vec<Announced> = (0..64)
        .map(|_| {
            let b = author.batch(1, 256);
            d.frame(from, Lane::Data, gossip(&b));
            Announced { id: b.short_id(), hop: 4, held: 1 }
        })
        .collect();
    let bytes = Message::from(IHave { topic: topic(), batches: known }).frame().to_bytes();
    let lazy = d.peers[8];
    c.bench_function("ihave/64_known", |b| b.iter(|| d.frame(lazy, Lane::Control, bytes.clone())));
    assert_eq!(d.node.counters().grafts_sent, 0);
}

fn codec(c: &mut Criterion) {
    for (port_name, port) in PORTS {
        for (load, count, size) in LOADS {
            let mut author = Author::new(*port);
            let (header, key) = (author.header(*count, *size), BatchKey::new(&network()));
            let outgoing = messages(*count, *size);
            c.bench_function(&format!("seal/{port_name}/{load}"), |b| {
                b.iter(|| Batch::seal(header.clone(), black_box(&outgoing), &key, &*author.crypto));
            });
            let bytes = author.batch(*count, *size).bytes().clone();
            c.bench_function(&format!("open/{port_name}/{load}"), |b| {
                b.iter(|| {
                    let peeked = Batch::peek(black_box(&bytes)).expect("a batch");
                    Batch::verify(bytes.clone(), peeked, &key, &*author.crypto)
                });
            });
        }
    }
    let bytes = Author::new(sim).batch(1, 256).bytes().clone();
    c.bench_function("peek/256B", |b| b.iter(|| Batch::peek(black_box(&bytes))));

    let id = |n: u8| NodeId([n; 32]);
    let peer = |n: u8| PeerAddr { id: id(n), addrs: vec![Addr::Socket(([127, 0, 0, 1], 4433).into()); 2] };
    let announced = |n: u8| Announced { id: ShortId([n; 16]), hop: 3, held: 100 };
    let range = Range { author: id(1), epoch: WALL, from: 10, to: 20 };
    let sketch = Sketch { period: WALL / 600_000, hashes: (0..16).collect() };
    let overlay = Some(topic());
    let hot: [Message; 7] = [
        Gossip { hop: 3, pulled: false }.into(),
        IHave { topic: topic(), batches: (0..64).map(announced).collect() }.into(),
        Graft { topic: topic(), ids: vec![ShortId([1; 16])], eager: true }.into(),
        Prune { topic: topic() }.into(),
        Fetch { topic: topic(), ranges: vec![range] }.into(),
        Shuffle {
            overlay,
            ttl: 3,
            path: vec![id(1), id(2)],
            peers: (0..15).map(peer).collect(),
            sketch: sketch.clone(),
        }
        .into(),
        Neighbor { overlay, me: peer(1), urgent: false, room: 2, sketch }.into(),
    ];
    for m in &hot {
        c.bench_function(&format!("encode/{}", m.name()), |b| b.iter(|| black_box(m).frame()));
        let bytes = m.frame().to_bytes();
        c.bench_function(&format!("decode/{}", m.name()), |b| b.iter(|| Message::parse(black_box(bytes.clone()))));
    }
}

criterion_group! {
    name = hot_path;
    config = Criterion::default().sample_size(50);
    targets = batches, announcements, codec
}
criterion_main!(hot_path);
