//! What the detector knows of one watched neighbour: its round-trip time, the round of probes under way, and a
//! suspicion.

use crate::identity::{NodeId, PeerAddr};
use crate::io::Overlay;
use crate::membership::swim::reading::Reading;
use crate::membership::view::Tokens;
use crate::time::{Span, Time};

/// The bounds of the time one answer may take. The least leaves room for a machine too busy to answer at once, and for
/// one loss on a stream (a guess); the most keeps a round well within a second and a half.
const LEAST: Span = Span::from_millis(100);
const MOST: Span = Span::from_millis(500);
/// Intervals within which a link is pinged though packets are acknowledged (a guess).
const MEASURED: u64 = 16;
/// The time it may take while no round trip has been measured.
const UNKNOWN: Span = Span::from_millis(250);
/// How much longer than its mean and half as much again an answer is waited for, at most. A node that stood still now and
/// then answers so late that without a bound its real death would be noticed a second later than others' (a guess).
const VARIES: Span = Span::from_millis(100);
/// Distinct peers whose suspicions of one neighbour are remembered.
const MAX_HEARSAY: usize = 8;

/// The round-trip time, smoothed as TCP does (RFC 6298).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rtt {
    smooth: Option<(u64, u64)>,
}

impl Rtt {
    /// Begins with what the transport measured while the link came up. How much it varies is unknown: an eighth, since
    /// three probes must fail before anything follows.
    pub(super) fn first(rtt: Option<Span>) -> Self {
        Rtt { smooth: rtt.map(|r| (r.0, r.0 / 8)) }
    }

    /// A ping was answered after so long. An answer later than we would have waited may come from a peer that stood
    /// still for seconds: it counts as just in time, so that it does not set the pace afterwards, while a link that did
    /// become slow is followed within a few rounds.
    pub(super) fn note(&mut self, rtt: Span) {
        let r = rtt.0.min(if self.smooth.is_some() { self.patience().0 } else { MOST.0 });
        self.smooth = Some(match self.smooth {
            None => (r, r / 2),
            Some((mean, spread)) => (mean - mean / 8 + r / 8, spread - spread / 4 + mean.abs_diff(r) / 4),
        });
    }

    pub(super) fn smoothed(self) -> Option<Span> {
        self.smooth.map(|(mean, _)| Span(mean))
    }

    /// How long an answer may take: four times its spread more than its mean (RFC 6298), within bounds.
    pub(super) fn patience(self) -> Span {
        match self.smooth {
            None => UNKNOWN,
            Some((mean, spread)) => {
                let more = spread.saturating_mul(4).min(mean / 2 + VARIES.0);
                Span(mean.saturating_add(more).clamp(LEAST.0, MOST.0))
            }
        }
    }
}

/// A round of probes: up to three pings.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) began: Time,
    /// Pings sent, the one on the control lane aside.
    pub(super) tries: u8,
    /// The next ping goes out, or the round has failed.
    pub(super) until: Time,
    /// Relays asked that have not said anything.
    pub(super) asked: Vec<NodeId>,
}

/// What is wrong with a suspect, and what ends the suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Nothing comes from it: any sign of life ends it.
    Silent,
    /// It is alive, but our probes do not get through: only an answer to one of them ends it.
    Deaf,
    /// It answers probes and does not read what is sent to it: only what shows that it reads ends it.
    Stuck,
}

/// A suspicion.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    pub(super) since: Time,
    /// Other neighbours of the suspect that suspect it as well.
    pub(super) by: Vec<NodeId>,
    pub(super) doubt: Doubt,
}

/// A watched neighbour.
#[derive(Debug)]
pub(super) struct Watched {
    /// The overlays it is a neighbour in.
    pub(super) overlays: Vec<Overlay>,
    /// Whether we are the end that probes.
    pub(super) prober: bool,
    pub(super) rtt: Rtt,
    /// The number of the last ping.
    pub(super) seq: u32,
    /// The last pings and when they were sent, those answered aside.
    pub(super) sent: Vec<(u32, Time)>,
    pub(super) round: Option<Round>,
    /// When a round begins unless something comes first.
    pub(super) due: Time,
    /// What the timer is armed for.
    pub(super) armed: Time,
    /// The last sign of life, the last acknowledgement that the transport told of, and the last answer to a probe of
    /// ours.
    pub(super) heard: Time,
    pub(super) acknowledged: Time,
    pub(super) answered: Time,
    /// When the round trip was measured last.
    pub(super) measured: Time,
    /// Rounds in a row without an answer, though it was heard.
    pub(super) deaf_rounds: u8,
    pub(super) suspicion: Option<Suspicion>,
    /// Who said when that it is suspected.
    pub(super) hearsay: Vec<(NodeId, Time)>,
    /// The nonce that its signed sign of life must carry.
    pub(super) nonce: Option<u64>,
    /// Its other neighbours.
    pub(super) neighbors: Vec<PeerAddr>,
    /// The version of our own neighbours that it was told.
    pub(super) told: u64,
    /// Whether it reads.
    pub(super) reading: Reading,
}

impl Watched {
    /// Somebody suspects it.
    pub(super) fn hear(&mut self, from: NodeId, now: Time) {
        self.hearsay.retain(|(p, _)| *p != from);
        if self.hearsay.len() >= MAX_HEARSAY {
            self.hearsay.remove(0);
        }
        self.hearsay.push((from, now));
    }

    pub(super) fn is_neighbor_of(&self, peer: &NodeId) -> bool {
        self.neighbors.iter().any(|p| p.id == *peer)
    }

    /// When a round that is due can wait until, for what is known without it: the end that probes must know that its
    /// packets arrive, the other that the probing end lives. Pings measure the round trip, too, so some go out anyhow.
    pub(super) fn put_off(&self, now: Time, interval: Span, margin: Span) -> Option<Time> {
        let (known, quiet, most) = match self.prober {
            true => (self.acknowledged, interval, MEASURED),
            false => (self.acknowledged.max(self.heard), interval + margin, MEASURED * 4),
        };
        let next = known + quiet;
        (next > now && now.since(self.answered) < interval.times(most)).then_some(next)
    }

    /// A ping on its way; its number.
    pub(super) fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    /// When the timer must fire, given when the suspicion ends.
    pub(super) fn next(&self, suspicion_ends: Option<Time>) -> Time {
        let at = self.round.as_ref().map_or(self.due, |r| r.until);
        suspicion_ends.map_or(at, |s| s.min(at)).min(self.reading.next)
    }
}

/// What a linked peer may still ask of us. Each would cost work, traffic or a signature.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Probes relayed for it.
    pub(super) relays: Tokens,
    /// Signatures given for its relaying.
    pub(super) signs: Tokens,
    /// Suspicions of it that are looked into.
    pub(super) alarms: Tokens,
    /// Suspicions of ourselves that are refuted by a new incarnation.
    pub(super) refutes: Tokens,
}

impl Allowance {
    pub(super) fn new(now: Time) -> Self {
        Allowance {
            // A node suspects a few neighbours at once at most, unless most of the network dies (guesses).
            relays: Tokens::new(8, Span::from_millis(500), now),
            signs: Tokens::new(8, Span::from_millis(500), now),
            // Each costs a round of probes. Neighbours' neighbours die rarely; liars cry all the time.
            alarms: Tokens::new(8, Span::from_secs(10), now),
            refutes: Tokens::new(4, Span::from_secs(10), now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patience_follows_the_round_trip_within_its_bounds() {
        assert_eq!(Rtt::default().patience(), UNKNOWN);
        assert_eq!(Rtt::first(Some(Span::from_millis(1))).patience(), LEAST);
        assert_eq!(Rtt::first(Some(Span::from_millis(100))).patience(), Span::from_millis(150));
        assert_eq!(Rtt::first(Some(Span(u64::MAX))).patience(), MOST);
    }

    #[test]
    fn the_patience_of_a_steady_link_comes_down_to_its_round_trip() {
        let mut r = Rtt::first(Some(Span::from_millis(200)));
        for _ in 0..40 {
            r.note(Span::from_millis(200));
        }
        assert!(r.patience() <= Span::from_millis(202), "{:?}", r.patience());
        assert!(r.patience() >= Span::from_millis(199), "{:?}", r.patience());
    }

    #[test]
    fn one_answer_after_a_stall_changes_little() {
        let mut r = Rtt::first(Some(Span::from_millis(60)));
        (0..40).for_each(|_| r.note(Span::from_millis(60)));
        r.note(Span::from_millis(2_000));
        assert!(r.patience() <= Span::from_millis(120), "{:?}", r.patience());
    }

    #[test]
    fn several_answers_after_stalls_make_it_little_more_patient() {
        let mut r = Rtt::first(Some(Span::from_millis(60)));
        (0..40).for_each(|_| r.note(Span::from_millis(60)));
        (0..6).for_each(|_| r.note(Span::from_millis(2_000)));
        assert!(r.patience() <= Span::from_millis(330), "{:?}", r.patience());
    }

    #[test]
    fn a_link_that_became_slow_is_followed() {
        let mut r = Rtt::first(Some(Span::from_millis(20)));
        (0..20).for_each(|_| r.note(Span::from_millis(400)));
        assert!(r.patience() >= Span::from_millis(400), "{:?}", r.patience());
    }

    #[test]
    fn a_link_that_varies_is_waited_for_longer() {
        let mut r = Rtt::first(Some(Span::from_millis(100)));
        for n in 0..40 {
            r.note(Span::from_millis(60 + 80 * (n % 2)));
        }
        assert!(r.patience() > Span::from_millis(200), "{:?}", r.patience());
    }
}
