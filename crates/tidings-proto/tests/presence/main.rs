//! Presence in one node: what it says of itself and when, and what it makes of what others say.

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeSet;

use bytes::Bytes;
use common::*;
use tidings_proto::config::GossipConfig;
use tidings_proto::identity::{Addr, MAX_ADDRS, Network, RecordKey};
use tidings_proto::io::*;
use tidings_proto::presence::{Beacon, GroupSecret, Learned, MAX_STATUS, MAX_VIAS, PresenceEvent, Via, open, seal};
use tidings_proto::records::chain::Chain;
use tidings_proto::records::{self, sets, signed};
use tidings_proto::time::{Span, UnixMillis};
use tidings_proto::wire::*;

const LIFE: Span = Span::from_secs(900);

fn group() -> GroupSecret {
    GroupSecret::of(&network())
}

/// A node with one neighbour.
fn with_a_friend() -> (Driven, Fake) {
    let (mut d, friend) = (Driven::new(), Fake::new(1));
    d.link(&friend);
    d.befriend(&friend, Overlay::Root);
    (d, friend)
}

fn chain(owner: &Fake) -> Chain {
    Chain::new(&owner.id.into(), &[9; 32])
}

fn beacon(status: &str) -> Beacon {
    Beacon { addrs: vec![addr(7)], status: status.to_owned(), ..Beacon::default() }
}

fn sealed(owner: &Fake, group: &GroupSecret, version: u64, wall: u64, beacon: &Beacon) -> Bytes {
    let anchor = chain(owner).anchor();
    let said = signed::Statement { version, issued: UnixMillis(wall), life: LIFE, anchor };
    seal(owner.port(), &records::key(&network()), group, &said, beacon)
}

fn push(d: &mut Driven, by: &Fake, bytes: &Bytes) {
    let full = FullRecord { set: sets::PRESENCE, len: bytes.len() as u16, age: 0, refresh: None };
    let m = Message::from(Records { full: vec![full], fresh: vec![] }).frame_with(bytes.clone());
    d.frame(by, Lane::Control, m.to_bytes()).unwrap();
}

/// `owner` says this now.
fn says(d: &mut Driven, by: &Fake, owner: &Fake, version: u64, beacon: &Beacon) {
    let bytes = sealed(owner, &group(), version, d.now.wall.0, beacon);
    push(d, by, &bytes);
}

/// What was told of comings and goings, in short.
fn told(d: &Driven) -> Vec<String> {
    let of = |x: &Did| match x {
        Did::Event(Event::Presence(e)) => Some(match e {
            PresenceEvent::AgentOnline(i) => format!("online {}", i.status),
            PresenceEvent::AgentChanged(i) => format!("changed {}", i.status),
            PresenceEvent::NodeOffline { reason, .. } => format!("node gone {reason:?}"),
            PresenceEvent::AgentOffline { reason, .. } => format!("offline {reason:?}"),
            _ => "else".to_owned(),
        }),
        _ => None,
    };
    d.did.iter().filter_map(of).collect()
}

/// The beacons sent to somebody, opened.
fn beacons(d: &Driven, to: &Fake) -> Vec<(u64, Beacon, usize)> {
    let mut out = Vec::new();
    for x in &d.did {
        let Did::Sent { to: t, message: Message::Records(m), payload, .. } = x else { continue };
        if *t != to.id || m.full.is_empty() {
            continue;
        }
        let claim = signed::peek(payload).unwrap();
        let port = to.port();
        out.push((claim.version, open(port, &group(), &claim, payload).expect("not sealed for us"), payload.len()));
    }
    out
}

mod bad_input;
mod of_agents;
mod of_others;
mod our_own;
