//! Runs one scenario from the command line, for work on the core without building the whole binary.
use tidings_sim::*;

fn main() {
    let a: Vec<String> = std::env::args().collect();
    let get = |k: &str| a.iter().position(|x| x == k).and_then(|i| a.get(i + 1)).cloned();
    let num = |k: &str, d: f64| get(k).map_or(d, |v| v.parse().expect("a number"));
    let talk = Talk { messages: num("--messages", 120.0) as usize, partners: num("--partners", 8.0) as usize };
    let scenario = match a.get(1).map(String::as_str) {
        Some("crash") => {
            Scenario::Crash { fraction: num("--fraction", 0.5), restart: a.iter().any(|x| x == "--restart") }
        }
        Some("detect") => Scenario::Detect {
            stalled: num("--stalled", 0.125),
            liars: num("--liars", 0.0),
            seconds: num("--for", 120.0),
        },
        Some("partition") => {
            Scenario::Partition { split: num("--split", 0.5), seconds: num("--for", 120.0), rate: num("--rate", 20.0) }
        }
        Some("reconcile") => {
            Scenario::Reconcile { items: num("--items", 10_000.0) as usize, diff: num("--diff", 1_000.0) as usize }
        }
        Some("churn") => Scenario::Churn { rate: num("--rate", 3.0), seconds: num("--for", 3600.0) },
        Some("rendezvous") => Scenario::Rendezvous {
            lookups: num("--lookups", 2000.0) as usize,
            churn: a.iter().any(|x| x == "--churn"),
            liars: num("--liars", 0.0),
            forgers: num("--forgers", 0.0),
            strategy: get("--strategy").map_or(Forgery::Best, |s| s.parse().expect("a strategy")),
        },
        Some("roles") => Scenario::Roles {
            talk,
            fault: get("--relay-fault").map_or(RelayFault::None, |s| s.parse().expect("a fault")),
        },
        Some("liars") => Scenario::RoleLiars {
            fraction: num("--fraction", 0.3),
            factor: num("--factor", 100.0),
            strategy: get("--strategy").and_then(|s| RoleLie::parse(&s).expect("a strategy")),
            sybils: num("--sybils", 1_000.0) as usize,
            talk,
        },
        Some("backup") => Scenario::Backup {
            messages: num("--messages", 1_000.0) as usize,
            away: num("--away", 0.2),
            replaced: num("--replaced", 0.34),
            seconds: num("--for", 3_600.0),
        },
        Some("find") => Scenario::Find { lookups: num("--lookups", 200.0) as usize },
        Some("presence") => Scenario::Presence { seconds: num("--for", 600.0), ttl: num("--ttl", 900.0) },
        Some("hostile") => Scenario::Hostile {
            attackers: num("--attackers", 0.05),
            ids: num("--ids", 20.0) as usize,
            seconds: num("--for", 60.0),
        },
        _ => Scenario::Broadcast {
            warmup: num("--warmup", 20.0) as usize,
            messages: num("--messages", 100.0) as usize,
            crash: num("--crash", 0.0),
        },
    };
    let mut o = Options::new(scenario);
    o.nodes = num("--nodes", 100.0) as usize;
    o.seeds = get("--seeds").map_or(o.seeds, |s| s.parse().expect("seeds"));
    o.latency = get("--latency").map_or(o.latency, |s| s.parse().expect("latency"));
    o.jitter = num("--jitter", o.jitter);
    o.loss = num("--loss", o.loss);
    o.unreachable = num("--unreachable", o.unreachable);
    if get("--publishers").as_deref() == Some("rotating") {
        o.publishers = Publishers::Rotating;
    }
    if get("--crypto").as_deref() == Some("real") {
        o.crypto = CryptoKind::Real;
    }
    let r = run(&o, &|_| {});
    println!(
        "{} nodes={} seeds={} wall={:.1}s rss={:.0}MB ({:.0}KB/node) trace={}",
        r.scenario,
        r.nodes,
        r.seeds,
        r.wall_s,
        r.peak_rss_mb,
        r.peak_rss_kb_per_node,
        &r.trace_hash[..16]
    );
    for (n, f) in &r.figures.0 {
        println!("  {n:32} mean {:10.3} p50 {:10.3} p99 {:10.3} worst {:10.3}", f.mean, f.p50, f.p99, f.worst);
    }
    for f in r.failures.iter().take(5) {
        println!("FAILED seed {}: {}", f.seed, f.why);
    }
}
