//! A node that says what it wants: the real core, but for what is in an envelope.

use std::sync::{Arc, Mutex};

use super::*;
use tidings_proto::config::GossipConfig;
use tidings_proto::crypto::{BoxSecret, Crypto, SIGNATURE_LEN, SimCrypto};
use tidings_proto::identity::{AgentSecret, NodeId, SecretKey};

/// What a message with this body is replaced by.
const SAY: &[u8] = b"say it";

type Words = Arc<Mutex<(u8, Vec<u8>)>>;

struct Liar {
    port: SimCrypto,
    words: Words,
}

/// An envelope as it is sealed.
#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Said {
    #[n(0)]
    kind: u8,
    #[n(1)]
    at_ms: u64,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    body: Vec<u8>,
}

impl Crypto for Liar {
    fn node_id(&self) -> NodeId {
        self.port.node_id()
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.port.sign(message)
    }

    fn verify(&self, signer: &NodeId, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        self.port.verify(signer, message, signature)
    }

    fn agent_key(&self) -> Option<&[u8]> {
        self.port.agent_key()
    }

    fn agent_sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.port.agent_sign(message)
    }

    fn agent_verify(&self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        self.port.agent_verify(key, message, signature)
    }

    fn seal(&self, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        if let Ok(mut said) = minicbor::decode::<Vec<Said>>(plain)
            && said.iter().any(|s| s.body == SAY)
        {
            for s in said.iter_mut().filter(|s| s.body == SAY) {
                (s.kind, s.body) = self.words.lock().unwrap().clone();
            }
            return self.port.seal(key, nonce, aad, &minicbor::to_vec(said).unwrap());
        }
        self.port.seal(key, nonce, aad, plain)
    }

    fn open(&self, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        self.port.open(key, nonce, aad, sealed)
    }

    fn box_keypair(&self, seed: &[u8; 32]) -> (Vec<u8>, BoxSecret) {
        self.port.box_keypair(seed)
    }

    fn box_seal(&self, public: &[u8], seed: &[u8; 32], aad: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        self.port.box_seal(public, seed, aad, plain)
    }

    fn box_open(&self, secret: &BoxSecret, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        self.port.box_open(secret, aad, sealed)
    }

    fn agree_public(&self, secret: &[u8; 32]) -> [u8; 32] {
        self.port.agree_public(secret)
    }

    fn agree(&self, secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
        self.port.agree(secret, public)
    }
}

/// The liar, in a network.
pub(crate) struct Eve {
    pub(crate) n: usize,
    words: Words,
}

impl Eve {
    pub(crate) fn enters(m: &mut Mesh) -> Eve {
        let key = m.nodes.len() as u8 + 1;
        let words = Words::default();
        let agent = AgentSecret::from_bytes([key; 32]);
        let port = SimCrypto::with_agent(&SecretKey::from_bytes([key; 32]), &agent);
        let liar = Liar { port, words: words.clone() };
        let n = m.add(Driven::with_port(GossipConfig::default(), key, liar), A);
        Eve { n, words }
    }

    /// Says this to a node, sealed and signed as it should be.
    pub(crate) fn says(&self, m: &mut Mesh, to: usize, kind: u8, body: Vec<u8>) {
        *self.words.lock().unwrap() = (kind, body);
        let t = m.send(self.n, to, SAY);
        m.pass(1_000);
        assert!(m.delivered(self.n, t).is_some(), "nobody heard it");
    }
}
