//! The storage port's other side: writes at once, forces to the medium on another thread, once a second at most.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tidings_proto::io::{Input, StoreError, StoreTicket};
use tidings_proto::time::{Span, Time};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::store::{Store, SyncOutcome, SyncWork};
use crate::sync::{Signal, lock};

/// What was written is forced to the medium this long after, at the latest.
const SYNC_EVERY: Span = Span::from_secs(1);
/// After a failure it is tried again this long after (a guess: a full disk is not emptied in a second).
const SYNC_RETRY: Span = Span::from_secs(10);

/// A store, shared between the runs of one runtime, one at a time.
pub(crate) type SharedStore = Arc<Mutex<Box<dyn Store>>>;

/// Carries out the core's storage requests.
pub(crate) struct Disk {
    store: SharedStore,
    work: Arc<Signal>,
    wrote: bool,
    sync_at: Option<Time>,
    syncing: Option<JoinHandle<()>>,
    outcome: Arc<Mutex<Option<SyncOutcome>>>,
}

impl Disk {
    /// Carries out requests on `store`; `work` is raised when a sync is done.
    pub(crate) fn new(store: SharedStore, work: Arc<Signal>) -> Disk {
        Disk { store, work, wrote: false, sync_at: None, syncing: None, outcome: Arc::default() }
    }

    /// Writes records.
    pub(crate) fn write(&mut self, now: Time, ticket: StoreTicket, records: &[(Bytes, Option<Bytes>)]) -> Input {
        // The first write of a run is its epoch: the sooner it is safe, the better.
        let every = if std::mem::replace(&mut self.wrote, true) { SYNC_EVERY } else { Span::ZERO };
        self.sync_at.get_or_insert(now + every);
        Input::Stored { ticket, result: lock(&self.store).write(records) }
    }

    /// Reads records.
    pub(crate) fn load(&mut self, ticket: StoreTicket, prefix: &[u8]) -> Input {
        Input::Loaded { ticket, result: lock(&self.store).load(prefix) }
    }

    /// When [`Disk::turn`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.sync_at.filter(|_| self.syncing.is_none())
    }

    /// Begins a sync that is due, takes the outcome of one that is done.
    pub(crate) fn turn(&mut self, now: Time) -> Result<(), StoreError> {
        let mut result = Ok(());
        if self.syncing.is_some()
            && let Some(outcome) = lock(&self.outcome).take()
        {
            self.syncing = None;
            result = lock(&self.store).end_sync(outcome);
            if result.is_err() {
                self.sync_at = Some(now + SYNC_RETRY);
            }
        }
        if self.deadline().is_some_and(|at| at <= now) {
            self.sync_at = None;
            let work = lock(&self.store).begin_sync();
            self.syncing = work.map(|work| self.spawn(work));
        }
        result
    }

    fn spawn(&self, sync: SyncWork) -> JoinHandle<()> {
        let (outcome, work) = (self.outcome.clone(), self.work.clone());
        spawn_blocking(move || {
            let done = sync();
            *lock(&outcome) = Some(done);
            work.raise();
        })
    }

    /// Forces everything to the medium.
    pub(crate) async fn end(&mut self) -> Result<(), StoreError> {
        loop {
            if let Some(syncing) = self.syncing.take() {
                // It ends with an outcome, or panicked: then there is none.
                let _ = syncing.await;
                let outcome = lock(&self.outcome).take();
                let lost = || Err(StoreError("a sync did not finish".into()));
                lock(&self.store).end_sync(outcome.unwrap_or_else(lost))?;
            }
            let Some(work) = lock(&self.store).begin_sync() else { return Ok(()) };
            self.syncing = Some(self.spawn(work));
        }
    }
}
