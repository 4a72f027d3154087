//! Many ids behind few addresses do not take over the views.

mod common;

use common::*;
use tidings_proto::identity::{Addr, NodeId, PeerAddr};
use tidings_proto::io::*;
use tidings_proto::wire::*;

/// An address in the `net`th /24.
fn in_net(net: u16, host: u8) -> Addr {
    let [a, b] = net.to_be_bytes();
    Addr::Socket(([100, a, b, host], 4_000).into())
}

/// A peer whose link comes from an address in the `net`th /24.
fn peer_in(n: u8, net: u16) -> Fake {
    let mut f = Fake::new(n);
    f.addr.addrs = vec![in_net(net, n)];
    f
}

fn link(d: &mut Driven, f: &Fake) {
    let addr = Some(f.addr.addrs[0]);
    d.input(Input::LinkUp { peer: f.id, addr, outbound: false, rtt: None }).unwrap();
}

fn ask(d: &mut Driven, f: &Fake, room: u8) {
    link(d, f);
    let (me, sketch) = (f.addr.clone(), Sketch::default());
    d.say(f, Neighbor { overlay: None, me, urgent: false, room, sketch });
}

fn node() -> Driven {
    let mut d = Driven::new();
    d.command(Command::SetAddrs { addrs: vec![in_net(60_000, 1)] });
    d
}

/// A node with ten neighbours in nets of their own.
fn honest() -> (Driven, Vec<Fake>) {
    let mut d = node();
    let all: Vec<Fake> = (1..11).map(|n| peer_in(n, 100 + u16::from(n))).collect();
    for f in &all {
        ask(&mut d, f, 1);
        d.pass_ms(10);
    }
    assert_eq!(d.node.active_view(Overlay::Root).len(), 10);
    (d, all)
}

fn active(d: &Driven, of: &[Fake]) -> usize {
    d.node.active_view(Overlay::Root).iter().filter(|p| of.iter().any(|f| f.id == **p)).count()
}

/// A shuffle that ends here.
fn teach(d: &mut Driven, from: &Fake, peers: Vec<PeerAddr>) {
    d.say(from, Shuffle { overlay: None, ttl: 1, path: vec![from.id], peers, sketch: Sketch::default() });
}

fn made_up(i: u32, net: u16) -> PeerAddr {
    let id = NodeId(*blake3::hash(&i.to_le_bytes()).as_bytes());
    PeerAddr { id, addrs: vec![in_net(net, i as u8)] }
}

/// A node with two neighbours, who knows of eight more, all in nets of their own.
fn with_two_friends() -> Driven {
    let mut d = node();
    let friends: Vec<Fake> = (1..3).map(|n| peer_in(n, 100 + u16::from(n))).collect();
    for f in &friends {
        ask(&mut d, f, 1);
    }
    teach(&mut d, &friends[0], (0..8).map(|i| made_up(i, 300 + i as u16)).collect());
    d
}

#[test]
fn a_flood_of_requests_from_one_prefix_gets_its_share_of_the_neighbours() {
    let (mut d, _) = honest();
    let attackers: Vec<Fake> = (100..200).map(|n| peer_in(n, 7)).collect();
    for f in &attackers {
        ask(&mut d, f, 255);
        d.pass_ms(600);
    }
    assert!((1..=3).contains(&active(&d, &attackers)), "{}", active(&d, &attackers));
}

#[test]
fn the_same_flood_from_many_prefixes_is_let_in() {
    let (mut d, _) = honest();
    let strangers: Vec<Fake> = (100..200).map(|n| peer_in(n, u16::from(n))).collect();
    for f in &strangers {
        ask(&mut d, f, 255);
        d.pass_ms(600);
    }
    assert!(active(&d, &strangers) >= 5, "{}: only the older half is protected then", active(&d, &strangers));
}

#[test]
fn free_places_are_kept_for_other_prefixes_while_such_are_known() {
    let mut d = with_two_friends();
    let attackers: Vec<Fake> = (100..120).map(|n| peer_in(n, 7)).collect();
    for f in &attackers {
        ask(&mut d, f, 1);
    }
    assert_eq!(active(&d, &attackers), 1, "others could have these places");
}

#[test]
fn a_network_behind_one_prefix_works() {
    let mut d = node();
    let all: Vec<Fake> = (100..120).map(|n| peer_in(n, 7)).collect();
    for f in &all {
        ask(&mut d, f, 1);
    }
    assert_eq!(active(&d, &all), 10);
}

#[test]
fn a_prefix_with_too_many_gives_one_up_for_a_rarer_one() {
    let mut d = node();
    let crowd: Vec<Fake> = (100..110).map(|n| peer_in(n, 7)).collect();
    for f in &crowd {
        ask(&mut d, f, 1);
    }
    let other = peer_in(50, 8);
    teach(&mut d, &crowd[0], vec![other.addr.clone()]);
    d.auto_link = true;
    d.did.clear();
    let asked = |d: &Driven| d.sent_to(&other.id).into_iter().any(|m| matches!(m, Message::Neighbor(_)));
    for _ in 0..200 {
        if asked(&d) {
            break;
        }
        d.pass_ms(100);
    }
    assert!(asked(&d), "the only peer elsewhere is not asked");
    let reply = NeighborReply { overlay: None, accept: true, others: Vec::new(), sketch: Sketch::default(), me: None };
    d.say(&other, reply);
    assert_eq!((active(&d, &[other]), active(&d, &crowd)), (1, 9));
    let let_go = crowd.iter().filter(|f| d.sent_to(&f.id).iter().any(|m| matches!(m, Message::Disconnect(_)))).count();
    assert_eq!(let_go, 1);
}

/// On how many of forty nodes with a free place, which know some hundred prefixes, somebody from `net` gets it by asking.
fn let_in_from(net: u16) -> usize {
    let let_in = |seed| {
        let mut d = Driven::seeded(seed);
        d.command(Command::SetAddrs { addrs: vec![in_net(60_000, 1)] });
        let all: Vec<Fake> = (1..10).map(|n| peer_in(n, 100 + u16::from(n))).collect();
        for f in &all {
            ask(&mut d, f, 1);
        }
        for at in 0..12 {
            teach(&mut d, &all[0], (0..8).map(|i| made_up(at * 8 + i, 300 + (at * 8 + i) as u16)).collect());
            d.pass_ms(1_000);
        }
        let pushy = peer_in(201, net);
        for _ in 0..5 {
            ask(&mut d, &pushy, 1);
            d.pass_ms(1_000);
        }
        active(&d, &[pushy])
    };
    (0..40).map(let_in).sum()
}

#[test]
fn who_asks_everywhere_is_let_in_by_few() {
    let n = let_in_from(7);
    assert!((1..=16).contains(&n), "{n} of 40");
}

#[test]
fn once_half_of_a_view_are_guests_a_guest_displaces_none_that_was_chosen() {
    let mut d = node();
    let guests: Vec<Fake> = (1..6).map(|n| peer_in(n, 100 + u16::from(n))).collect();
    for f in &guests {
        ask(&mut d, f, 1);
        d.pass_ms(10);
    }
    let chosen: Vec<Fake> = (11..16).map(|n| peer_in(n, 100 + u16::from(n))).collect();
    teach(&mut d, &guests[0], chosen.iter().map(|f| f.addr.clone()).collect());
    d.auto_link = true;
    for _ in 0..100 {
        d.pass_ms(100);
        for f in &chosen {
            let asked = d.sent_to(&f.id).iter().any(|m| matches!(m, Message::Neighbor(_)));
            if asked && active(&d, std::slice::from_ref(f)) == 0 {
                let (others, sketch) = (Vec::new(), Sketch::default());
                d.say(f, NeighborReply { overlay: None, accept: true, others, sketch, me: None });
            }
        }
    }
    assert_eq!((active(&d, &guests), active(&d, &chosen)), (5, 5));
    d.auto_link = false;
    for f in (100..160).map(|n| peer_in(n, u16::from(n))) {
        ask(&mut d, &f, 255);
        d.pass_ms(600);
    }
    assert_eq!(active(&d, &chosen), 5);
}

#[test]
fn three_of_the_own_network_come_before_others() {
    let mut d = with_two_friends();
    let near: Vec<Fake> = (100..106).map(|n| peer_in(n, 60_000)).collect();
    for f in &near {
        ask(&mut d, f, 1);
    }
    assert_eq!(active(&d, &near), 3);
}

#[test]
fn who_asks_on_its_own_network_is_let_in_by_all() {
    assert_eq!(let_in_from(60_000), 40);
}

#[test]
fn a_local_address_behind_a_link_from_elsewhere_gains_nothing() {
    let (mut d, _) = honest();
    let attackers: Vec<Fake> = (100..160).map(Fake::new).collect();
    for f in &attackers {
        let up = Input::LinkUp { peer: f.id, addr: Some(in_net(7, 1)), outbound: false, rtt: None };
        d.input(up).unwrap();
        let (me, sketch) = (f.addr.clone(), Sketch::default());
        d.say(f, Neighbor { overlay: None, me, urgent: true, room: 255, sketch });
        d.pass_ms(600);
    }
    assert!(active(&d, &attackers) <= 3, "{}", active(&d, &attackers));
}

#[test]
fn a_flood_of_shuffles_is_limited_and_leaves_the_spares_of_others() {
    let (mut d, friends) = honest();
    teach(&mut d, &friends[1], (0..16).map(|i| made_up(i, 300 + i as u16)).collect());
    teach(&mut d, &friends[2], (16..32).map(|i| made_up(i, 300 + i as u16)).collect());
    for round in 0..200 {
        let lies = (0..16).map(|i| made_up(1_000 + round * 16 + i, 7)).collect();
        teach(&mut d, &friends[0], lies);
    }
    assert!(d.counters().shuffles_limited >= 150, "{:?}", d.counters().shuffles_limited);
    let spares = d.node.passive_view(Overlay::Root);
    assert!((0..32).all(|i| spares.contains(&made_up(i, 0).id)));
}

#[test]
fn an_answer_brings_no_more_than_the_shuffle_gave_and_comes_its_way() {
    let (mut d, _) = honest();
    let answer = |peers| ShuffleReply { overlay: None, path: vec![], peers, sketch: Sketch::default() };
    d.did.clear();
    let (to, given) = loop {
        d.pass_ms(100);
        let sent = d.did.iter().find_map(|x| match x {
            Did::Sent { to, message: Message::Shuffle(m), .. } => Some((*to, m.peers.len())),
            _ => None,
        });
        if let Some(sent) = sent {
            break sent;
        }
    };
    let through = (1..11).map(Fake::new).find(|f| f.id == to).unwrap();
    let other = (1..11).map(Fake::new).find(|f| f.id != to).unwrap();
    let lies: Vec<PeerAddr> = (0..16).map(|i| made_up(i, 300 + i as u16)).collect();
    d.say(&other, answer(lies.clone()));
    assert_eq!(d.counters().frames_unexpected, 1, "another neighbour answers");
    d.say(&through, answer(lies));
    let taken = (0..16).filter(|i| d.node.passive_view(Overlay::Root).contains(&made_up(*i, 0).id)).count();
    assert!(given < 16);
    assert_eq!(taken, given);
}

#[test]
fn joins_of_one_prefix_leave_room_for_others() {
    let (mut d, _) = honest();
    let join = |d: &mut Driven, f: &Fake| {
        link(d, f);
        d.say(f, Join { overlay: None, me: f.addr.clone(), sketch: Sketch::default() });
    };
    for n in 100..200 {
        join(&mut d, &peer_in(n, 7));
    }
    let before = d.counters().joins_limited;
    assert_eq!(before, 75);
    join(&mut d, &peer_in(201, 8));
    assert_eq!(d.counters().joins_limited, before);
}
