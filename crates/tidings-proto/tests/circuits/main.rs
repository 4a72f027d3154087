//! Topics whose members nobody can dial: circuits between real cores, with everything between them in the test's hands.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/mesh.rs"]
mod mesh;

mod bad_input;
mod relays;

use common::*;
use mesh::*;
use tidings_proto::circuits::ENOUGH;
use tidings_proto::io::*;
use tidings_proto::pubsub::Delivery;
use tidings_proto::wire::*;

/// Two relays that everybody can dial, and some that nobody can.
pub(crate) const B: usize = 0;
pub(crate) const D: usize = 1;
pub(crate) const A: usize = 2;
pub(crate) const C: usize = 3;

/// A mesh of so many nodes, of which the first two can be dialed.
pub(crate) fn mesh(nodes: usize) -> Mesh {
    let barred =
        (0..nodes).flat_map(|n| (2..nodes).map(move |to| (n, to))).filter(|(n, to)| n != to).collect::<Vec<_>>();
    Mesh::of((1..=nodes as u8).map(node).collect(), &barred)
}

impl Mesh {
    pub(crate) fn subscribe(&mut self, all: &[usize]) {
        for n in all {
            self.nodes[*n].command(Command::Subscribe { topic: news() });
        }
        self.pass(12_000);
    }

    pub(crate) fn publish(&mut self, n: usize, text: &str) {
        self.nodes[n].command(Command::Publish { topic: news(), message: out(text.as_bytes()) });
        self.carry();
    }

    /// What a node's program got of others on the topic, in order.
    pub(crate) fn got(&self, n: usize) -> Vec<String> {
        let all = self.nodes[n].delivered().into_iter().filter(|d| d.author() != self.id(n));
        let texts =
            |d: Delivery| d.messages().map(|m| String::from_utf8(m.payload.to_vec()).unwrap()).collect::<Vec<_>>();
        all.flat_map(texts).collect()
    }

    pub(crate) fn circuits(&self, n: usize) -> usize {
        self.nodes[n].node.circuits().count()
    }

    /// The envelopes that a relay passed on, and what they carry.
    pub(crate) fn carried(&self, relay: usize) -> usize {
        self.envelopes.iter().filter(|p| p.from == relay).count()
    }
}

#[test]
fn members_that_nobody_can_dial_hear_each_other_and_relays_read_nothing() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    assert_eq!((m.circuits(A), m.circuits(C)), (1, 1));
    let (seen, on) = (std::rc::Rc::new(std::cell::RefCell::new(Vec::new())), [B, D]);
    let all = seen.clone();
    m.fate = Some(Box::new(move |p| {
        if on.contains(&p.to) {
            all.borrow_mut().push(p.payload.to_vec());
        }
        vec![p]
    }));
    m.publish(A, "a word from the one");
    m.publish(C, "a word from the other");
    m.pass(1_000);
    assert_eq!((m.got(C), m.got(A)), (vec!["a word from the one".into()], vec!["a word from the other".into()]));
    let seen = seen.borrow();
    assert!(seen.len() > 2 && m.carried(B) + m.carried(D) > 2);
    assert!(seen.iter().all(|p| !p.windows(6).any(|w| w == b"a word")));
}

#[test]
fn much_goes_through_and_comes_once_and_in_order() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    let texts: Vec<String> = (0..300).map(|n| format!("{n} {}", "x".repeat(n * 7 % 2_000))).collect();
    for (n, text) in texts.iter().enumerate() {
        m.publish(A, text);
        if n % 20 == 0 {
            m.pass(50);
        }
    }
    m.pass(10_000);
    assert!(m.got(C) == texts, "{} of {}", m.got(C).len(), texts.len());
}

#[test]
fn large_messages_go_through() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    let text = "y".repeat(32 << 10);
    for _ in 0..4 {
        m.publish(C, &text);
    }
    m.pass(5_000);
    assert_eq!(m.got(A).len(), 4);
    assert!(m.got(A).iter().all(|t| *t == text));
}

#[test]
fn many_that_nobody_can_dial_are_one() {
    let mut m = mesh(9);
    let members: Vec<usize> = (2..9).collect();
    m.subscribe(&members);
    m.pass(20_000);
    for n in &members {
        m.publish(*n, &format!("from {n}"));
    }
    m.pass(5_000);
    for n in &members {
        assert_eq!(m.got(*n).len(), members.len() - 1, "{n}: {:?}", m.got(*n));
    }
}

#[test]
fn who_has_enough_links_opens_none() {
    // Of three that can be dialed all are in the topic.
    let barred: Vec<(usize, usize)> = (0..6).flat_map(|n| [(n, 4), (n, 5)]).filter(|(n, to)| n != to).collect();
    let mut m = Mesh::of((1..=6).map(node).collect(), &barred);
    m.subscribe(&(0..6).collect::<Vec<_>>());
    m.pass(20_000);
    assert!(m.nodes[4].node.links().up().count() >= ENOUGH);
    assert_eq!(m.nodes.iter().map(|n| n.counters().circuits_opened).sum::<u64>(), 0);
}

#[test]
fn without_a_topic_in_common_none_is_opened() {
    let mut m = mesh(6);
    m.pass(60_000);
    let t = m.send(A, C, b"a direct message");
    m.pass(2_000);
    assert!(m.delivered(A, t).is_some_and(|d| d.via.len() == 1));
    assert_eq!(m.nodes.iter().map(|n| n.counters().circuits_opened).sum::<u64>(), 0);
}

#[test]
fn direct_messages_name_their_relays_beside_a_circuit() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    assert_eq!(m.circuits(A), 1);
    let t = m.send(A, C, b"beside it");
    m.pass(1_000);
    assert!(m.delivered(A, t).is_some_and(|d| d.via.len() == 1));
    m.publish(A, "and on it");
    m.pass(1_000);
    assert_eq!((m.got(C), m.circuits(A)), (vec!["and on it".into()], 1));
}

#[test]
fn both_ends_stay_behind_their_relays() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    m.pass(60_000);
    for n in [A, C] {
        assert!(!m.nodes[n].node.vias().is_empty(), "who is at the end of a circuit was not dialed");
        assert!(m.nodes[n].node.vias().iter().all(|v| [B, D].iter().any(|r| m.id(*r).as_bytes().starts_with(&v.head))));
    }
    assert_eq!((m.circuits(A), m.nodes[A].counters().circuits_opened), (1, 1));
    assert!(!m.nodes[A].node.active_view(Overlay::Root).contains(&m.id(C)), "the network's overlay goes by no relays");
}

#[test]
fn a_link_takes_a_circuits_place() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    m.barred.retain(|pair| *pair != (A, C));
    m.link(A, C);
    m.publish(A, "over the link");
    m.pass(3_000);
    assert_eq!((m.circuits(A), m.circuits(C)), (0, 0));
    assert!(m.nodes[A].node.links().is_direct(&m.id(C)));
    m.publish(C, "and back");
    m.pass(3_000);
    assert_eq!((m.got(C), m.got(A)), (vec!["over the link".into()], vec!["and back".into()]));
}

#[test]
fn who_leaves_says_what_it_had_to_say_and_goodbye() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    for n in 0..40 {
        m.publish(A, &n.to_string());
    }
    m.publish(A, "last words");
    m.nodes[A].command(Command::Leave);
    m.carry();
    m.pass(500);
    let words = (0..40).map(|n| n.to_string()).chain(["last words".into()]);
    assert_eq!(m.got(C), words.collect::<Vec<_>>());
    assert_eq!((m.circuits(A), m.circuits(C)), (0, 0));
    let left = |d: &Did| matches!(d, Did::Event(Event::PeerLeft { reason: LeaveReason::Goodbye, .. }));
    assert!(m.nodes[C].did.iter().any(left));
}

#[test]
fn who_unsubscribes_lets_the_circuit_go() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    m.nodes[A].command(Command::Unsubscribe { topic: news() });
    m.pass(30_000);
    assert_eq!((m.circuits(A), m.circuits(C)), (0, 0));
}
