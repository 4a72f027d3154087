//! The sender: what has no receipt is given to keepers, and what becomes of it is followed.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::inbox::EnvelopeId;
use super::super::outgoing::{Conversation, Waiting, prekey};
use super::super::session::Envelope;
use super::super::tracker::{MessageStatus, Progress};
use super::super::{MAX_BODY_LEN, Messaging};
use super::bundle::Bundle;
use super::{Answer, BundleId, COPIES, Carried, FULL, Have, KEEP, is_here, may_wait};
use crate::identity::{CLOCKS_MS, NodeId};
use crate::io::{CommandError, Event, Reply};
use crate::layer::Cx;
use crate::time::{Span, Time};
use crate::wire::OpenSession;

/// What waits for a node that does not say it is here is given to keepers after so long; for another after so long without a receipt
/// (guesses: a second look at the roster, and longer than it takes to find another way).
const AWAY: Span = Span::from_secs(1);
const SILENT: Span = Span::from_secs(5);
/// A keeper that does not answer for so long is not waited for.
const ANSWERS: Span = Span::from_secs(2);
/// Keepers asked for one bundle, at most.
const TRIES: usize = 8;
/// Bundles followed; no more are made while there are so many. And messages in them.
const MAX: usize = 4_096;
const MAX_MESSAGES: usize = 65_536;
/// Bundles whose keepers are not found yet, and made for one node at a time.
const OPEN: usize = 64;
const AT_ONCE: usize = 8;
pub(super) const BYTES: usize = MAX * 512 + MAX_MESSAGES * 96 + OPEN * (MAX_BODY_LEN + FULL);

/// A message waits at keepers for its receiver to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: EnvelopeId,
    /// The node it is for.
    pub node: NodeId,
    /// Who keeps it.
    pub keepers: Vec<NodeId>,
    /// Until when, in milliseconds since 1970, by this node's clock.
    pub until_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    At(Time),
    Keeps,
    No,
}

struct Deposit {
    to: NodeId,
    epoch: u64,
    first: u64,
    /// Past the last number.
    past: u64,
    /// Of these so many have no receipt.
    left: u64,
    /// The bundle, until it is kept by enough.
    bundle: Bytes,
    /// Those asked for it, and who they were told keeps it.
    asked: BTreeMap<NodeId, Asked>,
    told: Vec<NodeId>,
    /// How often keepers were asked: all were told the same if once.
    rounds: u32,
    settled: bool,
    until_ms: u64,
}

impl Deposit {
    fn keepers(&self) -> Vec<NodeId> {
        self.asked.iter().filter(|(_, a)| **a == Asked::Keeps).map(|(n, _)| *n).collect()
    }

    fn ids(&self, me: &NodeId) -> impl Iterator<Item = EnvelopeId> {
        let (me, to, epoch) = (*me, self.to, self.epoch);
        (self.first..self.past).map(move |n| EnvelopeId::of(&me, &to, epoch, n))
    }
}

/// What was given to keepers and has not arrived, as far as is known.
#[derive(Default)]
pub(super) struct Deposits {
    all: BTreeMap<BundleId, Deposit>,
    /// By message: its bundle, and whether a program waits to hear of it.
    messages: BTreeMap<EnvelopeId, (BundleId, bool)>,
}

impl Deposits {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The node that a message is kept for, and by whom.
    pub(super) fn keeps(&self, id: &EnvelopeId) -> Option<(NodeId, Vec<NodeId>)> {
        let d = self.all.get(&self.messages.get(id)?.0)?;
        let keepers = d.keepers();
        (!keepers.is_empty()).then_some((d.to, keepers))
    }

    fn remove(&mut self, me: &NodeId, id: &BundleId) -> Option<Deposit> {
        let d = self.all.remove(id)?;
        for m in d.ids(me) {
            self.messages.remove(&m);
        }
        Some(d)
    }
}

/// The next messages that no bundle has: the first number, and each with when it was handed in and whether a program waits for it.
fn next_bundle(c: &Conversation) -> (u64, Vec<&Waiting>) {
    let fresh = c.waiting.iter().filter(|w| w.number > c.bundled && !w.done);
    let mut taken: Vec<&Waiting> = Vec::new();
    let mut size = 0;
    for w in fresh.skip_while(|w| !may_wait(w.kind)) {
        let len = Envelope::len(w.body.len());
        let fits = taken.last().is_none_or(|l| l.number + 1 == w.number && size + len <= FULL);
        if !fits || !may_wait(w.kind) {
            break;
        }
        size += len;
        taken.push(w);
    }
    (taken.first().map_or(0, |w| w.number), taken)
}

impl Messaging {
    /// Gives to keepers what waits too long.
    pub(in super::super) fn back_up(&mut self, cx: &mut Cx<'_>) {
        let peers: Vec<NodeId> =
            self.conversations.iter().filter(|(_, c)| !c.waiting.is_empty()).map(|(id, _)| *id).collect();
        for peer in peers {
            for _ in 0..AT_ONCE {
                let open = self.backup.deposits.all.values().filter(|d| !d.settled).count();
                let d = &self.backup.deposits;
                if open >= OPEN || d.all.len() >= MAX || d.messages.len() >= MAX_MESSAGES || !self.bundle(cx, peer) {
                    break;
                }
            }
        }
    }

    /// Makes a bundle of what waits for a peer. Returns whether there was anything that had waited long enough.
    fn bundle(&mut self, cx: &mut Cx<'_>, peer: NodeId) -> bool {
        let now = cx.now.mono;
        let Some(c) = self.conversations.get(&peer) else { return false };
        let (first, taken) = next_bundle(c);
        let Some(oldest) = taken.first() else { return false };
        let waits = now.since(oldest.since).min(now.since(c.idle_since));
        if waits < AWAY || (waits < SILENT && is_here(cx, self, &peer)) {
            return false;
        }
        let messages: Vec<Envelope> =
            taken.iter().map(|w| Envelope { kind: w.kind, at_ms: w.at_ms, body: w.body.to_vec() }).collect();
        let asks: Vec<bool> = taken.iter().map(|w| w.kind == 0).collect();
        let (epoch, agent) = (c.epoch, c.agent);
        let mut random = || {
            let mut bytes = [0; 32];
            bytes.chunks_mut(8).for_each(|b| b.copy_from_slice(&self.rng.next_u64().to_le_bytes()));
            bytes
        };
        let random = (random(), random());
        let Some((own, certificate)) = cx.agents.own_certificate().cloned() else { return false };
        let Some((prekey, key)) = prekey(cx, &agent, &peer) else { return false };
        let session = self.rng.next_u64();
        let at_ms = cx.now.wall.0.max(epoch);
        let open = OpenSession { session, to: peer, certificate: own.into(), prekey, epoch, at_ms };
        let sealed = Bundle::seal(
            &self.backup.key,
            cx.crypto,
            open,
            (&key, &certificate),
            (&random.0, &random.1),
            (first, &messages),
        );
        let Some(bundle) = sealed else { return false };
        let id = BundleId::of(&bundle);
        let past = first + messages.len() as u64;
        let d = Deposit {
            to: peer,
            epoch,
            first,
            past,
            left: messages.len() as u64,
            bundle: bundle.into(),
            asked: BTreeMap::new(),
            told: Vec::new(),
            rounds: 0,
            settled: false,
            until_ms: at_ms.saturating_add(super::KEPT_FOR.0 / 1_000),
        };
        for (message, ask) in d.ids(&cx.me).zip(asks) {
            self.backup.deposits.messages.insert(message, (id, ask));
        }
        self.backup.deposits.all.insert(id, d);
        if let Some(c) = self.conversations.get_mut(&peer) {
            c.bundled = past - 1;
        }
        cx.counters.backups_made += 1;
        self.find_keepers(cx, id);
        self.backup_soon(cx);
        true
    }

    /// Asks keepers for a bundle until enough have it, or there are no more.
    fn find_keepers(&mut self, cx: &mut Cx<'_>, id: BundleId) {
        let now = cx.now.mono;
        let Some(d) = self.backup.deposits.all.get(&id).filter(|d| !d.settled) else { return };
        let asked: Vec<NodeId> = d.asked.keys().copied().collect();
        let count = |is: &dyn Fn(&Asked) -> bool| d.asked.values().filter(|a| is(a)).count();
        let keep = count(&|a| *a == Asked::Keeps);
        let waiting = count(&|a| matches!(a, Asked::At(at) if now.since(*at) < ANSWERS));
        let lacking = COPIES.saturating_sub(keep + waiting).min(TRIES.saturating_sub(asked.len()));
        let (to, bundle) = (d.to, d.bundle.clone());
        let new = match lacking {
            0 => Vec::new(),
            _ => self.keepers(cx, lacking, |n| *n == to || asked.contains(n)),
        };
        if keep >= COPIES || (keep > 0 && waiting == 0 && new.is_empty()) {
            return self.settle(cx, id);
        }
        let Some(d) = self.backup.deposits.all.get_mut(&id) else { return };
        if new.is_empty() && waiting == 0 {
            // Nobody: later there may be somebody.
            d.asked.clear();
            return;
        }
        let still = |a: &Asked| *a == Asked::Keeps || matches!(a, Asked::At(at) if now.since(*at) < ANSWERS);
        let mut list: Vec<NodeId> = d.asked.iter().filter(|(_, a)| still(a)).map(|(n, _)| *n).collect();
        list.extend(&new);
        if !new.is_empty() {
            d.told.clone_from(&list);
            d.rounds += 1;
        }
        for keeper in new {
            let carried = Carried { keepers: list.clone(), bundle: bundle.to_vec() };
            let said = self.tell(cx, keeper, KEEP, carried);
            if let Some(d) = self.backup.deposits.all.get_mut(&id) {
                d.asked.insert(keeper, if said { Asked::At(now) } else { Asked::No });
            }
        }
    }

    /// Enough keep it, or all that can be found. Who waited to hear of it does.
    fn settle(&mut self, cx: &mut Cx<'_>, id: BundleId) {
        let Some(d) = self.backup.deposits.all.get_mut(&id) else { return };
        let keepers = d.keepers();
        (d.settled, d.bundle) = (true, Bytes::new());
        let mut told = d.told.clone();
        told.sort_unstable();
        let (to, epoch, first, past, until_ms) = (d.to, d.epoch, d.first, d.past, d.until_ms);
        cx.counters.backups_kept += 1;
        let rounds = d.rounds;
        if told != keepers || rounds > 1 {
            self.note(cx, &keepers, &[id], &keepers);
        }
        let Some(d) = self.backup.deposits.all.get(&id) else { return };
        let messages = &self.backup.deposits.messages;
        if !d.ids(&cx.me).any(|m| messages.get(&m).is_some_and(|(_, asks)| *asks)) {
            // Nobody waits to hear of it.
            self.backup.deposits.remove(&cx.me, &id);
        }
        let Some(c) = self.conversations.get_mut(&to).filter(|c| c.epoch == epoch) else { return };
        for w in c.waiting.iter_mut().filter(|w| (first..past).contains(&w.number)) {
            w.kept = true;
            let Some(ticket) = w.ticket.take() else { continue };
            let id = EnvelopeId::of(&cx.me, &to, epoch, w.number);
            let p = Progress { id, to, status: MessageStatus::Relayed, via: keepers.clone() };
            cx.event(Event::Message(Box::new(p)));
            cx.reply(ticket, Reply::Kept(Kept { id, node: to, keepers: keepers.clone(), until_ms }));
        }
    }

    /// A node says whether it keeps something.
    pub(super) fn on_keeps(&mut self, cx: &mut Cx<'_>, from: NodeId, answer: &Answer) {
        let Some(d) = self.backup.deposits.all.get_mut(&answer.id) else {
            return self.on_moved(cx, from, answer);
        };
        let Some(asked) = d.asked.get_mut(&from) else {
            cx.counters.backups_unexpected += 1;
            return;
        };
        *asked = if answer.why == 0 { Asked::Keeps } else { Asked::No };
        if answer.why != 0 {
            cx.counters.backups_declined += 1;
        }
        self.find_keepers(cx, answer.id);
    }

    /// A message of this node's has a receipt: when all of a bundle have, nobody need keep it.
    pub(in super::super) fn is_receipted(&mut self, cx: &mut Cx<'_>, message: &EnvelopeId) {
        let deposits = &mut self.backup.deposits;
        let Some((id, _)) = deposits.messages.remove(message) else { return };
        let Some(d) = deposits.all.get_mut(&id) else { return };
        d.left = d.left.saturating_sub(1);
        if d.left > 0 {
            return;
        }
        let asked: Vec<NodeId> = d.asked.keys().copied().collect();
        deposits.remove(&cx.me, &id);
        self.note(cx, &asked, &[id], &[]);
    }

    /// Its receiver says that it has what was kept for it, or will never take it.
    pub(super) fn on_have(&mut self, cx: &mut Cx<'_>, from: NodeId, have: &Have) {
        if self.backup.deposits.all.get(&have.id).is_none_or(|d| d.to != from) {
            cx.counters.backups_unexpected += 1;
            return;
        }
        let status = match have.why {
            0 => MessageStatus::Delivered,
            3 => MessageStatus::Failed(CommandError::NotProven),
            _ => MessageStatus::Failed(CommandError::NotOpened),
        };
        self.end_deposit(cx, &have.id, &status, vec![have.keeper]);
    }

    /// The messages of a bundle have come to this end.
    fn end_deposit(&mut self, cx: &mut Cx<'_>, id: &BundleId, status: &MessageStatus, via: Vec<NodeId>) {
        let deposits = &mut self.backup.deposits;
        let Some(d) = deposits.all.get(id) else { return };
        let waits = |m: &EnvelopeId| deposits.messages.get(m).is_some_and(|(of, asks)| of == id && *asks);
        let ended: Vec<EnvelopeId> = d.ids(&cx.me).filter(waits).collect();
        let Some(d) = deposits.remove(&cx.me, id) else { return };
        if let Some(c) = self.conversations.get_mut(&d.to).filter(|c| c.epoch == d.epoch) {
            // What is under way directly is one more copy.
            for w in c.waiting.iter_mut().filter(|w| (d.first..d.past).contains(&w.number)) {
                w.done = true;
                if let Some(ticket) = w.ticket.take() {
                    let id = EnvelopeId::of(&cx.me, &d.to, d.epoch, w.number);
                    let took = cx.now.mono.since(w.since);
                    let delivered = super::super::Delivered { id, node: d.to, via: via.clone(), took };
                    cx.reply(
                        ticket,
                        match status {
                            MessageStatus::Failed(why) => Reply::Refused(why.clone()),
                            _ => Reply::Delivered(delivered),
                        },
                    );
                }
            }
        }
        for id in ended {
            match status {
                MessageStatus::Delivered => cx.counters.direct_delivered += 1,
                _ => cx.counters.direct_failed += 1,
            }
            self.tracker.ended(cx, Progress { id, to: d.to, status: status.clone(), via: via.clone() });
        }
    }

    /// What this node says to another has new numbers from now on: what is kept under the old ones is not said again, and what
    /// nobody keeps yet is taken back.
    pub(in super::super) fn renumbered(&mut self, cx: &mut Cx<'_>, peer: NodeId, old: u64) {
        let of = self.backup.deposits.all.iter().filter(|(_, d)| d.to == peer && d.epoch == old);
        for (id, settled) in of.map(|(id, d)| (*id, d.settled)).collect::<Vec<_>>() {
            if settled {
                continue;
            }
            let Some(d) = self.backup.deposits.remove(&cx.me, &id) else { continue };
            let asked: Vec<NodeId> = d.asked.into_keys().collect();
            self.note(cx, &asked, &[id], &[]);
        }
        let Some(c) = self.conversations.get_mut(&peer) else { return };
        for w in c.waiting.iter_mut().filter(|w| w.kept) {
            w.done = true;
        }
        c.bundled = c.waiting.iter().filter(|w| w.kept).map(|w| w.number).max().unwrap_or(0);
    }

    pub(super) fn tend_deposits(&mut self, cx: &mut Cx<'_>) {
        self.back_up(cx);
        let open = self.backup.deposits.all.iter().filter(|(_, d)| !d.settled);
        for id in open.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.find_keepers(cx, id);
        }
        let wall = cx.now.wall.0;
        let waiting = |d: &Deposit| {
            let c = self.conversations.get(&d.to).filter(|c| c.epoch == d.epoch);
            c.is_some_and(|c| c.waiting.iter().any(|w| (d.first..d.past).contains(&w.number)))
        };
        // Over, or failed before anybody kept it.
        let over = |d: &Deposit| match d.settled {
            true => d.until_ms.saturating_add(CLOCKS_MS) < wall,
            false => !waiting(d),
        };
        let over = self.backup.deposits.all.iter().filter(|(_, d)| over(d));
        for (id, settled) in over.map(|(id, d)| (*id, d.settled)).collect::<Vec<_>>() {
            match settled {
                true => {
                    let status = MessageStatus::Failed(CommandError::NotCollected);
                    self.end_deposit(cx, &id, &status, Vec::new());
                }
                false => drop(self.backup.deposits.remove(&cx.me, &id)),
            }
        }
    }
}
