//! The author's side: answers, numbers, epochs, storage, and how batches form.

mod common;

use bytes::Bytes;
use common::*;
use tidings_proto::io::*;
use tidings_proto::pubsub::{MAX_HEADERS, MAX_MESSAGE, MAX_WAITING_BYTES, MAX_WAITING_MESSAGES};
use tidings_proto::time::Span;
use tidings_proto::wire::*;

fn publish(payload: Vec<u8>) -> Command {
    Command::Publish { topic: news(), message: Outgoing { payload: payload.into(), headers: Bytes::new() } }
}

fn refused(d: &Driven, ticket: Ticket) -> &CommandError {
    match d.reply(ticket) {
        Some(Reply::Refused(e)) => e,
        other => panic!("not refused but {other:?}"),
    }
}

mod refusals {
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
        let message = |len| Outgoing { payload: Bytes::new(), headers: vec![0; len].into() };
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
}

mod without_a_neighbour {
    use super::*;

    #[test]
    fn publishing_answers_that_nobody_took_it() {
        let mut d = Driven::on_topic();
        let t = d.publish(b"alone");
        assert_eq!(d.published(t).neighbors, 0);
    }

    #[test]
    fn what_was_published_goes_to_the_first_one() {
        let mut d = Driven::on_topic();
        d.publish(b"one");
        d.pass_ms(1_000);
        d.publish(b"two");
        let friend = Fake::new(1);
        d.neighbor(&friend);
        d.pass_ms(1_000);
        let sent: Vec<u64> = d.batches_to(&friend.id).iter().map(|b| b.header().first_seq).collect();
        assert_eq!(sent, [1, 2]);
    }

    #[test]
    fn and_to_the_first_one_only() {
        let mut d = Driven::on_topic();
        d.publish(b"one");
        d.neighbor(&Fake::new(1));
        let second = Fake::new(2);
        d.neighbor(&second);
        d.pass_ms(1_000);
        assert_eq!(d.batches_to(&second.id).len(), 0, "it is announced to");
        let announced = d.sent_to(&second.id).iter().any(|m| matches!(m, Message::IHave(_)));
        assert!(announced);
    }
}

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
    let message = |h: &'static [u8]| Outgoing { payload: Bytes::from_static(b"p"), headers: Bytes::from_static(h) };
    for h in [&b"a=1"[..], b"", b"b=2"] {
        d.hand_in_command(Command::Publish { topic: news(), message: message(h) });
    }
    d.run();
    let got: Vec<Bytes> =
        d.delivered().iter().flat_map(|d| d.messages().map(|m| m.headers).collect::<Vec<_>>()).collect();
    assert_eq!(got, [&b"a=1"[..], b"", b"b=2"]);
}

mod numbers_are_never_used_twice {
    use super::*;

    fn numbers(d: &Driven, tickets: &[Ticket]) -> Vec<(u64, u64)> {
        tickets.iter().map(|t| (d.published(*t).epoch, d.published(*t).seq)).collect()
    }

    #[test]
    fn when_a_topic_is_left_and_entered_again() {
        let mut d = Driven::on_topic();
        let first = d.publish(b"one");
        d.command(Command::Unsubscribe { topic: news() });
        d.command(Command::Subscribe { topic: news() });
        let second = d.publish(b"two");
        let [a, b] = numbers(&d, &[first, second])[..] else { unreachable!() };
        assert!(a < b, "{a:?} was used, then {b:?}");
    }

    #[test]
    fn when_a_publisher_falls_silent_and_begins_again() {
        let mut d = Driven::new();
        let first = d.publish(b"one");
        d.pass(Span::from_secs(400));
        assert!(d.node.topics().is_empty(), "the idle topic was left");
        let second = d.publish(b"two");
        let [a, b] = numbers(&d, &[first, second])[..] else { unreachable!() };
        assert!(a < b, "{a:?} was used, then {b:?}");
    }

    #[test]
    fn when_the_process_is_killed_and_started_again() {
        let mut d = Driven::on_topic();
        let mut epochs = Vec::new();
        for _ in 0..5 {
            let t = d.publish(b"x");
            epochs.push(d.published(t).epoch);
            assert_eq!(d.published(t).seq, 1);
            d = d.restart(Span::ZERO);
            d.command(Command::Subscribe { topic: news() });
        }
        assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    }

    #[test]
    fn when_the_wall_clock_goes_back() {
        let mut d = Driven::on_topic();
        let t = d.publish(b"x");
        let before = d.published(t).epoch;
        let mut d = {
            let mut e = Driven::unloaded(Default::default());
            e.disk = d.disk;
            e.now.wall.0 -= 3_600_000;
            e.run();
            e
        };
        let t = d.publish(b"x");
        assert!(d.published(t).epoch > before);
    }

    #[test]
    fn when_the_disk_is_lost() {
        let mut d = Driven::on_topic();
        let t = d.publish(b"x");
        let before = d.published(t).epoch;
        d.disk.clear();
        let mut d = d.restart(Span::from_millis(1));
        let t = d.publish(b"x");
        assert!(d.published(t).epoch > before);
    }

    #[test]
    fn when_the_epoch_record_is_lost_but_not_the_streams() {
        let mut d = Driven::on_topic();
        let t = d.publish(b"x");
        let before = d.published(t).epoch;
        d.disk.retain(|k, _| k != "epoch");
        let mut e = Driven::unloaded(Default::default());
        e.disk = d.disk;
        e.now.wall.0 -= 1_000;
        e.run();
        let t = e.publish(b"x");
        assert!(e.published(t).epoch > before);
    }
}

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

mod storage {
    use super::*;

    #[test]
    fn nothing_is_signed_before_the_epoch_is_stored() {
        let mut d = Driven::unloaded(Default::default());
        d.auto_store = false;
        d.run();
        d.command(Command::Subscribe { topic: news() });
        let friend = Fake::new(1);
        d.neighbor(&friend);
        let t = d.publish(b"early");
        d.pass_ms(5_000);
        assert_eq!(d.reply(t), None);
        assert!(d.batches_to(&friend.id).is_empty() && d.delivered().is_empty());
        d.write();
        assert_eq!(d.published(t).neighbors, 1);
        assert_eq!(d.batches_to(&friend.id).len(), 1);
    }

    #[test]
    fn frames_and_commands_wait_until_it_was_read() {
        let mut d = Driven::unloaded(Default::default());
        let subscribe = d.hand_in_command(Command::Subscribe { topic: news() });
        let friend = Fake::new(1);
        let up = Input::LinkUp { peer: friend.id, addr: None, outbound: false, rtt: None };
        d.hand_in(up).unwrap();
        assert!(d.node.topics().is_empty(), "the command was not held back");
        d.run();
        assert_eq!(d.reply(subscribe), Some(&Reply::Done));
        assert!(d.node.links().is_up(&friend.id));
    }

    #[test]
    fn a_delivery_waits_until_it_is_written() {
        let mut d = Driven::on_topic();
        let friend = Fake::new(1);
        d.neighbor(&friend);
        d.auto_store = false;
        d.bring(&friend, &Fake::new(9).batch(1, b"x"));
        d.pass_ms(5_000);
        assert!(d.delivered().is_empty(), "delivered before it was stored");
        d.write();
        assert_eq!(d.payloads(), [&b"x"[..]]);
    }

    #[test]
    fn what_cannot_be_written_is_reported_and_delivered_all_the_same() {
        let mut d = Driven::on_topic();
        let friend = Fake::new(1);
        d.neighbor(&friend);
        d.store_result = Err(StoreError("disk full".into()));
        d.bring(&friend, &Fake::new(9).batch(1, b"x"));
        assert_eq!(d.payloads(), [&b"x"[..]]);
        let reported =
            d.did.iter().any(|x| matches!(x, Did::Event(Event::StorageFailed { error }) if error.0 == "disk full"));
        assert!(reported);
        assert_eq!(d.counters().storage_failures, 1);
    }

    #[test]
    fn an_epoch_that_cannot_be_written_is_reported_and_used_all_the_same() {
        let mut d = Driven::unloaded(Default::default());
        d.store_result = Err(StoreError("read-only".into()));
        d.run();
        let t = d.publish(b"x");
        assert_eq!(d.published(t).seq, 1);
        assert!(d.counters().storage_failures >= 1);
    }

    #[test]
    fn that_cannot_be_read_is_reported_and_the_node_begins_afresh() {
        let mut d = Driven::unloaded(Default::default());
        while let Some(o) = d.node.poll() {
            if let Output::Load { ticket, .. } = o {
                let result = Err(StoreError("no such directory".into()));
                d.node.handle(d.now, Input::Loaded { ticket, result }).unwrap();
            } else if let Output::Store { ticket, .. } = o {
                d.node.handle(d.now, Input::Stored { ticket, result: Ok(()) }).unwrap();
            }
        }
        assert_eq!(d.counters().storage_failures, 2, "one for each layer that asked");
        let t = d.publish(b"x");
        assert_eq!(d.published(t).seq, 1);
    }

    #[test]
    fn what_was_delivered_before_a_restart_is_not_delivered_again() {
        let mut d = Driven::on_topic();
        let (friend, author) = (Fake::new(1), Fake::new(9));
        d.neighbor(&friend);
        d.bring(&friend, &author.batch(1, b"one"));
        assert_eq!(d.payloads().len(), 1);
        let mut d = d.restart(Span::from_secs(5));
        d.command(Command::Subscribe { topic: news() });
        d.neighbor(&friend);
        d.bring(&friend, &author.batch(1, b"one"));
        assert!(d.delivered().is_empty());
        assert_eq!(d.counters().batches_duplicate, 1);
        d.bring(&friend, &author.batch(2, b"two"));
        assert_eq!(d.payloads(), [&b"two"[..]]);
    }

    #[test]
    fn damaged_records_are_deleted_and_do_no_harm() {
        let mut d = Driven::unloaded(Default::default());
        let seen = |n: u8| Bytes::from([b"seen/".as_slice(), &[n; 64]].concat());
        d.disk.insert(seen(1), Bytes::from_static(b"garbage"));
        d.disk.insert(seen(2), Bytes::new());
        d.disk.insert(Bytes::from_static(b"seen/short"), Bytes::from_static(b"x"));
        d.disk.insert(Bytes::from_static(b"epoch"), Bytes::from_static(b"short"));
        d.disk.insert([b"pub/".as_slice(), &[3; 32]].concat().into(), Bytes::from_static(b"\xff"));
        d.disk.insert(Bytes::from_static(b"unknown"), Bytes::from_static(b"x"));
        d.run();
        assert!(!d.disk.contains_key(&seen(1)) && !d.disk.contains_key(&seen(2)));
        assert!(d.disk.contains_key(&b"unknown"[..]), "what a newer version wrote is left alone");
        let t = d.publish(b"x");
        assert_eq!(d.published(t).seq, 1);
    }

    #[test]
    fn forgets_an_author_long_not_heard() {
        let mut d = Driven::on_topic();
        let friend = Fake::new(1);
        d.neighbor(&friend);
        d.bring(&friend, &Fake::new(9).batch(1, b"one"));
        let seen = |d: &Driven| d.disk.keys().filter(|k| k.starts_with(b"seen/")).count();
        assert_eq!(seen(&d), 1);
        let d = d.restart(Span::from_secs(3600 + 19 * 60));
        assert_eq!(seen(&d), 1, "its old batches would still be taken");
        let d = d.restart(Span::from_secs(2 * 60));
        assert_eq!(seen(&d), 0);
    }
}

mod slow_neighbours {
    use super::*;

    #[test]
    fn slow_a_publisher_down_rather_than_lose_its_messages() {
        let mut d = Driven::on_topic();
        let friend = Fake::new(1);
        d.neighbor(&friend);
        d.publish(b"first");
        d.pass_ms(1_000);
        d.auto_credit = false;
        let tickets: Vec<Ticket> = (0..300).map(|_| d.command(publish(vec![3; MAX_MESSAGE]))).collect();
        d.pass_ms(1_000);
        let sent = d.batches_to(&friend.id).iter().map(|b| b.bytes().len()).sum::<usize>();
        assert!(sent <= Lane::Data.budget(), "{sent} bytes wait on the lane");
        let (mut waits, mut refusals) = (0, 0);
        for t in &tickets {
            match d.reply(*t) {
                None => waits += 1,
                Some(Reply::Refused(CommandError::QueueFull { .. })) => refusals += 1,
                Some(Reply::Published(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(waits > 0 && refusals > 0);
        // The lane drains: everything accepted is sent, in order.
        d.auto_credit = true;
        d.input(Input::SendCredit { peer: friend.id, lane: Lane::Data, bytes: Lane::Data.budget() }).unwrap();
        d.pass_ms(1_000);
        let seqs: Vec<u64> = d.batches_to(&friend.id).iter().map(|b| b.header().first_seq).collect();
        assert!(seqs.is_sorted());
        let messages: u64 = d.batches_to(&friend.id).iter().map(|b| b.header().count()).sum();
        assert_eq!(messages, 1 + 300 - refusals);
    }

    #[test]
    fn are_announced_to_when_others_can_take_more() {
        let mut d = Driven::on_topic();
        let (fast, slow) = (Fake::new(1), Fake::new(2));
        d.neighbor(&fast);
        d.neighbor(&slow);
        d.publish(b"first");
        d.pass_ms(1_000);
        d.auto_credit = false;
        for _ in 0..200 {
            d.command(publish(vec![3; MAX_MESSAGE]));
            d.input(Input::SendCredit { peer: fast.id, lane: Lane::Data, bytes: Lane::Data.budget() }).unwrap();
            d.pass_ms(5);
        }
        d.pass_ms(1_000);
        let to = |id| d.batches_to(id).iter().map(|b| b.header().count()).sum::<u64>();
        assert_eq!(to(&fast.id), 201);
        assert!(to(&slow.id) < 201);
        assert!(d.counters().batches_shed > 0);
        assert!(d.sent_to(&slow.id).iter().any(|m| matches!(m, Message::IHave(_))));
    }
}
