//! Nodes that cannot dial each other, and those between them.

mod common;

use std::time::Instant;

use common::{DEADLINE, Node};
use serde_json::Value;

/// Sends one after another until one is delivered while the sender waits: the first may come before the receiver is found, and where
/// it takes long it is kept for it and comes later. Returns what became of the last, and how many of them must come.
#[track_caller]
fn delivered(from: &Node, to: &Node, text: &str) -> (Value, usize) {
    let start = Instant::now();
    let mut taken = 0;
    loop {
        let ended = from.ask(&["send", to.ready["agent_id"].as_str().unwrap(), text, "--json"]);
        taken += usize::from(ended.ok);
        if ended.ok && ended.json()["status"] == "delivered" {
            return (ended.json(), taken);
        }
        assert!(start.elapsed() < DEADLINE, "{ended:?}");
    }
}

/// Two that can be dialed, and two that cannot.
fn two_and_two(dir: &tempfile::TempDir) -> [Node; 4] {
    let b = Node::up(&dir.path().join("b"), &[]);
    let join = ["--join", b.ticket()];
    let d = Node::up(&dir.path().join("d"), &join);
    let behind = [&join[..], &["--outgoing-only"]].concat();
    let [a, c] = ["a", "c"].map(|name| Node::up(&dir.path().join(name), &behind));
    [b, d, a, c]
}

fn unread(node: &Node) -> Vec<String> {
    let ended = node.ask(&["inbox", "--json"]);
    let text = |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    ended.stdout.lines().map(text).collect()
}

#[test]
fn two_that_cannot_dial_each_other_talk_through_a_relay_and_through_another_when_it_dies() {
    let dir = tempfile::tempdir().unwrap();
    let [b, d, a, c] = two_and_two(&dir);

    let (sent, ones) = delivered(&a, &c, "one");
    let via = sent["via"].as_array().unwrap().clone();
    assert_eq!((sent["node"] == c.ready["node_id"], via.len()), (true, 1), "{sent}");
    let (first, second) = if via[0] == b.ready["node_id"] { (b, d) } else { (d, b) };
    assert_eq!(via[0], first.ready["node_id"], "{sent}");
    let said = a.ask(&["send", c.ready["agent_id"].as_str().unwrap(), "two"]);
    assert!(said.ok && said.stdout.contains(" via "), "{said:?}");

    first.kill();
    let (sent, threes) = delivered(&a, &c, "three");
    assert_eq!(sent["via"], serde_json::json!([second.ready["node_id"]]), "{sent}");
    let start = Instant::now();
    let mut all = unread(&c);
    while all.len() < ones + 1 + threes && start.elapsed() < DEADLINE {
        all.extend(unread(&c));
    }
    all.sort_unstable();
    assert_eq!(all, [vec!["one"; ones], vec!["three"; threes], vec!["two"]].concat());
}

#[test]
fn members_of_a_topic_that_nobody_can_dial_hear_each_other_and_go_on_when_the_relay_dies() {
    let dir = tempfile::tempdir().unwrap();
    let [b, d, a, c] = two_and_two(&dir);
    let (mut at_a, mut at_c) = (a.subscribe("news"), c.subscribe("news"));
    let mut next = |n: usize| if n == 0 { at_a.next() } else { at_c.next() };
    for node in [&a, &c] {
        node.wait_for_neighbors("news", 1);
    }
    let peers = a.ask(&["peers", "--json"]).json();
    let peer = peers["peers"].as_array().unwrap().iter().find(|p| p["id"] == c.ready["node_id"]).cloned();
    assert!(peer.is_some_and(|p| p["circuit"] == true && p["topics"][0] == "news"), "{peers}");
    let table = a.ask(&["peers"]).stdout;
    assert!(table.lines().any(|l| l.contains("through relays") && l.contains("news")), "{table}");

    a.publish("news", "from a");
    c.publish("news", "from c");
    for n in [0, 1] {
        let mut texts = [next(n), next(n)].map(|m| m["text"].as_str().unwrap().to_owned());
        texts.sort_unstable();
        assert_eq!(texts, ["from a", "from c"]);
    }
    // One of the two carries, and then the other.
    b.kill();
    for text in ["one", "two", "three"] {
        a.publish("news", text);
        for n in [0, 1] {
            assert_eq!(next(n)["text"], text);
        }
    }
    let (relay, counters) = (&d, |n: &Node| n.ask(&["status", "--json"]).json()["counters"].clone());
    assert!(counters(relay)["envelopes_relayed"].as_u64() > Some(0));
    assert_eq!(counters(relay)["circuits_opened"], 0);
}
