//! Who publishes what, and when.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tidings::{PublishHandle, Publisher};

use super::payload::Stamp;
use crate::args::{DemoArgs, Publishers, Rate};
use crate::error::CliError;

/// Most messages queued whose answers have not been awaited (several batches of small messages; more only adds to
/// their latency).
const WINDOW: usize = 1024;

/// A run's schedule.
#[derive(Clone)]
pub(super) struct Plan {
    nodes: usize,
    /// Those that read nothing, and publish nothing.
    pub(super) stuck: Vec<usize>,
    messages: u64,
    size: usize,
    rate: Rate,
    who: Publishers,
}

impl Plan {
    pub(super) fn new(args: &DemoArgs, nodes: usize) -> Self {
        let stuck = stuck(nodes, args.stuck as usize);
        Plan { nodes, stuck, messages: args.messages, size: args.size, rate: args.rate, who: args.publishers }
    }

    /// The nodes that publish, in turn.
    pub(super) fn publishers(&self) -> Vec<usize> {
        match self.who {
            // Neither the first to join, which everybody may know, nor the last.
            Publishers::One => vec![publisher(self.nodes)],
            Publishers::Rotating => (0..self.nodes).filter(|n| !self.stuck.contains(n)).collect(),
        }
    }

    /// The pause between two messages.
    pub(super) fn pause(&self) -> Duration {
        match self.rate {
            Rate::PerSecond(rate) => Duration::from_secs_f64(1.0 / rate),
            Rate::Max => Duration::ZERO,
        }
    }

    /// How many messages each node is to receive: all but its own; none if it is stuck.
    pub(super) fn expected(&self) -> Vec<u64> {
        let publishers = self.publishers();
        let turns = publishers.len() as u64;
        let own = |node: usize| {
            let turn = publishers.iter().position(|p| *p == node).map(|t| t as u64);
            turn.map_or(0, |t| self.messages / turns + u64::from(t < self.messages % turns))
        };
        (0..self.nodes).map(|node| if self.stuck.contains(&node) { 0 } else { self.messages - own(node) }).collect()
    }
}

/// The one that publishes where one does.
fn publisher(nodes: usize) -> usize {
    nodes / 2
}

/// `count` of the nodes, evenly among all but the publisher.
fn stuck(nodes: usize, count: usize) -> Vec<usize> {
    let others: Vec<usize> = (0..nodes).filter(|n| *n != publisher(nodes)).collect();
    (0..count).map(|i| others[(2 * i + 1) * others.len() / (2 * count)]).collect()
}

/// Publishes the whole plan. `clock` is what the stamps count from.
pub(super) async fn run(plan: Plan, publishers: Vec<Publisher>, clock: Instant) -> Result<(), CliError> {
    let begun = tokio::time::Instant::now();
    let mut waiting: VecDeque<PublishHandle> = VecDeque::with_capacity(WINDOW + 1);
    for (number, publisher) in (0..plan.messages).zip(publishers.iter().cycle()) {
        if let Rate::PerSecond(rate) = plan.rate {
            tokio::time::sleep_until(begun + Duration::from_secs_f64(number as f64 / rate)).await;
        }
        let sent_ns = u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let payload = Stamp { number, sent_ns }.payload(plan.size);
        let handle = publisher.queue(payload).await.map_err(refused)?;
        waiting.push_back(handle);
        if waiting.len() > WINDOW
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.await.map_err(refused)?;
        }
        // Those answered already, so that a refusal is noticed at once.
        while let Some(answer) = waiting.front_mut().and_then(|oldest| oldest.now_or_never()) {
            answer.map_err(refused)?;
            waiting.pop_front();
        }
    }
    for handle in waiting {
        handle.await.map_err(refused)?;
    }
    Ok(())
}

fn refused(e: impl std::fmt::Display) -> CliError {
    CliError::Node(format!("a message could not be published: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_expected_by_all_others() {
        for (nodes, messages) in [(2, 1), (4, 20), (5, 23), (16, 3)] {
            for who in [Publishers::One, Publishers::Rotating] {
                let plan = Plan { nodes, stuck: Vec::new(), messages, size: 16, rate: Rate::Max, who };
                assert_eq!(plan.expected().iter().sum::<u64>(), messages * (nodes as u64 - 1));
            }
        }
    }

    #[test]
    fn those_that_are_stuck_neither_publish_nor_receive() {
        for count in 1..15 {
            let stuck = stuck(16, count);
            let distinct: std::collections::BTreeSet<_> = stuck.iter().collect();
            assert_eq!(distinct.len(), count);
            for who in [Publishers::One, Publishers::Rotating] {
                let plan = Plan { nodes: 16, stuck: stuck.clone(), messages: 20, size: 16, rate: Rate::Max, who };
                assert!(plan.publishers().iter().all(|p| !stuck.contains(p)));
                assert_eq!(plan.expected().iter().sum::<u64>(), 20 * (15 - count as u64));
            }
        }
    }
}
