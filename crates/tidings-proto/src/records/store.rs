//! The records this node keeps: by set and key, by id, by when they are over; and what tells two nodes' records apart.
//!
//! Of a key the highest version stands; of two with the same version the one whose bytes have the higher hash, so that all
//! nodes keep the same one. How long a record holds is counted by this node's own clock from when it was issued or
//! refreshed, as far as is known (see [`since`]). What is over or was displaced is remembered for a while, so that it does
//! not come back.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::sets::{Claim, Refused, Rules, Stays, all};
use crate::anti_entropy::{Digest, Sketches, Symbols};
use crate::id_map::IdMap;
use crate::identity::{NodeId, RecordKey};
use crate::time::{Now, Span, Time, UnixMillis};
use crate::wire::{Refresh, SetId, ShortId};

/// Clocks may be 10 minutes apart, and then some: what is further in the future, or over for longer, is refused.
pub(super) const SKEW_MS: u64 = 15 * 60_000;
/// What is over is remembered until it would be refused by its time alone, whatever the clocks, and so many at most.
const GONE: Span = Span::from_secs(45 * 60);
const MAX_GONE: usize = 32_768;
/// Ids of versions that were replaced are remembered for so long: announcements of them are late, not news.
const PAST: Span = Span::from_secs(120);
const MAX_PAST: usize = 32_768;
/// Bytes of what is over and of those ids.
pub(super) const REMEMBERED: usize = MAX_GONE * 192 + MAX_PAST * 64;
/// A key changes so often in the long run, and so often at once; its owner has no reason to, and each change reaches everybody.
const CHANGE: Span = Span::from_secs(5);
const CHANGES: u64 = 12;
/// Records that make room for one, at most: long ones weigh as much as many short ones.
const MAX_VICTIMS: usize = 64;

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Of which set.
    pub set: SetId,
    /// What it says of itself.
    pub claim: Claim,
    /// It, as its owner signed it.
    pub bytes: Bytes,
    /// Its last refresh.
    pub refresh: Option<Refresh>,
    /// When it was issued or refreshed last, by this node's clock.
    pub since: Time,
    /// When that was learned.
    pub received: Time,
    /// Who brought it; nobody for our own.
    pub from: Option<NodeId>,
    /// The order in which keys came.
    arrival: u64,
    tie: u64,
    id: ShortId,
    /// Until when its changes are paid for.
    paid: Time,
}

impl Record {
    /// When it is over unless it is refreshed.
    pub fn expires(&self) -> Time {
        self.since + self.claim.life
    }

    /// How often it was refreshed.
    pub fn step(&self) -> u16 {
        self.refresh.map_or(0, |r| r.step)
    }

    /// Names it as it is now.
    pub(super) fn id(&self) -> ShortId {
        self.id
    }

    fn name(&mut self) {
        let mut h = blake3::Hasher::new_derive_key("tidings 1 record id");
        h.update(&[self.set.0]);
        h.update(self.claim.key.as_bytes());
        h.update(&self.claim.version.to_le_bytes());
        h.update(&self.tie.to_le_bytes());
        h.update(&self.step().to_le_bytes());
        self.id.0.copy_from_slice(&h.finalize().as_bytes()[..16]);
    }
}

/// The number by which an id is announced.
pub(super) fn short(id: &ShortId) -> u32 {
    let [a, b, c, d, ..] = id.0;
    u32::from_be_bytes([a, b, c, d])
}

/// A key's first eight bytes.
fn head(key: &RecordKey) -> u64 {
    key.0.first_chunk().map_or(0, |b| u64::from_be_bytes(*b))
}

/// When something was said that a neighbour calls `age` old and its owner's clock dates `at`: by our clock, and rather too
/// late than too early. So nobody can make a record seem older than clocks say; one that is over it can keep alive by as much
/// as clocks may disagree, and no longer.
pub(super) fn since(now: Now, age: Span, at: UnixMillis) -> Time {
    let age = match now.wall.0.checked_sub(at.0) {
        Some(ms) => age.min(Span::from_millis(ms)),
        None => age,
    };
    now.mono - age
}

#[derive(Debug, Default)]
struct Held {
    records: IdMap<Record>,
    /// The keys in the order they came, for those who came last.
    arrivals: BTreeMap<u64, RecordKey>,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Gone {
    version: u64,
    tie: u64,
}

/// What a claimed version is to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    Newer,
    Same,
    Old,
}

/// The records of all sets. Written by the records layer; everybody may look.
#[derive(Debug)]
pub struct Store {
    sets: BTreeMap<SetId, Held>,
    by_id: BTreeMap<ShortId, (SetId, RecordKey)>,
    expiries: BTreeSet<(Time, SetId, RecordKey)>,
    gone: BTreeMap<(SetId, RecordKey), Gone>,
    gone_by_age: VecDeque<(Time, SetId, RecordKey)>,
    /// How many ids there are with each short one, and those that are past: asked at each announcement that comes.
    shorts: BTreeMap<u32, u32>,
    past: BTreeSet<u32>,
    past_by_age: VecDeque<(Time, u32)>,
    arrivals: u64,
    pub(super) digest: Digest,
    pub(super) recent: VecDeque<(Time, Digest)>,
    sketches: Sketches,
    /// Keys, by their first bytes, that come before others where a set's rules say so.
    favoured: BTreeSet<(SetId, u64)>,
}

impl Store {
    pub(crate) fn new(seed: &[u8; 32]) -> Store {
        Store {
            sets: all().iter().map(|r| (r.set, Held::default())).collect(),
            by_id: BTreeMap::new(),
            expiries: BTreeSet::new(),
            gone: BTreeMap::new(),
            gone_by_age: VecDeque::new(),
            shorts: BTreeMap::new(),
            past: BTreeSet::new(),
            past_by_age: VecDeque::new(),
            arrivals: 0,
            digest: Digest::default(),
            recent: VecDeque::new(),
            sketches: Sketches::new(*blake3::keyed_hash(seed, b"sketches of records").as_bytes()),
            favoured: BTreeSet::new(),
        }
    }

    /// The record of a key, if it holds.
    pub fn get(&self, set: SetId, key: &RecordKey) -> Option<&Record> {
        self.sets.get(&set)?.records.get(&NodeId(key.0))
    }

    /// The records of a set, in the order of their keys.
    pub fn iter(&self, set: SetId) -> impl Iterator<Item = &Record> {
        self.sets.get(&set).into_iter().flat_map(|h| h.records.values())
    }

    /// How many records a set has.
    pub fn len(&self, set: SetId) -> usize {
        self.sets.get(&set).map_or(0, |h| h.records.len())
    }

    /// Whether a set has none.
    pub fn is_empty(&self, set: SetId) -> bool {
        self.len(set) == 0
    }

    /// Bytes of a set's records.
    pub fn bytes(&self, set: SetId) -> usize {
        self.sets.get(&set).map_or(0, |h| h.bytes)
    }

    /// The records whose keys begin with these eight bytes: nearly always one.
    pub(crate) fn beginning(&self, set: SetId, head: u64) -> Vec<RecordKey> {
        let Some(h) = self.sets.get(&set) else { return Vec::new() };
        h.records.beginning(head).take(4).map(|(k, _)| RecordKey(k.0)).collect()
    }

    /// These keys of a set, by their first eight bytes, are favoured from now on, and no others: the set's owner's word.
    pub(crate) fn favour(&mut self, set: SetId, heads: impl Iterator<Item = u64>) {
        self.favoured.retain(|(s, _)| *s != set);
        self.favoured.extend(heads.map(|h| (set, h)));
    }

    pub(super) fn judge(&self, set: SetId, claim: &Claim, bytes: &[u8]) -> Verdict {
        let ours = (claim.version, tie(bytes));
        let (known, holds) = match self.get(set, &claim.key) {
            Some(r) => ((r.claim.version, r.tie), true),
            None => match self.gone.get(&(set, claim.key)) {
                Some(g) => ((g.version, g.tie), false),
                None => return Verdict::New,
            },
        };
        match ours.cmp(&known) {
            std::cmp::Ordering::Greater if holds => Verdict::Newer,
            std::cmp::Ordering::Greater => Verdict::New,
            std::cmp::Ordering::Equal if holds => Verdict::Same,
            _ => Verdict::Old,
        }
    }

    /// Whether a key may change now. Whoever changes its own too often is heard again when it has waited.
    pub(super) fn may_change(&self, set: SetId, key: &RecordKey, now: Time) -> bool {
        self.get(set, key).is_none_or(|r| paid(r.paid, now) <= now)
    }

    /// Who has to go if a record with this key and length comes; an error if it is the newcomer itself.
    pub(super) fn victims(
        &self,
        rules: &Rules,
        claim: &Claim,
        len: usize,
        wall: UnixMillis,
        near: &dyn Fn(&RecordKey) -> bool,
    ) -> Result<Vec<RecordKey>, Refused> {
        let Some(h) = self.sets.get(&rules.set) else { return Err(Refused::NoSet) };
        let of = |k: &RecordKey| h.records.get(&NodeId(k.0));
        let old = of(&claim.key).map_or(0, |r| r.bytes.len());
        let (mut count, mut bytes) = (h.records.len() + usize::from(old == 0), h.bytes - old + len);
        let over = |count: usize, bytes: usize| count > rules.most || bytes > rules.most_bytes;
        if !over(count, bytes) {
            return Ok(Vec::new());
        }
        // Those that may have to go, first the first to.
        let below: Vec<&Record> = match rules.stays {
            Stays::First if near(&claim.key) || old > 0 => {
                let last = h.arrivals.values().rev().filter_map(of);
                last.filter(|r| !near(&r.claim.key)).take(MAX_VICTIMS).collect()
            }
            Stays::First => Vec::new(),
            Stays::Favoured(rank) => {
                let favoured = |k: &RecordKey| near(k) || self.favoured.contains(&(rules.set, head(k)));
                let place = |k: &RecordKey| (!favoured(k), rank(k, wall), *k);
                let mine = place(&claim.key);
                let keys = h.records.keys().map(|k| RecordKey(k.0));
                let mut above: Vec<_> = keys.map(|k| place(&k)).filter(|k| old > 0 || *k > mine).collect();
                if above.len() > MAX_VICTIMS {
                    let last = above.len() - MAX_VICTIMS;
                    above.select_nth_unstable(last);
                    above.drain(..last);
                }
                above.sort_unstable_by(|a, b| b.cmp(a));
                above.iter().filter_map(|(.., k)| of(k)).collect()
            }
        };
        let mut out = Vec::new();
        for r in below.into_iter().filter(|r| r.claim.key != claim.key) {
            if !over(count, bytes) {
                break;
            }
            count -= 1;
            bytes -= r.bytes.len();
            out.push(r.claim.key);
        }
        if over(count, bytes) { Err(Refused::Full) } else { Ok(out) }
    }

    /// Keeps a record that was checked, in place of an older version.
    pub(super) fn insert(&mut self, now: Now, new: New) {
        let (set, key, digest) = (new.set, new.claim.key, self.digest);
        let before = self.take_out(now, set, &key);
        let arrival = before.as_ref().map_or(self.arrivals, |r| r.arrival);
        self.arrivals += u64::from(before.is_none());
        let paid = paid(before.map_or(Time::default(), |r| r.paid), now.mono);
        let mut record = Record {
            set,
            claim: new.claim,
            refresh: new.refresh,
            since: new.since,
            received: now.mono,
            from: new.from,
            arrival,
            tie: tie(&new.bytes),
            id: ShortId([0; 16]),
            paid,
            bytes: new.bytes,
        };
        record.name();
        self.gone.remove(&(set, key));
        self.put_in(record);
        self.note(now.mono, digest);
    }

    /// A record was refreshed.
    pub(super) fn refresh(&mut self, now: Now, set: SetId, key: &RecordKey, by: Refreshed) {
        let digest = self.digest;
        let Some(record) = self.sets.get_mut(&set).and_then(|h| h.records.get_mut(&NodeId(key.0))) else { return };
        let (old, ended) = (record.id, record.expires());
        record.refresh = Some(by.refresh);
        record.since = record.since.max(by.since);
        record.received = now.mono;
        record.from = by.from;
        record.paid = paid(record.paid, now.mono);
        record.name();
        let (new, ends) = (record.id, record.expires());
        if ends != ended {
            self.expiries.remove(&(ended, set, *key));
            self.expiries.insert((ends, set, *key));
        }
        self.forget_id(now.mono, &old);
        self.learn_id(new, set, *key);
        self.note(now.mono, digest);
    }

    /// A record is displaced, or over: it does not come back as it was.
    pub(super) fn remove(&mut self, now: Now, set: SetId, key: &RecordKey) {
        let digest = self.digest;
        let Some(r) = self.take_out(now, set, key) else { return };
        self.note(now.mono, digest);
        if self.gone.insert((set, *key), Gone { version: r.claim.version, tie: r.tie }).is_none() {
            self.gone_by_age.push_back((now.mono, set, *key));
        }
        while self.gone_by_age.front().is_some_and(|g| now.mono.since(g.0) > GONE || self.gone_by_age.len() > MAX_GONE)
        {
            if let Some((_, set, key)) = self.gone_by_age.pop_front() {
                self.gone.remove(&(set, key));
            }
        }
    }

    fn put_in(&mut self, r: Record) {
        self.learn_id(r.id, r.set, r.claim.key);
        self.expiries.insert((r.expires(), r.set, r.claim.key));
        let Some(h) = self.sets.get_mut(&r.set) else { return };
        h.bytes += r.bytes.len();
        h.arrivals.insert(r.arrival, r.claim.key);
        h.records.insert(NodeId(r.claim.key.0), r);
    }

    fn take_out(&mut self, now: Now, set: SetId, key: &RecordKey) -> Option<Record> {
        let h = self.sets.get_mut(&set)?;
        let r = h.records.remove(&NodeId(key.0))?;
        h.bytes -= r.bytes.len();
        h.arrivals.remove(&r.arrival);
        self.expiries.remove(&(r.expires(), set, *key));
        self.forget_id(now.mono, &r.id);
        Some(r)
    }

    fn learn_id(&mut self, id: ShortId, set: SetId, key: RecordKey) {
        self.digest.add(&id);
        self.sketches.add(&id);
        if self.by_id.insert(id, (set, key)).is_none() {
            *self.shorts.entry(short(&id)).or_default() += 1;
        }
    }

    fn forget_id(&mut self, now: Time, id: &ShortId) {
        if self.by_id.remove(id).is_some()
            && let Entry::Occupied(mut n) = self.shorts.entry(short(id))
        {
            *n.get_mut() -= 1;
            if *n.get() == 0 {
                n.remove();
            }
        }
        self.digest.remove(id);
        self.sketches.remove(id);
        self.pass(now, short(id));
    }

    /// This id is not news any more.
    pub(super) fn pass(&mut self, now: Time, id: u32) {
        if self.past.insert(id) {
            self.past_by_age.push_back((now, id));
        }
        while self.past_by_age.front().is_some_and(|p| now.since(p.0) > PAST || self.past_by_age.len() > MAX_PAST) {
            if let Some((_, id)) = self.past_by_age.pop_front() {
                self.past.remove(&id);
            }
        }
    }

    /// What tells these records from another node's.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ShortId> {
        self.by_id.keys().copied()
    }

    /// The record with this id, as it is now.
    pub(super) fn by_id(&self, id: &ShortId) -> Option<&Record> {
        let (set, key) = self.by_id.get(id)?;
        self.get(*set, key)
    }

    /// The records announced by this number.
    pub(super) fn announced(&self, id: u32) -> impl Iterator<Item = &Record> {
        let bound = |fill: u8| {
            let mut short = [fill; 16];
            short[..4].copy_from_slice(&id.to_be_bytes());
            ShortId(short)
        };
        self.by_id.range(bound(0)..=bound(255)).filter_map(|(_, (set, key))| self.get(*set, key))
    }

    /// Whether an announcement is no news.
    pub(super) fn knows(&self, id: u32) -> bool {
        self.past.contains(&id) || self.shorts.contains_key(&id)
    }

    pub(super) fn symbols(&mut self, wall: UnixMillis, as_of: Option<u64>, which: (usize, usize)) -> Option<Symbols> {
        let ids = || self.by_id.keys().copied().collect();
        self.sketches.whole(wall, as_of, which, ids)
    }

    pub(super) fn item(&self, key: u64, item: u64) -> Option<ShortId> {
        self.sketches.id(key, item)
    }

    /// When something is over next.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.expiries.first().map(|e| e.0)
    }

    /// What is over.
    pub(super) fn over(&self, now: Time) -> Option<(SetId, RecordKey)> {
        self.expiries.first().filter(|e| e.0 <= now).map(|e| (e.1, e.2))
    }
}

/// A record that was checked.
#[derive(Debug)]
pub(super) struct New {
    pub(super) set: SetId,
    pub(super) claim: Claim,
    pub(super) bytes: Bytes,
    pub(super) refresh: Option<Refresh>,
    pub(super) since: Time,
    pub(super) from: Option<NodeId>,
}

/// A refresh that was checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refreshed {
    pub(super) refresh: Refresh,
    pub(super) since: Time,
    pub(super) from: Option<NodeId>,
}

fn tie(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    u64::from_be_bytes(first)
}

fn paid(before: Time, now: Time) -> Time {
    before.max(now - CHANGE.times(CHANGES)) + CHANGE
}
