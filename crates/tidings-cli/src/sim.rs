//! `tidings sim`: the deterministic simulator, from the command line.

use std::sync::{Mutex, PoisonError};

use tidings_sim::{CryptoKind, Options, Publishers, Report, RoleLie, Scenario};

use crate::args::{self, Crypto, Network, SimScenario, Switch};
use crate::error::CliError;
use crate::out::{self, Paint, Progress};

/// Runs a scenario over its seeds.
pub(crate) fn run(scenario: &SimScenario, json: bool) -> Result<(), CliError> {
    let options = options(scenario)?;
    let progress = Mutex::new(Progress::new(json));
    let seeds = options.seeds.iter().count();
    let show = |done: usize| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.show(&format!("{done} of {seeds} seeds"));
    };
    show(0);
    let report = tidings_sim::run(&options, &show);
    drop(progress);
    if json {
        out::json(&report)?
    } else {
        print(&report)?
    }
    match report.failures.first() {
        None => Ok(()),
        Some(first) => Err(CliError::Failed(format!(
            "{} of {seeds} seeds failed; seed {}: {}: run it again with {}",
            report.failed_seeds.len(),
            first.seed,
            first.why,
            first.replay
        ))),
    }
}

fn options(scenario: &SimScenario) -> Result<Options, CliError> {
    let (scenario, network) = match scenario {
        SimScenario::Broadcast(a) => {
            (Scenario::Broadcast { warmup: a.warmup, messages: a.messages, crash: a.crash }, &a.network)
        }
        SimScenario::Crash(a) => (Scenario::Crash { fraction: a.fraction, restart: a.restart }, &a.network),
        SimScenario::Detect(a) => {
            (Scenario::Detect { stalled: a.stalled, liars: a.liars, seconds: a.seconds }, &a.network)
        }
        SimScenario::Partition(a) => {
            (Scenario::Partition { split: a.split, seconds: a.seconds, rate: a.rate }, &a.network)
        }
        SimScenario::Find(a) => (Scenario::Find { lookups: a.lookups }, &a.network),
        SimScenario::Rendezvous(a) => {
            let (lookups, churn, liars, forgers) = (a.lookups, a.churn, a.liars, a.forgers);
            (Scenario::Rendezvous { lookups, churn, liars, forgers, strategy: a.strategy }, &a.network)
        }
        SimScenario::Roles(a) => (Scenario::Roles { talk: (&a.talk).into(), fault: a.relay_fault }, &a.network),
        SimScenario::Liars(a) => {
            let strategy = if a.collude { Some(RoleLie::Ring) } else { RoleLie::parse(&a.strategy).unwrap_or(None) };
            let (fraction, factor, sybils, talk) = (a.fraction, a.factor, a.sybils, (&a.talk).into());
            (Scenario::RoleLiars { fraction, factor, strategy, sybils, talk }, &a.network)
        }
        SimScenario::Backup(a) => {
            let (messages, away, replaced, seconds) = (a.messages, a.away, a.replaced, a.seconds);
            (Scenario::Backup { messages, away, replaced, seconds }, &a.network)
        }
        SimScenario::Circuits(a) => {
            let (members, messages, crashed) = (a.members, a.messages, a.crashed);
            (Scenario::Circuits { members, messages, crashed }, &a.network)
        }
        SimScenario::Presence(a) => (Scenario::Presence { seconds: a.seconds, ttl: a.ttl }, &a.network),
        SimScenario::Hostile(a) => {
            (Scenario::Hostile { attackers: a.attackers, ids: a.ids, seconds: a.seconds }, &a.network)
        }
        SimScenario::Reconcile(a) => (Scenario::Reconcile { items: a.items, diff: a.diff }, &a.network),
        SimScenario::Churn(a) => (Scenario::Churn { rate: a.rate, seconds: a.seconds }, &a.network),
    };
    let Network { nodes, seeds, latency, jitter, loss, unreachable, presence, crypto, publishers } = network.clone();
    let mut options = Options::new(scenario);
    options.nodes = nodes;
    options.seeds = seeds.unwrap_or_else(|| Options::default_seeds(nodes));
    options.latency = latency;
    options.jitter = jitter;
    options.loss = loss.unwrap_or_else(|| scenario.default_loss());
    options.unreachable = unreachable.unwrap_or_else(|| scenario.default_unreachable());
    options.presence = match presence {
        Some(said) => said == Switch::On,
        None => Options::default_presence(scenario, nodes),
    };
    options.crypto = match crypto {
        Crypto::Real => CryptoKind::Real,
        Crypto::Sim => CryptoKind::Sim,
    };
    options.publishers = match publishers {
        args::Publishers::One => Publishers::One,
        args::Publishers::Rotating => Publishers::Rotating,
    };
    options.validate().map_err(|e| CliError::Usage(e.to_string()))?;
    Ok(options)
}

fn print(report: &Report) -> Result<(), CliError> {
    let paint = Paint::stdout();
    let verdict = match report.failed_seeds.len() {
        0 => paint.good("the invariants held for every seed"),
        n => paint.bad(&format!("the invariants did not hold for {n} seeds")),
    };
    out::line(&format!("{}, {} nodes, seeds {}: {verdict}", report.scenario, report.nodes, report.seeds))?;
    let figure = |v: f64| {
        let digits = if v == 0.0 || v.abs() >= 100.0 { 1 } else { 4 };
        if v.is_finite() { format!("{v:.digits$}") } else { "-".to_owned() }
    };
    let rows: Vec<Vec<String>> = report
        .figures
        .0
        .iter()
        .map(|(name, f)| vec![(*name).to_owned(), figure(f.mean), figure(f.p50), figure(f.p99), figure(f.worst)])
        .collect();
    out::table(paint, &["FIGURE", "MEAN", "P50", "P99", "WORST"], &rows)?;
    out::line(&format!("{} {} (crypto {})", paint.dim("trace"), report.trace_hash, report.crypto))?;
    let (peak, each) = (report.peak_rss_mb, report.peak_rss_kb_per_node);
    out::line(&format!("{} {:.1} s, peak {peak:.0} MB, {each:.0} KB a node", paint.dim("took "), report.wall_s))
}
