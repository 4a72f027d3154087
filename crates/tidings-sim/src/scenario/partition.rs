//! The network is cut in two for a while: how soon is it one again, and what do the halves miss?

use tidings_proto::time::Span;

use super::stage::{SIZE, Stage};
use crate::figures::{Measured, Worst};
use crate::options::{Options, Scenario};
use crate::runner::Outcome;

const SETTLE: Span = Span::from_secs(60);
const WARMUP: usize = 20;
const APART: Span = Span::from_millis(200);
/// How often the overlays are looked at after the heal, and how long at most.
const LOOK: Span = Span::from_millis(100);
const WAIT: Span = Span::from_secs(60);
/// Missing messages are counted at every so many looks.
const COUNT: usize = 5;

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::Partition { split, seconds, rate } = options.scenario else { unreachable!("chosen by the caller") };
    let mut s = Stage::set(options, seed, SETTLE);
    let up = s.alive();
    for _ in 0..WARMUP {
        let by = up[s.rng.below(up.len())];
        s.publish(by, false);
        s.run(APART);
    }
    s.run(Span::from_secs(2));

    let mut side = up.clone();
    let part = ((options.nodes as f64 * split).round() as usize).clamp(1, options.nodes - 1);
    s.rng.sample(&mut side, part);
    s.net.partition(&side);
    let (first, end) = (s.ledger.sent.len(), s.now() + Span((seconds * 1e6) as u64));
    while rate > 0.0 && s.now() < end {
        let by = up[s.rng.below(up.len())];
        s.publish(by, true);
        let next = s.now() + Span((1e6 / rate) as u64);
        s.run_until(next.min(end));
    }
    s.run_until(end);
    // What one side published before the cut was noticed is on its way: the cut holds it back.
    let all = first..s.ledger.sent.len();
    let missing = |s: &Stage| -> usize {
        let of = |i: usize| up.iter().filter(|n| **n != s.ledger.sent[i].by && !s.ledger.has(**n, i)).count();
        all.clone().map(of).sum()
    };
    let apart_missed = missing(&s);
    let missed_bytes: usize = all
        .clone()
        .map(|i| {
            let m = &s.ledger.sent[i];
            m.bytes * up.iter().filter(|n| **n != m.by && !s.ledger.has(**n, i)).count()
        })
        .sum();
    let apart = s.whole();

    s.net.heal();
    let healed = s.now();
    let repair = |s: &Stage| {
        let t = s.net.traffic;
        t.payload_bytes + t.bulk_bytes + t.comparing_bytes
    };
    let before = repair(&s);
    let (mut overlay, mut messages, mut left) = (None, (apart_missed == 0).then_some(healed), apart_missed);
    for look in 0.. {
        if s.now() >= healed + WAIT || (overlay.is_some() && messages.is_some()) {
            break;
        }
        s.run(LOOK);
        let whole = s.whole() == 1.0;
        overlay = if whole { overlay.or(Some(s.now())) } else { None };
        if look % COUNT == 0 && messages.is_none() {
            left = missing(&s);
            messages = (left == 0).then(|| s.now());
        }
    }
    s.check();
    let bytes = repair(&s) - before;

    let since = |t: Option<tidings_proto::time::Time>| t.map_or(f64::INFINITY, |t| t.since(healed).0 as f64 / 1000.0);
    let share = |part: usize| if apart_missed == 0 { f64::NAN } else { part as f64 / apart_missed as f64 };
    let mut out = Measured::default();
    out.value("connected_before_heal", apart, Worst::Largest);
    out.value("overlay_heal_ms", since(overlay), Worst::Largest);
    out.value("connected_after", s.whole(), Worst::Smallest);
    out.value("missed_while_apart", apart_missed as f64, Worst::Largest);
    out.value("missed", left as f64, Worst::Largest);
    out.value("recovered", share(apart_missed - left), Worst::Smallest);
    out.value("messages_heal_ms", since(messages), Worst::Largest);
    // What travels, is logged and is compared is the author's batch; of a message that is alone in its batch, the
    // signature and the header are two fifths at this size.
    let over = |payload: usize| if payload == 0 { f64::NAN } else { bytes as f64 / payload as f64 };
    out.value("repair_bytes_over_missed_payload", over(missed_bytes), Worst::Largest);
    out.value("repair_bytes_over_missed_message_bytes", over(apart_missed * SIZE), Worst::Largest);
    out.value("gaps", s.ledger.gaps as f64, Worst::Largest);
    out.value("late", s.ledger.late as f64, Worst::Largest);
    Outcome { measured: out, trace: s.net.trace_hash(), broken: std::mem::take(&mut s.ledger.broken) }
}
