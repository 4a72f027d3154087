//! Relays that lie about their merit, and what they get for it.
//!
//! The same nodes, the same traffic and the same dice twice: once all are honest, once some lie. What matters is which share of what goes through
//! relays goes through them, then and now. Liars run the real core, carry what they are given, and know all constants; besides, they do the
//! worst of the named [`RoleLie`]s.

use std::sync::Arc;

use bytes::Bytes;
use tidings_proto::crypto::Crypto;
use tidings_proto::identity::{NodeId, SecretKey};
use tidings_proto::records::sets::ROLES;
use tidings_proto::rng::Rng;
use tidings_proto::roles::announce::{LIFE, MAX_VOUCHES};
use tidings_proto::roles::{MAX_PLAUSIBLE_SCORE, PeerRole, RoleChangeAnnounce, Vouch};
use tidings_proto::time::{Span, Time, UnixMillis};
use tidings_proto::wire::{Lane, Message, VouchFor};

use super::roles;
use crate::figures::Worst;
use crate::network::Network;
use crate::options::{Options, RelayFault, RoleLie, Scenario};
use crate::runner::Outcome;

/// Between two rounds of lies: one announcement takes effect in thirty seconds.
const EVERY: Span = Span::from_secs(10);
/// A true relay's score after some minutes of the traffic: what is multiplied.
const USUAL: f64 = 20.0;

/// Those who lie.
pub(super) struct RoleLiars {
    pub(super) ids: Vec<u32>,
    lie: Option<RoleLie>,
    factor: f64,
    sybils: Vec<Arc<dyn Crypto>>,
    rng: Rng,
    next: Time,
}

impl RoleLiars {
    /// Draws who lies, also in the run in which they do not (`lie` is none).
    fn draw(
        net: &Network,
        among: &[u32],
        fraction: f64,
        factor: f64,
        lie: Option<RoleLie>,
        sybils: usize,
    ) -> RoleLiars {
        let mut rng = net.script_rng("role liars");
        let mut ids: Vec<u32> = among.iter().copied().filter(|n| !net.is_shielded(*n)).collect();
        rng.sample(&mut ids, (among.len() as f64 * fraction).round() as usize);
        let secret = |n: usize| SecretKey::from_bytes(blake3::derive_key("tidings simulated sybil", &n.to_le_bytes()));
        let sybils = (0..sybils).map(|n| net.crypto_by(&secret(n))).collect();
        RoleLiars { ids, lie, factor, sybils, rng, next: Time::default() }
    }

    /// One round, when it is due.
    pub(super) fn act(&mut self, net: &mut Network) {
        let Some(lie) = self.lie.filter(|_| net.now() >= self.next) else { return };
        self.next = net.now() + EVERY;
        let wall = UnixMillis(net.wall_ms());
        let ports: Vec<Arc<dyn Crypto>> = self.ids.iter().map(|n| net.crypto_of(*n)).collect();
        for (i, n) in self.ids.clone().into_iter().enumerate() {
            if net.node(n).is_none() {
                continue;
            }
            let vouches = match lie {
                RoleLie::Boast => Vec::new(),
                RoleLie::Forge => self.forged(net, n, wall),
                RoleLie::Ring => self.of_each_other(net, &ports, ports[i].node_id(), wall),
                RoleLie::Sybils => {
                    self.sybils_of(net, n, &ports, i, wall);
                    self.of_each_other(net, &self.sybils.clone(), ports[i].node_id(), wall)
                }
                RoleLie::Flood => {
                    self.flood(net, n, wall);
                    self.of_each_other(net, &ports, ports[i].node_id(), wall)
                }
            };
            let said = self.announce(&ports[i], net, vouches, wall);
            net.put_record(n, ROLES, said);
        }
    }

    fn amount(&self) -> u64 {
        (USUAL * self.factor) as u64
    }

    fn announce(&self, port: &Arc<dyn Crypto>, net: &Network, mut vouches: Vec<Vouch>, wall: UnixMillis) -> Bytes {
        vouches.sort_by_key(|v| v.by);
        vouches.dedup_by_key(|v| v.by);
        let said = RoleChangeAnnounce {
            node_id: port.node_id(),
            new_role: PeerRole::Relay,
            score: (USUAL * self.factor).min(MAX_PLAUSIBLE_SCORE),
            timestamp: wall,
            // Above what its own core says of itself.
            sequence: wall.0 + 1_000_000,
            expires: UnixMillis(wall.0 + LIFE.as_millis()),
            vouches,
            signature: [0; 64],
        };
        said.sign(&net.records_key(), &**port).to_bytes()
    }

    /// True customers' words, made larger: nobody's signature fits.
    fn forged(&self, net: &Network, n: u32, wall: UnixMillis) -> Vec<Vouch> {
        let Some(node) = net.node(n) else { return Vec::new() };
        let customers: Vec<NodeId> = node.links().up().take(MAX_VOUCHES).collect();
        let word = |by: NodeId| Vouch { by, messages: self.amount(), bytes: 0, at: wall, signature: [7; 64] };
        customers.into_iter().map(word).collect()
    }

    fn of_each_other(&mut self, net: &Network, all: &[Arc<dyn Crypto>], me: NodeId, wall: UnixMillis) -> Vec<Vouch> {
        let mut some: Vec<&Arc<dyn Crypto>> = all.iter().filter(|p| p.node_id() != me).collect();
        self.rng.sample(&mut some, MAX_VOUCHES);
        some.into_iter().map(|p| Vouch::sign(&net.records_key(), &**p, &me, self.amount(), 0, wall)).collect()
    }

    /// Identities without nodes: they claim, they speak for the liar, and the liar for them.
    fn sybils_of(&mut self, net: &mut Network, n: u32, ports: &[Arc<dyn Crypto>], at: usize, wall: UnixMillis) {
        let mine: Vec<Arc<dyn Crypto>> = self.sybils.iter().skip(at).step_by(ports.len().max(1)).cloned().collect();
        for sybil in mine {
            let id = sybil.node_id();
            let mut vouches = self.of_each_other(net, &self.sybils.clone(), id, wall);
            vouches.truncate(MAX_VOUCHES - 1);
            vouches.push(Vouch::sign(&net.records_key(), &*ports[at], &id, self.amount(), 0, wall));
            let said = self.announce(&sybil, net, vouches, wall);
            net.put_record(n, ROLES, said);
        }
    }

    /// Honest relays are given words that they did not earn, so that those of their true customers are not shown.
    fn flood(&self, net: &mut Network, n: u32, wall: UnixMillis) {
        let port = net.crypto_of(n);
        let peers: Vec<NodeId> = net.node(n).map(|node| node.links().up().collect()).unwrap_or_default();
        for peer in peers {
            let Some(to) = net.index(&peer).filter(|to| !self.ids.contains(to)) else { continue };
            let v = Vouch::sign(&net.records_key(), &*port, &peer, self.amount(), 0, wall);
            let m = VouchFor { messages: v.messages, bytes: v.bytes, at_ms: v.at.0 };
            let frame = Message::from(m).frame_with(Bytes::copy_from_slice(&v.signature));
            net.inject(n, to, Lane::Control, frame);
        }
    }
}

/// The share of what was carried that these carried.
fn share(carried: &[(u32, u64)], of: &[u32]) -> f64 {
    let all: u64 = carried.iter().map(|c| c.1).sum();
    let theirs: u64 = carried.iter().filter(|c| of.contains(&c.0)).map(|c| c.1).sum();
    theirs as f64 / all.max(1) as f64
}

pub(crate) fn run(options: &Options, seed: u64) -> Outcome {
    let Scenario::RoleLiars { fraction, factor, strategy, sybils, talk } = options.scenario else {
        unreachable!("chosen by the caller")
    };
    let play = |lie: Option<RoleLie>| {
        let sybils = if lie == Some(RoleLie::Sybils) { sybils } else { 0 };
        let liars = |net: &Network, up: &[u32]| RoleLiars::draw(net, up, fraction, factor, lie, sybils);
        roles::play(options, seed, talk, RelayFault::None, Some(&liars))
    };
    let (mut out, carried, ids) = play(None);
    let honest = share(&carried, &ids);
    let lies: Vec<RoleLie> = strategy.map_or_else(|| RoleLie::ALL.to_vec(), |s| vec![s]);
    let (mut worst, mut lost): (f64, f64) = (0.0, 0.0);
    let mut trace = blake3::Hasher::new();
    trace.update(&out.trace);
    for lie in lies {
        let (lying, carried, _) = play(Some(lie));
        trace.update(&lying.trace);
        let ratio = share(&carried, &ids) / honest;
        out.measured.value(lie.figure(), ratio, Worst::Largest);
        worst = worst.max(ratio);
        lost = lost.max(lying.measured.values.get("lost").map_or(0.0, |v| v.0));
        for name in ["claims_believed", "delivery_ratio", "relays_by_role"] {
            if let Some(v) = lying.measured.values.get(name).copied() {
                out.measured.values.insert(name, v);
            }
        }
        out.broken.extend(lying.broken);
    }
    out.trace = *trace.finalize().as_bytes();
    out.measured.value("traffic_share_over_true_share", worst, Worst::Largest);
    out.measured.value("true_share", honest, Worst::Largest);
    out.measured.value("lost", lost, Worst::Largest);
    out
}
