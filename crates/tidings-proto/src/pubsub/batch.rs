//! The unit of dissemination: everything one author put on one topic since its last flush, signed once.
//!
//! The author's bytes travel, are logged and are served unchanged: relays never encode or sign again.
//!
//! ```text
//! 0..2        length of the header   u16 little endian
//! ..          header                 CBOR map, see `BatchHeader`
//! ..+64       signature              Ed25519 by the author over the batch id
//! ..          body                   for each message: its headers, then its payload, lengths in the header
//! ```
//!
//! The id is `BLAKE3-keyed(network key, header ‖ BLAKE3(body))`: a batch of another network has another id, and its
//! signature does not verify here.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use minicbor::{Decode, Encode};

use crate::crypto::{Crypto, SIGNATURE_LEN};
use crate::identity::{BatchId, MessageId, Network, NodeId, TopicId};
use crate::io::Outgoing;
use crate::large::ContentKey;
use crate::time::UnixMillis;
use crate::wire::{CapabilityRef, CertificateRef, ShortId};

/// Longest payload of one message (larger ones will travel as chunks).
pub const MAX_MESSAGE: usize = 32 * 1024;
/// Longest headers of one message.
pub const MAX_HEADERS: usize = 1024;
/// Longest body of a batch: two messages of the largest size, some 240 small ones.
pub const MAX_BODY: usize = 64 * 1024 + 2 * MAX_HEADERS;
/// Most messages in a batch (keeps the header within its length field).
pub const MAX_MESSAGES: usize = 4096;
/// Most bytes of a batch around its body.
const MAX_HEADER: usize = 28 * 1024;

/// What the author says about a batch. A CBOR map: fields can be added, and are covered by the signature.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct BatchHeader {
    /// On which topic.
    #[n(0)]
    pub topic: TopicId,
    /// By whom.
    #[n(1)]
    pub author: NodeId,
    /// In which of the author's epochs: one per start of its process, ever growing.
    #[n(2)]
    pub epoch: u64,
    /// Sequence number of the first message, from 1.
    #[n(3)]
    pub first_seq: u64,
    /// The author's wall time at signing, in milliseconds.
    #[n(4)]
    pub wall_ms: u64,
    /// The previous epoch in which the author published on the topic, and the last number used in it.
    #[n(5)]
    pub previous: Option<Position>,
    /// Payload length of each message.
    #[n(6)]
    pub payloads: Vec<u32>,
    /// Header length of each message; empty if none has headers.
    #[n(7)]
    #[cbor(default)]
    pub headers: Vec<u32>,
    /// How long before this one the author signed its last batch of this epoch on the topic, in milliseconds by its
    /// own clock; absent for the first. It tells who comes to the topic whether what came before is history to it.
    #[n(8)]
    pub apart_ms: Option<u64>,
    /// Which of the messages are large, by their place in the batch, ascending: their payload is the manifest of a
    /// content that travels apart ([`crate::large`]).
    #[n(9)]
    pub large: Option<Vec<u16>>,
    /// The certificate of the author's agent. Not every batch names it: see `publish.rs`.
    #[n(10)]
    pub certificate: Option<CertificateRef>,
    /// Where not everyone may publish, the capability by which the author does, if it is by one (`super::policy`).
    #[n(11)]
    pub capability: Option<CapabilityRef>,
}

/// A place in an author's stream of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(array)]
pub struct Position {
    /// The epoch.
    #[n(0)]
    pub epoch: u64,
    /// The sequence number.
    #[n(1)]
    pub seq: u64,
}

impl BatchHeader {
    /// How many messages.
    pub fn count(&self) -> u64 {
        self.payloads.len() as u64
    }

    /// The places of the large messages.
    pub fn large(&self) -> &[u16] {
        self.large.as_deref().unwrap_or_default()
    }

    /// Sequence number of the last message.
    pub fn last_seq(&self) -> u64 {
        self.first_seq + self.count() - 1
    }
}

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Cut short, or not in the format.
    #[error("a malformed batch")]
    Malformed,
    /// A length or count past its limit.
    #[error("a batch past the limits")]
    Limit,
    /// The signature is not the author's.
    #[error("a forged batch")]
    Forged,
}

/// A batch, parsed. Its signature is checked by [`Batch::verify`].
#[derive(Debug)]
pub struct Batch {
    bytes: Bytes,
    header: BatchHeader,
    id: BatchId,
    signature: [u8; SIGNATURE_LEN],
    body: Bytes,
}

impl Batch {
    /// Signs `messages` into a batch. The caller keeps to the limits.
    pub fn seal(header: BatchHeader, messages: &[Outgoing], network: &BatchKey, crypto: &dyn Crypto) -> Batch {
        let body_len: usize = messages.iter().map(|m| m.payload.len() + m.headers.len()).sum();
        let mut bytes = BytesMut::with_capacity(256 + messages.len() * 4 + body_len);
        let mut head = Vec::with_capacity(192 + messages.len() * 4);
        let done = minicbor::encode(&header, &mut head);
        debug_assert!(done.is_ok() && head.len() <= MAX_HEADER);
        bytes.extend_from_slice(&(head.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&[0; SIGNATURE_LEN]);
        let body_at = bytes.len();
        for m in messages {
            bytes.extend_from_slice(&m.headers);
            bytes.extend_from_slice(&m.payload);
        }
        let id = network.batch_id(&head, &bytes[body_at..]);
        let signature = crypto.sign(id.as_bytes());
        bytes[body_at - SIGNATURE_LEN..body_at].copy_from_slice(&signature);
        let bytes = bytes.freeze();
        let body = bytes.slice(body_at..);
        Batch { bytes, header, id, signature, body }
    }

    /// Reads the header without hashing or verifying anything: enough to recognise a duplicate.
    pub fn peek(bytes: &Bytes) -> Result<Peeked, BatchError> {
        let len = usize::from(u16::from_le_bytes(*bytes.first_chunk().ok_or(BatchError::Malformed)?));
        let body_at = 2 + len + SIGNATURE_LEN;
        if len > MAX_HEADER {
            return Err(BatchError::Limit);
        }
        if bytes.len() < body_at {
            return Err(BatchError::Malformed);
        }
        let mut d = minicbor::Decoder::new(&bytes[2..2 + len]);
        let header: BatchHeader = d.decode().map_err(|_| BatchError::Malformed)?;
        if d.position() != len {
            return Err(BatchError::Malformed);
        }
        let sum = |lens: &[u32]| lens.iter().map(|l| *l as usize).sum::<usize>();
        let within = |lens: &[u32], most: usize| lens.iter().all(|l| *l as usize <= most);
        if header.payloads.is_empty() || header.first_seq == 0 {
            return Err(BatchError::Malformed);
        }
        if header.payloads.len() > MAX_MESSAGES
            || !within(&header.payloads, MAX_MESSAGE)
            || !within(&header.headers, MAX_HEADERS)
            || header.first_seq.checked_add(header.count()).is_none()
            || bytes.len() - body_at > MAX_BODY
        {
            return Err(BatchError::Limit);
        }
        let large = header.large();
        if !(header.headers.is_empty() || header.headers.len() == header.payloads.len())
            || !large.is_sorted_by(|a, b| a < b)
            || large.last().is_some_and(|i| usize::from(*i) >= header.payloads.len())
            || sum(&header.payloads) + sum(&header.headers) != bytes.len() - body_at
        {
            return Err(BatchError::Malformed);
        }
        Ok(Peeked { header, header_len: len })
    }

    /// Hashes and verifies a batch whose header has been read.
    pub fn verify(bytes: Bytes, peeked: Peeked, network: &BatchKey, crypto: &dyn Crypto) -> Result<Batch, BatchError> {
        let body_at = 2 + peeked.header_len + SIGNATURE_LEN;
        let body = bytes.slice(body_at..);
        let id = network.batch_id(&bytes[2..2 + peeked.header_len], &body);
        let mut signature = [0; SIGNATURE_LEN];
        signature.copy_from_slice(&bytes[body_at - SIGNATURE_LEN..body_at]);
        if !crypto.verify(&peeked.header.author, id.as_bytes(), &signature) {
            return Err(BatchError::Forged);
        }
        Ok(Batch { bytes, header: peeked.header, id, signature, body })
    }

    /// The author's own bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the author said about it.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Its id.
    pub fn id(&self) -> BatchId {
        self.id
    }

    /// The first half of its id, as announcements name it.
    pub fn short_id(&self) -> ShortId {
        let mut short = [0; 16];
        short.copy_from_slice(&self.id.0[..16]);
        ShortId(short)
    }

    /// The author's signature over the id.
    pub fn signature(&self) -> &[u8; SIGNATURE_LEN] {
        &self.signature
    }

    /// The id of the message at `index`.
    pub fn message_id(&self, index: usize) -> MessageId {
        message_id(&self.id, index)
    }

    /// The payloads of the large messages: manifests, if their author keeps to the rules.
    pub(super) fn manifests(&self) -> Vec<Bytes> {
        let (mut offset, mut found) = (0, Vec::new());
        if !self.header.large().is_empty() {
            for i in 0..self.header.payloads.len() {
                let m = self.message(i, offset);
                offset += m.headers.len() + m.payload.len();
                found.extend(m.large.then_some(m.payload));
            }
        }
        found
    }

    pub(super) fn message(&self, index: usize, offset: usize) -> MessageView {
        let headers = self.header.headers.get(index).map_or(0, |l| *l as usize);
        let payload = self.header.payloads[index] as usize;
        MessageView {
            seq: self.header.first_seq + index as u64,
            large: self.header.large().binary_search_by_key(&index, |i| usize::from(*i)).is_ok(),
            content_key: None,
            index,
            batch_id: self.id,
            headers: self.body.slice(offset..offset + headers),
            payload: self.body.slice(offset + headers..offset + headers + payload),
        }
    }
}

/// A header that has been read, not yet verified.
#[derive(Debug)]
pub struct Peeked {
    /// What the author seems to say.
    pub header: BatchHeader,
    header_len: usize,
}

/// The key that binds batches to a network.
#[derive(Clone)]
pub struct BatchKey([u8; 32]);

impl BatchKey {
    /// The batch key of `network`.
    pub fn new(network: &Network) -> Self {
        BatchKey(network.derive("tidings 1 batch id"))
    }

    fn batch_id(&self, header: &[u8], body: &[u8]) -> BatchId {
        let mut h = blake3::Hasher::new_keyed(&self.0);
        h.update(&(header.len() as u32).to_le_bytes());
        h.update(header);
        h.update(blake3::hash(body).as_bytes());
        BatchId(*h.finalize().as_bytes())
    }
}

fn message_id(batch: &BatchId, index: usize) -> MessageId {
    let mut h = blake3::Hasher::new_derive_key("tidings 1 message id");
    h.update(batch.as_bytes());
    h.update(&(index as u64).to_le_bytes());
    MessageId(*h.finalize().as_bytes())
}

/// One message of a batch; its bytes are the batch's, not copied.
#[derive(Clone, Debug)]
pub struct MessageView {
    /// Its sequence number.
    pub seq: u64,
    /// Its encoded headers.
    pub headers: Bytes,
    /// What the author published; of a large message, the manifest.
    pub payload: Bytes,
    /// Whether it is a large message.
    pub large: bool,
    /// What opens the content of a large message of a private topic.
    pub content_key: Option<ContentKey>,
    index: usize,
    batch_id: BatchId,
}

impl MessageView {
    /// The same with other headers and another payload.
    pub(super) fn with(self, headers: Bytes, payload: Bytes) -> Self {
        MessageView { headers, payload, ..self }
    }

    /// The same with other headers, and what opens its content.
    pub(super) fn opened_by(self, headers: Bytes, key: ContentKey) -> Self {
        MessageView { headers, content_key: Some(key), ..self }
    }

    /// Its id. Hashed when asked for: most receivers never do.
    pub fn id(&self) -> MessageId {
        message_id(&self.batch_id, self.index)
    }
}

/// Consecutive messages of one author, ready for the program.
#[derive(Clone, Debug)]
pub struct Delivery {
    batch: Arc<Batch>,
    late: bool,
    own: bool,
    history: bool,
    hop: u16,
    /// Of a private topic, its messages as they were before they were sealed.
    opened: Option<Arc<[MessageView]>>,
}

impl PartialEq for Delivery {
    fn eq(&self, other: &Delivery) -> bool {
        let flags = |d: &Delivery| (d.batch.id, d.late, d.own, d.history, d.hop);
        flags(self) == flags(other)
    }
}

impl Eq for Delivery {}

impl Delivery {
    pub(crate) fn new(batch: Arc<Batch>, late: bool, own: bool, hop: u16) -> Self {
        Delivery { batch, late, own, history: false, hop, opened: None }
    }

    pub(crate) fn history(batch: Arc<Batch>, own: bool, hop: u16) -> Self {
        Delivery { batch, late: false, own, history: true, hop, opened: None }
    }

    /// The same with its messages opened.
    pub(super) fn with(self, opened: Arc<[MessageView]>) -> Self {
        Delivery { opened: Some(opened), ..self }
    }

    /// On which topic.
    pub fn topic(&self) -> TopicId {
        self.batch.header.topic
    }

    /// Whose messages, proven by the signature.
    pub fn author(&self) -> NodeId {
        self.batch.header.author
    }

    /// The author's epoch.
    pub fn epoch(&self) -> u64 {
        self.batch.header.epoch
    }

    /// When the author signed them, by its clock.
    pub fn at(&self) -> UnixMillis {
        UnixMillis(self.batch.header.wall_ms)
    }

    /// Whether they come after a gap they belong in was reported, or after a later message.
    pub fn late(&self) -> bool {
        self.late
    }

    /// Whether they are from before this node came to the topic, or were given as part of its history.
    pub fn is_history(&self) -> bool {
        self.history
    }

    /// Whether this node published them.
    pub fn own(&self) -> bool {
        self.own
    }

    /// Links travelled.
    pub fn hop(&self) -> u16 {
        self.hop
    }

    /// How many.
    #[expect(clippy::len_without_is_empty, reason = "a delivery is never empty")]
    pub fn len(&self) -> usize {
        self.batch.header.payloads.len()
    }

    /// The batch they came in.
    pub fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }

    /// The messages, in order.
    pub fn messages(&self) -> impl Iterator<Item = MessageView> + '_ {
        let mut offset = 0;
        (0..self.len()).filter_map(move |i| {
            let (m, next) = self.message_at(i, offset)?;
            offset = next;
            Some(m)
        })
    }

    /// The message at `index`, where it begins in the body, and where the next one does: for readers that keep
    /// their place themselves. Start at offset 0.
    pub fn message_at(&self, index: usize, offset: usize) -> Option<(MessageView, usize)> {
        if index >= self.len() {
            return None;
        }
        if let Some(opened) = &self.opened {
            return Some((opened[index].clone(), offset));
        }
        let m = self.batch.message(index, offset);
        let next = offset + m.headers.len() + m.payload.len();
        Some((m, next))
    }
}
