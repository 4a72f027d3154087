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
//! Of a large message the content is sealed apart, before it is cut into chunks (`large/sealed.rs`). Its manifest stays in
//! clear, so that those who carry the topic can check and serve the chunks; what it has more is the message's headers and
//! the content's key, sealed as above, with the content's id behind the topic's in the associated data. So is a message that is too
//! long to be sealed as an ordinary one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::MAX_MESSAGE;
use super::batch::{Batch, Delivery, MessageView};
use crate::crypto::Crypto;
use crate::identity::{MAX_TOPIC_NAME, NodeId, TopicError, TopicId};
use crate::io::{CommandError, Event, Outgoing};
use crate::large::{Content, ContentKey, MAX_SEALED, Manifest};
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

/// What the key of a content is bound to.
fn bound(topic: &TopicId, manifest: &Manifest) -> [u8; 64] {
    let mut aad = [0; 64];
    aad[..32].copy_from_slice(topic.as_bytes());
    aad[32..].copy_from_slice(manifest.id().as_bytes());
    aad
}

fn too_large(size: usize) -> CommandError {
    CommandError::PayloadTooLarge { size, limit: MAX_SEALED }
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

    /// What can be published of a message: on a private topic one that is too long for a batch when it is sealed becomes a large
    /// one, and the content of a large one is sealed here if it was not before.
    pub(super) fn admit(
        &self,
        crypto: &dyn Crypto,
        topic: &TopicId,
        mut message: Outgoing,
    ) -> Result<Outgoing, CommandError> {
        let Some(secret) = self.0.get(topic) else { return Ok(message) };
        let headers = message.headers.len();
        if headers > super::MAX_HEADERS {
            return Err(CommandError::HeadersTooLarge { size: headers, limit: super::MAX_HEADERS });
        }
        let fits = message.payload.len() + headers + SEALED <= MAX_MESSAGE;
        let content = match &message.content {
            Some(c) if c.key_on(topic).is_some() => return Ok(message),
            Some(c) => Content::clone(c),
            None if fits => return Ok(message),
            None if message.payload.len() > MAX_MESSAGE => {
                return Err(CommandError::PayloadTooLarge { size: message.payload.len(), limit: MAX_MESSAGE });
            }
            None => Content::of(message.payload.clone()).map_err(|_| too_large(message.payload.len()))?,
        };
        let size = content.manifest().size();
        let sealed = content.sealed(secret, *topic, crypto).map_err(|_| too_large(size))?;
        message.payload = sealed.manifest().encode();
        message.content = Some(Arc::new(sealed));
        Ok(message)
    }

    /// Seals a batch's messages, if the topic is private.
    pub(super) fn seal(&self, crypto: &dyn Crypto, at: (TopicId, NodeId, u64, u64), messages: &mut [Outgoing]) {
        let (topic, author, epoch, first_seq) = at;
        let Some(secret) = self.0.get(&topic) else { return };
        let key = secret.key(&author, epoch);
        for (seq, m) in (first_seq..).zip(messages) {
            let content = m.content.as_ref().and_then(|c| Some((c.manifest(), c.key_on(&topic)?)));
            let rest = match &content {
                Some((_, key)) => &key.expose()[..],
                None => &m.payload[..],
            };
            let mut plain = BytesMut::with_capacity(SEALED + m.headers.len() + rest.len());
            plain.extend_from_slice(&(m.headers.len() as u16).to_le_bytes());
            plain.extend_from_slice(&m.headers);
            plain.extend_from_slice(rest);
            m.payload = match content {
                Some((manifest, _)) => {
                    let sealed = crypto.seal(&key, &nonce(seq), &bound(&topic, manifest), &plain);
                    manifest.with_sealed(sealed.into()).encode()
                }
                None => crypto.seal(&key, &nonce(seq), topic.as_bytes(), &plain).into(),
            };
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
        let manifest = if m.large { Some(Manifest::decode(&m.payload).ok()?) } else { None };
        let plain = match &manifest {
            Some(large) => crypto.open(&key, &nonce(m.seq), &bound(&h.topic, large), large.sealed()?)?,
            None => crypto.open(&key, &nonce(m.seq), h.topic.as_bytes(), &m.payload)?,
        };
        let plain = Bytes::from(plain);
        let (len, rest) = plain.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_le_bytes(*len));
        if !m.headers.is_empty() || len > rest.len() || len > super::MAX_HEADERS {
            return None;
        }
        let (headers, rest) = (plain.slice(2..2 + len), plain.slice(2 + len..));
        Some(match manifest {
            Some(_) => m.opened_by(headers, ContentKey::from_bytes(rest.as_ref().try_into().ok()?)),
            None => m.with(headers, rest),
        })
    };
    (0..h.payloads.len()).map(&mut open).collect()
}
