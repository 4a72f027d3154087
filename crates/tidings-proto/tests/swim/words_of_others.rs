use super::*;

#[test]
fn make_the_node_look_at_once_and_no_more() {
    let (mut d, peers) = with_neighbors(2);
    knows_of(&mut d, &peers[0], &[&peers[1]]);
    let before = pings(&d, &peers[0]);
    d.say(&peers[1], Suspect { peer: peers[0].id, incarnation: PEERS_SINCE });
    assert_eq!(pings(&d, &peers[0]), before + 1);
    d.pass_ms(10_000);
    assert_eq!(suspected(&d), []);
}

#[test]
fn said_again_and_again_neither_kill_nor_cost_much() {
    let (mut d, peers) = with_neighbors(10);
    let others: Vec<&Fake> = peers.iter().collect();
    for p in &peers {
        knows_of(&mut d, p, &others);
    }
    // All but one cry about that one, without end.
    for _ in 0..600 {
        for p in &peers[1..] {
            d.say(p, Suspect { peer: peers[0].id, incarnation: PEERS_SINCE });
        }
        d.pass_ms(100);
    }
    assert_eq!((suspected(&d), left(&d)), (vec![], vec![]));
    // 60 of its own, and of each liar 8 at once and one in ten seconds.
    assert!(pings(&d, &peers[0]) <= 60 + 9 * 14, "{}", pings(&d, &peers[0]));
    assert!(d.counters().suspicions_ignored > 5_000);
}

#[test]
fn count_only_from_neighbors_of_the_suspect_in_its_present_incarnation() {
    let (mut d, peers) = with_neighbors(3);
    knows_of(&mut d, &peers[0], &[&peers[1]]);
    let before = pings(&d, &peers[0]);
    let stranger = Fake::new(120);
    d.say(&peers[2], Suspect { peer: peers[0].id, incarnation: PEERS_SINCE });
    d.say(&peers[1], Suspect { peer: peers[0].id, incarnation: PEERS_SINCE - 1 });
    d.say(&peers[1], Suspect { peer: peers[0].id, incarnation: u64::MAX });
    d.say(&peers[1], Suspect { peer: stranger.id, incarnation: PEERS_SINCE });
    assert_eq!((pings(&d, &peers[0]), d.counters().suspicions_ignored), (before, 4));
}

#[test]
fn of_who_its_neighbors_are_are_heard_of_neighbors_only() {
    let mut d = Driven::new();
    let stranger = Fake::new(1);
    d.link(&stranger);
    d.say(&stranger, Neighbors { incarnation: PEERS_SINCE, peers: vec![Fake::new(2).addr] });
    assert_eq!(d.counters().frames_unexpected, 1);
}

#[test]
fn of_our_own_are_told_to_neighbors_when_they_change() {
    let (mut d, peers) = with_neighbors(3);
    let newcomer = Fake::new(120);
    join(&mut d, &newcomer);
    d.pass_ms(2_000);
    let last = |d: &Driven, p: &Fake| {
        let all = d.sent_to(&p.id);
        let of = |m: &&Message| if let Message::Neighbors(n) = m { Some(n.peers.len()) } else { None };
        (all.iter().filter_map(of).count(), all.iter().filter_map(of).next_back())
    };
    assert_eq!(last(&d, &newcomer).1, Some(3));
    assert_eq!(last(&d, &peers[0]), (1, Some(3)), "the newcomer and the two others, once");
}
