//! The command line of the simulator.

use clap::{Args, Subcommand, ValueEnum};
use tidings_sim::{Latency, Options, Scenario, Seeds};

use super::Publishers;

/// What to simulate.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SimScenario {
    /// Messages on one topic that every node subscribes to
    Broadcast(BroadcastArgs),
    /// Many nodes crash at once
    Crash(CrashArgs),
}

/// `tidings sim broadcast`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tidings sim broadcast --nodes 1000 --seeds 1..4
  tidings sim broadcast --publishers rotating --loss 0.02 --latency wan --json")]
pub(crate) struct BroadcastArgs {
    /// Messages before the measured ones
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) warmup: usize,
    /// Messages measured
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) messages: usize,
    /// Share of the nodes that crash meanwhile
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    pub(crate) crash: f64,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim crash`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tidings sim crash --fraction 0.5
  tidings sim crash --nodes 1000 --fraction 0.8 --restart --json")]
pub(crate) struct CrashArgs {
    /// Share of the nodes that crash
    #[arg(long, value_name = "F")]
    pub(crate) fraction: f64,
    /// They start again, with the same keys and disks
    #[arg(long)]
    pub(crate) restart: bool,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// The network that every scenario runs on.
#[derive(Clone, Debug, Args)]
pub(crate) struct Network {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = defaults().nodes)]
    pub(crate) nodes: usize,
    /// Which seeds: one, or a range that includes its end [default: 1..20, fewer above 500 nodes]
    #[arg(long, value_name = "N|A..B")]
    pub(crate) seeds: Option<Seeds>,
    /// One-way delay of each pair of nodes, in ms
    #[arg(long, value_name = "lan|wan|A..B", default_value_t = Latency::default())]
    pub(crate) latency: Latency,
    /// Each frame takes up to this share longer
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub(crate) jitter: f64,
    /// Share of packets lost
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub(crate) loss: f64,
    /// Real signatures, or simulated ones of the same size
    #[arg(long, value_enum, default_value_t = Crypto::Sim)]
    pub(crate) crypto: Crypto,
    /// Who publishes: one node, or another one each time
    #[arg(long, value_enum, default_value_t = Publishers::One)]
    pub(crate) publishers: Publishers,
}

/// Which signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Crypto {
    /// Those of production.
    Real,
    /// Simulated: the same sizes and refusals, nearly free.
    Sim,
}

fn defaults() -> Options {
    Options::new(Scenario::Broadcast { warmup: 0, messages: 1, crash: 0.0 })
}
