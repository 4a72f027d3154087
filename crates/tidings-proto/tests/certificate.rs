//! Certificates: their bytes, and that one holds only for its agent, its node and its time, until it is revoked.

use bytes::Bytes;
use proptest::prelude::*;
use tidings_proto::crypto::{AGENT_SIGNATURE_LEN, BOX_KEY_LEN, Crypto, SimCrypto};
use tidings_proto::identity::*;
use tidings_proto::time::UnixMillis;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const DAY: u64 = 24 * 3_600_000;
const NODE: NodeId = NodeId([5; 32]);

fn agent(n: u8) -> SimCrypto {
    SimCrypto::with_agent(&SecretKey::from_bytes([n; 32]), &AgentSecret::from_bytes([n; 32]))
}

fn statement(crypto: &dyn Crypto) -> Statement {
    Statement {
        agent: AgentId::own(crypto).unwrap(),
        node: NODE,
        serial: 7,
        issued_ms: NOW.0,
        expires_ms: NOW.0 + 30 * DAY,
        prekeys: vec![Prekey { id: 3, key: vec![9; BOX_KEY_LEN] }],
        revoked: vec![],
    }
}

fn issue(change: impl FnOnce(&mut Statement)) -> AgentCertificate {
    let mut s = statement(&agent(1));
    change(&mut s);
    AgentCertificate::issue(s, &agent(1)).unwrap()
}

fn at(ms: u64) -> UnixMillis {
    UnixMillis(ms)
}

fn check(bytes: &Bytes, now: UnixMillis) -> Result<(), CertificateError> {
    AgentCertificate::parse(bytes.clone())?.check(now, &agent(2))
}

/// What is refused, whether the cache is asked or the certificate.
fn refused(c: &AgentCertificate, now: UnixMillis, error: CertificateError) {
    assert_eq!(check(c.bytes(), now), Err(error));
    let mut cache = Certificates::default();
    assert_eq!(cache.admit(c.bytes(), now, &agent(2)), Err(error));
    assert!(cache.is_empty());
}

#[test]
fn one_is_read_as_it_was_issued() {
    let c = issue(|s| s.revoked = vec![Revoked { node: NodeId([6; 32]), up_to: 9 }]);
    let read = AgentCertificate::parse(c.bytes().clone()).unwrap();
    assert_eq!((read.statement(), read.id()), (c.statement(), c.id()));
    assert_eq!(AgentCertificate::id_of(c.bytes()), Ok(c.id()));
    assert_eq!(AgentId::of_key(read.agent_key()), c.statement().agent);
    assert_eq!(read.check(NOW, &agent(2)), Ok(()));
}

#[test]
fn its_bytes_are_pinned() {
    let c = issue(|s| s.revoked = vec![Revoked { node: NodeId([6; 32]), up_to: 9 }]);
    let len = usize::from(u16::from_le_bytes([c.bytes()[0], c.bytes()[1]]));
    let around = format!("{} … {}", hex(&c.bytes()[..2 + 110]), hex(&c.bytes()[len - 50..2 + len]));
    insta::assert_snapshot!(around);
    insta::assert_snapshot!(c.id());
}

#[test]
fn what_a_newer_version_adds_is_skipped_and_signed() {
    let c = issue(|_| {});
    // The map's head says one more, and the field follows.
    let len = usize::from(u16::from_le_bytes([c.bytes()[0], c.bytes()[1]]));
    let mut said = c.bytes()[2..2 + len].to_vec();
    said[0] += 1;
    said.extend_from_slice(&[24, 99, 1]);
    let key = c.agent_key();
    let mut h = blake3::Hasher::new_derive_key("tidings 1 agent certificate");
    h.update(&(said.len() as u32).to_le_bytes()).update(&said);
    let signature = agent(1).agent_sign(h.finalize().as_bytes()).unwrap();
    let head = (said.len() as u16).to_le_bytes();
    let newer: Bytes = [&head[..], &said, key, &signature].concat().into();
    assert_eq!(check(&newer, NOW), Ok(()));
    let mut forged = newer.to_vec();
    forged[2 + said.len() - 1] ^= 1;
    assert_eq!(check(&forged.into(), NOW), Err(CertificateError::Forged));
}

#[test]
fn any_byte_changed_is_refused() {
    let c = issue(|_| {});
    for n in 0..c.bytes().len() {
        let mut bad = c.bytes().to_vec();
        bad[n] ^= 1;
        assert!(check(&bad.into(), NOW).is_err(), "byte {n}");
    }
}

#[cfg(feature = "aws-lc")]
#[test]
fn real_signatures_hold_and_refuse_what_simulated_ones_do() {
    use tidings_proto::crypto::AwsLc;
    let real = AwsLc::with_agent(&SecretKey::from_bytes([1; 32]), &AgentSecret::from_bytes([1; 32])).unwrap();
    let c = AgentCertificate::issue(statement(&real), &real).unwrap();
    assert_eq!(c.check(NOW, &real), Ok(()));
    for n in (0..c.bytes().len()).step_by(97) {
        let mut bad = c.bytes().to_vec();
        bad[n] ^= 1;
        let checked = AgentCertificate::parse(bad.into()).and_then(|c| c.check(NOW, &real));
        assert!(checked.is_err(), "byte {n}");
    }
}

#[test]
fn one_in_anothers_name_is_not_issued() {
    assert!(AgentCertificate::issue(statement(&agent(2)), &agent(1)).is_none());
    assert!(AgentCertificate::issue(statement(&agent(1)), &SimCrypto::new(&SecretKey::from_bytes([1; 32]))).is_none());
}

/// A certificate that says `said` under `key` and is signed by agent 1.
fn put_together(said: &Statement, key: &[u8]) -> Bytes {
    let said = minicbor::to_vec(said).unwrap();
    let mut h = blake3::Hasher::new_derive_key("tidings 1 agent certificate");
    h.update(&(said.len() as u32).to_le_bytes()).update(&said);
    let signature = agent(1).agent_sign(h.finalize().as_bytes()).unwrap();
    [&(said.len() as u16).to_le_bytes()[..], &said, key, &signature].concat().into()
}

#[test]
fn a_key_that_is_not_the_agents_is_refused() {
    let other = agent(2);
    let bytes = put_together(&statement(&other), agent(1).agent_key().unwrap());
    assert_eq!(check(&bytes, NOW), Err(CertificateError::Key));
}

#[test]
fn a_signature_of_another_agent_is_refused() {
    let other = agent(2);
    let bytes = put_together(&statement(&other), other.agent_key().unwrap());
    assert_eq!(check(&bytes, NOW), Err(CertificateError::Forged));
}

#[test]
fn one_with_another_signature_has_the_same_hash() {
    let c = issue(|_| {});
    let mut other = c.bytes().to_vec();
    let at = other.len() - AGENT_SIGNATURE_LEN;
    other[at] ^= 1;
    assert_eq!(AgentCertificate::id_of(&other), Ok(c.id()));
}

#[test]
fn an_expired_one_is_refused() {
    let c = issue(|_| {});
    refused(&c, at(c.statement().expires_ms + CLOCKS_MS), CertificateError::Expired);
}

#[test]
fn one_from_the_future_is_refused() {
    refused(&issue(|s| s.issued_ms += CLOCKS_MS + 1), NOW, CertificateError::Future);
}

#[test]
fn clocks_ten_minutes_apart_do_no_harm() {
    const APART: u64 = 10 * 60_000;
    let c = issue(|_| {});
    assert_eq!(check(c.bytes(), at(NOW.0 - APART)), Ok(()));
    assert_eq!(check(c.bytes(), at(c.statement().expires_ms + APART)), Ok(()));
}

#[test]
fn one_that_never_held_is_malformed() {
    refused(&issue(|s| s.expires_ms = s.issued_ms), NOW, CertificateError::Malformed);
}

#[test]
fn too_long_a_life_is_refused() {
    refused(&issue(|s| s.expires_ms = s.issued_ms + MAX_LIFE_MS + 1), NOW, CertificateError::Limit);
    refused(&issue(|s| (s.issued_ms, s.expires_ms) = (0, u64::MAX)), NOW, CertificateError::Limit);
}

#[test]
fn a_prekey_of_another_length_is_malformed() {
    refused(&issue(|s| s.prekeys[0].key.push(0)), NOW, CertificateError::Malformed);
}

#[test]
fn too_many_prekeys_are_refused() {
    refused(&issue(|s| s.prekeys = vec![s.prekeys[0].clone(); MAX_PREKEYS + 1]), NOW, CertificateError::Limit);
}

#[test]
fn too_many_revocations_are_refused() {
    let one = Revoked { node: NODE, up_to: 1 };
    refused(&issue(|s| s.revoked = vec![one; MAX_REVOKED + 1]), NOW, CertificateError::Limit);
}

mod the_cache {
    use super::*;

    #[test]
    fn knows_what_was_admitted() {
        let (c, mut cache) = (issue(|_| {}), Certificates::default());
        assert!(cache.agent(&c.id(), &NODE, NOW).is_none());
        cache.admit(c.bytes(), NOW, &agent(2)).unwrap();
        assert_eq!(cache.agent(&c.id(), &NODE, NOW), Some(Ok(c.statement().agent)));
        assert_eq!(cache.certificate(&c.id(), NOW), Some(c));
    }

    #[test]
    fn verifies_once() {
        struct Counting(SimCrypto, std::sync::atomic::AtomicUsize);
        impl Crypto for Counting {
            fn node_id(&self) -> NodeId {
                self.0.node_id()
            }
            fn sign(&self, m: &[u8]) -> [u8; 64] {
                self.0.sign(m)
            }
            fn verify(&self, s: &NodeId, m: &[u8], signature: &[u8; 64]) -> bool {
                self.0.verify(s, m, signature)
            }
            fn agent_key(&self) -> Option<&[u8]> {
                self.0.agent_key()
            }
            fn agent_sign(&self, m: &[u8]) -> Option<Vec<u8>> {
                self.0.agent_sign(m)
            }
            fn agent_verify(&self, key: &[u8], m: &[u8], signature: &[u8]) -> bool {
                self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                self.0.agent_verify(key, m, signature)
            }
            fn seal(&self, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8> {
                self.0.seal(key, nonce, aad, plain)
            }
            fn open(&self, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
                self.0.open(key, nonce, aad, sealed)
            }
            fn box_keypair(&self, seed: &[u8; 32]) -> (Vec<u8>, tidings_proto::crypto::BoxSecret) {
                self.0.box_keypair(seed)
            }
            fn box_seal(&self, public: &[u8], seed: &[u8; 32], aad: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
                self.0.box_seal(public, seed, aad, plain)
            }
            fn box_open(&self, s: &tidings_proto::crypto::BoxSecret, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
                self.0.box_open(s, aad, sealed)
            }
            fn agree_public(&self, secret: &[u8; 32]) -> [u8; 32] {
                self.0.agree_public(secret)
            }
            fn agree(&self, secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
                self.0.agree(secret, public)
            }
        }
        let (c, mut cache) = (issue(|_| {}), Certificates::default());
        let port = Counting(agent(2), 0.into());
        for _ in 0..3 {
            cache.admit(c.bytes(), NOW, &port).unwrap();
        }
        assert_eq!(port.1.into_inner(), 1);
    }

    #[test]
    fn gives_an_agent_to_its_node_only() {
        let (c, mut cache) = (issue(|_| {}), Certificates::default());
        cache.admit(c.bytes(), NOW, &agent(2)).unwrap();
        assert_eq!(cache.agent(&c.id(), &NodeId([6; 32]), NOW), Some(Err(CertificateError::Other)));
    }

    #[test]
    fn lets_one_expire() {
        let (c, mut cache) = (issue(|_| {}), Certificates::default());
        cache.admit(c.bytes(), NOW, &agent(2)).unwrap();
        let later = at(c.statement().expires_ms + CLOCKS_MS);
        assert_eq!(cache.binding(&c.id(), later), Some(Err(CertificateError::Expired)));
        assert!(cache.nodes(&c.statement().agent, later).is_empty());
    }

    #[test]
    fn revokes_what_it_knows() {
        let (c, mut cache) = (issue(|_| {}), Certificates::default());
        cache.admit(c.bytes(), NOW, &agent(2)).unwrap();
        let elsewhere = issue(|s| (s.node, s.revoked) = (NodeId([6; 32]), vec![Revoked { node: NODE, up_to: 7 }]));
        cache.admit(elsewhere.bytes(), NOW, &agent(2)).unwrap();
        assert_eq!(cache.agent(&c.id(), &NODE, NOW), Some(Err(CertificateError::Revoked)));
        assert_eq!(cache.nodes(&c.statement().agent, NOW), vec![(NodeId([6; 32]), elsewhere.id())]);
    }

    #[test]
    fn refuses_what_was_revoked_before_it_came() {
        let (c, mut cache) = (issue(|_| {}), Certificates::default());
        let elsewhere = issue(|s| (s.node, s.revoked) = (NodeId([6; 32]), vec![Revoked { node: NODE, up_to: 7 }]));
        cache.admit(elsewhere.bytes(), NOW, &agent(2)).unwrap();
        assert_eq!(cache.admit(c.bytes(), NOW, &agent(2)), Err(CertificateError::Revoked));
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn lets_a_later_number_than_the_revoked_hold() {
        let (later, mut cache) = (issue(|s| s.serial = 8), Certificates::default());
        let elsewhere = issue(|s| (s.node, s.revoked) = (NodeId([6; 32]), vec![Revoked { node: NODE, up_to: 7 }]));
        cache.admit(elsewhere.bytes(), NOW, &agent(2)).unwrap();
        assert!(cache.admit(later.bytes(), NOW, &agent(2)).is_ok());
    }

    #[test]
    fn heeds_no_agents_revocation_of_anothers_node() {
        let (c, mut cache) = (issue(|_| {}), Certificates::default());
        cache.admit(c.bytes(), NOW, &agent(2)).unwrap();
        let revoked = vec![Revoked { node: NODE, up_to: u64::MAX }];
        let other = Statement { node: NodeId([6; 32]), revoked, ..statement(&agent(3)) };
        let other = AgentCertificate::issue(other, &agent(3)).unwrap();
        cache.admit(other.bytes(), NOW, &agent(2)).unwrap();
        assert!(cache.binding(&c.id(), NOW).unwrap().is_ok());
    }

    #[test]
    fn heeds_no_revocation_it_could_not_verify() {
        let (c, mut cache) = (issue(|_| {}), Certificates::default());
        cache.admit(c.bytes(), NOW, &agent(2)).unwrap();
        let elsewhere = issue(|s| (s.node, s.revoked) = (NodeId([6; 32]), vec![Revoked { node: NODE, up_to: 7 }]));
        let mut forged = elsewhere.bytes().to_vec();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(cache.admit(&forged.into(), NOW, &agent(2)), Err(CertificateError::Forged));
        assert!(cache.binding(&c.id(), NOW).unwrap().is_ok());
    }

    #[test]
    fn prefers_the_newest_of_a_node_in_whatever_order_they_come() {
        let (old, new) = (issue(|_| {}), issue(|s| s.serial = 8));
        for order in [[&old, &new], [&new, &old]] {
            let mut cache = Certificates::default();
            for c in order {
                cache.admit(c.bytes(), NOW, &agent(2)).unwrap();
            }
            assert_eq!(cache.nodes(&old.statement().agent, NOW), vec![(NODE, new.id())]);
        }
    }

    #[test]
    fn is_bounded_and_keeps_what_is_used() {
        let (c, mut cache) = (issue(|_| {}), Certificates::default());
        cache.admit(c.bytes(), NOW, &agent(2)).unwrap();
        for serial in 100..100 + 2 * MAX_CERTIFICATES as u64 {
            let node = NodeId(*blake3::hash(&serial.to_le_bytes()).as_bytes());
            let other = issue(|s| (s.serial, s.node, s.prekeys) = (serial, node, vec![]));
            cache.admit(other.bytes(), NOW, &agent(2)).unwrap();
            assert!(cache.len() <= MAX_CERTIFICATES && cache.binding(&c.id(), NOW).is_some());
        }
        assert!(cache.certificate(&c.id(), NOW).is_some());
        assert!(cache.nodes(&c.statement().agent, NOW).len() <= MAX_CERTIFICATES);
    }

    #[test]
    fn forgets_the_bytes_of_those_it_is_not_asked_for() {
        let (c, mut cache) = (issue(|_| {}), Certificates::default());
        cache.admit(c.bytes(), NOW, &agent(2)).unwrap();
        for serial in 100..100 + MAX_KEPT as u64 {
            cache.admit(issue(|s| s.serial = serial).bytes(), NOW, &agent(2)).unwrap();
        }
        assert!(cache.bytes(&c.id(), NOW).is_none());
        assert!(cache.binding(&c.id(), NOW).is_some());
    }
}

proptest! {
    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..8_000)) {
        prop_assert!(check(&bytes.into(), NOW).is_err());
    }

    #[test]
    fn garbage_in_a_statement_is_an_error(garbage in proptest::collection::vec(any::<u8>(), 0..300)) {
        let said = [&(garbage.len() as u16).to_le_bytes()[..], &garbage].concat();
        let bytes = [said, vec![0; 1952 + AGENT_SIGNATURE_LEN]].concat();
        prop_assert!(check(&bytes.into(), NOW).is_err());
    }
}
