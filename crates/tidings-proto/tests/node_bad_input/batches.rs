//! Batches that are malformed, forged, contradictory, or of another time or place.

use super::*;

#[test]
fn that_are_empty_or_garbage_are_counted() {
    let mut s = Scene::new();
    s.brings_in_vain("batches_malformed", Bytes::new());
    s.brings_in_vain("batches_malformed", Bytes::from_static(b"\x05\x00garbage that goes on for some time, and on"));
}

#[test]
fn with_a_forged_signature_are_counted() {
    let mut s = Scene::new();
    let b = s.author.batch(50, b"x");
    let mut bytes = b.bytes().to_vec();
    let at = bytes.windows(64).position(|w| w == b.signature()).unwrap();
    bytes[at] ^= 1;
    s.brings_in_vain("batches_forged", bytes.into());
}

#[test]
fn with_any_byte_changed_are_not_delivered() {
    let mut s = Scene::new();
    let whole = s.author.batch(50, b"payload").bytes().clone();
    for at in 0..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 0x10;
        let before = s.d.delivered().len();
        s.d.frame(&s.rogue, Lane::Data, gossip_bytes(bytes.into()).to_bytes()).unwrap();
        assert_eq!(s.d.delivered().len(), before, "byte {at}");
    }
    assert_eq!(s.d.counters().batches_received, 1);
    s.works();
}

#[test]
fn cut_short_are_not_delivered() {
    let mut s = Scene::new();
    let whole = s.author.batch(50, b"payload").bytes().clone();
    for len in 0..whole.len() {
        s.brings_in_vain("batches_malformed", whole.slice(..len));
    }
}

#[test]
fn of_another_network_are_forged_here() {
    let mut s = Scene::new();
    let other = Network::from_name("other").unwrap();
    let b = s.author.seal_in(&other, s.author.header(50, &[b"x"]), &[b"x"]);
    s.brings_in_vain("batches_forged", b.bytes().clone());
}

#[test]
fn in_anothers_name_are_forged() {
    let mut s = Scene::new();
    let theirs = BatchHeader { author: s.author.id, ..s.rogue.header(50, &[b"x"]) };
    let b = s.rogue.seal(theirs, &[b"x"]);
    s.brings_in_vain("batches_forged", b.bytes().clone());
}

#[test]
fn a_forged_one_does_not_stand_in_the_way_of_the_true_one() {
    let mut s = Scene::new();
    let theirs = BatchHeader { author: s.author.id, ..s.rogue.header(2, &[b"x"]) };
    let b = s.rogue.seal(theirs, &[b"x"]);
    s.brings_in_vain("batches_forged", b.bytes().clone());
    assert_eq!(s.d.payloads().last().unwrap(), "good 2");
}

#[test]
fn that_only_look_like_one_that_is_here_say_nothing_about_the_tree() {
    let mut s = Scene::new();
    let true_one = s.author.batch(1, b"good 1");
    let mut forged = true_one.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    s.brings_in_vain("batches_contradictory", forged.into());
    s.d.pass_ms(500);
    let pruned = |s: &Scene| s.d.sent_to(&s.rogue.id).iter().any(|m| matches!(m, Message::Prune(_)));
    assert!(!pruned(&s));
    s.brings_in_vain("batches_duplicate", true_one.bytes().clone());
    s.d.pass_ms(500);
    assert!(pruned(&s), "a true copy does");
}

#[test]
fn in_our_own_name_are_never_delivered() {
    let mut s = Scene::new();
    let ours = BatchHeader { author: s.d.id(), ..s.rogue.header(1, &[b"x"]) };
    let b = s.rogue.seal(ours, &[b"x"]);
    let before = s.d.delivered().len();
    let counted = s.counted(|s| s.d.bring(&s.rogue, &b));
    assert_eq!(counted["batches_duplicate"], 1);
    assert_eq!(s.d.delivered().len(), before);
    s.works();
}

#[test]
fn that_contradict_earlier_ones_in_part_are_counted() {
    let mut s = Scene::new();
    let both: [&[u8]; 2] = [b"other 1", b"new 2"];
    let b = s.author.seal(s.author.header(1, &both), &both);
    s.brings_in_vain("batches_contradictory", b.bytes().clone());
}

#[test]
fn with_a_number_used_before_and_other_content_are_not_delivered() {
    let mut s = Scene::new();
    let b = s.author.batch(1, b"another first");
    s.brings_in_vain("batches_contradictory", b.bytes().clone());
}

#[test]
fn from_too_far_in_the_future_are_counted() {
    let mut s = Scene::new();
    let wall = |wall_ms| BatchHeader { wall_ms, ..s.author.header(50, &[b"x"]) };
    let [just, over, never] =
        [WALL + 15 * 60_000, WALL + 15 * 60_000 + 1, u64::MAX].map(|w| s.author.seal(wall(w), &[b"x"]).bytes().clone());
    s.brings_in_vain("batches_out_of_time", over);
    s.brings_in_vain("batches_out_of_time", never);
    s.d.frame(&s.rogue, Lane::Data, gossip_bytes(just).to_bytes()).unwrap();
    assert_eq!(s.d.counters().batches_out_of_time, 2, "clocks may differ by so much");
}

#[test]
fn older_than_the_history_are_counted() {
    let mut s = Scene::new();
    let wall = |wall_ms| BatchHeader { wall_ms, ..s.author.header(50, &[b"x"]) };
    let [just, over, never] =
        [WALL - 3_600_000, WALL - 3_600_001, 0].map(|w| s.author.seal(wall(w), &[b"x"]).bytes().clone());
    s.brings_in_vain("batches_out_of_time", over);
    s.brings_in_vain("batches_out_of_time", never);
    s.d.frame(&s.rogue, Lane::Data, gossip_bytes(just).to_bytes()).unwrap();
    assert_eq!(s.d.counters().batches_out_of_time, 2);
}

#[test]
fn of_an_epoch_too_old_to_tell_are_counted() {
    let mut s = Scene::new();
    let writer = Fake::new(8);
    for epoch in [10, 20, 30, 40] {
        let b = writer.seal(BatchHeader { epoch, ..writer.header(1, &[b"x"]) }, &[b"x"]);
        s.d.bring(&s.rogue, &b);
    }
    let b = writer.seal(BatchHeader { epoch: 5, ..writer.header(1, &[b"x"]) }, &[b"x"]);
    s.brings_in_vain("batches_out_of_time", b.bytes().clone());
}

#[test]
fn of_a_topic_we_are_not_in_are_counted() {
    let mut s = Scene::new();
    let b = s.author.seal(BatchHeader { topic: other_topic(), ..s.author.header(1, &[b"x"]) }, &[b"x"]);
    s.brings_in_vain("batches_off_topic", b.bytes().clone());
}

#[test]
fn with_a_payload_too_long_are_counted() {
    let mut s = Scene::new();
    let long = vec![0; MAX_MESSAGE + 1];
    let b = s.author.seal(s.author.header(50, &[&long]), &[&long]);
    s.brings_in_vain("batches_malformed", b.bytes().clone());
}

#[test]
fn with_the_last_numbers_there_are_do_no_harm() {
    let mut s = Scene::new();
    let writer = Fake::new(8);
    let b = writer.batch(u64::MAX, b"x");
    s.brings_in_vain("batches_malformed", b.bytes().clone());
    s.d.bring(&s.rogue, &writer.batch(u64::MAX - 1, b"the last"));
    assert_eq!(s.d.payloads().last().unwrap(), &b"the last"[..]);
    s.works();
}

#[test]
fn that_claim_absurdly_long_gaps_do_no_harm() {
    let mut s = Scene::new();
    let writer = Fake::new(8);
    s.d.bring(&s.rogue, &writer.batch(1, b"first"));
    for epoch in 2..8 {
        let header =
            BatchHeader { epoch, previous: Some(at(epoch - 1, u64::MAX)), ..writer.header(u64::MAX - 1, &[b"x"]) };
        let b = writer.seal(header, &[b"x"]);
        s.d.bring(&s.rogue, &b);
        s.d.pass_ms(11_000);
    }
    assert_eq!(s.d.counters().messages_missed, u64::MAX, "the count stays at its end");
    assert!(s.d.gaps().contains(&(7, 1, u64::MAX - 2)), "{:?}", s.d.gaps());
    s.works();
}

#[test]
fn with_epochs_at_the_end_do_no_harm() {
    let mut s = Scene::new();
    let writer = Fake::new(8);
    for (epoch, previous) in [(u64::MAX, None), (u64::MAX, Some(at(u64::MAX, u64::MAX))), (0, Some(at(0, 0)))] {
        for seq in [1, 3] {
            let b = writer.seal(BatchHeader { epoch, previous, ..writer.header(seq, &[b"x"]) }, &[b"x"]);
            s.d.bring(&s.rogue, &b);
            s.d.pass_ms(11_000);
        }
    }
    s.works();
}

#[test]
fn that_travelled_as_far_as_can_be_told_are_passed_on() {
    let mut s = Scene::new();
    let b = s.author.batch(2, b"far");
    s.good = 2;
    let far = Message::from(Gossip { hop: u16::MAX, pulled: false }).frame_with(b.bytes().clone());
    s.d.frame(&s.rogue, Lane::Data, far.to_bytes()).unwrap();
    assert_eq!(s.d.delivered().last().unwrap().hop(), u16::MAX);
    s.d.pass_ms(1_000);
    s.works();
}
