//! The real port: everything by aws-lc, the library the links' TLS uses already.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::signature::{
    ED25519, Ed25519KeyPair, KeyPair, ML_DSA_65, ML_DSA_65_SIGNING, PqdsaKeyPair, UnparsedPublicKey,
};

use super::{AGENT_KEY_LEN, AGENT_SIGNATURE_LEN, BoxSecret, Crypto, SIGNATURE_LEN, hpke};
use crate::identity::{AgentSecret, NodeId, SecretKey};

/// What boxes of ours are for, so that none of another protocol passes for one.
const BOX_INFO: &[u8] = b"tidings 1 box";

/// Ed25519, ML-DSA-65, ChaCha20-Poly1305 and X-Wing by aws-lc. Its own keys are parsed once.
pub struct AwsLc {
    pair: Ed25519KeyPair,
    agent: Option<PqdsaKeyPair>,
}

impl AwsLc {
    /// A port that signs with `secret` and holds no agent's key. `None` only if the library rejects the seed, which it has
    /// no reason to.
    pub fn new(secret: &SecretKey) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(secret.expose()).ok()?;
        Some(AwsLc { pair, agent: None })
    }

    /// A port that signs with `secret`, and as the agent with `agent`. `None` as for [`AwsLc::new`].
    pub fn with_agent(secret: &SecretKey, agent: &AgentSecret) -> Option<Self> {
        let agent = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, agent.expose()).ok()?;
        Some(AwsLc { agent: Some(agent), ..AwsLc::new(secret)? })
    }
}

impl Crypto for AwsLc {
    fn node_id(&self) -> NodeId {
        let mut id = [0; 32];
        id.copy_from_slice(self.pair.public_key().as_ref());
        NodeId(id)
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut out = [0; SIGNATURE_LEN];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        out
    }

    fn verify(&self, signer: &NodeId, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        UnparsedPublicKey::new(&ED25519, signer.as_bytes()).verify(message, signature).is_ok()
    }

    fn agent_key(&self) -> Option<&[u8]> {
        self.agent.as_ref().map(|pair| pair.public_key().as_ref())
    }

    fn agent_sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; AGENT_SIGNATURE_LEN];
        let len = self.agent.as_ref()?.sign(message, &mut out).ok()?;
        (len == AGENT_SIGNATURE_LEN).then_some(out)
    }

    fn agent_verify(&self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        // The library takes other encodings of a key as well; there must be one only.
        key.len() == AGENT_KEY_LEN
            && signature.len() == AGENT_SIGNATURE_LEN
            && UnparsedPublicKey::new(&ML_DSA_65, key).verify(message, signature).is_ok()
    }

    fn seal(&self, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        // It fails for keys of another length and texts of gigabytes alone; nothing opens what is empty.
        seal(key, nonce, aad, plain).unwrap_or_default()
    }

    fn open(&self, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        open(key, nonce, aad, sealed)
    }

    fn agree_public(&self, secret: &[u8; 32]) -> [u8; 32] {
        // It fails for no secret of this length; nobody agrees with zeros.
        super::agree::real::public(secret).unwrap_or_default()
    }

    fn agree(&self, secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
        super::agree::real::agree(secret, public)
    }

    fn box_keypair(&self, _: &[u8; 32]) -> (Vec<u8>, BoxSecret) {
        // It fails without memory alone; nobody can box for an empty key, and an empty secret opens nothing.
        let (public, secret) = hpke::keypair().unwrap_or_default();
        (public, BoxSecret(secret))
    }

    fn box_seal(&self, public: &[u8], _: &[u8; 32], aad: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let (mut out, key, nonce) = hpke::sender(public, BOX_INFO)?;
        out.extend_from_slice(&seal(&key, &nonce, aad, plain)?);
        Some(out)
    }

    fn box_open(&self, secret: &BoxSecret, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (enc, sealed) = sealed.split_at_checked(hpke::ENC_LEN)?;
        let (key, nonce) = hpke::receiver(enc, secret.expose(), BOX_INFO)?;
        open(&key, &nonce, aad, sealed)
    }
}

fn seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let mut out = Vec::with_capacity(plain.len() + super::TAG_LEN);
    out.extend_from_slice(plain);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut out).ok()?;
    Some(out)
}

fn open(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let mut out = sealed.to_vec();
    let len = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut out).ok()?.len();
    out.truncate(len);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting<const N: usize>(from: u8) -> [u8; N] {
        std::array::from_fn(|i| from + i as u8)
    }

    fn sha256(bytes: &[u8]) -> String {
        crate::identity::hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
    }

    /// RFC 9881, appendix C.1.2: the seed 00 01 … 1f.
    #[test]
    fn an_agents_key_is_the_published_one_for_its_seed() {
        let port = AwsLc::with_agent(&SecretKey::from_bytes([1; 32]), &AgentSecret::from_bytes(counting(0))).unwrap();
        let key = port.agent_key().unwrap();
        assert_eq!(key.len(), AGENT_KEY_LEN);
        assert_eq!(sha256(key), "d666806e11cee19a7c989f7445f90dd419cf4d2d51db8c0fdb4c0f0a542238c9");
    }

    /// RFC 8439, section 2.8.2.
    #[test]
    fn a_seal_is_the_published_one() {
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                      sunscreen would be it.";
        let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let sealed = seal(&counting(0x80), &nonce, &aad, plain).unwrap();
        let (text, tag) = sealed.split_at(plain.len());
        assert_eq!(crate::identity::hex(&text[..16]), "d31a8d34648e60db7b86afbc53ef7ec2");
        assert_eq!(crate::identity::hex(tag), "1ae10b594f09e26a7e902ecbd0600691");
    }
}
