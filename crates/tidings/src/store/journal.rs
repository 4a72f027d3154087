//! A store in one append-only file.
//!
//! A group is one `write(2)`: what it returned from survives the death of the process, SIGKILL included, because the
//! kernel holds it. A sync (`fdatasync(2)`, on another thread) makes it survive the death of the machine. Invariants:
//!
//! 1. The file is header, good groups, and at most one bad tail that was never safe; the next opener cuts it off.
//! 2. A failed write leaves no bytes behind: the file is cut back, and nothing is written before that succeeded.
//! 3. The records are in memory as well: reads touch no file, and a failing device loses nothing while the process
//!    lives.
//! 4. When the file is longer than four times what is live (and 1 MiB), the next sync writes what is live to a new one
//!    beside it and forces that to the medium. What was written meanwhile is added before it is renamed over the
//!    old one, and nothing of that counts as safe before the sync after.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::file::{beside, remove_leftover, replace_file, sync_parent, write_beside};
use super::memory::with_prefix;
use super::record::{self, BadHeader, FILE_HEADER, Salt, record_len};
use super::{Records, Store, StoreError, SyncOutcome, SyncWork};

/// A file shorter than this is never rewritten: that it would save nothing worth having.
const COMPACT_FROM: u64 = 1 << 20;
/// A file may be this many times as long as what is live in it. Each byte is then rewritten once for every three
/// appended.
const COMPACT_RATIO: u64 = 4;
/// Bytes of records in one group of a rewritten file.
const REWRITE_GROUP: usize = 1 << 20;

/// Why a journal cannot be opened. The file is untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The operating system said no.
    #[error("cannot open the journal {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// Not a journal.
    #[error("{} is no tidings journal: move it out of the way", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Made by a newer version.
    #[error("{} was made by a newer tidings: its format is {found}, this one reads up to {newest}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest this version reads.
        newest: u32,
    },
    /// Something that was safely written is damaged.
    #[error(
        "the journal {} is damaged at byte {offset}, in a part that was safely written: restore it from a backup, \
         or move it out of the way to start with an empty one", path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
}

/// What a journal has been through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalStats {
    /// Bytes cut off at opening: what the last writer had not finished.
    pub torn_bytes: u64,
    /// Times the file was rewritten since opening.
    pub compactions: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Bytes of it that are live.
    pub live_bytes: u64,
    /// Records that are live.
    pub records: usize,
}

/// A store in one append-only file. One process at a time may have it open: see [`crate::DataDir`].
pub struct Journal {
    path: PathBuf,
    file: Arc<File>,
    salt: Salt,
    live: BTreeMap<Bytes, Bytes>,
    live_bytes: u64,
    len: u64,
    synced: u64,
    /// Length after the last sync and the group that vouches for it: nothing to do until there is more.
    vouched: u64,
    torn_bytes: u64,
    compactions: u64,
    /// Bytes of a failed write may stand behind `len`.
    tail_dirty: bool,
    /// A sync failed: the file has to be written again elsewhere.
    rewrite: bool,
    /// The last rewrite failed: the old file is synced first.
    skip_rewrite: bool,
    /// A new file is being written; what is written meanwhile is kept for it.
    rewriting: bool,
    meanwhile: Vec<Records>,
    /// The file was renamed since the last sync.
    sync_dir: bool,
    buf: Vec<u8>,
    _guard: Option<Arc<File>>,
}

impl Journal {
    /// Opens the journal at `path`, or makes an empty one, readable by its owner only.
    pub fn open(path: impl AsRef<Path>) -> Result<Journal, JournalError> {
        Journal::open_guarded(path.as_ref(), None)
    }

    /// As [`Journal::open`]; `guard` stays open as long as the journal.
    pub(crate) fn open_guarded(path: &Path, guard: Option<Arc<File>>) -> Result<Journal, JournalError> {
        let fail = |error| JournalError::Io { path: path.to_path_buf(), error };
        remove_leftover(path).map_err(fail)?;
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(fail(error)),
        };
        if bytes.is_empty() {
            return Journal::create(path, guard).map_err(fail);
        }
        let salt = record::read_header(&bytes, record::MAGIC).map_err(|bad| match bad {
            BadHeader::Foreign => JournalError::Foreign { path: path.to_path_buf() },
            BadHeader::Newer(found) => JournalError::Newer { path: path.to_path_buf(), found, newest: record::VERSION },
            BadHeader::Damaged => JournalError::Corrupt { path: path.to_path_buf(), offset: 0 },
        })?;

        let mut live = BTreeMap::new();
        let mut live_bytes = 0;
        let mut at = FILE_HEADER;
        while at < bytes.len() {
            let group = salt.group_at(&bytes, at).and_then(|g| Some((g.records()?, g.end)));
            let Some((records, end)) = group else { break };
            records.into_iter().for_each(|(k, v)| apply(&mut live, &mut live_bytes, k, v));
            at = end;
        }
        if at < bytes.len() && salt.vouched_behind(&bytes, at) > at as u64 {
            return Err(JournalError::Corrupt { path: path.to_path_buf(), offset: at as u64 });
        }
        let file = OpenOptions::new().write(true).read(true).open(path).map_err(fail)?;
        let (len, torn_bytes) = (at as u64, (bytes.len() - at) as u64);
        if torn_bytes > 0 {
            tracing::warn!(path = %path.display(), torn_bytes, "cut off what the last writer had not finished");
            file.set_len(len).map_err(fail)?;
        }
        // What this process reads it must be able to rely on, and the groups it writes will vouch for it.
        file.sync_data().map_err(fail)?;
        let mut journal = Journal::empty(path, file, salt, len, guard);
        (journal.torn_bytes, journal.live, journal.live_bytes) = (torn_bytes, live, live_bytes);
        Ok(journal)
    }

    fn create(path: &Path, guard: Option<Arc<File>>) -> io::Result<Journal> {
        let salt = Salt(crate::os_random().map_err(io::Error::other)?);
        let header = salt.file_header(record::MAGIC);
        let file = replace_file(path, &header, 0o600)?;
        Ok(Journal::empty(path, file, salt, header.len() as u64, guard))
    }

    fn empty(path: &Path, file: File, salt: Salt, len: u64, guard: Option<Arc<File>>) -> Journal {
        Journal {
            path: path.to_path_buf(),
            file: Arc::new(file),
            salt,
            live: BTreeMap::new(),
            live_bytes: 0,
            len,
            synced: len,
            vouched: len,
            torn_bytes: 0,
            compactions: 0,
            tail_dirty: false,
            rewrite: false,
            skip_rewrite: false,
            rewriting: false,
            meanwhile: Vec::new(),
            sync_dir: false,
            buf: Vec::new(),
            _guard: guard,
        }
    }

    /// What it has been through.
    pub fn stats(&self) -> JournalStats {
        JournalStats {
            torn_bytes: self.torn_bytes,
            compactions: self.compactions,
            file_bytes: self.len,
            live_bytes: self.live_bytes,
            records: self.live.len(),
        }
    }

    fn append<'a>(&mut self, records: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Result<(), StoreError> {
        if self.tail_dirty {
            self.file.set_len(self.len).map_err(|e| self.failed("cutting back", &e))?;
            self.tail_dirty = false;
        }
        self.buf.clear();
        if !self.salt.put_group(&mut self.buf, self.len, self.synced, records) {
            return Err(StoreError(format!("a group of records longer than {} bytes", record::MAX_GROUP)));
        }
        if let Err(e) = self.file.write_all_at(&self.buf, self.len) {
            self.tail_dirty = self.file.set_len(self.len).is_err();
            return Err(self.failed("writing to", &e));
        }
        self.len += self.buf.len() as u64;
        if self.buf.capacity() > REWRITE_GROUP {
            self.buf = Vec::new();
        }
        Ok(())
    }

    fn wasteful(&self) -> bool {
        self.len > COMPACT_FROM.max(COMPACT_RATIO * self.live_bytes)
    }

    /// Puts a rewritten file in the place of the old one, with what was written meanwhile.
    fn replace(&mut self, new: Rewritten) -> Result<(), StoreError> {
        let meanwhile = std::mem::take(&mut self.meanwhile);
        let old = (std::mem::replace(&mut self.file, Arc::new(new.file)), self.salt.clone(), self.len, self.synced);
        (self.salt, self.len, self.synced) = (new.salt, new.len, new.len);
        let old_dirty = std::mem::take(&mut self.tail_dirty);
        let added =
            meanwhile.iter().try_for_each(|group| self.append(group.iter().map(|(k, v)| (k.as_ref(), v.as_deref()))));
        let renamed =
            added.and_then(|()| fs::rename(beside(&self.path), &self.path).map_err(|e| self.failed("replacing", &e)));
        if let Err(error) = renamed {
            (self.file, self.salt, self.len, self.synced) = old;
            self.tail_dirty = old_dirty;
            return Err(error);
        }
        self.rewrite = false;
        self.sync_dir = true;
        self.vouched = 0;
        self.compactions += 1;
        Ok(())
    }

    fn failed(&self, doing: &str, error: &io::Error) -> StoreError {
        failed(doing, &self.path, error)
    }
}

impl Store for Journal {
    fn write(&mut self, records: &[(Bytes, Option<Bytes>)]) -> Result<(), StoreError> {
        self.append(records.iter().map(|(k, v)| (k.as_ref(), v.as_deref())))?;
        // Copies: a record must not keep the frame alive that it was cut from.
        let copy = |b: &[u8]| Bytes::copy_from_slice(b);
        let records: Records = records.iter().map(|(k, v)| (copy(k), v.as_deref().map(copy))).collect();
        if self.rewriting {
            self.meanwhile.push(records.clone());
        }
        for (key, value) in records {
            apply(&mut self.live, &mut self.live_bytes, key, value);
        }
        Ok(())
    }

    fn load(&mut self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Ok(with_prefix(&self.live, prefix))
    }

    fn begin_sync(&mut self) -> Option<SyncWork> {
        let skip = std::mem::take(&mut self.skip_rewrite);
        if self.rewrite || (self.wasteful() && !skip) {
            let (path, live) = (self.path.clone(), self.live.clone());
            self.meanwhile.clear();
            self.rewriting = true;
            return Some(Box::new(move || match rewrite(&path, &live) {
                Ok(new) => Ok(Box::new(new)),
                Err(e) => Err(failed("rewriting", &path, &e)),
            }));
        }
        if self.vouched == self.len {
            return None;
        }
        let (file, path, len, dir) = (self.file.clone(), self.path.clone(), self.len, self.sync_dir);
        Some(Box::new(move || {
            let synced = file.sync_data().and_then(|()| if dir { sync_parent(&path) } else { Ok(()) });
            match synced {
                Ok(()) => Ok(Box::new(Synced(len))),
                Err(e) => Err(failed("forcing to the medium", &path, &e)),
            }
        }))
    }

    fn end_sync(&mut self, outcome: SyncOutcome) -> Result<(), StoreError> {
        let rewriting = std::mem::take(&mut self.rewriting);
        let outcome = outcome.inspect_err(|_| {
            self.meanwhile.clear();
            if rewriting {
                self.skip_rewrite = true;
            } else {
                // What the kernel dropped cannot be forced any more, only written again elsewhere.
                self.rewrite = true;
            }
        })?;
        if rewriting {
            return match outcome.downcast::<Rewritten>() {
                Ok(new) => self.replace(*new),
                Err(_) => Err(StoreError("the outcome of other work".into())),
            };
        }
        let Ok(synced) = outcome.downcast::<Synced>() else {
            return Err(StoreError("the outcome of other work".into()));
        };
        self.synced = synced.0;
        self.sync_dir = false;
        if self.synced == self.len {
            // An empty group vouches for everything before it. It needs no sync: without it, less is vouched for.
            self.append(std::iter::empty())?;
            self.vouched = self.len;
        }
        Ok(())
    }
}

impl Drop for Journal {
    /// Syncs: whoever drops a journal that a node has just used waits for the medium here, if not before.
    fn drop(&mut self) {
        while let Some(work) = self.begin_sync() {
            if let Err(error) = self.end_sync(work()) {
                tracing::warn!(%error, "the journal may not survive a crash of the machine");
                return;
            }
        }
    }
}

/// Up to here the file was forced to the medium.
struct Synced(u64);

/// A new file with what was live, forced to the medium, not yet in place.
struct Rewritten {
    file: File,
    salt: Salt,
    len: u64,
}

fn rewrite(path: &Path, live: &BTreeMap<Bytes, Bytes>) -> io::Result<Rewritten> {
    let salt = Salt(crate::os_random().map_err(io::Error::other)?);
    let mut out = salt.file_header(record::MAGIC);
    let mut records = live.iter().peekable();
    while records.peek().is_some() {
        let mut size = 0;
        let group = std::iter::from_fn(|| {
            if size >= REWRITE_GROUP {
                return None;
            }
            let (key, value) = records.next()?;
            size += record_len(key, value);
            Some((key.as_ref(), Some(value.as_ref())))
        });
        let offset = out.len() as u64;
        if !salt.put_group(&mut out, offset, 0, group) {
            return Err(io::Error::other("a record longer than a group"));
        }
    }
    let file = write_beside(path, &out, 0o600)?;
    Ok(Rewritten { file, salt, len: out.len() as u64 })
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError(format!("{doing} {}: {error}", path.display()))
}

fn apply(live: &mut BTreeMap<Bytes, Bytes>, live_bytes: &mut u64, key: Bytes, value: Option<Bytes>) {
    let key_len = key.len();
    let old = match value {
        Some(value) => {
            *live_bytes += record_len(&key, &value) as u64;
            live.insert(key, value)
        }
        None => live.remove(&key),
    };
    if let Some(old) = old {
        *live_bytes -= (record_len(&[], &old) + key_len) as u64;
    }
}
