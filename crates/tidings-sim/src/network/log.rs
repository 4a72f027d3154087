//! The simulated disk's message log: it delays and fails as the disk does, fills up, and tears at a crash what it had
//! not confirmed, in the middle of an append.

use std::collections::{BTreeMap, VecDeque};

use tidings_proto::identity::TopicId;
use tidings_proto::io::{Input, StoreTicket};
use tidings_proto::log::{LogError, LogPage, LogPlace, LogQuery, LogRecord};
use tidings_proto::rng::Rng;
use tidings_proto::time::Span;

use super::{Network, What};

/// One node's log. It outlives the node.
#[derive(Default)]
pub(super) struct DiskLog {
    topics: BTreeMap<TopicId, Vec<LogRecord>>,
    /// Appends not yet confirmed, oldest first.
    under_way: VecDeque<(StoreTicket, TopicId, Vec<LogRecord>)>,
    bytes: usize,
    /// Room for so many bytes, if not for any number.
    room: Option<usize>,
}

impl DiskLog {
    pub(super) fn copy(&self) -> DiskLog {
        DiskLog { topics: self.topics.clone(), bytes: self.bytes, ..DiskLog::default() }
    }

    fn append(&mut self, topic: TopicId, records: Vec<LogRecord>) -> Result<(), LogError> {
        let size: usize = records.iter().map(|r| r.bytes.len()).sum();
        if self.room.is_some_and(|room| self.bytes + size > room) {
            return Err(LogError::Failed("the simulated disk is full".into()));
        }
        self.bytes += size;
        self.topics.entry(topic).or_default().extend(records);
        Ok(())
    }

    /// The process dies: of the batches under way the oldest few are there, and the others are not.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        let under_way = std::mem::take(&mut self.under_way);
        let batches: usize = under_way.iter().map(|(_, _, r)| r.len()).sum();
        if batches == 0 {
            return;
        }
        let made = rng.below(batches + 1);
        let each = under_way.into_iter().flat_map(|(_, topic, records)| records.into_iter().map(move |r| (topic, r)));
        for (topic, record) in each.take(made) {
            // What does not fit is not there either.
            let _ = self.append(topic, vec![record]);
        }
    }
}

impl Network {
    /// A node's log has room for so many bytes, or for any number.
    pub fn set_log_room(&mut self, n: u32, room: Option<usize>) {
        self.slots[n as usize].disk.log.room = room;
    }

    /// The batches in a node's log of a topic, in order.
    pub fn logged(&self, n: u32, topic: &TopicId) -> &[LogRecord] {
        self.slots[n as usize].disk.log.topics.get(topic).map_or(&[], Vec::as_slice)
    }

    pub(super) fn append(
        &mut self,
        n: u32,
        ticket: StoreTicket,
        topic: TopicId,
        records: Vec<LogRecord>,
        sync: bool,
        inputs: &mut Vec<Input>,
    ) {
        let now = self.now;
        let disk = &mut self.slots[n as usize].disk;
        if disk.fails {
            let result = Err(LogError::Failed("the simulated disk fails".into()));
            inputs.push(Input::Appended { ticket, result });
        } else if disk.delay == Span::ZERO && disk.log.under_way.is_empty() {
            let result = disk.log.append(topic, records);
            inputs.push(Input::Appended { ticket, result });
        } else {
            // What nobody waits for is forced to the medium within a second.
            let delay = if sync { disk.delay } else { disk.delay.max(Span::from_secs(1)) };
            disk.log.under_way.push_back((ticket, topic, records));
            let (at, start) = (now + delay.0, self.slots[n as usize].starts);
            self.schedule(at, n, What::Appended { start });
        }
    }

    /// Appends under way are confirmed: one, and those before it.
    pub(super) fn appended(&mut self, n: u32, start: u64) {
        let slot = &mut self.slots[n as usize];
        if slot.starts != start {
            return;
        }
        let disk = &mut slot.disk;
        let Some((ticket, topic, records)) = disk.log.under_way.pop_front() else { return };
        // Of what a failed sync was to make safe, nobody knows whether it is there.
        let there = !disk.fails || self.rng.below(2) == 0;
        let mut result = if there { disk.log.append(topic, records) } else { Ok(()) };
        if disk.fails {
            result = Err(LogError::Doubtful("the simulated disk fails".into()));
        }
        self.turn(n, Input::Appended { ticket, result });
    }

    pub(super) fn read_log(
        &mut self,
        n: u32,
        ticket: StoreTicket,
        topic: &TopicId,
        query: &LogQuery,
        inputs: &mut Vec<Input>,
    ) {
        let disk = &self.slots[n as usize].disk;
        let result = match disk.barred {
            true => Err(LogError::Unusable("the simulated disk can't be read".into())),
            false => Ok(page(disk.log.topics.get(topic).map_or(&[], Vec::as_slice), query)),
        };
        inputs.push(Input::LogRead { ticket, result });
    }
}

/// What a query finds, from where it begins.
fn page(log: &[LogRecord], query: &LogQuery) -> LogPage {
    let mut from = query.after.map_or(0, |p| p.offset as usize);
    if let (None, Some(last)) = (query.after, query.last) {
        let before = log.iter().rev().scan(0, |seen, r| Some(std::mem::replace(seen, *seen + u64::from(r.messages))));
        from = log.len() - before.take_while(|seen| *seen < last).count();
    }
    let (mut page, mut bytes) = (LogPage::default(), 0);
    for (at, record) in log.iter().enumerate().skip(from) {
        if bytes >= query.page_bytes && bytes > 0 {
            page.next = Some(LogPlace { part: 0, offset: at as u64 });
            break;
        }
        if record.at >= query.since && record.at <= query.until {
            bytes += record.bytes.len();
            page.records.push(record.clone());
        }
    }
    page
}
