//! Agents that publish and receive, over memory and over QUIC on loopback.

mod support;

use std::collections::BTreeSet;

use bytes::Bytes;
use support::*;
use tidings::transport::MemoryNetwork;
use tidings::{Agent, AgentError, AgentEvent, CommandError, Item, PublishError, SubscribeOptions, TopicTicket};

/// Everyone publishes `each` messages; everyone else receives all of them once, in each author's order.
async fn everyone_hears_everyone(agents: Vec<Agent>, each: usize) {
    join_chain(&agents).await;
    let mut subscriptions = Vec::new();
    for agent in &agents {
        subscriptions.push(agent.subscribe("news").await.unwrap());
    }
    for agent in &agents {
        neighbors(agent, "news", 1).await;
    }
    for agent in &agents {
        let publisher = agent.publisher("news").await.unwrap();
        let mut handles = Vec::new();
        for i in 0..each {
            handles.push(publisher.queue(format!("{i}")).await.unwrap());
        }
        for (i, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.await.unwrap().seq, i as u64 + 1);
        }
    }
    let others = agents.len() - 1;
    for (agent, subscription) in agents.iter().zip(&mut subscriptions) {
        let got = read_in_order(subscription, others * each).await;
        let ids: BTreeSet<_> = got.iter().map(|m| m.id()).collect();
        assert_eq!(ids.len(), others * each, "equal payloads are different messages");
        for m in &got {
            assert_ne!(m.author, agent.node_id());
            assert_eq!(m.payload, format!("{}", m.seq - 1));
            assert_eq!(&*m.topic_name, "news");
        }
    }
    for agent in &agents {
        within("shutdown", agent.shutdown()).await;
    }
    for mut subscription in subscriptions {
        assert!(subscription.recv().await.is_none(), "something came twice");
    }
}

#[tokio::test]
async fn two_agents_over_memory() {
    let net = MemoryNetwork::new();
    everyone_hears_everyone(vec![memory_agent(&net, 1, "x").await, memory_agent(&net, 2, "x").await], 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_agents_over_memory() {
    let net = MemoryNetwork::new();
    let mut agents = Vec::new();
    for seed in 1..=5 {
        agents.push(memory_agent(&net, seed, "x").await);
    }
    everyone_hears_everyone(agents, 100).await;
}

#[tokio::test]
async fn two_agents_over_quic() {
    everyone_hears_everyone(vec![quic_agent(1, "x").await, quic_agent(2, "x").await], 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_agents_over_quic() {
    let mut agents = Vec::new();
    for seed in 1..=5 {
        agents.push(quic_agent(seed, "x").await);
    }
    everyone_hears_everyone(agents, 100).await;
}

#[tokio::test]
async fn a_ticket_is_enough_to_join() {
    let first = Agent::builder().build().await.unwrap();
    let ticket: tidings::Ticket = first.ticket().to_string().parse().unwrap();
    let second = Agent::builder().network(ticket.network.clone()).build().await.unwrap();
    second.join_network(ticket.peers).await.unwrap();
    let mut heard = first.subscribe("t").await.unwrap();
    second.publish("t", "by ticket").await.unwrap();
    assert_eq!(next_message(&mut heard).await.payload, "by ticket");
}

#[tokio::test]
async fn agents_of_different_networks_stay_strangers() {
    let (here, there) = (quic_agent(1, "here").await, quic_agent(2, "there").await);
    let mut heard = here.subscribe("t").await.unwrap();
    let mut observer = here.events();
    there.join_network([here.peer_addr()]).await.unwrap();
    there.publish("t", "psst").await.unwrap();
    // The refusal is what shows that they met.
    within("the refusal", async {
        while there.status().await.unwrap().transport.dials_failed.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(here.status().await.unwrap().node.links, 0);
    there.shutdown().await;
    here.shutdown().await;
    assert!(heard.recv().await.is_none());
    while let Some(event) = observer.recv().await {
        assert!(!matches!(event, AgentEvent::PeerJoined { .. }), "{event:?}");
    }
}

#[tokio::test]
async fn what_is_published_before_the_first_neighbour_arrives_when_it_is_there() {
    let net = MemoryNetwork::new();
    let (a, b) = (memory_agent(&net, 1, "x").await, memory_agent(&net, 2, "x").await);
    for i in 0..20 {
        let published = a.publish("t", format!("{i}")).await.unwrap();
        assert_eq!(published.neighbors, 0);
    }
    let mut heard = b.subscribe("t").await.unwrap();
    b.join_network([a.peer_addr()]).await.unwrap();
    let got = read_in_order(&mut heard, 20).await;
    assert_eq!(got[19].payload, "19");
}

#[tokio::test]
async fn own_messages_come_back_only_when_asked_for() {
    let agent = memory_agent(&MemoryNetwork::new(), 1, "x").await;
    let mut without = agent.subscribe("t").await.unwrap();
    let own = SubscribeOptions { own: true, ..Default::default() };
    let mut with = agent.subscribe_with("t", own).await.unwrap();
    agent.publish("t", "echo").await.unwrap();
    assert!(next_message(&mut with).await.own);
    agent.shutdown().await;
    assert!(without.recv().await.is_none());
}

#[tokio::test]
async fn a_payload_too_large_is_refused_loudly() {
    let agent = memory_agent(&MemoryNetwork::new(), 1, "x").await;
    let limit = tidings::proto::large::MAX_LARGE;
    let refused = agent.publish("t", vec![0; limit + 1]).await;
    let expected = CommandError::PayloadTooLarge { size: limit + 1, limit };
    assert_eq!(refused, Err(PublishError::Refused(expected)));
}

#[tokio::test]
async fn a_topic_without_a_name_is_refused() {
    let agent = memory_agent(&MemoryNetwork::new(), 1, "x").await;
    assert!(matches!(agent.publish("", "x").await, Err(PublishError::Topic(_))));
    assert!(matches!(agent.subscribe("").await, Err(AgentError::Runtime(_))));
}

#[tokio::test]
async fn a_slow_subscriber_is_told_exactly_how_much_it_missed() {
    let agent = memory_agent(&MemoryNetwork::new(), 1, "x").await;
    let few = SubscribeOptions { own: true, capacity_messages: 10, ..Default::default() };
    let all = SubscribeOptions { own: true, ..Default::default() };
    let mut slow = agent.subscribe_with("t", few).await.unwrap();
    let mut quick = agent.subscribe_with("t", all).await.unwrap();
    // One at a time: each is a batch of its own.
    for i in 1..=100 {
        agent.publish("t", format!("{i}")).await.unwrap();
    }
    assert_eq!(read_in_order(&mut quick, 100).await.len(), 100, "the slow one cost the quick one");
    for i in 1..=10 {
        assert_eq!(next_message(&mut slow).await.payload, format!("{i}"));
    }
    agent.publish("t", "101").await.unwrap();
    match next_item(&mut slow).await {
        Item::Lagged { missed } => assert_eq!(missed, 90),
        other => panic!("{other:?}"),
    }
    assert_eq!(next_message(&mut slow).await.payload, "101");
    assert_eq!(slow.lagged(), 90);
}

#[tokio::test]
async fn bytes_bound_a_subscription_as_well() {
    let agent = memory_agent(&MemoryNetwork::new(), 1, "x").await;
    let small = SubscribeOptions { own: true, capacity_bytes: 50_000, ..Default::default() };
    let mut slow = agent.subscribe_with("t", small).await.unwrap();
    for _ in 0..10 {
        agent.publish("t", vec![7; 20_000]).await.unwrap();
    }
    read_in_order(&mut slow, 2).await;
    assert!(matches!(next_item(&mut slow).await, Item::Lagged { missed: 8 }));
}

#[tokio::test]
async fn a_lonely_flood_waits_refuses_or_keeps_its_order_but_loses_nothing() {
    let net = MemoryNetwork::new();
    let (a, b) = (memory_agent(&net, 1, "x").await, memory_agent(&net, 2, "x").await);
    let publisher = a.publisher("t").await.unwrap();
    // Far more than the core holds for a topic without neighbours, in sizes that would let small ones overtake.
    let payload = |i: usize| Bytes::from(vec![(i % 251) as u8; if i.is_multiple_of(3) { 30_000 } else { 10 }]);
    let flood = {
        let publisher = publisher.clone();
        tokio::spawn(async move {
            let mut handles = Vec::new();
            for i in 0..2_000 {
                handles.push(publisher.queue(payload(i)).await.unwrap());
            }
            let mut last = 0;
            for handle in handles {
                let seq = handle.await.unwrap().seq;
                assert!(seq > last, "overtaken");
                last = seq;
            }
        })
    };
    within("a refusal", async {
        while publisher.try_publish("probe").err() != Some(PublishError::QueueFull) {
            assert!(!flood.is_finished(), "the flood was not held up");
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Another topic is not held up.
    within("another topic", a.publish("other", "free")).await.unwrap();

    let mut heard = b.subscribe("t").await.unwrap();
    b.join_network([a.peer_addr()]).await.unwrap();
    let (mut got, mut seq) = (0, 0);
    while got < 2_000 {
        let m = next_message(&mut heard).await;
        seq += 1;
        assert_eq!(m.seq, seq);
        if m.payload != "probe" {
            assert_eq!(m.payload, payload(got), "message {got}");
            got += 1;
        }
    }
    within("the flood's end", flood).await.unwrap();
}

#[tokio::test]
async fn status_is_json_with_units_in_its_keys() {
    let agent = memory_agent(&MemoryNetwork::new(), 1, "x").await;
    let _subscription = agent.subscribe("t").await.unwrap();
    let status = serde_json::to_value(agent.status().await.unwrap()).unwrap();
    assert_eq!(status["node_id"], agent.node_id().to_string());
    assert_eq!(status["topics"][0]["name"], "t");
    assert!(status["uptime_ms"].is_u64());
    assert!(status["transport"]["wire_bytes_out"].is_u64());
    assert!(status["counters"]["published"].is_u64());
}

#[tokio::test]
async fn a_private_topic_is_for_those_who_have_its_ticket() {
    let net = MemoryNetwork::new();
    let agents = [1, 2, 3].map(|seed| memory_agent(&net, seed, "x"));
    let agents: Vec<Agent> = futures_util::future::join_all(agents).await;
    join_chain(&agents).await;
    let ticket = TopicTicket::generate("family").unwrap().to_string();
    let mut member = agents[1].subscribe(&ticket).await.unwrap();
    let _own = agents[0].subscribe(&ticket).await.unwrap();
    let mut stranger = agents[2].subscribe("family").await.unwrap();
    neighbors(&agents[0], &ticket, 1).await;
    agents[0].publish(&ticket, "dinner at eight").await.unwrap();
    let got = read_in_order(&mut member, 1).await;
    assert_eq!((&*got[0].topic_name, &got[0].payload[..]), ("family", &b"dinner at eight"[..]));
    agents[0].publish(&ticket, vec![7; 40 << 10]).await.unwrap();
    let large = read_in_order(&mut member, 1).await;
    assert_eq!(large[0].payload, vec![7; 40 << 10]);
    let found = agents[2].membership().topic_view("family").await.unwrap();
    assert_eq!(found, [], "a stranger found the members");
    for agent in &agents {
        agent.shutdown().await;
    }
    assert!(stranger.recv().await.is_none());
}
