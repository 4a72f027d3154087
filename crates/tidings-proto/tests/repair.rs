//! How an overlay mends itself: replacements, back-off, and looks at spares.

mod common;

use common::*;
use tidings_proto::identity::{NodeId, PeerAddr};
use tidings_proto::io::*;
use tidings_proto::time::Span;
use tidings_proto::wire::*;

fn fakes(range: std::ops::Range<u8>) -> Vec<Fake> {
    range.map(Fake::new).collect()
}

/// A node with neighbours, which are told of spares by a shuffle of the first.
fn with(neighbors: &[Fake], spares: &[Fake]) -> Driven {
    let mut d = Driven::new();
    for f in neighbors {
        d.link(f);
        d.befriend(f, Overlay::Root);
    }
    for part in spares.chunks(MAX_PEERS) {
        teach(&mut d, &neighbors[0], part.iter().map(|f| f.addr.clone()).collect());
        d.pass_ms(1_000);
    }
    d.did.clear();
    d
}

/// A shuffle that ends at the node under test.
fn teach(d: &mut Driven, from: &Fake, peers: Vec<PeerAddr>) {
    let sketch = Sketch::default();
    d.say(from, Shuffle { overlay: None, ttl: 1, path: vec![from.id], peers, sketch });
}

fn dialed(d: &Driven) -> Vec<NodeId> {
    d.did
        .iter()
        .filter_map(|x| match x {
            Did::Dialed(p) => Some(*p),
            _ => None,
        })
        .collect()
}

fn fails(d: &mut Driven, peer: NodeId) {
    d.input(Input::DialFailed { peer, reason: LinkRefusal::Timeout }).unwrap();
    d.pass_ms(0);
}

fn dies(d: &mut Driven, peer: &Fake) {
    d.input(Input::LinkDown { peer: peer.id, reason: LinkRefusal::Silent }).unwrap();
    d.pass_ms(0);
}

/// A full view: spares are not wanted.
fn settled(spares: &[Fake]) -> (Driven, Vec<Fake>) {
    let neighbors = fakes(1..11);
    (with(&neighbors, spares), neighbors)
}

#[test]
fn a_dead_neighbour_is_replaced_at_once() {
    let spares = fakes(50..60);
    let (mut d, neighbors) = settled(&spares);
    dies(&mut d, &neighbors[3]);
    let dialed = dialed(&d);
    assert!(!dialed.is_empty() && dialed.iter().all(|p| spares.iter().any(|s| s.id == *p)), "{dialed:?}");
}

#[test]
fn a_replacement_that_cannot_be_reached_is_followed_by_the_next_at_once() {
    let (mut d, neighbors) = settled(&fakes(50..114));
    dies(&mut d, &neighbors[3]);
    for _ in 0..8 {
        let before = dialed(&d);
        fails(&mut d, before[before.len() - 1]);
        assert!(dialed(&d).len() > before.len(), "no other is tried after {} dials", before.len());
    }
}

#[test]
fn many_are_tried_at_once_when_most_of_a_view_dies() {
    let (mut d, neighbors) = settled(&fakes(50..114));
    for f in &neighbors[1..] {
        dies(&mut d, f);
    }
    let n = dialed(&d).len();
    assert!((20..=32).contains(&n), "{n} dials at once");
}

#[test]
fn few_are_tried_at_once_when_one_neighbour_leaves() {
    let (mut d, neighbors) = settled(&fakes(50..114));
    d.say(&neighbors[1], Disconnect { overlay: None, reason: 0, instead: None });
    d.pass_ms(0);
    assert_eq!(dialed(&d).len(), 1);
}

#[test]
fn a_peer_that_could_not_be_reached_is_not_taken_from_others_for_a_while() {
    let spare = fakes(50..51);
    let (mut d, neighbors) = settled(&spare);
    dies(&mut d, &neighbors[3]);
    fails(&mut d, spare[0].id);
    d.pass_ms(1_500);
    teach(&mut d, &neighbors[0], vec![spare[0].addr.clone()]);
    assert!(d.node.passive_view(Overlay::Root).is_empty(), "it was brought back at once");
    d.pass_ms(4_000);
    teach(&mut d, &neighbors[0], vec![spare[0].addr.clone()]);
    assert_eq!(d.node.passive_view(Overlay::Root), [spare[0].id]);
}

#[test]
fn a_peer_that_links_with_us_is_backed_off_from_no_longer() {
    let spare = fakes(50..51);
    let (mut d, neighbors) = settled(&spare);
    dies(&mut d, &neighbors[3]);
    fails(&mut d, spare[0].id);
    d.link(&spare[0]);
    teach(&mut d, &neighbors[0], vec![spare[0].addr.clone()]);
    d.run();
    let known = [d.node.passive_view(Overlay::Root), d.node.active_view(Overlay::Root)].concat();
    let asked = d.sent_to(&spare[0].id).iter().any(|m| matches!(m, Message::Neighbor(_)));
    assert!(known.contains(&spare[0].id) || asked);
}

#[test]
fn spares_are_looked_at_and_the_dead_leave() {
    let spares = fakes(50..60);
    let (mut d, _) = settled(&spares);
    // At random, in a quarter of an hour each once on average.
    for _ in 0..800 {
        d.did.clear();
        d.pass(Span::from_secs(5));
        for p in dialed(&d) {
            match spares.iter().position(|s| s.id == p) {
                Some(i) if i % 2 == 0 => fails(&mut d, p),
                _ => d
                    .input(Input::LinkUp { peer: p, addr: None, outbound: true, rtt: Some(Span::from_millis(7)) })
                    .unwrap(),
            }
            for f in spares.iter().filter(|s| s.id == p) {
                d.say(f, Release {});
            }
        }
    }
    let left = d.node.passive_view(Overlay::Root);
    let living: Vec<NodeId> = spares.iter().skip(1).step_by(2).map(|f| f.id).collect();
    assert_eq!(living.iter().filter(|p| left.contains(p)).count(), 5, "the living stay");
    assert_eq!(left.len(), 5, "the dead leave");
    assert!(spares.iter().all(|s| !d.node.links().is_up(&s.id)), "a look leaves no link behind");
}

#[test]
fn looks_are_few() {
    let (mut d, _) = settled(&fakes(50..114));
    for _ in 0..60 {
        d.pass(Span::from_secs(1));
        for p in dialed(&d) {
            d.input(Input::LinkUp { peer: p, addr: None, outbound: true, rtt: None }).unwrap();
            d.input(Input::LinkDown { peer: p, reason: LinkRefusal::Closed }).unwrap();
        }
    }
    let n = dialed(&d).len();
    assert!((3..=12).contains(&n), "{n} looks in a minute");
}
