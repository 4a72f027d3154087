//! Direct messages: from one agent's node to a node of another agent, sealed end to end, in order, exactly once, each answered by
//! the receiver's signed receipt.
//!
//! A *session* carries what one node has to say to another; the other direction has sessions of its own. It opens with 32 random
//! bytes in a box (HPKE over X-Wing, see [`crate::crypto`]) to the prekey in the receiver's certificate, signed by the sender's node and
//! with the certificate of its agent; so the post-quantum price is paid once. From the root, a hash chain gives each frame a key of its own that
//! is forgotten with its use: who takes a node's memory reads nothing of before. New sessions use the newest prekey, and one is
//! given up for a new one after `session::MAX_FRAMES` frames or `session::MAX_AGE`, so that who took a memory once reads on for that long only.
//! This is the sending half of the double ratchet (Marlinspike, Perrin 2016) with its asymmetric step once an hour and not with each answer: an
//! X-Wing key is 1216 bytes.
//!
//! Envelopes are numbered by sender, receiver and the sender's *epoch*. What waits when the node's turn ends travels as one frame: one
//! seal, one signature, one receipt. The receiver keeps, for each sender, the epoch, the next number and the time of the last session,
//! and writes them with the envelopes in one stroke before anybody sees these (`incoming.rs`); so an envelope comes once, also across a
//! `SIGKILL`, and an old session's frames can be played back to nobody. What a receipt says is in the receiver's inbox on its disk.
//!
//! A link that breaks ends its sessions: what has no receipt goes again in a new one, under its old numbers. What is for a node that
//! is away waits at relays (`backup/`).
//!
//! Invariants: nothing is sent unsealed; nothing is believed whose sender's agent is not proven; numbers only grow; a message
//! that was taken ends as delivered or failed, and is delivered only by the receiver's signature; what waits is bounded, by peer and in all.
//!
//! Messages: `OpenSession`, `Envelopes`, `Receipt`, `CloseSession`. Timers: `Tend` (what waits too long, links that are idle), `Backup`.

mod backup;
mod ending;
mod inbox;
mod incoming;
mod ledger;
mod outgoing;
mod relayed;
mod session;
mod tracker;

use std::collections::BTreeMap;

use bytes::Bytes;

pub use backup::{COPIES, KEPT_FOR, Kept};
pub use inbox::{EnvelopeId, Received};
pub use outgoing::Delivered;
pub use session::MAX_BODY_LEN;
pub use tracker::{MessageStatus, Progress};

use crate::identity::{AgentId, Network, NodeId, PeerAddr};
use crate::io::{CommandError, Reply, StoreError, StoreTicket, Ticket};
use crate::layer::{Cx, Done, Layer, RequestTicket, Signal, TimerKey};
use crate::presence::GroupSecret;
use crate::rng::Rng;
use crate::time::Span;
use crate::wire::Message;

/// How often what waits is looked at.
const TEND: Span = Span::from_millis(250);

/// The kind of envelope that says what was read: ids, one behind the other. 0 is what a program sends.
const READ: u8 = 1;

/// The kind that nobody reads: what it is for is how it comes (`relayed.rs`).
const CHECK: u8 = 7;

/// Tells this layer's tickets from those of others.
const OURS: u64 = 1 << 61;

/// Whether a storage ticket is this layer's.
pub(crate) fn is_ours(ticket: StoreTicket) -> bool {
    ticket.0 >> 61 == 1
}

/// Whether a message is this layer's.
pub(crate) fn is_meant(message: &Message) -> bool {
    matches!(message, Message::OpenSession(_) | Message::Envelopes(_) | Message::Receipt(_) | Message::CloseSession(_))
}

/// This layer's timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// See what waits too long.
    Tend,
    /// See to what is kept, here and elsewhere.
    Backup,
}

/// What this layer is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send something to a node of an agent.
    Send(Ticket, PeerAddr, AgentId, Bytes),
    /// These were read: the inbox need not keep them.
    Read(Ticket, Vec<EnvelopeId>),
    /// From now on an agent is told what of its is read, or is not.
    TellRead(Ticket, AgentId, bool),
    /// The node says goodbye.
    Leave,
}

/// The layer.
pub struct Messaging {
    key: [u8; 32],
    group: GroupSecret,
    rng: Rng,
    /// What this node has to say, by whom it is for.
    conversations: BTreeMap<NodeId, outgoing::Conversation>,
    /// Bytes that wait in all of them.
    waiting: usize,
    senders: incoming::Senders,
    inbox: inbox::Inbox,
    tracker: tracker::Tracker,
    backup: backup::Backup,
    left: bool,
}

impl std::fmt::Debug for Messaging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messaging").field("conversations", &self.conversations.len()).finish_non_exhaustive()
    }
}

/// Bytes this layer holds at most.
pub(crate) const BYTES: usize = outgoing::BYTES + incoming::BYTES + inbox::BYTES + tracker::BYTES + backup::BYTES;

impl Messaging {
    pub(crate) fn new(network: &Network, seed: &[u8; 32]) -> Messaging {
        Messaging {
            key: network.derive("tidings 1 direct"),
            group: GroupSecret::of(network),
            rng: Rng::derive(seed, "messaging", &[]),
            conversations: BTreeMap::new(),
            waiting: 0,
            senders: incoming::Senders::default(),
            inbox: inbox::Inbox::default(),
            tracker: tracker::Tracker::default(),
            backup: backup::Backup::new(network),
            left: false,
        }
    }

    /// What came and was not said to be read, in the order it came.
    pub fn inbox(&self) -> impl Iterator<Item = &Received> {
        self.inbox.all()
    }

    /// A message of this layer's that came over a link, with the raw payload behind it.
    pub(crate) fn on_frame(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message, payload: &Bytes) {
        self.take(cx, from, message, payload, Vec::new());
    }

    /// The same, also of one that came through relays; they are where an answer goes.
    fn take(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message, payload: &Bytes, back: Vec<NodeId>) {
        match message {
            Message::OpenSession(m) => self.on_open(cx, from, &m, payload, back),
            Message::Envelopes(m) => self.on_envelopes(cx, from, &m, payload, back),
            Message::Receipt(m) => self.on_receipt(cx, from, &m, payload),
            Message::CloseSession(m) => self.on_close(cx, from, &m),
            _ => cx.counters.frames_unexpected += 1,
        }
    }

    /// What was to be written is, or is not.
    pub(crate) fn on_stored(&mut self, cx: &mut Cx<'_>, ticket: StoreTicket, result: Result<(), StoreError>) {
        let stored = result.is_ok();
        if let Err(error) = result {
            storage_failed(cx, error);
        }
        self.written(cx, ticket, stored);
    }
}

/// Longest body of an envelope of this kind.
fn max_body(kind: u8) -> usize {
    if backup::is_ours(kind) { backup::MAX_BODY } else { MAX_BODY_LEN }
}

fn storage_failed(cx: &mut Cx<'_>, error: StoreError) {
    cx.counters.storage_failures += 1;
    cx.event(crate::io::Event::StorageFailed { error });
}

impl Layer for Messaging {
    type Message = Message;
    type Command = Command;
    type Timer = Timer;

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        self.on_frame(cx, from, message, &Bytes::new());
    }

    fn on_command(&mut self, cx: &mut Cx<'_>, command: Command) {
        match command {
            Command::Send(ticket, to, agent, body) => self.send(cx, ticket, to, agent, body),
            Command::Read(ticket, ids) => self.read(cx, ticket, &ids),
            Command::TellRead(ticket, agent, on) => {
                let reply = match self.tracker.tell(agent, on) {
                    true => Reply::Done,
                    false => Reply::Refused(CommandError::TooManyQueries { limit: tracker::MAX_TOLD }),
                };
                cx.reply(ticket, reply);
            }
            Command::Leave => self.leave(cx),
        }
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        self.backup_signal(cx, signal);
        if let Signal::LinkDown { peer, dial, .. } = signal {
            self.link_lost(cx, peer, *dial);
            self.senders.link_lost(peer);
        }
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::Tend => self.tend(cx),
            Timer::Backup => self.tend_backup(cx),
        }
    }
}

fn tend_soon(cx: &mut Cx<'_>) {
    cx.deadlines.set_no_later(TimerKey::Messaging(Timer::Tend), cx.now.mono + TEND);
}
