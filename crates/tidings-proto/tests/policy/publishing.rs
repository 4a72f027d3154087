//! Publishing where not everyone may, from this node.

use super::*;

fn publish(d: &mut Driven, (terms, topic): (TopicTerms, TopicId)) -> Ticket {
    let message = Outgoing { terms, ..out(b"x") };
    d.command(Command::Publish { topic, message })
}

fn accept(d: &mut Driven, c: &TopicCapability) -> Ticket {
    d.command(Command::AcceptCapability { capability: c.bytes().clone() })
}

#[test]
fn a_listed_agent_names_its_certificate_in_every_batch() {
    let (mut d, friends) = scene(listed());
    for _ in 0..3 {
        let t = publish(&mut d, listed());
        d.pass_ms(1_000);
        d.published(t);
    }
    let sent = d.batches_to(&friends[0].id);
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|b| b.header().certificate.is_some() && b.header().capability.is_none()));
}

#[test]
fn who_may_not_is_told_what_to_do() {
    let (mut d, friends) = scene_with(listed(), 80, GossipConfig::default());
    let t = publish(&mut d, listed());
    assert_eq!(refusal(&d, t), &CommandError::NotListed { agent: agent(80) });
    assert!(d.batches_to(&friends[0].id).is_empty());

    let (mut d, _) = scene(owned());
    let t = publish(&mut d, owned());
    let why = refusal(&d, t);
    assert_eq!(why, &CommandError::MayNotPublish { agent: agent(ME), owner: agent(OWNER), why: None });
    let text = why.to_string();
    assert!(text.contains("tidings grant") && text.contains(&agent(ME).to_string()), "{text}");
}

#[test]
fn a_node_without_an_agent_may_not() {
    let (terms, topic) = listed();
    let mut d = Driven::new();
    d.command(Command::Unlock { topic, terms });
    let t = d.command(Command::Publish { topic, message: out(b"x") });
    assert_eq!(refusal(&d, t), &CommandError::NoAgent);
}

#[test]
fn who_was_given_a_capability_may_until_it_expires() {
    let (mut d, friends) = scene(owned());
    let c = capability(ME, |s| s.expires_ms = WALL + 10 * MINUTE_MS);
    let t = accept(&mut d, &c);
    assert_eq!(d.reply(t), Some(&Reply::Done));
    let t = publish(&mut d, owned());
    d.published(t);
    let sent = d.batches_to(&friends[0].id);
    assert_eq!(sent[0].header().capability, Some(c.id()));
    // The neighbour does not know it.
    d.say(&friends[0], AskCapabilities { topic: owned().1, capabilities: vec![c.id()] });
    assert!(d.sent_to(&friends[0].id).iter().any(|m| matches!(m, Message::Capability(_))));
    d.pass(Span::from_secs(660));
    let t = publish(&mut d, owned());
    let why = Some(CapabilityError::Expired);
    assert_eq!(refusal(&d, t), &CommandError::MayNotPublish { agent: agent(ME), owner: agent(OWNER), why });
    // One that was issued anew takes its place.
    let c = capability(ME, |_| {});
    accept(&mut d, &c);
    let t = publish(&mut d, owned());
    d.pass_ms(1_000);
    d.published(t);
}

#[test]
fn a_capability_outlives_the_process() {
    let (mut d, _) = scene(owned());
    accept(&mut d, &capability(ME, |_| {}));
    let disk = d.disk;
    let (terms, topic) = owned();
    for (me, may) in [(ME, true), (80, false)] {
        let mut d = Driven::with_port(GossipConfig::default(), 5, port(200, me));
        d.disk = disk.clone();
        d.run();
        d.command(Command::Unlock { topic, terms: terms.clone() });
        let t = publish(&mut d, owned());
        assert_eq!(matches!(d.reply(t), Some(Reply::Published(_))), may);
        assert_eq!(d.disk.keys().any(|k| k.starts_with(b"may/")), may, "what serves nobody is not kept");
    }
}

#[test]
fn a_capability_that_is_not_ours_to_use_is_not_kept() {
    let (mut d, _) = scene(owned());
    let mut refused = |c: TopicCapability| {
        let t = accept(&mut d, &c);
        match refusal(&d, t) {
            CommandError::Capability(why) => *why,
            other => panic!("{other}"),
        }
    };
    assert_eq!(refused(capability(71, |_| {})), CapabilityError::Agent(agent(71)));
    assert_eq!(refused(capability(ME, |s| s.owner = agent(66))), CapabilityError::Topic);
    let old = |s: &mut CapabilityStatement| (s.issued_ms, s.expires_ms) = (WALL - 2, WALL - 1);
    assert_eq!(refused(capability(ME, old)), CapabilityError::Expired);
    let mut forged = capability(ME, |_| {}).bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let t = d.command(Command::AcceptCapability { capability: forged.into() });
    assert_eq!(refusal(&d, t), &CommandError::Capability(CapabilityError::Forged));
    let t = d.command(Command::AcceptCapability { capability: Bytes::from_static(b"none") });
    assert_eq!(refusal(&d, t), &CommandError::Capability(CapabilityError::Limit));
}

#[test]
fn an_owner_issues_capabilities_that_others_accept() {
    let (mut d, _) = scene_with(owned(), OWNER, GossipConfig::default());
    let expires = UnixMillis(WALL + DAY_MS);
    let ask = |owner| Command::IssueCapability { topic: owned().1, owner, agent: agent(ME), expires };
    let t = d.command(ask(agent(66)));
    assert_eq!(refusal(&d, t), &CommandError::Capability(CapabilityError::NotOwner));
    let t = d.command(ask(agent(OWNER)));
    let Some(Reply::Capability(c)) = d.reply(t).cloned() else { panic!("none issued") };
    let (mut d, _) = scene(owned());
    accept(&mut d, &c);
    let t = publish(&mut d, owned());
    d.published(t);
}

#[test]
fn what_waits_when_the_capability_expires_is_refused_and_not_signed() {
    let (terms, topic) = owned();
    let mut d = Driven::with_port(GossipConfig::default(), 5, port(200, ME));
    d.auto_store = false;
    d.run();
    // The epoch is not stored yet: nothing is signed.
    d.command(Command::Unlock { topic, terms });
    accept(&mut d, &capability(ME, |s| s.expires_ms = WALL + 1_000));
    let t = publish(&mut d, owned());
    assert!(d.reply(t).is_none());
    d.pass(Span::from_secs(2));
    d.write();
    assert!(matches!(refusal(&d, t), CommandError::MayNotPublish { why: Some(CapabilityError::Expired), .. }));
}
