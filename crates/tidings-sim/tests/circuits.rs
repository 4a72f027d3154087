//! A topic whose members nobody can dial.
#![allow(missing_docs)]

use tidings_sim::{CryptoKind, Options, Report, Scenario, Seeds, run};

fn circuits(members: usize, crashed: f64, change: impl FnOnce(&mut Options)) -> Report {
    let scenario = Scenario::Circuits { members, messages: 60, crashed };
    let mut o = Options::new(scenario);
    (o.nodes, o.seeds) = (30, Seeds { first: 1, last: 2 });
    o.unreachable = 0.3;
    change(&mut o);
    let r = run(&o, &|_| {});
    assert!(r.failures.is_empty(), "{:?}", r.failures);
    let w = |name: &str| r.figures.0[name].worst;
    assert_eq!((w("delivery_ratio"), w("missed"), w("gaps")), (1.0, 0.0, 0.0), "{r:?}");
    assert_eq!((w("parts"), w("parts_at_end"), w("pieces_refused")), (1.0, 1.0, 0.0), "{r:?}");
    assert!(w("circuits_per_member") > 0.9, "{r:?}");
    r
}

#[test]
fn they_hear_each_other_though_relays_crash() {
    let r = circuits(6, 0.5, |_| {});
    assert!(r.figures.0["relays_crashed"].worst > 1.0, "{r:?}");
}

#[test]
fn two_are_enough() {
    circuits(2, 0.0, |_| {});
}

#[test]
fn also_where_packets_are_lost_and_signatures_are_real() {
    circuits(5, 0.3, |o| (o.loss, o.jitter, o.crypto, o.nodes) = (0.05, 0.5, CryptoKind::Real, 20));
}

#[test]
fn also_where_most_can_be_reached_through_relays_only() {
    circuits(12, 0.3, |o| o.unreachable = 0.6);
}
