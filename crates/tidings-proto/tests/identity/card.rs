//! Cards: what is read, and what is not.

use super::*;
use tidings_proto::time::UnixMillis;

const NOW: UnixMillis = UnixMillis(WALL);

/// A card of a peer, to be changed as a test needs it.
fn card(peer: &Fake) -> Card {
    Card {
        network: network(),
        peer: peer.addr.clone(),
        agent: agent_of(peer),
        certificate: certificate(peer).id(),
        issued: NOW,
        expires: UnixMillis(WALL + 30 * DAY_MS),
    }
}

fn signed(change: impl FnOnce(&mut Card)) -> Vec<u8> {
    let peer = speaker(9, 90);
    let mut c = card(&peer);
    change(&mut c);
    c.sign(&peer.crypto).unwrap()
}

fn read(bytes: &[u8]) -> Result<Card, CardError> {
    Card::read(bytes, NOW, &Fake::new(1).crypto)
}

#[test]
fn says_whose_it_is_and_where() {
    assert_eq!(read(&signed(|_| {})), Ok(card(&speaker(9, 90))));
}

#[test]
fn of_a_node_is_its_own() {
    let mut d = node();
    d.pass_ms(1);
    let c = read(&d.node.card(&network()).unwrap()).unwrap();
    assert_eq!((c.node(), Some(c.agent), c.peer.addrs), (d.id(), d.node.agent_id(), vec![addr(200)]));
    assert_eq!(Some(CertificateRef::from(c.certificate)), d.node.certificate());
}

#[test]
fn of_a_node_without_an_agent_or_an_address_there_is_none() {
    assert_eq!(plain().node.card(&network()), None);
    let mut d = unstarted(77);
    d.run();
    assert_eq!(d.node.card(&network()), None);
}

#[test]
fn that_is_changed_anywhere_is_not_read() {
    let good = signed(|_| {});
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert!(read(&bytes).is_err(), "{at}");
    }
}

#[test]
fn that_another_node_signed_is_forged() {
    let bytes = card(&speaker(9, 90)).sign(&Fake::new(8).crypto).unwrap();
    assert_eq!(read(&bytes), Err(CardError::Forged));
}

#[test]
fn that_is_cut_short_or_longer_makes_no_sense() {
    let good = signed(|_| {});
    for n in 0..good.len() {
        assert!(read(&good[..n]).is_err(), "{n}");
    }
    assert_eq!(read(&[0; MAX_CARD + 1]), Err(CardError::Limit));
}

#[test]
fn of_a_newer_version_says_so() {
    let mut bytes = signed(|_| {});
    bytes[0] = 2;
    assert_eq!(read(&bytes), Err(CardError::Newer { found: 2 }));
}

#[test]
fn from_the_future_is_refused() {
    let bytes = signed(|c| {
        c.issued.0 += CLOCKS_MS + 1;
        c.expires.0 += CLOCKS_MS + 1;
    });
    assert_eq!(read(&bytes), Err(CardError::Future));
    assert_eq!(read(&signed(|c| (c.issued.0, c.expires.0) = (u64::MAX - 1, u64::MAX))), Err(CardError::Future));
}

#[test]
fn that_has_expired_is_refused() {
    let bytes = signed(|c| (c.issued.0, c.expires.0) = (WALL - DAY_MS, WALL - CLOCKS_MS));
    assert_eq!(read(&bytes), Err(CardError::Expired));
}

#[test]
fn of_a_clock_ten_minutes_off_is_read() {
    assert!(read(&signed(|c| c.issued.0 += 600_000)).is_ok());
    assert!(read(&signed(|c| (c.issued.0, c.expires.0) = (WALL - DAY_MS, WALL - 600_000))).is_ok());
}

#[test]
fn that_holds_too_long_is_refused() {
    assert_eq!(read(&signed(|c| c.expires.0 = WALL + MAX_LIFE_MS + 1)), Err(CardError::Limit));
}

#[test]
fn with_no_address_makes_no_sense() {
    assert_eq!(read(&signed(|c| c.peer.addrs.clear())), Err(CardError::Malformed));
}

#[test]
fn with_the_most_addresses_fits() {
    let long = Addr::Socket(([255, 254, 253, 252, 251, 250, 249, 248], 65_000).into());
    let bytes = signed(|c| c.peer.addrs = vec![long; MAX_ADDRS]);
    assert!(read(&bytes).is_ok() && bytes.len() < 450, "{} bytes", bytes.len());
}

#[test]
fn tells_the_right_agent_from_a_wrong_one_when_it_is_met() {
    let c = card(&speaker(9, 90));
    assert_eq!(c.is_met(Proof::Proven(c.agent)), Some(true));
    assert_eq!(c.is_met(Proof::Proven(AgentId([1; 32]))), Some(false));
    assert_eq!(c.is_met(Proof::Refused(CertificateError::Revoked)), Some(false));
    assert_eq!(c.is_met(Proof::Pending), None);
}
