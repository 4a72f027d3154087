//! Networks in which things go wrong all the time without anybody dying: what the whole node makes of it.
#![allow(missing_docs)]

use std::net::{Ipv4Addr, SocketAddrV4};

use bytes::Bytes;
use tidings_proto::identity::{NodeId, TopicId};
use tidings_proto::io::{Command, Outgoing, Overlay, Ticket};
use tidings_proto::time::Span;
use tidings_sim::{Network, Options, Scenario};

const TOPIC: TopicId = TopicId([4; 32]);
const NODES: u32 = 40;

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

fn publish(net: &mut Network, n: u32) {
    let message = Outgoing { payload: Bytes::from_static(b"payload"), ..Outgoing::default() };
    net.command(n, Ticket(0), Command::Publish { topic: TOPIC, message });
}

fn delivered(net: &Network) -> u64 {
    (0..NODES).map(|n| net.node(n).unwrap().counters().delivered).sum()
}

fn sum(net: &Network, of: fn(&tidings_proto::counters::Counters) -> u64) -> u64 {
    (0..NODES).map(|n| of(net.node(n).unwrap().counters())).sum()
}

/// Publishes one message a second for `s` seconds; whether each reached all, some seconds later.
fn all_arrives(net: &mut Network, s: u32) -> bool {
    let before = delivered(net);
    for i in 0..s {
        publish(net, i * 7 % NODES);
        net.run_for(Span::from_secs(1));
    }
    net.run_for(Span::from_secs(12));
    let got = delivered(net) - before;
    got == u64::from(s) * u64::from(NODES - 1)
}

fn neighbors(net: &Network, n: u32) -> Vec<NodeId> {
    net.node(n).unwrap().active_view(Overlay::Root)
}

#[test]
fn slow_nodes_are_waited_for() {
    for seed in 1..4 {
        let mut net = network(seed);
        for n in (0..NODES).step_by(8) {
            net.slow_down(n, Span::from_millis(300));
        }
        net.run_for(Span::from_secs(30));
        let died = sum(&net, |c| c.deaths);
        assert!(all_arrives(&mut net, 30), "seed {seed}");
        assert_eq!(sum(&net, |c| c.deaths), died, "seed {seed}: nobody is taken for dead for being slow");
    }
}

#[test]
fn flapping_links_are_suspected_and_cost_no_message() {
    for seed in 1..4 {
        let mut net = network(seed);
        for a in 0..8 {
            let b = net.index(&neighbors(&net, a)[0]).unwrap();
            net.flap(a, b, Span::from_secs(3), Span::from_secs(4), 6);
        }
        assert!(all_arrives(&mut net, 40), "seed {seed}");
        assert!(sum(&net, |c| c.suspicions) > 0 && sum(&net, |c| c.suspicions_refuted) > 0, "seed {seed}");
        net.run_for(Span::from_secs(30));
        assert!((0..NODES).all(|n| neighbors(&net, n).len() >= 7), "seed {seed}: views are full again");
    }
}

#[test]
fn a_link_that_works_one_way_only_is_given_up_by_both_and_missed_by_nobody() {
    for seed in 1..4 {
        let mut net = network(seed);
        let cut: Vec<(u32, u32)> =
            (0..8).map(|a| (a, net.index(neighbors(&net, a).last().unwrap()).unwrap())).collect();
        for (a, b) in &cut {
            net.cut_way(*a, *b);
        }
        assert!(all_arrives(&mut net, 20), "seed {seed}");
        for (a, b) in &cut {
            let (a_id, b_id) = (net.id(*a), net.id(*b));
            assert!(!neighbors(&net, *a).contains(&b_id) && !neighbors(&net, *b).contains(&a_id), "seed {seed}");
        }
    }
}

#[test]
fn a_stolen_key_is_noticed_and_the_network_goes_on() {
    let mut reported = 0;
    for seed in 1..4 {
        let mut net = network(seed);
        let thief = net.clone_key(9, false);
        let peers = vec![net.peer_addr(0)];
        net.command(thief, Ticket(0), Command::Join { peers });
        net.run_for(Span::from_secs(120));
        reported += sum(&net, |c| c.clones_seen);
        assert_eq!(net.take_broken(), [""; 0]);
        let others = (0..NODES).filter(|n| *n != 9).all(|n| neighbors(&net, n).len() >= 7);
        assert!(others, "seed {seed}");
    }
    assert!(reported >= 3, "two that live with one key meet the same peers before long: {reported}");
}

#[test]
fn who_moves_keeps_its_neighbours_where_the_transport_migrates() {
    // Some are traded for nearer ones meanwhile, as without any move.
    let lost = |moves: bool| {
        let mut net = network(1);
        let before = neighbors(&net, 5);
        if moves {
            net.readdress(5, SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), 4_000), true);
        }
        assert!(all_arrives(&mut net, 15));
        let after = neighbors(&net, 5);
        (before.iter().filter(|p| !after.contains(p)).count(), before, net)
    };
    let (stayed, ..) = lost(false);
    let (moved, before, net) = lost(true);
    assert!(moved <= stayed + 1, "{moved} lost, and {stayed} without a move");
    let heard = before.iter().filter_map(|p| net.node(net.index(p)?)).filter(|n| {
        let known = n.peer_addr(&net.id(5)).addrs;
        known.contains(&net.peer_addr(5).addrs[0])
    });
    assert!(heard.count() * 2 >= before.len(), "its neighbours learn the new address");
}

#[test]
fn who_moves_without_that_is_back_within_seconds() {
    for seed in 1..4 {
        let mut net = network(seed);
        for n in [5, 17, 30] {
            net.readdress(n, SocketAddrV4::new(Ipv4Addr::new(10, 78, n as u8, 1), 4_000), false);
        }
        net.run_for(Span::from_secs(15));
        for n in [5, 17, 30] {
            assert!(neighbors(&net, n).len() >= 5, "seed {seed}: {} neighbours", neighbors(&net, n).len());
        }
        assert!(all_arrives(&mut net, 10), "seed {seed}");
    }
}
