//! What the QUIC transport costs: memory of idle links, round trips, frames per second, processor time a frame.
//!
//! `cargo run --release -p tidings --example transport_bench [nodes] [links]`: figures of this machine, to be compared
//! only within one sitting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings::transport::{Inbound, Inbox, LinkLimits, QuicConfig, QuicTransport, SendError, Transport};
use tidings_proto::identity::{Network, NodeId, SecretKey};
use tidings_proto::wire::{Frame, Lane};

type Failure = Box<dyn std::error::Error>;

struct Node {
    t: Arc<QuicTransport>,
    inbox: Inbox,
}

async fn start(seed: u16) -> Result<Node, Failure> {
    let mut secret = [7; 32];
    secret[..2].copy_from_slice(&seed.to_le_bytes());
    let config = QuicConfig {
        dial_timeout: Duration::from_secs(10),
        ..QuicConfig::new(SecretKey::from_bytes(secret), Network::from_name("bench")?)
    };
    let t = QuicTransport::bind(config).await?;
    let inbox = t.attach(LinkLimits::default());
    Ok(Node { t, inbox })
}

async fn up(inbox: &mut Inbox) -> Result<NodeId, Failure> {
    match inbox.recv().await {
        Some(Inbound::LinkUp { peer, .. }) => Ok(peer),
        other => Err(format!("wanted a link, got {other:?}").into()),
    }
}

/// Resident memory in kB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

/// Processor time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

async fn idle(nodes: u16, links: u16) -> Result<(), Failure> {
    let before = resident();
    let mut all = Vec::new();
    for seed in 0..nodes {
        all.push(start(seed).await?);
    }
    let endpoints = resident();
    let (began, cpu_before) = (Instant::now(), cpu());
    for step in 1..=links / 2 {
        for i in 0..all.len() {
            let j = (i + usize::from(step)) % all.len();
            all[i].t.dial(all[j].t.local_peer_id(), all[j].t.local_addrs());
            up(&mut all[i].inbox).await?;
            up(&mut all[j].inbox).await?;
        }
    }
    let pairs = f64::from(nodes) * f64::from(links / 2);
    println!("{:.2} ms a dial, {:.2} ms cpu", ms(began.elapsed()) / pairs, ms(cpu() - cpu_before) / pairs);
    let per = |kb: u64| kb as f64 / f64::from(nodes);
    println!("{:.0} kB an endpoint", per(endpoints - before));
    println!("{:.0} kB a node with {links} links", per(resident() - before));
    let sent = || all.iter().map(|node| node.t.stats().wire_bytes_out).sum::<u64>();
    let (before, sent_before) = (cpu(), sent());
    tokio::time::sleep(Duration::from_secs(10)).await;
    println!("{:.0} bytes a second for an idle link, both ways", (sent() - sent_before) as f64 / 10.0 / pairs);
    println!("{:.2} % of a core for {pairs} idle links", ms(cpu() - before) / 100.0);
    Ok(())
}

fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1000.0
}

async fn frame(inbox: &mut Inbox) -> Result<(), Failure> {
    loop {
        match inbox.recv().await {
            Some(Inbound::Frame { .. }) => return Ok(()),
            Some(Inbound::Credit { .. }) => {}
            other => return Err(format!("wanted a frame, got {other:?}").into()),
        }
    }
}

async fn speed() -> Result<(), Failure> {
    let (mut a, mut b) = (start(60_000).await?, start(60_001).await?);
    let (a_id, b_id) = (a.t.local_peer_id(), b.t.local_peer_id());
    a.t.dial(b_id, b.t.local_addrs());
    up(&mut a.inbox).await?;
    up(&mut b.inbox).await?;
    let small = Frame::new(1, &[0; 16], Bytes::from(vec![0; 256]));

    let (began, cpu_before, rounds) = (Instant::now(), cpu(), 20_000);
    for _ in 0..rounds {
        a.t.try_send_frame(b_id, Lane::Data, small.clone())?;
        frame(&mut b.inbox).await?;
        b.t.try_send_frame(a_id, Lane::Data, small.clone())?;
        frame(&mut a.inbox).await?;
    }
    let per = |d: Duration, n: u32| d.as_secs_f64() * 1e6 / f64::from(n);
    println!(
        "{:.1} us a round trip, {:.1} us cpu a frame",
        per(began.elapsed(), rounds),
        per(cpu() - cpu_before, 2 * rounds)
    );

    for (what, frame_to_send, count) in
        [("256 B", small, 1_000_000u32), ("64 KiB", Frame::new(1, &[0; 16], vec![0; 65_536].into()), 20_000)]
    {
        let (began, cpu_before) = (Instant::now(), cpu());
        let (mut sent, mut got) = (0, 0);
        while got < count {
            while sent < count && sent - got < 8_000 {
                match a.t.try_send_frame(b_id, Lane::Data, frame_to_send.clone()) {
                    Ok(()) => sent += 1,
                    Err(SendError::Full) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            frame(&mut b.inbox).await?;
            got += 1;
            while let Some(event) = b.inbox.try_recv() {
                got += u32::from(matches!(event, Inbound::Frame { .. }));
            }
            while a.inbox.try_recv().is_some() {}
        }
        let wall = began.elapsed();
        println!(
            "{what}: {:.0} frames/s, {:.1} MB/s, {:.2} us cpu a frame",
            f64::from(count) / wall.as_secs_f64(),
            f64::from(count) * frame_to_send.len() as f64 / wall.as_secs_f64() / 1e6,
            per(cpu() - cpu_before, count),
        );
    }
    let stats = a.t.stats();
    println!("{:.3} wire bytes a frame byte", stats.wire_bytes_out as f64 / stats.frame_bytes_out as f64);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arg = |n, or| std::env::args().nth(n).map_or(Ok(or), |text| text.parse());
    // No nodes: the speed of one link only.
    let nodes = arg(1, 100)?;
    if nodes > 0 {
        idle(nodes, arg(2, 10)?).await?;
    }
    speed().await
}
