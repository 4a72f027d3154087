//! Who holds what.

use super::*;

/// Peer `n` at an address of the public network.
fn public(d: &mut Driven, n: u8, addr: &str) {
    learn(d, &friend(), &Draft::new(port(n), at_addr(addr)).record());
}

fn node() -> Driven {
    let mut d = Driven::new();
    d.link(&friend());
    d.befriend(&friend(), Overlay::Root);
    d
}

fn score(shard: u16, place: &[u8]) -> blake3::Hash {
    blake3::hash(&[&shard.to_le_bytes(), place].concat())
}

#[test]
fn the_holders_are_those_of_the_places_with_the_highest_hashes() {
    let mut d = node();
    for n in 0..40 {
        public(&mut d, 10 + n, &format!("192.0.{n}.1:1"));
    }
    for shard in [0, 1, 61_660, u16::MAX] {
        let mut expected: Vec<u8> = (0..40).collect();
        expected.sort_by_key(|n| std::cmp::Reverse(*score(shard, &[4, 192, 0, *n, 0, 0, 0]).as_bytes()));
        let expected: Vec<NodeId> = expected.iter().take(8).map(|n| Fake::new(10 + n).id).collect();
        let got: Vec<NodeId> = d.node.index().nodes(shard, 8).into_iter().map(|n| n.id).collect();
        assert_eq!(got, expected, "shard {shard}");
    }
}

#[test]
fn they_are_the_same_in_whatever_order_one_hears_of_them() {
    let (mut a, mut b) = (node(), node());
    for n in 0..30 {
        public(&mut a, 10 + n, &format!("192.0.{}.{n}:1", n % 12));
        public(&mut b, 39 - n, &format!("192.0.{}.{}:1", (29 - n) % 12, 29 - n));
    }
    for shard in 0..200 {
        assert_eq!(a.node.index().nodes(shard, 16), b.node.index().nodes(shard, 16));
    }
}

#[test]
fn a_prefix_has_one_place_among_them() {
    let mut d = node();
    for n in 0..12 {
        public(&mut d, 10 + n, &format!("192.0.{n}.1:1"));
        public(&mut d, 30 + n, &format!("198.51.100.{n}:1"));
    }
    let crowd: Vec<NodeId> = (0..12).map(|n| Fake::new(30 + n).id).collect();
    for shard in 0..500 {
        let holders = d.node.index().nodes(shard, 8);
        assert!(holders.iter().filter(|h| crowd.contains(&h.id)).count() <= 1, "shard {shard}");
    }
}

#[test]
fn ids_drawn_to_capture_a_shard_gain_nothing() {
    // The attacker has three prefixes, knows the shard it wants, and draws ids until they suit it; then it does not draw.
    let shard = 4_711u16;
    let shares: Vec<Vec<[u8; 4]>> = [false, true]
        .map(|drawn| {
            let mut d = node();
            for n in 0..20 {
                public(&mut d, 10 + n, &format!("192.0.{n}.1:1"));
            }
            for prefix in 0..3u8 {
                let ids = (0..if drawn { 2_000u32 } else { 1 }).map(|i| {
                    let mut secret = [0x66; 32];
                    secret[0] = prefix;
                    secret[1..5].copy_from_slice(&i.to_le_bytes());
                    SecretKey::from_bytes(secret)
                });
                let best = ids.max_by_key(|s| {
                    let id = SimCrypto::new(s).node_id();
                    *blake3::hash(&[&shard.to_le_bytes()[..], id.as_bytes()].concat()).as_bytes()
                });
                let addr = at_addr(&format!("203.0.{prefix}.9:1"));
                learn(&mut d, &friend(), &Draft::new(SimCrypto::new(&best.unwrap()), addr).record());
            }
            let octets = |a: &Addr| match a {
                Addr::Socket(SocketAddr::V4(a)) => a.ip().octets(),
                other => panic!("{other:?}"),
            };
            d.node.index().nodes(shard, 8).iter().map(|n| octets(&n.addrs[0])).collect()
        })
        .to_vec();
    assert_eq!(shares[0], shares[1], "who holds depends on the ids");
    assert!(shares[0].iter().filter(|a| a[0] == 203).count() <= 3);
}

#[test]
fn a_node_is_where_it_was_reached_and_nowhere_else() {
    let mut d = node();
    let mut draft = Draft::new(port(50), at_addr("192.0.2.1:1"));
    draft.node.addrs.push(at_addr("198.51.100.1:1"));
    learn(&mut d, &friend(), &draft.record());
    assert_eq!(d.node.index().nodes(7, 1)[0].addrs, [at_addr("192.0.2.1:1")]);
}

#[test]
fn relays_are_drawn_by_place_alike_for_all_and_others_each_day() {
    let (mut a, mut b) = (node(), node());
    for n in 0..30 {
        public(&mut a, 10 + n, &format!("192.0.{n}.1:1"));
        public(&mut a, 60 + n, &format!("198.51.100.{n}:1"));
        public(&mut b, 89 - n, &format!("198.51.100.{}:1", 29 - n));
        public(&mut b, 39 - n, &format!("192.0.{}.1:1", 29 - n));
    }
    let day = |d: u64| UnixMillis(WALL + d * 86_400_000);
    let crowd: Vec<NodeId> = (0..30).map(|n| Fake::new(60 + n).id).collect();
    let mut before = Vec::new();
    for d in 0..50 {
        let drawn = a.node.index().drawn(day(d), 8);
        assert_eq!(drawn, b.node.index().drawn(day(d), 8));
        assert!(drawn.len() == 8 && drawn.iter().filter(|p| crowd.contains(&p.id)).count() <= 1);
        assert_ne!(drawn, before);
        before = drawn;
    }
}

#[test]
fn with_few_places_their_other_nodes_hold_too() {
    let mut d = node();
    for n in 0..12 {
        public(&mut d, 10 + n, &format!("192.0.2.{n}:1"));
    }
    public(&mut d, 30, "198.51.100.1:1");
    let holders: Vec<NodeId> = d.node.index().nodes(7, 8).into_iter().map(|n| n.id).collect();
    assert_eq!(holders.len(), 8);
    assert!(holders[..2].contains(&Fake::new(30).id), "each place comes before any comes twice");
}

#[test]
fn nodes_on_one_machine_are_places_of_their_own() {
    let d = indexed(12);
    assert_eq!(d.node.index().nodes(7, 8).len(), 8);
}

#[test]
fn and_do_not_count_where_there_are_others() {
    let mut d = indexed(12);
    public(&mut d, 40, "192.0.2.1:1");
    assert_eq!(d.node.index().nodes(7, 8).iter().map(|n| n.id).collect::<Vec<_>>(), [Fake::new(40).id]);
}

#[test]
fn nobody_takes_an_advert_out_by_a_higher_version() {
    let mut d = node();
    public(&mut d, 10, "192.0.2.1:1");
    for n in 11..30 {
        let mut draft = Draft::new(port(n), at_addr("192.0.2.2:1"));
        draft.said.version = u64::MAX - 1;
        learn(&mut d, &friend(), &draft.record());
    }
    assert!(d.node.index().contains(&Fake::new(10).id));
}

/// A link to peer `n` shows it at an address.
fn seen(d: &mut Driven, n: u8, addr: &str) {
    let (peer, addr) = (Fake::new(n).id, Some(at_addr(addr)));
    d.input(Input::LinkUp { peer, addr, outbound: true, rtt: None }).unwrap();
}

#[test]
fn in_its_place_who_was_reached_comes_before_who_was_not() {
    let mut d = node();
    public(&mut d, 10, "192.0.2.1:1");
    seen(&mut d, 10, "192.0.2.1:1");
    for n in 11..60 {
        public(&mut d, n, &format!("192.0.2.{n}:1"));
    }
    for shard in 0..100 {
        assert_eq!(d.node.index().nodes(shard, 1)[0].id, Fake::new(10).id, "shard {shard}");
    }
}

#[test]
fn who_is_seen_elsewhere_than_it_advertises_counts_for_nothing() {
    let mut d = node();
    for n in 10..14 {
        public(&mut d, n, &format!("192.0.{n}.1:1"));
    }
    seen(&mut d, 10, "198.51.100.1:1");
    let all: Vec<NodeId> = d.node.index().nodes(7, 8).into_iter().map(|n| n.id).collect();
    assert!(all.len() == 3 && !all.contains(&Fake::new(10).id));
    assert_eq!(d.node.counters().adverts_elsewhere, 1);
}

#[test]
fn adverts_of_nobody_push_nobody_out() {
    let mut d = node();
    // Before whom in the order of shard 7 there are twenty of nobody.
    let mut places: Vec<u8> = (0..=254).collect();
    places.sort_by_key(|n| std::cmp::Reverse(*score(7, &[4, 192, 0, *n, 0, 0, 0]).as_bytes()));
    let honest: Vec<NodeId> = (0..8).map(|n| Fake::new(10 + n).id).collect();
    for (i, place) in places.iter().take(28).enumerate() {
        let n = if i < 20 { 40 + i as u8 } else { 10 + (i - 20) as u8 };
        public(&mut d, n, &format!("192.0.{place}.1:1"));
    }
    for _ in 0..60 {
        d.pass_ms(1_000);
        for id in dialed(&d) {
            match honest.contains(&id) {
                true => answer_dial(&mut d, id),
                false => fail_dial(&mut d, id),
            }
        }
        d.did.clear();
    }
    let holders: Vec<NodeId> = d.node.index().nodes(7, 8).into_iter().map(|n| n.id).collect();
    assert_eq!(holders, honest);
}

#[test]
fn what_half_of_the_neighbours_have_reached_counts_when_strangers_do_not() {
    let mut d = node();
    for n in 0..6 {
        public(&mut d, 10 + n, &format!("192.0.{n}.1:1"));
    }
    let head = |n: u8| u64::from_be_bytes(*Fake::new(n).id.0.first_chunk().unwrap());
    let vouch = |reached: Vec<u64>| {
        Message::from(VouchReached { anew: true, reached: VouchReached::pack(reached.into_iter()), lost: vec![] })
    };
    d.frame(&friend(), Lane::Control, vouch(vec![head(10), head(11)]).frame().to_bytes()).unwrap();
    d.pass_ms(1_000);
    let standing = |d: &Driven, n: u8| d.node.index().standing(&Fake::new(n).id).unwrap();
    assert!(standing(&d, 10).is_trusted() && !standing(&d, 12).is_trusted());
    // Not by who is no neighbour.
    let other = Fake::new(2);
    d.link(&other);
    d.frame(&other, Lane::Control, vouch(vec![head(12)]).frame().to_bytes()).unwrap();
    d.pass_ms(1_000);
    assert!(!standing(&d, 12).is_trusted());
}

#[test]
fn an_advert_that_is_over_is_in_it_no_longer() {
    let mut d = indexed(3);
    d.pass(ADVERT_LIFE + Span::from_secs(2));
    assert!(d.node.index().is_empty());
}
