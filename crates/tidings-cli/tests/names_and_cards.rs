//! Cards that are handed on, names that are given, nodes that are revoked: on the command line, between real nodes.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use common::{DEADLINE, Node, Running, tidings};
use serde_json::Value;

fn id<'a>(node: &'a Node, key: &str) -> &'a str {
    node.ready[key].as_str().unwrap()
}

fn up(dir: &tempfile::TempDir, name: &str, more: &[&str]) -> Node {
    Node::up(&dir.path().join(name), more)
}

/// The next line that says this happened.
fn told(process: &mut Running, event: &str) -> Value {
    loop {
        let line = process.next();
        if line["event"] == event {
            return line;
        }
    }
}

/// Two nodes, the second joined by the first one's card.
fn by_card() -> (tempfile::TempDir, Node, Node) {
    let tmp = tempfile::tempdir().unwrap();
    let a = up(&tmp, "a", &[]);
    let card = a.ask(&["id", "--card", "--json"]).json();
    let b = up(&tmp, "b", &["--join", card["card"].as_str().unwrap()]);
    (tmp, a, b)
}

/// Waits until a command's answer has what is looked for.
#[track_caller]
fn wait_for(node: &Node, args: &[&str], found: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let answer = node.ask(args).json();
        if found(&answer) {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "{args:?} never says so: {answer}");
    }
}

fn entry<'a>(answer: &'a Value, list: &str, agent: &str) -> Option<&'a Value> {
    answer[list].as_array().unwrap().iter().find(|e| e["agent"] == agent)
}

#[test]
fn who_joins_by_a_card_is_told_that_it_met_whom_the_card_names() {
    let (_tmp, a, mut b) = by_card();
    let met = told(&mut b.process, "met");
    assert_eq!(met["agent"].as_str(), Some(id(&a, "agent_id")));
    assert_eq!((met["peer"].as_str(), met["as_on_the_card"].as_bool()), (Some(id(&a, "node_id")), Some(true)));
}

#[test]
fn who_joins_by_a_card_of_another_agent_is_told_so() {
    let tmp = tempfile::tempdir().unwrap();
    let a = up(&tmp, "a", &[]);
    let card = a.ask(&["id", "--card", "--json"]).json();
    // The same node, at the same address, is another agent's from now on.
    let bound = id(&a, "node_id").to_owned();
    let addr = a.ready["addrs"][0].as_str().unwrap().to_owned();
    let dir = a.kill();
    fs::remove_file(dir.join("agent")).unwrap();
    let _again = Node::up(&dir, &["--bind", &addr]);
    let mut b = up(&tmp, "b", &["--join", card["card"].as_str().unwrap()]);
    let met = told(&mut b.process, "met");
    assert_eq!((met["peer"].as_str(), met["as_on_the_card"].as_bool()), (Some(&*bound), Some(false)));
}

#[test]
fn a_card_says_who_and_where() {
    let tmp = tempfile::tempdir().unwrap();
    let a = up(&tmp, "a", &[]);
    let card = a.ask(&["id", "--card"]).stdout;
    let read = tidings(&["id", "read", &card, "--json", "--data", "/nonexistent"]).json();
    assert_eq!((read["agent"].as_str(), read["node"].as_str()), (Some(id(&a, "agent_id")), Some(id(&a, "node_id"))));
    assert_eq!(read["addrs"], a.ready["addrs"]);
}

#[test]
fn a_card_that_was_altered_joins_nobody() {
    let tmp = tempfile::tempdir().unwrap();
    let a = up(&tmp, "a", &[]);
    let mut card = a.ask(&["id", "--card"]).stdout.trim().to_owned();
    let last = card.pop().unwrap();
    card.push(if last == 'a' { 'b' } else { 'a' });
    let refused = tidings(&["up", "--join", &card, "--data", tmp.path().join("b").to_str().unwrap()]);
    assert!(refused.error().contains("altered or cut short"), "{refused:?}");
}

#[test]
fn a_code_of_the_card_fits_a_terminal() {
    let tmp = tempfile::tempdir().unwrap();
    let a = up(&tmp, "a", &[]);
    let code = a.ask(&["id", "--qr"]);
    assert!(code.ok && code.stdout.lines().count() > 20, "{code:?}");
    assert!(code.stdout.lines().all(|l| l.chars().count() <= 79));
}

#[test]
fn a_name_is_shown_and_understood_where_agents_are() {
    let (_tmp, a, b) = by_card();
    let agent = id(&a, "agent_id");
    wait_for(&b, &["presence", "--json"], |p| entry(p, "online", agent).is_some());
    // Ten digits are enough of one that is here.
    b.ask(&["name", &agent[..10], "alice", "--json"]).json();
    let mode = fs::metadata(b.dir.join("names")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let presence = b.ask(&["presence", "--json"]).json();
    assert_eq!(entry(&presence, "online", agent).unwrap()["agent_name"], "alice");
    let peers = wait_for(&b, &["peers", "--json"], |p| entry(p, "peers", agent).is_some());
    assert_eq!(entry(&peers, "peers", agent).unwrap()["agent_name"], "alice");
    for command in ["presence", "peers"] {
        let table = b.ask(&[command]).stdout;
        assert!(table.split_whitespace().any(|word| word == "alice"), "{table}");
    }
    assert_eq!(b.ask(&["name", "ALICE", "--json"]).json()["agent"].as_str(), Some(agent));

    let mut news = b.subscribe("news");
    let _both = a.subscribe("news");
    a.wait_for_neighbors("news", 1);
    a.publish("news", "hello");
    assert_eq!(news.next()["agent_name"], "alice");
}

#[test]
fn names_are_listed_and_taken_away() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().to_str().unwrap();
    let (alice, bob) = ("11".repeat(32), "22".repeat(32));
    let name = |args: &[&str]| tidings(&[&["name", "--json", "--data", dir], args].concat());
    name(&[&alice, "alice"]).json();
    let taken = name(&[&bob, "Alice"]);
    assert!(taken.error().contains("is the name of") && taken.code == Some(2), "{taken:?}");
    name(&[&bob, "bob"]).json();
    let all = name(&[]).json();
    assert_eq!(entry(&all, "names", &bob).unwrap()["agent_name"], "bob");
    assert_eq!(name(&["--remove", "alice"]).json()["removed"], "alice");
    assert!(entry(&name(&[]).json(), "names", &alice).is_none());
    assert!(name(&["alice"]).error().contains("there is no agent"));
}

#[test]
fn a_node_that_is_revoked_speaks_for_nobody_at_any_other() {
    let tmp = tempfile::tempdir().unwrap();
    let a = up(&tmp, "a", &["--network", "lobby"]);
    let ticket = a.ticket().to_owned();
    // A second node of the same agent, and one of a stranger.
    let lost = tmp.path().join("lost");
    fs::create_dir(&lost).unwrap();
    fs::copy(a.dir.join("agent"), lost.join("agent")).unwrap();
    let lost = Node::up(&lost, &["--join", &ticket]);
    let mut events = Running::start(&["events", "--json", "--data", lost.dir.to_str().unwrap()]);
    events.stderr.recv_timeout(DEADLINE).unwrap();
    let other = up(&tmp, "other", &["--join", &ticket]);
    assert_eq!(lost.ready["agent_id"], a.ready["agent_id"]);
    let its = id(&lost, "node_id").to_owned();
    let proven = |p: &Value| p["peers"].as_array().unwrap().iter().any(|p| p["id"] == *its && p["agent"].is_string());
    wait_for(&other, &["peers", "--json"], proven);

    let done = a.ask(&["id", "revoke", &its, "--json"]).json();
    assert_eq!(done["revoked"].as_str(), Some(&*its));
    told(&mut events, "cast_out");
    wait_for(&other, &["peers", "--json"], |p| !proven(p));
}

#[test]
fn a_node_cannot_revoke_itself() {
    let tmp = tempfile::tempdir().unwrap();
    let a = up(&tmp, "a", &[]);
    let refused = a.ask(&["id", "revoke", id(&a, "node_id")]);
    assert!(refused.error().contains("another of the agent's nodes"), "{refused:?}");
}
