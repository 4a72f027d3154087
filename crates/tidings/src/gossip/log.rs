//! The message log's other side: a thread that owns the log, and a run's way to it.
//!
//! The thread takes everything at hand, writes it, and forces it to the medium once for all: what comes meanwhile is the
//! next round. The driver never waits. What nobody waits for is forced within a second. Requests that were made and
//! not answered are bounded: by the core where it waits for the answer, by [`QUEUED`] where it does not.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidings_proto::identity::TopicId;
use tidings_proto::io::{Input, StoreTicket};
use tidings_proto::log::{LogError, LogQuery, LogRecord};
use tidings_proto::time::UnixMillis;

use super::RuntimeError;
use crate::store::Log;
use crate::sync::{Signal, lock};

/// What nobody waits for is forced to the medium this long after it was written, at the latest.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How often what is too old is looked for.
const TRIM_EVERY: Duration = Duration::from_secs(60);
/// Bytes that may wait for the thread without anybody waiting for them: a second of a fast disk (a guess).
const QUEUED: usize = 64 << 20;
/// Requests carried out before the answers of the first are given.
const AT_ONCE: usize = 4096;

enum What {
    Append(Vec<LogRecord>, bool),
    Read(LogQuery),
}

struct Job {
    ticket: StoreTicket,
    topic: TopicId,
    what: What,
    replies: Arc<Replies>,
}

/// Where the answers for one run go.
struct Replies {
    inputs: Mutex<Vec<Input>>,
    queued: AtomicUsize,
    /// Set when the thread has ended.
    gone: Arc<AtomicBool>,
    work: Arc<Signal>,
}

impl Replies {
    fn say(&self, input: Input) {
        lock(&self.inputs).push(input);
        self.work.raise();
    }
}

/// The thread that owns a log, for all runs of a runtime.
pub(crate) struct LogThread {
    jobs: Sender<Job>,
    gone: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Says that the thread has ended, whatever ended it.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl LogThread {
    /// Starts the thread.
    pub(crate) fn new(log: Box<dyn Log>) -> Result<LogThread, RuntimeError> {
        let (jobs, receiver) = channel();
        let gone = Arc::<AtomicBool>::default();
        let mark = Gone(gone.clone());
        let work = move || {
            let _mark = mark;
            Worker::new(log).run(&receiver);
        };
        let thread = std::thread::Builder::new().name("tidings-log".into()).spawn(work);
        Ok(LogThread { jobs, gone, thread: thread.map_err(|e| RuntimeError::Thread(e.to_string()))? })
    }

    /// Ends it, once everything is on the medium and the files are closed.
    pub(crate) fn close(self) {
        drop(self.jobs);
        // If it panicked, that was reported.
        let _ = self.thread.join();
    }
}

struct Worker {
    log: Box<dyn Log>,
    /// Topics with something that is not on the medium, and since when.
    unsynced: BTreeSet<TopicId>,
    since: Instant,
    trim_at: Instant,
    /// Who waits for the next sync of a topic.
    waiting: Vec<(TopicId, StoreTicket, Arc<Replies>)>,
}

impl Worker {
    fn new(log: Box<dyn Log>) -> Worker {
        let now = Instant::now();
        Worker { log, unsynced: BTreeSet::new(), since: now, trim_at: now + SYNC_EVERY, waiting: Vec::new() }
    }

    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let due = if self.unsynced.is_empty() { self.trim_at } else { self.trim_at.min(self.since + SYNC_EVERY) };
            match jobs.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(job) => {
                    self.carry_out(job);
                    jobs.try_iter().take(AT_ONCE).for_each(|job| self.carry_out(job));
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The log syncs when it is dropped.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if !self.waiting.is_empty() || (!self.unsynced.is_empty() && self.since.elapsed() >= SYNC_EVERY) {
                self.sync();
            }
            if self.trim_at <= Instant::now() {
                self.trim_at = Instant::now() + TRIM_EVERY;
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                self.log.trim(UnixMillis(u64::try_from(wall).unwrap_or(0)));
            }
        }
    }

    fn carry_out(&mut self, job: Job) {
        let Job { ticket, topic, what, replies } = job;
        match what {
            What::Append(records, sync) => {
                let result = self.log.append(&topic, &records);
                if !sync {
                    let bytes = records.iter().map(|r| r.bytes.len()).sum();
                    replies.queued.fetch_sub(bytes, Ordering::Relaxed);
                }
                if result.is_ok() {
                    if self.unsynced.is_empty() {
                        self.since = Instant::now();
                    }
                    self.unsynced.insert(topic);
                    if sync {
                        return self.waiting.push((topic, ticket, replies));
                    }
                }
                replies.say(Input::Appended { ticket, result });
            }
            What::Read(query) => {
                let result = self.log.read(&topic, &query);
                replies.say(Input::LogRead { ticket, result });
            }
        }
    }

    /// Forces to the medium what somebody waits for, and what has waited long enough.
    fn sync(&mut self) {
        let all = self.since.elapsed() >= SYNC_EVERY;
        let wanted: BTreeSet<TopicId> = self.waiting.iter().map(|w| w.0).collect();
        let topics: Vec<TopicId> =
            if all { self.unsynced.iter().copied().collect() } else { wanted.into_iter().collect() };
        let results = self.log.sync(&topics);
        self.unsynced.retain(|t| !topics.contains(t));
        self.since = Instant::now();
        let results: Vec<_> = topics.iter().zip(results).collect();
        for (topic, error) in results.iter().filter_map(|(t, r)| Some((t, r.as_ref().err()?))) {
            tracing::warn!(?topic, %error, "the message log could not be forced to the medium");
        }
        for (topic, ticket, replies) in std::mem::take(&mut self.waiting) {
            let lost = || Err(LogError::Doubtful("the message log lost an answer".into()));
            let result = results.iter().find(|(t, _)| **t == topic).map_or_else(lost, |(_, r)| r.clone());
            replies.say(Input::Appended { ticket, result });
        }
    }
}

/// A run's way to the log.
pub(crate) struct LogPort {
    jobs: Option<Sender<Job>>,
    replies: Arc<Replies>,
    /// Who waits for the medium.
    storing: BTreeSet<StoreTicket>,
    /// The other requests that are not answered.
    asked: BTreeSet<(StoreTicket, bool)>,
}

impl LogPort {
    /// A way to `thread`, if there is one; `work` is raised when there are answers.
    pub(crate) fn new(thread: Option<&LogThread>, work: Arc<Signal>) -> LogPort {
        let gone = thread.map_or_else(Arc::default, |t| t.gone.clone());
        let replies = Replies { inputs: Mutex::default(), queued: 0.into(), gone, work };
        let jobs = thread.map(|t| t.jobs.clone());
        LogPort { jobs, replies: Arc::new(replies), storing: BTreeSet::new(), asked: BTreeSet::new() }
    }

    /// Appends; the answer, if it is refused at once.
    pub(crate) fn append(
        &mut self,
        ticket: StoreTicket,
        topic: TopicId,
        records: Vec<LogRecord>,
        sync: bool,
    ) -> Option<Input> {
        if !sync && self.jobs.is_some() {
            let bytes: usize = records.iter().map(|r| r.bytes.len()).sum();
            if self.replies.queued.load(Ordering::Relaxed) + bytes > QUEUED {
                let error = LogError::Failed(format!("the disk is too slow: {QUEUED} bytes wait for it"));
                return Some(Input::Appended { ticket, result: Err(error) });
            }
            self.replies.queued.fetch_add(bytes, Ordering::Relaxed);
        }
        match self.send(ticket, topic, What::Append(records, sync)) {
            Ok(()) => {
                if sync {
                    self.storing.insert(ticket);
                }
                None
            }
            Err(error) => Some(Input::Appended { ticket, result: Err(error) }),
        }
    }

    /// Reads; the answer, if it is refused at once.
    pub(crate) fn read(&mut self, ticket: StoreTicket, topic: TopicId, query: LogQuery) -> Option<Input> {
        let sent = self.send(ticket, topic, What::Read(query));
        sent.err().map(|error| Input::LogRead { ticket, result: Err(error) })
    }

    fn send(&mut self, ticket: StoreTicket, topic: TopicId, what: What) -> Result<(), LogError> {
        let jobs = self.jobs.as_ref().ok_or(LogError::Absent)?;
        let read = matches!(what, What::Read(_));
        let job = Job { ticket, topic, what, replies: self.replies.clone() };
        jobs.send(job).map_err(|_| LogError::Failed("the message log has ended".into()))?;
        self.asked.insert((ticket, read));
        Ok(())
    }

    /// Whether somebody waits for the medium.
    pub(crate) fn is_storing(&self) -> bool {
        !self.storing.is_empty()
    }

    /// The answers that came.
    pub(crate) fn answers(&mut self) -> Vec<Input> {
        if self.asked.is_empty() {
            return Vec::new();
        }
        let gone = self.replies.gone.load(Ordering::Acquire);
        let mut inputs = std::mem::take(&mut *lock(&self.replies.inputs));
        for input in &inputs {
            let (Input::Appended { ticket, .. } | Input::LogRead { ticket, .. }) = input else { continue };
            self.storing.remove(ticket);
            self.asked.remove(&(*ticket, matches!(input, Input::LogRead { .. })));
        }
        if gone {
            // It ended without a word for these.
            self.storing.clear();
            let error = || LogError::Doubtful("the message log has ended".into());
            inputs.extend(std::mem::take(&mut self.asked).into_iter().map(|(ticket, read)| match read {
                true => Input::LogRead { ticket, result: Err(error()) },
                false => Input::Appended { ticket, result: Err(error()) },
            }));
        }
        inputs
    }
}
