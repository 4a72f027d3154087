//! Who may publish on a topic, and that every node of it sees to that.

#[path = "../common/mod.rs"]
mod common;

mod capabilities;
mod floods;
mod hops;
mod publishing;
mod ruling;
mod tickets;

use std::sync::Arc;

use bytes::Bytes;
use common::*;
use tidings_proto::config::GossipConfig;
use tidings_proto::crypto::{BOX_KEY_LEN, SimCrypto};
use tidings_proto::identity::*;
use tidings_proto::io::*;
use tidings_proto::log::LogPage;
use tidings_proto::pubsub::{
    Batch, BatchHeader, CapabilityError, CapabilityStatement, Delivery, HistoryQuery, PolicyError, TopicCapability,
    TopicPolicy, TopicSecret, TopicTerms,
};
use tidings_proto::time::{Span, UnixMillis};
use tidings_proto::wire::*;

const DAY_MS: u64 = 24 * 3_600_000;
const MINUTE_MS: u64 = 60_000;

/// The agent of the node under test, and the owner of the topic.
const ME: u8 = 50;
const OWNER: u8 = 60;

fn port(key: u8, agent: u8) -> SimCrypto {
    SimCrypto::with_agent(&SecretKey::from_bytes([key; 32]), &AgentSecret::from_bytes([agent; 32]))
}

fn agent(n: u8) -> AgentId {
    AgentId::own(&port(1, n)).unwrap()
}

/// A peer that speaks for an agent.
fn speaker(n: u8, agent: u8) -> Fake {
    Fake { crypto: port(n, agent), ..Fake::new(n) }
}

/// The certificate of a peer's agent for it.
fn certificate(peer: &Fake) -> AgentCertificate {
    let statement = Statement {
        agent: AgentId::own(&peer.crypto).unwrap(),
        node: peer.id,
        serial: WALL,
        issued_ms: WALL,
        expires_ms: WALL + 30 * DAY_MS,
        prekeys: vec![Prekey { id: WALL, key: vec![9; BOX_KEY_LEN] }],
        revoked: vec![],
    };
    AgentCertificate::issue(statement, &peer.crypto).unwrap()
}

/// What the owner says of an agent, to be changed as a test needs it.
fn capability(of: u8, change: impl FnOnce(&mut CapabilityStatement)) -> TopicCapability {
    let mut s = CapabilityStatement {
        topic: owned().1,
        owner: agent(OWNER),
        agent: agent(of),
        issued_ms: WALL,
        expires_ms: WALL + DAY_MS,
    };
    change(&mut s);
    let signer = if s.owner == agent(OWNER) { OWNER } else { 66 };
    TopicCapability::issue(s, &port(1, signer)).unwrap()
}

fn terms(policy: TopicPolicy) -> (TopicTerms, TopicId) {
    let terms = TopicTerms { secret: None, policy: Some(Arc::new(policy)) };
    let id = terms.topic("council").unwrap();
    (terms, id)
}

/// A topic whose owner may publish, and whom it lets.
fn owned() -> (TopicTerms, TopicId) {
    terms(TopicPolicy::new(Some(agent(OWNER)), []).unwrap())
}

/// A topic on which listed agents may.
fn listed() -> (TopicTerms, TopicId) {
    terms(TopicPolicy::new(None, [agent(ME), agent(71), agent(72)]).unwrap())
}

/// The node under test on a topic, with two neighbours on it.
fn scene((terms, topic): (TopicTerms, TopicId)) -> (Driven, [Fake; 2]) {
    scene_with((terms, topic), ME, GossipConfig::default())
}

fn scene_with((terms, topic): (TopicTerms, TopicId), me: u8, config: GossipConfig) -> (Driven, [Fake; 2]) {
    let mut d = Driven::with_port(config, 5, port(200, me));
    d.run();
    d.command(Command::SetAddrs { addrs: vec![addr(200)] });
    d.command(Command::Unlock { topic, terms });
    d.command(Command::Subscribe { topic });
    let friends = [Fake::new(1), Fake::new(2)];
    friends.iter().for_each(|f| d.neighbor_on(f, topic));
    (d, friends)
}

/// One message of an author that names its certificate, and a capability.
fn batch(author: &Fake, topic: TopicId, capability: Option<&TopicCapability>) -> Batch {
    batch_at(author, topic, capability, 1, WALL)
}

fn batch_at(author: &Fake, topic: TopicId, by: Option<&TopicCapability>, seq: u64, wall_ms: u64) -> Batch {
    let header = BatchHeader {
        topic,
        wall_ms,
        certificate: Some(certificate(author).id().into()),
        capability: by.map(TopicCapability::id),
        ..author.header(seq, &[b"x"])
    };
    author.seal(header, &[b"x"])
}

fn give(d: &mut Driven, from: &Fake, certificate: &AgentCertificate) {
    let frame = Message::from(Certificate {}).frame_with(certificate.bytes().clone());
    d.frame(from, Lane::Bulk, frame.to_bytes()).unwrap();
}

fn give_capability(d: &mut Driven, from: &Fake, capability: &TopicCapability) {
    give_bytes(d, from, capability.bytes().clone());
}

fn give_bytes(d: &mut Driven, from: &Fake, bytes: Bytes) {
    d.frame(from, Lane::Bulk, Message::from(Capability {}).frame_with(bytes).to_bytes()).unwrap();
}

/// Capabilities that a peer was asked for.
fn asked_of(d: &Driven, peer: &Fake) -> Vec<CapabilityRef> {
    let sent = d.sent_to(&peer.id);
    let asks = sent.iter().filter_map(|m| match m {
        Message::AskCapabilities(m) => Some(m.capabilities.clone()),
        _ => None,
    });
    asks.flatten().collect()
}

/// What of the topic was delivered, and what was sent to a neighbour.
fn delivered(d: &Driven) -> usize {
    d.delivered().iter().map(Delivery::len).sum()
}

fn kept(d: &Driven) -> usize {
    d.node.topics().iter().map(|t| t.cached_messages).sum()
}

/// That a batch went nowhere.
fn assert_nothing_of_it(d: &Driven, but: &Fake, friends: &[Fake]) {
    assert_eq!((delivered(d), kept(d)), (0, 0));
    for f in friends.iter().filter(|f| f.id != but.id) {
        assert!(d.batches_to(&f.id).is_empty(), "passed on");
        assert!(!d.sent_to(&f.id).iter().any(|m| matches!(m, Message::IHave(_))), "announced");
    }
}

fn refusal(d: &Driven, ticket: Ticket) -> &CommandError {
    match d.reply(ticket) {
        Some(Reply::Refused(why)) => why,
        other => panic!("not refused but {other:?}"),
    }
}
