//! Making a set equal to its neighbours': when to compare, with whom, and what to do about a difference. The one way for
//! messages and for records; what differs between them is behind [`Set`].
//!
//! When: at once when a neighbour comes, on every link each `anti_entropy_interval`, after something was fetched (with the
//! other neighbours, who may lack it as well), and when the program asks. One end of a link asks; both ends get what they lack.
//!
//! With whom: all are asked, and of those that differ the one that differs most comes first. A node fetches from one neighbour
//! at a time, and compares anew before it turns to the next: what several have comes once.
//!
//! Invariants: at most one session of its own per set, which ends when nothing has come for [`STALL`]; a neighbour's
//! questions are answered at a bounded rate.

mod answer;
mod fetch;

use std::collections::{BTreeMap, BTreeSet};

use super::{Digest, ReconciliationStats, Streams, Symbols};
use crate::anti_entropy::session::{self, Way};
use crate::identity::NodeId;
use crate::io::Ticket;
use crate::layer::{Cx, TimerKey};
use crate::time::{Span, Time};
use crate::wire::{Change, Compare, Ranges, SetTag, ShortId, Wanted};

use fetch::Session;

/// A question is not waited for longer.
const ANSWER: Span = Span::from_secs(2);
/// So long all who were asked may take before the most divergent of those that answered is chosen (some round trips of a
/// distant link).
pub(crate) const COLLECT: Span = Span::from_millis(400);
/// A session in which nothing came for so long is given up.
const STALL: Span = Span::from_secs(3);
/// The end of a new link with the higher id waits so long for the other's question.
const DEFER: Span = Span::from_millis(400);
/// After something was fetched, the other neighbours are asked after so long.
const SOON: Span = Span::from_millis(200);
/// A neighbour's questions on one set, and sessions, are answered so often in the long run, and so many at once; what comes
/// beyond is not answered (guesses: a comparison and its session are two, and each new link brings one).
const LIMIT: Span = Span::from_millis(40);
const BURST: u64 = 8;
/// A neighbour that said it has what we lack and sent nothing is believed again after so long.
const BARREN: Span = Span::from_secs(10);

/// A set that neighbours keep equal, as the driver sees it. Items have a time, by which they are ordered and spans of the set
/// are named; sets without leave it out.
pub(crate) trait Set {
    /// Names it between neighbours.
    fn tag(&self) -> SetTag;
    /// The timer of its comparisons.
    fn timer(&self) -> TimerKey;
    /// The neighbours it is shared with.
    fn peers(&self) -> Vec<NodeId>;
    /// Drops what is past its time.
    fn trim(&mut self, _: &mut Cx<'_>) {}
    /// Everything taken in since then is here.
    fn horizon(&self) -> u64 {
        0
    }
    /// Up to when it is compared; `all`: also what is on its way.
    fn until(&self, cx: &Cx<'_>, all: bool) -> u64;
    /// How many items.
    fn len(&self, cx: &Cx<'_>) -> usize;
    /// Whether there is nothing a neighbour could lack.
    fn is_empty(&self, cx: &Cx<'_>) -> bool;
    /// What tells whether two hold the same of a span.
    fn digest(&self, cx: &Cx<'_>, from: u64, until: u64) -> Digest;
    /// Whether a neighbour that holds this differs only by what is on its way to it, and, of what it told us, to us.
    fn is_on_its_way(&self, _: &Cx<'_>, _: &NodeId, _: Digest, _: &[Digest]) -> bool {
        false
    }
    /// The changes here that may be on their way to a neighbour.
    fn young(&self, _: &Cx<'_>, _: &NodeId) -> Vec<Digest> {
        Vec::new()
    }
    /// The numbers of a span's items, author by author.
    fn streams(&self, cx: &Cx<'_>, from: u64, until: u64) -> Streams;
    /// How to find a difference from a neighbour's set with this digest and so many streams.
    fn way(&self, cx: &Cx<'_>, from: u64, mine: Digest, theirs: Digest, streams: u64, failed: bool) -> Way {
        session::way(&self.streams(cx, from, u64::MAX), mine, streams, theirs, failed)
    }
    /// The ids of the items since then.
    fn ids(&self, cx: &Cx<'_>, from: u64) -> Vec<ShortId>;
    /// Coded symbols of the items since then, of the set as it was when `as_of` was said.
    fn symbols(&mut self, cx: &mut Cx<'_>, from: u64, as_of: Option<u64>, which: (usize, usize)) -> Option<Symbols>;
    /// What an item named under `key` stands for, with its time.
    fn item(&self, cx: &Cx<'_>, key: u64, item: u64) -> Option<(u64, ShortId)>;
    /// What a neighbour lacks that says what it has.
    fn lacking(&self, cx: &Cx<'_>, m: &Ranges) -> Vec<ShortId>;
    /// What such a neighbour has that is missing here.
    fn missing(&self, cx: &Cx<'_>, m: &Ranges) -> Vec<Wanted>;
    /// The items that hold these numbers of a stream, with their times.
    fn wanted(&self, cx: &Cx<'_>, wanted: &Wanted) -> Vec<(u64, ShortId)>;
    /// How long until what was fetched, the latest of it of this time, no longer counts as on its way.
    fn settles(&self, cx: &Cx<'_>, latest: u64) -> Span;
}

/// What a neighbour is to be sent: in which session, and which items.
pub(crate) type Serve = (u32, Vec<ShortId>);

/// The numbers of comparisons. Whose a number is shows in its last bit.
#[derive(Debug)]
pub(crate) struct Sessions(u32);

impl Sessions {
    /// Those of topics.
    pub(crate) fn of_topics() -> Sessions {
        Sessions(0)
    }

    /// Those of records.
    pub(crate) fn of_records() -> Sessions {
        Sessions(1)
    }

    /// Whether a comparison is one of records.
    pub(crate) fn is_of_records(session: u32) -> bool {
        session & 1 == 1
    }

    fn next(&mut self) -> u32 {
        self.0 = (self.0 + 2) & 0xffff;
        self.0
    }
}

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
    /// Also what is on its way.
    all: bool,
}

/// Comparing with everybody because the program asked.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) tickets: Vec<Ticket>,
    stats: ReconciliationStats,
    contacted: BTreeSet<NodeId>,
}

impl Round {
    /// What it came to.
    pub(crate) fn stats(&self) -> ReconciliationStats {
        ReconciliationStats { peers_contacted: self.contacted.len() as u64, ..self.stats }
    }
}

/// A set's anti-entropy.
#[derive(Debug, Default)]
pub(crate) struct Sync {
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
    /// The set was compared with a neighbour since this was last taken back.
    pub(crate) compared: bool,
    /// The owner of the set wants its timer by then.
    pub(crate) wake: Option<Time>,
}

impl Sync {
    /// Whether something is being fetched.
    pub(crate) fn is_fetching(&self) -> bool {
        self.active.is_some()
    }

    /// Whether nothing is compared or fetched.
    pub(crate) fn is_quiet(&self) -> bool {
        self.asked.is_empty() && self.divergent.is_empty() && self.active.is_none()
    }

    /// Whether nobody is about to be asked for everything.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_quiet() && self.due.values().all(|d| !d.all)
    }

    /// The comparisons that the program asked for, once they are done.
    pub(crate) fn take_finished(&mut self, now: Time) -> Option<Round> {
        let done = self.is_quiet() && self.due.values().all(|d| d.at > now + COLLECT);
        self.round.take_if(|_| done)
    }

    /// The comparisons that the program asked for, done or not.
    pub(crate) fn take_round(&mut self) -> Option<Round> {
        self.round.take()
    }

    /// The program wants to know what comparing comes to.
    pub(crate) fn begin_round(&mut self, ticket: Ticket) {
        self.round.get_or_insert_with(Round::default).tickets.push(ticket);
    }

    /// Compares with a neighbour at `at`, or sooner if that was meant before.
    pub(crate) fn set_due(&mut self, peer: NodeId, at: Time, all: bool) {
        let due = self.due.entry(peer).or_insert(Due { at, all });
        *due = Due { at: due.at.min(at), all: due.all || all };
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
        [due, asked, chosen.filter(|_| self.active.is_none()), stall, self.interval_at, self.wake]
            .into_iter()
            .flatten()
            .min()
    }

    /// Arms the set's timer.
    pub(crate) fn arm(&self, cx: &mut Cx<'_>, set: &impl Set) {
        if let Some(at) = self.next() {
            cx.deadlines.set(set.timer(), at);
        }
    }

    /// A neighbour came: what either lacks is found at once. A set with nothing in it has nothing to tell; the other end
    /// asks if it has. `wanted`: somebody waits for what it has.
    pub(crate) fn compare_with_new(&mut self, cx: &mut Cx<'_>, set: &impl Set, peer: NodeId, wanted: bool) {
        if self.interval_at.is_none() {
            // Spread, so that not everybody who began together compares together.
            let every = Span::from(cx.config.anti_entropy_interval).0.max(1);
            let me = u64::from_le_bytes(*cx.me.0.last_chunk().unwrap_or(&[0; 8]));
            self.interval_at = Some(cx.now.mono + Span((set.tag().0.swap_bytes() ^ me) % every + 1));
        }
        if !set.is_empty(cx) || wanted {
            let wait = if cx.me < peer || wanted { Span::ZERO } else { DEFER };
            self.set_due(peer, cx.now.mono + wait, true);
        }
        self.arm(cx, set);
    }

    /// A neighbour is one no longer.
    pub(crate) fn forget(&mut self, cx: &mut Cx<'_>, set: &impl Set, peer: &NodeId) {
        self.due.remove(peer);
        self.answered.remove(peer);
        self.barren.remove(peer);
        self.asked.retain(|_, a| a.peer != *peer);
        self.divergent.retain(|d| d.peer != *peer);
        self.offered.take_if(|o| o.0 == *peer);
        if self.active.as_ref().is_some_and(|s| s.peer == *peer) {
            self.end_session(cx, set, false);
        }
        self.arm(cx, set);
    }

    /// The set's timer, and after every answer: what is due.
    pub(crate) fn turn(&mut self, cx: &mut Cx<'_>, set: &mut impl Set, sessions: &mut Sessions) {
        let now = cx.now.mono;
        let before = self.asked.len();
        self.asked.retain(|_, a| now.since(a.sent) < ANSWER);
        cx.counters.reconcile_failed += (before - self.asked.len()) as u64;
        if self.active.as_ref().is_some_and(|s| now.since(s.progressed) >= STALL) {
            self.end_session(cx, set, false);
        }
        if self.interval_at.is_some_and(|at| at <= now) {
            self.interval_at = Some(now + Span::from(cx.config.anti_entropy_interval));
            set.peers().into_iter().filter(|p| cx.me < *p).for_each(|p| self.set_due(p, now, false));
        }
        let due: Vec<(NodeId, bool)> = self.due.iter().filter(|(_, d)| d.at <= now).map(|(p, d)| (*p, d.all)).collect();
        for (peer, all) in due {
            self.due.remove(&peer);
            if set.peers().contains(&peer) {
                self.ask(cx, set, sessions.next(), peer, all);
            }
        }
        self.choose(cx, set);
    }

    fn ask(&mut self, cx: &mut Cx<'_>, set: &mut impl Set, session: u32, peer: NodeId, all: bool) {
        set.trim(cx);
        let from = set.horizon();
        let until = set.until(cx, all);
        let span = until.saturating_sub(from);
        let digest = set.digest(cx, from, from + span);
        let young: Vec<Change> = set.young(cx, &peer).into_iter().map(Change::from).collect();
        let young = Some(young).filter(|y| !y.is_empty());
        let compare = Compare { set: set.tag(), session, from, span, sum: digest.sum, count: digest.count, young };
        if cx.send(peer, compare) {
            cx.counters.reconcile_compared += 1;
            self.asked.insert(session, Asked { peer, from, until: from + span, sent: cx.now.mono });
            if let Some(r) = &mut self.round {
                r.contacted.insert(peer);
            }
        }
    }

    /// Turns to the most divergent neighbour, once all have answered or had time to.
    fn choose(&mut self, cx: &mut Cx<'_>, set: &impl Set) {
        let now = cx.now.mono;
        let waits = self.asked.values().any(|a| now.since(a.sent) < COLLECT);
        while self.active.is_none() && !waits && !self.divergent.is_empty() {
            let differ = |d: &Divergent| set.digest(cx, d.from, d.until).count.abs_diff(d.theirs.count);
            let most = (0..self.divergent.len()).max_by_key(|i| (differ(&self.divergent[*i]), std::cmp::Reverse(*i)));
            let Some(most) = most else { return };
            let d = self.divergent.remove(most);
            self.begin_session(cx, set, d);
        }
    }
}
