//! The nodes of a demo.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use tidings::transport::{QuicConfig, QuicTransport};
use tidings::{Agent, Counters, Item, Network, NodeId, Publisher, SubscribeOptions, Subscription, new_secret};
use tokio::task::JoinHandle;

use super::TOPIC;
use super::tally::Tally;
use super::watch::Watch;
use crate::error::CliError;
use crate::out::Progress;

/// How long the nodes may take to find neighbours.
const JOIN_DEADLINE: Duration = Duration::from_secs(30);
/// How often those without are looked at.
const JOIN_GLANCE: Duration = Duration::from_millis(10);

/// Real nodes, each with its key, its endpoint and a subscription to the demo's topic.
pub(super) struct Fleet {
    nodes: Vec<Agent>,
    transports: Vec<Arc<QuicTransport>>,
    subscriptions: Vec<Subscription>,
    start: Instant,
}

/// Traffic of all nodes together.
#[derive(Clone, Default)]
pub(super) struct Counts {
    /// UDP payload bytes sent.
    pub(super) wire_bytes: u64,
    /// Batches that reached a node for the first time.
    received: u64,
    /// Batches that reached a node again.
    duplicate: u64,
    /// Everything the nodes counted since they started.
    pub(super) all: Counters,
}

impl Counts {
    /// What came after `earlier`.
    pub(super) fn since(self, earlier: &Counts) -> Counts {
        Counts {
            wire_bytes: self.wire_bytes.saturating_sub(earlier.wire_bytes),
            received: self.received.saturating_sub(earlier.received),
            duplicate: self.duplicate.saturating_sub(earlier.duplicate),
            all: self.all,
        }
    }

    /// Relative message redundancy (Plumtree, section 3.1): payload frames received for each one needed, less one.
    pub(super) fn rmr(&self) -> Option<f64> {
        (self.received > 0).then(|| self.duplicate as f64 / self.received as f64)
    }
}

/// A random number, uniform enough to choose one of a thousand by.
fn draw() -> Result<usize, CliError> {
    let drawn = new_secret().map_err(failed)?;
    Ok(drawn.expose().iter().take(8).fold(0, |n, byte| n << 8 | usize::from(*byte)))
}

/// The sizes of the connected parts of a network, largest first. A link counts in both directions.
fn pieces(views: &BTreeMap<NodeId, Vec<NodeId>>) -> Vec<usize> {
    let mut links: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    for (node, view) in views {
        for neighbor in view {
            links.entry(*node).or_default().push(*neighbor);
            links.entry(*neighbor).or_default().push(*node);
        }
    }
    let mut left: BTreeSet<NodeId> = views.keys().copied().collect();
    let mut sizes = Vec::new();
    while let Some(first) = left.pop_first() {
        let (mut size, mut open) = (1, vec![first]);
        while let Some(node) = open.pop() {
            for neighbor in links.get(&node).into_iter().flatten() {
                if left.remove(neighbor) {
                    size += 1;
                    open.push(*neighbor);
                }
            }
        }
        sizes.push(size);
    }
    sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
    sizes
}

fn failed(e: impl std::fmt::Display) -> CliError {
    CliError::Node(e.to_string())
}

impl Fleet {
    /// Starts the nodes one after the other; each joins through one random earlier one.
    pub(super) async fn start(nodes: usize, progress: &mut Progress) -> Result<Self, CliError> {
        let start = Instant::now();
        let network = Network::from_key(*new_secret().map_err(failed)?.expose());
        let mut fleet = Fleet { nodes: Vec::new(), transports: Vec::new(), subscriptions: Vec::new(), start };
        for number in 0..nodes {
            let secret = new_secret().map_err(failed)?;
            let mut quic = QuicConfig::new(secret.clone(), network.clone());
            quic.bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let transport = QuicTransport::bind(quic).await.map_err(failed)?;
            let builder = Agent::builder().network(network.clone()).secret(secret).transport(transport.clone());
            let agent = builder.build().await.map_err(failed)?;
            fleet.transports.push(transport);
            let options = SubscribeOptions::default();
            fleet.subscriptions.push(agent.subscribe_with(TOPIC, options).await.map_err(failed)?);
            if number > 0 {
                let earlier = &fleet.nodes[draw()? % number];
                agent.join_network([earlier.peer_addr()]).await.map_err(failed)?;
            }
            fleet.nodes.push(agent);
            progress.show(&format!("{} of {nodes} nodes started", number + 1));
        }
        Ok(fleet)
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Waits until every node has a neighbour in the topic.
    pub(super) async fn wait_for_neighbors(&self, progress: &mut Progress) -> Result<(), CliError> {
        loop {
            let alone = self.views().await?.values().filter(|view| view.is_empty()).count();
            if alone == 0 {
                return Ok(());
            }
            let nodes = self.nodes.len();
            self.wait(&format!("{alone} of {nodes} nodes have no neighbour"), progress).await?;
        }
    }

    /// Waits until the topic's overlay is in one piece: each node can be reached from each other one.
    pub(super) async fn wait_for_one_piece(&self, progress: &mut Progress) -> Result<(), CliError> {
        loop {
            let pieces = pieces(&self.views().await?);
            if pieces.len() == 1 {
                return Ok(());
            }
            self.wait(&format!("the topic's overlay is in pieces of {pieces:?} nodes"), progress).await?;
        }
    }

    async fn wait(&self, why: &str, progress: &mut Progress) -> Result<(), CliError> {
        if self.start.elapsed() > JOIN_DEADLINE {
            let waited = JOIN_DEADLINE.as_secs();
            return Err(CliError::Failed(format!(
                "{why} after {waited} s: the machine may be overloaded, try fewer --nodes"
            )));
        }
        progress.show(why);
        tokio::time::sleep(JOIN_GLANCE).await;
        Ok(())
    }

    /// Each node's neighbours in the topic.
    async fn views(&self) -> Result<BTreeMap<NodeId, Vec<NodeId>>, CliError> {
        let mut views = BTreeMap::new();
        for node in &self.nodes {
            views.insert(node.node_id(), node.membership().topic_view(TOPIC).await.map_err(failed)?);
        }
        Ok(views)
    }

    /// From now on these nodes read nothing from their links.
    pub(super) fn hold(&self, stuck: &[usize]) {
        for index in stuck {
            self.transports[*index].hold_reading(true);
        }
    }

    /// Starts to count what every node gets.
    pub(super) fn receive(&mut self, watch: &Watch, messages: u64, size: usize) -> Vec<JoinHandle<Tally>> {
        let start = self.start;
        let each = self.subscriptions.drain(..).enumerate();
        each.map(|(index, subscription)| {
            let mut desk = watch.desk(index);
            let mut tally = Tally::new(messages, size);
            let mut subscription = subscription;
            tokio::spawn(async move {
                while let Some(item) = subscription.recv().await {
                    match item {
                        Item::Message(m) => {
                            // Of a long one the length and the first chunk say enough: each chunk was checked.
                            let (len, payload) = match &m.large {
                                None => (m.payload.len(), m.payload),
                                Some(large) => match (large.finished().await, large.chunks().next().await) {
                                    (Ok(()), Some(Ok(first))) => (large.size(), first),
                                    _ => {
                                        tally.missed(1);
                                        continue;
                                    }
                                },
                            };
                            let now_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
                            if tally.count(m.author.0, m.epoch, m.seq, len, &payload, now_ns) {
                                desk.delivered();
                            }
                        }
                        Item::Gap { from, to, .. } => tally.missed(to.saturating_sub(from).saturating_add(1)),
                        Item::Lagged { missed } => tally.missed(missed),
                        Item::Unavailable { .. } => tally.missed(1),
                        _ => {}
                    }
                }
                tally
            })
        })
        .collect()
    }

    /// A way to publish for each of the nodes in `which`.
    pub(super) async fn publishers(&self, which: Vec<usize>) -> Result<Vec<Publisher>, CliError> {
        let mut publishers = Vec::with_capacity(which.len());
        for index in which {
            publishers.push(self.nodes[index].publisher(TOPIC).await.map_err(failed)?);
        }
        Ok(publishers)
    }

    /// The clock that stamps are read against.
    pub(super) fn clock(&self) -> Instant {
        self.start
    }

    /// The nodes' counters, added up.
    pub(super) async fn counters(&self) -> Result<Counts, CliError> {
        let mut sum = Counts::default();
        for node in &self.nodes {
            let status = node.status().await.map_err(failed)?;
            sum.wire_bytes += status.transport.wire_bytes_out;
            sum.received += status.node.counters.batches_received;
            sum.duplicate += status.node.counters.batches_duplicate;
            sum.all.add(&status.node.counters);
        }
        Ok(sum)
    }

    /// Stops all nodes at once.
    pub(super) async fn shutdown(self) {
        join_all(self.nodes.iter().map(Agent::shutdown)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_in_pieces_is_seen_to_be() {
        let id = |n: u8| NodeId([n; 32]);
        let views = |views: &[(u8, &[u8])]| -> BTreeMap<NodeId, Vec<NodeId>> {
            views.iter().map(|(n, view)| (id(*n), view.iter().map(|v| id(*v)).collect())).collect()
        };
        assert_eq!(pieces(&views(&[(1, &[2]), (2, &[]), (3, &[2])])), [3], "one end's word is enough");
        assert_eq!(pieces(&views(&[(1, &[2]), (2, &[1]), (3, &[4]), (4, &[]), (5, &[])])), [2, 2, 1]);
    }
}
