//! Queries of this node's own.

use bytes::Bytes;

use super::blind::Query;
use super::{FORGET, Foaf, HOP, Origin, Passed, TIMEOUT, Tag, Timer};
use crate::discovery::{How, Located, Search, Whereabouts, proven};
use crate::identity::{AgentId, NodeId};
use crate::io::{CommandError, Reply, Ticket};
use crate::layer::{Cx, TimerKey};
use crate::time::{Span, Time};

/// Queries of this node at once.
pub(super) const MAX_ASKING: usize = 64;
/// How often a query is sent: once, and again when nothing at all is heard.
const TRIES: u8 = 3;
/// How long a node without neighbours waits until it tries again.
const ALONE: Span = Span::from_millis(500);

/// A query of this node.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) ticket: Ticket,
    agent: AgentId,
    tag: Tag,
    secret: [u8; 32],
    tries: u8,
    /// The first neighbours on the stems so far.
    through: Vec<NodeId>,
    until: Time,
}

impl Foaf {
    pub(super) fn find(&mut self, cx: &mut Cx<'_>, ticket: Ticket, agent: AgentId) {
        if let Some(own) = self.own_agent(cx, &agent) {
            return cx.reply(ticket, Reply::Located(vec![own].into()));
        }
        let known: Vec<Whereabouts> =
            self.known.nodes(&agent, cx.now.wall).iter().map(|h| h.whereabouts.clone()).collect();
        if !known.is_empty() {
            let found: Vec<Located> = known.iter().filter_map(|w| Located::of(w, How::Known, cx.now.wall)).collect();
            return cx.reply(ticket, Reply::Located(Search::from(found)));
        }
        if self.asking.len() >= MAX_ASKING {
            return cx.reply(ticket, Reply::Refused(CommandError::TooManyQueries { limit: MAX_ASKING }));
        }
        let until = cx.now.mono + TIMEOUT;
        let asking = Asking { ticket, agent, tag: Tag([0; 16]), secret: [0; 32], tries: 0, through: Vec::new(), until };
        self.send_query(cx, asking);
    }

    fn own_agent(&self, cx: &Cx<'_>, agent: &AgentId) -> Option<Located> {
        let own = AgentId::own(cx.crypto)?;
        (own == *agent).then(|| Located {
            agent: own,
            node: cx.me,
            addrs: cx.own_addrs.to_vec(),
            how: How::Own,
            age: Span::ZERO,
            left: Span::ZERO,
        })
    }

    /// Sends a query along a new stem, under a new salt and key: nobody can tell that it is the same.
    fn send_query(&mut self, cx: &mut Cx<'_>, mut a: Asking) {
        let mut to = self.reachable(&a.through);
        if to.is_empty() {
            to = self.reachable(&[]);
        }
        self.rng.sample(&mut to, 1);
        a.secret = self.seed();
        let mut salt = [0; 16];
        salt.copy_from_slice(&self.seed()[..16]);
        let target = self.blind.target(&salt, &a.agent);
        let query = Query { salt, target, key: cx.crypto.agree_public(&a.secret) };
        let tag = query.tag();
        a.tag = tag;
        let now = cx.now.mono;
        let p = Passed {
            origin: Origin::Own,
            query,
            asked: Vec::new(),
            answers: 0,
            over: false,
            wait: now,
            forget: (now + FORGET).max(a.until),
        };
        self.passed.insert(tag, p);
        let Some(first) = to.first().copied() else {
            // Nobody yet: that is no try.
            if let Some(p) = self.passed.get_mut(&tag) {
                p.wait = (now + ALONE).min(a.until);
                cx.deadlines.set(TimerKey::Foaf(Timer::Wait(tag)), p.wait);
            }
            self.asking.push(a);
            return;
        };
        a.tries += 1;
        a.through.push(first);
        // One, two or three hops: four, two and one times in seven.
        let stem = match self.rng.below(7) {
            0..4 => 1,
            4..6 => 2,
            _ => 3,
        };
        let ttl = cx.config.foaf_ttl as u8;
        let others: Vec<NodeId> = self.friends.iter().map(|f| f.id).filter(|f| *f != first).collect();
        let until = a.until;
        self.asking.push(a);
        self.pass_on(cx, tag, &others, 1, (stem, ttl), stem + ttl);
        if let Some(p) = self.passed.get_mut(&tag) {
            p.wait = p.wait.min(until);
            cx.deadlines.set(TimerKey::Foaf(Timer::Wait(tag)), p.wait);
        }
        self.branch_over(cx, tag);
    }

    fn take_asking(&mut self, tag: Tag) -> Option<Asking> {
        let at = self.asking.iter().position(|a| a.tag == tag)?;
        Some(self.asking.swap_remove(at))
    }

    /// Nothing was heard of a query in time.
    pub(super) fn silent(&mut self, cx: &mut Cx<'_>, tag: Tag) {
        self.end(cx, tag);
        let Some(a) = self.take_asking(tag) else { return };
        if a.tries < TRIES && cx.now.mono + HOP < a.until {
            return self.send_query(cx, a);
        }
        cx.reply(a.ticket, Reply::Located(Search::default()));
    }

    /// Everybody on the walk was asked, and nobody knew.
    pub(super) fn query_over(&mut self, cx: &mut Cx<'_>, tag: Tag) {
        self.end(cx, tag);
        if let Some(a) = self.take_asking(tag) {
            cx.reply(a.ticket, Reply::Located(Search::default()));
        }
    }

    /// An answer to a query of this node: believed if both signatures are good.
    pub(super) fn take_answer(&mut self, cx: &mut Cx<'_>, tag: Tag, sealed: &[u8]) {
        let Some(a) = self.asking.iter().find(|a| a.tag == tag) else { return };
        let Some(query) = self.passed.get(&tag).map(|p| p.query) else { return };
        let opened = query.open(&a.agent, &a.secret, sealed, cx.crypto);
        let (agent, found) = (a.agent, opened.and_then(|plain| statements(&plain)));
        let Some(statements) = found else {
            cx.counters.answers_forged += 1;
            return;
        };
        let mut good = Vec::new();
        for (whereabouts, certificate) in statements {
            let Ok(w) = Whereabouts::parse(whereabouts) else { continue };
            let holds =
                w.agent() == Some(agent) && !w.is_withdrawn() && w.check(cx.now.wall, &self.key, cx.crypto).is_ok();
            if holds && proven(cx, &w, &certificate) {
                good.push((w, certificate));
            }
        }
        if good.is_empty() {
            cx.counters.answers_forged += 1;
            return;
        }
        good.sort_by_key(|(w, _)| std::cmp::Reverse(w.issued_ms()));
        let reply: Vec<Located> = good.iter().filter_map(|(w, _)| Located::of(w, How::Foaf, cx.now.wall)).collect();
        cx.counters.agents_found += 1;
        if let Some(a) = self.take_asking(tag) {
            cx.reply(a.ticket, Reply::Located(Search::from(reply)));
        }
        self.end(cx, tag);
    }
}

/// The statements and certificates of an answer.
fn statements(plain: &[u8]) -> Option<Vec<(Bytes, Bytes)>> {
    let mut rest = plain;
    let mut part = || {
        let (len, after) = rest.split_first_chunk::<2>()?;
        let (part, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        rest = after;
        Some(Bytes::copy_from_slice(part))
    };
    let mut out = Vec::new();
    while let (Some(w), true) = (part(), out.len() < super::known::NODES) {
        out.push((w, part()?));
    }
    Some(out)
}
