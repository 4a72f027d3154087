//! Every node is an agent and leaves word with the holders of its shard; some look for others there.

mod forgers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use tidings_proto::counters::Counters;
use tidings_proto::discovery::{Search, shard_id};
use tidings_proto::identity::TopicId;
use tidings_proto::io::{Command, Ticket};
use tidings_proto::time::{Span, Time};

use super::stage::Stage;
use crate::figures::{Measured, Worst};
use crate::network::{CrashKind, HolderLie};
use crate::options::{Forgery, Options, Scenario};
use crate::runner::Outcome;
use forgers::Forgers;

/// Until the neighbours of the last node are there, until the index is, and until everybody is in it.
const SETTLE: Span = Span::from_secs(20);
const INDEXED: Span = Span::from_secs(60);
const REGISTERED: Span = Span::from_secs(30);
const AFTER: Span = Span::from_secs(15);
/// With liars: statements have been renewed once, some have moved, and that has gone round.
const RENEWED: Span = Span::from_secs(780);
const MOVED: f64 = 0.2;
const SPREAD: Span = Span::from_secs(20);
/// How long look-ups go on, under churn and among liars; else each node looks once in so long.
const UNDER_CHURN: Span = Span::from_secs(1_200);
const AMONG_LIARS: Span = Span::from_secs(300);
const EACH: Span = Span::from_secs(3);
const TICK: Span = Span::from_millis(100);
/// The share of nodes replaced in an hour.
const CHURN: f64 = 0.3;
/// Half the holders of a shard crash this often, and their agent is looked for at once.
const CRASH: Span = Span::from_secs(30);
/// Who has been there for so long is looked for, and looks.
const GROWN: Span = Span::from_secs(60);
/// Pairs of nodes that share a topic's name and nothing else.
const PAIRS: usize = 5;
const MEET: Span = Span::from_secs(20);

/// Among forgers: nodes look as soon as all are in the index, and again when they have been there for so long, together with
/// so many that have just come.
const OLD: Span = Span::from_secs(300);
const NEWCOMERS: f64 = 0.05;
/// One in so many looks for whom the forgers want to hide.
const HIDDEN: usize = 4;

struct Asked {
    by: u32,
    target: u32,
    at: Time,
}

struct Run<'a> {
    s: &'a mut Stage,
    up: Vec<u32>,
    since: BTreeMap<u32, Time>,
    open: BTreeMap<u64, Asked>,
    busy: BTreeSet<u32>,
    tickets: u64,
    found: usize,
    looked: usize,
    ms: Vec<f64>,
    cold: Vec<f64>,
    warm: Vec<f64>,
    messages: Vec<f64>,
    dialed: usize,
    forgers: Option<Forgers>,
    hidden: (usize, usize),
}

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::Rendezvous { strategy, forgers, .. } = options.scenario else { unreachable!("chosen by the caller") };
    if strategy != Forgery::Best || forgers <= 0.0 {
        return run_with(options, seed, strategy).0;
    }
    let all = Forgery::ALL.into_iter().map(|f| run_with(options, seed, f));
    let worst = all.min_by(|a, b| a.1.total_cmp(&b.1));
    worst.map_or_else(|| unreachable!("there are some"), |w| w.0)
}

/// The outcome, and the share found that matters most.
fn run_with(options: &Options, seed: u64, strategy: Forgery) -> (Outcome, f64) {
    let Scenario::Rendezvous { lookups, churn, liars, forgers, .. } = options.scenario else {
        unreachable!("chosen by the caller")
    };
    let mut s = Stage::set_without_topic(options, seed, SETTLE);
    let mut up = s.alive();
    let mut forgers = (forgers > 0.0).then(|| Forgers::enter(&mut s, forgers, strategy));
    // One after the other, as they would be started.
    for (span, command) in [(INDEXED, Command::ServeIndex { on: true }), (REGISTERED, Command::Register { on: true })] {
        let apart = Span(span.0 / up.len() as u64);
        for n in &up {
            s.net.command(*n, Ticket(0), command.clone());
            if let Some(f) = &mut forgers {
                f.act(&mut s);
            }
            s.run(apart);
        }
        s.run(AFTER);
    }
    let load = load(&s);
    if let Some(f) = &forgers {
        up.retain(|n| !f.ids.contains(n));
    }
    if liars > 0.0 {
        let mut all = up.clone();
        s.rng.sample(&mut all, (up.len() as f64 * liars).round() as usize);
        for (i, n) in all.into_iter().enumerate() {
            let lie = if i % 2 == 0 { HolderLie::Empty } else { HolderLie::Stale(BTreeMap::new()) };
            s.net.lie_as_holder(n, lie);
        }
    }
    let since = up.iter().map(|n| (*n, Time(0))).collect();
    let mut r = Run {
        s: &mut s,
        up,
        since,
        open: BTreeMap::new(),
        busy: BTreeSet::new(),
        tickets: 1_000,
        found: 0,
        looked: 0,
        ms: Vec::new(),
        cold: Vec::new(),
        warm: Vec::new(),
        messages: Vec::new(),
        dialed: 0,
        forgers,
        hidden: (0, 0),
    };
    if liars > 0.0 {
        // Liars need something old to answer with: they are asked before it is renewed.
        r.look(lookups.min(r.up.len() * 4), AMONG_LIARS, false);
        r.s.run(RENEWED);
        r.relocate();
        r.s.run(SPREAD);
        r.forget();
    }
    let span = match (churn, liars > 0.0) {
        (true, _) => UNDER_CHURN,
        (_, true) => AMONG_LIARS,
        _ => Span((EACH.0 as f64 * lookups as f64 / r.up.len() as f64) as u64).max(EACH),
    };
    let mut out = Measured::default();
    if r.forgers.is_some() {
        r.among_forgers(lookups, span, &mut out);
    } else {
        r.look(lookups, span, churn);
    }
    let found = r.found as f64 / r.looked as f64;
    out.value("found_ratio", found, Worst::Smallest);
    out.spread("lookup_ms", std::mem::take(&mut r.ms));
    out.spread("lookup_rtt_cold", std::mem::take(&mut r.cold));
    out.spread("lookup_rtt_warm", std::mem::take(&mut r.warm));
    out.spread("messages_per_lookup", std::mem::take(&mut r.messages));
    out.value("links_per_lookup", r.dialed as f64 / r.looked as f64, Worst::Largest);
    out.value("shard_load_max_over_mean", load.0, Worst::Largest);
    out.value("index", load.1, Worst::Smallest);
    out.spread("topic_first_message_ms", meet(&mut s));
    s.check();
    let c = total(&s);
    let refused = c.registrations_refused + c.calls_refused + c.questions_limited;
    out.value("refused", refused as f64, Worst::Largest);
    out.value("registrations_per_node", c.registrations_sent as f64 / options.nodes as f64, Worst::Largest);
    out.value("dials_to_see_per_node", c.adverts_dialed as f64 / options.nodes as f64, Worst::Largest);
    let broken = std::mem::take(&mut s.ledger.broken);
    (Outcome { measured: out, trace: s.net.trace_hash(), broken }, found)
}

/// The largest number of statements a node of the index holds over the mean, and how many nodes there are in it.
fn load(s: &Stage) -> (f64, f64) {
    let Some(index) = s.net.node(0).map(|n| n.index()) else { return (f64::NAN, 0.0) };
    let in_it =
        |n: &u32| s.net.node(*n).filter(|_| index.contains(&s.net.id(*n))).map(|node| node.agents_held() as f64);
    let held: Vec<f64> = s.alive().iter().filter_map(in_it).collect();
    let mean = held.iter().sum::<f64>() / held.len() as f64;
    (held.iter().copied().fold(0.0, f64::max) / mean, held.len() as f64)
}

fn total(s: &Stage) -> Counters {
    let mut all = Counters::default();
    for node in s.alive().iter().filter_map(|n| s.net.node(*n)) {
        all.add(node.counters());
    }
    all
}

impl Run<'_> {
    /// Random nodes look for random agents, evenly over a span of time.
    fn look(&mut self, lookups: usize, span: Span, churn: bool) {
        let began = self.s.now();
        let end = began + span;
        let (mut asked, mut owed) = (0usize, 0.0);
        let (mut replaced, mut crash_at) = (0.0, began + CRASH);
        let each_tick = lookups as f64 * TICK.0 as f64 / span.0 as f64;
        while self.s.now() < end {
            owed += each_tick;
            while owed >= 1.0 && asked < lookups {
                owed -= 1.0;
                if let Some((by, target)) = self.pair() {
                    self.ask(by, target);
                    asked += 1;
                }
            }
            if churn {
                replaced += CHURN * self.up.len() as f64 * TICK.0 as f64 / 3.6e9;
                while replaced >= 1.0 {
                    replaced -= 1.0;
                    let n = self.up[self.s.rng.below(self.up.len())];
                    let kind = if self.s.rng.below(2) == 0 { CrashKind::Silent } else { CrashKind::Goodbye };
                    self.replace(n, kind);
                }
                if self.s.now() >= crash_at {
                    crash_at += CRASH;
                    self.crash_holders();
                }
            }
            if let Some(f) = &mut self.forgers {
                f.act(self.s);
            }
            self.s.run(TICK);
            self.count();
        }
        self.s.run(Span::from_secs(12));
        self.count();
        // Whoever was taken down while it looked gets no answer, and is no failure.
        for (_, a) in std::mem::take(&mut self.open) {
            self.looked -= usize::from(!self.up.contains(&a.by));
        }
        self.busy.clear();
    }

    /// Half of the look-ups while nobody has reached anybody yet, the other when all have been there for a while, and some
    /// have just come.
    fn among_forgers(&mut self, lookups: usize, span: Span, out: &mut Measured) {
        let share = |(found, looked): (usize, usize)| if looked == 0 { 1.0 } else { found as f64 / looked as f64 };
        self.look(lookups / 2, span, false);
        let young = (self.found, self.looked);
        out.value("found_young", share(young), Worst::Smallest);
        self.shares("young", out);
        self.wait(OLD);
        let old = self.up.clone();
        self.look(lookups / 4, span, false);
        out.value("found_old", share((self.found - young.0, self.looked - young.1)), Worst::Smallest);
        self.shares("old", out);
        let before = (self.found, self.looked);
        self.up = (0..(old.len() as f64 * NEWCOMERS).ceil() as usize)
            .map(|_| {
                let contact = old[self.s.rng.below(old.len())];
                let n = self.s.add(Some(contact));
                self.s.net.command(n, Ticket(0), Command::Register { on: true });
                // They look, and are not looked for yet.
                self.since.insert(n, self.s.now());
                n
            })
            .collect();
        self.wait(Span::from_secs(5));
        let new = std::mem::replace(&mut self.up, old);
        for _ in 0..lookups / 4 / new.len().max(1) {
            for by in new.clone() {
                if let Some((_, target)) = self.pair() {
                    self.ask(by, target);
                }
            }
            self.wait(Span::from_secs(1));
        }
        self.wait(Span::from_secs(12));
        self.open.clear();
        out.value("found_by_newcomers", share((self.found - before.0, self.looked - before.1)), Worst::Smallest);
        out.value("found_hidden", share(self.hidden), Worst::Smallest);
    }

    fn shares(&mut self, when: &'static str, out: &mut Measured) {
        let Some(f) = &mut self.forgers else { return };
        let (victim, all) = f.share(self.s);
        let name = if when == "young" {
            ["share_of_victim_young", "share_young"]
        } else {
            ["share_of_victim", "share_of_holders"]
        };
        out.value(name[0], victim, Worst::Largest);
        out.value(name[1], all, Worst::Largest);
    }

    fn wait(&mut self, span: Span) {
        let end = self.s.now() + span;
        while self.s.now() < end {
            if let Some(f) = &mut self.forgers {
                f.act(self.s);
            }
            self.s.run(Span::from_secs(1).min(end.since(self.s.now())));
            self.count();
        }
    }

    fn grown(&self, n: u32) -> bool {
        self.s.now().since(self.since[&n]) >= GROWN
    }

    fn pair(&mut self) -> Option<(u32, u32)> {
        for _ in 0..50 {
            let by = self.up[self.s.rng.below(self.up.len())];
            let mut target = self.up[self.s.rng.below(self.up.len())];
            if let Some(f) = self.forgers.as_ref().filter(|_| self.s.rng.below(HIDDEN) == 0) {
                target = f.victim;
            }
            if by != target && !self.busy.contains(&by) && self.grown(by) && self.grown(target) {
                return Some((by, target));
            }
        }
        None
    }

    fn ask(&mut self, by: u32, target: u32) {
        self.tickets += 1;
        self.looked += 1;
        self.hidden.1 += usize::from(self.is_hidden(target));
        self.busy.insert(by);
        self.open.insert(self.tickets, Asked { by, target, at: self.s.now() });
        let agent = self.s.net.agent(target);
        self.s.net.command(by, Ticket(self.tickets), Command::LookUp { agent });
    }

    fn is_hidden(&self, n: u32) -> bool {
        self.forgers.as_ref().is_some_and(|f| f.victim == n)
    }

    fn count(&mut self) {
        for (at, n, ticket, search) in std::mem::take(&mut self.s.located) {
            let Some(a) = self.open.remove(&ticket.0).filter(|a| a.by == n) else { continue };
            self.busy.remove(&n);
            self.judge(&a, at, &search);
        }
    }

    fn judge(&mut self, a: &Asked, at: Time, search: &Search) {
        // Who was looked for while it was taken away is nobody's to find.
        if !self.up.contains(&a.target) {
            self.looked -= 1;
            return;
        }
        self.messages.push(f64::from(search.asked) * 2.0);
        self.dialed += search.dialed as usize;
        let there = self.s.net.peer_addr(a.target);
        if search.found.first().is_none_or(|l| l.peer_addr() != there) {
            return;
        }
        self.found += 1;
        self.hidden.0 += usize::from(self.is_hidden(a.target));
        let took = at.since(a.at);
        self.ms.push(took.0 as f64 / 1_000.0);
        let settled = search.settled_by.and_then(|(id, linked)| Some((self.s.net.index(&id)?, linked)));
        if let Some((by, linked)) = settled {
            let ratio = took.0 as f64 / self.s.net.round_trip(a.by, by).0 as f64;
            if linked { self.warm.push(ratio) } else { self.cold.push(ratio) }
        }
    }

    /// What was measured so far does not count.
    fn forget(&mut self) {
        (self.found, self.looked, self.dialed) = (0, 0, 0);
        for of in [&mut self.ms, &mut self.cold, &mut self.warm, &mut self.messages] {
            of.clear();
        }
    }

    /// A share of the nodes gets other addresses.
    fn relocate(&mut self) {
        let mut some = self.up.clone();
        self.s.rng.sample(&mut some, (self.up.len() as f64 * MOVED) as usize);
        for n in some {
            let [_, a, b, c] = n.to_be_bytes();
            self.s.net.readdress(n, SocketAddrV4::new(Ipv4Addr::new(100 + a, b, c, 1), 4_000), true);
        }
    }

    fn replace(&mut self, n: u32, kind: CrashKind) {
        let Some(at) = self.up.iter().position(|u| *u == n) else { return };
        self.s.net.stop(n, kind);
        self.up.swap_remove(at);
        self.busy.remove(&n);
        let contact = self.up[self.s.rng.below(self.up.len())];
        let new = self.s.add(Some(contact));
        self.s.net.command(new, Ticket(0), Command::ServeIndex { on: true });
        self.s.net.command(new, Ticket(0), Command::Register { on: true });
        self.since.insert(new, self.s.now());
        self.up.push(new);
    }

    /// Half the holders of somebody's shard crash at once, and it is looked for at once.
    fn crash_holders(&mut self) {
        let Some((by, target)) = self.pair() else { return };
        let shard = shard_id(&self.s.net.agent(target).0);
        let Some(node) = self.s.net.node(by) else { return };
        let ids: Vec<_> = node.index().nodes(shard, 8).into_iter().map(|p| p.id).collect();
        let mut holders: Vec<u32> = ids.iter().filter_map(|id| self.s.net.index(id)).collect();
        holders.retain(|h| *h != target && *h != by && self.up.contains(h));
        self.s.rng.sample(&mut holders, 4);
        for h in holders {
            self.replace(h, CrashKind::Silent);
        }
        self.ask(by, target);
    }
}

/// Two nodes that have nothing in common but the network and a topic's name: from when both enter it until the first message
/// is there, for some pairs.
fn meet(s: &mut Stage) -> Vec<f64> {
    let all = s.alive();
    let mut out = Vec::new();
    for i in 0..PAIRS {
        let mut two = all.clone();
        s.rng.sample(&mut two, 2);
        let [a, b] = two[..] else { break };
        let topic = TopicId(*blake3::hash(&[i as u8; 9]).as_bytes());
        let (began, index) = (s.now(), s.ledger.sent.len());
        for n in [a, b] {
            s.net.command(n, Ticket(0), Command::Subscribe { topic });
        }
        s.publish_on(a, topic);
        let end = began + MEET;
        while s.now() < end && !s.ledger.has(b, index) {
            s.run(Span::from_millis(20));
        }
        let took = if s.ledger.has(b, index) { s.ledger.sent[index].last.since(began) } else { MEET };
        out.push(took.0 as f64 / 1_000.0);
    }
    out
}
