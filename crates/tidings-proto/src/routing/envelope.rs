//! Envelopes: what is signed, what is checked, and who is next.

use bytes::{Bytes, BytesMut};

use crate::crypto::{Crypto, SIGNATURE_LEN};
use crate::identity::{CLOCKS_MS, Network, NodeId};
use crate::time::UnixMillis;
use crate::wire::{Credit, Credits, Envelope, Frame, MAX_PAYLOAD, MAX_VIA};

/// Links that an envelope travels at most.
pub const MAX_TTL: u8 = MAX_VIA as u8 + 1;
/// An envelope is carried for so long, clocks apart.
const LIFE_MS: u64 = 60_000;
/// Longest content.
pub(crate) const MAX_INNER: usize = MAX_PAYLOAD - SIGNATURE_LEN;

/// The key that ties envelopes and credits to a network.
pub fn key(network: &Network) -> [u8; 32] {
    network.derive("tidings 1 routing")
}

fn part(h: &mut blake3::Hasher, bytes: &[u8]) {
    h.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
}

fn nodes(h: &mut blake3::Hasher, ids: &[NodeId]) {
    h.update(&(ids.len() as u64).to_le_bytes());
    for id in ids {
        h.update(id.as_bytes());
    }
}

/// What a sender signs: all but `ttl`, and the content by its hash.
fn digest(key: &[u8; 32], m: &Envelope, inner: &[u8]) -> [u8; 32] {
    let mut h = blake3::Hasher::new_keyed(key);
    part(&mut h, b"envelope");
    h.update(&m.id.0);
    nodes(&mut h, &[m.from, m.to]);
    nodes(&mut h, &m.via);
    h.update(&[m.kind]).update(&m.at_ms.to_le_bytes()).update(&m.messages.to_le_bytes());
    if let Some(c) = &m.credits {
        h.update(&credits_digest(key, c.at_ms, &c.list)).update(&c.signature);
    }
    part(&mut h, blake3::hash(inner).as_bytes());
    *h.finalize().as_bytes()
}

fn credits_digest(key: &[u8; 32], at_ms: u64, list: &[Credit]) -> [u8; 32] {
    let mut h = blake3::Hasher::new_keyed(key);
    part(&mut h, b"credits");
    h.update(&at_ms.to_le_bytes()).update(&(list.len() as u64).to_le_bytes());
    for c in list {
        h.update(&c.id.0);
        nodes(&mut h, &c.relays);
        h.update(&c.messages.to_le_bytes()).update(&c.bytes.to_le_bytes());
    }
    *h.finalize().as_bytes()
}

impl Credits {
    /// Those that whom `crypto` signs for gives.
    pub fn give(crypto: &dyn Crypto, key: &[u8; 32], at_ms: u64, list: Vec<Credit>) -> Credits {
        let signature = crypto.sign(&credits_digest(key, at_ms, &list));
        Credits { at_ms, list, signature }
    }

    /// Whether `by` gave them, lately.
    pub fn verify(&self, crypto: &dyn Crypto, key: &[u8; 32], by: &NodeId, now: UnixMillis) -> bool {
        in_time(self.at_ms, now) && crypto.verify(by, &credits_digest(key, self.at_ms, &self.list), &self.signature)
    }
}

fn in_time(at_ms: u64, now: UnixMillis) -> bool {
    at_ms.abs_diff(now.0) <= CLOCKS_MS + LIFE_MS
}

/// The payload of an envelope: some frames and the signature.
pub fn seal(crypto: &dyn Crypto, key: &[u8; 32], m: &Envelope, inner: &[u8]) -> Bytes {
    let signature = crypto.sign(&digest(key, m, inner));
    [inner, &signature].concat().into()
}

/// Whether `from` has signed it.
pub fn is_genuine(crypto: &dyn Crypto, key: &[u8; 32], m: &Envelope, payload: &[u8]) -> bool {
    let Some((inner, signature)) = payload.split_last_chunk::<SIGNATURE_LEN>() else { return false };
    crypto.verify(&m.from, &digest(key, m, inner), signature)
}

/// Whether an envelope makes sense: no loop, not to oneself, not too long on its way. Its signature is another matter.
pub fn is_sound(m: &Envelope, payload: &[u8], now: UnixMillis) -> bool {
    let apart = |i: usize, id: &NodeId| *id != m.from && *id != m.to && !m.via[..i].contains(id);
    m.from != m.to
        && m.via.iter().enumerate().all(|(i, id)| apart(i, id))
        && (1..=MAX_TTL).contains(&m.ttl)
        && payload.len() >= SIGNATURE_LEN
        && in_time(m.at_ms, now)
}

/// Whom `me` had it from, and to whom it goes next: none if it is for `me`, or has come to its end.
pub fn hops(m: &Envelope, me: &NodeId) -> Option<(NodeId, Option<NodeId>)> {
    if *me == m.to {
        return m.via.last().map(|last| (*last, None));
    }
    let at = m.via.iter().position(|v| v == me)?;
    let before = if at == 0 { m.from } else { m.via[at - 1] };
    Some((before, next_hop(m, me)))
}

/// To whom an envelope goes from `me`.
pub fn next_hop(m: &Envelope, me: &NodeId) -> Option<NodeId> {
    if *me == m.from {
        return m.via.first().copied();
    }
    let at = m.via.iter().position(|v| v == me)?;
    Some(m.via.get(at + 1).copied().unwrap_or(m.to))
}

/// Frames, one behind the other.
pub(super) fn join(frames: &[Frame]) -> Bytes {
    let mut all = BytesMut::with_capacity(frames.iter().map(Frame::len).sum());
    for f in frames {
        all.extend_from_slice(&f.head);
        all.extend_from_slice(&f.payload);
    }
    all.freeze()
}
