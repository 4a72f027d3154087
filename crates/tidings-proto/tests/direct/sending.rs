//! Sending, batching, receipts, limits.

use super::*;
use tidings_proto::messaging::MAX_BODY_LEN;

#[test]
fn a_message_comes_and_its_receipt_goes_back() {
    let mut p = Pair::new();
    let t = p.send(0, b"hello");
    let shown = p.shown(1);
    assert_eq!(p.texts(1), ["hello"]);
    assert_eq!((shown[0].from, Some(shown[0].agent)), (p.id(0), p.ends[0].node.agent_id()));
    assert_eq!(shown[0].at_ms, p.ends[0].now.wall.0);
    match p.ends[0].reply(t) {
        Some(Reply::Delivered(d)) => assert_eq!((d.id, d.node, d.via.len()), (shown[0].id, p.id(1), 0)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_of_it_is_to_be_read_on_the_way() {
    let mut p = Pair::new();
    p.send(0, b"a secret of sixteen");
    for f in &p.passed {
        let bytes = f.message.frame_with(f.payload.clone()).to_bytes();
        assert!(!bytes.windows(8).any(|w| w == b"a secret"), "{:?}", f.message);
    }
}

#[test]
fn a_session_serves_for_many_messages_and_both_ways_have_their_own() {
    let mut p = Pair::new();
    for n in 0..20 {
        p.send(0, format!("{n}").as_bytes());
        p.send(1, format!("re: {n}").as_bytes());
    }
    assert_eq!((p.count(108), p.count(109)), (2, 40));
    assert_eq!((p.texts(1).len(), p.texts(0).len()), (20, 20));
}

#[test]
fn what_is_sent_in_one_turn_shares_a_frame_and_a_receipt() {
    let mut p = Pair::new();
    let tickets: Vec<Ticket> = (0..100).map(|n| p.hand_in(0, format!("{n}").as_bytes())).collect();
    p.ends[0].run();
    p.carry();
    assert_eq!((p.count(109), p.count(110)), (1, 1));
    assert_eq!(p.texts(1), (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(tickets.iter().all(|t| p.is_delivered(0, *t)));
}

#[test]
fn more_than_the_window_waits_for_receipts() {
    let mut p = Pair::new();
    p.open = false;
    for _ in 0..20 {
        p.hand_in(0, &[7; 60_000]);
    }
    p.ends[0].run();
    p.carry();
    assert_eq!(p.count(109), 5, "a quarter of a megabyte");
    p.open = true;
    p.pass(8_000);
    assert_eq!(p.shown(1).len(), 20);
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let mut p = Pair::new();
    let refused = |p: &Pair, t| match p.ends[0].reply(t) {
        Some(Reply::Refused(why)) => why.clone(),
        other => panic!("{other:?}"),
    };
    let t = p.send(0, &vec![0; MAX_BODY_LEN + 1]);
    assert!(matches!(refused(&p, t), CommandError::PayloadTooLarge { .. }));
    let (me, agent) = (PeerAddr { id: p.id(0), addrs: vec![] }, p.ends[0].node.agent_id().unwrap());
    let t = p.ends[0].command(Command::SendDirect { to: me, agent, body: bytes::Bytes::new() });
    assert_eq!(refused(&p, t), CommandError::ToOneself);
    let stranger = PeerAddr { id: NodeId([9; 32]), addrs: vec![addr(9)] };
    let t = p.ends[0].command(Command::SendDirect { to: stranger, agent, body: bytes::Bytes::new() });
    assert_eq!(refused(&p, t), CommandError::NoCertificate);
    let t = p.send(0, &vec![1; MAX_BODY_LEN]);
    assert!(p.is_delivered(0, t), "the longest");
}

#[test]
fn what_waits_is_bounded() {
    let mut p = Pair::new();
    p.open = false;
    let tickets: Vec<Ticket> = (0..80).map(|_| p.hand_in(0, &[0; 60_000])).collect();
    p.ends[0].run();
    let full = |t: &&Ticket| matches!(p.ends[0].reply(**t), Some(Reply::Refused(CommandError::QueueFull { .. })));
    assert_eq!(tickets.iter().filter(full).count(), 80 - (4 << 20) / 60_000);
}

#[test]
fn without_a_receipt_it_has_failed_and_is_said_to_have() {
    let mut p = Pair::new();
    p.open = false;
    let t = p.send(0, b"anybody?");
    p.pass(29_000);
    assert_eq!(p.ends[0].reply(t), None);
    p.pass(2_000);
    assert_eq!(p.ends[0].reply(t), Some(&Reply::Refused(CommandError::NoReceipt)));
    p.open = true;
    let t = p.send(0, b"now?");
    p.pass(5_000);
    assert!(p.is_delivered(0, t));
    assert_eq!(p.texts(1), ["now?"]);
}

#[test]
fn a_link_that_breaks_loses_nothing_and_repeats_nothing() {
    let mut p = Pair::new();
    p.send(0, b"1");
    p.open = false;
    let t = p.send(0, b"2");
    p.cut();
    p.open = true;
    p.pass(5_000);
    assert!(p.is_delivered(0, t));
    assert_eq!(p.texts(1), ["1", "2"]);
}

#[test]
fn a_lost_receipt_repeats_nothing() {
    let mut p = Pair::new();
    p.send(0, b"0");
    // The frame comes, and its receipt does not.
    p.open = false;
    let t = p.send(0, b"1");
    let frame = p.passed.last().unwrap().clone();
    p.deliver(&frame);
    p.carry();
    assert_eq!((p.texts(1).len(), p.ends[0].reply(t)), (2, None));
    p.open = true;
    p.pass(6_000);
    assert!(p.is_delivered(0, t));
    assert_eq!(p.texts(1), ["0", "1"]);
    assert!(p.ends[1].counters().envelopes_duplicate > 0);
}

#[test]
fn a_full_inbox_says_so() {
    let mut p = Pair::new();
    // A quarter of it is what one agent may have.
    for _ in 0..64 {
        let t = p.send(0, &[0; 65_000]);
        assert!(p.is_delivered(0, t));
    }
    let t = p.send(0, &[0; 65_000]);
    p.pass(10_000);
    assert_eq!(p.ends[0].reply(t), Some(&Reply::Refused(CommandError::InboxFull)));
    let read: Vec<_> = p.ends[1].node.inbox().map(|r| r.id).collect();
    p.ends[1].command(Command::ReadDirect { ids: read });
    p.pass(5_000);
    let t = p.send(0, b"again");
    p.pass(1_000);
    assert!(p.is_delivered(0, t));
}

#[test]
fn links_are_given_back_when_nobody_writes() {
    let mut p = Pair::new();
    p.send(0, b"hello");
    p.pass(40_000);
    let mine = p.ends[0].node.links().claims(&p.id(1)).iter().filter(|c| c.layer == 100).count();
    assert_eq!(mine, 0);
}
