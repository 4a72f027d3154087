//! The contract between the node and its layers.
//!
//! Layers never call each other. Facts go up as [`Signal`]s, which every layer sees; work goes down as
//! [`Request`]s, each to one layer, which answers with a [`Done`] under the same ticket where one is expected.
//! The node drains both first in, first out, and routes; it holds no policy.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::GossipConfig;
use crate::counters::Counters;
use crate::crypto::Crypto;
use crate::deadlines::Deadlines;
use crate::discovery::reach::Attestations;
use crate::discovery::{coordinator, foaf, reach, rendezvous};
use crate::identity::{self, Addr, AgentId, Agents, Certificates, NodeId, PeerAddr, Proof, RecordKey, TopicId};
use crate::io::{Event, LeaveReason, Output, Overlay, Reply, Ticket};
use crate::large::{self, Content, Manifest, Uploads};
use crate::links::{Claim, Claimed, Links};
use crate::membership::{self, swim};
use crate::messaging;
use crate::presence::{self, Via};
use crate::pubsub;
use crate::records::{self, SetId, Store};
use crate::roles::{self, PeerRole};
use crate::routing;
use crate::time::Now;
use crate::topology::Topology;
use crate::wire::{CertificateRef, Lane, LinkRefusal, Message, Refresh};

/// A fact, told to every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The links: one came up.
    LinkUp {
        /// To whom.
        peer: NodeId,
    },
    /// The links: one ended, or a dial failed.
    LinkDown {
        /// To whom.
        peer: NodeId,
        /// Why.
        reason: LinkRefusal,
        /// It had never come up.
        dial: bool,
    },
    /// Membership: a peer became a neighbour.
    NeighborUp {
        /// In which overlay.
        overlay: Overlay,
        /// Who.
        peer: NodeId,
    },
    /// Membership: a neighbour is one no longer.
    NeighborDown {
        /// In which overlay.
        overlay: Overlay,
        /// Who.
        peer: NodeId,
        /// Why.
        reason: LeaveReason,
    },
    /// Membership: this node is in a topic's overlay.
    TopicEntered {
        /// Which.
        topic: TopicId,
    },
    /// Membership: it is no longer.
    TopicLeft {
        /// Which.
        topic: TopicId,
    },
    /// The failure detector: a neighbour does not answer.
    Suspected {
        /// Who.
        peer: NodeId,
    },
    /// The failure detector: a suspected neighbour is alive, or one that was removed is back.
    Recovered {
        /// Who.
        peer: NodeId,
    },
    /// The failure detector: a suspected neighbour did not recover.
    Dead {
        /// Who.
        peer: NodeId,
        /// Died, or cannot be reached directly.
        reason: LeaveReason,
    },
    /// Identity: a node's agent is proven, or is no longer.
    Agent {
        /// Whose.
        node: NodeId,
        /// Its agent.
        agent: Option<AgentId>,
    },
    /// Identity: this node's own certificate is another.
    OwnCertificate,
    /// The records: one of them changed.
    RecordChanged {
        /// In which set.
        set: SetId,
        /// Which.
        key: RecordKey,
        /// How.
        change: records::Change,
    },
    /// Routing: this node is found through other relays than before.
    ViasChanged,
    /// Routing: a relay carried what this node had to say, and the receiver's signed receipt names it.
    RelayCredited {
        /// Which relay.
        relay: NodeId,
        /// Messages in what it carried.
        messages: u32,
        /// Bytes that it carried.
        bytes: u64,
    },
    /// Routing: a relay was given something of this node's to carry, and no receipt came in time.
    RelayFailed {
        /// Which relay.
        relay: NodeId,
    },
    /// Routing: a receiver's signed receipt, which passed through this node, names this node as a relay.
    CreditedAsRelay {
        /// The receiver, who signed it.
        by: NodeId,
        /// The sender, whose it was.
        of: NodeId,
        /// Messages in what this node carried.
        messages: u32,
        /// Bytes that it carried.
        bytes: u64,
    },
    /// Roles: a node is taken for something else than before; for this node itself, it is something else. Of a relay that is
    /// one no longer: nothing new is given to it, and it takes nothing new.
    RoleChanged {
        /// Which node.
        node: NodeId,
        /// What it is.
        role: PeerRole,
    },
    /// The failure detector: a suspect's other neighbour was met, which may need a new one as well.
    Candidate {
        /// Who.
        peer: NodeId,
    },
}

/// Work for one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Membership: enter a topic's overlay.
    Enter(TopicId),
    /// Membership: leave a topic's overlay.
    Exit(TopicId),
    /// Membership: remember this peer as a way back.
    Remember(Box<PeerAddr>),
    /// Identity: a node names its certificate in what it signed, in one of its epochs; this neighbour brought it. Answered
    /// by [`Signal::Agent`], if anything comes of it.
    Prove(NodeId, u64, CertificateRef, NodeId),
    /// Membership: these may be members of a topic; get to know them.
    Introduce(TopicId, Vec<PeerAddr>),
    /// The records: publish one of this node's own.
    PutRecord(SetId, Bytes),
    /// The records: say that one of this node's own still holds.
    RefreshRecord(SetId, RecordKey, Refresh),
    /// Routing: convey frames to a node that there is no link to.
    Convey(Box<routing::Conveyed>),
    /// Rendezvous: so many of the index that may be relays. Answered by [`Routing::drawn`](crate::routing::Routing).
    DrawRelays(usize),
    /// Large messages: serve a content published here.
    Offer(TopicId, Arc<Content>),
    /// Large messages: get a content; this neighbour brought its manifest.
    Pull(TopicId, NodeId, Box<Manifest>),
}

/// The outcome of a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Carried out.
    Ok,
    /// Refused: as many overlays as allowed.
    Full,
}

/// Names a request, for its [`Done`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestTicket(pub u64);

/// Every timer of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKey {
    /// Close links nobody claims.
    Reap,
    /// Membership's.
    Membership(membership::Timer),
    /// Publish and subscribe's.
    PubSub(pubsub::Timer),
    /// Presence's.
    Presence(presence::Timer),
    /// That of agents and their certificates.
    Identity(identity::layer::Timer),
    /// Those of the network's records.
    Records(records::Timer),
    /// The failure detector's.
    Swim(swim::Timer),
    /// That of large messages.
    Large(large::Timer),
    /// That of friends of friends.
    Foaf(foaf::Timer),
    /// That of attestations.
    Reach(reach::Timer),
    /// That of coordinators.
    Coordinators(coordinator::Timer),
    /// Routing's.
    Routing(routing::Timer),
    /// That of circuits.
    Circuits,
    /// Those of rendezvous.
    Rendezvous(rendezvous::Timer),
    /// Those of roles.
    Roles(roles::Timer),
    /// That of direct messages.
    Messaging(messaging::Timer),
}

/// A protocol layer: reacts to messages, commands, signals, finished requests and timers through its [`Cx`] alone.
pub trait Layer {
    /// The messages it understands.
    type Message;
    /// What the program or another layer may ask of it.
    type Command;
    /// Its timers.
    type Timer;

    /// A message of a peer.
    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Self::Message);
    /// Work to do.
    fn on_command(&mut self, cx: &mut Cx<'_>, command: Self::Command);
    /// A fact.
    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal);
    /// A request of this layer is finished.
    fn on_done(&mut self, cx: &mut Cx<'_>, ticket: RequestTicket, done: Done);
    /// A timer is due.
    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Self::Timer);
}

/// What a layer can see and do during one call.
pub struct Cx<'a> {
    /// The time of this turn.
    pub now: Now,
    /// This node.
    pub me: NodeId,
    /// Its settings.
    pub config: &'a GossipConfig,
    /// Its seed, for the layer's own random streams.
    pub seed: &'a [u8; 32],
    /// The crypto port.
    pub crypto: &'a dyn Crypto,
    /// Where this node can be reached.
    pub own_addrs: &'a [Addr],
    /// Known peers.
    pub topology: &'a mut Topology,
    /// Who speaks for which agent.
    pub agents: &'a mut Agents,
    /// What is counted.
    pub counters: &'a mut Counters,
    /// Agents' certificates that were verified.
    pub certificates: &'a mut Certificates,
    /// What waits to be sent of large messages.
    pub uploads: &'a mut Uploads,
    /// Where others have reached this node.
    pub attestations: &'a mut Attestations,
    /// The relays through whom this node is found, written by routing.
    pub vias: &'a mut Vec<Via>,
    /// The network's records, written by their layer.
    pub records: &'a mut Store,
    pub(crate) links: &'a mut Links,
    pub(crate) deadlines: &'a mut Deadlines<TimerKey>,
    pub(crate) queues: &'a mut Queues,
}

/// What a turn leaves behind.
#[derive(Default)]
pub(crate) struct Queues {
    pub(crate) out: VecDeque<Output>,
    pub(crate) signals: VecDeque<Signal>,
    pub(crate) requests: VecDeque<(RequestTicket, Request)>,
    pub(crate) next_request: u64,
}

impl Cx<'_> {
    /// The links, to look at.
    pub fn links(&self) -> &Links {
        self.links
    }

    /// This node, as messages carry it.
    pub fn own_address(&self) -> PeerAddr {
        crate::wire::own_address(self.me, self.own_addrs)
    }

    /// What is known of the agent that `node` speaks for, by what it named last.
    pub fn agent_of(&self, node: &NodeId) -> Proof {
        self.agents.of_node(self.certificates, node, self.now.wall)
    }

    /// Claims a link, dialing it if there is none.
    pub fn claim(&mut self, peer: NodeId, claim: Claim) -> Claimed {
        let addrs = self.topology.addrs(&peer);
        self.links.claim(&mut self.queues.out, self.counters, peer, claim, addrs)
    }

    /// Claims a link, dialing it at `addrs` if there is none and nothing better is known.
    pub(crate) fn claim_at(&mut self, peer: NodeId, claim: Claim, addrs: &[Addr]) -> Claimed {
        let known = self.topology.addrs(&peer);
        let addrs = if known.is_empty() { addrs } else { known };
        self.links.claim(&mut self.queues.out, self.counters, peer, claim, addrs)
    }

    /// Claims a link, dialing it at these very addresses if there is none, and says `frame` on it: with the dial if there is
    /// one.
    pub(crate) fn claim_saying(&mut self, peer: &PeerAddr, claim: Claim, frame: Option<crate::wire::Frame>) -> Claimed {
        self.links.claim_saying(&mut self.queues.out, self.counters, peer.id, claim, &peer.addrs, frame)
    }

    /// Ends a link whoever claims it.
    pub(crate) fn close(&mut self, peer: NodeId, reason: LinkRefusal) {
        self.links.close(&mut self.queues.out, peer, reason);
    }

    /// Sends a message as a datagram, if there is a link. It may be lost.
    pub fn datagram(&mut self, peer: NodeId, message: impl Into<Message>) {
        if !self.links.is_up(&peer) {
            return;
        }
        let bytes = message.into().frame().to_bytes();
        debug_assert!(bytes.len() <= crate::wire::MAX_DATAGRAM);
        self.counters.datagrams_out += 1;
        self.counters.probe_bytes_out += bytes.len() as u64;
        self.queues.out.push_back(Output::Datagram { peer, bytes });
    }

    /// Gives a claim back.
    pub fn release(&mut self, peer: NodeId, claim: Claim) {
        self.links.release(&mut self.queues.out, self.counters, peer, claim);
    }

    /// Sends a message on the control lane. Returns whether it was handed to the link.
    pub fn send(&mut self, peer: NodeId, message: impl Into<Message>) -> bool {
        let frame = message.into().frame();
        self.links.send(&mut self.queues.out, self.counters, peer, Lane::Control, frame)
    }

    /// Sends a message on the control lane. Returns its length, if it was handed to the link.
    pub fn send_counted(&mut self, peer: NodeId, message: impl Into<Message>) -> Option<u64> {
        let frame = message.into().frame();
        let bytes = frame.len() as u64;
        self.send_frame(peer, Lane::Control, frame).then_some(bytes)
    }

    /// Sends a frame on a lane, if it has room. Returns whether it was handed to the link.
    pub fn send_frame(&mut self, peer: NodeId, lane: Lane, frame: crate::wire::Frame) -> bool {
        self.links.send(&mut self.queues.out, self.counters, peer, lane, frame)
    }

    /// Pushes a batch, unless the peer is too slow. Returns whether it was handed to the link.
    pub(crate) fn push(&mut self, peer: NodeId, frame: &crate::wire::Frame) -> bool {
        let may = self.links.may_push(self.counters, &peer, frame.len(), self.now.mono);
        may && self.send_frame(peer, Lane::Data, frame.clone())
    }

    /// Tells every layer a fact.
    pub fn signal(&mut self, signal: Signal) {
        self.queues.signals.push_back(signal);
    }

    /// Asks a layer for work.
    pub fn request(&mut self, request: Request) -> RequestTicket {
        let ticket = RequestTicket(self.queues.next_request);
        self.queues.next_request += 1;
        self.queues.requests.push_back((ticket, request));
        ticket
    }

    /// Tells the program what happened.
    pub fn event(&mut self, event: Event) {
        self.queues.out.push_back(Output::Event(event));
    }

    /// Answers a command of the program.
    pub fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.queues.out.push_back(Output::Reply { ticket, reply });
    }

    /// Hands the driver something else to carry out.
    pub(crate) fn output(&mut self, output: Output) {
        self.queues.out.push_back(output);
    }
}
