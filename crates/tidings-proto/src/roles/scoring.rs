//! What a node is worth as a relay: what it carried, how reliably, and how long ago.
//!
//! `score(now)` is the weighted sum of five terms, clamped, times `exp(-rate · idle)`, idle being the time since the last
//! work. Were that all, one message carried today would bring back the whole worth of a busy week last year, since idleness
//! ends with it. So what a counter holds fades by itself: when work is recorded, what the counters held until then has lost
//! `1 - exp(-rate · idle)` of its weight for good, in [`Faded`]. Between two pieces of work the sum falls exactly as the formula
//! says, at each of them the counts weigh what they weighed just before, and so each piece of work counts `exp(-rate · age)`,
//! however it is spread. (This is forward decay: Cormode, Shkapenyuk, Srivastava, Xu, ICDE 2009.) The share of successes and
//! the ratio of bytes are quotients of counts that fade alike: they say how a node works, not how much, come back with new work, and
//! are worth twenty points at most, which promote nobody who has not just worked enough to be judged (`manager.rs`).
//!
//! Time is wall time, since scores outlive the process; a clock that is set back counts as no idleness.
//!
//! Invariants: a score is finite and lies in `0..=MAX_PLAUSIBLE_SCORE`, whatever the counters hold; counters saturate.

use crate::time::UnixMillis;

/// Of a relayed message.
pub const RELAY_COUNT_WEIGHT: f64 = 1.0;
/// Of the share of attempts that succeeded, 0 to 1.
pub const SUCCESS_RATE_WEIGHT: f64 = 5.0;
/// Of an hour of uptime.
pub const UPTIME_WEIGHT: f64 = 0.5;
/// Of 2^20 relayed bytes.
pub const BANDWIDTH_MB_WEIGHT: f64 = 0.2;
/// Of the ratio of bytes relayed to bytes received.
pub const BANDWIDTH_RATIO_WEIGHT: f64 = 1.5;
/// No score is higher: what claims to be is not believed.
pub const MAX_PLAUSIBLE_SCORE: f64 = 1_000.0;
/// What a score loses in an hour of idleness: half of it in 14 hours.
pub const DECAY_PER_HOUR: f64 = 0.05;
/// The ratio counts as no higher.
pub const MAX_RATIO: f64 = 10.0;

const HOUR_MS: f64 = 3_600_000.0;
pub(super) const MIB: f64 = 1_048_576.0;

/// What has faded of each counter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faded {
    /// Of `messages_relayed`.
    pub messages: f64,
    /// Of `relay_failures`.
    pub failures: f64,
    /// Of `total_uptime_ms`.
    pub uptime_ms: f64,
    /// Of `bytes_relayed`.
    pub relayed: f64,
    /// Of `bytes_received`.
    pub received: f64,
}

/// What a node has contributed, as far as it was seen. Counts are of all time and saturate; see [`Faded`] for what they weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ContributionMetrics {
    /// Messages relayed and credited.
    pub messages_relayed: u64,
    /// Attempts that failed.
    pub relay_failures: u64,
    /// When anything was seen of it first.
    pub first_seen: Option<UnixMillis>,
    /// When it last relayed something.
    pub last_activity: Option<UnixMillis>,
    /// How long it was seen to be up, in milliseconds.
    pub total_uptime_ms: u64,
    /// Bytes relayed and credited.
    pub bytes_relayed: u64,
    /// Bytes that others relayed for it.
    pub bytes_received: u64,
    /// What has faded of the counts.
    pub faded: Faded,
}

/// The terms of a score, each weighted, before clamping and decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Terms {
    /// For messages.
    pub messages: f64,
    /// For the share of successes.
    pub success: f64,
    /// For uptime.
    pub uptime: f64,
    /// For bytes.
    pub bandwidth: f64,
    /// For the ratio of bytes.
    pub ratio: f64,
    /// What the sum, clamped, is multiplied by for idleness.
    pub decay: f64,
}

impl Terms {
    /// The score.
    pub fn score(&self) -> f64 {
        let sum = self.messages + self.success + self.uptime + self.bandwidth + self.ratio;
        sum.clamp(0.0, MAX_PLAUSIBLE_SCORE) * self.decay
    }
}

/// What is left after so many milliseconds.
pub(super) fn decay(ms: u64) -> f64 {
    (-DECAY_PER_HOUR * ms as f64 / HOUR_MS).exp()
}

impl ContributionMetrics {
    /// Messages were relayed.
    pub fn record_relay(&mut self, messages: u64, now: UnixMillis) {
        self.worked(now);
        self.messages_relayed = self.messages_relayed.saturating_add(messages);
    }

    /// Bytes were relayed.
    pub fn record_bytes_relayed(&mut self, bytes: u64, now: UnixMillis) {
        self.worked(now);
        self.bytes_relayed = self.bytes_relayed.saturating_add(bytes);
    }

    /// An attempt failed, which is no activity: failing keeps nothing fresh.
    pub fn record_failure(&mut self, now: UnixMillis) {
        self.first_seen.get_or_insert(now);
        self.relay_failures = self.relay_failures.saturating_add(1);
    }

    /// Others relayed this for it, which is no activity either.
    pub fn record_bytes_received(&mut self, bytes: u64, now: UnixMillis) {
        self.first_seen.get_or_insert(now);
        self.bytes_received = self.bytes_received.saturating_add(bytes);
    }

    /// It was seen to be up for so long; being there is no work.
    pub fn record_uptime(&mut self, ms: u64) {
        self.total_uptime_ms = self.total_uptime_ms.saturating_add(ms);
    }

    /// What was done until now fades by what the idleness before this work costs.
    fn worked(&mut self, now: UnixMillis) {
        self.first_seen.get_or_insert(now);
        let gone = 1.0 - decay(self.idle_ms(now));
        let f = &mut self.faded;
        let fade = |count: u64, faded: &mut f64| *faded += (count as f64 - *faded).max(0.0) * gone;
        fade(self.messages_relayed, &mut f.messages);
        fade(self.relay_failures, &mut f.failures);
        fade(self.total_uptime_ms, &mut f.uptime_ms);
        fade(self.bytes_relayed, &mut f.relayed);
        fade(self.bytes_received, &mut f.received);
        self.last_activity = Some(self.last_activity.map_or(now, |at| at.max(now)));
    }

    /// Milliseconds since the last work; none if there was none.
    pub fn idle_ms(&self, now: UnixMillis) -> u64 {
        self.last_activity.map_or(0, |at| now.0.saturating_sub(at.0))
    }

    /// Messages and bytes relayed, by what they weigh now.
    pub(super) fn work(&self, now: UnixMillis) -> (f64, f64) {
        let left = decay(self.idle_ms(now));
        (
            weighs(self.messages_relayed, self.faded.messages) * left,
            weighs(self.bytes_relayed, self.faded.relayed) * left,
        )
    }

    /// The share of attempts that succeeded, by what they weigh; 0 if there was none.
    pub fn success_rate(&self) -> f64 {
        let done = weighs(self.messages_relayed, self.faded.messages);
        let failed = weighs(self.relay_failures, self.faded.failures);
        if done + failed > 0.0 { done / (done + failed) } else { 0.0 }
    }

    /// Bytes relayed for each received, at most [`MAX_RATIO`]; 1 for work when nothing was received, 0 without work.
    pub fn ratio(&self) -> f64 {
        let relayed = weighs(self.bytes_relayed, self.faded.relayed);
        let received = weighs(self.bytes_received, self.faded.received);
        match (self.messages_relayed > 0 || self.bytes_relayed > 0, received > 0.0) {
            (false, _) => 0.0,
            (true, false) => 1.0,
            (true, true) => (relayed / received).min(MAX_RATIO),
        }
    }

    /// The score, term by term.
    pub fn terms(&self, now: UnixMillis) -> Terms {
        Terms {
            messages: RELAY_COUNT_WEIGHT * weighs(self.messages_relayed, self.faded.messages),
            success: SUCCESS_RATE_WEIGHT * self.success_rate(),
            uptime: UPTIME_WEIGHT * weighs(self.total_uptime_ms, self.faded.uptime_ms) / HOUR_MS,
            bandwidth: BANDWIDTH_MB_WEIGHT * weighs(self.bytes_relayed, self.faded.relayed) / MIB,
            ratio: BANDWIDTH_RATIO_WEIGHT * self.ratio(),
            decay: decay(self.idle_ms(now)),
        }
    }

    /// What this is worth now: 0 to [`MAX_PLAUSIBLE_SCORE`].
    pub fn score(&self, now: UnixMillis) -> f64 {
        self.terms(now).score()
    }
}

/// What a count weighs. What was read from a disk may hold anything: then it weighs nothing.
fn weighs(count: u64, faded: f64) -> f64 {
    let left = count as f64 - faded;
    if left.is_finite() && faded >= 0.0 { left.max(0.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn after(hours: u64) -> UnixMillis {
        UnixMillis(NOW.0 + hours * 3_600_000)
    }

    fn worked() -> ContributionMetrics {
        let mut m = ContributionMetrics::default();
        m.record_relay(1, NOW);
        m.record_bytes_relayed(100 << 20, NOW);
        m.record_bytes_received(20 << 20, NOW);
        m
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * b.abs().max(1.0)
    }

    #[test]
    fn one_relay_and_five_times_as_much_given_as_taken_is_worth_thirty_three_and_a_half() {
        assert!(near(worked().score(NOW), 33.5));
    }

    #[test]
    fn it_halves_in_fourteen_hours() {
        assert!(near(worked().score(after(14)), 33.5 * (-0.7f64).exp()));
    }

    #[test]
    fn nothing_known_is_worth_nothing() {
        let mut m = ContributionMetrics::default();
        assert_eq!(m.score(NOW), 0.0);
        m.record_failure(NOW);
        m.record_bytes_received(1 << 30, NOW);
        assert_eq!(m.score(NOW), 0.0);
    }

    #[test]
    fn work_while_nothing_was_received_has_the_ratio_one() {
        let mut m = ContributionMetrics::default();
        m.record_bytes_relayed(1 << 20, NOW);
        assert_eq!(m.ratio(), 1.0);
        assert!(near(m.score(NOW), 0.2 + 1.5));
    }

    #[test]
    fn the_ratio_is_ten_at_most() {
        let mut m = worked();
        m.bytes_received = 1;
        assert_eq!(m.ratio(), 10.0);
    }

    #[test]
    fn an_hour_of_uptime_is_half_a_point() {
        let mut m = worked();
        m.record_uptime(3_600_000);
        assert!(near(m.score(NOW), 34.0));
    }

    #[test]
    fn failures_cost_their_share_of_five_points() {
        let mut m = worked();
        m.record_failure(NOW);
        assert!(near(m.score(NOW), 33.5 - 2.5));
    }

    #[test]
    fn counters_at_their_end_stay_there() {
        let mut m = ContributionMetrics {
            messages_relayed: u64::MAX,
            relay_failures: u64::MAX,
            total_uptime_ms: u64::MAX,
            bytes_relayed: u64::MAX,
            bytes_received: u64::MAX,
            ..ContributionMetrics::default()
        };
        m.record_relay(u64::MAX, NOW);
        m.record_failure(NOW);
        m.record_uptime(u64::MAX);
        m.record_bytes_relayed(u64::MAX, NOW);
        m.record_bytes_received(u64::MAX, NOW);
        assert_eq!((m.messages_relayed, m.relay_failures, m.bytes_relayed), (u64::MAX, u64::MAX, u64::MAX));
        assert_eq!(m.score(NOW), MAX_PLAUSIBLE_SCORE);
    }

    #[test]
    fn one_message_does_not_bring_back_an_old_fortune() {
        let mut m = ContributionMetrics::default();
        m.record_relay(10_000, NOW);
        m.record_relay(1, after(24 * 14));
        let score = m.score(after(24 * 14));
        assert!(score < 8.0, "{score}");
    }

    #[test]
    fn a_clock_set_back_is_no_idleness() {
        let m = worked();
        assert_eq!(m.score(UnixMillis(0)), m.score(NOW));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Relay(u64),
        Failure,
        Relayed(u64),
        Received(u64),
        Uptime(u64),
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            any::<u64>().prop_map(Step::Relay),
            (0..1_000u64).prop_map(Step::Relay),
            Just(Step::Failure),
            any::<u64>().prop_map(Step::Relayed),
            any::<u64>().prop_map(Step::Received),
            any::<u64>().prop_map(Step::Uptime),
            any::<u64>().prop_map(Step::Wait),
            (0..1_000_000_000u64).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn a_score_is_plausible_whatever_happens(steps in steps()) {
            let (mut m, mut now) = (ContributionMetrics::default(), NOW);
            for step in steps {
                match step {
                    Step::Relay(n) => m.record_relay(n, now),
                    Step::Failure => m.record_failure(now),
                    Step::Relayed(n) => m.record_bytes_relayed(n, now),
                    Step::Received(n) => m.record_bytes_received(n, now),
                    Step::Uptime(n) => m.record_uptime(n),
                    Step::Wait(ms) => now = UnixMillis(now.0.saturating_add(ms)),
                }
                let score = m.score(now);
                prop_assert!((0.0..=MAX_PLAUSIBLE_SCORE).contains(&score), "{score}");
            }
        }

        #[test]
        fn a_message_weighs_by_its_age_however_others_are_spread(gaps in proptest::collection::vec(0..40_000_000u64, 1..30)) {
            let (mut m, mut now, mut expected) = (ContributionMetrics::default(), NOW, 0.0);
            for gap in gaps {
                m.record_relay(3, now);
                expected += 3.0;
                now = UnixMillis(now.0 + gap);
                expected *= decay(gap);
                let (messages, _) = m.work(now);
                prop_assert!((messages - expected).abs() < 1e-6, "{messages} is not {expected}");
            }
        }

        #[test]
        fn without_work_a_score_falls_as_the_formula_says(n in 0..500u64, bytes in 0..(1u64 << 32), ms in 0..1_000_000_000u64) {
            let mut m = ContributionMetrics::default();
            m.record_relay(n, NOW);
            m.record_bytes_relayed(bytes, NOW);
            let (before, later) = (m.score(NOW), m.score(UnixMillis(NOW.0 + ms)));
            let hours = ms as f64 / 3_600_000.0;
            prop_assert!((later - before * (-0.05 * hours).exp()).abs() < 1e-9);
        }

        #[test]
        fn what_was_read_from_a_disk_is_plausible_too(n in any::<u64>(), faded in any::<f64>(), at in any::<u64>()) {
            let faded = Faded { messages: faded, relayed: faded, received: faded, failures: faded, uptime_ms: faded };
            let m = ContributionMetrics {
                messages_relayed: n, bytes_relayed: n, bytes_received: n, faded,
                last_activity: Some(UnixMillis(at)), ..ContributionMetrics::default()
            };
            prop_assert!((0.0..=MAX_PLAUSIBLE_SCORE).contains(&m.score(NOW)));
        }
    }
}
