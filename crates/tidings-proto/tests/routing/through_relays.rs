//! Sending where there is no link.

use super::*;

#[test]
fn a_message_goes_through_a_relay_and_its_receipt_says_through_whom() {
    let mut m = Mesh::new();
    let t = m.send(A, C, b"hello");
    m.pass(1_000);
    assert_eq!(m.texts(C), ["hello"]);
    let relay = m.first_relay(A);
    assert_eq!(m.delivered(A, t).unwrap().via, [m.id(relay)]);
    assert_eq!(m.nodes[A].counters().relays_credited, 1);
    assert_eq!(m.nodes[relay].counters().credits_taken, 1);
    assert!(!m.links.contains(&(A, C)), "they met");
}

#[test]
fn its_status_only_grows() {
    let mut m = Mesh::new();
    let t = m.send(A, C, b"hello");
    m.pass(1_000);
    assert_eq!(m.statuses(A), [MessageStatus::Relayed, MessageStatus::Delivered]);
    let d = m.delivered(A, t).unwrap().clone();
    let p = m.nodes[A].node.message(&d.id).unwrap();
    assert_eq!((p.status, p.via), (MessageStatus::Delivered, d.via));
}

#[test]
fn what_was_read_is_told_to_those_that_are_to_know() {
    let mut m = Mesh::new();
    let agent = m.nodes[A].node.agent_id().unwrap();
    for (on, expected) in [(false, MessageStatus::Delivered), (true, MessageStatus::Read)] {
        m.nodes[C].command(Command::TellRead { agent, on });
        let t = m.send(A, C, b"hello");
        m.pass(1_000);
        let id = m.delivered(A, t).unwrap().id;
        m.nodes[C].command(Command::ReadDirect { ids: vec![id] });
        m.pass(2_000);
        assert_eq!(m.nodes[A].node.message(&id).unwrap().status, expected);
    }
}

#[test]
fn nothing_of_it_is_to_be_read_by_the_relay() {
    let mut m = Mesh::new();
    m.send(A, C, b"a secret of sixteen");
    m.pass(500);
    assert!(!m.envelopes.is_empty());
    for p in &m.envelopes {
        let bytes = p.message.frame_with(p.payload.clone()).to_bytes();
        assert!(!bytes.windows(8).any(|w| w == b"a secret"));
    }
}

#[test]
fn a_session_serves_for_many_messages_both_ways() {
    let mut m = Mesh::new();
    for n in 0..10 {
        m.send(A, C, format!("{n}").as_bytes());
        m.send(C, A, format!("re: {n}").as_bytes());
        m.pass(300);
    }
    assert_eq!((m.texts(C).len(), m.texts(A).len()), (10, 10));
    assert_eq!((m.nodes[A].counters().sessions_opened, m.nodes[C].counters().sessions_opened), (1, 1));
}

#[test]
fn the_longest_message_goes_through() {
    let mut m = Mesh::new();
    let t = m.send(A, C, &[b'x'; tidings_proto::messaging::MAX_BODY_LEN]);
    m.pass(2_000);
    assert!(m.delivered(A, t).is_some(), "{:?}", m.nodes[A].counters());
}

#[test]
fn who_can_reach_another_relay_only_goes_through_two() {
    // The sender reaches the first relay alone, and the receiver is linked to the second alone.
    let all = [A, B, C, D].map(|n| [(n, A), (n, C)]).concat();
    let barred = [all, vec![(A, D), (C, B)]].concat();
    let mut m = Mesh::of((1..=4).map(node).collect(), &barred);
    let t = m.send(A, C, b"far");
    m.pass(6_000);
    assert_eq!(m.texts(C), ["far"]);
    assert_eq!(m.delivered(A, t).unwrap().via, [m.id(B), m.id(D)]);
}

#[test]
fn a_relay_that_dies_is_gone_around() {
    let mut m = Mesh::new();
    m.send(A, C, b"1");
    m.pass(500);
    m.kill(m.first_relay(A));
    let t = m.send(A, C, b"2");
    m.pass(1_000);
    assert!(m.delivered(A, t).is_some());
    assert_eq!(m.texts(C), ["1", "2"]);
}

#[test]
fn a_relay_that_was_none_is_tried_again_as_soon_as_it_is_one() {
    for wait in [500, 2_000, 4_500] {
        // The receiver has lost its second relay, and then the first one dies.
        let mut m = Mesh::new();
        m.barred.push((C, D));
        m.part(C, D);
        m.send(A, C, b"1");
        m.pass(500);
        m.kill(B);
        m.send(A, C, b"2");
        m.pass(wait);
        assert_eq!(m.texts(C), ["1"]);
        m.barred.retain(|pair| *pair != (C, D));
        let linked = (0..1_000).find(|_| {
            m.pass(50);
            m.is_linked(C, D)
        });
        assert!(linked.is_some());
        m.pass(1_500);
        assert_eq!(m.texts(C), ["1", "2"], "{wait}: {:?}", m.nodes[A].counters());
    }
}

#[test]
fn without_any_relay_it_fails_and_is_said_to_have() {
    let mut m = Mesh::new();
    m.send(A, C, b"1");
    m.pass(500);
    m.kill(B);
    m.kill(D);
    let t = m.send(A, C, b"2");
    m.pass(32_000);
    assert_eq!(m.nodes[A].reply(t), Some(&Reply::Refused(CommandError::NoReceipt)));
    assert_eq!(m.statuses(A).last(), Some(&MessageStatus::Failed(CommandError::NoReceipt)));
    assert_eq!(m.nodes[A].counters().relays_failed, 0, "nobody is blamed for a receiver that is gone");
}

#[test]
fn a_sender_whose_agent_has_revoked_it_is_told_so_through_the_relay() {
    // The fifth node is of the sender's agent as well.
    let all = [A, B, C, D, 4].map(|n| [(n, A), (n, C)]).concat();
    let nodes = (1..=4).map(node).chain([agent_node(5, A as u8 + 1)]).collect();
    let mut m = Mesh::of(nodes, &all);
    let node = m.id(A);
    m.nodes[4].command(Command::RevokeNode { node });
    m.pass(5_000);
    let t = m.send(A, C, b"still me");
    m.pass(3_000);
    let refused = matches!(m.nodes[A].reply(t), Some(Reply::Refused(CommandError::NotProven | CommandError::NoAgent)));
    assert!(refused, "{:?}", m.nodes[A].reply(t));
    assert_eq!(m.texts(C), Vec::<String>::new());
}

#[test]
fn who_can_be_dialed_is_dialed() {
    let mut m = Mesh::new();
    let t = m.send(A, D, b"hello");
    m.pass(1_000);
    assert_eq!(m.delivered(A, t).unwrap().via, []);
    assert!(m.envelopes.is_empty());
}
