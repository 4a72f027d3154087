//! What is remembered of other agents over a restart: the certificates of authors, so that their first messages show whose they
//! are, and the network's revocations, so that they are in force before anybody is met, and stand should all nodes stop at once.
//!
//! Records: `agent/of/` and a node's id, its certificate; `agent/revoked/` and an agent's id, its revocations. Both are read back
//! as if a stranger had sent them: what does not hold is dropped.
//!
//! Only certificates that authors name in what they publish are remembered. Those of everybody who is here come with the roster
//! anyway, and a large network's would wear the disk for nothing.
//!
//! Invariants: at most [`REMEMBERED`] authors, the first to come go first, and as many revocations as the set of records holds;
//! written at most once in [`WAIT`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::layer::{Identity, Timer};
use super::revocations::Revocations;
use super::{AgentCertificate, AgentId, NodeId, RecordKey, revocations};
use crate::io::Output;
use crate::layer::{Cx, Request, TimerKey};
use crate::records::{self, Context, sets};
use crate::time::Span;
use crate::wire::CertificateRef;

/// Most authors remembered (a guess: those that one hears; 7 kB each).
pub const REMEMBERED: usize = 256;
/// How long changes are gathered (a guess: a crash costs no more than a question to a neighbour).
const WAIT: Span = Span::from_secs(5);
const AUTHORS: &[u8] = b"agent/of/";
const REVOKED: &[u8] = b"agent/revoked/";

/// What is remembered, and what is not written yet.
#[derive(Debug, Default)]
pub(super) struct Memory {
    authors: BTreeMap<NodeId, (u64, CertificateRef)>,
    arrivals: u64,
    changed: BTreeSet<NodeId>,
    revoked: BTreeSet<AgentId>,
    /// The own agent's record was read back, and is being published.
    pub(super) own_recalled: bool,
}

impl Identity {
    /// An author's certificate is verified.
    pub(super) fn remember(&mut self, cx: &mut Cx<'_>, author: NodeId, certificate: CertificateRef) {
        let m = &mut self.memory;
        if self.own.agent.is_none() || m.authors.get(&author).is_some_and(|(_, c)| *c == certificate) {
            return;
        }
        if m.authors.len() >= REMEMBERED
            && !m.authors.contains_key(&author)
            && let Some(first) = m.authors.iter().min_by_key(|(_, (at, _))| *at).map(|(node, _)| *node)
        {
            m.authors.remove(&first);
            m.changed.insert(first);
            cx.counters.agents_forgotten += 1;
        }
        m.arrivals += 1;
        m.authors.insert(author, (m.arrivals, certificate));
        m.changed.insert(author);
        self.write_soon(cx);
    }

    /// The network's record of an agent's revocations changed.
    pub(super) fn remember_revoked(&mut self, cx: &mut Cx<'_>, agent: AgentId) {
        if self.own.agent.is_some() && self.memory.revoked.insert(agent) {
            self.write_soon(cx);
        }
    }

    fn write_soon(&self, cx: &mut Cx<'_>) {
        cx.deadlines.set_no_later(TimerKey::Identity(Timer::Remember), cx.now.mono + WAIT);
    }

    /// Writes what changed.
    pub(super) fn write_memory(&mut self, cx: &mut Cx<'_>) {
        let mut rows = Vec::new();
        for node in std::mem::take(&mut self.memory.changed) {
            let certificate = self.memory.authors.get(&node).and_then(|(_, c)| cx.certificates.bytes(*c, cx.now.wall));
            rows.push((row(AUTHORS, &node.0), certificate));
        }
        for agent in std::mem::take(&mut self.memory.revoked) {
            let record = cx.records.get(sets::REVOCATIONS, &RecordKey(agent.0)).map(|r| r.bytes.clone());
            rows.push((row(REVOKED, &agent.0), record));
        }
        if !rows.is_empty() {
            let ticket = self.own.ticket();
            cx.output(Output::Store { ticket, records: rows });
        }
    }

    /// What was remembered is here: first what is revoked, then the certificates that this leaves.
    pub(super) fn recall_others(&mut self, cx: &mut Cx<'_>, rows: &[(Bytes, Bytes)]) {
        let of = |prefix: &'static [u8]| rows.iter().filter(move |(k, _)| k.starts_with(prefix));
        let mut useless: Vec<Bytes> = Vec::new();
        for (key, bytes) in of(REVOKED) {
            if !self.recall_revoked(cx, bytes) {
                useless.push(key.clone());
            }
        }
        for (key, bytes) in of(AUTHORS) {
            let id = AgentCertificate::id_of(bytes).map(CertificateRef::from);
            match (cx.certificates.admit(bytes, cx.now.wall, cx.crypto), id) {
                (Ok(binding), Ok(id))
                    if self.memory.authors.len() < REMEMBERED && *key == row(AUTHORS, &binding.node.0) =>
                {
                    self.memory.arrivals += 1;
                    self.memory.authors.insert(binding.node, (self.memory.arrivals, id));
                }
                _ => useless.push(key.clone()),
            }
        }
        if !useless.is_empty() {
            let ticket = self.own.ticket();
            cx.output(Output::Store { ticket, records: useless.into_iter().map(|key| (key, None)).collect() });
        }
    }

    fn recall_revoked(&mut self, cx: &mut Cx<'_>, bytes: &Bytes) -> bool {
        let Ok(said) = Revocations::parse(bytes) else { return false };
        // Neither network's key is looked at: the agent's signature means the same everywhere.
        let context = Context { crypto: cx.crypto, network: &[0; 32], reached: &[0; 32] };
        let holds = said.holds(cx.now.wall) && revocations::verify(sets::REVOCATIONS, bytes, &context);
        if holds {
            cx.certificates.revoke(said.agent, &said.revoked, cx.now.wall);
            self.memory.own_recalled |= Some(said.agent) == self.own.agent;
            cx.request(Request::PutRecord(sets::REVOCATIONS, bytes.clone()));
        }
        holds
    }
}

fn row(prefix: &[u8], id: &[u8; 32]) -> Bytes {
    [prefix, id].concat().into()
}

/// Bytes that are remembered at most, while they wait to be written; the certificates themselves are shared.
pub(super) fn bytes() -> usize {
    let revocations = records::sets::rules(sets::REVOCATIONS).map_or(0, |r| r.most);
    REMEMBERED * 256 + revocations * 128
}
