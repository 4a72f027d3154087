//! The core under simulated faults. Sizes and seeds are small enough for every test run; `tidings sim` widens them.
#![allow(missing_docs)]

use tidings_sim::{CryptoKind, Latency, Options, Publishers, Report, Scenario, Seeds, run};

fn broadcast(nodes: usize, change: impl FnOnce(&mut Options)) -> Report {
    let mut o = Options::new(Scenario::Broadcast { warmup: 10, messages: 30, crash: 0.0 });
    o.nodes = nodes;
    o.seeds = Seeds { first: 1, last: 3 };
    change(&mut o);
    let r = run(&o, &|_| {});
    assert_eq!(r.failures, [], "an invariant did not hold");
    r
}

fn worst(r: &Report, figure: &str) -> f64 {
    r.figures.0[figure].worst
}

#[test]
fn every_message_reaches_everybody_once_over_a_tree_without_duplicates() {
    let r = broadcast(100, |_| {});
    assert_eq!(worst(&r, "missed"), 0.0);
    assert!(worst(&r, "rmr") <= 0.03, "{r:?}");
    assert!(worst(&r, "ldh") <= 7.0, "{r:?}");
}

#[test]
fn rotating_publishers_share_one_stable_tree() {
    let r = broadcast(100, |o| o.publishers = Publishers::Rotating);
    assert_eq!(worst(&r, "missed"), 0.0);
    assert!(worst(&r, "rmr") <= 0.15, "{r:?}");
    assert!(worst(&r, "ldh") <= 11.0, "{r:?}");
}

#[test]
fn two_nodes_are_a_network() {
    assert_eq!(worst(&broadcast(2, |_| {}), "missed"), 0.0);
}

#[test]
fn loss_and_jitter_delay_messages_but_lose_none() {
    let r = broadcast(60, |o| {
        o.loss = 0.1;
        o.jitter = 0.5;
        o.publishers = Publishers::Rotating;
    });
    assert_eq!(worst(&r, "missed"), 0.0);
    assert_eq!(worst(&r, "gaps"), 0.0);
}

/// Seed 2 once ended in two halves: nodes whose join had failed were content with those who had joined through them.
#[test]
fn heavy_loss_while_joining_leaves_no_islands() {
    let r = broadcast(100, |o| {
        o.loss = 0.2;
        o.seeds = Seeds { first: 1, last: 4 };
    });
    assert_eq!(worst(&r, "missed"), 0.0);
}

#[test]
fn near_and_far_links_work_alike() {
    for latency in [Latency::LAN, Latency::WAN] {
        let r = broadcast(60, |o| o.latency = latency);
        assert_eq!(worst(&r, "missed"), 0.0, "{latency}");
    }
}

#[test]
fn survivors_of_crashes_miss_nothing() {
    let r = broadcast(80, |o| {
        o.scenario = Scenario::Broadcast { warmup: 10, messages: 60, crash: 0.2 };
        o.publishers = Publishers::Rotating;
    });
    assert_eq!(worst(&r, "missed"), 0.0, "{r:?}");
}

#[test]
fn real_signatures_come_to_the_same_figures() {
    let sim = broadcast(30, |_| {});
    let real = broadcast(30, |o| o.crypto = CryptoKind::Real);
    // Other keys, other ids, other trees: but as complete and as lean.
    for figure in ["missed", "gaps"] {
        assert_eq!((worst(&sim, figure), worst(&real, figure)), (0.0, 0.0), "{figure}");
    }
    assert!(worst(&real, "rmr") <= 0.03);
}

fn crash(nodes: usize, fraction: f64, restart: bool) -> Report {
    let mut o = Options::new(Scenario::Crash { fraction, restart });
    o.nodes = nodes;
    o.seeds = Seeds { first: 1, last: 2 };
    let r = run(&o, &|_| {});
    assert_eq!(r.failures, [], "an invariant did not hold");
    r
}

/// What `--presence` and its absence stand for, and that nobody is anywhere in a roster without it.
#[test]
fn rosters_of_all_at_all_are_kept_up_to_two_thousand_nodes() {
    let (of_membership, of_presence) =
        (Scenario::Crash { fraction: 0.5, restart: false }, Scenario::Presence { seconds: 1.0, ttl: 30.0 });
    assert!(Options::default_presence(of_membership, 2_000) && !Options::default_presence(of_membership, 2_001));
    assert!(Options::default_presence(of_presence, 10_000));
    let mut o = Options::new(of_presence);
    (o.nodes, o.seeds) = (10, Seeds { first: 1, last: 1 });
    let complete = |o: &Options| worst(&run(o, &|_| {}), "complete");
    assert_eq!(complete(&o), 1.0);
    assert!(!o.replay(1).contains("--presence"));
    o.presence = false;
    assert_eq!(complete(&o), 0.0);
    assert!(o.replay(1).ends_with("--presence off"));
}

#[test]
fn half_the_nodes_crash_and_the_others_find_together_and_get_everything() {
    let r = crash(120, 0.5, false);
    assert_eq!(worst(&r, "survivors_connected"), 1.0, "{r:?}");
    assert_eq!(worst(&r, "delivery_ratio_after"), 1.0, "{r:?}");
}

#[test]
fn nodes_that_restart_with_their_keys_are_let_in_again_and_get_nothing_twice() {
    let r = crash(80, 0.5, true);
    assert_eq!(worst(&r, "survivors_connected_final"), 1.0, "{r:?}");
    assert_eq!(worst(&r, "delivery_ratio_after"), 1.0, "{r:?}");
}
