//! History that memory no longer holds is read from the durable log.

use tidings_proto::log::LogError;
use tidings_proto::pubsub::HistoryQuery;
use tidings_proto::time::UnixMillis;

use super::*;

/// A node that kept three messages longer than memory does, and then two more.
fn kept() -> Driven {
    let mut d = Driven::on_topic();
    d.command(Command::KeepLog { topic: news(), keep: true });
    for n in 1..=3u8 {
        d.publish(&[n]);
        d.pass(Span::from_secs(10));
    }
    d.pass(Span::from_secs(301));
    for n in 4..=5u8 {
        d.publish(&[n]);
        d.pass(Span::from_secs(10));
    }
    d
}

/// The first numbers of what the history holds, when the neighbours are waited for no longer.
fn history(d: &mut Driven, since: Option<UnixMillis>, last: Option<usize>) -> Vec<u64> {
    let ticket = d.command(Command::History { topic: news(), query: HistoryQuery { since, last } });
    d.pass(Span::from_secs(3));
    let Some(Reply::History(all)) = d.reply(ticket) else { panic!("no history") };
    all.iter().map(|x| x.batch().header().first_seq).collect()
}

#[test]
fn all_of_it_comes_once_and_in_order() {
    let mut d = kept();
    assert_eq!(history(&mut d, None, None), [1, 2, 3, 4, 5]);
}

#[test]
fn since_and_last_are_obeyed_across_both() {
    let mut d = kept();
    let since = Some(UnixMillis(d.now.wall.0 - 345_000));
    assert_eq!(history(&mut d, since, None), [2, 3, 4, 5]);
    assert_eq!(history(&mut d, None, Some(3)), [3, 4, 5]);
    assert_eq!(history(&mut d, since, Some(1)), [5]);
}

#[test]
fn questions_at_once_are_all_answered() {
    let mut d = kept();
    let ask = |last| Command::History { topic: news(), query: HistoryQuery { since: None, last } };
    let tickets = [None, Some(4), Some(2)].map(|last| (d.command(ask(last)), last.unwrap_or(5)));
    d.pass(Span::from_secs(3));
    for (ticket, count) in tickets {
        let Some(Reply::History(all)) = d.reply(ticket) else { panic!("no history") };
        assert_eq!(all.len(), count);
    }
}

#[test]
fn a_log_that_cannot_be_read_says_so_and_memory_answers() {
    let mut d = kept();
    d.log_result = Err(LogError::Failed("cannot read".into()));
    assert_eq!(history(&mut d, None, None), [4, 5]);
    assert_eq!(d.counters().log_failures, 1);
}

#[test]
fn what_was_never_delivered_is_left_out() {
    let mut d = kept();
    let mut stranger = d.log[0].1.clone();
    stranger.bytes = Fake::new(8).batch(1, b"never seen").bytes().clone();
    d.log.push((news(), stranger));
    assert_eq!(history(&mut d, None, None), [1, 2, 3, 4, 5]);
}
