//! Traffic makes a node a relay, and the others learn it.

mod common;

use std::time::Instant;

use common::{DEADLINE, Node};
use serde_json::Value;

/// What `at` says of `node` once it says this.
#[track_caller]
fn says(at: &Node, node: &str, what: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let ended = at.ask(&["roles", node, "--json"]);
        if ended.ok && what(&ended.json()) {
            return ended.json();
        }
        assert!(start.elapsed() < DEADLINE, "{ended:?}");
    }
}

#[test]
fn who_carries_becomes_a_relay_and_everybody_learns_it() {
    let dir = tempfile::tempdir().unwrap();
    let b = Node::up(&dir.path().join("b"), &[]);
    let join = ["--join", b.ticket()];
    let d = Node::up(&dir.path().join("d"), &join);
    let behind = [&join[..], &["--outgoing-only"]].concat();
    let a = Node::up(&dir.path().join("a"), &behind);
    let c = Node::up(&dir.path().join("c"), &behind);

    let to = c.ready["agent_id"].as_str().unwrap();
    let (start, mut carried) = (Instant::now(), std::collections::BTreeMap::<String, u32>::new());
    let relay = loop {
        let sent = a.ask(&["send", to, "something", "--json"]);
        if sent.ok {
            let via = sent.json()["via"][0].as_str().map(ToOwned::to_owned).expect("a relay");
            let n = carried.entry(via.clone()).or_default();
            *n += 1;
            if *n == 12 {
                break via;
            }
        }
        assert!(start.elapsed() < DEADLINE, "{sent:?}");
    };
    let judged = says(&a, &relay, |m| m["role"] == "relay");
    assert!(judged["relay_count"].as_u64() >= Some(12) && judged["score"].as_f64() >= Some(10.0), "{judged}");
    let own = if b.ready["node_id"] == *relay { &b } else { &d };
    says(own, &relay, |m| m["role"] == "relay" && m["relay_count"].as_u64() >= Some(12));
    for other in [&a, &b, &c, &d].into_iter().filter(|n| n.ready["node_id"] != *relay) {
        let claim = says(other, &relay, |m| m["claim"]["role"] == "relay")["claim"].clone();
        assert!(claim["score"].as_f64() >= Some(10.0), "{claim}");
    }
    // The receiver was served nothing itself: it has the relay's word for it, and no more.
    assert_eq!(says(&c, &relay, |_| true)["score"], 0.0);
    let shown = a.ask(&["roles", &relay[..10]]);
    assert!(shown.ok && shown.stdout.contains("is taken for a relay"), "{shown:?}");
}
