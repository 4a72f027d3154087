//! The command line.

mod sim;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};

pub(crate) use sim::{Crypto, Network, SimScenario};

/// A peer-to-peer network: topics without a broker, a server or a DHT.
#[derive(Debug, Parser)]
#[command(
    name = "tidings",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  tidings sub news                    listen, in a second terminal
  tidings pub news \"hello\"            speak, in a third"
)]
pub(crate) struct Cli {
    /// Print JSON: one object, or one a line where output streams
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the node's id
    #[command(after_help = "Example:\n  tidings id --data ~/node-a")]
    Id(DataArgs),
    /// Print the ticket others join with
    #[command(after_help = "Example:\n  tidings up --data ~/node-b --join \"$(tidings ticket --data ~/node-a)\"")]
    Ticket(DataArgs),
    /// List the peers the node is linked to
    #[command(after_help = "Example:\n  tidings peers --json")]
    Peers(DataArgs),
    /// List the topics the node takes part in
    #[command(after_help = "Example:\n  tidings topics")]
    Topics(DataArgs),
    /// Print the node's counters and views
    #[command(after_help = "Example:\n  tidings status --json")]
    Status(DataArgs),
    /// Publish one message
    Pub(PubArgs),
    /// Print a topic's messages as they arrive
    Sub(SubArgs),
    /// Stop the node and wait until it is gone
    #[command(after_help = "Example:\n  tidings down --data ~/node-a")]
    Down(DataArgs),
    /// Simulate a network: thousands of nodes, repeatable from a seed
    #[command(subcommand, after_help = "Example:\n  tidings sim broadcast --nodes 1000 --seeds 1..4")]
    Sim(SimScenario),
}

/// Whose node.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataArgs {
    /// The node's directory [default: $TIDINGS_DATA, or ~/.local/share/tidings]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// Who publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Publishers {
    /// One node.
    One,
    /// All, in turn.
    Rotating,
}

/// `tidings pub`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Standard input and files are sent whole, as one message, bytes unchanged.

Examples:
  tidings pub news \"hello\"
  date | tidings pub news -
  tidings pub news --file picture.png --json")]
pub(crate) struct PubArgs {
    /// The topic's name
    pub(crate) topic: String,
    /// The message; - reads it from standard input
    #[arg(value_name = "TEXT|-", required_unless_present = "file", allow_hyphen_values = false)]
    pub(crate) text: Option<String>,
    /// Send this file's content as the message
    #[arg(long, value_name = "F", conflicts_with = "text")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// `tidings sub`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Says \"listening on TOPIC\" on standard error once nothing published from now on is missed. The node's own messages
are shown too. With --json each line is a message {topic, author, agent, epoch, seq, id, at, late, text or base64}
(at: the author's clock, in milliseconds since 1970), or {\"gap\":…} or {\"lagged\":N} where something was missed.

Examples:
  tidings sub news
  tidings sub news --count 1 --json")]
pub(crate) struct SubArgs {
    /// The topic's name
    pub(crate) topic: String,
    /// Stop after this many messages
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}
