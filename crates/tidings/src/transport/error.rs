//! What can go wrong when sending or starting up.

use std::net::SocketAddr;

/// Why a frame was not queued. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no link to this peer.
    #[error("not linked to this peer")]
    NotLinked,
    /// The lane's budget is used up: try again after its credit, or shed.
    #[error("the peer's lane is full")]
    Full,
    /// Longer than this lane can ever carry.
    #[error("{len} bytes, this lane carries at most {max} at once")]
    TooLarge {
        /// What was to be sent.
        len: usize,
        /// What fits.
        max: usize,
    },
}

/// Why a transport could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// Another socket holds the address.
    #[error("address {0} is in use: choose another port with --bind")]
    AddressInUse(SocketAddr),
    /// The operating system refused the address for another reason.
    #[error("cannot bind {addr}: {reason}")]
    Bind {
        /// What was to be bound.
        addr: SocketAddr,
        /// What the operating system said.
        reason: String,
    },
    /// A time-out that QUIC cannot express, or that contradicts another.
    #[error("{0}")]
    Config(&'static str),
}
