//! Private topics: found and read with their secret alone.

use tidings_proto::identity::TopicId;
use tidings_proto::large::{Content, ContentKey, MAX_LARGE, MAX_SEALED, Manifest};
use tidings_proto::pubsub::{Batch, HistoryQuery, MAX_HEADERS, TopicSecret, TopicTerms};

use super::*;

fn secret(n: u8) -> TopicSecret {
    TopicSecret::from_bytes([n; 32])
}

fn terms(secret: TopicSecret) -> TopicTerms {
    TopicTerms { secret: Some(secret), policy: None }
}

fn id() -> TopicId {
    secret(1).topic("family").unwrap()
}

/// A node on the private topic, with a key of its own, that has this secret, with a neighbour on it.
fn member(key: u8, secret: TopicSecret) -> (Driven, Fake) {
    let mut d = Driven::keyed(key);
    d.command(Command::Unlock { topic: id(), terms: terms(secret) });
    d.command(Command::Subscribe { topic: id() });
    let friend = Fake::new(1);
    d.neighbor_on(&friend, id());
    (d, friend)
}

fn message(payload: &[u8]) -> Outgoing {
    let headers = Bytes::from_static(b"from: me");
    Outgoing { payload: Bytes::copy_from_slice(payload), headers, terms: terms(secret(1)), ..Outgoing::default() }
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

/// Where a batch's messages are large, what opens the content of the first.
fn key_of(d: &Driven) -> Option<ContentKey> {
    d.delivered().first()?.messages().next()?.content_key
}

#[test]
fn what_does_not_fit_when_sealed_travels_as_a_large_message() {
    let (mut d, friend) = member(92, secret(1));
    let longest = MAX_MESSAGE - 18 - 8;
    for (size, large) in [(longest, false), (longest + 1, true)] {
        let t = d.command(Command::Publish { topic: id(), message: message(&vec![7; size]) });
        d.pass(Span::from_secs(1));
        d.published(t);
        let batch = d.batches_to(&friend.id).pop().unwrap();
        assert_eq!(!batch.header().large().is_empty(), large);
    }
    let t = d.command(Command::Publish { topic: id(), message: message(&vec![7; MAX_MESSAGE + 1]) });
    assert!(matches!(refused(&d, t), CommandError::PayloadTooLarge { .. }));
}

/// A large message as it travels, and its content.
fn large(payload: &[u8]) -> (Batch, Content) {
    let content = Content::of(Bytes::copy_from_slice(payload)).unwrap();
    let (mut d, friend) = member(91, secret(1));
    let headers = Bytes::from_static(b"from: me");
    let message = Outgoing { headers, terms: terms(secret(1)), ..Outgoing::large(content) };
    d.command(Command::Publish { topic: id(), message });
    let batch = d.batches_to(&friend.id).pop().unwrap();
    let sealed = Content::of(Bytes::copy_from_slice(payload)).unwrap();
    (batch, sealed.sealed(&secret(1), id(), &friend.crypto).unwrap())
}

#[test]
fn large_ones_are_opened_chunk_by_chunk_by_who_has_the_secret() {
    let payload: Vec<u8> = (0..100_000u32).map(|n| (n / 7) as u8).collect();
    let (batch, sealed) = large(&payload);
    let plain: std::collections::BTreeSet<&[u8]> = payload.chunks(16).collect();
    assert!(!sealed.chunks().iter().any(|c| c.windows(16).any(|w| plain.contains(w))), "in clear");
    assert!(!batch.bytes().windows(8).any(|w| w == b"from: me"), "headers in clear");
    let (mut d, friend) = member(92, secret(1));
    d.bring(&friend, &batch);
    assert_eq!(&read(&d)[0].0[..], b"from: me");
    let (key, manifest) = (key_of(&d).unwrap(), Manifest::decode(&read(&d)[0].1).unwrap());
    assert_eq!((manifest.id(), manifest.opened_size()), (sealed.manifest().id(), payload.len()));
    let open = |at: usize, i: usize| key.open(&friend.crypto, &id(), &manifest, at, &sealed.chunks()[i]);
    let opened: Vec<u8> = (0..sealed.chunks().len()).flat_map(|i| open(i, i).unwrap()).collect();
    assert_eq!(opened, payload);
    // Nor does a chunk open anywhere else.
    assert_eq!((open(1, 0), open(3, 2)), (None, None));
    assert_eq!(key.open(&friend.crypto, &news(), &manifest, 0, &sealed.chunks()[0]), None);
    // Their chunks are asked for and served like others.
    assert!(d.sent_to(&friend.id).iter().any(|m| matches!(m, Message::Want(_))));
}

#[test]
fn large_ones_stay_shut_without_the_secret() {
    let (batch, _) = large(&[7; 50_000]);
    let (mut d, friend) = member(92, secret(2));
    d.bring(&friend, &batch);
    assert!(d.delivered().is_empty());
    // Who has come by the id alone serves the chunks as well.
    assert!(d.sent_to(&friend.id).iter().any(|m| matches!(m, Message::Want(_))));
}

#[test]
fn the_largest_fits_with_its_manifest_headers_and_key() {
    let content = Content::of(vec![7; MAX_SEALED].into()).unwrap();
    let (mut d, _friend) = member(92, secret(1));
    let headers = Bytes::from(vec![1; MAX_HEADERS]);
    let message = Outgoing { headers, terms: terms(secret(1)), ..Outgoing::large(content) };
    let t = d.command(Command::Publish { topic: id(), message });
    d.published(t);
    let over = Content::of(vec![7; MAX_LARGE].into()).unwrap();
    let message = Outgoing { terms: terms(secret(1)), ..Outgoing::large(over) };
    let t = d.command(Command::Publish { topic: id(), message });
    let why = refused(&d, t);
    assert!(matches!(why, CommandError::PayloadTooLarge { .. } | CommandError::QueueFull { .. }), "{why}");
}

#[test]
fn no_two_contents_are_sealed_under_one_key() {
    let crypto = Fake::new(1).crypto;
    let sealed = |n: u8, s: u8| Content::of(vec![n; 40_000].into()).unwrap().sealed(&secret(s), id(), &crypto).unwrap();
    let key = |c: Content| c.key_on(&id()).unwrap();
    assert_ne!(key(sealed(1, 1)), key(sealed(2, 1)));
    assert_ne!(key(sealed(1, 1)), key(sealed(1, 2)));
    assert_eq!(sealed(1, 1).manifest().id(), sealed(1, 1).manifest().id(), "the same again is the same content");
    assert_eq!(format!("{:?}", key(sealed(1, 1))), "ContentKey(..)");
}
