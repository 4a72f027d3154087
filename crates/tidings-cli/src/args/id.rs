//! `tidings id`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DataArgs;

/// `tidings id`.
#[derive(Clone, Debug, Args)]
#[command(
    args_conflicts_with_subcommands = false,
    after_help = "\
Examples:
  tidings id --data ~/node-a
  tidings id export my-agent.key
  tidings id import my-agent.key --data ~/node-b"
)]
pub(crate) struct IdArgs {
    #[command(subcommand)]
    pub(crate) what: Option<IdCommand>,
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
