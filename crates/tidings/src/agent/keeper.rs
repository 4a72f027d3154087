//! Remembers the peers a node knows, for its next start.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::data_dir::{DataDir, MAX_SAVED_PEERS};
use crate::gossip::RuntimeHandle;
use crate::sync::lock;

/// Soon after the start, when the first neighbours are there; then rarely (both are guesses).
const FIRST: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(60);

/// A task that saves known peers now and then. Dropping it ends it.
pub(super) struct Keeper {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Keeper {
    pub(super) fn start(handle: RuntimeHandle, dir: Arc<Mutex<Option<DataDir>>>) -> Keeper {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut wait = FIRST;
            // A timeout means that nobody has said stop, nor gone away.
            while tokio::time::timeout(wait, &mut stopped).await.is_err() {
                save(&handle, &dir).await;
                wait = EVERY;
            }
            save(&handle, &dir).await;
        });
        Keeper { stop, task }
    }

    /// Saves once more and ends.
    pub(super) async fn end(self) {
        drop(self.stop);
        if self.task.await.is_err() {
            tracing::warn!("the task that saves known peers has panicked");
        }
    }
}

async fn save(handle: &RuntimeHandle, dir: &Arc<Mutex<Option<DataDir>>>) {
    let Ok(peers) = handle.known_peers(MAX_SAVED_PEERS).await else { return };
    // A node that is alone does not forget whom it knew.
    if peers.is_empty() {
        return;
    }
    let dir = dir.clone();
    let saved = spawn_blocking(move || lock(&dir).as_ref().map_or(Ok(()), |dir| dir.save_peers(&peers))).await;
    if let Ok(Err(error)) = saved {
        tracing::warn!(%error, "known peers were not saved");
    }
}
