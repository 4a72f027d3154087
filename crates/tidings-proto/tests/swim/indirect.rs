use super::*;

/// What a peer's sign of life is signed over.
fn digest(who: &NodeId, requester: &NodeId, nonce: u64, incarnation: u64) -> [u8; 32] {
    let mut h = blake3::Hasher::new_keyed(&network().derive("tidings 1 alive"));
    h.update(&who.0).update(&requester.0).update(&nonce.to_le_bytes()).update(&incarnation.to_le_bytes());
    *h.finalize().as_bytes()
}

fn alive(who: &Fake, signer: &Fake, requester: NodeId, nonce: u64) -> Alive {
    let signature = signer.sign(&digest(&who.id, &requester, nonce, PEERS_SINCE));
    Alive { nonce, who: who.id, requester, incarnation: PEERS_SINCE, signature }
}

fn asked(d: &Driven, relay: &Fake) -> Vec<PingReq> {
    let of = |m: &&Message| if let Message::PingReq(r) = m { Some(r.clone()) } else { None };
    d.sent_to(&relay.id).iter().filter_map(of).collect()
}

/// A suspect, a relay that is a neighbour of both, and the nonce that was sent to it.
fn asking() -> (Driven, Vec<Fake>, u64) {
    let (mut d, peers) = with_neighbors(2);
    knows_of(&mut d, &peers[0], &[&peers[1]]);
    suspect(&mut d, &peers[0]);
    let asked = asked(&d, &peers[1]);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].target, peers[0].id);
    (d, peers, asked[0].nonce)
}

fn removal(d: &mut Driven) -> LeaveReason {
    for _ in 0..3_000 {
        d.pass_ms(10);
        if let [(_, reason), ..] = left(d)[..] {
            return reason;
        }
    }
    panic!("never removed")
}

/// How unwell a node takes itself to be when a neighbour has failed a round, and three relays said that they know nothing
/// of it, or said nothing.
fn health_after(nacks: bool) -> u8 {
    let (mut d, peers) = with_neighbors(4);
    knows_of(&mut d, &peers[0], &[&peers[1], &peers[2], &peers[3]]);
    silence(&mut d, &peers[0]);
    let mut told = Vec::new();
    while suspected(&d).is_empty() {
        d.pass_ms(10);
        for relay in peers[1..].iter().filter(|_| nacks) {
            if let Some(r) = asked(&d, relay).first().filter(|_| !told.contains(&relay.id)) {
                told.push(relay.id);
                d.say(relay, Nack { nonce: r.nonce });
            }
        }
    }
    d.node.local_health()
}

#[test]
fn relays_that_know_nothing_speak_for_the_asker_and_silent_ones_against() {
    assert_eq!((health_after(true), health_after(false)), (1, 3));
}

#[test]
fn a_signed_sign_of_life_saves_from_death() {
    let (mut d, peers, nonce) = asking();
    let word = alive(&peers[0], &peers[0], d.id(), nonce);
    d.say(&peers[1], word);
    assert_eq!(removal(&mut d), LeaveReason::Link(LinkRefusal::Silent));
    assert_eq!(d.counters().alives_forged, 0);
}

#[test]
fn a_sign_of_life_that_the_relay_signed_saves_nobody() {
    let (mut d, peers, nonce) = asking();
    let word = alive(&peers[0], &peers[1], d.id(), nonce);
    d.say(&peers[1], word);
    assert_eq!(d.counters().alives_forged, 1);
    assert_eq!(removal(&mut d), LeaveReason::Died);
}

#[test]
fn a_sign_of_life_from_another_time_saves_nobody() {
    let (mut d, peers, nonce) = asking();
    let word = alive(&peers[0], &peers[0], d.id(), nonce ^ 1);
    d.say(&peers[1], word);
    assert_eq!(d.counters().acks_unexpected, 1);
    assert_eq!(removal(&mut d), LeaveReason::Died);
}

#[test]
fn a_probe_is_relayed_to_a_neighbor_and_its_answer_back() {
    let (mut d, peers) = with_neighbors(1);
    let (asker, me) = (Fake::new(120), d.id());
    d.link(&asker);
    d.say(&asker, PingReq { nonce: 5, target: peers[0].id });
    assert!(d.sent_to(&peers[0].id).contains(&&RelayedPing { nonce: 5, requester: asker.id }.into()));
    let word = alive(&peers[0], &peers[0], asker.id, 5);
    d.say(&peers[0], word.clone());
    assert_eq!(d.sent_to(&asker.id), [&Message::from(word.clone())]);
    d.say(&peers[0], word);
    assert_eq!((d.sent_to(&asker.id).len(), d.counters().alives_forged), (1, 1), "twice for one request of {me:?}");
}

#[test]
fn a_relay_without_an_answer_says_so() {
    let (mut d, peers) = with_neighbors(1);
    let asker = Fake::new(120);
    d.link(&asker);
    d.say(&asker, PingReq { nonce: 5, target: peers[0].id });
    assert_eq!(d.sent_to(&asker.id), Vec::<&Message>::new());
    d.pass_ms(500);
    assert_eq!(d.sent_to(&asker.id), [&Message::from(Nack { nonce: 5 })]);
}

#[test]
fn probes_of_strangers_the_requester_and_the_relay_itself_are_refused() {
    let (mut d, peers) = with_neighbors(2);
    let stranger = Fake::new(120);
    d.link(&stranger);
    let me = d.id();
    for target in [Fake::new(121).id, stranger.id, peers[1].id, me] {
        d.say(&peers[1], PingReq { nonce: 5, target });
    }
    assert_eq!(d.counters().probes_refused, 4);
    let relayed = d.did.iter().filter(|x| matches!(x, Did::Sent { message: Message::RelayedPing(_), .. })).count();
    assert_eq!((relayed, dialed(&d)), (0, vec![]));
}

#[test]
fn a_flood_of_requests_reaches_the_target_as_a_trickle() {
    let (mut d, peers) = with_neighbors(2);
    for nonce in 0..1_000 {
        d.say(&peers[1], PingReq { nonce, target: peers[0].id });
        d.pass_ms(10);
    }
    let relayed = d.sent_to(&peers[0].id).iter().filter(|m| matches!(m, Message::RelayedPing(_))).count();
    assert!((8..=8 + 20).contains(&relayed), "{relayed} in ten seconds");
    assert_eq!(d.counters().probes_relayed + d.counters().probes_refused, 1_000);
}

#[test]
fn requests_of_all_together_are_bounded() {
    let (mut d, peers) = with_neighbors(10);
    for nonce in 0..10 {
        for p in &peers[1..] {
            d.say(p, PingReq { nonce, target: peers[0].id });
        }
    }
    assert_eq!(d.counters().probes_relayed, 64, "each has eight, all together sixty-four");
}

#[test]
fn the_node_signs_its_own_sign_of_life() {
    let (mut d, peers) = with_neighbors(1);
    d.say(&peers[0], RelayedPing { nonce: 77, requester: NodeId([9; 32]) });
    let Some(Message::Alive(a)) = d.sent_to(&peers[0].id).last().copied().cloned() else { panic!("no answer") };
    let me = d.id();
    assert_eq!((a.nonce, a.who, a.requester), (77, me, NodeId([9; 32])));
    let verifier = SimCrypto::new(&SecretKey::from_bytes([0; 32]));
    assert!(verifier.verify(&me, &digest(&me, &a.requester, 77, a.incarnation), &a.signature));
}

#[test]
fn a_flood_of_relayed_probes_costs_few_signatures() {
    let (mut d, peers) = with_neighbors(1);
    let me = d.id();
    d.say(&peers[0], RelayedPing { nonce: 0, requester: me });
    d.say(&peers[0], RelayedPing { nonce: 0, requester: peers[0].id });
    assert_eq!(d.counters().probes_refused, 2, "nobody relays to himself");
    for nonce in 0..100 {
        d.say(&peers[0], RelayedPing { nonce, requester: NodeId([9; 32]) });
    }
    let signed = d.sent_to(&peers[0].id).iter().filter(|m| matches!(m, Message::Alive(_))).count();
    assert_eq!(signed, 8);
}

#[test]
fn two_others_of_a_suspect_are_visited_asked_and_wooed() {
    let (mut d, peers) = with_neighbors(10);
    let others: Vec<Fake> = (120..126).map(Fake::new).collect();
    knows_of(&mut d, &peers[0], &others.iter().collect::<Vec<_>>());
    suspect(&mut d, &peers[0]);
    let visited = dialed(&d);
    assert_eq!(visited.len(), 2);
    let host = others.iter().find(|o| o.id == visited[0]).unwrap();
    d.input(Input::LinkUp { peer: host.id, addr: None, outbound: true, rtt: None }).unwrap();
    let got = d.sent_to(&host.id);
    assert!(got.contains(&&Suspect { peer: peers[0].id, incarnation: PEERS_SINCE }.into()), "{got:?}");
    assert_eq!(asked(&d, host).len(), 1);
    assert!(got.iter().any(|m| matches!(m, Message::Neighbor(_))), "no neighbour to fill the hole: {got:?}");
}

#[test]
fn a_visit_ends() {
    let (mut d, peers) = with_neighbors(10);
    let other = Fake::new(120);
    knows_of(&mut d, &peers[0], &[&other]);
    suspect(&mut d, &peers[0]);
    d.input(Input::LinkUp { peer: other.id, addr: None, outbound: true, rtt: None }).unwrap();
    let refused = NeighborReply { overlay: None, accept: false, others: vec![], sketch: Sketch::default(), me: None };
    d.say(&other, refused);
    assert!(!d.node.links().claims(&other.id).is_empty());
    d.mute.clear();
    d.pass_ms(3_500);
    let released = d.sent_to(&other.id).iter().filter(|m| matches!(m, Message::Release(_))).count();
    assert!(released >= 1 && d.node.links().claims(&other.id).is_empty());
}

#[test]
fn when_a_whole_view_falls_silent_few_are_dialed() {
    let (mut d, peers) = with_neighbors(10);
    for (i, p) in peers.iter().enumerate() {
        let others: Vec<Fake> = (0..5).map(|k| Fake::new(100 + (i * 5 + k) as u8)).collect();
        knows_of(&mut d, p, &others.iter().collect::<Vec<_>>());
        d.mute.insert(p.id);
    }
    d.pass_ms(SUSPECTED + 500);
    assert_eq!(suspected(&d).len(), 10);
    assert!(d.counters().rescue_dials <= 8 + 8, "{}", d.counters().rescue_dials);
    assert!(d.counters().rescue_dials_limited > 0);
}
