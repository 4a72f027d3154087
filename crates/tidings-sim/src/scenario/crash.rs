//! Many nodes die at once: do the others find together again, and does what is published arrive?

use tidings_proto::io::{Command, Ticket};
use tidings_proto::time::{Span, Time};

use super::stage::Stage;
use crate::figures::{Measured, Worst};
use crate::network::CrashKind;
use crate::options::{Options, Scenario};
use crate::runner::Outcome;

const SETTLE: Span = Span::from_secs(60);
const WARMUP: usize = 20;
const APART: Span = Span::from_millis(200);
/// Messages published afterwards begin this long after the crash.
const AFTER: Span = Span::from_secs(10);
const MESSAGES: usize = 20;
/// Ways back from disk and bootstrap are barred for this long.
const BARRED: Span = Span::from_secs(30);
const FINAL: Span = Span::from_secs(60);
/// How often connectivity is looked at.
const LOOK: Span = Span::from_millis(250);
/// Crashed nodes start again after this: what a process takes to end and begin (a guess).
const RESTART: Span = Span::from_secs(1);

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::Crash { fraction, restart } = options.scenario else { unreachable!("chosen by the caller") };
    let mut s = Stage::set(options, seed, SETTLE);
    let mut up = s.alive();
    let mut doomed = up.clone();
    s.rng.sample(&mut doomed, (options.nodes as f64 * fraction) as usize);
    up.retain(|n| !doomed.contains(n));
    let publish = |s: &mut Stage, measured| {
        let by = up[s.rng.below(up.len())];
        s.publish(by, measured);
    };
    let mut heal = None;
    // Whole for good: a later look that finds it in pieces starts the wait again.
    let look = |s: &Stage, heal: &mut Option<Time>| {
        *heal = if s.whole() == 1.0 { heal.or(Some(s.now())) } else { None };
    };
    for _ in 0..WARMUP {
        publish(&mut s, false);
        s.run(APART);
    }

    let crash = s.now();
    for n in &doomed {
        s.net.stop(*n, CrashKind::Silent);
    }
    if !restart {
        for n in &up {
            s.net.command(*n, Ticket(0), Command::SetBootstrap { peers: Vec::new() });
            s.net.set_disk_barred(*n, true);
        }
    }
    // Published while nothing has been noticed yet.
    let during = s.ledger.sent.len();
    let mut back = false;
    while s.now() < crash + AFTER {
        publish(&mut s, false);
        if restart && s.now() >= crash + RESTART && !back {
            back = true;
            for n in &doomed {
                s.restart(*n);
            }
        }
        s.run(APART);
        if s.now() > crash + if restart { RESTART } else { LOOK } {
            look(&s, &mut heal);
        }
    }
    let after = s.ledger.sent.len();
    for _ in 0..MESSAGES {
        publish(&mut s, true);
        s.run(APART);
        look(&s, &mut heal);
    }
    while s.now() < crash + BARRED {
        look(&s, &mut heal);
        s.run(LOOK);
    }
    let barred = s.whole();
    // The ways back open: to each survivor the one address it started with, dead or alive, and its disk.
    if !restart {
        for n in &up {
            s.net.set_disk_barred(*n, false);
            let peers = s.first(*n);
            s.net.command(*n, Ticket(0), Command::SetBootstrap { peers });
        }
    }
    s.run(FINAL);
    let last = s.whole();
    s.check();

    let ratio = |from: usize, to: usize| {
        let (mut got, mut all) = (0usize, 0usize);
        for i in from..to {
            let by = s.ledger.sent[i].by;
            all += up.len() - 1;
            got += up.iter().filter(|n| **n != by && s.ledger.has(**n, i)).count();
        }
        got as f64 / all.max(1) as f64
    };
    let mut out = Measured::default();
    out.value("survivors_connected", barred, Worst::Smallest);
    out.value("survivors_connected_final", last, Worst::Smallest);
    let began = if restart { crash + RESTART } else { crash };
    let heal = heal.map_or(f64::INFINITY, |t| t.since(began).0 as f64 / 1000.0);
    out.value("heal_ms", heal, Worst::Largest);
    out.value("delivery_ratio_after", ratio(after, s.ledger.sent.len()), Worst::Smallest);
    out.value("delivery_ratio_during", ratio(during, after), Worst::Smallest);
    out.value("gaps", s.ledger.gaps as f64, Worst::Largest);
    out.value("late", s.ledger.late as f64, Worst::Largest);
    Outcome { measured: out, trace: s.net.trace_hash(), broken: std::mem::take(&mut s.ledger.broken) }
}
