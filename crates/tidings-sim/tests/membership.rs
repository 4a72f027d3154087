//! The scenarios of failures, at sizes small enough for every test run; `tidings sim` widens them.
#![allow(missing_docs)]

use tidings_sim::{Options, Report, Scenario, Seeds, run};

fn simulate(scenario: Scenario, nodes: usize, seeds: u64) -> Report {
    let mut o = Options::new(scenario);
    o.nodes = nodes;
    o.seeds = Seeds { first: 1, last: seeds };
    let r = run(&o, &|_| {});
    assert_eq!(r.failures, [], "an invariant did not hold");
    r
}

fn worst(r: &Report, figure: &str) -> f64 {
    r.figures.0[figure].worst
}

#[test]
fn a_crash_is_suspected_within_seconds_and_removed_soon_and_nobody_else_is() {
    let r = simulate(Scenario::Detect { stalled: 0.125, liars: 0.0, seconds: 40.0 }, 80, 2);
    assert!(worst(&r, "crashes") >= 8.0, "{r:?}");
    assert!(worst(&r, "suspect_ms") <= 3_500.0, "{r:?}");
    assert!(worst(&r, "remove_ms") <= 7_000.0, "{r:?}");
    assert_eq!((worst(&r, "unnoticed"), worst(&r, "false_removals_per_node_hour")), (0.0, 0.0), "{r:?}");
}

#[test]
fn probes_are_counted_and_cheap() {
    let r = simulate(Scenario::Detect { stalled: 0.0, liars: 0.0, seconds: 10.0 }, 60, 1);
    // Ten links, one ping and one answer a second on each, counted at both ends.
    let bytes = worst(&r, "probe_bytes_per_node_per_s");
    assert!((1_000.0..2_300.0).contains(&bytes), "{bytes}");
}

#[test]
fn liars_kill_nobody() {
    let r = simulate(Scenario::Detect { stalled: 0.125, liars: 0.2, seconds: 40.0 }, 80, 1);
    assert!(worst(&r, "lies") > 1_000.0, "{r:?}");
    assert_eq!(worst(&r, "false_removals_per_node_hour"), 0.0, "{r:?}");
}

#[test]
fn a_short_partition_is_forgotten_and_what_was_held_back_arrives() {
    let r = simulate(Scenario::Partition { split: 0.3, seconds: 2.0, rate: 10.0 }, 50, 2);
    assert!(worst(&r, "missed_while_apart") > 0.0, "a partition holds messages back: {r:?}");
    assert_eq!(worst(&r, "recovered"), 1.0, "{r:?}");
    assert!(worst(&r, "overlay_heal_ms") <= 3_000.0, "{r:?}");
}

#[test]
fn a_long_partition_is_seen_as_one() {
    let r = simulate(Scenario::Partition { split: 0.3, seconds: 20.0, rate: 2.0 }, 50, 1);
    assert_eq!(worst(&r, "connected_before_heal"), 0.7, "{r:?}");
    let apart = worst(&r, "missed_while_apart");
    assert!(apart >= 40.0 * 15.0, "each message misses one side at least: {r:?}");
}

#[test]
fn halves_that_meet_again_miss_nothing_and_fetch_each_message_about_once() {
    let r = simulate(Scenario::Partition { split: 0.5, seconds: 30.0, rate: 10.0 }, 40, 3);
    assert!(worst(&r, "missed_while_apart") > 1_000.0, "{r:?}");
    assert_eq!((worst(&r, "missed"), worst(&r, "recovered"), worst(&r, "gaps")), (0.0, 1.0, 0.0), "{r:?}");
    assert!(worst(&r, "messages_heal_ms") <= 15_000.0, "{r:?}");
    assert!(worst(&r, "repair_bytes_over_missed_payload") <= 1.3, "{r:?}");
}

#[test]
fn halves_of_a_local_network_miss_nothing_either() {
    let mut o = Options::new(Scenario::Partition { split: 0.3, seconds: 20.0, rate: 10.0 });
    (o.nodes, o.seeds, o.latency) = (30, Seeds { first: 1, last: 3 }, "lan".parse().unwrap());
    let r = run(&o, &|_| {});
    assert_eq!(r.failures, [], "an invariant did not hold");
    assert!(worst(&r, "missed_while_apart") > 1_000.0, "{r:?}");
    assert_eq!((worst(&r, "missed"), worst(&r, "recovered"), worst(&r, "gaps")), (0.0, 1.0, 0.0), "{r:?}");
    assert!(worst(&r, "repair_bytes_over_missed_payload") <= 1.3, "{r:?}");
}

#[test]
fn coded_symbols_find_differences_of_all_sizes_and_equal_sets_cost_next_to_nothing() {
    for (items, diff, most) in [(2_000, 0, 0.0), (2_000, 8, 2.2), (2_000, 100, 1.8), (5_000, 3_000, 1.45)] {
        let r = simulate(Scenario::Reconcile { items, diff }, 1, 10);
        assert!(worst(&r, "bytes_when_equal") <= 64.0, "{r:?}");
        if diff > 0 {
            assert_eq!(worst(&r, "failures"), 0.0, "{r:?}");
            assert!(r.figures.0["overhead"].mean <= most, "{r:?}");
        }
    }
}

#[test]
fn churn_isolates_nobody_and_those_who_stay_get_everything() {
    let r = simulate(Scenario::Churn { rate: 10.0, seconds: 120.0 }, 60, 2);
    assert!(worst(&r, "replaced") >= 8.0 && worst(&r, "present_throughout") >= 30.0, "{r:?}");
    assert_eq!((worst(&r, "delivery_ratio"), worst(&r, "isolated")), (1.0, 0.0), "{r:?}");
    assert_eq!(worst(&r, "false_removals"), 0.0, "{r:?}");
    assert!(worst(&r, "path_length") <= 1.15 * worst(&r, "path_length_random"), "{r:?}");
}

#[test]
fn rogues_get_nothing_through_and_attackers_get_into_some_views() {
    let r = simulate(Scenario::Hostile { attackers: 0.05, ids: 10, seconds: 8.0 }, 40, 1);
    assert!(worst(&r, "abuses") > 1_000.0, "{r:?}");
    assert_eq!((worst(&r, "accepted_forgeries"), worst(&r, "panics")), (0.0, 0.0), "{r:?}");
    assert_eq!(worst(&r, "delivery_ratio"), 1.0, "{r:?}");
    assert!(worst(&r, "view_share_over_fair_share") > 0.2, "an attack that never gets in measures nothing: {r:?}");
}
