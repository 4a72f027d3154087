//! Saying where this node is, and keeping what others say.
//!
//! A deposit is left at each step of a walk that carries the statement alone; who lacks the certificate asks the neighbour
//! it came from, and keeps nothing meanwhile. The next step of a walk is the neighbour with the highest hash of (agent,
//! walk, steps left, neighbour): as random as any, and the same each time as long as the neighbours are. So a statement
//! that is renewed goes to the nodes that have the certificate, as a rule, and the old one is replaced and not doubled.

use bytes::Bytes;

use super::{Foaf, Timer};
use crate::discovery::{About, LIFE, Whereabouts, proven};
use crate::identity::{AgentId, NodeId};
use crate::io::{CommandError, Reply, Ticket};
use crate::layer::{Cx, TimerKey};
use crate::time::Span;
use crate::wire::{Deposit, LackProof, Lane, Message};

/// Walks that carry a statement, and their steps: measured, see the module above.
pub(super) const WALKS: u8 = 5;
pub(super) const LENGTH: u8 = 24;
/// A walk ends where so many nodes in a row knew already: in a small network all do soon.
const ENOUGH: u8 = 4;
/// After the start, or a change, until the walks set out: neighbours are still coming (a guess).
const SETTLE: Span = Span::from_secs(3);
/// How often what has expired is looked for.
const SWEEP: Span = Span::from_secs(60);

/// What this node says of itself.
#[derive(Debug)]
pub(super) struct Own {
    agent: AgentId,
    withdrawn: bool,
    /// What was said last.
    said: Option<Whereabouts>,
}

impl Foaf {
    pub(super) fn advertise(&mut self, cx: &mut Cx<'_>, ticket: Ticket, on: bool) {
        let Some(agent) = AgentId::own(cx.crypto) else {
            return cx.reply(ticket, Reply::Refused(CommandError::NoAgent));
        };
        let was = self.own.as_ref().is_some_and(|o| !o.withdrawn);
        if on || was {
            let said = self.own.take().and_then(|o| o.said);
            self.own = Some(Own { agent, withdrawn: !on, said });
            let at = if on { cx.now.mono + SETTLE } else { cx.now.mono };
            cx.deadlines.set(TimerKey::Foaf(Timer::Renew), at);
            if on && !was {
                self.say(cx);
            }
        }
        cx.reply(ticket, Reply::Done);
    }

    pub(super) fn moved(&mut self, cx: &mut Cx<'_>) {
        if self.own.as_ref().is_some_and(|o| !o.withdrawn) {
            cx.deadlines.set_no_later(TimerKey::Foaf(Timer::Renew), cx.now.mono + SETTLE);
        }
    }

    pub(super) fn leave(&mut self, cx: &mut Cx<'_>) {
        self.own = None;
        cx.deadlines.cancel(TimerKey::Foaf(Timer::Renew));
        for a in std::mem::take(&mut self.asking) {
            cx.reply(a.ticket, Reply::Refused(CommandError::Leaving));
        }
    }

    /// Issues a statement. `None` until there is a certificate and an address to name.
    fn say(&mut self, cx: &mut Cx<'_>) -> Option<Whereabouts> {
        let own = self.own.as_mut()?;
        let (certificate, bytes) = cx.agents.own_certificate()?.clone();
        let node = cx.own_address();
        if node.addrs.is_empty() {
            return None;
        }
        // Never the same time twice: of two statements of one time only one counts.
        let last = own.said.as_ref().map_or(0, Whereabouts::issued_ms);
        let mut now = cx.now.wall;
        now.0 = now.0.max(last + 1);
        let about = About::Agent(own.agent, certificate);
        let w = Whereabouts::issue(about, node, (now, LIFE), own.withdrawn, &self.key, cx.crypto);
        own.said = Some(w.clone());
        self.known.put(w.clone(), bytes, cx.me);
        Some(w)
    }

    /// Says again where this node is, to all neighbours and along the walks.
    pub(super) fn renew(&mut self, cx: &mut Cx<'_>) {
        let Some(own) = &self.own else { return };
        let withdrawn = own.withdrawn;
        let next = match self.say(cx) {
            // There will be neighbours, or addresses.
            _ if self.friends.is_empty() => cx.now.mono + SETTLE,
            None => cx.now.mono + SETTLE,
            Some(w) => {
                self.set_out(cx, &w);
                let half = LIFE.0 / 2;
                cx.now.mono + Span(self.rng.between(half - half / 8, half + half / 8))
            }
        };
        match withdrawn {
            true => self.own = None,
            false => cx.deadlines.set(TimerKey::Foaf(Timer::Renew), next),
        }
    }

    fn set_out(&mut self, cx: &mut Cx<'_>, w: &Whereabouts) {
        let Some(agent) = w.agent() else { return };
        let mut walks: Vec<(NodeId, u8, u8)> = Vec::new();
        for walk in 0..WALKS {
            let used: Vec<NodeId> = walks.iter().map(|(to, ..)| *to).collect();
            let to = self.step(&agent, (walk, LENGTH), &used).or_else(|| self.step(&agent, (walk, LENGTH), &[]));
            walks.extend(to.map(|to| (to, walk, LENGTH - 1)));
        }
        let others = self.reachable(&[]).into_iter().filter(|f| !walks.iter().any(|(to, ..)| to == f));
        let others: Vec<_> = others.map(|f| (f, WALKS, 0)).collect();
        for (to, walk, ttl) in walks.into_iter().chain(others) {
            self.send_deposit(cx, to, w, (walk, ttl, 0), Bytes::new());
        }
    }

    /// A new neighbour is told at once.
    pub(super) fn tell_new_friend(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(own) = self.own.as_ref().filter(|o| !o.withdrawn) else { return };
        let said = own.said.clone().filter(|w| w.in_time(cx.now.wall));
        if let Some(w) = said.or_else(|| self.say(cx)) {
            self.send_deposit(cx, peer, &w, (WALKS, 0, 0), Bytes::new());
        }
    }

    fn send_deposit(
        &mut self,
        cx: &mut Cx<'_>,
        to: NodeId,
        w: &Whereabouts,
        (walk, ttl, known): (u8, u8, u8),
        certificate: Bytes,
    ) {
        let m = Deposit { whereabouts: w.bytes().to_vec(), walk, ttl, known };
        cx.counters.deposits_sent += 1;
        cx.send_frame(to, Lane::Control, Message::from(m).frame_with(certificate));
    }

    /// The neighbour that a walk with so many steps left goes to.
    fn step(&self, agent: &AgentId, (walk, left): (u8, u8), except: &[NodeId]) -> Option<NodeId> {
        let score = |to: &NodeId| {
            let mut h = blake3::Hasher::new();
            h.update(agent.as_bytes()).update(&[walk, left]).update(to.as_bytes());
            *h.finalize().as_bytes()
        };
        self.reachable(except).into_iter().max_by_key(score)
    }

    pub(super) fn on_deposit(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Deposit, certificate: &Bytes) {
        cx.counters.deposits_received += 1;
        let said = Whereabouts::parse(m.whereabouts.into()).ok();
        let Some((w, About::Agent(agent, id))) = said.map(|w| (w.clone(), w.about())) else {
            cx.counters.deposits_refused += 1;
            return;
        };
        let (ttl, mut known) = (m.ttl.min(LENGTH), m.known.min(ENOUGH));
        // First what costs nothing.
        if !w.in_time(cx.now.wall) {
            cx.counters.deposits_refused += 1;
            return;
        }
        let here = self.known.get(&agent, &w.node()).map(|old| (old.issued_ms(), *old == w));
        match here {
            Some((_, true)) => known += 1,
            // Older than what is here, or another of the same time: not worth carrying on.
            Some((issued, _)) if issued >= w.issued_ms() => {
                cx.counters.deposits_stale += 1;
                return;
            }
            _ if w.node() == cx.me => {
                cx.counters.deposits_stale += 1;
                return;
            }
            _ => {
                known = 0;
                if cx.certificates.agent(id, &w.node(), cx.now.wall).is_none() && certificate.is_empty() {
                    let lack = LackProof { certificate: id, walk: m.walk, ttl: m.ttl, known: m.known };
                    cx.send(from, lack);
                    return;
                }
                let good = w.check(cx.now.wall, &self.key, cx.crypto).is_ok() && proven(cx, &w, certificate);
                let bytes = cx.certificates.bytes(id, cx.now.wall);
                let Some(bytes) = bytes.filter(|_| good) else {
                    cx.counters.deposits_refused += 1;
                    return;
                };
                cx.counters.deposits_kept += 1;
                cx.counters.deposits_evicted += self.known.put(w.clone(), bytes, from) as u64;
                if !cx.deadlines.armed(&TimerKey::Foaf(Timer::Sweep)) {
                    cx.deadlines.set(TimerKey::Foaf(Timer::Sweep), cx.now.mono + SWEEP);
                }
            }
        }
        if ttl == 0 || known >= ENOUGH {
            return;
        }
        if let Some(to) = self.step(&agent, (m.walk, ttl), &[from, w.node()]) {
            self.send_deposit(cx, to, &w, (m.walk, ttl - 1, known), Bytes::new());
        }
    }

    /// A neighbour needs a certificate to take what it was told.
    pub(super) fn on_lack_proof(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &LackProof) {
        let Some(held) = self.known.with_certificate(&m.certificate).cloned() else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        let where_to = (m.walk, m.ttl.min(LENGTH), m.known);
        self.send_deposit(cx, from, &held.whereabouts, where_to, held.certificate);
    }

    pub(super) fn sweep(&mut self, cx: &mut Cx<'_>) {
        self.known.sweep(cx.now.wall);
        if self.known.len() > 0 {
            cx.deadlines.set(TimerKey::Foaf(Timer::Sweep), cx.now.mono + SWEEP);
        }
    }
}
