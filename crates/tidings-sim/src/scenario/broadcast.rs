//! Messages on one topic that everybody subscribed: how completely, how fast and at what cost they arrive.

use tidings_proto::time::Span;

use super::stage::Stage;
use crate::figures::{Measured, Worst};
use crate::network::CrashKind;
use crate::options::{Options, Publishers, Scenario};
use crate::runner::{Outcome, spent_us};

/// From the last start to the first message.
const SETTLE: Span = Span::from_secs(30);
/// Between messages.
const APART: Span = Span::from_millis(200);
/// After the last message, before what is missing counts as missed.
const DRAIN: Span = Span::from_secs(20);

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::Broadcast { warmup, messages, crash } = options.scenario else {
        unreachable!("chosen by the caller")
    };
    let mut s = Stage::set(options, seed, SETTLE);
    let mut up = s.alive();
    // Who will crash is drawn first, so that publishers survive: what a dead publisher took with it is nobody's loss.
    let mut doomed = up.clone();
    s.rng.sample(&mut doomed, (options.nodes as f64 * crash) as usize);
    up.retain(|n| !doomed.contains(n));
    let one = up[s.rng.below(up.len())];
    let publisher = |s: &mut Stage| match options.publishers {
        Publishers::One => one,
        Publishers::Rotating => up[s.rng.below(up.len())],
    };

    for _ in 0..warmup {
        let by = publisher(&mut s);
        s.publish(by, false);
        s.run(APART);
    }
    s.run(Span::from_secs(2));

    let (began, events) = (spent_us(), s.net.events);
    let (before, from) = (s.net.traffic, s.now());
    let mut left = doomed.clone();
    for i in 0..messages {
        let by = publisher(&mut s);
        s.publish(by, true);
        let due = doomed.len() * (i + 1) / messages;
        while doomed.len() - left.len() < due {
            if let Some(n) = left.pop() {
                s.net.stop(n, CrashKind::Silent);
            }
        }
        s.run(APART);
    }
    let control = s.net.traffic.control_bytes - before.control_bytes;
    let seconds = s.now().since(from).0 as f64 / 1e6;
    s.run(DRAIN);
    let spent = spent_us() - began;
    let node_seconds = up.len() as f64 * s.now().since(from).0 as f64 / 1e6;
    s.check();

    let frames = s.net.traffic.payload_frames - before.payload_frames;
    let receivers = up.len() - 1;
    let (mut missed, mut hops, mut last) = (0, 0.0, 0.0);
    for (i, m) in s.ledger.sent.iter().enumerate().filter(|(_, m)| m.measured) {
        missed += up.iter().filter(|n| **n != m.by && !s.ledger.has(**n, i)).count();
        hops += f64::from(m.hops);
        last += m.last.since(m.at).0 as f64 / 1000.0;
    }
    let expected = (messages * receivers) as f64;
    let mut out = Measured::default();
    out.value("delivery_ratio", (expected - missed as f64) / expected, Worst::Smallest);
    out.value("missed", missed as f64, Worst::Largest);
    out.value("rmr", frames as f64 / (messages * (s.alive().len() - 1)) as f64 - 1.0, Worst::Largest);
    out.value("ldh", hops / messages as f64, Worst::Largest);
    out.value("last_delivery_ms", last / messages as f64, Worst::Largest);
    out.value("control_bytes_per_node_per_s", control as f64 / (options.nodes as f64 * seconds), Worst::Largest);
    out.value("us_per_delivery", spent / s.ledger.deliveries.max(1) as f64, Worst::Largest);
    out.value("us_per_node_second", spent / node_seconds, Worst::Largest);
    let events = s.net.events - events;
    out.value("events_per_node_second", events as f64 / node_seconds, Worst::Largest);
    out.value("late", s.ledger.late as f64, Worst::Largest);
    out.value("gaps", s.ledger.gaps as f64, Worst::Largest);
    let latencies = s.ledger.latencies_us.iter().map(|us| f64::from(*us) / 1000.0).collect();
    out.spread("latency_ms", latencies);
    Outcome { measured: out, trace: s.net.trace_hash(), broken: std::mem::take(&mut s.ledger.broken) }
}
