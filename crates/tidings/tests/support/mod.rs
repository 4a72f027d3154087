//! What the tests of agents and runtimes share.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use tidings::gossip::{GossipConfig, GossipRuntime, RuntimeOptions};
use tidings::proto::crypto::{AwsLc, Crypto};
use tidings::proto::wire::{Frame, Lane, LinkRefusal};
use tidings::transport::{
    Inbox, LinkLimits, MemoryNetwork, MemoryTransport, SendError, Transport, TransportEvent, TransportStats,
};
use tidings::{Addr, Agent, Item, Message, Network, NodeId, SecretKey, Subscription};
use tokio::sync::broadcast;

/// For everything that must happen: generous, because a debug build on a busy machine takes its time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not in time: {what}"),
    }
}

pub(crate) fn secret(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32])
}

pub(crate) fn id_of(secret: &SecretKey) -> NodeId {
    AwsLc::new(secret).unwrap().node_id()
}

pub(crate) fn network(name: &str) -> Network {
    Network::from_name(name).unwrap()
}

pub(crate) fn memory_transport(net: &MemoryNetwork, seed: u8, name: &str) -> Arc<Addressed> {
    let addr = SocketAddr::from(([192, 0, 2, seed], 1));
    Arc::new(Addressed { inner: net.join(id_of(&secret(seed)), network(name)), addr: addr.into() })
}

/// A memory transport with an address: the core passes on no peer that has none.
pub(crate) struct Addressed {
    inner: Arc<MemoryTransport>,
    addr: Addr,
}

impl Transport for Addressed {
    fn local_peer_id(&self) -> NodeId {
        self.inner.local_peer_id()
    }
    fn local_addrs(&self) -> Vec<Addr> {
        vec![self.addr]
    }
    fn subscribe_events(&self) -> broadcast::Receiver<TransportEvent> {
        self.inner.subscribe_events()
    }
    fn attach(&self, limits: LinkLimits) -> Inbox {
        self.inner.attach(limits)
    }
    fn dial(&self, peer: NodeId, addrs: Vec<Addr>) {
        self.inner.dial(peer, addrs);
    }
    fn close(&self, peer: NodeId, reason: LinkRefusal) {
        self.inner.close(peer, reason);
    }
    fn try_send_frame(&self, peer: NodeId, lane: Lane, frame: Frame) -> Result<(), SendError> {
        self.inner.try_send_frame(peer, lane, frame)
    }
    fn detach(&self) -> BoxFuture<'_, ()> {
        self.inner.detach()
    }
    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.inner.shutdown()
    }
    fn stats(&self) -> TransportStats {
        self.inner.stats()
    }
    fn rtt(&self, peer: NodeId) -> Option<Duration> {
        self.inner.rtt(peer)
    }
}

pub(crate) async fn memory_agent(net: &MemoryNetwork, seed: u8, name: &str) -> Agent {
    let transport = memory_transport(net, seed, name);
    let builder = Agent::builder().secret(secret(seed)).network(network(name)).transport(transport);
    builder.build().await.unwrap()
}

pub(crate) async fn quic_agent(seed: u8, name: &str) -> Agent {
    Agent::builder().secret(secret(seed)).network(network(name)).build().await.unwrap()
}

pub(crate) fn runtime(net: &MemoryNetwork, seed: u8) -> GossipRuntime {
    let options = RuntimeOptions::new(secret(seed), network("test"));
    GossipRuntime::new(GossipConfig::default(), memory_transport(net, seed, "test"), options).unwrap()
}

/// Each joins through the one before.
pub(crate) async fn join_chain(agents: &[Agent]) {
    for pair in agents.windows(2) {
        pair[1].join_network([pair[0].peer_addr()]).await.unwrap();
    }
}

/// Waits until `agent` has `n` neighbours on `topic`.
pub(crate) async fn neighbors(agent: &Agent, topic: &str, n: usize) {
    let mut events = agent.events();
    let view = agent.membership();
    within("neighbours on the topic", async {
        while view.topic_view(topic).await.unwrap().len() < n {
            events.recv().await.unwrap();
        }
    })
    .await;
}

pub(crate) async fn next_item(s: &mut Subscription) -> Item {
    within("an item", s.recv()).await.expect("the subscription ended")
}

pub(crate) async fn next_message(s: &mut Subscription) -> Message {
    match next_item(s).await {
        Item::Message(m) => m,
        other => panic!("not a message: {other:?}"),
    }
}

/// Reads `n` messages and checks that each author's come once and in order.
pub(crate) async fn read_in_order(s: &mut Subscription, n: usize) -> Vec<Message> {
    let mut last = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for _ in 0..n {
        let m = next_message(s).await;
        assert!(seen.insert((m.author, m.epoch, m.seq)), "number {} came twice", m.seq);
        let newest = last.entry((m.author, m.epoch)).or_insert(0);
        assert!(!m.late && m.seq > *newest, "number {} after {newest}, late: {}", m.seq, m.late);
        *newest = m.seq;
        all.push(m);
    }
    all
}
