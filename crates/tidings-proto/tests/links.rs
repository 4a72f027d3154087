//! Links shared by overlays: leaving one never cuts a link that another needs, here or at the other end.

mod common;

use common::*;
use tidings_proto::identity::TopicId;
use tidings_proto::io::*;
use tidings_proto::time::Span;
use tidings_proto::wire::*;

fn second() -> TopicId {
    TopicId::from_name("second").unwrap()
}

/// A node and a neighbour on two topics and nowhere else.
fn on_two_topics() -> (Driven, Fake) {
    let mut d = Driven::on_topic();
    d.command(Command::Subscribe { topic: second() });
    let friend = Fake::new(1);
    d.link(&friend);
    d.befriend(&friend, Overlay::Topic(news()));
    d.befriend(&friend, Overlay::Topic(second()));
    d.did.clear();
    (d, friend)
}

fn leave(d: &mut Driven, topic: TopicId) {
    d.command(Command::Unsubscribe { topic });
}

fn released(d: &Driven, to: &Fake) -> usize {
    d.sent_to(&to.id).iter().filter(|m| matches!(m, Message::Release(_))).count()
}

#[test]
fn leaving_one_topic_keeps_the_link_of_another() {
    let (mut d, friend) = on_two_topics();
    leave(&mut d, news());
    assert!(d.sent_to(&friend.id).iter().any(|m| matches!(m, Message::Disconnect(x) if x.overlay == Some(news()))));
    d.say(&friend, Release {});
    d.pass(Span::from_secs(60));
    assert_eq!((released(&d, &friend), d.closed()), (0, vec![]));
    assert_eq!(d.node.active_view(Overlay::Topic(second())), [friend.id]);
}

#[test]
fn leaving_the_last_topic_says_so_and_keeps_the_link_while_the_other_end_needs_it() {
    let (mut d, friend) = on_two_topics();
    leave(&mut d, news());
    leave(&mut d, second());
    assert_eq!((released(&d, &friend), d.closed()), (1, vec![]));
    for _ in 0..10 {
        d.pass(Span::from_secs(10));
        d.say(&friend, Prune { topic: news() });
    }
    assert_eq!(d.closed(), [], "the other end uses it");
}

#[test]
fn the_link_closes_when_neither_end_needs_it() {
    let (mut d, friend) = on_two_topics();
    leave(&mut d, news());
    leave(&mut d, second());
    d.say(&friend, Release {});
    assert_eq!(d.closed(), [friend.id]);
    assert!(d.node.links().is_empty());
}

#[test]
fn the_link_closes_when_the_other_end_let_go_first() {
    let (mut d, friend) = on_two_topics();
    leave(&mut d, news());
    d.say(&friend, Release {});
    leave(&mut d, second());
    assert_eq!(d.closed(), [friend.id]);
}

#[test]
fn the_network_overlay_needs_a_link_too() {
    let (mut d, friend) = on_two_topics();
    d.befriend(&friend, Overlay::Root);
    leave(&mut d, news());
    leave(&mut d, second());
    d.say(&friend, Release {});
    assert_eq!((released(&d, &friend), d.closed()), (0, vec![]));
}

#[test]
fn a_link_nobody_ever_used_is_closed() {
    let mut d = Driven::new();
    d.link(&Fake::new(1));
    d.pass(Span::from_secs(19));
    assert_eq!(d.closed(), []);
    d.pass(Span::from_secs(12));
    assert_eq!(d.closed(), [Fake::new(1).id]);
}

#[test]
fn a_goodbye_ends_every_neighbourhood_and_every_link() {
    let (mut d, friend) = on_two_topics();
    d.command(Command::Leave);
    let byes: Vec<_> = d
        .sent_to(&friend.id)
        .iter()
        .filter_map(|m| match m {
            Message::Disconnect(x) => Some((x.overlay, x.reason)),
            _ => None,
        })
        .collect();
    let mut expected = vec![(Some(news()), 2), (Some(second()), 2)];
    expected.sort();
    assert_eq!(byes, expected);
    assert_eq!(d.closed(), [friend.id]);
}
