//! Durable messages of a real node: what is stored, what is refused, and what a SIGKILL leaves.
//!
//! The long run: `TIDINGS_KILLS=200 cargo test --release -p tidings --test durable -- --nocapture sigkill`.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use support::*;
use tidings::proto::config::GossipConfig;
use tidings::proto::pubsub::Batch;
use tidings::store::{Log, LogError, LogPage, LogQuery, LogRecord};
use tidings::transport::MemoryNetwork;
use tidings::{Agent, CommandError, DataDir, PublishError, SubscribeOptions, TopicId};

async fn agent_in(dir: &Path) -> Agent {
    Agent::builder().network(network("x")).data_dir(dir).build().await.unwrap()
}

fn topic() -> TopicId {
    TopicId::from_name("t").unwrap()
}

/// The payloads in the log of a node that does not run.
fn logged(dir: &Path) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    for (_, _, payload) in numbered(dir) {
        payloads.push(payload);
    }
    payloads
}

/// Epoch, number and payload of each message in the log of a node that does not run.
fn numbered(dir: &Path) -> Vec<(u64, u64, Vec<u8>)> {
    let dir = DataDir::open(dir).unwrap();
    let config = GossipConfig { history_max_bytes: 1 << 30, ..Default::default() };
    let mut log = dir.log(&config);
    let (mut messages, mut query) = (Vec::new(), LogQuery::default());
    loop {
        let page = log.read(&topic(), &query).unwrap();
        for record in page.records {
            let h = Batch::peek(&record.bytes).unwrap().header;
            let body: usize = h.payloads.iter().map(|l| *l as usize).sum();
            let mut at = record.bytes.len() - body;
            for (i, len) in h.payloads.iter().enumerate() {
                let payload = record.bytes[at..at + *len as usize].to_vec();
                messages.push((h.epoch, h.first_seq + i as u64, payload));
                at += *len as usize;
            }
        }
        if page.next.is_none() {
            return messages;
        }
        query.after = page.next;
    }
}

#[tokio::test]
async fn a_durable_message_is_in_the_log_when_it_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent_in(dir.path()).await;
    agent.publish("t", "only sent").await.unwrap();
    agent.publish_durable("t", "stored").await.unwrap();
    // As the next process finds it if this one is killed now.
    let copy = tempfile::tempdir().unwrap();
    let name = tidings::proto::identity::hex(topic().as_bytes());
    let (from, to) = (dir.path().join("log").join(&name), copy.path().join("log").join(&name));
    std::fs::create_dir_all(&to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    assert_eq!(logged(copy.path()), [b"stored"]);
    agent.shutdown().await;
}

#[tokio::test]
async fn a_topic_subscribed_durably_is_kept_until_the_subscription_ends() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent_in(dir.path()).await;
    let options = SubscribeOptions { durable: true, own: true, ..Default::default() };
    let mut kept = agent.subscribe_with("t", options).await.unwrap();
    let mut other = agent.subscribe_with("t", SubscribeOptions { own: true, ..Default::default() }).await.unwrap();
    agent.publish("t", "one").await.unwrap();
    next_message(&mut kept).await;
    next_message(&mut other).await;
    drop(kept);
    // Goes the same way as the end of the subscription, behind it.
    agent.subscribe("u").await.unwrap();
    agent.publish("t", "two").await.unwrap();
    next_message(&mut other).await;
    agent.shutdown().await;
    assert_eq!(logged(dir.path()), [b"one"]);
}

#[tokio::test]
async fn after_a_restart_a_neighbour_gets_what_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent_in(dir.path()).await;
    for i in 0..20 {
        agent.publish_durable("t", format!("{i}")).await.unwrap();
    }
    agent.shutdown().await;
    let agent = agent_in(dir.path()).await;
    let _heard = agent.subscribe("t").await.unwrap();
    within("the log to be read", async {
        while agent.status().await.unwrap().node.topics[0].info.cached_messages < 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    agent.shutdown().await;
}

#[tokio::test]
async fn without_a_data_directory_it_is_refused() {
    let agent = memory_agent(&MemoryNetwork::new(), 1, "x").await;
    let refused = agent.publish_durable("t", "x").await.unwrap_err();
    assert_eq!(refused, PublishError::Refused(CommandError::NotStored(LogError::Absent)));
    let options = SubscribeOptions { durable: true, ..Default::default() };
    assert!(agent.subscribe_with("t", options).await.is_err());
    agent.publish("t", "x").await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_named_and_the_rest_of_the_node_runs() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent_in(dir.path()).await;
    agent.publish_durable("t", "x").await.unwrap();
    agent.shutdown().await;
    let name = tidings::proto::identity::hex(topic().as_bytes());
    let path = dir.path().join("log").join(name).join("0000000000000001.log");
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let agent = agent_in(dir.path()).await;
    let refused = agent.publish_durable("t", "y").await.unwrap_err().to_string();
    assert!(refused.starts_with("not stored: ") && refused.contains(path.to_str().unwrap()), "{refused}");
    let options = SubscribeOptions { durable: true, ..Default::default() };
    assert!(agent.subscribe_with("t", options).await.is_err());
    let mut heard = agent.subscribe_with("t", SubscribeOptions { own: true, ..Default::default() }).await.unwrap();
    agent.publish("t", "z").await.unwrap();
    assert_eq!(next_message(&mut heard).await.payload, "z");
    agent.publish_durable("another", "y").await.unwrap();
    agent.shutdown().await;
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 1000, "touched");
}

/// A disk that is full or worn out when told to, and counts.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    full: bool,
    worn: bool,
    appended: usize,
    syncs: usize,
}

impl Disk {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    async fn agent(&self) -> Agent {
        let transport = memory_transport(&MemoryNetwork::new(), 1, "x");
        let builder = Agent::builder().secret(secret(1)).network(network("x")).transport(transport);
        builder.log(self.clone()).build().await.unwrap()
    }
}

impl Log for Disk {
    fn append(&mut self, _: &TopicId, records: &[LogRecord]) -> Result<(), LogError> {
        let mut state = self.0.lock().unwrap();
        state.appended += records.len();
        if state.full { Err(LogError::Failed("no space left".into())) } else { Ok(()) }
    }
    fn sync(&mut self, topics: &[TopicId]) -> Vec<Result<(), LogError>> {
        let mut state = self.0.lock().unwrap();
        state.syncs += 1;
        let result = if state.worn { Err(LogError::Doubtful("worn out".into())) } else { Ok(()) };
        topics.iter().map(|_| result.clone()).collect()
    }
    fn read(&mut self, _: &TopicId, _: &LogQuery) -> Result<LogPage, LogError> {
        Ok(LogPage::default())
    }
    fn trim(&mut self, _: tidings::UnixMillis) {}
}

fn not_stored(refused: PublishError) -> LogError {
    match refused {
        PublishError::Refused(CommandError::NotStored(why)) => why,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_full_disk_refuses_durable_messages_until_there_is_room() {
    let disk = Disk::default();
    let agent = disk.agent().await;
    let durable = agent.publisher("t").await.unwrap().durable();
    disk.set(|d| d.full = true);
    let refused = not_stored(durable.publish("x").await.unwrap_err());
    assert_eq!(refused.to_string(), "no space left; nothing already stored is lost");
    agent.publish("t", "only sent").await.unwrap();
    disk.set(|d| d.full = false);
    assert_eq!(durable.publish("y").await.unwrap().seq, 2);
}

#[tokio::test]
async fn nothing_is_answered_as_stored_that_was_not_forced_to_the_medium() {
    let disk = Disk::default();
    let agent = disk.agent().await;
    let durable = agent.publisher("t").await.unwrap().durable();
    let before = durable.publish("x").await.unwrap();
    disk.set(|d| d.worn = true);
    assert!(matches!(not_stored(durable.publish("y").await.unwrap_err()), LogError::Doubtful(_)));
    disk.set(|d| d.worn = false);
    let after = durable.publish("z").await.unwrap();
    assert!(after.epoch > before.epoch && after.seq == 1, "{before:?}, {after:?}");
}

#[tokio::test]
async fn one_sync_covers_what_waited() {
    let disk = Disk::default();
    let agent = disk.agent().await;
    let durable = agent.publisher("t").await.unwrap().durable();
    let mut handles = Vec::new();
    for _ in 0..1000 {
        handles.push(durable.queue(vec![7; 1000]).await.unwrap());
    }
    for handle in handles {
        handle.await.unwrap();
    }
    disk.set(|d| assert!(d.appended > d.syncs && d.syncs < 100, "{} batches, {} syncs", d.appended, d.syncs));
}

/// What this test's child does: publishes as fast as it can and says what was answered, until it is killed.
#[tokio::test]
async fn child() {
    let Ok(dir) = std::env::var("TIDINGS_KILL_ME_IN") else { return };
    let config = GossipConfig { history_max_bytes: 1 << 30, ..Default::default() };
    let agent = Agent::builder().network(network("x")).config(config).data_dir(dir).build().await.unwrap();
    println!("running");
    let durable = agent.publisher("t").await.unwrap().durable();
    let (handles, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        for n in 0_u64.. {
            let mut payload = [7; 256];
            payload[..8].copy_from_slice(&n.to_le_bytes());
            handles.send((n, durable.queue(payload.to_vec()).await.unwrap())).unwrap();
        }
    });
    while let Some((n, handle)) = waiting.recv().await {
        let published = handle.await.unwrap();
        println!("stored {} {} {n}", published.epoch, published.seq);
    }
}

/// Runs a child in `dir` and kills it after so many answers. What it was answered: epoch, number, which message.
fn kill_after(dir: &Path, answers: usize) -> Vec<(u64, u64, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("TIDINGS_KILL_ME_IN", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut stored = Vec::new();
    let mut take = |line: String| {
        let words: Vec<u64> = line.strip_prefix("stored ")?.split(' ').filter_map(|w| w.parse().ok()).collect();
        // The last line may be cut.
        if let [epoch, seq, n] = words[..] {
            stored.push((epoch, seq, n));
        }
        Some(())
    };
    let mut said = 0;
    while said < answers {
        let line = lines.next().expect("the child ended by itself");
        said += usize::from(take(line).is_some());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let rest: Vec<String> = lines.collect();
    // A line without its end may be short of digits.
    for line in rest.into_iter().rev().skip(1) {
        take(line);
    }
    stored
}

#[test]
fn what_was_answered_survives_a_sigkill_and_numbers_never_repeat() {
    let kills: usize = std::env::var("TIDINGS_KILLS").ok().and_then(|k| k.parse().ok()).unwrap_or(10);
    let mut random = [0; 8];
    random.copy_from_slice(&tidings::new_secret().unwrap().expose()[..8]);
    let mut random = u64::from_le_bytes(random) | 1;
    let (mut total, mut found_in_all) = (0, 0);
    let mut dir = tempfile::tempdir().unwrap();
    let mut answered: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for kill in 0..kills {
        if kill % 10 == 0 {
            dir = tempfile::tempdir().unwrap();
            answered.clear();
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Every fifth dies while it starts.
        let after = if random.is_multiple_of(5) { 0 } else { (random >> 8) as usize % 10_000 };
        for (epoch, seq, n) in kill_after(dir.path(), after) {
            total += 1;
            let before = answered.insert((epoch, seq), n);
            assert_eq!(before, None, "kill {kill}: number {seq} of epoch {epoch} was answered twice");
        }
        let mut there: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        for (epoch, seq, payload) in numbered(dir.path()) {
            let n = u64::from_le_bytes(*payload.first_chunk().unwrap());
            let before = there.insert((epoch, seq), n);
            assert_eq!(before, None, "kill {kill}: number {seq} of epoch {epoch} is there twice");
        }
        for (place, n) in &answered {
            assert_eq!(there.get(place), Some(n), "kill {kill}: {place:?} was answered and is not there");
        }
        found_in_all += there.len();
    }
    println!("{kills} kills: {total} durable messages answered, none lost, no number twice ({found_in_all} looked at)");
}
