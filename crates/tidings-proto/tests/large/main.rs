//! Large messages: how their contents are asked for, checked and served, and what is made of neighbours that misbehave.

#[path = "../common/mod.rs"]
mod common;

use bytes::Bytes;
use common::*;
use tidings_proto::identity::{ContentId, TopicId};
use tidings_proto::io::*;
use tidings_proto::large::{Content, ContentBuilder, MAX_LARGE, Manifest, ManifestError, WHOLE};
use tidings_proto::pubsub::{Batch, BatchHeader, MAX_MESSAGE};
use tidings_proto::time::Span;
use tidings_proto::wire::*;

/// Bytes that differ from chunk to chunk.
fn content(size: usize) -> Content {
    Content::of((0..size).map(|i| (i / 1000) as u8).collect::<Vec<u8>>().into()).unwrap()
}

/// The batch in which `author` publishes a content as its message `seq`.
fn manifest(author: &Fake, seq: u64, content: &Content) -> Batch {
    let payload = content.manifest().encode();
    author.seal(BatchHeader { large: Some(vec![0]), ..author.header(seq, &[&payload]) }, &[&payload])
}

fn publish(content: &Content) -> Command {
    Command::Publish { topic: news(), message: Outgoing::large(content.clone()) }
}

fn chunk_frame(of: &Content, index: u32, bytes: Bytes) -> Bytes {
    Message::from(Chunk { content: of.manifest().id(), index }).frame_with(bytes).to_bytes()
}

fn bring_chunk(d: &mut Driven, from: &Fake, of: &Content, index: u32) {
    let bytes = of.chunks()[index as usize].clone();
    d.frame(from, Lane::Bulk, chunk_frame(of, index, bytes)).unwrap();
}

fn have(d: &mut Driven, from: &Fake, of: &Content, chunks: impl IntoIterator<Item = u32>) {
    d.say(from, Have { content: of.manifest().id(), chunks: chunks.into_iter().collect() });
}

fn want(d: &mut Driven, from: &Fake, of: &Content, chunks: impl IntoIterator<Item = u32>) {
    let ask = Ask { content: of.manifest().id(), chunks: chunks.into_iter().collect() };
    d.say(from, Want { asks: vec![ask] });
}

/// The chunks asked of a peer so far, in order.
fn asked(d: &Driven, of: &Fake) -> Vec<u32> {
    d.sent_to(&of.id)
        .into_iter()
        .filter_map(|m| match m {
            Message::Want(m) => {
                Some(m.asks.iter().flat_map(|a| a.chunks.iter().collect::<Vec<_>>()).collect::<Vec<_>>())
            }
            _ => None,
        })
        .flatten()
        .collect()
}

/// The chunks sent to a peer so far.
fn served(d: &Driven, to: &Fake) -> Vec<u32> {
    let number = |m: &Message| match m {
        Message::Chunk(m) => Some(m.index),
        _ => None,
    };
    d.sent_to(&to.id).into_iter().filter_map(number).collect()
}

fn lacked(d: &Driven, to: &Fake) -> usize {
    let number = |m: &Message| match m {
        Message::Lack(m) => Some(m.asks.iter().map(|a| a.chunks.count()).sum::<usize>()),
        _ => None,
    };
    d.sent_to(&to.id).into_iter().filter_map(number).sum()
}

fn whole(d: &Driven, id: ContentId) -> Option<Bytes> {
    d.did.iter().find_map(|did| match did {
        Did::Event(Event::ContentComplete { content, whole }) if *content == id => whole.clone(),
        _ => None,
    })
}

fn lost(d: &Driven) -> usize {
    d.did.iter().filter(|did| matches!(did, Did::Event(Event::ContentLost { .. }))).count()
}

/// A node on the usual topic with two neighbours, the first of which is the author.
fn three() -> (Driven, Fake, Fake) {
    let mut d = Driven::on_topic();
    let (a, b) = (Fake::new(1), Fake::new(2));
    d.neighbor(&a);
    d.neighbor(&b);
    (d, a, b)
}

mod fuzz;

mod manifests;

mod misbehaviour;

mod serving;

#[test]
fn who_brought_the_manifest_is_asked_for_a_small_content_at_once() {
    let (mut d, a, b) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    assert_eq!((asked(&d, &a), asked(&d, &b)), (vec![0, 1, 2, 3], vec![]));
}

#[test]
fn the_message_keeps_its_place_among_the_authors_others() {
    let (mut d, a, _) = three();
    let c = content(100_000);
    d.bring(&a, &a.batch(1, b"before"));
    d.bring(&a, &manifest(&a, 2, &c));
    d.bring(&a, &a.batch(3, b"after"));
    assert_eq!(d.payloads(), [Bytes::from_static(b"before"), c.manifest().encode(), Bytes::from_static(b"after")]);
    let large: Vec<bool> =
        d.delivered().iter().flat_map(|d| d.messages().map(|m| m.large).collect::<Vec<_>>()).collect();
    assert_eq!(large, [false, true, false]);
}

#[test]
fn a_content_is_complete_when_its_last_chunk_is_in_whatever_the_order() {
    let (mut d, a, _) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    for index in [3, 0, 2, 1] {
        assert_eq!(whole(&d, c.manifest().id()), None);
        bring_chunk(&mut d, &a, &c, index);
    }
    assert_eq!(whole(&d, c.manifest().id()).unwrap(), c.chunks().concat());
    let held = d.node.content(&c.manifest().id()).unwrap();
    assert!(held.is_complete());
    let whole = held.whole().unwrap();
    let inside = |b: &Bytes| whole.as_ptr_range().contains(&b.as_ptr());
    assert!(held.chunks().iter().flatten().all(inside), "it is in memory once");
}

#[test]
fn a_content_known_already_is_not_asked_for_again() {
    let (mut d, a, b) = three();
    let c = content(40_000);
    d.bring(&a, &manifest(&a, 1, &c));
    bring_chunk(&mut d, &a, &c, 0);
    bring_chunk(&mut d, &a, &c, 1);
    d.bring(&b, &manifest(&b, 1, &c));
    assert_eq!(asked(&d, &b), []);
}

#[test]
fn a_larger_content_is_asked_of_those_who_have_it_and_of_nobody_twice() {
    let (mut d, a, b) = three();
    let c = content(20 * 32 * 1024);
    d.bring(&a, &manifest(&a, 1, &c));
    let ahead = asked(&d, &a).len();
    assert!(ahead < 8, "only a little of what it may not have");
    have(&mut d, &b, &c, 0..20);
    assert_eq!(asked(&d, &b).len() + ahead, 20);
    have(&mut d, &a, &c, 0..20);
    let mut all = [asked(&d, &a), asked(&d, &b)].concat();
    all.sort_unstable();
    assert_eq!(all, Vec::from_iter(0..20));
}

#[test]
fn neighbours_hear_of_a_larger_content_and_answer_with_what_they_have() {
    let (mut d, a, b) = three();
    let c = content(20 * 32 * 1024);
    let haves = |d: &Driven, to: &Fake| d.sent_to(&to.id).iter().filter(|m| matches!(m, Message::Have(_))).count();
    d.bring(&a, &manifest(&a, 1, &c));
    assert_eq!((haves(&d, &a), haves(&d, &b)), (1, 1));
    have(&mut d, &b, &c, []);
    let index = asked(&d, &a)[0];
    bring_chunk(&mut d, &a, &c, index);
    d.pass_ms(30);
    let Some(Message::Have(last)) = d.sent_to(&b.id).into_iter().rfind(|m| matches!(m, Message::Have(_))) else {
        panic!("nothing was said")
    };
    assert_eq!(last.chunks, ChunkSet::from_iter([index]));
}

#[test]
fn when_the_neighbour_asked_goes_another_is_asked() {
    let (mut d, a, b) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    have(&mut d, &b, &c, 0..4);
    bring_chunk(&mut d, &a, &c, 2);
    d.input(Input::LinkDown { peer: a.id, reason: LinkRefusal::Silent }).unwrap();
    let mut rest = asked(&d, &b);
    rest.sort_unstable();
    assert_eq!(rest, [0, 1, 3]);
}

#[test]
fn a_new_neighbour_is_asked_for_what_nobody_else_sends() {
    let (mut d, a, _) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    d.pass_ms(2_000);
    let new = Fake::new(3);
    d.neighbor(&new);
    have(&mut d, &new, &c, 0..4);
    d.pass_ms(2_000);
    let mut all = asked(&d, &new);
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
}

#[test]
fn a_content_nobody_sends_is_reported_as_lost() {
    let (mut d, a, _) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    d.pass(Span::from_secs(29));
    assert_eq!(lost(&d), 0);
    d.pass(Span::from_secs(6));
    assert_eq!(lost(&d), 1);
    assert!(d.node.content(&c.manifest().id()).is_none());
    assert_eq!(d.counters().contents_lost, 1);
}

#[test]
fn a_topic_left_takes_its_unfinished_contents_along() {
    let (mut d, a, _) = three();
    let c = content(100_000);
    d.bring(&a, &manifest(&a, 1, &c));
    d.command(Command::Unsubscribe { topic: news() });
    assert_eq!(lost(&d), 1);
}
