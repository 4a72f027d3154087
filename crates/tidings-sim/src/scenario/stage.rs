//! A network that came together by itself: every node started with one random earlier node's address.

use std::collections::BTreeSet;

use tidings_proto::identity::TopicId;
use tidings_proto::io::{Command, Event, Outgoing, Overlay, Ticket};
use tidings_proto::rng::Rng;
use tidings_proto::time::{Span, Time};

use super::ledger::Ledger;
use crate::network::{Network, Told};
use crate::options::Options;

/// Size of every payload.
pub(super) const SIZE: usize = 256;

pub(super) struct Stage {
    pub(super) net: Network,
    pub(super) rng: Rng,
    pub(super) ledger: Ledger,
    pub(super) topic: TopicId,
    told: Vec<(u32, Told)>,
}

impl Stage {
    /// Starts all nodes, over ten seconds at most, and lets them settle.
    pub(super) fn set(options: &Options, seed: u64, settle: Span) -> Stage {
        let net = Network::new(options, seed);
        let rng = net.script_rng();
        let topic = TopicId(*blake3::hash(b"scenario topic").as_bytes());
        let mut stage = Stage { net, rng, ledger: Ledger::default(), topic, told: Vec::new() };
        let apart = Span((10_000_000 / options.nodes as u64).clamp(500, 50_000));
        for i in 0..options.nodes {
            let n = stage.net.add();
            stage.enter(n, i);
            stage.run(apart);
        }
        stage.run(settle);
        stage
    }

    /// Tells node `n` of one random node among the first `earlier`, and subscribes it.
    fn enter(&mut self, n: u32, earlier: usize) {
        if earlier > 0 {
            let peers = vec![self.net.peer_addr(self.rng.below(earlier) as u32)];
            self.net.command(n, Ticket(0), Command::Join { peers });
        }
        self.net.command(n, Ticket(0), Command::Subscribe { topic: self.topic });
    }

    /// Starts node `n` again with its key, its disk, and the address it began with.
    pub(super) fn restart(&mut self, n: u32, contact: u32) {
        self.ledger.restarted(n);
        self.net.start(n);
        let peers = vec![self.net.peer_addr(contact)];
        self.net.command(n, Ticket(0), Command::Join { peers });
        self.net.command(n, Ticket(0), Command::Subscribe { topic: self.topic });
    }

    pub(super) fn now(&self) -> Time {
        self.net.now()
    }

    /// Runs the network for a while, keeping the books.
    pub(super) fn run(&mut self, span: Span) {
        let until = self.net.now() + span;
        self.run_until(until);
    }

    pub(super) fn run_until(&mut self, until: Time) {
        let mut told = std::mem::take(&mut self.told);
        while self.net.step(until, &mut told) {
            let now = self.net.now();
            for (n, t) in told.drain(..) {
                match t {
                    Told::Event(Event::Delivered(d)) => {
                        let net = &self.net;
                        self.ledger.deliver(n, now, &d, |id| net.index(id));
                    }
                    Told::Event(Event::Gap { .. }) => self.ledger.gaps += 1,
                    _ => {}
                }
            }
        }
        self.told = told;
    }

    pub(super) fn publish(&mut self, by: u32, measured: bool) {
        let payload = self.ledger.publish(by, self.net.now(), SIZE, measured);
        let message = Outgoing { payload: payload.into(), headers: Default::default() };
        self.net.command(by, Ticket(1), Command::Publish { topic: self.topic, message });
    }

    /// Nodes that are up.
    pub(super) fn alive(&self) -> Vec<u32> {
        (0..self.net.len() as u32).filter(|n| self.net.node(*n).is_some()).collect()
    }

    /// The share of the nodes that are up in the largest component of an overlay's active views; an edge counts when
    /// both ends have it.
    pub(super) fn connected(&self, overlay: Overlay) -> f64 {
        let alive = self.alive();
        let mut left: BTreeSet<u32> = alive.iter().copied().collect();
        let edges = |n: u32| -> Vec<u32> {
            let Some(node) = self.net.node(n) else { return Vec::new() };
            node.active_view(overlay).iter().filter_map(|p| self.net.index(p)).collect()
        };
        let views: Vec<Vec<u32>> = (0..self.net.len() as u32).map(edges).collect();
        let mut largest = 0;
        while let Some(start) = left.pop_first() {
            let (mut stack, mut size) = (vec![start], 0);
            while let Some(n) = stack.pop() {
                size += 1;
                for p in &views[n as usize] {
                    if views[*p as usize].contains(&n) && left.remove(p) {
                        stack.push(*p);
                    }
                }
            }
            largest = largest.max(size);
        }
        if alive.is_empty() { 1.0 } else { largest as f64 / alive.len() as f64 }
    }

    /// What must hold of every node at any time.
    pub(super) fn check(&mut self) {
        self.ledger.broken.extend(self.net.take_broken());
        for n in self.alive() {
            let Some(node) = self.net.node(n) else { continue };
            let mut wrong = Vec::new();
            for overlay in [Overlay::Root, Overlay::Topic(self.topic)] {
                let Some(v) = node.view(overlay) else { continue };
                let me = self.net.id(n);
                if v.active.len() > 12 || v.passive.len() > 128 {
                    wrong.push(format!("node {n} has views of {} and {}", v.active.len(), v.passive.len()));
                }
                if v.active.contains(&me) || v.passive.contains(&me) {
                    wrong.push(format!("node {n} is in its own views"));
                }
                if v.active.iter().any(|p| v.passive.contains(p)) {
                    wrong.push(format!("node {n} has a peer in both views"));
                }
            }
            if node.counters().turns_over_budget > 0 {
                wrong.push(format!("node {n} had turns over the routing budget"));
            }
            self.ledger.broken.extend(wrong);
        }
    }
}
