//! Many nodes die at once: do the others find together again, and does what is published arrive?

use tidings_proto::io::{Command, Overlay, Ticket};
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
/// Crashed nodes start again after this.
const RESTART: Span = Span::from_secs(5);

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
    let look = |s: &Stage, heal: &mut Option<Time>| {
        if heal.is_none() && s.connected(Overlay::Root) == 1.0 && s.connected(Overlay::Topic(s.topic)) == 1.0 {
            *heal = Some(s.now());
        }
    };
    for _ in 0..WARMUP {
        publish(&mut s, false);
        s.run(APART);
    }

    let crash = s.now();
    for n in &doomed {
        s.net.stop(*n, CrashKind::Silent);
    }
    let bootstrap: Vec<_> = (0..s.net.len() as u32).map(|n| s.net.peer_addr(n)).collect();
    for n in &up {
        s.net.command(*n, Ticket(0), Command::SetBootstrap { peers: Vec::new() });
    }
    // Published while nothing has been noticed yet.
    let during = s.ledger.sent.len();
    while s.now() < crash + AFTER {
        publish(&mut s, false);
        if restart && s.now() >= crash + RESTART && s.net.node(doomed[0]).is_none() {
            for n in &doomed {
                let contact = up[s.rng.below(up.len())];
                s.restart(*n, contact);
            }
        }
        s.run(APART);
        if s.now() > crash + LOOK {
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
    let both = |s: &Stage| s.connected(Overlay::Root).min(s.connected(Overlay::Topic(s.topic)));
    let barred = both(&s);
    for n in &up {
        // Each gets one way back: a random node, dead or alive, as a list of bootstrap peers would name.
        let way = bootstrap[s.rng.below(bootstrap.len())].clone();
        let sure = bootstrap[up[s.rng.below(up.len())] as usize].clone();
        s.net.command(*n, Ticket(0), Command::SetBootstrap { peers: vec![way, sure] });
    }
    s.run(FINAL);
    let last = both(&s);
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
    let heal = heal.map_or(f64::INFINITY, |t| t.since(crash).0 as f64 / 1000.0);
    out.value("heal_ms", heal, Worst::Largest);
    out.value("delivery_ratio_after", ratio(after, s.ledger.sent.len()), Worst::Smallest);
    out.value("delivery_ratio_during", ratio(during, after), Worst::Smallest);
    out.value("gaps", s.ledger.gaps as f64, Worst::Largest);
    out.value("late", s.ledger.late as f64, Worst::Largest);
    Outcome { measured: out, trace: s.net.trace_hash(), broken: std::mem::take(&mut s.ledger.broken) }
}
