//! Where an agent is: a node's signed statement that it speaks for an agent and where it can be reached. Or that it takes part
//! in a topic, and where: the same without a certificate, since anybody may.
//!
//! The node signs with its own key, which is 64 bytes; that the agent wants the node is in the certificate that the
//! statement names by its hash, 5 kB and more, verified once by whoever sees it and kept by hash (`identity/certificate.rs`).
//! So a statement has some 230 bytes, is as good as one signed by the agent, and can be renewed without the agent's key.
//!
//! ```text
//! ..       said        CBOR map, see `Said`: fields can be added, the signature covers them
//! ..+64    signature   Ed25519, by the node, over BLAKE3-keyed(network's key for "tidings 1 whereabouts", said)
//! ```
//!
//! Invariants: a parsed statement is within the limits; it is believed only once [`Whereabouts::check`] has said so and its
//! certificate binds the same agent to the same node.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::crypto::{Crypto, SIGNATURE_LEN};
use crate::identity::{AgentId, CLOCKS_MS, CertificateId, MAX_ADDRS, Network, NodeId, PeerAddr, TopicId};
use crate::time::{Span, UnixMillis};
use crate::wire::MAX_WHEREABOUTS;

/// How long a statement lives. It is renewed at half of that (a guess: a node that died misleads others for an hour at most,
/// and the longest that clocks may be apart is a quarter of it).
pub const LIFE: Span = Span::from_secs(3_600);
/// The longest life that is accepted.
pub const MAX_LIFE: Span = Span::from_secs(4 * 3_600);

/// The key that ties statements to one network.
#[derive(Clone)]
pub struct WhereaboutsKey([u8; 32]);

impl WhereaboutsKey {
    /// That of `network`.
    pub fn new(network: &Network) -> Self {
        WhereaboutsKey(network.derive("tidings 1 whereabouts"))
    }

    fn hash(&self, said: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, said).as_bytes()
    }
}

impl std::fmt::Debug for WhereaboutsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WhereaboutsKey(…)")
    }
}

/// What a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// An agent, and the certificate that binds it to the node.
    Agent(AgentId, CertificateId),
    /// A topic that the node takes part in.
    Topic(TopicId),
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Said {
    /// The agent's or topic's id.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    subject: [u8; 32],
    #[n(1)]
    node: PeerAddr,
    /// Of two statements of one node, the later one counts.
    #[n(2)]
    issued_ms: u64,
    #[n(3)]
    expires_ms: u64,
    /// None: it is about a topic.
    #[n(4)]
    certificate: Option<CertificateId>,
    /// The node speaks for the agent no longer, or wants to be found no longer.
    #[n(5)]
    #[cbor(default)]
    withdrawn: bool,
}

/// Why a statement is not believed. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not in the format, or past its limits.
    #[error("malformed")]
    Malformed,
    /// Expired, from the future, or made to live too long.
    #[error("out of time")]
    Time,
    /// Not signed by the node it speaks of.
    #[error("forged")]
    Forged,
}

/// A node's statement where its agent is, parsed. Cloning it shares its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    said: Said,
    bytes: Bytes,
}

impl Whereabouts {
    /// This node's own statement.
    pub fn issue(
        about: About,
        node: PeerAddr,
        (now, life): (UnixMillis, Span),
        withdrawn: bool,
        key: &WhereaboutsKey,
        crypto: &dyn Crypto,
    ) -> Whereabouts {
        let (issued_ms, expires_ms) = (now.0, now.0.saturating_add(life.as_millis()));
        let (subject, certificate) = match about {
            About::Agent(agent, certificate) => (agent.0, Some(certificate)),
            About::Topic(topic) => (topic.0, None),
        };
        let said = Said { subject, node, issued_ms, expires_ms, certificate, withdrawn };
        let mut bytes = Vec::with_capacity(MAX_WHEREABOUTS);
        let done = minicbor::encode(&said, &mut bytes);
        debug_assert!(done.is_ok(), "encoding into memory cannot fail");
        let signature = crypto.sign(&key.hash(&bytes));
        bytes.extend_from_slice(&signature);
        debug_assert!(bytes.len() <= MAX_WHEREABOUTS);
        Whereabouts { said, bytes: bytes.into() }
    }

    /// Reads a statement and checks all but its time and its signature.
    pub fn parse(bytes: Bytes) -> Result<Whereabouts, Refused> {
        if bytes.len() > MAX_WHEREABOUTS {
            return Err(Refused::Malformed);
        }
        let (said, _) = bytes.split_last_chunk::<SIGNATURE_LEN>().ok_or(Refused::Malformed)?;
        let mut d = minicbor::Decoder::new(said);
        let whole: Said = d.decode().map_err(|_| Refused::Malformed)?;
        if d.position() != said.len() || whole.node.addrs.len() > MAX_ADDRS {
            return Err(Refused::Malformed);
        }
        Ok(Whereabouts { said: whole, bytes })
    }

    /// Whether it may be believed now, by a clock that may be [`CLOCKS_MS`] off.
    pub fn in_time(&self, now: UnixMillis) -> bool {
        let s = &self.said;
        let life = s.expires_ms.checked_sub(s.issued_ms).is_some_and(|l| l > 0 && l <= MAX_LIFE.as_millis());
        life && s.issued_ms <= now.0.saturating_add(CLOCKS_MS) && s.expires_ms.saturating_add(CLOCKS_MS) > now.0
    }

    /// All that can be checked without the certificate, the signature last.
    pub fn check(&self, now: UnixMillis, key: &WhereaboutsKey, crypto: &dyn Crypto) -> Result<(), Refused> {
        if !self.in_time(now) {
            return Err(Refused::Time);
        }
        let (said, signature) = self.bytes.split_last_chunk::<SIGNATURE_LEN>().ok_or(Refused::Malformed)?;
        match crypto.verify(&self.said.node.id, &key.hash(said), signature) {
            true => Ok(()),
            false => Err(Refused::Forged),
        }
    }

    /// What it is about.
    pub fn about(&self) -> About {
        match self.said.certificate {
            Some(certificate) => About::Agent(AgentId(self.said.subject), certificate),
            None => About::Topic(TopicId(self.said.subject)),
        }
    }

    /// The agent's or topic's id.
    pub fn subject(&self) -> [u8; 32] {
        self.said.subject
    }

    /// The agent; `None` for a topic's.
    pub fn agent(&self) -> Option<AgentId> {
        self.said.certificate.map(|_| AgentId(self.said.subject))
    }

    /// The node that says so.
    pub fn node(&self) -> NodeId {
        self.said.node.id
    }

    /// The node and its addresses.
    pub fn peer_addr(&self) -> &PeerAddr {
        &self.said.node
    }

    /// When it was said, by the node's clock: of two, the later one counts.
    pub fn issued_ms(&self) -> u64 {
        self.said.issued_ms
    }

    /// Until when it holds.
    pub fn expires_ms(&self) -> u64 {
        self.said.expires_ms
    }

    /// The certificate that binds the agent to the node; `None` for a topic's.
    pub fn certificate(&self) -> Option<CertificateId> {
        self.said.certificate
    }

    /// Whether the node wants to be found no longer.
    pub fn is_withdrawn(&self) -> bool {
        self.said.withdrawn
    }

    /// The node's own bytes, as they travel.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
