//! Numbers of the own streams, across everything that may happen.

use super::*;

fn numbers(d: &Driven, tickets: &[Ticket]) -> Vec<(u64, u64)> {
    tickets.iter().map(|t| (d.published(*t).epoch, d.published(*t).seq)).collect()
}

#[test]
fn when_a_topic_is_left_and_entered_again() {
    let mut d = Driven::on_topic();
    let first = d.publish(b"one");
    d.command(Command::Unsubscribe { topic: news() });
    d.command(Command::Subscribe { topic: news() });
    let second = d.publish(b"two");
    let [a, b] = numbers(&d, &[first, second])[..] else { unreachable!() };
    assert!(a < b, "{a:?} was used, then {b:?}");
}

#[test]
fn when_a_publisher_falls_silent_and_begins_again() {
    let mut d = Driven::new();
    let first = d.publish(b"one");
    d.pass(Span::from_secs(400));
    assert!(d.node.topics().is_empty(), "the idle topic was left");
    let second = d.publish(b"two");
    let [a, b] = numbers(&d, &[first, second])[..] else { unreachable!() };
    assert!(a < b, "{a:?} was used, then {b:?}");
}

#[test]
fn when_the_process_is_killed_and_started_again() {
    let mut d = Driven::on_topic();
    let mut epochs = Vec::new();
    for _ in 0..5 {
        let t = d.publish(b"x");
        epochs.push(d.published(t).epoch);
        assert_eq!(d.published(t).seq, 1);
        d = d.restart(Span::ZERO);
        d.command(Command::Subscribe { topic: news() });
    }
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
}

#[test]
fn when_the_wall_clock_goes_back() {
    let mut d = Driven::on_topic();
    let t = d.publish(b"x");
    let before = d.published(t).epoch;
    let mut d = {
        let mut e = Driven::unloaded(Default::default());
        e.disk = d.disk;
        e.now.wall.0 -= 3_600_000;
        e.run();
        e
    };
    let t = d.publish(b"x");
    assert!(d.published(t).epoch > before);
}

#[test]
fn when_the_disk_is_lost() {
    let mut d = Driven::on_topic();
    let t = d.publish(b"x");
    let before = d.published(t).epoch;
    d.disk.clear();
    let mut d = d.restart(Span::from_millis(1));
    let t = d.publish(b"x");
    assert!(d.published(t).epoch > before);
}

#[test]
fn when_the_epoch_record_is_lost_but_not_the_streams() {
    let mut d = Driven::on_topic();
    let t = d.publish(b"x");
    let before = d.published(t).epoch;
    d.disk.retain(|k, _| k != "epoch");
    let mut e = Driven::unloaded(Default::default());
    e.disk = d.disk;
    e.now.wall.0 -= 1_000;
    e.run();
    let t = e.publish(b"x");
    assert!(e.published(t).epoch > before);
}
