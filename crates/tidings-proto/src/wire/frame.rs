//! Frames as bytes: the fixed header, and cutting a stream of bytes into frames.

use bytes::{Bytes, BytesMut};

use super::{MAX_PAYLOAD, VERSION, WireError};

/// Length of the fixed header.
pub const HEADER_LEN: usize = 8;

/// What a frame rides on. A slow peer's lanes fill in the order bulk, data, control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Membership, tree control, repair requests: a long-lived stream, first priority.
    Control = 0,
    /// Batches: a long-lived stream, second priority.
    Data = 1,
    /// Large transfers: a long-lived stream, last priority.
    Bulk = 2,
    /// Datagrams: may be lost.
    Probe = 3,
}

impl Lane {
    /// The stream lanes, in order of priority.
    pub const STREAMS: [Lane; 3] = [Lane::Control, Lane::Data, Lane::Bulk];

    /// Most bytes of one peer that may wait unsent on this lane. Control frames are small and must never be the
    /// ones that do not fit; data has room for a burst of some sixty full batches (both are guesses).
    pub const fn budget(self) -> usize {
        match self {
            Lane::Control => 2 << 20,
            Lane::Data | Lane::Bulk => 4 << 20,
            Lane::Probe => 64 << 10,
        }
    }

    /// From the byte that opens a stream.
    pub fn from_byte(b: u8) -> Option<Lane> {
        [Lane::Control, Lane::Data, Lane::Bulk, Lane::Probe].into_iter().find(|l| *l as u8 == b)
    }
}

/// A frame on its way out: its own header and body, and the payload it shares with the log and other frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Header and CBOR body.
    pub head: Bytes,
    /// Raw bytes behind the body; often shared, never copied. Empty for most frames.
    pub payload: Bytes,
}

impl Frame {
    /// Builds a frame. `body` must fit a `u16` length: bodies are bounded where they are made.
    pub fn new(tag: u8, body: &[u8], payload: Bytes) -> Frame {
        debug_assert!(body.len() <= super::MAX_BODY && payload.len() <= MAX_PAYLOAD);
        let mut head = BytesMut::with_capacity(HEADER_LEN + body.len());
        head.extend_from_slice(&[VERSION, tag]);
        head.extend_from_slice(&(body.len() as u16).to_le_bytes());
        head.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        head.extend_from_slice(body);
        Frame { head: head.freeze(), payload }
    }

    /// Length on the wire.
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty: it has a header")]
    pub fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// Header, body and payload in one piece, as a receiver sees it.
    pub fn to_bytes(&self) -> Bytes {
        if self.payload.is_empty() {
            return self.head.clone();
        }
        let mut all = BytesMut::with_capacity(self.len());
        all.extend_from_slice(&self.head);
        all.extend_from_slice(&self.payload);
        all.freeze()
    }
}

/// The fixed header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the body is.
    pub tag: u8,
    /// Length of the CBOR body.
    pub body: usize,
    /// Length of the raw payload behind it.
    pub payload: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`. `Ok(None)` if fewer than [`HEADER_LEN`] bytes are there yet.
    pub fn peek(bytes: &[u8]) -> Result<Option<Header>, WireError> {
        let Some(h) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        if h[0] != VERSION {
            return Err(WireError::Version(h[0]));
        }
        let header = Header {
            tag: h[1],
            body: usize::from(u16::from_le_bytes([h[2], h[3]])),
            payload: u32::from_le_bytes([h[4], h[5], h[6], h[7]]) as usize,
        };
        if header.payload > MAX_PAYLOAD {
            return Err(WireError::TooLong(header.frame_len()));
        }
        Ok(Some(header))
    }

    /// Length of the whole frame.
    pub fn frame_len(&self) -> usize {
        HEADER_LEN + self.body + self.payload
    }

    /// Cuts a complete frame into header, body and payload without copying.
    pub fn parse(mut bytes: Bytes) -> Result<(Header, Bytes, Bytes), WireError> {
        let header = Header::peek(&bytes)?.ok_or(WireError::Truncated)?;
        match bytes.len().cmp(&header.frame_len()) {
            std::cmp::Ordering::Less => return Err(WireError::Truncated),
            std::cmp::Ordering::Greater => return Err(WireError::Trailing),
            std::cmp::Ordering::Equal => {}
        }
        let _ = bytes.split_to(HEADER_LEN);
        let body = bytes.split_to(header.body);
        Ok((header, body, bytes))
    }
}

/// Takes one complete frame off the front of a stream's buffer; `Ok(None)` if it is not complete yet. After an
/// error the stream cannot be cut any further and must be closed.
pub fn split_frame(buf: &mut BytesMut) -> Result<Option<Bytes>, WireError> {
    match Header::peek(buf)? {
        Some(h) if buf.len() >= h.frame_len() => Ok(Some(buf.split_to(h.frame_len()).freeze())),
        Some(h) => {
            buf.reserve(h.frame_len() - buf.len());
            Ok(None)
        }
        None => Ok(None),
    }
}

/// Why a link ended or did not come up, as both drivers and the core name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LinkRefusal {
    /// Nobody answered in time.
    Timeout,
    /// The link went silent past the idle time-out.
    Silent,
    /// The peer belongs to another network.
    WrongNetwork,
    /// Whoever answered is somebody else.
    WrongPeer,
    /// The peer speaks another protocol version.
    Version,
    /// The peer, or we, hold as many links as allowed.
    Full,
    /// The peer closed it: it has no more use for the link.
    Closed,
    /// The peer's process said goodbye.
    Goodbye,
    /// The peer broke the protocol.
    Protocol,
    /// No usable address.
    NoAddress,
    /// Anything else the transport reports.
    Error,
}
