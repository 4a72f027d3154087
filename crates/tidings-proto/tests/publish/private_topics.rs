//! Private topics: found and read with their secret alone.

use tidings_proto::identity::TopicId;
use tidings_proto::pubsub::{Batch, HistoryQuery, TopicSecret};

use super::*;

fn secret(n: u8) -> TopicSecret {
    TopicSecret::from_bytes([n; 32])
}

fn id() -> TopicId {
    secret(1).topic("family").unwrap()
}

/// A node on the private topic, with a key of its own, that has this secret, with a neighbour on it.
fn member(key: u8, secret: TopicSecret) -> (Driven, Fake) {
    let mut d = Driven::keyed(key);
    d.command(Command::Unlock { topic: id(), secret });
    d.command(Command::Subscribe { topic: id() });
    let friend = Fake::new(1);
    d.neighbor_on(&friend, id());
    (d, friend)
}

fn message(payload: &[u8]) -> Outgoing {
    let headers = Bytes::from_static(b"from: me");
    Outgoing { payload: Bytes::copy_from_slice(payload), headers, secret: Some(secret(1)), ..Outgoing::default() }
}

/// What a member publishes, as it travels.
fn published(payload: &[u8]) -> Batch {
    let (mut d, friend) = member(91, secret(1));
    d.command(Command::Publish { topic: id(), message: message(payload) });
    d.batches_to(&friend.id).pop().unwrap()
}

fn read(d: &Driven) -> Vec<(Bytes, Bytes)> {
    d.delivered().iter().flat_map(|x| x.messages().map(|m| (m.headers, m.payload)).collect::<Vec<_>>()).collect()
}

#[test]
fn have_ids_that_follow_from_name_and_secret() {
    assert_ne!(id(), TopicId::from_name("family").unwrap());
    assert_ne!(id(), secret(2).topic("family").unwrap());
    assert_ne!(id(), secret(1).topic("friends").unwrap());
    assert!(secret(1).topic("").is_err() && secret(1).topic(&"x".repeat(256)).is_err());
    assert_eq!(format!("{:?}", secret(7)), "TopicSecret(..)");
}

#[test]
fn travel_sealed_headers_and_all() {
    let batch = published(b"dinner at eight");
    let bytes = batch.bytes();
    for part in [&b"dinner"[..], b"from: me"] {
        assert!(!bytes.windows(part.len()).any(|w| w == part), "in clear");
    }
}

#[test]
fn are_read_with_the_secret_and_not_with_another() {
    let batch = published(b"dinner at eight");
    for (n, expected) in [(1, 1), (2, 0)] {
        let (mut d, friend) = member(92, secret(n));
        d.bring(&friend, &batch);
        let all = read(&d);
        assert_eq!(all.len(), expected);
        assert!(all.iter().all(|m| (&m.0[..], &m.1[..]) == (b"from: me", b"dinner at eight")));
        assert_eq!(d.counters().batches_sealed, u64::from(expected == 0));
    }
}

#[test]
fn give_the_publisher_its_own_messages_back_in_clear() {
    let (mut d, _friend) = member(92, secret(1));
    d.command(Command::Publish { topic: id(), message: message(b"to myself") });
    assert_eq!(&read(&d)[0].1[..], b"to myself");
}

#[test]
fn keep_their_history_readable() {
    let (mut d, friend) = member(92, secret(1));
    d.bring(&friend, &published(b"yesterday"));
    let ticket = d.command(Command::History { topic: id(), query: HistoryQuery::default() });
    d.pass(Span::from_secs(3));
    let Some(Reply::History(all)) = d.reply(ticket) else { panic!("no history") };
    let payloads: Vec<Bytes> = all.iter().flat_map(|x| x.messages().map(|m| m.payload).collect::<Vec<_>>()).collect();
    assert_eq!(payloads, ["yesterday"]);
}

#[test]
fn never_use_a_nonce_twice() {
    let (mut d, friend) = member(92, secret(1));
    for _ in 0..2 {
        d.command(Command::Publish { topic: id(), message: message(b"the same") });
        d.pass(Span::from_secs(1));
    }
    // Who has the id and not the secret.
    let mut blind = Driven::keyed(93);
    blind.command(Command::Subscribe { topic: id() });
    blind.neighbor_on(&friend, id());
    d.batches_to(&friend.id).iter().for_each(|b| blind.bring(&friend, b));
    let sealed: Vec<Bytes> = read(&blind).into_iter().map(|m| m.1).collect();
    // Of equal messages, all but the tag would be equal.
    assert_eq!(sealed.iter().map(Bytes::len).collect::<Vec<_>>(), [34, 34]);
    assert!((0..18).any(|i| sealed[0][i] != sealed[1][i]));
}

#[test]
fn refuse_what_does_not_fit_when_sealed() {
    let (mut d, _friend) = member(92, secret(1));
    let longest = MAX_MESSAGE - 18 - 8;
    let t = d.command(Command::Publish { topic: id(), message: message(&vec![7; longest]) });
    d.published(t);
    let t = d.command(Command::Publish { topic: id(), message: message(&vec![7; longest + 1]) });
    assert_eq!(refused(&d, t), &CommandError::PayloadTooLarge { size: longest + 1, limit: longest });
}
