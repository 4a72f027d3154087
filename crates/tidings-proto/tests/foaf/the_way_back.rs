//! Answers: given here, passed back, and refused.

use super::*;

/// A node that was asked by peer 1 and asks others.
fn asked() -> (Driven, Vec<(NodeId, Seek)>) {
    let mut d = among(6);
    d.say(&Fake::new(1), seek_nobody(9));
    let on = passed_on(&d);
    d.did.clear();
    (d, on)
}

fn junk() -> Bytes {
    Bytes::from_static(b"sealed, as far as anybody on the way can tell")
}

#[test]
fn who_knows_answers_and_asks_nobody() {
    let (mut d, sought) = (among(6), Somebody::new(90));
    deposit(&mut d, &Fake::new(2), &sought.says(), &sought.certificate, 0);
    d.did.clear();
    let (m, secret) = seek(&sought.agent, 5);
    d.say(&Fake::new(1), m.clone());
    assert_eq!(passed_on(&d), []);
    let answers = answers(&d);
    assert_eq!((answers[0].0, answers[0].1), (Fake::new(1).id, 1_000));
    let sealed = answers[0].2.clone().unwrap();
    let plain = open(&m, &sought.agent, &secret, &sealed).unwrap();
    let said = sought.says();
    assert_eq!(plain[..2], (said.bytes().len() as u16).to_le_bytes());
    assert_eq!(plain[2..][..said.bytes().len()], said.bytes()[..]);
    assert_eq!(plain[4 + said.bytes().len()..], sought.certificate.bytes()[..]);
}

#[test]
fn an_answer_opens_for_the_asker_s_key_only() {
    let (mut d, sought) = (among(6), Somebody::new(90));
    deposit(&mut d, &Fake::new(2), &sought.says(), &sought.certificate, 0);
    let (m, _) = seek(&sought.agent, 5);
    d.say(&Fake::new(1), m.clone());
    let sealed = answers(&d)[0].2.clone().unwrap();
    assert_eq!(open(&m, &sought.agent, &[78; 32], &sealed), None);
    assert_eq!(open(&m, &AgentId([1; 32]), &[77; 32], &sealed), None, "who does not know the agent");
}

#[test]
fn an_asker_without_a_key_gets_no_answer() {
    let (mut d, sought) = (among(6), Somebody::new(90));
    deposit(&mut d, &Fake::new(2), &sought.says(), &sought.certificate, 0);
    let (m, _) = seek(&sought.agent, 5);
    d.say(&Fake::new(1), Seek { key: [0; 32], ttl: 1, ..m });
    assert_eq!(answers(&d), [(Fake::new(1).id, 1_000, None)]);
}

#[test]
fn an_answer_goes_back_under_the_asker_s_id() {
    let (mut d, on) = asked();
    let (from, m) = &on[1];
    found(&mut d, &peer(*from), m.id, junk());
    assert_eq!(answers(&d), [(Fake::new(1).id, 1_000, Some(junk()))]);
}

#[test]
fn three_answers_go_back_and_no_more() {
    let (mut d, on) = asked();
    let (from, m) = &on[0];
    for _ in 0..10 {
        found(&mut d, &peer(*from), m.id, junk());
    }
    assert_eq!(answers(&d).len(), 3);
    assert_eq!(d.counters().answers_spare, 7);
}

#[test]
fn an_answer_nobody_asked_for_is_dropped() {
    let (mut d, on) = asked();
    found(&mut d, &peer(on[0].0), 31_337, junk());
    assert_eq!(answers(&d), []);
    assert_eq!(d.counters().answers_unexpected, 1);
}

#[test]
fn an_answer_of_another_than_was_asked_is_dropped() {
    let (mut d, on) = asked();
    found(&mut d, &peer(on[0].0), on[1].1.id, junk());
    d.say(&peer(on[0].0), NotFound { id: on[1].1.id });
    assert_eq!(answers(&d), []);
    assert_eq!(d.counters().answers_unexpected, 2);
}

#[test]
fn an_answer_that_is_replayed_later_is_dropped() {
    let (mut d, on) = asked();
    let (from, m) = &on[0];
    found(&mut d, &peer(*from), m.id, junk());
    d.pass_ms(31_000);
    d.did.clear();
    found(&mut d, &peer(*from), m.id, junk());
    assert_eq!(answers(&d), []);
}

#[test]
fn nothing_found_is_said_when_all_have_said_so() {
    let (mut d, on) = asked();
    for (from, m) in &on[..2] {
        d.say(&peer(*from), NotFound { id: m.id });
    }
    assert_eq!(answers(&d), []);
    d.say(&peer(on[2].0), NotFound { id: on[2].1.id });
    assert_eq!(answers(&d), [(Fake::new(1).id, 1_000, None)]);
}

#[test]
fn nothing_found_is_not_said_after_an_answer() {
    let (mut d, on) = asked();
    found(&mut d, &peer(on[0].0), on[0].1.id, junk());
    for (from, m) in &on[1..] {
        d.say(&peer(*from), NotFound { id: m.id });
    }
    assert_eq!(answers(&d).len(), 1);
}

#[test]
fn who_does_not_answer_is_not_waited_for_long() {
    let (mut d, _) = asked();
    d.pass_ms(2_900);
    assert_eq!(answers(&d), []);
    d.pass_ms(200);
    assert_eq!(answers(&d), [(Fake::new(1).id, 1_000, None)]);
}

#[test]
fn who_is_gone_is_not_waited_for() {
    let (mut d, on) = asked();
    for (from, _) in &on {
        d.input(Input::LinkDown { peer: *from, reason: LinkRefusal::Silent }).unwrap();
    }
    assert_eq!(answers(&d), [(Fake::new(1).id, 1_000, None)]);
}
