//! What nodes say to each other about the network's records (`records/`).
//!
//! Arrays where every byte is sent again and again: a refresh takes some thirty.

use minicbor::{Decode, Encode};

/// Most records in one message (a full one costs some fifteen bytes of the body beside its own in the payload).
pub const MAX_RECORDS: usize = 512;
/// Most records named in one message.
pub const MAX_NAMED: usize = 2_048;

/// A set of records, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct SetId(pub u8);

/// A link of a hash chain: whoever knows the one before sees that it belongs, and nobody but the owner knows the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct ChainValue(#[cbor(with = "minicbor::bytes")] pub [u8; 16]);

/// Which refresh of a record this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Refresh {
    /// Its number, from 1.
    #[n(0)]
    pub step: u16,
    /// The value of the record's chain there.
    #[n(1)]
    pub value: ChainValue,
}

/// A whole record; its bytes are in the frame's payload, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct FullRecord {
    /// Of which set.
    #[n(0)]
    pub set: SetId,
    /// Its length.
    #[n(1)]
    pub len: u16,
    /// How long ago it was issued, or refreshed last, in tenths of a second.
    #[n(2)]
    pub age: u32,
    /// The last refresh, if there was one.
    #[n(3)]
    pub refresh: Option<Refresh>,
}

/// A record that its owner says still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct FreshRecord {
    /// Of which set.
    #[n(0)]
    pub set: SetId,
    /// The first eight bytes of its key.
    #[n(1)]
    pub key: u64,
    /// How long ago it was refreshed, in tenths of a second.
    #[n(2)]
    pub age: u32,
    /// The refresh.
    #[n(3)]
    pub refresh: Refresh,
}

/// Records: pushed along the tree on the control lane, or asked for, on the bulk lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Records {
    /// Whole ones, at most [`MAX_RECORDS`].
    #[n(0)]
    #[cbor(default)]
    pub full: Vec<FullRecord>,
    /// Refreshed ones, at most [`MAX_RECORDS`].
    #[n(1)]
    #[cbor(default)]
    pub fresh: Vec<FreshRecord>,
}

/// Announces records on links that are not in the tree.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RecordsHeld {
    /// The first four bytes of each one's id, at most [`MAX_NAMED`].
    #[n(0)]
    pub ids: Vec<u32>,
}

/// Asks for records, and perhaps for the link to be in the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RecordsWanted {
    /// As announced, at most [`MAX_NAMED`].
    #[n(0)]
    #[cbor(default)]
    pub ids: Vec<u32>,
    /// Whole records, by set and the first eight bytes of their keys, at most [`MAX_NAMED`].
    #[n(1)]
    #[cbor(default)]
    pub keys: Vec<(SetId, u64)>,
    /// Whether the link is to be in the tree.
    #[n(2)]
    #[cbor(default)]
    pub eager: bool,
}

/// Measures the tree of records anew: passed on over every link, whoever brings it first is the parent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RecordsWave {
    /// Drawn at random; of two at the same time the lower one goes on.
    #[n(0)]
    pub id: u32,
}

/// Takes a link out of the tree of records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RecordsLazy {}
