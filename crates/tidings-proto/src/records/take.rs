//! Taking records in: from neighbours, and this node's own.

use bytes::Bytes;

use super::chain::{self, MAX_STEPS};
use super::sets::{Claim, Refused, Rules, rules};
use super::store::{self, New, Refreshed, SKEW_MS, Verdict, short};
use super::{Change, Context, Records};
use crate::identity::{NodeId, RecordKey};
use crate::layer::{Cx, Signal};
use crate::time::{Span, UnixMillis};
use crate::wire::{self, FreshRecord, FullRecord, Lane, RecordsWanted, Refresh, SetId};

/// A neighbour is asked for one whole record this often at most, and so many questions are remembered.
const ASK_AGAIN: Span = Span::from_secs(10);
const MAX_ASKED: usize = 4_096;

/// How records came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// Along the tree, or because they were asked for.
    Pushed,
    /// Because we compared.
    Fetched,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Changed(RecordKey, Change),
    /// It is here as it came.
    Known(RecordKey),
    Nothing,
}

/// When a refresh is due by the owner's clock: each half a life.
pub(super) fn due(claim: &Claim, step: u16) -> UnixMillis {
    UnixMillis(claim.issued.0.saturating_add(claim.life.times(u64::from(step)).as_millis() / 2))
}

/// When a refresh was said at the earliest, by the owner's clock: owners spread their first by a quarter of a life, and those
/// that follow with it.
fn earliest(claim: &Claim, step: u16) -> UnixMillis {
    let early = if step == 0 { 0 } else { claim.life.as_millis() / 4 };
    UnixMillis(due(claim, step).0.saturating_sub(early))
}

impl Records {
    pub(super) fn on_records(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        lane: Lane,
        m: &wire::Records,
        mut payload: Bytes,
    ) {
        let came = if lane == Lane::Bulk { Came::Fetched } else { Came::Pushed };
        for f in &m.full {
            let len = usize::from(f.len);
            if len > payload.len() {
                cx.counters.records_malformed += 1;
                return;
            }
            // A copy: what is kept must not hold the whole frame.
            let bytes = Bytes::copy_from_slice(&payload.split_to(len));
            let taken = self.take_full(cx, from, f, bytes);
            self.note_fetched(cx, from, came, len, &taken);
            self.pass_on(cx, from, f.set, taken, came);
        }
        for f in &m.fresh {
            let taken = self.take_fresh(cx, from, f);
            self.note_fetched(cx, from, came, 32, &taken);
            self.pass_on(cx, from, f.set, taken, came);
        }
        cx.counters.records_malformed += u64::from(!payload.is_empty());
        self.arm_expiry(cx);
    }

    /// What comparing brought. What could not be taken is no reason to compare with others: they may offer it as well, and
    /// would again.
    fn note_fetched(&mut self, cx: &Cx<'_>, from: NodeId, came: Came, len: usize, taken: &Result<Taken, Refused>) {
        match (came, taken) {
            (Came::Pushed, _) => {}
            (Came::Fetched, Ok(Taken::Changed(..))) => self.sync.fetched(cx, from, 0, 1, len),
            (Came::Fetched, _) => self.sync.heard(cx, from, len),
        }
    }

    fn pass_on(&mut self, cx: &mut Cx<'_>, from: NodeId, set: SetId, taken: Result<Taken, Refused>, came: Came) {
        let (key, change) = match taken {
            Ok(Taken::Changed(key, change)) => (key, Some(change)),
            Ok(Taken::Known(key)) => (key, None),
            Ok(Taken::Nothing) => return,
            Err(why) => return count(cx, why),
        };
        cx.counters.records_duplicate += u64::from(change.is_none());
        let Some(id) = cx.records.get(set, &key).map(|r| short(&r.id())) else { return };
        self.missing.remove(&id);
        let Some(change) = change else { return };
        if came != Came::Fetched {
            self.spread(cx, Some(from), set, key, change == Change::Refreshed);
        }
        cx.counters.records_received += 1;
        cx.signal(Signal::RecordChanged { set, key, change });
    }

    fn take_full(&mut self, cx: &mut Cx<'_>, from: NodeId, f: &FullRecord, bytes: Bytes) -> Result<Taken, Refused> {
        let rules = rules(f.set).ok_or(Refused::NoSet)?;
        if bytes.len() > rules.longest {
            return Err(Refused::TooLong);
        }
        let claim = (rules.peek)(&bytes)?;
        let key = claim.key;
        let age = Span::from_millis(u64::from(f.age) * 100);
        let verdict = cx.records.judge(f.set, &claim, &bytes);
        match verdict {
            Verdict::Old => return Err(Refused::Old),
            Verdict::Same => {
                return match f.refresh {
                    Some(refresh) => self.refresh_known(cx, Some(from), f.set, &key, refresh, age),
                    None => Ok(Taken::Known(key)),
                };
            }
            Verdict::New | Verdict::Newer => {}
        }
        if claim.life > rules.life || claim.life == Span::ZERO {
            return Err(Refused::TooLongLived);
        }
        let step = f.refresh.map_or(0, |r| r.step);
        let at = due(&claim, step);
        let wall = cx.now.wall.0;
        let over = at.0.saturating_add(claim.life.as_millis()).saturating_add(SKEW_MS) <= wall;
        if claim.issued.0 > wall.saturating_add(SKEW_MS)
            || at.0 > wall.saturating_add(SKEW_MS)
            || over
            || age >= claim.life
        {
            return Err(Refused::OutOfTime);
        }
        let may = match verdict {
            Verdict::Newer => cx.records.may_change(f.set, &key, cx.now.mono),
            _ => self.peer(&from).is_some_and(|p| p.brings.spend(cx.now.mono)),
        };
        if !may {
            return Err(Refused::Limited);
        }
        if let Some(r) = f.refresh
            && !claim.anchor.is_some_and(|a| r.step > 0 && chain::leads(&key, r.value, r.step, a))
        {
            return Err(Refused::Forged);
        }
        self.check_room(cx, rules, &claim, bytes.len())?;
        let context = Context { crypto: cx.crypto, network: &self.network, reached: &self.reached };
        if !(rules.verify)(f.set, &bytes, &context) {
            return Err(Refused::Forged);
        }
        let since = store::since(cx.now, age, earliest(&claim, step));
        let new = New { set: f.set, claim, bytes, refresh: f.refresh, since, from: Some(from) };
        let change = if verdict == Verdict::Newer { Change::Replaced } else { Change::New };
        self.keep(cx, rules, new)?;
        Ok(Taken::Changed(key, change))
    }

    fn check_room(&self, cx: &Cx<'_>, rules: &Rules, claim: &Claim, len: usize) -> Result<(), Refused> {
        let near = |key: &RecordKey| key.0 == cx.me.0 || self.peers.iter().any(|p| p.id.0 == key.0);
        cx.records.victims(rules, claim, len, cx.now.wall, &near).map(drop)
    }

    /// Keeps a record that was checked; others make room if the set's rules say so.
    fn keep(&self, cx: &mut Cx<'_>, rules: &Rules, new: New) -> Result<(), Refused> {
        let near = |key: &RecordKey| key.0 == cx.me.0 || self.peers.iter().any(|p| p.id.0 == key.0);
        let victims = cx.records.victims(rules, &new.claim, new.bytes.len(), cx.now.wall, &near)?;
        for key in victims {
            cx.counters.records_displaced += 1;
            cx.records.remove(cx.now, rules.set, &key);
            cx.signal(Signal::RecordChanged { set: rules.set, key, change: Change::Gone });
        }
        cx.records.insert(cx.now, new);
        Ok(())
    }

    fn take_fresh(&mut self, cx: &mut Cx<'_>, from: NodeId, f: &FreshRecord) -> Result<Taken, Refused> {
        rules(f.set).ok_or(Refused::NoSet)?;
        let age = Span::from_millis(u64::from(f.age) * 100);
        let mut why = Refused::Forged;
        for key in cx.records.beginning(f.set, f.key) {
            match self.refresh_known(cx, Some(from), f.set, &key, f.refresh, age) {
                Err(e) => why = e,
                taken => return taken,
            }
        }
        if why != Refused::Forged {
            return Err(why);
        }
        // A record of which we know nothing, or nothing so new: it is asked for, whole.
        self.ask_whole(cx, from, f.set, f.key);
        Ok(Taken::Nothing)
    }

    fn ask_whole(&mut self, cx: &mut Cx<'_>, from: NodeId, set: SetId, key: u64) {
        let now = cx.now.mono;
        if self.asked_keys.len() >= MAX_ASKED {
            self.asked_keys.retain(|_, at| now.since(*at) < ASK_AGAIN);
        }
        let asked = self.asked_keys.get(&(set, key)).is_some_and(|at| now.since(*at) < ASK_AGAIN);
        if asked || self.asked_keys.len() >= MAX_ASKED {
            cx.counters.records_limited += 1;
            return;
        }
        self.asked_keys.insert((set, key), now);
        cx.counters.records_asked += 1;
        cx.send(from, RecordsWanted { ids: Vec::new(), keys: vec![(set, key)], eager: false });
    }

    /// Checks a refresh of a record that is here.
    fn refresh_known(
        &mut self,
        cx: &mut Cx<'_>,
        from: Option<NodeId>,
        set: SetId,
        key: &RecordKey,
        refresh: Refresh,
        age: Span,
    ) -> Result<Taken, Refused> {
        let Some(r) = cx.records.get(set, key) else { return Err(Refused::Old) };
        let known = match r.refresh {
            Some(known) => Some((known.step, known.value)),
            None => r.claim.anchor.map(|a| (0, a)),
        };
        let (step, value) = known.ok_or(Refused::Forged)?;
        if refresh.step <= step {
            let same = refresh.step == step && refresh.value == value;
            return if same { Ok(Taken::Known(*key)) } else { Err(Refused::Old) };
        }
        let at = due(&r.claim, refresh.step);
        if refresh.step > MAX_STEPS || !chain::leads(key, refresh.value, refresh.step - step, value) {
            return Err(Refused::Forged);
        }
        if at.0 > cx.now.wall.0.saturating_add(SKEW_MS) || age >= r.claim.life {
            return Err(Refused::OutOfTime);
        }
        if from.is_some() && !cx.records.may_change(set, key, cx.now.mono) {
            return Err(Refused::Limited);
        }
        let since = store::since(cx.now, age, earliest(&r.claim, refresh.step));
        cx.records.refresh(cx.now, set, key, Refreshed { refresh, since, from });
        Ok(Taken::Changed(*key, Change::Refreshed))
    }

    /// Publishes a record of this node's own. Its owner is a layer of this node: what is wrong with it is a fault of ours.
    pub(super) fn put(&mut self, cx: &mut Cx<'_>, set: SetId, bytes: Bytes) {
        let Some(rules) = rules(set) else { return count(cx, Refused::NoSet) };
        let claim = match (rules.peek)(&bytes) {
            Ok(claim) if bytes.len() <= rules.longest && claim.life <= rules.life => claim,
            Ok(_) => return count(cx, Refused::TooLong),
            Err(why) => return count(cx, why),
        };
        let change = match cx.records.judge(set, &claim, &bytes) {
            Verdict::New => Change::New,
            Verdict::Newer => Change::Replaced,
            Verdict::Same | Verdict::Old => return count(cx, Refused::Old),
        };
        let key = claim.key;
        let new = New { set, claim, bytes, refresh: None, since: cx.now.mono, from: None };
        if let Err(why) = self.keep(cx, rules, new) {
            return count(cx, why);
        }
        cx.counters.records_put += 1;
        self.publish(cx, set, key, change);
    }

    /// Says that a record of this node's own still holds.
    pub(super) fn refresh_own(&mut self, cx: &mut Cx<'_>, set: SetId, key: &RecordKey, refresh: Refresh) {
        match self.refresh_known(cx, None, set, key, refresh, Span::ZERO) {
            Ok(Taken::Changed(key, change)) => self.publish(cx, set, key, change),
            Ok(_) => {}
            Err(why) => count(cx, why),
        }
    }

    fn publish(&mut self, cx: &mut Cx<'_>, set: SetId, key: RecordKey, change: Change) {
        self.spread(cx, None, set, key, change == Change::Refreshed);
        cx.signal(Signal::RecordChanged { set, key, change });
        self.arm_expiry(cx);
    }
}

fn count(cx: &mut Cx<'_>, why: Refused) {
    let of = &mut *cx.counters;
    *match why {
        Refused::Malformed | Refused::TooLong | Refused::TooLongLived | Refused::NoSet => &mut of.records_malformed,
        Refused::Implausible => &mut of.roles_implausible,
        Refused::OutOfTime => &mut of.records_out_of_time,
        Refused::Old => &mut of.records_old,
        Refused::Forged => &mut of.records_forged,
        Refused::Full => &mut of.records_full,
        Refused::Limited => &mut of.records_limited,
    } += 1;
}
