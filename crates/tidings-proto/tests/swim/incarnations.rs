use super::*;

fn own(d: &mut Driven, ask: &Fake) -> u64 {
    d.datagram(ask, Ping { seq: 1, incarnation: PEERS_SINCE, suspected: None });
    match d.datagrams_to(&ask.id).last() {
        Some(Message::Ack(a)) => a.incarnation,
        other => panic!("no answer but {other:?}"),
    }
}

#[test]
fn are_higher_after_a_restart_even_with_a_clock_set_back() {
    let (mut d, peers) = with_neighbors(1);
    let before = own(&mut d, &peers[0]);
    let mut d = d.restart(ms(0));
    join(&mut d, &peers[0]);
    assert!(own(&mut d, &peers[0]) >> 16 > before >> 16);
}

#[test]
fn go_up_to_refute() {
    let (mut d, peers) = with_neighbors(1);
    let before = own(&mut d, &peers[0]);
    d.datagram(&peers[0], Ping { seq: 2, incarnation: PEERS_SINCE, suspected: Some(before) });
    assert_eq!(own(&mut d, &peers[0]), before + 1);
    assert_eq!(d.counters().suspected_ourselves, 1);
    // The refuted suspicion again, and one of long ago.
    d.datagram(&peers[0], Ping { seq: 3, incarnation: PEERS_SINCE, suspected: Some(before) });
    assert_eq!(own(&mut d, &peers[0]), before + 1);
}

#[test]
fn do_not_go_up_without_end_for_a_liar() {
    let (mut d, peers) = with_neighbors(1);
    let before = own(&mut d, &peers[0]);
    for _ in 0..100 {
        let now = own(&mut d, &peers[0]);
        let me = d.id();
        d.say(&peers[0], Suspect { peer: me, incarnation: now });
    }
    assert_eq!(own(&mut d, &peers[0]), before + 4);
    assert!(d.node.local_health() <= 4);
}

#[test]
fn at_the_maximum_or_from_the_future_are_refused_and_the_peer_still_counts_as_alive() {
    for absurd in [u64::MAX, 0, (WALL + 3_600_000) << 16] {
        let (mut d, peers) = with_neighbors(2);
        suspect(&mut d, &peers[0]);
        d.datagram(&peers[0], Ping { seq: 1, incarnation: absurd, suspected: None });
        assert_eq!((d.counters().incarnations_refused, recovered(&d)), (1, vec![peers[0].id]));
        knows_of(&mut d, &peers[0], &[&peers[1]]);
        let ignored = d.counters().suspicions_ignored;
        d.say(&peers[1], Suspect { peer: peers[0].id, incarnation: PEERS_SINCE });
        assert_eq!(d.counters().suspicions_ignored, ignored, "its incarnation is not what it was");
    }
}

#[test]
fn of_the_past_are_ignored() {
    let (mut d, peers) = with_neighbors(1);
    d.datagram(&peers[0], Ping { seq: 1, incarnation: PEERS_SINCE + 5, suspected: None });
    d.datagram(&peers[0], Ping { seq: 2, incarnation: PEERS_SINCE + 4, suspected: None });
    assert_eq!(d.counters().incarnations_stale, 1);
}

#[test]
fn with_a_later_start_are_a_restart() {
    let (mut d, peers) = with_neighbors(2);
    suspect(&mut d, &peers[0]);
    let again = PEERS_SINCE + (500 << 16);
    d.datagram(&peers[0], Ping { seq: 1, incarnation: again, suspected: None });
    assert_eq!((d.counters().restarts_seen, recovered(&d)), (1, vec![peers[0].id]));
}

#[test]
fn in_turn_are_a_clone_told_once_an_hour() {
    let (mut d, peers) = with_neighbors(1);
    for n in 0..40u64 {
        let incarnation = PEERS_SINCE + ((n % 2) << 16);
        d.datagram(&peers[0], Ping { seq: n as u32, incarnation, suspected: None });
        d.pass_ms(1_000);
    }
    assert_eq!(clones(&d), [peers[0].id]);
}

#[test]
fn of_ourselves_that_we_never_had_are_a_clone_if_two_met_it() {
    let (mut d, peers) = with_neighbors(2);
    let (me, strange) = (d.id(), (WALL + 60_000) << 16);
    for _ in 0..3 {
        d.say(&peers[0], Suspect { peer: me, incarnation: strange });
    }
    assert_eq!(clones(&d), [], "one could be lying");
    d.say(&peers[1], Suspect { peer: me, incarnation: strange });
    d.say(&peers[1], Suspect { peer: me, incarnation: strange });
    assert_eq!(clones(&d), [me]);
}
