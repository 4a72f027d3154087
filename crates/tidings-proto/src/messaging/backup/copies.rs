//! Keepers see to it that there are as many copies as there should be.
//!
//! A keeper counts as gone when its beacon is, or when it could not be dialed twice. A beacon outlives a crash by minutes, in which
//! all three might go; so keepers that have not heard of each other for a while dial each other. Of a bundle's keepers the
//! first that is there acts; who is a relay no longer does so for all that it holds, and drops it then.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Messaging;
use super::keeper::Held;
use super::{Answer, BundleId, COPIES, Carried, KEEP, LATER, is_here};
use crate::identity::NodeId;
use crate::io::Overlay;
use crate::layer::Cx;
use crate::links::{Claim, Claimed};
use crate::routing;
use crate::time::{Span, Time};

/// How often it is seen to.
const LOOK: Span = Span::from_secs(10);
/// A keeper that was not heard of for so long is dialed, so many at a time; one that could not be so often is gone (guesses: a copy is made
/// anew within a minute and a half, for a handshake a minute and pair of keepers).
const SILENT: Span = Span::from_secs(60);
const DIALS: usize = 8;
const FAILS: u8 = 2;
/// Copies made at once, and how long each may take.
const MOVING: usize = 32;
const MOVES: Span = Span::from_secs(15);
/// Copies that one keeper has made of one bundle (a guess: relays do not go that often in a day).
const COPIED: u8 = 12;

const CLAIM: Claim = Claim { layer: 105, overlay: Overlay::Root };

/// What is known of another keeper.
#[derive(Clone, Copy, Debug)]
struct Other {
    heard: Time,
    /// It is being dialed since then.
    dialed: Option<Time>,
    failed: u8,
}

/// The copies that others have of what this node holds.
#[derive(Debug, Default)]
pub(super) struct Copies {
    others: BTreeMap<NodeId, Other>,
    away: BTreeSet<NodeId>,
    /// To whom copies are being given.
    pub(super) moving: BTreeMap<BundleId, (NodeId, Time)>,
    looked: Time,
    /// Where it was looked last for what lacks copies.
    after: Option<BundleId>,
    /// This node was a relay, and is none.
    pub(super) demoted: bool,
}

impl Copies {
    /// Those that a bundle's copies are at, as far as is known.
    fn live(&self, h: &Held, me: &NodeId) -> Vec<NodeId> {
        h.keepers.iter().filter(|n| if *n == me { !self.demoted } else { !self.away.contains(n) }).copied().collect()
    }

    /// Whether nobody is being dialed.
    pub(super) fn is_idle(&self) -> bool {
        self.others.is_empty()
    }

    /// A dial came to nothing.
    pub(super) fn not_reached(&mut self, cx: &mut Cx<'_>, peer: &NodeId) {
        let Some(o) = self.others.get_mut(peer) else { return };
        if o.dialed.take().is_some() {
            o.failed = o.failed.saturating_add(1);
            cx.release(*peer, CLAIM);
        }
    }
}

impl Messaging {
    /// A node says whether it has taken a copy from this one.
    pub(super) fn on_moved(&mut self, cx: &mut Cx<'_>, from: NodeId, answer: &Answer) {
        let id = answer.id;
        let keeping = &mut self.backup.keeping;
        if answer.why == LATER && keeping.comes_later(&from, &id, cx.now.mono) {
            return;
        }
        if keeping.copies.moving.get(&id).is_none_or(|(to, _)| *to != from) {
            cx.counters.backups_unexpected += 1;
            return;
        }
        keeping.copies.moving.remove(&id);
        if answer.why != 0 {
            cx.counters.backups_declined += 1;
            return;
        }
        let Some(h) = keeping.held.get(&id) else { return };
        let mut keepers = keeping.copies.live(h, &cx.me);
        keepers.push(from);
        cx.counters.backups_moved += 1;
        self.note(cx, &keepers, &[id], &keepers);
        match keepers.contains(&cx.me) {
            true => self.set_keepers(id, keepers),
            false => self.drop_held(cx, &id),
        }
    }

    /// Sees whether all copies are there, and has those made that are not.
    pub(super) fn look_at_copies(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        if now.since(self.backup.keeping.copies.looked) < LOOK {
            return;
        }
        self.backup.keeping.copies.looked = now;
        self.look_at_others(cx);
        self.write_keepers(cx);
        let keeping = &mut self.backup.keeping;
        keeping.copies.moving.retain(|_, (_, at)| now.since(*at) < MOVES);
        let mut short = Vec::new();
        let from = keeping.copies.after.unwrap_or(BundleId([0; 16]));
        for (id, h) in keeping.held.range(from..).chain(keeping.held.range(..from)) {
            if h.copied >= COPIED {
                continue;
            }
            let live = keeping.copies.live(h, &cx.me);
            let mine = live.first() == Some(&cx.me) || keeping.copies.demoted;
            if live.len() < COPIES && mine && !keeping.copies.moving.contains_key(id) {
                short.push((*id, live));
            }
        }
        short.truncate(MOVING.saturating_sub(keeping.copies.moving.len()));
        keeping.copies.after = short.last().map(|(id, _)| *id);
        for (id, live) in short {
            let Some(h) = self.backup.keeping.held.get(&id).cloned() else { continue };
            let but = |n: &NodeId| *n == h.to || *n == h.from || h.keepers.contains(n);
            let Some(new) = self.keepers(cx, 1, but).pop() else { break };
            let keepers = live.into_iter().chain([new]).collect();
            if self.tell(cx, new, KEEP, Carried { keepers, bundle: h.bundle }) {
                self.backup.keeping.copies.moving.insert(id, (new, now));
                if let Some(h) = self.backup.keeping.held.get_mut(&id) {
                    h.copied += 1;
                }
            }
        }
    }

    /// Sees which of the other keepers are there.
    fn look_at_others(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let of = self.backup.keeping.held.values().flat_map(|h| h.keepers.iter().copied());
        let others: BTreeSet<NodeId> = of.filter(|n| *n != cx.me).collect();
        let mut copies = std::mem::take(&mut self.backup.keeping.copies);
        for gone in copies.others.keys().filter(|n| !others.contains(n)).copied().collect::<Vec<_>>() {
            copies.not_reached(cx, &gone);
            copies.others.remove(&gone);
        }
        copies.away.clear();
        let mut dials = copies.others.values().filter(|o| o.dialed.is_some()).count();
        for n in others {
            let o = copies.others.entry(n).or_insert(Other { heard: now, dialed: None, failed: 0 });
            if cx.links().is_direct(&n) {
                (o.heard, o.failed) = (now, 0);
                if o.dialed.take().is_some() {
                    cx.release(n, CLAIM);
                }
                continue;
            }
            if o.dialed.is_some_and(|at| now.since(at) >= LOOK) {
                o.dialed = None;
                o.failed = o.failed.saturating_add(1);
                cx.release(n, CLAIM);
            }
            if o.failed >= FAILS || !is_here(cx, self, &n) {
                copies.away.insert(n);
            }
            let due = o.failed > 0 || now.since(o.heard) >= SILENT;
            if due && o.dialed.is_none() && dials < DIALS {
                let addrs = routing::addrs(cx, &self.group, &n);
                if matches!(cx.claim_at(n, CLAIM, &addrs), Claimed::Up | Claimed::Dialing) {
                    (o.dialed, dials) = (Some(now), dials + 1);
                }
            }
        }
        self.backup.keeping.copies = copies;
    }
}
