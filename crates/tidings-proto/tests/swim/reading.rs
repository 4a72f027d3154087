//! Neighbours that answer every datagram and read nothing.

use super::*;

/// After something was sent to somebody that reads nothing, until it is suspected at the latest.
const NOTICED: u64 = 9 * INTERVAL + ROUND;
/// How long it is kept.
const ENDURED: u64 = 30_000;

/// Sends something to all neighbours.
fn send_something(d: &mut Driven) {
    d.command(Command::Subscribe { topic: news() });
}

/// Pings on the control lane.
fn asked(d: &Driven, peer: &Fake) -> usize {
    d.sent_to(&peer.id).iter().filter(|m| matches!(m, Message::Ping(_))).count()
}

fn with_one_hung() -> (Driven, Vec<Fake>) {
    let (mut d, peers) = with_neighbors(2);
    // What was sent when they became neighbours is read.
    d.pass_ms(10_000);
    d.did.clear();
    d.hung.insert(peers[0].id);
    send_something(&mut d);
    d.pass_ms(NOTICED);
    (d, peers)
}

#[test]
fn who_reads_nothing_is_suspected() {
    let (d, peers) = with_one_hung();
    assert_eq!(suspected(&d), [peers[0].id]);
    assert_eq!(d.counters().peers_stuck, 1);
    assert!(!d.node.active_view(Overlay::Root).contains(&peers[0].id));
}

#[test]
fn where_nothing_was_sent_nothing_is_asked() {
    let mut d = Driven::new();
    let peer = some(&d, 1, true).remove(0);
    join(&mut d, &peer);
    d.pass_ms(20_000);
    let shuffles = |d: &Driven| d.sent_to(&peer.id).iter().filter(|m| !matches!(m, Message::Ping(_))).count();
    d.did.clear();
    d.pass_ms(60_000);
    // The last thing sent before is asked about as well.
    assert!(asked(&d, &peer) <= shuffles(&d) + 1, "{} for {} frames", asked(&d, &peer), shuffles(&d));
}

#[test]
fn an_answered_datagram_does_not_end_it() {
    let (mut d, peers) = with_one_hung();
    d.did.clear();
    d.pass_ms(10_000);
    assert!(pings(&d, &peers[0]) > 5);
    d.say(&peers[0], Topics::default());
    assert_eq!(recovered(&d), []);
}

#[test]
fn who_reads_again_is_a_neighbor_again() {
    let (mut d, peers) = with_one_hung();
    d.pass_ms(10_000);
    let asked = d.sent_to(&peers[0].id).into_iter().rev().find_map(|m| match m {
        Message::Ping(p) => Some(p.seq),
        _ => None,
    });
    d.hung.clear();
    d.say(&peers[0], Ack { seq: asked.expect("was asked"), incarnation: PEERS_SINCE });
    assert_eq!(recovered(&d), [peers[0].id]);
    assert!(d.node.active_view(Overlay::Root).contains(&peers[0].id));
}

#[test]
fn it_is_kept_for_longer_than_who_is_silent() {
    let (mut d, peers) = with_one_hung();
    d.pass_ms(ENDURED - NOTICED);
    assert_eq!(left(&d), []);
    d.pass_ms(2 * NOTICED);
    assert_eq!(left(&d), [(peers[0].id, LeaveReason::Link(LinkRefusal::Silent))]);
}

#[test]
fn who_dies_meanwhile_is_removed_as_the_dead_are() {
    let (mut d, peers) = with_one_hung();
    silence(&mut d, &peers[0]);
    d.pass_ms(SUSPECTED + ALONE * 2);
    assert_eq!(left(&d), [(peers[0].id, LeaveReason::Died)]);
}

#[test]
fn it_is_told_of_no_suspicion() {
    let (mut d, peers) = with_one_hung();
    d.did.clear();
    d.pass_ms(5_000);
    let told = d.datagrams_to(&peers[0].id).iter().any(|m| matches!(m, Message::Ping(p) if p.suspected.is_some()));
    assert!(!told, "it has nothing to refute");
}
