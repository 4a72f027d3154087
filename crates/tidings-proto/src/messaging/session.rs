//! A session's keys: what is sealed, what is signed, and how each frame's key follows from the one before.
//!
//! ```text
//! OpenSession's payload  box of 32 bytes (1168) ‖ signature (64) ‖ certificate
//! Envelopes' payload     ciphertext ‖ signature (64)
//! plain                  CBOR array of envelopes `[kind, at_ms, body]`
//! chain 0                BLAKE3-keyed(root, said)            said: OpenSession's body ‖ sender ‖ receiver
//! key n, chain n+1       BLAKE3-keyed(chain n, "key"), BLAKE3-keyed(chain n, "chain")
//! ```
//!
//! A key serves once, so its nonce is zeros. The frame's head is bound to the ciphertext, and both to the session's chain 0, by the
//! seal and by the signature: a signature cut off and replaced by another's is of no session of the other's.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::crypto::{BOX_OVERHEAD, BoxSecret, Crypto, SIGNATURE_LEN, TAG_LEN};
use crate::identity::NodeId;
use crate::time::Span;
use crate::wire::{Envelopes, MAX_PAYLOAD, Message, OpenSession, Receipt};

/// Longest message: what fits a frame with its head, seal and signature.
pub const MAX_BODY_LEN: usize = 64 << 10;
/// A session ends after so many frames, or so long: then a new box is opened (a guess: ten kilobytes an hour).
pub(super) const MAX_FRAMES: u64 = 1 << 20;
pub(super) const MAX_AGE: Span = Span::from_secs(3_600);
/// Plain bytes in one frame, the last envelope's excess aside.
pub(super) const FULL: usize = MAX_PAYLOAD - SIGNATURE_LEN - TAG_LEN - 64;

const BOXED: usize = 32 + BOX_OVERHEAD;

/// What travels for one message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Envelope {
    /// What it is; 0 for what a program sends.
    #[n(0)]
    pub(super) kind: u8,
    /// When it was sent, by the sender's clock.
    #[n(1)]
    pub(super) at_ms: u64,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub(super) body: Vec<u8>,
}

impl Envelope {
    /// Its length in a frame, at most.
    pub(super) fn len(body: usize) -> usize {
        body + 24
    }
}

/// The frame keys of one session.
#[derive(Clone)]
pub(super) struct Chain {
    /// Names the session in what is signed.
    name: [u8; 32],
    next: [u8; 32],
    /// How many frames were sealed or opened.
    pub(super) frame: u64,
}

fn hash(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut h = blake3::Hasher::new_keyed(key);
    for part in parts {
        h.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *h.finalize().as_bytes()
}

fn said(m: &OpenSession, from: &NodeId) -> Vec<u8> {
    let mut said = Message::from(m.clone()).frame().head.to_vec();
    said.extend_from_slice(from.as_bytes());
    said
}

impl Chain {
    fn new(root: &[u8; 32], said: &[u8]) -> Chain {
        let next = hash(root, &[b"chain", said]);
        Chain { name: hash(root, &[b"name", said]), next, frame: 0 }
    }

    fn step(&mut self) -> [u8; 32] {
        let key = hash(&self.next, &[b"key"]);
        self.next = hash(&self.next, &[b"chain"]);
        self.frame += 1;
        key
    }

    fn digest(&self, network: &[u8; 32], m: &Envelopes, sealed: &[u8]) -> [u8; 32] {
        hash(network, &[b"envelopes", &self.name, &m.frame.to_le_bytes(), &m.first.to_le_bytes(), sealed])
    }

    fn head(&self, m: &Envelopes) -> Vec<u8> {
        [&self.name[..], &m.frame.to_le_bytes(), &m.first.to_le_bytes()].concat()
    }

    /// Seals the next frame. Returns its payload.
    pub(super) fn seal(&mut self, network: &[u8; 32], crypto: &dyn Crypto, m: &Envelopes, plain: &[u8]) -> Bytes {
        let (head, key) = (self.head(m), self.step());
        let mut sealed = crypto.seal(&key, &[0; 12], &head, plain);
        let signature = crypto.sign(&self.digest(network, m, &sealed));
        sealed.extend_from_slice(&signature);
        sealed.into()
    }

    /// Opens the next frame, signed by `from`. Nothing has changed if it is not what it should be.
    pub(super) fn open(
        &mut self,
        network: &[u8; 32],
        crypto: &dyn Crypto,
        from: &NodeId,
        m: &Envelopes,
        payload: &[u8],
    ) -> Option<Vec<Envelope>> {
        let (sealed, signature) = payload.split_last_chunk::<SIGNATURE_LEN>()?;
        if !crypto.verify(from, &self.digest(network, m, sealed), signature) {
            return None;
        }
        let mut after = self.clone();
        let key = after.step();
        let plain = crypto.open(&key, &[0; 12], &self.head(m), sealed)?;
        let mut d = minicbor::Decoder::new(&plain);
        let envelopes: Vec<Envelope> = d.decode().ok()?;
        let fits = d.position() == plain.len() && !envelopes.is_empty();
        (fits && envelopes.iter().all(|e| e.body.len() <= super::max_body(e.kind))).then(|| {
            *self = after;
            envelopes
        })
    }

    /// Signs that all before `next` is here.
    pub(super) fn sign_receipt(&self, network: &[u8; 32], crypto: &dyn Crypto, m: &Receipt) -> [u8; SIGNATURE_LEN] {
        crypto.sign(&self.receipt(network, m))
    }

    /// Whether `by` has signed that.
    pub(super) fn proves_receipt(
        &self,
        network: &[u8; 32],
        crypto: &dyn Crypto,
        by: &NodeId,
        m: &Receipt,
        signature: &[u8],
    ) -> bool {
        signature.try_into().is_ok_and(|s| crypto.verify(by, &self.receipt(network, m), s))
    }

    fn receipt(&self, network: &[u8; 32], m: &Receipt) -> [u8; 32] {
        hash(network, &[b"receipt", &self.name, &m.next.to_le_bytes()])
    }
}

/// Opens a session to the holder of `prekey`. Returns its chain and the frame's payload.
pub(super) fn begin(
    network: &[u8; 32],
    crypto: &dyn Crypto,
    m: &OpenSession,
    prekey: &[u8],
    certificate: &[u8],
    random: (&[u8; 32], &[u8; 32]),
) -> Option<(Chain, Bytes)> {
    let said = said(m, &crypto.node_id());
    let (root, seed) = random;
    let mut payload = crypto.box_seal(prekey, seed, &said, root)?;
    let signature = crypto.sign(&hash(network, &[b"open", &said, &payload]));
    payload.extend_from_slice(&signature);
    payload.extend_from_slice(certificate);
    Some((Chain::new(root, &said), payload.into()))
}

/// The parts of an opening's payload.
pub(super) struct Opening<'a> {
    boxed: &'a [u8],
    signature: &'a [u8; SIGNATURE_LEN],
    pub(super) certificate: &'a [u8],
}

impl<'a> Opening<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Option<Opening<'a>> {
        let (boxed, rest) = payload.split_at_checked(BOXED)?;
        let (signature, certificate) = rest.split_first_chunk::<SIGNATURE_LEN>()?;
        Some(Opening { boxed, signature, certificate })
    }

    /// Whether `from` has signed it.
    pub(super) fn is_of(&self, network: &[u8; 32], crypto: &dyn Crypto, from: &NodeId, m: &OpenSession) -> bool {
        crypto.verify(from, &hash(network, &[b"open", &said(m, from), self.boxed]), self.signature)
    }

    /// The session's chain, if the box opens.
    pub(super) fn chain(
        &self,
        crypto: &dyn Crypto,
        from: &NodeId,
        m: &OpenSession,
        secret: &BoxSecret,
    ) -> Option<Chain> {
        let said = said(m, from);
        let root = crypto.box_open(secret, &said, self.boxed)?;
        Some(Chain::new(root.as_slice().try_into().ok()?, &said))
    }
}
