//! Making a topic's log equal to its neighbours': when to compare, with whom, and what to do about a difference. The words
//! are [`crate::anti_entropy`]'s.
//!
//! When: at once when a neighbour comes, on every link each `anti_entropy_interval`, after something was fetched (with the
//! other neighbours, who may lack it as well), and when the program asks. One end of a link asks; both ends get what they lack.
//!
//! With whom: all are asked, and of those that differ the one that differs most comes first. A node fetches from one neighbour
//! at a time, and compares anew before it turns to the next: what several have comes once. While that goes on, numbers
//! missing in an author's stream are not asked for besides.
//!
//! What is fetched is verified, logged and put in its author's order like any batch, but not passed on: neighbours compare
//! and fetch it themselves, each once. What was published before this node came to the topic is history: logged for who
//! asks for it, and not delivered otherwise.
//!
//! Invariants: at most one session of its own per topic, which ends when nothing has come for [`STALL`]; a neighbour's
//! questions are answered at a bounded rate; the digest leaves out what is younger than [`YOUNG`] unless a link is new, since
//! that is on its way through the tree.

mod answer;
mod history;
mod session;

pub use history::{HistoryQuery, ReconciliationStats};

use std::collections::{BTreeMap, BTreeSet};

use super::{PubSub, Timer, Topic};
use crate::anti_entropy::Digest;
use crate::identity::{NodeId, TopicId};
use crate::io::Ticket;
use crate::layer::{Cx, TimerKey};
use crate::time::{Span, Time};
use crate::wire::{Compare, SetTag, ShortId};

use session::Session;

/// Batches signed so recently are on their way through the tree (the slowest paths measured take a tenth of a second; the
/// rest is for clocks that disagree: a guess).
const YOUNG_MS: u64 = 1_000;
/// A question is not waited for longer.
const ANSWER: Span = Span::from_secs(2);
/// So long all who were asked may take before the most divergent of those that answered is chosen (some round trips of a
/// distant link).
const COLLECT: Span = Span::from_millis(400);
/// A session in which nothing came for so long is given up.
const STALL: Span = Span::from_secs(3);
/// The end of a new link with the higher id waits so long for the other's question.
const DEFER: Span = Span::from_millis(400);
/// After something was fetched, the other neighbours are asked after so long.
const SOON: Span = Span::from_millis(200);
/// A neighbour's questions on one topic, and sessions, are answered so often in the long run, and so many at once; what comes
/// beyond is not answered (guesses: a comparison and its session are two, and each new link brings one).
const LIMIT: Span = Span::from_millis(40);
const BURST: u64 = 8;
/// A neighbour that said it has what we lack and sent nothing is believed again after so long.
const BARREN: Span = Span::from_secs(10);

/// A question that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: NodeId,
    from: u64,
    until: u64,
    sent: Time,
}

/// A neighbour that does not hold what we hold.
#[derive(Clone, Copy, Debug)]
struct Divergent {
    peer: NodeId,
    session: u32,
    from: u64,
    until: u64,
    theirs: Digest,
    streams: u64,
}

/// When to compare with a neighbour next.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Time,
    /// Also what is on its way through the tree.
    all: bool,
}

/// Comparing with everybody because the program asked.
#[derive(Debug, Default)]
struct Round {
    tickets: Vec<Ticket>,
    stats: ReconciliationStats,
    contacted: BTreeSet<NodeId>,
}

/// A topic's anti-entropy.
#[derive(Debug, Default)]
pub(super) struct Sync {
    asked: BTreeMap<u32, Asked>,
    divergent: Vec<Divergent>,
    active: Option<Session>,
    due: BTreeMap<NodeId, Due>,
    interval_at: Option<Time>,
    round: Option<Round>,
    /// What a neighbour was offered, until it wants it or the next is offered.
    offered: Option<(NodeId, u32, Vec<ShortId>)>,
    /// Until when a neighbour that had us ask for what it did not have is not asked so again.
    barren: BTreeMap<NodeId, Time>,
    /// Until when each neighbour's answers are paid for, one each [`LIMIT`].
    answered: BTreeMap<NodeId, Time>,
    history: history::Waiting,
    /// The log was compared with a neighbour since the span wanted was last extended.
    compared: bool,
}

impl Sync {
    /// Whether something is being fetched.
    pub(super) fn is_fetching(&self) -> bool {
        self.active.is_some()
    }

    fn is_quiet(&self) -> bool {
        self.asked.is_empty() && self.divergent.is_empty() && self.active.is_none()
    }

    /// Compares with a neighbour at `at`, or sooner if that was meant before.
    fn set_due(&mut self, peer: NodeId, at: Time, all: bool) {
        let due = self.due.entry(peer).or_insert(Due { at, all });
        *due = Due { at: due.at.min(at), all: due.all || all };
    }

    fn forget(&mut self, peer: &NodeId) {
        self.due.remove(peer);
        self.answered.remove(peer);
        self.barren.remove(peer);
        self.asked.retain(|_, a| a.peer != *peer);
        self.divergent.retain(|d| d.peer != *peer);
        self.offered.take_if(|o| o.0 == *peer);
    }

    /// Whether a neighbour may be answered now.
    fn may_answer(&mut self, cx: &mut Cx<'_>, peer: NodeId) -> bool {
        let now = cx.now.mono;
        let paid = self.answered.entry(peer).or_default();
        let next = (*paid).max(now - LIMIT.times(BURST)) + LIMIT;
        if next > now {
            cx.counters.reconcile_limited += 1;
            return false;
        }
        *paid = next;
        true
    }

    /// Whether to fetch from a neighbour that says it has what we lack: not while we fetch from another, whose turn it is.
    fn may_fetch(&self, cx: &Cx<'_>, peer: &NodeId) -> bool {
        self.active.is_none() && self.barren.get(peer).is_none_or(|until| *until <= cx.now.mono)
    }

    fn next(&self) -> Option<Time> {
        let due = self.due.values().map(|d| d.at).min();
        let asked = self.asked.values().map(|a| a.sent + ANSWER).min();
        let chosen = self.asked.values().map(|a| a.sent + COLLECT).max().filter(|_| !self.divergent.is_empty());
        let stall = self.active.as_ref().map(|s| s.progressed + STALL);
        [due, asked, chosen.filter(|_| self.active.is_none()), stall, self.interval_at, self.history.deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Topic {
    pub(super) fn arm_sync(&self, cx: &mut Cx<'_>) {
        if let Some(at) = self.sync.next() {
            cx.deadlines.set(TimerKey::PubSub(Timer::Reconcile(self.id)), at);
        }
    }

    /// A neighbour came: what either lacks is found at once. A log with nothing in it has nothing to tell; the other end
    /// asks if it has.
    pub(super) fn compare_with_new(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if self.sync.interval_at.is_none() {
            // Spread, so that not everybody who began together compares together.
            let every = Span::from(cx.config.anti_entropy_interval).0.max(1);
            let phase = u64::from_le_bytes(*self.id.0.first_chunk().unwrap_or(&[0; 8])) ^ phase(&cx.me);
            self.sync.interval_at = Some(cx.now.mono + Span(phase % every + 1));
        }
        let holds = self.log.between(self.log.horizon(), u64::MAX).next().is_some();
        if holds || self.sync.history.is_wanted() {
            let wait = if cx.me < peer || self.sync.history.is_wanted() { Span::ZERO } else { DEFER };
            self.sync.set_due(peer, cx.now.mono + wait, true);
        }
        self.arm_sync(cx);
    }

    pub(super) fn forget_sync(&mut self, cx: &mut Cx<'_>, peer: &NodeId) {
        self.sync.forget(peer);
        if self.sync.active.as_ref().is_some_and(|s| s.peer == *peer) {
            self.end_session(cx, false);
        }
        self.arm_sync(cx);
    }
}

/// A node's place in the interval.
fn phase(id: &NodeId) -> u64 {
    u64::from_le_bytes(*id.0.last_chunk().unwrap_or(&[0; 8]))
}

impl PubSub {
    /// The topic's timer, and after every answer: what is due.
    pub(super) fn reconcile(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let now = cx.now.mono;
        let mut next_session = self.sessions;
        let Some(t) = self.topics.get_mut(&topic) else { return };
        let before = t.sync.asked.len();
        t.sync.asked.retain(|_, a| now.since(a.sent) < ANSWER);
        cx.counters.reconcile_failed += (before - t.sync.asked.len()) as u64;
        if t.sync.active.as_ref().is_some_and(|s| now.since(s.progressed) >= STALL) {
            t.end_session(cx, false);
        }
        if t.sync.interval_at.is_some_and(|at| at <= now) {
            t.sync.interval_at = Some(now + Span::from(cx.config.anti_entropy_interval));
            let asks: Vec<NodeId> = t.peers.iter().map(|p| p.id).filter(|p| cx.me < *p).collect();
            asks.into_iter().for_each(|p| t.sync.set_due(p, now, false));
        }
        let due: Vec<(NodeId, bool)> =
            t.sync.due.iter().filter(|(_, d)| d.at <= now).map(|(p, d)| (*p, d.all)).collect();
        for (peer, all) in due {
            t.sync.due.remove(&peer);
            if t.peers.iter().any(|p| p.id == peer) {
                next_session = next_session % 0xffff + 1;
                t.ask(cx, next_session, peer, all);
            }
        }
        self.sessions = next_session;
        t.choose(cx);
        self.finish_round(cx, topic);
        self.answer_history(cx, topic);
        if let Some(t) = self.topics.get(&topic) {
            t.arm_sync(cx);
        }
    }
}

impl Topic {
    fn ask(&mut self, cx: &mut Cx<'_>, session: u32, peer: NodeId, all: bool) {
        self.trim(cx);
        let from = self.log.horizon();
        // Further in the future nothing is accepted.
        let until =
            if all { cx.now.wall.0 + super::plumtree::FUTURE_MS } else { cx.now.wall.0.saturating_sub(YOUNG_MS) };
        let span = until.saturating_sub(from);
        let digest = self.log.digest(from, from + span);
        let compare = Compare { set: SetTag::new(&self.id), session, from, span, sum: digest.sum, count: digest.count };
        if cx.send(peer, compare) {
            cx.counters.reconcile_compared += 1;
            self.sync.asked.insert(session, Asked { peer, from, until: from + span, sent: cx.now.mono });
            if let Some(r) = &mut self.sync.round {
                r.contacted.insert(peer);
            }
        }
    }

    /// Turns to the most divergent neighbour, once all have answered or had time to.
    fn choose(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let waits = self.sync.asked.values().any(|a| now.since(a.sent) < COLLECT);
        while self.sync.active.is_none() && !waits && !self.sync.divergent.is_empty() {
            let differ = |t: &Topic, d: &Divergent| t.log.digest(d.from, d.until).count.abs_diff(d.theirs.count);
            let most = (0..self.sync.divergent.len())
                .max_by_key(|i| (differ(self, &self.sync.divergent[*i]), std::cmp::Reverse(*i)));
            let Some(most) = most else { return };
            let d = self.sync.divergent.remove(most);
            self.begin_session(cx, d);
        }
    }
}
