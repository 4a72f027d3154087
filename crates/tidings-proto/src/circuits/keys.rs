//! A circuit's keys: a box to a one-time key of who opens it, and one key for each direction.
//!
//! ```text
//! OpenCircuit's payload     a one-time key for boxes (1216), whose secret is forgotten when the circuit is open
//! CircuitOpened's payload   box of 32 random bytes
//! key of a direction        BLAKE3-keyed(those, said ‖ who sends)    said: network ‖ session ‖ who opened it ‖ the other ‖ one-time key
//! CircuitPiece's payload    ciphertext, its nonce the piece's number
//! ```
//!
//! Who says it the envelope's signature proves (`routing/envelope.rs`); relays can exchange nothing of it.

use crate::crypto::{BOX_OVERHEAD, BoxSecret, Crypto, TAG_LEN};
use crate::identity::{Network, NodeId};

pub(super) const BOXED: usize = 32 + BOX_OVERHEAD;

/// One direction's key.
#[derive(Clone)]
pub(super) struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What both ends know before there is a secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said([u8; 32]);

impl Said {
    pub(super) fn new(network: &[u8; 32], session: u64, [by, to]: [&NodeId; 2], public: &[u8]) -> Said {
        let mut h = blake3::Hasher::new_keyed(network);
        h.update(&session.to_le_bytes()).update(by.as_bytes()).update(to.as_bytes()).update(public);
        Said(*h.finalize().as_bytes())
    }

    fn key(&self, secret: &[u8; 32], sender: &NodeId) -> Key {
        let mut h = blake3::Hasher::new_keyed(secret);
        h.update(&self.0).update(sender.as_bytes());
        Key(*h.finalize().as_bytes())
    }

    /// Boxes a secret for who opens the circuit.
    pub(super) fn agree(&self, crypto: &dyn Crypto, public: &[u8], [secret, seed]: [&[u8; 32]; 2]) -> Option<Vec<u8>> {
        crypto.box_seal(public, seed, &self.0, secret)
    }

    /// The secret that was boxed for it.
    pub(super) fn open(&self, crypto: &dyn Crypto, key: &BoxSecret, boxed: &[u8]) -> Option<[u8; 32]> {
        crypto.box_open(key, &self.0, boxed)?.try_into().ok()
    }

    /// The keys of an end: for what it says, and for what it hears.
    pub(super) fn keys(&self, secret: &[u8; 32], me: &NodeId, peer: &NodeId) -> [Key; 2] {
        [self.key(secret, me), self.key(secret, peer)]
    }
}

pub(super) fn network_key(network: &Network) -> [u8; 32] {
    network.derive("tidings 1 circuits")
}

fn nonce(piece: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&piece.to_le_bytes());
    nonce
}

impl Key {
    pub(super) fn seal(&self, crypto: &dyn Crypto, piece: u64, plain: &[u8]) -> Vec<u8> {
        crypto.seal(&self.0, &nonce(piece), &[], plain)
    }

    pub(super) fn open(&self, crypto: &dyn Crypto, piece: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        if sealed.len() > super::stream::PIECE + TAG_LEN {
            return None;
        }
        crypto.open(&self.0, &nonce(piece), &[], sealed)
    }
}
