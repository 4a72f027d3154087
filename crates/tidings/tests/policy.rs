//! Agents on topics on which not everyone may publish, and large messages on private ones, over QUIC on loopback.

mod support;

use std::time::Duration;

use bytes::Bytes;
use support::*;
use tidings::proto::large::MAX_LARGE;
use tidings::{
    Agent, AgentError, Capability, CapabilityError, CommandError, PublishError, RuntimeError, Subscription,
    TopicTicket, TopicTicketError,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Agents on a topic, each linked to the one before.
async fn on_topic(n: u8, make: impl Fn(&[Agent]) -> TopicTicket) -> (Vec<Agent>, String, Vec<Subscription>) {
    let mut agents = Vec::new();
    for seed in 1..=n {
        agents.push(quic_agent(seed, "x").await);
    }
    join_chain(&agents).await;
    let topic = make(&agents).to_string();
    let mut subscriptions = Vec::new();
    for agent in &agents {
        subscriptions.push(agent.subscribe(&topic).await.unwrap());
    }
    for agent in &agents {
        neighbors(agent, &topic, 1).await;
    }
    (agents, topic, subscriptions)
}

fn refused(error: PublishError) -> CommandError {
    match error {
        PublishError::Refused(why) => why,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_heard_and_lets_another_be_heard() {
    let council = |agents: &[Agent]| TopicTicket::generate("council").unwrap().owner(agents[0].agent_id()).unwrap();
    let (agents, topic, mut subscriptions) = on_topic(3, council).await;
    let [owner, reader, other] = &agents[..] else { unreachable!() };
    owner.publish(&topic, "at eight").await.unwrap();
    for s in &mut subscriptions[1..] {
        let m = next_message(s).await;
        assert_eq!((&m.payload[..], m.agent), (&b"at eight"[..], Some(owner.agent_id())));
    }
    let why = refused(other.publish(&topic, "may I?").await.unwrap_err());
    assert_eq!(why, CommandError::MayNotPublish { agent: other.agent_id(), owner: owner.agent_id(), why: None });

    let granted = owner.grant(&topic, other.agent_id(), HOUR).await.unwrap();
    let granted = Capability::parse(&granted.to_string()).unwrap();
    assert_eq!((granted.agent(), granted.owner()), (other.agent_id(), owner.agent_id()));
    let error = reader.accept(&granted).await.unwrap_err();
    let not_mine = CapabilityError::Agent(other.agent_id());
    assert!(matches!(error, AgentError::Runtime(RuntimeError::Refused(CommandError::Capability(e))) if e == not_mine));
    other.accept(&granted).await.unwrap();
    other.publish(&topic, "thank you").await.unwrap();
    for s in [0, 1] {
        let m = next_message(&mut subscriptions[s]).await;
        assert_eq!((&m.payload[..], m.agent), (&b"thank you"[..], Some(other.agent_id())));
    }
    for agent in &agents {
        agent.shutdown().await;
    }
}

#[tokio::test]
async fn only_an_owner_grants() {
    let agent = quic_agent(1, "x").await;
    let theirs = TopicTicket::generate("t").unwrap().owner(tidings::AgentId([9; 32])).unwrap().to_string();
    let error = agent.grant(&theirs, agent.agent_id(), HOUR).await.unwrap_err();
    let not_owner = AgentError::Runtime(RuntimeError::Refused(CommandError::Capability(CapabilityError::NotOwner)));
    assert_eq!(error.to_string(), not_owner.to_string());
    for nobodys in ["t".to_owned(), TopicTicket::generate("t").unwrap().to_string()] {
        let error = agent.grant(&nobodys, agent.agent_id(), HOUR).await.unwrap_err();
        assert!(matches!(error, AgentError::Runtime(RuntimeError::Topic(TopicTicketError::NoOwner))));
    }
    let mine = TopicTicket::generate("t").unwrap().owner(agent.agent_id()).unwrap().to_string();
    let ever = agent.grant(&mine, agent.agent_id(), Duration::MAX).await.unwrap_err();
    assert!(ever.to_string().contains("limits"), "{ever}");
    agent.shutdown().await;
}

#[tokio::test]
async fn an_agent_that_is_not_listed_is_told_so() {
    let agent = quic_agent(1, "x").await;
    let topic = TopicTicket::open("bulletin").unwrap().publishers([tidings::AgentId([9; 32])]).unwrap().to_string();
    let why = refused(agent.publish(&topic, "x").await.unwrap_err());
    assert_eq!(why, CommandError::NotListed { agent: agent.agent_id() });
    agent.shutdown().await;
}

/// Bytes that differ from chunk to chunk.
fn bytes(size: usize) -> Bytes {
    (0..size).map(|i| (i >> 9) as u8 ^ i as u8).collect::<Vec<u8>>().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_travel_sealed_on_private_topics_and_are_read_as_others() {
    let (agents, topic, mut subscriptions) = on_topic(3, |_| TopicTicket::generate("family").unwrap()).await;
    let publisher = agents[0].publisher(&topic).await.unwrap();
    let payloads: Vec<Bytes> = [10, 32 << 10, 33 << 10, 1 << 20, (1 << 20) + 1, 3 << 20].map(bytes).into();
    for (payload, seq) in payloads.iter().zip(1..) {
        // One that waits for room, and one that would not.
        let published = match seq % 2 {
            0 => publisher.publish(payload.clone()).await,
            _ => publisher.try_publish(payload.clone()).unwrap().await,
        };
        assert_eq!(published.unwrap().seq, seq);
    }
    for s in &mut subscriptions[1..] {
        for payload in &payloads {
            let m = next_message(s).await;
            match &m.large {
                Some(large) => {
                    assert_eq!(large.size(), payload.len());
                    assert_eq!(within("the content", large.bytes()).await.unwrap(), payload);
                    assert_eq!(large.have(), payload.len());
                }
                None => assert_eq!(m.payload, payload),
            }
        }
    }
    // As a program asks for it that was given its id.
    let m = agents[0].history(&topic, Default::default()).await.unwrap().pop().unwrap();
    let large = m.large.unwrap();
    let again = agents[0].pubsub().content(large.id()).await.unwrap().unwrap();
    assert_eq!(again.bytes().await.unwrap(), payloads[5]);
    let dir = tempfile::tempdir().unwrap();
    again.save(dir.path().join("content")).await.unwrap();
    assert_eq!(std::fs::read(dir.path().join("content")).unwrap(), payloads[5]);

    let why = refused(publisher.publish(bytes(MAX_LARGE)).await.unwrap_err());
    assert!(matches!(why, CommandError::PayloadTooLarge { size: MAX_LARGE, .. }), "{why}");
    for agent in &agents {
        agent.shutdown().await;
    }
}
