//! What waits for storage, and what its failures do.

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
    assert_eq!(d.counters().storage_failures, 4, "one for each layer that asked");
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
