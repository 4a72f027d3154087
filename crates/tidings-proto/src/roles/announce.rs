//! What a node says of its role to everybody, and what others sign for it.
//!
//! A [`RoleChangeAnnounce`] is a record of the set of roles ([`crate::records`]): one a node, the highest sequence number
//! stands, signed with the node's key, over before long. Its content is a CBOR map in the one form that this code writes:
//!
//! | key | | |
//! |---|---|---|
//! | 0 | u8 | the role: 0 peer, 1 relay |
//! | 1 | f64 | the score that its owner believes to have, 0 to 1000 |
//! | 2 | array of [`Vouch`] | at most [`MAX_VOUCHES`], of different customers, in the order of their ids |
//!
//! A record set and not a broadcast: who joins later has them all at once, halves of a partition become one, and the
//! latest of a node stands without being told so.
//!
//! A [`Vouch`] is a customer's signed word how much a relay carried for it of late, given to the relay alone, which shows the best it has
//! (`evidence.rs`).
//!
//! Invariants: whatever is changed in either, the signature fails; what is not in the one form, or says what cannot be, is
//! refused before a signature is looked at; whether an announcement is refused depends on its bytes, the clock and the port alone.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::PeerRole;
use super::scoring::MAX_PLAUSIBLE_SCORE;
use crate::crypto::{Crypto, SIGNATURE_LEN};
use crate::identity::{NodeId, RecordKey};
use crate::records::sets::{Claim, Refused, SetId};
use crate::records::{Context, sets, signed};
use crate::time::{Span, UnixMillis};
use crate::wire::ChainValue;

/// How long an announcement holds: a relay that is gone is named for two hours at most (a guess; each renewal is a record to
/// everybody).
pub const LIFE: Span = Span::from_secs(2 * 3_600);
/// Customers' words in one announcement (a guess: some two kilobytes).
pub const MAX_VOUCHES: usize = 16;
/// Longest record: sixteen words of 144 bytes, and room.
pub const MAX_ANNOUNCE: usize = 3_072;
/// How old a customer's word may be: of what it says, three tenths are left then.
pub const VOUCH_LIFE_MS: u64 = 24 * 3_600_000;
/// How much clocks may disagree about it.
const SKEW_MS: u64 = 15 * 60_000;

/// What is wrong with an announcement. Nothing was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// Not in the format.
    #[error("the announcement is malformed")]
    Malformed,
    /// The score is no number, negative, or over 1000.
    #[error("no score can be what the announcement says")]
    Implausible,
    /// Not signed by the node it speaks of, or a customer's word is not the customer's.
    #[error("the announcement is not signed by whom it names")]
    Forged,
    /// One as new, or newer, is known.
    #[error("the announcement is older than what is known")]
    Old,
    /// It is over, or of a time to come.
    #[error("the announcement is out of time")]
    OutOfTime,
    /// As many are known as can be kept.
    #[error("too many announcements are known")]
    Full,
}

/// A customer's word: so much a relay carried for it, each message and byte by what it weighed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouch {
    /// The customer.
    pub by: NodeId,
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
    /// When, by the customer's clock.
    pub at: UnixMillis,
    /// The customer's, over the relay and all of these.
    pub signature: [u8; SIGNATURE_LEN],
}

impl Vouch {
    /// Signs one as the node that `crypto` signs for.
    pub fn sign(
        network: &[u8; 32],
        crypto: &dyn Crypto,
        relay: &NodeId,
        messages: u64,
        bytes: u64,
        at: UnixMillis,
    ) -> Vouch {
        let mut v = Vouch { by: crypto.node_id(), messages, bytes, at, signature: [0; SIGNATURE_LEN] };
        v.signature = crypto.sign(&v.digest(network, relay));
        v
    }

    fn digest(&self, network: &[u8; 32], relay: &NodeId) -> [u8; 32] {
        let mut h = blake3::Hasher::new_keyed(&blake3::derive_key("tidings 1 vouch", network));
        h.update(self.by.as_bytes()).update(relay.as_bytes());
        for number in [self.messages, self.bytes, self.at.0] {
            h.update(&number.to_le_bytes());
        }
        *h.finalize().as_bytes()
    }

    /// Whether the customer signed it, for this relay.
    pub fn verify(&self, network: &[u8; 32], crypto: &dyn Crypto, relay: &NodeId) -> bool {
        crypto.verify(&self.by, &self.digest(network, relay), &self.signature)
    }

    /// Whether it may be believed at a time.
    pub fn counts_at(&self, at: UnixMillis) -> bool {
        self.at.0 <= at.0.saturating_add(SKEW_MS) && at.0 < self.at.0.saturating_add(VOUCH_LIFE_MS)
    }
}

impl<C> Encode<C> for Vouch {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(5)?.bytes(self.by.as_bytes())?.u64(self.messages)?.u64(self.bytes)?.u64(self.at.0)?;
        e.bytes(&self.signature)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Vouch {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let wrong = minicbor::decode::Error::message("no vouch");
        if d.array()? != Some(5) {
            return Err(wrong);
        }
        let by = NodeId(d.bytes()?.try_into().map_err(|_| minicbor::decode::Error::message("no node"))?);
        let (messages, bytes, at) = (d.u64()?, d.u64()?, UnixMillis(d.u64()?));
        let signature = d.bytes()?.try_into().map_err(|_| wrong)?;
        Ok(Vouch { by, messages, bytes, at, signature })
    }
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Content {
    #[n(0)]
    role: u8,
    #[n(1)]
    score: f64,
    #[n(2)]
    vouches: Vec<Vouch>,
}

/// A node says that its role changed, or is still what it was.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleChangeAnnounce {
    /// The node.
    pub node_id: NodeId,
    /// What it is.
    pub new_role: PeerRole,
    /// The score it believes to have: a claim.
    pub score: f64,
    /// When, by its clock.
    pub timestamp: UnixMillis,
    /// The higher one stands.
    pub sequence: u64,
    /// When it is over, by the node's clock.
    pub expires: UnixMillis,
    /// What its customers say.
    pub vouches: Vec<Vouch>,
    /// The node's, over all of this.
    pub signature: [u8; SIGNATURE_LEN],
}

impl RoleChangeAnnounce {
    /// Signs it as the node that `crypto` signs for. `network` is the key of the network's records.
    pub fn sign(mut self, network: &[u8; 32], crypto: &dyn Crypto) -> RoleChangeAnnounce {
        self.node_id = crypto.node_id();
        let record = signed::sign(sets::ROLES, network, crypto, &self.statement(), &self.content());
        if let Some(signature) = record.last_chunk::<SIGNATURE_LEN>() {
            self.signature = *signature;
        }
        self
    }

    fn statement(&self) -> signed::Statement {
        let life = Span::from_millis(self.expires.0.saturating_sub(self.timestamp.0).min(u64::from(u32::MAX)));
        signed::Statement { version: self.sequence, issued: self.timestamp, life, anchor: ChainValue([0; 16]) }
    }

    fn content(&self) -> Vec<u8> {
        let content = Content { role: u8::from(self.new_role), score: self.score, vouches: self.vouches.clone() };
        let mut out = Vec::with_capacity(32 + 144 * self.vouches.len());
        let done = minicbor::encode(content, &mut out);
        debug_assert!(done.is_ok(), "encoding into memory cannot fail");
        out
    }

    /// The record.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = signed::head(&self.node_id, &self.statement());
        out.extend_from_slice(&self.content());
        out.extend_from_slice(&self.signature);
        out.into()
    }

    /// Reads a record. No signature is looked at.
    pub fn parse(record: &Bytes) -> Result<RoleChangeAnnounce, AnnounceError> {
        let claim = signed::peek(record).map_err(|_| AnnounceError::Malformed)?;
        let signature = *record.last_chunk::<SIGNATURE_LEN>().ok_or(AnnounceError::Malformed)?;
        let content: Content = minicbor::decode(&signed::content(record)).map_err(|_| AnnounceError::Malformed)?;
        let a = RoleChangeAnnounce {
            node_id: NodeId(claim.key.0),
            new_role: PeerRole::try_from(content.role).map_err(|()| AnnounceError::Malformed)?,
            score: content.score,
            timestamp: claim.issued,
            sequence: claim.version,
            expires: UnixMillis(claim.issued.0.saturating_add(claim.life.as_millis())),
            vouches: content.vouches,
            signature,
        };
        if !a.score.is_finite() || a.score.is_sign_negative() || a.score > MAX_PLAUSIBLE_SCORE {
            return Err(AnnounceError::Implausible);
        }
        let ordered = a.vouches.windows(2).all(|w| w[0].by < w[1].by);
        let others = a.vouches.iter().all(|v| v.by != a.node_id && v.counts_at(a.timestamp));
        if a.vouches.len() > MAX_VOUCHES || !ordered || !others || a.to_bytes() != *record {
            return Err(AnnounceError::Malformed);
        }
        Ok(a)
    }

    /// Whether the node signed exactly this, and its customers what it shows of them.
    pub fn verify_signature(&self, network: &[u8; 32], crypto: &dyn Crypto) -> Result<(), AnnounceError> {
        // Of the context only these two are looked at.
        let context = Context { crypto, network, reached: &[0; 32] };
        let own = signed::verify(sets::ROLES, &self.to_bytes(), &context);
        let customers = own && self.vouches.iter().all(|v| v.verify(network, crypto, &self.node_id));
        if customers { Ok(()) } else { Err(AnnounceError::Forged) }
    }
}

/// What an announcement says of itself, for the table of sets. It cannot be refreshed: a new one brings new words of customers.
pub(crate) fn peek(bytes: &[u8]) -> Result<Claim, Refused> {
    let a = RoleChangeAnnounce::parse(&Bytes::copy_from_slice(bytes)).map_err(|e| match e {
        AnnounceError::Implausible => Refused::Implausible,
        _ => Refused::Malformed,
    })?;
    let life = Span::from_millis(a.expires.0.saturating_sub(a.timestamp.0));
    Ok(Claim { key: RecordKey(a.node_id.0), version: a.sequence, issued: a.timestamp, life, anchor: None })
}

/// Whether it is its node's, and the words in it their customers', for the table of sets.
pub(crate) fn verify(_: SetId, bytes: &[u8], context: &Context<'_>) -> bool {
    RoleChangeAnnounce::parse(&Bytes::copy_from_slice(bytes))
        .is_ok_and(|a| a.verify_signature(context.network, context.crypto).is_ok())
}
