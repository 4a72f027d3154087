//! The network's records in one node: what is taken, what is refused, what is passed on, asked for and compared.

#[path = "../common/mod.rs"]
mod common;

use bytes::Bytes;
use common::*;
use tidings_proto::identity::RecordKey;
use tidings_proto::io::*;
use tidings_proto::records::chain::Chain;
use tidings_proto::records::{self, sets, signed};
use tidings_proto::time::{Span, UnixMillis};
use tidings_proto::wire::*;

const SET: SetId = sets::PRESENCE;
const LIFE: Span = Span::from_secs(600);

/// A node with these neighbours; the first is the parent.
fn among(n: u8) -> (Driven, Vec<Fake>) {
    let mut d = Driven::new();
    let peers: Vec<Fake> = (1..=n).map(Fake::new).collect();
    for p in &peers {
        d.link(p);
        d.befriend(p, Overlay::Root);
    }
    d.did.clear();
    (d, peers)
}

fn chain(owner: &Fake) -> Chain {
    Chain::new(&owner.id.into(), &[9; 32])
}

fn said(owner: &Fake, version: u64) -> signed::Statement {
    signed::Statement { version, issued: UnixMillis(WALL), life: LIFE, anchor: chain(owner).anchor() }
}

fn record(owner: &Fake, said: &signed::Statement) -> Bytes {
    signed::sign(SET, &records::key(&network()), owner.port(), said, b"content")
}

/// Version `version` of `owner`, made as the test began.
fn plain(owner: &Fake, version: u64) -> Bytes {
    record(owner, &said(owner, version))
}

fn frame(bytes: &Bytes, age_ms: u64, refresh: Option<Refresh>) -> Frame {
    let full = FullRecord { set: SET, len: bytes.len() as u16, age: (age_ms / 100) as u32, refresh };
    Message::from(Records { full: vec![full], fresh: vec![] }).frame_with(bytes.clone())
}

fn push(d: &mut Driven, by: &Fake, bytes: &Bytes) {
    d.frame(by, Lane::Control, frame(bytes, 0, None).to_bytes()).unwrap();
}

fn refresh(d: &mut Driven, by: &Fake, owner: &Fake, step: u16, value: ChainValue) {
    let fresh = FreshRecord { set: SET, key: head(owner), age: 0, refresh: Refresh { step, value } };
    d.say(by, Records { full: vec![], fresh: vec![fresh] });
}

fn head(owner: &Fake) -> u64 {
    u64::from_be_bytes(*owner.id.0.first_chunk().unwrap())
}

/// The version that is kept of somebody, and how often it was refreshed.
fn kept(d: &Driven, owner: &Fake) -> Option<(u64, u16)> {
    d.node.records().get(SET, &RecordKey::from(owner.id)).map(|r| (r.claim.version, r.step()))
}

/// How many records, whole or refreshed, were sent to a peer.
fn sent(d: &Driven, to: &Fake) -> (usize, usize) {
    d.sent_to(&to.id).iter().fold((0, 0), |n, m| match m {
        Message::Records(m) => (n.0 + m.full.len(), n.1 + m.fresh.len()),
        _ => n,
    })
}

fn asked(d: &Driven, whom: &Fake) -> Vec<RecordsWanted> {
    let of = |m: &&Message| match m {
        Message::RecordsWanted(m) => Some(m.clone()),
        _ => None,
    };
    d.sent_to(&whom.id).iter().filter_map(of).collect()
}

mod announcing;
mod comparing;
mod refreshing;
mod refused;
mod times;

#[test]
fn what_comes_is_kept_pushed_to_eager_links_and_announced_on_the_others() {
    let (mut d, peers) = among(3);
    let owner = Fake::new(50);
    d.say(&peers[2], RecordsWanted { eager: true, ..RecordsWanted::default() });
    push(&mut d, &peers[0], &plain(&owner, 1));
    assert_eq!(kept(&d, &owner), Some((1, 0)));
    assert_eq!((sent(&d, &peers[0]).0, sent(&d, &peers[1]).0, sent(&d, &peers[2]).0), (0, 0, 1));
    d.pass_ms(1_000);
    let told = |p: &Fake| d.sent_to(&p.id).iter().filter(|m| matches!(m, Message::RecordsHeld(_))).count();
    assert_eq!((told(&peers[0]), told(&peers[1]), told(&peers[2])), (0, 1, 0));
}

#[test]
fn what_came_before_is_not_passed_on_again() {
    let (mut d, peers) = among(2);
    let owner = Fake::new(50);
    push(&mut d, &peers[0], &plain(&owner, 1));
    d.say(&peers[0], RecordsWanted { eager: true, ..RecordsWanted::default() });
    push(&mut d, &peers[1], &plain(&owner, 1));
    assert_eq!(sent(&d, &peers[0]).0, 0);
    assert_eq!(d.counters().records_duplicate, 1);
}

#[test]
fn the_higher_version_stands() {
    let (mut d, peers) = among(1);
    let owner = Fake::new(50);
    push(&mut d, &peers[0], &plain(&owner, 5));
    push(&mut d, &peers[0], &plain(&owner, 4));
    assert_eq!((kept(&d, &owner), d.counters().records_old), (Some((5, 0)), 1));
    push(&mut d, &peers[0], &plain(&owner, 6));
    assert_eq!(kept(&d, &owner), Some((6, 0)));
}

#[test]
fn of_two_with_one_version_all_nodes_keep_the_same() {
    let owner = Fake::new(50);
    let one = plain(&owner, 1);
    let other = record(&owner, &signed::Statement { life: LIFE.half(), ..said(&owner, 1) });
    let after = |order: [&Bytes; 2]| {
        let (mut d, peers) = among(1);
        order.iter().for_each(|r| push(&mut d, &peers[0], r));
        d.node.records().get(SET, &owner.id.into()).map(|r| r.bytes.clone())
    };
    assert_eq!(after([&one, &other]), after([&other, &one]));
}

#[test]
fn strangers_are_not_listened_to() {
    let (mut d, _) = among(1);
    let stranger = Fake::new(60);
    d.link(&stranger);
    push(&mut d, &stranger, &plain(&stranger, 1));
    assert_eq!((kept(&d, &stranger), d.counters().frames_unexpected), (None, 1));
}
