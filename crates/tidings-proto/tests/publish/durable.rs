//! What is published as durable, and topics that are kept.

use tidings_proto::log::LogError;
use tidings_proto::pubsub::Batch;

use super::*;

fn full() -> Result<(), LogError> {
    Err(LogError::Failed("disk full".into()))
}

fn doubtful() -> Result<(), LogError> {
    Err(LogError::Doubtful("the disk gave up".into()))
}

/// A node with a neighbour, its log answering only when told to.
fn storing() -> (Driven, Fake) {
    let mut d = Driven::on_topic();
    let friend = Fake::new(1);
    d.neighbor(&friend);
    d.auto_append = false;
    (d, friend)
}

fn durable(d: &mut Driven, payload: &[u8]) -> Ticket {
    d.command(Command::PublishDurable { topic: news(), message: out(payload) })
}

fn logged(d: &Driven) -> usize {
    d.log.iter().map(|(_, r)| r.messages as usize).sum()
}

#[test]
fn neither_answered_nor_sent_before_it_is_stored() {
    let (mut d, friend) = storing();
    let t = durable(&mut d, b"x");
    d.pass_ms(5_000);
    assert_eq!(d.reply(t), None);
    assert!(d.batches_to(&friend.id).is_empty());
    assert!(d.appends[0].sync, "not forced to the medium");
    d.append();
    assert_eq!(d.published(t).neighbors, 1);
    assert_eq!(d.batches_to(&friend.id).len(), 1);
    assert_eq!(&d.log[0].1.bytes, d.batches_to(&friend.id)[0].bytes());
}

#[test]
fn all_that_waited_is_stored_together() {
    let (mut d, _friend) = storing();
    let first = durable(&mut d, b"first");
    let rest: Vec<Ticket> = (0..40).map(|_| durable(&mut d, &[7; 4096])).collect();
    assert_eq!(d.appends.len(), 1, "one round at a time");
    d.append();
    d.published(first);
    d.pass_ms(500);
    let messages: u32 = d.appends[0].records.iter().map(|r| r.messages).sum();
    assert_eq!((d.appends.len(), messages), (1, 40));
    assert!(d.appends[0].records.len() > 1, "it should take several batches");
    d.append();
    let seqs: Vec<u64> = rest.iter().map(|t| d.published(*t).seq).collect();
    assert_eq!(seqs, (2..=41).collect::<Vec<_>>());
}

#[test]
fn what_is_published_behind_it_waits_for_it() {
    let (mut d, friend) = storing();
    let first = durable(&mut d, b"first");
    let second = d.publish(b"second");
    d.pass_ms(5_000);
    assert!(d.batches_to(&friend.id).is_empty());
    d.append();
    d.pass_ms(500);
    assert_eq!((d.published(first).seq, d.published(second).seq), (1, 2));
    assert_eq!(logged(&d), 1, "only what was asked to be is stored");
}

#[test]
fn what_cannot_be_stored_is_refused_and_never_sent() {
    let (mut d, friend) = storing();
    d.log_result = full();
    let t = durable(&mut d, b"x");
    d.append();
    let why = refused(&d, t).to_string();
    assert_eq!(why, "not stored: disk full; nothing already stored is lost");
    d.pass_ms(5_000);
    assert!(d.batches_to(&friend.id).is_empty() && d.delivered().is_empty());
}

#[test]
fn after_a_failure_the_next_one_leaves_no_gap() {
    for failure in [full(), doubtful()] {
        let (mut d, friend) = storing();
        let before = durable(&mut d, b"before");
        d.append();
        d.pass_ms(500);
        d.log_result = failure.clone();
        let t = durable(&mut d, b"lost");
        d.append();
        refused(&d, t);
        d.log_result = Ok(());
        let after = durable(&mut d, b"after");
        d.append();
        d.pass_ms(100);
        let (before, after) = (d.published(before), d.published(after));
        let batch = d.batches_to(&friend.id).pop().unwrap();
        let h = batch.header();
        match failure {
            Err(LogError::Failed(_)) => assert_eq!((after.epoch, after.seq), (before.epoch, 2)),
            // What may be found later has its numbers to itself.
            _ => {
                assert!(after.epoch > before.epoch);
                assert_eq!((h.first_seq, h.previous), (1, Some(at(before.epoch, 1))));
            }
        }
    }
}

#[test]
fn without_a_log_it_is_refused_and_says_what_to_do() {
    let (mut d, _friend) = storing();
    d.log_result = Err(LogError::Absent);
    let t = durable(&mut d, b"x");
    d.append();
    assert!(refused(&d, t).to_string().contains("give it a data directory"));
    let t = d.publish(b"y");
    d.published(t);
}

#[test]
fn it_counts_against_what_may_wait() {
    let (mut d, _friend) = storing();
    let message = || Outgoing { payload: vec![0; MAX_MESSAGE].into(), ..Outgoing::default() };
    for _ in 0..200 {
        d.command(Command::PublishDurable { topic: news(), message: message() });
    }
    // The first was alone; now the others are under way, and these come on top.
    d.append();
    d.pass_ms(500);
    let under_way: usize = d.appends.iter().flat_map(|a| &a.records).map(|r| r.bytes.len()).sum();
    let more: Vec<Ticket> =
        (0..200).map(|_| d.command(Command::PublishDurable { topic: news(), message: message() })).collect();
    let taken = more.iter().filter(|t| d.reply(**t).is_none()).count() * MAX_MESSAGE;
    assert!(under_way > MAX_WAITING_BYTES / 2 && taken < 200 * MAX_MESSAGE);
    assert!(under_way + taken <= MAX_WAITING_BYTES + 2 * MAX_MESSAGE, "{under_way} under way, {taken} taken besides");
}

#[test]
fn of_what_waits_together_only_the_durable_is_stored_and_refused() {
    let (mut d, friend) = storing();
    d.log_result = full();
    let stored = d.hand_in_command(Command::PublishDurable { topic: news(), message: out(b"durable") });
    let sent = d.hand_in_command(publish(b"ordinary".to_vec()));
    d.run();
    assert_eq!(d.appends[0].records[0].messages, 1);
    d.append();
    d.pass_ms(500);
    refused(&d, stored);
    assert_eq!(d.published(sent).seq, 1);
    assert_eq!(d.batches_to(&friend.id).len(), 1);
}

#[test]
fn a_kept_topic_is_appended_whole_and_nothing_waits_for_it() {
    let (mut d, friend) = storing();
    let keep = d.command(Command::KeepLog { topic: news(), keep: true });
    assert_eq!(d.reply(keep), None, "answered before the log was asked");
    d.append();
    assert_eq!(d.reply(keep), Some(&Reply::Done));
    let own = d.publish(b"mine");
    d.published(own);
    d.bring(&friend, &Fake::new(9).batch(1, b"theirs"));
    assert_eq!(d.payloads().len(), 2);
    assert!(d.appends.iter().all(|a| !a.sync));
    d.append();
    assert_eq!(logged(&d), 2);
    d.command(Command::KeepLog { topic: news(), keep: false });
    d.bring(&friend, &Fake::new(9).batch(2, b"later"));
    d.append();
    assert_eq!(logged(&d), 2, "kept on after the end");
}

#[test]
fn a_topic_that_cannot_be_kept_is_refused_and_flows_on() {
    let (mut d, friend) = storing();
    d.log_result = Err(LogError::Unusable("news.log is damaged".into()));
    let keep = d.command(Command::KeepLog { topic: news(), keep: true });
    d.append();
    assert!(refused(&d, keep).to_string().contains("news.log is damaged"));
    d.bring(&friend, &Fake::new(9).batch(1, b"theirs"));
    assert!(d.appends.is_empty());
    assert_eq!(d.payloads().len(), 1);
}

#[test]
fn a_log_that_fails_is_reported_once_until_it_works_again() {
    let (mut d, friend) = storing();
    d.auto_append = true;
    d.command(Command::KeepLog { topic: news(), keep: true });
    let reports = |d: &Driven| d.did.iter().filter(|x| matches!(x, Did::Event(Event::StorageFailed { .. }))).count();
    let author = Fake::new(9);
    d.log_result = full();
    d.bring(&friend, &author.batch(1, b"x"));
    d.bring(&friend, &author.batch(2, b"x"));
    assert_eq!((reports(&d), d.counters().log_failures), (1, 2));
    d.log_result = Ok(());
    d.bring(&friend, &author.batch(3, b"x"));
    d.log_result = full();
    d.bring(&friend, &author.batch(4, b"x"));
    assert_eq!((reports(&d), d.payloads().len()), (2, 4));
}

/// A node that kept two messages of its own and two of another's, started again.
fn restarted() -> (Driven, Fake, Fake) {
    let (mut d, friend) = storing();
    let author = Fake::new(9);
    d.auto_append = true;
    d.command(Command::KeepLog { topic: news(), keep: true });
    durable(&mut d, b"one");
    d.pass_ms(500);
    d.publish(b"two");
    d.bring(&friend, &author.batch(1, b"three"));
    d.bring(&friend, &author.batch(2, b"four"));
    (d.restart(Span::from_secs(5)), friend, author)
}

#[test]
fn the_memory_is_filled_again_after_a_restart() {
    let (mut d, friend, author) = restarted();
    d.command(Command::Subscribe { topic: news() });
    assert_eq!(d.counters().batches_restored, 4);
    assert!(d.delivered().is_empty(), "delivered again");
    d.neighbor(&friend);
    let range = Range { author: author.id, epoch: 1, from: 1, to: 2 };
    d.say(&friend, Fetch { topic: news(), ranges: vec![range] });
    assert_eq!(d.batches_to(&friend.id).len(), 2, "a neighbour does not get what was kept");
}

#[test]
fn what_is_too_old_for_the_memory_stays_where_it_is() {
    let (d, _, _) = restarted();
    let mut d = d.restart(Span::from_secs(301));
    d.command(Command::Subscribe { topic: news() });
    assert_eq!(d.counters().batches_restored, 0);
}

#[test]
fn what_was_not_delivered_or_is_forged_is_not_put_back() {
    let (mut d, friend, author) = restarted();
    let stranger = Fake::new(8).batch(1, b"never seen");
    let other_network = tidings_proto::identity::Network::from_name("another").unwrap();
    let foreign = author.seal_in(&other_network, author.header(1, &[b"three"]), &[b"three"]);
    for batch in [stranger, foreign] {
        let mut bytes = d.log[0].1.clone();
        bytes.bytes = batch.bytes().clone();
        d.log.insert(0, (news(), bytes));
    }
    let mut garbage = d.log[0].1.clone();
    garbage.bytes = Bytes::from_static(b"garbage");
    d.log.push((news(), garbage));
    d.command(Command::Subscribe { topic: news() });
    assert_eq!((d.counters().batches_restored, d.counters().batches_forged), (4, 1));
    d.neighbor(&friend);
    d.bring(&friend, &Fake::new(8).batch(1, b"never seen"));
    assert_eq!(d.payloads(), [&b"never seen"[..]]);
}

#[test]
fn what_was_answered_is_named_as_what_came_before() {
    let (mut d, friend) = storing();
    let t = durable(&mut d, b"x");
    d.append();
    let before = d.published(t);
    let mut d = d.restart(Span::from_secs(1));
    d.command(Command::Subscribe { topic: news() });
    d.neighbor(&friend);
    d.publish(b"y");
    let batch = d.batches_to(&friend.id).pop().unwrap();
    assert_eq!(batch.header().previous, Some(at(before.epoch, before.seq)));
}

#[test]
fn a_topic_left_meanwhile_still_sends_it() {
    let (mut d, friend) = storing();
    let t = durable(&mut d, b"x");
    d.command(Command::Unsubscribe { topic: news() });
    d.append();
    d.published(t);
    assert_eq!(d.batches_to(&friend.id).len(), 1);
    d.pass(Span::from_secs(400));
    assert!(d.node.topics().is_empty(), "and is left then");
}

#[test]
fn a_topic_left_before_it_is_stored_refuses_it_and_does_not_use_its_numbers_again() {
    let (mut d, friend) = storing();
    let t = durable(&mut d, b"x");
    d.command(Command::Unsubscribe { topic: news() });
    d.pass(Span::from_secs(400));
    assert_eq!(refused(&d, t), &CommandError::TopicLeft);
    let epoch = Batch::peek(&d.appends[0].records[0].bytes).unwrap().header.epoch;
    d.command(Command::Subscribe { topic: news() });
    d.neighbor(&friend);
    let t = d.publish(b"y");
    assert!(d.published(t).epoch > epoch);
}

#[test]
fn a_node_alone_goes_on_storing() {
    let mut d = Driven::on_topic();
    let message = || Outgoing { payload: vec![0; MAX_MESSAGE].into(), ..Outgoing::default() };
    for _ in 0..2 * MAX_WAITING_BYTES / MAX_MESSAGE {
        let t = d.command(Command::PublishDurable { topic: news(), message: message() });
        d.published(t);
    }
    let friend = Fake::new(1);
    d.neighbor(&friend);
    let sent: usize = d.batches_to(&friend.id).iter().map(|b| b.bytes().len()).sum();
    assert!((MAX_WAITING_BYTES / 4..MAX_WAITING_BYTES).contains(&sent), "{sent} bytes sent to the first neighbour");
}
