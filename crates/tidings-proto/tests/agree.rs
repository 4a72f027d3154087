//! One-time keys of the crypto port: the real ones and the simulated ones.
#![allow(missing_docs)]

use tidings_proto::crypto::*;
use tidings_proto::identity::SecretKey;

fn ports() -> Vec<Box<dyn Crypto>> {
    let secret = SecretKey::from_bytes([1; 32]);
    vec![
        Box::new(SimCrypto::new(&secret)),
        #[cfg(feature = "aws-lc")]
        Box::new(AwsLc::new(&secret).unwrap()),
    ]
}

const A: [u8; 32] = [7; 32];
const B: [u8; 32] = [9; 32];

#[test]
fn two_agree_on_the_same() {
    for p in ports() {
        let agreed = p.agree(&A, &p.agree_public(&B)).unwrap();
        assert_eq!(p.agree(&B, &p.agree_public(&A)), Some(agreed));
    }
}

#[test]
fn a_third_does_not() {
    for p in ports() {
        let agreed = p.agree(&A, &p.agree_public(&B));
        assert_ne!(p.agree(&[8; 32], &p.agree_public(&B)), agreed);
        assert_ne!(p.agree(&[8; 32], &p.agree_public(&A)), agreed);
    }
}

#[test]
fn nobody_agrees_with_a_key_of_zeros() {
    for p in ports() {
        assert_eq!(p.agree(&A, &[0; 32]), None);
    }
}

#[cfg(feature = "aws-lc")]
#[test]
fn the_real_ones_are_x25519() {
    let port = AwsLc::new(&SecretKey::from_bytes([1; 32])).unwrap();
    // RFC 7748, 5.2: the first of the iterated steps, which begin with the base point for scalar and coordinate.
    let mut base = [0; 32];
    base[0] = 9;
    let expected = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
    assert_eq!(tidings_proto::identity::hex(&port.agree(&base, &base).unwrap()), expected);
    assert_eq!(tidings_proto::identity::hex(&port.agree_public(&base)), expected);
}
