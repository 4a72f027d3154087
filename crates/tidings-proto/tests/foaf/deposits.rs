//! Saying where this node is, and keeping what others say.

use super::*;

fn deposits(d: &Driven) -> Vec<(NodeId, Deposit, usize)> {
    let sent = |x: &Did| match x {
        Did::Sent { to, message: Message::Deposit(m), payload, .. } => Some((*to, m.clone(), payload.len())),
        _ => None,
    };
    d.did.iter().filter_map(sent).collect()
}

fn advertising(neighbors: u8) -> Driven {
    let mut d = with_neighbors(Driven::agent(&secret(44)), neighbors);
    let ticket = d.command(Command::AdvertiseSelf { on: true });
    assert_eq!(d.reply(ticket), Some(&Reply::Done));
    d.pass_ms(5_000);
    d
}

mod of_this_node {
    use super::*;

    #[test]
    fn go_to_all_neighbours_and_walk_on_from_five() {
        let d = advertising(8);
        let sent = deposits(&d);
        let mut to: Vec<NodeId> = sent.iter().map(|(to, ..)| *to).collect();
        to.sort_unstable();
        to.dedup();
        assert_eq!((sent.len(), to.len()), (8, 8));
        assert_eq!(sent.iter().filter(|(_, m, _)| m.ttl == 23).count(), 5);
        assert_eq!(sent.iter().filter(|(_, m, _)| m.ttl == 0).count(), 3);
    }

    #[test]
    fn walk_all_five_ways_from_an_only_neighbour() {
        let d = advertising(1);
        let walks: Vec<u8> = deposits(&d).iter().map(|(_, m, _)| m.walk).collect();
        assert_eq!(walks, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn are_signed_by_the_node_and_name_its_certificate() {
        let d = advertising(2);
        let (_, m, payload) = deposits(&d).remove(0);
        let w = Whereabouts::parse(m.whereabouts.into()).unwrap();
        let verifier = SimCrypto::new(&SecretKey::from_bytes([0; 32]));
        assert_eq!(w.check(d.now.wall, &WhereaboutsKey::new(&network()), &verifier), Ok(()));
        assert_eq!((w.node(), w.agent()), (d.id(), Some(Somebody::with(200, 44, |_| {}).agent)));
        assert_eq!(payload, 0, "the certificate goes to who lacks it");
    }

    #[test]
    fn come_with_the_certificate_to_who_lacks_it() {
        let mut d = advertising(2);
        let (to, m, _) = deposits(&d).remove(0);
        let w = Whereabouts::parse(m.whereabouts.clone().into()).unwrap();
        d.did.clear();
        d.say(&peer(to), LackProof { certificate: w.certificate().unwrap(), walk: m.walk, ttl: m.ttl, known: 0 });
        let again = deposits(&d);
        assert_eq!((again[0].0, &again[0].1), (to, &m));
        assert!(again[0].2 > 5_000);
    }

    #[test]
    fn are_repeated_within_half_their_life() {
        let mut d = advertising(2);
        d.did.clear();
        d.pass(Span(LIFE.0 / 2 + LIFE.0 / 8));
        assert!(!deposits(&d).is_empty());
    }

    #[test]
    fn take_the_same_way_again() {
        let mut d = advertising(8);
        let before: Vec<_> = deposits(&d).into_iter().map(|(to, m, _)| (to, m.walk, m.ttl)).collect();
        d.did.clear();
        d.pass(Span(LIFE.0 / 2 + LIFE.0 / 8));
        let after: Vec<_> = deposits(&d).into_iter().map(|(to, m, _)| (to, m.walk, m.ttl)).collect();
        assert_eq!(after[..8], before[..]);
    }

    #[test]
    fn are_given_to_a_new_neighbour_at_once() {
        let mut d = advertising(1);
        d.did.clear();
        let new = Fake::new(7);
        d.link(&new);
        d.befriend(&new, Overlay::Root);
        assert_eq!(deposits(&d).iter().map(|(to, ..)| *to).collect::<Vec<_>>(), [new.id]);
    }

    #[test]
    fn say_so_when_the_addresses_change() {
        let mut d = advertising(2);
        d.did.clear();
        d.command(Command::SetAddrs { addrs: vec![addr(123)] });
        d.pass_ms(5_000);
        let w = Whereabouts::parse(deposits(&d).remove(0).1.whereabouts.into()).unwrap();
        assert_eq!(w.peer_addr().addrs, [addr(123)]);
    }

    #[test]
    fn are_taken_back() {
        let mut d = advertising(2);
        d.did.clear();
        d.command(Command::AdvertiseSelf { on: false });
        d.pass_ms(100);
        let w = Whereabouts::parse(deposits(&d).remove(0).1.whereabouts.into()).unwrap();
        assert!(w.is_withdrawn());
        d.did.clear();
        d.pass(LIFE);
        assert_eq!(deposits(&d), []);
    }

    #[test]
    fn need_an_agent() {
        let mut d = among(2);
        let ticket = d.command(Command::AdvertiseSelf { on: true });
        assert_eq!(d.reply(ticket), Some(&Reply::Refused(CommandError::NoAgent)));
    }
}

mod of_others {
    use super::*;

    /// Leaves a statement, and says whether the node can answer with it.
    fn taken(d: &mut Driven, w: &Whereabouts, certificate: &AgentCertificate) -> bool {
        let before = d.node.agents_known();
        deposit(d, &Fake::new(1), w, certificate, 5);
        d.node.agents_known() > before
    }

    #[test]
    fn are_kept_and_walk_on_without_their_certificate() {
        let (mut d, s) = (among(6), Somebody::new(90));
        assert!(taken(&mut d, &s.says(), &s.certificate));
        let on = deposits(&d);
        assert_eq!(on.len(), 1);
        assert_eq!((on[0].1.ttl, on[0].2), (4, 0));
        assert_ne!(on[0].0, Fake::new(1).id);
    }

    #[test]
    fn wait_for_their_certificate() {
        let (mut d, s) = (among(6), Somebody::new(90));
        let m = Deposit { whereabouts: s.says().bytes().to_vec(), walk: 2, ttl: 5, known: 0 };
        d.say(&Fake::new(1), m);
        assert_eq!((d.node.agents_known(), deposits(&d).len()), (0, 0));
        let lack = LackProof { certificate: s.certificate.id(), walk: 2, ttl: 5, known: 0 };
        assert_eq!(d.sent_to(&Fake::new(1).id), [&Message::from(lack)]);
    }

    #[test]
    fn need_their_certificate_once() {
        let (mut d, s) = (among(6), Somebody::new(90));
        taken(&mut d, &s.says(), &s.certificate);
        d.did.clear();
        let newer = s.says_at(WALL + 1_000, LIFE, false);
        d.say(&Fake::new(1), Deposit { whereabouts: newer.bytes().to_vec(), walk: 2, ttl: 5, known: 0 });
        assert_eq!(d.sent_to(&Fake::new(1).id), Vec::<&Message>::new());
        assert_eq!(deposits(&d).len(), 1);
    }

    #[test]
    fn end_their_walk_where_many_in_a_row_knew() {
        let (mut d, s) = (among(6), Somebody::new(90));
        taken(&mut d, &s.says(), &s.certificate);
        d.did.clear();
        let m = |known| Deposit { whereabouts: s.says().bytes().to_vec(), walk: 2, ttl: 5, known };
        d.say(&Fake::new(1), m(0));
        assert_eq!(deposits(&d)[0].1.known, 1);
        d.did.clear();
        d.say(&Fake::new(1), m(3));
        assert_eq!(deposits(&d), []);
    }

    #[test]
    fn never_walk_further_than_walks_do() {
        let (mut d, s) = (among(6), Somebody::new(90));
        deposit(&mut d, &Fake::new(1), &s.says(), &s.certificate, 255);
        assert_eq!(deposits(&d)[0].1.ttl, 23);
    }

    #[test]
    fn of_an_older_time_replace_nothing() {
        let (mut d, s) = (among(6), Somebody::new(90));
        taken(&mut d, &s.says(), &s.certificate);
        d.did.clear();
        deposit(&mut d, &Fake::new(1), &s.says_at(WALL - 1, LIFE, false), &s.certificate, 5);
        assert_eq!(d.counters().deposits_stale, 1);
        assert_eq!(deposits(&d), []);
    }

    #[test]
    fn that_are_withdrawn_are_answered_with_no_longer() {
        let (mut d, s) = (among(6), Somebody::new(90));
        taken(&mut d, &s.says(), &s.certificate);
        taken(&mut d, &s.says_at(WALL + 1, LIFE, true), &s.certificate);
        let (m, _) = seek(&s.agent, 5);
        d.say(&Fake::new(1), Seek { ttl: 1, ..m });
        assert_eq!(answers(&d), [(Fake::new(1).id, 1_000, None)]);
    }

    #[test]
    fn are_forgotten_when_they_expire() {
        let (mut d, s) = (among(6), Somebody::new(90));
        taken(&mut d, &s.says(), &s.certificate);
        d.pass(LIFE + Span::from_secs(16 * 60));
        assert_eq!(d.node.agents_known(), 0);
    }

    #[test]
    fn from_clocks_ten_minutes_apart_are_kept() {
        for at in [WALL - 600_000, WALL + 600_000] {
            let (mut d, s) = (among(6), Somebody::new(90));
            assert!(taken(&mut d, &s.says_at(at, LIFE, false), &s.certificate));
        }
    }

    #[test]
    fn that_cannot_hold_are_refused() {
        let (s, liar) = (Somebody::new(90), Somebody::new(66));
        let key = WhereaboutsKey::new(&network());
        let other_network = WhereaboutsKey::new(&Network::from_name("another").unwrap());
        let made = |agent, node: &Fake, id, key: &WhereaboutsKey, crypto: &SimCrypto| {
            Whereabouts::issue(About::Agent(agent, id), node.addr.clone(), (UnixMillis(WALL), LIFE), false, key, crypto)
        };
        let id = s.certificate.id();
        let mut flipped = s.says().bytes().to_vec();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        let cases: Vec<(&str, Whereabouts, &AgentCertificate)> = vec![
            ("expired", s.says_at(WALL - 5_400_000, LIFE, false), &s.certificate),
            ("from the future", s.says_at(WALL + 1_000_000, LIFE, false), &s.certificate),
            ("of too long a life", s.says_at(WALL, Span::from_secs(5 * 3_600), false), &s.certificate),
            ("of no life", s.says_at(WALL, Span::ZERO, false), &s.certificate),
            ("forged", Whereabouts::parse(flipped.into()).unwrap(), &s.certificate),
            ("signed by another", made(s.agent, &s.node, id, &key, &liar.crypto), &s.certificate),
            ("of another network", made(s.agent, &s.node, id, &other_network, &s.crypto), &s.certificate),
            ("of a node not certified", made(s.agent, &liar.node, id, &key, &liar.crypto), &s.certificate),
            (
                "of an agent not its own",
                made(s.agent, &liar.node, liar.certificate.id(), &key, &liar.crypto),
                &liar.certificate,
            ),
            ("with another certificate", made(s.agent, &s.node, id, &key, &s.crypto), &liar.certificate),
        ];
        for (what, w, certificate) in cases {
            let mut d = among(6);
            assert!(!taken(&mut d, &w, certificate), "{what}");
            assert_eq!((d.counters().deposits_refused, deposits(&d).len()), (1, 0), "{what}");
        }
    }

    #[test]
    fn with_a_certificate_that_expired_are_refused() {
        let s = Somebody::with(90, 90, |c| (c.issued_ms, c.expires_ms) = (WALL - 86_400_000, WALL - 3_600_000));
        let mut d = among(6);
        assert!(!taken(&mut d, &s.says(), &s.certificate));
    }

    #[test]
    fn that_are_no_statements_are_refused() {
        for bytes in [vec![], vec![0; 64], vec![0xa0; 100], vec![7; MAX_WHEREABOUTS]] {
            let mut d = among(6);
            d.say(&Fake::new(1), Deposit { whereabouts: bytes, walk: 0, ttl: 5, known: 0 });
            assert_eq!(d.counters().deposits_refused, 1);
        }
    }

    #[test]
    fn whose_agent_revoked_them_are_not_answered_with() {
        let (mut d, s) = (among(6), Somebody::new(90));
        taken(&mut d, &s.says(), &s.certificate);
        // The agent says so in the certificate of another of its nodes.
        let revoked = vec![Revoked { node: s.node.id, up_to: 5 }];
        let elsewhere = Somebody::with(91, 90, |c| c.revoked = revoked);
        taken(&mut d, &elsewhere.says(), &elsewhere.certificate);
        d.did.clear();
        let (m, secret) = seek(&s.agent, 5);
        d.say(&Fake::new(1), m.clone());
        let plain = open(&m, &s.agent, &secret, &answers(&d)[0].2.clone().unwrap()).unwrap();
        assert_eq!(plain.len(), 4 + elsewhere.says().bytes().len() + elsewhere.certificate.bytes().len());
    }

    #[test]
    fn come_no_faster_than_walks_do() {
        let mut d = among(6);
        let s = Somebody::new(90);
        for n in 0..100 {
            let w = s.says_at(WALL + n, LIFE, false);
            deposit(&mut d, &Fake::new(1), &w, &s.certificate, 0);
        }
        assert_eq!(d.counters().deposits_limited, 100 - 64);
    }
}

#[test]
fn a_flood_through_some_neighbours_displaces_what_came_through_them() {
    let mut d = among(6);
    let honest: Vec<Somebody> = (100..130).map(Somebody::new).collect();
    for s in &honest {
        deposit(&mut d, &Fake::new(1), &s.says(), &s.certificate, 0);
    }
    let node = SecretKey::from_bytes([99; 32]);
    for n in 0..1_200u32 {
        // An attacker has agents as it likes, all on one node.
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&n.to_le_bytes());
        let crypto = SimCrypto::with_agent(&node, &AgentSecret::from_bytes(seed));
        let agent = AgentId::own(&crypto).unwrap();
        let (issued_ms, expires_ms) = (WALL, WALL + 86_400_000);
        let (node, prekeys, revoked) = (crypto.node_id(), vec![], vec![]);
        let said = Statement { agent, node, serial: 1, issued_ms, expires_ms, prekeys, revoked };
        let certificate = AgentCertificate::issue(said, &crypto).unwrap();
        let when = (d.now.wall, LIFE);
        let key = WhereaboutsKey::new(&network());
        let w =
            Whereabouts::issue(About::Agent(agent, certificate.id()), Fake::new(99).addr, when, false, &key, &crypto);
        deposit(&mut d, &Fake::new(2 + (n % 5) as u8), &w, &certificate, 0);
        if n % 5 == 4 {
            d.pass_ms(5_000);
        }
    }
    assert_eq!(d.counters().deposits_kept, 30 + 1_200);
    let lost = honest.iter().filter(|s| {
        let (m, _) = seek(&s.agent, 5);
        d.did.clear();
        d.say(&Fake::new(1), Seek { ttl: 1, ..m });
        answers(&d)[0].2.is_none()
    });
    assert_eq!(lost.count(), 0);
}
