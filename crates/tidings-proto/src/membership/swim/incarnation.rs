//! Incarnations: which life of a node a statement speaks of, restarts, and two nodes with one key.

use crate::id_map::IdMap;
use crate::identity::NodeId;
use crate::time::{Now, Span, Time, UnixMillis};

/// Incarnations that begin further in the future are refused: clocks may be this far apart, as for batches.
const FUTURE_MS: u64 = 15 * 60_000;
/// Peers whose incarnation is remembered; the one not heard for longest makes room (some 100 bytes each; a guess).
const MAX_KNOWN: usize = 512;
/// A clone is reported once in this long.
const REPORT_AGAIN: Span = Span::from_secs(3600);
/// Bits that count refutations. The rest is the wall clock at the start in ms, good until the year 10889.
const BUMP: u32 = 16;

/// A life of a node (its start, by the wall clock and higher each time) and how often it refuted a suspicion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Incarnation(pub(super) u64);

impl Incarnation {
    pub(super) fn begin(start_ms: u64) -> Self {
        Incarnation(start_ms.clamp(1, (1 << (64 - BUMP)) - 1) << BUMP)
    }

    pub(super) fn start(self) -> u64 {
        self.0 >> BUMP
    }

    /// The same life after one more refutation. After 65 535 of them it borrows from the next millisecond.
    pub(super) fn next(self) -> Self {
        Incarnation(self.0.saturating_add(1))
    }

    /// Whether any node can honestly be in this incarnation now.
    pub(super) fn is_possible(self, wall: UnixMillis) -> bool {
        self.start() > 0 && self.start() <= wall.0.saturating_add(FUTURE_MS)
    }
}

/// What a peer's word about its own incarnation comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// Known, or new to us.
    Fine,
    /// No honest node can be in it.
    Impossible,
    /// Older than what is known: ignored.
    Stale,
    /// It was started again.
    Restarted,
    /// Two of its lives speak in turn.
    Clone,
}

#[derive(Debug)]
struct Known {
    latest: Incarnation,
    /// The start it spoke of last, accepted or not, and the one before.
    start: u64,
    other: Option<u64>,
    /// How often it went back to a start it had left.
    turns: u8,
    heard: Time,
    reported: Option<Time>,
}

/// The incarnations known of peers, each from its own word over its own link, or from its signature.
#[derive(Debug, Default)]
pub(super) struct Incarnations {
    known: IdMap<Known>,
}

impl Incarnations {
    /// The latest incarnation of a peer.
    pub(super) fn of(&self, peer: &NodeId) -> Option<Incarnation> {
        self.known.get(peer).map(|k| k.latest)
    }

    /// A peer speaks of its own incarnation.
    pub(super) fn note(&mut self, peer: NodeId, said: Incarnation, now: Now) -> Noted {
        if !said.is_possible(now.wall) {
            return Noted::Impossible;
        }
        if !self.known.contains_key(&peer) && self.known.len() >= MAX_KNOWN {
            let oldest = self.known.iter().min_by_key(|(p, k)| (k.heard, **p)).map(|(p, _)| *p);
            if let Some(oldest) = oldest {
                self.known.remove(&oldest);
            }
        }
        let fresh = Known { latest: said, start: said.start(), other: None, turns: 0, heard: now.mono, reported: None };
        let k = self.known.get_or_insert_with(peer, || fresh);
        k.heard = now.mono;
        let start = said.start();
        if start != k.start {
            // The first life of a restarted node says nothing more: who is heard again after another was, lives
            // beside it. Once may be a clock set back; there and back again is not.
            let back = k.other == Some(start) || start < k.start;
            k.other = Some(std::mem::replace(&mut k.start, start));
            k.turns = k.turns.saturating_add(u8::from(back));
            if k.turns >= 2 && k.reported.is_none_or(|at| now.mono.since(at) >= REPORT_AGAIN) {
                k.reported = Some(now.mono);
                k.latest = k.latest.max(said);
                return Noted::Clone;
            }
        }
        match said.cmp(&k.latest) {
            std::cmp::Ordering::Less => Noted::Stale,
            std::cmp::Ordering::Equal => Noted::Fine,
            std::cmp::Ordering::Greater => {
                let again = start > k.latest.start();
                k.latest = said;
                if again { Noted::Restarted } else { Noted::Fine }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 1_700_000_000_000;

    fn at(ms: u64) -> Now {
        Now { mono: Time(ms * 1_000), wall: UnixMillis(WALL + ms) }
    }

    const PEER: NodeId = NodeId([1; 32]);

    fn life(ms: i64) -> Incarnation {
        Incarnation::begin(WALL.saturating_add_signed(ms))
    }

    #[test]
    fn a_refutation_is_above_the_life_it_refutes_and_below_the_next() {
        assert!(life(0) < life(0).next() && life(0).next() < life(1));
        assert_eq!(life(0).next().start(), life(0).start());
    }

    #[test]
    fn the_highest_number_is_impossible() {
        let mut i = Incarnations::default();
        for n in [0, 1, u64::MAX, u64::MAX - 1, life(15 * 60_000 + 1).0] {
            assert_eq!(i.note(PEER, Incarnation(n), at(0)), Noted::Impossible, "{n}");
        }
        assert_eq!(i.of(&PEER), None);
        assert_eq!(i.note(PEER, life(15 * 60_000), at(0)), Noted::Fine);
    }

    #[test]
    fn an_older_one_changes_nothing() {
        let mut i = Incarnations::default();
        assert_eq!(i.note(PEER, life(0).next(), at(0)), Noted::Fine);
        assert_eq!(i.note(PEER, life(0), at(1)), Noted::Stale);
        assert_eq!(i.of(&PEER), Some(life(0).next()));
    }

    #[test]
    fn a_later_start_is_a_restart_and_a_refutation_is_none() {
        let mut i = Incarnations::default();
        i.note(PEER, life(0), at(0));
        assert_eq!(i.note(PEER, life(0).next(), at(1)), Noted::Fine);
        assert_eq!(i.note(PEER, life(10), at(20)), Noted::Restarted);
        assert_eq!(i.note(PEER, life(10), at(21)), Noted::Fine);
    }

    #[test]
    fn many_restarts_are_no_clone() {
        let mut i = Incarnations::default();
        for n in 0..10 {
            assert_ne!(i.note(PEER, life(n), at(10)), Noted::Clone);
        }
    }

    #[test]
    fn a_clock_set_back_before_a_restart_is_no_clone() {
        let mut i = Incarnations::default();
        i.note(PEER, life(0), at(0));
        assert_eq!(i.note(PEER, life(-5_000), at(1)), Noted::Stale);
        assert_eq!(i.note(PEER, life(-5_000), at(2)), Noted::Stale);
    }

    #[test]
    fn two_lives_in_turn_are_a_clone_once_an_hour() {
        let mut i = Incarnations::default();
        let mut seen = 0;
        for n in 0..3_700u64 {
            let said = life((n % 2) as i64);
            seen += u32::from(i.note(PEER, said, at(n * 1_000)) == Noted::Clone);
        }
        assert_eq!(seen, 2);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_whom_it_has_not_heard_for_longest() {
        let mut i = Incarnations::default();
        for n in 0..=MAX_KNOWN as u64 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_le_bytes());
            i.note(NodeId(id), life(0), at(n));
        }
        assert_eq!(i.known.len(), MAX_KNOWN);
        assert_eq!(i.of(&NodeId([0; 32])), None);
    }
}
