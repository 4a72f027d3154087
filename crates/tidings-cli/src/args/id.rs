//! `tidings id`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DataArgs;

/// `tidings id`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A card is the node's ticket with its agent's name on it, signed: who takes one joins with tidings up --join CARD and is told
whether the agent it meets is the one on the card. Whoever has a card can join the network.

Examples:
  tidings id --data ~/node-a
  tidings id --qr
  tidings id read CARD
  tidings id revoke NODE
  tidings id export my-agent.key
  tidings id import my-agent.key --data ~/node-b")]
pub(crate) struct IdArgs {
    #[command(subcommand)]
    pub(crate) what: Option<IdCommand>,
    /// Print a card to hand to others
    #[arg(long)]
    pub(crate) card: bool,
    /// Print the card as a code that a telephone reads
    #[arg(long)]
    pub(crate) qr: bool,
    /// The node's directory [default: $TIDINGS_DATA, or ~/.local/share/tidings]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

impl IdArgs {
    /// Whose node.
    pub(crate) fn data(&self) -> DataArgs {
        DataArgs { data: self.data.clone() }
    }
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum IdCommand {
    /// Write the agent's key to a file, sealed with a passphrase: for another node, or to keep
    Export(ExportArgs),
    /// Make the node one of the agent whose key this is; the node must not run
    Import(ImportArgs),
    /// Check a card and print what it says
    #[command(after_help = "Example:\n  tidings id read \"$(tidings id --card --data ~/node-a)\"")]
    Read {
        /// The card
        card: String,
    },
    /// Certify that another node of the agent speaks for it no longer, for good: one that was lost or given away
    #[command(after_help = "Example:\n  tidings id revoke 3f9a17c204")]
    Revoke {
        /// The node: its id, or the first ten digits if tidings presence shows it
        node: String,
    },
}

/// `tidings id export`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Whoever has the file and the passphrase is the agent. The passphrase is asked for on the terminal; programs set
TIDINGS_PASSPHRASE, or give a file with --passphrase-file.

Examples:
  tidings id export my-agent.key
  tidings id export - --passphrase-file secret.txt")]
pub(crate) struct ExportArgs {
    /// The file to write, for you alone; - for standard output
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
    /// Read the passphrase from this file's first line
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Replace the file if it is there already
    #[arg(long)]
    pub(crate) force: bool,
}

/// `tidings id import`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The passphrase is asked for on the terminal; programs set TIDINGS_PASSPHRASE, or give a file with --passphrase-file.

Examples:
  tidings id import my-agent.key --data ~/node-b
  tidings id import - --data ~/node-b --force < my-agent.key")]
pub(crate) struct ImportArgs {
    /// The file that tidings id export wrote; - for standard input
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
    /// Read the passphrase from this file's first line
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Take the place of another agent's key; that one is kept beside it
    #[arg(long)]
    pub(crate) force: bool,
}

/// `tidings name`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
An agent is its id, its name, its card, or the first ten digits of an id that tidings presence shows. Names are yours alone: they are
kept in DIR/names, shown wherever an agent is, and stand wherever an agent may.

Examples:
  tidings name                        all of them
  tidings name 3f9a17c204 alice
  tidings name alice                  whose it is
  tidings name --remove alice")]
pub(crate) struct NameArgs {
    /// Who
    pub(crate) agent: Option<String>,
    /// What to call it from now on
    #[arg(conflicts_with = "remove")]
    pub(crate) name: Option<String>,
    /// Take the name away
    #[arg(long, requires = "agent")]
    pub(crate) remove: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}
