//! Datagrams travel existing links once: lost ones are gone, and nothing arrives where nothing lives.
#![allow(missing_docs)]

use std::time::Duration;

use bytes::Bytes;
use tidings_proto::config::GossipConfig;
use tidings_proto::io::{Command, Ticket};
use tidings_proto::time::Span;
use tidings_proto::wire::MAX_DATAGRAM;
use tidings_sim::{CrashKind, Network, Options, Scenario};

/// Two linked nodes.
fn pair(loss: f64) -> Network {
    let mut options = Options::new(Scenario::Crash { fraction: 0.0, restart: false });
    options.loss = loss;
    let mut net = Network::new(&options, 3);
    let probe_interval = Duration::from_secs(60);
    net.set_config(GossipConfig { probe_interval, ..GossipConfig::default() });
    let (a, b) = (net.add(), net.add());
    let peers = vec![net.peer_addr(a)];
    net.command(b, Ticket(0), Command::Join { peers });
    net.run_for(Span::from_secs(5));
    net
}

/// How many of `count` datagrams of node 0 reached node 1.
fn arrived(net: &mut Network, count: u64) -> u64 {
    let (sent, received) = (net.probes(0).sent, net.probes(1).received);
    for _ in 0..count {
        net.inject_datagram(0, 1, Bytes::from_static(b"datagram"));
    }
    assert_eq!(net.probes(0).sent - sent, count, "what is sent counts, whatever becomes of it");
    net.run_for(Span::from_millis(60));
    net.probes(1).received - received
}

#[test]
fn every_datagram_arrives_without_loss_and_its_share_with_loss() {
    assert_eq!(arrived(&mut pair(0.0), 1000), 1000);
    let got = arrived(&mut pair(0.3), 1000);
    assert!((600..800).contains(&got), "{got} of 1000 arrived at a loss of 0.3");
}

#[test]
fn datagrams_cost_their_bytes_and_a_packet_at_both_ends() {
    let mut net = pair(0.0);
    let before = (net.probes(0).bytes, net.probes(1).bytes);
    net.inject_datagram(0, 1, Bytes::from_static(&[9; 40]));
    net.run_for(Span::from_millis(60));
    assert_eq!((net.probes(0).bytes - before.0, net.probes(1).bytes - before.1), (100, 100));
}

#[test]
fn no_datagram_reaches_the_dead_or_crosses_a_cut() {
    let mut net = pair(0.0);
    net.partition(&[0]);
    assert_eq!(arrived(&mut net, 10), 0);
    net.heal();
    assert_eq!(arrived(&mut net, 10), 10);
    net.stop(1, CrashKind::Silent);
    assert_eq!(arrived(&mut net, 10), 0);
}

#[test]
fn a_datagram_larger_than_allowed_breaks_the_run() {
    let mut net = pair(0.0);
    net.inject_datagram(0, 1, Bytes::from(vec![9; MAX_DATAGRAM]));
    assert_eq!(net.take_broken(), [""; 0]);
    net.inject_datagram(0, 1, Bytes::from(vec![9; MAX_DATAGRAM + 1]));
    assert_eq!(net.take_broken().len(), 1);
}
