//! Index adverts: "I hold records for others, at this address; two other nodes have reached me there."
//!
//! A record of the network-wide set `INDEX`, signed by its node as records are (`records/signed.rs`), refreshed along its
//! hash chain. Its content is a CBOR map:
//!
//! | key | | |
//! |---|---|---|
//! | 0 | peer | the node and its addresses; the first is the one that was reached |
//! | 1 | array of two attestations (`reach.rs`) | who has reached it there, when, and the signatures |
//!
//! Its key is the node's id, so that nobody can replace another's. All nodes of one place (the /24 or /48 of the first
//! address) share one place among the holders (`index.rs`); a node does not advertise itself where [`SLOTS`] others do.
//!
//! What attestations are good for: a node that cannot be reached, and does not know, is not in the index; nobody can put another
//! node there. What they are not: keys cost nothing, so whoever likes can attest any address, at which nobody answers. That an
//! advert is in the set says only that it is well formed; what it counts for each node judges for itself (`admission.rs`).
//!
//! When the set is full those stay that this node has reached, or enough of its neighbours, then those lowest by the hash of day
//! and id, so that nodes agree about the others.
//!
//! Invariants: whether a record belongs in the set depends on its bytes, the clock and the port alone, so that all nodes agree.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::Place;
use super::reach::{self, Attestation, UNRELATED};
use crate::crypto::Crypto;
use crate::identity::{MAX_ADDRS, PeerAddr, RecordKey};
use crate::records::sets::{Claim, Refused, SetId};
use crate::records::{Context, signed};
use crate::time::{Span, UnixMillis};

/// Nodes of one place that advertise: enough for a network that sits in one (a guess: twice the holders of a shard).
pub const SLOTS: u8 = 16;
/// Attestations an advert needs.
pub const ATTESTED: usize = UNRELATED;
/// How long an advert holds without a refresh: a holder that died is asked in vain for half an hour at most (a guess; a
/// refresh costs some forty bytes on each link of the tree).
pub const ADVERT_LIFE: Span = Span::from_secs(1_800);
/// Longest advert: all addresses, and as much again for what is added one day.
pub const MAX_ADVERT: usize = 1_024;

/// The content of an advert.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Advert {
    /// The node, and where it is reached.
    #[n(0)]
    pub node: PeerAddr,
    /// Who has reached it there.
    #[n(1)]
    pub attested: Vec<Attestation>,
}

impl Advert {
    /// Reads an advert that the set holds, or is to hold.
    pub fn parse(record: &Bytes) -> Result<Advert, Refused> {
        let content = signed::content(record);
        let mut d = minicbor::Decoder::new(&content);
        let a: Advert = d.decode().map_err(|_| Refused::Malformed)?;
        let addrs = a.node.addrs.len();
        let whole = d.position() == content.len() && (1..=MAX_ADDRS).contains(&addrs) && a.attested.len() == ATTESTED;
        if whole { Ok(a) } else { Err(Refused::Malformed) }
    }

    /// Where the node sits.
    pub fn place(&self) -> Option<Place> {
        self.node.addrs.first().map(|a| Place::of(&self.node.id, a))
    }

    /// Signs it as a record.
    pub fn sign(&self, network: &[u8; 32], said: &signed::Statement, set: SetId, crypto: &dyn Crypto) -> Bytes {
        let mut content = Vec::with_capacity(512);
        let done = minicbor::encode(self, &mut content);
        debug_assert!(done.is_ok(), "encoding into memory cannot fail");
        signed::sign(set, network, crypto, said, &content)
    }
}

/// What an advert says, as the set of records asks.
pub fn peek(bytes: &[u8]) -> Result<Claim, Refused> {
    let claim = signed::peek(bytes)?;
    let a = Advert::parse(&Bytes::copy_from_slice(bytes))?;
    let owner = claim.key.0 == a.node.id.0;
    let [first, second] = a.attested.as_slice() else { return Err(Refused::Malformed) };
    let fits = |t: &Attestation| {
        t.of.id == a.node.id && a.node.addrs.first().is_some_and(|addr| t.is_of(addr)) && t.counts_at(claim.issued)
    };
    let in_time = a.attested.iter().all(fits);
    if owner && first.by != second.by && in_time { Ok(claim) } else { Err(Refused::Malformed) }
}

/// Whether the node and both that reached it signed.
pub fn verify(set: SetId, bytes: &[u8], context: &Context<'_>) -> bool {
    let Ok(a) = Advert::parse(&Bytes::copy_from_slice(bytes)) else { return false };
    let Some(addr) = a.node.addrs.first() else { return false };
    let Ok(claim) = signed::peek(bytes) else { return false };
    signed::verify(set, bytes, context)
        && reach::proves(&a.attested, context.crypto, context.reached, &a.node.id, &[*addr], claim.issued)
}

/// Who stays when the set is full, of those nobody here has reached: others each day. Whoever draws keys for it wins a place among
/// strangers. (SplitMix64's mixing, since it is asked of the whole set whenever one comes.)
pub fn rank(key: &RecordKey, wall: UnixMillis) -> u64 {
    let head = key.0.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    let mut z = head ^ (wall.0 / 86_400_000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
