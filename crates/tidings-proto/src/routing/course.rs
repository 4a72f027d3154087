//! A sender's course to one node: the relays it may go through, which it goes through now, and what is on its way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::merit::Merits;
use super::ways::Stated;
use crate::identity::NodeId;
use crate::time::{Span, Time};
use crate::wire::PassageId;

/// Links to relays kept for one course: one in use, two warm.
pub(super) const OPEN: usize = 3;
/// Tries for one content, and how long they go on: the session begins anew afterwards.
pub(super) const TRIES: u8 = 8;
pub(super) const GIVE_UP: Span = Span::from_secs(10);
/// What comes within so long of the last is of one conversation (a guess).
const FOLLOWS: Span = Span::from_secs(15);
/// What a way takes of which nothing is known (a guess).
const UNKNOWN: Span = Span::from_millis(100);
/// How much longer than it should take an acknowledgement or a receipt is waited for, beside a multiple of that: the receiver
/// writes before it answers (guesses).
const ACK_SLACK: Span = Span::from_millis(100);
const RECEIPT_SLACK: Span = Span::from_millis(300);
const RECEIPT_MOST: Span = Span::from_secs(3);
/// A way that failed is not taken for so long, twice as long each time, and at most.
const AVOID: Span = Span::from_secs(5);
const AVOID_MOST: u32 = 6;

/// The relays of one way, in order.
pub(super) type Path = Vec<NodeId>;

/// Something on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) inner: Bytes,
    pub(super) messages: u16,
    pub(super) bytes: u32,
    /// The number of the last message in it.
    pub(super) last: u64,
    /// It goes by any way at first.
    pub(super) any: bool,
    /// It is of a circuit, and not of direct messages.
    pub(super) circuit: bool,
    /// How it goes now: none while it waits for a way.
    pub(super) now: Option<Passage>,
    /// How it went before.
    pub(super) past: Vec<Passage>,
    /// Those that may have lost it.
    pub(super) suspects: Vec<NodeId>,
    pub(super) since: Time,
}

#[derive(Clone, Debug)]
pub(super) struct Passage {
    pub(super) id: PassageId,
    pub(super) path: Path,
    pub(super) sent: Time,
    pub(super) acked: bool,
    pub(super) ack_by: Time,
    pub(super) receipt_by: Time,
}

impl Passage {
    pub(super) fn due(&self) -> Time {
        if self.acked { self.receipt_by } else { self.ack_by.min(self.receipt_by) }
    }
}

/// Why a way is not taken for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// There is no room, or another is to be tried.
    Busy,
    /// A relay says that it knows no way on.
    NoWay,
    /// What went that way was lost.
    Failed,
}

#[derive(Debug)]
struct Avoided {
    until: Time,
    times: u32,
    why: Why,
}

/// The course to one node.
#[derive(Debug)]
pub(super) struct Course {
    /// The relays that the node states.
    pub(super) stated: Vec<Stated>,
    pub(super) looked: Option<Time>,
    /// Ways at hand: their first relays are linked, or being dialed.
    pub(super) open: Vec<Path>,
    pub(super) current: Option<Path>,
    /// When something went that way last.
    pub(super) went: Option<Time>,
    avoid: BTreeMap<Path, Avoided>,
    measured: BTreeMap<Path, Span>,
    /// When something went each way last.
    turns: BTreeMap<Path, Time>,
    /// By which something arrived last.
    pub(super) good: Option<Path>,
    pub(super) pending: VecDeque<Pending>,
    pub(super) bytes: usize,
    pub(super) used: Time,
    /// Whether one thing follows another: then there are ways in reserve.
    follows: bool,
    pub(super) rotate_at: Time,
}

impl Course {
    pub(super) fn new(now: Time) -> Course {
        Course {
            stated: Vec::new(),
            looked: None,
            open: Vec::new(),
            current: None,
            went: None,
            avoid: BTreeMap::new(),
            measured: BTreeMap::new(),
            turns: BTreeMap::new(),
            good: None,
            pending: VecDeque::new(),
            bytes: 0,
            used: now,
            follows: false,
            rotate_at: now,
        }
    }

    /// What the node states now. If that is something else than before, who knew no way then may know one.
    pub(super) fn state(&mut self, stated: Vec<Stated>) {
        let before = std::mem::replace(&mut self.stated, stated);
        let relays = |list: &[Stated]| list.iter().map(|s| s.relay).collect::<BTreeSet<_>>();
        if relays(&before) != relays(&self.stated) {
            self.avoid.retain(|_, a| a.why != Why::NoWay);
        }
    }

    /// When something went a way last.
    pub(super) fn used_last(&self, path: &Path) -> Option<Time> {
        self.turns.get(path).copied()
    }

    /// Something goes this way.
    pub(super) fn turn(&mut self, path: &Path, now: Time) {
        if self.turns.len() >= 64 {
            self.turns.retain(|p, _| self.open.contains(p));
        }
        self.turns.insert(path.clone(), now);
        self.went = Some(now);
    }

    /// There is something more to convey.
    pub(super) fn follows(&mut self, now: Time) {
        self.follows = !self.pending.is_empty() || (now > self.used && now.since(self.used) <= FOLLOWS);
        self.used = now;
    }

    /// Whether links to several relays are worth their while: there is a conversation, or a way has failed.
    pub(super) fn is_busy(&self) -> bool {
        self.follows || self.pending.len() > 1 || self.pending.iter().any(|p| !p.past.is_empty())
    }

    pub(super) fn is_avoided(&self, path: &[NodeId], now: Time) -> bool {
        self.avoid.get(path).is_some_and(|a| a.until > now)
    }

    /// Until when a way is avoided by which something was lost.
    pub(super) fn failed_until(&self, path: &[NodeId]) -> Option<Time> {
        self.avoid.get(path).filter(|a| a.why == Why::Failed).map(|a| a.until)
    }

    /// It may be taken again now; if it fails once more, it is avoided for as long as it would have been.
    pub(super) fn forgive(&mut self, path: &[NodeId], now: Time) {
        if let Some(a) = self.avoid.get_mut(path) {
            a.until = now;
        }
    }

    /// The way is not taken for a while: longer if nothing came of it, again and again.
    pub(super) fn avoid(&mut self, path: &Path, now: Time, why: Why) {
        if self.avoid.len() >= 64 {
            self.avoid.retain(|_, a| a.until > now);
        }
        let a = self.avoid.entry(path.clone()).or_insert(Avoided { until: now, times: 0, why });
        a.why = why;
        a.until = now + if why == Why::Busy { Span::from_secs(1) } else { AVOID.times(1 << a.times) };
        a.times = (a.times + u32::from(why != Why::Busy)).min(AVOID_MOST);
        if self.current.as_ref() == Some(path) {
            self.current = None;
        }
    }

    /// It brought something.
    pub(super) fn works(&mut self, path: &Path, took: Option<Span>) {
        self.avoid.remove(path);
        self.good = Some(path.clone());
        let Some(took) = took else { return };
        if self.measured.len() >= 64 && !self.measured.contains_key(path) {
            self.measured.clear();
        }
        let m = self.measured.entry(path.clone()).or_insert(took);
        *m = Span((m.0 * 3 + took.0) / 4);
    }

    /// There and back, as far as is known.
    pub(super) fn takes(&self, path: &[NodeId], first: Option<Span>) -> Span {
        let last = path.last().and_then(|l| self.stated.iter().find(|s| s.relay == *l)).map_or(UNKNOWN, |s| s.rtt);
        let between = if path.len() > 1 { UNKNOWN } else { Span::ZERO };
        let guess = first.unwrap_or(UNKNOWN) + between + last;
        self.measured.get(path).map_or(guess, |m| guess.max(*m))
    }

    /// What a way costs, by all that is known.
    pub(super) fn cost(&self, path: &Path, first: Option<Span>, merits: &Merits) -> u64 {
        let takes = self.takes(path, first);
        path.iter().map(|relay| merits.cost(relay, takes)).max().unwrap_or(u64::MAX)
    }

    /// By when an acknowledgement and a receipt should be here.
    pub(super) fn patience(&self, path: &Path, first: Option<Span>) -> (Span, Span) {
        let ack = first.unwrap_or(UNKNOWN).times(3) + ACK_SLACK;
        let receipt = self.takes(path, first).times(3) + RECEIPT_SLACK;
        (ack, receipt.min(RECEIPT_MOST))
    }

    /// Takes out what a passage was of: how it went, and itself.
    pub(super) fn take(&mut self, id: &PassageId) -> Option<(Passage, Pending)> {
        let is = |p: &Passage| p.id == *id;
        let at = self.pending.iter().position(|p| p.now.as_ref().is_some_and(is) || p.past.iter().any(is))?;
        let p = self.pending.remove(at)?;
        self.bytes -= p.inner.len();
        let passage = p.now.iter().chain(&p.past).find(|p| is(p)).cloned()?;
        Some((passage, p))
    }

    /// What goes by way of these waits for another one. Returns how many did.
    pub(super) fn recall(&mut self, which: impl Fn(&Passage) -> bool) -> usize {
        let mut any = 0;
        for p in &mut self.pending {
            if p.now.as_ref().is_some_and(&which)
                && let Some(passage) = p.now.take()
            {
                any += 1;
                for relay in &passage.path {
                    if !p.suspects.contains(relay) {
                        p.suspects.push(*relay);
                    }
                }
                p.past.push(passage);
            }
        }
        any
    }

    /// When something should have come.
    pub(super) fn due(&self) -> Option<Time> {
        self.pending.iter().filter_map(|p| p.now.as_ref().map(Passage::due)).min()
    }
}
