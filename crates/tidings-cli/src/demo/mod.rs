//! `tidings demo`: real nodes on this machine, and the proof that everything arrived exactly once.
//!
//! The harness stays out of its own figures: every receiver counts for itself, completion is one atomic decrement a
//! node, and the one who watches wakes ten times a second.

mod fleet;
mod histogram;
mod meters;
mod payload;
mod publish;
mod report;
mod tally;
mod watch;

use std::time::Duration;

use crate::args::DemoArgs;
use crate::error::CliError;
use crate::out::{self, Progress};

use fleet::Fleet;
use report::Summary;
use tally::Totals;
use watch::Watch;

/// The demo's topic.
const TOPIC: &str = "demo";
/// How long the overlay is left alone after the join, to finish shuffling (a guess: two probe intervals).
const SETTLE: Duration = Duration::from_secs(2);
/// How long traffic is watched after the last delivery, for stragglers and duplicates (announcements leave within
/// tens of milliseconds).
const TAIL: Duration = Duration::from_millis(500);

/// Runs the demo.
pub(crate) async fn run(args: &DemoArgs, json: bool) -> Result<(), CliError> {
    if args.stuck + 2 > args.nodes {
        let why =
            format!("--stuck {} of {} nodes leaves nobody to receive: use a smaller number", args.stuck, args.nodes);
        return Err(CliError::Usage(why));
    }
    let mut progress = Progress::new(json);
    let rss_before = meters::rss_bytes();
    let mut fleet = Fleet::start(args.nodes as usize, &mut progress).await?;
    let clock = fleet.clock();
    fleet.wait_for_neighbors(&mut progress).await?;
    let join = clock.elapsed();
    fleet.wait_for_one_piece(&mut progress).await?;
    let one_piece = clock.elapsed();
    progress.show(&format!("{} nodes joined in {:.0} ms; letting them settle", args.nodes, join.as_secs_f64() * 1e3));
    tokio::time::sleep(SETTLE).await;
    fleet.wait_for_one_piece(&mut progress).await?;
    let idle_rss = meters::rss_bytes().zip(rss_before).map(|(now, before)| now - before);

    let publishing = publish::Plan::new(args, fleet.len());
    fleet.hold(&publishing.stuck);
    let counters_before = fleet.counters().await?;
    let mut watch = Watch::new(&publishing, clock);
    let stuck = publishing.stuck.clone();
    let receivers = fleet.receive(&watch, args.messages, args.size);
    let publishers = fleet.publishers(publishing.publishers()).await?;
    watch.begin();
    let task = tokio::spawn(publish::run(publishing, publishers, clock));
    watch.until_done(task, &mut progress).await?;
    progress.show("all sent; listening for stragglers");
    tokio::time::sleep(TAIL).await;
    let traffic = fleet.counters().await?.since(&counters_before);
    fleet.shutdown().await;
    let mut totals = Totals::new();
    for (index, receiver) in receivers.into_iter().enumerate() {
        let tally = receiver.await.map_err(|e| CliError::Node(format!("a receiver failed: {e}")))?;
        if !stuck.contains(&index) {
            totals.add(&tally);
        }
    }
    progress.clear();

    let summary = Summary::new(args, [join, one_piece], idle_rss, &watch, &totals, &traffic);
    if json {
        out::json(&summary)?
    } else {
        summary.print()?
    }
    summary.verdict()
}
