//! Anti-entropy: making two sets equal at a cost that grows with their difference, not with their size.
//!
//! One way for every set of signed things that neighbours keep, whatever the things are; a *set* here is known by a tag, a
//! span of time (two peers that keep different spans compare the one they share), and items of 16 bytes. Sources: rateless
//! IBLTs (Yang, Gilad, Alizadeh, SIGCOMM 2024); the epidemic's other half, comparing and pulling, is from Demers et al.,
//! PODC 1987.
//!
//! How two peers become equal, the asker on the left:
//!
//! ```text
//! Compare{from, until, digest, count}  ──▶  equal:  Same                                    61 bytes for both, and the end
//!                                      ◀──  else:   Differ{from, digest, count, streams}    from: the span that both keep
//!   few streams, or a large difference:
//! Ranges{what I have, author by author} ─▶  serves what I lack; Pull{what it lacks}         one round trip
//!   else:
//! AskSymbols{first, count}             ◀─▶  Symbols{key, items}, until they decode
//! WantItems{what I lack}, Offer        ◀──  Pull{} if it has time for what it lacks
//!                                           Bundle…, Served                                 on the bulk lane
//! ```
//!
//! What is served is paced by the lane's credit, so a transfer takes neither live batches' room nor memory. A node pulls
//! from one peer at a time ([`session`]), the most divergent first: what several neighbours have is fetched once. Whoever got
//! something compares with its other neighbours then, so that what one link brings reaches those behind it.
//!
//! Invariants: equal sets cost one small exchange; nothing is believed, what comes is verified like everything else; symbols,
//! items, streams and sessions are bounded, and so is what a peer can make us do; a session without progress ends.

mod digest;
pub mod riblt;
pub(crate) mod serving;
pub mod session;
mod sketches;
mod streams;
pub(crate) mod sync;

pub use digest::Digest;
pub use sketches::{Mirror, Sketches, Stream, Symbols};
pub use streams::{Gaps, StreamTag, Streams};

/// What comparing a set with the neighbours' came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ReconciliationStats {
    /// Messages that were missing here and came.
    pub messages_recovered: u64,
    /// Neighbours compared with.
    pub peers_contacted: u64,
    /// Bytes sent and received to find and fetch what differed; comparing equal logs costs some 60 each.
    pub bytes: u64,
    /// Sessions it took.
    pub rounds: u64,
}

/// Most streams said in one message (some 24 bytes each: most of a longest body).
pub const MAX_STREAMS: usize = 2_048;
/// Most stretches of numbers asked for in one message (38 bytes each at most).
pub const MAX_WANTED: usize = 1_024;
/// Most numbers in all spans of one message.
pub const MAX_SPANS: usize = 8_192;
/// Most items named in one message.
pub const MAX_ITEMS: usize = 4_096;
/// Most batches in one message.
pub const MAX_BUNDLE: usize = 512;
/// Most symbols in one message (some 14 bytes each: within the longest payload).
pub const MAX_SYMBOLS: usize = 4_096;
