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
fn numbers_out_of_range_are_refused_before_anything_runs() {
    for (args, says) in [
        (&["sim", "broadcast", "--nodes", "1"][..], "--nodes is 1: from 2"),
        (&["sim", "broadcast", "--loss", "1"], "--loss is 1"),
        (&["sim", "broadcast", "--jitter", "NaN"], "--jitter is NaN"),
        (&["sim", "broadcast", "--latency", "7..5"], "lan, wan"),
        (&["sim", "broadcast", "--seeds", "4..2"], "FIRST..LAST"),
        (&["sim", "crash"], "--fraction"),
        (&["sim", "crash", "--fraction", "1"], "--fraction is 1"),
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
