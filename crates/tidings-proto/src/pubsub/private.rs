//! Private topics: without a topic's secret one can neither find nor read it.
//!
//! The topic's id is keyed by the secret, so that nobody else can even ask for it; what is published is sealed under a key of
//! the secret, the author and its epoch, with the message's number as nonce: an author never uses a number of an epoch
//! twice, not even after a crash, so no nonce is ever used twice. Who has come by the id alone, such as a neighbour that was
//! asked whether it is a member, can carry the topic's batches and sees who publishes, when and how much; not what.
//!
//! Sealed: the length of the headers (u16, little endian), the headers, the payload; 16 bytes of tag behind them. The
//! associated data is the topic's id. A batch's header then says that there are no headers. A batch of which not all can be
//! opened is not delivered: its author has the id and not the secret. It is carried all the same, since who cannot read a
//! topic cannot tell.
//!
//! Large messages are refused on private topics: their chunks are served by their hash, in clear.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::MAX_MESSAGE;
use super::batch::{Batch, Delivery, MessageView};
use crate::crypto::Crypto;
use crate::identity::{MAX_TOPIC_NAME, NodeId, TopicError, TopicId};
use crate::io::{CommandError, Event, Outgoing};
use crate::layer::Cx;

/// What sealing adds to a message.
const SEALED: usize = 2 + 16;
/// Secrets remembered: those of topics a node is in, and as many that it only publishes on now and then.
const MAX_SECRETS: usize = 2 * crate::membership::MAX_TOPICS;

/// What the members of a private topic share. Never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TopicSecret([u8; 32]);

impl fmt::Debug for TopicSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TopicSecret(..)")
    }
}

impl TopicSecret {
    /// A secret of 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> TopicSecret {
        TopicSecret(bytes)
    }

    /// The bytes, for a ticket.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id of the private topic `name`. Fails on an empty name or one past [`MAX_TOPIC_NAME`] bytes.
    pub fn topic(&self, name: &str) -> Result<TopicId, TopicError> {
        match name.len() {
            0 => Err(TopicError::Empty),
            n if n > MAX_TOPIC_NAME => Err(TopicError::TooLong(n)),
            _ => {
                let key = blake3::derive_key("tidings 1 private topic", &self.0);
                Ok(TopicId(*blake3::keyed_hash(&key, name.as_bytes()).as_bytes()))
            }
        }
    }

    fn key(&self, author: &NodeId, epoch: u64) -> [u8; 32] {
        let key = blake3::derive_key("tidings 1 private message", &self.0);
        let mut hash = blake3::Hasher::new_keyed(&key);
        hash.update(author.as_bytes()).update(&epoch.to_le_bytes());
        *hash.finalize().as_bytes()
    }
}

fn nonce(seq: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&seq.to_le_bytes());
    nonce
}

/// The secrets of private topics.
#[derive(Debug, Default)]
pub(super) struct Secrets(BTreeMap<TopicId, TopicSecret>);

impl Secrets {
    /// From now on the topic's messages are opened, and published sealed. Fails if too many are known.
    pub(super) fn add(&mut self, topic: TopicId, secret: TopicSecret) -> Result<(), CommandError> {
        if self.0.len() >= MAX_SECRETS && !self.0.contains_key(&topic) {
            return Err(CommandError::TooManyTopics { limit: MAX_SECRETS });
        }
        self.0.insert(topic, secret);
        Ok(())
    }

    /// The topic was left.
    pub(super) fn remove(&mut self, topic: &TopicId) {
        self.0.remove(topic);
    }

    /// Refuses what a private topic cannot carry.
    pub(super) fn admit(&self, topic: &TopicId, message: &Outgoing) -> Result<(), CommandError> {
        if !self.0.contains_key(topic) {
            return Ok(());
        }
        let limit = MAX_MESSAGE - SEALED - message.headers.len();
        if message.content.is_some() {
            return Err(CommandError::TooLargeToSeal { limit });
        }
        let size = message.payload.len();
        if size > limit { Err(CommandError::PayloadTooLarge { size, limit }) } else { Ok(()) }
    }

    /// Seals a batch's messages, if the topic is private.
    pub(super) fn seal(&self, crypto: &dyn Crypto, at: (TopicId, NodeId, u64, u64), messages: &mut [Outgoing]) {
        let (topic, author, epoch, first_seq) = at;
        let Some(secret) = self.0.get(&topic) else { return };
        let key = secret.key(&author, epoch);
        for (seq, m) in (first_seq..).zip(messages) {
            let mut plain = BytesMut::with_capacity(SEALED + m.headers.len() + m.payload.len());
            plain.extend_from_slice(&(m.headers.len() as u16).to_le_bytes());
            plain.extend_from_slice(&m.headers);
            plain.extend_from_slice(&m.payload);
            m.payload = crypto.seal(&key, &nonce(seq), topic.as_bytes(), &plain).into();
            m.headers = Bytes::new();
        }
    }

    /// What the program gets of a delivery; nothing if the topic is private and its author has not its secret.
    pub(super) fn open(&self, cx: &mut Cx<'_>, delivery: Delivery) -> Option<Delivery> {
        let Some(secret) = self.0.get(&delivery.topic()) else { return Some(delivery) };
        match opened(cx.crypto, secret, delivery.batch()) {
            Some(messages) => Some(delivery.with(messages)),
            None => {
                cx.counters.batches_sealed += 1;
                None
            }
        }
    }

    /// As [`Secrets::open`], as an event.
    pub(super) fn event(&self, cx: &mut Cx<'_>, delivery: Delivery) -> Option<Event> {
        self.open(cx, delivery).map(Event::Delivered)
    }
}

fn opened(crypto: &dyn Crypto, secret: &TopicSecret, batch: &Batch) -> Option<Arc<[MessageView]>> {
    let h = batch.header();
    let key = secret.key(&h.author, h.epoch);
    let mut offset = 0;
    let mut open = |index| {
        let m = batch.message(index, offset);
        offset += m.headers.len() + m.payload.len();
        let plain = Bytes::from(crypto.open(&key, &nonce(m.seq), h.topic.as_bytes(), &m.payload)?);
        let (len, rest) = plain.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_le_bytes(*len));
        let fits = m.headers.is_empty() && !m.large && len <= rest.len() && len <= super::MAX_HEADERS;
        fits.then(|| m.with(plain.slice(2..2 + len), plain.slice(2 + len..)))
    };
    (0..h.payloads.len()).map(&mut open).collect()
}
