//! Runs a scenario over its seeds, two at a time, and gathers the figures.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use crate::figures::{Measured, Summary, Worst};
use crate::options::{Options, Scenario};
use crate::scenario;

/// A seed in which an invariant did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// What did not hold.
    pub why: String,
    /// The command that runs it again.
    pub replay: String,
}

/// What a run printed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: &'static str,
    /// Nodes a seed.
    pub nodes: usize,
    /// The seeds.
    pub seeds: String,
    /// Which crypto port ran.
    pub crypto: &'static str,
    /// Whether nodes said that they are here.
    pub presence: bool,
    /// Seeds in which an invariant did not hold.
    pub failed_seeds: Vec<u64>,
    /// What did not hold.
    pub failures: Vec<Failure>,
    /// Over all seeds, in hexadecimal.
    pub trace_hash: String,
    /// The figures.
    pub figures: Summary,
    /// Wall time of the run.
    pub wall_s: f64,
    /// Largest resident memory of this process, if the system tells.
    pub peak_rss_mb: f64,
    /// That over the nodes that were simulated at once.
    pub peak_rss_kb_per_node: f64,
}

/// What one seed came to.
pub(crate) struct Outcome {
    pub(crate) measured: Measured,
    pub(crate) trace: [u8; 32],
    pub(crate) broken: Vec<String>,
}

/// Runs every seed. `progress` is called after each with how many are done.
#[expect(clippy::disallowed_methods, reason = "how long the simulation takes is a figure, not an input of it")]
pub fn run(options: &Options, progress: &(dyn Fn(usize) + Sync)) -> Report {
    let began = std::time::Instant::now();
    let seeds: Vec<u64> = options.seeds.iter().collect();
    // One seed at a time where the memory of the process is what is measured.
    let most = if matches!(options.scenario, Scenario::Hostile { .. }) { 1 } else { seeds.len() };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(most).max(1);
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let outcomes: Mutex<BTreeMap<u64, Outcome>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = one(options, *seed);
                    if let Ok(mut all) = outcomes.lock() {
                        all.insert(*seed, outcome);
                    }
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut trace = blake3::Hasher::new();
    let mut failures = Vec::new();
    let mut measured = Vec::new();
    for (seed, o) in outcomes {
        trace.update(&o.trace);
        for why in o.broken {
            failures.push(Failure { seed, why, replay: options.replay(seed) });
        }
        measured.push(o.measured);
    }
    let peak = memory_mb("VmHWM:");
    let mut failed_seeds: Vec<u64> = failures.iter().map(|f| f.seed).collect();
    failed_seeds.dedup();
    Report {
        scenario: options.scenario.name(),
        nodes: options.nodes,
        seeds: options.seeds.to_string(),
        crypto: match options.crypto {
            crate::CryptoKind::Sim => "sim",
            crate::CryptoKind::Real => "real",
        },
        presence: options.presence,
        failed_seeds,
        failures,
        trace_hash: trace.finalize().to_hex().to_string(),
        figures: Summary::of(&measured),
        wall_s: began.elapsed().as_secs_f64(),
        peak_rss_mb: peak,
        peak_rss_kb_per_node: peak * 1024.0 / (options.nodes * threads) as f64,
    }
}

fn one(options: &Options, seed: u64) -> Outcome {
    let run = || match options.scenario {
        Scenario::Broadcast { .. } => scenario::broadcast::run(options, seed),
        Scenario::Crash { .. } => scenario::crash::run(options, seed),
        Scenario::Detect { .. } => scenario::detect::run(options, seed),
        Scenario::Presence { .. } => scenario::presence::run(options, seed),
        Scenario::Partition { .. } => scenario::partition::run(options, seed),
        Scenario::Reconcile { .. } => scenario::reconcile::run(options, seed),
        Scenario::Churn { .. } => scenario::churn::run(options, seed),
        Scenario::Hostile { .. } => scenario::hostile::run(options, seed),
        Scenario::Rendezvous { .. } => scenario::rendezvous::run(options, seed),
        Scenario::Roles { .. } => scenario::roles::run(options, seed),
        Scenario::RoleLiars { .. } => scenario::role_liars::run(options, seed),
        Scenario::Backup { .. } => scenario::backup::run(options, seed),
        Scenario::Circuits { .. } => scenario::circuits::run(options, seed),
        Scenario::Find { .. } => scenario::find::run(options, seed),
    };
    // A panic is a failed invariant of its seed, not the end of the run.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let mut measured = Measured::default();
        if matches!(options.scenario, Scenario::Hostile { .. }) {
            measured.value("panics", 1.0, Worst::Largest);
        }
        Outcome { measured, trace: [0; 32], broken: vec!["the node panicked".to_owned()] }
    })
}

/// Microseconds this thread has run for; the system's clock where the kernel does not tell. A seed runs on one thread,
/// so this is what it costs however busy the machine is.
pub(crate) fn spent_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    match stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()) {
        Some(ns) => ns / 1_000.0,
        None => std::time::UNIX_EPOCH.elapsed().map_or(f64::NAN, |d| d.as_secs_f64() * 1e6),
    }
}

/// Resident memory of this process now, if the system tells.
pub(crate) fn rss_mb() -> f64 {
    memory_mb("VmRSS:")
}

fn memory_mb(line: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kb = status.lines().find_map(|l| l.strip_prefix(line)?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kb.unwrap_or(f64::NAN) / 1024.0
}
