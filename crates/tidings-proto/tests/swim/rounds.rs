use super::*;

#[test]
fn who_answers_is_probed_once_an_interval_and_never_suspected() {
    let (mut d, peers) = with_neighbors(3);
    d.pass_ms(60_000);
    assert_eq!(suspected(&d), []);
    for p in &peers {
        assert!((59..=61).contains(&pings(&d, p)), "{} pings in a minute", pings(&d, p));
        assert_eq!(state(&d, p), Some(PeerState::Alive));
    }
}

#[test]
fn who_acknowledges_packets_is_probed_now_and_then() {
    let (mut d, n) = with_neighbors(1);
    let peers = vec![n[0].id];
    d.did.clear();
    for _ in 0..480 {
        d.pass_ms(100);
        d.input(Input::Acknowledged { peers: peers.clone() }).unwrap();
    }
    assert!((2..=4).contains(&pings(&d, &n[0])), "{} pings in 48 s", pings(&d, &n[0]));
    d.did.clear();
    silence(&mut d, &n[0]);
    d.pass_ms(1_900);
    assert_eq!(suspected(&d), [n[0].id], "nothing is acknowledged any longer");
}

#[test]
fn acknowledgements_do_not_save_who_does_not_answer() {
    let (mut d, n) = with_neighbors(1);
    silence(&mut d, &n[0]);
    for _ in 0..200 {
        d.pass_ms(100);
        d.input(Input::Acknowledged { peers: vec![n[0].id] }).unwrap();
    }
    assert_eq!(suspected(&d), [n[0].id]);
}

#[test]
fn the_other_end_probes_half_of_the_links() {
    let mut d = Driven::new();
    let peer = some(&d, 1, false).remove(0);
    join(&mut d, &peer);
    for seq in 0..30 {
        d.datagram(&peer, Ping { seq, incarnation: PEERS_SINCE, suspected: None });
        d.pass_ms(INTERVAL);
    }
    let acks = d.datagrams_to(&peer.id).iter().filter(|m| matches!(m, Message::Ack(_))).count();
    assert_eq!((acks, pings(&d, &peer)), (30, 0));
}

#[test]
fn an_end_whose_pings_stay_out_is_probed() {
    let mut d = Driven::new();
    let peer = some(&d, 1, false).remove(0);
    join(&mut d, &peer);
    d.datagram(&peer, Ping { seq: 1, incarnation: PEERS_SINCE, suspected: None });
    silence(&mut d, &peer);
    d.pass_ms(INTERVAL + 90);
    assert_eq!(pings(&d, &peer), 0, "too soon");
    d.pass_ms(40);
    assert_eq!(pings(&d, &peer), 1);
    d.pass_ms(ROUND);
    assert_eq!(suspected(&d), [peer.id]);
}

#[test]
fn a_silent_neighbor_is_suspected_after_three_pings_and_one_that_loss_cannot_hurt() {
    let (mut d, peers) = with_neighbors(1);
    suspect(&mut d, &peers[0]);
    assert_eq!(pings(&d, &peers[0]), 3);
    let reliable = d.sent_to(&peers[0].id).iter().filter(|m| matches!(m, Message::Ping(_))).count();
    assert_eq!(reliable, 1);
    assert_eq!(state(&d, &peers[0]), Some(PeerState::Suspected));
}

#[test]
fn an_answer_to_the_last_ping_is_enough() {
    let (mut d, peers) = with_neighbors(1);
    silence(&mut d, &peers[0]);
    for _ in 0..SUSPECTED / 10 {
        d.pass_ms(10);
        if let Some(Message::Ping(p)) = d.sent_to(&peers[0].id).last() {
            let ack = Ack { seq: p.seq, incarnation: PEERS_SINCE };
            d.mute.clear();
            d.say(&peers[0], ack);
            break;
        }
    }
    assert!(d.mute.is_empty(), "no ping on the control lane");
    d.pass_ms(5_000);
    assert_eq!(suspected(&d), []);
}

#[test]
fn the_round_trip_is_measured() {
    let (mut d, peers) = with_neighbors(1);
    silence(&mut d, &peers[0]);
    for _ in 0..40 {
        d.did.clear();
        for _ in 0..2 * INTERVAL {
            if pings(&d, &peers[0]) > 0 {
                break;
            }
            d.pass_ms(1);
        }
        d.pass_ms(40);
        // It reads, too.
        let reads: Vec<Message> = d.sent_to(&peers[0].id).into_iter().cloned().collect();
        for ping in reads.iter().filter_map(|m| if let Message::Ping(p) = m { Some(p) } else { None }) {
            d.say(&peers[0], Ack { seq: ping.seq, incarnation: PEERS_SINCE });
        }
        let Some(Message::Ping(p)) = d.datagrams_to(&peers[0].id).last().copied().cloned() else { panic!() };
        d.datagram(&peers[0], Ack { seq: p.seq, incarnation: PEERS_SINCE });
    }
    let rtt = d.node.peers()[0].rtt.unwrap();
    assert!((ms(38)..=ms(41)).contains(&rtt), "{rtt:?}");
}

#[test]
fn probes_and_answers_are_small() {
    let (mut d, peers) = with_neighbors(1);
    d.pass_ms(100_000);
    let c = d.counters();
    let a = Message::from(Ack { seq: 100_000, incarnation: PEERS_SINCE }).frame().len();
    assert!(pings(&d, &peers[0]) >= 99);
    assert!(c.probe_bytes_out / c.datagrams_out <= 30 && a <= 30, "{} and {a}", c.probe_bytes_out / c.datagrams_out);
}
