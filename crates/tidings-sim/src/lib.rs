//! The deterministic network: the production core under simulated links, clocks and disks.
//!
//! A run is named by its scenario, options and seed, and repeats to the same trace hash on every machine. Every
//! scenario starts from nodes that know one address each: a random node that started earlier. Nothing writes a view,
//! a cache or a roster.

mod calendar;
mod figures;
mod latency;
mod network;
mod options;
mod runner;
mod scenario;
mod trace;

pub use figures::{Figure, Summary};
pub use latency::{Latency, LatencyError};
pub use network::{CrashKind, Heard, HolderLie, Lie, Network, Probes};
pub use options::{CryptoKind, Forgery, Options, OptionsError, Publishers, RelayFault, RoleLie, Scenario, Seeds, Talk};
pub use runner::{Failure, Report, run};
