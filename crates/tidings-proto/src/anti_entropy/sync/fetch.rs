//! A session: fetching from one neighbour what it has and we lack.

use super::{BARREN, Divergent, SOON, Set, Sync};
use crate::anti_entropy::session::{Decoding, Way, first};
use crate::anti_entropy::{MAX_ITEMS, riblt};
use crate::identity::NodeId;
use crate::layer::Cx;
use crate::time::Time;
use crate::wire::{AskSymbols, Offer, Ranges, Served, ShortId, Symbols, WantItems};

#[derive(Debug)]
enum Stage {
    /// Symbols were asked for.
    Decoding(Option<Box<(Decoding, u64)>>),
    /// What we lack is on its way.
    Receiving,
}

/// Fetching from one neighbour.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: NodeId,
    pub(super) id: u32,
    /// What was found to differ; none if the neighbour asked and we saw that we lack something too.
    about: Option<Divergent>,
    stage: Stage,
    pub(super) progressed: Time,
    /// Items and messages that came, and bytes both ways.
    items: u64,
    messages: u64,
    bytes: u64,
    /// The latest that any of them was signed.
    latest: u64,
}

impl Session {
    /// What a neighbour has was asked of it.
    pub(super) fn wanting(peer: NodeId, id: u32, now: Time) -> Session {
        let stage = Stage::Receiving;
        Session { peer, id, about: None, stage, progressed: now, items: 0, messages: 0, bytes: 0, latest: 0 }
    }
}

impl Sync {
    /// Whether this session with this neighbour is under way.
    fn session(&mut self, peer: NodeId, id: u32) -> Option<&mut Session> {
        self.active.as_mut().filter(|s| s.peer == peer && s.id == id)
    }

    pub(super) fn begin_session(&mut self, cx: &mut Cx<'_>, set: &impl Set, d: Divergent) {
        // Another neighbour may have brought it meanwhile, and more.
        if set.digest(cx, d.from, d.until) == d.theirs || set.is_on_its_way(cx, &d.peer, d.theirs, &[]) {
            return;
        }
        let id = d.session;
        self.active = Some(Session { about: Some(d), ..Session::wanting(d.peer, id, cx.now.mono) });
        cx.counters.reconcile_sessions += 1;
        if let Some(r) = &mut self.round {
            r.stats.rounds += 1;
        }
        self.find_difference(cx, set, d, false);
    }

    fn find_difference(&mut self, cx: &mut Cx<'_>, set: &impl Set, d: Divergent, failed: bool) {
        let (tag, session) = (set.tag(), d.session);
        let mine = set.digest(cx, d.from, d.until);
        let (stage, sent) = match set.way(cx, d.from, mine, d.theirs, d.streams, failed) {
            Way::Streams => {
                let (span, streams) = (d.until.saturating_sub(d.from), set.streams(cx, d.from, u64::MAX));
                let m = Ranges { set: tag, session, from: d.from, span, streams };
                (Stage::Receiving, cx.send_counted(d.peer, m))
            }
            Way::Symbols => {
                let count = first(mine, d.theirs) as u32;
                let m = AskSymbols { set: tag, session, from: d.from, first: 0, count, as_of: None };
                (Stage::Decoding(None), cx.send_counted(d.peer, m))
            }
            Way::Neither => return self.end_session(cx, set, false),
        };
        let Some(bytes) = sent else { return self.end_session(cx, set, false) };
        if let Some(s) = &mut self.active {
            s.stage = stage;
            s.bytes += bytes;
        }
    }

    /// The neighbour's symbols.
    pub(crate) fn on_symbols(&mut self, cx: &mut Cx<'_>, set: &impl Set, from: NodeId, m: &Symbols, payload: &[u8]) {
        let tag = set.tag();
        let Some(s) = self.active.as_mut().filter(|s| s.peer == from && s.id == m.session) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let (Some(d), Stage::Decoding(decoding)) = (s.about, &mut s.stage) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        s.progressed = cx.now.mono;
        s.bytes += payload.len() as u64;
        let (decoding, as_of) = &mut **decoding
            .get_or_insert_with(|| Box::new((Decoding::new(m.key, m.items, set.ids(cx, d.from)), m.as_of)));
        let fits = m.key == decoding.key() && m.as_of == *as_of && m.first as usize == decoding.taken();
        let symbols = riblt::decode(payload, m.first as usize, m.items, crate::anti_entropy::MAX_SYMBOLS);
        let taken = match symbols {
            Ok(symbols) if fits && !symbols.is_empty() => decoding.take(&symbols),
            _ => Err(riblt::RibltError::Malformed),
        };
        match taken {
            Ok(None) => {
                let (first, count) = (decoding.taken() as u32, decoding.next() as u32);
                let ask = AskSymbols { set: tag, session: m.session, from: d.from, first, count, as_of: Some(*as_of) };
                match cx.send_counted(from, ask) {
                    Some(bytes) => s.bytes += bytes,
                    None => self.end_session(cx, set, false),
                }
            }
            Ok(Some(found)) => {
                let ours: Vec<ShortId> = found.ours.iter().filter_map(|i| decoding.id(*i)).collect();
                cx.counters.reconcile_symbols += decoding.taken() as u64;
                s.stage = Stage::Receiving;
                if !ours.is_empty() {
                    let offer = Offer { set: tag, session: m.session, count: ours.len() as u64 };
                    s.bytes += cx.send_counted(from, offer).unwrap_or_default();
                    self.offered = Some((from, m.session, ours));
                }
                if found.theirs.is_empty() {
                    return self.end_session(cx, set, true);
                }
                // What does not fit one message is found again when this much is here.
                let more = found.theirs.len() > MAX_ITEMS;
                let items = found.theirs.into_iter().take(MAX_ITEMS).collect();
                let want = WantItems { set: tag, session: m.session, key: m.key, items };
                if cx.send_counted(from, want).is_none() {
                    return self.end_session(cx, set, false);
                }
                if more {
                    self.set_due(from, cx.now.mono + SOON, false);
                }
            }
            Err(_) => {
                cx.counters.reconcile_undecoded += 1;
                self.find_difference(cx, set, d, true);
            }
        }
    }

    /// Something came, news or not.
    pub(crate) fn heard(&mut self, cx: &Cx<'_>, from: NodeId, bytes: usize) {
        let Some(s) = self.active.as_mut().filter(|s| s.peer == from) else { return };
        s.progressed = cx.now.mono;
        s.bytes += bytes as u64;
    }

    /// An item was fetched that was not here.
    pub(crate) fn fetched(&mut self, cx: &Cx<'_>, from: NodeId, time: u64, messages: u64, bytes: usize) {
        self.heard(cx, from, bytes);
        let Some(s) = self.active.as_mut().filter(|s| s.peer == from) else { return };
        s.items += 1;
        s.messages += messages;
        s.latest = s.latest.max(time);
    }

    pub(crate) fn on_served(&mut self, cx: &mut Cx<'_>, set: &impl Set, from: NodeId, m: &Served) {
        if self.session(from, m.session).is_none() {
            return;
        }
        if m.more {
            self.set_due(from, cx.now.mono, false);
        }
        self.end_session(cx, set, true);
    }

    /// The session is over. What it brought may be missing behind us as well.
    pub(super) fn end_session(&mut self, cx: &mut Cx<'_>, set: &impl Set, well: bool) {
        let Some(s) = self.active.take() else { return };
        cx.counters.reconcile_failed += u64::from(!well);
        if let Some(r) = &mut self.round {
            r.stats.messages_recovered += s.messages;
            r.stats.bytes += s.bytes;
        }
        self.compared |= well;
        if s.about.is_none() && s.items == 0 {
            self.barren.insert(s.peer, cx.now.mono + BARREN);
        }
        if s.items > 0 {
            // Late enough that it no longer counts as on its way.
            let at = cx.now.mono + SOON.max(set.settles(cx, s.latest));
            set.peers().into_iter().filter(|p| *p != s.peer).for_each(|p| self.set_due(p, at, false));
        }
        cx.deadlines.set(set.timer(), cx.now.mono);
    }
}
