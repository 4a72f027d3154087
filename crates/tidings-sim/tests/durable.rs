//! Durable messages on disks that are slow, fail, fill up and tear.
#![allow(missing_docs)]

use std::collections::BTreeMap;

use bytes::Bytes;
use tidings_proto::identity::TopicId;
use tidings_proto::io::{Command, Outgoing, Ticket};
use tidings_proto::pubsub::Batch;
use tidings_proto::time::Span;
use tidings_sim::{CrashKind, Network, Options, Scenario};

const TOPIC: TopicId = TopicId([3; 32]);

fn network(seed: u64) -> Network {
    let mut net = Network::new(&Options::new(Scenario::Crash { fraction: 0.0, restart: false }), seed);
    for n in 0..3 {
        net.add();
        meet(&mut net, n);
    }
    net.run_for(Span::from_secs(5));
    net
}

/// `n` gets to know node 0, and the topic.
fn meet(net: &mut Network, n: u32) {
    if n != 0 {
        let peers = vec![net.peer_addr(0)];
        net.command(n, Ticket(0), Command::Join { peers });
    }
    net.command(n, Ticket(0), Command::Subscribe { topic: TOPIC });
}

fn publish(net: &mut Network, n: u32) {
    let message = Outgoing { payload: Bytes::from_static(b"payload"), ..Outgoing::default() };
    net.command(n, Ticket(0), Command::PublishDurable { topic: TOPIC, message });
}

fn delivered(net: &Network, n: u32) -> u64 {
    net.node(n).unwrap().counters().delivered
}

/// Messages on the disk of `n`. Each number stands for one.
fn on_disk(net: &Network, n: u32) -> u64 {
    let mut places = BTreeMap::new();
    for record in net.logged(n, &TOPIC) {
        let h = Batch::peek(&record.bytes).unwrap().header;
        for seq in h.first_seq..=h.last_seq() {
            assert_eq!(
                places.insert((h.epoch, seq), h.wall_ms),
                None,
                "number {seq} of epoch {} is there twice",
                h.epoch
            );
        }
    }
    places.len() as u64
}

#[test]
fn what_others_saw_is_on_the_disk_after_any_crash() {
    for seed in 1..=8 {
        let mut net = network(seed);
        let mut dice = net.script_rng("durable");
        for _ in 0..25 {
            net.set_disk_delay(1, Span::from_millis([0, 5, 200][dice.below(3)]));
            for _ in 0..1 + dice.below(5) {
                publish(&mut net, 1);
                net.run_for(Span::from_millis(dice.below(100) as u64));
            }
            assert!(delivered(&net, 0) <= on_disk(&net, 1), "seed {seed}: seen elsewhere, and not here");
            if dice.below(3) == 0 {
                net.stop(1, CrashKind::Silent);
                assert!(delivered(&net, 0) <= on_disk(&net, 1), "seed {seed}: a crash lost what was seen elsewhere");
                net.run_for(Span::from_secs(6));
                net.start(1);
                meet(&mut net, 1);
                net.run_for(Span::from_secs(2));
            }
        }
        net.run_for(Span::from_secs(15));
        assert!(delivered(&net, 0) > 20, "seed {seed}: {}", delivered(&net, 0));
        assert_eq!(net.take_broken(), [""; 0]);
        assert_eq!(net.node(0).unwrap().counters().batches_contradictory, 0);
    }
}

#[test]
fn a_disk_that_fails_now_and_then_leaves_no_gap_and_no_number_twice() {
    for seed in 1..=8 {
        let mut net = network(seed);
        let mut dice = net.script_rng("durable");
        net.set_disk_delay(1, Span::from_millis(5));
        for _ in 0..60 {
            net.set_disk_fails(1, dice.below(3) == 0);
            publish(&mut net, 1);
            // It may begin to fail while it stores.
            net.run_for(Span::from_millis(dice.below(8) as u64));
            net.set_disk_fails(1, dice.below(3) == 0);
            net.run_for(Span::from_millis(200));
        }
        net.run_for(Span::from_secs(15));
        let (seen, there) = (delivered(&net, 0), on_disk(&net, 1));
        assert!(seen > 10 && seen < 60 && seen <= there, "seed {seed}: {seen} seen, {there} there");
        assert_eq!(net.node(0).unwrap().counters().gaps, 0, "seed {seed}");
        assert_eq!(net.node(0).unwrap().counters().batches_contradictory, 0);
    }
}

#[test]
fn a_full_disk_refuses_and_what_was_there_stays() {
    let mut net = network(1);
    publish(&mut net, 1);
    net.run_for(Span::from_secs(1));
    net.set_log_room(1, Some(0));
    publish(&mut net, 1);
    net.run_for(Span::from_secs(1));
    assert_eq!((delivered(&net, 0), on_disk(&net, 1)), (1, 1));
    net.set_log_room(1, None);
    publish(&mut net, 1);
    net.run_for(Span::from_secs(1));
    assert_eq!((delivered(&net, 0), on_disk(&net, 1)), (2, 2));
}
