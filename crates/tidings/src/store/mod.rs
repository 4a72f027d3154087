//! The storage port: records that outlive the process, in groups that are written all or not at all.
//!
//! Writing is quick and done where it is asked for; forcing to the medium is slow and done on another thread, as
//! work that the store hands out and takes the result of.

mod file;
mod journal;
mod log;
mod memory;
mod record;

use std::any::Any;

use bytes::Bytes;
pub(crate) use file::replace_file;
pub use journal::{Journal, JournalError, JournalStats};
pub use log::{Log, LogFileError, LogLimits, SegmentLog};
pub use memory::MemoryStore;
pub use tidings_proto::io::StoreError;
pub use tidings_proto::log::{LogError, LogPage, LogPlace, LogQuery, LogRecord};

/// A group's keys and values; `None` deletes.
type Records = Vec<(Bytes, Option<Bytes>)>;

/// What came of a [`SyncWork`]: whatever the store needs to know.
pub type SyncOutcome = Result<Box<dyn Any + Send>, StoreError>;

/// Slow work for another thread.
pub type SyncWork = Box<dyn FnOnce() -> SyncOutcome + Send>;

/// Where a node keeps its records.
pub trait Store: Send + 'static {
    /// Writes a group, all or none; `None` deletes. After `Ok` it survives the death of the process. After an error
    /// nothing has changed. Must be quick: the node waits.
    fn write(&mut self, records: &[(Bytes, Option<Bytes>)]) -> Result<(), StoreError>;

    /// Every record whose key starts with `prefix`, in key order. Must be quick.
    fn load(&mut self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError>;

    /// Work that makes everything written so far survive the death of the machine; `None` if there is nothing to
    /// do. Asked for within a second of a write and at the end of a run. Writes go on while it is done; its outcome
    /// comes back through [`Store::end_sync`], and no other work is asked for before.
    fn begin_sync(&mut self) -> Option<SyncWork>;

    /// Takes the outcome of the last work. An error, also one made here, changes nothing about what [`Store::load`]
    /// finds.
    fn end_sync(&mut self, outcome: SyncOutcome) -> Result<(), StoreError>;
}
