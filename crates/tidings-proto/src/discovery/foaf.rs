//! Friends of friends: finding an agent by asking neighbours, who ask theirs, so that who asks, for whom, and what was found
//! are spread over the nodes on the way.
//!
//! The walk is that of unstructured peer-to-peer search: replicas left by random walks, found by a bounded search (Lv, Cao,
//! Cohen, Li, Shenker, "Search and replication in unstructured peer-to-peer networks", ICS 2002; Cohen, Shenker, SIGCOMM
//! 2002). Of the kinds of replication they compare, ours is the uniform one: all agents are worth finding, and there is no
//! popularity to measure that would not tell who looks for whom. The stem is Dandelion's (Bojja Venkatakrishnan, Fanti,
//! Viswanath, SIGMETRICS 2017).
//!
//! *A query* goes along a stem of one to three neighbours (four, two and one times in seven), then to `foaf_fanout`
//! neighbours of the last of them, and on to as many at each of `foaf_ttl` hops: 39 nodes with the defaults. Whoever can
//! answer does so and asks nobody. All branches go at once: with equal delays a search that stops others would come too late
//! for them. An answer goes back hop by hop; of all that a node is given for a query it passes on `ANSWERS`, so that one
//! liar cannot fill the way back. A branch that found nothing says so, so that a query that fails does so in a second and not
//! in thirty. A query of which nothing is heard is sent once more along another stem, twice at most.
//!
//! *What can be answered* comes from `advertise_self`: the node's signed statement where it is is left with all its neighbours
//! and at every step of `deposit::WALKS` walks of `deposit::LENGTH` steps, and expires. With 96 steps and ten neighbours
//! 39 nodes asked find 98 % of 1000 agents: 1 − (1 − 0.1)^39. The search's reach is fixed by `foaf_ttl` and `foaf_fanout`, so
//! in larger networks it finds less (about a third of 10 000): those have the index (`rendezvous.rs`), which needs this as
//! its fallback only.
//!
//! *Who learns what* is in `docs/discovery.md`, and a test records everything each node sees.
//!
//! Deviations from Dandelion, and why: a stem ends after three hops for certain. So a hop that is told "two more" knows that
//! the query began at the one it came from, once in seven queries; in the others the odds are four in seven, or two in three
//! with one more hop. A stem without a count would leave them at one in two and have no bound.
//!
//! Invariants: a node passes each query on at most once, whatever ids and hops it comes with; asks and answers are of
//! neighbours in the network's overlay only; nothing is kept of a query for more than [`FORGET`]; no answer is passed on that
//! was not asked for; what is answered was verified here, and is verified again by the asker.
//!
//! Messages: `Seek`, `Found`, `NotFound`, `Deposit`, `LackProof`. Timers: `Wait` (a branch, or the whole query, takes too
//! long; then, forget it), `Renew` (the node's own statement) and `Sweep`.

mod ask;
mod blind;
mod deposit;
mod known;
mod relay;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::discovery::WhereaboutsKey;
use crate::identity::{AgentId, Network, NodeId};
use crate::io::{Overlay, Ticket};
use crate::layer::{Cx, Done, Layer, RequestTicket, Signal};
use crate::membership::Tokens;
use crate::rng::Rng;
use crate::time::{Now, Span, Time};
use crate::wire::Message;
use ask::Asking;
use blind::{Blind, Query};
use deposit::Own;
use known::Known;

/// The longest stem.
const STEM: u8 = 3;
/// How long a query may take in all.
pub const TIMEOUT: Span = Span::from_secs(30);
/// For how long a query is recognised when it comes again.
pub const FORGET: Span = Span::from_secs(30);
/// How long each hop may take there and back (a guess: twice the round trip of far ends of the world, and a stall).
const HOP: Span = Span::from_millis(1_500);
/// Answers to one query that a node passes on.
const ANSWERS: u8 = 3;
/// Queries remembered: more than all neighbours together may bring in half a minute.
const MAX_PASSED: usize = 8_192;
/// Queries that a neighbour may bring: so many at once, and one more each interval. If every node of a network looks for one
/// agent a second, each neighbour brings four a second (both are guesses).
const SEEKS: (u32, Span) = (64, Span::from_millis(50));
/// Deposits that a neighbour may bring: a network that starts at once brings ten, later there is one in some minutes.
const DEPOSITS: (u32, Span) = (64, Span::from_secs(5));

/// Tells one query from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag([u8; 16]);

/// Bytes this layer holds at most: statements with certificates kept by it alone, and queries that pass through.
pub(super) const BYTES: usize =
    known::MAX_KNOWN * (crate::wire::MAX_WHEREABOUTS + crate::identity::MAX_CERTIFICATE + 512) + MAX_PASSED * 512;

/// This layer's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A query takes too long, or can be forgotten.
    Wait(Tag),
    /// Say again where this node is.
    Renew,
    /// Forget what has expired.
    Sweep,
}

/// What this layer is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Find an agent.
    Find(Ticket, AgentId),
    /// Say where this node is, from now on; or no longer.
    Advertise(Ticket, bool),
    /// This node's addresses have changed.
    Moved,
    /// The node says goodbye.
    Leave,
}

/// A neighbour in the network's overlay.
#[derive(Debug)]
struct Friend {
    id: NodeId,
    suspected: bool,
    seeks: Tokens,
    deposits: Tokens,
}

/// Where a query came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A neighbour, and its name for the question.
    Peer(NodeId, u64),
    /// This node.
    Own,
}

/// A neighbour that was asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: NodeId,
    id: u64,
    /// It has answered, or will not.
    done: bool,
}

/// A query that is here, or was.
#[derive(Debug)]
struct Passed {
    origin: Origin,
    query: Query,
    asked: Vec<Asked>,
    /// Answers passed on.
    answers: u8,
    /// Everybody asked has answered, or has been given up on.
    over: bool,
    /// Until when answers are waited for.
    wait: Time,
    /// When the query is forgotten.
    forget: Time,
}

/// The layer.
#[derive(Debug)]
pub struct Foaf {
    key: WhereaboutsKey,
    blind: Blind,
    rng: Rng,
    friends: Vec<Friend>,
    known: Known,
    passed: BTreeMap<Tag, Passed>,
    /// Our names for questions to neighbours.
    ids: BTreeMap<u64, Tag>,
    asking: Vec<Asking>,
    own: Option<Own>,
}

impl Foaf {
    pub(crate) fn new(network: &Network, seed: &[u8; 32]) -> Foaf {
        Foaf {
            key: WhereaboutsKey::new(network),
            blind: Blind::new(network),
            rng: Rng::derive(seed, "foaf", &[]),
            friends: Vec::new(),
            known: Known::default(),
            passed: BTreeMap::new(),
            ids: BTreeMap::new(),
            asking: Vec::new(),
            own: None,
        }
    }

    /// How many statements of others this node can answer with.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    fn befriend(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if self.friends.iter().any(|f| f.id == peer) {
            return;
        }
        let tokens = |(most, every), now: Now| Tokens::new(most, every, now.mono);
        self.friends.push(Friend {
            id: peer,
            suspected: false,
            seeks: tokens(SEEKS, cx.now),
            deposits: tokens(DEPOSITS, cx.now),
        });
        self.tell_new_friend(cx, peer);
    }

    /// Neighbours that queries and deposits can go to, but for `except`.
    fn reachable(&self, except: &[NodeId]) -> Vec<NodeId> {
        self.friends.iter().filter(|f| !f.suspected && !except.contains(&f.id)).map(|f| f.id).collect()
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        for part in out.chunks_mut(8) {
            part.copy_from_slice(&self.rng.next_u64().to_le_bytes());
        }
        out
    }

    /// A message on the control lane; the payload is there for those that have one.
    pub(crate) fn on_frame(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message, payload: Bytes) {
        let Some(friend) = self.friends.iter_mut().find(|f| f.id == from) else {
            cx.counters.frames_unexpected += 1;
            return;
        };
        match message {
            Message::Seek(m) => {
                let may = friend.seeks.take(cx.now.mono);
                self.on_seek(cx, from, &m, may);
            }
            Message::Found(m) => self.on_found(cx, from, m.id, payload),
            Message::NotFound(m) => self.on_not_found(cx, from, m.id),
            Message::Deposit(_) | Message::LackProof(_) if !friend.deposits.take(cx.now.mono) => {
                cx.counters.deposits_limited += 1;
            }
            Message::Deposit(m) => self.on_deposit(cx, from, m, &payload),
            Message::LackProof(m) => self.on_lack_proof(cx, from, &m),
            _ => cx.counters.frames_unexpected += 1,
        }
    }
}

impl Layer for Foaf {
    type Message = Message;
    type Command = Command;
    type Timer = Timer;

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        self.on_frame(cx, from, message, Bytes::new());
    }

    fn on_command(&mut self, cx: &mut Cx<'_>, command: Command) {
        match command {
            Command::Find(ticket, agent) => self.find(cx, ticket, agent),
            Command::Advertise(ticket, on) => self.advertise(cx, ticket, on),
            Command::Moved => self.moved(cx),
            Command::Leave => self.leave(cx),
        }
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match *signal {
            Signal::NeighborUp { overlay: Overlay::Root, peer } => self.befriend(cx, peer),
            Signal::NeighborDown { overlay: Overlay::Root, peer, .. } => {
                self.friends.retain(|f| f.id != peer);
                self.give_up_on(cx, peer);
            }
            Signal::Suspected { peer } | Signal::Recovered { peer } => {
                let suspected = matches!(signal, Signal::Suspected { .. });
                if let Some(f) = self.friends.iter_mut().find(|f| f.id == peer) {
                    f.suspected = suspected;
                }
                if suspected {
                    self.give_up_on(cx, peer);
                }
            }
            _ => {}
        }
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::Wait(tag) => self.on_wait(cx, tag),
            Timer::Renew => self.renew(cx),
            Timer::Sweep => self.sweep(cx),
        }
    }
}
