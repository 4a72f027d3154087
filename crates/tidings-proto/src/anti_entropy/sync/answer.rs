//! Answering neighbours that compare, and what their answers lead to.

use super::fetch::Session;
use super::{Divergent, LIMIT, SOON, Serve, Set, Sync};
use crate::anti_entropy::{Digest, riblt};
use crate::identity::NodeId;
use crate::layer::Cx;
use crate::wire::{
    AskSymbols, Compare, Differ, Lane, Message, Offer, Pull, Ranges, Same, ShortId, Symbols, WantItems, Wanted,
};

/// Symbols served for each item, and at least: what a decoder with the same number of items may take.
const SYMBOLS_PER_ITEM: usize = 4;
const SYMBOLS_LEAST: usize = 4_096;

impl Sync {
    pub(crate) fn on_compare(&mut self, cx: &mut Cx<'_>, set: &mut impl Set, from: NodeId, m: &Compare) {
        if !self.may_answer(cx, from) {
            return;
        }
        set.trim(cx);
        let shared = m.from.max(set.horizon());
        let until = m.from.saturating_add(m.span);
        let (mine, theirs) = (set.digest(cx, shared, until), Digest { sum: m.sum, count: m.count });
        let told: Vec<Digest> = m.young.iter().flatten().map(|c| Digest::from(*c)).collect();
        // It asks, so we need not.
        self.due.remove(&from);
        if shared == m.from && (mine == theirs || set.is_on_its_way(cx, &from, theirs, &told)) {
            self.compared = true;
            cx.send(from, Same { session: m.session });
            return self.arm(cx, set);
        }
        let streams = set.streams(cx, shared, until).len() as u64;
        cx.send(from, Differ { session: m.session, from: shared, sum: mine.sum, count: mine.count, streams });
        self.arm(cx, set);
    }

    /// Whether this neighbour was asked under this number.
    pub(crate) fn has_asked(&self, from: &NodeId, session: u32) -> bool {
        self.asked.get(&session).is_some_and(|a| a.peer == *from)
    }

    pub(crate) fn on_same(&mut self, cx: &mut Cx<'_>, set: &impl Set, m: &Same) {
        self.asked.remove(&m.session);
        self.compared = true;
        go_on(cx, set);
    }

    pub(crate) fn on_differ(&mut self, cx: &mut Cx<'_>, set: &impl Set, from: NodeId, m: &Differ) {
        let Some(a) = self.asked.remove(&m.session) else { return };
        let shared = m.from.clamp(a.from, a.until);
        let theirs = Digest { sum: m.sum, count: m.count };
        if set.digest(cx, shared, a.until) == theirs || set.is_on_its_way(cx, &from, theirs, &[]) {
            self.compared = true;
        } else {
            let (session, until, streams) = (m.session, a.until, m.streams);
            self.divergent.retain(|d| d.peer != from);
            self.divergent.push(Divergent { peer: from, session, from: shared, until, theirs, streams });
        }
        go_on(cx, set);
    }

    pub(crate) fn on_ranges(&mut self, cx: &mut Cx<'_>, set: &impl Set, from: NodeId, m: &Ranges) -> Option<Serve> {
        if !self.may_answer(cx, from) {
            return None;
        }
        let missing = set.missing(cx, m);
        if !missing.is_empty() && self.may_fetch(cx, &from) {
            self.fetch(cx, set, from, m.session, missing);
        } else if !missing.is_empty() {
            self.set_due(from, cx.now.mono + SOON, false);
        }
        self.arm(cx, set);
        Some((m.session, set.lacking(cx, m)))
    }

    pub(crate) fn on_pull(&mut self, cx: &mut Cx<'_>, set: &impl Set, from: NodeId, m: &Pull) -> Serve {
        if m.ranges.is_empty() {
            let offered = self.offered.take_if(|o| o.0 == from && o.1 == m.session);
            return (m.session, offered.map(|o| o.2).unwrap_or_default());
        }
        let found = m.ranges.iter().flat_map(|w| set.wanted(cx, w)).collect();
        (m.session, in_order(found))
    }

    pub(crate) fn on_ask_symbols(&mut self, cx: &mut Cx<'_>, set: &mut impl Set, from: NodeId, m: &AskSymbols) {
        if m.first == 0 && !self.may_answer(cx, from) {
            return;
        }
        let (first, count) = (m.first as usize, m.count as usize);
        if first + count > set.len(cx) * SYMBOLS_PER_ITEM + SYMBOLS_LEAST {
            cx.counters.reconcile_limited += 1;
            return;
        }
        let s = set.symbols(cx, m.from.max(set.horizon()), m.as_of, (first, count));
        let (set, session, first) = (m.set, m.session, m.first);
        let (answer, payload) = match s {
            Some(s) => {
                let payload = riblt::encode(&s.symbols, first as usize, s.items);
                (Symbols { set, session, key: s.key, items: s.items, as_of: s.as_of, first }, payload)
            }
            None => (Symbols { set, session, key: 0, items: 0, as_of: 0, first }, Vec::new()),
        };
        let frame = Message::from(answer).frame_with(payload.into());
        if !cx.send_frame(from, Lane::Bulk, frame) {
            cx.counters.reconcile_failed += 1;
        }
    }

    pub(crate) fn on_want_items(&self, cx: &mut Cx<'_>, set: &impl Set, m: &WantItems) -> Serve {
        let mut found = Vec::new();
        for item in &m.items {
            let here = set.item(cx, m.key, *item);
            cx.counters.log_misses += u64::from(here.is_none());
            found.extend(here);
        }
        (m.session, in_order(found))
    }

    pub(crate) fn on_offer(&mut self, cx: &mut Cx<'_>, set: &impl Set, from: NodeId, m: &Offer) {
        if self.may_fetch(cx, &from) {
            self.fetch(cx, set, from, m.session, Vec::new());
        } else {
            self.set_due(from, cx.now.mono + SOON.max(LIMIT), false);
        }
        self.arm(cx, set);
    }

    /// The neighbour that asked has what we lack.
    fn fetch(&mut self, cx: &mut Cx<'_>, set: &impl Set, from: NodeId, session: u32, ranges: Vec<Wanted>) {
        if cx.send_counted(from, Pull { set: set.tag(), session, ranges }).is_some() {
            cx.counters.reconcile_sessions += 1;
            self.active = Some(Session::wanting(from, session, cx.now.mono));
        }
    }
}

/// Something was answered: what follows is decided when this turn's inputs are in.
fn go_on(cx: &mut Cx<'_>, set: &impl Set) {
    cx.deadlines.set(set.timer(), cx.now.mono);
}

fn in_order(mut found: Vec<(u64, ShortId)>) -> Vec<ShortId> {
    found.sort();
    found.dedup();
    found.into_iter().map(|(_, id)| id).collect()
}
