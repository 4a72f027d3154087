//! Nodes that speak to each other.

mod common;

use std::collections::BTreeSet;

use common::{DEADLINE, Node, Running, tidings_with};
use serde_json::Value;

/// Three nodes of one network that know each other through the first.
fn three(parent: &std::path::Path) -> [Node; 3] {
    let a = Node::up(&parent.join("a"), &[]);
    let b = Node::up(&parent.join("b"), &["--join", a.ticket()]);
    let c = Node::up(&parent.join("c"), &["--join", a.ticket()]);
    [a, b, c]
}

#[track_caller]
fn expect(listener: &mut Running, from: &Node, published: &Value, text: &str) -> Value {
    let line = listener.next();
    assert_eq!(line["text"], text, "{line}");
    assert_eq!(line["author"], from.ready["node_id"], "{line}");
    for key in ["id", "epoch", "seq"] {
        assert_eq!(line[key], published[key], "{key}: {line}");
    }
    // A node that was started again has the proof anew a moment later.
    assert!(line["agent"].is_null() || line["agent"] == from.ready["agent_id"], "{line}");
    assert!(line["late"] == false && line["at"].as_u64() > Some(0), "{line}");
    line
}

#[test]
fn three_nodes_hear_what_each_of_them_says() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = three(dir.path());
    let topic = "news/of the ☃";
    let mut listeners: Vec<Running> = nodes.iter().map(|n| n.subscribe(topic)).collect();
    for node in &nodes {
        node.wait_for_neighbors(topic, 2);
    }
    for (i, from) in nodes.iter().enumerate() {
        let text = format!("greetings from {i}");
        let published = from.publish(topic, &text);
        assert_eq!(published["seq"], 1);
        assert!(published["neighbors"].as_u64() >= Some(1), "{published}");
        for listener in &mut listeners {
            let line = expect(listener, from, &published, &text);
            assert_eq!(line["agent"], from.ready["agent_id"], "proven when first heard: {line}");
        }
    }
    let peers = nodes[0].ask(&["peers", "--json"]).json();
    assert_eq!(peers["peers"].as_array().unwrap().len(), 2, "{peers}");
}

#[test]
fn bytes_that_are_not_text_arrive_as_base64() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &[]);
    let mut listener = node.subscribe("t");
    let data = dir.path().to_str().unwrap();
    let ended = tidings_with(&["pub", "t", "-", "--json", "--data", data], &[0xff, 0, 0xfe]);
    ended.json();
    let line = listener.next();
    assert_eq!(line["base64"], "/wD+", "{line}");
    assert!(line.get("text").is_none());
    let file = dir.path().join("file");
    std::fs::write(&file, "from a file\n").unwrap();
    node.ask(&["pub", "t", "--file", file.to_str().unwrap()]);
    assert_eq!(listener.next()["text"], "from a file\n");
}

#[test]
fn sub_stops_after_count_messages() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &[]);
    let data = dir.path().to_str().unwrap();
    let mut listener = Running::start(&["sub", "t", "--count", "2", "--data", data]);
    assert_eq!(listener.stderr.recv_timeout(DEADLINE).unwrap(), "listening on t");
    for text in ["one", "two", "three"] {
        node.publish("t", text);
    }
    assert_eq!(listener.ended(), Some(0));
    let said: Vec<String> = listener.stdout.iter().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].ends_with(" one") && said[1].ends_with(" two"), "{said:?}");
}

#[test]
fn a_message_that_is_too_long_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &[]);
    let file = dir.path().join("file");
    std::fs::File::create(&file).unwrap().set_len((64 << 20) + 1).unwrap();
    let ended = node.ask(&["pub", "t", "--file", file.to_str().unwrap()]);
    assert!(ended.error().contains("more than 67108864 bytes: split it"), "{ended:?}");
}

#[test]
fn a_file_of_megabytes_arrives_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = three(dir.path());
    let saved = dir.path().join("saved");
    let data = nodes[1].dir.to_str().unwrap();
    let mut listener = Running::start(&["sub", "t", "--json", "--save", saved.to_str().unwrap(), "--data", data]);
    assert_eq!(listener.stderr.recv_timeout(DEADLINE).unwrap(), "listening on t");
    let _others: Vec<Running> = [0, 2].iter().map(|n: &usize| nodes[*n].subscribe("t")).collect();
    nodes[0].wait_for_neighbors("t", 2);
    let content: Vec<u8> = (0..3_000_001_u32).flat_map(u32::to_le_bytes).collect();
    let file = dir.path().join("file");
    std::fs::write(&file, &content).unwrap();
    let published = nodes[0].ask(&["pub", "t", "--file", file.to_str().unwrap(), "--json"]).json();
    nodes[0].publish("t", "after it");
    let line = listener.next();
    assert_eq!((&line["id"], &line["seq"], &line["size"]), (&published["id"], &1.into(), &content.len().into()));
    assert!(std::fs::read(line["saved"].as_str().unwrap()).unwrap() == content, "{line}");
    let line = listener.next();
    assert_eq!((&line["seq"], &line["size"]), (&2.into(), &8.into()), "{line}");
    assert_eq!(std::fs::read(line["saved"].as_str().unwrap()).unwrap(), b"after it");
}

#[test]
fn networks_do_not_merge() {
    let dir = tempfile::tempdir().unwrap();
    let a = Node::up(&dir.path().join("a"), &["--network", "here"]);
    let ticket = a.ticket().to_owned();
    let data = dir.path().join("b");
    let args = ["up", "--data", data.to_str().unwrap(), "--network", "there", "--join", &ticket];
    let b = common::tidings(&args);
    assert!(b.error().contains("another network"), "{b:?}");
}

#[test]
fn a_killed_publisher_comes_back_with_the_same_key_and_a_later_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = three(dir.path());
    let mut listener = b.subscribe("t");
    let _also = a.subscribe("t");
    a.wait_for_neighbors("t", 1);
    let mut seen = BTreeSet::new();
    let mut last = Value::Null;
    for text in ["one", "two", "three"] {
        last = a.publish("t", text);
        let line = listener.next();
        assert_eq!(line["text"], text);
        seen.insert(line["id"].to_string());
    }
    let (id, epoch) = (a.ready["node_id"].clone(), last["epoch"].as_u64().unwrap());
    let a = Node::up(&a.kill(), &["--join", b.ticket(), "--join", c.ticket()]);
    assert_eq!(a.ready["node_id"], id, "the key is the same");
    let _also = a.subscribe("t");
    a.wait_for_neighbors("t", 1);
    for text in ["four", "five"] {
        let published = a.publish("t", text);
        assert!(published["epoch"].as_u64().unwrap() > epoch, "{published}");
        expect(&mut listener, &a, &published, text);
        assert!(seen.insert(published["id"].to_string()), "an id is used once");
    }
}

#[test]
fn a_killed_subscriber_gets_nothing_a_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = three(dir.path());
    let _also = a.subscribe("t");
    let mut listener = c.subscribe("t");
    let _third = b.subscribe("t");
    a.wait_for_neighbors("t", 1);
    c.wait_for_neighbors("t", 1);
    for text in ["one", "two", "three"] {
        let published = a.publish("t", text);
        expect(&mut listener, &a, &published, text);
    }
    let c = Node::up(&c.kill(), &["--join", a.ticket()]);
    let mut listener = c.subscribe("t");
    c.wait_for_neighbors("t", 1);
    for text in ["four", "five"] {
        let published = a.publish("t", text);
        expect(&mut listener, &a, &published, text);
    }
}

#[test]
fn a_durable_message_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &[]);
    let stored = node.ask(&["pub", "orders", "one", "--durable", "--json"]).json();
    assert_eq!(stored["seq"], 1);
    node.kill();
    let node = Node::up(dir.path(), &[]);
    let _listener = node.subscribe("orders");
    node.wait_for("orders", "cached_messages", 1);
}

#[test]
fn what_cannot_be_stored_is_refused_with_the_file_that_is_to_blame() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &[]);
    node.ask(&["pub", "orders", "one", "--durable", "--json"]).json();
    node.kill();
    let topic = std::fs::read_dir(dir.path().join("log")).unwrap().next().unwrap().unwrap().path();
    let file = topic.join("0000000000000001.log");
    std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(1000).unwrap();
    let node = Node::up(dir.path(), &[]);
    let refused = node.ask(&["pub", "orders", "two", "--durable"]);
    assert!(refused.error().contains("not stored: ") && refused.error().contains(file.to_str().unwrap()));
    assert!(node.ask(&["sub", "orders", "--durable"]).error().contains(file.to_str().unwrap()));
    node.publish("orders", "three");
}
