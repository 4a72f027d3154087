//! Topics without a bootstrap peer.

use super::*;

fn subscribed() -> Driven {
    let mut d = indexed(40);
    d.command(Command::Subscribe { topic: news() });
    d
}

fn of_topic(d: &Driven) -> Vec<(NodeId, Register)> {
    registrations(d).into_iter().map(|(to, m, _)| (to, m)).collect()
}

fn found(d: &mut Driven, members: &[&Whereabouts]) {
    let (to, m) = of_topic(d).remove(0);
    answer_dial(d, to);
    let members = members.iter().map(|w| w.bytes().to_vec().into()).collect();
    d.say(&peer(to), Registered { id: m.id, outcome: 0, members, crowd: 2 });
}

#[test]
fn who_finds_nobody_leaves_word_with_the_topic_s_holders_and_asks_for_members() {
    let mut d = subscribed();
    d.pass_ms(300);
    let sent = of_topic(&d);
    assert_eq!(sent.len(), 8);
    assert!(sent.iter().all(|(_, m)| m.find));
    let w = Whereabouts::parse(sent[0].1.statement.clone().into()).unwrap();
    assert_eq!((w.about(), w.node()), (About::Topic(news()), d.id()));
    let eight = holders(&d, news().as_bytes(), 8);
    assert!(sent.iter().all(|(to, _)| eight.contains(to)));
}

#[test]
fn members_that_are_named_are_asked_to_be_neighbours() {
    let mut d = subscribed();
    d.pass_ms(300);
    let w = member(77, news(), d.now.wall.0);
    found(&mut d, &[&w]);
    d.pass_ms(300);
    assert!(dialed(&d).contains(&Fake::new(77).id));
}

#[test]
fn what_is_no_member_s_word_is_not_believed() {
    let mut d = subscribed();
    d.pass_ms(300);
    let now = d.now.wall.0;
    let mut forged = member(77, news(), now).bytes().to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let forged = Whereabouts::parse(forged.into()).unwrap();
    let (elsewhere, old) = (member(78, TopicId([1; 32]), now), member(79, news(), now - 3_600_000));
    let somebody = Somebody::new(80, 8).says_at(now, false);
    found(&mut d, &[&forged, &elsewhere, &old, &somebody]);
    d.pass_ms(300);
    assert_eq!(d.counters().answers_forged, 4);
    for n in 77..=80 {
        assert!(!dialed(&d).contains(&Fake::new(n).id), "{n}");
    }
}

#[test]
fn who_still_finds_nobody_asks_again() {
    let mut d = subscribed();
    d.pass_ms(300);
    for (to, m) in of_topic(&d) {
        answer_dial(&mut d, to);
        d.say(&peer(to), Registered { id: m.id, outcome: 0, members: vec![], crowd: 1 });
    }
    d.did.clear();
    d.pass_ms(1_500);
    let asked = questions(&d);
    assert!(asked.iter().all(|(_, m)| m.subject == news().0) && asked.len() >= 2, "{asked:?}");
    let (to, m) = asked[0].clone();
    let w = member(77, news(), d.now.wall.0);
    holds(&mut d, to, m.id, &[&w], &[]);
    d.pass_ms(300);
    assert!(dialed(&d).contains(&Fake::new(77).id));
}

#[test]
fn who_finds_somebody_leaves_word_later() {
    let mut d = subscribed();
    let f = Fake::new(5);
    d.link(&f);
    d.befriend(&f, Overlay::Topic(news()));
    d.pass_ms(9_000);
    assert_eq!(of_topic(&d), []);
    for _ in 0..120 {
        d.pass_ms(1_000);
        if !of_topic(&d).is_empty() {
            break;
        }
        // Those that it dials to see whether they are there are.
        for id in dialed(&d) {
            answer_dial(&mut d, id);
        }
        d.did.clear();
    }
    assert_eq!(of_topic(&d).len(), 8);
    assert!(of_topic(&d).iter().all(|(_, m)| !m.find));
}

#[test]
fn who_leaves_the_topic_takes_its_word_back() {
    let mut d = subscribed();
    d.pass_ms(300);
    for (to, m) in of_topic(&d) {
        answer_dial(&mut d, to);
        d.say(&peer(to), Registered { id: m.id, outcome: 0, members: vec![], crowd: 1 });
    }
    d.did.clear();
    d.command(Command::Unsubscribe { topic: news() });
    let gone = |m: &Register| Whereabouts::parse(m.statement.clone().into()).unwrap().is_withdrawn();
    let sent = of_topic(&d);
    assert!(sent.len() == 8 && sent.iter().all(|(_, m)| gone(m)), "{sent:?}");
}

#[test]
fn a_crowd_comes_back_less_often() {
    // Within the life of the adverts.
    let renewals = |crowd: u32| {
        let mut d = subscribed();
        let mut n = 0;
        for _ in 0..1_400 {
            d.pass_ms(1_000);
            // Those that it dials to see whether they are there are.
            for id in dialed(&d) {
                answer_dial(&mut d, id);
            }
            for (to, m) in of_topic(&d) {
                n += 1;
                if !d.node.links().is_up(&to) {
                    answer_dial(&mut d, to);
                }
                d.say(&peer(to), Registered { id: m.id, outcome: 0, members: vec![], crowd });
            }
            d.did.clear();
        }
        n
    };
    let (few, many) = (renewals(10), renewals(640));
    assert_eq!((few, many), (24, 8), "at first, and each ten minutes; at first");
}
