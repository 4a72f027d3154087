//! What a flood can make a node hold: ten topics at the default limits, several authors on each, large batches, small
//! ones, gaps, forgeries, old news, announcements of what nobody has, and a neighbour that takes nothing.
//!
//! One test in a process of its own: it measures the process.
#![cfg(target_os = "linux")]

mod common;

use std::sync::Arc;

use common::*;
use tidings_proto::Node;
use tidings_proto::config::GossipConfig;
use tidings_proto::crypto::SimCrypto;
use tidings_proto::identity::*;
use tidings_proto::io::*;
use tidings_proto::limits::core_bytes;
use tidings_proto::pubsub::BatchHeader;
use tidings_proto::time::*;
use tidings_proto::wire::*;

const TOPICS: u8 = 10;
const AUTHORS: u8 = 4;

fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// A node that keeps nothing of what it does.
struct Flooded {
    node: Node,
    now: Now,
    stuck: NodeId,
}

impl Flooded {
    fn input(&mut self, input: Input) {
        // What is wrong with it is counted.
        let _ = self.node.handle(self.now, input);
        while let Some(out) = self.node.poll() {
            let answer = match out {
                Output::Send { peer, lane, frame } if peer != self.stuck => {
                    Input::SendCredit { peer, lane, bytes: frame.len() }
                }
                Output::Store { ticket, .. } => Input::Stored { ticket, result: Ok(()) },
                Output::Load { ticket, .. } => Input::Loaded { ticket, result: Ok(Vec::new()) },
                _ => continue,
            };
            self.node.handle(self.now, answer).unwrap();
        }
    }

    fn say(&mut self, from: &Fake, message: impl Into<Message>) {
        self.input(Input::Frame { from: from.id, lane: Lane::Control, bytes: message.into().frame().to_bytes() });
    }

    fn bring(&mut self, from: &Fake, author: &Fake, header: BatchHeader, payload: &[u8]) {
        let bytes = gossip(&author.seal(header, &[payload])).to_bytes();
        self.input(Input::Frame { from: from.id, lane: Lane::Data, bytes });
        self.now.mono += Span::from_micros(50);
    }
}

fn topic(n: u8) -> TopicId {
    TopicId([n; 32])
}

/// On one topic, from each author: `count` batches of `size` bytes from `first` on, `step` apart.
fn flood(f: &mut Flooded, from: &Fake, t: u8, first: u64, count: u64, step: u64, size: usize) {
    let payload = vec![t; size];
    let authors: Vec<Fake> = (0..AUTHORS).map(|a| Fake::new(20 + a)).collect();
    for i in 0..count {
        for author in &authors {
            let header = BatchHeader { topic: topic(t), ..author.header(first + i * step, &[&payload]) };
            f.bring(from, author, header, &payload);
        }
    }
}

#[test]
fn a_flood_of_ten_topics_stays_under_the_bound() {
    let config = GossipConfig::default();
    let (friend, stuck) = (Fake::new(1), Fake::new(2));
    let secret = SecretKey::from_bytes(SECRET);
    let crypto = Arc::new(SimCrypto::new(&secret));
    let setup = NodeSetup { secret, network: network(), config: config.clone(), seed: [5; 32] };
    let now = Now { mono: Time(1_000_000_000), wall: UnixMillis(WALL) };
    let mut f = Flooded { node: Node::new(setup, crypto, now), now, stuck: stuck.id };
    f.input(Input::Tick);
    for t in 0..TOPICS {
        f.input(Input::Command { ticket: Ticket(0), command: Command::Subscribe { topic: topic(t) } });
    }
    for peer in [&friend, &stuck] {
        f.input(Input::LinkUp { peer: peer.id, addr: None, outbound: false, rtt: None });
        for overlay in std::iter::once(None).chain((0..TOPICS).map(|t| Some(topic(t)))) {
            let me = peer.addr.clone();
            f.say(peer, Neighbor { overlay, me, urgent: true, room: 1, sketch: Sketch::default() });
        }
    }
    let before = status("VmRSS");

    for t in 0..TOPICS {
        // Many small ones; more than a log holds; then with a hole before each, more than may wait.
        flood(&mut f, &friend, t, 1, 6_000, 1, 1);
        flood(&mut f, &friend, t, 6_001, 800, 1, 30_000);
        flood(&mut f, &friend, t, 10_001, 400, 2, 30_000);
        let (author, liar) = (Fake::new(20), Fake::new(60));
        for i in 0..200 {
            let header = BatchHeader { topic: topic(t), ..author.header(50_000 + i, &[b"x"]) };
            f.bring(&friend, &liar, header.clone(), b"x");
            f.bring(&friend, &author, BatchHeader { wall_ms: 1, ..header }, b"x");
        }
        for i in 0..40_u64 {
            let announced = |n: u64| {
                let id = blake3::hash(&(i * 512 + n).to_le_bytes());
                Announced { id: ShortId(id.as_bytes()[..16].try_into().unwrap()), hop: 1, held: 0 }
            };
            f.say(&friend, IHave { topic: topic(t), batches: (0..512).map(announced).collect() });
        }
    }

    let held = status("VmHWM") - before;
    let c = f.node.counters();
    assert!(c.batches_forged >= 2_000 && c.batches_out_of_time >= 2_000 && c.ihaves_shed > 0, "{c:?}");
    assert!(c.gaps_hurried > 0 && c.peers_slowed > 0, "{c:?}");
    for info in f.node.topics() {
        assert!(info.cached_bytes <= config.history_max_bytes, "{info:?}");
        assert!(info.cached_bytes > config.history_max_bytes * 9 / 10, "the flood fills the logs: {info:?}");
    }
    assert!(f.node.links().unsent() <= tidings_proto::links::UNSENT);
    let bound = core_bytes(&config, usize::from(TOPICS));
    eprintln!("held {} MB, bound {} MB", held >> 20, bound >> 20);
    assert!(held <= bound, "{held} bytes of {bound}");
}
