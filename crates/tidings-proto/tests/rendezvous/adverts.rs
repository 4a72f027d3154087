//! Which adverts belong in the set.

use super::*;

fn taken(record: &Bytes) -> bool {
    let mut d = Driven::new();
    d.link(&friend());
    d.befriend(&friend(), Overlay::Root);
    learn(&mut d, &friend(), record);
    d.node.index().len() == 1
}

fn changed(change: impl FnOnce(&mut Draft)) -> bool {
    let mut draft = Draft::new(port(10), at_addr("192.0.2.1:1"));
    change(&mut draft);
    taken(&draft.record())
}

fn attest(by: u8, addr: &str, at: u64) -> Attestation {
    let id = port(10).node_id();
    let at_addr = PeerAddr { id, addrs: vec![at_addr(addr)] };
    Attestation::issue(&port(by), &reach::key(&network()), at_addr, at)
}

#[test]
fn one_that_two_others_attest_does() {
    assert!(changed(|_| {}));
}

#[test]
fn one_with_other_addresses_behind_the_attested_one_does() {
    assert!(changed(|d| d.node.addrs.push(at_addr("198.51.100.1:1"))));
}

#[test]
fn one_that_only_one_attests_does_not() {
    assert!(!changed(|d| d.attested.truncate(1)));
    assert!(!changed(|d| d.attested[1] = d.attested[0].clone()));
    assert!(!changed(|d| d.attested[1] = attest(251, "192.0.2.1:1", WALL - 1)));
}

#[test]
fn one_that_attests_itself_does_not() {
    assert!(!changed(|d| d.attested[1] = attest(10, "192.0.2.1:1", WALL)));
}

#[test]
fn one_attested_at_another_address_does_not() {
    assert!(!changed(|d| d.attested[1] = attest(252, "192.0.2.2:1", WALL)));
    assert!(!changed(|d| d.node.addrs.insert(0, at_addr("198.51.100.1:1"))));
}

#[test]
fn one_with_a_forged_attestation_does_not() {
    assert!(!changed(|d| d.attested[1].by = Fake::new(99).id));
    assert!(!changed(|d| d.attested[1].at_ms -= 1));
}

#[test]
fn one_attested_in_another_network_does_not() {
    let other = reach::key(&Network::from_name("another").unwrap());
    let of = PeerAddr { id: port(10).node_id(), addrs: vec![at_addr("192.0.2.1:1")] };
    let t = Attestation::issue(&port(252), &other, of, WALL);
    assert!(!changed(|d| d.attested[1] = t));
}

#[test]
fn one_attested_long_ago_or_in_the_future_does_not() {
    assert!(changed(|d| d.attested[1] = attest(252, "192.0.2.1:1", WALL - 86_000_000)));
    assert!(!changed(|d| d.attested[1] = attest(252, "192.0.2.1:1", WALL - 87_400_000)));
    assert!(changed(|d| d.attested[1] = attest(252, "192.0.2.1:1", WALL + 600_000)));
    assert!(!changed(|d| d.attested[1] = attest(252, "192.0.2.1:1", WALL + 1_000_000)));
}

#[test]
fn one_of_another_node_does_not() {
    assert!(!changed(|d| d.crypto = port(11)));
}

#[test]
fn one_without_an_address_does_not() {
    assert!(!changed(|d| d.node.addrs.clear()));
}

#[test]
fn one_of_too_long_a_life_does_not() {
    assert!(!changed(|d| d.said.life = ADVERT_LIFE + Span::from_secs(1)));
}

#[test]
fn one_with_a_bit_flipped_does_not() {
    let whole = advert(10);
    for at in 0..whole.len() {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 1 << (at % 8);
        assert!(!taken(&flipped.into()), "byte {at}");
    }
}

#[test]
fn one_cut_short_does_not() {
    let whole = advert(10);
    for len in 0..whole.len() {
        assert!(!taken(&whole.slice(..len)), "{len} bytes");
    }
}
