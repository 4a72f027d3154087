//! What programs ask of a topic's log: its history, and that it be compared now.
//!
//! History is what memory holds, after the neighbours were asked, and what the durable log holds besides. That is read
//! page by page for one question of a topic at a time, and what of it is in memory is not verified again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::anti_entropy::ReconciliationStats;
use crate::identity::{NodeId, TopicId};
use crate::io::{Reply, Ticket};
use crate::layer::Cx;
use crate::log::{LogPage, LogQuery};
use crate::pubsub::batch::{Batch, Delivery};
use crate::pubsub::{PubSub, Topic};
use crate::time::{Span, Time, UnixMillis};

/// How long an answer waits for the neighbours' part of the history (a guess: finding them and fetching some thousand
/// messages); what comes later is delivered as it comes.
const PATIENCE: Span = Span::from_secs(3);

/// Which part of a topic's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Signed since then by its authors' clocks; everything there is if absent.
    pub since: Option<UnixMillis>,
    /// So many messages at most, the latest; all if absent.
    pub last: Option<usize>,
}

/// What of the durable log a question has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Unread,
    Reading,
    Read,
}

/// A question for history.
#[derive(Debug)]
struct Wait {
    ticket: Ticket,
    query: HistoryQuery,
    /// The neighbours are waited for no longer than this; nobody is if absent.
    neighbors: Option<Time>,
    disk: Disk,
    /// What only the durable log holds.
    found: Vec<Arc<Batch>>,
}

/// Questions for history that are not answered yet.
#[derive(Debug, Default)]
pub(in crate::pubsub) struct Waiting(Vec<Wait>);

impl Waiting {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.0.iter().filter_map(|w| w.neighbors).min()
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.0.is_empty()
    }

    /// The next question the durable log is to be read for, and what to read.
    fn next_read(&mut self) -> Option<(Ticket, LogQuery)> {
        if self.0.iter().any(|w| w.disk == Disk::Reading) {
            return None;
        }
        let next = self.0.iter_mut().find(|w| w.disk == Disk::Unread)?;
        next.disk = Disk::Reading;
        let HistoryQuery { since, last } = next.query;
        let since = since.unwrap_or(UnixMillis(0));
        Some((next.ticket, LogQuery { since, last: last.map(|n| n as u64), ..LogQuery::default() }))
    }
}

impl PubSub {
    /// The program wants a topic's history.
    pub(in crate::pubsub) fn history(&mut self, cx: &mut Cx<'_>, ticket: Ticket, id: TopicId, query: HistoryQuery) {
        let deadline = cx.now.mono + PATIENCE;
        let oldest = cx.now.wall.0.saturating_sub(u64::try_from(cx.config.history_max_age.as_millis()).unwrap_or(0));
        let Some(t) = self.topics.get_mut(&id) else {
            return cx.reply(ticket, Reply::History(Vec::new()));
        };
        let from = query.since.map_or(oldest, |s| s.0.max(oldest));
        let before = t.log.horizon();
        t.log.lower(cx.config, cx.now, from);
        if t.log.horizon() < before {
            t.sync.compared = false;
        }
        t.history.0.push(Wait { ticket, query, neighbors: Some(deadline), disk: Disk::Unread, found: Vec::new() });
        if !t.sync.compared {
            let now = cx.now.mono;
            let peers: Vec<NodeId> = t.peers.iter().map(|p| p.id).collect();
            peers.into_iter().for_each(|p| t.sync.set_due(p, now, true));
        }
        self.read_history(cx, id);
        self.reconcile(cx, id);
    }

    /// Reads the durable log for the next question.
    fn read_history(&mut self, cx: &mut Cx<'_>, id: TopicId) {
        let Some(t) = self.topics.get_mut(&id) else { return };
        if let Some((ticket, query)) = t.history.next_read() {
            self.durable.read_history(cx, id, ticket, query);
        }
    }

    /// A part of the durable log, for a question. More is asked for if there is more, and it may still be wanted.
    pub(in crate::pubsub) fn on_history_read(
        &mut self,
        cx: &mut Cx<'_>,
        id: TopicId,
        ticket: Ticket,
        query: LogQuery,
        page: LogPage,
    ) {
        let Some(t) = self.topics.get_mut(&id) else { return };
        let Some(at) = t.history.0.iter().position(|w| w.ticket == ticket) else { return };
        for record in page.records {
            if let Some(batch) = self.key.0.restored(t, cx, record.bytes) {
                cx.counters.batches_restored += 1;
                t.history.0[at].found.push(batch);
            }
        }
        if let Some(after) = page.next {
            return self.durable.read_history(cx, id, ticket, LogQuery { after: Some(after), ..query });
        }
        t.history.0[at].disk = Disk::Read;
        self.read_history(cx, id);
        self.reconcile(cx, id);
    }

    /// Answers what has waited long enough, or for long enough that the neighbours have been asked.
    pub(super) fn answer_history(&mut self, cx: &mut Cx<'_>, id: TopicId) {
        let Some(t) = self.topics.get_mut(&id) else { return };
        let ready = t.sync.compared && t.sync.is_settled();
        let now = cx.now.mono;
        for w in &mut t.history.0 {
            w.neighbors.take_if(|at| ready || *at <= now);
        }
        let done = |w: &mut Wait| w.neighbors.is_none() && w.disk == Disk::Read;
        let answer: Vec<Wait> = t.history.0.extract_if(.., done).collect();
        if answer.is_empty() {
            return;
        }
        // What is about to be delivered comes by itself.
        let pending = self.persist.pending(&id);
        let Some(t) = self.topics.get(&id) else { return };
        for w in answer {
            let found = t.select(cx.me, &w.query, &w.found, &pending);
            let found = found.into_iter().filter_map(|d| self.secrets.open(cx, d)).collect();
            cx.reply(w.ticket, Reply::History(found));
        }
    }

    /// Compares with all neighbours now, and answers when that is done.
    pub(in crate::pubsub) fn reconcile_now(&mut self, cx: &mut Cx<'_>, ticket: Ticket, id: TopicId) {
        let Some(t) = self.topics.get_mut(&id) else {
            return cx.reply(ticket, Reply::Reconciled(ReconciliationStats::default()));
        };
        t.sync.begin_round(ticket);
        let now = cx.now.mono;
        let peers: Vec<NodeId> = t.peers.iter().map(|p| p.id).collect();
        peers.into_iter().for_each(|p| t.sync.set_due(p, now, true));
        self.reconcile(cx, id);
    }

    pub(super) fn finish_round(&mut self, cx: &mut Cx<'_>, id: TopicId) {
        let Some(t) = self.topics.get_mut(&id) else { return };
        let Some(r) = t.sync.take_finished(cx.now.mono) else { return };
        let stats = r.stats();
        for ticket in r.tickets {
            cx.reply(ticket, Reply::Reconciled(stats));
        }
    }

    /// The topic is left: nobody is kept waiting.
    pub(in crate::pubsub) fn refuse_history(cx: &mut Cx<'_>, t: &mut Topic) {
        for w in std::mem::take(&mut t.history.0) {
            cx.reply(w.ticket, Reply::History(Vec::new()));
        }
        for ticket in t.sync.take_round().into_iter().flat_map(|r| r.tickets) {
            cx.reply(ticket, Reply::Reconciled(ReconciliationStats::default()));
        }
    }
}

impl Topic {
    /// What memory and `stored`, of the durable log, hold of a query, in the order of the authors' clocks. What waits
    /// behind a gap is not there yet.
    fn select(
        &self,
        me: NodeId,
        query: &HistoryQuery,
        stored: &[Arc<Batch>],
        pending: &BTreeSet<(NodeId, u64, u64)>,
    ) -> Vec<Delivery> {
        let since = query.since.map_or(0, |s| s.0);
        let (mut all, mut seen) = (BTreeMap::new(), BTreeSet::new());
        let stored = stored.iter().map(|b| (b, 0));
        for (batch, hop) in stored.chain(self.log.between(since, u64::MAX).map(|e| (&e.batch, e.hop))) {
            let h = batch.header();
            let place = (h.author, h.epoch, h.first_seq);
            if pending.contains(&place) || self.authors.get(&h.author).is_some_and(|a| a.holds_back(h)) {
                continue;
            }
            if seen.insert(place) {
                all.insert((h.wall_ms, seen.len()), (batch, hop));
            }
        }
        let (mut found, mut messages) = (Vec::new(), 0usize);
        for (batch, hop) in all.into_values().rev() {
            if query.last.is_some_and(|most| messages >= most) {
                break;
            }
            let h = batch.header();
            messages += h.payloads.len();
            found.push(Delivery::history(batch.clone(), h.author == me, hop));
        }
        found.reverse();
        found
    }
}
