//! Agents go away, are written to, and come back; meanwhile senders go for good, and keepers are replaced.

use std::collections::{BTreeMap, BTreeSet};

use tidings_proto::counters::Counters;
use tidings_proto::identity::PeerAddr;
use tidings_proto::io::{Command, Event, Ticket};
use tidings_proto::messaging::MessageStatus;
use tidings_proto::time::{Span, Time};

use super::stage::Stage;
use crate::figures::{Measured, Worst};
use crate::network::CrashKind;
use crate::options::{Options, Scenario};
use crate::runner::Outcome;

/// Between those that go away, and between those that come back.
const APART: Span = Span::from_millis(200);
/// All is said within so long, and then it is waited until it is kept.
const SAID: Span = Span::from_secs(60);
const KEPT: Span = Span::from_secs(35);
/// Who is back has what was kept within so long, or not at all.
const AFTER: Span = Span::from_secs(180);
const TICK: Span = Span::from_millis(100);
/// Of the senders this share goes for good once all is kept.
const SENDERS_GO: f64 = 0.5;

/// What happens.
#[derive(Clone, Copy, Debug)]
struct Plan {
    messages: usize,
    away: f64,
    replaced: f64,
    span: Span,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    by: u32,
    to: u32,
    at: Time,
    /// When its sender was told that it is kept, or delivered.
    told: Option<Time>,
    refused: bool,
    /// Its sender heard that it was delivered in the end.
    delivered: bool,
    came: u32,
    came_at: Time,
}

struct Run<'a> {
    s: &'a mut Stage,
    messages: Vec<Message>,
    back: BTreeMap<u32, Time>,
    sum: Counters,
}

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::Backup { messages, away, replaced, seconds } = options.scenario else {
        unreachable!("chosen by the caller")
    };
    let plan = Plan { messages, away, replaced, span: Span((seconds * 1e6) as u64) };
    let mut s = Stage::set_indexed(options, seed);
    s.sent = Some(Vec::new());
    s.heard = Some(Vec::new());
    s.kept = Some(Vec::new());
    let mut r = Run { s: &mut s, messages: Vec::new(), back: BTreeMap::new(), sum: Counters::default() };
    let away = r.go_away(plan);
    r.say(plan, &away);
    r.senders_go();
    let replaced = r.replace(plan, &away);
    r.come_back(&away);
    let measured = r.measure(replaced);
    let repeated = r.messages.iter().filter(|m| m.came > 1).count();
    s.check();
    if repeated > 0 {
        s.ledger.broken.push(format!("{repeated} direct messages came twice"));
    }
    let broken = std::mem::take(&mut s.ledger.broken);
    Outcome { measured, trace: s.net.trace_hash(), broken }
}

impl Run<'_> {
    fn pass(&mut self, span: Span) {
        let until = self.s.now() + span;
        while self.s.now() < until {
            self.s.run(TICK.min(until.since(self.s.now())));
            self.listen();
        }
    }

    fn listen(&mut self) {
        for (at, n, event) in self.s.heard.as_mut().map(std::mem::take).unwrap_or_default() {
            match event {
                Event::Direct(r) => {
                    let number = r.body.first_chunk::<8>().map_or(u64::MAX, |b| u64::from_le_bytes(*b));
                    if let Some(m) = self.messages.get_mut(number as usize).filter(|m| m.to == n) {
                        m.came += 1;
                        m.came_at = at;
                    }
                    self.s.net.command(n, Ticket(0), Command::ReadDirect { ids: vec![r.id] });
                }
                Event::Message(p) if p.status == MessageStatus::Delivered => {
                    let to = self.s.net.index(&p.to);
                    let of = self.messages.iter_mut().find(|m| m.by == n && Some(m.to) == to && !m.delivered);
                    of.into_iter().for_each(|m| m.delivered = true);
                }
                _ => {}
            }
        }
        let kept = self.s.kept.as_mut().map(std::mem::take).unwrap_or_default();
        let sent = self.s.sent.as_mut().map(std::mem::take).unwrap_or_default();
        let told = kept.into_iter().map(|(at, _, t, _)| (at, t, true));
        for (at, ticket, good) in told.chain(sent.into_iter().map(|(at, _, t, what)| (at, t, what.is_ok()))) {
            let Some(m) = ticket.0.checked_sub(1).and_then(|i| self.messages.get_mut(i as usize)) else { continue };
            m.told = good.then_some(at);
            m.refused = !good;
        }
    }

    /// Takes a node down, one way or the other in turn.
    fn take_down(&mut self, n: u32, turn: usize) {
        if let Some(node) = self.s.net.node(n) {
            self.sum.add(node.counters());
        }
        self.s.net.stop(n, if turn.is_multiple_of(2) { CrashKind::Goodbye } else { CrashKind::Silent });
    }

    fn go_away(&mut self, plan: Plan) -> Vec<u32> {
        // The first is everybody's way in.
        let mut away: Vec<u32> = self.s.alive().into_iter().filter(|n| *n > 0).collect();
        let some = ((away.len() as f64 * plan.away).ceil() as usize).clamp(1, away.len() - 1);
        self.s.rng.sample(&mut away, some);
        for (turn, n) in away.iter().enumerate() {
            self.take_down(*n, turn);
            self.pass(APART);
        }
        away
    }

    fn say(&mut self, plan: Plan, away: &[u32]) {
        let up = self.s.alive();
        let apart = Span(SAID.0 / plan.messages.max(1) as u64);
        for _ in 0..plan.messages.saturating_mul(4) {
            let i = self.messages.len();
            if i >= plan.messages {
                break;
            }
            let (Some(by), Some(to)) = (self.s.rng.pick(&up).copied(), self.s.rng.pick(away).copied()) else { break };
            // Whose certificate is not known here can't be written to while it is away.
            let agent = self.s.net.agent(to);
            if self.s.net.node(by).is_none_or(|node| node.nodes_of(&agent).is_empty()) {
                continue;
            }
            let mut body = vec![0; super::stage::SIZE];
            body[..8].copy_from_slice(&(i as u64).to_le_bytes());
            let at = self.s.now();
            let (told, refused, delivered) = (None, false, false);
            self.messages.push(Message { by, to, at, told, refused, delivered, came: 0, came_at: at });
            // Where it was is known to nobody any more.
            let peer = PeerAddr { id: self.s.net.id(to), addrs: Vec::new() };
            let command = Command::SendDirect { to: peer, agent, body: body.into() };
            self.s.net.command(by, Ticket(i as u64 + 1), command);
            self.pass(apart);
        }
        self.pass(KEPT);
    }

    fn senders_go(&mut self) {
        let senders: BTreeSet<u32> = self.messages.iter().map(|m| m.by).filter(|n| *n > 0).collect();
        // Keepers have their own turn.
        let holds = |n: &u32| self.s.net.node(*n).is_some_and(|node| node.kept_for_others().0 > 0);
        let mut senders: Vec<u32> = senders.into_iter().filter(|n| !holds(n)).collect();
        let some = (senders.len() as f64 * SENDERS_GO) as usize;
        self.s.rng.sample(&mut senders, some);
        for (turn, n) in senders.into_iter().enumerate() {
            self.take_down(n, turn);
            self.pass(APART);
        }
    }

    /// A share of those that hold something are replaced, one after the other. Returns how many.
    fn replace(&mut self, plan: Plan, away: &[u32]) -> usize {
        let until = self.s.now() + plan.span;
        let holds = |s: &Stage, n: &u32| s.net.node(*n).is_some_and(|node| node.kept_for_others().0 > 0);
        let mut keepers: Vec<u32> = self.s.alive().into_iter().filter(|n| *n > 0 && holds(self.s, n)).collect();
        let some = (keepers.len() as f64 * plan.replaced).ceil() as usize;
        self.s.rng.sample(&mut keepers, some);
        let apart = Span(plan.span.0 / (keepers.len() as u64 + 1));
        for (turn, n) in keepers.iter().enumerate() {
            self.pass(apart);
            self.take_down(*n, turn);
            let others: Vec<u32> =
                self.s.alive().into_iter().filter(|o| !away.contains(o) && !self.s.net.is_shielded(*o)).collect();
            let contact = self.s.rng.pick(&others).copied();
            let new = self.s.add(contact);
            for command in [Command::ServeIndex { on: true }, Command::Register { on: true }] {
                self.s.net.command(new, Ticket(0), command);
            }
        }
        self.pass(Span(until.0.saturating_sub(self.s.now().0)));
        keepers.len()
    }

    fn come_back(&mut self, away: &[u32]) {
        for n in away {
            self.s.restart(*n);
            self.back.insert(*n, self.s.now());
            self.pass(APART);
        }
        self.pass(AFTER);
    }

    fn measure(&mut self, replaced: usize) -> Measured {
        let mut out = Measured::default();
        let all = self.messages.len().max(1) as f64;
        let once = self.messages.iter().filter(|m| m.came == 1).count() as f64;
        let duplicates: u32 = self.messages.iter().map(|m| m.came.saturating_sub(1)).sum();
        // What its sender was told has failed is not lost.
        let lost = self.messages.iter().filter(|m| m.came == 0 && !m.refused).count() as f64;
        let refused = self.messages.iter().filter(|m| m.refused).count() as f64;
        let ms = |a: Time, b: Time| b.since(a).0 as f64 / 1_000.0;
        let kept: Vec<f64> = self.messages.iter().filter_map(|m| Some(ms(m.at, m.told?))).collect();
        let came = self.messages.iter().filter(|m| m.came > 0);
        let handed: Vec<f64> = came.filter_map(|m| Some(ms(*self.back.get(&m.to)?, m.came_at))).collect();
        let alive: BTreeSet<u32> = self.s.alive().into_iter().collect();
        let there = self.messages.iter().filter(|m| m.came > 0 && alive.contains(&m.by));
        let (there, heard) = there.fold((0.0, 0.0), |(all, heard), m| (all + 1.0, heard + f64::from(m.delivered)));
        out.value("delivered_once_ratio", once / all, Worst::Smallest);
        out.value("duplicates", f64::from(duplicates), Worst::Largest);
        out.value("lost", lost, Worst::Largest);
        out.value("refused", refused, Worst::Largest);
        out.value("sender_told_ratio", if there > 0.0 { heard / there } else { 1.0 }, Worst::Smallest);
        out.spread("kept_ms", kept);
        out.spread("handed_ms", handed);
        out.value("keepers_replaced", replaced as f64, Worst::Smallest);
        let mut left = 0;
        for n in alive {
            let Some(node) = self.s.net.node(n) else { continue };
            self.sum.add(node.counters());
            left += node.kept_for_others().0;
        }
        out.value("copies_left", left as f64, Worst::Largest);
        let t = &self.sum;
        out.value("bundles", t.backups_made as f64, Worst::Largest);
        let bundles = t.backups_made.max(1) as f64;
        out.value("copies_per_bundle", t.backups_held as f64 / bundles, Worst::Largest);
        out.value("handed_per_bundle", t.backups_handed as f64 / bundles, Worst::Largest);
        out.value("copies_moved", t.backups_moved as f64, Worst::Largest);
        out.value("declined", t.backups_declined as f64, Worst::Largest);
        out
    }
}
