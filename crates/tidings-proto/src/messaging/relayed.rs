//! Where there is no link: what is said goes through relays, and what comes through them is answered there.
//!
//! *Spot checks.* Some time after something came through relays, which nobody can foresee, the sender says something of no meaning by a way
//! drawn at random among those at hand. To relays it is a message like any other, so who does well only by what matters, or only by
//! those who watch, is found out; and relays that are hardly used come to be known.

use std::collections::VecDeque;

use bytes::Bytes;

use super::outgoing::{CLAIM, Conversation};
use super::tracker::{MessageStatus, Progress};
use super::{Messaging, tend_soon};
use crate::identity::NodeId;
use crate::io::Event;
use crate::layer::{Cx, Request, TimerKey};
use crate::routing::{self, Conveyed, Kind, Up};
use crate::time::{Span, Time};
use crate::wire::{Frame, Lane, Message};

/// How often it is looked up whether a node is found through relays, while there is no link to it.
const ASK: Span = Span::from_secs(1);
/// How often a link is tried beside the relays: an address translation may be gone, or let us in (a guess).
const DIAL: Span = Span::from_secs(120);
/// A spot check follows what was said so much later, at a time drawn at random (a guess: one or two a minute of talk).
const CHECK_AFTER: (Span, Span) = (Span::from_secs(10), Span::from_secs(90));
/// Its length is drawn, too: that of what people say.
const CHECK_BYTES: (u64, u64) = (8, 400);
/// Passages whose way is remembered, of one conversation.
const WENT: usize = 256;

/// What a conversation knows about relays.
#[derive(Debug, Default)]
pub(super) struct Relayed {
    on: bool,
    ask_at: Time,
    dial_at: Time,
    /// A relay has had the messages up to this number.
    pub(super) upto: u64,
    /// By the number of the last message, the way it went.
    went: VecDeque<(u64, Vec<NodeId>)>,
    /// When the next spot check is.
    check_at: Option<Time>,
}

impl Relayed {
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// The node could not be dialed: others may reach it.
    pub(super) fn turn_on(&mut self, on: bool) {
        self.on = on;
    }

    fn note(&mut self, went: Vec<(u64, Vec<NodeId>)>) {
        for w in went {
            let at = self.went.partition_point(|(last, _)| *last < w.0);
            self.went.insert(at, w);
        }
        while self.went.len() > WENT {
            self.went.pop_front();
        }
    }

    /// The relays that a message went through, by the receiver's word.
    pub(super) fn went(&mut self, number: u64) -> Vec<NodeId> {
        while self.went.front().is_some_and(|(last, _)| *last < number) {
            self.went.pop_front();
        }
        self.went.front().map(|(_, via)| via.clone()).unwrap_or_default()
    }
}

impl Messaging {
    /// Whether what there is to say to a peer goes through relays. Beside them a link is tried now and then.
    pub(super) fn by_relay(&mut self, cx: &mut Cx<'_>, peer: NodeId) -> bool {
        let now = cx.now.mono;
        let Some(c) = self.conversations.get_mut(&peer) else { return false };
        if cx.links().is_direct(&peer) {
            c.relayed.on = false;
            return false;
        }
        if !c.relayed.on && now >= c.relayed.ask_at {
            c.relayed.ask_at = now + ASK;
            c.relayed.on = routing::is_behind(cx, &self.group, &peer);
        }
        if c.relayed.on && now >= c.relayed.dial_at && !c.to.addrs.is_empty() {
            c.relayed.dial_at = now + DIAL;
            if cx.topology.is_ready(&peer, now) && !cx.links().is_circuit(&peer) {
                cx.claim_saying(&c.to, CLAIM, None);
                c.claimed = true;
            }
        }
        c.relayed.on
    }

    /// Something that was said through relays has a receipt: a spot check follows.
    pub(super) fn check_later(&mut self, cx: &mut Cx<'_>, peer: &NodeId) {
        let Some(c) = self.conversations.get_mut(peer).filter(|c| c.relayed.on) else { return };
        if c.relayed.check_at.is_none() {
            let after = Span(self.rng.between(CHECK_AFTER.0.0, CHECK_AFTER.1.0));
            c.relayed.check_at = Some(cx.now.mono + after);
        }
        self.next_check(cx);
    }

    /// Makes the spot checks that are due.
    pub(super) fn check(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let due = |c: &Conversation| c.relayed.check_at.is_some_and(|at| at <= now);
        let due = self.conversations.iter().filter(|(_, c)| due(c)).map(|(peer, _)| *peer);
        for peer in due.collect::<Vec<_>>() {
            let len = self.rng.between(CHECK_BYTES.0, CHECK_BYTES.1) as usize;
            let Some(c) = self.conversations.get_mut(&peer) else { continue };
            c.relayed.check_at = None;
            if !c.relayed.on || !c.waiting.is_empty() || cx.links().is_direct(&peer) {
                continue;
            }
            let (to, agent) = (c.to.clone(), c.agent);
            if self.queue(cx, None, to, agent, super::CHECK, vec![0; len].into()).is_ok() {
                cx.counters.spot_checks += 1;
            }
        }
        self.next_check(cx);
    }

    fn next_check(&self, cx: &mut Cx<'_>) {
        if let Some(at) = self.conversations.values().filter_map(|c| c.relayed.check_at).min() {
            cx.deadlines.set_no_later(TimerKey::Messaging(super::Timer::Tend), at);
        }
    }

    /// What came of it, or came through relays.
    pub(crate) fn on_up(&mut self, cx: &mut Cx<'_>, up: Up) {
        match up {
            Up::Message { from, message, payload, back, went } => {
                if let Some(c) = self.conversations.get_mut(&from) {
                    c.relayed.note(went);
                }
                if super::is_meant(&message) {
                    self.take(cx, from, *message, &payload, back);
                } else {
                    cx.counters.frames_unexpected += 1;
                }
            }
            Up::Relayed { to, last } => {
                let Some(c) = self.conversations.get_mut(&to) else { return };
                for id in c.have_been_relayed(&cx.me, last) {
                    let p = Progress { id, to, status: MessageStatus::Relayed, via: Vec::new() };
                    cx.event(Event::Message(Box::new(p)));
                }
            }
            // Of circuits.
            Up::Lost { .. } | Up::Late { .. } => {}
            Up::NoWay { to } => {
                let Some(c) = self.conversations.get_mut(&to) else { return };
                // A link is tried again, and relays as well: there may be some by then.
                c.relayed.dial_at = cx.now.mono;
                c.start_over(cx.now.mono);
                c.not_before = c.not_before.min(cx.now.mono + ASK);
                tend_soon(cx);
            }
        }
    }

    /// Answers a peer over the link, or along the relays by which it was heard.
    pub(super) fn answer(cx: &mut Cx<'_>, to: NodeId, back: &[NodeId], message: Message, payload: Bytes) {
        let frame: Frame = message.frame_with(payload);
        if back.is_empty() {
            cx.send_frame(to, Lane::Control, frame);
            return;
        }
        let kind = Kind::Answer(back.to_vec());
        cx.request(Request::Convey(Box::new(Conveyed { to, frames: vec![frame], messages: 0, last: 0, kind })));
    }
}
