//! What waits unsent on one lane of one link.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use tidings_proto::wire::{Frame, Lane, MAX_FRAME};
use tokio::sync::Notify;

use super::SendError;
use super::inbox::parking::{Mutex, lock};

/// Pieces up to this size are copied together into one; larger ones travel as they are, shared (a guess: a copy of
/// this size costs about as much as keeping one more piece in the stream's send buffer).
const GATHER_BELOW: usize = 2048;

/// Most bytes taken for one write: several of the largest packets' worth, so that credit flows steadily.
const MAX_WRITE: usize = 64 * 1024;

#[derive(Default)]
struct State {
    pieces: VecDeque<Bytes>,
    /// Bytes accepted and not yet written, those in the writer's hands included.
    bytes: usize,
    opened: bool,
    finished: bool,
    flushed: bool,
}

/// The queue between [`super::Transport::try_send`] and the lane's writer.
pub(super) struct LaneQueue {
    lane: Lane,
    state: Mutex<State>,
    ready: Notify,
}

impl LaneQueue {
    pub(super) fn new(lane: Lane) -> LaneQueue {
        LaneQueue { lane, state: Mutex::default(), ready: Notify::new() }
    }

    /// Queues all of a frame or nothing. `Ok(true)` if this is the lane's first frame: it needs a writer now.
    pub(super) fn push(&self, frame: Frame) -> Result<bool, SendError> {
        let len = frame.len();
        if len > MAX_FRAME {
            return Err(SendError::TooLarge { len, max: MAX_FRAME });
        }
        let (first, idle) = {
            let mut state = lock(&self.state);
            if state.finished {
                return Err(SendError::NotLinked);
            }
            if state.bytes + len > self.lane.budget() {
                return Err(SendError::Full);
            }
            let idle = state.pieces.is_empty();
            state.bytes += len;
            state.pieces.push_back(frame.head);
            if !frame.payload.is_empty() {
                state.pieces.push_back(frame.payload);
            }
            (!std::mem::replace(&mut state.opened, true), idle)
        };
        if idle {
            self.ready.notify_one();
        }
        Ok(first)
    }

    /// Waits for something to write; `false` once finished and empty. For the lane's one writer.
    pub(super) async fn ready(&self) -> bool {
        loop {
            {
                let state = lock(&self.state);
                if !state.pieces.is_empty() {
                    return true;
                }
                if state.finished {
                    return false;
                }
            }
            self.ready.notified().await;
        }
    }

    /// Takes what makes one good write: small pieces gathered, large ones shared.
    pub(super) fn take(&self, out: &mut Vec<Bytes>) {
        let mut gathered = BytesMut::new();
        let mut taken = 0;
        let mut state = lock(&self.state);
        while let Some(piece) = state.pieces.pop_front() {
            taken += piece.len();
            let alone = gathered.is_empty() && (state.pieces.is_empty() || taken >= MAX_WRITE);
            if piece.len() > GATHER_BELOW || alone {
                if !gathered.is_empty() {
                    out.push(gathered.split().freeze());
                }
                out.push(piece);
            } else {
                gathered.extend_from_slice(&piece);
            }
            if taken >= MAX_WRITE {
                break;
            }
        }
        if state.pieces.is_empty() && state.pieces.capacity() > 64 {
            state.pieces = VecDeque::new();
        }
        drop(state);
        if !gathered.is_empty() {
            out.push(gathered.freeze());
        }
    }

    /// Bytes left for the network: room for new ones.
    pub(super) fn written(&self, bytes: usize) {
        let mut state = lock(&self.state);
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Accepts nothing more; the writer ends when the queue is empty.
    pub(super) fn finish(&self) {
        lock(&self.state).finished = true;
        self.ready.notify_one();
    }

    /// The writer ended with everything acknowledged.
    pub(super) fn set_flushed(&self) {
        lock(&self.state).flushed = true;
    }

    /// Has everything been written and acknowledged, if there was anything?
    pub(super) fn is_flushed(&self) -> bool {
        let state = lock(&self.state);
        state.flushed || !state.opened
    }
}
