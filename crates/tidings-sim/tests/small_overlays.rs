//! Networks of a few nodes that start at once: whatever shape the joins left, soon everybody has the others.
#![allow(missing_docs)]

use tidings_proto::identity::{NodeId, TopicId};
use tidings_proto::io::{Command, Overlay, Ticket};
use tidings_proto::time::Span;
use tidings_sim::{Latency, Network, Options, Scenario};

const TOPIC: TopicId = TopicId([6; 32]);

/// Each node joins through a random earlier one, within some milliseconds.
fn network(nodes: u32, latency: Latency, seed: u64) -> Network {
    let options = Options { latency, ..Options::new(Scenario::Crash { fraction: 0.0, restart: false }) };
    let mut net = Network::new(&options, seed);
    let mut rng = net.script_rng("joins");
    for n in 0..nodes {
        net.add();
        net.command(n, Ticket(0), Command::Subscribe { topic: TOPIC });
        if n > 0 {
            let peers = vec![net.peer_addr(rng.below(n as usize) as u32)];
            net.command(n, Ticket(0), Command::Join { peers });
        }
        net.run_for(Span(rng.between(500, 10_000)));
    }
    net
}

#[test]
fn a_ring_does_not_stay_a_ring() {
    let few_ms = Latency { min_us: 1_000, max_us: 5_000 };
    for (seed, nodes) in (1..=100).flat_map(|seed| [(seed, 4), (seed, 5), (seed, 6)]) {
        let mut net = network(nodes, few_ms, seed);
        net.run_for(Span::from_secs(15));
        for n in 0..nodes {
            for overlay in [Overlay::Root, Overlay::Topic(TOPIC)] {
                let neighbors: Vec<NodeId> = net.node(n).unwrap().active_view(overlay);
                assert!(neighbors.len() > 2, "seed {seed}, {nodes} nodes: {n} has {} in {overlay:?}", neighbors.len());
            }
        }
    }
}
