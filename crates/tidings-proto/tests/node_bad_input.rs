//! What others may send: each bad input is refused or counted, and the node works afterwards.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::*;
use tidings_proto::identity::{Network, NodeId, PeerAddr, TopicId};
use tidings_proto::io::*;
use tidings_proto::node::Error;
use tidings_proto::pubsub::{BatchHeader, MAX_MESSAGE};
use tidings_proto::time::Span;
use tidings_proto::wire::*;

/// A node with two neighbours, in the network's overlay and on the topic, and an author known by one batch.
struct Scene {
    d: Driven,
    friend: Fake,
    rogue: Fake,
    author: Fake,
    good: u64,
}

impl Scene {
    fn new() -> Scene {
        let mut s =
            Scene { d: Driven::on_topic(), friend: Fake::new(1), rogue: Fake::new(2), author: Fake::new(9), good: 0 };
        s.d.neighbor(&s.friend);
        s.d.neighbor(&s.rogue);
        s.works();
        s
    }

    /// A good batch comes through.
    fn works(&mut self) {
        self.good += 1;
        let payload = format!("good {}", self.good);
        let b = self.author.batch(self.good, payload.as_bytes());
        self.d.bring(&self.friend, &b);
        assert_eq!(self.d.payloads().last().expect("nothing is delivered"), payload.as_bytes());
    }

    /// Does something, and says which counters it moved, those of traffic aside.
    fn counted(&mut self, what: impl FnOnce(&mut Scene)) -> BTreeMap<String, u64> {
        let before = numbers(&self.d);
        what(self);
        let after = numbers(&self.d);
        let moved = after.into_iter().map(|(k, v)| {
            let b = before[&k];
            (k, v - b)
        });
        moved.filter(|(k, v)| *v > 0 && !k.ends_with("s_in") && !k.ends_with("_out")).collect()
    }

    /// The rogue's frame moves exactly this counter, by one; nothing is delivered, and the node works.
    fn counts(&mut self, counter: &str, what: impl FnOnce(&mut Scene)) {
        let delivered = self.d.delivered().len();
        assert_eq!(self.counted(what), BTreeMap::from([(counter.to_string(), 1)]));
        assert_eq!(self.d.delivered().len(), delivered, "something was delivered");
        self.works();
    }

    fn refuses(&mut self, bytes: impl Into<Bytes>, error: WireError) {
        let (bytes, from) = (bytes.into(), self.rogue.id);
        self.counts("frames_malformed", |s| {
            assert_eq!(s.d.frame(&s.rogue, Lane::Control, bytes), Err(Error::Wire { from, error }));
        });
    }

    fn says_in_vain(&mut self, counter: &str, message: impl Into<Message>) {
        let message = message.into();
        self.counts(counter, |s| s.d.say(&s.rogue, message));
    }

    fn brings_in_vain(&mut self, counter: &str, batch: Bytes) {
        self.counts(counter, |s| s.d.frame(&s.rogue, Lane::Data, gossip_bytes(batch).to_bytes()).unwrap());
    }

    /// A stranger: linked, and no neighbour.
    fn stranger(&mut self) -> Fake {
        let stranger = Fake::new(30);
        self.d.link(&stranger);
        stranger
    }
}

fn numbers(d: &Driven) -> BTreeMap<String, u64> {
    serde_json::from_value(serde_json::to_value(d.counters()).unwrap()).unwrap()
}

fn other_topic() -> TopicId {
    TopicId::from_name("other").unwrap()
}

fn short(n: u8) -> ShortId {
    ShortId([n; 16])
}

fn range(author: &Fake, from: u64, to: u64) -> Range {
    Range { author: author.id, epoch: 1, from, to }
}

fn sketch() -> Sketch {
    Sketch::default()
}

mod frames {
    use super::*;

    #[test]
    fn of_garbage_are_refused() {
        Scene::new().refuses(vec![0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0], WireError::Version(0xde));
    }

    #[test]
    fn of_another_version_are_refused() {
        let mut f = Message::from(Prune { topic: news() }).frame().to_bytes().to_vec();
        f[0] = VERSION + 1;
        Scene::new().refuses(f, WireError::Version(VERSION + 1));
    }

    #[test]
    fn that_are_empty_or_cut_short_are_refused() {
        let whole = Message::from(Prune { topic: news() }).frame().to_bytes();
        let mut s = Scene::new();
        for len in 0..whole.len() {
            s.refuses(whole.slice(..len), WireError::Truncated);
        }
    }

    #[test]
    fn with_bytes_behind_them_are_refused() {
        let mut f = Message::from(Prune { topic: news() }).frame().to_bytes().to_vec();
        f.push(0);
        Scene::new().refuses(f, WireError::Trailing);
    }

    #[test]
    fn too_long_are_refused() {
        let mut f = vec![VERSION, 30, 0, 0];
        f.extend_from_slice(&u32::MAX.to_le_bytes());
        Scene::new().refuses(f, WireError::TooLong(8 + u32::MAX as usize));
    }

    #[test]
    fn with_a_malformed_body_are_refused() {
        Scene::new().refuses(Frame::new(33, &[0xff], Bytes::new()).to_bytes(), WireError::Body(33));
    }

    #[test]
    fn with_a_list_past_its_limit_are_refused() {
        let m = Message::from(Fetch { topic: news(), ranges: vec![range(&Fake::new(9), 1, 2); MAX_RANGES + 1] });
        Scene::new().refuses(m.frame().to_bytes(), WireError::Limit(34));
    }

    #[test]
    fn with_an_unknown_tag_are_skipped_and_counted() {
        Scene::new().counts("frames_unknown", |s| {
            let f = Frame::new(200, b"whatever", Bytes::from_static(b"and more"));
            s.d.frame(&s.rogue, Lane::Control, f.to_bytes()).unwrap();
        });
    }

    #[test]
    fn on_a_wrong_lane_are_refused() {
        let mut s = Scene::new();
        let from = s.rogue.id;
        let prune = Message::from(Prune { topic: news() }).frame().to_bytes();
        let batch = gossip(&s.author.batch(50, b"x")).to_bytes();
        for (frame, name, lane) in [
            (&prune, "Prune", Lane::Data),
            (&prune, "Prune", Lane::Bulk),
            (&prune, "Prune", Lane::Probe),
            (&batch, "Gossip", Lane::Control),
            (&batch, "Gossip", Lane::Bulk),
        ] {
            s.counts("frames_wrong_lane", |s| {
                assert_eq!(s.d.frame(&s.rogue, lane, frame.clone()), Err(Error::Lane { from, name, lane }));
            });
        }
    }

    #[test]
    fn of_a_peer_without_a_link_are_dropped_and_counted() {
        let nobody = Fake::new(40);
        Scene::new().counts("frames_unexpected", |s| {
            let b = s.author.batch(50, b"x");
            s.d.bring(&nobody, &b);
        });
    }

    #[test]
    fn of_a_link_that_ended_are_dropped_and_counted() {
        let mut s = Scene::new();
        s.d.input(Input::LinkDown { peer: s.rogue.id, reason: LinkRefusal::Silent }).unwrap();
        s.says_in_vain("frames_unexpected", Prune { topic: news() });
    }

    #[test]
    fn that_come_as_datagrams_are_counted() {
        Scene::new().counts("frames_wrong_lane", |s| {
            let bytes = gossip(&s.author.batch(50, b"x")).to_bytes();
            let (from, name, lane) = (s.rogue.id, "Gossip", Lane::Probe);
            assert_eq!(s.d.input(Input::Datagram { from, bytes }), Err(Error::Lane { from, name, lane }));
        });
    }

    #[test]
    fn before_storage_was_read_are_held_back_up_to_a_bound() {
        let mut d = Driven::unloaded(Default::default());
        let rogue = Fake::new(2);
        d.hand_in(Input::LinkUp { peer: rogue.id, addr: None, outbound: false, rtt: None }).unwrap();
        let frame = || Input::Frame {
            from: rogue.id,
            lane: Lane::Control,
            bytes: Message::from(Prune { topic: news() }).frame().to_bytes(),
        };
        let held = (0..100_000).find(|_| d.hand_in(frame()).is_err()).expect("a bound");
        assert!(held <= 4096, "{held}");
        assert_eq!(d.hand_in(frame()), Err(Error::NotReady { from: rogue.id }));
        d.run();
        d.command(Command::Subscribe { topic: news() });
        let friend = Fake::new(1);
        d.neighbor(&friend);
        d.bring(&friend, &Fake::new(9).batch(1, b"x"));
        assert_eq!(d.payloads(), [&b"x"[..]]);
    }
}

mod batches {
    use super::*;

    #[test]
    fn that_are_empty_or_garbage_are_counted() {
        let mut s = Scene::new();
        s.brings_in_vain("batches_malformed", Bytes::new());
        s.brings_in_vain(
            "batches_malformed",
            Bytes::from_static(b"\x05\x00garbage that goes on for some time, and on"),
        );
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
        let [just, over, never] = [WALL + 15 * 60_000, WALL + 15 * 60_000 + 1, u64::MAX]
            .map(|w| s.author.seal(wall(w), &[b"x"]).bytes().clone());
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
}

mod tree_messages {
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
}

mod membership_messages {
    use super::*;

    fn shuffle(path: Vec<NodeId>, ttl: u8) -> Shuffle {
        Shuffle { overlay: None, ttl, path, peers: vec![Fake::new(50).addr], sketch: sketch() }
    }

    #[test]
    fn a_shuffle_whose_path_does_not_end_at_its_sender_is_counted() {
        let mut s = Scene::new();
        for path in [vec![], vec![s.friend.id], vec![s.rogue.id, s.friend.id]] {
            s.says_in_vain("frames_unexpected", shuffle(path, 1));
        }
        assert!(!s.d.node.passive_view(Overlay::Root).contains(&Fake::new(50).id));
    }

    #[test]
    fn a_shuffle_that_passed_here_before_is_counted() {
        let mut s = Scene::new();
        let path = vec![s.d.id(), s.rogue.id];
        s.says_in_vain("frames_unexpected", shuffle(path, 1));
    }

    #[test]
    fn a_shuffle_with_hops_without_end_is_cut_to_the_usual() {
        let mut s = Scene::new();
        let path = vec![s.rogue.id];
        s.d.say(&s.rogue, shuffle(path, 255));
        let on: Vec<u8> =
            s.d.sent_to(&s.friend.id)
                .iter()
                .filter_map(|m| match m {
                    Message::Shuffle(m) => Some(m.ttl),
                    _ => None,
                })
                .collect();
        assert_eq!(on, [3]);
    }

    #[test]
    fn a_shuffle_of_a_peer_that_is_no_neighbour_is_counted() {
        let mut s = Scene::new();
        let stranger = s.stranger();
        let m = shuffle(vec![stranger.id], 1);
        s.counts("frames_unexpected", |s| s.d.say(&stranger, m));
    }

    #[test]
    fn an_answer_to_no_shuffle_is_counted() {
        let mut s = Scene::new();
        let peers = vec![Fake::new(50).addr];
        s.says_in_vain("frames_unexpected", ShuffleReply { overlay: None, path: vec![], peers, sketch: sketch() });
        assert!(!s.d.node.passive_view(Overlay::Root).contains(&Fake::new(50).id));
    }

    #[test]
    fn a_walk_of_a_peer_that_is_no_neighbour_is_counted() {
        let mut s = Scene::new();
        let stranger = s.stranger();
        let m = ForwardJoin { overlay: None, newcomer: Fake::new(50).addr, ttl: 0 };
        s.counts("frames_unexpected", |s| s.d.say(&stranger, m));
        assert!(!s.d.did.iter().any(|x| matches!(x, Did::Dialed(p) if *p == Fake::new(50).id)));
    }

    #[test]
    fn a_walk_in_an_overlay_we_are_not_in_is_counted() {
        let overlay = Some(other_topic());
        Scene::new().says_in_vain("frames_unexpected", ForwardJoin { overlay, newcomer: Fake::new(50).addr, ttl: 0 });
    }

    #[test]
    fn a_walk_for_ourselves_goes_nowhere() {
        let mut s = Scene::new();
        let me = PeerAddr { id: s.d.id(), addrs: vec![addr(99)] };
        for ttl in [0, 3, 255] {
            s.d.say(&s.rogue, ForwardJoin { overlay: None, newcomer: me.clone(), ttl });
        }
        s.d.pass_ms(5_000);
        assert!(!s.d.did.iter().any(|x| matches!(x, Did::Dialed(p) if *p == me.id)));
        s.works();
    }

    #[test]
    fn a_yes_that_nobody_asked_for_makes_no_neighbour() {
        let mut s = Scene::new();
        let stranger = s.stranger();
        let yes =
            NeighborReply { overlay: None, accept: true, others: vec![Fake::new(50).addr], sketch: sketch(), me: None };
        s.counts("frames_unexpected", |s| s.d.say(&stranger, yes));
        assert!(!s.d.node.active_view(Overlay::Root).contains(&stranger.id));
        assert!(matches!(s.d.sent_to(&stranger.id)[..], [Message::Disconnect(_)]), "the other end must know");
        assert!(!s.d.node.passive_view(Overlay::Root).contains(&Fake::new(50).id));
        s.works();
    }

    #[test]
    fn members_that_nobody_asked_for_are_counted() {
        let m = TopicPeers { topic: news(), peers: vec![Fake::new(50).addr] };
        Scene::new().says_in_vain("frames_unexpected", m);
    }

    #[test]
    fn answers_and_farewells_in_an_overlay_we_are_not_in_are_counted() {
        let mut s = Scene::new();
        let overlay = Some(other_topic());
        let others = vec![Fake::new(50).addr];
        let no = NeighborReply { overlay, accept: false, others: others.clone(), sketch: sketch(), me: None };
        s.says_in_vain("frames_unexpected", no);
        s.says_in_vain("frames_unexpected", TopicPeers { topic: other_topic(), peers: others });
        s.says_in_vain("frames_unexpected", Disconnect { overlay, reason: 0, instead: None });
    }

    #[test]
    fn an_answer_whose_way_back_is_gone_is_counted() {
        let m = ShuffleReply { overlay: None, path: vec![Fake::new(60).id], peers: vec![], sketch: sketch() };
        Scene::new().says_in_vain("walks_lost", m);
    }

    #[test]
    fn a_farewell_of_a_peer_that_is_no_neighbour_changes_nothing() {
        let mut s = Scene::new();
        let stranger = s.stranger();
        let before = s.d.node.active_view(Overlay::Root);
        let instead = Some(Fake::new(50).addr);
        let bye = Disconnect { overlay: None, reason: 255, instead };
        s.counts("frames_unexpected", |s| s.d.say(&stranger, bye));
        assert_eq!(s.d.node.active_view(Overlay::Root), before);
        assert!(!s.d.did.iter().any(|x| matches!(x, Did::Dialed(_))));
        s.works();
    }

    #[test]
    fn topics_of_a_peer_that_is_no_neighbour_are_counted() {
        let mut s = Scene::new();
        let stranger = s.stranger();
        let m = Topics { fresh: true, add: vec![other_topic()], remove: vec![] };
        s.counts("frames_unexpected", |s| s.d.say(&stranger, m));
    }

    #[test]
    fn a_flood_of_topics_is_kept_up_to_a_bound() {
        let mut s = Scene::new();
        let name = |n: usize| TopicId::from_name(&format!("flood {n}")).unwrap();
        for part in 0..20 {
            let add = (part * 128..(part + 1) * 128).map(name).collect();
            s.d.say(&s.rogue, Topics { fresh: false, add, remove: vec![] });
        }
        assert_eq!(s.d.counters().topics_ignored, 20 * 128 - 1024);
        let asked = |s: &mut Scene, topic| {
            s.d.command(Command::Subscribe { topic });
            s.d.pass_ms(1_000);
            let to = s.d.sent_to(&s.rogue.id);
            to.iter().any(|m| matches!(m, Message::Neighbor(n) if n.overlay == Some(topic)))
        };
        assert!(asked(&mut s, name(0)), "one within the bound is remembered");
        assert!(!asked(&mut s, name(20 * 128 - 1)), "one past it is not");
        s.works();
    }

    #[test]
    fn a_sketch_of_a_period_at_the_end_changes_nothing() {
        let mut s = Scene::new();
        let members = |s: &Scene| s.d.node.view(Overlay::Root).unwrap().members;
        let before = members(&s);
        let absurd = Sketch { period: u64::MAX, hashes: (0..16).collect() };
        let (me, overlay) = (s.rogue.addr.clone(), None);
        s.d.say(&s.rogue, Neighbor { overlay, me: me.clone(), urgent: false, room: 255, sketch: absurd.clone() });
        s.d.say(&s.rogue, Join { overlay, me, sketch: absurd.clone() });
        let path = vec![s.rogue.id];
        s.d.say(&s.rogue, Shuffle { overlay, ttl: 0, path, peers: vec![], sketch: absurd });
        assert_eq!(members(&s), before);
        s.works();
    }

    #[test]
    fn a_sketch_of_absurdly_small_hashes_does_not_grow_a_view() {
        let mut s = Scene::new();
        let sketch = Sketch { period: WALL / 600_000, hashes: vec![0; 16] };
        let overlay = Some(news());
        s.d.say(&s.rogue, Neighbor { overlay, me: s.rogue.addr.clone(), urgent: false, room: 1, sketch });
        let sketch = Sketch { period: WALL / 600_000, hashes: (0..16).collect() };
        s.d.say(&s.rogue, Neighbor { overlay, me: s.rogue.addr.clone(), urgent: false, room: 1, sketch });
        let view = s.d.node.view(Overlay::Topic(news())).unwrap();
        assert!(view.members.is_finite() && view.target <= 10, "{view:?}");
        s.works();
    }

    #[test]
    fn a_flood_of_joins_is_limited() {
        let mut s = Scene::new();
        let stranger = s.stranger();
        for _ in 0..200 {
            s.d.say(&stranger, Join { overlay: None, me: stranger.addr.clone(), sketch: sketch() });
        }
        assert!(s.d.counters().joins_limited >= 100);
        s.works();
    }

    #[test]
    fn a_flood_of_newcomers_does_not_take_a_view_over() {
        let mut s = Scene::new();
        let old: Vec<Fake> = (60..68).map(Fake::new).collect();
        for p in &old {
            s.d.link(p);
            s.d.befriend(p, Overlay::Root);
            s.d.pass_ms(10);
        }
        let before = s.d.node.active_view(Overlay::Root);
        for n in 100..180 {
            let newcomer = Fake::new(n);
            s.d.link(&newcomer);
            let m = Neighbor { overlay: None, me: newcomer.addr.clone(), urgent: true, room: 10, sketch: sketch() };
            s.d.say(&newcomer, m);
        }
        let after = s.d.node.active_view(Overlay::Root);
        assert!(after.len() <= 10);
        assert!(before[..5].iter().all(|p| after.contains(p)), "the older half must stay");
    }

    #[test]
    fn a_walk_without_address_or_for_ourselves_goes_nowhere() {
        let mut s = Scene::new();
        let mut say = |seeker| s.d.say(&s.rogue, TopicWalk { topic: news(), seeker, ttl: 255 });
        say(PeerAddr { id: Fake::new(50).id, addrs: vec![] });
        say(PeerAddr { id: Driven::new().id(), addrs: vec![addr(1)] });
        assert!(!s.d.did.iter().any(|x| matches!(x, Did::Dialed(_))));
        s.works();
    }
}

mod the_driver {
    use super::*;

    #[test]
    fn may_report_links_credit_and_records_nobody_knows_of() {
        let mut s = Scene::new();
        let peer = Fake::new(77).id;
        let before = s.d.delivered().len();
        for input in [
            Input::LinkDown { peer, reason: LinkRefusal::Error },
            Input::DialFailed { peer, reason: LinkRefusal::Timeout },
            Input::SendCredit { peer, lane: Lane::Probe, bytes: usize::MAX },
            Input::SendCredit { peer: s.friend.id, lane: Lane::Probe, bytes: usize::MAX },
            Input::Stored { ticket: StoreTicket(9_999), result: Ok(()) },
            Input::Loaded { ticket: StoreTicket(9_999), result: Ok(vec![]) },
            Input::Loaded { ticket: StoreTicket(0), result: Ok(vec![]) },
            Input::Tick,
        ] {
            s.d.input(input).unwrap();
        }
        assert_eq!(s.d.delivered().len(), before);
        s.works();
    }

    #[test]
    fn is_told_to_close_a_link_to_ourselves() {
        let mut s = Scene::new();
        let peer = s.d.id();
        s.d.input(Input::LinkUp { peer, addr: None, outbound: false, rtt: None }).unwrap();
        assert_eq!(s.d.closed(), [peer]);
        s.works();
    }

    #[test]
    fn may_tick_at_any_time() {
        let mut s = Scene::new();
        for _ in 0..100 {
            s.d.input(Input::Tick).unwrap();
        }
        s.d.now.mono.0 -= 500_000;
        s.d.input(Input::Tick).unwrap();
        s.d.pass(Span::from_secs(30));
        s.works();
    }
}

mod after_leaving {
    use super::*;

    #[test]
    fn nothing_is_taken_and_no_link_is_wanted() {
        let mut s = Scene::new();
        s.d.command(Command::Leave);
        s.d.did.clear();
        s.d.bring(&s.friend, &s.author.batch(2, b"x"));
        assert!(s.d.delivered().is_empty());
        s.d.link(&Fake::new(3));
        assert_eq!(s.d.closed(), [Fake::new(3).id]);
        s.d.command(Command::Join { peers: vec![Fake::new(4).addr] });
        s.d.pass_ms(60_000);
        assert!(!s.d.did.iter().any(|x| matches!(x, Did::Dialed(_))), "it does nothing afterwards");
    }

    #[test]
    fn what_was_accepted_for_publishing_has_left() {
        let mut s = Scene::new();
        // The first batch is held back from being followed at once, while it builds the tree.
        let topic = other_topic();
        s.d.befriend(&s.friend, Overlay::Root);
        s.d.command(Command::Subscribe { topic });
        s.d.befriend(&s.friend, Overlay::Topic(topic));
        let publish = |d: &mut Driven| d.command(Command::Publish { topic, message: out(b"x") });
        let (first, second) = (publish(&mut s.d), publish(&mut s.d));
        s.d.command(Command::Leave);
        s.d.published(first);
        s.d.published(second);
        let sent = s.d.batches_to(&s.friend.id).iter().filter(|b| b.header().topic == topic).count();
        assert_eq!(sent, 2);
    }
}
