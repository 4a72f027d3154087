//! A node that others have reached offers itself to everybody, those that do not want to do not.
#![allow(missing_docs)]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{DEADLINE, Node};

#[test]
fn who_is_told_to_and_can_be_reached_is_known_to_all() {
    let parent = tempfile::tempdir().unwrap();
    let args = |flag| vec![flag, "--network", "secret:coordinators"];
    let first = Node::up(&parent.path().join("0"), &args("--coordinator"));
    let ticket = first.ticket().to_owned();
    let others: Vec<Node> = (1..4)
        .map(|n| {
            let args = [args("--no-coordinator"), vec!["--join", &ticket]].concat();
            Node::up(&parent.path().join(n.to_string()), &args)
        })
        .collect();
    let began = Instant::now();
    for node in others.iter().chain([&first]) {
        loop {
            let answer = node.ask(&["coordinators", "--json"]).json();
            let known = answer["coordinators"].as_array().unwrap();
            if !known.is_empty() {
                assert_eq!(known.len(), 1, "{answer}");
                assert_eq!(known[0]["node"], first.ready["node_id"]);
                assert_eq!(known[0]["agent"], first.ready["agent_id"]);
                assert_eq!(known[0]["addrs"], first.ready["addrs"]);
                break;
            }
            assert!(began.elapsed() < DEADLINE, "nobody offers itself");
            thread::sleep(Duration::from_millis(50));
        }
    }
    println!("known to all after {:?}", began.elapsed());
}
