//! The result of a run.

use std::time::Duration;

use serde::Serialize;
use tidings::Counters;

use super::fleet::Counts;
use super::meters;
use super::tally::Totals;
use super::watch::Watch;
use crate::args::DemoArgs;
use crate::error::CliError;
use crate::out::{self, Paint};

#[derive(Serialize)]
struct Latency {
    p50: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

/// What is printed. Figures that this system can't give are null.
#[derive(Serialize)]
pub(super) struct Summary {
    nodes: u32,
    /// Those that read nothing, and are expected to have nothing.
    stuck: u32,
    /// From the first node's start until each had a neighbour in the topic.
    join_ms: f64,
    /// And until the topic's overlay was in one piece.
    connected_ms: f64,
    messages: u64,
    size_bytes: usize,
    expected: u64,
    delivered: u64,
    duplicates: u64,
    /// Messages that nobody published, or that have another length.
    foreign: u64,
    /// Messages that the nodes themselves said they missed.
    missed: u64,
    latency_ms: Latency,
    deliveries_per_s: f64,
    /// Payload bytes delivered a second, over all receivers.
    goodput_mb_per_s: Option<f64>,
    cpu_s: f64,
    cpu_us_per_delivery: Option<f64>,
    peak_rss_mb: Option<f64>,
    idle_rss_mb_per_node: Option<f64>,
    wire_bytes_per_payload_byte: Option<f64>,
    rmr: Option<f64>,
    /// Nodes that relay for others; none does yet.
    relays: u64,
    /// What the nodes counted, joining included, added up.
    counters: Counters,
}

/// To `places` decimal places: more is noise.
fn round(value: f64, places: i32) -> f64 {
    let scale = 10_f64.powi(places);
    (value * scale).round() / scale
}

fn ratio(over: f64, under: f64) -> Option<f64> {
    (under > 0.0).then(|| round(over / under, 3))
}

impl Summary {
    pub(super) fn new(
        args: &DemoArgs,
        [join, connected]: [Duration; 2],
        idle_rss: Option<f64>,
        watch: &Watch,
        totals: &Totals,
        traffic: &Counts,
    ) -> Self {
        const MB: f64 = 1e6;
        let ms = |us: Option<f64>| us.map(|us| round(us / 1e3, 3));
        let (delivered, elapsed) = (totals.delivered as f64, watch.elapsed.as_secs_f64());
        Summary {
            nodes: args.nodes,
            stuck: args.stuck,
            join_ms: round(join.as_secs_f64() * 1e3, 1),
            connected_ms: round(connected.as_secs_f64() * 1e3, 1),
            messages: args.messages,
            size_bytes: args.size,
            expected: args.messages * u64::from(args.nodes - args.stuck - 1),
            delivered: totals.delivered,
            duplicates: totals.duplicates,
            foreign: totals.foreign,
            missed: totals.missed,
            latency_ms: Latency {
                p50: ms(totals.latency.quantile_us(0.5)),
                p99: ms(totals.latency.quantile_us(0.99)),
                max: ms(totals.latency.max_us()),
            },
            deliveries_per_s: ratio(delivered, elapsed).map_or(0.0, |r| round(r, 0)),
            goodput_mb_per_s: ratio(delivered * args.size as f64 / MB, elapsed),
            cpu_s: round(watch.cpu_s, 4),
            cpu_us_per_delivery: ratio(watch.cpu_s * 1e6, delivered),
            peak_rss_mb: meters::peak_rss_bytes().map(|b| round(b / MB, 1)),
            idle_rss_mb_per_node: idle_rss.map(|b| round(b / MB / f64::from(args.nodes), 3)),
            wire_bytes_per_payload_byte: ratio(traffic.wire_bytes as f64, delivered * args.size as f64),
            rmr: traffic.rmr().map(|r| round(r, 4)),
            relays: 0,
            counters: traffic.all.clone(),
        }
    }

    fn complete(&self) -> bool {
        self.delivered == self.expected && self.duplicates == 0 && self.foreign == 0
    }

    pub(super) fn print(&self) -> Result<(), CliError> {
        let paint = Paint::stdout();
        let figure = |v: Option<f64>, unit: &str| v.map_or("unknown".to_owned(), |v| format!("{v}{unit}"));
        let missing = self.expected.saturating_sub(self.delivered);
        let verdict = if self.complete() {
            paint.good(&format!("all {} deliveries arrived exactly once", self.expected))
        } else {
            paint.bad(&format!(
                "{missing} of {} deliveries missing, {} duplicates, {} foreign",
                self.expected, self.duplicates, self.foreign
            ))
        };
        out::line(&verdict)?;
        let l = &self.latency_ms;
        let stuck = if self.stuck > 0 { format!(", {} of them stuck", self.stuck) } else { String::new() };
        let latency = [l.p50, l.p99, l.max].map(|v| figure(v, " ms"));
        for (name, value) in [
            (
                "nodes",
                format!("{}{stuck}, joined in {} ms, connected in {} ms", self.nodes, self.join_ms, self.connected_ms),
            ),
            ("messages", format!("{} of {} bytes", self.messages, self.size_bytes)),
            ("latency", format!("p50 {}, p99 {}, max {}", latency[0], latency[1], latency[2])),
            (
                "deliveries",
                format!("{} a second, {}", self.deliveries_per_s, figure(self.goodput_mb_per_s, " MB/s of payload")),
            ),
            ("cpu", format!("{} s, {} a delivery", self.cpu_s, figure(self.cpu_us_per_delivery, " µs"))),
            (
                "memory",
                format!(
                    "peak {}, idle {} a node",
                    figure(self.peak_rss_mb, " MB"),
                    figure(self.idle_rss_mb_per_node, " MB")
                ),
            ),
            (
                "wire",
                format!(
                    "{} bytes a payload byte, rmr {}",
                    figure(self.wire_bytes_per_payload_byte, ""),
                    figure(self.rmr, "")
                ),
            ),
        ] {
            out::line(&format!("{} {value}", paint.dim(&format!("{name:<10}"))))?;
        }
        Ok(())
    }

    /// Success, if everything arrived exactly once.
    pub(super) fn verdict(&self) -> Result<(), CliError> {
        if self.complete() {
            return Ok(());
        }
        Err(CliError::Failed(format!(
            "not everything arrived exactly once: {} of {} deliveries, {} duplicates, {} foreign",
            self.delivered, self.expected, self.duplicates, self.foreign
        )))
    }
}
