//! The relay: what is passed on, to whom, and within which limits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::{Routing, envelope, ways};
use crate::identity::NodeId;
use crate::io::Overlay;
use crate::layer::{Cx, Signal};
use crate::links::{Claim, Claimed};
use crate::membership::Tokens;
use crate::time::{Span, Time};
use crate::wire::{Credits, Envelope, Frame, Lane, Message, PassageId, RelayAck};

/// What waits for links with room: so many, so many bytes, so long; a quarter of each from one neighbour.
pub(super) const QUEUE: usize = 1_024;
pub(super) const QUEUE_BYTES: usize = 8 << 20;
const QUEUE_AGE: Span = Span::from_secs(2);
const SHARE: usize = 4;
/// What one neighbour may hand in: envelopes at once, one more each so often; bytes at once, and each second (guesses: a thousand small
/// messages a second, or a few hundred of the longest frames at once).
const RATE: (u32, Span) = (1_024, Span::from_millis(1));
const BYTES_AT_ONCE: u64 = 16 << 20;
const BYTES_A_SECOND: u64 = 8 << 20;
/// Of a link's control lane relaying leaves half to what holds the network together.
const RESERVE: usize = 1 << 20;
/// Passages remembered: not carried twice, and credited once.
const SEEN: usize = 16_384;
/// What a relay is credited for was carried not longer ago.
const CREDITED: Span = Span::from_secs(60);
/// Links that are dialed to pass something on, and how long they are kept.
const DIALED: usize = 16;
const IDLE: Span = Span::from_secs(30);
/// Bytes it all takes.
pub(super) const BYTES: usize = QUEUE_BYTES + QUEUE * 256 + SEEN * 192;

const CLAIM: Claim = Claim { layer: 103, overlay: Overlay::Root };

pub(super) const TAKEN: u8 = 0;
const FULL: u8 = 1;
const LIMITED: u8 = 2;
const NO_WAY: u8 = 3;

#[derive(Debug)]
struct Queued {
    id: PassageId,
    by: NodeId,
    next: NodeId,
    frame: Frame,
    at: Time,
}

#[derive(Debug)]
struct Quota {
    count: Tokens,
    bytes: u64,
    last: Time,
}

impl Quota {
    fn new(now: Time) -> Quota {
        Quota { count: Tokens::new(RATE.0, RATE.1, now), bytes: BYTES_AT_ONCE, last: now }
    }

    fn take(&mut self, now: Time, bytes: usize) -> bool {
        let grown = now.since(self.last).0.saturating_mul(BYTES_A_SECOND) / 1_000_000;
        self.bytes = self.bytes.saturating_add(grown).min(BYTES_AT_ONCE);
        self.last = now;
        if self.bytes < bytes as u64 || !self.count.take(now) {
            return false;
        }
        self.bytes -= bytes as u64;
        true
    }
}

/// A passage that was here.
#[derive(Clone, Copy, Debug)]
struct Seen {
    from: NodeId,
    to: NodeId,
    bytes: u32,
    at: Time,
    /// It was passed on, and nobody has credited it yet.
    owed: bool,
}

/// What a relay keeps.
#[derive(Debug, Default)]
pub(super) struct Relaying {
    queue: VecDeque<Queued>,
    bytes: usize,
    quotas: BTreeMap<NodeId, Quota>,
    seen: BTreeMap<PassageId, Seen>,
    order: VecDeque<PassageId>,
    dialed: BTreeMap<NodeId, Time>,
    /// Bytes carried lately, halved each second: what is said to be this node's load.
    lately: u64,
    halved: Time,
}

impl Relaying {
    /// Whether this is news, which is noted.
    fn is_new(&mut self, id: PassageId, seen: Seen) -> bool {
        if self.seen.contains_key(&id) {
            return false;
        }
        self.seen.insert(id, seen);
        self.order.push_back(id);
        if self.order.len() > SEEN
            && let Some(old) = self.order.pop_front()
        {
            self.seen.remove(&old);
        }
        true
    }

    /// How much of what it can carry this node carries: 255 is all.
    pub(super) fn load(&mut self, now: Time) -> u8 {
        let seconds = now.since(self.halved).0 / 1_000_000;
        if seconds > 0 {
            self.lately >>= seconds.min(63);
            self.halved += Span::from_secs(seconds);
        }
        let busy = self.lately * 255 / (2 * BYTES_A_SECOND);
        let queued = (self.bytes * 255 / QUEUE_BYTES) as u64;
        busy.max(queued).min(255) as u8
    }

    fn has_room(&self, by: &NodeId, bytes: usize) -> bool {
        let (mut count, mut held) = (0, 0);
        for q in self.queue.iter().filter(|q| q.by == *by) {
            count += 1;
            held += q.frame.len();
        }
        self.queue.len() < QUEUE
            && self.bytes + bytes <= QUEUE_BYTES
            && count < QUEUE / SHARE
            && held + bytes <= QUEUE_BYTES / SHARE
    }

    pub(super) fn link_lost(&mut self, peer: &NodeId) -> Vec<(NodeId, PassageId)> {
        self.quotas.remove(peer);
        self.dialed.remove(peer);
        let mut lost = Vec::new();
        self.queue.retain(|q| {
            let gone = q.next == *peer;
            if gone {
                lost.push((q.by, q.id));
                self.bytes -= q.frame.len();
            }
            !gone
        });
        lost
    }
}

fn fits(cx: &Cx<'_>, next: &NodeId, len: usize) -> bool {
    cx.links().is_up(next) && cx.links().credit(next, Lane::Control) >= len + RESERVE
}

impl Routing {
    /// An envelope came over a link.
    pub(super) fn on_envelope(&mut self, cx: &mut Cx<'_>, link: NodeId, m: Envelope, payload: &Bytes) {
        let now = cx.now.mono;
        if self.left || !envelope::is_sound(&m, payload, cx.now.wall) {
            cx.counters.envelopes_unsound += 1;
            return;
        }
        // Only whom the envelope names before this node can have handed it over, and nobody has it twice.
        let Some((before, next)) = envelope::hops(&m, &cx.me).filter(|(before, _)| *before == link) else {
            cx.counters.envelopes_misrouted += 1;
            return;
        };
        let quota = self.relaying.quotas.entry(link).or_insert_with(|| Quota::new(now));
        if !quota.take(now, payload.len()) {
            cx.counters.envelopes_limited += 1;
            return self.ack(cx, before, m.id, LIMITED);
        }
        if self.relaying.seen.contains_key(&m.id) {
            cx.counters.envelopes_repeated += 1;
            return;
        }
        // A first relay has it from the sender itself, whose link proves it; everybody else sees the signature.
        if link != m.from && !envelope::is_genuine(cx.crypto, &self.key, &m, payload) {
            cx.counters.envelopes_refused_forged += 1;
            return;
        }
        let bytes = payload.len().saturating_sub(crate::crypto::SIGNATURE_LEN) as u32;
        let seen = Seen { from: m.from, to: m.to, bytes, at: now, owed: next.is_some() && m.kind == 0 };
        self.relaying.is_new(m.id, seen);
        match next {
            None => self.arrived(cx, m, payload),
            Some(next) => self.forward(cx, before, next, m, payload),
        }
    }

    fn ack(&mut self, cx: &mut Cx<'_>, to: NodeId, id: PassageId, why: u8) {
        let load = self.relaying.load(cx.now.mono);
        cx.send(to, RelayAck { id, why, load });
    }

    fn forward(&mut self, cx: &mut Cx<'_>, before: NodeId, next: NodeId, mut m: Envelope, payload: &Bytes) {
        let now = cx.now.mono;
        let (id, kind) = (m.id, m.kind);
        m.ttl -= 1;
        if m.ttl == 0 {
            cx.counters.envelopes_unsound += 1;
            return;
        }
        if let Some(credits) = &m.credits {
            self.on_own_credits(cx, m.from, credits);
        }
        let frame = Message::from(m).frame_with(payload.clone());
        let len = frame.len();
        let waits = self.relaying.queue.iter().any(|q| q.next == next);
        let why = if !waits && fits(cx, &next, len) {
            cx.send_frame(next, Lane::Control, frame);
            TAKEN
        } else if !self.relaying.has_room(&before, len) {
            FULL
        } else if cx.links().is_up(&next) || self.dial(cx, next) {
            self.relaying.bytes += len;
            self.relaying.queue.push_back(Queued { id, by: before, next, frame, at: now });
            super::tend_soon(cx);
            TAKEN
        } else {
            NO_WAY
        };
        match why {
            TAKEN => {
                self.relaying.lately += len as u64;
                cx.counters.envelopes_relayed += 1;
                if let Some(at) = self.relaying.dialed.get_mut(&next) {
                    *at = now;
                }
            }
            _ => {
                cx.counters.envelopes_declined += 1;
                if let Some(s) = self.relaying.seen.get_mut(&id) {
                    s.owed = false;
                }
            }
        }
        // Answers are not waited for.
        if kind == 0 {
            self.ack(cx, before, id, why);
        }
    }

    /// Dials who is next, if it is known where.
    fn dial(&mut self, cx: &mut Cx<'_>, next: NodeId) -> bool {
        let known = self.relaying.dialed.contains_key(&next);
        if (!known && self.relaying.dialed.len() >= DIALED) || !cx.topology.is_ready(&next, cx.now.mono) {
            return false;
        }
        let addrs = ways::addrs(cx, &self.group, &next);
        let claimed = cx.claim_at(next, CLAIM, &addrs);
        let dialed = matches!(claimed, Claimed::Up | Claimed::Dialing);
        if dialed {
            self.relaying.dialed.insert(next, cx.now.mono);
        }
        dialed
    }

    /// A receipt passes that says something for this node.
    fn on_own_credits(&mut self, cx: &mut Cx<'_>, by: NodeId, credits: &Credits) {
        let (me, now) = (cx.me, cx.now.mono);
        let ours = |c: &&crate::wire::Credit| c.relays.contains(&me);
        if !credits.list.iter().any(|c| ours(&c)) {
            return;
        }
        let owed = |r: &Relaying, c: &crate::wire::Credit| {
            r.seen.get(&c.id).is_some_and(|s| s.owed && s.to == by && s.bytes == c.bytes && now.since(s.at) <= CREDITED)
        };
        let genuine = credits.verify(cx.crypto, &self.key, &by, cx.now.wall);
        for c in credits.list.iter().filter(ours) {
            if !genuine || !owed(&self.relaying, c) {
                cx.counters.credits_refused += 1;
                continue;
            }
            let Some(s) = self.relaying.seen.get_mut(&c.id) else { continue };
            s.owed = false;
            let of = s.from;
            cx.counters.credits_taken += 1;
            cx.signal(Signal::CreditedAsRelay { by, of, messages: u32::from(c.messages), bytes: u64::from(c.bytes) });
        }
    }

    /// Passes on what waits for links that have room now. Returns whether anything went.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.relaying.queue.is_empty() {
            return false;
        }
        let (mut any, mut stuck) = (false, BTreeSet::new());
        let waiting = std::mem::take(&mut self.relaying.queue);
        for q in waiting {
            let len = q.frame.len();
            if !stuck.contains(&q.next) && fits(cx, &q.next, len) {
                any = true;
                self.relaying.bytes -= len;
                cx.send_frame(q.next, Lane::Control, q.frame);
            } else {
                stuck.insert(q.next);
                self.relaying.queue.push_back(q);
            }
        }
        any
    }

    /// What waits too long is dropped, and links that nothing goes by are given back.
    pub(super) fn tend_relaying(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let mut late = Vec::new();
        self.relaying.queue.retain(|q| {
            let over = now.since(q.at) >= QUEUE_AGE;
            if over {
                late.push((q.by, q.id, q.frame.len()));
            }
            !over
        });
        for (by, id, len) in late {
            self.relaying.bytes -= len;
            self.not_passed_on(cx, by, id, FULL);
        }
        let idle: Vec<NodeId> =
            self.relaying.dialed.iter().filter(|(_, at)| now.since(**at) >= IDLE).map(|(p, _)| *p).collect();
        for peer in idle {
            self.relaying.dialed.remove(&peer);
            cx.release(peer, CLAIM);
        }
        if !self.relaying.queue.is_empty() || !self.relaying.dialed.is_empty() {
            super::tend_soon(cx);
        }
    }

    /// What was taken could not be passed on after all.
    pub(super) fn not_passed_on(&mut self, cx: &mut Cx<'_>, by: NodeId, id: PassageId, why: u8) {
        cx.counters.envelopes_dropped += 1;
        let Some(s) = self.relaying.seen.get_mut(&id) else { return };
        if std::mem::take(&mut s.owed) && cx.links().is_up(&by) {
            self.ack(cx, by, id, why);
        }
    }

    /// A link ended, or could not be dialed: what waited for it is lost.
    pub(super) fn relaying_lost(&mut self, cx: &mut Cx<'_>, peer: &NodeId) {
        for (by, id) in self.relaying.link_lost(peer) {
            self.not_passed_on(cx, by, id, NO_WAY);
        }
    }
}
