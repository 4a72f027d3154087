//! Capabilities: which hold, and how a node comes by them.

use proptest::prelude::*;

use super::*;

/// What becomes of a batch by this capability, its author's agent being 71; its neighbours answer everything.
fn outcome(c: &TopicCapability, wall_ms: u64, later: Span) -> usize {
    let (terms, topic) = owned();
    let (mut d, friends) = scene((terms, topic));
    d.pass(later);
    let author = speaker(9, 71);
    d.bring(&friends[0], &batch_at(&author, topic, Some(c), 1, wall_ms));
    give(&mut d, &friends[0], &certificate(&author));
    assert_eq!(delivered(&d), 0, "not before the capability is here");
    give_capability(&mut d, &friends[0], c);
    d.pass(Span::from_secs(10));
    if delivered(&d) == 0 {
        assert_nothing_of_it(&d, &friends[0], &friends);
    }
    assert_eq!(d.batches_to(&friends[1].id).len(), delivered(&d));
    delivered(&d)
}

fn minutes(n: u64) -> Span {
    Span::from_secs(60 * n)
}

#[test]
fn one_that_fits_lets_its_agent_publish() {
    assert_eq!(outcome(&capability(71, |_| {}), WALL, Span::ZERO), 1);
}

#[test]
fn one_of_another_agent_topic_or_owner_does_not() {
    let others: [fn(&mut CapabilityStatement); 3] =
        [|s| s.agent = agent(72), |s| s.topic = news(), |s| s.owner = agent(66)];
    for change in others {
        assert_eq!(outcome(&capability(71, change), WALL, Span::ZERO), 0);
    }
}

#[test]
fn it_holds_from_when_it_was_issued_until_it_expires_by_clocks_that_may_be_apart() {
    let c = capability(71, |s| s.expires_ms = WALL + 60 * MINUTE_MS);
    // The author's clock runs behind the owner's, or ahead of it.
    assert_eq!(outcome(&c, WALL - 10 * MINUTE_MS, Span::ZERO), 1);
    assert_eq!(outcome(&c, WALL - 16 * MINUTE_MS, Span::ZERO), 0);
    assert_eq!(outcome(&c, WALL + 10 * MINUTE_MS, Span::ZERO), 1);
    assert_eq!(outcome(&c, WALL + 60 * MINUTE_MS, minutes(50)), 0);
    // What was signed in time may come late, but not so late that the author might have set its clock back.
    assert_eq!(outcome(&c, WALL + 59 * MINUTE_MS, minutes(70)), 1);
    assert_eq!(outcome(&c, WALL + 59 * MINUTE_MS, minutes(76)), 0);
}

#[test]
fn a_forged_one_is_asked_of_another_neighbour() {
    let (terms, topic) = owned();
    let (mut d, friends) = scene((terms, topic));
    let (author, c) = (speaker(9, 71), capability(71, |_| {}));
    d.bring(&friends[0], &batch(&author, topic, Some(&c)));
    d.bring(&friends[1], &batch(&author, topic, Some(&c)));
    give(&mut d, &friends[0], &certificate(&author));
    let mut forged = c.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    give_bytes(&mut d, &friends[0], forged.into());
    assert_eq!((delivered(&d), d.counters().capabilities_refused), (0, 1));
    assert_eq!(asked_of(&d, &friends[1]), [c.id()]);
    give_capability(&mut d, &friends[1], &c);
    assert_eq!(delivered(&d), 1);
}

#[test]
fn it_is_asked_of_who_brought_the_batch_once_and_verified_once() {
    let (terms, topic) = owned();
    let (mut d, friends) = scene((terms, topic));
    let (author, c) = (speaker(9, 71), capability(71, |_| {}));
    for seq in 1..=5 {
        d.bring(&friends[0], &batch_at(&author, topic, Some(&c), seq, WALL));
    }
    assert_eq!(asked_of(&d, &friends[0]), [c.id()]);
    assert!(asked_of(&d, &friends[1]).is_empty());
    give(&mut d, &friends[0], &certificate(&author));
    give_capability(&mut d, &friends[0], &c);
    assert_eq!(delivered(&d), 5);
    d.bring(&friends[0], &batch_at(&author, topic, Some(&c), 6, WALL));
    give_capability(&mut d, &friends[0], &c);
    let n = d.counters();
    assert_eq!((delivered(&d), n.capabilities_verified, n.capabilities_unexpected), (6, 1, 1));
    assert_eq!(asked_of(&d, &friends[0]).len(), 1);
}

#[test]
fn who_does_not_answer_is_asked_again_and_then_no_more() {
    let (terms, topic) = owned();
    let (mut d, friends) = scene((terms, topic));
    let (author, c) = (speaker(9, 71), capability(71, |_| {}));
    d.bring(&friends[0], &batch(&author, topic, Some(&c)));
    d.pass(Span::from_secs(30));
    assert_eq!(asked_of(&d, &friends[0]).len(), 5);
    assert_eq!(d.counters().batches_unproven_shed, 1);
}

#[test]
fn one_that_does_not_hold_is_not_asked_for_again() {
    let (terms, topic) = owned();
    let (mut d, friends) = scene((terms, topic));
    let (author, c) = (speaker(9, 71), capability(71, |s| s.topic = news()));
    d.bring(&friends[0], &batch(&author, topic, Some(&c)));
    give(&mut d, &friends[0], &certificate(&author));
    give_capability(&mut d, &friends[0], &c);
    d.bring(&friends[0], &batch_at(&author, topic, Some(&c), 2, WALL));
    assert_eq!((asked_of(&d, &friends[0]).len(), d.counters().batches_unauthorised), (1, 2));
    assert_eq!(d.counters().capabilities_verified, 0, "its signature is not looked at");
}

#[test]
fn neighbours_on_the_topic_are_given_it_so_many_times_and_others_never() {
    let (terms, topic) = owned();
    let (mut d, friends) = scene((terms, topic));
    let (author, c) = (speaker(9, 71), capability(71, |_| {}));
    d.bring(&friends[0], &batch(&author, topic, Some(&c)));
    give(&mut d, &friends[0], &certificate(&author));
    give_capability(&mut d, &friends[0], &c);
    let stranger = Fake::new(3);
    d.link(&stranger);
    d.befriend(&stranger, Overlay::Root);
    let ask = || AskCapabilities { topic, capabilities: vec![c.id(), CapabilityRef([9; 16])] };
    let given =
        |d: &Driven, to: &Fake| d.sent_to(&to.id).iter().filter(|m| matches!(m, Message::Capability(_))).count();
    d.say(&stranger, ask());
    d.say(&friends[1], ask());
    assert_eq!((given(&d, &stranger), given(&d, &friends[1])), (0, 1));
    assert_eq!((d.counters().frames_unexpected, d.counters().capabilities_not_held), (1, 1));
    for _ in 0..200 {
        d.say(&friends[1], ask());
    }
    assert_eq!(given(&d, &friends[1]), 128);
    assert!(d.counters().capabilities_limited > 0);
}

#[test]
fn are_issued_only_by_whom_they_name_and_for_a_year_and_some() {
    let s = capability(71, |_| {}).statement().clone();
    assert_eq!(TopicCapability::issue(s.clone(), &port(1, 66)), Err(CapabilityError::Key));
    let ever = CapabilityStatement { expires_ms: u64::MAX, ..s.clone() };
    assert_eq!(TopicCapability::issue(ever, &port(1, OWNER)), Err(CapabilityError::Limit));
    let never = CapabilityStatement { expires_ms: s.issued_ms, ..s };
    assert_eq!(TopicCapability::issue(never, &port(1, OWNER)), Err(CapabilityError::Malformed));
}

#[test]
fn no_bit_of_one_can_be_changed() {
    let c = capability(71, |_| {});
    let check =
        |bytes: Vec<u8>| TopicCapability::parse(bytes.into()).and_then(|c| c.verify(&port(1, 1)).map(|()| c.id()));
    assert_eq!(check(c.bytes().to_vec()), Ok(c.id()));
    for bit in 0..c.bytes().len() * 8 {
        let mut bytes = c.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(check(bytes).is_err(), "bit {bit} is not covered");
    }
}

#[test]
fn its_bytes_are_pinned() {
    let c = capability(71, |_| {});
    let len = usize::from(u16::from_le_bytes([c.bytes()[0], c.bytes()[1]]));
    insta::assert_snapshot!(hex(&c.bytes()[..2 + len]), @"7e00a5005820cfb049db8a2a4c9c91cc7083374f2547e66d279a999586ad4fca83a19fb628cd01582006f1dcb0ad4ddc25ca1b97b70b00ce303e5bc58923fccb2b617d216c82819972025820a1deee1defdf6b7a4df1f28a06e545a9e9771f33ea1fc0473f5df5c4d37262fe031b0000018bcfe25ac0041b0000018bd508b6c0");
    insta::assert_snapshot!(hex(&c.id().0), @"08b393cc9e0686b9eca1ecab89a23079");
    assert_eq!(c.bytes().len(), 2 + len + 1952 + 3309);
}

proptest! {
    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..6_000)) {
        prop_assert!(TopicCapability::parse(bytes.into()).is_err());
    }

    #[test]
    fn garbage_in_a_statement_is_an_error(garbage in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [&(garbage.len() as u16).to_le_bytes()[..], &garbage, &[0; 1952 + 3309]].concat();
        prop_assert!(TopicCapability::parse(bytes.into()).is_err());
    }

    #[test]
    fn what_is_said_is_read(issued_ms in 0..u64::MAX / 2, life in 1..=MAX_LIFE_MS, topic in any::<[u8; 32]>()) {
        let said = |s: &mut CapabilityStatement| {
            *s = CapabilityStatement { topic: TopicId(topic), issued_ms, expires_ms: issued_ms + life, ..s.clone() };
        };
        let c = capability(71, said);
        prop_assert_eq!(TopicCapability::parse(c.bytes().clone()), Ok(c));
    }
}
