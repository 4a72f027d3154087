//! A publisher whose only neighbour reads nothing: it is refused or waits, as it chooses; what it may pile up is
//! bounded; and everything arrives when the neighbour reads again.

mod support;

use std::sync::Arc;

use support::*;
use tidings::transport::{QuicConfig, QuicTransport};
use tidings::{Agent, PublishError};

const SIZE: usize = 32 << 10;
/// What may pile up before the publisher is refused: the queue's messages, what the core takes, a lane, and the
/// transport's window, rounded up.
const MOST: usize = 1024 + (4 << 20) / SIZE + (4 << 20) / SIZE + (1 << 20) / SIZE;

async fn agent(seed: u8) -> (Agent, Arc<QuicTransport>) {
    let transport = QuicTransport::bind(QuicConfig::new(secret(seed), network("test"))).await.unwrap();
    let builder = Agent::builder().secret(secret(seed)).network(network("test")).transport(transport.clone());
    (builder.build().await.unwrap(), transport)
}

/// Publishes until it is refused, and still is when the node has had its turns.
async fn fill(agent: &Agent) -> usize {
    let (mut taken, mut refused) = (0, 0);
    while refused < 20 {
        match agent.try_publish("t", vec![7; SIZE]) {
            Ok(handle) => {
                drop(handle);
                (taken, refused) = (taken + 1, 0);
                assert!(taken <= MOST, "more than {MOST} messages pile up");
            }
            Err(PublishError::QueueFull) => {
                refused += 1;
                agent.status().await.unwrap();
            }
            Err(other) => panic!("{other}"),
        }
    }
    taken
}

#[tokio::test]
async fn a_publisher_is_refused_or_waits_and_nothing_is_lost() {
    let ((a, _a), (b, reader)) = (agent(1).await, agent(2).await);
    let mut s = b.subscribe("t").await.unwrap();
    let _own = a.subscribe("t").await.unwrap();
    b.join_network([a.peer_addr()]).await.unwrap();
    neighbors(&a, "t", 1).await;
    neighbors(&b, "t", 1).await;
    reader.hold_reading(true);
    let taken = fill(&a).await;
    assert!(taken > 0);

    let waiting = tokio::spawn({
        let a = a.clone();
        async move { a.publish("t", vec![7; SIZE]).await }
    });
    for _ in 0..20 {
        a.status().await.unwrap();
    }
    assert!(!waiting.is_finished(), "publish waits where try_publish refuses");

    reader.hold_reading(false);
    assert_eq!(read_in_order(&mut s, taken + 1).await.len(), taken + 1);
    within("the waiting publisher's answer", waiting).await.unwrap().unwrap();
    a.shutdown().await;
    b.shutdown().await;
}
