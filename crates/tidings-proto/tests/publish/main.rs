//! The author's side: answers, numbers, epochs, storage, and how batches form.

#[path = "../common/mod.rs"]
mod common;

use bytes::Bytes;
use common::*;
use tidings_proto::io::*;
use tidings_proto::pubsub::{MAX_HEADERS, MAX_MESSAGE, MAX_WAITING_BYTES, MAX_WAITING_MESSAGES};
use tidings_proto::time::Span;
use tidings_proto::wire::*;

fn publish(payload: Vec<u8>) -> Command {
    Command::Publish { topic: news(), message: Outgoing { payload: payload.into(), ..Outgoing::default() } }
}

fn refused(d: &Driven, ticket: Ticket) -> &CommandError {
    match d.reply(ticket) {
        Some(Reply::Refused(e)) => e,
        other => panic!("not refused but {other:?}"),
    }
}

mod durable;

mod history_on_disk;

mod private_topics;

mod refusals;

mod without_a_neighbour;

#[test]
fn publishing_answers_how_many_took_it() {
    let mut d = Driven::on_topic();
    d.neighbor(&Fake::new(1));
    d.neighbor(&Fake::new(2));
    let t = d.publish(b"x");
    assert_eq!(d.published(t).neighbors, 2);
}

#[test]
fn numbers_begin_at_one_and_have_no_holes() {
    let mut d = Driven::on_topic();
    d.neighbor(&Fake::new(1));
    let tickets: Vec<Ticket> = (0..20)
        .map(|i| {
            let t = d.publish(&[i]);
            d.pass_ms(300);
            t
        })
        .collect();
    let seqs: Vec<u64> = tickets.iter().map(|t| d.published(*t).seq).collect();
    assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
}

#[test]
fn answers_come_in_the_order_of_the_commands_and_name_what_was_sent() {
    let mut d = Driven::on_topic();
    let friend = Fake::new(1);
    d.neighbor(&friend);
    let tickets: Vec<Ticket> = (0..50u8).map(|i| d.hand_in_command(publish(vec![i; 2000]))).collect();
    d.run();
    d.pass_ms(2_000);
    let answered: Vec<(Ticket, Published)> = d
        .did
        .iter()
        .filter_map(|x| match x {
            Did::Replied(t, Reply::Published(p)) => Some((*t, *p)),
            _ => None,
        })
        .collect();
    assert_eq!(answered.iter().map(|a| a.0).collect::<Vec<_>>(), tickets);
    let sent: Vec<_> = d
        .batches_to(&friend.id)
        .iter()
        .flat_map(|b| {
            let h = b.header();
            (0..h.payloads.len()).map(|i| (h.epoch, h.first_seq + i as u64, b.message_id(i))).collect::<Vec<_>>()
        })
        .collect();
    let said: Vec<_> = answered.iter().map(|(_, p)| (p.epoch, p.seq, p.id)).collect();
    assert_eq!(said, sent);
}

#[test]
fn messages_of_one_turn_travel_as_one_batch() {
    let mut d = Driven::on_topic();
    let friend = Fake::new(1);
    d.neighbor(&friend);
    for i in 0..10 {
        d.hand_in_command(publish(vec![i]));
    }
    d.run();
    d.pass_ms(1_000);
    let batches = d.batches_to(&friend.id);
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].header().payloads, [1; 10]);
}

#[test]
fn what_does_not_fit_one_batch_makes_several_in_order() {
    let mut d = Driven::on_topic();
    let friend = Fake::new(1);
    d.neighbor(&friend);
    for _ in 0..5 {
        d.hand_in_command(publish(vec![7; MAX_MESSAGE]));
    }
    d.run();
    d.pass_ms(2_000);
    let firsts: Vec<u64> = d.batches_to(&friend.id).iter().map(|b| b.header().first_seq).collect();
    assert_eq!(firsts, [1, 3, 5]);
}

#[test]
fn equal_payloads_are_different_messages() {
    let mut d = Driven::on_topic();
    let tickets = [d.hand_in_command(publish(vec![1])), d.hand_in_command(publish(vec![1]))];
    d.run();
    let later = d.publish(&[1]);
    d.pass_ms(1_000);
    let ids: std::collections::BTreeSet<_> = tickets.iter().chain([&later]).map(|t| d.published(*t).id).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_subscriber_gets_its_own_messages_marked_so() {
    let mut d = Driven::on_topic();
    d.publish(b"mine");
    let got = d.delivered();
    assert_eq!(got.len(), 1);
    assert!(got[0].own() && !got[0].late() && got[0].author() == d.id());
}

#[test]
fn a_publisher_that_did_not_subscribe_gets_nothing() {
    let mut d = Driven::new();
    let t = d.publish(b"x");
    assert_eq!(d.published(t).seq, 1);
    assert!(d.delivered().is_empty());
}

#[test]
fn headers_travel_with_their_message() {
    let mut d = Driven::on_topic();
    let message = |h: &'static [u8]| Outgoing {
        payload: Bytes::from_static(b"p"),
        headers: Bytes::from_static(h),
        ..Outgoing::default()
    };
    for h in [&b"a=1"[..], b"", b"b=2"] {
        d.hand_in_command(Command::Publish { topic: news(), message: message(h) });
    }
    d.run();
    let got: Vec<Bytes> =
        d.delivered().iter().flat_map(|d| d.messages().map(|m| m.headers).collect::<Vec<_>>()).collect();
    assert_eq!(got, [&b"a=1"[..], b"", b"b=2"]);
}

mod numbers_are_never_used_twice;

#[test]
fn the_first_batch_after_a_restart_names_the_last_place_before_it() {
    let mut d = Driven::on_topic();
    for _ in 0..3 {
        d.publish(b"x");
        d.pass_ms(300);
    }
    let t = d.publish(b"last");
    let last = d.published(t);
    let mut d = d.restart(Span::from_secs(1));
    d.command(Command::Subscribe { topic: news() });
    d.publish(b"a");
    d.pass_ms(300);
    d.publish(b"b");
    let previous: Vec<_> = d.delivered().iter().map(|x| x.batch().header().previous).collect();
    assert_eq!(previous, [Some(at(last.epoch, last.seq)); 2]);
}

mod storage;

mod slow_neighbours;
