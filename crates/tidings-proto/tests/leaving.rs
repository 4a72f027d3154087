//! Leaving a topic: what was promised is kept, and nothing comes after the answer.

mod common;

use common::*;
use tidings_proto::io::*;
use tidings_proto::time::Span;

fn leave() -> Command {
    Command::Unsubscribe { topic: news() }
}

#[test]
fn nothing_is_delivered_after_the_answer() {
    let mut d = Driven::on_topic();
    let (friend, author) = (Fake::new(1), Fake::new(9));
    d.neighbor(&friend);
    d.auto_store = false;
    d.bring(&friend, &author.batch(1, b"x"));
    let left = d.command(leave());
    assert_eq!(d.reply(left), Some(&Reply::Done));
    d.write();
    assert_eq!(d.delivered().len(), 0);
    assert_eq!(d.counters().deliveries_unwanted, 1);
}

#[test]
fn deliveries_of_other_topics_still_come() {
    let mut d = Driven::on_topic();
    let other = tidings_proto::identity::TopicId::from_name("other").unwrap();
    d.command(Command::Subscribe { topic: other });
    let (friend, author) = (Fake::new(1), Fake::new(9));
    d.neighbor(&friend);
    d.auto_store = false;
    d.bring(&friend, &author.batch(1, b"x"));
    d.command(Command::Unsubscribe { topic: other });
    d.write();
    assert_eq!(d.payloads(), ["x"]);
}

#[test]
fn what_was_signed_and_not_sent_goes_to_the_first_neighbour_all_the_same() {
    let mut d = Driven::on_topic();
    let t = d.publish(b"alone");
    assert_eq!(d.published(t).neighbors, 0);
    d.command(leave());
    let friend = Fake::new(1);
    d.neighbor(&friend);
    assert_eq!(d.batches_to(&friend.id).len(), 1);
    d.bring(&friend, &Fake::new(9).batch(1, b"x"));
    assert_eq!(d.delivered().len(), 1, "its own alone: the topic is left");
    d.pass(Span::from_secs(301));
    assert!(d.node.topics().is_empty());
    assert_eq!(d.counters().batches_unsent, 0);
}

#[test]
fn what_nobody_took_in_time_is_counted() {
    let mut d = Driven::on_topic();
    d.publish(b"alone");
    d.pass(Span::from_secs(200));
    d.command(leave());
    d.pass(Span::from_secs(99));
    assert_eq!((d.node.topics().len(), d.counters().batches_unsent), (1, 0));
    d.pass(Span::from_secs(2));
    assert_eq!((d.node.topics().len(), d.counters().batches_unsent), (0, 1));
}

#[test]
fn what_nobody_took_before_the_end_is_counted() {
    let mut d = Driven::on_topic();
    d.publish(b"alone");
    d.command(Command::Leave);
    assert_eq!(d.counters().batches_unsent, 1);
}

#[test]
fn coming_back_in_time_finds_the_topic_as_it_was() {
    let mut d = Driven::on_topic();
    d.publish(b"one");
    d.command(leave());
    d.command(Command::Subscribe { topic: news() });
    d.pass(Span::from_secs(400));
    let friend = Fake::new(1);
    d.neighbor(&friend);
    assert_eq!(d.batches_to(&friend.id).len(), 1);
    assert!(d.node.topics()[0].subscribed);
}

#[test]
fn who_goes_says_what_it_had_published_before() {
    let mut d = Driven::on_topic();
    let friend = Fake::new(1);
    d.neighbor(&friend);
    // The first is sent at once, and those that follow closely wait for company.
    let all: Vec<Ticket> = (0..40_u8).map(|n| d.publish(&[n])).collect();
    d.command(Command::Leave);
    assert!(all.iter().all(|t| d.published(*t).neighbors == 1));
    assert_eq!((d.counters().published, d.counters().batches_unsent), (40, 0));
}
