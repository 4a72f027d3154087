//! The sender: which way, and what if nothing comes back.

use crate::io::Overlay;
use crate::layer::{Cx, Signal, TimerKey};
use crate::links::Claim;
use crate::time::{Span, Time};
use crate::wire::{Credits, Envelope, Lane, LinkRefusal, Message, PassageId, RelayAck};

use super::course::{Course, GIVE_UP, OPEN, Passage, Path, Pending, TRIES, Why};
use super::{Conveyed, Kind, Routing, Timer, Up, envelope};
use crate::identity::NodeId;

/// Nodes that something is sent to through relays at once; the one idle longest goes.
pub(super) const MAX_COURSES: usize = 256;
/// Bytes on their way to one node, and in all.
const MAX_BYTES_COURSE: usize = 1 << 20;
const MAX_BYTES: usize = 16 << 20;
/// What all of it takes.
pub(super) const BYTES: usize = MAX_BYTES * 2 + MAX_COURSES * 16_384;
/// One of the warm ways is exchanged for another so often, while there is traffic: so better ones are met (a guess).
const ROTATE: Span = Span::from_secs(10);
/// A course that nothing goes by is given up.
const IDLE: Span = Span::from_secs(30);

pub(super) const CLAIM: Claim = Claim { layer: 101, overlay: Overlay::Root };

impl Routing {
    /// Takes something to convey.
    pub(super) fn convey(&mut self, cx: &mut Cx<'_>, c: Conveyed) {
        let now = cx.now.mono;
        let inner = envelope::join(&c.frames);
        if self.left || inner.len() > envelope::MAX_INNER {
            cx.counters.envelopes_unsent += 1;
            return;
        }
        if let Kind::Answer(via) = &c.kind {
            return self.answer(cx, c.to, via.clone(), inner);
        }
        self.make_room(cx, &c.to);
        if c.kind == Kind::Fresh {
            self.drop_pending(&c.to, |p| !p.circuit);
        }
        let all: usize = self.courses.values().map(|c| c.bytes).sum();
        let course = self.courses.entry(c.to).or_insert_with(|| Course::new(now));
        if course.bytes + inner.len() > MAX_BYTES_COURSE || all + inner.len() > MAX_BYTES {
            cx.counters.envelopes_unsent += 1;
            if c.kind == Kind::Circuit {
                self.up.push(Up::Lost { to: c.to });
            }
            return;
        }
        if c.kind != Kind::Check {
            course.follows(now);
        }
        course.bytes += inner.len();
        course.pending.push_back(Pending {
            bytes: inner.len() as u32,
            inner,
            messages: c.messages,
            last: c.last,
            any: c.kind == Kind::Check,
            circuit: c.kind == Kind::Circuit,
            now: None,
            past: Vec::new(),
            suspects: Vec::new(),
            since: now,
        });
        self.dispatch(cx, c.to);
    }

    fn make_room(&mut self, cx: &mut Cx<'_>, to: &NodeId) {
        if self.courses.len() < MAX_COURSES || self.courses.contains_key(to) {
            return;
        }
        let idle = self.courses.iter().min_by_key(|(_, c)| c.used).map(|(id, _)| *id);
        if let Some(idle) = idle {
            self.end(cx, idle);
        }
    }

    fn end(&mut self, cx: &mut Cx<'_>, to: NodeId) {
        self.drop_pending(&to, |_| true);
        if let Some(c) = self.courses.remove(&to) {
            for path in c.open {
                self.let_go(cx, &path);
            }
        }
    }

    fn drop_pending(&mut self, to: &NodeId, which: impl Fn(&Pending) -> bool) {
        let Some(c) = self.courses.get_mut(to) else { return };
        for p in c.pending.iter().filter(|p| which(p)) {
            c.bytes -= p.inner.len();
            for passage in p.now.iter().chain(&p.past) {
                self.passages.remove(&passage.id);
            }
        }
        let lost = c.pending.iter().any(|p| p.circuit && which(p));
        c.pending.retain(|p| !which(p));
        if lost {
            self.up.push(Up::Lost { to: *to });
        }
    }

    /// Gives the link to a way's first relay back, unless another course has it.
    pub(super) fn let_go(&mut self, cx: &mut Cx<'_>, path: &Path) {
        let Some(first) = path.first() else { return };
        if !self.courses.values().any(|c| c.open.iter().any(|p| p.first() == Some(first))) {
            cx.release(*first, CLAIM);
        }
    }

    /// Sends what waits for a way, if there is one.
    pub(super) fn dispatch(&mut self, cx: &mut Cx<'_>, to: NodeId) {
        self.open_ways(cx, to);
        let Some(c) = self.courses.get_mut(&to) else { return };
        if c.open.is_empty() && !c.pending.is_empty() {
            cx.counters.courses_lost += 1;
            self.drop_pending(&to, |p| p.now.is_none());
            self.up.push(Up::NoWay { to });
            return;
        }
        let waiting: Vec<usize> = (0..c.pending.len()).filter(|i| c.pending[*i].now.is_none()).collect();
        for at in waiting {
            let any = self.courses.get(&to).and_then(|c| c.pending.get(at)).is_some_and(|p| p.any && p.past.is_empty());
            let path = if any { self.any(cx, to) } else { None }.or_else(|| self.best(cx, to));
            let Some(path) = path else { break };
            if !self.pass(cx, to, at, path) {
                break;
            }
        }
        self.tend_by(cx, to);
    }

    /// When what is under way is to be looked at.
    fn tend_by(&self, cx: &mut Cx<'_>, to: NodeId) {
        let soon = cx.now.mono + Span::from_millis(250);
        let due = self.courses.get(&to).and_then(Course::due).unwrap_or(soon).min(soon);
        cx.deadlines.set_no_later(TimerKey::Routing(Timer::Tend), due.max(cx.now.mono + Span::from_millis(5)));
    }

    pub(super) fn draw_id(&mut self) -> PassageId {
        let mut id = [0; 16];
        id.chunks_mut(8).for_each(|b| b.copy_from_slice(&self.rng.next_u64().to_le_bytes()));
        PassageId(id)
    }

    /// Sends what waits at `at` by a way. Returns whether the link took it.
    fn pass(&mut self, cx: &mut Cx<'_>, to: NodeId, at: usize, path: Path) -> bool {
        let (now, id) = (cx.now.mono, self.draw_id());
        let Some(c) = self.courses.get_mut(&to) else { return false };
        let (ack, receipt) = c.patience(&path, cx.topology.rtt(&path[0]));
        let Some(p) = c.pending.get_mut(at) else { return false };
        let m = Envelope {
            id,
            from: cx.me,
            to,
            via: path.clone(),
            kind: 0,
            ttl: path.len() as u8 + 1,
            at_ms: cx.now.wall.0,
            messages: p.messages,
            credits: None,
        };
        let payload = envelope::seal(cx.crypto, &self.key, &m, &p.inner);
        if !cx.send_frame(path[0], Lane::Control, Message::from(m).frame_with(payload)) {
            return false;
        }
        cx.counters.envelopes_sent += 1;
        let passage = Passage { id, path, sent: now, acked: false, ack_by: now + ack, receipt_by: now + receipt };
        p.now = Some(passage);
        self.passages.insert(id, to);
        true
    }

    /// A relay says what it did with something.
    pub(super) fn on_ack(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &RelayAck) {
        let now = cx.now.mono;
        let to = self.passages.get(&m.id).copied();
        let course = to.and_then(|to| Some((to, self.courses.get_mut(&to)?)));
        let found = course.and_then(|(to, c)| {
            let is = |p: &Pending| p.now.as_ref().is_some_and(|n| n.id == m.id && n.path[0] == from);
            let at = c.pending.iter().position(is)?;
            Some((to, c, at))
        });
        let Some((to, c, at)) = found else {
            cx.counters.relay_acks_unexpected += 1;
            return;
        };
        self.merits.load(from, m.load, now);
        let Some(passage) = c.pending[at].now.as_mut() else { return };
        if m.why == 0 {
            passage.acked = true;
            let p = &c.pending[at];
            if !p.circuit {
                self.up.push(Up::Relayed { to, last: p.last });
            }
            return;
        }
        cx.counters.relays_declined += 1;
        let path = passage.path.clone();
        let told = passage.id;
        if c.pending[at].circuit {
            self.up.push(Up::Late { to });
        }
        // It said so itself: that is no failure. Who knows no way on is asked again later, and soon if the receiver did not say that it
        // would: it may be about to link to this one.
        let why = if m.why == 3 && !c.stated.is_empty() { Why::NoWay } else { Why::Busy };
        c.recall(|p| p.id == told);
        if let Some(p) = c.pending.get_mut(at) {
            p.suspects.retain(|s| !path.contains(s));
        }
        self.leave(cx, to, &path, why);
        self.dispatch(cx, to);
    }

    /// A way is taken no more for a while.
    fn leave(&mut self, cx: &mut Cx<'_>, to: NodeId, path: &Path, why: Why) {
        let Some(c) = self.courses.get_mut(&to) else { return };
        c.avoid(path, cx.now.mono, why);
        c.looked = None;
        self.close(cx, to, path);
    }

    /// A way is not at hand any more.
    fn close(&mut self, cx: &mut Cx<'_>, to: NodeId, path: &Path) {
        let Some(c) = self.courses.get_mut(&to) else { return };
        c.open.retain(|p| p != path);
        if c.current.as_ref() == Some(path) {
            c.current = None;
        }
        self.let_go(cx, path);
    }

    /// The receiver's word for relays that brought it something. Returns which messages went which way.
    pub(super) fn on_credits(&mut self, cx: &mut Cx<'_>, from: NodeId, credits: &Credits) -> Vec<(u64, Path)> {
        let mut went = Vec::new();
        if !credits.verify(cx.crypto, &self.key, &from, cx.now.wall) {
            cx.counters.credits_refused += credits.list.len() as u64;
            return went;
        }
        for credit in &credits.list {
            let known = self.passages.get(&credit.id) == Some(&from);
            let of = self.courses.get_mut(&from).filter(|_| known);
            let is_so = of.as_ref().is_some_and(|c| {
                let passages = c.pending.iter().flat_map(|p| p.now.iter().chain(&p.past));
                passages.filter(|p| p.id == credit.id).any(|p| p.path == credit.relays)
            });
            let Some((passage, p)) = of.filter(|_| is_so).and_then(|c| c.take(&credit.id)) else {
                cx.counters.credits_refused += 1;
                continue;
            };
            self.settle(cx, from, &passage, &p);
            if !p.circuit {
                went.push((p.last, passage.path));
            }
        }
        went.sort_unstable();
        went
    }

    fn settle(&mut self, cx: &mut Cx<'_>, to: NodeId, by: &Passage, p: &Pending) {
        let now = cx.now.mono;
        for passage in p.now.iter().chain(&p.past) {
            self.passages.remove(&passage.id);
        }
        if let Some(c) = self.courses.get_mut(&to) {
            let last = p.now.as_ref().is_some_and(|n| n.id == by.id);
            c.works(&by.path, last.then(|| now.since(by.sent)));
        }
        for relay in &by.path {
            self.merits.carried(*relay, now);
            cx.counters.relays_credited += 1;
            cx.signal(Signal::RelayCredited {
                relay: *relay,
                messages: u32::from(p.messages),
                bytes: u64::from(p.bytes),
            });
        }
        // Something came by another way: the receiver is there, and these did not bring it.
        for relay in p.suspects.iter().filter(|r| !by.path.contains(r)) {
            self.blame(cx, *relay);
        }
    }

    fn blame(&mut self, cx: &mut Cx<'_>, relay: NodeId) {
        self.merits.failed(relay, cx.now.mono);
        cx.counters.relays_failed += 1;
        cx.signal(Signal::RelayFailed { relay });
    }

    pub(super) fn tend(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        for to in self.courses.keys().copied().collect::<Vec<_>>() {
            self.tend_course(cx, to, now);
        }
        let busy: Vec<NodeId> = self.courses.iter().filter(|(_, c)| !c.pending.is_empty()).map(|(to, _)| *to).collect();
        for to in busy {
            self.tend_by(cx, to);
        }
        if !self.courses.is_empty() {
            cx.deadlines.set_no_later(TimerKey::Routing(Timer::Tend), now + Span::from_secs(1));
        }
    }

    fn tend_course(&mut self, cx: &mut Cx<'_>, to: NodeId, now: Time) {
        let Some(c) = self.courses.get_mut(&to) else { return };
        if c.pending.is_empty() {
            if now.since(c.used) >= IDLE {
                return self.end(cx, to);
            }
            return;
        }
        // Whose only way it was is the one that lost it; of several it may be the receiver that is gone.
        let only = c.stated.len() == 1;
        let over = |p: &Pending| now.since(p.since) >= GIVE_UP || p.past.len() >= usize::from(TRIES);
        let lost: Vec<NodeId> =
            c.pending.iter().filter(|p| only && over(p)).flat_map(|p| p.suspects.iter().copied()).collect();
        self.drop_pending(&to, over);
        for relay in lost {
            self.blame(cx, relay);
        }
        let Some(c) = self.courses.get_mut(&to) else { return };
        let late = c.pending.iter().filter_map(|p| p.now.as_ref()).filter(|p| p.due() <= now);
        let mut failed: Vec<(Path, bool)> = late.map(|p| (p.path.clone(), p.acked)).collect();
        failed.sort_unstable();
        failed.dedup();
        if !failed.is_empty() && c.pending.iter().any(|p| p.circuit) {
            self.up.push(Up::Late { to });
        }
        for (path, acked) in failed {
            if let Some(c) = self.courses.get_mut(&to) {
                // Who does not even answer has lost all that it was given.
                c.recall(|p| p.path == path && (p.due() <= now || (!acked && !p.acked)));
            }
            cx.counters.passages_late += 1;
            self.leave(cx, to, &path, Why::Failed);
        }
        self.rotate(cx, to, now);
        self.dispatch(cx, to);
    }

    /// Exchanges the worst of the warm ways for another now and then.
    fn rotate(&mut self, cx: &mut Cx<'_>, to: NodeId, now: Time) {
        let Some(c) = self.courses.get_mut(&to) else { return };
        if now.since(c.rotate_at) < ROTATE || c.open.len() < OPEN || c.stated.len() <= OPEN {
            return;
        }
        c.rotate_at = now;
        let used = |p: &&Path| {
            c.current.as_ref() == Some(p) || c.pending.iter().any(|w| w.now.as_ref().is_some_and(|n| n.path == **p))
        };
        let spare = c.open.iter().filter(|p| !used(p));
        let worst = spare.max_by_key(|p| (c.cost(p, cx.topology.rtt(&p[0]), &self.merits), (*p).clone())).cloned();
        if let Some(worst) = worst {
            c.avoid(&worst, now, Why::Busy);
            c.open.retain(|p| *p != worst);
            self.let_go(cx, &worst);
        }
    }

    /// A link came up: what waited for it goes.
    pub(super) fn link_up(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        for to in self.courses_by(peer) {
            self.dispatch(cx, to);
        }
    }

    fn courses_by(&self, first: NodeId) -> Vec<NodeId> {
        let concerned = |c: &Course| c.open.iter().any(|p| p[0] == first);
        self.courses.iter().filter(|(_, c)| concerned(c)).map(|(to, _)| *to).collect()
    }

    /// A link ended, or could not be dialed: what went by it goes another way.
    pub(super) fn link_down(&mut self, cx: &mut Cx<'_>, peer: NodeId, reason: LinkRefusal, dial: bool) {
        for to in self.courses_by(peer) {
            let Some(c) = self.courses.get_mut(&to) else { continue };
            let by_it: Vec<Path> = c.open.iter().filter(|p| p[0] == peer).cloned().collect();
            let lost = c.recall(|p| p.path[0] == peer);
            if reason == LinkRefusal::Full {
                // It said so, and took nothing.
                c.pending.iter_mut().for_each(|p| p.suspects.retain(|s| *s != peer));
            }
            let waits = !c.pending.is_empty();
            for path in by_it {
                match dial || lost > 0 {
                    true => self.leave(cx, to, &path, Why::Failed),
                    // A relay may close a link that nothing goes by; it is dialed again when there is something.
                    false => self.close(cx, to, &path),
                }
            }
            if waits {
                self.dispatch(cx, to);
            }
        }
    }
}
