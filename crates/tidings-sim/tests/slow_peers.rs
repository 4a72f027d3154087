//! Nodes that live and answer probes, and read nothing: the others do not notice, and they catch up.
#![allow(missing_docs)]

use bytes::Bytes;
use tidings_proto::identity::TopicId;
use tidings_proto::io::{Command, Outgoing, Overlay, Ticket};
use tidings_proto::time::Span;
use tidings_sim::{Network, Options, Scenario};

const TOPIC: TopicId = TopicId([6; 32]);
const NODES: u32 = 100;
const PUBLISHER: u32 = 50;
/// Messages of 16 KiB, a hundred a second: more in all than a lane holds.
const MESSAGES: u32 = 400;
const SIZE: usize = 16 << 10;
/// Far more than is pushed before a lane is full.
const MORE_THAN_A_LANE: u32 = 900;

fn network(seed: u64) -> Network {
    let mut net = Network::new(&Options::new(Scenario::Crash { fraction: 0.0, restart: false }), seed);
    for n in 0..NODES {
        net.add();
        if n > 0 {
            let peers = vec![net.peer_addr(n / 2)];
            net.command(n, Ticket(0), Command::Join { peers });
        }
        net.command(n, Ticket(0), Command::Subscribe { topic: TOPIC });
    }
    net.run_for(Span::from_secs(20));
    net
}

/// Publishes at full rate, and gives what is on its way half a second.
fn publish_all(net: &mut Network, messages: u32) {
    for _ in 0..messages {
        let message = Outgoing { payload: Bytes::from(vec![7; SIZE]), ..Outgoing::default() };
        net.command(PUBLISHER, Ticket(0), Command::Publish { topic: TOPIC, message });
        net.run_for(Span::from_millis(10));
    }
    net.run_for(Span::from_millis(500));
}

fn delivered(net: &Network, n: u32) -> u64 {
    net.node(n).unwrap().counters().delivered
}

fn sum(net: &Network, of: fn(&tidings_proto::counters::Counters) -> u64) -> u64 {
    (0..NODES).map(|n| of(net.node(n).unwrap().counters())).sum()
}

/// One in twenty.
fn some() -> Vec<u32> {
    (0..NODES).filter(|n| n % 20 == 3).collect()
}

/// All but one of the publisher's neighbours, and some others.
fn most_neighbors(net: &Network) -> Vec<u32> {
    let neighbors = net.node(PUBLISHER).unwrap().active_view(Overlay::Topic(TOPIC));
    let mut stuck: Vec<u32> = neighbors.iter().skip(1).filter_map(|p| net.index(p)).collect();
    stuck.extend(some());
    let spared = neighbors.first().and_then(|p| net.index(p));
    stuck.sort_unstable();
    stuck.dedup();
    stuck.retain(|n| Some(*n) != spared);
    stuck
}

#[test]
fn who_reads_nothing_costs_the_others_nothing() {
    for seed in 1..3 {
        let mut net = network(seed);
        let stuck = most_neighbors(&net);
        for n in &stuck {
            net.stop_reading(*n);
        }
        publish_all(&mut net, MESSAGES);
        for n in (0..NODES).filter(|n| *n != PUBLISHER && !stuck.contains(n)) {
            assert_eq!(delivered(&net, n), u64::from(MESSAGES), "seed {seed}, node {n}");
        }
        assert_eq!(net.node(PUBLISHER).unwrap().counters().published, u64::from(MESSAGES), "seed {seed}");
        assert!(sum(&net, |c| c.peers_slowed) > 0, "seed {seed}");
        assert_eq!(sum(&net, |c| c.control_overflow), 0, "seed {seed}: nothing is announced to a full lane");
    }
}

/// All neighbours of the publisher hang, and with so few bytes none of its links ever looks slow.
#[test]
fn who_has_only_neighbors_that_read_nothing_finds_others() {
    for seed in 1..6 {
        let mut net = network(seed);
        let neighbors = net.node(PUBLISHER).unwrap().active_view(Overlay::Topic(TOPIC));
        let stuck: Vec<u32> = neighbors.iter().filter_map(|p| net.index(p)).collect();
        for n in &stuck {
            net.stop_reading(*n);
        }
        let message = Outgoing { payload: Bytes::from_static(b"hello"), ..Outgoing::default() };
        net.command(PUBLISHER, Ticket(0), Command::Publish { topic: TOPIC, message });
        net.run_for(Span::from_secs(12));
        for n in (0..NODES).filter(|n| *n != PUBLISHER && !stuck.contains(n)) {
            assert_eq!(delivered(&net, n), 1, "seed {seed}, node {n}");
        }
    }
}

#[test]
fn who_gets_stuck_in_the_tree_is_gone_around() {
    for seed in 1..3 {
        let mut net = network(seed);
        publish_all(&mut net, MESSAGES);
        let stuck = some();
        for n in &stuck {
            net.stop_reading(*n);
        }
        publish_all(&mut net, MESSAGES);
        net.run_for(Span::from_secs(5));
        for n in (0..NODES).filter(|n| *n != PUBLISHER && !stuck.contains(n)) {
            assert_eq!(delivered(&net, n), 2 * u64::from(MESSAGES), "seed {seed}, node {n}");
        }
        assert_eq!(sum(&net, |c| c.gaps), 0, "seed {seed}");
    }
}

#[test]
fn who_reads_again_gets_what_it_missed() {
    for seed in 1..3 {
        let mut net = network(seed);
        let stuck = most_neighbors(&net);
        for n in &stuck {
            net.stop_reading(*n);
        }
        publish_all(&mut net, MORE_THAN_A_LANE);
        for n in &stuck {
            net.read_again(*n);
        }
        net.run_for(Span::from_secs(15));
        for n in &stuck {
            assert_eq!(delivered(&net, *n), u64::from(MORE_THAN_A_LANE), "seed {seed}, node {n}");
        }
        assert!((0..NODES).all(|n| net.node(n).unwrap().peers().iter().all(|p| !p.slow)), "seed {seed}");
    }
}
