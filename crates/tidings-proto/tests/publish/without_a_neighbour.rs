//! Publishing while there is nobody.

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
    assert_eq!(d.batches_to(&second.id).len(), 0, "it is asked");
    let asked = d.sent_to(&second.id).iter().any(|m| matches!(m, Message::Compare(m) if m.count == 1));
    assert!(asked);
}
