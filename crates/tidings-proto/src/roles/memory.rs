//! What is remembered of relays over a restart.
//!
//! Records: `role/` and a node's id, a CBOR map of what was seen of it. Read back as if a stranger had written them: what makes
//! no sense is dropped. Time that this node was away counts as idleness like any other.
//!
//! Invariants: as many rows as nodes are scored; written at most once in [`WAIT`], and when the node leaves.

use std::collections::BTreeSet;

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::manager::ATTEMPTS;
use super::scoring::{ContributionMetrics, Faded};
use super::seen::{Attempts, Seen};
use super::{MAX_SCORED, PeerRole, Roles, Timer};
use crate::identity::NodeId;
use crate::io::{Event, Output, StoreError, StoreTicket};
use crate::layer::{Cx, TimerKey};
use crate::time::{Span, UnixMillis};

const PREFIX: &[u8] = b"role/";
/// How long changes are gathered (a guess: a crash costs a minute of what was seen).
const WAIT: Span = Span::from_secs(60);
/// Tells this layer's tickets from those of others.
const OURS: u64 = 1 << 60;
const LOAD: StoreTicket = StoreTicket(OURS);
const SAVE: StoreTicket = StoreTicket(OURS + 1);

/// Whether a storage ticket is this layer's.
pub(crate) fn is_ours(ticket: StoreTicket) -> bool {
    ticket.0 >> 60 == 1
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Row {
    #[n(0)]
    messages: u64,
    #[n(1)]
    failures: u64,
    #[n(2)]
    first_seen: Option<u64>,
    #[n(3)]
    last_activity: Option<u64>,
    #[n(4)]
    uptime_ms: u64,
    #[n(5)]
    relayed: u64,
    #[n(6)]
    received: u64,
    /// Of messages, failures, uptime, bytes relayed and received.
    #[n(7)]
    faded: [f64; 5],
    /// Of the last attempts, which succeeded and how many there were.
    #[n(8)]
    attempts: (u64, u32),
    #[n(9)]
    role: u8,
    #[n(10)]
    since: Option<u64>,
    #[n(11)]
    before: (u64, u64),
}

impl Row {
    fn of(s: &Seen) -> Row {
        let (m, f) = (&s.metrics, &s.metrics.faded);
        Row {
            messages: m.messages_relayed,
            failures: m.relay_failures,
            first_seen: m.first_seen.map(|t| t.0),
            last_activity: m.last_activity.map(|t| t.0),
            uptime_ms: m.total_uptime_ms,
            relayed: m.bytes_relayed,
            received: m.bytes_received,
            faded: [f.messages, f.failures, f.uptime_ms, f.relayed, f.received],
            attempts: (s.attempts.good, s.attempts.made),
            role: s.role.into(),
            since: s.since.map(|t| t.0),
            before: s.before,
        }
    }

    fn seen(self) -> Option<Seen> {
        let [messages, failures, uptime_ms, relayed, received] = self.faded;
        let sound = self.faded.iter().all(|f| f.is_finite() && *f >= 0.0);
        let (good, made) = self.attempts;
        if !sound || made > ATTEMPTS || good >> ATTEMPTS > 0 {
            return None;
        }
        let metrics = ContributionMetrics {
            messages_relayed: self.messages,
            relay_failures: self.failures,
            first_seen: self.first_seen.map(UnixMillis),
            last_activity: self.last_activity.map(UnixMillis),
            total_uptime_ms: self.uptime_ms,
            bytes_relayed: self.relayed,
            bytes_received: self.received,
            faded: Faded { messages, failures, uptime_ms, relayed, received },
        };
        let role = PeerRole::try_from(self.role).ok()?;
        let attempts = Attempts { good, made };
        Some(Seen { metrics, attempts, role, since: self.since.map(UnixMillis), before: self.before })
    }
}

/// What is not written yet.
#[derive(Debug, Default)]
pub(super) struct Memory {
    changed: BTreeSet<NodeId>,
}

fn row(node: &NodeId) -> Bytes {
    [PREFIX, &node.0].concat().into()
}

impl Roles {
    /// Asks for what was written.
    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>) {
        self.started(cx);
        cx.output(Output::Load { ticket: LOAD, prefix: Bytes::from_static(PREFIX) });
    }

    /// What was written is here.
    pub(crate) fn on_loaded(&mut self, cx: &mut Cx<'_>, result: Result<Vec<(Bytes, Bytes)>, StoreError>) {
        let rows = match result {
            Ok(rows) => rows,
            Err(error) => return failed(cx, error),
        };
        let mut useless = Vec::new();
        for (key, value) in rows {
            let node = key.strip_prefix(PREFIX).and_then(|id| <[u8; 32]>::try_from(id).ok()).map(NodeId);
            let seen = minicbor::decode::<Row>(&value).ok().and_then(Row::seen);
            match (node, seen) {
                (Some(node), Some(seen)) if self.manager.seen.len() < MAX_SCORED => {
                    self.manager.seen.entry(node).or_insert(seen);
                }
                _ => useless.push((key, None)),
            }
        }
        if !useless.is_empty() {
            cx.counters.storage_failures += 1;
            cx.output(Output::Store { ticket: SAVE, records: useless });
        }
        self.recalled(cx);
    }

    /// What was to be written is, or is not.
    pub(crate) fn on_stored(&mut self, cx: &mut Cx<'_>, result: Result<(), StoreError>) {
        if let Err(error) = result {
            failed(cx, error);
        }
    }

    /// Something was seen of a node.
    pub(super) fn remember(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        self.memory.changed.insert(node);
        self.memory.changed.extend(self.manager.forgotten.drain(..));
        cx.deadlines.set_no_later(TimerKey::Roles(Timer::Remember), cx.now.mono + WAIT);
    }

    /// Writes what changed; who was forgotten is erased.
    pub(super) fn write(&mut self, cx: &mut Cx<'_>) {
        let mut rows = Vec::new();
        for node in std::mem::take(&mut self.memory.changed) {
            let value = self.manager.seen.get(&node).and_then(|s| minicbor::to_vec(Row::of(s)).ok());
            rows.push((row(&node), value.map(Bytes::from)));
        }
        if !rows.is_empty() {
            cx.output(Output::Store { ticket: SAVE, records: rows });
        }
    }
}

fn failed(cx: &mut Cx<'_>, error: StoreError) {
    cx.counters.storage_failures += 1;
    cx.event(Event::StorageFailed { error });
}
