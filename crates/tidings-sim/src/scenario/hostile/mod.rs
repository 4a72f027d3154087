//! Peers that break every rule: does anything they forge get through, does anything grow, and how much of the honest
//! nodes' views can they take?

pub(super) mod abuse;
pub(super) mod eclipse;

use tidings_proto::io::Overlay;
use tidings_proto::time::Span;

use super::players::Players;
use super::stage::Stage;
use crate::figures::{Measured, Worst};
use crate::network::CrashKind;
use crate::options::{Options, Scenario};
use crate::runner::{Outcome, rss_mb};
use eclipse::Strategy;

const SETTLE: Span = Span::from_secs(30);
/// Between the attackers' rounds.
const ROUND: Span = Span::from_millis(250);
/// Honest messages come this often.
const PUBLISH: Span = Span::from_millis(250);
/// What was under way is over by then.
const DRAIN: Span = Span::from_secs(15);
/// Share of the honest nodes that are replaced by newcomers during an eclipse: those are the easiest to take.
const NEWCOMERS: f64 = 0.2;

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let mut out = Measured::default();
    let (trace, broken) = abuse(options, seed, &mut out);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&trace);
    let (mut most, mut active, mut passive, mut newcomers, mut eclipsed) = (0f64, 0f64, 0f64, 0f64, 0f64);
    for strategy in Strategy::ALL {
        let share = eclipse(options, seed, strategy, &mut hasher);
        out.value(strategy.figure(), share.active.max(share.passive), Worst::Largest);
        most = most.max(share.active.max(share.passive));
        active = active.max(share.active);
        passive = passive.max(share.passive);
        newcomers = newcomers.max(share.newcomers);
        eclipsed = eclipsed.max(share.eclipsed);
    }
    out.value("view_share_over_fair_share", most, Worst::Largest);
    out.value("active_share_over_fair_share", active, Worst::Largest);
    out.value("passive_share_over_fair_share", passive, Worst::Largest);
    out.value("newcomer_share_over_fair_share", newcomers, Worst::Largest);
    out.value("eclipsed", eclipsed, Worst::Largest);
    out.value("panics", 0.0, Worst::Largest);
    Outcome { measured: out, trace: *hasher.finalize().as_bytes(), broken }
}

/// Two networks with the same honest traffic, the second with rogues: what the memory of the process comes to. What
/// one seed has used is there for the next, so the first seed tells most.
fn abuse(options: &Options, seed: u64, out: &mut Measured) -> ([u8; 32], Vec<String>) {
    let quiet = stretch(options, seed, false, &mut Measured::default());
    let (memory, trace, mut broken) = stretch(options, seed, true, out);
    out.value("memory_growth_ratio", memory / quiet.0, Worst::Largest);
    broken.extend(quiet.2);
    (trace, broken)
}

/// Honest traffic, with rogues or without: memory at its end, trace, and what went wrong.
fn stretch(options: &Options, seed: u64, rogues: bool, out: &mut Measured) -> (f64, [u8; 32], Vec<String>) {
    let Scenario::Hostile { attackers, seconds, .. } = options.scenario else { unreachable!("chosen by the caller") };
    let mut s = Stage::set(options, seed, SETTLE);
    let honest = s.alive();
    let count = if rogues { ((options.nodes as f64 * attackers).ceil() as usize).max(1) } else { 0 };
    let ids: Vec<u32> = (0..count as u16)
        .map(|i| {
            let [a, b] = i.to_be_bytes();
            s.net.add_puppet(std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(172, a, b, 1), 1_000))
        })
        .collect();
    s.players = Some(Players::Rogues(abuse::Rogues::enter(&mut s.net, ids.clone(), s.topic)));
    traffic(&mut s, &honest, seconds);
    if let Some(Players::Rogues(r)) = s.players.take() {
        out.value("abuses", r.sent as f64, Worst::Smallest);
    }
    for n in ids {
        s.net.stop(n, CrashKind::Silent);
    }
    s.run(DRAIN);
    let memory = rss_mb();
    s.check();
    // The ledger calls broken what an author never published, and what came twice.
    out.value("accepted_forgeries", s.ledger.forged as f64, Worst::Largest);
    let (mut got, mut all) = (0usize, 0usize);
    for i in 0..s.ledger.sent.len() {
        all += honest.len() - 1;
        got += honest.iter().filter(|n| **n != s.ledger.sent[i].by && s.ledger.has(**n, i)).count();
    }
    out.value("delivery_ratio", got as f64 / all.max(1) as f64, Worst::Smallest);
    (memory, s.net.trace_hash(), std::mem::take(&mut s.ledger.broken))
}

fn traffic(s: &mut Stage, honest: &[u32], seconds: f64) {
    let end = s.now() + Span((seconds * 1e6) as u64);
    while s.now() < end {
        let by = honest[s.rng.below(honest.len())];
        s.publish(by, false);
        s.act(honest);
        s.run(PUBLISH);
    }
}

/// What attackers hold of the honest nodes' views, over what they are owed.
struct Share {
    active: f64,
    passive: f64,
    newcomers: f64,
    /// Share of the honest nodes with no honest neighbour.
    eclipsed: f64,
}

fn eclipse(options: &Options, seed: u64, strategy: Strategy, hasher: &mut blake3::Hasher) -> Share {
    let Scenario::Hostile { attackers, ids, seconds } = options.scenario else { unreachable!("chosen by the caller") };
    let mut s = Stage::set_without_topic(options, seed, SETTLE);
    let mut honest = s.alive();
    let prefixes = ((options.nodes as f64 * attackers).ceil() as usize).max(1);
    let rng = s.net.script_rng("attackers");
    let players = eclipse::Attackers::enter(&mut s.net, strategy, prefixes, ids, rng);
    s.players = Some(Players::Attackers(players));
    let began = s.now();
    let span = Span((seconds * 1e6) as u64);
    let newcomers = (options.nodes as f64 * NEWCOMERS) as u64;
    let mut new = Vec::new();
    while s.now() < began + span {
        s.act(&honest);
        s.run(ROUND);
        // The last quarter is left for views to show what became of the newcomers.
        let due = (newcomers * s.now().since(began).0 * 4 / (span.0 * 3)).min(newcomers);
        while (new.len() as u64) < due {
            let i = s.rng.below(honest.len());
            s.net.stop(honest[i], CrashKind::Goodbye);
            honest.swap_remove(i);
            let contact = honest[s.rng.below(honest.len())];
            let n = s.add(Some(contact));
            honest.push(n);
            new.push(n);
        }
    }
    hasher.update(&s.net.trace_hash());
    let fair = prefixes as f64 / (prefixes + options.nodes) as f64;
    let share = |of: &[u32], active: bool| {
        let (mut theirs, mut all) = (0usize, 0usize);
        for node in of.iter().filter_map(|n| s.net.node(*n)) {
            let view = if active { node.active_view(Overlay::Root) } else { node.passive_view(Overlay::Root) };
            all += view.len();
            theirs += view.iter().filter(|p| s.net.index(p).is_some_and(|p| s.net.is_puppet(p))).count();
        }
        theirs as f64 / all.max(1) as f64 / fair
    };
    let captured = honest.iter().filter_map(|n| s.net.node(*n)).filter(|n| {
        let view = n.active_view(Overlay::Root);
        view.iter().all(|p| s.net.index(p).is_some_and(|p| s.net.is_puppet(p)))
    });
    Share {
        active: share(&honest, true),
        passive: share(&honest, false),
        newcomers: share(&new, true).max(share(&new, false)),
        eclipsed: captured.count() as f64 / honest.len() as f64,
    }
}
