//! Getting into the index, and staying there.

use super::*;

/// A node that wants to be in the index, with neighbours 2, 3, … that dialed it.
fn serving(neighbors: u8) -> Driven {
    let mut d = Driven::new();
    for n in 2..2 + neighbors {
        let f = Fake::new(n);
        d.link(&f);
        d.befriend(&f, Overlay::Root);
    }
    d.command(Command::ServeIndex { on: true });
    d.pass_ms(2_100);
    d
}

/// Peer `n` says that it has reached the node, if it was asked.
fn reach(d: &mut Driven, n: u8) {
    let m = word(d, n);
    d.say(&Fake::new(n), m);
}

fn asked(d: &Driven) -> Vec<AskReach> {
    let sent = |x: &Did| match x {
        Did::Sent { message: Message::AskReach(m), .. } => Some(m.clone()),
        _ => None,
    };
    d.did.iter().filter_map(sent).collect()
}

#[test]
fn two_that_reached_it_get_a_node_into_the_index() {
    let mut d = serving(5);
    reach(&mut d, 2);
    d.pass_ms(20_000);
    assert!(d.node.index().is_empty(), "one is not enough");
    reach(&mut d, 3);
    d.pass_ms(1_100);
    assert!(d.node.index().contains(&d.id()));
}

#[test]
fn it_stays_in_as_long_as_it_runs() {
    let mut d = serving(5);
    reach(&mut d, 2);
    reach(&mut d, 3);
    d.pass_ms(1_100);
    for _ in 0..40 {
        d.pass(ADVERT_LIFE);
        // After a day it needs new witnesses.
        reach(&mut d, 4);
        reach(&mut d, 5);
        assert!(d.node.index().contains(&d.id()));
    }
}

#[test]
fn it_leaves_when_it_stops() {
    let mut d = serving(5);
    reach(&mut d, 2);
    reach(&mut d, 3);
    d.pass_ms(1_100);
    d.command(Command::ServeIndex { on: false });
    d.pass(ADVERT_LIFE + Span::from_secs(2));
    assert!(d.node.index().is_empty());
}

#[test]
fn its_new_address_has_to_be_reached_again() {
    let mut d = serving(5);
    reach(&mut d, 2);
    reach(&mut d, 3);
    d.pass_ms(1_100);
    d.command(Command::SetAddrs { addrs: vec![addr(123)] });
    d.did.clear();
    d.pass(Span::from_secs(601));
    assert_eq!(asked(&d)[0].me.addrs, [addr(123)]);
    for n in [2, 3] {
        let m = word_of(&d, n, addr(123));
        d.say(&Fake::new(n), m);
    }
    d.pass_ms(1_100);
    let of = |d: &Driven| d.node.index().nodes(7, 8).iter().find(|p| p.id == d.id()).map(|p| p.addrs.clone());
    assert_eq!(of(&d), Some(vec![addr(123)]));
}

#[test]
fn two_of_one_prefix_will_do_after_a_while() {
    let mut d = Driven::new();
    d.command(Command::SetAddrs { addrs: vec![at_addr("198.51.100.1:1")] });
    for n in [2, 3] {
        let mut f = Fake::new(n);
        f.addr.addrs = vec![at_addr(&format!("192.0.2.{n}:1"))];
        d.link(&f);
        d.befriend(&f, Overlay::Root);
    }
    d.command(Command::ServeIndex { on: true });
    d.pass_ms(2_100);
    for n in [2, 3] {
        let m = word_of(&d, n, at_addr("198.51.100.1:1"));
        d.say(&Fake::new(n), m);
    }
    d.pass_ms(2_000);
    assert!(d.node.index().is_empty(), "others are waited for");
    d.pass_ms(8_000);
    assert!(d.node.index().contains(&d.id()));
}

#[test]
fn who_does_not_want_in_does_not_get_in() {
    let mut d = serving(5);
    d.command(Command::ServeIndex { on: false });
    reach(&mut d, 2);
    reach(&mut d, 3);
    d.pass_ms(1_100);
    assert!(d.node.index().is_empty());
}
