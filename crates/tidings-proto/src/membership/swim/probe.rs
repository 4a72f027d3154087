//! Rounds of probes, and noticing that this node itself stood still.

use super::watched::{Doubt, Round, Rtt};
use super::{Swim, Timer};
use crate::identity::NodeId;
use crate::layer::{Cx, TimerKey};
use crate::time::Span;
use crate::wire::{Ack, Ping};

/// Pings in a round.
const TRIES: u8 = 3;
/// Pings whose answers are recognised, late ones included: those of the last rounds.
const REMEMBERED: usize = 8;
/// A neighbour that is heard but does not answer is suspected after so many rounds: one is a lost answer, and three
/// seconds at the default interval are still before the transport gives up (a guess).
const DEAF: u8 = 3;
/// The end that does not probe measures the round trip by itself once in so many intervals.
const REMEASURE: u64 = 32;
/// Timers later than this say that we stood still; a busy machine's are late by tens of milliseconds (a guess).
const STALL: Span = Span::from_millis(250);
/// A node that is late all the time must still judge: a fresh start for everybody once in so long.
const STALL_AGAIN: Span = Span::from_secs(1);

/// How much later than expected a ping may come: its first copy may be lost.
pub(super) fn margin(rtt: Rtt) -> Span {
    rtt.patience() + Span::from_millis(20)
}

impl Swim {
    pub(super) fn on_peer_timer(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let now = cx.now.mono;
        let Some(w) = self.watched.get(&peer) else { return };
        let late = now.since(w.armed);
        if late > STALL && self.stalled.is_none_or(|at| now.since(at) > STALL_AGAIN) {
            self.fresh_start(cx, late);
            return;
        }
        if let Some(s) = &w.suspicion
            && self.ends(cx, s) <= now
        {
            self.remove(cx, peer);
            return;
        }
        self.look_at_reading(cx, peer);
        let Some(w) = self.watched.get(&peer) else { return };
        match &w.round {
            Some(r) if r.until <= now => self.go_on(cx, peer),
            None if w.due <= now => {
                let later = w.put_off(now, cx.config.probe_interval_span(), margin(w.rtt));
                match (later, self.watched.get_mut(&peer)) {
                    (Some(later), Some(w)) if w.suspicion.is_none() => w.due = later,
                    _ => self.begin_round(cx, peer),
                }
            }
            _ => {}
        }
        self.arm(cx, peer);
    }

    pub(super) fn begin_round(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let now = cx.now.mono;
        let Some(w) = self.watched.get_mut(&peer) else { return };
        let until = now + self.health.stretch(w.rtt.patience());
        w.round = Some(Round { began: now, tries: 1, until, asked: Vec::new() });
        self.ping(cx, peer, true);
        self.ask_along(cx, peer);
        self.arm(cx, peer);
    }

    fn ping(&mut self, cx: &mut Cx<'_>, peer: NodeId, datagram: bool) {
        let suspected = self.known.of(&peer).unwrap_or_default().0;
        let Some(w) = self.watched.get_mut(&peer) else { return };
        let seq = w.next_seq();
        if w.sent.len() >= REMEMBERED {
            w.sent.remove(0);
        }
        w.sent.push((seq, cx.now.mono));
        // Who is stuck has nothing to refute: it is there.
        let judged = w.suspicion.as_ref().is_some_and(|s| s.doubt != Doubt::Stuck);
        let suspected = judged.then_some(suspected);
        let ping = Ping { seq, incarnation: self.incarnation.0, suspected };
        if datagram {
            cx.datagram(peer, ping);
        } else {
            super::reading::send_unasked(cx, peer, ping);
        }
    }

    /// A ping was not answered in time.
    fn go_on(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let now = cx.now.mono;
        let Some(w) = self.watched.get_mut(&peer) else { return };
        let Some(r) = &mut w.round else { return };
        if r.tries >= TRIES {
            self.failed(cx, peer);
            return;
        }
        r.tries += 1;
        let last = r.tries == TRIES;
        // The last may take a loss and a retransmission on the control lane, or the way through a relay.
        let wait = w.rtt.patience().times(if last { 2 } else { 1 });
        r.until = now + self.health.stretch(wait);
        self.ping(cx, peer, true);
        if last {
            self.ping(cx, peer, false);
            self.ask_relays(cx, peer);
        }
    }

    fn failed(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let interval = cx.config.probe_interval_span();
        let Some(w) = self.watched.get_mut(&peer) else { return };
        let Some(r) = w.round.take() else { return };
        w.due = (r.began + interval).max(cx.now.mono);
        cx.counters.probes_failed += 1;
        // Relays that said they know nothing speak for us; those that said nothing against (Lifeguard, IV-A).
        self.health.worse(u8::try_from(r.asked.len()).unwrap_or(u8::MAX).max(1));
        let heard = w.heard > r.began;
        if let Some(s) = &mut w.suspicion {
            if s.doubt == Doubt::Stuck && !heard {
                // It is gone altogether.
                (s.doubt, s.since) = (Doubt::Silent, cx.now.mono);
            }
            return;
        }
        w.deaf_rounds = if heard { w.deaf_rounds.saturating_add(1) } else { 0 };
        if !heard || w.deaf_rounds >= DEAF {
            self.suspect(cx, peer, if heard { Doubt::Deaf } else { Doubt::Silent });
        }
    }

    pub(super) fn on_ping(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Ping, datagram: bool) {
        self.note(cx, from, m.incarnation);
        if let Some(incarnation) = m.suspected {
            self.refute(cx, from, incarnation);
        }
        let ack = Ack { seq: m.seq, incarnation: self.incarnation.0 };
        if datagram {
            cx.datagram(from, ack);
        } else {
            super::reading::send_unasked(cx, from, ack);
        }
        self.ask_along(cx, from);
        let now = cx.now.mono;
        let interval = cx.config.probe_interval_span();
        let Some(w) = self.watched.get_mut(&from).filter(|w| !w.prober && w.round.is_none()) else { return };
        w.due = now + interval + margin(w.rtt);
        if now.since(w.answered) > interval.times(REMEASURE) {
            w.due = now;
        }
        self.arm(cx, from);
    }

    pub(super) fn on_ack(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Ack, control: bool) {
        self.note(cx, from, m.incarnation);
        if control && self.reads(cx, from, m.seq) {
            return;
        }
        let now = cx.now.mono;
        let interval = cx.config.probe_interval_span();
        let Some(w) = self.watched.get_mut(&from) else { return };
        let Some(at) = w.sent.iter().position(|(seq, _)| *seq == m.seq) else {
            if w.seq.wrapping_sub(m.seq) >= REMEMBERED as u32 {
                cx.counters.acks_unexpected += 1;
            }
            return;
        };
        let (_, sent) = w.sent.remove(at);
        // Once an interval: a peer that stood still answers many pings at once, all of them late.
        if now.since(w.measured) >= Span(interval.0 / 2) {
            w.measured = now;
            w.rtt.note(now.since(sent));
            if let Some(rtt) = w.rtt.smoothed() {
                cx.topology.measured(&from, rtt);
            }
        }
        w.answered = now;
        w.deaf_rounds = 0;
        if let Some(r) = w.round.take() {
            w.due = if w.prober { (r.began + interval).max(now) } else { now + interval + margin(w.rtt) };
            self.health.better();
        }
        if w.suspicion.as_ref().is_some_and(|s| s.doubt != Doubt::Stuck) {
            self.recover(cx, from);
        } else {
            self.arm(cx, from);
        }
    }

    /// This node stood still for so long: nobody is to blame for not having been heard meanwhile.
    fn fresh_start(&mut self, cx: &mut Cx<'_>, late: Span) {
        let now = cx.now.mono;
        self.stalled = Some(now);
        self.health.worse(1);
        cx.counters.stalls += 1;
        let all: Vec<NodeId> = self.watched.keys().copied().collect();
        for peer in all {
            let Some(w) = self.watched.get_mut(&peer) else { continue };
            if let Some(s) = &mut w.suspicion {
                s.since = (s.since + late).min(now);
            }
            w.reading.next += late;
            if w.round.is_some() || (w.due <= now && w.prober) {
                self.begin_round(cx, peer);
                continue;
            }
            if w.due <= now {
                // Its pings may be waiting to be read.
                w.due = now + margin(w.rtt);
            }
            self.arm(cx, peer);
        }
    }
}

impl Swim {
    /// The next chore's time.
    pub(super) fn arm_chores(&mut self, cx: &mut Cx<'_>) {
        let next = self.relays.iter().map(|r| r.until).chain(self.rescue.next()).min();
        match next {
            Some(at) => cx.deadlines.set(TimerKey::Swim(Timer::Chores), at.max(cx.now.mono)),
            None => cx.deadlines.cancel(TimerKey::Swim(Timer::Chores)),
        }
    }
}
