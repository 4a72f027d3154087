//! The receiver: what came through relays is opened, and those that brought it are credited with the answer.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Routing, Up, envelope};
use crate::circuits::Circuits;
use crate::crypto::SIGNATURE_LEN;
use crate::identity::NodeId;
use crate::layer::Cx;
use crate::wire::{Credit, Credits, Envelope, Header, Lane, MAX_CREDITS, Message};

/// Senders whose relays have not been credited yet, and passages of each.
const SENDERS: usize = 4_096;
const PASSAGES: usize = 128;
/// Bytes they take.
pub(super) const BYTES: usize = SENDERS * 256 + 65_536 * 192;
/// Frames in one envelope: direct messages send a few, circuits one.
const FRAMES: usize = 16;
/// Passages of all senders.
const ALL: usize = 65_536;

/// Relays that are to be credited, by the sender whose envelopes they brought.
#[derive(Debug, Default)]
pub(super) struct Owed {
    by: BTreeMap<NodeId, Vec<Credit>>,
    all: usize,
}

impl Owed {
    fn note(&mut self, from: NodeId, credit: Credit) -> bool {
        if self.all >= ALL || (!self.by.contains_key(&from) && self.by.len() >= SENDERS) {
            return false;
        }
        let list = self.by.entry(from).or_default();
        if list.len() >= PASSAGES {
            return false;
        }
        list.push(credit);
        self.all += 1;
        true
    }

    fn take(&mut self, from: &NodeId) -> Vec<Credit> {
        let list = self.by.remove(from).unwrap_or_default();
        self.all -= list.len();
        list
    }
}

impl Routing {
    /// Something for this node came to its end, signed by its sender.
    pub(super) fn arrived(&mut self, cx: &mut Cx<'_>, m: Envelope, payload: &Bytes) {
        cx.counters.envelopes_arrived += 1;
        let inner = payload.slice(..payload.len() - SIGNATURE_LEN);
        let went = match &m.credits {
            Some(credits) => self.on_credits(cx, m.from, credits),
            None => Vec::new(),
        };
        let back: Vec<NodeId> = m.via.iter().rev().copied().collect();
        if m.kind == 0 {
            let credit = Credit { id: m.id, relays: m.via, messages: m.messages, bytes: inner.len() as u32 };
            if !self.owed.note(m.from, credit) {
                cx.counters.credits_shed += 1;
            }
        }
        let mut rest = inner;
        for n in 0.. {
            if rest.is_empty() {
                break;
            }
            if n >= FRAMES {
                cx.counters.frames_malformed += 1;
                return;
            }
            let len = match Header::peek(&rest) {
                Ok(Some(h)) if h.frame_len() <= rest.len() => h.frame_len(),
                _ => {
                    cx.counters.frames_malformed += 1;
                    return;
                }
            };
            match Message::parse(rest.split_to(len)) {
                Ok(Some((message, _))) if n > 0 && Circuits::is_meant(&message) => cx.counters.frames_unexpected += 1,
                Ok(Some((message, payload))) => {
                    let went = went.clone();
                    let (from, message, back) = (m.from, Box::new(message), back.clone());
                    self.up.push(Up::Message { from, message, payload, back, went });
                }
                Ok(None) => cx.counters.frames_unknown += 1,
                Err(_) => cx.counters.frames_malformed += 1,
            }
        }
    }

    /// Answers along the way that something came, and credits the relays.
    pub(super) fn answer(&mut self, cx: &mut Cx<'_>, to: NodeId, via: Vec<NodeId>, inner: Bytes) {
        let Some(first) = via.first().copied() else { return };
        let owed = self.owed.take(&to);
        let mut lists: Vec<&[Credit]> = owed.chunks(MAX_CREDITS).collect();
        if lists.is_empty() {
            lists.push(&[]);
        }
        let mut inner = inner;
        for list in lists {
            let at_ms = cx.now.wall.0;
            let credits = (!list.is_empty()).then(|| Credits::give(cx.crypto, &self.key, at_ms, list.to_vec()));
            let m = Envelope {
                id: self.draw_id(),
                from: cx.me,
                to,
                via: via.clone(),
                kind: 1,
                ttl: via.len() as u8 + 1,
                at_ms,
                messages: 0,
                credits,
            };
            let payload = envelope::seal(cx.crypto, &self.key, &m, &inner);
            if !cx.send_frame(first, Lane::Control, Message::from(m).frame_with(payload)) {
                cx.counters.envelopes_unsent += 1;
            }
            // The rest only credits.
            inner = Bytes::new();
        }
    }
}
