use super::*;

#[test]
fn of_garbage_are_refused_and_the_link_stays() {
    let (mut d, peers) = with_neighbors(1);
    for bytes in [vec![], vec![0xff; 40], vec![1, 40, 2, 0, 0, 0, 0, 0, 0xff, 0xff]] {
        assert!(d.input(Input::Datagram { from: peers[0].id, bytes: bytes.into() }).is_err());
    }
    assert_eq!((d.counters().frames_malformed, d.closed()), (3, vec![]));
}

#[test]
fn from_peers_without_a_link_are_counted_and_not_answered() {
    let mut d = Driven::new();
    let stranger = Fake::new(1);
    d.datagram(&stranger, Ping { seq: 1, incarnation: PEERS_SINCE, suspected: None });
    assert_eq!((d.counters().datagrams_unexpected, d.datagrams_to(&stranger.id).len()), (1, 0));
}

#[test]
fn in_our_own_name_are_not_answered() {
    let mut d = Driven::new();
    let me = d.id();
    let bytes = Message::from(Ping { seq: 1, incarnation: PEERS_SINCE, suspected: None }).frame().to_bytes();
    d.input(Input::Datagram { from: me, bytes }).unwrap();
    assert_eq!((d.counters().datagrams_unexpected, d.datagrams_to(&me).len()), (1, 0));
}

#[test]
fn with_answers_that_nobody_asked_for_are_counted() {
    let (mut d, peers) = with_neighbors(1);
    d.datagram(&peers[0], Ack { seq: 900, incarnation: PEERS_SINCE });
    assert_eq!(d.counters().acks_unexpected, 1);
}

#[test]
fn are_answered_with_as_many_and_no_longer_ones() {
    let (mut d, peers) = with_neighbors(1);
    let ping = Message::from(Ping { seq: 70_000, incarnation: PEERS_SINCE, suspected: None });
    let before = d.counters();
    for _ in 0..100 {
        d.datagram(&peers[0], ping.clone());
    }
    let after = d.counters();
    assert_eq!(after.datagrams_out - before.datagrams_out, 100);
    assert!(after.probe_bytes_out - before.probe_bytes_out <= 100 * ping.frame().len() as u64);
}
