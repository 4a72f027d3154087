//! A partition within the transport's patience leaves links as they were; nothing sent meanwhile is lost.
#![allow(missing_docs)]

use tidings_proto::io::{Command, Overlay, Ticket};
use tidings_proto::time::Span;
use tidings_sim::{CrashKind, Network, Options, Scenario};

fn network(nodes: usize) -> Network {
    let options = Options::new(Scenario::Crash { fraction: 0.0, restart: false });
    let mut net = Network::new(&options, 5);
    for i in 0..nodes {
        let n = net.add();
        if i > 0 {
            let peers = vec![net.peer_addr(0)];
            net.command(n, Ticket(0), Command::Join { peers });
        }
        net.run_for(Span::from_millis(50));
    }
    net.run_for(Span::from_secs(20));
    net
}

fn all_views(net: &Network) -> Vec<Vec<tidings_proto::identity::NodeId>> {
    (0..net.len() as u32).map(|n| net.node(n).unwrap().active_view(Overlay::Root)).collect()
}

#[test]
fn a_short_partition_changes_no_view() {
    let mut net = network(24);
    let before = all_views(&net);
    let side: Vec<u32> = (0..12).collect();
    net.partition(&side);
    net.run_for(Span::from_secs(3));
    net.heal();
    net.run_for(Span::from_secs(5));
    assert_eq!(before, all_views(&net));
}

#[test]
fn a_long_partition_parts_the_views_and_each_half_fills_up_again() {
    let mut net = network(24);
    let side: Vec<u32> = (0..12).collect();
    net.partition(&side);
    net.run_for(Span::from_secs(20));
    for n in 0..24 {
        let view = net.node(n).unwrap().active_view(Overlay::Root);
        assert!(view.len() >= 5, "node {n} has {} neighbours", view.len());
        for p in view {
            assert_eq!(net.index(&p).unwrap() < 12, n < 12, "a neighbour across the partition");
        }
    }
}

#[test]
fn goodbye_is_seen_at_once_and_silence_after_the_idle_timeout() {
    let mut net = network(12);
    let there = |net: &Network, gone: u32| {
        let id = net.id(gone);
        (0..12).filter_map(|n| net.node(n)).filter(|n| n.active_view(Overlay::Root).contains(&id)).count()
    };
    assert!(there(&net, 3) > 0 && there(&net, 4) > 0);
    net.stop(3, CrashKind::Goodbye);
    net.run_for(Span::from_millis(200));
    assert_eq!(there(&net, 3), 0, "a goodbye takes one delay");
    net.stop(4, CrashKind::Silent);
    net.run_for(Span::from_secs(4));
    assert!(there(&net, 4) > 0, "nothing tells of a silent death before the idle time-out");
    net.run_for(Span::from_secs(2));
    assert_eq!(there(&net, 4), 0);
}
