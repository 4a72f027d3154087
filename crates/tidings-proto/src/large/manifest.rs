//! What a large message's payload says of its content, and contents cut into chunks.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::ContentKey;
use crate::identity::{ContentId, TopicId};
use crate::io::Outgoing;
use crate::pubsub::MAX_MESSAGE;
use crate::wire::MAX_CHUNKS;

/// Longest content.
pub const MAX_LARGE: usize = 64 << 20;
/// Shortest and longest chunk that a manifest may name. Shorter ones cost more than they carry; a longer one does not
/// fit a frame ([`crate::wire::MAX_PAYLOAD`]).
pub const MIN_CHUNK: usize = 16 * 1024;
/// See [`MIN_CHUNK`].
pub const MAX_CHUNK: usize = 80 * 1024;
/// Contents up to this size are put together in one piece, so that programs get them as they get small messages.
pub const WHOLE: usize = 1 << 20;

/// Chunks of a small content: two or more, so that the second travels while the first is passed on.
const SMALL_CHUNK: usize = 32 * 1024;
/// Chunks of others: half as many frames and hashes.
const MEDIUM_CHUNK: usize = 64 * 1024;
/// And of the largest, so that the manifest of [`MAX_LARGE`] bytes, 29 924 bytes of it, fits a message.
const LARGE_CHUNK: usize = 72 * 1024;
/// Up to here [`MEDIUM_CHUNK`]s make at most 960 hashes, 30 720 bytes.
const MEDIUM: usize = 60 << 20;

/// Why a payload is not a manifest, or bytes cannot be a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not in the format, or its numbers contradict each other.
    #[error("a malformed manifest")]
    Malformed,
    /// Longer than a content may be.
    #[error("more than {MAX_LARGE} bytes")]
    TooLarge,
}

/// The fields of a manifest, as encoded. A CBOR map: fields can be added.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Fields {
    #[n(0)]
    size: u64,
    #[n(1)]
    chunk_len: u32,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    hashes: Vec<u8>,
    #[n(3)]
    sealed: Option<ByteVec>,
}

/// What a content is made of. Whoever has it can check every chunk by itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest {
    id: ContentId,
    size: u64,
    pub(super) chunk_len: u32,
    hashes: Vec<[u8; 32]>,
    /// Of a content that is sealed, what opens it, itself sealed. The id does not cover it.
    sealed: Bytes,
}

impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Manifest({}, {} bytes in {} chunks)", self.id.short(), self.size, self.hashes.len())
    }
}

impl Manifest {
    pub(super) fn new(size: u64, chunk_len: u32, hashes: Vec<[u8; 32]>) -> Result<Self, ManifestError> {
        if size > MAX_LARGE as u64 {
            return Err(ManifestError::TooLarge);
        }
        let fits = (MIN_CHUNK..=MAX_CHUNK).contains(&(chunk_len as usize));
        if size == 0 || !fits || hashes.len() > MAX_CHUNKS || hashes.len() as u64 != size.div_ceil(chunk_len.into()) {
            return Err(ManifestError::Malformed);
        }
        let mut h = blake3::Hasher::new_derive_key("tidings 1 content");
        h.update(&size.to_le_bytes()).update(&chunk_len.to_le_bytes());
        for hash in &hashes {
            h.update(hash);
        }
        Ok(Manifest { id: ContentId(*h.finalize().as_bytes()), size, chunk_len, hashes, sealed: Bytes::new() })
    }

    /// Reads the payload of a large message.
    pub fn decode(payload: &[u8]) -> Result<Self, ManifestError> {
        let mut d = minicbor::Decoder::new(payload);
        let f: Fields = d.decode().map_err(|_| ManifestError::Malformed)?;
        let (hashes, rest) = f.hashes.as_chunks::<32>();
        if d.position() != payload.len() || !rest.is_empty() {
            return Err(ManifestError::Malformed);
        }
        let sealed = f.sealed.map_or(Bytes::new(), |s| Vec::from(s).into());
        Ok(Manifest { sealed, ..Manifest::new(f.size, f.chunk_len, hashes.to_vec())? })
    }

    /// The payload of a large message.
    pub fn encode(&self) -> Bytes {
        let sealed = self.sealed();
        let fields = Fields {
            size: self.size,
            chunk_len: self.chunk_len,
            hashes: self.hashes.concat(),
            sealed: sealed.map(|s| s.to_vec().into()),
        };
        let mut out = Vec::with_capacity(fields.hashes.len() + 16);
        let done = minicbor::encode(fields, &mut out);
        debug_assert!(done.is_ok(), "encoding into memory cannot fail");
        out.into()
    }

    /// Of a content that is sealed, what opens it, sealed as messages of its topic are.
    pub fn sealed(&self) -> Option<&Bytes> {
        (!self.sealed.is_empty()).then_some(&self.sealed)
    }

    /// The same with what opens the content.
    pub(crate) fn with_sealed(&self, sealed: Bytes) -> Manifest {
        Manifest { sealed, ..self.clone() }
    }

    /// Names the content.
    pub fn id(&self) -> ContentId {
        self.id
    }

    /// Length of the content, at most [`MAX_LARGE`].
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// How many chunks.
    pub fn chunks(&self) -> usize {
        self.hashes.len()
    }

    /// The length of a chunk: all but the last have the same.
    pub fn len_of(&self, index: u32) -> usize {
        let (at, len) = (u64::from(index) * u64::from(self.chunk_len), u64::from(self.chunk_len));
        self.size.saturating_sub(at).min(len) as usize
    }

    /// Whether `bytes` are chunk `index`.
    pub fn is_chunk(&self, index: u32, bytes: &[u8]) -> bool {
        self.hashes
            .get(index as usize)
            .is_some_and(|hash| bytes.len() == self.len_of(index) && *blake3::hash(bytes).as_bytes() == *hash)
    }
}

/// A whole content, hashed: what a large message is published from. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Content {
    pub(super) manifest: Arc<Manifest>,
    pub(super) chunks: Vec<Bytes>,
    pub(super) whole: Option<Bytes>,
    /// For which topic it is sealed, and what opens it.
    pub(super) sealed: Option<(TopicId, ContentKey)>,
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.manifest == other.manifest
    }
}

impl Eq for Content {}

/// How long the chunks of a content of `size` bytes are.
fn chunk_len(size: usize) -> usize {
    if size <= WHOLE {
        SMALL_CHUNK
    } else if size <= MEDIUM {
        MEDIUM_CHUNK
    } else {
        LARGE_CHUNK
    }
}

impl Content {
    /// Cuts and hashes `bytes`, of which there must be one. The chunks share their memory.
    pub fn of(bytes: Bytes) -> Result<Content, ManifestError> {
        let len = chunk_len(bytes.len());
        if bytes.len() > MAX_LARGE {
            return Err(ManifestError::TooLarge);
        }
        let chunks: Vec<Bytes> =
            (0..bytes.len()).step_by(len).map(|at| bytes.slice(at..(at + len).min(bytes.len()))).collect();
        let hashes = chunks.iter().map(|c| *blake3::hash(c).as_bytes()).collect();
        let manifest = Manifest::new(bytes.len() as u64, len as u32, hashes)?;
        let whole = (bytes.len() <= WHOLE).then_some(bytes);
        Ok(Content { manifest: Arc::new(manifest), chunks, whole, sealed: None })
    }

    /// What it is made of.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Its chunks.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// All of it in one piece, if it has [`WHOLE`] bytes at most.
    pub(super) fn whole(&self) -> Option<&Bytes> {
        self.whole.as_ref()
    }
}

/// Cuts and hashes a content that comes bit by bit, so that it is never in memory twice.
#[derive(Debug)]
pub struct ContentBuilder {
    len: usize,
    size: usize,
    partial: BytesMut,
    chunks: Vec<Bytes>,
    hashes: Vec<[u8; 32]>,
}

impl ContentBuilder {
    /// For a content of about `expected` bytes; `None` if that is not known.
    pub fn new(expected: Option<usize>) -> Self {
        let len = chunk_len(expected.unwrap_or(MAX_LARGE));
        ContentBuilder { len, size: 0, partial: BytesMut::new(), chunks: Vec::new(), hashes: Vec::new() }
    }

    /// Takes the next bytes; an error as soon as they are more than a content may have.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), ManifestError> {
        self.size += bytes.len();
        if self.size > MAX_LARGE || (self.size.div_ceil(self.len)) > MAX_CHUNKS {
            return Err(ManifestError::TooLarge);
        }
        while !bytes.is_empty() {
            if self.partial.is_empty() {
                self.partial.reserve(self.len);
            }
            let take = bytes.len().min(self.len - self.partial.len());
            self.partial.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if self.partial.len() == self.len {
                self.cut();
            }
        }
        Ok(())
    }

    fn cut(&mut self) {
        let chunk = std::mem::take(&mut self.partial).freeze();
        self.hashes.push(*blake3::hash(&chunk).as_bytes());
        self.chunks.push(chunk);
    }

    /// Bytes taken so far.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The message: an ordinary one, if the bytes fit one.
    pub fn finish(mut self) -> Result<Outgoing, ManifestError> {
        if !self.partial.is_empty() {
            self.cut();
        }
        if self.size <= WHOLE {
            return Outgoing::of(join(&self.chunks, self.size));
        }
        let manifest = Manifest::new(self.size as u64, self.len as u32, self.hashes)?;
        let content = Content { manifest: Arc::new(manifest), chunks: self.chunks, whole: None, sealed: None };
        Ok(Outgoing::large(content))
    }
}

impl Outgoing {
    /// A message of `payload`, whatever its size up to [`MAX_LARGE`].
    pub fn of(payload: Bytes) -> Result<Outgoing, ManifestError> {
        if payload.len() <= MAX_MESSAGE {
            return Ok(Outgoing { payload, ..Outgoing::default() });
        }
        Content::of(payload).map(Outgoing::large)
    }

    /// A large message.
    pub fn large(content: Content) -> Outgoing {
        Outgoing { payload: content.manifest.encode(), content: Some(Arc::new(content)), ..Outgoing::default() }
    }
}

/// Chunks in one piece.
pub(super) fn join<'a>(chunks: impl IntoIterator<Item = &'a Bytes>, size: usize) -> Bytes {
    let mut all = BytesMut::with_capacity(size);
    for chunk in chunks {
        all.extend_from_slice(chunk);
    }
    all.freeze()
}
