//! Leaving word with holders: at once, when it is due, and when the holders change.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::calls::What;
use super::holder::{KEPT, LACKS};
use super::{NEAR, Rendezvous, Timer};
use crate::discovery::index::{HOLDERS, WHOLE};
use crate::discovery::{About, Whereabouts, shard_id};
use crate::identity::{AgentId, NodeId, PeerAddr, TopicId};
use crate::io::{CommandError, Reply, Ticket};
use crate::layer::{Cx, TimerKey};
use crate::time::{Span, Time};
use crate::wire::{Message, Register, Registered};

/// How often what is left with holders is renewed (a guess: eight frames of some 250 bytes each ten minutes).
pub const RENEW: Span = Span::from_secs(600);
/// How long a statement left with holders lives: two renewals may fail.
pub const LEFT_LIFE: Span = Span::from_secs(1_800);
/// A statement older than this was not renewed where it is: somebody holds a later one.
pub(super) const STALE: Span = Span(RENEW.0 + RENEW.0 / 4);
/// A holder that could not be reached is tried again after this, and one that refused after that.
const RETRY: Span = Span::from_secs(60);
const REFUSED: Span = Span::from_secs(300);
/// Who was a holder before the index changed is told what is new for so long.
const FORMER: Span = Span::from_secs(60);
/// Without an index, an address or a certificate: until it is tried again.
const LATER: Span = Span::from_secs(2);
/// For how long a withdrawn statement is carried to holders that do not answer.
const WITHDRAWING: Span = Span::from_secs(180);
/// Topic statements a holder keeps: members who register more than these come back less often.
const CROWDED: u32 = 64;
/// What a holder counts beyond this is not believed: word that is left once a day is the least.
const MAX_CROWD: u32 = 1 << 13;

/// Something of this node's that is left with holders.
#[derive(Debug)]
pub(super) struct Registration {
    topic: Option<TopicId>,
    shard: u16,
    statement: Option<Whereabouts>,
    spots: BTreeMap<NodeId, Spot>,
    renew_at: Time,
    /// When the statement was issued, and after how long it is renewed where there is no crowd.
    said: Time,
    renew: Span,
    /// Taken back since then.
    withdrawn: Option<Time>,
    /// Members that the least crowded holder counted, of a topic.
    crowd: Option<u32>,
}

/// A holder, or one that was.
#[derive(Debug)]
struct Spot {
    node: PeerAddr,
    /// What it has: when that was issued.
    has: u64,
    asked: bool,
    /// Not worth a try before.
    retry_at: Time,
    /// It lacks the certificate.
    lacks: bool,
    /// No holder any longer, since the index changed; told what is new until then.
    former: Option<Time>,
}

impl Registration {
    fn new(topic: Option<TopicId>, subject: &[u8; 32], now: Time) -> Registration {
        Registration {
            topic,
            shard: shard_id(subject),
            statement: None,
            spots: BTreeMap::new(),
            renew_at: now,
            said: now,
            renew: RENEW,
            withdrawn: None,
            crowd: None,
        }
    }
}

impl Registration {
    /// A holder counts so many members. Who finds a topic crowded comes back when as many others have had their turn.
    fn found_crowd(&mut self, members: u32) {
        let crowd = self.crowd.unwrap_or(u32::MAX).min(members);
        self.crowd = Some(crowd);
        if self.withdrawn.is_none() {
            self.renew_at =
                self.said + Span(self.renew.0 / u64::from(CROWDED)).times(u64::from(crowd.clamp(CROWDED, MAX_CROWD)));
        }
    }
}

impl Rendezvous {
    pub(super) fn register_agent(&mut self, cx: &mut Cx<'_>, ticket: Ticket, on: bool) {
        let Some(agent) = AgentId::own(cx.crypto) else {
            return cx.reply(ticket, Reply::Refused(CommandError::NoAgent));
        };
        match on {
            true => self.register(cx, agent.0, None),
            false => self.withdraw(cx, agent.0),
        }
        cx.reply(ticket, Reply::Done);
    }

    /// Begins to leave word of an agent or topic; again if it was taken back.
    pub(super) fn register(&mut self, cx: &mut Cx<'_>, subject: [u8; 32], topic: Option<TopicId>) {
        let now = cx.now.mono;
        let r = self.registrations.entry(subject).or_insert_with(|| Registration::new(topic, &subject, now));
        r.withdrawn = None;
        r.renew_at = now;
        self.tend_registration(cx, subject);
    }

    /// Whether word of it is left with holders.
    pub(super) fn is_registered(&self, subject: &[u8; 32]) -> bool {
        self.registrations.get(subject).is_some_and(|r| r.withdrawn.is_none())
    }

    /// Takes word of it back, where it was left.
    pub(super) fn withdraw(&mut self, cx: &mut Cx<'_>, subject: [u8; 32]) {
        let now = cx.now.mono;
        let Some(r) = self.registrations.get_mut(&subject).filter(|r| r.withdrawn.is_none()) else { return };
        if r.statement.is_none() {
            self.registrations.remove(&subject);
            cx.deadlines.cancel(TimerKey::Rendezvous(Timer::Registration(subject)));
            return;
        }
        r.withdrawn = Some(now);
        r.renew_at = now;
        self.tend_registration(cx, subject);
    }

    /// The addresses have changed: everything is said anew.
    pub(super) fn renew_all(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        self.registrations.values_mut().filter(|r| r.withdrawn.is_none()).for_each(|r| r.renew_at = now);
        for subject in self.registrations.keys().copied().collect::<Vec<_>>() {
            self.tend_registration(cx, subject);
        }
    }

    /// Issues what is due, and leaves it where it is missing.
    pub(super) fn tend_registration(&mut self, cx: &mut Cx<'_>, subject: [u8; 32]) {
        let now = cx.now.mono;
        let Some(r) = self.registrations.get(&subject) else { return };
        let timer = TimerKey::Rendezvous(Timer::Registration(subject));
        if r.withdrawn.is_some_and(|since| now.since(since) >= WITHDRAWING) {
            self.registrations.remove(&subject);
            return cx.deadlines.cancel(timer);
        }
        if r.renew_at <= now && !self.issue(cx, subject) {
            return cx.deadlines.set(timer, now + LATER);
        }
        self.choose_spots(cx, subject);
        let Some(r) = self.registrations.get(&subject) else { return };
        let Some(w) = r.statement.clone() else { return };
        let due = |s: &Spot| s.has < w.issued_ms() && !s.asked && s.retry_at <= now;
        let calls: Vec<PeerAddr> = r.spots.values().filter(|s| due(s)).map(|s| s.node.clone()).collect();
        for node in calls {
            self.leave_with(cx, subject, &node, &w);
        }
        let Some(r) = self.registrations.get(&subject) else { return };
        let retry = r.spots.values().filter(|s| s.has < w.issued_ms() && !s.asked).map(|s| s.retry_at);
        let next = retry.chain([r.renew_at]).min().unwrap_or(r.renew_at);
        cx.deadlines.set(timer, next.max(now + Span::from_millis(100)));
    }

    /// A new statement. Returns whether there was all that it takes.
    fn issue(&mut self, cx: &mut Cx<'_>, subject: [u8; 32]) -> bool {
        let node = cx.own_address();
        let Some(r) = self.registrations.get_mut(&subject) else { return false };
        let about = match r.topic {
            Some(topic) => Some(About::Topic(topic)),
            None => cx.agents.own_certificate().map(|(id, _)| About::Agent(AgentId(subject), *id)),
        };
        let Some(about) = about.filter(|_| !node.addrs.is_empty()) else { return false };
        let last = r.statement.as_ref().map_or(0, Whereabouts::issued_ms);
        let mut wall = cx.now.wall;
        wall.0 = wall.0.max(last + 1);
        let withdrawn = r.withdrawn.is_some();
        let w = Whereabouts::issue(about, node, (wall, LEFT_LIFE), withdrawn, &self.key, cx.crypto);
        r.statement = Some(w);
        r.crowd = None;
        r.said = cx.now.mono;
        r.renew = Span(self.rng.between(RENEW.0 - RENEW.0 / 8, RENEW.0 + RENEW.0 / 8));
        r.renew_at = cx.now.mono + if withdrawn { WITHDRAWING } else { r.renew };
        true
    }

    /// The holders, as far as they can be reached; who was one before the index changed is kept for a while.
    fn choose_spots(&mut self, cx: &mut Cx<'_>, subject: [u8; 32]) {
        let now = cx.now.mono;
        let Some(r) = self.registrations.get_mut(&subject) else { return };
        let near = self.index.weighed(r.shard, NEAR);
        let failing = |n: &NodeId| r.spots.get(n).is_some_and(|s| s.retry_at > now);
        let mut wanted: Vec<&PeerAddr> = Vec::new();
        let mut sum = 0;
        for (n, weight) in near.iter().filter(|(n, _)| !failing(&n.id)) {
            if sum >= HOLDERS as u32 * WHOLE {
                break;
            }
            sum += weight;
            wanted.push(n);
        }
        // Where many adverts are false, who knows less than this node looks among those that it trusts.
        if self.index.doubts() {
            let trusted = self.index.trusted_nodes(r.shard, HOLDERS);
            wanted.extend(trusted.into_iter().filter(|n| !failing(&n.id)));
            wanted.sort_unstable_by_key(|n| n.id);
            wanted.dedup_by_key(|n| n.id);
        }
        // Rather one that failed than none.
        if wanted.is_empty() {
            wanted = near.into_iter().map(|(n, _)| n).take(HOLDERS).collect();
        }
        let here = wanted.iter().any(|n| n.id == cx.me);
        let withdrawn = r.withdrawn.is_some();
        for s in r.spots.values_mut() {
            match wanted.iter().any(|n| n.id == s.node.id) {
                true => s.former = None,
                false => s.former = s.former.or(Some(now + FORMER)),
            }
        }
        // What was taken back is taken back wherever it was left, and nowhere else.
        r.spots.retain(|_, s| withdrawn || s.retry_at > now || s.asked || s.former.is_none_or(|until| until > now));
        for n in wanted.into_iter().filter(|n| n.id != cx.me && !withdrawn) {
            let new = || Spot { node: n.clone(), has: 0, asked: false, retry_at: now, lacks: false, former: None };
            r.spots.entry(n.id).or_insert_with(new).node.clone_from(n);
        }
        if let Some(w) = r.statement.clone().filter(|_| here || withdrawn) {
            self.leave_here(cx, &w);
        }
    }

    fn leave_with(&mut self, cx: &mut Cx<'_>, subject: [u8; 32], node: &PeerAddr, w: &Whereabouts) {
        let id = self.rng.next_u64();
        let now = cx.now.mono;
        let Some(r) = self.registrations.get_mut(&subject) else { return };
        let Some(spot) = r.spots.get_mut(&node.id) else { return };
        let certificate = match w.certificate() {
            Some(of) if spot.lacks => {
                let own = cx.agents.own_certificate().filter(|(id, _)| *id == of);
                own.map_or(Bytes::new(), |(_, bytes)| bytes.clone())
            }
            _ => Bytes::new(),
        };
        let find = r.topic.is_some_and(|t| self.topics.get(&t).is_some_and(super::topics::Topic::is_alone));
        let m = Register { id, statement: w.bytes().to_vec(), find };
        let frame = Message::from(m).frame_with(certificate);
        spot.asked = true;
        cx.counters.registrations_sent += 1;
        if !self.call(cx, node, id, What::Register(subject, w.issued_ms()), frame)
            && let Some(spot) = self.spot(&subject, &node.id)
        {
            (spot.asked, spot.retry_at) = (false, now + LATER);
        }
    }

    fn spot(&mut self, subject: &[u8; 32], node: &NodeId) -> Option<&mut Spot> {
        self.registrations.get_mut(subject)?.spots.get_mut(node)
    }

    pub(super) fn on_registered(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Registered) {
        let Some(What::Register(subject, issued)) = self.answered(cx, from, m.id) else { return };
        let now = cx.now.mono;
        let topic = self.registrations.get(&subject).and_then(|r| r.topic);
        if let Some(spot) = self.spot(&subject, &from) {
            spot.asked = false;
            match m.outcome {
                KEPT => (spot.has, spot.lacks) = (spot.has.max(issued), false),
                // Once: who then says the same again is not to be helped.
                LACKS if !spot.lacks => spot.lacks = true,
                _ => spot.retry_at = now + REFUSED,
            }
        }
        if let (Some(topic), KEPT) = (topic, m.outcome) {
            if let Some(r) = self.registrations.get_mut(&subject) {
                r.found_crowd(m.crowd);
            }
            self.take_members(cx, topic, m.members.into_iter().map(|b| Bytes::from(Vec::from(b))));
        }
        self.tend_registration(cx, subject);
    }

    pub(super) fn register_failed(&mut self, cx: &mut Cx<'_>, subject: [u8; 32], node: NodeId) {
        let now = cx.now.mono;
        if let Some(spot) = self.spot(&subject, &node) {
            (spot.asked, spot.retry_at) = (false, now + RETRY);
        }
        self.tend_registration(cx, subject);
    }
}
