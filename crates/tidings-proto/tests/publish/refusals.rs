//! What is refused, and how.

use super::*;

#[test]
fn a_payload_one_byte_too_long() {
    let mut d = Driven::on_topic();
    let size = MAX_MESSAGE + 1;
    let t = d.command(publish(vec![0; size]));
    assert_eq!(refused(&d, t), &CommandError::PayloadTooLarge { size, limit: MAX_MESSAGE });
    let t = d.command(publish(vec![0; MAX_MESSAGE]));
    assert_eq!(d.published(t).seq, 1, "the refused message took no number");
}

#[test]
fn headers_one_byte_too_long() {
    let mut d = Driven::on_topic();
    let message = |len| Outgoing { headers: vec![0; len].into(), ..Outgoing::default() };
    let t = d.command(Command::Publish { topic: news(), message: message(MAX_HEADERS + 1) });
    let (size, limit) = (MAX_HEADERS + 1, MAX_HEADERS);
    assert_eq!(refused(&d, t), &CommandError::HeadersTooLarge { size, limit });
    let t = d.command(Command::Publish { topic: news(), message: message(MAX_HEADERS) });
    assert_eq!(d.published(t).seq, 1);
}

#[test]
fn more_bytes_than_may_wait() {
    let mut d = Driven::on_topic();
    let fit = MAX_WAITING_BYTES / MAX_MESSAGE;
    let tickets: Vec<Ticket> = (0..fit).map(|_| d.hand_in_command(publish(vec![0; MAX_MESSAGE]))).collect();
    let over = d.hand_in_command(publish(vec![0]));
    d.run();
    let (waiting, limit) = (MAX_WAITING_BYTES, MAX_WAITING_BYTES);
    assert_eq!(refused(&d, over), &CommandError::QueueFull { waiting, limit });
    for t in tickets {
        d.published(t);
    }
}

#[test]
fn more_messages_than_may_wait() {
    let mut d = Driven::on_topic();
    for _ in 0..MAX_WAITING_MESSAGES {
        d.hand_in_command(publish(vec![]));
    }
    let over = d.hand_in_command(publish(vec![]));
    d.run();
    assert!(matches!(refused(&d, over), CommandError::QueueFull { .. }));
}

#[test]
fn what_waits_for_a_first_neighbour_counts_as_waiting() {
    let mut d = Driven::on_topic();
    let mut published = 0;
    let refusal = loop {
        let t = d.command(publish(vec![0; MAX_MESSAGE]));
        match d.reply(t) {
            Some(Reply::Published(_)) => published += 1,
            Some(Reply::Refused(e)) => break e.clone(),
            other => panic!("{other:?}"),
        }
        assert!(published < 1000, "without a bound");
    };
    assert!(matches!(refusal, CommandError::QueueFull { .. }));
    assert!(published >= MAX_WAITING_BYTES / MAX_MESSAGE - 2);
}

#[test]
fn after_leaving() {
    let mut d = Driven::on_topic();
    d.command(Command::Leave);
    let t = d.publish(b"late");
    assert_eq!(refused(&d, t), &CommandError::Leaving);
}

#[test]
fn a_topic_too_many_to_publish_on() {
    let (mut d, limit) = many_topics();
    let t = d.command(Command::Publish { topic: nth_topic(limit), message: out(b"x") });
    assert_eq!(refused(&d, t), &CommandError::TooManyTopics { limit });
}

#[test]
fn a_topic_too_many_to_subscribe() {
    let (mut d, limit) = many_topics();
    let t = d.command(Command::Subscribe { topic: nth_topic(limit) });
    assert_eq!(refused(&d, t), &CommandError::TooManyTopics { limit });
    let t = d.command(Command::Subscribe { topic: nth_topic(0) });
    assert_eq!(d.reply(t), Some(&Reply::Done), "one it is in already");
}

fn nth_topic(n: usize) -> tidings_proto::identity::TopicId {
    tidings_proto::identity::TopicId::from_name(&n.to_string()).unwrap()
}

fn many_topics() -> (Driven, usize) {
    let mut d = Driven::new();
    let limit = tidings_proto::membership::MAX_TOPICS;
    for n in 0..limit {
        d.command(Command::Subscribe { topic: nth_topic(n) });
    }
    assert_eq!(d.node.topics().len(), limit);
    (d, limit)
}
