//! Whom this node can answer for: statements that were left with it, by walks and by neighbours, with their certificates.
//!
//! Invariants: nothing unverified is in here; at most [`MAX_KNOWN`] statements, and of an agent those of [`NODES`] nodes, the
//! latest; when it is full, the neighbour through which most came loses the oldest of them, so that a flood displaces what
//! came the same way, and what neighbours say of themselves stays.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::discovery::Whereabouts;
use crate::identity::{AgentId, CertificateId, NodeId};
use crate::time::UnixMillis;

/// Statements kept: with their certificates some 8 kB each. Ninety-six walkers' steps an agent fill a tenth of a network's
/// size (a guess: room for ten thousand agents).
pub(super) const MAX_KNOWN: usize = 1024;
/// Nodes of one agent that are known.
pub(super) const NODES: usize = 4;

/// A statement and what proves it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) whereabouts: Whereabouts,
    pub(super) certificate: Bytes,
    /// The neighbour that brought it; this node itself for its own.
    via: NodeId,
    /// Counts what came in.
    at: u64,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    agents: BTreeMap<AgentId, Vec<Held>>,
    count: usize,
    clock: u64,
}

impl Known {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// What is known of one node of an agent, withdrawn or not.
    pub(super) fn get(&self, agent: &AgentId, node: &NodeId) -> Option<&Whereabouts> {
        let held = self.agents.get(agent)?.iter().find(|h| h.whereabouts.node() == *node);
        held.map(|h| &h.whereabouts)
    }

    /// A statement that names this certificate.
    pub(super) fn with_certificate(&self, id: &CertificateId) -> Option<&Held> {
        self.agents.values().flatten().find(|h| h.whereabouts.certificate() == Some(*id))
    }

    /// Takes in a statement that was checked, unless a later one is here. Returns how many had to go for it.
    pub(super) fn put(&mut self, whereabouts: Whereabouts, certificate: Bytes, via: NodeId) -> usize {
        self.clock += 1;
        let Some(agent) = whereabouts.agent() else { return 0 };
        let new = Held { whereabouts, certificate, via, at: self.clock };
        let of_agent = self.agents.entry(agent).or_default();
        match of_agent.iter_mut().find(|h| h.whereabouts.node() == new.whereabouts.node()) {
            Some(old) if old.whereabouts.issued_ms() < new.whereabouts.issued_ms() => *old = new,
            Some(_) => {}
            None => {
                of_agent.push(new);
                self.count += 1;
            }
        }
        let mut gone = 0;
        if of_agent.len() > NODES {
            of_agent.sort_by_key(|h| std::cmp::Reverse(h.whereabouts.issued_ms()));
            gone += of_agent.len() - NODES;
            of_agent.truncate(NODES);
            self.count -= gone;
        }
        while self.count > MAX_KNOWN {
            self.evict();
            gone += 1;
        }
        gone
    }

    /// The oldest of what came through the neighbour through which most came.
    fn evict(&mut self) {
        let mut by_via: BTreeMap<NodeId, (usize, u64, AgentId)> = BTreeMap::new();
        let all = || self.agents.iter().flat_map(|(a, held)| held.iter().map(move |h| (*a, h)));
        for (agent, h) in all().filter(|(_, h)| h.whereabouts.node() != h.via) {
            let (n, at, of) = by_via.entry(h.via).or_insert((0, u64::MAX, agent));
            *n += 1;
            if h.at < *at {
                (*at, *of) = (h.at, agent);
            }
        }
        let most = by_via.values().max_by_key(|(n, at, _)| (*n, std::cmp::Reverse(*at))).copied();
        let oldest = || all().min_by_key(|(_, h)| h.at).map(|(agent, h)| (1, h.at, agent));
        let Some((_, at, agent)) = most.or_else(oldest) else { return };
        if let Some(of_agent) = self.agents.get_mut(&agent) {
            of_agent.retain(|h| h.at != at);
            self.count -= 1;
            if of_agent.is_empty() {
                self.agents.remove(&agent);
            }
        }
    }

    /// The agent that `is` says yes to.
    pub(super) fn agent(&self, is: impl Fn(&AgentId) -> bool) -> Option<AgentId> {
        self.agents.keys().find(|a| is(a)).copied()
    }

    /// The nodes of an agent that can be believed now, the latest first.
    pub(super) fn nodes(&self, agent: &AgentId, now: UnixMillis) -> Vec<&Held> {
        let of_agent = self.agents.get(agent).map_or(&[][..], |v| v);
        let mut out: Vec<_> =
            of_agent.iter().filter(|h| h.whereabouts.in_time(now) && !h.whereabouts.is_withdrawn()).collect();
        out.sort_by_key(|h| std::cmp::Reverse(h.whereabouts.issued_ms()));
        out
    }

    /// Forgets what has expired.
    pub(super) fn sweep(&mut self, now: UnixMillis) {
        self.agents.retain(|_, of_agent| {
            of_agent.retain(|h| h.whereabouts.in_time(now));
            !of_agent.is_empty()
        });
        self.count = self.agents.values().map(Vec::len).sum();
    }
}
