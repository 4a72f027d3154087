//! One file of a topic's log.
//!
//! It is made at its full length, so that a medium without room says so before anything is written, and so that a file
//! that was cut is told from one that was never full. Header and groups are the journal's (`record.rs`); the first
//! group says how long the file is and whose topic. A group holds whole batches: the key is the author's time and the
//! number of messages, the value the author's bytes. Behind the last group is anything.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tidings_proto::identity::TopicId;
use tidings_proto::log::LogRecord;
use tidings_proto::time::UnixMillis;

use super::LogFileError;
use crate::store::file::{beside, remove_leftover, sync_parent};
use crate::store::record::{BadHeader, FILE_HEADER, GROUP_HEADER, LOG_MAGIC, Salt, VERSION, read_header, record_len};

/// A group ends once it has so many bytes: it is read and checked as a whole.
const GROUP: usize = 64 << 10;
/// Groups up to so many bytes are one entry of the index in memory.
const BLOCK: u64 = 64 << 10;
/// What a group takes that vouches for those before it.
const VOUCHER: u64 = GROUP_HEADER as u64;
/// A record's key: time, number of messages.
const KEY: usize = 12;

/// What a log does to its files, so that tests can fail it.
pub(super) trait Medium: Send + Sync + 'static {
    /// Gives a new file its length, with room for all of it.
    fn reserve(&self, file: &File, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {
                file.set_len(len)
            }
            done => Ok(done?),
        }
    }

    /// Writes all of `bytes` at a place.
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    /// Forces what was written to the medium.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// The operating system's files.
pub(super) struct Kernel;

impl Medium for Kernel {}

/// Some groups that follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) offset: u64,
    pub(super) end: u64,
    pub(super) oldest: u64,
    pub(super) newest: u64,
    pub(super) messages: u64,
}

/// A segment, its index in memory.
pub(super) struct Segment {
    pub(super) n: u64,
    path: PathBuf,
    /// Length of the file.
    pub(super) capacity: u64,
    /// Where the next group goes.
    pub(super) len: u64,
    /// Up to here it is on the medium.
    synced: u64,
    /// Length after the last sync and the group that vouches for it, which itself is not safe yet: no sync is due before
    /// there is more.
    settled: u64,
    salt: Salt,
    pub(super) blocks: Vec<Block>,
    /// The latest time in it.
    pub(super) newest: u64,
    file: Option<Arc<File>>,
    /// A sync failed: what is behind `synced` is in doubt, and nothing is written here any more.
    abandoned: bool,
    buf: Vec<u8>,
}

/// The name of a segment.
fn name(n: u64) -> String {
    format!("{n:016}.log")
}

/// The number in a segment's name.
pub(super) fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".log").filter(|n| n.len() == 16)?.parse().ok()
}

fn record_of(key: &[u8], value: Bytes) -> Option<LogRecord> {
    let at = u64::from_le_bytes(*key.first_chunk()?);
    let messages = u32::from_le_bytes(*key.get(8..KEY)?.first_chunk()?);
    Some(LogRecord { at: UnixMillis(at), messages, bytes: value })
}

impl Segment {
    /// Makes an empty one.
    pub(super) fn create(
        dir: &Path,
        n: u64,
        topic: &TopicId,
        capacity: u64,
        medium: &dyn Medium,
    ) -> io::Result<Segment> {
        let salt = Salt(crate::os_random().map_err(io::Error::other)?);
        let path = dir.join(name(n));
        let mut head = salt.file_header(LOG_MAGIC);
        let offset = head.len() as u64;
        let about = [capacity.to_le_bytes().as_slice(), topic.as_bytes()].concat();
        salt.put_group(&mut head, offset, 0, std::iter::once((&b"segment"[..], Some(&about[..]))));
        remove_leftover(&path)?;
        let made = (|| {
            let mut options = OpenOptions::new();
            let file = options.create_new(true).read(true).write(true).mode(0o600).open(beside(&path))?;
            medium.reserve(&file, capacity)?;
            medium.write(&file, &head, 0)?;
            file.sync_all()?;
            fs::rename(beside(&path), &path)?;
            sync_parent(&path)?;
            Ok(file)
        })();
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                // Best effort: it would be overwritten the next time.
                let _ = remove_leftover(&path);
                return Err(error);
            }
        };
        let mut segment = Segment::empty(n, path, capacity, salt);
        (segment.len, segment.file) = (head.len() as u64, Some(Arc::new(file)));
        (segment.synced, segment.settled) = (segment.len, segment.len);
        Ok(segment)
    }

    fn empty(n: u64, path: PathBuf, capacity: u64, salt: Salt) -> Segment {
        Segment {
            n,
            path,
            capacity,
            len: 0,
            synced: 0,
            settled: 0,
            salt,
            blocks: Vec::new(),
            newest: 0,
            file: None,
            abandoned: false,
            buf: Vec::new(),
        }
    }

    /// Reads one. Whatever is wrong with it, the file is untouched.
    pub(super) fn open(path: &Path, n: u64, topic: &TopicId) -> Result<Segment, LogFileError> {
        let bytes = fs::read(path).map_err(|error| LogFileError::Io { path: path.into(), error })?;
        let corrupt = |offset: usize| LogFileError::Corrupt { path: path.into(), offset: offset as u64 };
        let salt = read_header(&bytes, LOG_MAGIC).map_err(|bad| match bad {
            BadHeader::Foreign => LogFileError::Foreign { path: path.into() },
            BadHeader::Newer(found) => LogFileError::Newer { path: path.into(), found, newest: VERSION },
            BadHeader::Damaged => corrupt(0),
        })?;
        let first = salt.group_at(&bytes, FILE_HEADER).ok_or_else(|| corrupt(FILE_HEADER))?;
        let about = first.records().and_then(|r| r.into_iter().next()?.1).filter(|v| v.len() == 40);
        let about = about.ok_or_else(|| corrupt(FILE_HEADER))?;
        let capacity = about.first_chunk().map_or(0, |c| u64::from_le_bytes(*c));
        if about[8..] != topic.as_bytes()[..] {
            return Err(LogFileError::Foreign { path: path.into() });
        }
        if (bytes.len() as u64) < capacity {
            return Err(LogFileError::Truncated { path: path.into(), found: bytes.len() as u64, expected: capacity });
        }
        let mut segment = Segment::empty(n, path.into(), capacity, salt);
        let at = segment.index(&bytes, first.end, bytes.len());
        if segment.salt.vouched_behind(&bytes, at) > at as u64 {
            return Err(corrupt(at));
        }
        (segment.len, segment.synced, segment.settled) = (at as u64, at as u64, at as u64);
        Ok(segment)
    }

    /// Forces what was read to the medium: this process relies on it, and its groups will vouch for it.
    pub(super) fn rely(&self) -> Result<(), LogFileError> {
        let synced = File::open(&self.path).and_then(|file| file.sync_data());
        synced.map_err(|error| LogFileError::Io { path: self.path.clone(), error })
    }

    /// Indexes the groups from `from` to `to` at most. Where the good ones end.
    fn index(&mut self, bytes: &[u8], from: usize, to: usize) -> usize {
        let mut at = from;
        while at < to {
            let group = self.salt.group_at(bytes, at).and_then(|g| Some((g.records()?, g.end)));
            let Some((records, end)) = group.filter(|g| g.1 <= to) else { break };
            let records: Vec<LogRecord> =
                records.into_iter().filter_map(|(k, v)| record_of(&k, v.unwrap_or_default())).collect();
            self.note(at as u64, end as u64, &records);
            at = end;
        }
        at
    }

    /// Adds a group to the index.
    fn note(&mut self, offset: u64, end: u64, records: &[LogRecord]) {
        let times = records.iter().map(|r| r.at.0);
        let (Some(oldest), Some(newest)) = (times.clone().min(), times.max()) else { return };
        let messages = records.iter().map(|r| u64::from(r.messages)).sum();
        self.newest = self.newest.max(newest);
        match self.blocks.last_mut().filter(|b| b.end - b.offset < BLOCK) {
            Some(b) => {
                (b.end, b.messages) = (end, b.messages + messages);
                (b.oldest, b.newest) = (b.oldest.min(oldest), b.newest.max(newest));
            }
            None => self.blocks.push(Block { offset, end, oldest, newest, messages }),
        }
    }

    /// What records take up.
    pub(super) fn size_of(records: &[LogRecord]) -> u64 {
        let bytes: usize = records.iter().map(|r| record_len(&[0; KEY], &r.bytes)).sum();
        (bytes + GROUP_HEADER * (bytes / GROUP + 1)) as u64
    }

    /// Whether so much still goes into it.
    pub(super) fn has_room(&self, size: u64) -> bool {
        !self.abandoned && self.len + size + VOUCHER <= self.capacity
    }

    fn file(&mut self) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(&self.path)?);
        self.file = Some(file.clone());
        Ok(file)
    }

    /// Closes the file, if nothing of it waits for a sync.
    pub(super) fn close(&mut self) {
        if !self.is_dirty() {
            self.file = None;
        }
    }

    /// Whether the file is open.
    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Appends records that fit. After an error, `true` says that some of them may be found at the next start.
    pub(super) fn append(&mut self, records: &[LogRecord], medium: &dyn Medium) -> Result<(), (io::Error, bool)> {
        let file = self.file().map_err(|e| (e, false))?;
        self.buf.clear();
        let (mut ends, mut rest) = (Vec::new(), records);
        while !rest.is_empty() {
            let before = rest.iter().scan(0, |sum, r| Some(std::mem::replace(sum, *sum + r.bytes.len())));
            let (group, more) = rest.split_at(before.take_while(|size| *size < GROUP).count());
            let offset = self.len + self.buf.len() as u64;
            let keys: Vec<[u8; KEY]> = group.iter().map(key).collect();
            let pairs = keys.iter().zip(group).map(|(k, r)| (&k[..], Some(&r.bytes[..])));
            if !self.salt.put_group(&mut self.buf, offset, self.synced, pairs) {
                return Err((io::Error::other("a batch longer than a group"), false));
            }
            ends.push((offset, self.len + self.buf.len() as u64, group));
            rest = more;
        }
        let several = ends.len() > 1;
        let written = medium.write(&file, &self.buf, self.len);
        if self.buf.capacity() > 1 << 20 {
            self.buf = Vec::new();
        }
        if let Err(error) = written {
            // A group that was cut short is none; of several, the first may be whole.
            self.abandoned |= several;
            return Err((error, several));
        }
        for (offset, end, group) in ends {
            self.note(offset, end, group);
            self.len = end;
        }
        Ok(())
    }

    /// Whether something waits for a sync.
    pub(super) fn is_dirty(&self) -> bool {
        self.len > self.settled
    }

    /// What a sync needs, if one is due: the file, and how far it will be safe then.
    pub(super) fn to_sync(&self) -> Option<(Arc<File>, u64)> {
        self.is_dirty().then(|| self.file.clone()).flatten().map(|file| (file, self.len))
    }

    /// A sync succeeded. A group that says so follows: from then on, damage is told from what was never safe.
    pub(super) fn was_synced(&mut self, len: u64, medium: &dyn Medium) {
        (self.synced, self.settled) = (len, len);
        if self.len != len || self.len + VOUCHER > self.capacity {
            return;
        }
        let mut group = Vec::with_capacity(GROUP_HEADER);
        self.salt.put_group(&mut group, self.len, len, std::iter::empty());
        // Without it less is vouched for, no more.
        if let Some(file) = &self.file
            && medium.write(file, &group, self.len).is_ok()
        {
            self.len += group.len() as u64;
            self.settled = self.len;
        }
    }

    /// A sync failed: what it was to make safe is taken out again.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
        (self.len, self.settled) = (self.synced, self.synced);
        self.blocks.clear();
        // What cannot be read now is not in the index either: it is there at the next start.
        if let Ok(bytes) = fs::read(&self.path)
            && let Some(first) = self.salt.group_at(&bytes, FILE_HEADER)
        {
            let (from, to) = (first.end, self.synced as usize);
            self.index(&bytes, from, to);
        }
    }

    /// The records of a block.
    pub(super) fn read(&self, block: &Block) -> Result<Vec<LogRecord>, LogFileError> {
        let failed = |error| LogFileError::Io { path: self.path.clone(), error };
        let mut bytes = vec![0; (block.end - block.offset) as usize];
        let file = match &self.file {
            Some(file) => file.clone(),
            None => Arc::new(File::open(&self.path).map_err(failed)?),
        };
        file.read_exact_at(&mut bytes, block.offset).map_err(failed)?;
        let (mut records, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let group = self.salt.group_in(&bytes, block.offset, at).and_then(|g| Some((g.records()?, g.end)));
            let Some((group, end)) = group else {
                return Err(LogFileError::Corrupt { path: self.path.clone(), offset: block.offset + at as u64 });
            };
            records.extend(group.into_iter().filter_map(|(k, v)| record_of(&k, v?)));
            at = end;
        }
        Ok(records)
    }

    /// Deletes it.
    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn key(r: &LogRecord) -> [u8; KEY] {
    let mut key = [0; KEY];
    key[..8].copy_from_slice(&r.at.0.to_le_bytes());
    key[8..].copy_from_slice(&r.messages.to_le_bytes());
    key
}
