//! The protocols of Tidings as a pure function of state, time and input.
//!
//! No socket, clock, thread, random source or file is touched here: a driver feeds [`io::Input`]s and time into a
//! [`node::Node`] and carries out the [`io::Output`]s that come back. The same code runs under the deterministic
//! simulator with thousands of nodes and under tokio with one.

pub mod anti_entropy;
pub mod circuits;
pub mod config;
pub mod counters;
pub mod crypto;
pub mod deadlines;
pub mod discovery;
mod id_map;
pub mod identity;
pub mod io;
pub mod large;
pub mod layer;
pub mod limits;
pub mod links;
pub mod log;
pub mod membership;
pub mod messaging;
pub mod node;
pub mod presence;
pub mod pubsub;
pub mod records;
pub mod rng;
pub mod roles;
pub mod routing;
pub mod time;
pub mod topology;
pub mod wire;

pub use node::Node;
