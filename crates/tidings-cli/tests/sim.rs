//! The simulator from the command line.

mod common;

use common::tidings;

#[test]
fn a_broadcast_prints_every_key_and_repeats_from_its_seeds() {
    let args = ["sim", "broadcast", "--nodes", "10", "--seeds", "3..4", "--messages", "5", "--warmup", "2", "--json"];
    let first = tidings(&args).json();
    for key in ["scenario", "nodes", "seeds", "failed_seeds", "trace_hash", "figures", "wall_s", "peak_rss_mb"] {
        assert!(!first[key].is_null(), "{key} is missing: {first}");
    }
    assert_eq!(first["failed_seeds"], serde_json::json!([]));
    for figure in ["delivery_ratio", "rmr", "ldh", "latency_ms", "last_delivery_ms"] {
        for statistic in ["mean", "p50", "p99", "worst"] {
            assert!(first["figures"][figure][statistic].is_number(), "{figure}.{statistic}: {first}");
        }
    }
    assert_eq!(first["figures"]["delivery_ratio"]["worst"], 1.0);
    assert_eq!(first["trace_hash"], tidings(&args).json()["trace_hash"], "the same seeds make the same trace");
    let others = tidings(&["sim", "broadcast", "--nodes", "10", "--seeds", "5", "--messages", "5", "--json"]).json();
    assert_ne!(first["trace_hash"], others["trace_hash"]);
}

#[test]
fn a_crash_is_survived() {
    let report = tidings(&["sim", "crash", "--nodes", "20", "--seeds", "1", "--fraction", "0.3", "--json"]).json();
    assert_eq!(report["scenario"], "crash");
    assert_eq!(report["figures"]["survivors_connected_final"]["worst"], 1.0, "{report}");
}

#[test]
fn every_scenario_prints_its_figures() {
    let scenarios: &[(&[&str], &[&str])] = &[
        (
            &["detect", "--nodes", "16", "--for", "5"],
            &[
                "suspect_ms",
                "remove_ms",
                "false_suspicions_per_node_hour",
                "false_removals_per_node_hour",
                "probe_bytes_per_node_per_s",
            ],
        ),
        (
            &["partition", "--nodes", "12", "--for", "2", "--rate", "5", "--split", "0.5"],
            &["missed", "recovered", "overlay_heal_ms", "messages_heal_ms", "repair_bytes_over_missed_payload"],
        ),
        (
            &["churn", "--nodes", "16", "--for", "20", "--rate", "60"],
            &["delivery_ratio", "isolated", "path_length", "clustering", "false_removals"],
        ),
        (
            &["hostile", "--nodes", "12", "--for", "3", "--ids", "3"],
            &["accepted_forgeries", "panics", "view_share_over_fair_share", "memory_growth_ratio"],
        ),
        (
            &["crash", "--nodes", "16", "--fraction", "0.5", "--restart"],
            &["survivors_connected", "survivors_connected_final", "heal_ms"],
        ),
    ];
    for (args, figures) in scenarios {
        let args = [&["sim"], *args, &["--seeds", "1", "--json"]].concat();
        let report = tidings(&args).json();
        for figure in *figures {
            assert!(report["figures"][figure].is_object(), "{args:?} lacks {figure}: {report}");
        }
        assert!(report["peak_rss_kb_per_node"].is_number(), "{report}");
    }
}

#[test]
fn numbers_out_of_range_are_refused_before_anything_runs() {
    for (args, says) in [
        (&["sim", "broadcast", "--nodes", "1"][..], "--nodes is 1: from 2"),
        (&["sim", "broadcast", "--loss", "1"], "--loss is 1"),
        (&["sim", "broadcast", "--jitter", "NaN"], "--jitter is NaN"),
        (&["sim", "broadcast", "--latency", "7..5"], "lan, wan"),
        (&["sim", "broadcast", "--seeds", "4..2"], "FIRST..LAST"),
        (&["sim", "crash"], "--fraction"),
        (&["sim", "crash", "--fraction", "1"], "--fraction is 1"),
        (&["sim", "detect", "--stalled", "1"], "--stalled is 1"),
        (&["sim", "detect", "--liars", "0.6"], "--liars is 0.6"),
        (&["sim", "partition", "--split", "0"], "--split is 0"),
        (&["sim", "churn", "--for", "0"], "--for is 0"),
        (&["sim", "hostile", "--ids", "0"], "--ids is 0"),
        (&["sim", "all"], "all"),
    ] {
        let ended = tidings(args);
        assert!(ended.error().contains(says), "{args:?}: {ended:?}");
        assert_eq!(ended.code, Some(2), "{args:?}");
    }
}

#[test]
fn people_get_a_table() {
    let ended = tidings(&["sim", "broadcast", "--nodes", "5", "--seeds", "1", "--messages", "2"]);
    assert!(ended.ok && ended.stderr.is_empty(), "{ended:?}");
    assert!(ended.stdout.starts_with("broadcast, 5 nodes, seeds 1: the invariants held for every seed\n"), "{ended:?}");
    assert!(ended.stdout.contains("delivery_ratio") && !ended.stdout.contains('\x1b'), "{ended:?}");
}
