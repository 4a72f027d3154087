//! What neighbours say to make their sets equal ([`crate::anti_entropy`]). Arrays instead of maps where every byte is sent
//! again and again; elements can be added behind all the same.

use minicbor::{Decode, Encode};

use crate::anti_entropy::{StreamTag, Streams};
use crate::identity::TopicId;

/// Names a set among those two neighbours share: the first eight bytes of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct SetTag(pub u64);

impl SetTag {
    /// The network's records. (That a topic's id begins like this happens once in 2^64.)
    pub const RECORDS: SetTag = SetTag(1);

    /// Of a topic.
    pub fn new(topic: &TopicId) -> SetTag {
        let mut first = [0; 8];
        first.copy_from_slice(&topic.0[..8]);
        SetTag(u64::from_be_bytes(first))
    }
}

/// "Do we hold the same?" Answered by [`Same`] or [`Differ`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Compare {
    /// Which set.
    #[n(0)]
    pub set: SetTag,
    /// Comes back in the answers.
    #[n(1)]
    pub session: u32,
    /// The asker keeps what was signed since then, in milliseconds since the Unix epoch.
    #[n(2)]
    pub from: u64,
    /// What is compared was signed less than so many milliseconds after `from`.
    #[n(3)]
    pub span: u64,
    /// The digest's sum.
    #[n(4)]
    pub sum: u64,
    /// The digest's count.
    #[n(5)]
    pub count: u64,
    /// What has just changed here and may be on its way to the other, if anything: at most [`crate::records::MAX_TOLD`].
    #[n(6)]
    pub young: Option<Vec<Change>>,
}

/// A change of a set: the digest after it less the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Change {
    /// The difference of the sums.
    #[n(0)]
    pub sum: u64,
    /// The difference of the counts.
    #[n(1)]
    pub count: i8,
}

/// "We do."
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Same {
    /// The question's.
    #[n(0)]
    pub session: u32,
}

/// "We do not", or "I keep a shorter span: here is what I have of that".
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Differ {
    /// The question's.
    #[n(0)]
    pub session: u32,
    /// Both keep what was signed since then.
    #[n(1)]
    pub from: u64,
    /// The answerer's sum from there on.
    #[n(2)]
    pub sum: u64,
    /// Its count.
    #[n(3)]
    pub count: u64,
    /// Its streams.
    #[n(4)]
    pub streams: u64,
}

/// "This is what I have; send what I lack": answered by batches and [`Served`], perhaps by a [`Pull`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ranges {
    /// Which set.
    #[n(0)]
    pub set: SetTag,
    /// The session.
    #[n(1)]
    pub session: u32,
    /// Of what was signed since then.
    #[n(2)]
    pub from: u64,
    /// What was signed in so many milliseconds after `from` is wanted.
    #[n(3)]
    pub span: u64,
    /// What the asker has.
    #[n(4)]
    pub streams: Streams,
}

/// Numbers wanted of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Wanted {
    /// Of which.
    #[n(0)]
    pub stream: StreamTag,
    /// First.
    #[n(1)]
    pub from: u64,
    /// Last.
    #[n(2)]
    pub to: u64,
}

/// "You have what I lack: send these", or with no ranges: what was offered. Answered by batches and [`Served`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Pull {
    /// Which set.
    #[n(0)]
    pub set: SetTag,
    /// The session.
    #[n(1)]
    pub session: u32,
    /// At most [`crate::anti_entropy::MAX_WANTED`].
    #[n(2)]
    #[cbor(default)]
    pub ranges: Vec<Wanted>,
}

/// Asks for coded symbols.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AskSymbols {
    /// Of which set.
    #[n(0)]
    pub set: SetTag,
    /// The session.
    #[n(1)]
    pub session: u32,
    /// Of what was signed since then.
    #[n(2)]
    pub from: u64,
    /// The first one.
    #[n(3)]
    #[cbor(default)]
    pub first: u32,
    /// How many.
    #[n(4)]
    pub count: u32,
    /// Of the set as it was at the first answer.
    #[n(5)]
    pub as_of: Option<u64>,
}

/// Coded symbols, as the frame's payload; none when the state asked for is past.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Symbols {
    /// Of which set.
    #[n(0)]
    pub set: SetTag,
    /// The session.
    #[n(1)]
    pub session: u32,
    /// What turns ids into items.
    #[n(2)]
    pub key: u64,
    /// How many items the set has.
    #[n(3)]
    pub items: u64,
    /// Names the set's state.
    #[n(4)]
    pub as_of: u64,
    /// The index of the first symbol.
    #[n(5)]
    pub first: u32,
}

/// Asks for what was found by symbols. Answered by batches and [`Served`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct WantItems {
    /// Of which set.
    #[n(0)]
    pub set: SetTag,
    /// The session.
    #[n(1)]
    pub session: u32,
    /// The key they are named by.
    #[n(2)]
    pub key: u64,
    /// At most [`crate::anti_entropy::MAX_ITEMS`].
    #[n(3)]
    pub items: Vec<u64>,
}

/// "I found so much that you lack": answered by an empty [`Pull`], or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Offer {
    /// Of which set.
    #[n(0)]
    pub set: SetTag,
    /// The session.
    #[n(1)]
    pub session: u32,
    /// How many items.
    #[n(2)]
    pub count: u64,
}

/// One of the batches in a [`Bundle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Bundled {
    /// Its length.
    #[n(0)]
    pub len: u32,
    /// Links travelled, this one included.
    #[n(1)]
    pub hop: u16,
    /// How long ago whoever sends it had it, in units of 100 µs.
    #[n(2)]
    pub held: u64,
}

/// Batches that were asked for, their authors' own bytes one behind the other as the frame's payload.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Bundle {
    /// At most [`crate::anti_entropy::MAX_BUNDLE`].
    #[n(0)]
    pub batches: Vec<Bundled>,
}

/// Everything that was asked for and is still there has been sent. It follows it on the bulk lane.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Served {
    /// Of which set.
    #[n(0)]
    pub set: SetTag,
    /// The session.
    #[n(1)]
    pub session: u32,
    /// How many batches.
    #[n(2)]
    pub count: u64,
    /// There was more than is sent at once: ask again.
    #[n(3)]
    #[cbor(default)]
    pub more: bool,
}
