//! What a driver hands in and what it carries out.

mod command;
mod refusal;

use std::sync::Arc;

use bytes::Bytes;

use crate::config::GossipConfig;
use crate::discovery::Search;
use crate::identity::{Addr, AgentId, ContentId, MessageId, Network, NodeId, SecretKey, TopicId};
use crate::large::Content;
use crate::log::{LogError, LogPage, LogQuery, LogRecord};
use crate::messaging::{Delivered, Kept, Progress, Received};
use crate::presence::PresenceEvent;
use crate::pubsub::{Delivery, ReconciliationStats, TopicCapability, TopicTerms};
use crate::roles::{PeerRole, RoleSource};
use crate::time::Span;
use crate::wire::{CertificateRef, Frame, Lane, LinkRefusal};

pub use command::Command;
pub use refusal::CommandError;

/// Names one command of the driver, so that its answer can be told apart. The driver chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names one storage request of the core. The core chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreTicket(pub u64);

/// Something that happened outside the core.
#[derive(Debug)]
pub enum Input {
    /// A complete frame arrived on a stream lane. `from` is the handshake's word, never the message's.
    Frame {
        /// The peer at the other end of the link.
        from: NodeId,
        /// The lane it came on.
        lane: Lane,
        /// The whole frame.
        bytes: Bytes,
    },
    /// A datagram arrived.
    Datagram {
        /// The peer at the other end of the link.
        from: NodeId,
        /// Its bytes.
        bytes: Bytes,
    },
    /// A link came up; both ends have proven their identity and the network.
    LinkUp {
        /// Whom it leads to.
        peer: NodeId,
        /// The address the peer was reached at, or came from.
        addr: Option<Addr>,
        /// Whether we dialed it.
        outbound: bool,
        /// Round-trip time measured by the transport, if it knows one already.
        rtt: Option<Span>,
    },
    /// A link ended. Frames sent on it may be lost.
    LinkDown {
        /// Whom it led to.
        peer: NodeId,
        /// Why.
        reason: LinkRefusal,
    },
    /// A dial asked for by [`Output::Dial`] failed.
    DialFailed {
        /// Who could not be reached.
        peer: NodeId,
        /// Why.
        reason: LinkRefusal,
    },
    /// Bytes accepted by [`Output::Send`] have left the send queue.
    SendCredit {
        /// To whom.
        peer: NodeId,
        /// On which lane.
        lane: Lane,
        /// How many bytes.
        bytes: usize,
    },
    /// These peers' ends of their links acknowledged packets sent since this was said last: they live, and both
    /// directions work. A transport that does not know never says it; a link on which it is said need not be pinged.
    Acknowledged {
        /// Which peers.
        peers: Vec<NodeId>,
    },
    /// The program wants something; answered by [`Output::Reply`] with the same ticket.
    Command {
        /// Names the answer.
        ticket: Ticket,
        /// What is wanted.
        command: Command,
    },
    /// A [`Output::Store`] was carried out, or failed.
    Stored {
        /// Which.
        ticket: StoreTicket,
        /// How it went.
        result: Result<(), StoreError>,
    },
    /// A [`Output::Load`] was carried out, or failed.
    Loaded {
        /// Which.
        ticket: StoreTicket,
        /// What was found, in key order.
        result: Result<Vec<(Bytes, Bytes)>, StoreError>,
    },
    /// A [`Output::Append`] was carried out, or failed.
    Appended {
        /// Which.
        ticket: StoreTicket,
        /// How it went.
        result: Result<(), LogError>,
    },
    /// A [`Output::ReadLog`] was carried out, or failed.
    LogRead {
        /// Which.
        ticket: StoreTicket,
        /// A page of what was found.
        result: Result<LogPage, LogError>,
    },
    /// The deadline passed. Late, early and spurious ticks do no harm.
    Tick,
}

/// Why a storage request failed. The core carries on without durability and says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("storage failed: {0}")]
pub struct StoreError(pub String);

/// A message on its way out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// What the subscribers get.
    pub payload: Bytes,
    /// Encoded headers, at most [`crate::pubsub::MAX_HEADERS`] bytes; empty for none.
    pub headers: Bytes,
    /// Of a large message, its content; the payload is then the content's manifest. See [`Outgoing::large`].
    pub content: Option<Arc<Content>>,
    /// Of a topic that has more than a name, the rest of its ticket.
    pub terms: TopicTerms,
}

/// The answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Carried out.
    Done,
    /// The message is signed and on its way.
    Published(Published),
    /// A topic's history, in the order of its authors' clocks. What is delivered afterwards is not in it.
    History(Vec<Delivery>),
    /// What came of looking for an agent.
    Located(Search),
    /// A direct message is in its receiver's inbox.
    Delivered(Delivered),
    /// The receiver of a direct message is away: others keep it.
    Kept(Kept),
    /// The logs were compared.
    Reconciled(ReconciliationStats),
    /// A capability that was issued.
    Capability(TopicCapability),
    /// The command was refused; nothing changed.
    Refused(CommandError),
}

/// What became of a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its id.
    pub id: MessageId,
    /// The author's epoch.
    pub epoch: u64,
    /// Its sequence number within the epoch, from 1.
    pub seq: u64,
    /// How many neighbours took it: those it was sent to at once, not those it was announced to.
    pub neighbors: usize,
}

/// Something the driver is to carry out.
#[derive(Debug)]
pub enum Output {
    /// Queue a frame on a link's lane. The core keeps within [`Lane::budget`].
    Send {
        /// To whom.
        peer: NodeId,
        /// On which lane.
        lane: Lane,
        /// What.
        frame: Frame,
    },
    /// Send a datagram; it may be lost.
    Datagram {
        /// To whom.
        peer: NodeId,
        /// What.
        bytes: Bytes,
    },
    /// Bring up a link; answered by `LinkUp` or `DialFailed`.
    Dial {
        /// To whom.
        peer: NodeId,
        /// Where it may be found.
        addrs: Vec<Addr>,
        /// What the peer is told first on the control lane, before anything else: with the handshake if the transport can,
        /// so that an answer comes as soon as the link, otherwise when the link is up. If another link comes up instead of
        /// this dial's, they are not sent.
        first: Vec<Frame>,
    },
    /// End a link; queued frames still leave. Answered by `LinkDown`.
    Close {
        /// Which.
        peer: NodeId,
        /// Why, for the other end.
        reason: LinkRefusal,
    },
    /// Something happened that the program may want to know.
    Event(Event),
    /// The answer to a command.
    Reply {
        /// Which.
        ticket: Ticket,
        /// How it went.
        reply: Reply,
    },
    /// Write records so that they survive the death of the process, all or none; answered by `Stored`.
    Store {
        /// Names the answer.
        ticket: StoreTicket,
        /// Key and value; `None` deletes.
        records: Vec<(Bytes, Option<Bytes>)>,
    },
    /// Read every record whose key starts with `prefix`; answered by `Loaded`.
    Load {
        /// Names the answer.
        ticket: StoreTicket,
        /// The prefix.
        prefix: Bytes,
    },
    /// Append batches to a topic's durable log; answered by `Appended`.
    Append {
        /// Names the answer.
        ticket: StoreTicket,
        /// To which topic's.
        topic: TopicId,
        /// What. Nothing: only whether the topic's log can be used, and everything before this is on the medium.
        records: Vec<LogRecord>,
        /// Whether the answer waits until they are on the medium. All requests at hand share one sync.
        sync: bool,
    },
    /// Read a page of a topic's durable log; answered by `LogRead`.
    ReadLog {
        /// Names the answer.
        ticket: StoreTicket,
        /// Of which topic.
        topic: TopicId,
        /// What.
        query: LogQuery,
    },
}

/// An overlay: the network's own, or one topic's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Overlay {
    /// The network's overlay: every node is in it.
    Root,
    /// A topic's overlay: its subscribers and publishers.
    Topic(TopicId),
}

/// Why a neighbour is one no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeaveReason {
    /// It said goodbye.
    Goodbye,
    /// Its link failed or went silent.
    Link(LinkRefusal),
    /// It, or we, made room for another.
    Replaced,
    /// It, or we, left the topic.
    Unsubscribed,
    /// It did not answer, and nobody else could reach it either.
    Died,
}

/// What happened to the node, for the program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Messages of one author, in order.
    Delivered(Delivery),
    /// A direct message came, and is in the inbox.
    Direct(Box<Received>),
    /// A direct message of this node's has come farther, or failed.
    Message(Box<Progress>),
    /// Messages that could not be had in time.
    Gap {
        /// Of which topic.
        topic: TopicId,
        /// Whose.
        author: NodeId,
        /// Of which of the author's epochs.
        epoch: u64,
        /// The first sequence number missed.
        from: u64,
        /// The last one missed.
        to: u64,
    },
    /// A peer became a neighbour in an overlay.
    PeerJoined {
        /// Who.
        peer: NodeId,
        /// In which overlay.
        overlay: Overlay,
    },
    /// A neighbour left an overlay's active view.
    PeerLeft {
        /// Who.
        peer: NodeId,
        /// Which overlay.
        overlay: Overlay,
        /// Why.
        reason: LeaveReason,
    },
    /// A neighbour does not answer. Traffic goes around it and a replacement is looked for; it may recover.
    PeerSuspected {
        /// Who.
        peer: NodeId,
    },
    /// A suspected neighbour answers again, or one that was removed for its silence is back.
    PeerRecovered {
        /// Who.
        peer: NodeId,
    },
    /// A node's agent is proven, or is no longer: its certificate was revoked.
    Agent {
        /// Whose.
        node: NodeId,
        /// Its agent.
        agent: Option<AgentId>,
    },
    /// A certificate that was asked for is here, or cannot be had for now: who waits to know an author's agent waits no
    /// longer.
    Certificate {
        /// Which.
        certificate: CertificateRef,
    },
    /// The agent has revoked this node: it speaks for it no longer.
    CastOut,
    /// Two live nodes use one key. Told once an hour and key.
    CloneSeen {
        /// Whose; this node's own, if others met a node with its key that it is not.
        peer: NodeId,
    },
    /// A node is a relay, or says so.
    RolePromoted {
        /// Which.
        node: NodeId,
        /// The score that this rests on: ours, what others' words bear out, or what it claims.
        score: f64,
        /// What this rests on.
        source: RoleSource,
    },
    /// A node is a relay no longer, or says so.
    RoleDemoted {
        /// Which.
        node: NodeId,
        /// The score that this rests on.
        score: f64,
        /// What this rests on.
        source: RoleSource,
    },
    /// This node itself is something else than before, and tells everybody.
    LocalRoleChanged {
        /// What.
        role: PeerRole,
        /// Its score, by what was credited to it.
        score: f64,
    },
    /// Somebody came, went, or says something else of itself.
    Presence(PresenceEvent),
    /// A chunk of a content came that is more than [`crate::large::WHOLE`] bytes long.
    Chunk {
        /// Of which content.
        content: ContentId,
        /// Its number.
        index: u32,
        /// It.
        bytes: Bytes,
    },
    /// A content is complete.
    ContentComplete {
        /// Which.
        content: ContentId,
        /// It, if it has [`crate::large::WHOLE`] bytes at most.
        whole: Option<Bytes>,
    },
    /// A content could not be had.
    ContentLost {
        /// Which.
        content: ContentId,
    },
    /// A record could not be written: messages flow on, but a restart may repeat or miss some.
    StorageFailed {
        /// What the storage said.
        error: StoreError,
    },
}

/// What a node is made from.
#[derive(Clone, Debug)]
pub struct NodeSetup {
    /// The node's key.
    pub secret: SecretKey,
    /// The network it belongs to.
    pub network: Network,
    /// Its settings, already validated.
    pub config: GossipConfig,
    /// Seeds every random stream of the node.
    pub seed: [u8; 32],
}
