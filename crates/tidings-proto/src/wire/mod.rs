//! The wire: frames, their header, their tags and their limits. `docs/protocol.md` describes every byte.
//!
//! A frame is a fixed header of eight bytes, a CBOR body, and raw payload bytes behind it that are never copied:
//!
//! ```text
//! 0        version   u8    1
//! 1        tag       u8    what the body is; unknown tags are skipped and counted
//! 2..4     body      u16   little endian, length of the CBOR body
//! 4..8     payload   u32   little endian, length of the raw bytes behind the body
//! ```
//!
//! Bodies are CBOR maps with integer keys: a field can be added without breaking an older peer, and an older
//! peer's frame is read with the missing fields at their defaults.

mod capabilities;
mod certificates;
mod circuits;
mod direct;
mod foaf;
mod frame;
mod large;
mod messages;
mod probes;
mod reach;
mod reconcile;
mod records;
mod rendezvous;
mod roles;
mod routing;
mod table;

pub use capabilities::*;
pub use certificates::*;
pub use circuits::*;
pub use direct::{CloseSession, Envelopes, OpenSession, Receipt};
pub use foaf::*;
pub use frame::{Frame, HEADER_LEN, Header, Lane, LinkRefusal, split_frame};
pub use large::*;
pub use messages::*;
pub use probes::*;
pub use reach::{AskReach, Reached};
pub use reconcile::*;
pub use records::*;
pub use rendezvous::*;
pub use roles::VouchFor;
pub use routing::*;
pub use table::Message;

/// The version in every frame's first byte. A frame of another version is refused.
pub const VERSION: u8 = 1;

/// The ALPN of the links, with the wire's version.
pub const ALPN: &[u8] = b"tidings/1";

/// Longest CBOR body: what its length field can say.
pub const MAX_BODY: usize = u16::MAX as usize;

/// Longest raw payload behind a body: one full batch with its header and signature.
pub const MAX_PAYLOAD: usize = 96 * 1024;

/// Longest frame.
pub const MAX_FRAME: usize = HEADER_LEN + MAX_BODY + MAX_PAYLOAD;

/// Largest datagram we send: fits QUIC's first datagrams (1162 bytes were measured before path MTU discovery).
pub const MAX_DATAGRAM: usize = 1100;

/// Why bytes are not a frame, or not one of ours. The frame is dropped and counted; the stream it came on cannot
/// be trusted any further where the header itself is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Another wire version.
    #[error("a frame of wire version {0}, this node speaks {VERSION}")]
    Version(u8),
    /// A length past its limit.
    #[error("a frame of {0} bytes, the limit is {MAX_FRAME}")]
    TooLong(usize),
    /// Fewer bytes than the header says.
    #[error("a truncated frame")]
    Truncated,
    /// More bytes than the header says.
    #[error("bytes behind the end of a frame")]
    Trailing,
    /// The body is not the CBOR it should be.
    #[error("a malformed body in a frame with tag {0}")]
    Body(u8),
    /// A list or text in the body is longer than allowed.
    #[error("a list past its limit in a frame with tag {0}")]
    Limit(u8),
}
