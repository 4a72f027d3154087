//! What goes through a circuit: the frames of all lanes as one stream of bytes, cut into pieces.
//!
//! ```text
//! stream   records, one behind the other: lane (1), length (4, little endian), a whole frame or datagram
//! piece    at most [`PIECE`] bytes of it, by number from 0
//! ```
//!
//! Lanes go in the order of their priority, record by record. At most [`WINDOW`] pieces are on their way, and kept to be sent again; so much
//! is kept of what comes out of order, too.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes, BytesMut};

use crate::time::Time;
use crate::wire::{Frame, Lane, MAX_DATAGRAM, MAX_FRAME};

/// Bytes of one piece at most: a relay lets each sender have a turn of as much.
pub(super) const PIECE: usize = 16 << 10;
/// Pieces on their way at once (a guess: two megabytes a second at sixty milliseconds there and back).
pub(super) const WINDOW: usize = 8;
/// With so many on their way, a piece waits until it is full: small frames travel together.
const SMALL: usize = 2;
/// Before each record.
const HEAD: usize = 5;
/// Datagrams that wait; the oldest go.
const DATAGRAMS: usize = 16;
/// Bytes that one circuit holds beside what its lanes do: what is on its way is routing's.
pub(super) const BYTES: usize = MAX_FRAME + 2 * (WINDOW + 1) * PIECE + DATAGRAMS * MAX_DATAGRAM;

const ORDER: [Lane; 4] = [Lane::Probe, Lane::Control, Lane::Data, Lane::Bulk];

/// One end's own half.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    waiting: [VecDeque<Frame>; 4],
    /// What is left of the record being cut.
    rest: VecDeque<Bytes>,
    bytes: usize,
    pub(super) next: u64,
    /// What the other end has not said it has: when it was sent first, and as it was sealed.
    on_way: VecDeque<(Time, Bytes)>,
    /// Fewer than [`WINDOW`] may be, after there was trouble; and what has arrived since that changed.
    less: usize,
    arrived: usize,
}

impl Outgoing {
    pub(super) fn put(&mut self, lane: Lane, frame: Frame) {
        let queue = &mut self.waiting[lane as usize];
        if lane == Lane::Probe && queue.len() >= DATAGRAMS {
            let old = queue.pop_front().map_or(0, |f| HEAD + f.len());
            self.bytes -= old;
        }
        self.bytes += HEAD + frame.len();
        queue.push_back(frame);
    }

    /// Whether there is something to send, and room for it.
    pub(super) fn has_room(&self) -> bool {
        self.bytes > 0 && self.on_way.len() < WINDOW - self.less
    }

    /// The way is slower than what goes there: half as much from now on, and one more each time that all of it has arrived.
    pub(super) fn slow(&mut self) {
        let half = (WINDOW - self.less).div_ceil(2);
        (self.less, self.arrived) = (WINDOW - half, 0);
    }

    /// Whether a piece is to be sent now.
    pub(super) fn is_due(&self) -> bool {
        self.has_room() && (self.on_way.len() < SMALL || self.bytes >= PIECE)
    }

    /// Cuts the next piece: its number, its bytes, and what has left each lane. It is to be said to be [`Outgoing::sent`].
    pub(super) fn cut(&mut self) -> (u64, Vec<u8>, [usize; 4]) {
        let mut piece = Vec::with_capacity(self.bytes.min(PIECE));
        let mut left = [0; 4];
        while piece.len() < PIECE {
            if let Some(part) = self.rest.front_mut() {
                let some = part.split_to(part.len().min(PIECE - piece.len()));
                piece.extend_from_slice(&some);
                if part.is_empty() {
                    self.rest.pop_front();
                }
                continue;
            }
            let next = ORDER.into_iter().find_map(|l| Some((l, self.waiting[l as usize].pop_front()?)));
            let Some((lane, frame)) = next else { break };
            left[lane as usize] += frame.len();
            let mut head = vec![lane as u8];
            head.extend_from_slice(&(frame.len() as u32).to_le_bytes());
            let parts = [head.into(), frame.head, frame.payload];
            self.rest.extend(parts.into_iter().filter(|p: &Bytes| !p.is_empty()));
        }
        self.bytes -= piece.len();
        (self.next, piece, left)
    }

    /// The piece that was cut goes, sealed so.
    pub(super) fn sent(&mut self, sealed: Bytes, now: Time) {
        self.next += 1;
        self.on_way.push_back((now, sealed));
    }

    /// What is on its way, by its numbers.
    pub(super) fn on_way(&self) -> impl Iterator<Item = (u64, Bytes)> + '_ {
        let first = self.next - self.on_way.len() as u64;
        (first..).zip(self.on_way.iter().map(|(_, sealed)| sealed.clone()))
    }

    /// The other end has all before `next`. Returns false if it cannot have.
    pub(super) fn arrived(&mut self, next: u64) -> bool {
        if next > self.next {
            return false;
        }
        let still = (self.next - next) as usize;
        while self.on_way.len() > still {
            self.on_way.pop_front();
            self.arrived += 1;
        }
        if self.less > 0 && self.arrived >= WINDOW - self.less {
            (self.less, self.arrived) = (self.less - 1, 0);
        }
        true
    }

    /// Since when the oldest piece has been on its way.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.on_way.front().map(|(at, _)| *at)
    }
}

/// What is not a stream of records.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The other end's half.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pub(super) next: u64,
    early: BTreeMap<u64, Vec<u8>>,
    rest: BytesMut,
}

impl Incoming {
    /// Whether a piece is new, and not too early.
    pub(super) fn wants(&self, piece: u64) -> bool {
        piece >= self.next && piece < self.next + WINDOW as u64 && !self.early.contains_key(&piece)
    }

    /// Takes a piece that it wants. Returns what is whole by now.
    pub(super) fn take(&mut self, piece: u64, bytes: Vec<u8>) -> Result<Vec<(Lane, Bytes)>, Broken> {
        self.early.insert(piece, bytes);
        let mut out = Vec::new();
        while let Some(bytes) = self.early.remove(&self.next) {
            self.next += 1;
            self.rest.extend_from_slice(&bytes);
            while let Some(head) = self.rest.first_chunk::<HEAD>() {
                let lane = Lane::from_byte(head[0]).ok_or(Broken)?;
                let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if len == 0 || len > if lane == Lane::Probe { MAX_DATAGRAM } else { MAX_FRAME } {
                    return Err(Broken);
                }
                if self.rest.len() < HEAD + len {
                    break;
                }
                self.rest.advance(HEAD);
                out.push((lane, self.rest.split_to(len).freeze()));
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize, fill: u8) -> Frame {
        Frame::new(fill, &[], vec![fill; len].into())
    }

    fn pieces(out: &mut Outgoing) -> Vec<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        while out.bytes > 0 {
            let (n, piece, _) = out.cut();
            out.sent(Bytes::new(), Time(0));
            all.push((n, piece));
        }
        all
    }

    fn some() -> (Outgoing, Vec<(Lane, Bytes)>) {
        let mut out = Outgoing::default();
        let frames = [(Lane::Bulk, frame(60_000, 1)), (Lane::Control, frame(0, 2)), (Lane::Data, frame(20_000, 3))];
        for (lane, f) in &frames {
            out.put(*lane, f.clone());
        }
        let order = [1, 2, 0];
        (out, order.map(|i| (frames[i].0, frames[i].1.to_bytes())).to_vec())
    }

    #[test]
    fn frames_come_as_they_were_by_priority() {
        let (mut out, expected) = some();
        let mut incoming = Incoming::default();
        let came = pieces(&mut out).into_iter().flat_map(|(n, p)| incoming.take(n, p).unwrap());
        assert_eq!(came.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn pieces_may_come_in_any_order_and_twice() {
        let (mut out, expected) = some();
        let mut incoming = Incoming::default();
        let mut came = Vec::new();
        let all = pieces(&mut out);
        assert!(all.len() > 4 && all.iter().all(|(_, p)| p.len() <= PIECE));
        for (n, p) in all.iter().rev().chain(&all) {
            if incoming.wants(*n) {
                came.extend(incoming.take(*n, p.clone()).unwrap());
            }
        }
        assert_eq!((came, incoming.next), (expected, all.len() as u64));
    }

    #[test]
    fn what_is_too_early_or_known_is_not_wanted() {
        let mut incoming = Incoming::default();
        assert!(incoming.wants(WINDOW as u64 - 1) && !incoming.wants(WINDOW as u64) && !incoming.wants(u64::MAX));
        incoming.take(1, vec![]).unwrap();
        assert!(!incoming.wants(1) && incoming.wants(0));
        incoming.take(0, vec![]).unwrap();
        assert!(!incoming.wants(0) && !incoming.wants(1) && incoming.wants(WINDOW as u64 + 1));
    }

    #[test]
    fn what_is_no_stream_of_records_is_refused() {
        let record = |lane: u8, len: u32| [&[lane][..], &len.to_le_bytes()].concat();
        for bad in [record(9, 5), record(0, 0), record(0, MAX_FRAME as u32 + 1), record(3, MAX_DATAGRAM as u32 + 1)] {
            assert_eq!(Incoming::default().take(0, bad.clone()), Err(Broken), "{bad:?}");
        }
        assert_eq!(Incoming::default().take(0, record(3, MAX_DATAGRAM as u32)), Ok(vec![]));
    }

    #[test]
    fn little_is_sent_at_once_and_more_when_it_is_much() {
        let mut out = Outgoing::default();
        assert!(!out.is_due());
        for _ in 0..SMALL {
            out.put(Lane::Control, frame(10, 0));
            assert!(out.is_due());
            out.cut();
            out.sent(Bytes::new(), Time(5));
        }
        out.put(Lane::Control, frame(10, 0));
        assert!(!out.is_due(), "it waits for more");
        for _ in 0..2 {
            out.put(Lane::Bulk, frame(WINDOW * PIECE / 2 + PIECE, 0));
        }
        while out.is_due() {
            out.cut();
            out.sent(Bytes::from_static(b"6"), Time(6));
        }
        assert_eq!((out.next, out.oldest()), (WINDOW as u64, Some(Time(5))));
        assert!(!out.arrived(WINDOW as u64 + 1) && out.arrived(3) && out.is_due());
        assert_eq!(out.oldest(), Some(Time(6)));
        assert!(out.arrived(1) && out.oldest() == Some(Time(6)), "an old word changes nothing");
        let on_way: Vec<(u64, Bytes)> = out.on_way().collect();
        assert_eq!(on_way, (3..8).map(|n| (n, Bytes::from_static(b"6"))).collect::<Vec<_>>());
    }

    #[test]
    fn on_a_slow_way_there_is_less_and_more_again_when_it_arrives() {
        let mut out = Outgoing::default();
        for _ in 0..6 {
            out.put(Lane::Bulk, frame(60_000, 0));
        }
        let send = |out: &mut Outgoing| {
            let mut sent = 0;
            while out.is_due() {
                out.cut();
                out.sent(Bytes::new(), Time(0));
                sent += 1;
            }
            assert!(out.arrived(out.next));
            sent
        };
        assert_eq!(send(&mut out), WINDOW);
        out.slow();
        assert_eq!((send(&mut out), send(&mut out)), (WINDOW / 2, WINDOW / 2 + 1));
        (0..5).for_each(|_| out.slow());
        assert_eq!((send(&mut out), send(&mut out)), (1, 2), "it never stops");
    }

    #[test]
    fn of_datagrams_the_newest_wait() {
        let mut out = Outgoing::default();
        for n in 0..40 {
            out.put(Lane::Probe, frame(1, n));
        }
        let (_, piece, _) = out.cut();
        let came = Incoming::default().take(0, piece).unwrap();
        assert_eq!((came.len(), came[0].1[1]), (DATAGRAMS, 40 - DATAGRAMS as u8));
        assert_eq!(out.bytes, 0);
    }
}
