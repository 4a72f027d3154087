//! A record signed by the key of the node it belongs to.
//!
//! ```text
//! 0..32    owner     the node, and the record's key
//! 32..40   version   u64   little endian; the higher one of a key stands
//! 40..48   issued    u64   milliseconds since the Unix epoch, by the owner's clock
//! 48..52   life      u32   milliseconds it holds without a refresh
//! 52..68   anchor          of the chain of its refreshes
//! 68..-64  content         what the set is of
//! -64..    signature       the owner's, over BLAKE3(network's key, set ‖ all before)
//! ```

use bytes::Bytes;

use super::Context;
use super::sets::{Claim, Refused};
use crate::crypto::{Crypto, SIGNATURE_LEN};
use crate::identity::{NodeId, RecordKey};
use crate::time::{Span, UnixMillis};
use crate::wire::{ChainValue, SetId};

/// Where the content begins.
const CONTENT: usize = 68;
/// What such a record takes beside its content.
pub const OVERHEAD: usize = CONTENT + SIGNATURE_LEN;

/// What the owner says beside the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The higher one stands.
    pub version: u64,
    /// When, by the owner's clock.
    pub issued: UnixMillis,
    /// How long it holds without a refresh; whole milliseconds.
    pub life: Span,
    /// Of the chain of its refreshes.
    pub anchor: ChainValue,
}

/// Signs a record as the node that `crypto` signs for.
pub fn sign(set: SetId, network: &[u8; 32], crypto: &dyn Crypto, said: &Statement, content: &[u8]) -> Bytes {
    let mut out = head(&crypto.node_id(), said);
    out.extend_from_slice(content);
    let signature = crypto.sign(&digest(set, network, &out));
    out.extend_from_slice(&signature);
    out.into()
}

/// What a record says before its content.
pub fn head(owner: &NodeId, said: &Statement) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(owner.as_bytes());
    out.extend_from_slice(&said.version.to_le_bytes());
    out.extend_from_slice(&said.issued.0.to_le_bytes());
    out.extend_from_slice(&u32::try_from(said.life.as_millis()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&said.anchor.0);
    out
}

/// The part of a record before its content.
pub fn head_of(record: &[u8]) -> &[u8] {
    &record[..CONTENT.min(record.len())]
}

fn digest(set: SetId, network: &[u8; 32], signed: &[u8]) -> [u8; 32] {
    let mut h = blake3::Hasher::new_keyed(network);
    h.update(b"tidings 1 signed record");
    h.update(&[set.0]);
    h.update(&(signed.len() as u64).to_le_bytes());
    h.update(signed);
    *h.finalize().as_bytes()
}

/// What a record says, its signature aside.
pub fn peek(bytes: &[u8]) -> Result<Claim, Refused> {
    if bytes.len() < OVERHEAD {
        return Err(Refused::Malformed);
    }
    if is_weak(bytes) {
        return Err(Refused::Malformed);
    }
    let number = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    let (mut key, mut anchor) = ([0; 32], [0; 16]);
    key.copy_from_slice(&bytes[..32]);
    anchor.copy_from_slice(&bytes[52..CONTENT]);
    Ok(Claim {
        key: RecordKey(key),
        version: number(32),
        issued: UnixMillis(number(40)),
        life: Span::from_millis(number(48) & u64::from(u32::MAX)),
        anchor: Some(ChainValue(anchor)),
    })
}

/// The Ed25519 points of low order, their sign aside: for such a key anybody can make signatures (RFC 8032 lets verifiers
/// accept them). The last three are the same numbers past the field's end.
const WEAK: [[u8; 32]; 7] = [
    point(0, 0, 0),
    point(1, 0, 0),
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    point(0xec, 0xff, 0x7f),
    point(0xed, 0xff, 0x7f),
    point(0xee, 0xff, 0x7f),
];

/// A number by its first, middle and last bytes.
const fn point(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut p = [middle; 32];
    p[0] = first;
    p[31] = last;
    p
}

/// Whether a record's owner is no key that only one can sign with.
fn is_weak(record: &[u8]) -> bool {
    let Some(owner) = record.first_chunk::<32>() else { return true };
    let mut unsigned = *owner;
    unsigned[31] &= 0x7f;
    WEAK.contains(&unsigned)
}

/// Whether the owner signed it.
pub fn verify(set: SetId, bytes: &[u8], context: &Context<'_>) -> bool {
    let Some((signed, signature)) = bytes.split_last_chunk::<SIGNATURE_LEN>() else { return false };
    let Some(owner) = signed.first_chunk::<32>() else { return false };
    context.crypto.verify(&NodeId(*owner), &digest(set, context.network, signed), signature)
}

/// What the set is of.
pub fn content(bytes: &Bytes) -> Bytes {
    bytes.slice(CONTENT.min(bytes.len())..bytes.len().saturating_sub(SIGNATURE_LEN).max(CONTENT.min(bytes.len())))
}
