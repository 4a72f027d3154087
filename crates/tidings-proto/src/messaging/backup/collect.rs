//! The receiver: what was kept for it is opened, written down once, and then dropped everywhere.

use std::collections::BTreeSet;

use super::super::Messaging;
use super::super::inbox::{EnvelopeId, Received};
use super::super::incoming::{Seen, seen_record};
use super::bundle::Bundle;
use super::{Answer, BundleId, Carried, HAVE, Have, KEEPS, LATER, LIST, NOTE, Note, is_ours};
use crate::identity::{AgentId, NodeId};
use crate::io::{Event, Output, StoreTicket};
use crate::layer::Cx;
use crate::membership::Tokens;
use crate::time::Span;
use bytes::Bytes;

/// Bundles being written at once.
const WRITING: usize = 256;
/// Bundles that one node may hand over at once, and one more each interval (honest keepers: sixteen a second); nodes of which that is counted.
const HANDS: (u32, Span) = (64, Span::from_millis(31));
const HANDING: usize = 1_024;
/// Bundles of which it is remembered that their senders were told; then it begins anew.
const TOLD: usize = 8_192;
/// What that takes.
pub(super) const BYTES: usize = HANDING * 96 + TOLD * 48 + WRITING * 512;

const TAKEN: u8 = 0;
const NOT_SOUND: u8 = 1;
const NOT_PROVEN: u8 = 3;
const NO_PREKEY: u8 = 4;

/// A bundle being written.
pub(super) struct Collected {
    id: BundleId,
    from: NodeId,
    epoch: u64,
    numbers: Vec<u64>,
    shown: Vec<Received>,
    agent: AgentId,
    keepers: Keepers,
    answered: bool,
}

/// Who has a bundle that was handed over.
struct Keepers {
    /// Who handed it over, and its agent.
    by: (NodeId, AgentId),
    others: Vec<NodeId>,
}

impl Messaging {
    /// Somebody had this for us.
    pub(super) fn on_hand(&mut self, cx: &mut Cx<'_>, keeper: NodeId, by: AgentId, c: Carried) {
        let (id, now) = (BundleId::of(&c.bundle), cx.now.mono);
        let handing = &mut self.backup.handing;
        if handing.len() >= HANDING && !handing.contains_key(&keeper) {
            handing.clear();
        }
        let tokens = handing.entry(keeper).or_insert_with(|| Tokens::new(HANDS.0, HANDS.1, now));
        let known = self.backup.collecting.values().any(|of| of.id == id);
        if known || self.left || self.backup.collecting.len() >= WRITING || !tokens.take(now) {
            return;
        }
        let keepers: BTreeSet<NodeId> = c.keepers.into_iter().take(LIST).filter(|n| *n != keeper).collect();
        let keepers = Keepers { by: (keeper, by), others: keepers.into_iter().collect() };
        let Some(b) = Bundle::parse(&c.bundle).filter(|b| b.open.to == cx.me && b.from != cx.me) else {
            cx.counters.backups_forged += 1;
            return self.need_not_keep(cx, id, &keepers, false);
        };
        if !b.is_in_time(cx.now.wall) {
            // A clock may be wrong: it is handed over again.
            cx.counters.backups_refused += 1;
            return;
        }
        let agent = match self.proven(cx, &b) {
            Ok(agent) => agent,
            Err(why) => {
                cx.counters.backups_forged += 1;
                self.need_not_keep(cx, id, &keepers, false);
                if why != NOT_SOUND {
                    self.tell(cx, b.from, HAVE, Have { id, keeper, why });
                }
                return;
            }
        };
        let opened = cx.agents.prekey_secret(b.open.prekey).and_then(|s| b.open(&self.backup.key, cx.crypto, s));
        let Some(messages) = opened else {
            cx.counters.backups_unopened += 1;
            self.need_not_keep(cx, id, &keepers, false);
            self.tell_agent(cx, b.from, agent, HAVE, Have { id, keeper, why: NO_PREKEY });
            return;
        };
        let floor = self.senders.floor_ms;
        let mut seen = match self.senders.seen(&b.from) {
            Some(seen) => seen.clone(),
            // Who was forgotten may have said this before: keepers go on until it is over.
            None if b.open.at_ms <= floor => {
                cx.counters.backups_refused += 1;
                return;
            }
            None => Seen { epoch: 0, at_ms: floor, heard_ms: cx.now.wall.0, ledger: Default::default(), bundle_ms: 0 },
        };
        seen.bundle_ms = seen.bundle_ms.max(b.open.at_ms);
        let epoch = b.open.epoch;
        let first = messages.first().map_or(0, |(n, _)| *n);
        if !seen.ledger.has_room_for(epoch, first..first + messages.len() as u64) {
            // Others may fill what is missing first; else it is said to have come by nobody.
            return self.later(cx, &keepers, id);
        }
        let has = messages.iter().any(|(n, _)| !seen.ledger.lacks(epoch, *n));
        if has && (self.senders.is_writing(&b.from) || self.is_collecting(&b.from)) {
            // What it has already is perhaps not on the disk yet.
            return self.later(cx, &keepers, id);
        }
        let fresh = messages.iter().filter(|(n, e)| e.kind == 0 && seen.ledger.lacks(epoch, *n));
        let sizes: Vec<usize> = fresh.map(|(_, e)| e.body.len()).collect();
        if !self.inbox.has_room_for(&agent, &sizes) {
            // When some of it is read there is room.
            cx.counters.inbox_full += 1;
            return self.later(cx, &keepers, id);
        }
        let (mut records, mut shown, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        // Who is told that it has come need not hear in turn that this has.
        let answered = messages.iter().any(|(_, e)| e.kind != HAVE);
        for (number, e) in messages {
            if !seen.ledger.take(epoch, number) {
                cx.counters.envelopes_duplicate += 1;
                continue;
            }
            numbers.push(number);
            match e.kind {
                0 => {
                    let r = Received {
                        id: EnvelopeId::of(&b.from, &cx.me, epoch, number),
                        from: b.from,
                        agent,
                        at_ms: e.at_ms,
                        received_ms: cx.now.wall.0,
                        body: e.body.into(),
                    };
                    records.push(self.inbox.put(r.clone()));
                    shown.push(r);
                }
                super::super::READ => self.on_read(cx, b.from, &e.body),
                HAVE => self.on_backup(cx, b.from, agent, e.kind, &e.body),
                k if is_ours(k) => cx.counters.backups_unexpected += 1,
                _ => cx.counters.envelopes_unknown += 1,
            }
        }
        let collected = Collected { id, from: b.from, epoch, numbers, shown, agent, keepers, answered };
        if collected.numbers.is_empty() {
            return self.collected(cx, collected);
        }
        records.extend(seen_record(&b.from, &seen));
        self.note_seen(cx, b.from, seen);
        let ticket = self.ticket();
        self.backup.collecting.insert(ticket, collected);
        cx.output(Output::Store { ticket, records });
    }

    /// The agent that a bundle is of, or why it is nobody's.
    pub(super) fn proven(&self, cx: &mut Cx<'_>, b: &Bundle) -> Result<AgentId, u8> {
        let wall = cx.now.wall;
        if !b.is_signed(&self.backup.key, cx.crypto) {
            return Err(NOT_SOUND);
        }
        if !cx.certificates.knows(b.open.certificate) {
            // What is wrong with it shows below.
            let _ = cx.certificates.admit(&Bytes::copy_from_slice(b.certificate()), wall, cx.crypto);
        }
        match cx.certificates.agent(b.open.certificate, &b.from, wall) {
            Some(Ok(agent)) => Ok(agent),
            _ => Err(NOT_PROVEN),
        }
    }

    /// It is on the disk, or is not. Returns false if that was not a bundle.
    pub(in super::super) fn receiver_wrote(&mut self, cx: &mut Cx<'_>, ticket: StoreTicket, stored: bool) -> bool {
        let Some(c) = self.backup.collecting.remove(&ticket) else { return false };
        // What came meanwhile over a link has waited for this.
        self.senders.due.insert(c.from);
        match stored {
            true => self.collected(cx, c),
            false => {
                // It has not come: keepers have it still.
                for r in &c.shown {
                    self.inbox.take(&r.id);
                }
                self.senders.give_back(&c.from, c.epoch, &c.numbers);
            }
        }
        true
    }

    fn collected(&mut self, cx: &mut Cx<'_>, c: Collected) {
        cx.counters.direct_received += c.shown.len() as u64;
        cx.counters.backups_collected += u64::from(!c.numbers.is_empty());
        for r in c.shown {
            cx.event(Event::Direct(Box::new(r)));
        }
        self.need_not_keep(cx, c.id, &c.keepers, !c.numbers.is_empty());
        let told = &mut self.backup.told;
        if told.len() >= TOLD {
            told.clear();
        }
        if c.answered && told.insert(c.id) {
            let keeper = c.keepers.by.0;
            self.tell_agent(cx, c.from, c.agent, HAVE, Have { id: c.id, keeper, why: TAKEN });
        }
    }

    /// Who handed it over need not keep it any more; nor need others, if it was the first to.
    fn need_not_keep(&mut self, cx: &mut Cx<'_>, id: BundleId, keepers: &Keepers, first: bool) {
        let (keeper, agent) = keepers.by;
        self.tell_agent(cx, keeper, agent, NOTE, Note { ids: vec![id], keepers: Vec::new() });
        if first {
            self.note(cx, &keepers.others, &[id], &[]);
        }
    }

    /// It can't be taken now: it is to be handed over again.
    fn later(&mut self, cx: &mut Cx<'_>, keepers: &Keepers, id: BundleId) {
        cx.counters.backups_refused += 1;
        let (keeper, agent) = keepers.by;
        self.tell_agent(cx, keeper, agent, KEEPS, Answer { id, why: LATER });
    }

    /// Whether something of a sender that keepers had is still being written.
    pub(in super::super) fn is_collecting(&self, from: &NodeId) -> bool {
        self.backup.collecting.values().any(|c| c.from == *from)
    }
}
