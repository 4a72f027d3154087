//! The index and its holders, one node at a time.

#[path = "../common/mod.rs"]
mod common;

mod adverts;
mod being_reached;
mod holding;
mod index;
mod looking_up;
mod noise;
mod registering;
mod topics;

use std::net::SocketAddr;

use bytes::Bytes;
use common::*;
use tidings_proto::crypto::{Crypto, SimCrypto};
use tidings_proto::discovery::advert::*;
use tidings_proto::discovery::reach::{self, Attestation};
use tidings_proto::discovery::rendezvous::LEFT_LIFE;
use tidings_proto::discovery::{About, Whereabouts, WhereaboutsKey, shard_id};
use tidings_proto::identity::*;
use tidings_proto::io::*;
use tidings_proto::records::sets::INDEX;
use tidings_proto::records::{self, signed};
use tidings_proto::time::{Span, UnixMillis};
use tidings_proto::wire::*;

pub(crate) fn port(n: u8) -> SimCrypto {
    SimCrypto::new(&SecretKey::from_bytes([n; 32]))
}

pub(crate) fn at_addr(text: &str) -> Addr {
    Addr::from(text.parse::<SocketAddr>().unwrap())
}

/// What the advert of a node says, to be changed as a test needs it.
pub(crate) struct Draft {
    pub(crate) crypto: SimCrypto,
    pub(crate) node: PeerAddr,
    pub(crate) attested: Vec<Attestation>,
    pub(crate) said: signed::Statement,
}

impl Draft {
    pub(crate) fn new(crypto: SimCrypto, addr: Addr) -> Draft {
        let id = crypto.node_id();
        let key = reach::key(&network());
        let at = PeerAddr { id, addrs: vec![addr] };
        let attested = [251, 252].map(|n| Attestation::issue(&port(n), &key, at.clone(), WALL)).to_vec();
        let issued = UnixMillis(WALL);
        let said = signed::Statement { version: 1, issued, life: ADVERT_LIFE, anchor: ChainValue([7; 16]) };
        Draft { crypto, node: PeerAddr { id, addrs: vec![addr] }, attested, said }
    }

    pub(crate) fn record(self) -> Bytes {
        let advert = Advert { node: self.node, attested: self.attested };
        advert.sign(&records::key(&network()), &self.said, INDEX, &self.crypto)
    }
}

/// What neighbour `n` says of where it has reached the node.
pub(crate) fn word(d: &Driven, n: u8) -> Reached {
    word_of(d, n, addr(200))
}

pub(crate) fn word_of(d: &Driven, n: u8, at: Addr) -> Reached {
    let you = PeerAddr { id: d.id(), addrs: vec![at] };
    Attestation::issue(&port(n), &reach::key(&network()), you, d.now.wall.0).told()
}

/// The advert of peer `n` on this machine.
pub(crate) fn advert(n: u8) -> Bytes {
    Draft::new(port(n), addr(n)).record()
}

/// Somebody far away has published this.
pub(crate) fn learn(d: &mut Driven, through: &Fake, record: &Bytes) {
    let full = vec![FullRecord { set: INDEX, len: record.len() as u16, age: 0, refresh: None }];
    let m = tidings_proto::wire::Records { full, fresh: vec![] };
    d.frame(through, Lane::Control, Message::from(m).frame_with(record.clone()).to_bytes()).unwrap();
}

/// The neighbour through which the node hears of the world.
pub(crate) fn friend() -> Fake {
    Fake::new(1)
}

/// A node with one neighbour and an index of peers 10, 11, …
pub(crate) fn with_index(mut d: Driven, nodes: u8) -> Driven {
    let f = friend();
    d.link(&f);
    d.befriend(&f, Overlay::Root);
    for n in 0..nodes {
        learn(&mut d, &f, &advert(10 + n));
    }
    assert_eq!(d.node.index().len(), usize::from(nodes));
    d.pass_ms(1_500);
    d.did.clear();
    d
}

pub(crate) fn indexed(nodes: u8) -> Driven {
    with_index(Driven::new(), nodes)
}

pub(crate) const AGENT: u8 = 44;

/// A node that speaks for an agent, with an index.
pub(crate) fn agent_among(nodes: u8) -> Driven {
    with_index(Driven::agent(&AgentSecret::from_bytes([AGENT; 32])), nodes)
}

/// An agent on peer `n`.
pub(crate) struct Somebody {
    pub(crate) node: Fake,
    pub(crate) crypto: SimCrypto,
    pub(crate) agent: AgentId,
    pub(crate) certificate: AgentCertificate,
}

impl Somebody {
    pub(crate) fn new(n: u8, agent: u8) -> Somebody {
        let crypto = SimCrypto::with_agent(&SecretKey::from_bytes([n; 32]), &AgentSecret::from_bytes([agent; 32]));
        let agent = AgentId::own(&crypto).unwrap();
        let (issued_ms, expires_ms) = (WALL - 1_000, WALL + 86_400_000);
        let node = crypto.node_id();
        let said = Statement { agent, node, serial: 1, issued_ms, expires_ms, prekeys: vec![], revoked: vec![] };
        let certificate = AgentCertificate::issue(said, &crypto).unwrap();
        Somebody { node: Fake::new(n), crypto, agent, certificate }
    }

    pub(crate) fn says_at(&self, at: u64, withdrawn: bool) -> Whereabouts {
        let about = About::Agent(self.agent, self.certificate.id());
        let key = WhereaboutsKey::new(&network());
        let when = (UnixMillis(at), LEFT_LIFE);
        Whereabouts::issue(about, self.node.addr.clone(), when, withdrawn, &key, &self.crypto)
    }
}

/// What peer `n` says of a topic it is in.
pub(crate) fn member(n: u8, topic: TopicId, at: u64) -> Whereabouts {
    let key = WhereaboutsKey::new(&network());
    let when = (UnixMillis(at), LEFT_LIFE);
    Whereabouts::issue(About::Topic(topic), Fake::new(n).addr, when, false, &key, &port(n))
}

pub(crate) fn peer(id: NodeId) -> Fake {
    (1..=255).map(Fake::new).find(|f| f.id == id).unwrap()
}

/// The registrations sent: to whom, what, and how long the certificate was.
pub(crate) fn registrations(d: &Driven) -> Vec<(NodeId, Register, usize)> {
    let sent = |x: &Did| match x {
        Did::Sent { to, message: Message::Register(m), payload, .. } => Some((*to, m.clone(), payload.len())),
        _ => None,
    };
    d.did.iter().filter_map(sent).collect()
}

/// The questions asked.
pub(crate) fn questions(d: &Driven) -> Vec<(NodeId, LookUp)> {
    let sent = |x: &Did| match x {
        Did::Sent { to, message: Message::LookUp(m), .. } => Some((*to, m.clone())),
        _ => None,
    };
    d.did.iter().filter_map(sent).collect()
}

pub(crate) fn dialed(d: &Driven) -> Vec<NodeId> {
    d.did.iter().filter_map(|x| if let Did::Dialed(p) = x { Some(*p) } else { None }).collect()
}

/// The holders of a shard, as this node sees them.
pub(crate) fn holders(d: &Driven, subject: &[u8; 32], most: usize) -> Vec<NodeId> {
    d.node.index().nodes(shard_id(subject), most).into_iter().map(|n| n.id).collect()
}

/// A dial of the node's comes through.
pub(crate) fn answer_dial(d: &mut Driven, id: NodeId) {
    d.input(Input::LinkUp { peer: id, addr: None, outbound: true, rtt: Some(Span::from_millis(40)) }).unwrap();
}

pub(crate) fn fail_dial(d: &mut Driven, id: NodeId) {
    d.input(Input::DialFailed { peer: id, reason: LinkRefusal::Timeout }).unwrap();
}

/// A holder answers a question.
pub(crate) fn holds(d: &mut Driven, from: NodeId, id: u64, said: &[&Whereabouts], certificates: &[&AgentCertificate]) {
    let statements = said.iter().map(|w| w.bytes().to_vec().into()).collect();
    let mut payload = Vec::new();
    for c in certificates {
        payload.extend_from_slice(&(c.bytes().len() as u16).to_le_bytes());
        payload.extend_from_slice(c.bytes());
    }
    let frame = Message::from(Holds { id, statements }).frame_with(payload.into());
    d.frame(&peer(from), Lane::Control, frame.to_bytes()).unwrap();
}
