//! A partition within the transport's patience leaves links as they were; nothing sent meanwhile is lost.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::time::Duration;

use tidings_proto::config::GossipConfig;
use tidings_proto::io::{Command, Overlay, Ticket};
use tidings_proto::time::Span;
use tidings_sim::{CrashKind, Network, Options, Scenario};

/// With a failure detector that hardly looks, only the network itself ends links.
fn network(nodes: usize, probed: bool) -> Network {
    let options = Options::new(Scenario::Crash { fraction: 0.0, restart: false });
    let mut net = Network::new(&options, 5);
    if !probed {
        let (probe_interval, suspect_timeout) = (Duration::from_secs(60), Duration::from_secs(300));
        net.set_config(GossipConfig { probe_interval, suspect_timeout, ..GossipConfig::default() });
    }
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

/// Every link, from both ends.
fn links(net: &Network) -> BTreeSet<(u32, u32)> {
    let of = |n: u32| net.node(n).unwrap().peers().into_iter().map(move |p| (n, net.index(&p.id).unwrap()));
    (0..net.len() as u32).flat_map(of).collect()
}

#[test]
fn a_short_partition_ends_no_link() {
    let mut net = network(24, false);
    let before = links(&net);
    let side: Vec<u32> = (0..12).collect();
    assert!(before.iter().any(|(a, b)| side.contains(a) != side.contains(b)));
    net.partition(&side);
    net.run_for(Span::from_millis(4_900));
    net.heal();
    // The odd link ends for reasons of its own; those across are half of all.
    let ended = |net: &Network| before.difference(&links(net)).count();
    assert!(ended(&net) <= before.len() / 20, "{} of {}", ended(&net), before.len());
    net.run_for(Span::from_millis(500));
    assert!(ended(&net) <= before.len() / 20, "time-outs set meanwhile end {} links", ended(&net));
}

#[test]
fn a_long_partition_parts_the_views_and_each_half_fills_up_again() {
    let mut net = network(24, true);
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
fn goodbye_is_seen_at_once_and_silence_within_seconds() {
    let mut net = network(12, true);
    let there = |net: &Network, gone: u32| {
        let id = net.id(gone);
        (0..12).filter_map(|n| net.node(n)).filter(|n| n.active_view(Overlay::Root).contains(&id)).count()
    };
    assert!(there(&net, 3) > 0 && there(&net, 4) > 0);
    net.stop(3, CrashKind::Goodbye);
    net.run_for(Span::from_millis(200));
    assert_eq!(there(&net, 3), 0, "a goodbye takes one delay");
    net.stop(4, CrashKind::Silent);
    net.run_for(Span::from_millis(200));
    assert!(there(&net, 4) > 0, "a death is not told, but noticed");
    net.run_for(Span::from_secs(6));
    assert_eq!(there(&net, 4), 0);
}
