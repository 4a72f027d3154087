//! Comparing with a neighbour.

use super::*;
use tidings_proto::anti_entropy::riblt;

fn compares(d: &Driven, to: &Fake) -> Vec<Compare> {
    let of = |m: &&Message| match m {
        Message::Compare(c) if c.set == SetTag::RECORDS => Some(c.clone()),
        _ => None,
    };
    d.sent_to(&to.id).iter().filter_map(of).collect()
}

/// A neighbour that the node asks, being the end with the lower id, and the question.
fn asked_by(d: &mut Driven) -> (Fake, Compare) {
    let peer = (131..150).map(Fake::new).find(|p| p.id > d.id()).unwrap();
    d.link(&peer);
    d.befriend(&peer, Overlay::Root);
    d.pass_ms(500);
    let c = compares(d, &peer).pop().expect("not asked");
    (peer, c)
}

fn with_records(n: u8) -> Driven {
    let (mut d, peers) = among(1);
    for o in 0..n {
        push(&mut d, &peers[0], &plain(&Fake::new(100 + o), 1));
    }
    d.pass_ms(10_000);
    d
}

#[test]
fn a_new_neighbour_is_asked_at_once() {
    let mut d = with_records(9);
    let (_, c) = asked_by(&mut d);
    assert_eq!(c.count, 10, "nine, and this node's own");
}

#[test]
fn who_holds_the_same_is_told_so_and_who_does_not_how_much() {
    let mut d = with_records(9);
    let (peer, c) = asked_by(&mut d);
    d.say(&peer, Compare { session: 99, ..c.clone() });
    d.say(&peer, Compare { session: 101, sum: 1, ..c });
    let answers = d.sent_to(&peer.id);
    assert!(answers.iter().any(|m| matches!(m, Message::Same(s) if s.session == 99)));
    assert!(answers.iter().any(|m| matches!(m, Message::Differ(s) if s.session == 101 && s.count == 10)));
}

#[test]
fn what_is_on_its_way_is_no_difference() {
    let mut d = with_records(9);
    let (peer, before) = asked_by(&mut d);
    push(&mut d, &Fake::new(1), &plain(&Fake::new(150), 1));
    push(&mut d, &Fake::new(1), &plain(&Fake::new(151), 1));
    d.say(&peer, Compare { session: 99, ..before.clone() });
    assert!(d.sent_to(&peer.id).iter().any(|m| matches!(m, Message::Same(s) if s.session == 99)));
    d.pass_ms(4_000);
    d.say(&peer, Compare { session: 101, ..before });
    assert!(d.sent_to(&peer.id).iter().any(|m| matches!(m, Message::Differ(s) if s.session == 101)));
}

#[test]
fn what_is_on_its_way_here_is_no_difference_either() {
    let mut d = with_records(9);
    let (peer, before) = asked_by(&mut d);
    push(&mut d, &Fake::new(1), &plain(&Fake::new(150), 1));
    let coming = Change { sum: 77, count: 1 };
    let theirs = Compare { sum: before.sum.wrapping_add(77), count: before.count + 1, ..before };
    d.say(&peer, Compare { session: 99, young: Some(vec![coming]), ..theirs.clone() });
    d.say(&peer, Compare { session: 101, young: Some(vec![Change { sum: 78, count: 1 }]), ..theirs });
    let answers = d.sent_to(&peer.id);
    assert!(answers.iter().any(|m| matches!(m, Message::Same(s) if s.session == 99)));
    assert!(answers.iter().any(|m| matches!(m, Message::Differ(s) if s.session == 101)));
}

#[test]
fn who_asks_tells_what_has_just_changed_and_who_knows_it_does_not_count_it() {
    let mut d = with_records(9);
    let (peer, before) = asked_by(&mut d);
    let asked = compares(&d, &peer).len();
    while compares(&d, &peer).len() == asked {
        d.pass_ms(100);
    }
    let interval: u64 =
        tidings_proto::config::GossipConfig::default().anti_entropy_interval.as_millis().try_into().unwrap();
    d.pass_ms(interval - 500);
    push(&mut d, &Fake::new(1), &plain(&Fake::new(150), 1));
    d.pass_ms(600);
    let c = compares(&d, &peer).pop().unwrap();
    let young = c.young.clone().expect("nothing is told");
    assert_eq!(young, [Change { sum: c.sum.wrapping_sub(before.sum), count: 1 }]);
    // What this node has got since then is on its way to the other.
    push(&mut d, &Fake::new(1), &plain(&Fake::new(151), 1));
    d.say(&peer, Compare { session: 99, ..c });
    assert!(d.sent_to(&peer.id).iter().any(|m| matches!(m, Message::Same(s) if s.session == 99)));
}

#[test]
fn nothing_is_on_its_way_to_who_came_after_it() {
    let mut d = with_records(9);
    let (peer, before) = asked_by(&mut d);
    push(&mut d, &Fake::new(1), &plain(&Fake::new(150), 1));
    let newcomer = Fake::new(99);
    d.pass_ms(10);
    d.link(&newcomer);
    d.befriend(&newcomer, Overlay::Root);
    d.say(&newcomer, Compare { session: 98, ..before.clone() });
    d.say(&peer, Compare { session: 100, ..before });
    assert!(d.sent_to(&newcomer.id).iter().any(|m| matches!(m, Message::Differ(s) if s.session == 98)));
    assert!(d.sent_to(&peer.id).iter().any(|m| matches!(m, Message::Same(s) if s.session == 100)));
}

#[test]
fn who_has_nothing_is_sent_everything() {
    let mut d = with_records(30);
    let (peer, c) = asked_by(&mut d);
    let (from, span) = (c.from, c.span);
    d.say(&peer, Ranges { set: SetTag::RECORDS, session: 99, from, span, streams: Default::default() });
    assert_eq!(sent(&d, &peer).0, 31);
    assert!(d.sent_to(&peer.id).iter().any(|m| matches!(m, Message::Served(s) if s.count == 31 && s.session == 99)));
}

#[test]
fn who_has_nothing_asks_for_everything() {
    let (mut d, _) = among(1);
    let (peer, c) = asked_by(&mut d);
    d.say(&peer, Differ { session: c.session, from: 0, sum: 1, count: 500, streams: 0 });
    d.pass_ms(500);
    assert!(d.sent_to(&peer.id).iter().any(|m| matches!(m, Message::Ranges(r) if r.session == c.session)));
}

/// Whether other neighbours are asked when comparing with one has brought this.
fn asks_others_after(served: &Bytes) -> bool {
    let (mut d, others) = among(1);
    let owner = Fake::new(150);
    push(&mut d, &others[0], &plain(&owner, 5));
    let (peer, c) = asked_by(&mut d);
    d.say(&peer, Differ { session: c.session, from: 0, sum: 1, count: 500, streams: 0 });
    d.pass_ms(500);
    d.did.clear();
    d.frame(&peer, Lane::Bulk, frame(served, 0, None).to_bytes()).unwrap();
    let served = Served { set: SetTag::RECORDS, session: c.session, count: 1, more: false };
    d.frame(&peer, Lane::Bulk, Message::from(served).frame().to_bytes()).unwrap();
    d.pass_ms(1_000);
    !compares(&d, &others[0]).is_empty()
}

#[test]
fn news_that_comparing_brought_the_other_neighbours_may_lack_too() {
    assert!(asks_others_after(&plain(&Fake::new(151), 1)));
}

#[test]
fn what_could_not_be_taken_is_no_reason_to_compare_with_others() {
    assert!(!asks_others_after(&plain(&Fake::new(150), 4)));
}

#[test]
fn a_difference_is_found_by_symbols_and_only_it_is_sent() {
    let mut d = with_records(30);
    let (peer, _) = asked_by(&mut d);
    let ask = AskSymbols { set: SetTag::RECORDS, session: 99, from: 0, first: 0, count: 100, as_of: None };
    d.did.clear();
    d.say(&peer, ask);
    let (m, payload) = d
        .did
        .iter()
        .find_map(|x| match x {
            Did::Sent { message: Message::Symbols(m), payload, .. } => Some((m.clone(), payload.clone())),
            _ => None,
        })
        .expect("no symbols");
    let symbols = riblt::decode(&payload, 0, m.items, 4_096).unwrap();
    let mut decoder = riblt::Decoder::new(riblt::Key(m.key), 4_096);
    let none = riblt::Sketch::new(riblt::Key(m.key));
    let mut empty = none;
    empty.extend(128, []);
    let found = decoder.take(&symbols, &empty, |_| false).unwrap().expect("not decoded");
    assert_eq!(found.theirs.len(), 31);
    let items = found.theirs[..3].to_vec();
    d.say(&peer, WantItems { set: SetTag::RECORDS, session: 99, key: m.key, items });
    assert_eq!(sent(&d, &peer).0, 3);
}

#[test]
fn endless_symbols_end_the_session() {
    let mut d = with_records(30);
    let (peer, c) = asked_by(&mut d);
    d.say(&peer, Differ { session: c.session, from: 0, sum: 1, count: 40, streams: 0 });
    d.pass_ms(500);
    let mut first = 0;
    for round in 0..200u64 {
        let wanted = d.sent_to(&peer.id).into_iter().rev().find_map(|m| match m {
            Message::AskSymbols(a) if a.first == first => Some(a.count),
            _ => None,
        });
        let Some(count) = wanted else { break };
        // Symbols of ever other sets.
        let mut set = riblt::Sketch::new(riblt::Key(5));
        (0..40).for_each(|i| set.add(round * 1_000 + i));
        set.extend((first + count) as usize, (0..40).map(|i| round * 1_000 + i));
        let all = &set.symbols()[first as usize..(first + count) as usize];
        let payload = riblt::encode(all, first as usize, 40);
        let m = Symbols { set: SetTag::RECORDS, session: c.session, key: 5, items: 40, as_of: 1, first };
        d.frame(&peer, Lane::Bulk, Message::from(m).frame_with(payload.into()).to_bytes()).unwrap();
        first += count;
    }
    assert!(first < 10_000, "{first} symbols were taken");
    assert_eq!(d.counters().reconcile_undecoded, 1);
    assert!(d.counters().reconcile_failed >= 1);
}

#[test]
fn what_was_fetched_is_not_passed_on() {
    let (mut d, peers) = among(2);
    d.say(&peers[1], RecordsWanted { eager: true, ..RecordsWanted::default() });
    let owner = Fake::new(50);
    d.frame(&peers[0], Lane::Bulk, frame(&plain(&owner, 1), 0, None).to_bytes()).unwrap();
    assert_eq!((kept(&d, &owner), sent(&d, &peers[1]).0), (Some((1, 0)), 0));
}
