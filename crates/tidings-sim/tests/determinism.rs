//! The same seed gives the same trace: twice, in another process, and whatever else the process does.
#![allow(missing_docs)]

use std::process::Command;

use tidings_sim::{Options, Publishers, Scenario, Seeds, run};

fn options() -> Options {
    let mut o = Options::new(Scenario::Broadcast { warmup: 3, messages: 12, crash: 0.1 });
    o.nodes = 40;
    o.seeds = Seeds { first: 11, last: 12 };
    o.jitter = 0.3;
    o.loss = 0.05;
    o.publishers = Publishers::Rotating;
    o
}

/// Run by the test below in a process of its own.
#[test]
fn child_prints_its_trace() {
    if std::env::var_os("TIDINGS_TRACE_CHILD").is_some() {
        println!("trace={}", run(&options(), &|_| {}).trace_hash);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_twice_and_in_another_process() {
    let first = run(&options(), &|_| {}).trace_hash;
    assert_eq!(first, run(&options(), &|_| {}).trace_hash);

    let child = Command::new(std::env::current_exe().expect("this test's own path"))
        .args(["--exact", "child_prints_its_trace", "--nocapture"])
        .env("TIDINGS_TRACE_CHILD", "1")
        .output()
        .expect("the test runs itself");
    let printed = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(printed.contains(&format!("trace={first}")), "another process came to another trace: {printed}");
}

#[test]
fn another_seed_gives_another_trace() {
    let mut other = options();
    other.seeds = Seeds { first: 12, last: 13 };
    assert_ne!(run(&options(), &|_| {}).trace_hash, run(&other, &|_| {}).trace_hash);
}
