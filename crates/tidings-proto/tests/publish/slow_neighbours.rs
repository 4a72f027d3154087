//! Neighbours that can take no more.

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
