//! What one peer has been handed and has not taken yet, per lane, and whether that makes it slow.
//!
//! A peer is slow when nothing of a long data lane has left for [`STALL`], or when the lane has no room for a push.
//! It stays so until it has taken half of what waited then: nothing is pushed to it meanwhile, on any topic, and what would have
//! been is announced. One state a peer, because it is one program that does or does not read.
//!
//! What is shed first: pushes leave [`REPAIR`] of the data lane to what was asked for, and announcements half of the
//! control lane to everything else ([`Lanes::may_announce`]).

use crate::time::{Span, Time};
use crate::wire::Lane;

/// Of the data lane, what pushed batches leave to those that were asked for (a guess: one full answer to a graft).
pub(crate) const REPAIR: usize = 1 << 20;
/// Bytes on the data lane from which a peer counts as behind (less waits for a moment on any link: a full batch or
/// two).
const BEHIND: usize = 64 * 1024;
/// A peer that is behind and takes nothing for so long is slow (a guess: longer than a lost packet takes to be
/// repaired, and as long as the detector waits with its first doubts).
const STALL: Span = Span::from_secs(1);

/// The lanes of one link.
#[derive(Debug)]
pub(super) struct Lanes {
    credit: [usize; 3],
    /// When the data lane last moved, or was not behind.
    moved: Time,
    /// It is slow until no more than this waits on the data lane.
    slow: Option<usize>,
}

impl Lanes {
    pub(super) fn empty() -> Lanes {
        Lanes { credit: Lane::STREAMS.map(Lane::budget), moved: Time::default(), slow: None }
    }

    /// Bytes that fit.
    pub(super) fn credit(&self, lane: Lane) -> usize {
        self.credit.get(lane as usize).copied().unwrap_or(0)
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self, lane: Lane) -> usize {
        lane.budget() - self.credit(lane).min(lane.budget())
    }

    pub(super) fn is_slow(&self) -> bool {
        self.slow.is_some()
    }

    /// Takes room for `len` bytes, which must fit.
    pub(super) fn spend(&mut self, lane: Lane, len: usize) {
        if let Some(c) = self.credit.get_mut(lane as usize) {
            *c = c.saturating_sub(len);
        }
    }

    /// The driver wrote `bytes`. Returns how many of them had been waiting.
    pub(super) fn give(&mut self, lane: Lane, bytes: usize, now: Time) -> usize {
        let given = bytes.min(self.waiting(lane));
        if let Some(c) = self.credit.get_mut(lane as usize) {
            *c += given;
        }
        if lane == Lane::Data {
            self.moved = now;
            self.slow = self.slow.filter(|until| self.waiting(Lane::Data) > *until);
        }
        given
    }

    /// Whether a batch of `len` bytes may be pushed; if not, the peer is slow from now on.
    pub(super) fn may_push(&mut self, len: usize, now: Time) -> bool {
        let waiting = self.waiting(Lane::Data);
        if waiting <= BEHIND {
            self.moved = now;
        }
        let stalled = now.since(self.moved) >= STALL;
        if self.slow.is_none() && (stalled || self.credit(Lane::Data) < len + REPAIR) {
            self.slow = Some(waiting / 2);
        }
        self.slow.is_none()
    }

    /// Whether announcements may be sent.
    pub(super) fn may_announce(&self) -> bool {
        self.credit(Lane::Control) >= Lane::Control.budget() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    /// Lanes with so many bytes waiting on the data lane.
    fn behind(bytes: usize) -> Lanes {
        let mut lanes = Lanes::empty();
        lanes.spend(Lane::Data, bytes);
        lanes
    }

    #[test]
    fn who_takes_nothing_for_long_is_slow() {
        let mut lanes = behind(0);
        assert!(lanes.may_push(100, Time(0)));
        lanes.spend(Lane::Data, BEHIND + 1);
        assert!(lanes.may_push(100, Time(STALL.0 - MS)));
        assert!(!lanes.may_push(100, Time(STALL.0)));
    }

    #[test]
    fn who_takes_a_little_is_not() {
        let mut lanes = behind(Lane::Data.budget() / 2);
        for ms in 1..5_000 {
            lanes.give(Lane::Data, 10, Time(ms * MS));
            assert!(lanes.may_push(10, Time(ms * MS)), "{ms}");
            lanes.spend(Lane::Data, 10);
        }
    }

    #[test]
    fn a_few_bytes_may_wait_for_ever() {
        let mut lanes = behind(BEHIND);
        assert!(lanes.may_push(100, Time(3_600_000 * MS)));
    }

    #[test]
    fn pushes_leave_room_for_what_was_asked_for() {
        let mut lanes = behind(Lane::Data.budget() - REPAIR);
        lanes.give(Lane::Data, 100, Time(0));
        assert!(lanes.may_push(100, Time(0)));
        assert!(!lanes.may_push(101, Time(0)));
        assert!(lanes.credit(Lane::Data) >= REPAIR);
    }

    #[test]
    fn who_was_slow_stays_so_until_half_of_its_lane_is_empty() {
        let mut lanes = behind(Lane::Data.budget());
        assert!(!lanes.may_push(1, Time(0)));
        lanes.give(Lane::Data, Lane::Data.budget() / 2 - 1, Time(MS));
        assert!(lanes.is_slow() && !lanes.may_push(1, Time(MS)));
        lanes.give(Lane::Data, 1, Time(MS));
        assert!(!lanes.is_slow() && lanes.may_push(1, Time(MS)));
    }

    #[test]
    fn announcements_leave_half_of_the_control_lane_to_the_rest() {
        let mut lanes = Lanes::empty();
        lanes.spend(Lane::Control, Lane::Control.budget() / 2);
        assert!(lanes.may_announce());
        lanes.spend(Lane::Control, 1);
        assert!(!lanes.may_announce());
    }
}
