//! Whose agents are here: proven by the certificates that beacons name, and on how many nodes.

use tidings_proto::crypto::{BOX_KEY_LEN, SimCrypto};
use tidings_proto::identity::{AgentCertificate, AgentId, AgentSecret, NodeId, Prekey, SecretKey, Statement};

use super::*;

fn port(secret: [u8; 32], agent: u8) -> SimCrypto {
    SimCrypto::with_agent(&SecretKey::from_bytes(secret), &AgentSecret::from_bytes([agent; 32]))
}

/// A node of an agent.
fn speaker(n: u8, agent: u8) -> Fake {
    Fake { crypto: port([n; 32], agent), ..Fake::new(n) }
}

fn agent_of(peer: &Fake) -> AgentId {
    AgentId::own(&peer.crypto).unwrap()
}

fn certificate(peer: &Fake) -> AgentCertificate {
    let statement = Statement {
        agent: agent_of(peer),
        node: peer.id,
        serial: WALL,
        issued_ms: WALL,
        expires_ms: WALL + 30 * 24 * 3_600_000,
        prekeys: vec![Prekey { id: WALL, key: vec![9; BOX_KEY_LEN] }],
        revoked: vec![],
    };
    AgentCertificate::issue(statement, &peer.crypto).unwrap()
}

/// A beacon that names the agent and its certificate.
fn naming(peer: &Fake, status: &str) -> Beacon {
    Beacon { agent: Some(agent_of(peer)), certificate: Some(certificate(peer).id()), ..beacon(status) }
}

fn prove(d: &mut Driven, by: &Fake, whose: &Fake) {
    let bytes = certificate(whose).bytes().clone();
    d.frame(by, Lane::Bulk, Message::from(Certificate {}).frame_with(bytes).to_bytes()).unwrap();
}

fn goodbye() -> Beacon {
    Beacon { leaving: true, ..Beacon::default() }
}

/// Who was asked for the certificates of these nodes, once for each time.
fn asked(d: &Driven, of: &[&Fake]) -> Vec<NodeId> {
    let names: Vec<CertificateRef> = of.iter().map(|f| certificate(f).id().into()).collect();
    d.did
        .iter()
        .filter_map(|x| match x {
            Did::Sent { to, message: Message::AskCertificates(a), .. }
                if a.certificates.iter().any(|c| names.contains(c)) =>
            {
                Some(*to)
            }
            _ => None,
        })
        .collect()
}

fn is_proven(d: &Driven, peer: &Fake) -> bool {
    d.node.presence().iter().any(|p| p.node == peer.id && p.proven)
}

#[test]
fn whoever_brought_the_beacon_is_asked_for_its_certificate_and_the_answer_proves_the_agent() {
    let (mut d, friend) = with_a_friend();
    let other = speaker(50, 90);
    says(&mut d, &friend, &other, 1, &naming(&other, "here"));
    assert_eq!((asked(&d, &[&other]), is_proven(&d, &other)), (vec![friend.id], false));
    prove(&mut d, &friend, &other);
    assert!(is_proven(&d, &other));
    assert_eq!(told(&d), ["online here", "changed here"]);
}

#[test]
fn another_nodes_certificate_proves_nothing() {
    let (mut d, friend) = with_a_friend();
    let (alice, liar) = (speaker(50, 90), speaker(51, 91));
    says(&mut d, &friend, &alice, 1, &naming(&alice, "here"));
    prove(&mut d, &friend, &alice);
    says(&mut d, &friend, &liar, 1, &naming(&alice, "lie"));
    prove(&mut d, &friend, &alice);
    assert!(is_proven(&d, &alice) && !is_proven(&d, &liar));
}

#[test]
fn a_certificate_of_another_agent_than_the_beacon_names_proves_nothing() {
    let (mut d, friend) = with_a_friend();
    let (alice, liar) = (speaker(50, 90), speaker(51, 91));
    says(&mut d, &friend, &liar, 1, &Beacon { agent: Some(agent_of(&alice)), ..naming(&liar, "lie") });
    prove(&mut d, &friend, &liar);
    assert!(!is_proven(&d, &liar));
}

#[test]
fn an_agent_on_two_nodes_is_gone_only_when_both_are() {
    let (mut d, friend) = with_a_friend();
    let (one, two) = (speaker(50, 90), speaker(51, 90));
    for (node, status) in [(&one, "one"), (&two, "two")] {
        says(&mut d, &friend, node, 1, &naming(node, status));
        prove(&mut d, &friend, node);
    }
    let here = d.node.agents_here();
    let agent = here.iter().find(|a| a.agent == Some(agent_of(&one))).unwrap();
    assert_eq!((agent.proven, agent.nodes.len()), (true, 2));
    says(&mut d, &friend, &one, 2, &goodbye());
    says(&mut d, &friend, &one, 3, &naming(&one, "back"));
    says(&mut d, &friend, &two, 2, &goodbye());
    says(&mut d, &friend, &one, 4, &goodbye());
    let ends = ["node gone Goodbye", "changed back", "node gone Goodbye", "offline Goodbye"];
    assert_eq!(told(&d), [&["online one", "changed one", "changed two", "changed two"], &ends[..]].concat());
}

#[test]
fn who_only_says_it_is_an_agent_keeps_nobody_here() {
    let (mut d, friend) = with_a_friend();
    let (alice, liar) = (speaker(50, 90), speaker(51, 91));
    says(&mut d, &friend, &alice, 1, &naming(&alice, "alice"));
    prove(&mut d, &friend, &alice);
    says(&mut d, &friend, &liar, 1, &Beacon { agent: Some(agent_of(&alice)), ..beacon("liar") });
    says(&mut d, &friend, &alice, 2, &goodbye());
    says(&mut d, &friend, &liar, 2, &goodbye());
    let expected = ["online alice", "changed alice", "changed liar", "offline Goodbye", "node gone Goodbye"];
    assert_eq!(told(&d), expected, "gone with the last that proved it, and not twice");
}

#[test]
fn another_node_of_ones_own_agent_goes_without_it() {
    let mut d = Driven::with_port(GossipConfig::default(), 5, port(SECRET, 90));
    d.run();
    let friend = Fake::new(1);
    d.link(&friend);
    d.befriend(&friend, Overlay::Root);
    let other = speaker(50, 90);
    says(&mut d, &friend, &other, 1, &naming(&other, "here"));
    prove(&mut d, &friend, &other);
    says(&mut d, &friend, &other, 2, &goodbye());
    assert_eq!(told(&d), ["changed here", "changed here", "node gone Goodbye"]);
}

#[test]
fn a_beacon_names_the_own_certificate() {
    let mut d = Driven::with_port(GossipConfig::default(), 5, port(SECRET, 90));
    d.run();
    let friend = Fake::new(1);
    d.link(&friend);
    d.befriend(&friend, Overlay::Root);
    d.pass_ms(6_000);
    let said = beacons(&d, &friend);
    let name = said.last().unwrap().1.certificate.map(CertificateRef::from);
    assert!(name.is_some() && name == d.node.certificate());
    assert!(d.node.presence()[0].proven);
}

#[test]
fn a_newcomer_asks_for_certificates_some_at_a_time_and_has_them_all_in_the_end() {
    let (mut d, friend) = with_a_friend();
    let others: Vec<Fake> = (50..110).map(|n| speaker(n, n)).collect();
    let all: Vec<&Fake> = others.iter().collect();
    for other in &others {
        says(&mut d, &friend, other, 1, &naming(other, "here"));
    }
    let mut seen = 0;
    for most in [32, 48, 64, 64] {
        let now: Vec<&Fake> = all.iter().filter(|o| !asked(&d, &[*o]).is_empty()).copied().collect();
        assert!(now.len() <= most, "{} asked for at once", now.len());
        assert!(now.len() > seen || now.len() == all.len());
        now.iter().for_each(|o| prove(&mut d, &friend, o));
        seen = now.len();
        d.pass_ms(1_000);
    }
    assert!(others.iter().all(|o| is_proven(&d, o)));
}

#[test]
fn certificates_that_nobody_has_are_asked_for_again_and_more_and_more_rarely() {
    let (mut d, friend) = with_a_friend();
    let other = speaker(50, 90);
    let count = |d: &Driven| asked(d, &[&other]).len();
    says(&mut d, &friend, &other, 1, &naming(&other, "here"));
    let none = NoCertificates { certificates: vec![certificate(&other).id().into()] };
    let mut by_minute = Vec::new();
    for _ in 0..14 {
        let before = count(&d);
        for _ in 0..60 {
            d.say(&friend, none.clone());
            d.pass_ms(1_000);
        }
        by_minute.push(count(&d) - before);
    }
    assert_eq!(by_minute, [0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
}
