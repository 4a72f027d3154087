//! Names of nodes, agents and topics, secret keys, what binds them, and the network they belong to.

mod addr;
mod agent;
mod agents;
mod asking;
mod card;
mod certificate;
mod certificates;
pub mod layer;
mod memory;
mod network;
mod own;
pub(crate) mod revocations;

pub use addr::{Addr, MAX_ADDRS, PeerAddr};
pub use agent::AgentSecret;
pub use agents::{Agents, MAX_NAMED, Proof};
pub use card::{Card, CardError, MAX_CARD};
pub use certificate::{
    AgentCertificate, CLOCKS_MS, CertificateError, MAX_CERTIFICATE, MAX_LIFE_MS, MAX_PREKEYS, MAX_REVOKED, Prekey,
    Revoked, Statement,
};
pub use certificates::{Binding, Certificates, MAX_CERTIFICATES, MAX_KEPT, MAX_REVOKERS};
pub use memory::REMEMBERED;
pub use network::{Network, NetworkError};
pub(crate) use own::is_ours;
pub use revocations::Revocations;

use std::fmt;

use minicbor::{Decode, Encode};

/// Longest topic name, in bytes: room for a path-like name, small enough for any log line (a guess).
pub const MAX_TOPIC_NAME: usize = 255;

macro_rules! id32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[cbor(with = "minicbor::bytes")] pub [u8; 32]);

        impl Ord for $name {
            /// The order of the bytes. Ids are keys and hashes: the first eight bytes settle it nearly always.
            #[inline]
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.head().cmp(&other.head()).then_with(|| self.0.cmp(&other.0))
            }
        }

        impl PartialOrd for $name {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// The first eight bytes, as a number of the same order.
            #[inline]
            pub(crate) const fn head(&self) -> u64 {
                let [a, b, c, d, e, f, g, h, ..] = self.0;
                u64::from_be_bytes([a, b, c, d, e, f, g, h])
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first five bytes in hexadecimal: enough to tell peers apart in a log.
            pub fn short(&self) -> String {
                hex(&self.0[..5])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                unhex32(s).map($name)
            }
        }
    };
}

id32! {
    /// A node: the Ed25519 public key of its QUIC endpoint.
    NodeId
}
id32! {
    /// An agent, on however many nodes: BLAKE3 of its ML-DSA-65 public key.
    AgentId
}
id32! {
    /// An agent's certificate: the hash of what it says and by whom, see [`AgentCertificate`].
    CertificateId
}
id32! {
    /// A topic on the wire: `BLAKE3-derive-key("tidings 1 topic", name)`.
    TopicId
}
id32! {
    /// A signed batch: `BLAKE3(domain ‖ header ‖ BLAKE3(body))`.
    BatchId
}
id32! {
    /// One message: `BLAKE3(domain ‖ batch id ‖ index)`.
    MessageId
}
id32! {
    /// The content of a large message: the hash of its manifest.
    ContentId
}
id32! {
    /// What a record of the network is kept under, within its set: mostly its owner's id.
    RecordKey
}

impl From<NodeId> for RecordKey {
    fn from(id: NodeId) -> RecordKey {
        RecordKey(id.0)
    }
}

/// Why a text is not a 32-byte id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 64 characters long.
    #[error("an id has 64 hexadecimal digits, this has {0} characters")]
    Length(usize),
    /// A character that is no hexadecimal digit.
    #[error("an id has hexadecimal digits only")]
    Digit,
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        out.push(DIGITS[usize::from(b >> 4)] as char);
        out.push(DIGITS[usize::from(b & 15)] as char);
    }
    out
}

fn unhex32(s: &str) -> Result<[u8; 32], IdError> {
    let s = s.as_bytes();
    if s.len() != 64 {
        return Err(IdError::Length(s.len()));
    }
    let digit = |c: u8| (c as char).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(IdError::Digit);
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(s.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(out)
}

/// Why a topic name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The empty string names no topic.
    #[error("a topic needs a name of at least one byte")]
    Empty,
    /// Longer than [`MAX_TOPIC_NAME`].
    #[error("the topic name has {0} bytes, the limit is {MAX_TOPIC_NAME}: use a shorter name")]
    TooLong(usize),
}

impl TopicId {
    /// The id of the topic `name`. Fails on an empty name or one past [`MAX_TOPIC_NAME`] bytes.
    pub fn from_name(name: &str) -> Result<Self, TopicError> {
        match name.len() {
            0 => Err(TopicError::Empty),
            n if n > MAX_TOPIC_NAME => Err(TopicError::TooLong(n)),
            _ => Ok(TopicId(blake3::derive_key("tidings 1 topic", name.as_bytes()))),
        }
    }
}

/// A node's secret key: the seed of its Ed25519 key. Never printed.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// From 32 bytes drawn from the operating system, or read from a key file.
    pub const fn from_bytes(seed: [u8; 32]) -> Self {
        SecretKey(seed)
    }

    /// The seed, for a key file or a crypto library. Handle with care.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}
