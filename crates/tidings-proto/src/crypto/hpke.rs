//! HPKE (RFC 9180) base mode over X-Wing (draft-connolly-cfrg-xwing-kem-09, KEM 0x647a), with HKDF-SHA256 and
//! ChaCha20-Poly1305: what is left of it for one text per key exchange.
//!
//! What differs: keys are drawn by the library and kept expanded (X-Wing expands them from 32 bytes with SHAKE256, which
//! aws-lc-rs does not offer); what goes over the wire is the same to the bit. X25519 exchanges that give nothing are
//! refused, as RFC 7748 allows.
//!
//! ```text
//! public key   ML-KEM-768 1184 ‖ X25519 32
//! ciphertext   ML-KEM-768 1088 ‖ X25519 32
//! secret       ML-KEM-768 2400 ‖ X25519 32 ‖ X25519 public 32      (ours, never on the wire)
//! ```

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::digest::{Context, SHA3_256};
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
use aws_lc_rs::hmac;
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};

/// Length of the ciphertext that opens a box.
pub(super) const ENC_LEN: usize = CT_M + X;
const PK_M: usize = 1184;
const CT_M: usize = 1088;
const SK_M: usize = 2400;
const X: usize = 32;

/// X-Wing's label.
const LABEL: &[u8; 6] = br"\.//^\";
/// `"HPKE"`, X-Wing, HKDF-SHA256, ChaCha20-Poly1305.
const SUITE: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";

/// A new public and secret key.
pub(super) fn keypair() -> Option<(Vec<u8>, Vec<u8>)> {
    let m = DecapsulationKey::generate(&ML_KEM_768).ok()?;
    let x = PrivateKey::generate(&X25519).ok()?;
    let x_public = x.compute_public_key().ok()?;
    let mut public = m.encapsulation_key().ok()?.key_bytes().ok()?.as_ref().to_vec();
    public.extend_from_slice(x_public.as_ref());
    let mut secret = m.key_bytes().ok()?.as_ref().to_vec();
    let x_secret: Curve25519SeedBin<'_> = x.as_be_bytes().ok()?;
    secret.extend_from_slice(x_secret.as_ref());
    secret.extend_from_slice(x_public.as_ref());
    Some((public, secret))
}

/// The ciphertext for the holder of `public`, and the key and nonce for the one text that follows it.
pub(super) fn sender(public: &[u8], info: &[u8]) -> Option<(Vec<u8>, [u8; 32], [u8; 12])> {
    let (enc, shared) = encapsulate(public)?;
    let (key, nonce) = schedule(&shared, info);
    Some((enc, key, nonce))
}

/// The key and nonce of the text behind the ciphertext `enc`.
pub(super) fn receiver(enc: &[u8], secret: &[u8], info: &[u8]) -> Option<([u8; 32], [u8; 12])> {
    Some(schedule(&decapsulate(enc, secret)?, info))
}

fn encapsulate(public: &[u8]) -> Option<(Vec<u8>, [u8; 32])> {
    if public.len() != PK_M + X {
        return None;
    }
    let (pk_m, pk_x) = public.split_at(PK_M);
    let (ct_m, ss_m) = EncapsulationKey::new(&ML_KEM_768, pk_m).ok()?.encapsulate().ok()?;
    let x = PrivateKey::generate(&X25519).ok()?;
    let ct_x = x.compute_public_key().ok()?;
    let ss_x = exchange(&x, pk_x)?;
    let shared = combine(ss_m.as_ref(), &ss_x, ct_x.as_ref(), pk_x);
    let mut enc = ct_m.as_ref().to_vec();
    enc.extend_from_slice(ct_x.as_ref());
    Some((enc, shared))
}

fn decapsulate(enc: &[u8], secret: &[u8]) -> Option<[u8; 32]> {
    if enc.len() != ENC_LEN || secret.len() != SK_M + 2 * X {
        return None;
    }
    let (ct_m, ct_x) = enc.split_at(CT_M);
    let (sk_m, x) = secret.split_at(SK_M);
    let (sk_x, pk_x) = x.split_at(X);
    let ss_m = DecapsulationKey::new(&ML_KEM_768, sk_m).ok()?.decapsulate(Ciphertext::from(ct_m)).ok()?;
    let ss_x = exchange(&PrivateKey::from_private_key(&X25519, sk_x).ok()?, ct_x)?;
    Some(combine(ss_m.as_ref(), &ss_x, ct_x, pk_x))
}

fn exchange(secret: &PrivateKey, public: &[u8]) -> Option<[u8; X]> {
    let copy = |shared: &[u8]| shared.try_into().map_err(|_| ());
    agree(secret, UnparsedPublicKey::new(&X25519, public), (), copy).ok()
}

fn combine(ss_m: &[u8], ss_x: &[u8], ct_x: &[u8], pk_x: &[u8]) -> [u8; 32] {
    let mut h = Context::new(&SHA3_256);
    for part in [ss_m, ss_x, ct_x, pk_x, LABEL] {
        h.update(part);
    }
    cut(h.finish().as_ref())
}

/// RFC 9180, section 5.1, without a pre-shared key: key and base nonce.
fn schedule(shared: &[u8], info: &[u8]) -> ([u8; 32], [u8; 12]) {
    let mut context = vec![0];
    context.extend_from_slice(&extract(b"", b"psk_id_hash", b""));
    context.extend_from_slice(&extract(b"", b"info_hash", info));
    let secret = extract(shared, b"secret", b"");
    (cut(&expand(&secret, b"key", &context, 32)), cut(&expand(&secret, b"base_nonce", &context, 12)))
}

fn extract(salt: &[u8], label: &[u8], ikm: &[u8]) -> [u8; 32] {
    hmac_of(salt, &[b"HPKE-v1", SUITE, label, ikm])
}

/// One block of HKDF-Expand: enough for every length used here.
fn expand(prk: &[u8], label: &[u8], info: &[u8], len: u16) -> [u8; 32] {
    debug_assert!(len <= 32);
    hmac_of(prk, &[&len.to_be_bytes(), b"HPKE-v1", SUITE, label, info, &[1]])
}

fn hmac_of(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut h = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|p| h.update(p));
    cut(h.sign().as_ref())
}

/// The first bytes of a longer hash.
fn cut<const N: usize>(from: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&from[..N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The draft's test vectors; the secrets expanded, because aws-lc-rs takes no seeds.
    const VECTORS: &str = include_str!("vectors/x_wing.txt");

    fn vectors() -> Vec<Vec<(&'static str, Vec<u8>)>> {
        let byte = |s: &str| u8::from_str_radix(s, 16).unwrap();
        let unhex = |s: &str| (0..s.len() / 2).map(|i| byte(&s[2 * i..2 * i + 2])).collect();
        let line = |l: &'static str| l.split_once(' ').map(|(k, v)| (k, unhex(v))).unwrap();
        let blocks = VECTORS.trim().split("\n\n");
        blocks.map(|b| b.lines().filter(|l| !l.starts_with('#')).map(line).collect()).collect()
    }

    fn field<'a>(v: &'a [(&str, Vec<u8>)], name: &str) -> &'a [u8] {
        v.iter().find(|(k, _)| *k == name).map(|(_, b)| b.as_slice()).unwrap()
    }

    fn secret(v: &[(&str, Vec<u8>)]) -> Vec<u8> {
        [field(v, "dk"), field(v, "sk_x"), &field(v, "pk")[PK_M..]].concat()
    }

    #[test]
    fn x_wing_gives_the_published_secrets() {
        let all = vectors();
        assert_eq!(all.len(), 3);
        for v in &all {
            assert_eq!(decapsulate(field(v, "ct"), &secret(v)).unwrap(), field(v, "ss"));
        }
    }

    #[test]
    fn what_we_encapsulate_for_a_published_key_its_secret_opens() {
        for v in &vectors() {
            let (enc, shared) = encapsulate(field(v, "pk")).unwrap();
            assert_eq!(decapsulate(&enc, &secret(v)), Some(shared));
        }
    }

    #[test]
    fn boxes_of_another_implementation_open() {
        use crate::crypto::{AwsLc, BoxSecret, Crypto};
        let port = AwsLc::new(&crate::identity::SecretKey::from_bytes([1; 32])).unwrap();
        for (i, v) in vectors().iter().enumerate() {
            let opened = port.box_open(&BoxSecret(secret(v)), format!("aad {i}").as_bytes(), field(v, "sealed"));
            assert_eq!(opened.as_deref(), Some(&b"a plaintext"[..]));
        }
    }
}
