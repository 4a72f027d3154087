//! A card: what somebody hands to others so that they can join, and know whom they met.
//!
//! It is short enough for a code that a telephone reads, so neither an ML-DSA key nor an agent's signature is on it: the node signs
//! it, and names its agent and the agent's certificate. Who takes a card takes the agent's id from whoever hands it over; that
//! the node speaks for this agent is proven by the certificate, once the two are linked ([`Card::is_met`]).
//!
//! ```text
//! 0        version     1
//! 1..-64   statement   CBOR map: 0 network's key, 1 node and addresses, 2 agent, 3 certificate, 4 issued, 5 expires (ms)
//! -64..    signature   the node's, over BLAKE3-derive-key("tidings 1 card", all before)
//! ```
//!
//! Whoever has a card can join its network, as with a ticket. It holds as long as the certificate that it names.
//!
//! Invariants: a card that was read is within the limits, in time, and signed by its node.

use minicbor::{Decode, Encode};

use super::certificate::{CLOCKS_MS, MAX_LIFE_MS};
use super::{AgentId, CertificateId, Network, NodeId, PeerAddr, Proof};
use crate::crypto::{Crypto, SIGNATURE_LEN};
use crate::time::UnixMillis;

/// The version this one writes, and the only one it reads.
const VERSION: u8 = 1;
const DOMAIN: &str = "tidings 1 card";
/// Longest card: with eight IPv6 addresses it has some 400 bytes, the rest is for what is added one day.
pub const MAX_CARD: usize = 640;

/// A card, as its node says.
#[derive(Clone, PartialEq, Eq)]
pub struct Card {
    /// The network.
    pub network: Network,
    /// The node, and where it is.
    pub peer: PeerAddr,
    /// The agent it speaks for.
    pub agent: AgentId,
    /// The certificate that says so, when the card was made.
    pub certificate: CertificateId,
    /// When it was made, by the node's clock.
    pub issued: UnixMillis,
    /// Until when it holds.
    pub expires: UnixMillis,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Statement {
    #[cbor(n(0), with = "minicbor::bytes")]
    network: [u8; 32],
    #[n(1)]
    peer: PeerAddr,
    #[n(2)]
    agent: AgentId,
    #[n(3)]
    certificate: CertificateId,
    #[n(4)]
    issued_ms: u64,
    #[n(5)]
    expires_ms: u64,
}

/// Why bytes are no card that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// Not in the format, cut short, or without an address.
    #[error("the card makes no sense: copy it again, whole")]
    Malformed,
    /// Longer, or good for longer, than a card may be.
    #[error("the card is past the limits: it was not made by tidings")]
    Limit,
    /// Of a version this one does not know.
    #[error("the card has version {found}, this tidings knows {VERSION}: update it")]
    Newer {
        /// Its version.
        found: u8,
    },
    /// Not signed by its node.
    #[error("the card is forged: its node did not sign it")]
    Forged,
    /// Made in the future, further than clocks may be apart.
    #[error("the card is from the future: is the clock right?")]
    Future,
    /// It holds no longer.
    #[error("the card has expired: ask for a new one (tidings id --card)")]
    Expired,
}

impl Card {
    /// The card's bytes, signed as the node of `crypto`, which is the card's. `None` if it cannot be written.
    pub fn sign(&self, crypto: &dyn Crypto) -> Option<Vec<u8>> {
        let said = Statement {
            network: *self.network.expose(),
            peer: self.peer.clone(),
            agent: self.agent,
            certificate: self.certificate,
            issued_ms: self.issued.0,
            expires_ms: self.expires.0,
        };
        let mut out = vec![VERSION];
        out.extend_from_slice(&minicbor::to_vec(&said).ok()?);
        let signature = crypto.sign(&digest(&out));
        out.extend_from_slice(&signature);
        (out.len() <= MAX_CARD).then_some(out)
    }

    /// Reads a card: cheap checks first, the signature last.
    pub fn read(bytes: &[u8], now: UnixMillis, crypto: &dyn Crypto) -> Result<Card, CardError> {
        if bytes.len() > MAX_CARD {
            return Err(CardError::Limit);
        }
        let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_LEN>().ok_or(CardError::Malformed)?;
        let (version, said) = signed.split_first().ok_or(CardError::Malformed)?;
        if *version != VERSION {
            return Err(CardError::Newer { found: *version });
        }
        let mut d = minicbor::Decoder::new(said);
        let s: Statement = d.decode().map_err(|_| CardError::Malformed)?;
        if d.position() != said.len() || s.peer.addrs.is_empty() || s.expires_ms <= s.issued_ms {
            return Err(CardError::Malformed);
        }
        if s.expires_ms - s.issued_ms > MAX_LIFE_MS {
            return Err(CardError::Limit);
        }
        if s.issued_ms > now.0.saturating_add(CLOCKS_MS) {
            return Err(CardError::Future);
        }
        if s.expires_ms.saturating_add(CLOCKS_MS) <= now.0 {
            return Err(CardError::Expired);
        }
        if !crypto.verify(&s.peer.id, &digest(signed), signature) {
            return Err(CardError::Forged);
        }
        Ok(Card {
            network: Network::from_key(s.network),
            peer: s.peer,
            agent: s.agent,
            certificate: s.certificate,
            issued: UnixMillis(s.issued_ms),
            expires: UnixMillis(s.expires_ms),
        })
    }

    /// The node.
    pub fn node(&self) -> NodeId {
        self.peer.id
    }

    /// Whether the node turned out to be whose the card says; `None` while that is open.
    pub fn is_met(&self, proof: Proof) -> Option<bool> {
        match proof {
            Proof::Proven(agent) => Some(agent == self.agent),
            Proof::Refused(_) => Some(false),
            Proof::None | Proof::Pending | Proof::Lacking => None,
        }
    }
}

impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Card").field("peer", &self.peer).field("agent", &self.agent).finish_non_exhaustive()
    }
}

fn digest(signed: &[u8]) -> [u8; 32] {
    blake3::derive_key(DOMAIN, signed)
}
