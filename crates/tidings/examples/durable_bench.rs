//! Durable messages a second: one node, one topic, each message answered when it is on the disk.
//!
//! `cargo run --release -p tidings --example durable_bench -- [--messages N] [--size BYTES] [--waiting N] [--dir DIR]`

use std::collections::VecDeque;
use std::time::Instant;

use tidings::{Agent, Network};

fn option(name: &str, default: usize) -> usize {
    let args: Vec<String> = std::env::args().collect();
    args.windows(2).find(|w| w[0] == name).and_then(|w| w[1].parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (messages, size) = (option("--messages", 200_000), option("--size", 256));
    let waiting = option("--waiting", 1024);
    let args: Vec<String> = std::env::args().collect();
    let dir = args.windows(2).find(|w| w[0] == "--dir").map_or("/tmp/tidings-durable-bench".into(), |w| w[1].clone());
    let agent = Agent::builder().network(Network::from_name("bench")?).data_dir(&dir).build().await?;
    let durable = agent.publisher("bench").await?.durable();
    durable.publish("the log exists").await?;
    let begin = Instant::now();
    let (mut handles, mut stored) = (VecDeque::new(), 0_usize);
    for n in 0..messages {
        let mut payload = vec![7; size.max(8)];
        payload[..8].copy_from_slice(&(n as u64).to_le_bytes());
        if handles.len() >= waiting
            && let Some(oldest) = handles.pop_front()
        {
            let oldest: tidings::PublishHandle = oldest;
            oldest.await?;
            stored += 1;
        }
        handles.push_back(durable.queue(payload).await?);
    }
    for handle in handles {
        handle.await?;
        stored += 1;
    }
    let took = begin.elapsed();
    let rate = stored as f64 / took.as_secs_f64();
    println!(
        "{stored} durable messages of {size} bytes, {waiting} waiting: {rate:.0} a second, {:.1} MB/s",
        rate * size as f64 / 1e6
    );
    agent.shutdown().await;
    Ok(())
}
