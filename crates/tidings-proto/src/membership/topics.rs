//! Finding a topic's members without an index: neighbours' topic lists, bootstrap peers, and a bounded walk.

use std::collections::BTreeSet;

use crate::identity::{NodeId, PeerAddr, TopicId};
use crate::io::Overlay;
use crate::layer::{Cx, Done, Signal, TimerKey};
use crate::membership::neighbors::part;
use crate::membership::view::{View, remember, with_addrs};
use crate::membership::{MAX_TOPICS, Membership, Timer, claim};
use crate::wire::{MAX_PEERS, MAX_TOPICS as TOPICS_A_FRAME, TopicPeers, TopicWalk, Topics};

/// Hops of a walk: with ten neighbours' lists seen at each, some 80 nodes are asked (a guess).
const WALK: u8 = 8;
/// Walks started at once.
const WALKS: usize = 2;
/// Members named to a seeker.
const NAMED: usize = 8;

impl Membership {
    pub(super) fn enter(&mut self, cx: &mut Cx<'_>, topic: TopicId) -> Done {
        let overlay = Overlay::Topic(topic);
        if self.views.contains_key(&overlay) {
            return Done::Ok;
        }
        if self.views.len() > MAX_TOPICS {
            return Done::Full;
        }
        let mut v = View::new(overlay, cx.me, cx.seed, cx.now);
        // The neighbours' lists come first; bootstrap peers and walks only if those name nobody.
        v.visit_at = cx.now.mono + crate::time::Span::from_millis(300);
        self.views.insert(overlay, v);
        cx.deadlines.set(TimerKey::Membership(Timer::Tend(overlay)), cx.now.mono);
        self.tell_all(cx, Topics { fresh: false, add: vec![topic], remove: Vec::new() });
        cx.signal(Signal::TopicEntered { topic });
        Done::Ok
    }

    pub(super) fn exit(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let overlay = Overlay::Topic(topic);
        let Some(mut v) = self.views.remove(&overlay) else { return };
        for peer in v.sample_active(usize::MAX, &[]) {
            part(cx, &mut v, peer);
        }
        for p in std::mem::take(&mut v.pending) {
            cx.release(p.peer, claim(overlay));
        }
        cx.deadlines.cancel(TimerKey::Membership(Timer::Tend(overlay)));
        cx.deadlines.cancel(TimerKey::Membership(Timer::Shuffle(overlay)));
        self.tell_all(cx, Topics { fresh: false, add: Vec::new(), remove: vec![topic] });
        cx.signal(Signal::TopicLeft { topic });
    }

    /// Some who may be members were found elsewhere.
    pub(super) fn introduce(&mut self, cx: &mut Cx<'_>, topic: TopicId, peers: &[PeerAddr]) {
        let overlay = Overlay::Topic(topic);
        let Some(v) = self.views.get_mut(&overlay) else { return };
        for p in peers.iter().filter(|p| p.id != cx.me && !p.addrs.is_empty()).take(MAX_PEERS) {
            cx.topology.claim(p);
            remember(cx, v, p.id);
        }
        v.fill_at = cx.now.mono;
        cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(overlay)), cx.now.mono);
    }

    fn tell_all(&mut self, cx: &mut Cx<'_>, topics: Topics) {
        let Some(root) = self.views.get(&Overlay::Root) else { return };
        for a in &root.active {
            cx.send(a.id, topics.clone());
        }
    }

    /// Tells a new neighbour of the network's overlay our topics.
    pub(super) fn tell_topics(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let all: Vec<TopicId> = self
            .views
            .keys()
            .filter_map(|o| match o {
                Overlay::Topic(t) => Some(*t),
                Overlay::Root => None,
            })
            .collect();
        let mut fresh = true;
        for part in all.chunks(TOPICS_A_FRAME) {
            cx.send(peer, Topics { fresh, add: part.to_vec(), remove: Vec::new() });
            fresh = false;
        }
    }

    pub(super) fn on_topics(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Topics) {
        if !self.views.get(&Overlay::Root).is_some_and(|v| v.is_active(&from)) {
            cx.counters.frames_unexpected += 1;
            return;
        }
        let theirs = self.topics.entry(from).or_default();
        if m.fresh {
            theirs.clear();
        }
        for t in &m.remove {
            theirs.remove(t);
        }
        for t in &m.add {
            if theirs.len() >= MAX_TOPICS {
                cx.counters.topics_ignored += 1;
                continue;
            }
            theirs.insert(*t);
            let overlay = Overlay::Topic(*t);
            if let Some(v) = self.views.get_mut(&overlay) {
                remember(cx, v, from);
                cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(overlay)), v.fill_at.max(cx.now.mono));
            }
        }
    }

    /// The neighbours of the network's overlay that take part in `topic`.
    pub(super) fn neighbors_in(&self, topic: TopicId) -> Vec<NodeId> {
        self.topics.iter().filter(|(_, t)| t.contains(&topic)).map(|(p, _)| *p).collect()
    }

    /// Sends walkers out for a topic's members.
    pub(super) fn walk(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let seeker = cx.own_address();
        let Some(root) = self.views.get_mut(&Overlay::Root) else { return };
        for peer in root.sample_active(WALKS, &[]) {
            cx.send(peer, TopicWalk { topic, seeker: seeker.clone(), ttl: WALK });
        }
    }

    pub(super) fn on_topic_walk(&mut self, cx: &mut Cx<'_>, from: NodeId, m: TopicWalk) {
        if m.seeker.id == cx.me || m.seeker.addrs.is_empty() {
            return;
        }
        if !self.walks.take(cx.now.mono) {
            cx.counters.joins_limited += 1;
            return;
        }
        let overlay = Overlay::Topic(m.topic);
        if self.views.contains_key(&overlay) {
            cx.topology.claim(&m.seeker);
            self.adopt(cx, overlay, m.seeker.id);
            return;
        }
        let ttl = m.ttl.min(WALK);
        if ttl == 0 {
            return;
        }
        let members = self.neighbors_in(m.topic);
        let Some(root) = self.views.get_mut(&Overlay::Root) else { return };
        let members: Vec<NodeId> = members.into_iter().filter(|p| *p != from && *p != m.seeker.id).collect();
        let next = match root.rng.pick(&members) {
            Some(p) => Some(*p),
            None => root.random_active(&[from, m.seeker.id]),
        };
        if let Some(next) = next {
            cx.send(next, TopicWalk { ttl: ttl - 1, ..m });
        }
    }

    /// Somebody wants into a topic that we are not in: name members, and send its walk on.
    pub(super) fn answer_seeker(&mut self, cx: &mut Cx<'_>, from: NodeId, topic: TopicId) {
        let mut members = self.neighbors_in(topic);
        members.retain(|p| *p != from);
        members.truncate(NAMED);
        let peers = with_addrs(cx.topology, members);
        let nobody = peers.is_empty();
        cx.send(from, TopicPeers { topic, peers });
        if nobody {
            let seeker = cx.topology.peer_addr(&from);
            self.on_topic_walk(cx, from, TopicWalk { topic, seeker, ttl: WALK });
        }
    }

    pub(super) fn on_topic_peers(&mut self, cx: &mut Cx<'_>, from: NodeId, m: TopicPeers) {
        let overlay = Overlay::Topic(m.topic);
        let Some(v) = self.views.get_mut(&overlay) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        if v.take_pending(&from).is_none() {
            cx.counters.frames_unexpected += 1;
            return;
        }
        cx.release(from, claim(overlay));
        let distinct: BTreeSet<NodeId> = m.peers.iter().map(|p| p.id).collect();
        if distinct.len() <= MAX_PEERS {
            let known: Vec<PeerAddr> = m.peers.into_iter().filter(|p| !p.addrs.is_empty()).collect();
            for p in known {
                cx.topology.claim(&p);
                remember(cx, v, p.id);
            }
        }
        v.fill_at = cx.now.mono;
        cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(overlay)), cx.now.mono);
    }
}
