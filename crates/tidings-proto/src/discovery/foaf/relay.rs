//! Queries of others: answering, passing on, and the way back.

use bytes::Bytes;

use super::blind::Query;
use super::{ANSWERS, Asked, FORGET, Foaf, HOP, MAX_PASSED, Origin, Passed, STEM, Tag, Timer};
use crate::identity::{AgentId, NodeId};
use crate::layer::{Cx, TimerKey};
use crate::wire::{Found, Lane, Message, NotFound, Seek};

/// Nodes of the agent in an answer: one more to try should the first be gone; each is some 7 kB.
const ANSWERED: usize = 2;

impl Foaf {
    pub(super) fn on_seek(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Seek, may: bool) {
        let query = Query::from(m);
        let tag = query.tag();
        if !may || self.passed.len() >= MAX_PASSED {
            cx.counters.seeks_limited += 1;
            cx.send(from, NotFound { id: m.id });
            return;
        }
        if self.passed.contains_key(&tag) {
            cx.counters.seeks_duplicate += 1;
            cx.send(from, NotFound { id: m.id });
            return;
        }
        // Nobody makes a query go further than this node's own would.
        let most = cx.config.foaf_ttl as u8;
        let (stem, ttl) = (m.stem.min(STEM), m.ttl.min(most));
        if stem == 0 {
            cx.counters.seeks_asked += 1;
        }
        let now = cx.now.mono;
        let origin = Origin::Peer(from, m.id);
        let p = Passed { origin, query, asked: Vec::new(), answers: 0, over: false, wait: now, forget: now + FORGET };
        self.passed.insert(tag, p);
        if let Some(agent) = self.known.agent(|a| self.blind.target(&m.salt, a) == m.target)
            && let Some(answer) = self.answer(cx, &query, &agent)
        {
            cx.counters.seeks_answered += 1;
            self.pass_back(cx, tag, answer);
            self.end(cx, tag);
            return;
        }
        // How many go on, how many hops they have, and how many there are behind this one.
        let (width, stem, ttl, levels) = match (stem, ttl) {
            (2.., ttl) => (1, stem - 1, ttl, stem - 1 + ttl),
            (1, ttl) => (cx.config.foaf_fanout, 0, ttl, ttl),
            (0, 2..) => (cx.config.foaf_fanout, 0, ttl - 1, ttl - 1),
            (0, _) => (0, 0, 0, 0),
        };
        if ttl == 0 {
            return self.branch_over(cx, tag);
        }
        self.pass_on(cx, tag, &[from], width, (stem, ttl), levels);
        self.branch_over(cx, tag);
    }

    /// Asks `width` neighbours, and arms the wait for them.
    pub(super) fn pass_on(
        &mut self,
        cx: &mut Cx<'_>,
        tag: Tag,
        except: &[NodeId],
        width: usize,
        (stem, ttl): (u8, u8),
        levels: u8,
    ) {
        let mut to = self.reachable(except);
        self.rng.sample(&mut to, width);
        let Some(p) = self.passed.get_mut(&tag) else { return };
        let Query { salt, target, key } = p.query;
        for peer in to {
            let id = self.rng.next_u64();
            if cx.send(peer, Seek { id, salt, target, key, stem, ttl }) {
                cx.counters.seeks_sent += 1;
                p.asked.push(Asked { peer, id, done: false });
                self.ids.insert(id, tag);
            }
        }
        p.wait = cx.now.mono + HOP.times(u64::from(levels));
        cx.deadlines.set(TimerKey::Foaf(Timer::Wait(tag)), p.wait);
    }

    /// What this node knows of the agent asked for, with the proofs, sealed to the asker.
    fn answer(&mut self, cx: &mut Cx<'_>, query: &Query, agent: &AgentId) -> Option<Bytes> {
        let mut plain = Vec::new();
        let mut n = 0;
        for held in self.known.nodes(agent, cx.now.wall) {
            let w = &held.whereabouts;
            // Revoked meanwhile.
            let revoked = |id| matches!(cx.certificates.agent(id, &w.node(), cx.now.wall), Some(Err(_)));
            if w.certificate().is_none_or(revoked) {
                continue;
            }
            for part in [w.bytes(), &held.certificate] {
                plain.extend_from_slice(&(part.len() as u16).to_le_bytes());
                plain.extend_from_slice(part);
            }
            n += 1;
            if n == ANSWERED {
                break;
            }
        }
        if n == 0 {
            return None;
        }
        let secret = self.seed();
        query.seal(agent, &secret, &plain, cx.crypto).map(Bytes::from)
    }

    /// Hands an answer to whoever asked.
    fn pass_back(&mut self, cx: &mut Cx<'_>, tag: Tag, sealed: Bytes) {
        let Some(p) = self.passed.get_mut(&tag) else { return };
        let Origin::Peer(to, id) = p.origin else { return };
        if p.answers >= ANSWERS {
            cx.counters.answers_spare += 1;
            return;
        }
        p.answers += 1;
        cx.counters.answers_sent += 1;
        let frame = Message::from(Found { id }).frame_with(sealed);
        cx.send_frame(to, Lane::Control, frame);
    }

    /// The query that `from` was asked under this id.
    fn asked(&self, from: NodeId, id: u64) -> Option<Tag> {
        let tag = *self.ids.get(&id)?;
        let p = self.passed.get(&tag)?;
        p.asked.iter().any(|a| a.id == id && a.peer == from).then_some(tag)
    }

    pub(super) fn on_found(&mut self, cx: &mut Cx<'_>, from: NodeId, id: u64, sealed: Bytes) {
        let Some(tag) = self.asked(from, id) else {
            cx.counters.answers_unexpected += 1;
            return;
        };
        match self.passed.get(&tag).map(|p| p.origin) {
            // A bad answer is none: there may be a good one behind it.
            Some(Origin::Own) => self.take_answer(cx, tag, &sealed),
            _ => {
                self.pass_back(cx, tag, sealed);
                self.heard(cx, tag, |a| a.id == id);
            }
        }
    }

    pub(super) fn on_not_found(&mut self, cx: &mut Cx<'_>, from: NodeId, id: u64) {
        match self.asked(from, id) {
            Some(tag) => self.heard(cx, tag, |a| a.id == id),
            None => cx.counters.answers_unexpected += 1,
        }
    }

    /// A neighbour that was asked is gone.
    pub(super) fn give_up_on(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let waiting = |p: &Passed| p.asked.iter().any(|a| a.peer == peer && !a.done);
        let tags: Vec<Tag> = self.passed.iter().filter(|(_, p)| waiting(p)).map(|(t, _)| *t).collect();
        for tag in tags {
            self.heard(cx, tag, |a| a.peer == peer);
        }
    }

    /// Some of those asked need not be waited for any longer.
    fn heard(&mut self, cx: &mut Cx<'_>, tag: Tag, whom: impl Fn(&Asked) -> bool) {
        let Some(p) = self.passed.get_mut(&tag) else { return };
        p.asked.iter_mut().filter(|a| whom(a)).for_each(|a| a.done = true);
        self.branch_over(cx, tag);
    }

    /// If everybody asked has answered, so does this node.
    pub(super) fn branch_over(&mut self, cx: &mut Cx<'_>, tag: Tag) {
        let Some(p) = self.passed.get(&tag) else { return };
        if p.over || p.asked.iter().any(|a| !a.done) {
            return;
        }
        match p.origin {
            Origin::Own => self.query_over(cx, tag),
            Origin::Peer(to, id) => {
                if p.answers == 0 {
                    cx.counters.not_founds_sent += 1;
                    cx.send(to, NotFound { id });
                }
                self.end(cx, tag);
            }
        }
    }

    /// Nothing is waited for any longer; the query is remembered for a while.
    pub(super) fn end(&mut self, cx: &mut Cx<'_>, tag: Tag) {
        let Some(p) = self.passed.get_mut(&tag) else { return };
        p.over = true;
        cx.deadlines.set(TimerKey::Foaf(Timer::Wait(tag)), p.forget);
    }

    pub(super) fn on_wait(&mut self, cx: &mut Cx<'_>, tag: Tag) {
        let Some(p) = self.passed.get_mut(&tag) else { return };
        if cx.now.mono >= p.forget {
            for a in &p.asked {
                self.ids.remove(&a.id);
            }
            self.passed.remove(&tag);
            return;
        }
        if p.over {
            return cx.deadlines.set(TimerKey::Foaf(Timer::Wait(tag)), p.forget);
        }
        if cx.now.mono < p.wait {
            return cx.deadlines.set(TimerKey::Foaf(Timer::Wait(tag)), p.wait);
        }
        cx.counters.seeks_unanswered += p.asked.iter().filter(|a| !a.done).count() as u64;
        match p.origin {
            Origin::Own => self.silent(cx, tag),
            Origin::Peer(..) => self.heard(cx, tag, |_| true),
        }
    }
}
