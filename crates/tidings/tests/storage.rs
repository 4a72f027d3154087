//! A node and its store: when it fails, and when it is forced to the medium.

mod support;

use std::sync::mpsc::{Sender, channel};

use bytes::Bytes;
use support::*;
use tidings::store::{MemoryStore, Store, StoreError, SyncOutcome, SyncWork};
use tidings::transport::MemoryNetwork;
use tidings::{Agent, AgentEvent, SubscribeOptions};

type Record = (Bytes, Option<Bytes>);

/// A full disk.
struct Full;

impl Store for Full {
    fn write(&mut self, _: &[Record]) -> Result<(), StoreError> {
        Err(StoreError("no space left".into()))
    }
    fn load(&mut self, _: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Ok(Vec::new())
    }
    fn begin_sync(&mut self) -> Option<SyncWork> {
        None
    }
    fn end_sync(&mut self, _: SyncOutcome) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Tells how many writes each sync covers. The first `bad` syncs fail.
struct Watched {
    inner: MemoryStore,
    writes: usize,
    bad: usize,
    synced: Sender<usize>,
}

impl Store for Watched {
    fn write(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.writes += 1;
        self.inner.write(records)
    }
    fn load(&mut self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.inner.load(prefix)
    }
    fn begin_sync(&mut self) -> Option<SyncWork> {
        let writes = std::mem::take(&mut self.writes);
        let good = self.bad == 0;
        self.bad = self.bad.saturating_sub(usize::from(writes > 0));
        let work: SyncWork = Box::new(move || match good {
            true => Ok(Box::new(writes)),
            false => Err(StoreError("the medium is worn out".into())),
        });
        (writes > 0).then_some(work)
    }
    fn end_sync(&mut self, outcome: SyncOutcome) -> Result<(), StoreError> {
        let writes = outcome?.downcast::<usize>().unwrap();
        // The test may have seen enough.
        let _ = self.synced.send(*writes);
        Ok(())
    }
}

async fn agent_with(store: impl Store) -> Agent {
    let transport = memory_transport(&MemoryNetwork::new(), 1, "x");
    Agent::builder().secret(secret(1)).network(network("x")).transport(transport).store(store).build().await.unwrap()
}

async fn storage_failure(agent: &Agent) -> String {
    let mut events = agent.events();
    within("the failure", async {
        loop {
            if let AgentEvent::StorageFailed { error } = events.recv().await.unwrap() {
                return error;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_full_disk_is_reported_and_messages_flow_on() {
    let agent = agent_with(Full).await;
    let own = SubscribeOptions { own: true, ..Default::default() };
    let mut heard = agent.subscribe_with("t", own).await.unwrap();
    let failure = tokio::spawn({
        let agent = agent.clone();
        async move { storage_failure(&agent).await }
    });
    tokio::task::yield_now().await;
    for i in 0..3 {
        agent.publish("t", format!("{i}")).await.unwrap();
        assert_eq!(next_message(&mut heard).await.payload, format!("{i}"));
    }
    assert!(failure.await.unwrap().contains("no space left"));
}

#[tokio::test]
async fn writes_are_forced_to_the_medium_soon_and_at_shutdown() {
    let (synced, seen) = channel();
    let agent = agent_with(Watched { inner: MemoryStore::default(), writes: 0, bad: 0, synced }).await;
    let next = async || {
        within("a sync", async {
            loop {
                if let Ok(writes) = seen.try_recv() {
                    return writes;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    };
    agent.publish("t", "one").await.unwrap();
    assert!(next().await > 0, "the epoch");
    agent.publish("t", "two").await.unwrap();
    assert!(next().await > 0, "while it runs");
    agent.publish("t", "three").await.unwrap();
    agent.shutdown().await;
    assert!(seen.try_recv().unwrap() > 0, "at shutdown");
}

#[tokio::test]
async fn a_failed_sync_is_reported() {
    let (synced, _seen) = channel();
    // All fail: the first may have done so before anybody listened.
    let agent = agent_with(Watched { inner: MemoryStore::default(), writes: 0, bad: usize::MAX, synced }).await;
    let (failure, published) = tokio::join!(storage_failure(&agent), agent.publish("t", "x"));
    published.unwrap();
    assert_eq!(failure, "the medium is worn out");
}
