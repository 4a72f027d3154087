//! Whose agent a message's author is, between real nodes.

mod support;

use support::*;
use tidings::gossip::{GossipConfig, GossipRuntime, RuntimeOptions};
use tidings::transport::MemoryNetwork;
use tidings::{Agent, AgentEvent, AgentSecret, Proof, SubscribeOptions};

async fn agent(net: &MemoryNetwork, seed: u8, agent: u8) -> Agent {
    let transport = memory_transport(net, seed, "test");
    let builder = Agent::builder().secret(secret(seed)).network(network("test")).transport(transport);
    builder.agent_secret(AgentSecret::from_bytes([agent; 32])).build().await.unwrap()
}

/// Waits until `agent` has heard that `node` is, or is no longer, somebody's.
async fn hears(agent: &Agent, node: &Agent, proven: bool) {
    let mut events = agent.events();
    within("word of an agent", async {
        loop {
            let peers = agent.peers().await.unwrap();
            if peers.iter().any(|p| p.id == node.node_id() && p.agent.is_some() == proven) {
                return;
            }
            events.recv().await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_says_whose_it_is() {
    let (a, b) = (quic_agent(1, "x").await, quic_agent(2, "x").await);
    join_chain(&[a.clone(), b.clone()]).await;
    let mut news = b.subscribe("news").await.unwrap();
    let _both = a.subscribe("news").await.unwrap();
    neighbors(&a, "news", 1).await;
    a.publish("news", "hello").await.unwrap();
    let m = next_message(&mut news).await;
    assert_eq!((m.agent, m.author), (Some(a.agent_id()), a.node_id()));
}

#[tokio::test]
async fn peers_show_their_agents() {
    let net = MemoryNetwork::new();
    let (a, b) = (agent(&net, 1, 10).await, agent(&net, 2, 20).await);
    join_chain(&[a.clone(), b.clone()]).await;
    hears(&a, &b, true).await;
    assert_eq!(a.peers().await.unwrap()[0].agent, Some(b.agent_id()));
}

#[tokio::test]
async fn one_agent_speaks_through_two_nodes() {
    let net = MemoryNetwork::new();
    let nodes = [agent(&net, 1, 10).await, agent(&net, 2, 10).await, agent(&net, 3, 30).await];
    join_chain(&nodes).await;
    let mut news = nodes[2].subscribe("news").await.unwrap();
    for node in &nodes[..2] {
        let _both = node.subscribe("news").await.unwrap();
        neighbors(node, "news", 1).await;
        node.publish("news", "hello").await.unwrap();
        let m = next_message(&mut news).await;
        assert_eq!((m.agent, m.author), (Some(nodes[0].agent_id()), node.node_id()));
    }
}

#[tokio::test]
async fn own_messages_are_ones_own() {
    let net = MemoryNetwork::new();
    let a = agent(&net, 1, 10).await;
    let own = SubscribeOptions { own: true, ..SubscribeOptions::default() };
    let mut news = a.subscribe_with("news", own).await.unwrap();
    a.publish("news", "hello").await.unwrap();
    assert_eq!(next_message(&mut news).await.agent, Some(a.agent_id()));
}

#[tokio::test]
async fn a_node_without_an_agent_is_nobodys() {
    let net = MemoryNetwork::new();
    let options = RuntimeOptions::new(secret(1), network("test"));
    let plain = GossipRuntime::new(GossipConfig::default(), memory_transport(&net, 1, "test"), options).unwrap();
    plain.start().await.unwrap();
    let b = agent(&net, 2, 20).await;
    plain.membership().join([b.peer_addr()]).await.unwrap();
    let mut news = b.subscribe("news").await.unwrap();
    let _both = plain.pubsub().subscribe("news").await.unwrap();
    neighbors(&b, "news", 1).await;
    plain.pubsub().publish("news", "hello").await.unwrap();
    let m = next_message(&mut news).await;
    assert_eq!((m.agent, m.proof, plain.agent_id()), (None, Proof::None, None));
}

#[tokio::test]
async fn what_a_revoked_node_says_is_nobodys() {
    let net = MemoryNetwork::new();
    let nodes = [agent(&net, 1, 10).await, agent(&net, 2, 10).await, agent(&net, 3, 30).await];
    let [lost, kept, other] = &nodes;
    for node in [lost, kept] {
        node.join_network([other.peer_addr()]).await.unwrap();
        hears(other, node, true).await;
    }
    let mut news = other.subscribe("news").await.unwrap();
    let _both = lost.subscribe("news").await.unwrap();
    neighbors(lost, "news", 1).await;
    let mut its = lost.events();
    kept.revoke_node(lost.node_id()).await.unwrap();
    hears(other, lost, false).await;
    let told = async { while its.recv().await.unwrap() != AgentEvent::CastOut {} };
    within("the news of being revoked", told).await;
    lost.publish("news", "still here").await.unwrap();
    let m = next_message(&mut news).await;
    assert_eq!((m.agent, m.author), (None, lost.node_id()));
    assert_eq!(
        other.peers().await.unwrap().iter().find(|p| p.id == kept.node_id()).unwrap().agent,
        Some(kept.agent_id())
    );
}

#[tokio::test]
async fn a_node_keeps_its_agent_over_restarts() {
    let tmp = tempfile::tempdir().unwrap();
    let start = || async { Agent::builder().data_dir(tmp.path()).network(network("x")).build().await.unwrap() };
    let first = start().await;
    let id = first.agent_id();
    first.shutdown().await;
    let again = start().await;
    assert_eq!(again.agent_id(), id);
}
