//! Contents of private topics: sealed chunk by chunk before they are cut into a manifest, so that whoever carries, serves
//! and checks them needs no secret.
//!
//! After the online authenticated encryption STREAM (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015): a chunk's nonce is its
//! number and whether it is the last. What differs: the key is a keyed hash of what the content is, as in synthetic
//! initialisation vectors (Rogaway, Shrimpton, EUROCRYPT 2006), so that it takes no randomness and no key ever seals two
//! different things. The same bytes published twice on a topic are therefore the same content, which those who carry it can tell.
//!
//! The key travels in the manifest, sealed for the topic (`pubsub/private.rs`).
//!
//! Invariant: a chunk that opens is the one that was sealed, at its place, under this key and for this topic.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{Content, MAX_LARGE, Manifest, ManifestError};
use crate::crypto::{Crypto, TAG_LEN};
use crate::identity::TopicId;
use crate::pubsub::TopicSecret;
use crate::wire::MAX_CHUNKS;

/// Longest content that fits [`MAX_LARGE`] when it is sealed, in however many chunks.
pub const MAX_SEALED: usize = MAX_LARGE - MAX_CHUNKS * TAG_LEN;

/// What opens one content of a private topic. Never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ContentKey([u8; 32]);

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(..)")
    }
}

impl ContentKey {
    fn new(secret: &TopicSecret, content: &Manifest) -> ContentKey {
        let key = blake3::derive_key("tidings 1 private content", secret.expose());
        ContentKey(*blake3::keyed_hash(&key, content.id().as_bytes()).as_bytes())
    }

    /// From what a manifest brought.
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> ContentKey {
        ContentKey(bytes)
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// What chunk `index` of a content of this manifest holds; `None` if it was not sealed so.
    pub fn open(
        &self,
        crypto: &dyn Crypto,
        topic: &TopicId,
        manifest: &Manifest,
        index: usize,
        chunk: &[u8],
    ) -> Option<Vec<u8>> {
        crypto.open(&self.0, &nonce(index, manifest.chunks()), topic.as_bytes(), chunk)
    }
}

fn nonce(index: usize, chunks: usize) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&(index as u32).to_le_bytes());
    nonce[4] = u8::from(index + 1 == chunks);
    nonce
}

impl Manifest {
    /// How long the content is when it is opened, if it was sealed.
    pub fn opened_size(&self) -> usize {
        self.size().saturating_sub(self.chunks() * TAG_LEN)
    }
}

impl Content {
    /// The same for a private topic. Costly for a large one. Fails if it does not fit, or is empty.
    pub fn sealed(&self, secret: &TopicSecret, topic: TopicId, crypto: &dyn Crypto) -> Result<Content, ManifestError> {
        let key = ContentKey::new(secret, &self.manifest);
        let n = self.chunks.len();
        let seal = |(i, chunk): (usize, &Bytes)| crypto.seal(&key.0, &nonce(i, n), topic.as_bytes(), chunk);
        let chunks: Vec<Bytes> = self.chunks.iter().enumerate().map(seal).map(Bytes::from).collect();
        let size = self.manifest.size() + n * TAG_LEN;
        let len = self.manifest.chunk_len as usize + TAG_LEN;
        let hashes = chunks.iter().map(|c| *blake3::hash(c).as_bytes()).collect();
        let manifest = Manifest::new(size as u64, len as u32, hashes)?;
        Ok(Content { manifest: Arc::new(manifest), chunks, whole: None, sealed: Some((topic, key)) })
    }

    /// What opens it, if it is sealed for this topic.
    pub fn key_on(&self, topic: &TopicId) -> Option<ContentKey> {
        self.sealed.filter(|(on, _)| on == topic).map(|(_, key)| key)
    }
}
