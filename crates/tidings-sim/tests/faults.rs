//! The faults do what they say: stopped and slow processes, cuts in one direction, flapping links, other addresses,
//! stolen keys, slow disks.
#![allow(missing_docs)]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use bytes::Bytes;
use tidings_proto::config::GossipConfig;
use tidings_proto::identity::TopicId;
use tidings_proto::io::{Command, Outgoing, Ticket};
use tidings_proto::time::Span;
use tidings_sim::{CrashKind, Network, Options, Scenario};

const TOPIC: TopicId = TopicId([3; 32]);

/// What is tested here is the network, so the failure detector of the nodes does as little as it can.
fn network(nodes: u32) -> Network {
    let options = Options::new(Scenario::Crash { fraction: 0.0, restart: false });
    let mut net = Network::new(&options, 9);
    let (probe_interval, suspect_timeout) = (Duration::from_secs(60), Duration::from_secs(300));
    net.set_config(GossipConfig { probe_interval, suspect_timeout, ..GossipConfig::default() });
    for n in 0..nodes {
        net.add();
        meet(&mut net, n, 0);
    }
    net.run_for(Span::from_secs(10));
    net
}

/// `n` gets to know `contact`, and the topic.
fn meet(net: &mut Network, n: u32, contact: u32) {
    if n != contact {
        let peers = vec![net.peer_addr(contact)];
        net.command(n, Ticket(0), Command::Join { peers });
    }
    net.command(n, Ticket(0), Command::Subscribe { topic: TOPIC });
}

fn linked(net: &Network, n: u32, peer: u32) -> bool {
    let peer = net.id(peer);
    net.node(n).is_some_and(|node| node.peers().iter().any(|p| p.id == peer))
}

/// How many of the datagrams of these tests a node was given: to a core they are malformed.
fn junk(net: &Network, n: u32) -> u64 {
    net.node(n).unwrap().counters().frames_malformed
}

fn delivered(net: &Network, n: u32) -> u64 {
    net.node(n).unwrap().counters().delivered
}

fn publish(net: &mut Network, n: u32) {
    let message = Outgoing { payload: Bytes::from_static(b"payload"), ..Outgoing::default() };
    net.command(n, Ticket(0), Command::Publish { topic: TOPIC, message });
}

fn seconds(net: &mut Network, s: f64) {
    net.run_for(Span::from_micros((s * 1e6) as u64));
}

#[test]
fn a_stall_of_two_seconds_keeps_the_links_and_one_of_ten_breaks_them_after_five() {
    let mut net = network(2);
    net.stall(1, Span::from_secs(2));
    seconds(&mut net, 4.0);
    assert!(linked(&net, 0, 1) && linked(&net, 1, 0));
    net.stall(1, Span::from_secs(10));
    seconds(&mut net, 4.9);
    assert!(linked(&net, 0, 1), "the idle time-out has not passed");
    seconds(&mut net, 0.3);
    assert!(!linked(&net, 0, 1), "the idle time-out has passed");
    assert!(linked(&net, 1, 0), "a stopped process notices nothing");
    // No new link can come up meanwhile.
    seconds(&mut net, 4.7);
    net.partition(&[1]);
    seconds(&mut net, 0.11);
    assert!(!linked(&net, 1, 0), "its own time-out is due when it goes on");
}

#[test]
fn what_reaches_a_stalled_node_waits_and_is_handled_when_it_wakes() {
    let mut net = network(2);
    let before = (junk(&net, 1), delivered(&net, 1));
    net.stall(1, Span::from_secs(2));
    seconds(&mut net, 0.1);
    publish(&mut net, 0);
    for _ in 0..400 {
        net.inject_datagram(0, 1, Bytes::from_static(b"datagram"));
    }
    seconds(&mut net, 1.8);
    assert_eq!((junk(&net, 1), delivered(&net, 1)), before);
    seconds(&mut net, 0.2);
    assert_eq!(delivered(&net, 1), before.1 + 1);
    let got = junk(&net, 1) - before.0;
    assert!((250..300).contains(&got), "{got} datagrams waited, not what a socket holds");
}

#[test]
fn a_slow_node_handles_everything_later_and_in_order() {
    let mut net = network(2);
    net.slow_down(1, Span::from_millis(300));
    let before = (junk(&net, 1), delivered(&net, 1));
    net.inject_datagram(0, 1, Bytes::from_static(b"datagram"));
    for _ in 0..5 {
        publish(&mut net, 0);
        seconds(&mut net, 0.05);
    }
    assert_eq!(junk(&net, 1), before.0);
    net.slow_down(1, Span::ZERO);
    publish(&mut net, 0);
    seconds(&mut net, 0.04);
    assert_eq!(delivered(&net, 1), before.1, "nothing overtakes what came before");
    seconds(&mut net, 0.5);
    assert_eq!((junk(&net, 1), delivered(&net, 1)), (before.0 + 1, before.1 + 6));
}

#[test]
fn a_cut_in_one_direction_loses_datagrams_and_holds_frames_of_that_direction_only() {
    let mut net = network(2);
    net.cut_way(0, 1);
    let probes = (junk(&net, 0), junk(&net, 1));
    let before = (delivered(&net, 0), delivered(&net, 1));
    for (from, to) in [(0, 1), (1, 0)] {
        net.inject_datagram(from, to, Bytes::from_static(b"datagram"));
        publish(&mut net, from);
    }
    seconds(&mut net, 2.0);
    assert_eq!((junk(&net, 0), junk(&net, 1)), (probes.0 + 1, probes.1));
    assert_eq!((delivered(&net, 0), delivered(&net, 1)), (before.0 + 1, before.1));
    net.mend_way(0, 1);
    publish(&mut net, 0);
    seconds(&mut net, 2.0);
    assert_eq!(junk(&net, 1), probes.1, "a datagram is never sent again");
    assert_eq!(delivered(&net, 1), before.1 + 2, "frames are");
    assert!(linked(&net, 0, 1) && linked(&net, 1, 0));
}

#[test]
fn a_cut_in_one_direction_breaks_the_link_first_where_nothing_arrives() {
    let mut net = network(2);
    net.cut_way(0, 1);
    seconds(&mut net, 4.9);
    assert!(linked(&net, 0, 1) && linked(&net, 1, 0));
    seconds(&mut net, 0.3);
    assert!(!linked(&net, 1, 0), "it has heard nothing for the idle time-out");
    assert!(linked(&net, 0, 1), "it heard the other end until now");
    seconds(&mut net, 5.0);
    assert!(!linked(&net, 0, 1));
    net.mend_way(0, 1);
    seconds(&mut net, 60.0);
    assert!(linked(&net, 0, 1) && linked(&net, 1, 0), "they find each other again");
}

#[test]
fn an_end_of_a_link_that_the_other_lost_is_reset_once_packets_pass() {
    let mut net = network(2);
    net.cut_way(0, 1);
    seconds(&mut net, 5.2);
    assert!(linked(&net, 0, 1) && !linked(&net, 1, 0));
    // Node 1 cannot dial again: it does not know where node 0 is now.
    net.readdress(0, SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 9), 4_000), true);
    net.mend_way(0, 1);
    seconds(&mut net, 1.2);
    let half_open = linked(&net, 0, 1) && !linked(&net, 1, 0);
    assert!(!half_open, "the next packet shows that the link is gone");
}

#[test]
fn a_flapping_link_breaks_only_if_it_is_cut_for_longer_than_the_idle_time_out() {
    let mut net = network(2);
    net.flap(0, 1, Span::from_secs(3), Span::from_secs(1), 10);
    for _ in 0..80 {
        seconds(&mut net, 0.5);
        assert!(linked(&net, 0, 1) && linked(&net, 1, 0));
    }
    let up = delivered(&net, 1);
    publish(&mut net, 0);
    seconds(&mut net, 1.0);
    assert_eq!(delivered(&net, 1), up + 1, "it is mended in the end");
    net.flap(0, 1, Span::from_secs(6), Span::from_secs(1), 1);
    seconds(&mut net, 5.5);
    assert!(!linked(&net, 0, 1) && !linked(&net, 1, 0));
}

#[test]
fn links_survive_a_change_of_address_only_if_the_transport_migrates_them() {
    for migrates in [true, false] {
        let mut net = network(2);
        net.readdress(1, SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 9), 4_000), migrates);
        let got = junk(&net, 1);
        net.inject_datagram(0, 1, Bytes::from_static(b"datagram"));
        seconds(&mut net, 5.5);
        assert_eq!(junk(&net, 1) - got, u64::from(migrates));
        assert_eq!((linked(&net, 0, 1), linked(&net, 1, 0)), (migrates, migrates));
        // Node 1 still knows where its bootstrap peer is.
        seconds(&mut net, 60.0);
        assert!(linked(&net, 0, 1) && linked(&net, 1, 0));
        let known = net.node(0).unwrap().peer_addr(&net.id(1)).addrs;
        assert!(migrates || known.contains(&net.peer_addr(1).addrs[0]), "{known:?}");
    }
}

#[test]
fn of_two_nodes_with_one_key_the_newer_takes_the_link() {
    let mut net = network(2);
    let thief = net.clone_key(1, false);
    assert_eq!(net.id(1), net.id(thief));
    meet(&mut net, thief, 0);
    seconds(&mut net, 0.4);
    assert!(linked(&net, thief, 0) && linked(&net, 0, 1));
    assert!(!linked(&net, 1, 0), "one link a key");
}

#[test]
fn a_crash_loses_only_what_the_disk_had_not_confirmed() {
    // Epochs are written before they are used: whatever a crash loses, no number is used twice.
    let mut net = network(2);
    let mut last = 0;
    for delay in [0, 40, 200] {
        for wait in [0.01, 0.1, 1.0] {
            net.stop(1, CrashKind::Silent);
            seconds(&mut net, 6.0);
            net.set_disk_delay(1, Span::from_millis(delay));
            net.start(1);
            meet(&mut net, 1, 0);
            publish(&mut net, 1);
            seconds(&mut net, wait);
        }
        // What died with a crash is waited for, then given up.
        seconds(&mut net, 12.0);
        let now = delivered(&net, 0);
        assert!(now > last, "messages arrive from a node whose disk is {delay} ms slow");
        last = now;
    }
    assert_eq!(net.take_broken(), [""; 0]);
    assert_eq!(net.node(0).unwrap().counters().batches_contradictory, 0);
}
