//! The demo's summary, and what its exit code promises.

mod common;

use common::tidings;

const KEYS: [&str; 16] = [
    "nodes",
    "stuck",
    "join_ms",
    "messages",
    "size_bytes",
    "expected",
    "delivered",
    "duplicates",
    "latency_ms",
    "deliveries_per_s",
    "cpu_s",
    "cpu_us_per_delivery",
    "peak_rss_mb",
    "idle_rss_mb_per_node",
    "wire_bytes_per_payload_byte",
    "rmr",
];

#[test]
fn four_nodes_get_twenty_messages_exactly_once() {
    let summary = tidings(&["demo", "--nodes", "4", "--messages", "20", "--rate", "200", "--json"]).json();
    for key in KEYS {
        assert!(!summary[key].is_null(), "{key} is missing: {summary}");
    }
    assert!(summary.get("relays").is_some());
    assert_eq!(summary["nodes"], 4);
    assert_eq!(summary["messages"], 20);
    assert_eq!(summary["size_bytes"], 256);
    assert_eq!(summary["expected"], 60);
    assert_eq!(summary["delivered"], 60);
    assert_eq!(summary["duplicates"], 0);
    let latency = &summary["latency_ms"];
    let [p50, p99, max] = ["p50", "p99", "max"].map(|k| latency[k].as_f64().unwrap());
    assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{latency}");
    assert!(summary["wire_bytes_per_payload_byte"].as_f64().unwrap() > 1.0, "{summary}");
}

#[test]
fn nodes_that_read_nothing_are_expected_to_have_nothing() {
    let args = ["demo", "--nodes", "5", "--stuck", "2", "--messages", "100", "--rate", "max", "--json"];
    let summary = tidings(&args).json();
    assert_eq!((&summary["stuck"], &summary["expected"], &summary["delivered"]), (&2.into(), &200.into(), &200.into()));
}

#[test]
fn all_nodes_can_publish_at_full_speed() {
    let args =
        ["demo", "--nodes", "5", "--messages", "503", "--size", "64", "--rate", "max", "--publishers", "rotating"];
    let summary = tidings(&[&args[..], &["--json"]].concat()).json();
    assert_eq!(summary["expected"], 2012);
    assert_eq!(summary["delivered"], 2012);
    assert_eq!(summary["duplicates"], 0);
}

#[test]
fn the_smallest_and_the_largest_message_travel() {
    for size in ["16", "32768", "65536", "2000000"] {
        let summary =
            tidings(&["demo", "--nodes", "2", "--messages", "3", "--rate", "max", "--size", size, "--json"]).json();
        assert_eq!(summary["delivered"], 3, "{summary}");
    }
}

#[test]
fn people_get_a_summary_without_colour_in_a_pipe() {
    let ended = tidings(&["demo", "--nodes", "2", "--messages", "2", "--rate", "max"]);
    assert!(ended.ok, "{ended:?}");
    assert!(ended.stdout.starts_with("all 2 deliveries arrived exactly once\n"), "{ended:?}");
    assert!(!ended.stdout.contains('\x1b') && ended.stderr.is_empty(), "{ended:?}");
}
