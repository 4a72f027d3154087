//! What others have to say to this node: checked, opened, written down, and only then shown and receipted.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::inbox::{self, EnvelopeId, Received};
use super::ledger::Ledger;
use super::session::{Chain, MAX_AGE, MAX_FRAMES, Opening};
use super::{Messaging, OURS, backup};
use crate::identity::{AgentId, CLOCKS_MS, MAX_CERTIFICATE, NodeId, PeerAddr};
use crate::io::{Event, Output, Reply, StoreTicket, Ticket};
use crate::layer::Cx;
use crate::membership::Tokens;
use crate::time::{Span, Time};
use crate::wire::{CertificateRef, CloseSession, Envelopes, OpenSession, Receipt};

/// Senders whose numbers are kept; the one heard longest ago goes, and nobody older is heard any more.
const MAX_SEEN: usize = 16_384;
/// With what keeping them takes, sessions among them.
pub(super) const BYTES: usize = MAX_SEEN * (512 + super::ledger::BYTES) + HOLDING * AHEAD_BYTES;
/// Sessions that one link may open: so many, and one more each interval (a guess; honest ones open one an hour).
const OPENS: (u32, Span) = (16, Span::from_secs(1));

/// Frames of a session kept that come before their turn, their bytes (as many as are on their way at once), and sessions with such.
const AHEAD: usize = 64;
const AHEAD_BYTES: usize = 384 << 10;
const HOLDING: usize = 32;
/// Senders whose openings are counted; then it begins anew.
const OPENERS: usize = 4_096;

/// No number is higher.
const LAST: u64 = u64::MAX - 1;

const UNKNOWN: u8 = 1;
const OLD: u8 = 2;
const NOT_PROVEN: u8 = 3;
const NO_PREKEY: u8 = 4;
const FULL: u8 = 5;
const NO_AGENT: u8 = 6;

/// What is remembered of a sender, also across restarts.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct Seen {
    /// That of its last session.
    #[n(0)]
    pub(super) epoch: u64,
    /// When that was opened, by its clock.
    #[n(2)]
    pub(super) at_ms: u64,
    /// When it was heard last, by this node's.
    #[n(3)]
    pub(super) heard_ms: u64,
    /// What has come.
    #[n(4)]
    pub(super) ledger: Ledger,
    /// When the latest bundle of its that came was sealed, by its clock (`backup/`).
    #[n(5)]
    pub(super) bundle_ms: u64,
}

struct Session {
    id: u64,
    chain: Chain,
    agent: AgentId,
    certificate: CertificateRef,
    began: Time,
    /// The relays by which something came last, in the order of an answer; none if it was a link.
    back: Vec<NodeId>,
    /// It has come through relays, which may exchange the order.
    relayed: bool,
    /// Past the number that it has brought last.
    upto: u64,
    /// Frames that came before their turn.
    ahead: BTreeMap<u64, (Envelopes, Bytes)>,
}

/// Being written: what is shown then, and whose receipt is due.
struct Writing {
    from: NodeId,
    shown: Vec<Received>,
    /// The numbers that come with it.
    epoch: u64,
    numbers: Vec<u64>,
    asked: Option<Ticket>,
}

impl Writing {
    /// Nobody waits for it to be written.
    fn aside(from: NodeId) -> Writing {
        Writing { from, shown: Vec::new(), epoch: 0, numbers: Vec::new(), asked: None }
    }
}

/// Those who have something to say.
#[derive(Default)]
pub(super) struct Senders {
    seen: BTreeMap<NodeId, Seen>,
    /// By when they were heard last.
    by_age: BTreeSet<(u64, NodeId)>,
    /// No session opened before this is believed: who was forgotten may have had one.
    pub(super) floor_ms: u64,
    sessions: BTreeMap<NodeId, Session>,
    may_open: BTreeMap<NodeId, Tokens>,
    writing: BTreeMap<StoreTicket, Writing>,
    pub(super) due: BTreeSet<NodeId>,
    tickets: u64,
    loaded: bool,
}

const SEEN: &[u8] = b"direct/seen/";
const PREFIX: &[u8] = b"direct/";
const LOAD: StoreTicket = StoreTicket(OURS);

fn seen_key(of: &NodeId) -> Bytes {
    [SEEN, of.as_bytes()].concat().into()
}

/// What is to be written of it.
pub(super) fn seen_record(of: &NodeId, seen: &Seen) -> Option<(Bytes, Option<Bytes>)> {
    Some((seen_key(of), Some(minicbor::to_vec(seen).ok()?.into())))
}

impl Senders {
    pub(super) fn link_lost(&mut self, peer: &NodeId) {
        if self.sessions.get(peer).is_some_and(|s| !s.relayed) {
            self.sessions.remove(peer);
        }
        self.may_open.remove(peer);
    }

    pub(super) fn seen(&self, of: &NodeId) -> Option<&Seen> {
        self.seen.get(of)
    }

    /// Whether something of a sender is still being written.
    pub(super) fn is_writing(&self, of: &NodeId) -> bool {
        self.writing.values().any(|w| w.from == *of && !w.shown.is_empty())
    }

    /// These were not written down: they have not come.
    pub(super) fn give_back(&mut self, of: &NodeId, epoch: u64, numbers: &[u64]) {
        if let Some(seen) = self.seen.get_mut(of) {
            numbers.iter().for_each(|n| seen.ledger.give_back(epoch, *n));
        }
    }

    /// Remembers it. Returns who was forgotten for it.
    pub(super) fn note(&mut self, of: NodeId, seen: Seen) -> Option<NodeId> {
        let heard_ms = seen.heard_ms;
        if let Some(old) = self.seen.insert(of, seen) {
            self.by_age.remove(&(old.heard_ms, of));
        }
        self.by_age.insert((heard_ms, of));
        if self.seen.len() <= MAX_SEEN {
            return None;
        }
        let (_, gone) = self.by_age.pop_first()?;
        if let Some(old) = self.seen.remove(&gone) {
            self.floor_ms = self.floor_ms.max(old.at_ms).max(old.bundle_ms);
        }
        self.sessions.remove(&gone);
        Some(gone)
    }
}

impl Messaging {
    /// Asks for what was written.
    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>) {
        cx.output(Output::Load { ticket: LOAD, prefix: Bytes::from_static(PREFIX) });
    }

    /// What was written is here. A record that makes no sense is counted and passed over.
    pub(crate) fn on_loaded(&mut self, cx: &mut Cx<'_>, result: Result<Vec<(Bytes, Bytes)>, crate::io::StoreError>) {
        self.senders.loaded = true;
        let records = match result {
            Ok(records) => records,
            Err(error) => {
                // Whatever was opened before is not known to be new.
                self.senders.floor_ms = cx.now.wall.0;
                return super::storage_failed(cx, error);
            }
        };
        for (name, value) in records {
            let node = name.strip_prefix(SEEN).and_then(|n| n.try_into().ok()).map(NodeId);
            let good = match (node, minicbor::decode::<Seen>(&value)) {
                (Some(node), Ok(seen)) if seen.ledger.is_sound() => {
                    self.senders.note(node, seen);
                    true
                }
                (Some(_), _) => false,
                (None, _) => self.inbox.recall(&name, &value) || self.backup.recall(&name, &value),
            };
            if !good {
                super::storage_failed(cx, crate::io::StoreError("a record of direct messages makes no sense".into()));
            }
        }
        self.backup_soon(cx);
        let unread: Vec<Received> = self.inbox.all().cloned().collect();
        for r in unread {
            cx.event(Event::Direct(Box::new(r)));
        }
    }

    pub(super) fn on_open(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        m: &OpenSession,
        payload: &[u8],
        back: Vec<NodeId>,
    ) {
        if !back.is_empty() && self.senders.sessions.get(&from).is_some_and(|s| s.id == m.session) {
            // It went by two ways.
            cx.counters.envelopes_duplicate += 1;
            return;
        }
        self.senders.sessions.remove(&from);
        if self.senders.may_open.len() >= OPENERS && !self.senders.may_open.contains_key(&from) {
            self.senders.may_open.clear();
        }
        let (most, every) = OPENS;
        let now = cx.now;
        let tokens = self.senders.may_open.entry(from).or_insert_with(|| Tokens::new(most, every, now.mono));
        if self.left || !self.senders.loaded || !tokens.take(now.mono) {
            cx.counters.sessions_limited += 1;
            return;
        }
        match self.take_session(cx, from, m, payload, back.clone()) {
            Ok(session) => {
                self.senders.sessions.insert(from, session);
                cx.counters.sessions_taken += 1;
            }
            Err(why) => {
                cx.counters.sessions_refused += 1;
                let seen = self.senders.seen.get(&from);
                let (at_ms, epoch) = seen.map_or((self.senders.floor_ms, 0), |s| (s.at_ms, s.epoch));
                let m = CloseSession { session: m.session, why, at_ms, epoch };
                Messaging::answer(cx, from, &back, m.into(), Bytes::new());
            }
        }
    }

    fn take_session(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        m: &OpenSession,
        payload: &[u8],
        back: Vec<NodeId>,
    ) -> Result<Session, u8> {
        let wall = cx.now.wall;
        if cx.agents.own_certificate().is_none() || m.to != cx.me {
            return Err(NO_AGENT);
        }
        let seen = self.senders.seen.get(&from);
        // A sender's clock that was set back is as late as its last session for a while.
        let old = seen.map_or(m.at_ms <= self.senders.floor_ms, |s| m.at_ms <= s.at_ms || (m.epoch < s.epoch));
        if old || m.at_ms > wall.0.saturating_add(CLOCKS_MS) || m.epoch > m.at_ms {
            return Err(OLD);
        }
        let opening = Opening::parse(payload).filter(|o| o.certificate.len() <= MAX_CERTIFICATE).ok_or(NOT_PROVEN)?;
        if !opening.is_of(&self.key, cx.crypto, &from, m) {
            return Err(NOT_PROVEN);
        }
        if !cx.certificates.knows(m.certificate) {
            // What is wrong with it shows below.
            let _ = cx.certificates.admit(&Bytes::copy_from_slice(opening.certificate), wall, cx.crypto);
        }
        let Some(Ok(agent)) = cx.certificates.agent(m.certificate, &from, wall) else { return Err(NOT_PROVEN) };
        let secret = cx.agents.prekey_secret(m.prekey).ok_or(NO_PREKEY)?;
        let chain = opening.chain(cx.crypto, &from, m, secret).ok_or(NO_PREKEY)?;
        let (ledger, bundle_ms) =
            self.senders.seen.get(&from).map(|s| (s.ledger.clone(), s.bundle_ms)).unwrap_or_default();
        self.note_seen(cx, from, Seen { epoch: m.epoch, at_ms: m.at_ms, heard_ms: wall.0, ledger, bundle_ms });
        let (began, relayed, upto) = (cx.now.mono, !back.is_empty(), 0);
        let certificate = m.certificate;
        Ok(Session { id: m.session, chain, agent, certificate, began, back, relayed, upto, ahead: BTreeMap::new() })
    }

    /// Remembers what is known of a sender; who is forgotten for it is on the disk no longer.
    pub(super) fn note_seen(&mut self, cx: &mut Cx<'_>, from: NodeId, seen: Seen) {
        let Some(gone) = self.senders.note(from, seen) else { return };
        let ticket = self.ticket();
        self.senders.writing.insert(ticket, Writing::aside(from));
        cx.output(Output::Store { ticket, records: vec![(seen_key(&gone), None)] });
    }

    pub(super) fn on_envelopes(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        m: &Envelopes,
        payload: &Bytes,
        back: Vec<NodeId>,
    ) {
        let close = |cx: &mut Cx<'_>, why| {
            let m = CloseSession { session: m.session, why, at_ms: 0, epoch: 0 };
            Messaging::answer(cx, from, &back, m.into(), Bytes::new());
        };
        let Some(s) = self.senders.sessions.get_mut(&from).filter(|s| s.id == m.session) else {
            cx.counters.envelopes_refused += 1;
            return close(cx, UNKNOWN);
        };
        // Nobody speaks on for an agent that has revoked it, nor in a session that should be over.
        let proven = cx.certificates.agent(s.certificate, &from, cx.now.wall) == Some(Ok(s.agent));
        let worn = cx.now.mono.since(s.began) >= MAX_AGE + MAX_AGE.half() || m.frame > MAX_FRAMES;
        if !proven || worn || cx.agents.own_certificate().is_none() {
            cx.counters.envelopes_refused += 1;
            self.senders.sessions.remove(&from);
            return close(cx, if proven { UNKNOWN } else { NOT_PROVEN });
        }
        s.relayed |= !back.is_empty();
        if !back.is_empty() || !self.senders.due.contains(&from) {
            s.back.clone_from(&back);
        }
        if m.frame != s.chain.frame && s.relayed {
            // Another way was shorter, or it went by two. That it came is said either way.
            self.senders.due.insert(from);
            return self.early(cx, from, m, payload);
        }
        if m.frame != s.chain.frame {
            cx.counters.envelopes_refused += 1;
            self.senders.sessions.remove(&from);
            return close(cx, UNKNOWN);
        }
        let Some(envelopes) = s.chain.open(&self.key, cx.crypto, &from, m, payload) else {
            cx.counters.envelopes_forged += 1;
            self.senders.sessions.remove(&from);
            return close(cx, UNKNOWN);
        };
        let agent = s.agent;
        let past = m.first.checked_add(envelopes.len() as u64);
        if m.first == 0 || past.is_none_or(|past| past > LAST) {
            cx.counters.envelopes_forged += 1;
            self.senders.sessions.remove(&from);
            return close(cx, UNKNOWN);
        }
        s.upto = m.first + envelopes.len() as u64;
        let Some(mut seen) = self.senders.seen.get(&from).cloned() else { return };
        let fresh =
            (m.first..).zip(&envelopes).filter(|(number, e)| e.kind == 0 && seen.ledger.lacks(seen.epoch, *number));
        let sizes: Vec<usize> = fresh.map(|(_, e)| e.body.len()).collect();
        if !self.inbox.has_room_for(&agent, &sizes) {
            cx.counters.inbox_full += 1;
            self.senders.sessions.remove(&from);
            return close(cx, FULL);
        }
        let (mut records, mut shown, mut kept, mut numbers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let epoch = seen.epoch;
        for (number, e) in (m.first..).zip(envelopes) {
            if !seen.ledger.take(seen.epoch, number) {
                cx.counters.envelopes_duplicate += 1;
                continue;
            }
            numbers.push(number);
            if e.kind == super::READ {
                self.on_read(cx, from, &e.body);
                continue;
            }
            if backup::is_ours(e.kind) {
                kept.push((e.kind, e.body));
                continue;
            }
            if e.kind == super::CHECK {
                continue;
            }
            if e.kind != 0 {
                cx.counters.envelopes_unknown += 1;
                continue;
            }
            let r = Received {
                id: EnvelopeId::of(&from, &cx.me, seen.epoch, number),
                from,
                agent,
                at_ms: e.at_ms,
                received_ms: cx.now.wall.0,
                body: e.body.into(),
            };
            records.push(self.inbox.put(r.clone()));
            shown.push(r);
        }
        records.extend(seen_record(&from, &seen));
        self.senders.note(from, seen);
        let ticket = self.ticket();
        self.senders.writing.insert(ticket, Writing { from, shown, epoch, numbers, asked: None });
        cx.output(Output::Store { ticket, records });
        for (kind, body) in kept {
            self.on_backup(cx, from, agent, kind, &body);
        }
        let s = self.senders.sessions.get_mut(&from);
        let next = s.and_then(|s| s.ahead.remove(&s.chain.frame).map(|f| (f, s.back.clone())));
        if let Some(((m, payload), back)) = next {
            self.on_envelopes(cx, from, &m, &payload, back);
        }
    }

    /// A frame out of turn, of a session that goes through relays: one from before is here already, one from after waits.
    fn early(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Envelopes, payload: &Bytes) {
        let holding = self.senders.sessions.values().filter(|s| !s.ahead.is_empty()).count();
        let Some(s) = self.senders.sessions.get_mut(&from) else { return };
        if m.frame < s.chain.frame || s.ahead.contains_key(&m.frame) {
            cx.counters.envelopes_duplicate += 1;
            return;
        }
        let bytes: usize = s.ahead.values().map(|(_, p)| p.len()).sum();
        let room = s.ahead.len() < AHEAD && bytes + payload.len() <= AHEAD_BYTES && (bytes > 0 || holding < HOLDING);
        if !room {
            cx.counters.envelopes_refused += 1;
            return;
        }
        s.ahead.insert(m.frame, (m.clone(), payload.clone()));
    }

    pub(super) fn ticket(&mut self) -> StoreTicket {
        self.senders.tickets += 1;
        StoreTicket(OURS + self.senders.tickets)
    }

    /// It is on the disk, or there is no disk to be had: now it may be seen.
    pub(super) fn written(&mut self, cx: &mut Cx<'_>, ticket: StoreTicket, stored: bool) {
        if self.keeper_wrote(cx, ticket, stored) || self.receiver_wrote(cx, ticket, stored) {
            return;
        }
        let Some(Writing { from, shown, epoch, numbers, asked }) = self.senders.writing.remove(&ticket) else { return };
        if !stored && !shown.is_empty() {
            // What is not written down has not come: the sender hears that there is no room for it.
            self.senders.give_back(&from, epoch, &numbers);
            for r in &shown {
                self.inbox.take(&r.id);
            }
            if let Some(s) = self.senders.sessions.remove(&from) {
                let m = CloseSession { session: s.id, why: FULL, at_ms: 0, epoch: 0 };
                Messaging::answer(cx, from, &s.back, m.into(), Bytes::new());
            }
            return;
        }
        cx.counters.direct_received += shown.len() as u64;
        for r in shown {
            cx.event(Event::Direct(Box::new(r)));
        }
        match asked {
            Some(ticket) => cx.reply(ticket, Reply::Done),
            None => drop(self.senders.due.insert(from)),
        }
    }

    /// Signs for what came, once a turn and sender.
    pub(super) fn give_receipts(&mut self, cx: &mut Cx<'_>) -> bool {
        let due = std::mem::take(&mut self.senders.due);
        let any = !due.is_empty();
        for from in due {
            let Some(s) = self.senders.sessions.get(&from) else { continue };
            // What is still being written has no receipt yet.
            if self.senders.is_writing(&from) || self.is_collecting(&from) {
                continue;
            }
            let m = Receipt { session: s.id, next: s.upto };
            let signature = s.chain.sign_receipt(&self.key, cx.crypto, &m);
            cx.counters.receipts_given += 1;
            Messaging::answer(cx, from, &s.back, m.into(), Bytes::copy_from_slice(&signature));
        }
        any
    }

    pub(super) fn read(&mut self, cx: &mut Cx<'_>, ticket: Ticket, ids: &[EnvelopeId]) {
        let mut told: BTreeMap<(NodeId, AgentId), Vec<EnvelopeId>> = BTreeMap::new();
        for r in ids.iter().filter_map(|id| self.inbox.get(id)).filter(|r| self.tracker.is_told(&r.agent)) {
            told.entry((r.from, r.agent)).or_default().push(r.id);
        }
        let records: Vec<_> = ids.iter().filter_map(|id| self.inbox.take(id)).collect();
        for ((node, agent), ids) in told {
            let to = PeerAddr { id: node, addrs: crate::routing::addrs(cx, &self.group, &node) };
            self.tell_read(cx, to, agent, &ids);
        }
        if records.is_empty() {
            return cx.reply(ticket, Reply::Done);
        }
        let stored = self.ticket();
        self.senders.writing.insert(stored, Writing { asked: Some(ticket), ..Writing::aside(cx.me) });
        cx.output(Output::Store { ticket: stored, records });
    }
}

const _: () = assert!(inbox::MAX_BYTES > super::session::MAX_BODY_LEN);
