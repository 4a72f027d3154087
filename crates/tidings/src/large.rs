//! Large messages as programs see them: contents that come in, and files that go out.
//!
//! Invariants: a chunk is the core's own bytes, shared; waiting costs nobody but who waits.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::stream;
use tidings_proto::crypto::{Crypto, TAG_LEN};
use tidings_proto::identity::{ContentId, TopicId};
use tidings_proto::io::{CommandError, Outgoing};
use tidings_proto::large::{
    Content, ContentBuilder, ContentKey, MAX_LARGE, MAX_SEALED, Manifest, ManifestError, WHOLE,
};
use tidings_proto::pubsub::TopicTerms;

use crate::publisher::PublishError;
use crate::sync::lock;

/// Why a content cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LargeError {
    /// No neighbour had it any longer, or none was there, or the node stopped.
    #[error("only {have} of {size} bytes could be had from the neighbours")]
    Unavailable {
        /// Bytes that came.
        have: usize,
        /// Bytes of the whole.
        size: usize,
    },
    /// The file cannot be written.
    #[error("can't write {path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

#[derive(Default)]
struct State {
    chunks: Vec<Option<Bytes>>,
    have: usize,
    whole: Option<Bytes>,
    /// Whether it is all there, once that is known.
    outcome: Option<bool>,
    wakers: Vec<Waker>,
}

impl State {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.wakers.iter().any(|w| w.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
    }
}

/// A content on its way: the driver writes, any number of [`Large`]s read.
pub(crate) struct Download {
    manifest: Arc<Manifest>,
    state: Mutex<State>,
}

impl Download {
    pub(crate) fn new(manifest: Arc<Manifest>) -> Download {
        let chunks = vec![None; manifest.chunks()];
        Download { manifest, state: Mutex::new(State { chunks, ..State::default() }) }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = lock(&self.state);
            change(&mut state);
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A chunk came.
    pub(crate) fn chunk(&self, index: u32, bytes: Bytes) {
        self.change(|state| {
            let Some(place) = state.chunks.get_mut(index as usize).filter(|c| c.is_none()) else { return };
            state.have += bytes.len();
            *place = Some(bytes);
        });
    }

    /// All of it is here.
    pub(crate) fn complete(&self, whole: Option<Bytes>) {
        self.change(|state| {
            if let Some(whole) = &whole {
                state.have = whole.len();
                let mut at = 0;
                for (place, index) in state.chunks.iter_mut().zip(0..) {
                    let len = self.manifest.len_of(index);
                    *place = Some(whole.slice(at..at + len));
                    at += len;
                }
            }
            let all = state.chunks.iter().all(Option::is_some);
            (state.whole, state.outcome) = (whole, Some(all));
        });
    }

    /// No more of it will come.
    pub(crate) fn lost(&self) {
        self.change(|state| {
            state.outcome.get_or_insert(false);
        });
    }
}

/// What opens a content of a private topic.
pub(crate) struct Opener {
    key: ContentKey,
    topic: TopicId,
    crypto: Arc<dyn Crypto>,
}

impl Opener {
    pub(crate) fn new(key: ContentKey, topic: TopicId, crypto: Arc<dyn Crypto>) -> Opener {
        Opener { key, topic, crypto }
    }

    fn open(&self, manifest: &Manifest, index: usize, chunk: &[u8]) -> Option<Bytes> {
        self.key.open(&*self.crypto, &self.topic, manifest, index, chunk).map(Bytes::from)
    }
}

/// The content of a large message: all here, or on its way. Cheap to clone; whoever holds it keeps what has come. One of a
/// private topic is opened as it is read, each time.
#[derive(Clone)]
pub struct Large {
    download: Arc<Download>,
    opener: Option<Arc<Opener>>,
}

/// A [`Large`] that keeps nothing.
pub(crate) struct WeakLarge(Weak<Download>);

impl WeakLarge {
    pub(crate) fn upgrade(&self) -> Option<Large> {
        Some(Large { download: self.0.upgrade()?, opener: None })
    }
}

impl std::fmt::Debug for Large {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Large({}, {} of {} bytes)", self.id().short(), self.have(), self.size())
    }
}

impl Large {
    pub(crate) fn new(download: Download) -> Large {
        Large { download: Arc::new(download), opener: None }
    }

    /// The same as whoever has the key reads it.
    pub(crate) fn with(self, opener: Option<Arc<Opener>>) -> Large {
        Large { opener, ..self }
    }

    /// Part of the content as it was published; `None` if it was not sealed under the key.
    fn opened(&self, index: usize, chunk: &Bytes) -> Option<Bytes> {
        match &self.opener {
            Some(opener) => opener.open(&self.download.manifest, index, chunk),
            None => Some(chunk.clone()),
        }
    }

    /// All of the content, as it was published, from chunks that are here; `None` if one does not open.
    fn joined(&self, chunks: &[Option<Bytes>]) -> Option<Bytes> {
        let mut all = BytesMut::with_capacity(self.size());
        for (i, chunk) in chunks.iter().enumerate().filter_map(|(i, c)| Some((i, c.as_ref()?))) {
            all.extend_from_slice(&self.opened(i, chunk)?);
        }
        Some(all.freeze())
    }

    pub(crate) fn download(&self) -> &Download {
        &self.download
    }

    pub(crate) fn downgrade(&self) -> WeakLarge {
        WeakLarge(Arc::downgrade(&self.download))
    }

    /// Whether nothing more will come.
    pub(crate) fn is_settled(&self) -> bool {
        lock(&self.download.state).outcome.is_some()
    }

    pub(crate) fn poll_whole(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = lock(&self.download.state);
        match state.outcome {
            Some(true) if self.opener.is_some() => {
                let chunks = state.chunks.clone();
                drop(state);
                Poll::Ready(self.joined(&chunks))
            }
            Some(true) => Poll::Ready(state.whole.clone()),
            Some(false) => Poll::Ready(None),
            None => {
                state.wait(cx);
                Poll::Pending
            }
        }
    }

    /// Names the content: the same bytes, published again, have the same id.
    pub fn id(&self) -> ContentId {
        self.download.manifest.id()
    }

    /// Length of the content in bytes.
    pub fn size(&self) -> usize {
        match &self.opener {
            Some(_) => self.download.manifest.opened_size(),
            None => self.download.manifest.size(),
        }
    }

    /// Bytes that are here.
    pub fn have(&self) -> usize {
        let state = lock(&self.download.state);
        let around = match &self.opener {
            Some(_) => state.chunks.iter().flatten().count() * TAG_LEN,
            None => 0,
        };
        state.have.saturating_sub(around)
    }

    /// The share of it that is here, from 0 to 1.
    pub fn progress(&self) -> f64 {
        self.have() as f64 / self.size() as f64
    }

    fn unavailable(&self) -> LargeError {
        LargeError::Unavailable { have: self.have(), size: self.size() }
    }

    fn poll_chunk(&self, index: usize, cx: &Context<'_>) -> Poll<Option<Result<Bytes, LargeError>>> {
        let mut state = lock(&self.download.state);
        match state.chunks.get(index) {
            None => return Poll::Ready(None),
            Some(Some(bytes)) => {
                let bytes = bytes.clone();
                drop(state);
                return Poll::Ready(Some(self.opened(index, &bytes).ok_or_else(|| self.unavailable())));
            }
            Some(None) => {}
        }
        if state.outcome.is_some() {
            drop(state);
            return Poll::Ready(Some(Err(self.unavailable())));
        }
        state.wait(cx);
        Poll::Pending
    }

    /// The content's bytes from the first on, as they come, in pieces of some ten kilobytes, shared, not copied. After an
    /// error nothing more comes.
    pub fn chunks(&self) -> impl Stream<Item = Result<Bytes, LargeError>> + Send + 'static {
        let mut next = Some((self.clone(), 0));
        stream::poll_fn(move |cx| {
            let Some((large, index)) = &mut next else { return Poll::Ready(None) };
            let polled = large.poll_chunk(*index, cx);
            *index += 1;
            match polled {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => next = None,
                Poll::Pending => *index -= 1,
            }
            polled
        })
    }

    /// Waits until all of it is here.
    pub async fn finished(&self) -> Result<(), LargeError> {
        let all = std::future::poll_fn(|cx| {
            let mut state = lock(&self.download.state);
            match state.outcome {
                Some(all) => Poll::Ready(all),
                None => {
                    state.wait(cx);
                    Poll::Pending
                }
            }
        });
        if all.await { Ok(()) } else { Err(self.unavailable()) }
    }

    /// Waits until all of it is here, and puts it in one piece: in memory of its own, beside what the node holds, if it is
    /// longer than [`WHOLE`](tidings_proto::large::WHOLE). [`Large::chunks`] needs no more memory.
    pub async fn bytes(&self) -> Result<Bytes, LargeError> {
        self.finished().await?;
        let chunks = {
            let state = lock(&self.download.state);
            match &state.whole {
                Some(whole) if self.opener.is_none() => return Ok(whole.clone()),
                _ => state.chunks.clone(),
            }
        };
        self.joined(&chunks).ok_or_else(|| self.unavailable())
    }

    /// Writes it to a file as it comes. The file is there under its name only when all of it is: until then, and after an
    /// error, what has come is in a file beside it with `.part` behind the name. A file of that name is replaced.
    pub async fn save(&self, path: impl AsRef<Path>) -> Result<(), LargeError> {
        use futures_util::StreamExt;
        let path = path.as_ref().to_path_buf();
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let failed = |error| LargeError::File { path: part.clone(), error };
        let mut file = File::create(&part).map_err(failed)?;
        let mut chunks = self.chunks();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            // Off the runtime's threads: a disk may be slow.
            let written = tokio::task::spawn_blocking(move || file.write_all(&chunk).map(|()| file)).await;
            file = written.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(failed)?;
        }
        drop(file);
        std::fs::rename(&part, &path).map_err(|error| LargeError::File { path, error })
    }
}

/// What a payload is published as. Long ones are hashed: off the runtime's threads.
pub(crate) async fn outgoing(payload: Bytes) -> Result<Outgoing, PublishError> {
    let size = payload.len();
    let made = if size <= tidings_proto::large::WHOLE {
        Outgoing::of(payload)
    } else if size > MAX_LARGE {
        Err(ManifestError::TooLarge)
    } else {
        tokio::task::spawn_blocking(move || Outgoing::of(payload)).await.map_err(|_| PublishError::Stopped)?
    };
    made.map_err(|_| too_large(size))
}

/// What a message is published as on a topic: on a private one the content of a large message is sealed.
pub(crate) fn seal(
    mut message: Outgoing,
    terms: &TopicTerms,
    topic: TopicId,
    crypto: &dyn Crypto,
) -> Result<Outgoing, PublishError> {
    if let (Some(secret), Some(content)) = (&terms.secret, &message.content)
        && content.key_on(&topic).is_none()
    {
        let too_large = |_| CommandError::PayloadTooLarge { size: content.manifest().size(), limit: MAX_SEALED };
        let sealed = Content::sealed(content, secret, topic, crypto).map_err(too_large)?;
        let headers = std::mem::take(&mut message.headers);
        message = Outgoing { headers, ..Outgoing::large(sealed) };
    }
    Ok(message)
}

/// As [`seal`]. Long contents are sealed off the runtime's threads.
pub(crate) async fn sealed(
    message: Outgoing,
    terms: &TopicTerms,
    topic: TopicId,
    crypto: &Arc<dyn Crypto>,
) -> Result<Outgoing, PublishError> {
    let long = message.content.as_ref().is_some_and(|c| c.manifest().size() > WHOLE);
    if !long || terms.secret.is_none() {
        return seal(message, terms, topic, &**crypto);
    }
    let (terms, crypto) = (terms.clone(), crypto.clone());
    let done = tokio::task::spawn_blocking(move || seal(message, &terms, topic, &*crypto)).await;
    done.map_err(|_| PublishError::Stopped)?
}

/// The error for what is over the limit, before anything is sent.
pub(crate) fn too_large(size: usize) -> PublishError {
    PublishError::Refused(CommandError::PayloadTooLarge { size, limit: MAX_LARGE })
}

/// Reads a file piece by piece, each into the memory it is published from.
pub(crate) async fn file(path: PathBuf) -> Result<Outgoing, PublishError> {
    let read = move || {
        let failed = |error: io::Error| PublishError::File { path: path.clone(), error: error.to_string() };
        let mut file = File::open(&path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let size = usize::try_from(meta.len()).unwrap_or(usize::MAX);
        if size > MAX_LARGE {
            return Err(too_large(size));
        }
        let mut builder = ContentBuilder::new(meta.is_file().then_some(size));
        let mut piece = vec![0; 64 * 1024];
        loop {
            let n = file.read(&mut piece).map_err(failed)?;
            if n == 0 {
                break;
            }
            builder.push(&piece[..n]).map_err(|_| too_large(builder.size()))?;
        }
        let size = builder.size();
        builder.finish().map_err(|_| too_large(size))
    };
    tokio::task::spawn_blocking(read).await.map_err(|_| PublishError::Stopped)?
}
