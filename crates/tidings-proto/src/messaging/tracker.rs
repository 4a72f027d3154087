//! How far each message has come: it only ever comes farther, or fails.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Messaging;
use super::inbox::EnvelopeId;
use super::session::MAX_BODY_LEN;
use crate::identity::{AgentId, NodeId, PeerAddr};
use crate::io::{CommandError, Event};
use crate::layer::Cx;

/// Messages whose end is remembered; the oldest is forgotten.
const MAX: usize = 8_192;
/// Bytes they take.
pub(super) const BYTES: usize = MAX * 320 + MAX_TOLD * 64;
/// Agents that are told what was read.
pub(super) const MAX_TOLD: usize = 4_096;
/// Ids in one notice of what was read.
const NOTICE: usize = MAX_BODY_LEN / 16;

/// How far a message has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageStatus {
    /// It waits to be sent.
    Pending,
    /// It was sent.
    Sent,
    /// A relay says that it has it, to pass it on or to keep it until its receiver is back.
    Relayed,
    /// It is in the receiver's inbox: the receiver has signed it.
    Delivered,
    /// The receiver says that it was read.
    Read,
    /// It was not delivered in time, or refused. The receiver may have it all the same if there was no receipt.
    Failed(CommandError),
}

impl MessageStatus {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            MessageStatus::Pending => "pending",
            MessageStatus::Sent => "sent",
            MessageStatus::Relayed => "relayed",
            MessageStatus::Delivered => "delivered",
            MessageStatus::Read => "read",
            MessageStatus::Failed(_) => "failed",
        }
    }
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which.
    pub id: EnvelopeId,
    /// The node it is for.
    pub to: NodeId,
    /// How far it has come.
    pub status: MessageStatus,
    /// The relays that the receiver names, or the keeper that had it, once it is delivered; none on a direct way. While it is kept
    /// for a receiver that is away, the keepers.
    pub via: Vec<NodeId>,
}

/// The ends of messages, and who is told what was read.
#[derive(Default)]
pub(super) struct Tracker {
    ended: BTreeMap<EnvelopeId, Progress>,
    order: VecDeque<EnvelopeId>,
    told: BTreeSet<AgentId>,
}

impl Tracker {
    pub(super) fn ended(&mut self, cx: &mut Cx<'_>, p: Progress) {
        if self.ended.insert(p.id, p.clone()).is_none() {
            self.order.push_back(p.id);
        }
        if self.order.len() > MAX
            && let Some(old) = self.order.pop_front()
        {
            self.ended.remove(&old);
        }
        cx.event(Event::Message(Box::new(p)));
    }

    /// Its receiver says that a message was read. Returns whether that is possible.
    fn read(&mut self, cx: &mut Cx<'_>, by: &NodeId, id: &EnvelopeId) -> bool {
        let Some(p) = self.ended.get_mut(id).filter(|p| p.to == *by && p.status == MessageStatus::Delivered) else {
            return false;
        };
        p.status = MessageStatus::Read;
        cx.event(Event::Message(Box::new(p.clone())));
        true
    }

    pub(super) fn is_told(&self, agent: &AgentId) -> bool {
        self.told.contains(agent)
    }

    /// Whether an agent is told from now on what of its is read. Returns whether there is room for it.
    pub(super) fn tell(&mut self, agent: AgentId, on: bool) -> bool {
        match on {
            true if self.told.len() >= MAX_TOLD => self.told.contains(&agent),
            true => {
                self.told.insert(agent);
                true
            }
            false => {
                self.told.remove(&agent);
                true
            }
        }
    }

    pub(super) fn of(&self, id: &EnvelopeId) -> Option<&Progress> {
        self.ended.get(id)
    }
}

impl Messaging {
    /// What became of a message of this node's, if it is remembered.
    pub fn progress(&self, me: &NodeId, id: &EnvelopeId) -> Option<Progress> {
        let kept = || {
            let (to, via) = self.backup.keeps(id)?;
            Some(Progress { id: *id, to, status: MessageStatus::Relayed, via })
        };
        self.tracker.of(id).cloned().or_else(kept).or_else(|| {
            let of = |(to, c): (&NodeId, &super::outgoing::Conversation)| {
                let status = c.status(me, id)?;
                Some(Progress { id: *id, to: *to, status, via: Vec::new() })
            };
            self.conversations.iter().find_map(of)
        })
    }

    /// A peer says which of this node's messages were read.
    pub(super) fn on_read(&mut self, cx: &mut Cx<'_>, by: NodeId, body: &[u8]) {
        for id in body.as_chunks::<16>().0.iter().take(NOTICE) {
            if !self.tracker.read(cx, &by, &EnvelopeId(*id)) {
                cx.counters.reads_unexpected += 1;
            }
        }
    }

    /// Tells a node which of its messages were read.
    pub(super) fn tell_read(&mut self, cx: &mut Cx<'_>, to: PeerAddr, agent: AgentId, ids: &[EnvelopeId]) {
        for some in ids.chunks(NOTICE) {
            let body: Vec<u8> = some.iter().flat_map(|id| id.0).collect();
            // Who cannot be told is not.
            let _ = self.queue(cx, None, to.clone(), agent, super::READ, body.into());
        }
    }
}
