//! Routing: what two nodes have to say to each other goes through relays where there is no link between them.
//!
//! An *envelope* carries frames of direct messages (`messaging/`) or of circuits (`circuits/`), which are sealed and signed end to end by themselves, from one node
//! to another through one relay or two. The sender names the whole way (source routing, as in DSR: Johnson, Maltz 1996), so
//! that there are no tables of routes to keep or to poison and no loops: relays are named once each, and a `ttl` counts links.
//! The head and the content's hash are under the sender's signature: nobody can take a content for its own, or give it another head.
//! A first relay has an envelope from its sender itself, whose link proves it; a second one checks the signature, and so does
//! the receiver.
//!
//! *How a way is known.* A node that nobody has dialed keeps links to some it has dialed (`ways.rs`) and names them in its beacon
//! (`presence/`), signed, with the round trip to each. The sender draws two of them at random, links to the better (power of two choices:
//! Mitzenmacher 2001), and keeps two more ways warm. *Better* is the measured round trip, there and back, made longer by the load
//! that a relay claims and much longer by what it has failed (`merit.rs`). One content in sixteen goes by another way, an unproven one if there is any: so
//! the first relay comes to be one, and better ones are found. A node that names nobody is looked for through neighbours; and if none of the
//! relays named can be reached, through a neighbour that may reach one: two relays.
//!
//! *What a relay did* the receiver's signature says. Each answer carries credits (`wire::Credits`): which passages came, through whom, how much;
//! they go back through the relays, which may read them and count what they are credited with. The sender believes a credit if
//! it names the very way that it sent that passage. A relay acknowledges what it takes; that is no credit. Who does not acknowledge
//! in time, and who has and whose passage is not credited in time, is left at once for a warm way, and what it had goes again by
//! that. It counts as failed when the receiver turns out to be there after all: when another way brings the same.
//!
//! *Limits of a relay* (`relay.rs`, `fair.rs`): envelopes and bytes by sender, less of them for one that exceeds them; a queue by count,
//! bytes and age, with a share and a turn for each sender; a quarter of the next link's lane. Relays carry every kind of envelope, and only along links, which are authenticated.
//!
//! Invariants: no envelope is carried twice by one node, nor to where it has been; nothing arrives whose sender has not signed it;
//! a passage is credited once; what waits is bounded.
//!
//! Messages: `Envelope`, `RelayAck`, `Reserve`, `Reserved`. Timers: `Tend` (what is late, here and at relays), `Ways` (links by which this
//! node is found), `Reserved` (those by which others are, `reserve.rs`).

mod arrive;
mod choose;
mod course;
pub mod envelope;
mod fair;
mod merit;
mod relay;
mod reserve;
mod send;
mod ways;

use std::collections::BTreeMap;

use bytes::Bytes;

pub use envelope::{MAX_TTL, hops, key, next_hop};
pub(crate) use ways::{addrs, agent, is_behind, says_it_is_here};

use crate::identity::{Network, NodeId, PeerAddr};
use crate::layer::{Cx, Done, Layer, RequestTicket, Signal, TimerKey};
use crate::presence::GroupSecret;
use crate::rng::Rng;
use crate::time::Span;
use crate::wire::{Frame, Message, PassageId};

/// How often relays look at what waits.
const TEND: Span = Span::from_millis(100);

/// Bytes this layer holds at most.
pub(crate) const BYTES: usize = send::BYTES + relay::BYTES + arrive::BYTES + merit::BYTES;

/// This layer's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// See what is late.
    Tend,
    /// See to the links by which this node is found.
    Ways,
    /// See to those by which others are.
    Reserved,
}

/// Why something is conveyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It begins a session: what was under way before is over.
    Fresh,
    /// More of one.
    More,
    /// More of one, by any way at hand: how it comes is what it is for.
    Check,
    /// A piece of a circuit.
    Circuit,
    /// It answers what came; along these relays.
    Answer(Vec<NodeId>),
}

/// Frames for another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conveyed {
    /// Which.
    pub to: NodeId,
    /// What, as it would go over a link.
    pub frames: Vec<Frame>,
    /// Messages in it.
    pub messages: u16,
    /// The number of the last of them.
    pub last: u64,
    /// Why.
    pub kind: Kind,
}

/// What comes of it, for direct messages and circuits.
#[derive(Debug)]
pub(crate) enum Up {
    /// A frame came through relays, signed by `from`.
    Message {
        from: NodeId,
        message: Box<Message>,
        payload: Bytes,
        /// The relays an answer goes through.
        back: Vec<NodeId>,
        /// Which of this node's messages, by the last number of each passage, went through whom: the receiver's word.
        went: Vec<(u64, Vec<NodeId>)>,
    },
    /// A relay has what ends with the message of this number.
    Relayed { to: NodeId, last: u64 },
    /// There is no way to a node.
    NoWay { to: NodeId },
    /// Something of a circuit was given up.
    Lost { to: NodeId },
    /// Something of a circuit takes longer than it should, or a relay declined it.
    Late { to: NodeId },
}

/// The layer.
pub struct Routing {
    key: [u8; 32],
    group: GroupSecret,
    rng: Rng,
    ways: ways::Ways,
    courses: BTreeMap<NodeId, course::Course>,
    /// To whom each passage under way goes.
    passages: BTreeMap<PassageId, NodeId>,
    merits: merit::Merits,
    relaying: relay::Relaying,
    reservations: reserve::Reservations,
    owed: arrive::Owed,
    up: Vec<Up>,
    left: bool,
}

impl std::fmt::Debug for Routing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routing").field("courses", &self.courses.len()).finish_non_exhaustive()
    }
}

fn tend_soon(cx: &mut Cx<'_>) {
    cx.deadlines.set_no_later(TimerKey::Routing(Timer::Tend), cx.now.mono + TEND);
}

impl Routing {
    pub(crate) fn new(network: &Network, seed: &[u8; 32]) -> Routing {
        Routing {
            key: envelope::key(network),
            group: GroupSecret::of(network),
            rng: Rng::derive(seed, "routing", &[]),
            ways: ways::Ways::default(),
            courses: BTreeMap::new(),
            passages: BTreeMap::new(),
            merits: merit::Merits::default(),
            relaying: relay::Relaying::default(),
            reservations: reserve::Reservations::default(),
            owed: arrive::Owed::default(),
            up: Vec::new(),
            left: false,
        }
    }

    /// The node goes: it carries nothing more, keeps no links to be found by, and seeks no ways.
    pub(crate) fn depart(&mut self) {
        self.left = true;
        self.courses.clear();
        self.passages.clear();
    }

    /// These may be relays.
    pub(crate) fn set_drawn(&mut self, drawn: Vec<PeerAddr>) {
        self.ways.set_drawn(drawn);
    }

    /// Whether a message is this layer's.
    pub(crate) fn is_meant(message: &Message) -> bool {
        use Message::{Envelope, RelayAck, Reserve, Reserved};
        matches!(message, Envelope(_) | RelayAck(_) | Reserve(_) | Reserved(_))
    }

    /// A message of this layer's, with the raw payload behind it.
    pub(crate) fn on_frame(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message, payload: &Bytes) {
        match message {
            Message::Envelope(m) => self.on_envelope(cx, from, m, payload),
            Message::RelayAck(m) => self.on_ack(cx, from, &m),
            Message::Reserve(m) => self.on_reserve(cx, from, m),
            Message::Reserved(m) => self.on_reserved(cx, from, m),
            _ => cx.counters.frames_unexpected += 1,
        }
    }

    /// What has come of things since this was asked last.
    pub(crate) fn take_up(&mut self) -> Vec<Up> {
        std::mem::take(&mut self.up)
    }

    /// The relays that the next content for a node would go through now, if anything was sent there lately.
    pub fn way(&self, to: &NodeId) -> Option<&[NodeId]> {
        self.courses.get(to)?.current.as_deref()
    }
}

impl Layer for Routing {
    type Message = Message;
    type Command = Conveyed;
    type Timer = Timer;

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        self.on_frame(cx, from, message, &Bytes::new());
    }

    fn on_command(&mut self, cx: &mut Cx<'_>, conveyed: Conveyed) {
        self.convey(cx, conveyed);
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match *signal {
            Signal::LinkUp { peer } => {
                self.ways.met(cx);
                self.link_up(cx, peer);
            }
            Signal::LinkDown { peer, reason, dial } => {
                if self.ways.lost(&peer) {
                    self.tend_ways(cx);
                }
                self.reservation_lost(&peer);
                self.relaying_lost(cx, &peer);
                self.link_down(cx, peer, reason, dial);
            }
            Signal::RoleChanged { node, role } if node == cx.me => self.own_role_changed(cx, role),
            _ => {}
        }
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::Tend => {
                self.tend_relaying(cx);
                self.tend(cx);
            }
            Timer::Ways => self.tend_ways(cx),
            Timer::Reserved => self.tend_reservations(cx),
        }
    }
}
