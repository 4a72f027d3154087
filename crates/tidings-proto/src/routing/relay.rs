//! The relay: what is passed on, to whom, and within which limits.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::fair::{self, Allowances, BYTES_A_SECOND, QUEUE_BYTES, Queue, Queued};
use super::{Routing, envelope, ways};
use crate::identity::NodeId;
use crate::io::Overlay;
use crate::layer::{Cx, Signal};
use crate::links::{Claim, Claimed};
use crate::time::{Span, Time};
use crate::wire::{Credits, Envelope, Lane, Message, PassageId, RelayAck};

/// Of a link's control lane relaying takes a quarter: the rest is left to what holds the network together, and what waits here goes by
/// turns.
const RESERVE: usize = 3 << 19;
/// Passages remembered: not carried twice, and credited once.
const SEEN: usize = 16_384;
/// What a relay is credited for was carried not longer ago.
const CREDITED: Span = Span::from_secs(60);
/// Links that are dialed to pass something on, a quarter for one neighbour, and how long they are kept.
const DIALED: usize = 16;
const IDLE: Span = Span::from_secs(30);
/// Bytes it all takes.
pub(super) const BYTES: usize = fair::BYTES + SEEN * 192;

const CLAIM: Claim = Claim { layer: 103, overlay: Overlay::Root };

pub(super) const TAKEN: u8 = 0;
const FULL: u8 = 1;
const LIMITED: u8 = 2;
const NO_WAY: u8 = 3;

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
    queue: Queue,
    allowances: Allowances,
    seen: BTreeMap<PassageId, Seen>,
    order: VecDeque<PassageId>,
    /// Links that were dialed to pass something on: for whom, and when something went there last.
    dialed: BTreeMap<NodeId, (NodeId, Time)>,
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
        let queued = (self.queue.bytes() * 255 / QUEUE_BYTES) as u64;
        busy.max(queued).min(255) as u8
    }

    /// A link is gone. Returns what waited for it.
    fn link_lost(&mut self, peer: &NodeId) -> Vec<(NodeId, PassageId)> {
        self.dialed.remove(peer);
        self.queue.lost(peer).into_iter().map(|q| (q.by, q.id)).collect()
    }
}

fn fits(cx: &Cx<'_>, next: &NodeId, len: usize) -> bool {
    cx.links().is_direct(next) && cx.links().credit(next, Lane::Control) >= len + RESERVE
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
        if !self.relaying.allowances.take(now, link, link != m.from, payload.len()) {
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
        if link != m.from && !self.relaying.allowances.take(now, m.from, false, payload.len()) {
            cx.counters.envelopes_limited += 1;
            return self.ack(cx, before, m.id, LIMITED);
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
        let (id, kind, from) = (m.id, m.kind, m.from);
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
        let why = if !self.relaying.queue.waits_for(&next) && fits(cx, &next, len) {
            cx.send_frame(next, Lane::Control, frame);
            TAKEN
        } else if !self.relaying.queue.has_room(&from, &before, &next, len) {
            FULL
        } else if cx.links().is_direct(&next) || self.dial(cx, before, next) {
            self.relaying.queue.push(next, Queued { id, by: before, from, frame, at: now });
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
                    at.1 = now;
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
    fn dial(&mut self, cx: &mut Cx<'_>, by: NodeId, next: NodeId) -> bool {
        let dialed = &self.relaying.dialed;
        let known = dialed.contains_key(&next);
        let of_it = dialed.values().filter(|(of, _)| *of == by).count();
        if (!known && (dialed.len() >= DIALED || of_it >= DIALED / 4)) || !cx.topology.is_ready(&next, cx.now.mono) {
            return false;
        }
        if cx.links().is_circuit(&next) {
            return false;
        }
        let addrs = ways::addrs(cx, &self.group, &next);
        let claimed = cx.claim_at(next, CLAIM, &addrs);
        let dialed = matches!(claimed, Claimed::Up | Claimed::Dialing);
        if dialed {
            self.relaying.dialed.insert(next, (by, cx.now.mono));
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
        let mut any = false;
        for next in self.relaying.queue.links() {
            while let Some(q) = self.relaying.queue.next(&next, |len| fits(cx, &next, len)) {
                cx.send_frame(next, Lane::Control, q.frame);
                any = true;
            }
        }
        any
    }

    /// What waits too long is dropped, and links that nothing goes by are given back.
    pub(super) fn tend_relaying(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        for q in self.relaying.queue.late(now) {
            self.not_passed_on(cx, q.by, q.id, FULL);
        }
        self.relaying.allowances.forget(now);
        let idle: Vec<NodeId> =
            self.relaying.dialed.iter().filter(|(_, (_, at))| now.since(*at) >= IDLE).map(|(p, _)| *p).collect();
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
        if std::mem::take(&mut s.owed) && cx.links().is_direct(&by) {
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
