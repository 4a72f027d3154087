//! What becomes of a batch where not everyone may publish.

use super::*;

#[test]
fn a_listed_agents_batch_waits_for_its_certificate_and_goes_on_then() {
    let (terms, topic) = listed();
    let (mut d, friends) = scene((terms, topic));
    let author = speaker(9, 71);
    d.bring(&friends[0], &batch(&author, topic, None));
    assert_nothing_of_it(&d, &friends[0], &friends);
    assert_eq!(d.counters().batches_unproven, 1);
    give(&mut d, &friends[0], &certificate(&author));
    assert_eq!((delivered(&d), d.batches_to(&friends[1].id).len()), (1, 1));
    // The second is judged at once.
    d.bring(&friends[0], &batch_at(&author, topic, None, 2, WALL));
    assert_eq!((delivered(&d), d.counters().batches_unproven), (2, 1));
}

#[test]
fn an_agent_that_is_not_listed_gets_nothing_through() {
    let (terms, topic) = listed();
    let (mut d, friends) = scene((terms, topic));
    let author = speaker(9, 73);
    d.bring(&friends[0], &batch(&author, topic, None));
    give(&mut d, &friends[0], &certificate(&author));
    d.bring(&friends[0], &batch_at(&author, topic, None, 2, WALL));
    d.pass(Span::from_secs(30));
    assert_nothing_of_it(&d, &friends[0], &friends);
    assert_eq!(d.counters().batches_unauthorised, 2);
}

#[test]
fn a_batch_that_names_no_certificate_is_dropped_at_once() {
    let (terms, topic) = listed();
    let (mut d, friends) = scene((terms, topic));
    let author = speaker(9, 71);
    d.bring(&friends[0], &author.seal(BatchHeader { topic, ..author.header(1, &[b"x"]) }, &[b"x"]));
    assert_nothing_of_it(&d, &friends[0], &friends);
    assert_eq!(d.counters().batches_unauthorised, 1);
}

#[test]
fn nobody_publishes_by_anothers_certificate() {
    let (terms, topic) = listed();
    let (mut d, friends) = scene((terms, topic));
    let (author, thief) = (speaker(9, 71), speaker(10, 73));
    let header = BatchHeader { topic, certificate: Some(certificate(&author).id().into()), ..thief.header(1, &[b"x"]) };
    d.bring(&friends[0], &thief.seal(header, &[b"x"]));
    give(&mut d, &friends[0], &certificate(&author));
    d.pass(Span::from_secs(10));
    assert_nothing_of_it(&d, &friends[0], &friends);
}

#[test]
fn the_owner_needs_no_capability() {
    let (terms, topic) = owned();
    let (mut d, friends) = scene((terms, topic));
    let owner = speaker(9, OWNER);
    d.bring(&friends[0], &batch(&owner, topic, None));
    give(&mut d, &friends[0], &certificate(&owner));
    assert_eq!(delivered(&d), 1);
}

#[test]
fn what_nobody_can_prove_is_dropped_after_a_while() {
    let (terms, topic) = listed();
    let (mut d, friends) = scene((terms, topic));
    let author = speaker(9, 71);
    d.bring(&friends[0], &batch(&author, topic, None));
    d.pass(Span::from_secs(10));
    give(&mut d, &friends[0], &certificate(&author));
    assert_nothing_of_it(&d, &friends[0], &friends);
    assert_eq!(d.counters().batches_unproven_shed, 1);
}

#[test]
fn a_batch_that_waits_comes_once_however_often_it_is_brought() {
    let (terms, topic) = listed();
    let (mut d, friends) = scene((terms, topic));
    let author = speaker(9, 71);
    for f in [0, 1, 0] {
        d.bring(&friends[f], &batch(&author, topic, None));
    }
    assert_eq!(d.counters().batches_unproven, 1);
    give(&mut d, &friends[0], &certificate(&author));
    d.bring(&friends[1], &batch(&author, topic, None));
    assert_eq!(delivered(&d), 1);
}

#[test]
fn what_comparing_brings_is_judged_as_well() {
    let (terms, topic) = listed();
    for (agent, expected) in [(71, 1), (73, 0)] {
        let (mut d, friends) = scene((terms.clone(), topic));
        let author = speaker(9, agent);
        let b = batch(&author, topic, None);
        d.frame(&friends[0], Lane::Bulk, bundle(&b)).unwrap();
        assert_eq!(kept(&d), 0);
        give(&mut d, &friends[0], &certificate(&author));
        assert_eq!((kept(&d), delivered(&d)), (expected, expected));
    }
}

fn bundle(b: &Batch) -> Bytes {
    let batches = vec![Bundled { len: b.bytes().len() as u32, hop: 2, held: 50 }];
    Message::from(Bundle { batches }).frame_with(b.bytes().clone()).to_bytes()
}

#[test]
fn a_batch_known_before_comes_back_only_with_its_proof() {
    let (terms, topic) = owned();
    let (mut d, friends) = scene((terms.clone(), topic));
    let (author, c) = (speaker(9, 71), capability(71, |_| {}));
    let known = batch(&author, topic, Some(&c));
    d.bring(&friends[0], &known);
    give(&mut d, &friends[0], &certificate(&author));
    give_capability(&mut d, &friends[0], &c);
    assert_eq!(kept(&d), 1);
    // In its place the author now says something else, without a capability.
    let other = batch(&author, topic, None);
    for (batch, expected) in [(&other, 0), (&known, 1)] {
        let disk = d.disk.clone();
        let mut d = Driven::with_port(GossipConfig::default(), 5, port(200, ME));
        d.disk = disk;
        d.run();
        d.command(Command::Unlock { topic, terms: terms.clone() });
        d.command(Command::Subscribe { topic });
        d.neighbor_on(&friends[0], topic);
        d.frame(&friends[0], Lane::Bulk, bundle(batch)).unwrap();
        assert_eq!(kept(&d), 0);
        give(&mut d, &friends[0], &certificate(&author));
        give_capability(&mut d, &friends[0], &c);
        assert_eq!((kept(&d), d.counters().batches_refilled), (expected, expected as u64));
    }
}

#[test]
fn contents_of_who_may_not_publish_are_not_asked_for() {
    use tidings_proto::large::Content;
    let (terms, topic) = listed();
    for (agent, asks) in [(71, true), (73, false)] {
        let (mut d, friends) = scene((terms.clone(), topic));
        let author = speaker(9, agent);
        let payload = Content::of(vec![7u8; 40_000].into()).unwrap().manifest().encode();
        let certificate_id = Some(certificate(&author).id().into());
        let header =
            BatchHeader { topic, large: Some(vec![0]), certificate: certificate_id, ..author.header(1, &[&payload]) };
        d.bring(&friends[0], &author.seal(header, &[&payload]));
        let wants = |d: &Driven| d.sent_to(&friends[0].id).iter().any(|m| matches!(m, Message::Want(_)));
        assert!(!wants(&d));
        give(&mut d, &friends[0], &certificate(&author));
        assert_eq!(wants(&d), asks);
    }
}

#[test]
fn a_revoked_node_publishes_no_more() {
    let (terms, topic) = listed();
    let (mut d, friends) = scene((terms, topic));
    let (author, other) = (speaker(9, 71), speaker(10, 71));
    d.bring(&friends[0], &batch(&author, topic, None));
    give(&mut d, &friends[0], &certificate(&author));
    let mut said = certificate(&other).statement().clone();
    said.revoked = vec![Revoked { node: author.id, up_to: u64::MAX }];
    let revoking = AgentCertificate::issue(said, &other.crypto).unwrap();
    let header = BatchHeader { topic, certificate: Some(revoking.id().into()), ..other.header(1, &[b"x"]) };
    d.bring(&friends[0], &other.seal(header, &[b"x"]));
    give(&mut d, &friends[0], &revoking);
    assert_eq!(delivered(&d), 2);
    d.bring(&friends[0], &batch_at(&author, topic, None, 2, WALL));
    assert_eq!((delivered(&d), d.counters().batches_unauthorised), (2, 1));
}

#[test]
fn leaving_forgets_what_waits() {
    let (terms, topic) = listed();
    let (mut d, friends) = scene((terms, topic));
    let author = speaker(9, 71);
    d.bring(&friends[0], &batch(&author, topic, None));
    d.command(Command::Unsubscribe { topic });
    give(&mut d, &friends[0], &certificate(&author));
    assert_eq!(delivered(&d), 0);
}
