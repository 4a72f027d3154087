//! Coordinators choose themselves, and everybody knows them.
#![allow(missing_docs)]

use std::collections::BTreeSet;

use tidings_proto::discovery::coordinator::WANTED;
use tidings_proto::identity::NodeId;
use tidings_proto::io::{Command, Ticket};
use tidings_proto::time::Span;
use tidings_sim::{CrashKind, Network, Options, Scenario};

fn network(nodes: u32, seed: u64) -> Network {
    let mut net = Network::new(&Options::new(Scenario::DETECT), seed);
    for n in 0..nodes {
        net.add();
        if n > 0 {
            let peers = vec![net.peer_addr((u64::from(n) * 7_919 + seed) as u32 % n)];
            net.command(n, Ticket(0), Command::Join { peers });
        }
        net.run_for(Span::from_millis(50));
    }
    net
}

/// What each node takes for the coordinators.
fn known(net: &Network) -> BTreeSet<BTreeSet<NodeId>> {
    let nodes = (0..net.len() as u32).filter_map(|n| net.node(n));
    nodes.map(|node| node.coordinators().iter().map(|c| c.node).collect()).collect()
}

#[test]
fn enough_of_many_are_chosen_and_all_agree() {
    for seed in 1..3 {
        let mut net = network(120, seed);
        net.run_for(Span::from_secs(300));
        let views = known(&net);
        assert_eq!(views.len(), 1, "seed {seed}: nodes disagree");
        let count = views.first().map_or(0, BTreeSet::len);
        assert!((WANTED..=2 * WANTED).contains(&count), "seed {seed}: {count} coordinators");
    }
}

#[test]
fn a_newcomer_knows_them_and_ranks_those_that_fail_behind() {
    let mut net = network(40, 3);
    net.run_for(Span::from_secs(300));
    let list = net.node(0).unwrap().coordinators();
    let gone = net.index(&list[0].node).unwrap();
    let ways = vec![net.peer_addr(gone), net.peer_addr((gone + 1) % 40)];
    net.stop(gone, CrashKind::Silent);
    let newcomer = net.add();
    net.command(newcomer, Ticket(0), Command::Join { peers: ways });
    net.run_for(Span::from_secs(20));
    let after = net.node(newcomer).unwrap().coordinators();
    assert!(after.len() >= WANTED);
    let last = after.last().unwrap();
    assert!(last.node == list[0].node && last.failed > 0, "{last:?}");
    assert!(after.first().unwrap().reached > 0);
}
