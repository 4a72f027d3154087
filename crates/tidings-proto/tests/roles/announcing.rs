//! The announcement, as bytes.

use bytes::Bytes;
use tidings_proto::wire::ChainValue;

use super::*;

fn good() -> RoleChangeAnnounce {
    announce(&Fake::new(1), 7, 33.5, &[(&Fake::new(2), 12), (&Fake::new(3), 40)])
}

fn verify(a: &RoleChangeAnnounce) -> Result<(), AnnounceError> {
    a.verify_signature(&key(), Fake::new(9).port())
}

fn parse(a: &RoleChangeAnnounce) -> Result<RoleChangeAnnounce, AnnounceError> {
    RoleChangeAnnounce::parse(&a.to_bytes())
}

#[test]
fn what_was_signed_is_read_back_and_holds() {
    let a = good();
    assert_eq!(parse(&a).as_ref(), Ok(&a));
    assert_eq!(verify(&a), Ok(()));
}

#[test]
fn its_bytes_are_pinned() {
    let hash = blake3::hash(&good().to_bytes()).to_hex();
    insta::assert_snapshot!(hash, @"d9f3427e7f10620c1061ff4d212c96b09dc4f3d545c7a7be7736d959a8772ccf");
    insta::assert_snapshot!(good().to_bytes().len(), @"372");
}

#[test]
fn whatever_is_changed_the_signature_fails() {
    type Change = fn(&mut RoleChangeAnnounce);
    let changes: [(&str, Change); 13] = [
        ("node", |a| a.node_id = id(4)),
        ("role", |a| a.new_role = PeerRole::Peer),
        ("score", |a| a.score = 34.0),
        ("score's sign", |a| a.score = -a.score),
        ("timestamp", |a| a.timestamp.0 += 1),
        ("both times", |a| (a.timestamp.0, a.expires.0) = (a.timestamp.0 + 1, a.expires.0 + 1)),
        ("sequence", |a| a.sequence += 1),
        ("expiry", |a| a.expires.0 -= 1),
        ("a vouch less", |a| a.vouches.truncate(1)),
        ("a vouch's customer", |a| a.vouches[0].by = id(4)),
        ("a vouch's messages", |a| a.vouches[0].messages += 1),
        ("a vouch's bytes", |a| a.vouches[1].bytes += 1),
        ("the signature", |a| a.signature[3] ^= 1),
    ];
    for (what, change) in changes {
        let mut a = good();
        change(&mut a);
        assert_eq!(verify(&a), Err(AnnounceError::Forged), "{what}");
    }
}

#[test]
fn a_customers_word_is_for_one_relay_and_one_amount() {
    let (relay, customer) = (Fake::new(1), Fake::new(2));
    for change in [|v: &mut Vouch| v.messages += 1, |v: &mut Vouch| v.at.0 += 1, |v: &mut Vouch| v.bytes += 1] {
        let mut a = good();
        change(&mut a.vouches[0]);
        assert_eq!(verify(&a.sign(&key(), relay.port())), Err(AnnounceError::Forged));
    }
    let of_another = Vouch::sign(&key(), customer.port(), &id(5), 12, 0, at(0));
    let mut a = good();
    a.vouches = vec![of_another];
    assert_eq!(verify(&a.sign(&key(), relay.port())), Err(AnnounceError::Forged));
}

#[test]
fn an_announcement_of_another_network_is_none_here() {
    let other = records::key(&tidings_proto::identity::Network::from_name("other").unwrap());
    assert_eq!(good().verify_signature(&other, Fake::new(9).port()), Err(AnnounceError::Forged));
}

#[test]
fn scores_that_cannot_be_are_refused_before_the_signature() {
    for score in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, -1.0, 1_000.000_001, f64::MAX] {
        let a = announce(&Fake::new(1), 1, score, &[]);
        assert_eq!(parse(&a), Err(AnnounceError::Implausible), "{score}");
    }
    assert!(parse(&announce(&Fake::new(1), 1, 1_000.0, &[])).is_ok());
}

#[test]
fn words_that_do_not_belong_are_refused_before_the_signature() {
    let me = Fake::new(1);
    let own = announce(&me, 1, 1.0, &[(&me, 3)]);
    assert_eq!(parse(&own), Err(AnnounceError::Malformed), "its own");
    let customer = Fake::new(2);
    let twice = announce(&me, 1, 1.0, &[(&customer, 3), (&customer, 4)]);
    assert_eq!(parse(&twice), Err(AnnounceError::Malformed), "the same customer twice");
    let crowd: Vec<Fake> = (10..10 + MAX_VOUCHES_IN_TEST).map(Fake::new).collect();
    let crowd: Vec<(&Fake, u64)> = crowd.iter().map(|c| (c, 1)).collect();
    assert_eq!(parse(&announce(&me, 1, 1.0, &crowd)), Err(AnnounceError::Malformed), "too many");
    for times in [(WALL + 16 * 60_000, "of a time to come"), (WALL - announce::VOUCH_LIFE_MS, "too old")] {
        let mut a = announce(&me, 1, 1.0, &[]);
        a.vouches = vec![Vouch::sign(&key(), customer.port(), &me.id, 3, 0, UnixMillis(times.0))];
        assert_eq!(parse(&a.sign(&key(), me.port())), Err(AnnounceError::Malformed), "{}", times.1);
    }
}

const MAX_VOUCHES_IN_TEST: u8 = announce::MAX_VOUCHES as u8 + 1;

#[test]
fn only_the_one_form_is_read() {
    let me = Fake::new(1);
    let said =
        records::signed::Statement { version: 1, issued: at(0), life: announce::LIFE, anchor: ChainValue([0; 16]) };
    let sign = |content: &[u8], anchor: u8| {
        let said = records::signed::Statement { anchor: ChainValue([anchor; 16]), ..said };
        records::signed::sign(records::sets::ROLES, &key(), me.port(), &said, content)
    };
    // {0: 1, 1: 2.0, 2: []}
    let good = [0xa3, 0, 1, 1, 0xfb, 0x40, 0, 0, 0, 0, 0, 0, 0, 2, 0x80];
    assert!(RoleChangeAnnounce::parse(&sign(&good, 0)).is_ok());
    assert_eq!(RoleChangeAnnounce::parse(&sign(&good, 1)), Err(AnnounceError::Malformed), "an anchor");
    let mut more = good.to_vec();
    more.push(0);
    assert_eq!(RoleChangeAnnounce::parse(&sign(&more, 0)), Err(AnnounceError::Malformed), "a byte more");
    let mut long = good.to_vec();
    long.splice(2..3, [0x18, 1]);
    assert_eq!(RoleChangeAnnounce::parse(&sign(&long, 0)), Err(AnnounceError::Malformed), "a longer number");
    let mut role = good;
    role[2] = 2;
    assert_eq!(RoleChangeAnnounce::parse(&sign(&role, 0)), Err(AnnounceError::Malformed), "no such role");
}

#[test]
fn no_bytes_make_it_panic() {
    let good = good().to_bytes();
    for cut in 0..good.len() {
        assert!(RoleChangeAnnounce::parse(&good.slice(..cut)).is_err());
    }
    for at in 68..good.len() - 64 {
        for bit in 0..8 {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1 << bit;
            if let Ok(a) = RoleChangeAnnounce::parse(&Bytes::from(bytes)) {
                assert_eq!(verify(&a), Err(AnnounceError::Forged));
            }
        }
    }
}

#[test]
fn the_longest_fits_the_set() {
    let crowd: Vec<Fake> = (10..10 + announce::MAX_VOUCHES as u8).map(Fake::new).collect();
    let crowd: Vec<(&Fake, u64)> = crowd.iter().map(|c| (c, u64::MAX)).collect();
    let a = announce(&Fake::new(1), u64::MAX, 1_000.0, &crowd);
    assert!(a.to_bytes().len() <= announce::MAX_ANNOUNCE, "{}", a.to_bytes().len());
    assert!(parse(&a).is_ok());
}
