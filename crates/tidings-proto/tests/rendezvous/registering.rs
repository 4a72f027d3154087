//! Leaving word with holders.

use super::*;
use tidings_proto::discovery::rendezvous::RENEW;

fn own_agent() -> AgentId {
    Somebody::new(200, AGENT).agent
}

fn registering(nodes: u8) -> Driven {
    let mut d = agent_among(nodes);
    let ticket = d.command(Command::Register { on: true });
    assert_eq!(d.reply(ticket), Some(&Reply::Done));
    d
}

/// Every holder that is asked says that it keeps it.
fn kept(d: &mut Driven) {
    for (to, m, _) in registrations(d) {
        if !d.node.links().is_up(&to) {
            answer_dial(d, to);
        }
        d.say(&peer(to), Registered { id: m.id, outcome: 0, members: vec![], crowd: 0 });
    }
}

fn to(d: &Driven) -> Vec<NodeId> {
    let mut to: Vec<NodeId> = registrations(d).into_iter().map(|(to, ..)| to).collect();
    to.sort_unstable();
    to.dedup();
    to
}

fn sorted(mut ids: Vec<NodeId>) -> Vec<NodeId> {
    ids.sort_unstable();
    ids
}

#[test]
fn word_is_left_with_the_eight_holders_with_the_dial() {
    let d = registering(40);
    let eight = sorted(holders(&d, &own_agent().0, 8));
    assert_eq!((to(&d), sorted(dialed(&d))), (eight.clone(), eight));
}

#[test]
fn it_is_signed_and_says_where_the_node_is() {
    let d = registering(40);
    let (_, m, payload) = registrations(&d).remove(0);
    let w = Whereabouts::parse(m.statement.into()).unwrap();
    assert_eq!(w.check(d.now.wall, &WhereaboutsKey::new(&network()), &port(1)), Ok(()));
    assert_eq!((w.agent(), w.node(), &w.peer_addr().addrs), (Some(own_agent()), d.id(), &vec![addr(200)]));
    assert_eq!(payload, 0, "the certificate goes to who lacks it");
}

#[test]
fn another_certificate_is_left_at_once() {
    let mut d = registering(40);
    let names = |d: &Driven| {
        let (_, m, _) = registrations(d).pop().unwrap();
        Whereabouts::parse(m.statement.into()).unwrap().certificate()
    };
    let before = names(&d);
    kept(&mut d);
    d.did.clear();
    d.pass_ms(1_000);
    d.command(Command::RenewCertificate);
    d.pass_ms(100);
    assert_ne!(names(&d), before);
}

#[test]
fn the_certificate_goes_to_who_lacks_it_and_once() {
    let mut d = registering(40);
    let (holder, m, _) = registrations(&d).remove(0);
    answer_dial(&mut d, holder);
    d.did.clear();
    d.say(&peer(holder), Registered { id: m.id, outcome: 1, members: vec![], crowd: 0 });
    let (_, again, payload) = registrations(&d).remove(0);
    assert!(payload > 5_000);
    d.did.clear();
    d.say(&peer(holder), Registered { id: again.id, outcome: 1, members: vec![], crowd: 0 });
    assert!(!registrations(&d).iter().any(|(to, ..)| *to == holder), "it asks for ever");
}

#[test]
fn the_next_steps_in_for_one_that_cannot_be_reached() {
    let mut d = registering(40);
    let near = holders(&d, &own_agent().0, 16);
    d.did.clear();
    fail_dial(&mut d, near[3]);
    assert_eq!(to(&d), [near[8]]);
}

#[test]
fn the_next_steps_in_for_one_that_refuses() {
    for outcome in [2, 3, 4, 200] {
        let mut d = registering(40);
        let near = holders(&d, &own_agent().0, 16);
        let (holder, m, _) = registrations(&d).remove(0);
        answer_dial(&mut d, holder);
        d.did.clear();
        d.say(&peer(holder), Registered { id: m.id, outcome, members: vec![], crowd: 0 });
        assert_eq!(to(&d), [near[8]], "outcome {outcome}");
    }
}

#[test]
fn who_is_silent_is_as_one_that_cannot_be_reached() {
    let mut d = registering(40);
    let near = holders(&d, &own_agent().0, 16);
    answer_dial(&mut d, near[0]);
    d.did.clear();
    d.pass_ms(3_100);
    assert!(to(&d).contains(&near[8]));
}

#[test]
fn it_is_renewed_before_it_is_stale() {
    let mut d = registering(40);
    kept(&mut d);
    d.did.clear();
    d.pass(Span(RENEW.0 - RENEW.0 / 8 - 1_000_000));
    assert_eq!(to(&d), []);
    for _ in 0..RENEW.as_millis() / 4_000 {
        d.pass_ms(1_000);
        if !to(&d).is_empty() {
            return assert_eq!(to(&d), sorted(holders(&d, &own_agent().0, 8)));
        }
    }
    panic!("not renewed");
}

#[test]
fn links_are_given_back_when_it_is_left() {
    let mut d = registering(40);
    kept(&mut d);
    d.pass_ms(6_000);
    let released = |m: &&Message| matches!(m, Message::Release(_));
    for h in holders(&d, &own_agent().0, 8) {
        assert_eq!(d.sent_to(&h).into_iter().filter(released).count(), 1);
    }
}

#[test]
fn a_new_holder_is_told_at_once() {
    let mut d = registering(30);
    kept(&mut d);
    let before = holders(&d, &own_agent().0, 8);
    d.did.clear();
    let mut new = Vec::new();
    for n in 40..120 {
        learn(&mut d, &friend(), &advert(n));
        new = holders(&d, &own_agent().0, 8).into_iter().filter(|h| !before.contains(h)).collect();
        if !new.is_empty() {
            break;
        }
    }
    assert_eq!(new.len(), 1);
    d.pass_ms(1_100);
    assert_eq!(to(&d), new);
}

#[test]
fn who_was_a_holder_is_told_what_is_new_for_a_minute() {
    for (after, told) in [(30_000, true), (90_000, false)] {
        let mut d = registering(30);
        kept(&mut d);
        let before = holders(&d, &own_agent().0, 8);
        for n in 40..120 {
            learn(&mut d, &friend(), &advert(n));
        }
        let now = holders(&d, &own_agent().0, 16);
        let former: Vec<NodeId> = before.into_iter().filter(|b| !now[..8].contains(b)).collect();
        assert!(!former.is_empty());
        d.pass_ms(1_100);
        kept(&mut d);
        d.pass_ms(after);
        d.did.clear();
        d.command(Command::SetAddrs { addrs: vec![addr(123)] });
        assert_eq!(former.iter().all(|f| to(&d).contains(f)), told, "after {after} ms");
    }
}

#[test]
fn new_addresses_are_told_at_once() {
    let mut d = registering(40);
    kept(&mut d);
    d.did.clear();
    d.command(Command::SetAddrs { addrs: vec![addr(123)] });
    let (_, m, _) = registrations(&d).remove(0);
    assert_eq!(Whereabouts::parse(m.statement.into()).unwrap().peer_addr().addrs, [addr(123)]);
    assert_eq!(to(&d).len(), 8);
}

#[test]
fn it_is_taken_back_where_it_was_left() {
    let mut d = registering(40);
    kept(&mut d);
    d.did.clear();
    d.command(Command::Register { on: false });
    assert_eq!(to(&d), sorted(holders(&d, &own_agent().0, 8)));
    let gone = |m: &Register| Whereabouts::parse(m.statement.clone().into()).unwrap().is_withdrawn();
    assert!(registrations(&d).iter().all(|(_, m, _)| gone(m)));
    kept(&mut d);
    d.did.clear();
    d.pass(Span(RENEW.0 * 2));
    assert_eq!(to(&d), []);
}

#[test]
fn it_waits_for_an_index() {
    let mut d = registering(0);
    assert_eq!(to(&d), []);
    learn(&mut d, &friend(), &advert(10));
    d.pass_ms(1_100);
    assert_eq!(to(&d), [Fake::new(10).id]);
}

#[test]
fn an_answer_nobody_asked_for_changes_nothing() {
    let mut d = registering(40);
    let (holder, m, _) = registrations(&d).remove(0);
    answer_dial(&mut d, holder);
    let other = Fake::new(99);
    d.link(&other);
    d.did.clear();
    d.say(&other, Registered { id: m.id, outcome: 3, members: vec![], crowd: 0 });
    d.say(&peer(holder), Registered { id: m.id + 1, outcome: 3, members: vec![], crowd: 0 });
    assert_eq!(d.counters().answers_unexpected, 2);
    assert_eq!(to(&d), []);
}

#[test]
fn it_takes_an_agent() {
    let mut d = indexed(10);
    let ticket = d.command(Command::Register { on: true });
    assert_eq!(d.reply(ticket), Some(&Reply::Refused(CommandError::NoAgent)));
}
