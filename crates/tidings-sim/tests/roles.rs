//! Nodes that nobody can dial: topics reach them, and messages through relays do.
#![allow(missing_docs)]

use tidings_sim::{Options, RelayFault, Report, Scenario, Seeds, Talk, run};

fn roles(fault: RelayFault, change: impl FnOnce(&mut Options)) -> Report {
    let mut o = Options::new(Scenario::Roles { talk: Talk { messages: 20, partners: 1 }, fault });
    o.nodes = 40;
    o.seeds = Seeds { first: 1, last: 2 };
    o.unreachable = 0.4;
    change(&mut o);
    let r = run(&o, &|_| {});
    assert_eq!(r.failures, [], "an invariant did not hold");
    assert_eq!((worst(&r, "lost"), worst(&r, "delivery_ratio")), (0.0, 1.0), "{r:?}");
    assert!(worst(&r, "relayed_share") > 0.1, "{r:?}");
    r
}

fn worst(r: &Report, figure: &str) -> f64 {
    r.figures.0[figure].worst
}

#[test]
fn every_message_arrives_once_where_many_cannot_be_dialed() {
    let r = roles(RelayFault::None, |_| {});
    assert!(worst(&r, "time_to_first_relay_s") <= 2.0, "{r:?}");
    assert_eq!(worst(&r, "relays_failed"), 0.0, "{r:?}");
}

#[test]
fn loss_and_jitter_lose_nothing() {
    roles(RelayFault::None, |o| (o.loss, o.jitter) = (0.05, 0.5));
}

#[test]
fn relays_that_die_lose_nothing() {
    let r = roles(RelayFault::Crash, |_| {});
    assert!(worst(&r, "failover_ms") <= 1_000.0, "{r:?}");
}

#[test]
fn relays_that_drop_lose_nothing_and_are_left() {
    for every in [1, 3] {
        let r = roles(RelayFault::Drop(every), |_| {});
        assert!(worst(&r, "failover_messages") <= 20.0, "{r:?}");
    }
}

#[test]
fn a_topic_reaches_those_that_nobody_can_dial() {
    let mut o = Options::new(Scenario::Broadcast { warmup: 10, messages: 30, crash: 0.0 });
    (o.nodes, o.seeds, o.unreachable) = (80, Seeds { first: 1, last: 3 }, 0.3);
    let r = run(&o, &|_| {});
    assert_eq!(r.failures, [], "an invariant did not hold");
    assert_eq!(worst(&r, "missed"), 0.0, "{r:?}");
}

#[test]
fn relays_by_role_carry_and_carry_alike() {
    let mut o = Options::new(Scenario::Roles { talk: Talk::default(), fault: RelayFault::None });
    o.nodes = 80;
    o.seeds = Seeds { first: 1, last: 1 };
    o.unreachable = 0.25;
    let r = run(&o, &|_| {});
    assert_eq!((r.failures.len(), worst(&r, "lost")), (0, 0.0), "{r:?}");
    assert!(worst(&r, "load_by_role_share") > 0.7, "{r:?}");
    assert!(worst(&r, "load_gini") < 0.35, "{r:?}");
    assert!((7.0..=10.0).contains(&worst(&r, "relays_by_role")), "{r:?}");
}
