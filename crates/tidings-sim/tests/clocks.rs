//! Nodes whose wall clocks are up to ten minutes apart work together as if they were not.
#![allow(missing_docs)]

use bytes::Bytes;
use tidings_proto::identity::TopicId;
use tidings_proto::io::{Command, Outgoing, Ticket};
use tidings_proto::time::Span;
use tidings_sim::{CrashKind, Network, Options, Scenario};

const TOPIC: TopicId = TopicId([4; 32]);
const NODES: u32 = 24;
const TTL: u64 = 120;

fn add(net: &mut Network, n: u32) {
    // Every other one five minutes behind, the others ahead.
    net.set_clocks_ahead(if n.is_multiple_of(2) { -300_000 } else { 300_000 });
    net.add();
    if n > 0 {
        // Alternately of its own time and of the other.
        let peers = vec![net.peer_addr(n / 2)];
        net.command(n, Ticket(0), Command::Join { peers });
    }
    net.command(n, Ticket(0), Command::Subscribe { topic: TOPIC });
}

fn network(seed: u64) -> Network {
    let mut net = Network::new(&Options::new(Scenario::Presence { seconds: 0.0, ttl: TTL as f64 }), seed);
    for n in 0..NODES {
        add(&mut net, n);
        net.run_for(Span::from_millis(100));
    }
    net.run_for(Span::from_secs(20));
    net
}

/// How many others the node that knows fewest knows to be here, and how many of them are proven to be their agents.
fn fewest(net: &Network) -> (usize, usize) {
    let alive = (0..net.len() as u32).filter_map(|n| net.node(n));
    let known = alive.map(|node| node.presence()).map(|all| (all.len(), all.iter().filter(|p| p.proven).count()));
    known.min().unwrap()
}

#[test]
fn everybody_sees_everybody_all_the_time_and_whose_agents_they_are() {
    let mut net = network(1);
    for _ in 0..5 * TTL / 10 {
        net.run_for(Span::from_secs(10));
        assert_eq!(fewest(&net).0, NODES as usize, "at {:?}", net.now());
    }
    assert_eq!(fewest(&net).1, NODES as usize, "proven");
}

#[test]
fn a_newcomer_knows_everybody_and_is_known_at_once() {
    let mut net = network(2);
    net.run_for(Span::from_secs(TTL));
    for n in [NODES, NODES + 1] {
        add(&mut net, n);
        net.run_for(Span::from_secs(2));
        assert_eq!(fewest(&net).0, net.len());
    }
}

#[test]
fn who_dies_is_gone_when_its_word_is_over_and_no_sooner_or_later() {
    let mut net = network(3);
    net.run_for(Span::from_secs(TTL));
    let dead = [net.id(6), net.id(7)];
    net.stop(6, CrashKind::Silent);
    net.stop(7, CrashKind::Silent);
    let sees = |net: &Network| {
        let alive = (0..NODES).filter_map(|n| net.node(n));
        alive.filter(|node| node.presence().iter().any(|p| dead.contains(&p.node))).count()
    };
    net.run_for(Span::from_secs(TTL / 2 - 5));
    assert!(sees(&net) >= NODES as usize / 4, "its last word holds for half a life at least, but for its neighbours");
    net.run_for(Span::from_secs(TTL / 2 + 7));
    assert_eq!(sees(&net), 0);
}

#[test]
fn what_is_published_is_delivered_to_everybody() {
    let mut net = network(4);
    let delivered = |net: &Network| (0..NODES).map(|n| net.node(n).unwrap().counters().delivered).sum::<u64>();
    for n in [0, 1] {
        let before = delivered(&net);
        let message = Outgoing { payload: Bytes::from_static(b"payload"), ..Outgoing::default() };
        net.command(n, Ticket(0), Command::Publish { topic: TOPIC, message });
        net.run_for(Span::from_secs(5));
        assert_eq!(delivered(&net) - before, u64::from(NODES) - 1);
    }
}
