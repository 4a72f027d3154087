//! When lazy neighbours are told of batches, and when what they were told of makes them part of the tree.

mod common;

use std::collections::BTreeSet;

use common::*;
use tidings_proto::config::GossipConfig;
use tidings_proto::io::*;
use tidings_proto::pubsub::Batch;
use tidings_proto::time::Time;
use tidings_proto::wire::*;

/// A node with one neighbour in the tree and so many outside it.
fn scene(lazy: u8) -> (Driven, Fake, Vec<Fake>) {
    scene_with(lazy, GossipConfig::default())
}

fn scene_with(lazy: u8, config: GossipConfig) -> (Driven, Fake, Vec<Fake>) {
    let mut d = Driven::with(config);
    d.command(Command::Subscribe { topic: news() });
    let parent = Fake::new(1);
    d.link(&parent);
    d.befriend(&parent, Overlay::Root);
    // A thousand members, so that there is room for as many neighbours as a topic ever has.
    let hashes = (1..=16).map(|n| n * (u64::MAX / 1_000)).collect();
    let sketch = Sketch { period: WALL / 600_000, hashes };
    let overlay = Some(news());
    d.say(&parent, Neighbor { overlay, me: parent.addr.clone(), urgent: true, room: 1, sketch });
    d.bring(&parent, &Fake::new(9).batch(1, b"1"));
    d.pass_ms(16_000);
    let others: Vec<Fake> = (0..lazy).map(|n| Fake::new(20 + n)).collect();
    for o in &others {
        d.link(o);
        d.befriend(o, Overlay::Topic(news()));
    }
    assert_eq!(d.node.active_view(Overlay::Topic(news())).len(), 1 + usize::from(lazy));
    d.did.clear();
    (d, parent, others)
}

/// Brings a batch each 50 ms. Returns when each of `of` was told of some, and of how many.
fn told(d: &mut Driven, parent: &Fake, of: &[Fake], batches: u64) -> Vec<Vec<(Time, usize)>> {
    let author = Fake::new(9);
    let mut all = vec![Vec::new(); of.len()];
    let end = d.now.mono + tidings_proto::time::Span::from_millis(batches * 50 + 3_000);
    let mut n = 1;
    while d.now.mono < end {
        if n <= batches {
            n += 1;
            d.bring(parent, &author.batch(n, b"x"));
        }
        for _ in 0..5 {
            for (o, all) in of.iter().zip(&mut all) {
                let count = |m: &&Message| if let Message::IHave(m) = m { m.batches.len() } else { 0 };
                for m in d.sent_to(&o.id).iter().filter(|m| matches!(m, Message::IHave(_))) {
                    all.push((d.now.mono, count(m)));
                }
            }
            d.did.clear();
            d.pass_ms(10);
        }
    }
    all
}

#[test]
fn lazy_neighbours_are_told_in_turn_of_everything() {
    let (mut d, parent, others) = scene(4);
    let told = told(&mut d, &parent, &others, 200);
    for t in &told {
        assert_eq!(t.iter().map(|t| t.1).sum::<usize>(), 200);
        // Ten seconds in rounds of 1.2 s, and what is left.
        assert!((8..=12).contains(&t.len()), "told {} times", t.len());
    }
    let mut times: Vec<Time> = told.iter().flatten().map(|t| t.0).collect();
    times.sort();
    let apart = times.windows(2).map(|w| w[1].since(w[0]).as_millis());
    let apart: BTreeSet<u64> = apart.collect();
    assert!(apart.iter().all(|ms| (290..=360).contains(ms)), "{apart:?}");
}

#[test]
fn a_neighbour_alone_is_told_each_400_ms() {
    let (mut d, parent, others) = scene(1);
    let told = told(&mut d, &parent, &others, 200);
    let apart: BTreeSet<u64> = told[0].windows(2).map(|w| w[1].0.since(w[0].0).as_millis()).collect();
    assert!(apart.iter().all(|ms| (390..=460).contains(ms)), "{apart:?}");
}

#[test]
fn many_neighbours_are_told_each_two_seconds() {
    let (mut d, parent, others) = scene(9);
    let told = told(&mut d, &parent, &others, 200);
    let apart: BTreeSet<u64> =
        told.iter().flat_map(|t| t.windows(2).map(|w| w[1].0.since(w[0].0).as_millis())).collect();
    assert!(apart.iter().all(|ms| *ms <= 2_100), "{apart:?}");
}

#[test]
fn what_fills_the_log_is_announced_at_once() {
    let config = GossipConfig { message_cache_size: 160, ..GossipConfig::default() };
    let (mut d, parent, others) = scene_with(2, config);
    for n in 2..=11 {
        d.bring(&parent, &Fake::new(9).batch(n, b"x"));
    }
    d.pass_ms(0);
    for o in &others {
        assert!(d.sent_to(&o.id).iter().any(|m| matches!(m, Message::IHave(m) if m.batches.len() == 10)));
    }
}

#[test]
fn a_new_neighbour_is_asked_at_once_whether_it_holds_the_same() {
    let (mut d, parent, _) = scene(3);
    d.bring(&parent, &Fake::new(9).batch(2, b"x"));
    let new = Fake::new(50);
    d.link(&new);
    d.befriend(&new, Overlay::Topic(news()));
    d.pass_ms(500);
    assert!(d.sent_to(&new.id).iter().any(|m| matches!(m, Message::Compare(m) if m.count == 2)));
}

/// `from` announces a batch that does not come; returns whether it is asked into the tree as well.
fn asked_into_the_tree(d: &mut Driven, from: &Fake, batch: &Batch) -> bool {
    d.did.clear();
    let batches = vec![Announced { id: batch.short_id(), hop: 2, held: 0 }];
    d.say(from, IHave { topic: news(), batches });
    d.pass_ms(400);
    let graft =
        d.sent_to(&from.id).into_iter().find_map(|m| if let Message::Graft(g) = m { Some(g.eager) } else { None });
    let pulled = Message::from(Gossip { hop: 2, pulled: true }).frame_with(batch.bytes().clone());
    d.frame(from, Lane::Data, pulled.to_bytes()).unwrap();
    graft.expect("it was not asked for")
}

#[test]
fn the_second_batch_that_must_be_asked_for_takes_its_link_into_the_tree() {
    let (mut d, _, others) = scene(3);
    let batches: Vec<Batch> = (2..=4).map(|n| Fake::new(9).batch(n, b"x")).collect();
    assert!(!asked_into_the_tree(&mut d, &others[0], &batches[0]), "one may just be late");
    assert!(asked_into_the_tree(&mut d, &others[1], &batches[1]), "whoever it is asked of");
    assert!(!asked_into_the_tree(&mut d, &others[2], &batches[2]), "one link may do");
}

#[test]
fn a_batch_that_the_tree_brings_after_all_says_that_nothing_is_broken() {
    let (mut d, parent, others) = scene(2);
    let batches: Vec<Batch> = (2..=3).map(|n| Fake::new(9).batch(n, b"x")).collect();
    asked_into_the_tree(&mut d, &others[0], &batches[0]);
    d.bring(&parent, &batches[0]);
    d.pass_ms(3_000);
    let batches = vec![Announced { id: batches[1].short_id(), hop: 2, held: 0 }];
    d.say(&others[1], IHave { topic: news(), batches });
    d.pass_ms(2_500);
    assert!(d.sent_to(&others[1].id).iter().any(|m| matches!(m, Message::Graft(g) if !g.eager && !g.ids.is_empty())));
}
