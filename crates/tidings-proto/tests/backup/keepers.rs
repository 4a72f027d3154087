//! Keepers that stop, die, are full, or are relays no longer.

use super::*;

/// Something is kept for `B`, which is away. Returns who keeps it.
fn kept(m: &mut Mesh) -> Vec<usize> {
    let t = m.write_to_the_absent();
    assert!(m.kept(A, t).is_some());
    m.keepers()
}

#[test]
fn a_keeper_that_is_restarted_has_it_still() {
    let mut m = network_of(3);
    assert_eq!(kept(&mut m), [2]);
    m.kill(2);
    m.pass(1_000);
    m.comes_back(2, A);
    m.pass(5_000);
    assert_eq!(m.keepers(), [2]);
    // By then the sender has given up its own attempts.
    m.pass(40_000);
    m.comes_back(B, 2);
    m.pass(30_000);
    assert_eq!(m.texts(B), ["for later"]);
    assert!(!m.nodes[2].disk.keys().any(|k| k.starts_with(b"direct/backup/")), "it is on the disk still");
}

#[test]
fn what_a_keeper_cannot_write_down_it_does_not_say_it_keeps() {
    let mut m = network_of(3);
    m.nodes[2].store_result = Err(StoreError("full".into()));
    m.leave(B);
    m.pass(1_000);
    let t = m.send(A, B, b"for later");
    m.pass(20_000);
    assert!(m.kept(A, t).is_none());
    assert_eq!(m.keepers(), [0; 0]);
    m.nodes[2].store_result = Ok(());
    m.pass(12_000);
    assert!(m.kept(A, t).is_some(), "it is not tried again");
}

#[test]
fn what_the_receiver_cannot_write_down_is_kept_on() {
    let mut m = network_of(5);
    let keepers = kept(&mut m);
    m.pass(40_000);
    m.comes_back(B, 2);
    m.nodes[B].store_result = Err(StoreError("full".into()));
    m.pass(30_000);
    assert_eq!(m.texts(B), [""; 0]);
    assert_eq!(m.keepers(), keepers);
    m.nodes[B].store_result = Ok(());
    m.pass(180_000);
    assert_eq!(m.texts(B), ["for later"]);
    assert_eq!(m.keepers(), [0; 0]);
}

#[test]
fn what_the_sender_brings_and_the_receiver_cannot_write_down_is_not_taken_for_come() {
    let mut m = network_of(5);
    kept(&mut m);
    m.comes_back(B, A);
    m.nodes[B].store_result = Err(StoreError("full".into()));
    m.pass(15_000);
    assert_eq!(m.texts(B), [""; 0]);
    m.nodes[B].store_result = Ok(());
    m.pass(240_000);
    assert_eq!(m.texts(B), ["for later"]);
    assert_eq!(m.keepers(), [0; 0]);
}

#[test]
fn of_many_bundles_none_is_lost_though_they_come_in_any_order() {
    let mut m = network_of(8);
    m.leave(B);
    m.pass(1_000);
    for n in 0..120 {
        m.send(A, B, format!("{n}").as_bytes());
        m.pass(1_300);
    }
    m.pass(45_000);
    let keepers = m.keepers();
    assert!(m.nodes[A].counters().backups_made > 60, "they are in few bundles");
    // One of those that keep them dies as it comes back.
    m.comes_back(B, *keepers.last().unwrap());
    m.kill(keepers[0]);
    m.pass(300_000);
    let mut all: Vec<u32> = m.texts(B).iter().map(|t| t.parse().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..120).collect::<Vec<_>>());
    assert_eq!(m.keepers(), [0; 0]);
}

#[test]
fn two_that_are_here_in_turn_do_not_answer_each_other_for_ever() {
    let mut m = network_of(7);
    kept(&mut m);
    for _ in 0..6 {
        m.leave(A);
        m.comes_back(B, 3);
        m.pass(40_000);
        m.leave(B);
        m.comes_back(A, 3);
        m.pass(40_000);
    }
    m.pass(30_000);
    assert_eq!(m.keepers(), [0; 0]);
    let made: u64 = m.nodes.iter().map(|n| n.counters().backups_made).sum();
    assert!(made <= 2, "{made}");
}

#[test]
fn copies_of_a_keeper_that_dies_are_made_anew() {
    let mut m = network_of(8);
    let mut keepers = kept(&mut m);
    assert_eq!(keepers.len(), 3);
    m.kill(A);
    // One after the other all three are gone.
    for gone in keepers.clone() {
        m.kill(gone);
        m.pass(150_000);
        let now = m.keepers();
        assert_eq!(now.len(), 3, "{now:?} after {gone}");
        keepers = now;
    }
    let contact = keepers[0];
    m.comes_back(B, contact);
    m.pass(60_000);
    assert_eq!(m.texts(B), ["for later"]);
}

#[test]
fn a_keeper_that_says_goodbye_is_replaced_within_seconds() {
    let mut m = network_of(8);
    let keepers = kept(&mut m);
    m.leave(keepers[1]);
    m.pass(25_000);
    let now = m.keepers();
    assert_eq!(now.len(), 3);
    assert!(!now.contains(&keepers[1]));
}

#[test]
fn nothing_is_copied_while_all_keepers_are_there() {
    let mut m = network_of(8);
    let keepers = kept(&mut m);
    m.pass(600_000);
    assert_eq!(m.keepers(), keepers);
    assert_eq!(m.nodes.iter().map(|n| n.counters().backups_moved).sum::<u64>(), 0);
}

#[test]
fn a_keeper_that_came_back_with_an_old_copy_shows_it_to_nobody_twice() {
    let mut m = network_of(8);
    let keepers = kept(&mut m);
    let old = keepers[2];
    m.kill(old);
    m.pass(150_000);
    m.comes_back(B, keepers[0]);
    m.pass(60_000);
    assert_eq!(m.texts(B), ["for later"]);
    m.comes_back(old, keepers[0]);
    m.pass(60_000);
    assert_eq!(m.texts(B).len(), 1);
    assert_eq!(m.keepers(), [0; 0], "it keeps it still");
}

#[test]
fn the_receiver_that_dies_before_it_can_tell_takes_it_once() {
    let mut m = network_of(6);
    kept(&mut m);
    m.kill(A);
    m.comes_back(B, 2);
    // What it says to keepers is lost with it.
    while m.texts(B).is_empty() {
        m.pass(50);
    }
    let shown = m.texts(B).len();
    m.kill(B);
    m.pass(2_000);
    m.comes_back(B, 2);
    m.pass(120_000);
    // Unread, it is shown again by the inbox; it is in there once.
    assert_eq!((shown, m.nodes[B].node.inbox().count()), (1, 1));
    assert_eq!(m.keepers(), [0; 0]);
}
