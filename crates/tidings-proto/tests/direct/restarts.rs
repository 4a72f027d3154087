//! Either end dies and comes back.

use super::*;

#[test]
fn what_was_written_down_is_there_after_a_restart_and_comes_no_second_time() {
    let mut p = Pair::new();
    p.send(0, b"1");
    // It is written, and the receipt is lost with the process.
    p.open = false;
    let t = p.send(0, b"2");
    let frame = p.passed.last().unwrap().clone();
    p.deliver(&frame);
    p.restart(1);
    assert_eq!(p.texts(1), ["1", "2"], "told again until they are read");
    p.open = true;
    p.pass(8_000);
    assert!(p.is_delivered(0, t));
    assert_eq!(p.texts(1), ["1", "2"]);
    assert_eq!(p.ends[1].node.inbox().count(), 2);
}

#[test]
fn what_is_not_written_is_neither_shown_nor_receipted() {
    let mut p = Pair::new();
    p.ends[1].auto_store = false;
    let t = p.send(0, b"1");
    assert_eq!((p.texts(1).len(), p.ends[0].reply(t)), (0, None));
    p.ends[1].write();
    p.carry();
    assert_eq!(p.texts(1), ["1"]);
    assert!(p.is_delivered(0, t));
}

#[test]
fn what_cannot_be_written_has_no_receipt_and_is_not_shown() {
    let mut p = Pair::new();
    p.send(0, b"1");
    p.ends[1].store_result = Err(StoreError("the disk is full".into()));
    let t = p.send(0, b"2");
    assert_eq!(p.ends[0].reply(t), Some(&Reply::Refused(CommandError::InboxFull)));
    assert_eq!((p.texts(1).len(), p.ends[1].node.inbox().count()), (1, 1));
    p.ends[1].store_result = Ok(());
    p.pass(5_000);
    let t = p.send(0, b"3");
    p.pass(1_000);
    assert!(p.is_delivered(0, t));
    assert_eq!(p.texts(1), ["1", "3"]);
}

#[test]
fn what_was_read_is_gone_for_good() {
    let mut p = Pair::new();
    p.send(0, b"1");
    p.send(0, b"2");
    let first = p.shown(1)[0].id;
    let t = p.ends[1].command(Command::ReadDirect { ids: vec![first] });
    assert_eq!(p.ends[1].reply(t), Some(&Reply::Done));
    p.restart(1);
    assert_eq!(p.texts(1), ["2"]);
}

#[test]
fn old_frames_are_played_back_to_nobody() {
    let mut p = Pair::new();
    p.send(0, b"1");
    p.send(0, b"2");
    let all: Vec<Passing> = p.passed.iter().filter(|f| f.by_first).cloned().collect();
    let read: Vec<_> = p.ends[1].node.inbox().map(|r| r.id).collect();
    p.ends[1].command(Command::ReadDirect { ids: read });
    p.restart(1);
    p.meet();
    for frame in &all {
        p.deliver(frame);
    }
    p.carry();
    assert_eq!(p.texts(1), Vec::<String>::new());
    assert_eq!(p.ends[1].counters().sessions_refused, 1);
}

#[test]
fn a_sender_that_starts_again_is_heard_again() {
    let mut p = Pair::new();
    p.send(0, b"1");
    p.restart(0);
    p.ends[0].pass_ms(1_000);
    p.meet();
    let t = p.send(0, b"2");
    p.pass(3_000);
    assert!(p.is_delivered(0, t));
    assert_eq!(p.texts(1), ["1", "2"]);
}

#[test]
fn a_sender_whose_clock_was_set_back_is_heard_again() {
    let mut p = Pair::new();
    p.send(0, b"1");
    p.ends[0].now.wall.0 -= 600_000;
    p.restart(0);
    p.meet();
    let t = p.send(0, b"2");
    p.pass(3_000);
    assert!(p.is_delivered(0, t), "{:?}", p.ends[0].reply(t));
    assert_eq!(p.texts(1), ["1", "2"]);
}

#[test]
fn clocks_ten_minutes_apart_do() {
    for apart in [-600_000_i64, 600_000] {
        let ends = [node(1, Default::default(), WALL), node(2, Default::default(), WALL.saturating_add_signed(apart))];
        let mut p = Pair { ends, seen: [0, 0], passed: Vec::new(), open: true };
        p.meet();
        let t = p.send(0, b"1");
        assert!(p.is_delivered(0, t));
    }
}
