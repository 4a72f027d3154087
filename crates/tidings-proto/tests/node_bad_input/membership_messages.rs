//! Messages of the overlay that nobody asked for, or that ask for too much.

use super::*;

fn shuffle(path: Vec<NodeId>, ttl: u8) -> Shuffle {
    Shuffle { overlay: None, ttl, path, peers: vec![Fake::new(50).addr], sketch: sketch() }
}

#[test]
fn a_shuffle_whose_path_does_not_end_at_its_sender_is_counted() {
    let mut s = Scene::new();
    for path in [vec![], vec![s.friend.id], vec![s.rogue.id, s.friend.id]] {
        s.says_in_vain("frames_unexpected", shuffle(path, 1));
    }
    assert!(!s.d.node.passive_view(Overlay::Root).contains(&Fake::new(50).id));
}

#[test]
fn a_shuffle_that_passed_here_before_is_counted() {
    let mut s = Scene::new();
    let path = vec![s.d.id(), s.rogue.id];
    s.says_in_vain("frames_unexpected", shuffle(path, 1));
}

#[test]
fn a_shuffle_with_hops_without_end_is_cut_to_the_usual() {
    let mut s = Scene::new();
    let path = vec![s.rogue.id];
    // Whom it names is known: a node that knows too few keeps what would be news.
    let m = Shuffle { peers: vec![s.friend.addr.clone()], ..shuffle(path, 255) };
    s.d.say(&s.rogue, m);
    let on: Vec<u8> =
        s.d.sent_to(&s.friend.id)
            .iter()
            .filter_map(|m| match m {
                Message::Shuffle(m) => Some(m.ttl),
                _ => None,
            })
            .collect();
    assert_eq!(on, [3]);
}

#[test]
fn a_shuffle_of_a_peer_that_is_no_neighbour_is_counted() {
    let mut s = Scene::new();
    let stranger = s.stranger();
    let m = shuffle(vec![stranger.id], 1);
    s.counts("frames_unexpected", |s| s.d.say(&stranger, m));
}

#[test]
fn an_answer_to_no_shuffle_is_counted() {
    let mut s = Scene::new();
    let peers = vec![Fake::new(50).addr];
    s.says_in_vain("frames_unexpected", ShuffleReply { overlay: None, path: vec![], peers, sketch: sketch() });
    assert!(!s.d.node.passive_view(Overlay::Root).contains(&Fake::new(50).id));
}

#[test]
fn a_walk_of_a_peer_that_is_no_neighbour_is_counted() {
    let mut s = Scene::new();
    let stranger = s.stranger();
    let m = ForwardJoin { overlay: None, newcomer: Fake::new(50).addr, ttl: 0 };
    s.counts("frames_unexpected", |s| s.d.say(&stranger, m));
    assert!(!s.d.did.iter().any(|x| matches!(x, Did::Dialed(p) if *p == Fake::new(50).id)));
}

#[test]
fn a_walk_in_an_overlay_we_are_not_in_is_counted() {
    let overlay = Some(other_topic());
    Scene::new().says_in_vain("frames_unexpected", ForwardJoin { overlay, newcomer: Fake::new(50).addr, ttl: 0 });
}

#[test]
fn a_walk_for_ourselves_goes_nowhere() {
    let mut s = Scene::new();
    let me = PeerAddr { id: s.d.id(), addrs: vec![addr(99)] };
    for ttl in [0, 3, 255] {
        s.d.say(&s.rogue, ForwardJoin { overlay: None, newcomer: me.clone(), ttl });
    }
    s.d.pass_ms(5_000);
    assert!(!s.d.did.iter().any(|x| matches!(x, Did::Dialed(p) if *p == me.id)));
    s.works();
}

#[test]
fn a_yes_that_nobody_asked_for_makes_no_neighbour() {
    let mut s = Scene::new();
    let stranger = s.stranger();
    let yes =
        NeighborReply { overlay: None, accept: true, others: vec![Fake::new(50).addr], sketch: sketch(), me: None };
    s.counts("frames_unexpected", |s| s.d.say(&stranger, yes));
    assert!(!s.d.node.active_view(Overlay::Root).contains(&stranger.id));
    assert!(matches!(s.d.sent_to(&stranger.id)[..], [Message::Disconnect(_)]), "the other end must know");
    assert!(!s.d.node.passive_view(Overlay::Root).contains(&Fake::new(50).id));
    s.works();
}

#[test]
fn members_that_nobody_asked_for_are_counted() {
    let m = TopicPeers { topic: news(), peers: vec![Fake::new(50).addr] };
    Scene::new().says_in_vain("frames_unexpected", m);
}

#[test]
fn answers_and_farewells_in_an_overlay_we_are_not_in_are_counted() {
    let mut s = Scene::new();
    let overlay = Some(other_topic());
    let others = vec![Fake::new(50).addr];
    let no = NeighborReply { overlay, accept: false, others: others.clone(), sketch: sketch(), me: None };
    s.says_in_vain("frames_unexpected", no);
    s.says_in_vain("frames_unexpected", TopicPeers { topic: other_topic(), peers: others });
    s.says_in_vain("frames_unexpected", Disconnect { overlay, reason: 0, instead: None });
}

#[test]
fn an_answer_whose_way_back_is_gone_is_counted() {
    let m = ShuffleReply { overlay: None, path: vec![Fake::new(60).id], peers: vec![], sketch: sketch() };
    Scene::new().says_in_vain("walks_lost", m);
}

#[test]
fn a_farewell_of_a_peer_that_is_no_neighbour_changes_nothing() {
    let mut s = Scene::new();
    let stranger = s.stranger();
    let before = s.d.node.active_view(Overlay::Root);
    let instead = Some(Fake::new(50).addr);
    let bye = Disconnect { overlay: None, reason: 255, instead };
    s.counts("frames_unexpected", |s| s.d.say(&stranger, bye));
    assert_eq!(s.d.node.active_view(Overlay::Root), before);
    assert!(!s.d.did.iter().any(|x| matches!(x, Did::Dialed(_))));
    s.works();
}

#[test]
fn topics_of_a_peer_that_is_no_neighbour_are_counted() {
    let mut s = Scene::new();
    let stranger = s.stranger();
    let m = Topics { fresh: true, add: vec![other_topic()], remove: vec![] };
    s.counts("frames_unexpected", |s| s.d.say(&stranger, m));
}

#[test]
fn a_flood_of_topics_is_kept_up_to_a_bound() {
    let mut s = Scene::new();
    let name = |n: usize| TopicId::from_name(&format!("flood {n}")).unwrap();
    for part in 0..20 {
        let add = (part * 128..(part + 1) * 128).map(name).collect();
        s.d.say(&s.rogue, Topics { fresh: false, add, remove: vec![] });
    }
    assert_eq!(s.d.counters().topics_ignored, 20 * 128 - 1024);
    let asked = |s: &mut Scene, topic| {
        s.d.command(Command::Subscribe { topic });
        s.d.pass_ms(1_000);
        let to = s.d.sent_to(&s.rogue.id);
        to.iter().any(|m| matches!(m, Message::Neighbor(n) if n.overlay == Some(topic)))
    };
    assert!(asked(&mut s, name(0)), "one within the bound is remembered");
    assert!(!asked(&mut s, name(20 * 128 - 1)), "one past it is not");
    s.works();
}

#[test]
fn a_sketch_of_a_period_at_the_end_changes_nothing() {
    let mut s = Scene::new();
    let members = |s: &Scene| s.d.node.view(Overlay::Root).unwrap().members;
    let before = members(&s);
    let absurd = Sketch { period: u64::MAX, hashes: (0..16).collect() };
    let (me, overlay) = (s.rogue.addr.clone(), None);
    s.d.say(&s.rogue, Neighbor { overlay, me: me.clone(), urgent: false, room: 255, sketch: absurd.clone() });
    s.d.say(&s.rogue, Join { overlay, me, sketch: absurd.clone() });
    let path = vec![s.rogue.id];
    s.d.say(&s.rogue, Shuffle { overlay, ttl: 0, path, peers: vec![], sketch: absurd });
    assert_eq!(members(&s), before);
    s.works();
}

#[test]
fn a_sketch_of_absurdly_small_hashes_does_not_grow_a_view() {
    let mut s = Scene::new();
    let sketch = Sketch { period: WALL / 600_000, hashes: vec![0; 16] };
    let overlay = Some(news());
    s.d.say(&s.rogue, Neighbor { overlay, me: s.rogue.addr.clone(), urgent: false, room: 1, sketch });
    let sketch = Sketch { period: WALL / 600_000, hashes: (0..16).collect() };
    s.d.say(&s.rogue, Neighbor { overlay, me: s.rogue.addr.clone(), urgent: false, room: 1, sketch });
    let view = s.d.node.view(Overlay::Topic(news())).unwrap();
    assert!(view.members.is_finite() && view.target <= 10, "{view:?}");
    s.works();
}

#[test]
fn a_flood_of_joins_is_limited() {
    let mut s = Scene::new();
    let stranger = s.stranger();
    for _ in 0..200 {
        s.d.say(&stranger, Join { overlay: None, me: stranger.addr.clone(), sketch: sketch() });
    }
    assert!(s.d.counters().joins_limited >= 100);
    s.works();
}

#[test]
fn a_flood_of_newcomers_does_not_take_a_view_over() {
    let mut s = Scene::new();
    let old: Vec<Fake> = (60..68).map(Fake::new).collect();
    for p in &old {
        s.d.link(p);
        s.d.befriend(p, Overlay::Root);
        s.d.pass_ms(10);
    }
    let before = s.d.node.active_view(Overlay::Root);
    for n in 100..180 {
        let newcomer = Fake::new(n);
        s.d.link(&newcomer);
        let m = Neighbor { overlay: None, me: newcomer.addr.clone(), urgent: true, room: 10, sketch: sketch() };
        s.d.say(&newcomer, m);
    }
    let after = s.d.node.active_view(Overlay::Root);
    assert!(after.len() <= 10);
    assert!(before[..5].iter().all(|p| after.contains(p)), "the older half must stay");
}

#[test]
fn a_walk_without_address_or_for_ourselves_goes_nowhere() {
    let mut s = Scene::new();
    let mut say = |seeker| s.d.say(&s.rogue, TopicWalk { topic: news(), seeker, ttl: 255 });
    say(PeerAddr { id: Fake::new(50).id, addrs: vec![] });
    say(PeerAddr { id: Driven::new().id(), addrs: vec![addr(1)] });
    assert!(!s.d.did.iter().any(|x| matches!(x, Did::Dialed(_))));
    s.works();
}
