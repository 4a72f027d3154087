//! A topic whose members nobody can dial: they find each other, and talk through relays that crash.

use std::collections::{BTreeMap, BTreeSet};

use tidings_proto::io::{Command, Overlay, Ticket};
use tidings_proto::time::Span;

use super::stage::Stage;
use crate::figures::{Measured, Worst};
use crate::network::CrashKind;
use crate::options::{Options, Scenario};
use crate::runner::Outcome;

/// They are one overlay within so long, or not at all.
const TOGETHER: Span = Span::from_secs(120);
const APART: Span = Span::from_millis(200);
const DRAIN: Span = Span::from_secs(30);
const TICK: Span = Span::from_millis(50);

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::Circuits { members, messages, crashed } = options.scenario else {
        unreachable!("chosen by the caller")
    };
    let mut s = Stage::set_indexed(options, seed);
    let up = s.alive();
    let mut all: Vec<u32> = up.iter().copied().filter(|n| s.net.is_shielded(*n)).collect();
    s.rng.sample(&mut all, members);
    let mut out = Measured::default();
    if all.len() < 2 {
        s.ledger
            .broken
            .push("fewer than two nodes that nobody can dial: give more --nodes or --unreachable".to_owned());
        return Outcome { measured: out, trace: s.net.trace_hash(), broken: std::mem::take(&mut s.ledger.broken) };
    }
    let since = s.now();
    for n in &all {
        s.net.command(*n, Ticket(0), Command::Subscribe { topic: s.topic });
    }
    while parts(&s, &all) > 1 && s.now().since(since) < TOGETHER {
        s.run(TICK);
    }
    out.value("together_ms", s.now().since(since).0 as f64 / 1000.0, Worst::Largest);
    out.value("parts", parts(&s, &all) as f64, Worst::Largest);

    let before = carried(&s, &up);
    let mut gone = 0;
    for i in 0..messages {
        if i == messages / 2 {
            gone = crash(&mut s, &before, crashed);
        }
        s.publish(all[i % all.len()], true);
        s.run(APART);
    }
    s.run(DRAIN);
    s.check();
    let missed: usize = (0..s.ledger.sent.len())
        .map(|i| all.iter().filter(|n| **n != s.ledger.sent[i].by && !s.ledger.has(**n, i)).count())
        .sum();
    let expected = (messages * (all.len() - 1)) as f64;
    out.value("delivery_ratio", (expected - missed as f64) / expected, Worst::Smallest);
    out.value("missed", missed as f64, Worst::Largest);
    out.value("gaps", s.ledger.gaps as f64, Worst::Largest);
    out.value("relays_crashed", gone as f64, Worst::Smallest);
    out.value("parts_at_end", parts(&s, &all) as f64, Worst::Largest);
    let after = carried(&s, &up);
    let by: Vec<u64> = after.iter().map(|(n, c)| c - before.get(n).copied().unwrap_or(0).min(*c)).collect();
    out.value("relays", by.iter().filter(|c| **c > 0).count() as f64, Worst::Largest);
    let envelopes: u64 = by.iter().sum();
    out.value("envelopes_per_delivery", envelopes as f64 / s.ledger.deliveries.max(1) as f64, Worst::Largest);
    let sum = |of: &dyn Fn(&tidings_proto::counters::Counters) -> u64| -> f64 {
        all.iter().filter_map(|n| s.net.node(*n)).map(|node| of(node.counters())).sum::<u64>() as f64
    };
    let held: usize = all.iter().filter_map(|n| s.net.node(*n)).map(|n| n.circuits().count()).sum();
    out.value("circuits_per_member", held as f64 / all.len() as f64, Worst::Largest);
    let opened = sum(&|c| c.circuits_opened);
    out.value("circuits_opened_per_member", opened / all.len() as f64, Worst::Largest);
    out.value("pieces_refused", sum(&|c| c.circuit_pieces_refused), Worst::Largest);
    let latencies = s.ledger.latencies_us.iter().map(|us| f64::from(*us) / 1000.0).collect();
    out.spread("latency_ms", latencies);
    Outcome { measured: out, trace: s.net.trace_hash(), broken: std::mem::take(&mut s.ledger.broken) }
}

/// Into how many parts the members' overlay falls.
fn parts(s: &Stage, all: &[u32]) -> usize {
    let mut left: BTreeSet<u32> = all.iter().copied().collect();
    let mut parts = 0;
    while let Some(first) = left.pop_first() {
        parts += 1;
        let mut near = vec![first];
        while let Some(n) = near.pop() {
            let view = s.net.node(n).and_then(|node| node.view(Overlay::Topic(s.topic)));
            let peers = view.map(|v| v.active.clone()).unwrap_or_default();
            near.extend(peers.iter().filter_map(|p| s.net.index(p)).filter(|p| left.remove(p)));
        }
    }
    parts
}

/// What each node has passed on for others.
fn carried(s: &Stage, up: &[u32]) -> BTreeMap<u32, u64> {
    let nodes = up.iter().filter_map(|n| Some((*n, s.net.node(*n)?)));
    nodes.map(|(n, node)| (n, node.counters().envelopes_relayed)).collect()
}

/// Some of those that have carried something since then crash without a word. Returns how many.
fn crash(s: &mut Stage, before: &BTreeMap<u32, u64>, share: f64) -> usize {
    let up: Vec<u32> = before.keys().copied().collect();
    let after = carried(s, &up);
    let mut used: Vec<u32> = after.iter().filter(|(n, c)| **c > before[n]).map(|(n, _)| *n).collect();
    let most = (used.len() as f64 * share).ceil() as usize;
    s.rng.sample(&mut used, most);
    for n in &used {
        s.net.stop(*n, CrashKind::Silent);
    }
    used.len()
}
