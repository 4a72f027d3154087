//! Topics on which not everyone may publish, as people use them.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Node, tidings, tidings_with};

/// Two nodes of one network that know each other.
fn two(parent: &Path) -> [Node; 2] {
    let a = Node::up(&parent.join("a"), &[]);
    let b = Node::up(&parent.join("b"), &["--join", a.ticket()]);
    [a, b]
}

fn agent(node: &Node) -> &str {
    node.ready["agent_id"].as_str().unwrap()
}

#[test]
fn the_commands_in_the_document_do_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let [_a, _b] = two(dir.path());
    let document = include_str!("../../../docs/topics.md");
    let blocks = document.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let script = blocks.collect::<String>().replace("/tmp/", &format!("{}/", dir.path().display()));
    assert!(script.lines().count() >= 9, "{script}");
    let bin = Path::new(env!("CARGO_BIN_EXE_tidings")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let done = Command::new("sh").args(["-euc", &script]).env("PATH", path).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}{err}");
    assert!(out.contains("not yet") && err.contains("tidings grant"), "{out}{err}");
    assert_eq!(out.matches("number 1 of epoch").count(), 3, "{out}{err}");
}

#[test]
fn who_was_let_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = two(dir.path());
    let made = tidings(&["topic", "council", "--owner", agent(&a), "--json"]).json();
    let topic = made["ticket"].as_str().unwrap();
    let mut listener = a.subscribe(topic);
    let granted = a.ask(&["grant", topic, agent(&b), "--for", "1h", "--json"]).json();
    assert_eq!((&granted["agent"], &granted["topic_id"]), (&b.ready["agent_id"], &made["id"]));
    let data = dir.path().join("b");
    let text = format!("{}\n", granted["capability"].as_str().unwrap());
    let accepted = tidings_with(&["accept", "-", "--data", data.to_str().unwrap(), "--json"], text.as_bytes()).json();
    assert_eq!(accepted["expires_ms"], granted["expires_ms"]);
    b.publish(topic, "thank you");
    let line = listener.next();
    assert_eq!((&line["text"], &line["agent"]), (&"thank you".into(), &b.ready["agent_id"]), "{line}");
}

#[test]
fn what_cannot_be_is_refused_in_a_line_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(&dir.path().join("a"), &[]);
    let mine = tidings(&["topic", "t", "--owner", agent(&node)]).stdout.trim().to_owned();
    let theirs = tidings(&["topic", "t", "--publisher", &"9".repeat(64)]).stdout.trim().to_owned();
    let family = tidings(&["topic", "t"]).stdout.trim().to_owned();
    let me = agent(&node);
    for (args, says) in [
        (&["grant", &mine, me, "--for", "2000d"][..], "past the limits"),
        (&["grant", &theirs, me], "no owner"),
        (&["grant", &family, me], "no owner"),
        (&["grant", "plain", me], "no owner"),
        (&["pub", &theirs, "x"], "does not list it"),
        (&["accept", "nonsense"], "copied whole"),
        (&["accept", &mine], "copied whole"),
    ] {
        let said = node.ask(args);
        assert!(said.error().contains(says), "{args:?}: {said:?}");
    }
    assert!(tidings(&["topic", "t", "--open"]).error().contains("--owner"));
    assert!(tidings(&["topic", "t", "--owner", "me"]).stderr.contains("64 hexadecimal"));
}
