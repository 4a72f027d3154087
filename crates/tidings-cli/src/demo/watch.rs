//! Follows a run from outside: who has everything, and when the last delivery was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle};

use super::meters;
use super::publish::Plan;
use crate::error::CliError;
use crate::out::Progress;

/// How often progress is looked at.
const GLANCE: Duration = Duration::from_millis(100);
/// With nothing delivered for so long, beside the pause between two messages, nothing will be: three times the default
/// wait for a missing message.
const GIVE_UP: Duration = Duration::from_secs(30);

/// A count with a cache line of its own: its writer never waits for another's.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Count(AtomicU64);

impl Count {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one receiver tells the watch.
pub(super) struct Desk {
    count: Arc<Count>,
    expected: u64,
    have: u64,
    open: Arc<AtomicUsize>,
    done: Arc<Notify>,
}

impl Desk {
    /// One more message has arrived for the first time.
    pub(super) fn delivered(&mut self) {
        self.have += 1;
        self.count.0.store(self.have, Ordering::Relaxed);
        if self.have == self.expected && self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

/// The state of a run.
pub(super) struct Watch {
    counts: Vec<Arc<Count>>,
    expected: Vec<u64>,
    open: Arc<AtomicUsize>,
    done: Arc<Notify>,
    first_publish: Instant,
    cpu_before: f64,
    patience: Duration,
    /// From the first publish to the last delivery.
    pub(super) elapsed: Duration,
    /// CPU seconds of the process in that time.
    pub(super) cpu_s: f64,
}

impl Watch {
    pub(super) fn new(plan: &Plan, now: Instant) -> Self {
        let expected = plan.expected();
        let open = expected.iter().filter(|e| **e > 0).count();
        Watch {
            counts: expected.iter().map(|_| Arc::default()).collect(),
            expected,
            open: Arc::new(AtomicUsize::new(open)),
            done: Arc::default(),
            first_publish: now,
            cpu_before: 0.0,
            patience: GIVE_UP + plan.pause(),
            elapsed: Duration::ZERO,
            cpu_s: 0.0,
        }
    }

    /// Where the receiver of node `index` reports.
    pub(super) fn desk(&self, index: usize) -> Desk {
        Desk {
            count: self.counts[index].clone(),
            expected: self.expected[index],
            have: 0,
            open: self.open.clone(),
            done: self.done.clone(),
        }
    }

    /// The first message is about to be published.
    pub(super) fn begin(&mut self) {
        self.first_publish = Instant::now();
        self.cpu_before = meters::cpu_s();
    }

    fn delivered(&self) -> u64 {
        self.counts.iter().map(|c| c.get()).sum()
    }

    fn mark(&mut self) {
        self.elapsed = self.first_publish.elapsed();
        self.cpu_s = meters::cpu_s() - self.cpu_before;
    }

    /// Waits until everyone has everything, or nothing moves any more.
    pub(super) async fn until_done(
        &mut self,
        mut publishing: JoinHandle<Result<(), CliError>>,
        progress: &mut Progress,
    ) -> Result<(), CliError> {
        let failed = |e: JoinError| CliError::Node(format!("publishing failed: {e}"));
        let total: u64 = self.expected.iter().sum();
        let mut glance = tokio::time::interval(GLANCE);
        let (mut last, mut moved) = (0, Instant::now());
        let mut published = false;
        let done = self.done.clone();
        loop {
            tokio::select! {
                () = done.notified() => {
                    self.mark();
                    break;
                }
                ended = &mut publishing, if !published => {
                    ended.map_err(failed)??;
                    (published, moved) = (true, Instant::now());
                }
                _ = glance.tick() => {
                    let now = self.delivered();
                    if now != last {
                        (last, moved) = (now, Instant::now());
                        self.mark();
                    }
                    if moved.elapsed() > self.patience {
                        break;
                    }
                    if progress.live() {
                        let share = 100.0 * now as f64 / total.max(1) as f64;
                        let rate = now as f64 / self.first_publish.elapsed().as_secs_f64();
                        progress.show(&format!("{now} of {total} delivered ({share:.0} %), {rate:.0} a second"));
                    }
                }
            }
        }
        if published {
            return Ok(());
        }
        if self.open.load(Ordering::Acquire) > 0 {
            publishing.abort();
            return Ok(());
        }
        // The last answer may come after the last delivery.
        publishing.await.map_err(failed)?
    }
}
