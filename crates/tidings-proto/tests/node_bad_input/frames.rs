//! Frames that cannot be read, or do not belong where they came.

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
