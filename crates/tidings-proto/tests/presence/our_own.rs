//! What a node says of itself.

use super::*;

#[test]
fn the_first_neighbour_is_told_who_is_here() {
    let (d, friend) = with_a_friend();
    let said = beacons(&d, &friend);
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].1.addrs, [addr(200)]);
    assert!(!said[0].1.leaving);
    assert_eq!(d.node.presence()[0].node, d.id());
}

#[test]
fn nothing_is_said_before_the_epoch_is_stored() {
    let mut d = Driven::unloaded(GossipConfig::default());
    d.auto_store = false;
    d.run();
    d.command(Command::SetAddrs { addrs: vec![addr(200)] });
    let friend = Fake::new(1);
    d.link(&friend);
    d.befriend(&friend, Overlay::Root);
    d.pass_ms(5_000);
    assert_eq!(beacons(&d, &friend), []);
    d.write();
    assert_eq!(beacons(&d, &friend).len(), 1);
}

#[test]
fn no_version_and_so_no_nonce_serves_twice_though_the_process_is_killed_again_and_again() {
    let (mut d, friend) = with_a_friend();
    let mut used = BTreeSet::new();
    for life in 0..5 {
        for n in 0..3 {
            d.command(Command::SetStatus { status: format!("{life} {n}") });
            d.pass_ms(6_000);
        }
        for (version, ..) in beacons(&d, &friend) {
            assert!(used.insert(version), "{version} twice");
            assert_eq!(used.last(), Some(&version), "they grow");
        }
        // The clock was set back.
        d.now.wall.0 -= 60_000;
        d = d.restart(Span::ZERO);
        d.link(&friend);
        d.befriend(&friend, Overlay::Root);
    }
    assert!(used.len() >= 15, "{used:?}");
}

#[test]
fn a_change_is_told_at_once_and_the_next_ones_together() {
    let (mut d, friend) = with_a_friend();
    d.pass_ms(10_000);
    d.did.clear();
    d.command(Command::SetStatus { status: "one".into() });
    assert_eq!(beacons(&d, &friend).iter().map(|b| &b.1.status[..]).collect::<Vec<_>>(), ["one"]);
    d.command(Command::SetStatus { status: "two".into() });
    d.command(Command::SetAddrs { addrs: vec![addr(201)] });
    d.command(Command::SetStatus { status: "three".into() });
    assert_eq!(beacons(&d, &friend).len(), 1);
    d.pass_ms(6_000);
    let said = beacons(&d, &friend);
    assert_eq!(said.len(), 2);
    assert_eq!((&said[1].1.status[..], &said[1].1.addrs[..]), ("three", &[addr(201)][..]));
    d.command(Command::SetStatus { status: "three".into() });
    d.pass_ms(6_000);
    assert_eq!(beacons(&d, &friend).len(), 2, "nothing changed");
}

#[test]
fn what_does_not_change_is_refreshed_each_half_of_its_life() {
    let (mut d, friend) = with_a_friend();
    d.did.clear();
    d.pass(LIFE.times(5));
    let fresh: usize =
        d.sent_to(&friend.id).iter().map(|m| if let Message::Records(r) = m { r.fresh.len() } else { 0 }).sum();
    assert_eq!((fresh, beacons(&d, &friend).len()), (10, 0));
    assert_eq!(d.node.presence()[0].node, d.id(), "still here");
}

#[test]
fn a_chain_that_ends_is_followed_by_another() {
    let (mut d, friend) = with_a_friend();
    d.did.clear();
    d.pass(LIFE.times(40));
    assert_eq!(beacons(&d, &friend).len(), 1);
    assert_eq!(d.node.presence()[0].node, d.id());
}

#[test]
fn the_fullest_beacon_fits_512_bytes() {
    let addrs: Vec<Addr> = (0..MAX_ADDRS as u8).map(|n| Addr::Socket(([0xfd; 16], u16::from(n)).into())).collect();
    let full = Beacon {
        agent: Some(tidings_proto::identity::AgentId([1; 32])),
        certificate: Some(tidings_proto::identity::CertificateId([2; 32])),
        addrs: addrs.clone(),
        status: "s".repeat(MAX_STATUS),
        leaving: false,
        vias: vec![Via { head: [7; 8], rtt: 20 }; MAX_VIAS],
    };
    let owner = Fake::new(50);
    let bytes = sealed(&owner, &group(), u64::MAX, u64::MAX, &full);
    assert!(bytes.len() <= 512, "{}", bytes.len());
    let claim = signed::peek(&bytes).unwrap();
    let read = open(owner.port(), &group(), &claim, &bytes).unwrap();
    assert!(read.addrs.len() >= 3 && addrs.starts_with(&read.addrs), "{} addresses", read.addrs.len());
    assert_eq!(Beacon { addrs, ..read }, full);
}

#[test]
fn a_status_too_long_or_of_several_lines_is_refused() {
    let (mut d, friend) = with_a_friend();
    for status in ["s".repeat(MAX_STATUS + 1), "two\nlines".to_owned()] {
        let ticket = d.command(Command::SetStatus { status });
        assert!(matches!(d.reply(ticket), Some(Reply::Refused(CommandError::StatusRefused { .. }))));
    }
    d.pass_ms(6_000);
    assert_eq!(beacons(&d, &friend).len(), 1);
}

#[test]
fn who_leaves_says_goodbye_before_its_links_close() {
    let (mut d, friend) = with_a_friend();
    d.did.clear();
    d.command(Command::Leave);
    let said = beacons(&d, &friend);
    assert!(said.len() == 1 && said[0].1.leaving && said[0].1.addrs.is_empty());
    let at = |of: fn(&Did) -> bool| d.did.iter().position(of);
    let goodbye = at(|x| matches!(x, Did::Sent { message: Message::Records(_), .. }));
    let closed = at(|x| matches!(x, Did::Closed(..) | Did::Sent { message: Message::Disconnect(_), .. }));
    assert!(goodbye < closed, "{goodbye:?} {closed:?}");
    d.pass(LIFE.times(2));
    assert_eq!(beacons(&d, &friend).len(), 1, "and nothing more");
}

#[test]
fn who_was_stopped_for_longer_than_its_word_holds_says_so_anew() {
    let (mut d, friend) = with_a_friend();
    d.did.clear();
    d.now.mono += LIFE.times(3);
    d.now.wall.0 += LIFE.times(3).as_millis();
    d.input(Input::Tick).unwrap();
    d.pass_ms(10_000);
    if d.node.active_view(Overlay::Root).contains(&friend.id) {
        assert_eq!(beacons(&d, &friend).len(), 1);
    }
    assert_eq!(d.node.presence()[0].node, d.id());
}

#[test]
fn a_secret_of_zeros_is_none() {
    assert!(GroupSecret::from_bytes([0; 32]).is_none());
    assert!(GroupSecret::from_bytes([1; 32]).is_some());
    assert!(!format!("{:?}", GroupSecret::from_bytes([1; 32])).contains('1'));
}

#[test]
fn who_does_not_say_that_it_is_here_sees_who_is() {
    let mut d = Driven::with(GossipConfig { presence: false, ..GossipConfig::default() });
    let friend = Fake::new(1);
    d.link(&friend);
    d.befriend(&friend, Overlay::Root);
    d.command(Command::SetAddrs { addrs: vec![addr(201)] });
    let ticket = d.command(Command::SetStatus { status: "here".into() });
    assert!(matches!(d.reply(ticket), Some(Reply::Refused(CommandError::NoPresence))));
    d.pass(LIFE.times(2));
    says(&mut d, &friend, &friend, 1, &beacon("near"));
    assert_eq!(d.node.presence().iter().map(|p| p.node).collect::<Vec<_>>(), [friend.id]);
    d.command(Command::Leave);
    assert_eq!(beacons(&d, &friend).len(), 0, "not even a goodbye");
}
