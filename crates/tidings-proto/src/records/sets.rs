//! The table of sets: how large each may be, what belongs in it, who stays when it is full.
//!
//! A set's rules are pure functions. [`Rules::peek`] reads a record and refuses what needs no signature to be refused; only
//! what is new and within its time and its limits is then verified. To add a set, add a row.

use super::{Context, signed};
use crate::discovery::{advert, coordinator};
use crate::identity::{MAX_LIFE_MS, RecordKey, revocations};
use crate::roles::announce;
use crate::time::{Span, UnixMillis};
use crate::wire::ChainValue;

pub use crate::wire::SetId;

/// Who is here, sealed for those who may know.
pub const PRESENCE: SetId = SetId(1);
/// Nodes that advertise as coordinators.
pub const COORDINATORS: SetId = SetId(2);
/// Nodes that hold rendezvous records.
pub const INDEX: SetId = SetId(3);
/// Changes of roles.
pub const ROLES: SetId = SetId(4);
/// Agents' nodes that speak for them no longer.
pub const REVOCATIONS: SetId = SetId(5);

/// What a record says of itself; nothing is proven yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it is kept under.
    pub key: RecordKey,
    /// The higher version of a key stands.
    pub version: u64,
    /// When it was made, by its owner's clock.
    pub issued: UnixMillis,
    /// How long it holds from then on, or from its last refresh.
    pub life: Span,
    /// What the values of its refreshes lead to; none if it cannot be refreshed.
    pub anchor: Option<ChainValue>,
}

/// Why bytes are no record of a set. Nothing was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Not in the set's format.
    #[error("the record is malformed")]
    Malformed,
    /// Longer than the set's records may be.
    #[error("the record is too long")]
    TooLong,
    /// It would hold longer than the set's records may.
    #[error("the record would hold too long")]
    TooLongLived,
    /// It is over, or of a time to come, by more than clocks may disagree.
    #[error("the record is out of time")]
    OutOfTime,
    /// A version of the key that is as new, or newer, is known.
    #[error("the record is older than what is known")]
    Old,
    /// It is not signed by whom it speaks of.
    #[error("the record is not signed by its owner")]
    Forged,
    /// The set is full.
    #[error("the set is full")]
    Full,
    /// Too many came at once.
    #[error("too many records at once")]
    Limited,
    /// It says what cannot be.
    #[error("the record says what cannot be")]
    Implausible,
    /// No such set.
    #[error("no such set of records")]
    NoSet,
}

/// Who stays when a set is full.
#[derive(Clone, Copy, Debug)]
pub enum Stays {
    /// Who came first, and a node's own neighbours before others: floods of new keys push out nobody.
    First,
    /// Those the set's owner favours here (`Store::favour`) and a node's own neighbours, then the keys with the
    /// lowest rank, which nodes agree on.
    Favoured(fn(&RecordKey, UnixMillis) -> u64),
}

/// The rules of one set.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Which.
    pub set: SetId,
    /// Records kept at most.
    pub most: usize,
    /// Bytes of them at most.
    pub most_bytes: usize,
    /// Bytes of one at most.
    pub longest: usize,
    /// How long one may hold without a refresh.
    pub life: Span,
    /// What a record says, or why it is none.
    pub peek: fn(&[u8]) -> Result<Claim, Refused>,
    /// Whether its owner signed it.
    pub verify: fn(SetId, &[u8], &Context<'_>) -> bool,
    /// Who stays when the set is full.
    pub stays: Stays,
}

/// Every set this version knows. Records of others are refused, and not passed on.
static SETS: [Rules; 5] = [
    // Some 600 bytes a node with what keeping it takes: 10 MiB for the largest network whose nodes all know each other (a guess).
    Rules {
        set: PRESENCE,
        most: 16_384,
        most_bytes: 8 << 20,
        longest: 512,
        life: Span::from_secs(24 * 3_600),
        peek: signed::peek,
        verify: signed::verify,
        stays: Stays::First,
    },
    Rules {
        set: COORDINATORS,
        most: 1_024,
        most_bytes: 8 << 20,
        longest: 8 << 10,
        life: Span::from_secs(24 * 3_600),
        peek: coordinator::peek,
        verify: coordinator::verify,
        stays: Stays::First,
    },
    Rules {
        set: REVOCATIONS,
        most: 1_024,
        most_bytes: 8 << 20,
        longest: revocations::MAX_RECORD,
        life: Span::from_millis(MAX_LIFE_MS),
        peek: revocations::peek,
        verify: revocations::verify,
        stays: Stays::First,
    },
    // The relays of the largest network, a quarter too many of them (`roles/manager.rs`).
    Rules {
        set: ROLES,
        most: 1_024,
        most_bytes: 2 << 20,
        longest: announce::MAX_ANNOUNCE,
        life: announce::LIFE,
        peek: announce::peek,
        verify: announce::verify,
        stays: Stays::First,
    },
    Rules {
        set: INDEX,
        most: 2_048,
        most_bytes: 2 << 20,
        longest: advert::MAX_ADVERT,
        life: advert::ADVERT_LIFE,
        peek: advert::peek,
        verify: advert::verify,
        stays: Stays::Favoured(advert::rank),
    },
];

/// The rules of a set, if there is one.
pub fn rules(set: SetId) -> Option<&'static Rules> {
    SETS.iter().find(|r| r.set == set)
}

/// Every set's rules.
pub fn all() -> &'static [Rules] {
    &SETS
}
