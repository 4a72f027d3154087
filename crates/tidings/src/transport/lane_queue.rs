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

/// What became of a frame that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is the lane's first: the lane needs a writer, which will find it.
    First,
    /// Nothing else waits: whoever pushed it writes it, or calls [`LaneQueue::wake_writer`].
    Alone,
    /// Others wait before it, and somebody is to write them.
    Behind,
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

    /// Which lane's.
    pub(super) fn lane(&self) -> Lane {
        self.lane
    }

    /// Queues all of a frame or nothing.
    pub(super) fn push(&self, frame: Frame) -> Result<Pushed, SendError> {
        let len = frame.len();
        if len > MAX_FRAME {
            return Err(SendError::TooLarge { len, max: MAX_FRAME });
        }
        let mut state = lock(&self.state);
        if state.finished {
            return Err(SendError::NotLinked);
        }
        if state.bytes + len > self.lane.budget() {
            return Err(SendError::Full);
        }
        let alone = state.pieces.is_empty();
        state.bytes += len;
        state.pieces.push_back(frame.head);
        if !frame.payload.is_empty() {
            state.pieces.push_back(frame.payload);
        }
        let first = !std::mem::replace(&mut state.opened, true);
        Ok(match alone {
            _ if first => Pushed::First,
            true => Pushed::Alone,
            false => Pushed::Behind,
        })
    }

    /// Has the lane's writer look.
    pub(super) fn wake_writer(&self) {
        self.ready.notify_one();
    }

    /// Puts what was taken and could not be written back to the front, for the lane's writer.
    pub(super) fn put_back(&self, pieces: &mut Vec<Bytes>) {
        let mut state = lock(&self.state);
        for piece in pieces.drain(..).rev() {
            state.pieces.push_front(piece);
        }
        drop(state);
        self.wake_writer();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u8) -> Frame {
        Frame::new(number, &[], Bytes::new())
    }

    #[test]
    fn only_a_frame_that_waits_alone_is_its_pushers_to_write() {
        let queue = LaneQueue::new(Lane::Data);
        assert_eq!(queue.push(frame(0)), Ok(Pushed::First));
        assert_eq!(queue.push(frame(1)), Ok(Pushed::Behind));
        queue.take(&mut Vec::new());
        assert_eq!(queue.push(frame(2)), Ok(Pushed::Alone));
    }

    #[test]
    fn what_is_put_back_is_taken_again_before_what_came_meanwhile() {
        let queue = LaneQueue::new(Lane::Data);
        let mut pieces = Vec::new();
        for number in 0..3 {
            queue.push(frame(number)).unwrap();
        }
        queue.take(&mut pieces);
        queue.push(frame(3)).unwrap();
        queue.put_back(&mut pieces);
        queue.take(&mut pieces);
        let in_order: Vec<u8> = (0..4).flat_map(|number| frame(number).to_bytes()).collect();
        assert_eq!(pieces.concat(), in_order);
    }
}
