//! Which links leave the tree and enter it, and when.

mod common;

use common::*;
use tidings_proto::io::Overlay;
use tidings_proto::pubsub::BatchHeader;
use tidings_proto::time::Span;
use tidings_proto::wire::*;

/// A node with three neighbours, all their links in the tree.
fn scene() -> (Driven, [Fake; 3]) {
    let mut d = Driven::on_topic();
    let friends = [1, 2, 3].map(Fake::new);
    for f in &friends {
        d.neighbor(f);
    }
    (d, friends)
}

/// Two authors, the lower id first.
fn authors() -> [Fake; 2] {
    let mut both = [8, 9].map(Fake::new);
    both.sort_by_key(|a| a.id);
    both
}

fn pruned(d: &Driven, friend: &Fake) -> usize {
    d.sent_to(&friend.id).iter().filter(|m| matches!(m, Message::Prune(_))).count()
}

fn grafted(d: &Driven, friend: &Fake) -> usize {
    d.sent_to(&friend.id).iter().filter(|m| matches!(m, Message::Graft(g) if g.eager)).count()
}

#[test]
fn who_brings_what_is_here_leaves_the_tree() {
    let (mut d, [a, b, c]) = scene();
    let batch = Fake::new(9).batch(1, b"x");
    d.bring(&a, &batch);
    d.bring(&b, &batch);
    d.pass_ms(300);
    assert_eq!([&a, &b, &c].map(|f| pruned(&d, f)), [0, 1, 0]);
    d.did.clear();
    d.bring(&a, &Fake::new(9).batch(2, b"y"));
    assert_eq!([&b, &c].map(|f| d.batches_to(&f.id).len()), [0, 1]);
}

#[test]
fn of_two_floods_at_once_one_decides_the_same_one_everywhere() {
    for turned in [false, true] {
        let (mut d, [a, b, c]) = scene();
        let [low, high] = authors().map(|author| author.batch(1, b"x"));
        // The low one comes by a, the high one by b, and each again by the other.
        let mut arrivals = vec![(&a, &low), (&b, &high), (&b, &low), (&a, &high)];
        if turned {
            arrivals.swap(2, 3);
        }
        for (from, batch) in arrivals {
            d.bring(from, batch);
        }
        d.pass_ms(300);
        assert_eq!([&a, &b, &c].map(|f| pruned(&d, f)), [0, 1, 0], "turned: {turned}");
    }
}

#[test]
fn copies_of_a_higher_author_count_when_the_lower_has_been_silent() {
    let (mut d, [a, b, _]) = scene();
    let [low, high] = authors().map(|author| author.batch(1, b"x"));
    d.bring(&a, &low);
    d.bring(&a, &high);
    d.bring(&b, &high);
    d.pass_ms(300);
    assert_eq!(pruned(&d, &b), 0);
    let again = authors()[1].batch(2, b"y");
    d.pass_ms(300);
    d.bring(&a, &again);
    d.bring(&b, &again);
    d.pass_ms(300);
    assert_eq!(pruned(&d, &b), 1);
}

#[test]
fn the_first_batch_of_each_second_counts() {
    let (mut d, [a, b, _]) = scene();
    let author = Fake::new(9);
    let at =
        |seq, wall_ms, apart_ms| author.seal(BatchHeader { wall_ms, apart_ms, ..author.header(seq, &[b"x"]) }, &[b"x"]);
    d.bring(&a, &at(1, WALL, None));
    d.pass_ms(300);
    for (seq, batch) in [(2, at(2, WALL + 999, Some(999))), (3, at(3, WALL + 1_000, Some(1)))] {
        d.bring(&a, &batch);
        d.bring(&b, &batch);
        d.pass_ms(300);
        assert_eq!(pruned(&d, &b), usize::from(seq == 3), "{seq}");
    }
}

#[test]
fn nobody_leaves_in_favour_of_a_link_that_left() {
    let (mut d, [a, b, _]) = scene();
    let batch = Fake::new(9).batch(1, b"x");
    d.bring(&a, &batch);
    d.bring(&b, &batch);
    d.say(&a, Prune { topic: news() });
    d.pass_ms(300);
    assert_eq!(pruned(&d, &b), 0);
}

#[test]
fn who_brings_our_own_back_leaves_the_tree() {
    let (mut d, [a, b, _]) = scene();
    d.publish(b"x");
    let ours = d.batches_to(&a.id).remove(0);
    d.bring(&b, &ours);
    d.pass_ms(300);
    assert_eq!([&a, &b].map(|f| pruned(&d, f)), [0, 1]);
}

#[test]
fn what_was_asked_for_is_no_reason_to_leave() {
    let (mut d, [a, b, _]) = scene();
    let batch = Fake::new(9).batch(1, b"x");
    let pulled = Message::from(Gossip { hop: 1, pulled: true }).frame_with(batch.bytes().clone());
    d.frame(&a, Lane::Data, pulled.to_bytes()).unwrap();
    d.bring(&b, &batch);
    d.pass_ms(300);
    assert_eq!(pruned(&d, &b), 0, "it asked too soon");
}

#[test]
fn while_the_first_flood_builds_the_tree_the_next_waits() {
    let (mut d, [a, b, _]) = scene();
    d.bring(&a, &Fake::new(9).batch(1, b"x"));
    d.did.clear();
    d.publish(b"y");
    assert_eq!(d.batches_to(&b.id).len(), 0);
    d.pass_ms(300);
    assert_eq!(d.batches_to(&b.id).len(), 1);
    d.publish(b"z");
    assert_eq!(d.batches_to(&b.id).len(), 2, "the tree is there");
}

/// `a` is the parent; `b`, lazy, announces that it had every batch 20 ms earlier.
fn overtaken(d: &mut Driven, a: &Fake, b: &Fake, apart: Span) -> usize {
    let author = Fake::new(9);
    d.bring(a, &author.batch(1, b"x"));
    d.say(b, Prune { topic: news() });
    d.did.clear();
    for n in 2..=12 {
        let batch = author.batch(n, b"x");
        d.bring(a, &batch);
        let batches = vec![Announced { id: batch.short_id(), hop: 2, held: 200 }];
        d.say(b, IHave { topic: news(), batches });
        d.pass(apart);
    }
    grafted(d, b)
}

#[test]
fn whose_copies_come_earlier_again_and_again_enters_the_tree() {
    let (mut d, [a, b, _]) = scene();
    assert_eq!(overtaken(&mut d, &a, &b, Span::from_millis(60)), 1);
}

#[test]
fn whose_copies_came_earlier_in_one_instant_does_not() {
    let (mut d, [a, b, _]) = scene();
    assert_eq!(overtaken(&mut d, &a, &b, Span::from_millis(3)), 0);
}

#[test]
fn a_new_neighbour_of_a_tree_that_exists_stays_outside() {
    let (mut d, [a, ..]) = scene();
    d.bring(&a, &Fake::new(9).batch(1, b"x"));
    let late = Fake::new(4);
    d.link(&late);
    d.befriend(&late, Overlay::Topic(news()));
    assert_eq!(pruned(&d, &late), 1);
}
