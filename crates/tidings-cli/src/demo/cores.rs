//! One thread a core, each driving its share of the nodes.
//!
//! A node is one task that feeds one core of logic: on a thread of its own it never waits for another thread to wake
//! up, as in a process of its own. A pool that hands tasks from thread to thread spends more on handing them over
//! than they take, and with little to do keeps all of them on one thread.

use std::thread::{self, JoinHandle};

use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use crate::error::CliError;

/// The threads.
pub(super) struct Cores(Vec<Core>);

struct Core {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Cores {
    /// As many threads as the machine runs at once, and no more than there are nodes.
    pub(super) fn start(nodes: usize) -> Result<Cores, CliError> {
        let count = thread::available_parallelism().map_or(1, usize::from).min(nodes.max(1));
        (0..count).map(|_| Core::start()).collect::<Result<_, _>>().map(Cores).map_err(cannot)
    }

    /// The thread that drives node `number`.
    pub(super) fn of(&self, number: usize) -> &Handle {
        &self.0[number % self.0.len()].handle
    }
}

fn cannot(error: std::io::Error) -> CliError {
    CliError::Node(format!("can't start a thread for the nodes: {error}"))
}

impl Core {
    fn start() -> std::io::Result<Core> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("nodes".into()).spawn(move || {
            // Dropped without a word, it stops as well.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Core { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only runs tasks, and their panics stay theirs.
            let _ = thread.join();
        }
    }
}
