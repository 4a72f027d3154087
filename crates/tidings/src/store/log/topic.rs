//! One topic's log: its segments, oldest first.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tidings_proto::identity::TopicId;
use tidings_proto::log::{LogError, LogPage, LogPlace, LogQuery, LogRecord};
use tidings_proto::time::UnixMillis;

use super::segment::{Medium, Segment, number};
use super::{LogFileError, LogLimits};
use crate::store::file::sync_parent;

/// A topic's space is divided into so many segments: what is deleted at once.
const SEGMENTS: u64 = 16;
/// Shortest and longest segment. (A round of publishing must fit into one; longer ones only cost time at the start.)
const SHORTEST: u64 = 256 << 10;
const LONGEST: u64 = 16 << 20;

/// A topic's segments.
pub(super) struct TopicLog {
    id: TopicId,
    dir: PathBuf,
    pub(super) segments: Vec<Segment>,
    next: u64,
    /// A sync failed that nobody asked for: what comes next is told.
    pub(super) doubt: Option<String>,
    /// For closing those that are not used.
    pub(super) used: u64,
}

impl TopicLog {
    /// Reads a topic's directory; there need not be one.
    pub(super) fn open(dir: PathBuf, id: TopicId) -> Result<TopicLog, LogFileError> {
        let mut segments = Vec::new();
        for (n, path) in files(&dir).map_err(|error| LogFileError::Io { path: dir.clone(), error })? {
            segments.push(Segment::open(&path, n, &id)?);
        }
        if let Some(head) = segments.last() {
            head.rely()?;
        }
        let next = segments.last().map_or(1, |s| s.n + 1);
        Ok(TopicLog { id, dir, segments, next, doubt: None, used: 0 })
    }

    /// Appends records, all or none.
    pub(super) fn append(
        &mut self,
        records: &[LogRecord],
        limits: &LogLimits,
        medium: &dyn Medium,
    ) -> Result<(), LogError> {
        let size = Segment::size_of(records);
        if !self.segments.last().is_some_and(|s| s.has_room(size)) {
            self.roll(size, limits, medium)?;
        }
        let Some(head) = self.segments.last_mut() else { return Err(LogError::Failed("no segment".into())) };
        head.append(records, medium).map_err(|(error, doubtful)| {
            let text = format!("cannot write to {}: {error}", head.path().display());
            if doubtful { LogError::Doubtful(text) } else { LogError::Failed(text) }
        })
    }

    /// Begins a new segment, and deletes the oldest if there are too many.
    fn roll(&mut self, size: u64, limits: &LogLimits, medium: &dyn Medium) -> Result<(), LogError> {
        let dir = self.dir.display().to_string();
        let failed = |e: &io::Error| LogError::Failed(format!("cannot make room in {dir}: {e}"));
        // What is behind a new segment is safe, and says so.
        if let Some((file, len)) = self.segments.last().and_then(Segment::to_sync) {
            let synced = medium.sync(&file);
            let Some(head) = self.segments.last_mut() else { return Ok(()) };
            match synced {
                Ok(()) => head.was_synced(len, medium),
                Err(error) => {
                    head.abandon();
                    self.doubt = Some(failed(&error).to_string());
                    return Err(failed(&error));
                }
            }
        }
        if let Some(head) = self.segments.last_mut() {
            head.close();
        }
        let capacity = (limits.max_bytes / SEGMENTS).clamp(SHORTEST, LONGEST).max(size + (64 << 10));
        while self.segments.len() > 1 && self.bytes() + capacity > limits.max_bytes {
            self.remove_oldest().map_err(|e| failed(&e))?;
        }
        let made = (|| {
            if !self.dir.exists() {
                DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
                sync_parent(&self.dir)?;
            }
            Segment::create(&self.dir, self.next, &self.id, capacity, medium)
        })();
        self.segments.push(made.map_err(|e| failed(&e))?);
        self.next += 1;
        Ok(())
    }

    /// Bytes on the medium.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.capacity).sum()
    }

    fn remove_oldest(&mut self) -> io::Result<()> {
        if let Some(oldest) = self.segments.first() {
            oldest.remove()?;
            self.segments.remove(0);
        }
        Ok(())
    }

    /// Deletes what is too old.
    pub(super) fn trim(&mut self, now: UnixMillis, limits: &LogLimits) -> io::Result<()> {
        let old = |s: &Segment| !s.is_dirty() && s.newest.saturating_add(limits.max_age_ms()) < now.0;
        while self.segments.first().is_some_and(old) {
            self.remove_oldest()?;
        }
        Ok(())
    }

    /// Reads a page.
    pub(super) fn read(&self, query: &LogQuery) -> Result<LogPage, LogFileError> {
        let mut from = query.after.unwrap_or(LogPlace { part: 0, offset: 0 });
        if let (None, Some(last)) = (query.after, query.last) {
            from = self.before_last(last);
        }
        let (mut page, mut bytes) = (LogPage::default(), 0);
        let blocks = self.segments.iter().flat_map(|s| s.blocks.iter().map(move |b| (s, b)));
        let wanted = blocks
            .filter(|(s, b)| LogPlace { part: s.n, offset: b.offset } >= from)
            .filter(|(_, b)| b.newest >= query.since.0 && b.oldest <= query.until.0);
        for (segment, block) in wanted {
            if bytes >= query.page_bytes && bytes > 0 {
                page.next = Some(LogPlace { part: segment.n, offset: block.offset });
                break;
            }
            let records = segment.read(block)?.into_iter().filter(|r| r.at >= query.since && r.at <= query.until);
            for record in records {
                bytes += record.bytes.len();
                page.records.push(record);
            }
        }
        Ok(page)
    }

    /// Where the last so many messages begin, or a little before.
    fn before_last(&self, messages: u64) -> LogPlace {
        let (mut place, mut seen) = (LogPlace { part: u64::MAX, offset: 0 }, 0);
        for (segment, block) in self.segments.iter().rev().flat_map(|s| s.blocks.iter().rev().map(move |b| (s, b))) {
            if seen >= messages {
                break;
            }
            seen += block.messages;
            place = LogPlace { part: segment.n, offset: block.offset };
        }
        place
    }
}

/// The segments in a directory, in order.
pub(super) fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if let Some(n) = number(&path) {
            files.push((n, path));
        }
    }
    files.sort();
    Ok(files)
}
