//! A node's life: up, found by the other commands, down; and what stops it from coming up.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Node, Running, tidings};
use rustix::process::Signal;

#[test]
fn the_ready_line_says_how_to_reach_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &[]);
    let id = node.ready["node_id"].as_str().unwrap();
    assert_eq!(id.len(), 64);
    let agent = node.ready["agent_id"].as_str().unwrap();
    assert!(agent.len() == 64 && agent != id && node.ready["dashboard"].is_null());
    let addrs = node.ready["addrs"].as_array().unwrap();
    assert!(addrs.iter().all(|a| a.as_str().unwrap().starts_with("127.0.0.1:")) && !addrs.is_empty(), "{addrs:?}");
    assert!(node.ready["api"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert_eq!(node.ask(&["id", "--json"]).json()["node_id"], id);
    assert_eq!(node.ask(&["id", "--json"]).json()["agent_id"], agent);
    let shown = node.ask(&["id"]).stdout;
    assert!(shown.contains(id) && shown.contains(agent), "{shown}");
    assert_eq!(node.ask(&["ticket"]).stdout.trim(), node.ticket());
    assert_eq!(node.ask(&["ticket", "--json"]).json()["ticket"], node.ticket());
    assert_eq!(node.ask(&["peers", "--json"]).json()["peers"].as_array().unwrap().len(), 0);
    assert!(node.ask(&["status", "--json"]).json().is_object());
    for command in ["peers", "topics", "status"] {
        assert!(node.ask(&[command]).ok);
    }
}

#[test]
fn an_unspecified_address_is_reported_as_ones_that_can_be_dialed() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &["--bind", "0.0.0.0:0"]);
    let addrs: Vec<std::net::SocketAddr> =
        node.ready["addrs"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().parse().unwrap()).collect();
    assert!(addrs.iter().any(|a| a.ip().is_loopback()), "{addrs:?}");
    assert!(addrs.iter().all(|a| !a.ip().is_unspecified() && a.port() != 0), "{addrs:?}");
}

#[test]
fn only_the_owner_can_read_the_directory_and_its_secrets() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/b");
    let node = Node::up(&dir, &[]);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("api.json")), 0o600);
    assert_eq!(mode(&dir.join("key")), 0o600);
    drop(node);
}

#[test]
fn two_nodes_cannot_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &[]);
    let second = tidings(&["up", "--data", dir.path().to_str().unwrap(), "--bind", "127.0.0.1:0"]);
    assert!(second.error().contains("in use"), "{second:?}");
    assert_eq!(node.ask(&["id", "--json"]).json()["node_id"], node.ready["node_id"], "the first is not disturbed");
}

#[test]
fn down_waits_until_the_node_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::up(dir.path(), &[]);
    let listener = node.subscribe("t");
    assert_eq!(node.ask(&["down", "--json"]).json()["pid"], node.process.pid());
    assert!(!dir.path().join("api.json").exists());
    assert_eq!(node.process.ended(), Some(0));
    let said = listener.stderr.recv_timeout(common::DEADLINE).unwrap();
    assert!(said.contains("the node has stopped"), "{said}");
    let again = node.ask(&["down"]);
    assert!(again.error().contains("no node is running on"), "{again:?}");
    Node::up(dir.path(), &[]);
}

#[test]
fn signals_end_the_node_in_order() {
    for signal in [Signal::INT, Signal::TERM] {
        let dir = tempfile::tempdir().unwrap();
        let mut node = Node::up(dir.path(), &[]);
        node.process.signal(signal);
        assert_eq!(node.process.ended(), Some(0));
        assert!(!dir.path().join("api.json").exists());
    }
}

#[test]
fn a_killed_node_is_known_to_be_gone_and_its_directory_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::up(dir.path(), &[]);
    let id = node.ready["node_id"].clone();
    node.kill();
    assert!(dir.path().join("api.json").exists(), "nobody could remove it");
    let data = dir.path().to_str().unwrap();
    let hint = format!("no node is running on {data}: start one with tidings up --data {data}");
    for args in [&["ticket"][..], &["peers"], &["pub", "t", "x"], &["sub", "t"], &["down"]] {
        let asked = tidings(&[args, &["--data", data]].concat());
        assert!(asked.error().ends_with(&hint), "{args:?}: {asked:?}");
    }
    let node = Node::up(dir.path(), &[]);
    assert_eq!(node.ready["node_id"], id);
    assert_eq!(node.ask(&["id", "--json"]).json()["node_id"], id);
}

#[test]
fn the_id_can_be_read_without_a_running_node() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("never");
    let nobody = tidings(&["id", "--data", data.to_str().unwrap()]);
    assert!(nobody.error().contains("tidings up --data"), "{nobody:?}");
    assert!(!data.exists(), "asking makes nothing");
    let node = Node::up(&data, &[]);
    let id = node.ready["node_id"].clone();
    let data = node.kill();
    assert_eq!(tidings(&["id", "--json", "--data", data.to_str().unwrap()]).json()["node_id"], id);
}

#[test]
fn a_wrong_setting_is_named_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    let data = dir.path().join("data");
    for (text, says) in [
        ("active_view_size = 99", "active_view_size is 99, it must be from 8 to 12"),
        ("actve_view_size = 9", "actve_view_size"),
        ("gap_wait = \"soon\"", "soon"),
        ("this is no toml", "settings.toml"),
    ] {
        fs::write(&file, text).unwrap();
        let up = tidings(&["up", "--data", data.to_str().unwrap(), "--config", file.to_str().unwrap()]);
        let error = up.error();
        assert!(error.contains(says) && error.contains("settings.toml"), "{text}: {error}");
    }
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("node.toml"), "active_view_size = 99").unwrap();
    let up = tidings(&["up", "--data", data.to_str().unwrap()]);
    assert!(up.error().contains("node.toml") && up.error().contains("active_view_size"), "{up:?}");
    fs::write(&file, "active_view_size = 9").unwrap();
    Node::up(&data, &["--config", file.to_str().unwrap()]);
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let up = tidings(&["up", "--data", file.to_str().unwrap()]);
    assert!(up.error().contains(file.to_str().unwrap()), "{up:?}");
    let id = tidings(&["id", "--data", file.to_str().unwrap()]);
    assert!(id.error().contains(file.to_str().unwrap()), "{id:?}");
    // The superuser can use any directory.
    if !rustix::process::geteuid().is_root() {
        let locked = dir.path().join("locked");
        fs::create_dir(&locked).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
        let up = tidings(&["up", "--data", locked.to_str().unwrap()]);
        assert!(up.error().contains(locked.to_str().unwrap()), "{up:?}");
    }
    let up = tidings(&["up", "--data", "/proc/nowhere"]);
    assert!(up.error().contains("/proc/nowhere"), "{up:?}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let up = tidings(&["up", "--data", dir.path().to_str().unwrap(), "--bind", &addr]);
    assert!(up.error().contains(&addr), "{up:?}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let up = tidings(&["up", "--data", dir.path().to_str().unwrap(), "--bind", "127.0.0.1:0", "--api", &addr]);
    assert!(up.error().contains(&addr), "{up:?}");
}

#[test]
fn events_tell_of_neighbours_that_come_and_go() {
    let parent = tempfile::tempdir().unwrap();
    let a = Node::up(&parent.path().join("a"), &[]);
    let mut events = Running::start(&["events", "--json", "--data", a.dir.to_str().unwrap()]);
    assert_eq!(events.stderr.recv_timeout(common::DEADLINE).unwrap(), "listening to the node's events");
    let mut b = Node::up(&parent.path().join("b"), &["--join", a.ticket()]);
    let id = b.ready["node_id"].clone();
    let mut wait_for = |event: &str| {
        loop {
            let line = events.next();
            if line["event"] == event && line["peer"] == id && line["overlay"] == "root" {
                return line;
            }
        }
    };
    wait_for("peer_joined");
    b.process.signal(Signal::TERM);
    assert_eq!(b.process.ended(), Some(0));
    assert_eq!(wait_for("peer_left")["reason"], "goodbye");
}

#[test]
fn an_advertised_address_stands_in_the_ticket() {
    let parent = tempfile::tempdir().unwrap();
    let a = Node::up(&parent.path().join("a"), &["--advertise", "192.0.2.7:4000", "--advertise", "[2001:db8::1]:4000"]);
    assert_eq!(a.ready["addrs"], serde_json::json!(["192.0.2.7:4000", "[2001:db8::1]:4000"]));
    let ticket: tidings::Ticket = a.ticket().parse().unwrap();
    let addrs: Vec<String> = ticket.peers[0].addrs.iter().map(ToString::to_string).collect();
    assert_eq!(addrs, ["192.0.2.7:4000", "[2001:db8::1]:4000"]);
    for bad in ["0.0.0.0:4000", "192.0.2.7:0", "nowhere"] {
        let up = tidings(&["up", "--data", parent.path().join("b").to_str().unwrap(), "--advertise", bad]);
        assert!(up.error().contains("203.0.113.7:4000"), "{bad}: {up:?}");
    }
}
