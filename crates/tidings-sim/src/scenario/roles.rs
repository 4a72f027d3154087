//! Every node is an agent and has something to say to random others in turn; a share of them can be reached through relays only.

use std::collections::{BTreeMap, BTreeSet};

use tidings_proto::counters::Counters;
use tidings_proto::discovery::Search;
use tidings_proto::identity::PeerAddr;
use tidings_proto::io::{Command, Event, Ticket};
use tidings_proto::roles::PeerRole;
use tidings_proto::time::{Span, Time};

use super::role_liars::RoleLiars;
use super::stage::Stage;
use crate::figures::{Measured, Worst};
use crate::network::CrashKind;
use crate::options::{Options, RelayFault, Scenario, Talk};
use crate::runner::Outcome;

/// Until the neighbours of the last node are there, until the index is, and until everybody is in it.
const SETTLE: Span = Span::from_secs(20);
const INDEXED: Span = Span::from_secs(60);
const REGISTERED: Span = Span::from_secs(30);
const AFTER: Span = Span::from_secs(15);
/// All begin within so long, each says something once a second, and what is late is waited for.
const BEGIN: Span = Span::from_secs(10);
const EVERY: Span = Span::from_secs(1);
const DRAIN: Span = Span::from_secs(35);
const TICK: Span = Span::from_millis(50);
/// A look-up that found nothing is made again after so long.
const AGAIN: Span = Span::from_secs(2);
/// Share of the relays in use that fail, half-way.
const FAULTY: f64 = 0.1;
/// A relay is good if the way through it is no longer than so much of the direct one.
const GOOD: f64 = 1.2;
/// Tickets of look-ups, and of messages, of which a pair has so many at most.
const LOOK: u64 = 1 << 40;
const EACH: u64 = 100_000;

/// Two that talk: the first to the second.
struct Pair {
    by: u32,
    to: u32,
    found: Option<PeerAddr>,
    look_at: Time,
    looking: bool,
    next_at: Time,
    sent: usize,
    /// There is a relay that is hardly a detour.
    good: bool,
}

struct Message {
    at: Time,
    came: Option<Time>,
    /// Whether the receiver's receipt is here, and how many relays it names.
    receipt: Option<usize>,
    failed: bool,
}

struct Run<'a> {
    s: &'a mut Stage,
    pairs: Vec<Pair>,
    messages: BTreeMap<(usize, usize), Message>,
    repeated: u64,
    /// When something first had to go through a relay, and did.
    need: Option<Time>,
    first: Option<Time>,
    /// The pairs whose way led through what failed, and when it did.
    hit: BTreeMap<usize, Time>,
    failed: Vec<u32>,
    /// What each had carried by the middle of the traffic.
    carried: BTreeMap<u32, u64>,
    spread: super::role_spread::Spread,
    liars: Option<RoleLiars>,
}

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::Roles { talk, fault } = options.scenario else { unreachable!("chosen by the caller") };
    play(options, seed, talk, fault, None).0
}

/// Draws those who lie among these nodes.
pub(super) type DrawLiars<'a> = &'a dyn Fn(&crate::network::Network, &[u32]) -> RoleLiars;

/// The run; what each node carried, and who was drawn as a liar.
pub(super) fn play(
    options: &Options,
    seed: u64,
    talk: Talk,
    fault: RelayFault,
    liars: Option<DrawLiars<'_>>,
) -> (Outcome, Vec<(u32, u64)>, Vec<u32>) {
    let mut s = Stage::set_without_topic(options, seed, SETTLE);
    let up = s.alive();
    for (span, command) in [(INDEXED, Command::ServeIndex { on: true }), (REGISTERED, Command::Register { on: true })] {
        let apart = Span(span.0 / up.len() as u64);
        for n in &up {
            s.net.command(*n, Ticket(0), command.clone());
            s.run(apart);
        }
        s.run(AFTER);
    }
    s.sent = Some(Vec::new());
    s.heard = Some(Vec::new());
    s.located.clear();
    let began = s.now();
    let liars = liars.map(|draw| draw(&s.net, &up));
    let pairs = up.iter().flat_map(|by| draw(&mut s, &up, *by, began, talk.partners)).collect();
    let mut r = Run {
        s: &mut s,
        pairs,
        messages: BTreeMap::new(),
        repeated: 0,
        need: None,
        first: None,
        hit: BTreeMap::new(),
        failed: Vec::new(),
        carried: BTreeMap::new(),
        spread: super::role_spread::Spread::default(),
        liars,
    };
    let half = EVERY.times(talk.messages as u64).half();
    r.talk(talk, began + BEGIN + half);
    r.break_relays(fault);
    r.spread.settled(r.s);
    r.carried = r.carried_by_each();
    r.talk(talk, began + BEGIN + half + half + EVERY);
    r.talk(talk, r.s.now() + DRAIN);
    let out = r.measure(options.nodes);
    let repeated = r.repeated;
    let ids = r.liars.take().map(|l| l.ids).unwrap_or_default();
    let counters = |n: u32| r.s.net.node(n).map(|node| (n, node.counters().envelopes_relayed));
    let carried = r.s.alive().into_iter().filter_map(counters).collect();
    s.check();
    if repeated > 0 {
        s.ledger.broken.push(format!("{repeated} direct messages came twice"));
    }
    let broken = std::mem::take(&mut s.ledger.broken);
    (Outcome { measured: out, trace: s.net.trace_hash(), broken }, carried, ids)
}

/// Those that one node talks to, in turn.
fn draw(s: &mut Stage, up: &[u32], by: u32, began: Time, partners: usize) -> Vec<Pair> {
    let mut others: Vec<u32> = up.iter().copied().filter(|n| *n != by).collect();
    s.rng.sample(&mut others, partners);
    let first = began + Span(s.rng.between(0, BEGIN.0));
    (0..).zip(others).map(|(turn, to)| pair(s, up, by, to, first + EVERY.times(turn))).collect()
}

fn pair(s: &Stage, up: &[u32], by: u32, to: u32, at: Time) -> Pair {
    let direct = s.net.round_trip(by, to).0 as f64;
    let through = |r: &u32| (s.net.round_trip(by, *r) + s.net.round_trip(*r, to)).0 as f64;
    let good = up.iter().any(|r| *r != by && *r != to && !s.net.is_shielded(*r) && through(r) <= GOOD * direct);
    Pair { by, to, found: None, look_at: at, looking: false, next_at: at, sent: 0, good }
}

impl Run<'_> {
    fn talk(&mut self, talk: Talk, until: Time) {
        while self.s.now() < until {
            if let Some(liars) = &mut self.liars {
                liars.act(&mut self.s.net);
            }
            for i in 0..self.pairs.len() {
                self.turn(i, talk);
            }
            self.s.run(TICK);
            self.count();
        }
    }

    fn is_up(&self, n: u32) -> bool {
        self.s.net.node(n).is_some()
    }

    fn turn(&mut self, i: usize, talk: Talk) {
        let now = self.s.now();
        let Pair { by, to, looking, look_at, next_at, sent, .. } = self.pairs[i];
        if !self.is_up(by) || !self.is_up(to) {
            return;
        }
        let agent = self.s.net.agent(to);
        let Some(addr) = self.pairs[i].found.clone() else {
            if !looking && now >= look_at {
                self.pairs[i].looking = true;
                self.s.net.command(by, Ticket(LOOK + i as u64), Command::LookUp { agent });
            }
            return;
        };
        if now < next_at || sent * talk.partners >= talk.messages {
            return;
        }
        let linked = self.s.net.node(by).is_some_and(|n| n.links().is_up(&addr.id));
        if self.s.net.is_shielded(to) && !linked {
            self.need.get_or_insert(now);
        }
        self.messages.insert((i, sent), Message { at: now, came: None, receipt: None, failed: false });
        self.pairs[i].sent += 1;
        let every = EVERY.times(talk.partners as u64);
        self.pairs[i].next_at = next_at.max(now - Span(every.0.min(now.0))) + every;
        let mut body = vec![0; super::stage::SIZE];
        body[..8].copy_from_slice(&(i as u64).to_le_bytes());
        body[8..16].copy_from_slice(&(sent as u64).to_le_bytes());
        let ticket = Ticket(LOOK * 2 + i as u64 * EACH + sent as u64);
        self.s.net.command(by, ticket, Command::SendDirect { to: addr, agent, body: body.into() });
    }

    fn count(&mut self) {
        for (at, _, ticket, search) in std::mem::take(&mut self.s.located) {
            let Some(i) = ticket.0.checked_sub(LOOK).map(|i| i as usize) else { continue };
            self.located(i, at, &search);
        }
        for (at, n, event) in self.s.heard.as_mut().map(std::mem::take).unwrap_or_default() {
            self.spread.hear(self.s, at, n, &event);
            let Event::Direct(r) = event else { continue };
            let number = |at: usize| u64::from_le_bytes(r.body[at..at + 8].try_into().unwrap_or_default()) as usize;
            let Some(m) = self.messages.get_mut(&(number(0), number(8))) else { continue };
            self.repeated += u64::from(m.came.is_some());
            m.came = Some(at);
            self.s.net.command(n, Ticket(0), Command::ReadDirect { ids: vec![r.id] });
        }
        for (at, _, ticket, what) in self.s.sent.as_mut().map(std::mem::take).unwrap_or_default() {
            let Some(t) = ticket.0.checked_sub(LOOK * 2) else { continue };
            let Some(m) = self.messages.get_mut(&((t / EACH) as usize, (t % EACH) as usize)) else { continue };
            match what {
                Ok(d) => {
                    m.receipt = Some(d.via.len());
                    if !d.via.is_empty() {
                        self.first.get_or_insert(at);
                    }
                }
                Err(_) => m.failed = true,
            }
        }
    }

    fn located(&mut self, i: usize, at: Time, search: &Search) {
        let Some(p) = self.pairs.get_mut(i) else { return };
        p.looking = false;
        p.look_at = at + AGAIN;
        let to = self.s.net.id(p.to);
        p.found = search.found.iter().map(|f| f.peer_addr()).find(|a| a.id == to);
        // Its messages count from here: look-ups have a scenario of their own.
        p.next_at = p.next_at.max(at);
    }

    /// Some of those that carry something now fail.
    fn break_relays(&mut self, fault: RelayFault) {
        let mut through: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (i, p) in self.pairs.iter().enumerate() {
            let to = self.s.net.id(p.to);
            let Some(node) = self.s.net.node(p.by).filter(|n| !n.links().is_up(&to)) else { continue };
            for relay in node.way_to(&to).iter().filter_map(|r| self.s.net.index(r)) {
                through.entry(relay).or_default().push(i);
            }
        }
        let mut relays: Vec<u32> = through.keys().copied().collect();
        let some = (relays.len() as f64 * FAULTY).ceil() as usize;
        self.s.rng.sample(&mut relays, some);
        for n in relays {
            match fault {
                RelayFault::None => return,
                RelayFault::Crash => self.s.net.stop(n, CrashKind::Silent),
                RelayFault::Drop(every) => self.s.net.lie_as_relay(n, every),
            }
            self.failed.push(n);
            for i in &through[&n] {
                self.hit.entry(*i).or_insert(self.s.now());
            }
        }
    }

    /// Those that lost their sender or their receiver are nobody's.
    fn counted(&self) -> impl Iterator<Item = (&(usize, usize), &Message, &Pair)> {
        let pairs = self.messages.iter().map(|(k, m)| (k, m, &self.pairs[k.0]));
        pairs.filter(|(_, _, p)| self.is_up(p.by) && self.is_up(p.to))
    }

    fn measure(&self, nodes: usize) -> Measured {
        let mut out = Measured::default();
        let ms = |a: Time, b: Time| b.since(a).0 as f64 / 1_000.0;
        let (mut all, mut came, mut lost, mut relayed) = (0u64, 0u64, 0u64, 0u64);
        let (mut direct_ms, mut relayed_ms, mut over, mut over_good) = (vec![], vec![], vec![], vec![]);
        let (mut first_direct, mut first_relayed, mut two) = (vec![], vec![], 0u64);
        for ((i, n), m, p) in self.counted() {
            let needs = self.s.net.is_shielded(p.to);
            if self.first.is_some_and(|at| m.at >= at) || !needs {
                all += 1;
                came += u64::from(m.came.is_some());
            }
            lost += u64::from(m.came.is_none());
            let Some(at) = m.came else { continue };
            let took = ms(m.at, at);
            let via = m.receipt.unwrap_or(0);
            relayed += u64::from(via > 0);
            two += u64::from(via > 1);
            match (via > 0, *n == 0) {
                (true, true) => first_relayed.push(took),
                (false, true) => first_direct.push(took),
                (false, false) => direct_ms.push(took),
                (true, false) if self.hit.contains_key(i) => {}
                (true, false) => {
                    let ratio = took / (self.s.net.round_trip(p.by, p.to).0 as f64 / 2_000.0);
                    relayed_ms.push(took);
                    over.push(ratio);
                    if p.good {
                        over_good.push(ratio);
                    }
                }
            }
        }
        let need = self.need.zip(self.first).map_or(f64::NAN, |(a, b)| b.since(a).0 as f64 / 1e6);
        out.value("time_to_first_relay_s", need, Worst::Largest);
        out.value("delivery_ratio", came as f64 / all.max(1) as f64, Worst::Smallest);
        out.value("lost", lost as f64, Worst::Largest);
        out.value("unreceipted", self.counted().filter(|c| c.1.receipt.is_none()).count() as f64, Worst::Largest);
        out.value("relayed_share", relayed as f64 / self.messages.len().max(1) as f64, Worst::Largest);
        out.value("two_relays_share", two as f64 / relayed.max(1) as f64, Worst::Largest);
        out.value("latency_over_direct", median(&mut over), Worst::Largest);
        out.value("latency_over_direct_good", median(&mut over_good), Worst::Largest);
        out.spread("direct_ms", direct_ms);
        out.spread("relayed_ms", relayed_ms);
        out.spread("first_direct_ms", first_direct);
        out.spread("first_relayed_ms", first_relayed);
        self.measure_failover(&mut out);
        self.spread.measure(self.s, self.need, &mut out);
        self.measure_load(&mut out, nodes);
        out
    }

    /// From when a way failed until the next message that was sent by it is there, and what each sender lost by it.
    fn measure_failover(&self, out: &mut Measured) {
        let mut failover = Vec::new();
        for (i, at) in &self.hit {
            let p = &self.pairs[*i];
            if !self.is_up(p.by) || !self.is_up(p.to) {
                continue;
            }
            let after = self.messages.range((*i, 0)..(*i + 1, 0)).map(|(_, m)| m).filter(|m| m.at >= *at);
            failover.extend(after.take(3).map(|m| m.came.map_or(60_000.0, |c| c.since(m.at).0 as f64 / 1_000.0)));
        }
        out.spread("failover_ms", failover);
        let dropped = self.failed.iter().flat_map(|n| self.s.net.dropped_by(*n).into_values());
        out.spread("failover_messages", dropped.map(|n| n as f64).collect());
    }

    fn carried_by_each(&self) -> BTreeMap<u32, u64> {
        let carried = |n: u32| self.s.net.node(n).map(|node| (n, node.counters().envelopes_relayed));
        self.s.alive().into_iter().filter_map(carried).collect()
    }

    /// What relays carry from the middle of the traffic on, which of it those carry that hold the role, and how evenly.
    fn measure_load(&self, out: &mut Measured, nodes: usize) {
        let mut total = Counters::default();
        let (mut all, mut by_role) = (Vec::new(), Vec::new());
        let failed: BTreeSet<u32> = self.failed.iter().copied().collect();
        for (n, carried) in self.carried_by_each() {
            let Some(node) = self.s.net.node(n) else { continue };
            total.add(node.counters());
            let since = carried - self.carried.get(&n).copied().unwrap_or(0);
            if failed.contains(&n) {
                continue;
            }
            if since > 0 {
                all.push(since as f64);
            }
            if node.role_row(&node.id()).effective == PeerRole::Relay {
                by_role.push(since as f64);
            }
        }
        let share = by_role.iter().sum::<f64>() / all.iter().sum::<f64>().max(1.0);
        out.value("load_gini", gini(&mut by_role), Worst::Largest);
        out.value("load_gini_all", gini(&mut all), Worst::Largest);
        out.value("load_by_role_share", share, Worst::Smallest);
        out.value("relays_share", all.len() as f64 / nodes as f64, Worst::Largest);
        let t = &total;
        out.value("relays_failed", t.relays_failed as f64, Worst::Largest);
        out.value("passages_late", t.passages_late as f64, Worst::Largest);
        out.value("relays_declined", t.relays_declined as f64, Worst::Largest);
        out.value("courses_lost", t.courses_lost as f64, Worst::Largest);
        out.value("sessions_per_pair", t.sessions_opened as f64 / self.pairs.len() as f64, Worst::Largest);
        out.value("credits_refused", t.credits_refused as f64, Worst::Largest);
        let sent = t.envelopes_sent as f64;
        out.value("credited_ratio", t.credits_taken as f64 / sent.max(1.0), Worst::Smallest);
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How unevenly something is shared: 0 evenly, 1 one has it all.
fn gini(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let (n, sum) = (values.len() as f64, values.iter().sum::<f64>());
    let weighted: f64 = values.iter().enumerate().map(|(i, v)| (i as f64 + 1.0) * v).sum();
    if sum > 0.0 { 2.0 * weighted / (n * sum) - (n + 1.0) / n } else { f64::NAN }
}
