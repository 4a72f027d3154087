//! Batches in the durable log: what is published as durable, and all of a topic that is to be kept.
//!
//! A durable message is stored first and sent then: whoever was told of it, the publisher by its answer or a neighbour
//! by the batch, can rely on it being there after a crash of this node. One *round* of a topic is under way at a
//! time, all that waited when the one before was done: under load a sync of the medium covers many batches, alone a
//! message waits for one. What is published behind a round waits for it, so that an author's order holds.
//!
//! When the medium fails, the round is refused and never sent. Its numbers are used again if nothing of it can turn
//! up later; where that is not certain the node goes on in a new epoch, as if it had started again, so that no number
//! ever stands for two messages. Nobody sees a gap either way.
//!
//! Of a topic that is kept, every other batch is appended as well, once a turn, and nothing waits for it.
//!
//! When a topic is entered, what the log holds of it goes back into memory, as far as the limits there allow: signatures
//! are verified again, since the directory may have been another network's. Others' batches that are not on record
//! as delivered are left out: they come again, and are delivered then. So are those of others on a topic with a policy until
//! it is known that their authors may publish: neighbours could not be shown it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::author::Verdict;
use super::batch::Batch;
use super::message_log::{Entry, Known};
use super::persist::Used;
use super::{PubSub, Topic};
use crate::identity::TopicId;
use crate::io::{CommandError, Event, Output, Reply, StoreError, StoreTicket, Ticket};
use crate::layer::Cx;
use crate::log::{LogError, LogPage, LogPlace, LogQuery, LogRecord};
use crate::time::{Span, UnixMillis};

/// A signed batch, and whose messages it holds.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) batch: Arc<Batch>,
    pub(super) tickets: Vec<Ticket>,
}

impl Sealed {
    /// Where our stream stands after it.
    pub(super) fn last(&self) -> Used {
        let h = self.batch.header();
        Used { seq: h.last_seq(), wall_ms: h.wall_ms }
    }
}

/// Batches that are stored together.
#[derive(Debug)]
struct Round {
    ticket: StoreTicket,
    epoch: u64,
    /// Those not sent yet.
    batches: VecDeque<Sealed>,
    bytes: usize,
    stored: bool,
}

/// A topic's side of the log.
#[derive(Debug, Default)]
pub(super) struct TopicLog {
    /// Every batch is appended.
    keep: bool,
    /// Those of this turn.
    fresh: Vec<LogRecord>,
    round: Option<Round>,
    /// The last append failed, and that was told.
    failing: bool,
}

impl TopicLog {
    /// A batch that nothing waits for.
    pub(super) fn note(&mut self, batch: &Batch) {
        if self.keep {
            self.fresh.push(record(batch));
        }
    }

    /// Nobody wants the topic kept any longer.
    pub(super) fn keep_no_more(&mut self) {
        self.keep = false;
    }

    /// Whether a round is under way: nothing else is signed meanwhile.
    pub(super) fn is_storing(&self) -> bool {
        self.round.is_some()
    }

    /// Bytes of the round under way.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.round.as_ref().map_or(0, |r| r.bytes)
    }

    /// Whether the end of a turn has something to do here.
    pub(super) fn has_work(&self) -> bool {
        !self.fresh.is_empty() || self.round.as_ref().is_some_and(|r| r.stored)
    }
}

/// What an answer of the log is for.
#[derive(Debug)]
enum Purpose {
    /// A round of published batches.
    Round(TopicId),
    /// Somebody wants a topic kept.
    Keep(Ticket, TopicId),
    /// Batches that nothing waits for.
    Kept(TopicId),
    /// The topic's memory is filled again.
    Restore(TopicId, LogQuery),
    /// A program asked for history.
    History(TopicId, Ticket, LogQuery),
}

/// Requests to the log that are not answered.
#[derive(Debug, Default)]
pub(super) struct Durable {
    next_ticket: u64,
    under_way: BTreeMap<StoreTicket, Purpose>,
}

impl Durable {
    fn ticket(&mut self, purpose: Purpose) -> StoreTicket {
        self.next_ticket += 1;
        let ticket = StoreTicket(self.next_ticket);
        self.under_way.insert(ticket, purpose);
        ticket
    }

    fn append(&mut self, cx: &mut Cx<'_>, topic: TopicId, records: Vec<LogRecord>, purpose: Purpose) -> StoreTicket {
        let sync = !matches!(purpose, Purpose::Kept(_));
        let ticket = self.ticket(purpose);
        cx.output(Output::Append { ticket, topic, records, sync });
        ticket
    }

    /// Asks for what a topic's memory may hold of its log.
    pub(super) fn restore(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let ms = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let age = ms(cx.config.message_cache_ttl.min(cx.config.history_max_age));
        let query = LogQuery {
            since: UnixMillis(cx.now.wall.0.saturating_sub(age)),
            last: Some(cx.config.message_cache_size as u64),
            ..LogQuery::default()
        };
        self.restore_from(cx, topic, query);
    }

    /// Reads a part of a topic's log for a program.
    pub(super) fn read_history(&mut self, cx: &mut Cx<'_>, topic: TopicId, asked: Ticket, query: LogQuery) {
        let ticket = self.ticket(Purpose::History(topic, asked, query.clone()));
        cx.output(Output::ReadLog { ticket, topic, query });
    }

    fn restore_from(&mut self, cx: &mut Cx<'_>, topic: TopicId, query: LogQuery) {
        let ticket = self.ticket(Purpose::Restore(topic, query.clone()));
        cx.output(Output::ReadLog { ticket, topic, query });
    }
}

fn record(batch: &Batch) -> LogRecord {
    let h = batch.header();
    LogRecord { at: UnixMillis(h.wall_ms), messages: h.payloads.len() as u32, bytes: batch.bytes().clone() }
}

impl PubSub {
    /// Keeps a topic's batches from now on, or no longer.
    pub(super) fn keep_log(&mut self, cx: &mut Cx<'_>, ticket: Ticket, id: TopicId, keep: bool) {
        let limit = crate::membership::MAX_TOPICS;
        let full = self.topics.len() >= limit;
        let Some(t) = self.topics.get_mut(&id) else {
            let why = if full { CommandError::TooManyTopics { limit } } else { CommandError::TopicLeft };
            return cx.reply(ticket, Reply::Refused(why));
        };
        t.durable.keep = keep;
        if !keep {
            return cx.reply(ticket, Reply::Done);
        }
        self.durable.append(cx, id, Vec::new(), Purpose::Keep(ticket, id));
    }

    /// Signs the durable messages in front of a topic's queue and has them stored.
    pub(super) fn begin_round(&mut self, cx: &mut Cx<'_>, id: TopicId, epoch: u64) {
        let (mut batches, mut records, mut bytes) = (VecDeque::new(), Vec::new(), 0);
        let mut used = self.persist.used(&id);
        while self.topics.get(&id).is_some_and(|t| t.outbox.durable_next()) {
            let Some(sealed) = self.sign(cx, id, epoch, used) else { break };
            used = Some(sealed.last());
            bytes += sealed.batch.bytes().len();
            records.push(record(&sealed.batch));
            batches.push_back(sealed);
        }
        let ticket = self.durable.append(cx, id, records, Purpose::Round(id));
        if let Some(t) = self.topics.get_mut(&id) {
            t.durable.round = Some(Round { ticket, epoch, batches, bytes, stored: false });
        }
    }

    /// Sends what is stored, as far as there is room. Returns whether anything was done.
    pub(super) fn send_stored(&mut self, cx: &mut Cx<'_>, id: TopicId) -> bool {
        let mut did = false;
        while let Some(t) = self.topics.get_mut(&id) {
            let Some(round) = t.durable.round.as_ref().filter(|r| r.stored) else { break };
            let Some(next) = round.batches.front() else {
                t.durable.round = None;
                break;
            };
            let size = next.batch.bytes().len();
            if !t.may_send(cx, size) {
                break;
            }
            let Some(round) = t.durable.round.as_mut() else { break };
            round.bytes -= size;
            if let Some(sealed) = round.batches.pop_front() {
                self.send_out(cx, id, sealed, true);
                did = true;
            }
        }
        did
    }

    /// Appends what this turn brought on topics that are kept. Returns whether there was anything.
    pub(super) fn append_fresh(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut did = false;
        for t in self.topics.values_mut().filter(|t| !t.durable.fresh.is_empty()) {
            let records = std::mem::take(&mut t.durable.fresh);
            self.durable.append(cx, t.id, records, Purpose::Kept(t.id));
            did = true;
        }
        did
    }

    /// The topic goes: what is not sent never will be. What may be stored all the same must not share its numbers
    /// with anything.
    pub(super) fn drop_round(&mut self, cx: &mut Cx<'_>, t: &mut Topic, why: &CommandError) {
        let Some(round) = t.durable.round.take() else { return };
        for ticket in round.batches.into_iter().flat_map(|b| b.tickets) {
            cx.reply(ticket, Reply::Refused(why.clone()));
        }
        if !round.stored {
            self.persist.abandon(cx, round.epoch);
        }
    }

    pub(crate) fn on_appended(&mut self, cx: &mut Cx<'_>, ticket: StoreTicket, result: Result<(), LogError>) {
        match self.durable.under_way.remove(&ticket) {
            Some(Purpose::Round(id)) => self.round_ended(cx, ticket, id, result),
            Some(Purpose::Keep(asked, id)) => {
                let reply = match result {
                    Ok(()) => Reply::Done,
                    Err(error) => {
                        if let Some(t) = self.topics.get_mut(&id) {
                            t.durable.keep = false;
                        }
                        Reply::Refused(CommandError::NotStored(error))
                    }
                };
                cx.reply(asked, reply);
            }
            Some(Purpose::Kept(id)) => {
                let failed = result.is_err();
                let told = self.topics.get_mut(&id).is_some_and(|t| std::mem::replace(&mut t.durable.failing, failed));
                if let Err(error) = result {
                    cx.counters.log_failures += 1;
                    if !told {
                        cx.event(Event::StorageFailed { error: StoreError(error.to_string()) });
                    }
                }
            }
            Some(Purpose::Restore(..) | Purpose::History(..)) | None => {}
        }
    }

    fn round_ended(&mut self, cx: &mut Cx<'_>, ticket: StoreTicket, id: TopicId, result: Result<(), LogError>) {
        let Some(t) = self.topics.get_mut(&id) else { return };
        let Some(round) = t.durable.round.as_mut().filter(|r| r.ticket == ticket && !r.stored) else { return };
        match result {
            Ok(()) => {
                round.stored = true;
                if let Some(last) = round.batches.back().map(Sealed::last) {
                    self.persist.confirm(&id, round.epoch, last);
                    // Before the answers: what follows in another epoch will name these as what came before.
                    self.persist.write(cx);
                }
            }
            Err(error) => {
                cx.counters.log_failures += 1;
                let doubtful = matches!(error, LogError::Doubtful(_));
                let Some(round) = t.durable.round.take() else { return };
                for ticket in round.batches.into_iter().flat_map(|b| b.tickets) {
                    cx.reply(ticket, Reply::Refused(CommandError::NotStored(error.clone())));
                }
                if doubtful {
                    self.persist.abandon(cx, round.epoch);
                }
            }
        }
    }

    pub(crate) fn on_log_read(&mut self, cx: &mut Cx<'_>, ticket: StoreTicket, result: Result<LogPage, LogError>) {
        let purpose = self.durable.under_way.remove(&ticket);
        if let Err(error) = &result
            && *error != LogError::Absent
        {
            cx.counters.log_failures += 1;
            cx.event(Event::StorageFailed { error: StoreError(error.to_string()) });
        }
        let page = result.unwrap_or_default();
        match purpose {
            Some(Purpose::History(id, asked, query)) => self.on_history_read(cx, id, asked, query, page),
            Some(Purpose::Restore(id, query)) => {
                let Some(t) = self.topics.get_mut(&id) else { return };
                for record in page.records {
                    if let Some(batch) = self.key.0.restored(t, cx, record.bytes)
                        && self.policing.may_share(cx, batch.header())
                    {
                        t.put_back(cx, batch);
                    }
                }
                t.trim(cx);
                if let Some(after) = page.next {
                    self.durable.restore_from(cx, id, next_page(query, after));
                }
            }
            _ => {}
        }
    }
}

fn next_page(query: LogQuery, after: LogPlace) -> LogQuery {
    LogQuery { after: Some(after), ..query }
}

impl super::BatchKey {
    /// A batch read back, if it is one of the topic that was verified and delivered before, and not in memory.
    pub(super) fn restored(&self, t: &Topic, cx: &mut Cx<'_>, bytes: Bytes) -> Option<Arc<Batch>> {
        let peeked = Batch::peek(&bytes).ok().filter(|p| p.header.topic == t.id)?;
        let h = &peeked.header;
        if t.log.at_place(h).is_some() {
            return None;
        }
        let ours = h.author == cx.me;
        if !ours && t.authors.get(&h.author).is_none_or(|a| a.judge(h) != Verdict::Seen) {
            return None;
        }
        match Batch::verify(bytes, peeked, self, cx.crypto) {
            Ok(batch) => Some(Arc::new(batch)),
            Err(_) => {
                cx.counters.batches_forged += 1;
                None
            }
        }
    }
}

impl Topic {
    /// Puts a batch read from the durable log back into memory.
    fn put_back(&mut self, cx: &mut Cx<'_>, batch: Arc<Batch>) {
        if self.log.known(&batch.short_id()).is_some() {
            return;
        }
        cx.counters.batches_restored += 1;
        // Before this start there is no time but zero.
        let age = Span::from_millis(cx.now.wall.0.saturating_sub(batch.header().wall_ms));
        let received = cx.now.mono - age;
        let known = Known { received, from: None, pulled: false };
        self.log.add(cx.config, cx.now, Entry { batch, hop: 0, received }, known);
    }
}
