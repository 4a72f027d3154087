//! Nodes of which only the first was given to the others find, see and hear each other, by agent and by topic.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use common::{DEADLINE, Node};
use rustix::process::Signal;
use serde_json::Value;

struct Five {
    nodes: Vec<Node>,
    _parent: tempfile::TempDir,
}

impl Five {
    fn up(network: &str) -> Five {
        Five::with(network, &[])
    }

    fn with(network: &str, more: &[&str]) -> Five {
        let parent = tempfile::tempdir().unwrap();
        let mut nodes: Vec<Node> = Vec::new();
        for n in 0..5 {
            let mut args = vec!["--network", network];
            args.extend_from_slice(more);
            let ticket = nodes.first().map(|first| first.ticket().to_owned());
            args.extend(ticket.iter().flat_map(|t| ["--join", t]));
            nodes.push(Node::up(&parent.path().join(n.to_string()), &args));
        }
        Five { nodes, _parent: parent }
    }

    fn ids(&self, key: &str) -> BTreeSet<String> {
        self.nodes.iter().map(|n| text(&n.ready[key])).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Asks until the answer is right.
#[track_caller]
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            println!("{what} after {:?}", began.elapsed());
            return answer;
        }
        assert!(began.elapsed() < DEADLINE, "not {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn online(node: &Node) -> BTreeSet<String> {
    let answer = node.ask(&["presence", "--json"]).json();
    answer["online"].as_array().unwrap().iter().map(|p| text(&p["node"])).collect()
}

fn index(node: &Node) -> u64 {
    node.ask(&["status", "--json"]).json()["index"].as_u64().unwrap()
}

/// Finds an agent by one means, in one question.
fn find(node: &Node, agent: &str, how: &str) -> Option<Value> {
    let ended = node.ask(&["find", agent, "--how", how, "--json"]);
    let answer: Value = serde_json::from_str(ended.stdout.trim()).unwrap();
    assert_eq!(answer["agent"], agent);
    assert_eq!(ended.ok, !answer["found"].as_array().unwrap().is_empty());
    answer["found"].as_array().unwrap().first().cloned()
}

#[test]
fn all_see_each_other_and_one_that_is_killed_is_gone() {
    let mut five = Five::up("secret:seen");
    let all = five.ids("node_id");
    for node in &five.nodes {
        until("seen", || (online(node) == all).then_some(()));
        // Neighbours notice a death; others wait for the word of the dead to expire.
        until("neighbours", || (node.ask(&["status", "--json"]).json()["active_view"] == 4).then_some(()));
    }
    let last = five.nodes.pop().unwrap();
    let id = text(&last.ready["node_id"]);
    last.process.signal(Signal::KILL);
    for node in &five.nodes {
        until("gone", || (!online(node).contains(&id)).then_some(()));
    }
}

#[test]
fn all_find_each_other_by_agent_with_those_who_hold_its_shard() {
    let five = Five::up("secret:found");
    let held = || five.nodes.iter().all(|n| index(n) >= 2);
    until("indexed", || held().then_some(()));
    for by in &five.nodes {
        for of in &five.nodes {
            let agent = text(&of.ready["agent_id"]);
            let found = until("found", || find(by, &agent, "rendezvous"));
            assert_eq!(found["node"], of.ready["node_id"], "{found}");
            assert_eq!(found["addrs"], of.ready["addrs"], "{found}");
            assert!(found["age_ms"].is_u64() && found["expires_in_ms"].as_u64().unwrap() > 0, "{found}");
        }
    }
}

#[test]
fn all_find_each_other_by_asking_neighbours_where_nobody_holds_anything() {
    let five = Five::with("secret:asked", &["--no-index"]);
    for by in &five.nodes {
        for of in &five.nodes {
            let agent = text(&of.ready["agent_id"]);
            let found = until("found", || find(by, &agent, "any"));
            assert_eq!(found["node"], of.ready["node_id"], "{found}");
            assert_ne!(found["how"], "rendezvous");
        }
    }
    assert_eq!(index(&five.nodes[0]), 0);
}

#[test]
fn who_is_hidden_is_not_found() {
    let five = Five::with("secret:hidden", &["--hidden"]);
    until("indexed", || (index(&five.nodes[0]) >= 2).then_some(()));
    let agent = text(&five.nodes[4].ready["agent_id"]);
    let ended = five.nodes[0].ask(&["find", &agent, "--how", "rendezvous"]);
    assert!(ended.error().contains("not found"), "{ended:?}");
}

#[test]
fn all_hear_each_other_on_a_topic_by_its_name() {
    let five = Five::up("secret:heard");
    // Nobody has the topic; whoever enters it finds who has.
    let mut heard: Vec<_> = five.nodes.iter().map(|n| n.subscribe("news")).collect();
    for (n, node) in five.nodes.iter().enumerate() {
        node.publish("news", &n.to_string());
    }
    let mut agents = BTreeSet::new();
    for lines in &mut heard {
        let mut texts = BTreeSet::new();
        while texts.len() < 5 {
            let line = lines.next();
            if let Some(said) = line["text"].as_str() {
                texts.insert(said.to_owned());
                agents.extend(line["agent"].as_str().map(str::to_owned));
            }
        }
    }
    assert!(agents.is_subset(&five.ids("agent_id")), "{agents:?}");
}

#[test]
fn all_send_each_other_messages_by_agent_and_each_comes_once() {
    let mut five = Five::up("secret:sent");
    for (n, by) in five.nodes.iter().enumerate() {
        for of in five.nodes.iter().filter(|of| of.ready != by.ready) {
            let agent = text(&of.ready["agent_id"]);
            until("found", || find(by, &agent, "any"));
            let sent = by.ask(&["send", &agent, &format!("from {n}"), "--json"]).json();
            assert_eq!((&sent["node"], &sent["status"]), (&of.ready["node_id"], &"delivered".into()));
        }
    }
    // One is killed before it has read anything: it is on its disk.
    let killed = five.nodes.pop().unwrap();
    let agent = text(&killed.ready["agent_id"]);
    let dir = killed.kill();
    five.nodes.push(Node::up(&dir, &["--network", "secret:sent"]));
    assert_eq!(text(&five.nodes[4].ready["agent_id"]), agent);
    for (n, node) in five.nodes.iter().enumerate() {
        let lines = node.ask(&["inbox", "--json"]);
        let messages: Vec<Value> = lines.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let texts: BTreeSet<String> = messages.iter().map(|m| text(&m["text"])).collect();
        let expected: BTreeSet<String> =
            (0..5).filter(|other| *other != n).map(|other| format!("from {other}")).collect();
        assert_eq!((texts, messages.len()), (expected, 4));
        assert!(messages.iter().all(|m| five.ids("agent_id").contains(m["agent"].as_str().unwrap())));
        assert_eq!(node.ask(&["inbox", "--json"]).stdout, "", "read is read");
    }
}

#[test]
fn who_is_away_has_it_when_it_is_back_though_its_sender_is_gone() {
    let network = "secret:away";
    let mut five = Five::up(network);
    let all = five.ids("node_id");
    for node in &five.nodes {
        until("seen", || (online(node) == all).then_some(()));
    }
    // One says goodbye, one dies.
    let (dies, leaves) = (five.nodes.pop().unwrap(), five.nodes.pop().unwrap());
    let agents = [&dies, &leaves].map(|n| text(&n.ready["agent_id"]));
    let dirs = [dies.kill(), leaves.quit()];
    let sender = five.nodes.pop().unwrap();
    for agent in &agents {
        let sent = sender.ask(&["send", agent, "for later", "--json"]).json();
        assert_eq!(sent["status"], "relayed", "{sent}");
        assert_eq!(sent["kept_by"].as_array().unwrap().len(), 2, "{sent}");
        assert!(sent["kept_until"].as_u64().unwrap() > 1_700_000_000_000, "{sent}");
        let said = sender.ask(&["send", agent, "and this"]);
        assert!(said.stdout.contains("is away: kept by") && said.stdout.contains("24 h at most"), "{said:?}");
    }
    sender.kill();
    let ticket = five.nodes[0].ticket().to_owned();
    for dir in dirs {
        let back = Node::up(&dir, &["--network", network, "--join", &ticket]);
        let inbox = || {
            let lines = back.ask(&["inbox", "--json", "--keep"]).stdout;
            let messages: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            (messages.len() >= 2).then_some(messages)
        };
        let texts: BTreeSet<String> = until("delivered", inbox).iter().map(|m| text(&m["text"])).collect();
        assert_eq!(texts, ["and this", "for later"].map(str::to_owned).into());
        thread::sleep(Duration::from_secs(6));
        assert_eq!(inbox().unwrap().len(), 2, "it came twice");
    }
}

#[test]
fn who_does_not_say_that_it_is_here_sees_others_and_is_written_to_all_the_same() {
    let parent = tempfile::tempdir().unwrap();
    let first = Node::up(&parent.path().join("0"), &["--network", "secret:quiet"]);
    let quiet = Node::up(&parent.path().join("1"), &["--no-presence", "--join", first.ticket()]);
    let ids = |nodes: &[&Node]| nodes.iter().map(|n| text(&n.ready["node_id"])).collect::<BTreeSet<_>>();
    until("seen", || (online(&quiet) == ids(&[&first])).then_some(()));
    let agent = text(&quiet.ready["agent_id"]);
    until("found", || find(&first, &agent, "any"));
    let sent = first.ask(&["send", &agent, "quietly", "--json"]).json();
    assert_eq!(sent["status"], "delivered", "{sent}");
    assert_eq!(online(&first), ids(&[&first]));
}

#[test]
fn an_id_that_is_none_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let node = Node::up(&parent.path().join("0"), &["--network", "secret:none"]);
    let error = node.ask(&["find", "nobody"]);
    assert!(error.error().contains("there is no agent \"nobody\""), "{error:?}");
}
