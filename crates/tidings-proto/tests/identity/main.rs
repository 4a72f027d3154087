//! Agents on the wire: a node's own certificate, and how it learns of everybody else's.

#[path = "../common/mod.rs"]
mod common;

mod asking;
mod bad_certificates;
mod card;
mod giving;
mod memory;
mod own;
mod revocations;
mod revoking;

use bytes::Bytes;
use common::*;
use tidings_proto::config::GossipConfig;
use tidings_proto::crypto::{BOX_KEY_LEN, Crypto, SimCrypto};
use tidings_proto::identity::*;
use tidings_proto::io::*;
use tidings_proto::pubsub::{Batch, BatchHeader, Delivery};
use tidings_proto::time::Span;
use tidings_proto::wire::*;

const DAY_MS: u64 = 24 * 3_600_000;

/// The port of a node with the key `n` and an agent's key.
fn port(secret: [u8; 32], agent: u8) -> SimCrypto {
    SimCrypto::with_agent(&SecretKey::from_bytes(secret), &AgentSecret::from_bytes([agent; 32]))
}

/// A peer that speaks for an agent.
fn speaker(n: u8, agent: u8) -> Fake {
    Fake { crypto: port([n; 32], agent), ..Fake::new(n) }
}

fn agent_of(peer: &Fake) -> AgentId {
    AgentId::own(&peer.crypto).unwrap()
}

/// What a peer's agent says of it, to be changed as a test needs it.
fn statement(peer: &Fake) -> Statement {
    Statement {
        agent: agent_of(peer),
        node: peer.id,
        serial: WALL,
        issued_ms: WALL,
        expires_ms: WALL + 30 * DAY_MS,
        prekeys: vec![Prekey { id: WALL, key: vec![9; BOX_KEY_LEN] }],
        revoked: vec![],
    }
}

fn issue(peer: &Fake, change: impl FnOnce(&mut Statement)) -> AgentCertificate {
    let mut s = statement(peer);
    change(&mut s);
    AgentCertificate::issue(s, &peer.crypto).unwrap()
}

fn certificate(peer: &Fake) -> AgentCertificate {
    issue(peer, |_| {})
}

fn short(c: &AgentCertificate) -> CertificateRef {
    c.id().into()
}

/// One message that names a certificate.
fn naming(author: &Fake, seq: u64, certificate: Option<CertificateRef>) -> Batch {
    author.seal(BatchHeader { certificate, ..author.header(seq, &[b"x"]) }, &[b"x"])
}

/// A node that speaks for an agent, on the usual topic.
fn node() -> Driven {
    let mut d = unstarted(77);
    d.run();
    d.command(Command::SetAddrs { addrs: vec![addr(200)] });
    d.command(Command::Subscribe { topic: news() });
    d
}

fn unstarted(agent: u8) -> Driven {
    Driven::with_port(GossipConfig::default(), 5, port(SECRET, agent))
}

/// A node that holds no agent's key, on the usual topic.
fn plain() -> Driven {
    Driven::on_topic()
}

fn send(d: &mut Driven, from: &Fake, certificate: &AgentCertificate) {
    send_bytes(d, from, certificate.bytes().clone());
}

fn send_bytes(d: &mut Driven, from: &Fake, bytes: Bytes) {
    d.frame(from, Lane::Bulk, Message::from(Certificate {}).frame_with(bytes).to_bytes()).unwrap();
}

/// How often `peer` was asked for a certificate.
fn asked(d: &Driven, peer: &Fake, certificate: CertificateRef) -> usize {
    let is = |m: &&&Message| matches!(m, Message::AskCertificates(a) if a.certificates.contains(&certificate));
    d.sent_to(&peer.id).iter().filter(is).count()
}

/// The certificates that were sent to `peer`.
fn given(d: &Driven, peer: &Fake) -> Vec<CertificateRef> {
    d.did
        .iter()
        .filter_map(|did| match did {
            Did::Sent { to, message: Message::Certificate(_), payload, .. } if *to == peer.id => {
                Some(AgentCertificate::id_of(payload).unwrap().into())
            }
            _ => None,
        })
        .collect()
}

/// The certificates that `peer` was told it cannot have.
fn denied(d: &Driven, peer: &Fake) -> Vec<CertificateRef> {
    let of = |m: &&Message| match m {
        Message::NoCertificates(n) => n.certificates.clone(),
        _ => vec![],
    };
    d.sent_to(&peer.id).iter().flat_map(of).collect()
}

/// What `peer` was told is this node's certificate, in order.
fn introduced(d: &Driven, peer: &Fake) -> Vec<CertificateRef> {
    let of = |m: &&Message| match m {
        Message::Certified(c) => Some(c.certificate),
        _ => None,
    };
    d.sent_to(&peer.id).iter().filter_map(of).collect()
}

fn last(d: &Driven) -> Delivery {
    d.delivered().pop().unwrap()
}

/// What is known of the author of the last message.
fn proof(d: &Driven) -> Proof {
    d.node.author_of(&last(d))
}

/// Which nodes' agents the program was told of, in order.
fn told(d: &Driven) -> Vec<(NodeId, Option<AgentId>)> {
    d.did
        .iter()
        .filter_map(|did| match did {
            Did::Event(Event::Agent { node, agent }) => Some((*node, *agent)),
            _ => None,
        })
        .collect()
}

/// The certificates that the program was told not to wait for any longer.
fn settled(d: &Driven) -> Vec<CertificateRef> {
    d.did
        .iter()
        .filter_map(|did| match did {
            Did::Event(Event::Certificate { certificate }) => Some(*certificate),
            _ => None,
        })
        .collect()
}
