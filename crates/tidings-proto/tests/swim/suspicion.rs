use super::*;

#[test]
fn makes_room_for_a_replacement_at_once() {
    let (mut d, peers) = with_neighbors(10);
    let spare = Fake::new(150);
    let (path, sketch) = (vec![peers[1].id], Sketch::default());
    d.say(&peers[1], Shuffle { overlay: None, ttl: 1, path, peers: vec![spare.addr.clone()], sketch });
    d.pass_ms(5_000);
    assert_eq!(dialed(&d), [], "the view was full");
    suspect(&mut d, &peers[0]);
    assert_eq!(dialed(&d), [spare.id]);
    assert!(!d.node.active_view(Overlay::Root).contains(&peers[0].id));
    assert_eq!(left(&d), [], "it is not removed");
}

#[test]
fn ends_at_any_sign_of_life() {
    let (mut d, peers) = with_neighbors(2);
    suspect(&mut d, &peers[0]);
    d.say(&peers[0], Topics::default());
    assert_eq!(recovered(&d), [peers[0].id]);
    assert_eq!(state(&d, &peers[0]), Some(PeerState::Alive));
    assert!(d.node.active_view(Overlay::Root).contains(&peers[0].id));
    assert_eq!(d.counters().suspicions_refuted, 1);
}

#[test]
fn ends_in_death_when_nobody_else_suspects_after_twice_the_time() {
    let (mut d, peers) = with_neighbors(2);
    suspect(&mut d, &peers[0]);
    let began = d.now.mono;
    while left(&d).is_empty() && d.now.mono.since(began) < ms(20_000) {
        d.pass_ms(10);
    }
    let took = d.now.mono.since(began);
    // One failed round is one point of local health: a quarter more at most for each that failed before.
    assert!(took >= ms(ALONE - SUSPECTED) && took <= ms(ALONE * 3), "{took:?}");
    assert_eq!(left(&d), [(peers[0].id, LeaveReason::Died)]);
    assert!(d.did.iter().any(|x| matches!(x, Did::Closed(p, LinkRefusal::Silent) if *p == peers[0].id)));
    assert_eq!(d.counters().deaths, 1);
}

/// How long it takes from silence to removal if so many others suspect as well.
fn removed_after(confirmations: usize) -> Span {
    let (mut d, peers) = with_neighbors(6);
    let others: Vec<&Fake> = peers[1..].iter().collect();
    knows_of(&mut d, &peers[0], &others);
    silence(&mut d, &peers[0]);
    let began = d.now.mono;
    for p in &peers[1..=confirmations] {
        d.say(p, Suspect { peer: peers[0].id, incarnation: PEERS_SINCE });
    }
    while left(&d).is_empty() {
        d.pass_ms(10);
        assert!(d.now.mono.since(began) < ms(30_000), "never removed");
    }
    d.now.mono.since(began)
}

#[test]
fn lasts_the_shorter_the_more_others_suspect_the_same() {
    let took: Vec<Span> = (0..=4).map(removed_after).collect();
    assert!(took[0] > took[1] && took[1] > took[2] && took[2] > took[3], "{took:?}");
    assert!(took[3] >= ms(3_000) && took[3] <= ms(5_000), "three are enough for the least: {took:?}");
}

#[test]
fn is_told_to_the_suspect_and_to_its_other_neighbors() {
    let (mut d, peers) = with_neighbors(3);
    knows_of(&mut d, &peers[0], &[&peers[1]]);
    suspect(&mut d, &peers[0]);
    d.pass_ms(INTERVAL + ROUND);
    let told = |p: &Fake| d.sent_to(&p.id).iter().filter(|m| matches!(m, Message::Suspect(_))).count();
    assert_eq!((told(&peers[1]), told(&peers[2])), (1, 0), "only to its neighbours");
    let flagged = |m: &&Message| matches!(m, Message::Ping(p) if p.suspected == Some(PEERS_SINCE));
    assert!(d.datagrams_to(&peers[0].id).iter().any(flagged), "the suspect does not learn of it");
}

#[test]
fn of_a_peer_that_talks_and_never_answers_comes_after_three_rounds_and_ends_with_an_answer() {
    let (mut d, peers) = with_neighbors(2);
    silence(&mut d, &peers[0]);
    let mut waited = 0;
    while suspected(&d).is_empty() {
        d.pass_ms(50);
        d.say(&peers[0], Topics::default());
        waited += 50;
        assert!(waited < 10_000, "a one-way cut is never noticed");
    }
    assert!(waited > 2 * INTERVAL, "after {waited} ms");
    d.say(&peers[0], Topics::default());
    assert_eq!(recovered(&d), [], "it still does not hear us");
    d.mute.clear();
    d.pass_ms(INTERVAL + ROUND);
    assert_eq!(recovered(&d), [peers[0].id]);
}

#[test]
fn of_one_that_talks_and_never_answers_ends_as_unreachable_and_not_as_dead() {
    let (mut d, peers) = with_neighbors(2);
    silence(&mut d, &peers[0]);
    for _ in 0..600 {
        d.pass_ms(50);
        if left(&d).is_empty() {
            d.say(&peers[0], Topics::default());
        }
    }
    assert_eq!(left(&d), [(peers[0].id, LeaveReason::Link(LinkRefusal::Silent))]);
    assert_eq!((d.counters().deaths, d.counters().unreachable), (0, 1));
}

#[test]
fn that_proves_wrong_when_the_place_is_taken_costs_the_newest_neighbor_its_own() {
    let (mut d, peers) = with_neighbors(10);
    suspect(&mut d, &peers[0]);
    let newcomer = Fake::new(150);
    join(&mut d, &newcomer);
    assert_eq!(d.node.active_view(Overlay::Root).len(), 10);
    d.say(&peers[0], Topics::default());
    let view = d.node.active_view(Overlay::Root);
    assert!(view.contains(&peers[0].id) && view.len() == 10, "{view:?}");
    assert!(matches!(left(&d)[..], [(p, LeaveReason::Replaced)] if p != peers[0].id));
}

#[test]
fn of_a_parent_takes_it_out_of_the_tree_and_still_announces_to_it() {
    let mut d = Driven::on_topic();
    let peers = some(&d, 2, true);
    let author = Fake::new(199);
    for p in &peers {
        d.neighbor(p);
    }
    d.pass_ms(2_000);
    d.bring(&peers[0], &author.batch(1, b"one"));
    d.bring(&peers[1], &author.batch(1, b"one"));
    d.did.clear();
    suspect(&mut d, &peers[0]);
    let to = |d: &Driven, p: &Fake, is: fn(&Message) -> bool| d.sent_to(&p.id).into_iter().filter(|m| is(m)).count();
    assert_eq!(to(&d, &peers[1], |m| matches!(m, Message::Graft(g) if g.eager)), 1, "no other parent");
    assert_eq!(to(&d, &peers[1], |m| matches!(m, Message::Fetch(_))), 1, "what fell between is not asked for");
    d.did.clear();
    d.bring(&peers[1], &author.batch(2, b"two"));
    d.pass_ms(500);
    assert_eq!(to(&d, &peers[0], |m| matches!(m, Message::Gossip(_))), 0);
    assert_eq!(to(&d, &peers[0], |m| matches!(m, Message::IHave(_))), 1);
}
