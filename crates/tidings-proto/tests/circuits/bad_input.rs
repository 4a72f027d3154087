//! What others say of circuits.

use super::*;
use bytes::Bytes;
use tidings_proto::circuits::MAX_TAKEN;
use tidings_proto::crypto::{BOX_KEY_LEN, Crypto, SimCrypto};
use tidings_proto::identity::SecretKey;
use tidings_proto::routing::{envelope, key};

/// Says something to `to` as node `n` would, through the first relay.
fn say(m: &mut Mesh, n: usize, to: usize, id: u8, message: impl Into<Message>, payload: Bytes) {
    let port = SimCrypto::new(&SecretKey::from_bytes([n as u8 + 1; 32]));
    let head = Envelope {
        id: PassageId([id; 16]),
        from: port.node_id(),
        to: m.id(to),
        via: vec![m.id(B)],
        kind: 0,
        ttl: 1,
        at_ms: m.nodes[to].now.wall.0,
        messages: 1,
        credits: None,
    };
    let inner = message.into().frame_with(payload).to_bytes();
    let payload = envelope::seal(&port, &key(&network()), &head, &inner);
    m.deliver(&Passing { from: B, to, lane: Lane::Control, message: head.into(), payload });
    m.carry();
}

fn key_of(n: u8) -> Bytes {
    SimCrypto::new(&SecretKey::from_bytes([n; 32])).box_keypair(&[n; 32]).0.into()
}

/// How often a node was told that there is no such circuit, or that it is not taken.
fn refused(m: &Mesh, n: usize) -> u64 {
    m.nodes[n].counters().circuits_refused
}

#[test]
fn outside_of_envelopes_nobody_speaks_of_circuits() {
    let mut m = mesh(4);
    let all: [Message; 5] = [
        OpenCircuit { session: 1 }.into(),
        CircuitOpened { session: 1 }.into(),
        CircuitPiece { session: 1, piece: 0 }.into(),
        CircuitAck { session: 1, next: 1 }.into(),
        CloseCircuit { session: 1, why: 0, next: 0 }.into(),
    ];
    let before = m.nodes[C].counters().frames_unexpected;
    for message in all {
        m.deliver(&Passing { from: B, to: C, lane: Lane::Control, message, payload: key_of(9) });
    }
    assert_eq!((m.nodes[C].counters().frames_unexpected - before, m.circuits(C)), (5, 0));
}

#[test]
fn of_many_in_one_envelope_the_first_is_heard() {
    let mut m = mesh(4);
    let port = SimCrypto::new(&SecretKey::from_bytes([41; 32]));
    let ends: Vec<u8> = (0..2_000_u64)
        .flat_map(|session| Message::from(CircuitPiece { session, piece: 0 }).frame().to_bytes())
        .collect();
    let (id, via) = (PassageId([1; 16]), vec![m.id(B)]);
    let at_ms = m.nodes[C].now.wall.0;
    let head =
        Envelope { id, from: port.node_id(), to: m.id(C), via, kind: 0, ttl: 1, at_ms, messages: 1, credits: None };
    let payload = envelope::seal(&port, &key(&network()), &head, &ends);
    let before = m.nodes[C].did.len();
    m.deliver(&Passing { from: B, to: C, lane: Lane::Control, message: head.into(), payload });
    m.carry();
    let answers =
        m.nodes[C].did[before..].iter().filter(|d| matches!(d, Did::Sent { message: Message::Envelope(_), .. }));
    assert_eq!(answers.count(), 1);
}

#[test]
fn a_link_that_ends_late_does_not_end_the_circuit_in_its_place() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    let peer = m.id(A);
    let _ = m.nodes[C].input(Input::LinkDown { peer, reason: LinkRefusal::Closed });
    m.publish(A, "still here");
    m.pass(1_000);
    assert_eq!((m.got(C), m.circuits(C)), (vec!["still here".into()], 1));
}

#[test]
fn one_is_taken_once_and_not_again_when_it_is_played_back() {
    let mut m = mesh(4);
    say(&mut m, 40, C, 1, OpenCircuit { session: 7 }, key_of(1));
    assert_eq!(m.circuits(C), 1);
    say(&mut m, 40, C, 2, OpenCircuit { session: 7 }, key_of(1));
    assert_eq!((m.circuits(C), m.nodes[C].counters().circuits_opened), (1, 1));
    say(&mut m, 40, C, 3, CloseCircuit { session: 7, why: 0, next: 0 }, Bytes::new());
    assert_eq!(m.circuits(C), 0);
    m.pass(1_500);
    say(&mut m, 40, C, 4, OpenCircuit { session: 7 }, key_of(1));
    assert_eq!((m.circuits(C), refused(&m, C)), (0, 1));
    say(&mut m, 40, C, 5, OpenCircuit { session: 8 }, key_of(1));
    assert_eq!((m.circuits(C), refused(&m, C)), (1, 1));
}

#[test]
fn a_newer_one_takes_the_place_of_the_old() {
    let mut m = mesh(4);
    say(&mut m, 40, C, 1, OpenCircuit { session: 7 }, key_of(1));
    m.pass(1_500);
    say(&mut m, 40, C, 2, OpenCircuit { session: 8 }, key_of(2));
    assert_eq!((m.circuits(C), m.nodes[C].counters().circuits_opened), (1, 2));
    say(&mut m, 40, C, 3, CloseCircuit { session: 7, why: 0, next: 0 }, Bytes::new());
    assert_eq!(m.circuits(C), 1, "the old one is over already");
    m.pass(1_500);
    say(&mut m, 40, C, 4, OpenCircuit { session: 6 }, key_of(3));
    assert_eq!(
        (m.circuits(C), refused(&m, C), m.nodes[C].counters().circuits_opened),
        (1, 1, 2),
        "one that is older still"
    );
}

#[test]
fn keys_that_are_none_are_refused() {
    let mut m = mesh(4);
    for (n, key) in [Bytes::new(), Bytes::from(vec![1; BOX_KEY_LEN - 1]), Bytes::from(vec![1; BOX_KEY_LEN + 1])]
        .into_iter()
        .enumerate()
    {
        say(&mut m, A, C, n as u8, OpenCircuit { session: 7 }, key);
        assert_eq!((m.circuits(C), refused(&m, C)), (0, n as u64 + 1));
    }
}

#[test]
fn who_can_be_dialed_takes_none() {
    let mut m = mesh(4);
    say(&mut m, 40, D, 1, OpenCircuit { session: 7 }, key_of(1));
    assert_eq!((m.circuits(D), refused(&m, D)), (0, 1));
}

#[test]
fn nor_does_one_that_has_a_link_to_who_opens() {
    let mut m = mesh(4);
    say(&mut m, D, C, 1, OpenCircuit { session: 7 }, key_of(1));
    assert_eq!((m.circuits(C), refused(&m, C)), (0, 1));
}

#[test]
fn as_many_as_allowed_are_taken() {
    let mut m = mesh(4);
    for n in 0..MAX_TAKEN + 4 {
        say(&mut m, 40 + n, C, n as u8, OpenCircuit { session: 7 }, key_of(1));
    }
    assert_eq!((m.circuits(C), refused(&m, C)), (MAX_TAKEN, 4));
    // Nobody needs them, and so one makes room for a newcomer.
    m.pass(2_500);
    say(&mut m, 80, C, 80, OpenCircuit { session: 7 }, key_of(1));
    assert_eq!((m.circuits(C), refused(&m, C)), (MAX_TAKEN, 4));
    m.pass(30_000);
    assert_eq!(m.circuits(C), 0);
}

#[test]
fn a_flood_of_them_is_cut_off() {
    let mut m = mesh(4);
    // Of one sender one a second is taken, and of all sixteen at once.
    for n in 0..100 {
        say(&mut m, 40, C, n, OpenCircuit { session: 7 + u64::from(n) }, key_of(1));
    }
    assert_eq!((m.circuits(C), m.nodes[C].counters().circuits_opened), (1, 1));
    m.pass(1_500);
    for n in 100..150 {
        say(&mut m, n, C, n as u8, OpenCircuit { session: 7 }, key_of(1));
        say(&mut m, n, C, n as u8 + 100, CloseCircuit { session: 7, why: 0, next: 0 }, Bytes::new());
    }
    assert_eq!((m.circuits(C), m.nodes[C].counters().circuits_opened), (1, 1 + 16));
    m.pass(1_000);
    say(&mut m, 200, C, 250, OpenCircuit { session: 100 }, key_of(1));
    assert_eq!(m.nodes[C].counters().circuits_opened, 1 + 16 + 1);
}

#[test]
fn those_that_are_taken_leave_room_for_own_ones() {
    let mut m = mesh(4);
    for n in 0..MAX_TAKEN + 4 {
        say(&mut m, 40 + n, C, n as u8, OpenCircuit { session: 7 }, key_of(1));
    }
    m.nodes[C].command(Command::Subscribe { topic: news() });
    m.subscribe(&[A]);
    m.publish(A, "in spite of them");
    m.pass(1_000);
    assert_eq!(m.got(C), ["in spite of them"]);
}

#[test]
fn pieces_answers_and_words_of_no_circuit_change_nothing() {
    let mut m = mesh(4);
    say(&mut m, A, C, 1, CircuitPiece { session: 7, piece: 0 }, vec![1; 100].into());
    say(&mut m, A, C, 2, CircuitOpened { session: 7 }, vec![1; 1168].into());
    say(&mut m, A, C, 3, CircuitAck { session: 7, next: u64::MAX }, Bytes::new());
    say(&mut m, A, C, 4, CloseCircuit { session: 7, why: 200, next: 0 }, Bytes::new());
    assert_eq!((m.circuits(C), m.nodes[C].counters().circuits_opened), (0, 0));
}

#[test]
fn pieces_that_were_not_sealed_for_it_are_refused_and_others_dropped() {
    let mut m = mesh(4);
    m.subscribe(&[A, C]);
    let session = 7;
    say(&mut m, 40, C, 1, OpenCircuit { session }, key_of(1));
    let before = m.circuits(C);
    say(&mut m, 40, C, 2, CircuitPiece { session, piece: 0 }, vec![1; 100].into());
    say(&mut m, 40, C, 3, CircuitPiece { session, piece: 0 }, vec![1; 90_000].into());
    say(&mut m, 40, C, 4, CircuitPiece { session, piece: u64::MAX }, vec![1; 100].into());
    say(&mut m, 40, C, 5, CircuitAck { session, next: u64::MAX }, Bytes::new());
    assert_eq!((m.circuits(C), m.nodes[C].counters().circuit_pieces_refused), (before, 2));
    m.publish(A, "as before");
    m.pass(1_000);
    assert_eq!(m.got(C), ["as before"]);
}
