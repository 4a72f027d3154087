//! Agents that are away are written to, and have it when they are back.
#![allow(missing_docs)]

use tidings_sim::{CryptoKind, Options, Report, Scenario, Seeds, run};

fn backup(replaced: f64, change: impl FnOnce(&mut Options)) -> Report {
    let scenario = Scenario::Backup { messages: 40, away: 0.2, replaced, seconds: 180.0 };
    let mut o = Options::new(scenario);
    (o.nodes, o.seeds) = (24, Seeds { first: 1, last: 2 });
    o.unreachable = scenario.default_unreachable();
    change(&mut o);
    let r = run(&o, &|_| {});
    assert!(r.failures.is_empty(), "{:?}", r.failures);
    r
}

fn worst(r: &Report, name: &str) -> f64 {
    r.figures.0[name].worst
}

#[track_caller]
fn all_came_once(r: &Report) {
    let w = |name| worst(r, name);
    assert_eq!((w("delivered_once_ratio"), w("duplicates"), w("lost"), w("refused")), (1.0, 0.0, 0.0, 0.0));
    assert!(w("sender_told_ratio") >= 1.0, "a sender that is still there was not told");
}

#[test]
fn all_have_what_was_kept_though_keepers_and_senders_go() {
    let r = backup(0.34, |_| {});
    all_came_once(&r);
    assert!(worst(&r, "keepers_replaced") >= 2.0);
    assert!(worst(&r, "copies_moved") > 0.0, "nobody made copies anew");
}

#[test]
fn also_where_most_can_be_reached_through_relays_only() {
    all_came_once(&backup(0.34, |o| o.unreachable = 0.5));
}

#[test]
fn also_where_packets_are_lost_and_signatures_are_real() {
    all_came_once(&backup(0.2, |o| (o.loss, o.jitter, o.crypto, o.nodes) = (0.05, 0.5, CryptoKind::Real, 16)));
}

#[test]
fn while_all_keepers_are_there_hardly_a_copy_is_made() {
    let r = backup(0.0, |_| {});
    all_came_once(&r);
    // Those who died without a word are among those asked at first.
    assert!(worst(&r, "copies_moved") <= 40.0, "{}", worst(&r, "copies_moved"));
}
