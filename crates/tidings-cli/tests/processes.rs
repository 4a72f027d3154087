//! Many processes on this machine, and what happens to those that are left when some die, stop, or lose each other.
//!
//! The times printed are this machine's; what is asserted is that it happens at all.

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use common::proxy::{Path, Proxy};
use common::{DEADLINE, Node, Running};
use rustix::process::Signal;
use serde_json::Value;

const TOPIC: &str = "news";

/// Nodes that found each other: each was told of one earlier one.
struct Crowd {
    nodes: Vec<Option<Node>>,
    /// Each node's subscription to the topic.
    heard: Vec<Option<Running>>,
    dirs: Vec<PathBuf>,
    _parent: tempfile::TempDir,
}

impl Crowd {
    fn gather(n: usize, proxy: Option<&Proxy>) -> Crowd {
        let parent = tempfile::tempdir().unwrap();
        let dirs: Vec<PathBuf> = (0..n).map(|i| parent.path().join(i.to_string())).collect();
        let mut nodes: Vec<Option<Node>> = Vec::new();
        for (i, dir) in dirs.iter().enumerate() {
            let mut args: Vec<String> = proxy.map(|p| p.args(i)).unwrap_or_default();
            args.extend(["--network".into(), "secret:processes".into()]);
            if i > 0 {
                // Not all the same one, and not always the last.
                let earlier = nodes[i * 7 % i].as_ref().unwrap();
                args.extend(["--join".into(), earlier.ticket().to_owned()]);
            }
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            nodes.push(Some(Node::up(dir, &args)));
        }
        let heard = nodes.iter().flatten().map(|node| Some(node.subscribe(TOPIC))).collect();
        let crowd = Crowd { nodes, heard, dirs, _parent: parent };
        for node in crowd.nodes.iter().flatten() {
            node.wait_for_neighbors(TOPIC, 1);
        }
        crowd
    }

    fn node(&self, i: usize) -> &Node {
        self.nodes[i].as_ref().unwrap()
    }

    fn up(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|i| self.nodes[*i].is_some())
    }

    fn id(&self, i: usize) -> String {
        self.node(i).ready["node_id"].as_str().unwrap().to_owned()
    }

    fn kill(&mut self, i: usize) {
        self.heard[i] = None;
        self.nodes[i].take().unwrap().kill();
    }

    /// The ids of the node's neighbours, in any overlay.
    fn neighbors(&self, i: usize) -> BTreeSet<String> {
        let peers = self.node(i).ask(&["peers", "--json"]).json();
        let list = peers["peers"].as_array().unwrap().iter();
        let near = list.filter(|p| p["state"] == "neighbor" || p["state"] == "suspected");
        near.map(|p| p["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until no node of `who` counts one of `gone` among its neighbours, and none is alone.
    #[track_caller]
    fn wait_until_clean(&self, who: &[usize], gone: &BTreeSet<String>) -> Duration {
        let start = Instant::now();
        let mut left = who.to_vec();
        loop {
            left.retain(|i| {
                let near = self.neighbors(*i);
                near.is_empty() || !near.is_disjoint(gone)
            });
            if left.is_empty() {
                return start.elapsed();
            }
            assert!(start.elapsed() < DEADLINE, "views of {left:?} are not clean");
        }
    }

    /// Publishes at `by`; every other node of `to` gets it.
    #[track_caller]
    fn say(&mut self, by: usize, to: &[usize], text: &str) -> Duration {
        let start = Instant::now();
        self.node(by).publish(TOPIC, text);
        for i in to.iter().filter(|i| **i != by) {
            let heard = self.heard[*i].as_mut().unwrap();
            loop {
                let line = heard.next();
                if line["text"] == text {
                    break;
                }
            }
        }
        start.elapsed()
    }

    /// What happens to a node from now on.
    #[track_caller]
    fn events(&self, i: usize) -> Running {
        let running = Running::start(&["events", "--json", "--data", self.dirs[i].to_str().unwrap()]);
        assert_eq!(running.stderr.recv_timeout(DEADLINE).unwrap(), "listening to the node's events");
        running
    }
}

/// Reads events until one is as wanted.
#[track_caller]
fn wait_for_event(events: &mut Running, wanted: impl Fn(&Value) -> bool) -> Duration {
    let start = Instant::now();
    while !wanted(&events.next()) {
        assert!(start.elapsed() < DEADLINE, "it does not happen");
    }
    start.elapsed()
}

#[test]
fn eight_of_twenty_are_killed_and_the_others_carry_on() {
    let mut crowd = Crowd::gather(20, None);
    let everyone: Vec<usize> = crowd.up().collect();
    crowd.say(3, &everyone, "before");
    let doomed: Vec<usize> = vec![0, 2, 5, 7, 11, 13, 16, 19];
    let gone: BTreeSet<String> = doomed.iter().map(|i| crowd.id(*i)).collect();
    for i in doomed {
        crowd.kill(i);
    }
    let left: Vec<usize> = crowd.up().collect();
    let at_once = crowd.say(3, &left, "at once");
    let clean = crowd.wait_until_clean(&left, &gone);
    let after = crowd.say(17, &left, "after");
    println!("heard everywhere: at once {at_once:?}; views clean: {clean:?} later; heard again: {after:?}");
}

#[test]
fn a_bad_network_is_survived() {
    let proxy = Proxy::new(6);
    let mut crowd = Crowd::gather(6, Some(&proxy));
    let everyone: Vec<usize> = crowd.up().collect();
    assert!(proxy.carried() > 0, "the nodes do not speak through the proxy");
    proxy.set_all(Path { loss: 0.05, delay: Duration::from_millis(20), cut: false });
    let bad = crowd.say(1, &everyone, "over a bad network");
    println!("5 % lost, 20 ms late: heard everywhere after {bad:?}");

    // One direction of two paths: those links are of no use, and others are there.
    for to in [3, 4] {
        proxy.set(0, to, Path { cut: true, ..Path::default() });
    }
    let one_way = crowd.say(0, &everyone, "around a one-way cut");
    println!("two paths cut one way: heard everywhere after {one_way:?}");
    proxy.mend();
}

#[test]
fn halves_that_lost_each_other_find_together_again() {
    let proxy = Proxy::new(8);
    let mut crowd = Crowd::gather(8, Some(&proxy));
    let everyone: Vec<usize> = crowd.up().collect();
    let (one, other): (Vec<usize>, Vec<usize>) = everyone.iter().partition(|i| **i < 4);
    crowd.say(0, &everyone, "whole");
    proxy.partition(&one);
    let ids = |side: &[usize]| -> BTreeSet<String> { side.iter().map(|i| crowd.id(*i)).collect() };
    let (ones, others) = (ids(&one), ids(&other));
    let apart = crowd.wait_until_clean(&one, &others).max(crowd.wait_until_clean(&other, &ones));
    crowd.say(0, &one, "one half");
    crowd.say(7, &other, "other half");
    proxy.mend();
    let start = Instant::now();
    let mixed = |i: usize, far: &BTreeSet<String>| !crowd.neighbors(i).is_disjoint(far);
    while !one.iter().any(|i| mixed(*i, &others)) {
        assert!(start.elapsed() < DEADLINE, "the halves stay apart");
        thread::park_timeout(Duration::from_millis(100));
    }
    println!(
        "views without the other half after {apart:?}; linked again {:?} after the cut was mended",
        start.elapsed()
    );
    crowd.say(1, &everyone, "whole again");
}

#[test]
fn a_stopped_process_is_suspected_and_recovers_when_it_goes_on() {
    let crowd = Crowd::gather(5, None);
    let sleeper = 2;
    let id = crowd.id(sleeper);
    let near: Vec<usize> = crowd.up().filter(|i| *i != sleeper && crowd.neighbors(*i).contains(&id)).collect();
    let mut watching: Vec<Running> = near.iter().map(|i| crowd.events(*i)).collect();
    assert!(!watching.is_empty(), "the one to be stopped has no neighbour");
    let stopped = Instant::now();
    crowd.node(sleeper).process.signal(Signal::STOP);
    for events in &mut watching {
        wait_for_event(events, |e| e["event"] == "peer_suspected" && e["peer"] == id);
    }
    let suspected = stopped.elapsed();
    // Long enough for everybody to remove it.
    thread::sleep(Duration::from_secs(10).saturating_sub(stopped.elapsed()));
    let resumed = Instant::now();
    crowd.node(sleeper).process.signal(Signal::CONT);
    for events in &mut watching {
        wait_for_event(events, |e| e["event"] == "peer_recovered" && e["peer"] == id);
    }
    println!("suspected by all neighbours after {suspected:?}; recovered {:?} after it went on", resumed.elapsed());
    assert!(!crowd.neighbors(near[0]).is_empty());
}
