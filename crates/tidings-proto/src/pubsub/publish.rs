//! The author's side: numbers, batches, and how much may wait.

use std::collections::VecDeque;
use std::sync::Arc;

use super::batch::{Batch, BatchHeader, Delivery, MAX_BODY, MAX_HEADERS, MAX_MESSAGE, MAX_MESSAGES};
use super::durable::Sealed;
use super::message_log::{Entry, Known};
use super::persist::Used;
use super::{IDLE, PubSub, Timer, Topic};
use crate::identity::TopicId;
use crate::io::{CommandError, Outgoing, Published, Reply, Ticket};
use crate::large::MAX_OWED;
use crate::layer::{Cx, Request, TimerKey};
use crate::links::REPAIR;
use crate::time::{Span, Time};
use crate::wire::{CertificateRef, Lane};

/// Bytes and messages of one topic that may wait to be signed and sent.
pub const MAX_WAITING_BYTES: usize = 4 << 20;
/// See [`MAX_WAITING_BYTES`].
pub const MAX_WAITING_MESSAGES: usize = 16_384;

/// A body from which a batch is worth sending without delay, and how long a smaller one may wait for company: while
/// earlier batches are still on their way out of this node, and so soon after the last batch when more than one
/// message waits already. A message alone never waits.
const FULL_ENOUGH: usize = 48 * 1024;
const COMPANY: Span = Span::from_micros(2_000);
const SO_SOON: Span = Span::from_micros(1_000);
/// A batch names the certificate of our agent unless another did so recently: who comes to a busy topic learns within
/// this whose messages they are, and a busy topic's batches are no longer for it (a guess).
const NAME_EVERY: Span = Span::from_secs(1);
/// Unsent bytes on a neighbour's data lane above which it counts as busy.
const BUSY: usize = 64 * 1024;

/// A message that is not signed yet.
#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    message: Outgoing,
    durable: bool,
}

/// What waits to be published on a topic.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    since: Time,
    /// When the last batch was signed.
    sealed: Time,
    /// The node goes: nothing waits for company.
    hurries: bool,
    /// Nothing is signed before: the first batch is still building the tree.
    hold: Time,
    /// Batches signed while there was no neighbour.
    unsent: VecDeque<Arc<Batch>>,
    unsent_bytes: usize,
    /// A large message was refused in this turn.
    behind_large: bool,
    /// The certificate that was named last, in which epoch, and when.
    named: Option<(CertificateRef, u64, Time)>,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The tree is being built: what follows would flood as well, so it waits.
    pub(super) fn hold_until(&mut self, at: Time) {
        self.hold = at;
    }

    pub(super) fn refuse_all(&mut self, cx: &mut Cx<'_>, why: &CommandError) {
        for w in self.waiting.drain(..) {
            cx.reply(w.ticket, Reply::Refused(why.clone()));
        }
        self.bytes = 0;
    }

    /// Whether signed batches wait for the first neighbour.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Whether a batch on the disk may wait for the first neighbour as well. Where many do, the others are asked for:
    /// nothing of them is lost, and a node alone can go on storing.
    fn is_patient(&self) -> bool {
        self.unsent_bytes < MAX_WAITING_BYTES / 2 && self.unsent.len() < MAX_WAITING_MESSAGES / 2
    }

    /// No neighbour will come.
    pub(super) fn drop_unsent(&mut self, cx: &mut Cx<'_>) {
        cx.counters.batches_unsent += self.unsent.len() as u64;
        self.unsent.clear();
        self.unsent_bytes = 0;
    }

    /// Whether the message in front is to be stored first.
    pub(super) fn durable_next(&self) -> bool {
        self.waiting.front().is_some_and(|w| w.durable)
    }

    /// The certificate to be named in a batch signed now, if one is due.
    fn name(&mut self, cx: &Cx<'_>, epoch: u64) -> Option<CertificateRef> {
        let own = cx.agents.own()?;
        let recent = |(c, e, at): (CertificateRef, u64, Time)| c == own && e == epoch && cx.now.mono < at + NAME_EVERY;
        if self.named.is_some_and(recent) {
            return None;
        }
        self.named = Some((own, epoch, cx.now.mono));
        Some(own)
    }

    /// The next batch's messages: all durable, or none.
    fn take(&mut self) -> (Vec<Ticket>, Vec<Outgoing>) {
        let (mut tickets, mut messages, mut len) = (Vec::new(), Vec::new(), 0);
        let durable = self.durable_next();
        while let Some(Waiting { message: m, .. }) = self.waiting.front().filter(|w| w.durable == durable) {
            let size = m.payload.len() + m.headers.len();
            if !messages.is_empty() && (len + size > MAX_BODY || messages.len() == MAX_MESSAGES) {
                break;
            }
            len += size;
            if let Some(w) = self.waiting.pop_front() {
                tickets.push(w.ticket);
                messages.push(w.message);
            }
        }
        self.bytes -= len;
        (tickets, messages)
    }
}

impl PubSub {
    pub(super) fn publish(&mut self, cx: &mut Cx<'_>, ticket: Ticket, id: TopicId, message: Outgoing, durable: bool) {
        let refuse = |cx: &mut Cx<'_>, why| cx.reply(ticket, Reply::Refused(why));
        if self.leaving {
            return refuse(cx, CommandError::Leaving);
        }
        let mut message = message;
        if let Err(why) = self.agree(id, std::mem::take(&mut message.terms)) {
            return refuse(cx, why);
        }
        if let Err(why) = self.policing.may_publish(cx, &id) {
            return refuse(cx, why);
        }
        let message = match self.secrets.admit(cx.crypto, &id, message) {
            Ok(message) => message,
            Err(why) => return refuse(cx, why),
        };
        let (size, headers) = (message.payload.len(), message.headers.len());
        if size > MAX_MESSAGE {
            return refuse(cx, CommandError::PayloadTooLarge { size, limit: MAX_MESSAGE });
        }
        if headers > MAX_HEADERS {
            return refuse(cx, CommandError::HeadersTooLarge { size: headers, limit: MAX_HEADERS });
        }
        if durable && message.content.is_some() {
            return refuse(cx, CommandError::TooLargeToStore { limit: MAX_MESSAGE });
        }
        let t = self.topic(cx, id);
        let o = &mut t.outbox;
        // Whether there is room does not depend on the message: a small one never overtakes a large one that waits.
        let bytes = o.bytes + o.unsent_bytes + t.durable.waiting_bytes();
        // A large message waits until earlier ones are out, and what comes behind it in this turn with it.
        o.behind_large |= message.content.is_some() && cx.uploads.owed >= MAX_OWED;
        if o.behind_large {
            let waiting = usize::try_from(cx.uploads.owed).unwrap_or(usize::MAX);
            return refuse(cx, CommandError::QueueFull { waiting, limit: MAX_OWED as usize });
        }
        if bytes >= MAX_WAITING_BYTES || o.waiting.len() + o.unsent.len() >= MAX_WAITING_MESSAGES {
            return refuse(cx, CommandError::QueueFull { waiting: bytes, limit: MAX_WAITING_BYTES });
        }
        if o.waiting.is_empty() {
            o.since = cx.now.mono;
        }
        o.bytes += size + headers;
        o.waiting.push_back(Waiting { ticket, message, durable });
        t.last_published = cx.now.mono;
        if !t.subscribed {
            cx.deadlines.set(TimerKey::PubSub(Timer::Idle(id)), cx.now.mono + IDLE);
        }
    }

    /// Nothing waits for company or for the tree any longer.
    pub(crate) fn hurry(&mut self) {
        for t in self.topics.values_mut() {
            (t.outbox.hold, t.outbox.hurries) = (Time::default(), true);
        }
    }

    /// Signs and sends what waits; called when the node has nothing else to do. Returns whether anything was done.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut did = false;
        self.topics.values_mut().for_each(|t| t.outbox.behind_large = false);
        self.persist.renew_epoch(cx);
        let ready: Vec<TopicId> = self
            .topics
            .values()
            .filter(|t| !t.outbox.waiting.is_empty() || t.durable.has_work())
            .map(|t| t.id)
            .collect();
        for id in &ready {
            did |= self.send_stored(cx, *id) | self.refuse_barred(cx, id);
            // Where not everyone may publish, every batch names the certificate: nothing is signed before it can be.
            while let Some(epoch) = self.persist.epoch()
                && (cx.agents.own().is_some() || !self.policing.is_policed(id))
                && let Some(t) = self.topics.get_mut(id)
                && t.may_seal(cx)
            {
                if t.outbox.durable_next() {
                    self.begin_round(cx, *id, epoch);
                } else {
                    self.seal(cx, *id, epoch);
                }
                did = true;
            }
        }
        if !ready.is_empty() {
            did |= self.append_fresh(cx);
        }
        self.persist.write(cx) || did
    }

    /// Refuses what waits on a topic where this node may no longer publish. Returns whether there was anything.
    fn refuse_barred(&mut self, cx: &mut Cx<'_>, id: &TopicId) -> bool {
        let Err(why) = self.policing.may_publish(cx, id) else { return false };
        let Some(t) = self.topics.get_mut(id).filter(|t| !t.outbox.waiting.is_empty()) else { return false };
        t.outbox.refuse_all(cx, &why);
        true
    }

    fn seal(&mut self, cx: &mut Cx<'_>, id: TopicId, epoch: u64) {
        let Some(sealed) = self.sign(cx, id, epoch, self.persist.used(&id)) else { return };
        self.persist.publish(&id, epoch, sealed.last());
        if let Some(t) = self.topics.get_mut(&id) {
            t.durable.note(&sealed.batch);
        }
        self.send_out(cx, id, sealed, false);
    }

    /// Signs the messages in front of a topic's queue; our stream on it stands at `used`.
    pub(super) fn sign(&mut self, cx: &mut Cx<'_>, id: TopicId, epoch: u64, used: Option<Used>) -> Option<Sealed> {
        let t = self.topics.get_mut(&id)?;
        let (tickets, mut messages) = t.outbox.take();
        t.outbox.sealed = cx.now.mono;
        let first_seq = used.map_or(0, |u| u.seq) + 1;
        self.secrets.seal(cx.crypto, (id, cx.me, epoch, first_seq), &mut messages);
        let policed = self.policing.is_policed(&id);
        let capability = self.policing.may_publish(cx, &id).ok().flatten();
        let certificate = if policed { cx.agents.own() } else { t.outbox.name(cx, epoch) };
        let header = BatchHeader {
            topic: id,
            author: cx.me,
            epoch,
            first_seq,
            wall_ms: cx.now.wall.0,
            previous: self.persist.own(&id),
            payloads: messages.iter().map(|m| m.payload.len() as u32).collect(),
            headers: if messages.iter().all(|m| m.headers.is_empty()) {
                Vec::new()
            } else {
                messages.iter().map(|m| m.headers.len() as u32).collect()
            },
            apart_ms: used.map(|u| cx.now.wall.0.saturating_sub(u.wall_ms)),
            large: large_places(&messages),
            certificate,
            capability,
        };
        for content in messages.iter().filter_map(|m| m.content.as_ref()) {
            cx.request(Request::Offer(id, content.clone()));
        }
        let batch = Arc::new(Batch::seal(header, &messages, &self.key.0, cx.crypto));
        Some(Sealed { batch, tickets })
    }

    /// Logs and sends a batch of ours, and answers who published it. `stored`: it is on the disk.
    pub(super) fn send_out(&mut self, cx: &mut Cx<'_>, id: TopicId, sealed: Sealed, stored: bool) {
        let Some(t) = self.topics.get_mut(&id) else { return };
        let Sealed { batch, tickets } = sealed;
        cx.counters.published += tickets.len() as u64;
        let known = Known { received: cx.now.mono, from: None, pulled: false };
        t.log.add(cx.config, cx.now, Entry { batch: batch.clone(), hop: 0, received: cx.now.mono }, known);
        t.trim(cx);
        t.hear(cx, cx.me);
        let neighbors = t.disseminate(cx, &batch, 1, None);
        if !t.built {
            t.outbox.hold_until(cx.now.mono + t.flood_span(cx));
        }
        if !t.peers.is_empty() {
            t.built = true;
        } else if !stored || t.outbox.is_patient() {
            t.outbox.unsent_bytes += batch.bytes().len();
            t.outbox.unsent.push_back(batch.clone());
        }
        let (epoch, first_seq) = (batch.header().epoch, batch.header().first_seq);
        for (i, ticket) in tickets.into_iter().enumerate() {
            let seq = first_seq + i as u64;
            cx.reply(ticket, Reply::Published(Published { id: batch.message_id(i), epoch, seq, neighbors }));
        }
        if t.subscribed {
            let own = self.secrets.event(cx, Delivery::new(batch, false, true, 0));
            own.into_iter().for_each(|e| cx.event(e));
        }
    }
}

/// Which messages are large; a place fits, as a batch holds [`MAX_MESSAGES`] at most.
fn large_places(messages: &[Outgoing]) -> Option<Vec<u16>> {
    let places: Vec<u16> = (0..).zip(messages).filter(|(_, m)| m.content.is_some()).map(|(i, _)| i).collect();
    (!places.is_empty()).then_some(places)
}

impl Topic {
    /// Whether what waits should be signed now. It waits for company while the neighbours are busy with earlier
    /// batches, and without a limit while most of them can take no more: that is how a fast publisher is slowed down.
    /// Slow neighbours count only where there are no others.
    fn may_seal(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.outbox.waiting.is_empty() || self.durable.is_storing() {
            return false;
        }
        let need = self.outbox.bytes.min(MAX_BODY) + self.outbox.waiting.len().min(MAX_MESSAGES) * 6;
        if !self.may_send(cx, need) {
            return false;
        }
        if self.peers.is_empty() || self.outbox.hurries {
            return true;
        }
        let busy = self.eager_credit(cx).any(|c| c + BUSY < Lane::Data.budget());
        let brisk = self.outbox.waiting.len() > 1 && cx.now.mono < self.outbox.sealed + SO_SOON;
        let due = if busy { self.outbox.since + COMPANY } else { self.outbox.sealed + SO_SOON };
        if !(busy || brisk) || self.outbox.bytes >= FULL_ENOUGH || due <= cx.now.mono {
            return true;
        }
        cx.deadlines.set(TimerKey::PubSub(Timer::Seal(self.id)), due);
        false
    }

    /// Whether batches could be pushed to nobody, because none of those they are pushed to takes any.
    fn all_eager_slow(&self, cx: &Cx<'_>) -> bool {
        let mut eager = self.peers.iter().filter(|p| p.eager).peekable();
        eager.peek().is_some() && eager.all(|p| cx.links().is_slow(&p.id))
    }

    /// Whether a batch of `size` bytes should be sent now: the tree is not being built, and half of it has room.
    pub(super) fn may_send(&mut self, cx: &mut Cx<'_>, size: usize) -> bool {
        if self.peers.is_empty() {
            return true;
        }
        if cx.now.mono < self.outbox.hold {
            cx.deadlines.set_no_later(TimerKey::PubSub(Timer::Seal(self.id)), self.outbox.hold);
            return false;
        }
        if self.all_eager_slow(cx) {
            self.graft_best(cx);
            if self.all_eager_slow(cx) {
                return false;
            }
        }
        let (mut eager, mut able) = (0, 0);
        for credit in self.eager_credit(cx) {
            eager += 1;
            able += usize::from(credit >= size + 4096 + REPAIR);
        }
        able * 2 >= eager
    }

    fn eager_credit<'a>(&'a self, cx: &'a Cx<'_>) -> impl Iterator<Item = usize> + 'a {
        let eager = self.peers.iter().filter(|p| p.eager && !cx.links().is_slow(&p.id));
        eager.map(|p| cx.links().credit(&p.id, Lane::Data))
    }

    /// The first neighbour is here: what was published before goes out.
    pub(super) fn send_unsent(&mut self, cx: &mut Cx<'_>) {
        self.outbox.unsent_bytes = 0;
        for batch in std::mem::take(&mut self.outbox.unsent) {
            self.disseminate(cx, &batch, 1, None);
            self.built = true;
        }
    }
}
