//! Links shared by overlays: leaving one never cuts a link that another needs, here or at the other end.

mod common;

use common::*;
use tidings_proto::config::GossipConfig;
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

/// Other ends do their part for a while: they accept, and let go of what was let go.
fn others_agree(d: &mut Driven, others: &[Fake], s: u64) {
    let (mut accepted, mut let_go) = (Vec::new(), Vec::new());
    for _ in 0..s * 10 {
        d.pass_ms(100);
        for f in others {
            let sent = d.sent_to(&f.id);
            let asked = sent.iter().find_map(|m| if let Message::Neighbor(n) = m { Some(n.overlay) } else { None });
            let released = sent.iter().any(|m| matches!(m, Message::Release(_)));
            if let Some(overlay) = asked.filter(|_| !accepted.contains(&f.id)) {
                accepted.push(f.id);
                let (others, sketch, me) = (Vec::new(), Sketch::default(), None);
                d.say(f, NeighborReply { overlay, accept: true, others, sketch, me });
            }
            if released && !let_go.contains(&f.id) {
                let_go.push(f.id);
                d.say(f, Release {});
            }
        }
    }
}

/// Sixteen links, thirteen of them taken: ten for the network, three for one topic. And somebody on a second topic who
/// knows three more.
fn crowded() -> (Driven, Vec<Fake>) {
    let mut d = Driven::with(GossipConfig { max_links: 16, ..GossipConfig::default() });
    d.command(Command::Subscribe { topic: news() });
    d.command(Command::Subscribe { topic: second() });
    let all: Vec<Fake> = (1..18).map(Fake::new).collect();
    for (i, f) in all.iter().take(14).enumerate() {
        d.link(f);
        d.befriend(
            f,
            match i {
                0..10 => Overlay::Root,
                10..13 => Overlay::Topic(news()),
                _ => Overlay::Topic(second()),
            },
        );
        d.pass_ms(20);
    }
    let peers = all[14..].iter().map(|f| f.addr.clone()).collect();
    let shuffle = Shuffle { overlay: Some(second()), ttl: 1, path: vec![all[13].id], peers, sketch: Sketch::default() };
    d.auto_link = true;
    d.say(&all[13], shuffle);
    (d, all)
}

#[test]
fn where_links_are_scarce_every_topic_gets_its_few_before_any_has_more() {
    let (mut d, all) = crowded();
    others_agree(&mut d, &all, 20);
    let counts = [Overlay::Root, Overlay::Topic(news()), Overlay::Topic(second())].map(|o| d.node.active_view(o).len());
    assert_eq!(counts, [9, 3, 4], "ten, three and one before");
    assert_eq!(d.counters().links_shared_out, 1);
}

#[test]
fn where_links_are_scarce_who_has_enough_takes_no_more() {
    let (mut d, all) = crowded();
    let stranger = Fake::new(18);
    d.say(&all[9], Disconnect { overlay: None, reason: 0, instead: Some(stranger.addr.clone()) });
    d.say(&all[9], Release {});
    others_agree(&mut d, &all, 20);
    assert!(d.sent_to(&stranger.id).is_empty(), "a new link, for a tenth neighbour");
}
