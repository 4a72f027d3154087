//! Those who would make a message come twice, or not at all.

use super::*;

#[test]
fn what_is_handed_over_again_and_again_is_shown_once() {
    let mut m = network_of(6);
    m.write_to_the_absent();
    let keepers = m.keepers();
    let disks: Vec<_> = keepers.iter().map(|k| m.nodes[*k].disk.clone()).collect();
    m.comes_back(B, 2);
    m.pass(30_000);
    assert_eq!(m.texts(B), ["for later"]);
    assert_eq!(m.keepers(), [0; 0]);
    // Keepers that kept what they were told to drop hand it over once more.
    for (k, disk) in keepers.iter().zip(disks) {
        m.kill(*k);
        let kept = disk.into_iter().filter(|(name, _)| name.starts_with(b"direct/backup/"));
        m.nodes[*k].disk.extend(kept);
    }
    m.pass(1_000);
    for k in &keepers {
        m.comes_back(*k, A);
        m.pass(1_000);
    }
    m.pass(60_000);
    assert_eq!(m.texts(B).len(), 1);
    assert_eq!(m.keepers(), [0; 0]);
    assert!(m.nodes[B].counters().envelopes_duplicate > 0, "it was not handed over again");
}

#[test]
fn what_a_keeper_altered_on_its_disk_is_nothing() {
    let mut m = network_of(3);
    m.write_to_the_absent();
    m.kill(A);
    m.kill(2);
    let (name, value) = m.nodes[2]
        .disk
        .iter()
        .find(|(k, _)| k.starts_with(b"direct/backup/"))
        .map(|(k, v)| (k.clone(), v.to_vec()))
        .unwrap();
    for at in (0..value.len()).step_by(97) {
        let mut altered = value.clone();
        altered[at] ^= 1;
        m.nodes[2].disk.insert(name.clone(), altered.into());
        m.comes_back(2, B);
        m.kill(2);
    }
    // Nothing of that is kept, but what is only about who keeps it.
    m.nodes[2].disk.insert(name, value[..value.len() - 1].to_vec().into());
    m.comes_back(2, B);
    m.pass(1_000);
    assert_eq!(m.keepers(), [0; 0]);
}

#[test]
fn a_lost_word_of_a_keeper_costs_no_message() {
    for lost in 0..6 {
        let mut m = network_of(6);
        m.leave(B);
        m.pass(1_000);
        let mut n = 0;
        // One of the frames that keepers answer with is lost, another each time.
        m.fate = Some(Box::new(move |p: Passing| {
            let direct = matches!(p.message, Message::Envelopes(_) | Message::Receipt(_));
            n += u32::from(direct && p.to == A);
            if direct && p.to == A && n == lost + 1 { vec![] } else { vec![p] }
        }));
        m.send(A, B, b"for later");
        m.pass(25_000);
        m.fate = None;
        m.kill(A);
        m.comes_back(B, 2);
        m.pass(60_000);
        assert_eq!(m.texts(B), ["for later"], "{lost}");
    }
}
