//! What is missing: announced batches that did not come, and numbers left out in an author's stream.

use std::collections::{BTreeMap, BTreeSet};

use super::author::{Author, Gap};
use super::plumtree::serve;
use super::{PubSub, Timer, Topic};
use crate::identity::{NodeId, TopicId};
use crate::layer::{Cx, TimerKey};
use crate::time::{Span, Time};
use crate::wire::{Fetch, Graft, MAX_RANGES, ShortId};

/// Announced batches waited for at once, per topic; more are taken up when announced again.
pub(super) const MAX_MISSING: usize = 8_192;
/// Announcers remembered per missing batch.
const MAX_ANNOUNCERS: usize = 8;
/// Requests for one batch before it is given up (the numbers then show what is missing), and the time between them.
const TRIES: usize = 8;
const AGAIN: Span = Span::from_millis(500);
/// When a batch had to be asked for within this long, and the tree has not brought it since, the next is asked for
/// together with the link: the tree is broken. One link at a time, for the first may do (both are guesses).
const BROKEN: Span = Span::from_secs(5);
const GRAFT_EVERY: Span = Span::from_millis(500);
/// Batches asked for in one graft, so that the answer fits a lane.
const ASK_AT_ONCE: usize = 32;
/// Batches served for one fetch.
const SERVE: usize = 64;
/// How long a gap from before this start is waited for: neighbours either still have it or never will.
const RESUMED_WAIT: Span = Span::from_secs(1);
/// How long the first batch seen of an author waits for those before it: the longest patience for the tree, and a
/// request or two. Beyond, the order is given up rather than a newcomer kept waiting (a guess).
const BEGINNING_WAIT: Span = Span::from_secs(3);
/// Time between requests for the same range.
const FETCH_AGAIN: Span = Span::from_millis(700);

/// Who announced a missing batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcer {
    pub(super) peer: NodeId,
    /// When it had the batch.
    pub(super) there: Time,
    /// When we heard so.
    pub(super) heard: Time,
}

#[derive(Debug)]
struct Missing {
    announcers: Vec<Announcer>,
    tries: usize,
    at: Time,
}

/// The announced batches a topic waits for.
#[derive(Debug, Default)]
pub(super) struct Repair {
    missing: BTreeMap<ShortId, Missing>,
    due: BTreeSet<(Time, ShortId)>,
}

impl Repair {
    /// A batch we do not have was announced.
    pub(super) fn announced(&mut self, cx: &mut Cx<'_>, peer: NodeId, id: ShortId, there: Time, patience: Span) {
        let heard = cx.now.mono;
        let announcer = Announcer { peer, there, heard };
        if let Some(m) = self.missing.get_mut(&id) {
            if m.announcers.len() < MAX_ANNOUNCERS && m.announcers.iter().all(|a| a.peer != peer) {
                m.announcers.push(announcer);
            }
            return;
        }
        if self.missing.len() >= MAX_MISSING {
            cx.counters.ihaves_shed += 1;
            return;
        }
        let at = heard + patience;
        self.missing.insert(id, Missing { announcers: vec![announcer], tries: 0, at });
        self.due.insert((at, id));
    }

    /// The batch is here.
    pub(super) fn arrived(&mut self, id: &ShortId) -> Vec<Announcer> {
        let Some(m) = self.missing.remove(id) else { return Vec::new() };
        self.due.remove(&(m.at, *id));
        m.announcers
    }

    pub(super) fn forget(&mut self, peer: &NodeId) {
        for m in self.missing.values_mut() {
            m.announcers.retain(|a| a.peer != *peer);
        }
    }

    fn next(&self) -> Option<Time> {
        self.due.first().map(|d| d.0)
    }

    /// What to ask of whom now.
    fn take_due(&mut self, now: Time) -> BTreeMap<NodeId, Vec<ShortId>> {
        let mut asks: BTreeMap<NodeId, Vec<ShortId>> = BTreeMap::new();
        while let Some((at, id)) = self.due.first().copied().filter(|d| d.0 <= now) {
            self.due.remove(&(at, id));
            let Some(m) = self.missing.get_mut(&id) else { continue };
            let turn = m.tries;
            m.tries += 1;
            if m.announcers.is_empty() || turn >= TRIES {
                self.missing.remove(&id);
                continue;
            }
            let peer = m.announcers[turn % m.announcers.len()].peer;
            m.at = now + AGAIN;
            self.due.insert((m.at, id));
            asks.entry(peer).or_default().push(id);
        }
        asks
    }
}

/// Batches and bytes that may wait behind all gaps of a topic (a guess: four authors' full share of the count, two
/// of the bytes). More, and the gap that would be given up next anyway is given up at once: "oldest first".
pub(super) const WAITING: usize = 4_096;
pub(super) const WAITING_BYTES: usize = 32 << 20;

/// What waits behind all gaps of a topic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waits {
    batches: usize,
    bytes: usize,
}

impl Waits {
    /// One author's batches and bytes were so many, and are so many now.
    pub(super) fn change(&mut self, before: (usize, usize), after: (usize, usize)) {
        self.batches = (self.batches + after.0).saturating_sub(before.0);
        self.bytes = (self.bytes + after.1).saturating_sub(before.1);
    }

    pub(super) fn overflows(&self) -> bool {
        self.batches > WAITING || self.bytes > WAITING_BYTES
    }
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// Numbers between two batches.
    Numbers,
    /// Numbers between what was delivered before this start and the first batch since.
    Resumed,
    /// What came before the first batch seen.
    Beginning,
}

/// A gap was found just now.
pub(super) fn new_gap(cx: &Cx<'_>, patience: Span, lack: Lack) -> Gap {
    let (most, ask) = match lack {
        Lack::Numbers => (Span(u64::MAX), patience),
        Lack::Resumed => (RESUMED_WAIT, Span::ZERO),
        Lack::Beginning => (BEGINNING_WAIT, patience),
    };
    let wait = cx.config.gap_wait_span().min(most);
    Gap { deadline: cx.now.mono + wait, ask_at: cx.now.mono + ask, asked: 0 }
}

impl Topic {
    pub(super) fn arm_repair(&self, cx: &mut Cx<'_>) {
        if let Some(at) = self.repair.next() {
            cx.deadlines.set_no_later(TimerKey::PubSub(Timer::Repair(self.id)), at);
        }
    }
}

impl PubSub {
    /// Asks for announced batches that did not come. One batch may just be late; when one had to be asked for before,
    /// the tree is broken, and the request also takes the link into it.
    pub(super) fn repair(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let Some(t) = self.topics.get_mut(&topic) else { return };
        let now = cx.now.mono;
        for (peer, ids) in t.repair.take_due(now) {
            let broken = t.pulled.is_some_and(|at| now.since(at) < BROKEN) && now.since(t.mended) >= GRAFT_EVERY;
            let Some(p) = t.peer(&peer) else { continue };
            let eager = p.eager || broken;
            if eager {
                p.graft();
            }
            if broken {
                t.mended = now;
            }
            for part in ids.chunks(ASK_AT_ONCE) {
                cx.counters.grafts_sent += 1;
                cx.send(peer, Graft { topic, ids: part.to_vec(), eager });
            }
        }
        t.arm_repair(cx);
    }

    /// Asks for missing numbers, and reports those that were waited for long enough.
    pub(super) fn look_at_gaps(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let Some(t) = self.topics.get_mut(&topic) else { return };
        let now = cx.now.mono;
        let waiting: Vec<NodeId> = t.authors.iter().filter(|(_, a)| a.is_waiting()).map(|(id, _)| *id).collect();
        let mut next: Option<Time> = None;
        let mut over = Vec::new();
        let fetching = t.sync.is_fetching();
        for id in waiting {
            let Some(a) = t.authors.get_mut(&id) else { continue };
            let Some(gap) = &mut a.gap else { continue };
            if gap.deadline <= now {
                over.push(id);
                continue;
            }
            if gap.ask_at <= now {
                gap.ask_at = now + FETCH_AGAIN;
                if fetching {
                    // What is missing is most likely on its way already.
                    let at = gap.ask_at.min(gap.deadline);
                    next = Some(next.map_or(at, |n| n.min(at)));
                    continue;
                }
                let turn = gap.asked;
                gap.asked += 1;
                let mut ranges = a.missing(id);
                ranges.truncate(MAX_RANGES);
                // Two neighbours at a time, others each time, those the batches come from first.
                t.peers.sort_by_key(|p| (std::cmp::Reverse(p.brought), p.id));
                let n = t.peers.len().max(1);
                for i in 0..n.min(2) {
                    let Some(p) = t.peers.get((turn * 2 + i) % n) else { break };
                    cx.counters.fetches_sent += 1;
                    cx.send(p.id, Fetch { topic, ranges: ranges.clone() });
                }
            }
            if let Some(g) = &t.authors.get(&id).and_then(|a| a.gap) {
                let at = g.deadline.min(g.ask_at);
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        for id in over {
            if let Some(at) = self.give_up(cx, topic, id) {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        if let Some(at) = next {
            cx.deadlines.set(TimerKey::PubSub(Timer::Gap(topic)), at);
        }
    }

    /// Gives an author's gap up. Returns when to ask for what is missing behind it, if there is another.
    fn give_up(&mut self, cx: &mut Cx<'_>, topic: TopicId, id: NodeId) -> Option<Time> {
        let t = self.topics.get_mut(&topic)?;
        let a = t.authors.get_mut(&id)?;
        let mut ready = Vec::new();
        let before = a.waits();
        let missed = a.give_up(id, &mut ready);
        t.waiting.change(before, a.waits());
        let mut next = None;
        if a.is_waiting() {
            let gap = new_gap(cx, t.patience.wait(), Lack::Numbers);
            a.gap = Some(gap);
            next = Some(gap.ask_at.min(gap.deadline));
        }
        self.hand_over(cx, topic, id, missed, ready);
        next
    }

    /// Too much waits on a topic: gives up the gap whose time would come first.
    pub(super) fn hurry_oldest_gap(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let Some(t) = self.topics.get_mut(&topic) else { return };
        let due = |a: &Author| a.gap.map_or(Time::default(), |g| g.deadline);
        let oldest = t.authors.iter().filter(|(_, a)| a.is_waiting()).min_by_key(|(id, a)| (due(a), **id));
        let Some(id) = oldest.map(|(id, _)| *id) else {
            t.waiting = Waits::default();
            return;
        };
        cx.counters.gaps_hurried += 1;
        if let Some(at) = self.give_up(cx, topic, id) {
            cx.deadlines.set_no_later(TimerKey::PubSub(Timer::Gap(topic)), at);
        }
    }

    pub(super) fn on_fetch(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Fetch) {
        let Some(t) = self.topics.get_mut(&m.topic).filter(|t| t.peers.iter().any(|p| p.id == from)) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let mut left = SERVE;
        for r in &m.ranges {
            if left == 0 {
                return;
            }
            let found = t.log.range(r, left);
            if found.is_empty() {
                cx.counters.log_misses += 1;
            }
            left -= found.len();
            for e in found {
                if !serve(cx, from, &e.batch, e.hop) {
                    return;
                }
            }
        }
    }
}
