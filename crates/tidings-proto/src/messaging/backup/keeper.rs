//! The keeper: what it holds for others, on its disk; whom it hands it to, and with whom it shares it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::super::Messaging;
use super::bundle::Bundle;
use super::copies::Copies;
use super::{Answer, BundleId, COPIES, Carried, HAND, KEEPS, KEPT_FOR, LIST, MAX_BODY, Note, decode, is_here};
use crate::identity::{AgentId, NodeId};
use crate::io::{Output, StoreTicket};
use crate::layer::Cx;
use crate::time::{Span, Time};

/// Bundles held, and their bytes (a guess: a day of a few hundred people's talk); a quarter of each from one agent, and for one node.
const MAX: usize = 4_096;
const MAX_BYTES: usize = 32 << 20;
const SHARE: usize = 4;
/// With what keeping them takes.
pub(super) const BYTES: usize = MAX_BYTES + MAX * 1_024;
/// Who is the next of a bundle's keepers hands over so much later than the one before.
const TURN: Span = Span::from_secs(5);
/// Bundles on their way to one node, and before it has taken the first.
const WINDOW: usize = 16;
/// What is handed over and not taken for so long goes again after so long.
const TAKES: Span = Span::from_secs(40);
const AGAIN: Span = Span::from_secs(60);

/// Changed lists written down each time it is looked at copies.
const WRITES: usize = 64;

const NOT_SOUND: u8 = 1;
const FULL: u8 = 5;

pub(in super::super) const PREFIX: &[u8] = b"direct/backup/";

#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub(super) struct Held {
    #[n(0)]
    pub(super) from: NodeId,
    #[n(1)]
    pub(super) to: NodeId,
    /// The sender's agent.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    by: [u8; 32],
    #[n(3)]
    pub(super) keepers: Vec<NodeId>,
    #[n(4)]
    until_ms: u64,
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    pub(super) bundle: Vec<u8>,
    /// Copies that this node has had made of it.
    #[n(6)]
    pub(super) copied: u8,
}

/// A node that something is handed to.
#[derive(Debug)]
struct Handing {
    since: Time,
    not_before: Time,
    /// It has taken something.
    takes: bool,
    out: BTreeMap<BundleId, Time>,
}

/// What this node holds for others.
#[derive(Default)]
pub(super) struct Keeping {
    pub(super) held: BTreeMap<BundleId, Held>,
    by_to: BTreeMap<NodeId, BTreeSet<(u64, BundleId)>>,
    by_until: BTreeSet<(u64, BundleId)>,
    bytes: usize,
    shares: BTreeMap<AgentId, (usize, usize)>,
    /// Being written, and who is to hear.
    writing: BTreeMap<StoreTicket, (NodeId, BundleId)>,
    handing: BTreeMap<NodeId, Handing>,
    pub(super) copies: Copies,
    /// Whose keepers are others than on the disk.
    changed: BTreeSet<BundleId>,
}

/// Whether these may be the keepers of something that this node holds.
fn is_list(cx: &Cx<'_>, keepers: &[NodeId]) -> bool {
    let distinct: BTreeSet<&NodeId> = keepers.iter().collect();
    keepers.len() <= LIST && distinct.len() == keepers.len() && distinct.contains(&cx.me)
}

fn key(id: &BundleId) -> Bytes {
    [PREFIX, &id.0].concat().into()
}

impl Keeping {
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_empty() && self.copies.is_idle()
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.held.len(), self.bytes)
    }

    fn has_room(&self, by: &AgentId, to: &NodeId, bytes: usize) -> bool {
        let (count, held) = self.shares.get(by).copied().unwrap_or_default();
        let for_it = self.by_to.get(to);
        let for_it_bytes = || {
            let of = for_it.into_iter().flatten().filter_map(|(_, id)| self.held.get(id));
            of.map(|h| h.bundle.len()).sum::<usize>()
        };
        self.held.len() < MAX
            && self.bytes + bytes <= MAX_BYTES
            && count < MAX / SHARE
            && held + bytes <= MAX_BYTES / SHARE
            && for_it.map_or(0, BTreeSet::len) < MAX / SHARE
            && for_it_bytes() + bytes <= MAX_BYTES / SHARE
    }

    fn put(&mut self, id: BundleId, h: Held) {
        self.bytes += h.bundle.len();
        let share = self.shares.entry(AgentId(h.by)).or_default();
        *share = (share.0 + 1, share.1 + h.bundle.len());
        self.by_to.entry(h.to).or_default().insert((h.until_ms, id));
        self.by_until.insert((h.until_ms, id));
        self.held.insert(id, h);
    }

    fn take(&mut self, id: &BundleId) -> Option<Held> {
        let h = self.held.remove(id)?;
        self.bytes -= h.bundle.len();
        self.by_until.remove(&(h.until_ms, *id));
        if let Some(share) = self.shares.get_mut(&AgentId(h.by)) {
            *share = (share.0 - 1, share.1 - h.bundle.len());
            if share.0 == 0 {
                self.shares.remove(&AgentId(h.by));
            }
        }
        if let Some(of) = self.by_to.get_mut(&h.to) {
            of.remove(&(h.until_ms, *id));
            if of.is_empty() {
                self.by_to.remove(&h.to);
                self.handing.remove(&h.to);
            }
        }
        if let Some(handing) = self.handing.get_mut(&h.to) {
            handing.takes |= handing.out.remove(id).is_some();
        }
        self.copies.moving.remove(id);
        Some(h)
    }

    /// A node can't take something now. Returns whether it was handed to it.
    pub(super) fn comes_later(&mut self, node: &NodeId, id: &BundleId, now: Time) -> bool {
        let Some(handing) = self.handing.get_mut(node) else { return false };
        if handing.out.remove(id).is_none() {
            return false;
        }
        handing.takes = true;
        handing.not_before = now + TURN;
        true
    }

    /// A node says something new: perhaps it can be reached again.
    pub(super) fn is_back(&mut self, node: &NodeId, now: Time) {
        if let Some(handing) = self.handing.get_mut(node).filter(|h| !h.takes) {
            handing.not_before = now;
            handing.out.clear();
        }
    }

    /// What was written is here again. Returns whether it made sense.
    pub(super) fn recall(&mut self, name: &[u8], value: &[u8]) -> bool {
        let Some(id) = name.strip_prefix(PREFIX).and_then(|id| id.try_into().ok()).map(BundleId) else { return false };
        let Some(h) = decode::<Held>(value) else { return false };
        let sound = BundleId::of(&h.bundle) == id && self.has_room(&AgentId(h.by), &h.to, h.bundle.len());
        if sound {
            self.put(id, h);
        }
        sound
    }
}

impl Messaging {
    /// Somebody asks that something be kept.
    pub(super) fn on_keep(&mut self, cx: &mut Cx<'_>, from: NodeId, agent: AgentId, c: Carried) {
        let id = BundleId::of(&c.bundle);
        let sound = is_list(cx, &c.keepers) && c.bundle.len() <= MAX_BODY;
        if let Some(h) = self.backup.keeping.held.get(&id) {
            let may = from == h.from || h.keepers.contains(&from);
            if may && sound {
                self.set_keepers(id, c.keepers);
            }
            if !self.backup.keeping.writing.values().any(|(_, of)| *of == id) {
                self.tell(cx, from, KEEPS, Answer { id, why: 0 });
            }
            return;
        }
        let bundle = Bundle::parse(&c.bundle).filter(|_| sound && !self.backup.keeping.copies.demoted);
        let by = bundle.and_then(|b| Some((self.may_keep(cx, &b)?, b)));
        let why = match by {
            Some((by, b)) => {
                let until_ms = b.until_ms().min(cx.now.wall.0.saturating_add(KEPT_FOR.0 / 1_000));
                let h = Held {
                    from: b.from,
                    to: b.open.to,
                    by: by.0,
                    keepers: c.keepers,
                    until_ms,
                    bundle: c.bundle,
                    copied: 0,
                };
                match self.backup.keeping.has_room(&by, &h.to, h.bundle.len()) {
                    true => return self.keep(cx, from, id, h),
                    false => FULL,
                }
            }
            None => NOT_SOUND,
        };
        cx.counters.backups_refused += 1;
        self.tell_agent(cx, from, agent, KEEPS, Answer { id, why });
    }

    /// The agent of a bundle's sender, whose share it takes, if it is one to be kept.
    fn may_keep(&self, cx: &mut Cx<'_>, b: &Bundle) -> Option<AgentId> {
        let (me, wall) = (cx.me, cx.now.wall);
        let good = !self.left && b.open.to != me && b.from != me && b.is_in_time(wall) && b.until_ms() > wall.0;
        if !good {
            return None;
        }
        self.proven(cx, b).ok()
    }

    fn keep(&mut self, cx: &mut Cx<'_>, from: NodeId, id: BundleId, h: Held) {
        let ticket = self.ticket();
        self.backup.keeping.writing.insert(ticket, (from, id));
        let value = minicbor::to_vec(&h).ok().map(Bytes::from);
        self.backup.keeping.put(id, h);
        cx.output(Output::Store { ticket, records: vec![(key(&id), value)] });
    }

    /// What was to be written is, or is not. Returns false if that was not a keeper's.
    pub(in super::super) fn keeper_wrote(&mut self, cx: &mut Cx<'_>, ticket: StoreTicket, stored: bool) -> bool {
        let Some((from, id)) = self.backup.keeping.writing.remove(&ticket) else { return false };
        if !stored {
            self.backup.keeping.take(&id);
            cx.counters.backups_refused += 1;
        }
        if stored && !self.backup.keeping.held.contains_key(&id) {
            // It was dropped meanwhile.
            return true;
        }
        cx.counters.backups_held += u64::from(stored);
        self.tell(cx, from, KEEPS, Answer { id, why: if stored { 0 } else { FULL } });
        true
    }

    pub(super) fn drop_held(&mut self, cx: &mut Cx<'_>, id: &BundleId) {
        if self.backup.keeping.take(id).is_some() {
            let ticket = self.ticket();
            cx.output(Output::Store { ticket, records: vec![(key(id), None)] });
        }
    }

    /// Others keep it from now on. That is written when it is next looked at copies: words cost less than writes.
    pub(super) fn set_keepers(&mut self, id: BundleId, keepers: Vec<NodeId>) {
        let Some(h) = self.backup.keeping.held.get_mut(&id).filter(|h| h.keepers != keepers) else { return };
        h.keepers = keepers;
        self.backup.keeping.changed.insert(id);
    }

    /// Writes down who keeps what, as far as that has changed: some at a time.
    pub(super) fn write_keepers(&mut self, cx: &mut Cx<'_>) {
        for _ in 0..WRITES {
            let Some(id) = self.backup.keeping.changed.pop_first() else { return };
            let Some(h) = self.backup.keeping.held.get(&id) else { continue };
            let value = minicbor::to_vec(h).ok().map(Bytes::from);
            let ticket = self.ticket();
            cx.output(Output::Store { ticket, records: vec![(key(&id), value)] });
        }
    }

    /// Something need not be kept any more, or is kept by others too.
    pub(super) fn on_note(&mut self, cx: &mut Cx<'_>, from: NodeId, n: Note) {
        for id in n.ids {
            let Some(h) = self.backup.keeping.held.get(&id) else { continue };
            let (ends, shares) = (from == h.from || from == h.to, h.keepers.contains(&from));
            match n.keepers.is_empty() {
                true if ends => self.drop_held(cx, &id),
                false if (from == h.from || shares) && is_list(cx, &n.keepers) => {
                    self.set_keepers(id, n.keepers.clone())
                }
                _ => cx.counters.backups_unexpected += 1,
            }
        }
    }

    pub(super) fn tend_keeping(&mut self, cx: &mut Cx<'_>) {
        let wall = cx.now.wall.0;
        let over = self.backup.keeping.by_until.iter().take_while(|(until, _)| *until <= wall);
        for id in over.map(|(_, id)| *id).collect::<Vec<_>>() {
            cx.counters.backups_expired += 1;
            self.drop_held(cx, &id);
        }
        for to in self.backup.keeping.by_to.keys().copied().collect::<Vec<_>>() {
            self.hand_over(cx, to);
        }
        self.look_at_copies(cx);
    }

    /// Gives a node that is here what is kept for it.
    fn hand_over(&mut self, cx: &mut Cx<'_>, to: NodeId) {
        let now = cx.now.mono;
        if !is_here(cx, self, &to) {
            self.backup.keeping.handing.remove(&to);
            return;
        }
        let keeping = &mut self.backup.keeping;
        let handing = keeping.handing.entry(to).or_insert_with(|| Handing {
            since: now,
            not_before: now,
            takes: false,
            out: BTreeMap::new(),
        });
        if handing.out.values().any(|at| now.since(*at) >= TAKES) {
            handing.out.clear();
            (handing.not_before, handing.takes) = (now + AGAIN, false);
        }
        if now < handing.not_before {
            return;
        }
        let room = if handing.takes { WINDOW } else { 1 };
        let mut due = Vec::new();
        for (_, id) in keeping.by_to.get(&to).into_iter().flatten() {
            if handing.out.len() + due.len() >= room {
                break;
            }
            let Some(h) = keeping.held.get(id).filter(|_| !handing.out.contains_key(id)) else { continue };
            let turn = h.keepers.iter().position(|k| *k == cx.me).unwrap_or(COPIES);
            if now.since(handing.since) >= TURN.times(turn as u64) {
                due.push((*id, h.clone()));
            }
        }
        for (id, h) in due {
            if !self.tell(cx, to, HAND, Carried { keepers: h.keepers, bundle: h.bundle }) {
                break;
            }
            cx.counters.backups_handed += 1;
            if let Some(handing) = self.backup.keeping.handing.get_mut(&to) {
                handing.out.insert(id, now);
            }
        }
    }
}
