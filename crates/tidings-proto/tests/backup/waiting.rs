//! Away, written to, and back.

use super::*;

#[test]
fn what_is_for_a_node_that_is_away_is_kept_by_three_and_handed_over_once() {
    let mut m = network_of(7);
    let t = m.write_to_the_absent();
    let kept = m.kept(A, t).expect("kept").clone();
    assert_eq!((kept.node, kept.keepers.len()), (m.id(B), 3));
    let keepers = m.keepers();
    assert_eq!(keepers.len(), 3);
    assert!(kept.keepers.iter().all(|k| keepers.contains(&m.index_of(k))));
    assert!(!keepers.contains(&A) && !keepers.contains(&B));
    let wall = m.nodes[A].now.wall.0;
    assert!((wall + 23 * 3_600_000..wall + 25 * 3_600_000).contains(&kept.until_ms));
    assert_eq!(m.nodes[A].node.message(&kept.id).unwrap().status, MessageStatus::Relayed);

    m.comes_back(B, 2);
    m.pass(20_000);
    assert_eq!(m.texts(B), ["for later"]);
    assert_eq!(m.keepers(), [0; 0], "it is kept on");
    let p = m.nodes[A].node.message(&kept.id).unwrap();
    assert_eq!(p.status, MessageStatus::Delivered);
    m.pass(60_000);
    assert_eq!(m.texts(B).len(), 1);
    let mut statuses = m.statuses(A);
    statuses.dedup();
    assert_eq!(statuses, [MessageStatus::Relayed, MessageStatus::Delivered]);
}

#[test]
fn it_comes_though_the_sender_is_gone_and_two_of_three_keepers_die_at_once() {
    let mut m = network_of(7);
    m.leave(B);
    m.pass(1_000);
    for n in 0..20 {
        m.send(A, B, format!("{n}").as_bytes());
    }
    m.pass(10_000);
    m.kill(A);
    let keepers = m.keepers();
    assert_eq!(keepers.len(), 3);
    keepers[1..].iter().for_each(|k| m.kill(*k));
    m.pass(2_000);
    m.comes_back(B, keepers[0]);
    m.pass(60_000);
    let mut all = m.texts(B);
    all.sort_by_key(|t| t.parse::<u32>().unwrap());
    assert_eq!(all, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_node_that_dies_without_a_word_is_written_to_as_well() {
    let mut m = network_of(6);
    m.kill(B);
    let t = m.send(A, B, b"are you there?");
    m.pass(20_000);
    assert!(m.kept(A, t).is_some());
    m.comes_back(B, 2);
    m.pass(30_000);
    assert_eq!(m.texts(B), ["are you there?"]);
}

#[test]
fn what_the_sender_can_say_itself_by_then_comes_once_and_is_kept_no_longer() {
    let mut m = network_of(6);
    m.leave(B);
    m.pass(1_000);
    let t = m.send(A, B, b"first");
    m.pass(5_000);
    assert!(m.kept(A, t).is_some());
    // It is back while the sender still tries.
    m.comes_back(B, A);
    let u = m.send(A, B, b"second");
    m.pass(30_000);
    let mut all = m.texts(B);
    all.sort();
    assert_eq!(all, ["first", "second"]);
    assert!(m.delivered(A, u).is_some() || m.kept(A, u).is_some());
    assert_eq!(m.keepers(), [0; 0]);
}

#[test]
fn what_the_sender_brings_itself_it_has_dropped_itself() {
    let mut m = network_of(6);
    m.leave(B);
    m.pass(1_000);
    let t = m.send(A, B, b"for later");
    m.pass(5_000);
    assert!(m.kept(A, t).is_some());
    // Who keeps it can't reach the receiver, nor it them.
    m.barred = (2..6).flat_map(|k| [(k, B), (B, k)]).collect();
    m.fate = Some(Box::new(|p| if matches!(p.message, Message::Envelope(_)) { vec![] } else { vec![p] }));
    m.comes_back(B, A);
    m.pass(20_000);
    assert_eq!((m.texts(B), m.keepers()), (vec!["for later".to_owned()], vec![]));
    assert_eq!(m.nodes.iter().map(|n| n.counters().backups_collected).sum::<u64>(), 0, "it came by a keeper");
}

#[test]
fn what_is_kept_has_not_failed_when_the_sender_gives_up() {
    let mut m = network_of(6);
    m.leave(B);
    m.pass(1_000);
    let t = m.send(A, B, b"for later");
    m.pass(60_000);
    let id = m.kept(A, t).unwrap().id;
    assert_eq!(m.nodes[A].counters().direct_failed, 0);
    assert_eq!(m.nodes[A].node.message(&id).unwrap().status, MessageStatus::Relayed);
}

#[test]
fn a_full_message_is_kept_too() {
    let mut m = network_of(5);
    m.leave(B);
    m.pass(1_000);
    let body = vec![b'x'; tidings_proto::messaging::MAX_BODY_LEN];
    let t = m.send(A, B, &body);
    m.pass(10_000);
    assert!(m.kept(A, t).is_some());
    m.kill(A);
    m.comes_back(B, 2);
    m.pass(30_000);
    assert_eq!(m.texts(B).iter().map(String::len).collect::<Vec<_>>(), [body.len()]);
}

#[test]
fn what_nobody_came_for_is_dropped_after_a_day_and_the_sender_is_told() {
    let mut m = network_of(5);
    m.leave(B);
    m.pass(1_000);
    let t = m.send(A, B, b"for nobody");
    m.pass(10_000);
    let id = m.kept(A, t).unwrap().id;
    for n in (0..5).filter(|n| *n != B) {
        m.nodes[n].now.wall.0 += 23 * 3_600_000;
    }
    m.pass(3_000);
    assert_eq!(m.keepers().len(), 3);
    for n in (0..5).filter(|n| *n != B) {
        m.nodes[n].now.wall.0 += 2 * 3_600_000;
    }
    m.pass(3_000);
    assert_eq!(m.keepers(), [0; 0]);
    let p = m.nodes[A].node.message(&id).unwrap();
    assert_eq!(p.status, MessageStatus::Failed(CommandError::NotCollected));
}

#[test]
fn in_a_network_of_three_the_third_keeps_it() {
    let mut m = network_of(3);
    m.leave(B);
    m.pass(1_000);
    let t = m.send(A, B, b"for later");
    m.pass(15_000);
    assert_eq!(m.kept(A, t).unwrap().keepers, [m.id(2)]);
    m.kill(A);
    m.comes_back(B, 2);
    m.pass(30_000);
    assert_eq!(m.texts(B), ["for later"]);
}

#[test]
fn with_nobody_to_keep_it_it_fails_and_is_said_to() {
    let mut m = network_of(2);
    m.leave(B);
    m.pass(1_000);
    let t = m.send(A, B, b"for later");
    m.pass(32_000);
    assert_eq!(m.nodes[A].reply(t), Some(&Reply::Refused(CommandError::NoReceipt)));
}

#[test]
fn nothing_of_it_is_to_be_read_at_a_keeper() {
    let mut m = network_of(6);
    m.leave(B);
    m.pass(1_000);
    m.send(A, B, b"a secret of sixteen");
    m.pass(10_000);
    let keepers = m.keepers();
    assert_eq!(keepers.len(), 3);
    for k in keepers {
        for (name, value) in &m.nodes[k].disk {
            assert!(!value.windows(8).any(|w| w == b"a secret"), "{name:?}");
        }
    }
}

#[test]
fn who_was_told_of_it_hears_when_it_is_read() {
    let mut m = network_of(6);
    let t = m.write_to_the_absent();
    let id = m.kept(A, t).unwrap().id;
    m.comes_back(B, 2);
    let agent = m.nodes[A].node.agent_id().unwrap();
    m.nodes[B].command(Command::TellRead { agent, on: true });
    m.pass(20_000);
    m.nodes[B].command(Command::ReadDirect { ids: vec![id] });
    m.pass(5_000);
    assert_eq!(m.nodes[A].node.message(&id).unwrap().status, MessageStatus::Read);
}

#[test]
fn a_sender_that_was_away_itself_hears_of_it_when_it_is_back() {
    let mut m = network_of(7);
    let t = m.write_to_the_absent();
    let id = m.kept(A, t).unwrap().id;
    // The sender's link is down for a while; its process goes on.
    let others: Vec<usize> = (1..7).collect();
    m.barred = others.iter().flat_map(|o| [(A, *o), (*o, A)]).collect();
    for o in others {
        m.part(A, o);
    }
    m.comes_back(B, 2);
    m.pass(60_000);
    assert_eq!(m.texts(B), ["for later"]);
    assert_eq!(m.nodes[A].node.message(&id).unwrap().status, MessageStatus::Relayed);
    m.barred.clear();
    let peers = vec![m.peer(3)];
    m.nodes[A].command(Command::Join { peers });
    m.pass(120_000);
    assert_eq!(m.nodes[A].node.message(&id).unwrap().status, MessageStatus::Delivered);
}
