//! A runtime's life: start, stop, start again.

mod support;

use std::time::{Duration, Instant};

use support::*;
use tidings::gossip::{GossipConfig, GossipRuntime, MembershipEvent, RuntimeError, RuntimeOptions};
use tidings::transport::{MemoryNetwork, Transport};
use tidings::{LeaveReason, Overlay, PeerAddr, PublishError, SubscribeOptions};

fn addr_of(runtime: &GossipRuntime, transport: &dyn Transport) -> PeerAddr {
    PeerAddr { id: runtime.node_id(), addrs: transport.local_addrs() }
}

#[tokio::test]
async fn starting_and_stopping_can_be_repeated() {
    let node = runtime(&MemoryNetwork::new(), 1);
    assert!(!node.is_running());
    for _ in 0..3 {
        node.start().await.unwrap();
        node.start().await.unwrap();
        assert!(node.is_running());
        assert_eq!(node.handle().status().await.unwrap().node_id, node.node_id());
        within("shutdown", node.shutdown()).await;
        within("second shutdown", node.shutdown()).await;
        assert!(!node.is_running());
    }
}

#[tokio::test]
async fn everything_is_refused_between_runs() {
    let node = runtime(&MemoryNetwork::new(), 1);
    assert_eq!(node.membership().active_view().await, Err(RuntimeError::Stopped));
    assert!(matches!(node.pubsub().subscribe("t").await, Err(RuntimeError::Stopped)));
    node.start().await.unwrap();
    let publisher = node.pubsub().publisher("t").unwrap();
    publisher.publish("in time").await.unwrap();
    node.shutdown().await;
    assert_eq!(node.membership().active_view().await, Err(RuntimeError::Stopped));
    assert_eq!(publisher.publish("too late").await, Err(PublishError::Stopped));
    assert_eq!(node.pubsub().publish("t", "too late").await, Err(PublishError::Stopped));
}

#[tokio::test]
async fn shutdown_ends_subscriptions_events_and_waiting_tasks() {
    let node = runtime(&MemoryNetwork::new(), 1);
    node.start().await.unwrap();
    let mut subscription = node.pubsub().subscribe("t").await.unwrap();
    let mut events = node.handle().events().unwrap();
    let reader = tokio::spawn(async move { subscription.recv().await.is_none() && events.recv().await.is_none() });
    node.shutdown().await;
    assert!(within("the reader's end", reader).await.unwrap());
}

#[tokio::test]
async fn shutdown_says_goodbye_and_takes_less_than_a_second() {
    let net = MemoryNetwork::new();
    let transport = memory_transport(&net, 1, "test");
    let a =
        GossipRuntime::new(GossipConfig::default(), transport.clone(), RuntimeOptions::new(secret(1), network("test")))
            .unwrap();
    let b = runtime(&net, 2);
    a.start().await.unwrap();
    b.start().await.unwrap();
    let mut seen = b.membership().subscribe().unwrap();
    b.membership().join([addr_of(&a, &*transport)]).await.unwrap();
    let joined = within("the join", seen.recv()).await.unwrap();
    assert_eq!(joined, MembershipEvent::PeerJoined { peer: a.node_id(), overlay: Overlay::Root });

    let begun = Instant::now();
    a.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let left = within("the goodbye", seen.recv()).await.unwrap();
    let goodbye = MembershipEvent::PeerLeft { peer: a.node_id(), overlay: Overlay::Root, reason: LeaveReason::Goodbye };
    assert_eq!(left, goodbye, "the core did not say goodbye itself");
    b.shutdown().await;
}

#[tokio::test]
async fn a_restart_uses_a_later_epoch() {
    let node = runtime(&MemoryNetwork::new(), 1);
    node.start().await.unwrap();
    let first = node.pubsub().publish("t", "one").await.unwrap();
    node.shutdown().await;
    node.start().await.unwrap();
    let second = node.pubsub().publish("t", "one").await.unwrap();
    assert!(second.epoch > first.epoch);
    assert_ne!(second.id, first.id);
}

#[tokio::test]
async fn dropping_a_running_node_ends_it() {
    let node = runtime(&MemoryNetwork::new(), 1);
    node.start().await.unwrap();
    let mut subscription = node.pubsub().subscribe("t").await.unwrap();
    drop(node);
    assert!(within("the end", subscription.recv()).await.is_none());
}

#[tokio::test]
async fn a_key_that_is_not_the_transports_is_refused() {
    let transport = memory_transport(&MemoryNetwork::new(), 1, "test");
    let options = RuntimeOptions::new(secret(2), network("test"));
    let refused = GossipRuntime::new(GossipConfig::default(), transport, options).err();
    assert!(matches!(refused, Some(RuntimeError::WrongKey { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_setting_out_of_range_is_refused_by_name() {
    let transport = memory_transport(&MemoryNetwork::new(), 1, "test");
    let config = GossipConfig { max_links: 1, ..GossipConfig::default() };
    let refused = GossipRuntime::new(config, transport, RuntimeOptions::new(secret(1), network("test"))).err();
    assert!(refused.unwrap().to_string().contains("max_links"));
}

#[tokio::test]
async fn the_core_takes_part_in_a_topic_while_one_subscription_lives() {
    let node = runtime(&MemoryNetwork::new(), 1);
    node.start().await.unwrap();
    let first = node.pubsub().subscribe("t").await.unwrap();
    let second = node.pubsub().subscribe_with("t", SubscribeOptions { own: true, ..Default::default() }).await.unwrap();
    let subscriptions = async || {
        let topics = node.handle().topics().await.unwrap();
        topics.iter().find(|t| t.info.subscribed).map_or(0, |t| t.subscriptions)
    };
    assert_eq!(subscriptions().await, 2);
    drop(first);
    assert_eq!(subscriptions().await, 1);
    drop(second);
    assert_eq!(subscriptions().await, 0);
    assert!(!node.handle().topics().await.unwrap().iter().any(|t| t.info.subscribed));
}

#[tokio::test]
async fn unsubscribing_ends_every_subscription_of_the_topic_and_no_other() {
    let node = runtime(&MemoryNetwork::new(), 1);
    node.start().await.unwrap();
    let own = SubscribeOptions { own: true, ..Default::default() };
    let mut gone = node.pubsub().subscribe_with("gone", own).await.unwrap();
    let mut kept = node.pubsub().subscribe_with("kept", own).await.unwrap();
    node.pubsub().unsubscribe("gone").await.unwrap();
    assert!(within("the end", gone.recv()).await.is_none());
    node.pubsub().publish("kept", "still here").await.unwrap();
    assert_eq!(next_message(&mut kept).await.payload, "still here");
}
