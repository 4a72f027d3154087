//! Nodes leave and others come, all the time: do those who stay get everything, and do the views stay good?

use tidings_proto::identity::NodeId;
use tidings_proto::io::{Event, Overlay};
use tidings_proto::time::{Span, Time};

use super::detect::given_up;
use super::graph::{self, Graph};
use super::stage::Stage;
use crate::figures::{Measured, Worst};
use crate::network::CrashKind;
use crate::options::{Options, Scenario};
use crate::runner::Outcome;

const SETTLE: Span = Span::from_secs(30);
/// A message this often.
const PUBLISH: Span = Span::from_secs(1);
/// Nodes that are never replaced, to publish; and of how many messages one is a newcomer's instead. (Every author
/// costs every node a record: thousands of authors are another scenario.)
const STEADY: usize = 8;
const NEWCOMER: usize = 10;
/// A newcomer that published is not replaced for this long: what a dead author took with it is nobody's loss.
const GRACE: Span = Span::from_secs(30);
/// After the last change, before what is missing counts as missed and who is alone as isolated.
const DRAIN: Span = Span::from_secs(20);

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::Churn { rate, seconds } = options.scenario else { unreachable!("chosen by the caller") };
    let mut s = Stage::set(options, seed, SETTLE);
    let mut up = s.alive();
    let mut stayed: Vec<bool> = vec![true; up.len()];
    let mut steady = up.clone();
    s.rng.sample(&mut steady, STEADY.min(options.nodes / 2));
    // Node, until when.
    let mut spared: Vec<(u32, Time)> = Vec::new();
    let end = s.now() + Span((seconds * 1e6) as u64);
    // Replacements are a Poisson process.
    let mean_us = 3.6e9 / (rate * options.nodes as f64).max(1e-9);
    let mut gaps = s.net.script_rng("churn");
    let mut gap = move || Span((-(1.0 - gaps.unit()).ln() * mean_us).min(1e15) as u64);
    let (mut next_change, mut next_message) = (s.now() + gap(), s.now() + PUBLISH);
    let (mut replaced, mut false_removals, mut node_us) = (0u64, 0u64, 0u64);
    let first = s.ledger.sent.len();
    s.heard = Some(Vec::new());
    while s.now() < end {
        let from = s.now();
        s.run_until(next_change.min(next_message).min(end));
        node_us += up.len() as u64 * s.now().since(from).0;
        false_removals += mistaken(&mut s);
        let now = s.now();
        if now >= next_message {
            next_message = now + PUBLISH;
            let mut by = steady[s.rng.below(steady.len())];
            if (s.ledger.sent.len() - first) % NEWCOMER == NEWCOMER - 1 {
                by = up[s.rng.below(up.len())];
                spared.retain(|(_, until)| *until > now);
                spared.push((by, now + GRACE));
            }
            s.publish(by, true);
        }
        if now >= next_change {
            next_change = now + gap();
            let i = s.rng.below(up.len());
            let n = up[i];
            if steady.contains(&n) || spared.iter().any(|(p, until)| *p == n && *until > now) {
                continue;
            }
            let kind = if s.rng.below(2) == 0 { CrashKind::Silent } else { CrashKind::Goodbye };
            s.net.stop(n, kind);
            if let Some(stay) = stayed.get_mut(n as usize) {
                *stay = false;
            }
            up.swap_remove(i);
            let contact = up[s.rng.below(up.len())];
            up.push(s.add(Some(contact)));
            replaced += 1;
        }
    }
    s.run(DRAIN);
    false_removals += mistaken(&mut s);
    s.check();

    let stayed: Vec<u32> = (0..stayed.len() as u32).filter(|n| stayed[*n as usize]).collect();
    let (mut got, mut all) = (0usize, 0usize);
    for i in first..s.ledger.sent.len() {
        let others = stayed.iter().filter(|n| **n != s.ledger.sent[i].by);
        all += others.clone().count();
        got += others.filter(|n| s.ledger.has(**n, i)).count();
    }
    let mut out = Measured::default();
    let ratio = if all == 0 { f64::NAN } else { got as f64 / all as f64 };
    out.value("delivery_ratio", ratio, Worst::Smallest);
    out.value("missed", (all - got) as f64, Worst::Largest);
    let root = Graph::of(&s.net, Overlay::Root);
    let topic = Graph::of(&s.net, Overlay::Topic(s.topic));
    out.value("isolated", root.apart().max(topic.apart()) as f64, Worst::Largest);
    let random = root.shuffled(&mut s.rng);
    out.value("path_length", root.path_length(&mut s.rng), Worst::Largest);
    out.value("path_length_random", random.path_length(&mut s.rng), Worst::Largest);
    out.value("clustering", root.clustering(), Worst::Largest);
    out.value("clustering_random", random.clustering(), Worst::Largest);
    let (spread, most, spread_random) = graph::in_degree(&s.net, Overlay::Root);
    out.value("in_degree_spread", spread, Worst::Largest);
    out.value("in_degree_spread_random", spread_random, Worst::Largest);
    out.value("in_degree_max_over_mean", most, Worst::Largest);
    out.value("stale_share", stale(&s), Worst::Largest);
    out.value("false_removals", false_removals as f64, Worst::Largest);
    let hours = node_us as f64 / 3.6e9;
    out.value("false_removals_per_node_hour", false_removals as f64 / hours, Worst::Largest);
    out.value("replaced", replaced as f64, Worst::Smallest);
    out.value("present_throughout", stayed.len() as f64, Worst::Smallest);
    Outcome { measured: out, trace: s.net.trace_hash(), broken: std::mem::take(&mut s.ledger.broken) }
}

/// How many neighbours that live were taken for dead since the last call.
fn mistaken(s: &mut Stage) -> u64 {
    let heard = s.heard.replace(Vec::new()).unwrap_or_default();
    let alive = |id: &NodeId| s.net.index(id).is_some_and(|n| s.net.node(n).is_some());
    let wrong = |e: &Event| matches!(e, Event::PeerLeft { peer, reason, .. } if given_up(*reason) && alive(peer));
    heard.iter().filter(|(_, _, e)| wrong(e)).count() as u64
}

/// The share of passive views' entries that lead to nobody.
fn stale(s: &Stage) -> f64 {
    let (mut dead, mut all) = (0usize, 0usize);
    for node in s.alive().iter().filter_map(|n| s.net.node(*n)) {
        for p in node.passive_view(Overlay::Root) {
            all += 1;
            dead += usize::from(s.net.index(&p).is_none_or(|p| s.net.node(p).is_none()));
        }
    }
    if all == 0 { 0.0 } else { dead as f64 / all as f64 }
}
