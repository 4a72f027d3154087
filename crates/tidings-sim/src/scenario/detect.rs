//! Single nodes crash, others stall now and then: how soon is a crash noticed, and how often is one seen that was none?

use std::collections::{BTreeMap, BTreeSet};

use tidings_proto::identity::NodeId;
use tidings_proto::io::{Event, LeaveReason, Overlay};
use tidings_proto::time::{Span, Time};
use tidings_proto::wire::LinkRefusal;

use super::liars::{self, Liars};
use super::players::Players;
use super::stage::Stage;
use crate::figures::{Figure, Measured, Worst};
use crate::network::CrashKind;
use crate::options::{Options, Scenario};
use crate::runner::{Outcome, spent_us};

const SETTLE: Span = Span::from_secs(30);
/// A node crashes this often; less often if that would be more than a quarter of them.
const CRASH_EVERY: u64 = 4_000_000;
/// After the last crash, before what was not noticed counts as overlooked.
const TAIL: Span = Span::from_secs(15);
/// How long a stall lasts.
const STALL: Span = Span::from_secs(2);
/// Stalls of a node begin once a minute on average: the mean gap after the end of one, exponentially drawn.
const GAP_US: f64 = 58e6;
/// A peer that stalled within this time is no healthy one to be suspected.
const RECENT: Span = Span::from_secs(5);

/// A neighbour of a crashed node.
struct Observer {
    /// The overlays in which it still has the crashed node as a neighbour.
    overlays: BTreeSet<Overlay>,
    suspected: Option<Time>,
    removed: Option<Time>,
}

struct Crash {
    node: NodeId,
    at: Time,
    by: BTreeMap<u32, Observer>,
}

/// When which node was stopped.
#[derive(Default)]
struct Stalls(BTreeMap<u32, Vec<(Time, Time)>>);

impl Stalls {
    /// For how long `n` was stopped between two times.
    fn within(&self, n: u32, from: Time, to: Time) -> Span {
        let of = self.0.get(&n).into_iter().flatten();
        Span(of.map(|(a, b)| (*b).min(to).since((*a).max(from)).0).sum())
    }

    fn recent(&self, n: u32, now: Time) -> bool {
        self.0.get(&n).and_then(|of| of.last()).is_some_and(|(_, end)| *end + RECENT > now)
    }
}

/// What was said of nodes that live.
#[derive(Default)]
struct Mistakes {
    suspicions: u64,
    /// Of nodes that had not stalled.
    healthy: u64,
    removals: u64,
}

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::Detect { stalled, liars: share, seconds } = options.scenario else {
        unreachable!("chosen by the caller")
    };
    let mut s = Stage::set_without_topic(options, seed, SETTLE);
    let up = s.alive();
    let mut stalling = up.clone();
    s.rng.sample(&mut stalling, (options.nodes as f64 * stalled) as usize);
    let mut gap = {
        let mut rng = s.net.script_rng("stalls");
        move || Span((-(1.0 - rng.unit()).ln() * GAP_US) as u64)
    };
    let begin = s.now();
    let end = begin + Span((seconds * 1e6) as u64);
    let mut due: BTreeSet<(Time, u32)> = stalling.iter().map(|n| (begin + gap(), *n)).collect();
    let every = Span(CRASH_EVERY.max((seconds * 4e6 / options.nodes as f64) as u64));
    let mut next_crash = begin + every;

    let mut lying = up.clone();
    s.rng.sample(&mut lying, (options.nodes as f64 * share) as usize);
    let mut next_lie = if lying.is_empty() { Time(u64::MAX) } else { begin + liars::EVERY };
    s.players = Some(Players::Liars(Liars::enter(&mut s.net, lying.clone())));
    let (spent, events) = (spent_us(), s.net.events);
    s.heard = Some(Vec::new());
    let probes = s.net.traffic.probe_bytes;
    let (mut crashes, mut stalls, mut mistakes) = (Vec::new(), Stalls::default(), Mistakes::default());
    let mut node_us = 0u64;
    let mut alive = up.len() as u64;
    let mut probe_end = None;
    while s.now() < end + TAIL {
        let mut next = (end + TAIL).min(due.first().map_or(end + TAIL, |d| d.0));
        next = next.min(if next_crash < end { next_crash } else { next });
        next = next.min(next_lie);
        if probe_end.is_none() {
            next = next.min(end);
        }
        let from = s.now();
        s.run_until(next);
        node_us += alive * s.now().since(from).0;
        for (at, n, event) in s.heard.replace(Vec::new()).unwrap_or_default() {
            notice(&s, &mut crashes, &stalls, &mut mistakes, at, n, &event);
        }
        let now = s.now();
        if now >= end && probe_end.is_none() {
            probe_end = Some((s.net.traffic.probe_bytes - probes, node_us));
        }
        if next_lie <= now {
            next_lie = now + liars::EVERY;
            s.act(&[]);
        }
        while let Some((_, n)) = due.first().copied().filter(|d| d.0 <= now) {
            due.pop_first();
            if s.net.node(n).is_some() {
                s.net.stall(n, STALL);
                stalls.0.entry(n).or_default().push((now, now + STALL));
                due.insert((now + STALL + gap(), n));
            }
        }
        if next_crash <= now && next_crash < end {
            next_crash += every;
            // One that had stalled might be suspected already.
            let able = |n: &u32| !stalls.recent(*n, now) && !lying.contains(n);
            let able: Vec<u32> = s.alive().into_iter().filter(able).collect();
            let Some(n) = s.rng.pick(&able).copied() else { continue };
            crashes.push(crash(&mut s, n));
            alive -= 1;
        }
    }
    s.check();
    let spent = spent_us() - spent;
    let hours = node_us as f64 / 3.6e9;
    let (bytes, over) = probe_end.unwrap_or((0, 1));

    let mut out = Measured::default();
    let late = s.now();
    let all = |of: fn(&Observer) -> Option<Time>, stopped: bool| -> Vec<f64> {
        let one = |c: &Crash| {
            let us = c.by.iter().filter(|(n, _)| s.net.node(**n).is_some()).map(|(n, o)| {
                let at = of(o).unwrap_or(late);
                at.since(c.at).0 - if stopped { stalls.within(*n, c.at, at).0 } else { 0 }
            });
            us.max().map(|us| us as f64 / 1000.0)
        };
        crashes.iter().filter_map(one).collect()
    };
    out.spread("suspect_ms", all(|o| o.suspected, true));
    out.spread("remove_ms", all(|o| o.removed, true));
    out.spread("suspect_stalled_too_ms", all(|o| o.suspected, false));
    out.spread("remove_stalled_too_ms", all(|o| o.removed, false));
    let mut each: Vec<f64> = Vec::new();
    for c in &crashes {
        let of = c.by.iter().filter(|(n, _)| s.net.node(**n).is_some());
        each.extend(of.map(|(_, o)| o.suspected.unwrap_or(late).since(c.at).0 as f64 / 1000.0));
    }
    out.spreads.insert("suspect_each_ms", Figure::of(each, Worst::Largest));
    let unnoticed = crashes
        .iter()
        .flat_map(|c| c.by.iter().filter(|(n, _)| s.net.node(**n).is_some()))
        .filter(|(_, o)| o.removed.is_none())
        .count();
    out.value("crashes", crashes.len() as f64, Worst::Smallest);
    out.value("unnoticed", unnoticed as f64, Worst::Largest);
    out.value("us_per_node_second", spent / (hours * 3_600.0), Worst::Largest);
    let events = s.net.events - events;
    out.value("events_per_node_second", events as f64 / (hours * 3_600.0), Worst::Largest);
    out.value("node_hours", hours, Worst::Smallest);
    out.value("false_suspicions_per_node_hour", mistakes.suspicions as f64 / hours, Worst::Largest);
    out.value("false_suspicions_of_healthy_per_node_hour", mistakes.healthy as f64 / hours, Worst::Largest);
    out.value("false_removals_per_node_hour", mistakes.removals as f64 / hours, Worst::Largest);
    out.value("probe_bytes_per_node_per_s", bytes as f64 / (over as f64 / 1e6), Worst::Largest);
    if let Some(Players::Liars(l)) = s.players.take() {
        out.value("lies", l.told as f64, Worst::Smallest);
    }
    let linked = s.alive().iter().filter_map(|n| s.net.node(*n)).map(|n| n.peers().len()).sum::<usize>();
    out.value("links_per_node", linked as f64 / s.alive().len() as f64, Worst::Largest);
    Outcome { measured: out, trace: s.net.trace_hash(), broken: std::mem::take(&mut s.ledger.broken) }
}

/// Node `n` dies without a word. Who has it as a neighbour should notice.
fn crash(s: &mut Stage, n: u32) -> Crash {
    let node = s.net.id(n);
    let mut by = BTreeMap::new();
    for o in s.alive().into_iter().filter(|o| *o != n) {
        let Some(observer) = s.net.node(o) else { continue };
        let overlays: BTreeSet<Overlay> =
            [Overlay::Root].into_iter().filter(|v| observer.active_view(*v).contains(&node)).collect();
        if !overlays.is_empty() {
            by.insert(o, Observer { overlays, suspected: None, removed: None });
        }
    }
    s.net.stop(n, CrashKind::Silent);
    Crash { node, at: s.now(), by }
}

fn notice(s: &Stage, crashes: &mut [Crash], stalls: &Stalls, wrong: &mut Mistakes, at: Time, n: u32, event: &Event) {
    let Some((peer, left)) = said(event) else { return };
    if let Some(c) = crashes.iter_mut().rev().find(|c| c.node == peer) {
        let Some(o) = c.by.get_mut(&n) else { return };
        // Who is a neighbour no longer gets no traffic: as good as suspected.
        o.suspected.get_or_insert(at);
        if let Some((overlay, _)) = left {
            o.overlays.remove(&overlay);
            if o.overlays.is_empty() {
                o.removed.get_or_insert(at);
            }
        }
        return;
    }
    let Some(p) = s.net.index(&peer) else { return };
    match left {
        None => {
            wrong.suspicions += 1;
            wrong.healthy += u64::from(!stalls.recent(p, at));
        }
        Some((_, reason)) => wrong.removals += u64::from(given_up(reason)),
    }
}

/// Of whom an event says that it is suspected, or is a neighbour no longer, and why.
fn said(event: &Event) -> Option<(NodeId, Option<(Overlay, LeaveReason)>)> {
    match event {
        Event::PeerSuspected { peer } => Some((*peer, None)),
        Event::PeerLeft { peer, overlay, reason } => Some((*peer, Some((*overlay, *reason)))),
        _ => None,
    }
}

/// Whether a neighbour was taken for dead.
pub(super) fn given_up(reason: LeaveReason) -> bool {
    matches!(reason, LeaveReason::Died | LeaveReason::Link(LinkRefusal::Silent))
}
