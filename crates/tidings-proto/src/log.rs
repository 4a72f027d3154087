//! The port to the durable message log: a topic's batches on a medium, appended in the order they came and read back
//! by time.
//!
//! [`crate::io::Output::Append`] is answered by [`crate::io::Input::Appended`], [`crate::io::Output::ReadLog`] by
//! [`crate::io::Input::LogRead`]. Requests on one topic are carried out in the order they are made. How much of a topic
//! is kept follows from `history_max_age` and `history_max_bytes`; what goes is the oldest.

use bytes::Bytes;

use crate::time::UnixMillis;

/// A batch in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// When its author signed it.
    pub at: UnixMillis,
    /// How many messages it holds.
    pub messages: u32,
    /// The author's own bytes.
    pub bytes: Bytes,
}

/// A place in a topic's log, as a page names it. Good for as long as the node runs; what was deleted meanwhile is
/// passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPlace {
    /// Which part of the log.
    pub part: u64,
    /// Where in it.
    pub offset: u64,
}

/// What to read of a topic's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// Batches signed then or later.
    pub since: UnixMillis,
    /// Batches signed then or earlier.
    pub until: UnixMillis,
    /// From the end, as many batches as hold so many messages; the log may begin a little before that.
    pub last: Option<u64>,
    /// Where the page before said that it goes on. `last` counts for the first page only.
    pub after: Option<LogPlace>,
    /// A page ends once it holds so many bytes.
    pub page_bytes: usize,
}

impl Default for LogQuery {
    /// All of it, in pages of 64 KiB: some milliseconds' work for who verifies them (a guess).
    fn default() -> Self {
        LogQuery { since: UnixMillis(0), until: UnixMillis(u64::MAX), last: None, after: None, page_bytes: 64 << 10 }
    }
}

/// A part of the answer to a [`LogQuery`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The batches, in the order they were appended; some pages hold none.
    pub records: Vec<LogRecord>,
    /// Where the next page begins; none if there is no more.
    pub next: Option<LogPlace>,
}

/// Why the log did not do what it was asked to. Nothing that was stored before is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// There is none.
    #[error("this node keeps nothing on disk: give it a data directory")]
    Absent,
    /// A file of it cannot be used, and is left as it is.
    #[error("{0}")]
    Unusable(String),
    /// The medium failed. What was to be stored is not there.
    #[error("{0}; nothing already stored is lost")]
    Failed(String),
    /// The medium failed. What was to be stored may or may not be found there at the next start.
    #[error("{0}; nothing already stored is lost")]
    Doubtful(String),
}
