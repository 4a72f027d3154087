//! Direct messages between two nodes on this machine: how many a second, and how long one takes to its receipt.
//!
//! `cargo run --release -p tidings --example direct [COUNT] [BYTES]`

use std::time::{Duration, Instant};

use tidings::{Agent, Network};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<usize>());
    let count = args.next().transpose()?.unwrap_or(100_000);
    let size = args.next().transpose()?.unwrap_or(256);
    let network = Network::from_name("direct")?;
    let a = Agent::builder().network(network.clone()).build().await?;
    let b = Agent::builder().network(network).build().await?;
    b.join_network([a.peer_addr()]).await?;
    // Found once; then what is measured is the messages.
    let found = loop {
        if let Some(found) = a.find_agent(b.agent_id()).await? {
            break found[0].peer_addr();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let messaging = a.messaging();
    let began = Instant::now();
    messaging.send_to(found.clone(), b.agent_id(), vec![7; size]).await?;
    println!("first message of a session: {:.2} ms", began.elapsed().as_secs_f64() * 1e3);

    let mut took = Vec::new();
    for _ in 0..500 {
        took.push(messaging.send_to(found.clone(), b.agent_id(), vec![7; size]).await?.took_ms);
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    took.sort_by(f64::total_cmp);
    println!("one at a time: p50 {:.2} ms, p99 {:.2} ms to the receipt", took[250], took[495]);

    // Whoever reads keeps the inbox from filling.
    let (reader, mut coming) = (b.messaging(), b.messaging().subscribe()?);
    let reading = tokio::spawn(async move {
        let mut ids = Vec::new();
        let mut seen = 0;
        while let Some(m) = coming.recv().await {
            ids.push(m.id);
            seen += 1;
            if ids.len() >= 256 || seen == count {
                let _ = reader.mark_read(std::mem::take(&mut ids)).await;
            }
            if seen == count {
                break;
            }
        }
        seen
    });
    let began = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..count {
        while waiting.len() >= 1_024 {
            waiting.join_next().await.transpose()?.transpose()?;
        }
        let (messaging, to, agent) = (messaging.clone(), found.clone(), b.agent_id());
        waiting.spawn(async move { messaging.send_to(to, agent, vec![7; size]).await });
    }
    while let Some(done) = waiting.join_next().await {
        done??;
    }
    let took = began.elapsed().as_secs_f64();
    println!("{count} of {size} bytes, each with its receipt: {:.0} a second", count as f64 / took);
    let seen = tokio::time::timeout(Duration::from_secs(5), reading).await.map_or(0, |s| s.unwrap_or(0));
    println!("read: {seen}");
    a.shutdown().await;
    b.shutdown().await;
    Ok(())
}
