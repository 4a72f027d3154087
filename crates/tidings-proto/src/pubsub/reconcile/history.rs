//! What programs ask of a topic's log: its history, and that it be compared now.

use std::collections::BTreeSet;

use crate::anti_entropy::ReconciliationStats;
use crate::identity::{NodeId, TopicId};
use crate::io::{Reply, Ticket};
use crate::layer::Cx;
use crate::pubsub::batch::Delivery;
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

/// Questions for history that wait for the neighbours.
#[derive(Debug, Default)]
pub(in crate::pubsub) struct Waiting(Vec<(Ticket, HistoryQuery, Time)>);

impl Waiting {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.0.iter().map(|w| w.2).min()
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.0.is_empty()
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
        t.history.0.push((ticket, query, deadline));
        if !t.sync.compared {
            let now = cx.now.mono;
            let peers: Vec<NodeId> = t.peers.iter().map(|p| p.id).collect();
            peers.into_iter().for_each(|p| t.sync.set_due(p, now, true));
        }
        self.reconcile(cx, id);
    }

    /// Answers what has waited long enough, or for long enough that the neighbours have been asked.
    pub(super) fn answer_history(&mut self, cx: &mut Cx<'_>, id: TopicId) {
        let Some(t) = self.topics.get_mut(&id) else { return };
        let ready = t.sync.compared && t.sync.is_settled();
        let now = cx.now.mono;
        let (answer, wait): (Vec<_>, Vec<_>) =
            std::mem::take(&mut t.history.0).into_iter().partition(|w| ready || w.2 <= now);
        t.history.0 = wait;
        if answer.is_empty() {
            return;
        }
        // What is about to be delivered comes by itself.
        let pending = self.persist.pending(&id);
        let Some(t) = self.topics.get(&id) else { return };
        for (ticket, query, _) in answer {
            cx.reply(ticket, Reply::History(t.select(cx.me, &query, &pending)));
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
        for (ticket, ..) in std::mem::take(&mut t.history.0) {
            cx.reply(ticket, Reply::History(Vec::new()));
        }
        for ticket in t.sync.take_round().into_iter().flat_map(|r| r.tickets) {
            cx.reply(ticket, Reply::Reconciled(ReconciliationStats::default()));
        }
    }
}

impl Topic {
    /// What the log holds of a query, in the order of the authors' clocks. What waits behind a gap is not there yet.
    fn select(&self, me: NodeId, query: &HistoryQuery, pending: &BTreeSet<(NodeId, u64, u64)>) -> Vec<Delivery> {
        let (mut found, mut messages) = (Vec::new(), 0usize);
        for e in self.log.between(query.since.map_or(0, |s| s.0), u64::MAX).rev() {
            if query.last.is_some_and(|most| messages >= most) {
                break;
            }
            let h = e.batch.header();
            let place = (h.author, h.epoch, h.first_seq);
            if pending.contains(&place) || self.authors.get(&h.author).is_some_and(|a| a.holds_back(h)) {
                continue;
            }
            messages += h.payloads.len();
            found.push(Delivery::history(e.batch.clone(), h.author == me, e.hop));
        }
        found.reverse();
        found
    }
}
