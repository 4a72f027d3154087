//! The protocols of Tidings as a pure function of state, time and input.
//!
//! No socket, clock, thread, random source or file is touched here: a driver feeds [`wire`] frames and time in, and
//! carries out what comes back. The same code runs under the deterministic simulator and under tokio.

pub mod config;
pub mod crypto;
pub mod identity;
pub mod io;
pub mod pubsub;
pub mod time;
pub mod wire;
