//! Agents that publish and receive large messages.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use support::*;
use tidings::proto::large::{Content, MAX_LARGE};
use tidings::transport::MemoryNetwork;
use tidings::{Agent, CommandError, Item, Outgoing, PublishError, SubscribeOptions, Subscription};

/// Bytes that differ from chunk to chunk.
fn bytes(size: usize) -> Bytes {
    (0..size).map(|i| (i >> 9) as u8 ^ i as u8).collect::<Vec<u8>>().into()
}

/// Two agents that know each other, and the subscription of the second; the first keeps one to be in the topic.
async fn pair() -> (Agent, Agent, Subscription, Subscription) {
    let net = MemoryNetwork::new();
    let agents = vec![memory_agent(&net, 1, "x").await, memory_agent(&net, 2, "x").await];
    join_chain(&agents).await;
    let [a, b] = <[Agent; 2]>::try_from(agents).ok().unwrap();
    let subscription = b.subscribe("t").await.unwrap();
    let also = a.subscribe("t").await.unwrap();
    neighbors(&b, "t", 1).await;
    neighbors(&a, "t", 1).await;
    (a, b, subscription, also)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_agents_over_quic_hear_large_and_small_messages_in_order() {
    let mut agents = Vec::new();
    for seed in 1..=5 {
        agents.push(quic_agent(seed, "x").await);
    }
    join_chain(&agents).await;
    let mut subscriptions = Vec::new();
    for agent in &agents {
        subscriptions.push(agent.subscribe("t").await.unwrap());
    }
    for agent in &agents {
        neighbors(agent, "t", 1).await;
    }
    let payloads: Vec<Bytes> = [10, 64 << 10, 20, 1 << 20, 33 << 10, 30].map(bytes).into();
    let publisher = agents[2].publisher("t").await.unwrap();
    for (payload, seq) in payloads.iter().zip(1..) {
        assert_eq!(publisher.publish(payload.clone()).await.unwrap().seq, seq);
    }
    for (i, subscription) in subscriptions.iter_mut().enumerate().filter(|(i, _)| *i != 2) {
        for (payload, seq) in payloads.iter().zip(1..) {
            let m = next_message(subscription).await;
            assert!(m.seq == seq && m.payload == payload && m.large.is_none(), "agent {i}: {} of {seq}", m.seq);
        }
    }
    for agent in &agents {
        agent.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_megabytes_is_handed_out_while_it_comes() {
    let (a, b, mut subscription, _also) = pair().await;
    let all = bytes(5_000_001);
    a.publish("t", all.clone()).await.unwrap();
    let m = next_message(&mut subscription).await;
    let large = m.large.unwrap();
    assert!(m.payload.is_empty() && large.size() == all.len());
    let mut chunks = std::pin::pin!(large.chunks());
    let mut read = Vec::new();
    while let Some(chunk) = within("a chunk", chunks.next()).await {
        read.extend_from_slice(&chunk.unwrap());
    }
    assert!(read == all);
    assert!(large.bytes().await.unwrap() == all);
    assert_eq!((large.have(), large.progress()), (all.len(), 1.0));
    let again = b.pubsub().content(large.id()).await.unwrap().unwrap();
    assert!(again.bytes().await.unwrap() == all, "the node still has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_published_and_saved() {
    let (a, _b, mut subscription, _also) = pair().await;
    let dir = tempfile::tempdir().unwrap();
    for size in [0, 100, 40_000, 3_000_000] {
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, bytes(size)).unwrap();
        a.publish_file("t", &from).await.unwrap();
        let m = next_message(&mut subscription).await;
        match m.large {
            None => assert_eq!(m.payload, bytes(size)),
            Some(large) => {
                large.save(&to).await.unwrap();
                assert!(std::fs::read(&to).unwrap() == bytes(size));
                assert!(!dir.path().join("to.part").exists());
            }
        }
    }
}

#[tokio::test]
async fn what_is_over_the_limit_is_refused_before_anything_is_sent() {
    let (a, _b, _subscription, _also) = pair().await;
    let refused = |size| Err(PublishError::Refused(CommandError::PayloadTooLarge { size, limit: MAX_LARGE }));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::File::create(&path).unwrap().set_len(MAX_LARGE as u64 + 7).unwrap();
    assert_eq!(a.publish_file("t", &path).await, refused(MAX_LARGE + 7));
    let publisher = a.publisher("t").await.unwrap();
    let tried = publisher.try_publish(vec![0; MAX_LARGE + 1]).map(|_| ()).unwrap_err();
    assert_eq!(Err(tried), refused(MAX_LARGE + 1));
    assert_eq!(a.publish("t", "first").await.unwrap().seq, 1);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let (a, _b, _subscription, _also) = pair().await;
    let e = a.publish_file("t", "/nowhere/at/all").await.unwrap_err();
    assert!(e.to_string().contains("/nowhere/at/all"), "{e}");
}

#[tokio::test]
async fn a_nodes_own_large_messages_come_back_where_it_asked_for_that() {
    let agent = memory_agent(&MemoryNetwork::new(), 1, "x").await;
    let options = SubscribeOptions { own: true, ..SubscribeOptions::default() };
    let mut subscription = agent.subscribe_with("t", options).await.unwrap();
    agent.publish("t", bytes(100_000)).await.unwrap();
    agent.publish("t", bytes(2_000_000)).await.unwrap();
    assert!(next_message(&mut subscription).await.payload == bytes(100_000));
    let large = next_message(&mut subscription).await.large.unwrap();
    assert!(large.bytes().await.unwrap() == bytes(2_000_000));
}

#[tokio::test]
async fn a_manifest_that_is_none_takes_its_place_as_unavailable() {
    let (a, _b, mut subscription, _also) = pair().await;
    let publisher = a.publisher("t").await.unwrap();
    let content = Some(Arc::new(Content::of(bytes(40_000)).unwrap()));
    let nonsense = Outgoing { payload: Bytes::from_static(b"nonsense"), content, ..Outgoing::default() };
    publisher.queue_message(nonsense).await.unwrap().await.unwrap();
    publisher.publish("after").await.unwrap();
    assert!(matches!(next_item(&mut subscription).await, Item::Unavailable { seq: 1, size: 0, .. }));
    assert_eq!(next_message(&mut subscription).await.payload, "after");
}

#[tokio::test]
async fn a_content_that_can_no_longer_be_had_takes_its_place_as_unavailable() {
    let (a, b, mut subscription, _also) = pair().await;
    let publisher = a.publisher("t").await.unwrap();
    // Its author says that there is one content, and has another.
    let manifest = Content::of(bytes(50_000)).unwrap().manifest().encode();
    let content = Some(Arc::new(Content::of(bytes(40_000)).unwrap()));
    publisher
        .queue_message(Outgoing { payload: manifest, content, ..Outgoing::default() })
        .await
        .unwrap()
        .await
        .unwrap();
    let reading = tokio::spawn(async move { (next_item(&mut subscription).await, subscription.recv().await) });
    let asked = async { while b.status().await.unwrap().node.counters.chunks_lacked == 0 {} };
    within("an answer to the request for the content", asked).await;
    b.shutdown().await;
    let (item, end) = within("the end", reading).await.unwrap();
    assert!(matches!(item, Item::Unavailable { seq: 1, size: 50_000, .. }), "{item:?}");
    assert!(end.is_none());
}
