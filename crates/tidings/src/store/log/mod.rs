//! The durable message log: a directory a topic, a row of segment files each, appended to and deleted from the front.
//!
//! Why not an embedded database: `docs/adr/0005-message-log.md`. Invariants:
//!
//! 1. What a sync covered is there after a crash, of the process or of the machine. Records of one append are all
//!    there or none of them, but for those whose append or sync failed (see [`LogError::Doubtful`]).
//! 2. A topic takes up `max_bytes` at most, in files that were given their length when they were made: a full medium
//!    refuses a new file, and what is written to an old one has its room. What is deleted gives its space back.
//! 3. A file that is cut, damaged or newer is refused with its name and left as it is; only its topic is without a log.
//! 4. The bytes of batches are not kept in memory: an entry of some 40 bytes for every 64 KiB is.

mod segment;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tidings_proto::config::GossipConfig;
use tidings_proto::identity::{NodeId, TopicId, hex};
use tidings_proto::log::{LogError, LogPage, LogQuery, LogRecord};
use tidings_proto::time::UnixMillis;

use segment::{Kernel, Medium, Segment};
use topic::{TopicLog, files};

/// Files kept open for appending (a guess: of the 1024 that a process often may have, most are for others).
const OPEN: usize = 64;
/// Files forced to the medium at once: file systems then share the work.
const SYNCS: usize = 16;
/// A topic whose files cannot be used is looked at again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Files of topics not used in this run are deleted so long after they would otherwise be: clocks disagree.
const MARGIN: Duration = Duration::from_secs(20 * 60);

/// Why a file of the log cannot be used. It is untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogFileError {
    /// The operating system said no.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// Not a segment of this topic's log.
    #[error("{} is no part of this topic's message log: move it out of the way", path.display())]
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
    /// Shorter than it was made.
    #[error("{} was cut to {found} of its {expected} bytes: restore it from a backup, or move it out of the way", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// What it should be.
        expected: u64,
    },
    /// Something that was safely written is damaged.
    #[error(
        "{} is damaged at byte {offset}, in a part that was safely written: restore it from a backup, or move it out \
         of the way", path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
}

impl From<LogFileError> for LogError {
    fn from(error: LogFileError) -> LogError {
        LogError::Unusable(error.to_string())
    }
}

/// How much of a topic is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// How long.
    pub max_age: Duration,
    /// How many bytes on the medium.
    pub max_bytes: u64,
}

impl LogLimits {
    fn max_age_ms(&self) -> u64 {
        u64::try_from(self.max_age.as_millis()).unwrap_or(u64::MAX)
    }
}

impl From<&GossipConfig> for LogLimits {
    fn from(config: &GossipConfig) -> LogLimits {
        LogLimits { max_age: config.history_max_age, max_bytes: config.history_max_bytes }
    }
}

/// Where a node keeps its topics' batches. Used on a thread of its own: every call may wait for the medium.
pub trait Log: Send + 'static {
    /// Writes records, in order, to the end of a topic's log. After `Ok` they survive the death of the process, and
    /// after the next successful [`Log::sync`] that of the machine. Without records: whether the topic's log can be
    /// used.
    fn append(&mut self, topic: &TopicId, records: &[LogRecord]) -> Result<(), LogError>;

    /// Forces what was appended to these topics' logs to the medium; an answer for each. After an error what was
    /// appended since the last sync is not read any more.
    fn sync(&mut self, topics: &[TopicId]) -> Vec<Result<(), LogError>>;

    /// Reads a page of a topic's log.
    fn read(&mut self, topic: &TopicId, query: &LogQuery) -> Result<LogPage, LogError>;

    /// Deletes what is too old. Called once a minute.
    fn trim(&mut self, now: UnixMillis);
}

/// A log in files of a directory. One process at a time may have it open: see [`crate::DataDir`].
pub struct SegmentLog {
    dir: PathBuf,
    limits: LogLimits,
    topics: BTreeMap<TopicId, TopicLog>,
    /// Those whose files cannot be used, and since when.
    unusable: BTreeMap<TopicId, (LogError, SystemTime)>,
    uses: u64,
    medium: Arc<dyn Medium>,
    _guard: Option<Arc<File>>,
}

impl SegmentLog {
    /// A log in `dir`, which is made when there is something to keep. Topics are read when they are used.
    pub fn new(dir: impl AsRef<Path>, limits: LogLimits) -> SegmentLog {
        SegmentLog::guarded(dir.as_ref(), limits, None)
    }

    /// As [`SegmentLog::new`]; `guard` stays open as long as the log.
    pub(crate) fn guarded(dir: &Path, limits: LogLimits, guard: Option<Arc<File>>) -> SegmentLog {
        SegmentLog {
            dir: dir.to_path_buf(),
            limits,
            topics: BTreeMap::new(),
            unusable: BTreeMap::new(),
            uses: 0,
            medium: Arc::new(Kernel),
            _guard: guard,
        }
    }

    /// Bytes that a topic takes up on the medium, if it was used.
    pub fn bytes(&self, topic: &TopicId) -> u64 {
        self.topics.get(topic).map_or(0, TopicLog::bytes)
    }

    fn topic(&mut self, id: &TopicId) -> Result<&mut TopicLog, LogError> {
        if let Some((error, since)) = self.unusable.get(id) {
            if since.elapsed().is_ok_and(|e| e < LOOK_AGAIN) {
                return Err(error.clone());
            }
            self.unusable.remove(id);
        }
        self.uses += 1;
        if !self.topics.contains_key(id) {
            match TopicLog::open(self.dir.join(hex(id.as_bytes())), *id) {
                Ok(topic) => drop(self.topics.insert(*id, topic)),
                Err(error) => {
                    let error = LogError::from(error);
                    self.unusable.insert(*id, (error.clone(), SystemTime::now()));
                    return Err(error);
                }
            }
        }
        self.close_some();
        let uses = self.uses;
        let topic = self.topics.get_mut(id).ok_or(LogError::Absent)?;
        topic.used = uses;
        Ok(topic)
    }

    /// Closes the file not used longest, if too many are open.
    fn close_some(&mut self) {
        let open = |t: &&mut TopicLog| t.segments.last().is_some_and(|s| s.is_open() && !s.is_dirty());
        if self.topics.values().filter(|t| t.segments.last().is_some_and(Segment::is_open)).count() > OPEN
            && let Some(oldest) = self.topics.values_mut().filter(open).min_by_key(|t| t.used)
            && let Some(head) = oldest.segments.last_mut()
        {
            head.close();
        }
    }

    /// Deletes old segments of topics that were not used in this run.
    fn sweep(&self, now: SystemTime) -> io::Result<()> {
        let keep = self.limits.max_age + MARGIN;
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        for entry in entries {
            let dir = entry?.path();
            let id = dir.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse::<NodeId>().ok());
            let Some(id) = id.map(|n| TopicId(n.0)).filter(|id| !self.topics.contains_key(id)) else { continue };
            for (n, path) in files(&dir)? {
                let written = fs::metadata(&path)?.modified()?;
                // What cannot be read is left to who can.
                if now.duration_since(written).is_ok_and(|age| age > keep) && Segment::open(&path, n, &id).is_ok() {
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }
}

impl Log for SegmentLog {
    fn append(&mut self, topic: &TopicId, records: &[LogRecord]) -> Result<(), LogError> {
        let (limits, medium) = (self.limits, self.medium.clone());
        let log = self.topic(topic)?;
        if records.is_empty() { Ok(()) } else { log.append(records, &limits, &*medium) }
    }

    fn sync(&mut self, topics: &[TopicId]) -> Vec<Result<(), LogError>> {
        let medium = self.medium.clone();
        let due: Vec<_> = topics.iter().map(|id| self.topics.get(id)?.segments.last()?.to_sync()).collect();
        let mut outcomes: Vec<io::Result<()>> = Vec::with_capacity(due.len());
        for chunk in due.chunks(SYNCS) {
            let sync = |work: &Option<(Arc<File>, u64)>| work.as_ref().map_or(Ok(()), |(file, _)| medium.sync(file));
            if chunk.iter().flatten().count() < 2 {
                outcomes.extend(chunk.iter().map(sync));
                continue;
            }
            std::thread::scope(|scope| {
                let threads: Vec<_> = chunk.iter().map(|work| scope.spawn(move || sync(work))).collect();
                let lost = |_| Err(io::Error::other("a sync did not finish"));
                outcomes.extend(threads.into_iter().map(|t| t.join().unwrap_or_else(lost)));
            });
        }
        let mut answers = Vec::with_capacity(due.len());
        for ((id, work), outcome) in topics.iter().zip(due).zip(outcomes) {
            let Some(topic) = self.topics.get_mut(id) else {
                answers.push(Ok(()));
                continue;
            };
            let before = topic.doubt.take().map_or(Ok(()), |why| Err(LogError::Doubtful(why)));
            let (Some(head), Some((_, len))) = (topic.segments.last_mut(), work) else {
                answers.push(before);
                continue;
            };
            answers.push(match outcome {
                Ok(()) => {
                    head.was_synced(len, &*medium);
                    before
                }
                Err(error) => {
                    let text = format!("cannot force {} to the medium: {error}", head.path().display());
                    head.abandon();
                    Err(LogError::Doubtful(text))
                }
            });
        }
        answers
    }

    fn read(&mut self, topic: &TopicId, query: &LogQuery) -> Result<LogPage, LogError> {
        Ok(self.topic(topic)?.read(query)?)
    }

    fn trim(&mut self, now: UnixMillis) {
        let limits = self.limits;
        for topic in self.topics.values_mut() {
            if let Err(error) = topic.trim(now, &limits) {
                tracing::warn!(%error, "the message log cannot delete what is too old");
            }
        }
        if let Err(error) = self.sweep(SystemTime::now()) {
            tracing::warn!(%error, "the message log cannot look for what is too old");
        }
    }
}

impl Drop for SegmentLog {
    /// Syncs: what nothing waited for is on the medium as well.
    fn drop(&mut self) {
        let topics: Vec<TopicId> = self.topics.keys().copied().collect();
        for error in self.sync(&topics).into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "the message log may not survive a crash of the machine");
        }
    }
}
