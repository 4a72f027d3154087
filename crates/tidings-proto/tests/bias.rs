//! Near neighbours are traded for, and the oldest stay.

mod common;

use common::*;
use tidings_proto::identity::NodeId;
use tidings_proto::io::*;
use tidings_proto::time::Span;
use tidings_proto::wire::*;

fn link(d: &mut Driven, f: &Fake, rtt_ms: u64) {
    let rtt = Some(Span::from_millis(rtt_ms));
    d.input(Input::LinkUp { peer: f.id, addr: None, outbound: false, rtt }).unwrap();
}

/// A full view; the first four, the oldest, are the farthest, then the fifth.
fn full() -> (Driven, Vec<Fake>) {
    let mut d = Driven::new();
    let all: Vec<Fake> = (1..11).map(Fake::new).collect();
    for (i, f) in all.iter().enumerate() {
        link(&mut d, f, [200, 200, 200, 200, 100, 60, 60, 60, 60, 60][i]);
        d.befriend(f, Overlay::Root);
        d.pass_ms(10);
    }
    d.did.clear();
    (d, all)
}

/// What becomes of a request for a near exchange from this far.
fn asked_from(rtt_ms: u64) -> (Vec<NodeId>, Vec<Fake>, NodeId) {
    let (mut d, all) = full();
    let (asker, old) = (Fake::new(30), Fake::new(31));
    link(&mut d, &asker, rtt_ms);
    d.say(&asker, Exchange { overlay: None, me: asker.addr.clone(), old: old.addr, near: true });
    (d.node.active_view(Overlay::Root), all, asker.id)
}

#[test]
fn the_farthest_but_the_oldest_makes_room_for_a_nearer_one() {
    let (view, all, asker) = asked_from(20);
    assert!(view.contains(&asker) && !view.contains(&all[4].id));
    assert!(all[..4].iter().all(|f| view.contains(&f.id)), "the oldest stay, far as they are");
}

#[test]
fn one_that_is_not_clearly_nearer_is_refused() {
    let (view, all, asker) = asked_from(90);
    assert!(!view.contains(&asker) && all.iter().all(|f| view.contains(&f.id)));
}

#[test]
fn a_near_spare_is_asked_to_trade() {
    let (mut d, all) = full();
    let spare = Fake::new(40);
    let sketch = Sketch::default();
    d.say(&all[0], Shuffle { overlay: None, ttl: 1, path: vec![all[0].id], peers: vec![spare.addr.clone()], sketch });
    let mut asked = None;
    for _ in 0..40 {
        d.pass_ms(500);
        for x in std::mem::take(&mut d.did) {
            match x {
                Did::Dialed(peer) => {
                    let rtt = Some(Span::from_millis(10));
                    d.input(Input::LinkUp { peer, addr: None, outbound: true, rtt }).unwrap();
                }
                Did::Sent { to, message: Message::Exchange(x), .. } if to == spare.id => asked = Some(x),
                _ => {}
            }
        }
    }
    let asked = asked.expect("no trade was asked for");
    assert!(asked.near && asked.old.id == all[4].id);
}
