//! What can go wrong in a command, as one line that says what to do.

use std::fmt;
use std::path::PathBuf;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum CliError {
    /// Whoever read our output has gone: there is nothing left to say, and nothing wrong.
    OutputClosed,
    /// The command line is wrong in a way clap can't see.
    Usage(String),
    /// Nobody answers for this data directory.
    NotRunning {
        /// The data directory.
        dir: PathBuf,
    },
    /// The running node refused a request, in its own words.
    Refused(String),
    /// The running node went away in the middle of an answer.
    NodeLeft,
    /// A file or directory can't be used.
    File {
        /// What was tried, as in "can't read".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system, or the file's syntax, says.
        why: String,
    },
    /// The node could not be built or has failed.
    Node(String),
    /// A run ended, and its result is a failure: the summary has been printed.
    Failed(String),
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::OutputClosed => f.write_str("standard output is closed"),
            CliError::Usage(what) | CliError::Refused(what) | CliError::Node(what) | CliError::Failed(what) => {
                f.write_str(what)
            }
            CliError::NotRunning { dir } => {
                let dir = dir.display();
                write!(f, "no node is running on {dir}: start one with tidings up --data {dir}")
            }
            CliError::NodeLeft => f.write_str("the node has stopped: start it again with tidings up"),
            CliError::File { doing, path, why } => write!(f, "{doing} {}: {why}", path.display()),
        }
    }
}

impl std::error::Error for CliError {}

impl CliError {
    /// An operation on `path` that the operating system refused.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>, why: impl fmt::Display) -> Self {
        CliError::File { doing, path: path.into(), why: why.to_string() }
    }

    /// What the process exits with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            CliError::OutputClosed => 0,
            CliError::Usage(_) => 2,
            _ => 1,
        }
    }
}

/// Folds a message that may span lines into one.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
