//! Messages of the tree that nobody asked for, or that ask for too much.

use super::*;

#[test]
fn about_a_topic_we_are_not_in_are_counted() {
    let mut s = Scene::new();
    let topic = other_topic();
    let announced = Announced { id: short(1), hop: 1, held: 0 };
    let ranges = vec![range(&s.author, 1, 9)];
    s.says_in_vain("frames_unexpected", IHave { topic, batches: vec![announced] });
    s.says_in_vain("frames_unexpected", Graft { topic, ids: vec![short(1)], eager: true });
    s.says_in_vain("frames_unexpected", Prune { topic });
    s.says_in_vain("frames_unexpected", Fetch { topic, ranges });
}

#[test]
fn of_a_peer_that_is_no_neighbour_are_counted() {
    let mut s = Scene::new();
    let stranger = s.stranger();
    let (topic, ranges) = (news(), vec![range(&s.author, 1, 9)]);
    let all: [Message; 4] = [
        IHave { topic, batches: vec![Announced { id: short(1), hop: 1, held: 0 }] }.into(),
        Graft { topic, ids: vec![short(1)], eager: true }.into(),
        Prune { topic }.into(),
        Fetch { topic, ranges }.into(),
    ];
    for m in all {
        let name = m.name();
        let counted = s.counted(|s| s.d.say(&stranger, m));
        assert_eq!(counted, BTreeMap::from([("frames_unexpected".to_string(), 1)]), "{name}");
    }
    assert!(s.d.sent_to(&stranger.id).is_empty(), "it was served");
    s.works();
}

#[test]
fn that_ask_for_unknown_batches_are_counted() {
    let mut s = Scene::new();
    s.says_in_vain("log_misses", Graft { topic: news(), ids: vec![short(1)], eager: false });
}

#[test]
fn that_ask_for_ranges_the_wrong_way_round_are_counted() {
    let mut s = Scene::new();
    let ranges = vec![range(&s.author, 9, 1)];
    s.says_in_vain("log_misses", Fetch { topic: news(), ranges });
}

#[test]
fn that_ask_for_everything_are_answered_within_bounds() {
    let mut s = Scene::new();
    for n in 2..=200 {
        s.d.bring(&s.friend, &s.author.batch(n, b"x"));
    }
    s.good = 200;
    let before = s.d.batches_to(&s.rogue.id).len();
    let everything = vec![range(&s.author, 0, u64::MAX); MAX_RANGES];
    s.d.say(&s.rogue, Fetch { topic: news(), ranges: everything });
    let served = s.d.batches_to(&s.rogue.id).len() - before;
    assert!((1..=64).contains(&served), "{served} were served");
    s.works();
}

#[test]
fn that_ask_for_numbers_nobody_has_are_counted() {
    let mut s = Scene::new();
    let ranges = vec![range(&s.author, u64::MAX, u64::MAX)];
    s.says_in_vain("log_misses", Fetch { topic: news(), ranges });
    let ranges = vec![Range { epoch: u64::MAX, ..range(&s.author, 0, u64::MAX) }];
    s.says_in_vain("log_misses", Fetch { topic: news(), ranges });
}

#[test]
fn that_announce_without_end_are_bounded() {
    let mut s = Scene::new();
    let mut n = 0u128;
    for _ in 0..40 {
        let batches = (0..MAX_IHAVES)
            .map(|_| {
                n += 1;
                Announced { id: ShortId(n.to_be_bytes()), hop: 1, held: 0 }
            })
            .collect();
        s.d.say(&s.rogue, IHave { topic: news(), batches });
    }
    assert!(s.d.counters().ihaves_shed > 0);
    s.d.pass_ms(60_000);
    s.works();
}

#[test]
fn that_announce_what_was_held_for_ever_do_no_harm() {
    let mut s = Scene::new();
    let known = s.author.batch(1, b"good 1").short_id();
    let batches = [known, short(3)].map(|id| Announced { id, hop: u16::MAX, held: u32::MAX }).to_vec();
    s.d.say(&s.rogue, IHave { topic: news(), batches });
    s.d.pass_ms(10_000);
    s.works();
}
