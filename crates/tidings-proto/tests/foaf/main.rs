//! Finding agents by asking neighbours, one node at a time: what it passes on, answers, keeps and refuses.

#[path = "../common/mod.rs"]
mod common;

mod asking;
mod deposits;
mod passing_on;
mod the_way_back;

use bytes::Bytes;
use common::*;
use tidings_proto::crypto::{Crypto, SimCrypto};
use tidings_proto::discovery::{About, LIFE, Whereabouts, WhereaboutsKey};
use tidings_proto::identity::*;
use tidings_proto::io::*;
use tidings_proto::time::{Span, UnixMillis};
use tidings_proto::wire::*;

/// An agent on a node of its own, somewhere in the network.
pub(crate) struct Somebody {
    pub(crate) node: Fake,
    pub(crate) crypto: SimCrypto,
    pub(crate) agent: AgentId,
    pub(crate) certificate: AgentCertificate,
}

pub(crate) fn secret(n: u8) -> AgentSecret {
    AgentSecret::from_bytes([n; 32])
}

impl Somebody {
    pub(crate) fn new(n: u8) -> Somebody {
        Somebody::with(n, n, |_| {})
    }

    /// The agent `agent` on node `n`, with a certificate that says something else.
    pub(crate) fn with(n: u8, agent: u8, change: impl FnOnce(&mut Statement)) -> Somebody {
        let crypto = SimCrypto::with_agent(&SecretKey::from_bytes([n; 32]), &secret(agent));
        let agent = AgentId::own(&crypto).unwrap();
        let mut statement = Statement {
            agent,
            node: crypto.node_id(),
            serial: 1,
            issued_ms: WALL,
            expires_ms: WALL + 86_400_000,
            prekeys: vec![],
            revoked: vec![],
        };
        change(&mut statement);
        let certificate = AgentCertificate::issue(statement, &crypto).unwrap();
        Somebody { node: Fake::new(n), crypto, agent, certificate }
    }

    /// What it says at `at`, for `life`.
    pub(crate) fn says_at(&self, at: u64, life: Span, withdrawn: bool) -> Whereabouts {
        let when = (UnixMillis(at), life);
        let key = WhereaboutsKey::new(&network());
        let id = self.certificate.id();
        Whereabouts::issue(About::Agent(self.agent, id), self.node.addr.clone(), when, withdrawn, &key, &self.crypto)
    }

    pub(crate) fn says(&self) -> Whereabouts {
        self.says_at(WALL, LIFE, false)
    }
}

/// A node with so many neighbours in the network's overlay: peers 1, 2, …
pub(crate) fn among(neighbors: u8) -> Driven {
    with_neighbors(Driven::new(), neighbors)
}

pub(crate) fn with_neighbors(mut d: Driven, neighbors: u8) -> Driven {
    for n in 1..=neighbors {
        let f = Fake::new(n);
        d.link(&f);
        d.befriend(&f, Overlay::Root);
    }
    d.did.clear();
    d
}

/// A deposit with its certificate.
pub(crate) fn deposit(d: &mut Driven, from: &Fake, w: &Whereabouts, certificate: &AgentCertificate, ttl: u8) {
    let m = Deposit { whereabouts: w.bytes().to_vec(), walk: 0, ttl, known: 0 };
    let frame = Message::from(m).frame_with(certificate.bytes().clone());
    d.frame(from, Lane::Control, frame.to_bytes()).unwrap();
}

/// A query for an agent, as somebody far away would send it, and the secret half of its key.
pub(crate) fn seek(agent: &AgentId, salt: u8) -> (Seek, [u8; 32]) {
    let (salt, key) = ([salt; 16], [77; 32]);
    let mut both = salt.to_vec();
    both.extend_from_slice(agent.as_bytes());
    let hash = blake3::keyed_hash(&network().derive("tidings 1 foaf target"), &both);
    let target = hash.as_bytes()[..16].try_into().unwrap();
    let public = SimCrypto::new(&SecretKey::from_bytes([1; 32])).agree_public(&key);
    (Seek { id: 1_000, salt, target, key: public, stem: 0, ttl: 3 }, key)
}

/// A query for somebody nobody knows.
pub(crate) fn seek_nobody(n: u8) -> Seek {
    seek(&AgentId([n; 32]), n).0
}

/// The queries passed on: to whom, and what.
pub(crate) fn passed_on(d: &Driven) -> Vec<(NodeId, Seek)> {
    let sent = |x: &Did| match x {
        Did::Sent { to, message: Message::Seek(m), .. } => Some((*to, m.clone())),
        _ => None,
    };
    d.did.iter().filter_map(sent).collect()
}

/// The answers given: to whom, under which id, and what was sealed; nothing for "not found".
pub(crate) fn answers(d: &Driven) -> Vec<(NodeId, u64, Option<Bytes>)> {
    let sent = |x: &Did| match x {
        Did::Sent { to, message: Message::Found(m), payload, .. } => Some((*to, m.id, Some(payload.clone()))),
        Did::Sent { to, message: Message::NotFound(m), .. } => Some((*to, m.id, None)),
        _ => None,
    };
    d.did.iter().filter_map(sent).collect()
}

pub(crate) fn peer(id: NodeId) -> Fake {
    (1..=255).map(Fake::new).find(|f| f.id == id).unwrap()
}

/// Opens an answer as the asker would.
pub(crate) fn open(m: &Seek, agent: &AgentId, secret: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
    let port = SimCrypto::new(&SecretKey::from_bytes([1; 32]));
    let theirs: &[u8; 32] = sealed[..32].try_into().unwrap();
    let mut h = blake3::Hasher::new_derive_key("tidings 1 foaf answer");
    h.update(&port.agree(secret, theirs)?).update(theirs).update(&m.key).update(&m.salt).update(agent.as_bytes());
    let aad = [m.salt, m.target].concat();
    port.open(h.finalize().as_bytes(), &[0; 12], &aad, &sealed[32..])
}

/// Seals statements as somebody who answers would.
pub(crate) fn seal(m: &Seek, agent: &AgentId, said: &[(&Whereabouts, &AgentCertificate)]) -> Bytes {
    let port = SimCrypto::new(&SecretKey::from_bytes([1; 32]));
    let mut plain = Vec::new();
    for (w, c) in said {
        for part in [w.bytes(), c.bytes()] {
            plain.extend_from_slice(&(part.len() as u16).to_le_bytes());
            plain.extend_from_slice(part);
        }
    }
    let (secret, mut out) = ([33; 32], port.agree_public(&[33; 32]).to_vec());
    let mut h = blake3::Hasher::new_derive_key("tidings 1 foaf answer");
    h.update(&port.agree(&secret, &m.key).unwrap()).update(&out).update(&m.key).update(&m.salt);
    h.update(agent.as_bytes());
    let aad = [m.salt, m.target].concat();
    out.extend_from_slice(&port.seal(h.finalize().as_bytes(), &[0; 12], &aad, &plain));
    out.into()
}

pub(crate) fn found(d: &mut Driven, from: &Fake, id: u64, sealed: Bytes) {
    d.frame(from, Lane::Control, Message::from(Found { id }).frame_with(sealed).to_bytes()).unwrap();
}
