//! How messages end: the receiver's signed receipt, its refusal, or time.

use super::inbox::EnvelopeId;
use super::outgoing::{COST, Delivered, Session, Waiting};
use super::session::Envelope;
use super::tracker::{MessageStatus, Progress};
use super::{Messaging, tend_soon};
use crate::identity::NodeId;
use crate::io::{CommandError, Reply};
use crate::layer::Cx;
use crate::wire::{CloseSession, Receipt};

impl Messaging {
    pub(super) fn on_receipt(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Receipt, signature: &[u8]) {
        let now = cx.now.mono;
        let Some(c) = self.conversations.get_mut(&from) else {
            cx.counters.receipts_refused += 1;
            return;
        };
        let of = |s: &&mut Session| s.id == m.session && m.next <= s.sent + 1;
        let Some(s) = c.session.as_mut().filter(of).or(c.last.as_mut().filter(of)) else {
            cx.counters.receipts_refused += 1;
            return;
        };
        if !s.chain.proves_receipt(&self.key, cx.crypto, &from, m, signature) {
            cx.counters.receipts_refused += 1;
            return;
        }
        s.waits_since = now;
        c.tries = 0;
        c.idle_since = now;
        let (mut receipted, mut said) = (Vec::new(), false);
        while c.waiting.front().is_some_and(|w| w.number < m.next) {
            let Some(w) = c.waiting.pop_front() else { break };
            c.bytes -= w.body.len() + COST;
            self.waiting -= w.body.len() + COST;
            c.in_flight = c.in_flight.saturating_sub(Envelope::len(w.body.len()));
            let id = EnvelopeId::of(&cx.me, &from, c.epoch, w.number);
            let via = c.relayed.went(w.number);
            let delivered = Delivered { id, node: from, via, took: now.since(w.since) };
            if w.done {
                continue;
            }
            cx.counters.direct_delivered += 1;
            receipted.push(id);
            said |= w.kind != super::CHECK;
            if w.kind != 0 {
                continue;
            }
            let (status, via) = (MessageStatus::Delivered, delivered.via.clone());
            self.tracker.ended(cx, Progress { id, to: from, status, via });
            if let Some(ticket) = w.ticket {
                cx.reply(ticket, Reply::Delivered(delivered));
            }
        }
        if said {
            self.check_later(cx, &from);
        }
        for id in receipted {
            self.is_receipted(cx, &id);
        }
    }

    /// The receiver takes nothing more in this session.
    pub(super) fn on_close(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &CloseSession) {
        let now = cx.now.mono;
        let c = self.conversations.get_mut(&from);
        let Some(c) = c.filter(|c| c.session.as_ref().is_some_and(|s| s.id == m.session)) else { return };
        cx.counters.sessions_closed += 1;
        c.start_over(now);
        // This node's clock was set back since it said something there.
        c.opened_ms = c.opened_ms.max(m.at_ms);
        let old = c.epoch;
        if old < m.epoch {
            c.epoch = m.epoch.saturating_add(1);
            self.renumbered(cx, from, old);
        }
        let why = match m.why {
            3 => CommandError::NotProven,
            5 => CommandError::InboxFull,
            6 => CommandError::NotAnAgent,
            _ => return tend_soon(cx),
        };
        self.fail(cx, from, |_| true, &why);
    }

    /// Those of one peer's messages that this is so of have failed.
    pub(super) fn fail(&mut self, cx: &mut Cx<'_>, peer: NodeId, which: impl Fn(&Waiting) -> bool, why: &CommandError) {
        let Some(c) = self.conversations.get_mut(&peer) else { return };
        while c.waiting.front().is_some_and(&which) {
            let Some(w) = c.waiting.pop_front() else { break };
            c.bytes -= w.body.len() + COST;
            self.waiting -= w.body.len() + COST;
            if c.session.as_ref().is_some_and(|s| s.sent >= w.number) {
                c.in_flight = c.in_flight.saturating_sub(Envelope::len(w.body.len()));
            }
            if w.kept || w.done || w.kind == super::CHECK {
                // It has not failed: keepers have it, or the receiver; or it says nothing.
                continue;
            }
            cx.counters.direct_failed += 1;
            let Some(ticket) = w.ticket else { continue };
            let id = EnvelopeId::of(&cx.me, &peer, c.epoch, w.number);
            let status = MessageStatus::Failed(why.clone());
            self.tracker.ended(cx, Progress { id, to: peer, status, via: Vec::new() });
            cx.reply(ticket, Reply::Refused(why.clone()));
        }
    }
}
