//! Circuits: links between two nodes that nobody can dial, through relays, for the topics they share.
//!
//! Direct messages go through relays by themselves (`routing/`). A topic's neighbours need links; where both ends of one are behind
//! something that lets nobody in, and neither has enough neighbours that it can dial, there is a *circuit*: what the two would
//! say on a link goes as one stream of bytes (`stream.rs`), sealed between them (`keys.rs`), in pieces that are envelopes' contents. So relays
//! are chosen, left, limited and credited as for anything else they carry, one is replaced by another while the circuit stands, and
//! they see how much goes from whom to whom, and nothing of it.
//!
//! To the other layers a circuit is a link: they claim it, send on it and hear of its end. This module stands where the driver does: what is
//! for a peer at the end of a circuit never gets out of the node (`Circuits::keep`), and what comes through it is handed in as if a driver had.
//! A circuit is no proof of an address, is not gone through by envelopes, and carries no direct messages ([`crate::links::Links::is_direct`]).
//!
//! *When.* A dial failed, for a topic with fewer than [`ENOUGH`] links; this node is found through relays and so is the peer, by their beacons.
//! For a while after that the next one is not dialed first. Nobody takes a circuit who can be dialed.
//!
//! *Opening.* `OpenCircuit` with a one-time key, `CircuitOpened` with a secret for it: hybrid and forward secret, as the links are. Who both open one
//! at once keep that of the lower id. A session that was is not opened again, so that nobody plays one back.
//!
//! *Loss.* Routing repeats what is not credited, by another way. Where it has none left, what is on its way goes again a second later.
//! What is on its way for `SILENT` all the same ends the circuit, and the layers do as if a link had broken.
//!
//! Deviations from circuit relay v2 (libp2p) and TURN: no state at relays, no reservation of one relay by the pair, and no end that a relay
//! could put to it; each piece is signed for relays, at some fifty microseconds.
//!
//! Invariants: what waits for a circuit is bounded by the lanes, and what is on its way by the window; nothing is handed in twice or out of
//! order; a circuit is opened for topics only.
//!
//! Messages: `OpenCircuit`, `CircuitOpened`, `CircuitPiece`, `CircuitAck`, `CloseCircuit`, in envelopes only. Timers: `Circuits`.

mod keys;
mod opening;
mod stream;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::crypto::{BoxSecret, TAG_LEN};
use crate::identity::{Network, NodeId};
use crate::io::{Input, Output};
use crate::layer::{Cx, Request, TimerKey};
use crate::membership::Tokens;
use crate::presence::GroupSecret;
use crate::rng::Rng;
use crate::routing::{Conveyed, Kind};
use crate::time::{Span, Time};
use crate::wire::{CircuitAck, CircuitPiece, CloseCircuit, Frame, Lane, LinkRefusal, Message};
use keys::{Key, Said};
use stream::{Incoming, Outgoing};

/// Circuits of one node, and how many of them others may have opened.
pub const MAX_CIRCUITS: usize = 16;
/// See there.
pub const MAX_TAKEN: usize = 12;
/// A topic with so many links needs no circuits: with three at each the members are one (nearly always), and relays carry little.
pub const ENOUGH: usize = 3;
/// It is not opened for so long: a dial that failed (a guess: a way through two relays, tried twice).
const OPENS: Span = Span::from_secs(8);
/// A piece is on its way for so long: the circuit is over (a guess: what the failure detector has found out by itself long before).
const SILENT: Span = Span::from_secs(12);
/// Who could not be dialed is not dialed first again for so long (as for direct messages).
const VAIN: Span = Span::from_secs(120);
/// Sessions are remembered for longer than an envelope can be played back.
const PAST: Span = Span::from_secs(1_500);
/// So many of each are remembered.
const REMEMBERED: usize = 1_024;
const EVERY: Span = Span::from_secs(1);
/// Who has closed one is heard to the end, for so long at most.
const LAST: Span = Span::from_secs(2);
/// Bytes this layer holds at most.
pub(crate) const BYTES: usize =
    MAX_CIRCUITS * (stream::BYTES + stream::WINDOW * stream::PIECE + 4_096) + 3 * REMEMBERED * 96;

/// Why a circuit ends, on the wire.
const CLOSED: u8 = 0;
const FULL: u8 = 1;
const GOODBYE: u8 = 2;
const UNKNOWN: u8 = 3;

/// What came of it.
#[derive(Debug)]
pub(crate) enum Did {
    /// A circuit is open, after so long.
    Opened(NodeId, Option<Span>),
    /// None came up.
    Failed(NodeId, LinkRefusal),
    /// One ended.
    Ended(NodeId, LinkRefusal),
    /// As if a driver had said so.
    Said(Input),
}

#[derive(Debug)]
enum State {
    /// And what came before the answer.
    Opening {
        secret: BoxSecret,
        said: Said,
        early: Vec<(CircuitPiece, Bytes, Vec<NodeId>)>,
    },
    Open(Box<Open>),
}

#[derive(Debug)]
struct Open {
    send: Key,
    hear: Key,
    out: Outgoing,
    came: Incoming,
    /// An acknowledgement is owed, along these relays.
    owed: Option<Vec<NodeId>>,
    /// What was answered to who opened it.
    answer: Option<Bytes>,
    /// There was no way for some of what is on its way.
    lost: bool,
    /// The other end has closed it, and sent so many pieces before; it is waited for them until then.
    closing: Option<(u64, LinkRefusal, Time)>,
}

#[derive(Debug)]
struct Circuit {
    session: u64,
    since: Time,
    state: State,
}

impl Circuit {
    /// Whether it is open, and as new as a session of the other end's, or newer.
    fn open_since(&self, session: u64) -> bool {
        self.is_taken() && self.session >= session
    }

    fn is_opening(&self) -> bool {
        matches!(&self.state, State::Opening { .. })
    }

    /// Whether the other end has opened it.
    fn is_taken(&self) -> bool {
        matches!(&self.state, State::Open(o) if o.answer.is_some())
    }

    fn open(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(o) => Some(o),
            State::Opening { .. } => None,
        }
    }
}

/// The layer.
pub struct Circuits {
    network: [u8; 32],
    group: GroupSecret,
    rng: Rng,
    all: BTreeMap<NodeId, Circuit>,
    vain: BTreeMap<NodeId, Time>,
    past: BTreeMap<(NodeId, u64), Time>,
    taking: Option<Tokens>,
    /// From whom one was taken last, and when.
    took: BTreeMap<NodeId, Time>,
    /// This node's last session.
    last: u64,
    did: Vec<Did>,
    left: bool,
}

/// Keeps the newest of what is remembered.
fn remember<K: Ord + Copy>(all: &mut BTreeMap<K, Time>, key: K, now: Time) {
    if all.len() >= REMEMBERED
        && let Some(oldest) = all.iter().min_by_key(|(_, at)| **at).map(|(k, _)| *k)
    {
        all.remove(&oldest);
    }
    all.insert(key, now);
}

fn answer(cx: &mut Cx<'_>, to: NodeId, back: &[NodeId], frame: Frame) {
    let kind = Kind::Answer(back.to_vec());
    cx.request(Request::Convey(Box::new(Conveyed { to, frames: vec![frame], messages: 0, last: 0, kind })));
}

fn convey(cx: &mut Cx<'_>, to: NodeId, frame: Frame) {
    let kind = Kind::Circuit;
    cx.request(Request::Convey(Box::new(Conveyed { to, frames: vec![frame], messages: 1, last: 0, kind })));
}

fn close_frame(session: u64, why: u8) -> Frame {
    Message::from(CloseCircuit { session, why, next: 0 }).frame()
}

impl Circuits {
    pub(crate) fn new(network: &Network, seed: &[u8; 32]) -> Circuits {
        Circuits {
            network: keys::network_key(network),
            group: GroupSecret::of(network),
            rng: Rng::derive(seed, "circuits", &[]),
            all: BTreeMap::new(),
            vain: BTreeMap::new(),
            past: BTreeMap::new(),
            taking: None,
            took: BTreeMap::new(),
            last: 0,
            did: Vec::new(),
            left: false,
        }
    }

    /// Whether a message is this layer's.
    pub(crate) fn is_meant(message: &Message) -> bool {
        use Message as M;
        matches!(
            message,
            M::OpenCircuit(_) | M::CircuitOpened(_) | M::CircuitPiece(_) | M::CircuitAck(_) | M::CloseCircuit(_)
        )
    }

    /// The peers at the other ends of circuits that are open.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.all.iter().filter(|(_, c)| matches!(c.state, State::Open(_))).map(|(p, _)| *p)
    }

    /// What is to be handed in.
    pub(crate) fn take_did(&mut self) -> Vec<Did> {
        std::mem::take(&mut self.did)
    }

    /// The node goes: it says so to the other ends.
    pub(crate) fn depart(&mut self, cx: &mut Cx<'_>) {
        for peer in self.all.keys().copied().collect::<Vec<_>>() {
            self.close(cx, peer, LinkRefusal::Goodbye);
        }
        self.left = true;
    }

    /// Takes what is for the end of a circuit; gives back what is for the driver.
    pub(crate) fn keep(&mut self, cx: &mut Cx<'_>, output: Output) -> Option<Output> {
        match output {
            Output::Dial { peer, .. }
                if self.vain.get(&peer).is_some_and(|at| cx.now.mono.since(*at) < VAIN)
                    && self.may_open(cx, &peer)
                    && self.open(cx, peer) =>
            {
                None
            }
            Output::Send { peer, lane, frame } => match self.all.get_mut(&peer).and_then(Circuit::open) {
                Some(o) => {
                    o.out.put(lane, frame);
                    None
                }
                None => Some(Output::Send { peer, lane, frame }),
            },
            Output::Datagram { peer, bytes } => match self.all.get_mut(&peer).and_then(Circuit::open) {
                Some(o) => {
                    o.out.put(Lane::Probe, Frame { head: bytes, payload: Bytes::new() });
                    None
                }
                None => Some(Output::Datagram { peer, bytes }),
            },
            Output::Close { peer, reason } if self.all.contains_key(&peer) => {
                self.close(cx, peer, reason);
                None
            }
            other => Some(other),
        }
    }

    /// Says what there is still to say, as far as there is room, and that it is over.
    fn close(&mut self, cx: &mut Cx<'_>, peer: NodeId, reason: LinkRefusal) {
        self.send(cx, true);
        if let Some(c) = self.all.get_mut(&peer) {
            let (session, next) = (c.session, c.open().map_or(0, |o| o.out.next));
            let why = if reason == LinkRefusal::Goodbye { GOODBYE } else { CLOSED };
            convey(cx, peer, Message::from(CloseCircuit { session, why, next }).frame());
        }
        self.end(cx, peer, reason);
    }

    /// A circuit is over, here.
    fn end(&mut self, cx: &mut Cx<'_>, peer: NodeId, reason: LinkRefusal) {
        let Some(c) = self.forget(cx, &peer) else { return };
        cx.counters.circuits_ended += 1;
        self.did.push(match c.state {
            State::Opening { .. } => Did::Failed(peer, reason),
            State::Open(_) => Did::Ended(peer, reason),
        });
    }

    fn forget(&mut self, cx: &mut Cx<'_>, peer: &NodeId) -> Option<Circuit> {
        let c = self.all.remove(peer)?;
        remember(&mut self.past, (*peer, c.session), cx.now.mono);
        Some(c)
    }

    /// A link came up in place of a circuit, if there was one. Returns whether the circuit was open.
    pub(crate) fn replaced(&mut self, cx: &mut Cx<'_>, peer: &NodeId) -> bool {
        self.forget(cx, peer).is_some_and(|c| matches!(c.state, State::Open(_)))
    }

    /// The way to a node is slow.
    pub(crate) fn slow(&mut self, to: &NodeId) {
        if let Some(o) = self.all.get_mut(to).and_then(Circuit::open) {
            o.out.slow();
        }
    }

    /// Something for a node was given up. What is on its way goes again a little later.
    pub(crate) fn lost(&mut self, cx: &mut Cx<'_>, to: NodeId) {
        match self.all.get_mut(&to).and_then(Circuit::open) {
            Some(o) => {
                o.lost = true;
                o.out.slow();
            }
            None => self.end(cx, to, LinkRefusal::Timeout),
        }
    }

    fn send_again(&mut self, cx: &mut Cx<'_>) {
        for (peer, c) in &mut self.all {
            let session = c.session;
            let Some(o) = c.open().filter(|o| o.lost) else { continue };
            o.lost = false;
            for (piece, sealed) in o.out.on_way() {
                convey(cx, *peer, Message::from(CircuitPiece { session, piece }).frame_with(sealed));
            }
        }
    }

    /// Sends what is due. Returns whether there was anything.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>) -> bool {
        self.send(cx, false)
    }

    fn send(&mut self, cx: &mut Cx<'_>, all: bool) -> bool {
        let mut any = false;
        for (peer, c) in &mut self.all {
            let session = c.session;
            let Some(o) = c.open() else { continue };
            while o.out.is_due() || (all && o.out.has_room()) {
                let (piece, plain, left) = o.out.cut();
                let sealed = Bytes::from(o.send.seal(cx.crypto, piece, &plain));
                o.out.sent(sealed.clone(), cx.now.mono);
                convey(cx, *peer, Message::from(CircuitPiece { session, piece }).frame_with(sealed));
                cx.counters.circuit_pieces_sent += 1;
                let credit = |lane: Lane| (lane, left[lane as usize]);
                let credits = Lane::STREAMS.map(credit).into_iter().filter(|(_, bytes)| *bytes > 0);
                let peer = *peer;
                self.did.extend(credits.map(|(lane, bytes)| Did::Said(Input::SendCredit { peer, lane, bytes })));
                any = true;
            }
            if let Some(back) = o.owed.take() {
                answer(cx, *peer, &back, Message::from(CircuitAck { session, next: o.came.next }).frame());
                any = true;
            }
        }
        any
    }

    /// Something that `from` says about a circuit came along relays.
    pub(crate) fn on_message(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        message: Message,
        payload: &Bytes,
        back: Vec<NodeId>,
    ) {
        match message {
            Message::OpenCircuit(m) => self.on_open(cx, from, m.session, payload, &back),
            Message::CircuitOpened(m) => self.on_opened(cx, from, m.session, payload, &back),
            Message::CircuitPiece(m) => self.on_piece(cx, from, m, payload, back),
            Message::CircuitAck(m) => {
                let circuit = self.all.get_mut(&from).filter(|c| c.session == m.session);
                let sound = circuit.and_then(Circuit::open).is_none_or(|o| o.out.arrived(m.next));
                cx.counters.frames_unexpected += u64::from(!sound);
            }
            Message::CloseCircuit(m) => {
                if let Some(c) = self.all.get_mut(&from).filter(|c| c.session == m.session) {
                    let reason = match m.why {
                        FULL => LinkRefusal::Full,
                        GOODBYE => LinkRefusal::Goodbye,
                        UNKNOWN => LinkRefusal::Silent,
                        _ => LinkRefusal::Closed,
                    };
                    match c.open().filter(|o| o.came.next < m.next) {
                        Some(o) => o.closing = Some((m.next, reason, cx.now.mono + LAST)),
                        None => self.end(cx, from, reason),
                    }
                }
                // Who brought it is credited with an answer that says nothing.
                answer(cx, from, &back, Message::from(CircuitAck { session: m.session, next: 0 }).frame());
            }
            _ => cx.counters.frames_unexpected += 1,
        }
    }

    fn on_piece(&mut self, cx: &mut Cx<'_>, from: NodeId, m: CircuitPiece, sealed: &Bytes, back: Vec<NodeId>) {
        let Some(c) = self.all.get_mut(&from).filter(|c| c.session == m.session) else {
            return answer(cx, from, &back, close_frame(m.session, UNKNOWN));
        };
        let o = match &mut c.state {
            State::Open(o) => o,
            State::Opening { early, .. } => {
                // By another relay than the answer, which is still on its way.
                if early.len() < stream::WINDOW && sealed.len() <= stream::PIECE + TAG_LEN {
                    early.push((m, sealed.clone(), back));
                }
                return;
            }
        };
        if !o.came.wants(m.piece) {
            o.owed = Some(back);
            return;
        }
        let Some(plain) = o.hear.open(cx.crypto, m.piece, sealed) else {
            cx.counters.circuit_pieces_refused += 1;
            return;
        };
        o.owed = Some(back);
        let Ok(whole) = o.came.take(m.piece, plain) else {
            cx.counters.circuit_pieces_refused += 1;
            convey(cx, from, close_frame(m.session, CLOSED));
            return self.end(cx, from, LinkRefusal::Protocol);
        };
        self.did.extend(whole.into_iter().map(|(lane, bytes)| {
            Did::Said(match lane {
                Lane::Probe => Input::Datagram { from, bytes },
                _ => Input::Frame { from, lane, bytes },
            })
        }));
        if let Some((next, reason, _)) = o.closing
            && o.came.next >= next
        {
            self.end(cx, from, reason);
        }
    }

    /// Ends what takes too long, and forgets what is old.
    pub(crate) fn tend(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let late = |c: &Circuit| match &c.state {
            State::Opening { .. } => now.since(c.since) >= OPENS,
            State::Open(o) => {
                o.out.oldest().is_some_and(|at| now.since(at) >= SILENT) || o.closing.is_some_and(|(.., at)| at <= now)
            }
        };
        for peer in self.all.iter().filter(|(_, c)| late(c)).map(|(p, _)| *p).collect::<Vec<_>>() {
            convey(cx, peer, close_frame(self.all[&peer].session, UNKNOWN));
            self.end(cx, peer, LinkRefusal::Silent);
        }
        self.send_again(cx);
        self.vain.retain(|_, at| now.since(*at) < VAIN);
        self.past.retain(|_, at| now.since(*at) < PAST);
        self.took.retain(|_, at| now.since(*at) < VAIN);
        if !self.all.is_empty() {
            cx.deadlines.set_no_later(TimerKey::Circuits, now + EVERY);
        }
    }
}
