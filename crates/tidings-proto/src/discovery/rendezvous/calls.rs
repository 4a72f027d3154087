//! Questions to nodes that may be strangers: a link for as long as it takes, and a while longer.

use std::collections::BTreeMap;

use super::{Rendezvous, Timer};
use crate::identity::{NodeId, PeerAddr, TopicId};
use crate::io::Overlay;
use crate::layer::{Cx, TimerKey};
use crate::links::{Claim, Claimed};
use crate::time::{Span, Time};
use crate::wire::Frame;

/// How long a link is kept after the last answer (a guess: who asks once often asks twice; at fifty questions a second a
/// holder has 250 such links).
pub(super) const WARM: Span = Span::from_secs(5);
/// And after one to something that was left: it may have to be left again, with a certificate.
const LEFT: Span = Span::from_secs(1);
/// How long an answer may take: a dial that fails, and a stall.
const PATIENCE: Span = Span::from_secs(3);
/// Links held for this at once: a part of what `max_links` allows.
const MAX_OPEN: usize = 48;
/// Questions under way at once.
const MAX_ASKED: usize = 1_024;

pub(super) const CLAIM: Claim = Claim { layer: 90, overlay: Overlay::Root };

/// What a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// To leave a statement, issued then.
    Register([u8; 32], u64),
    /// A look-up.
    LookUp(u64),
    /// A topic's members.
    Members(TopicId),
}

#[derive(Clone, Copy, Debug)]
struct Call {
    what: What,
    to: NodeId,
    at: Time,
}

#[derive(Clone, Copy, Debug, Default)]
struct Open {
    busy: u32,
    /// Since when nobody is waited for.
    idle: Time,
    /// Whether it was used for more than leaving something.
    keep: bool,
}

impl Open {
    /// How long it is kept unused.
    fn patience(&self) -> Span {
        if self.keep { WARM } else { LEFT }
    }
}

/// Questions under way, and the links they use.
#[derive(Debug, Default)]
pub(super) struct Calls {
    asked: BTreeMap<u64, Call>,
    open: BTreeMap<NodeId, Open>,
}

impl Rendezvous {
    /// Asks; `frame` carries `id`. Returns whether the question is on its way.
    pub(super) fn call(&mut self, cx: &mut Cx<'_>, to: &PeerAddr, id: u64, what: What, frame: Frame) -> bool {
        if self.calls.asked.len() >= MAX_ASKED || !self.make_room(cx, to.id) {
            cx.counters.calls_refused += 1;
            return false;
        }
        match cx.claim_saying(to, CLAIM, Some(frame)) {
            Claimed::Up | Claimed::Dialing => {}
            Claimed::Full | Claimed::NoAddress => {
                cx.counters.calls_refused += 1;
                return false;
            }
        }
        let open = self.calls.open.entry(to.id).or_default();
        open.busy += 1;
        open.keep |= !matches!(what, What::Register(..));
        self.calls.asked.insert(id, Call { what, to: to.id, at: cx.now.mono });
        cx.deadlines.set_no_later(TimerKey::Rendezvous(Timer::Calls), cx.now.mono + PATIENCE);
        true
    }

    /// Whether one more link may be used; the one unused for longest goes for it.
    fn make_room(&mut self, cx: &mut Cx<'_>, to: NodeId) -> bool {
        if self.calls.open.len() < MAX_OPEN || self.calls.open.contains_key(&to) {
            return true;
        }
        let idle = self.calls.open.iter().filter(|(_, o)| o.busy == 0).min_by_key(|(p, o)| (o.idle, **p));
        let Some(peer) = idle.map(|(p, _)| *p) else { return false };
        self.let_go(cx, peer);
        true
    }

    fn let_go(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if self.calls.open.remove(&peer).is_some() {
            cx.counters.calls_released += 1;
            cx.release(peer, CLAIM);
        }
    }

    /// What an answer is to; `None` if nothing was asked. The question is over.
    pub(super) fn answered(&mut self, cx: &mut Cx<'_>, from: NodeId, id: u64) -> Option<What> {
        let call = self.calls.asked.get(&id).filter(|c| c.to == from).copied();
        let Some(call) = call else {
            cx.counters.answers_unexpected += 1;
            return None;
        };
        self.calls.asked.remove(&id);
        self.finished(cx, from);
        Some(call.what)
    }

    fn finished(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(open) = self.calls.open.get_mut(&peer) else { return };
        open.busy = open.busy.saturating_sub(1);
        if open.busy > 0 {
            return;
        }
        open.idle = cx.now.mono;
        cx.deadlines.set_no_later(TimerKey::Rendezvous(Timer::Calls), cx.now.mono + open.patience());
    }

    /// Whether somebody is being asked, or was not long ago.
    pub(super) fn is_called(&self, peer: &NodeId) -> bool {
        self.calls.open.contains_key(peer)
    }

    /// A link is gone, and with it all that was asked on it.
    pub(super) fn calls_failed(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if self.calls.open.remove(&peer).is_none() {
            return;
        }
        let failed: Vec<u64> = self.calls.asked.iter().filter(|(_, c)| c.to == peer).map(|(id, _)| *id).collect();
        for id in failed {
            self.call_failed(cx, id);
        }
    }

    fn call_failed(&mut self, cx: &mut Cx<'_>, id: u64) {
        let Some(call) = self.calls.asked.remove(&id) else { return };
        cx.counters.calls_failed += 1;
        match call.what {
            What::Register(subject, _) => self.register_failed(cx, subject, call.to),
            What::LookUp(look) => self.look_up_failed(cx, look, call.to),
            What::Members(_) => {}
        }
    }

    pub(super) fn tend_calls(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let late: Vec<(u64, NodeId)> =
            self.calls.asked.iter().filter(|(_, c)| now.since(c.at) >= PATIENCE).map(|(id, c)| (*id, c.to)).collect();
        for (id, to) in late {
            self.finished(cx, to);
            self.not_there(cx, to);
            self.call_failed(cx, id);
        }
        let idle: Vec<NodeId> = self
            .calls
            .open
            .iter()
            .filter(|(_, o)| o.busy == 0 && now.since(o.idle) >= o.patience())
            .map(|(p, _)| *p)
            .collect();
        for peer in idle {
            self.let_go(cx, peer);
        }
        let late = self.calls.asked.values().map(|c| c.at + PATIENCE).min();
        let idle = self.calls.open.values().filter(|o| o.busy == 0).map(|o| o.idle + o.patience()).min();
        if let Some(next) = late.into_iter().chain(idle).min() {
            cx.deadlines.set_no_later(TimerKey::Rendezvous(Timer::Calls), next);
        }
    }
}
