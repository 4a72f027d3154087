//! A node that has said goodbye.

use super::*;

#[test]
fn nothing_is_taken_and_no_link_is_wanted() {
    let mut s = Scene::new();
    s.d.command(Command::Leave);
    s.d.did.clear();
    s.d.bring(&s.friend, &s.author.batch(2, b"x"));
    assert!(s.d.delivered().is_empty());
    s.d.link(&Fake::new(3));
    assert_eq!(s.d.closed(), [Fake::new(3).id]);
    s.d.command(Command::Join { peers: vec![Fake::new(4).addr] });
    s.d.pass_ms(60_000);
    assert!(!s.d.did.iter().any(|x| matches!(x, Did::Dialed(_))), "it does nothing afterwards");
}

#[test]
fn what_was_accepted_for_publishing_has_left() {
    let mut s = Scene::new();
    // The first batch is held back from being followed at once, while it builds the tree.
    let topic = other_topic();
    s.d.befriend(&s.friend, Overlay::Root);
    s.d.command(Command::Subscribe { topic });
    s.d.befriend(&s.friend, Overlay::Topic(topic));
    let publish = |d: &mut Driven| d.command(Command::Publish { topic, message: out(b"x") });
    let (first, second) = (publish(&mut s.d), publish(&mut s.d));
    s.d.command(Command::Leave);
    s.d.published(first);
    s.d.published(second);
    let sent = s.d.batches_to(&s.friend.id).iter().filter(|b| b.header().topic == topic).count();
    assert_eq!(sent, 2);
}
