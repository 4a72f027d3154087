//! Failure detection: who is probed, suspected, removed and found again, and what others can and cannot make of it.

mod common;

use common::*;
use tidings_proto::config::GossipConfig;
use tidings_proto::crypto::{Crypto, SimCrypto};
use tidings_proto::identity::{NodeId, PeerAddr, SecretKey};
use tidings_proto::io::*;
use tidings_proto::time::Span;
use tidings_proto::topology::PeerState;
use tidings_proto::wire::*;

/// The default interval, and what three pings may take on a link of a millisecond.
const INTERVAL: u64 = 1_000;
const ROUND: u64 = 400;
/// Within this a crash is suspected, whichever end probes.
const SUSPECTED: u64 = INTERVAL + 120 + ROUND;
/// The suspicion time alone.
const ALONE: u64 = 6_000;

/// Peers that the node probes, or that are to probe it.
fn some(d: &Driven, n: usize, by_us: bool) -> Vec<Fake> {
    let fakes: Vec<Fake> = (1..100).map(Fake::new).filter(|f| d.probes(f) == by_us).take(n).collect();
    assert_eq!(fakes.len(), n);
    fakes
}

fn join(d: &mut Driven, peer: &Fake) {
    d.link(peer);
    d.befriend(peer, Overlay::Root);
}

/// A node with so many neighbours that it probes.
fn with_neighbors(n: usize) -> (Driven, Vec<Fake>) {
    with_config(n, GossipConfig::default())
}

fn with_config(n: usize, config: GossipConfig) -> (Driven, Vec<Fake>) {
    let mut d = Driven::with(config);
    let peers = some(&d, n, true);
    for p in &peers {
        join(&mut d, p);
    }
    // The first rounds: everybody's incarnation is known.
    d.pass_ms(2_000);
    d.did.clear();
    (d, peers)
}

fn knows_of(d: &mut Driven, of: &Fake, others: &[&Fake]) {
    let peers: Vec<PeerAddr> = others.iter().map(|o| o.addr.clone()).collect();
    d.say(of, Neighbors { incarnation: PEERS_SINCE, peers });
}

fn suspected(d: &Driven) -> Vec<NodeId> {
    events(d, |e| match e {
        Event::PeerSuspected { peer } => Some(*peer),
        _ => None,
    })
}

fn recovered(d: &Driven) -> Vec<NodeId> {
    events(d, |e| match e {
        Event::PeerRecovered { peer } => Some(*peer),
        _ => None,
    })
}

fn left(d: &Driven) -> Vec<(NodeId, LeaveReason)> {
    events(d, |e| match e {
        Event::PeerLeft { peer, reason, .. } => Some((*peer, *reason)),
        _ => None,
    })
}

fn clones(d: &Driven) -> Vec<NodeId> {
    events(d, |e| match e {
        Event::CloneSeen { peer } => Some(*peer),
        _ => None,
    })
}

fn events<T>(d: &Driven, of: impl Fn(&Event) -> Option<T>) -> Vec<T> {
    let told = d.did.iter().filter_map(|x| if let Did::Event(e) = x { Some(e) } else { None });
    told.filter_map(of).collect()
}

fn pings(d: &Driven, to: &Fake) -> usize {
    d.datagrams_to(&to.id).iter().filter(|m| matches!(m, Message::Ping(_))).count()
}

fn dialed(d: &Driven) -> Vec<NodeId> {
    d.did.iter().filter_map(|x| if let Did::Dialed(p) = x { Some(*p) } else { None }).collect()
}

fn state(d: &Driven, peer: &Fake) -> Option<PeerState> {
    d.node.peers().iter().find(|p| p.id == peer.id).map(|p| p.state)
}

fn silence(d: &mut Driven, peer: &Fake) {
    d.mute.insert(peer.id);
}

/// Silences a neighbour and waits until it is suspected.
fn suspect(d: &mut Driven, peer: &Fake) {
    silence(d, peer);
    d.pass_ms(SUSPECTED);
    assert!(suspected(d).contains(&peer.id), "not suspected");
}

fn ms(ms: u64) -> Span {
    Span::from_millis(ms)
}

mod rounds {
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
            while pings(&d, &peers[0]) == 0 {
                d.pass_ms(1);
            }
            d.pass_ms(40);
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
        assert!(
            c.probe_bytes_out / c.datagrams_out <= 30 && a <= 30,
            "{} and {a}",
            c.probe_bytes_out / c.datagrams_out
        );
    }
}

mod suspicion {
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
        let to =
            |d: &Driven, p: &Fake, is: fn(&Message) -> bool| d.sent_to(&p.id).into_iter().filter(|m| is(m)).count();
        assert_eq!(to(&d, &peers[1], |m| matches!(m, Message::Graft(g) if g.eager)), 1, "no other parent");
        assert_eq!(to(&d, &peers[1], |m| matches!(m, Message::Fetch(_))), 1, "what fell between is not asked for");
        d.did.clear();
        d.bring(&peers[1], &author.batch(2, b"two"));
        d.pass_ms(500);
        assert_eq!(to(&d, &peers[0], |m| matches!(m, Message::Gossip(_))), 0);
        assert_eq!(to(&d, &peers[0], |m| matches!(m, Message::IHave(_))), 1);
    }
}

mod the_removed {
    use super::*;

    fn dead() -> (Driven, Vec<Fake>) {
        let (mut d, peers) = with_neighbors(3);
        suspect(&mut d, &peers[0]);
        while left(&d).is_empty() {
            d.pass_ms(10);
        }
        d.did.clear();
        (d, peers)
    }

    #[test]
    fn are_looked_for_less_and_less_often_and_not_for_ever() {
        let (mut d, peers) = dead();
        let mut at = Vec::new();
        let began = d.now.mono;
        // Membership, which has two neighbours and nobody to ask, visits it later than that.
        while d.now.mono.since(began) < Span::from_secs(500) {
            d.pass_ms(100);
            if dialed(&d).contains(&peers[0].id) {
                at.push(d.now.mono.since(began).as_millis());
                d.did.clear();
                d.input(Input::DialFailed { peer: peers[0].id, reason: LinkRefusal::Timeout }).unwrap();
            }
        }
        assert_eq!(at.len(), 7, "{at:?}");
        assert!(at[0] <= 1_000 && at[1] - at[0] < 2_000 && at[6] - at[5] > 20_000, "{at:?}");
    }

    #[test]
    fn are_welcome_when_they_come_back() {
        let (mut d, peers) = dead();
        d.pass_ms(100);
        d.link(&peers[0]);
        assert_eq!(recovered(&d), [peers[0].id]);
        assert_eq!(d.counters().returned, 1);
        assert!(d.node.passive_view(Overlay::Root).contains(&peers[0].id) || dialed(&d).contains(&peers[0].id));
    }

    #[test]
    fn are_found_by_the_first_dial_if_they_were_only_stopped() {
        let (mut d, peers) = dead();
        d.auto_link = true;
        d.mute.clear();
        d.pass_ms(1_000);
        assert_eq!(recovered(&d), [peers[0].id]);
    }

    #[test]
    fn do_not_come_back_with_a_shuffle() {
        let (mut d, peers) = dead();
        let other = Fake::new(150);
        let named = vec![peers[0].addr.clone(), other.addr.clone()];
        let (path, sketch) = (vec![peers[1].id], Sketch::default());
        d.say(&peers[1], Shuffle { overlay: None, ttl: 1, path, peers: named, sketch });
        let known = d.node.passive_view(Overlay::Root);
        assert!(known.contains(&other.id) && !known.contains(&peers[0].id), "{known:?}");
    }

    #[test]
    fn are_those_whose_link_went_silent_too_and_not_those_who_said_goodbye() {
        for (reason, back) in [(LinkRefusal::Silent, 1), (LinkRefusal::Goodbye, 0)] {
            let (mut d, peers) = with_neighbors(2);
            d.input(Input::LinkDown { peer: peers[0].id, reason }).unwrap();
            d.pass_ms(50);
            d.link(&peers[0]);
            assert_eq!(recovered(&d).len(), back, "{reason:?}");
        }
    }

    #[test]
    fn of_a_whole_view_are_dialed_a_few_at_a_time() {
        let (mut d, peers) = with_neighbors(10);
        for p in &peers {
            d.input(Input::LinkDown { peer: p.id, reason: LinkRefusal::Silent }).unwrap();
        }
        d.pass_ms(1_000);
        let n = dialed(&d).len();
        assert!((1..=8).contains(&n), "{n} dials");
        assert!(d.counters().rescue_dials_limited > 0);
    }
}

mod indirect {
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
        let refused =
            NeighborReply { overlay: None, accept: false, others: vec![], sketch: Sketch::default(), me: None };
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
}

mod words_of_others {
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
}

mod incarnations {
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
}

mod a_stall_of_our_own {
    use super::*;

    /// The process stands still; what came meanwhile is read afterwards.
    fn stall(d: &mut Driven, for_ms: u64) {
        d.now.mono += ms(for_ms);
        d.now.wall.0 += for_ms;
        d.input(Input::Tick).unwrap();
    }

    #[test]
    fn gives_everybody_a_fresh_start() {
        let (mut d, peers) = with_neighbors(10);
        // Rounds are under way, and the answers come during the stall.
        for p in &peers {
            silence(&mut d, p);
        }
        d.pass_ms(350);
        d.mute.clear();
        stall(&mut d, 3_000);
        d.pass_ms(5_000);
        assert_eq!(suspected(&d).len(), 0, "{} failed", d.counters().probes_failed);
        assert_eq!(d.counters().stalls, 1);
    }

    #[test]
    fn does_not_use_up_a_suspects_time() {
        let (mut d, peers) = with_neighbors(2);
        suspect(&mut d, &peers[0]);
        stall(&mut d, 20_000);
        assert_eq!(left(&d), []);
        d.say(&peers[0], Topics::default());
        assert_eq!(recovered(&d), [peers[0].id]);
    }

    #[test]
    fn over_and_over_does_not_stop_it_from_judging() {
        let (mut d, peers) = with_neighbors(1);
        silence(&mut d, &peers[0]);
        for _ in 0..40 {
            stall(&mut d, 300);
        }
        assert_eq!(suspected(&d), [peers[0].id]);
    }

    #[test]
    fn makes_it_patient() {
        let (mut d, _) = with_neighbors(1);
        assert_eq!(d.node.local_health(), 0);
        stall(&mut d, 3_000);
        assert_eq!(d.node.local_health(), 0, "the probe that followed was answered at once");
        let (mut d, peers) = with_neighbors(1);
        silence(&mut d, &peers[0]);
        stall(&mut d, 3_000);
        assert_eq!(d.node.local_health(), 1);
    }
}

mod datagrams {
    use super::*;

    #[test]
    fn of_garbage_are_refused_and_the_link_stays() {
        let (mut d, peers) = with_neighbors(1);
        for bytes in [vec![], vec![0xff; 40], vec![1, 40, 2, 0, 0, 0, 0, 0, 0xff, 0xff]] {
            assert!(d.input(Input::Datagram { from: peers[0].id, bytes: bytes.into() }).is_err());
        }
        assert_eq!((d.counters().frames_malformed, d.closed()), (3, vec![]));
    }

    #[test]
    fn from_peers_without_a_link_are_counted_and_not_answered() {
        let mut d = Driven::new();
        let stranger = Fake::new(1);
        d.datagram(&stranger, Ping { seq: 1, incarnation: PEERS_SINCE, suspected: None });
        assert_eq!((d.counters().datagrams_unexpected, d.datagrams_to(&stranger.id).len()), (1, 0));
    }

    #[test]
    fn in_our_own_name_are_not_answered() {
        let mut d = Driven::new();
        let me = d.id();
        let bytes = Message::from(Ping { seq: 1, incarnation: PEERS_SINCE, suspected: None }).frame().to_bytes();
        d.input(Input::Datagram { from: me, bytes }).unwrap();
        assert_eq!((d.counters().datagrams_unexpected, d.datagrams_to(&me).len()), (1, 0));
    }

    #[test]
    fn with_answers_that_nobody_asked_for_are_counted() {
        let (mut d, peers) = with_neighbors(1);
        d.datagram(&peers[0], Ack { seq: 900, incarnation: PEERS_SINCE });
        assert_eq!(d.counters().acks_unexpected, 1);
    }

    #[test]
    fn are_answered_with_as_many_and_no_longer_ones() {
        let (mut d, peers) = with_neighbors(1);
        let ping = Message::from(Ping { seq: 70_000, incarnation: PEERS_SINCE, suspected: None });
        let before = d.counters();
        for _ in 0..100 {
            d.datagram(&peers[0], ping.clone());
        }
        let after = d.counters();
        assert_eq!(after.datagrams_out - before.datagrams_out, 100);
        assert!(after.probe_bytes_out - before.probe_bytes_out <= 100 * ping.frame().len() as u64);
    }
}
