//! Failure detection: who is probed, suspected, removed and found again, and what others can and cannot make of it.

#[path = "../common/mod.rs"]
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

mod rounds;

mod suspicion;

mod the_removed;

mod indirect;

mod words_of_others;

mod incarnations;

mod a_stall_of_our_own;

mod datagrams;

mod reading;
