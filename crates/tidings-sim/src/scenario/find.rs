//! Every node is an agent; some look for others by asking neighbours, who ask theirs.

use tidings_proto::counters::Counters;
use tidings_proto::discovery::Search;
use tidings_proto::io::{Command, Ticket};
use tidings_proto::time::{Span, Time};

use super::stage::Stage;
use crate::figures::{Measured, Worst};
use crate::options::{Options, Scenario};
use crate::runner::Outcome;

/// Until the neighbours of the last node are there, and then until what agents say of themselves has gone round.
const SETTLE: Span = Span::from_secs(20);
const SPREAD: Span = Span::from_secs(40);
/// Between two look-ups: all that one causes is over by then, as a rule.
const APART: Span = Span::from_millis(1_200);

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::Find { lookups } = options.scenario else { unreachable!("chosen by the caller") };
    let mut s = Stage::set_without_topic(options, seed, SETTLE);
    let all = s.alive();
    for n in &all {
        s.net.command(*n, Ticket(0), Command::AdvertiseSelf { on: true });
    }
    s.run(SPREAD);
    let (mut found, mut ms, mut asked, mut messages) = (0usize, Vec::new(), Vec::new(), Vec::new());
    for i in 0..lookups {
        let by = all[s.rng.below(all.len())];
        let target = loop {
            let n = all[s.rng.below(all.len())];
            if n != by {
                break n;
            }
        };
        let agent = s.net.agent(target);
        let (before, began) = (total(&s), s.now());
        let ticket = Ticket(1_000 + i as u64);
        s.located.clear();
        s.net.command(by, ticket, Command::FindAgent { agent });
        let end = began + APART;
        s.run_until(end);
        while s.located.is_empty() && s.now() < began + Span::from_secs(31) {
            s.run(Span::from_secs(1));
        }
        let after = total(&s);
        asked.push((after.seeks_asked - before.seeks_asked) as f64);
        messages.push((spoken(&after) - spoken(&before)) as f64);
        let right = |at: &Time, found: &Search| {
            let there = found.found.iter().any(|l| l.peer_addr() == s.net.peer_addr(target) && l.agent == agent);
            there.then(|| at.since(began).0 as f64 / 1_000.0)
        };
        if let Some(took) = s.located.iter().find_map(|(at, _, t, f)| (*t == ticket).then(|| right(at, f))?) {
            found += 1;
            ms.push(took);
        }
    }
    s.check();
    let c = total(&s);
    let per_node = |v: u64| v as f64 / all.len() as f64;
    let mut out = Measured::default();
    out.value("found_ratio", found as f64 / lookups as f64, Worst::Smallest);
    out.spread("nodes_asked", asked);
    out.spread("lookup_ms", ms);
    out.spread("messages_per_lookup", messages);
    out.value("deposits_per_node", per_node(c.deposits_sent), Worst::Largest);
    let known = |n: &u32| s.net.node(*n).map_or(0, |node| node.agents_known()) as f64;
    out.spread("agents_known", all.iter().map(known).collect());
    out.value("refused", (c.deposits_limited + c.seeks_limited + c.deposits_refused) as f64, Worst::Largest);
    Outcome { measured: out, trace: s.net.trace_hash(), broken: std::mem::take(&mut s.ledger.broken) }
}

/// Messages that look-ups cost.
fn spoken(c: &Counters) -> u64 {
    c.seeks_sent + c.answers_sent + c.not_founds_sent + c.seeks_duplicate + c.seeks_limited
}

fn total(s: &Stage) -> Counters {
    let mut all = Counters::default();
    for node in s.alive().iter().filter_map(|n| s.net.node(*n)) {
        all.add(node.counters());
    }
    all
}
