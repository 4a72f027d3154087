//! Who is here: how soon a newcomer knows it, how soon everybody knows of a newcomer, a goodbye and a crash, whether anybody
//! seems to come and go that does not, and what it costs.
//!
//! All nodes start as in every scenario, and run undisturbed for as long as was said: what that costs, and who flaps. Then some
//! come, some say goodbye, and some crash, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use tidings_proto::identity::NodeId;
use tidings_proto::io::{Event, Overlay};
use tidings_proto::presence::PresenceEvent;
use tidings_proto::time::{Span, Time};

use super::stage::Stage;
use crate::figures::{Measured, Worst};
use crate::network::CrashKind;
use crate::options::{Options, Scenario};
use crate::runner::Outcome;

/// Before anything is measured.
const SETTLE: Span = Span::from_secs(60);
/// How many come, say goodbye, and crash; and how long each is waited for.
const EACH: usize = 5;
const WAIT: Span = Span::from_secs(15);
/// How often it is looked whether a newcomer knows everybody.
const LOOK: Span = Span::from_millis(10);

/// What nodes said of whom.
#[derive(Default)]
struct Heard {
    /// When who said first that a node of interest is here, or gone.
    online: BTreeMap<(NodeId, u32), Time>,
    offline: BTreeMap<(NodeId, u32), Time>,
    /// Those who are not there: what is said of their going is true.
    gone: BTreeSet<NodeId>,
    flaps: u64,
}

impl Heard {
    fn listen(&mut self, s: &mut Stage) {
        for (at, n, event) in s.heard.replace(Vec::new()).unwrap_or_default() {
            let Event::Presence(event) = event else { continue };
            match event {
                PresenceEvent::AgentOnline(info) => {
                    self.online.entry((info.node, n)).or_insert(at);
                }
                PresenceEvent::AgentOffline { node, .. } | PresenceEvent::NodeOffline { node, .. } => {
                    self.offline.entry((node, n)).or_insert(at);
                    self.flaps += u64::from(!self.gone.contains(&node));
                }
                _ => {}
            }
        }
    }

    /// How long after `since` the last of these nodes said so; never, if one did not.
    fn last(of: &BTreeMap<(NodeId, u32), Time>, node: NodeId, by: &[u32], since: Time) -> f64 {
        let each = by.iter().map(|n| of.get(&(node, *n)).map_or(f64::INFINITY, |at| ms(at.since(since))));
        each.fold(0.0, f64::max)
    }
}

fn ms(span: Span) -> f64 {
    span.0 as f64 / 1_000.0
}

/// Runs for a while, and listens.
fn run_for(s: &mut Stage, heard: &mut Heard, span: Span) {
    let until = s.now() + span;
    while s.now() < until {
        s.run_until(until.min(s.now() + Span::from_secs(1)));
        heard.listen(s);
    }
}

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::Presence { seconds, ttl } = options.scenario else { unreachable!("chosen by the caller") };
    let mut s = Stage::set_without_topic(options, seed, SETTLE);
    let mut heard = Heard::default();
    s.heard = Some(Vec::new());
    let complete = complete(&s);

    let (bytes, compared) = (s.net.traffic.record_bytes, s.net.traffic.record_comparing_bytes);
    let began = s.now();
    run_for(&mut s, &mut heard, Span((seconds * 1e6) as u64));
    let steady = s.now().since(began).0 as f64 / 1e6 * s.alive().len() as f64;
    // What one sends another receives.
    let per_node = |now: u64, then: u64| 2.0 * (now - then) as f64 / steady;
    let bytes = per_node(s.net.traffic.record_bytes, bytes);
    let compared = per_node(s.net.traffic.record_comparing_bytes, compared);

    let (mut roster, mut online) = (Vec::new(), Vec::new());
    for _ in 0..EACH {
        let others = s.alive();
        let contact = s.rng.pick(&others).copied();
        let at = s.now();
        let n = s.add(contact);
        let mut knows = f64::INFINITY;
        while s.now() < at + WAIT {
            s.run(LOOK);
            if knows.is_infinite() && s.net.node(n).is_some_and(|node| node.presence().len() > others.len()) {
                knows = ms(s.now().since(at));
            }
        }
        heard.listen(&mut s);
        roster.push(knows);
        online.push(Heard::last(&heard.online, s.net.id(n), &others, at));
    }
    let mut goodbye = Vec::new();
    for _ in 0..EACH {
        let Some(n) = s.rng.pick(&s.alive()).copied() else { continue };
        let (id, at) = (s.net.id(n), s.now());
        heard.gone.insert(id);
        s.net.stop(n, CrashKind::Goodbye);
        run_for(&mut s, &mut heard, WAIT);
        goodbye.push(Heard::last(&heard.offline, id, &s.alive(), at));
    }
    let (mut neighbors, mut crashed) = (Vec::new(), Vec::new());
    for _ in 0..EACH {
        let Some(n) = s.rng.pick(&s.alive()).copied() else { continue };
        let (id, at) = (s.net.id(n), s.now());
        let near = |o: &u32| s.net.node(*o).is_some_and(|node| node.active_view(Overlay::Root).contains(&id));
        let by: Vec<u32> = s.alive().into_iter().filter(|o| *o != n && near(o)).collect();
        heard.gone.insert(id);
        s.net.stop(n, CrashKind::Silent);
        run_for(&mut s, &mut heard, WAIT);
        neighbors.push(Heard::last(&heard.offline, id, &by, at));
        crashed.push((id, at));
    }
    run_for(&mut s, &mut heard, Span((ttl * 1e6) as u64));
    let alive = s.alive();
    let all = crashed.iter().map(|(id, at)| Heard::last(&heard.offline, *id, &alive, *at));
    let all = all.fold(0.0, f64::max);
    s.check();

    let worst = |v: Vec<f64>| v.into_iter().fold(0.0, f64::max);
    let mut out = Measured::default();
    out.value("complete", complete, Worst::Smallest);
    out.value("roster_ms", worst(roster), Worst::Largest);
    out.value("online_ms", worst(online), Worst::Largest);
    out.value("goodbye_ms", worst(goodbye), Worst::Largest);
    out.value("crash_neighbor_ms", worst(neighbors), Worst::Largest);
    out.value("crash_all_over_ttl", all / (ttl * 1_000.0), Worst::Largest);
    out.value("flaps", heard.flaps as f64, Worst::Largest);
    out.value("bytes_per_node_per_s", bytes, Worst::Largest);
    out.value("comparing_bytes_per_node_per_s", compared, Worst::Largest);
    Outcome { measured: out, trace: s.net.trace_hash(), broken: std::mem::take(&mut s.ledger.broken) }
}

/// The share of the nodes that know everybody.
fn complete(s: &Stage) -> f64 {
    let alive = s.alive();
    let knows = |n: &&u32| s.net.node(**n).is_some_and(|node| node.presence().len() >= alive.len());
    alive.iter().filter(knows).count() as f64 / alive.len() as f64
}
