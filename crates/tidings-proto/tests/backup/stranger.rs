//! Words about backups of those who have no right to them, and words that are none.

use super::liar::Eve;
use super::*;
use tidings_proto::identity::NodeId;

const KEEP: u8 = 2;
const KEEPS: u8 = 3;
const NOTE: u8 = 4;
const HAND: u8 = 5;
const HAVE: u8 = 6;

/// Something of `A` is kept for `B`, which is away; and Eve is here. Returns the bundle's id, the bundle, and who keeps it.
fn kept(m: &mut Mesh) -> (Eve, Ticket, [u8; 16], Vec<u8>, Vec<usize>) {
    let eve = Eve::enters(m);
    let t = m.write_to_the_absent();
    assert!(m.kept(A, t).is_some());
    let keepers: Vec<usize> = m.keepers().into_iter().filter(|k| *k != eve.n).collect();
    let on_disk = |(name, value): (&bytes::Bytes, &bytes::Bytes)| {
        let id: [u8; 16] = name.strip_prefix(b"direct/backup/")?.try_into().ok()?;
        let mut d = minicbor::Decoder::new(value);
        d.array().unwrap();
        (0..5).for_each(|_| d.skip().unwrap());
        Some((id, d.bytes().unwrap().to_vec()))
    };
    let (id, bundle) = m.nodes[keepers[0]].disk.iter().find_map(on_disk).unwrap();
    (eve, t, id, bundle, keepers)
}

fn carried(keepers: &[NodeId], bundle: &[u8]) -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(2).unwrap().encode(keepers).unwrap().bytes(bundle).unwrap();
    e.into_writer()
}

fn note(id: &[u8; 16], keepers: &[NodeId]) -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(2).unwrap().array(1).unwrap().bytes(id).unwrap().encode(keepers).unwrap();
    e.into_writer()
}

fn answer(id: &[u8; 16], why: u8) -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(2).unwrap().bytes(id).unwrap().u8(why).unwrap();
    e.into_writer()
}

fn have(id: &[u8; 16], keeper: NodeId, why: u8) -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(3).unwrap().bytes(id).unwrap().encode(keeper).unwrap().u8(why).unwrap();
    e.into_writer()
}

#[test]
fn a_stranger_has_nothing_dropped_and_nobody_named() {
    let mut m = network_of(6);
    let (eve, _, id, _, keepers) = kept(&mut m);
    let k = keepers[0];
    let disk = m.nodes[k].disk.clone();
    let named = m.id(eve.n);
    for words in [note(&id, &[]), note(&id, &[named])] {
        let before = m.nodes[k].counters().backups_unexpected;
        eve.says(&mut m, k, NOTE, words);
        assert_eq!(m.nodes[k].counters().backups_unexpected, before + 1);
    }
    let of = |d: &std::collections::BTreeMap<bytes::Bytes, bytes::Bytes>| {
        d.iter()
            .filter(|(k, _)| k.starts_with(b"direct/backup/"))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&m.nodes[k].disk), of(&disk));
}

#[test]
fn the_sender_believes_neither_a_stranger_that_it_keeps_something_nor_that_it_has_come() {
    let mut m = network_of(6);
    let (eve, t, id, _, keepers) = kept(&mut m);
    let message = m.kept(A, t).unwrap().id;
    eve.says(&mut m, A, KEEPS, answer(&id, 0));
    let keeper = m.id(keepers[0]);
    eve.says(&mut m, A, HAVE, have(&id, keeper, 0));
    eve.says(&mut m, A, HAVE, have(&id, keeper, 4));
    let p = m.nodes[A].node.message(&message).unwrap();
    assert_eq!(p.status, MessageStatus::Relayed);
    assert!(!p.via.contains(&m.id(eve.n)) || keepers.contains(&eve.n));
    assert_eq!(m.nodes[A].counters().backups_unexpected, 3);
}

#[test]
fn nothing_is_kept_that_its_sender_has_not_signed_or_that_is_not_addressed_to_the_keeper() {
    let mut m = network_of(6);
    let (eve, _, _, bundle, keepers) = kept(&mut m);
    let other = (2..6).find(|n| !keepers.contains(n)).unwrap();
    let (me, she) = (m.id(other), m.id(eve.n));
    let mut bad = vec![carried(&[she], &bundle), carried(&vec![me; 40], &bundle), carried(&[], &bundle)];
    // In the sender's id, what it says of the session, and the box.
    bad.extend([10, 60, 200].map(|at| {
        let mut altered = bundle.clone();
        altered[at] ^= 1;
        carried(&[me, she], &altered)
    }));
    for words in bad {
        let before = m.nodes[other].counters().backups_refused + m.nodes[other].counters().backups_malformed;
        eve.says(&mut m, other, KEEP, words);
        let after = m.nodes[other].counters().backups_refused + m.nodes[other].counters().backups_malformed;
        assert_eq!((after, m.nodes[other].node.kept_for_others().0), (before + 1, 0));
    }
    // What is sound is, whoever brings it.
    eve.says(&mut m, other, KEEP, carried(&[me, she], &bundle));
    assert_eq!(m.nodes[other].node.kept_for_others().0, 1);
}

#[test]
fn what_is_too_old_is_not_kept() {
    let mut m = network_of(6);
    let (eve, _, _, bundle, keepers) = kept(&mut m);
    let other = (2..6).find(|n| !keepers.contains(n)).unwrap();
    let me = m.id(other);
    for n in (0..m.nodes.len()).filter(|n| *n != B) {
        m.nodes[n].now.wall.0 += 25 * 3_600_000;
    }
    eve.says(&mut m, other, KEEP, carried(&[me], &bundle));
    assert_eq!((m.nodes[other].node.kept_for_others().0, m.nodes[other].counters().backups_refused), (0, 1));
}

#[test]
fn what_is_handed_over_altered_or_to_another_is_shown_to_nobody() {
    let mut m = network_of(6);
    let (eve, _, _, bundle, _) = kept(&mut m);
    m.pass(40_000);
    m.comes_back(B, 2);
    m.pass(30_000);
    assert_eq!(m.texts(B), ["for later"]);
    let she = m.id(eve.n);
    for at in [10, 60, 200, bundle.len() - 70, bundle.len() - 5] {
        let mut altered = bundle.clone();
        altered[at] ^= 1;
        eve.says(&mut m, B, HAND, carried(&[she], &altered));
    }
    eve.says(&mut m, 3, HAND, carried(&[she], &bundle));
    eve.says(&mut m, B, HAND, carried(&[she], &bundle));
    m.pass(5_000);
    assert_eq!((m.texts(B).len(), m.texts(3).len()), (1, 0));
    assert!(m.nodes[B].counters().backups_forged >= 3 && m.nodes[3].counters().backups_forged == 1);
    assert_eq!(m.nodes[B].node.inbox().count(), 1);
}

#[test]
fn what_is_no_word_at_all_is_counted_and_passed_over() {
    let mut m = network_of(3);
    let eve = Eve::enters(&mut m);
    for kind in KEEP..=HAVE {
        for body in
            [vec![], vec![0xff], vec![0x82], vec![0x9b; 30], vec![0x82, 0x9b, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]]
        {
            eve.says(&mut m, 2, kind, body);
        }
    }
    assert_eq!(m.nodes[2].counters().backups_malformed, 25);
    assert_eq!(m.nodes[2].counters().envelopes_unknown, 0);
}

#[test]
fn words_about_who_keeps_what_cost_few_writes() {
    let mut m = network_of(7);
    let (eve, _, id, bundle, keepers) = kept(&mut m);
    let other = (2..7).find(|n| !keepers.contains(n)).unwrap();
    let (me, she) = (m.id(other), m.id(eve.n));
    eve.says(&mut m, other, KEEP, carried(&[me, she], &bundle));
    let writes = |m: &Mesh| m.nodes[other].writes_of(b"direct/backup/");
    let before = writes(&m);
    for n in 0..40 {
        let list = if n % 2 == 0 { vec![me] } else { vec![me, she] };
        eve.says(&mut m, other, NOTE, note(&id, &list));
    }
    // They took forty seconds: it was looked at copies four times.
    assert!(writes(&m) - before <= 6, "{}", writes(&m) - before);
}

#[test]
fn what_is_handed_over_in_a_flood_is_passed_over_and_tells_nobody_else() {
    let mut m = network_of(6);
    let (eve, _, _, bundle, _) = kept(&mut m);
    m.pass(40_000);
    m.comes_back(B, 2);
    m.pass(30_000);
    assert_eq!(m.keepers(), [0; 0]);
    let all: Vec<NodeId> = (2..6).map(|n| m.id(n)).collect();
    let (sent, told) = (m.nodes[B].counters().direct_sent, m.nodes[A].counters().backups_unexpected);
    for n in 0..30 {
        let mut altered = bundle.clone();
        let at = bundle.len() - 80 - n;
        altered[at] ^= 1;
        eve.says(&mut m, B, HAND, carried(&all, if n % 2 == 0 { &bundle } else { &altered }));
    }
    // One word to her for each; the sender heard of it before, and has nothing to do with what is altered but once.
    let sent = m.nodes[B].counters().direct_sent - sent;
    assert!(sent <= 30 + 30, "{sent}");
    assert!((2..6).all(|n| m.nodes[n].counters().backups_unexpected == 0));
    assert!(m.nodes[A].counters().backups_unexpected - told <= 15);
}

#[test]
fn the_sender_and_the_receiver_have_it_dropped_and_keepers_tell_each_other_who_they_are() {
    let mut m = network_of(7);
    let (eve, _, id, bundle, keepers) = kept(&mut m);
    let other = (2..7).find(|n| !keepers.contains(n)).unwrap();
    // Eve keeps it too by a keeper's word; now hers counts there, and does not drop it.
    let (me, she) = (m.id(other), m.id(eve.n));
    eve.says(&mut m, other, KEEP, carried(&[me, she], &bundle));
    eve.says(&mut m, other, NOTE, note(&id, &[me]));
    assert_eq!(m.nodes[other].counters().backups_unexpected, 0);
    eve.says(&mut m, other, NOTE, note(&id, &[]));
    assert_eq!(m.nodes[other].counters().backups_unexpected, 1);
    assert_eq!(m.nodes[other].node.kept_for_others().0, 1);
}
