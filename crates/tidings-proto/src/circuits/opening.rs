//! How a circuit comes to be: who opens one, who takes one, and the keys.

use bytes::Bytes;

use super::keys::{self, Key, Said};
use super::stream::{Incoming, Outgoing};
use super::{
    CLOSED, Circuit, Circuits, Did, ENOUGH, EVERY, FULL, GOODBYE, MAX_CIRCUITS, MAX_TAKEN, Open, State, UNKNOWN,
    answer, close_frame, convey, remember,
};
use crate::crypto::BOX_KEY_LEN;
use crate::identity::NodeId;
use crate::io::Overlay;
use crate::layer::{Cx, TimerKey};
use crate::membership::Tokens;
use crate::routing;
use crate::time::{Span, Time};
use crate::wire::{CircuitAck, CircuitOpened, LinkRefusal, Message, OpenCircuit};

/// So many are taken at once, and another one each so often: agreeing upon one costs some two hundred microseconds.
const AT_ONCE: u32 = 16;
/// One that was opened at the same time as this node's comes so late at most: for so long routing repeats it.
const LATE: Span = Span::from_secs(10);
/// One sender's next is taken after so long.
const AGAIN: Span = Span::from_secs(1);
const EACH: Span = Span::from_millis(200);
/// Where there is no room, one that nobody here needs makes some after so long (as for links).
const MAKES_ROOM: Span = Span::from_secs(2);

impl Circuits {
    fn random(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).for_each(|b| b.copy_from_slice(&self.rng.next_u64().to_le_bytes()));
        bytes
    }

    /// Whether a link that could not be dialed is worth a circuit.
    pub(super) fn may_open(&self, cx: &Cx<'_>, peer: &NodeId) -> bool {
        let lacks = |overlay: &Overlay| *overlay != Overlay::Root && cx.links().claimed_for(*overlay) < ENOUGH;
        !self.left
            && self.all.len() < MAX_CIRCUITS
            && !self.all.contains_key(peer)
            && !cx.vias.is_empty()
            && cx.links().claims(peer).iter().any(|c| lacks(&c.overlay))
            && routing::is_behind(cx, &self.group, peer)
    }

    /// A dial failed. Returns whether a circuit is being opened instead.
    pub(crate) fn dial_failed(&mut self, cx: &mut Cx<'_>, peer: NodeId) -> bool {
        remember(&mut self.vain, peer, cx.now.mono);
        self.all.contains_key(&peer) || (self.may_open(cx, &peer) && self.open(cx, peer))
    }

    pub(super) fn open(&mut self, cx: &mut Cx<'_>, peer: NodeId) -> bool {
        self.last = cx.now.wall.0.max(self.last + 1);
        let (session, seed) = (self.last, self.random());
        let (public, secret) = cx.crypto.box_keypair(&seed);
        let said = Said::new(&self.network, session, [&cx.me, &peer], &public);
        convey(cx, peer, Message::from(OpenCircuit { session }).frame_with(public.into()));
        self.all.insert(
            peer,
            Circuit { session, since: cx.now.mono, state: State::Opening { secret, said, early: Vec::new() } },
        );
        cx.deadlines.set_no_later(TimerKey::Circuits, cx.now.mono + EVERY);
        true
    }

    pub(super) fn on_open(&mut self, cx: &mut Cx<'_>, from: NodeId, session: u64, public: &Bytes, back: &[NodeId]) {
        let opened = |boxed: Bytes| Message::from(CircuitOpened { session }).frame_with(boxed);
        let now = cx.now.mono;
        match self.all.get_mut(&from) {
            Some(c) if c.session == session => {
                let again = c.open().and_then(|o| o.answer.clone());
                if let Some(boxed) = again {
                    answer(cx, from, back, opened(boxed));
                }
                return;
            }
            // Both opened one: this node's stands, also if the other's comes late, or again.
            Some(c) if cx.me < from && !c.is_taken() && (c.is_opening() || now.since(c.since) < LATE) => {
                remember(&mut self.past, (from, session), now);
                return answer(cx, from, back, Message::from(CircuitAck { session, next: 0 }).frame());
            }
            _ => {}
        }
        let wanted = !cx.links().claims(&from).is_empty();
        let known =
            self.past.contains_key(&(from, session)) || self.all.get(&from).is_some_and(|c| c.open_since(session));
        let again = self.took.get(&from).is_some_and(|at| now.since(*at) < AGAIN);
        if !known && !wanted && !again && !self.all.contains_key(&from) {
            self.make_room(cx);
        }
        let mut others: Vec<&Circuit> = self.all.iter().filter(|(p, _)| **p != from).map(|(_, c)| c).collect();
        let all = others.len();
        others.retain(|c| c.is_taken());
        let taken = others.len();
        let why = match () {
            () if known || public.len() != BOX_KEY_LEN => Some(UNKNOWN),
            () if self.left => Some(GOODBYE),
            () if all >= MAX_CIRCUITS || cx.vias.is_empty() => Some(FULL),
            () if cx.links().is_direct(&from) || cx.links().is_closing(&from) => Some(FULL),
            // Whom this node wants a link to itself is let in.
            () if !wanted && (again || taken >= MAX_TAKEN || !self.may_take(now)) => Some(FULL),
            () => None,
        };
        let (secret, seed) = (self.random(), self.random());
        let said = Said::new(&self.network, session, [&from, &cx.me], public);
        let boxed = if why.is_none() { said.agree(cx.crypto, public, [&secret, &seed]) } else { None };
        let Some(boxed) = boxed.map(Bytes::from) else {
            cx.counters.circuits_refused += 1;
            return answer(cx, from, back, close_frame(session, why.unwrap_or(UNKNOWN)));
        };
        remember(&mut self.took, from, now);
        // What there was is over: the other end began anew, or it is the one to be kept.
        if let Some(old) = self.forget(cx, &from)
            && matches!(old.state, State::Open(_))
        {
            self.did.push(Did::Ended(from, LinkRefusal::Closed));
        }
        self.is_open(cx, from, session, &said.keys(&secret, &cx.me, &from), Some(boxed.clone()));
        answer(cx, from, back, opened(boxed));
    }

    fn may_take(&mut self, now: Time) -> bool {
        self.taking.get_or_insert_with(|| Tokens::new(AT_ONCE, EACH, now)).take(now)
    }

    /// Where others have opened as many as they may, the oldest of those that nobody here needs goes.
    fn make_room(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        if self.all.values().filter(|c| c.is_taken()).count() < MAX_TAKEN {
            return;
        }
        let idle = |p: &NodeId, c: &Circuit| {
            c.is_taken() && now.since(c.since) >= MAKES_ROOM && cx.links().claims(p).is_empty()
        };
        let oldest = self.all.iter().filter(|(p, c)| idle(p, c)).min_by_key(|(_, c)| c.since).map(|(p, _)| *p);
        if let Some(peer) = oldest {
            convey(cx, peer, close_frame(self.all[&peer].session, CLOSED));
            self.end(cx, peer, LinkRefusal::Closed);
        }
    }

    fn is_open(&mut self, cx: &mut Cx<'_>, peer: NodeId, session: u64, keys: &[Key; 2], answer: Option<Bytes>) {
        let now = cx.now.mono;
        let rtt = match &answer {
            Some(_) => None,
            None => self.all.get(&peer).map(|c| now.since(c.since)),
        };
        let [send, hear] = keys.clone();
        let (out, came) = (Outgoing::default(), Incoming::default());
        let state =
            State::Open(Box::new(Open { send, hear, out, came, owed: None, answer, lost: false, closing: None }));
        self.all.insert(peer, Circuit { session, since: now, state });
        cx.deadlines.set_no_later(TimerKey::Circuits, now + EVERY);
        cx.counters.circuits_opened += 1;
        self.did.push(Did::Opened(peer, rtt));
    }

    pub(super) fn on_opened(&mut self, cx: &mut Cx<'_>, from: NodeId, session: u64, boxed: &Bytes, back: &[NodeId]) {
        match self.all.get(&from).filter(|c| c.session == session).map(|c| &c.state) {
            Some(State::Opening { secret, said, .. }) if boxed.len() == keys::BOXED => {
                let Some(root) = said.open(cx.crypto, secret, boxed) else {
                    cx.counters.circuits_refused += 1;
                    return self.end(cx, from, LinkRefusal::Protocol);
                };
                let keys = said.keys(&root, &cx.me, &from);
                let early = match self.all.get_mut(&from).map(|c| &mut c.state) {
                    Some(State::Opening { early, .. }) => std::mem::take(early),
                    _ => Vec::new(),
                };
                self.is_open(cx, from, session, &keys, None);
                for (piece, sealed, back) in early {
                    self.on_piece(cx, from, piece, &sealed, back);
                }
            }
            Some(_) => {}
            None => answer(cx, from, back, close_frame(session, UNKNOWN)),
        }
    }
}
