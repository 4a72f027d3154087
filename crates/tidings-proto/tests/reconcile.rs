//! Making a log equal to the neighbours': when they are asked, what they are told, what is fetched, and what is not.

mod common;

use common::*;
use tidings_proto::anti_entropy::riblt::{Decoder, Key, decode};
use tidings_proto::anti_entropy::{Digest, Stream, StreamTag, Streams};
use tidings_proto::config::GossipConfig;
use tidings_proto::io::*;
use tidings_proto::pubsub::{Batch, BatchHeader, HistoryQuery};
use tidings_proto::time::{Span, UnixMillis};
use tidings_proto::wire::*;

fn set() -> SetTag {
    SetTag::new(&news())
}

/// A node on the topic for ten seconds, with one message of the author, and neighbours whose questions are over.
fn scene(neighbors: u8) -> (Driven, Vec<Fake>, Fake) {
    let mut d = Driven::on_topic();
    d.pass_ms(10_000);
    let friends: Vec<Fake> = (1..=neighbors).map(Fake::new).collect();
    friends.iter().for_each(|f| d.neighbor(f));
    let author = Fake::new(99);
    d.bring(&friends[0], &at_now(&d, &author, 1));
    d.pass_ms(3_000);
    d.did.clear();
    (d, friends, author)
}

/// A batch signed now.
fn at_now(d: &Driven, author: &Fake, seq: u64) -> Batch {
    let header = BatchHeader { wall_ms: d.now.wall.0, apart_ms: Some(100), ..author.header(seq, &[b"x"]) };
    author.seal(header, &[b"x"])
}

fn compares(d: &Driven, to: &Fake) -> Vec<Compare> {
    let of = |m: &&Message| match m {
        Message::Compare(c) if c.set == set() => Some(c.clone()),
        _ => None,
    };
    d.sent_to(&to.id).iter().filter_map(of).collect()
}

/// The node asks `friend` because the program wants it to.
fn asked(d: &mut Driven, friend: &Fake) -> (Ticket, Compare) {
    let ticket = d.command(Command::Reconcile { topic: news() });
    d.pass_ms(0);
    (ticket, compares(d, friend).last().expect("not asked").clone())
}

fn bundle(batches: &[&Batch], held_ms: u64) -> Frame {
    let each = |b: &&Batch| Bundled { len: b.bytes().len() as u32, hop: 2, held: held_ms * 10 };
    let payload: Vec<u8> = batches.iter().flat_map(|b| b.bytes().to_vec()).collect();
    Message::from(Bundle { batches: batches.iter().map(each).collect() }).frame_with(payload.into())
}

fn serve(d: &mut Driven, from: &Fake, session: u32, batches: &[&Batch], held_ms: u64) {
    d.frame(from, Lane::Bulk, bundle(batches, held_ms).to_bytes()).unwrap();
    let served = Served { set: set(), session, count: batches.len() as u64, more: false };
    d.frame(from, Lane::Bulk, Message::from(served).frame().to_bytes()).unwrap();
}

fn differs(d: &mut Driven, from: &Fake, c: &Compare, count: u64) {
    d.say(from, Differ { session: c.session, from: c.from, sum: 1, count, streams: 1 });
    d.pass_ms(0);
}

fn ranges_to(d: &Driven, to: &Fake) -> Vec<Ranges> {
    let of = |m: &&Message| if let Message::Ranges(r) = m { Some(r.clone()) } else { None };
    d.sent_to(&to.id).iter().filter_map(of).collect()
}

fn stats(d: &Driven, ticket: Ticket) -> Option<tidings_proto::pubsub::ReconciliationStats> {
    match d.reply(ticket) {
        Some(Reply::Reconciled(stats)) => Some(*stats),
        _ => None,
    }
}

#[test]
fn neighbours_that_hold_the_same_are_asked_and_nothing_more() {
    let (mut d, friends, _) = scene(2);
    let ticket = d.command(Command::Reconcile { topic: news() });
    d.pass_ms(0);
    for f in &friends {
        let c = compares(&d, f).pop().unwrap();
        assert_eq!(c.count, 1);
        d.say(f, Same { session: c.session });
    }
    d.pass_ms(10);
    let stats = stats(&d, ticket).expect("no answer");
    assert_eq!((stats.peers_contacted, stats.rounds, stats.messages_recovered), (2, 0, 0));
    assert!(friends.iter().all(|f| ranges_to(&d, f).is_empty()));
}

#[test]
fn what_a_neighbour_has_is_fetched_delivered_in_order_and_not_passed_on() {
    let (mut d, friends, author) = scene(2);
    let missing: Vec<Batch> = (2..=4).map(|n| at_now(&d, &author, n)).collect();
    let (ticket, c) = asked(&mut d, &friends[0]);
    d.say(&friends[1], Same { session: compares(&d, &friends[1])[0].session });
    differs(&mut d, &friends[0], &c, 4);
    let r = ranges_to(&d, &friends[0]).pop().expect("nothing said");
    assert!(r.streams.holds(&StreamTag::new(&author.id, 1), 1, 1));
    d.did.retain(|x| matches!(x, Did::Replied(..)));
    serve(&mut d, &friends[0], c.session, &missing.iter().collect::<Vec<_>>(), 50);
    assert_eq!(d.delivered().iter().map(|x| x.batch().header().first_seq).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(d.delivered().iter().all(|x| !x.late() && !x.is_history()));
    d.pass_ms(10);
    assert_eq!(d.batches_to(&friends[1].id).len(), 0, "whoever lacks it fetches it");
    assert_eq!(compares(&d, &friends[1]).len(), 0);
    d.pass_ms(2_500);
    assert_eq!(compares(&d, &friends[1]).first().map(|c| c.count), Some(4), "it may lack it as well");
    let c = compares(&d, &friends[1])[0].clone();
    d.say(&friends[1], Same { session: c.session });
    d.pass_ms(600);
    assert_eq!(stats(&d, ticket).map(|s| (s.messages_recovered, s.rounds)), Some((3, 1)));
}

#[test]
fn the_most_divergent_neighbour_comes_first_and_the_next_only_when_something_is_still_missing() {
    let (mut d, friends, author) = scene(3);
    let missing = at_now(&d, &author, 2);
    asked(&mut d, &friends[0]);
    let mut both = Digest::default();
    both.add(&missing.short_id());
    let held = compares(&d, &friends[0]).pop().unwrap();
    both = Digest { sum: both.sum.wrapping_add(held.sum), count: both.count + held.count };
    for (f, count) in friends.iter().zip([5, 9, both.count]) {
        let c = compares(&d, f).pop().unwrap();
        let sum = if count == both.count { both.sum } else { 1 };
        d.say(f, Differ { session: c.session, from: c.from, sum, count, streams: 1 });
    }
    d.pass_ms(0);
    let asks = |d: &Driven| friends.iter().map(|f| ranges_to(d, f).len()).collect::<Vec<_>>();
    assert_eq!(asks(&d), [0, 1, 0], "one at a time");
    let session = ranges_to(&d, &friends[1])[0].session;
    serve(&mut d, &friends[1], session, &[&missing], 50);
    d.pass_ms(0);
    assert_eq!(asks(&d), [1, 1, 0]);
    let session = ranges_to(&d, &friends[0])[0].session;
    serve(&mut d, &friends[0], session, &[], 50);
    d.pass_ms(0);
    assert_eq!(asks(&d), [1, 1, 0], "the third's is here by now");
}

#[test]
fn a_neighbour_that_sends_nothing_is_given_up_for_the_next() {
    let (mut d, friends, _) = scene(2);
    asked(&mut d, &friends[0]);
    for (f, count) in friends.iter().zip([9, 5]) {
        let c = compares(&d, f).pop().unwrap();
        differs(&mut d, f, &c, count);
    }
    assert_eq!(ranges_to(&d, &friends[1]).len(), 0);
    d.pass_ms(3_100);
    assert_eq!(ranges_to(&d, &friends[1]).len(), 1);
    assert!(d.counters().reconcile_failed > 0);
}

#[test]
fn who_compares_is_told_what_it_lacks_and_asked_for_what_we_lack() {
    let (mut d, friends, author) = scene(1);
    let from = d.now.wall.0 - 20_000;
    d.say(&friends[0], Compare { set: set(), session: 5, from, span: 60_000, sum: 9, count: 9, young: None });
    let sent = d.sent_to(&friends[0].id);
    let Some(Message::Differ(differ)) = sent.iter().find(|m| matches!(m, Message::Differ(_))) else { panic!() };
    assert_eq!((differ.session, differ.count, differ.streams), (5, 1, 1));
    assert!(differ.from > from, "we keep a shorter span");
    let mut streams = Streams::default();
    streams.add(StreamTag::new(&author.id, 1), 2, 3);
    d.pass_ms(50);
    d.say(&friends[0], Ranges { set: set(), session: 5, from, span: 60_000, streams });
    let sent: Vec<&Message> = d.sent_to(&friends[0].id);
    assert!(sent.iter().any(|m| matches!(m, Message::Pull(w) if w.ranges[0].from == 2 && w.ranges[0].to == 3)));
    assert!(sent.iter().any(|m| matches!(m, Message::Bundle(b) if b.batches.len() == 1)));
    assert!(sent.iter().any(|m| matches!(m, Message::Served(s) if s.count == 1 && s.session == 5)));
}

#[test]
fn coded_symbols_give_a_difference_away_and_what_they_name_is_served() {
    let (mut d, friends, _) = scene(1);
    let authors: Vec<Fake> = (100..160).map(Fake::new).collect();
    for a in &authors {
        d.bring(&friends[0], &at_now(&d, a, 1));
    }
    let from = d.now.wall.0 - 5_000;
    let ask = AskSymbols { set: set(), session: 6, from, first: 0, count: 200, as_of: None };
    d.pass_ms(100);
    d.say(&friends[0], ask);
    let (symbols, payload) = d
        .did
        .iter()
        .find_map(|x| match x {
            Did::Sent { message: Message::Symbols(s), payload, lane: Lane::Bulk, .. } => {
                Some((s.clone(), payload.clone()))
            }
            _ => None,
        })
        .expect("no symbols");
    assert_eq!(symbols.items, 61);
    let coded = decode(&payload, 0, symbols.items, 200).unwrap();
    let mut ours = Stream::new(symbols.key, []);
    let sketch = ours.sketch(200).clone();
    let found = Decoder::new(Key(symbols.key), 500).take(&coded, &sketch, |_| false).unwrap().expect("no difference");
    assert_eq!(found.theirs.len(), 61);
    let items = found.theirs[..7].to_vec();
    d.say(&friends[0], WantItems { set: set(), session: 6, key: symbols.key, items });
    assert_eq!(d.counters().batches_served, 7);
}

#[test]
fn what_was_published_before_we_came_is_history() {
    let (mut d, friends, author) = scene(1);
    let other = Fake::new(98);
    let old = |who: &Fake, seq| {
        let header = BatchHeader { wall_ms: WALL + 500, ..who.header(seq, &[b"x"]) };
        who.seal(header, &[b"x"])
    };
    let ticket = d.command(Command::History { topic: news(), query: HistoryQuery::default() });
    d.pass_ms(0);
    let c = compares(&d, &friends[0]).pop().expect("the neighbours are asked");
    assert!(c.from < WALL, "of what was before");
    differs(&mut d, &friends[0], &c, 9);
    let session = ranges_to(&d, &friends[0])[0].session;
    serve(&mut d, &friends[0], session, &[&old(&other, 7)], 60_000);
    assert_eq!(d.delivered().iter().map(|x| x.is_history()).collect::<Vec<_>>(), [true]);
    d.pass_ms(10);
    let Some(Reply::History(all)) = d.reply(ticket) else { panic!("no history") };
    assert_eq!(all.iter().map(|x| x.author()).collect::<Vec<_>>(), [other.id, author.id], "in the order of the clocks");
}

#[test]
fn history_is_told_without_neighbours_after_some_seconds_and_within_its_bounds() {
    let mut d = Driven::on_topic();
    for n in 0..5u8 {
        d.publish(&[n]);
        d.pass_ms(1_000);
    }
    let since = Some(UnixMillis(d.now.wall.0 - 2_500));
    let by_time = d.command(Command::History { topic: news(), query: HistoryQuery { since, last: None } });
    let by_count = d.command(Command::History { topic: news(), query: HistoryQuery { since: None, last: Some(3) } });
    assert_eq!(d.reply(by_time), None, "a neighbour may come");
    d.pass_ms(3_000);
    for (ticket, count) in [(by_time, 2), (by_count, 3)] {
        let Some(Reply::History(all)) = d.reply(ticket) else { panic!("no history") };
        assert_eq!(all.len(), count);
        assert!(all.iter().all(|x| x.own() && x.is_history()));
    }
}

#[test]
fn what_was_delivered_before_a_restart_comes_back_as_history_and_once() {
    let (d, friends, author) = scene(1);
    let old = {
        let header = BatchHeader { wall_ms: d.now.wall.0 - 3_000, apart_ms: Some(100), ..author.header(1, &[b"x"]) };
        author.seal(header, &[b"x"])
    };
    let mut d = d.restart(Span::from_secs(1));
    d.command(Command::Subscribe { topic: news() });
    d.command(Command::History { topic: news(), query: HistoryQuery::default() });
    d.neighbor(&friends[0]);
    for _ in 0..2 {
        d.frame(&friends[0], Lane::Bulk, bundle(&[&old], 60_000).to_bytes()).unwrap();
    }
    assert_eq!(d.delivered().iter().map(|x| x.is_history()).collect::<Vec<_>>(), [true]);
    assert_eq!(d.counters().batches_refilled, 1);
}

#[test]
fn numbers_that_are_being_fetched_are_not_asked_for_besides() {
    let (mut d, friends, author) = scene(1);
    let (_, c) = asked(&mut d, &friends[0]);
    differs(&mut d, &friends[0], &c, 5);
    d.bring(&friends[0], &at_now(&d, &author, 4));
    d.pass_ms(2_000);
    let fetches = |d: &Driven| d.sent_to(&friends[0].id).iter().filter(|m| matches!(m, Message::Fetch(_))).count();
    assert_eq!(fetches(&d), 0);
    d.pass_ms(2_500);
    assert!(fetches(&d) > 0, "nothing came of it");
}

#[test]
fn forged_and_cut_batches_are_counted_and_nothing_else() {
    let (mut d, friends, author) = scene(1);
    let good = at_now(&d, &author, 2);
    let mut forged = at_now(&d, &author, 3).bytes().to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let each = |len: usize| Bundled { len: len as u32, hop: 1, held: 0 };
    let payload = [good.bytes().as_ref(), &forged, b"rest"].concat();
    let batches = vec![each(good.bytes().len()), each(forged.len()), each(1_000)];
    let frame = Message::from(Bundle { batches }).frame_with(payload.into());
    d.frame(&friends[0], Lane::Bulk, frame.to_bytes()).unwrap();
    assert_eq!(d.delivered().len(), 1);
    assert_eq!((d.counters().batches_forged, d.counters().batches_malformed), (1, 1));
}

#[test]
fn a_neighbour_that_asks_without_end_is_answered_now_and_then() {
    let (mut d, friends, _) = scene(1);
    for session in 0..100 {
        d.say(&friends[0], Compare { set: set(), session, from: WALL, span: 60_000, sum: 9, count: 9, young: None });
    }
    assert_eq!(d.counters().reconcile_limited, 92, "eight at once");
    d.pass_ms(41);
    d.say(&friends[0], Compare { set: set(), session: 1, from: WALL, span: 60_000, sum: 9, count: 9, young: None });
    assert_eq!(d.counters().reconcile_limited, 92, "and one each 40 ms");
    let ask = AskSymbols { set: set(), session: 1, from: WALL, first: 1_000_000, count: 4_096, as_of: Some(1) };
    d.say(&friends[0], ask);
    assert_eq!(d.counters().reconcile_limited, 93, "far more than anybody needs");
}

#[test]
fn a_neighbour_that_claims_what_it_does_not_send_is_believed_again_only_later() {
    let (mut d, friends, author) = scene(1);
    let mut streams = Streams::default();
    streams.add(StreamTag::new(&author.id, 1), 2, 900);
    let pulls = |d: &Driven| d.sent_to(&friends[0].id).iter().filter(|m| matches!(m, Message::Pull(_))).count();
    for session in 1..=3 {
        d.say(&friends[0], Ranges { set: set(), session, from: WALL, span: 90_000, streams: streams.clone() });
        let served = Served { set: set(), session, count: 0, more: false };
        d.frame(&friends[0], Lane::Bulk, Message::from(served).frame().to_bytes()).unwrap();
        d.pass_ms(1_000);
    }
    assert_eq!(pulls(&d), 1);
    d.pass_ms(10_000);
    d.say(&friends[0], Ranges { set: set(), session: 4, from: WALL, span: 90_000, streams });
    assert_eq!(pulls(&d), 2);
}

#[test]
fn strangers_and_other_topics_are_not_answered() {
    let (mut d, _, _) = scene(1);
    let stranger = Fake::new(50);
    d.link(&stranger);
    let before = d.counters().frames_unexpected;
    d.say(&stranger, Compare { set: set(), session: 1, from: WALL, span: 60_000, sum: 9, count: 9, young: None });
    d.say(&stranger, Ranges { set: SetTag(1), session: 1, from: WALL, span: 1, streams: Streams::default() });
    d.say(&stranger, Same { session: 1 });
    assert_eq!(d.counters().frames_unexpected, before + 3);
    assert!(!d.sent_to(&stranger.id).iter().any(|m| matches!(m, Message::Same(_) | Message::Differ(_))));
}

#[test]
fn every_interval_one_end_of_each_link_asks() {
    let interval = std::time::Duration::from_secs(7);
    let mut d = Driven::with(GossipConfig { anti_entropy_interval: interval, ..GossipConfig::default() });
    d.command(Command::Subscribe { topic: news() });
    let (above, below): (Vec<Fake>, Vec<Fake>) = (1..199).map(Fake::new).partition(|f| d.id() < f.id);
    let friends: Vec<Fake> = above.into_iter().take(1).chain(below.into_iter().take(1)).collect();
    friends.iter().for_each(|f| d.neighbor(f));
    d.pass(Span::from_secs(70));
    for f in &friends {
        let asked = compares(&d, f).len();
        let expected = if d.id() < f.id { 9..=11 } else { 0..=0 };
        assert!(expected.contains(&asked), "{asked} times");
    }
    assert_eq!(friends.iter().filter(|f| d.id() < f.id).count(), 1);
}

#[test]
fn what_was_missed_while_the_process_was_down_is_fetched_and_delivered_in_order() {
    let (d, friends, author) = scene(1);
    let mut d = d.restart(Span::from_secs(20));
    d.command(Command::Subscribe { topic: news() });
    let missed: Vec<Batch> = (2..=3).map(|n| at_now(&d, &author, n)).collect();
    d.pass_ms(5_000);
    d.neighbor(&friends[0]);
    // The neighbour compares; we hold nothing and say so, from where we stopped on.
    let c = Compare { set: set(), session: 1, from: WALL, span: 90_000, sum: 9, count: 3, young: None };
    d.say(&friends[0], c);
    let sent = d.sent_to(&friends[0].id);
    let Some(Message::Differ(differ)) = sent.iter().find(|m| matches!(m, Message::Differ(_))) else { panic!() };
    assert!(differ.from <= WALL + 11_000, "from before the stop on: {}", differ.from - WALL);
    d.frame(&friends[0], Lane::Bulk, bundle(&[&missed[0], &missed[1]], 20_000).to_bytes()).unwrap();
    let got: Vec<(u64, bool, bool)> =
        d.delivered().iter().map(|x| (x.batch().header().first_seq, x.late(), x.is_history())).collect();
    assert_eq!(got, [(2, false, false), (3, false, false)]);
}

#[test]
fn the_content_of_a_large_message_is_asked_for_however_the_message_came() {
    use tidings_proto::large::Content;
    let (mut d, friends, author) = scene(1);
    let content = Content::of(vec![7u8; 40_000].into()).unwrap();
    let payload = content.manifest().encode();
    let header = BatchHeader {
        wall_ms: d.now.wall.0,
        apart_ms: Some(100),
        large: Some(vec![0]),
        ..author.header(2, &[&payload])
    };
    let batch = author.seal(header, &[&payload]);
    d.frame(&friends[0], Lane::Bulk, bundle(&[&batch], 50).to_bytes()).unwrap();
    d.pass_ms(10);
    let asked = d
        .sent_to(&friends[0].id)
        .iter()
        .any(|m| matches!(m, Message::Want(w) if w.asks[0].content == content.manifest().id()));
    assert!(asked);
}
