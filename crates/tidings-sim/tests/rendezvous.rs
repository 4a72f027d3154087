//! The index among members that forge adverts of it: one test a strategy. Each fails when what is signed counts for as much as
//! what was reached.
#![allow(missing_docs)]

use tidings_sim::{Forgery, Options, Report, Scenario, Seeds, run};

/// Six in sixty forge, each in a network of its own: they may hold a tenth.
const FORGERS: f64 = 0.1;

fn forged(strategy: Forgery) -> Report {
    let (lookups, churn, liars) = (400, false, 0.0);
    let mut o = Options::new(Scenario::Rendezvous { lookups, churn, liars, forgers: FORGERS, strategy });
    o.nodes = 60;
    o.seeds = Seeds { first: 1, last: 1 };
    let r = run(&o, &|_| {});
    assert_eq!(r.failures, [], "an invariant did not hold");
    r
}

fn worst(r: &Report, figure: &str) -> f64 {
    r.figures.0[figure].worst
}

fn nothing_gained(strategy: Forgery) {
    let r = forged(strategy);
    assert_eq!(worst(&r, "found_old"), 1.0, "{r:?}");
    assert_eq!(worst(&r, "found_hidden"), 1.0, "{r:?}");
    assert!(worst(&r, "found_young") >= 0.99, "{r:?}");
    // Of 16 random shards as each of 54 nodes sees them, eight holders each.
    assert!(worst(&r, "share_of_holders") <= FORGERS + 0.04, "{r:?}");
}

#[test]
fn filling_the_set_gains_nothing() {
    nothing_gained(Forgery::Fill);
}

#[test]
fn higher_versions_in_others_places_gain_nothing() {
    nothing_gained(Forgery::Displace);
}

#[test]
fn claiming_prefixes_gains_nothing() {
    nothing_gained(Forgery::Prefixes);
}

#[test]
fn places_drawn_for_one_shard_gain_nothing() {
    nothing_gained(Forgery::Grind);
}

#[test]
fn attesting_each_other_gains_nothing() {
    nothing_gained(Forgery::Ring);
}

#[test]
fn many_keys_in_few_prefixes_gain_nothing() {
    nothing_gained(Forgery::Mixed);
}
