//! Publishing where not everyone may: this node's own right to, the capabilities its agent was given, and those it gives.
//!
//! Kept under `may/` ‖ topic, so that a node that is started again may go on. Invariants: at most [`OWN`] are kept, and only
//! such as are for this node's agent; of two for a topic the one that expires later.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Policing;
use super::capability::{CapabilityError, CapabilityStatement, TopicCapability};
use crate::identity::{AgentId, TopicId};
use crate::io::{CommandError, Reply, Ticket};
use crate::layer::Cx;
use crate::pubsub::PubSub;
use crate::wire::CapabilityRef;

/// Most of its own capabilities that a node keeps (a guess: four times as many topics as it can be in).
pub(in crate::pubsub) const OWN: usize = 1_024;
/// What the records of storage are named by.
const KEY: &[u8] = b"may/";

/// What this node's agent was given.
#[derive(Debug, Default)]
pub(super) struct Own(BTreeMap<TopicId, TopicCapability>);

impl Own {
    pub(super) fn get(&self, topic: &TopicId) -> Option<&TopicCapability> {
        self.0.get(topic)
    }
}

/// The record a capability is stored as.
type Record = (Bytes, Option<Bytes>);

fn key(topic: &TopicId) -> Bytes {
    [KEY, topic.as_bytes()].concat().into()
}

impl PubSub {
    /// The program was given a capability: it is kept from now on.
    pub(in crate::pubsub) fn accept_capability(&mut self, cx: &mut Cx<'_>, ticket: Ticket, bytes: Bytes) {
        match self.policing.accept(cx, bytes) {
            Ok((key, value)) => {
                self.persist.put(cx, key, value);
                cx.reply(ticket, Reply::Done);
            }
            Err(why) => cx.reply(ticket, Reply::Refused(why)),
        }
    }
}

/// The program lets an agent publish on a topic of its own.
pub(in crate::pubsub) fn grant(cx: &mut Cx<'_>, ticket: Ticket, statement: CapabilityStatement) {
    let issued = match AgentId::own(cx.crypto) {
        None => Err(CommandError::NoAgent),
        Some(me) if me != statement.owner => Err(CapabilityError::NotOwner.into()),
        Some(_) => TopicCapability::issue(statement, cx.crypto).map_err(CommandError::from),
    };
    cx.reply(ticket, issued.map_or_else(Reply::Refused, Reply::Capability));
}

impl Policing {
    /// Takes up what was stored. Returns the records of what has expired, or is another agent's by now: they can go.
    pub(in crate::pubsub) fn recall(&mut self, cx: &Cx<'_>, records: &[(Bytes, Bytes)]) -> Vec<Bytes> {
        let mut over = Vec::new();
        for (key, value) in records.iter().filter(|(k, _)| k.starts_with(KEY)) {
            let fits = |c: &TopicCapability| self.fits(cx, c).is_ok() && c.verify(cx.crypto).is_ok();
            match TopicCapability::parse(value.clone()).ok().filter(fits) {
                Some(c) => drop(self.own.0.insert(c.statement().topic, c)),
                None => over.push(key.clone()),
            }
        }
        over
    }

    fn fits(&self, cx: &Cx<'_>, c: &TopicCapability) -> Result<(), CapabilityError> {
        let s = c.statement();
        if AgentId::own(cx.crypto) != Some(s.agent) {
            return Err(CapabilityError::Agent(s.agent));
        }
        if self.policies.get(&s.topic).is_some_and(|p| p.owner() != Some(s.owner)) {
            return Err(CapabilityError::Topic);
        }
        s.in_time(cx.now.wall.0, cx.now.wall, 0)
    }

    /// This node's agent was given a capability. Returns what to store.
    fn accept(&mut self, cx: &Cx<'_>, bytes: Bytes) -> Result<Record, CommandError> {
        let c = TopicCapability::parse(bytes)?;
        self.fits(cx, &c)?;
        c.verify(cx.crypto)?;
        let (topic, expires) = (c.statement().topic, c.statement().expires_ms);
        if self.own.0.len() >= OWN {
            // Their records go at the next start.
            self.own.0.retain(|_, c| c.statement().expires_ms > cx.now.wall.0);
        }
        match self.own.get(&topic) {
            Some(old) if old.statement().expires_ms >= expires => {}
            None if self.own.0.len() >= OWN => return Err(CommandError::TooManyTopics { limit: OWN }),
            _ => drop(self.own.0.insert(topic, c)),
        }
        let kept = self.own.get(&topic).map(|c| c.bytes().clone());
        Ok((key(&topic), kept))
    }

    /// Whether this node may publish on a topic, and by which capability if it needs one.
    pub(in crate::pubsub) fn may_publish(
        &self,
        cx: &Cx<'_>,
        topic: &TopicId,
    ) -> Result<Option<CapabilityRef>, CommandError> {
        let Some(policy) = self.policies.get(topic) else { return Ok(None) };
        let me = AgentId::own(cx.crypto).ok_or(CommandError::NoAgent)?;
        if cx.agents.is_cast_out() {
            return Err(CommandError::CastOut);
        }
        if policy.names(&me) {
            return Ok(None);
        }
        let Some(owner) = policy.owner() else { return Err(CommandError::NotListed { agent: me }) };
        let refuse = |why| CommandError::MayNotPublish { agent: me, owner, why };
        let own = self.own.get(topic).filter(|c| c.statement().owner == owner).ok_or_else(|| refuse(None))?;
        own.statement().in_time(cx.now.wall.0, cx.now.wall, 0).map_err(|why| refuse(Some(why)))?;
        Ok(Some(own.id()))
    }
}
