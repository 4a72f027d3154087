//! Runs bare QUIC and `tidings demo` in turns, on the same workloads, and prints their ratios.
//!
//! Absolute figures of a shared machine drift by more than any change is worth: only ratios within one sitting mean
//! anything. Both programs run alone, one after the other, and which begins changes with each round.
//!
//! `compare [--tidings PATH] [--nodes 16] [--rounds 5]`

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tidings_bench::{WORKLOADS, Workload, option};

type Failure = Box<dyn std::error::Error>;

/// Goodput in MB/s summed over receivers, and CPU microseconds a delivery.
type Figures = (f64, f64);

fn json(command: &mut Command) -> Result<Value, String> {
    let out = command.stderr(Stdio::piped()).output().map_err(|e| format!("{command:?}: {e}"))?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).lines().next().unwrap_or("failed").to_owned());
    }
    serde_json::from_slice(&out.stdout).map_err(|e| format!("{command:?}: {e}"))
}

fn figures(v: &Value, size: usize) -> Figures {
    let f = |key: &str| v[key].as_f64().unwrap_or(f64::NAN);
    (f("deliveries_per_s") * size as f64 / 1e6, f("cpu_us_per_delivery"))
}

fn bare(program: &Path, nodes: u32, w: Workload) -> Result<Figures, String> {
    let (nodes, messages, size) = (nodes.to_string(), w.messages.to_string(), w.size.to_string());
    let args = ["--nodes", &nodes, "--messages", &messages, "--size", &size];
    json(Command::new(program).args(args)).map(|v| figures(&v, w.size))
}

fn tidings(program: &Path, nodes: u32, w: Workload) -> Result<Figures, String> {
    let (nodes, messages, size) = (nodes.to_string(), w.messages.to_string(), w.size.to_string());
    let args = ["demo", "--json", "--rate", "max", "--nodes", &nodes, "--messages", &messages, "--size", &size];
    json(Command::new(program).args(args)).map(|v| figures(&v, w.size))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> Result<(), Failure> {
    let fanout = std::env::current_exe()?.with_file_name("fanout");
    let program: PathBuf = option("--tidings", PathBuf::from("target/release/tidings"))?;
    let (nodes, rounds) = (option("--nodes", 16)?, option("--rounds", 5_usize)?);
    'workloads: for w in WORKLOADS {
        let (mut goodput, mut cpu) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let mut both = [None, None];
            for which in [round % 2, 1 - round % 2] {
                let run = if which == 0 { bare(&fanout, nodes, w) } else { tidings(&program, nodes, w) };
                match run {
                    Ok(f) => both[which] = Some(f),
                    Err(why) => {
                        let name = ["bare QUIC", "tidings"][which];
                        println!("{:<16} {name} cannot: {why}", w.name);
                        continue 'workloads;
                    }
                }
            }
            let [Some(b), Some(t)] = both else { continue };
            println!(
                "{:<16} round {}: goodput MB/s bare {:.1}, tidings {:.1}; CPU µs a delivery bare {:.2}, tidings {:.2}",
                w.name,
                round + 1,
                b.0,
                t.0,
                b.1,
                t.1
            );
            goodput.push(t.0 / b.0);
            cpu.push(t.1 / b.1);
        }
        println!(
            "{:<16} tidings over bare QUIC, median of {}: goodput {:.3}, CPU {:.3}",
            w.name,
            goodput.len(),
            median(goodput.clone()),
            median(cpu.clone())
        );
    }
    Ok(())
}
