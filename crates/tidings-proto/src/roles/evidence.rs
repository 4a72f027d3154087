//! Words of customers: given to the relays that carried for this node, and collected from those this node carried for.
//!
//! Whenever what a relay carried weighs twice what its last word said, it is given another, over the link that is there anyway:
//! so the words are few, and late by a factor of two at most. A relay shows the [`MAX_VOUCHES`] best it has: first
//! those of customers that it knows itself as relays, since others are more likely to know them too, and of the rest a draw,
//! so that nobody's flood of words decides which are shown.
//!
//! A word is public once it is shown: that, and about how much, somebody used a relay, though not for whom.
//!
//! A relay hears those it carried something for, as receipts said, and nobody else: what others would sign costs them nothing.
//!
//! Invariants: a word is given for what receipts credited, and for nothing else; what is kept of others is one each and
//! [`MAX_KEPT`] in all; the signature is looked at last.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::announce::{MAX_VOUCHES, VOUCH_LIFE_MS};
use super::{Roles, Timer, Vouch};
use crate::crypto::SIGNATURE_LEN;
use crate::identity::NodeId;
use crate::layer::{Cx, TimerKey};
use crate::time::{Span, Time, UnixMillis};
use crate::wire::VouchFor;

/// Words kept of customers.
const MAX_KEPT: usize = 256;
/// Relays to which words are owed, or were given lately; as many as are scored.
const MAX_GIVEN: usize = super::MAX_SCORED;
/// Customers remembered: those that may come to say something. The one served longest ago goes.
const MAX_SERVED: usize = 4 * MAX_KEPT;
/// Words are gathered for so long, so that a burst is one word.
pub(super) const GATHER: Span = Span::from_secs(1);
/// A customer is heard so often.
const APART: Span = Span::from_millis(500);
/// What is left is little: then a word is given anew.
const STALE_MS: u64 = VOUCH_LIFE_MS / 4;
/// Bytes of it all.
pub(super) const BYTES: usize = MAX_KEPT * 256 + MAX_GIVEN * 128 + MAX_SERVED * 96;

/// What was said to one relay last.
#[derive(Clone, Copy, Debug)]
struct Given {
    points: f64,
    at: UnixMillis,
}

/// What is kept of one customer.
#[derive(Debug)]
struct Kept {
    vouch: Vouch,
    heard: Time,
}

/// Words given and collected.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Relays that worked since they were given one.
    owed: std::collections::BTreeSet<NodeId>,
    given: BTreeMap<NodeId, Given>,
    kept: BTreeMap<NodeId, Kept>,
    /// For whom this node carried something, and when last.
    served: BTreeMap<NodeId, Time>,
}

impl Words {
    /// What all that could be shown weighs now, as much as an announcement holds.
    pub(super) fn points(&self, now: UnixMillis) -> f64 {
        let mut all: Vec<f64> = self.kept.values().map(|k| weighs(&k.vouch, now)).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        all.iter().take(MAX_VOUCHES).sum()
    }
}

/// What a word weighs.
pub(super) fn weighs(v: &Vouch, now: UnixMillis) -> f64 {
    super::manager::work(v.messages as f64, v.bytes as f64) * super::scoring::decay(now.0.saturating_sub(v.at.0))
}

impl Roles {
    /// A relay carried something of ours.
    pub(super) fn owe(&mut self, cx: &mut Cx<'_>, relay: NodeId) {
        if self.words.owed.len() < MAX_GIVEN && self.words.owed.insert(relay) {
            cx.deadlines.set_no_later(TimerKey::Roles(Timer::Vouch), cx.now.mono + GATHER);
        }
    }

    /// Gives the words that are due. One whose link is gone is given when it works again.
    pub(super) fn vouch(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.wall;
        for relay in std::mem::take(&mut self.words.owed) {
            let Some((messages, bytes)) = self.manager.work_of(&relay, now) else { continue };
            let points = super::manager::work(messages, bytes);
            let given = self.words.given.get(&relay);
            let stale = |g: &Given| now.0.saturating_sub(g.at.0) >= STALE_MS;
            if given.is_some_and(|g| points < 2.0 * g.points && !stale(g)) || !cx.links().is_up(&relay) {
                continue;
            }
            let v = Vouch::sign(&self.network, cx.crypto, &relay, messages as u64, bytes as u64, now);
            if (v.messages, v.bytes) == (0, 0) {
                continue;
            }
            let m = VouchFor { messages: v.messages, bytes: v.bytes, at_ms: v.at.0 };
            let frame = crate::wire::Message::from(m).frame_with(Bytes::copy_from_slice(&v.signature));
            if cx.send_frame(relay, crate::wire::Lane::Control, frame) {
                cx.counters.vouches_given += 1;
                if self.words.given.len() >= MAX_GIVEN {
                    self.words.given.retain(|_, g| !stale(g));
                }
                if self.words.given.len() < MAX_GIVEN {
                    self.words.given.insert(relay, Given { points, at: now });
                }
            }
        }
    }

    /// This node carried something of that customer's.
    pub(super) fn serves(&mut self, customer: NodeId, now: Time) {
        let served = &mut self.words.served;
        if served.len() >= MAX_SERVED && !served.contains_key(&customer) {
            let first = served.iter().min_by_key(|(_, at)| **at).map(|(node, _)| *node);
            first.map(|node| served.remove(&node));
        }
        served.insert(customer, now);
    }

    /// A customer's word.
    pub(super) fn on_vouch(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &VouchFor, signature: &[u8]) {
        let now = cx.now;
        let Ok(signature) = <[u8; SIGNATURE_LEN]>::try_from(signature) else {
            cx.counters.vouches_refused += 1;
            return;
        };
        let v = Vouch { by: from, messages: m.messages, bytes: m.bytes, at: UnixMillis(m.at_ms), signature };
        let last = self.words.kept.get(&from);
        if last.is_some_and(|k| now.mono.since(k.heard) < APART) {
            cx.counters.vouches_limited += 1;
            return;
        }
        let (newer, known) = (last.is_none_or(|k| k.vouch.at < v.at), last.is_some());
        if !self.words.served.contains_key(&from) || !newer || !v.counts_at(now.wall) || (v.messages, v.bytes) == (0, 0)
        {
            cx.counters.vouches_refused += 1;
            return;
        }
        if !known && !self.has_room(cx, &from) {
            cx.counters.vouches_limited += 1;
            return;
        }
        if !v.verify(&self.network, cx.crypto, &cx.me) {
            cx.counters.vouches_refused += 1;
            return;
        }
        cx.counters.vouches_taken += 1;
        if !known && self.words.kept.len() >= MAX_KEPT {
            self.drop_one(cx);
        }
        self.words.kept.insert(from, Kept { vouch: v, heard: now.mono });
        self.consider_announcing(cx);
    }

    /// Whether one more customer can be kept: always, if this node knows it better than one it has.
    fn has_room(&mut self, cx: &Cx<'_>, from: &NodeId) -> bool {
        if self.words.kept.len() < MAX_KEPT {
            return true;
        }
        self.words.kept.retain(|_, k| k.vouch.counts_at(cx.now.wall));
        let least = self.words.kept.keys().map(|n| cx.topology.role_row(n).merit).fold(f64::INFINITY, f64::min);
        self.words.kept.len() < MAX_KEPT || cx.topology.role_row(from).merit > least
    }

    fn drop_one(&mut self, cx: &Cx<'_>) {
        let merit = |n: &NodeId| cx.topology.role_row(n).merit;
        let least = self.words.kept.keys().min_by(|a, b| merit(a).total_cmp(&merit(b))).copied();
        if let Some(node) = least {
            self.words.kept.remove(&node);
        }
    }

    /// The words to show, in the order of their customers.
    pub(super) fn shown(&mut self, cx: &Cx<'_>) -> Vec<Vouch> {
        self.words.kept.retain(|_, k| k.vouch.counts_at(cx.now.wall));
        let mut all: Vec<(f64, u64, &Vouch)> = self
            .words
            .kept
            .values()
            .filter(|k| k.vouch.at.0 <= cx.now.wall.0)
            .map(|k| (cx.topology.role_row(&k.vouch.by).merit, self.rng.next_u64(), &k.vouch))
            .collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        let mut best: Vec<Vouch> = all.into_iter().take(MAX_VOUCHES).map(|(_, _, v)| v.clone()).collect();
        best.sort_unstable_by_key(|v| v.by);
        best
    }
}
