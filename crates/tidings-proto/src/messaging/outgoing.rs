//! What this node has to say: numbered, sealed, sent, and sent again until there is a receipt or time is up.

use std::collections::VecDeque;

use bytes::Bytes;

use super::inbox::EnvelopeId;
use super::relayed::Relayed;
use super::session::{self, Chain, Envelope, FULL, MAX_AGE, MAX_FRAMES};
use super::tracker::MessageStatus;
use super::{Messaging, tend_soon};
use crate::identity::{AgentId, NodeId, PeerAddr};
use crate::io::{CommandError, Overlay, Reply, Ticket};
use crate::layer::{Cx, Request};
use crate::links::{Claim, Claimed};
use crate::routing::{self, Conveyed, Kind};
use crate::time::{Span, Time};
use crate::wire::{Envelopes, Frame, Lane, Message, OpenSession};

/// Peers that something waits for at once.
const MAX_CONVERSATIONS: usize = 1_024;
/// Bytes that wait for one peer, and for all.
const MAX_WAITING_PEER: usize = 4 << 20;
const MAX_WAITING: usize = 64 << 20;
/// What each takes besides its bytes (from the size of the structures).
pub(super) const COST: usize = 128;
/// Links held for this at once: a part of what `max_links` allows.
const MAX_OPEN: usize = 48;
/// Messages that wait for one peer.
const MAX_MESSAGES: usize = 16_384;
/// What is held for it all, messages and what keeping them takes.
pub(super) const BYTES: usize = 2 * MAX_WAITING + MAX_CONVERSATIONS * 1_024;
/// Bytes on their way without a receipt: a part of what the control lane may hold, and 25 MB/s at ten milliseconds.
const WINDOW: usize = 256 << 10;
/// Plain bytes of a frame through relays, which shares the envelope with the opening of its session and a certificate.
const FULL_RELAYED: usize = 72 << 10;
/// How long a message may wait for its receipt before it counts as failed (a guess: longer than a restart).
const GIVE_UP: Span = Span::from_secs(30);
/// Without a receipt for so long on a link that is up, a session is begun anew.
const PATIENCE: Span = Span::from_secs(3);
/// Between two attempts to reach a peer, the first and at most.
const AGAIN: Span = Span::from_millis(250);
const AGAIN_MOST: Span = Span::from_secs(4);
/// How long a link is kept after the last receipt.
const IDLE: Span = Span::from_secs(30);

pub(super) const CLAIM: Claim = Claim { layer: 100, overlay: Overlay::Root };

/// A message is in its receiver's inbox: the receiver has signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its id.
    pub id: EnvelopeId,
    /// The node that has it.
    pub node: NodeId,
    /// Nodes it went through; none on a direct way.
    pub via: Vec<NodeId>,
    /// From when it was handed in.
    pub took: Span,
}

/// A message without a receipt.
pub(super) struct Waiting {
    pub(super) number: u64,
    /// Who waits for the receipt: nobody for what the node itself has to say, and once it was told that keepers have it.
    pub(super) ticket: Option<Ticket>,
    pub(super) since: Time,
    pub(super) at_ms: u64,
    pub(super) kind: u8,
    pub(super) body: Bytes,
    /// Keepers have it, and their word comes if this node's own attempts are over.
    pub(super) kept: bool,
    /// It came to its end through a keeper.
    pub(super) done: bool,
}

pub(super) struct Session {
    pub(super) id: u64,
    pub(super) chain: Chain,
    pub(super) began: Time,
    /// Up to which number it has carried.
    pub(super) sent: u64,
    /// The first message without a receipt was sent then.
    pub(super) waits_since: Time,
}

/// What this node has to say to one other.
pub(super) struct Conversation {
    pub(super) to: PeerAddr,
    pub(super) agent: AgentId,
    pub(super) epoch: u64,
    next: u64,
    /// Without a receipt, by number.
    pub(super) waiting: VecDeque<Waiting>,
    /// Those up to this number are in bundles (`backup/`), as far as they may be.
    pub(super) bundled: u64,
    pub(super) bytes: usize,
    /// Bytes of those that the session has carried.
    pub(super) in_flight: usize,
    pub(super) session: Option<Session>,
    /// The one before: its receipts may still be on their way.
    pub(super) last: Option<Session>,
    pub(super) claimed: bool,
    pub(super) tries: u32,
    pub(super) not_before: Time,
    /// When the last session was opened, by the clock that the receiver goes by.
    pub(super) opened_ms: u64,
    /// When the last receipt came.
    pub(super) idle_since: Time,
    /// What it says goes through relays, and which message went through whom.
    pub(super) relayed: Relayed,
}

impl Conversation {
    fn new(to: PeerAddr, agent: AgentId, epoch: u64, now: Time) -> Conversation {
        Conversation {
            to,
            agent,
            epoch,
            next: 1,
            waiting: VecDeque::new(),
            bundled: 0,
            bytes: 0,
            in_flight: 0,
            session: None,
            last: None,
            claimed: false,
            tries: 0,
            not_before: now,
            opened_ms: 0,
            idle_since: now,
            relayed: Relayed::default(),
        }
    }

    /// How far a message that has no receipt has come, if it is of this conversation.
    pub(super) fn status(&self, me: &NodeId, id: &EnvelopeId) -> Option<MessageStatus> {
        let is = |w: &&Waiting| EnvelopeId::of(me, &self.to.id, self.epoch, w.number) == *id;
        let number = self.waiting.iter().find(is)?.number;
        let sent = self.session.iter().chain(&self.last).any(|s| s.sent >= number);
        Some(match (number <= self.relayed.upto, sent) {
            (true, _) => MessageStatus::Relayed,
            (_, true) => MessageStatus::Sent,
            _ => MessageStatus::Pending,
        })
    }

    /// The messages up to this number without a receipt that no relay had yet, and has now.
    pub(super) fn have_been_relayed(&mut self, me: &NodeId, last: u64) -> Vec<EnvelopeId> {
        let from = self.relayed.upto;
        self.relayed.upto = from.max(last);
        let news = self.waiting.iter().filter(|w| w.number > from && w.number <= last && w.ticket.is_some());
        news.map(|w| EnvelopeId::of(me, &self.to.id, self.epoch, w.number)).collect()
    }

    /// What has no receipt is to be sent again, in another session.
    pub(super) fn start_over(&mut self, now: Time) {
        if let Some(session) = self.session.take() {
            self.last = Some(session);
        }
        self.in_flight = 0;
        let wait = Span((AGAIN.0 << self.tries.min(8)).min(AGAIN_MOST.0));
        self.tries = self.tries.saturating_add(1);
        self.not_before = now + wait;
    }
}

impl Messaging {
    pub(super) fn send(&mut self, cx: &mut Cx<'_>, ticket: Ticket, to: PeerAddr, agent: AgentId, body: Bytes) {
        if let Err(why) = self.queue(cx, Some(ticket), to, agent, 0, body) {
            cx.reply(ticket, Reply::Refused(why));
        }
    }

    /// Takes something in to be sent.
    pub(super) fn queue(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Option<Ticket>,
        to: PeerAddr,
        agent: AgentId,
        kind: u8,
        body: Bytes,
    ) -> Result<(), CommandError> {
        let size = body.len();
        if self.left {
            return Err(CommandError::Leaving);
        }
        if size > super::max_body(kind) {
            return Err(CommandError::PayloadTooLarge { size, limit: super::max_body(kind) });
        }
        if to.id == cx.me {
            return Err(CommandError::ToOneself);
        }
        if cx.agents.own_certificate().is_none() {
            return Err(CommandError::NoAgent);
        }
        if prekey(cx, &agent, &to.id).is_none() {
            return Err(CommandError::NoCertificate);
        }
        let waits = self.conversations.get(&to.id).map_or((0, 0), |c| (c.bytes, c.waiting.len()));
        let cost = size + COST;
        let full = waits.0 + cost > MAX_WAITING_PEER || waits.1 >= MAX_MESSAGES || self.waiting + cost > MAX_WAITING;
        if full {
            return Err(CommandError::QueueFull { waiting: waits.0, limit: MAX_WAITING_PEER });
        }
        let now = cx.now.mono;
        if !self.conversations.contains_key(&to.id) && self.conversations.len() >= MAX_CONVERSATIONS {
            return Err(CommandError::TooManyQueries { limit: MAX_CONVERSATIONS });
        }
        let epoch = cx.now.wall.0;
        let c = self.conversations.entry(to.id).or_insert_with(|| Conversation::new(to.clone(), agent, epoch, now));
        (c.to, c.agent) = (to, agent);
        if c.to.addrs.is_empty() {
            c.to.addrs = routing::addrs(cx, &self.group, &c.to.id);
        }
        let number = c.next;
        c.next += 1;
        let (kept, done) = (false, false);
        c.waiting.push_back(Waiting { number, ticket, since: now, at_ms: epoch, kind, body, kept, done });
        c.bytes += cost;
        self.waiting += cost;
        tend_soon(cx);
        Ok(())
    }

    /// Sends what waits, one frame a peer. Returns whether there was anything.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut any = self.give_receipts(cx);
        let due: Vec<NodeId> = self
            .conversations
            .iter()
            .filter(|(_, c)| {
                let sent = c.session.as_ref().map_or(0, |s| s.sent);
                // While a link is being dialed the first frame goes with it; the others wait for it.
                let credit = || cx.links().credit(&c.to.id, Lane::Control) > FULL;
                let may = c.session.is_none() || c.in_flight == 0 || c.relayed.is_on() || credit();
                may && c.waiting.iter().rev().any(|w| w.number > sent && !w.done)
                    && c.in_flight < WINDOW
                    && cx.now.mono >= c.not_before
            })
            .map(|(id, _)| *id)
            .collect();
        for peer in due {
            let relayed = self.by_relay(cx, peer);
            any |= (relayed || self.may_claim(cx, peer)) && self.say(cx, peer);
        }
        any
    }

    /// Whether one more link may be used; one that nobody waits for goes for it.
    fn may_claim(&mut self, cx: &mut Cx<'_>, peer: NodeId) -> bool {
        let claimed = self.conversations.values().filter(|c| c.claimed).count();
        if claimed < MAX_OPEN || self.conversations.get(&peer).is_some_and(|c| c.claimed) {
            return true;
        }
        let idle = self.conversations.iter().filter(|(_, c)| c.claimed && c.waiting.is_empty());
        let Some(idle) = idle.min_by_key(|(_, c)| c.idle_since).map(|(id, _)| *id) else { return false };
        self.let_go(cx, idle);
        true
    }

    fn let_go(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if let Some(c) = self.conversations.get_mut(&peer) {
            c.claimed = false;
            c.session = None;
            cx.release(peer, CLAIM);
        }
    }

    fn say(&mut self, cx: &mut Cx<'_>, peer: NodeId) -> bool {
        let now = cx.now.mono;
        let Some(c) = self.conversations.get_mut(&peer) else { return false };
        let worn = |s: &Session| s.chain.frame >= MAX_FRAMES || now.since(s.began) >= MAX_AGE;
        if c.session.as_ref().is_some_and(worn) {
            if c.in_flight > 0 {
                // What is on its way is waited for; then a new one begins.
                return false;
            }
            c.session = None;
        }
        let relayed = c.relayed.is_on();
        let mut opening = None;
        if c.session.is_none() {
            opening = open(&self.key, &mut self.rng, cx, c);
            if opening.is_none() {
                c.start_over(now);
                return false;
            }
        }
        let full = if relayed { FULL_RELAYED } else { FULL };
        let Some(s) = &mut c.session else { return false };
        let fresh = c.waiting.iter().skip_while(|w| w.number <= s.sent || w.done);
        let (mut taken, mut size, mut first) = (Vec::new(), 0, 0);
        for w in fresh {
            let len = Envelope::len(w.body.len());
            if !taken.is_empty() && (size + len > full || c.in_flight + size >= WINDOW) {
                break;
            }
            if taken.is_empty() {
                first = w.number;
            } else if w.number != first + taken.len() as u64 || w.done {
                break;
            }
            size += len;
            taken.push(Envelope { kind: w.kind, at_ms: w.at_ms, body: w.body.to_vec() });
        }
        let Ok(plain) = minicbor::to_vec(&taken) else { return false };
        let m = Envelopes { session: s.id, frame: s.chain.frame, first };
        let payload = s.chain.seal(&self.key, cx.crypto, &m, &plain);
        let frame = Message::from(m).frame_with(payload);
        let last = first + taken.len() as u64 - 1;
        if relayed {
            let kind = match opening.is_some() {
                true => Kind::Fresh,
                false if taken.iter().all(|e| e.kind == super::CHECK) => Kind::Check,
                false => Kind::More,
            };
            let frames = opening.into_iter().chain([frame]).collect();
            let (to, messages) = (c.to.id, taken.len() as u16);
            cx.request(Request::Convey(Box::new(Conveyed { to, frames, messages, last, kind })));
        } else if !claim(cx, c, opening.into_iter().chain([frame])) {
            c.start_over(now);
            return false;
        }
        let Some(s) = &mut c.session else { return false };
        if c.in_flight == 0 {
            s.waits_since = now;
        }
        s.sent = last;
        c.in_flight += size;
        cx.counters.direct_frames_sent += 1;
        cx.counters.direct_sent += taken.len() as u64;
        true
    }

    pub(super) fn link_lost(&mut self, cx: &mut Cx<'_>, peer: &NodeId, dial: bool) {
        let now = cx.now.mono;
        let Some(c) = self.conversations.get_mut(peer) else { return };
        c.claimed = false;
        if c.relayed.is_on() {
            // A link was tried beside the relays.
            return;
        }
        c.relayed.turn_on(dial && !c.waiting.is_empty());
        c.start_over(now);
        tend_soon(cx);
    }

    pub(super) fn tend(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        self.back_up(cx);
        self.check(cx);
        for peer in self.conversations.keys().copied().collect::<Vec<_>>() {
            self.fail(cx, peer, |w| now.since(w.since) >= GIVE_UP, &CommandError::NoReceipt);
            let Some(c) = self.conversations.get_mut(&peer) else { continue };
            // Behind a slow link what was said is still on its way: it is not said again.
            let stuck = cx.links().is_direct(&peer) && cx.links().credit(&peer, Lane::Control) < Lane::Control.budget();
            let patience = if c.relayed.is_on() { PATIENCE.times(2) } else { PATIENCE };
            let silent = !stuck && c.session.as_ref().is_some_and(|s| now.since(s.waits_since) >= patience);
            if c.in_flight > 0 && silent {
                c.start_over(now);
            }
            if c.waiting.is_empty() && c.claimed && now.since(c.idle_since) >= IDLE {
                self.let_go(cx, peer);
            }
        }
        // The numbers of who is written to again go on where they were while this is kept.
        let many = self.conversations.len() > MAX_CONVERSATIONS / 2;
        self.conversations.retain(|_, c| !c.waiting.is_empty() || c.claimed || !many);
        if self.conversations.values().any(|c| !c.waiting.is_empty() || c.claimed) {
            tend_soon(cx);
        }
    }

    pub(super) fn leave(&mut self, cx: &mut Cx<'_>) {
        self.left = true;
        for peer in self.conversations.keys().copied().collect::<Vec<_>>() {
            self.fail(cx, peer, |_| true, &CommandError::Leaving);
        }
    }
}

/// The newest prekey of a node of an agent, and its number.
pub(super) fn prekey(cx: &Cx<'_>, agent: &AgentId, node: &NodeId) -> Option<(u64, Vec<u8>)> {
    let of = cx.certificates.nodes(agent, cx.now.wall);
    let (_, id) = of.into_iter().find(|(n, _)| n == node)?;
    let certificate = cx.certificates.certificate(id, cx.now.wall)?;
    let newest = certificate.statement().prekeys.last()?;
    Some((newest.id, newest.key.clone()))
}

/// Says these on the link to a conversation's peer, with the dial if there is none. Returns whether that can be.
fn claim(cx: &mut Cx<'_>, c: &mut Conversation, frames: impl Iterator<Item = Frame>) -> bool {
    for frame in frames {
        if matches!(cx.claim_saying(&c.to, CLAIM, Some(frame)), Claimed::Full | Claimed::NoAddress) {
            return false;
        }
        c.claimed = true;
    }
    true
}

/// Begins a session. Returns the frame that says so.
fn open(network: &[u8; 32], rng: &mut crate::rng::Rng, cx: &mut Cx<'_>, c: &mut Conversation) -> Option<Frame> {
    let now = cx.now.mono;
    let (own, certificate) = cx.agents.own_certificate().cloned()?;
    let (prekey, key) = prekey(cx, &c.agent, &c.to.id)?;
    let mut random = || {
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).for_each(|b| b.copy_from_slice(&rng.next_u64().to_le_bytes()));
        bytes
    };
    let (root, seed) = (random(), random());
    let m = OpenSession {
        session: rng.next_u64(),
        to: c.to.id,
        certificate: own.into(),
        prekey,
        epoch: c.epoch,
        at_ms: cx.now.wall.0.max(c.opened_ms.saturating_add(1)),
    };
    c.opened_ms = m.at_ms;
    let (chain, payload) = session::begin(network, cx.crypto, &m, &key, &certificate, (&root, &seed))?;
    let id = m.session;
    let sent = c.waiting.front().map_or(0, |w| w.number - 1);
    c.session = Some(Session { id, chain, began: now, sent, waits_since: now });
    cx.counters.sessions_opened += 1;
    Some(Message::from(m).frame_with(payload))
}
