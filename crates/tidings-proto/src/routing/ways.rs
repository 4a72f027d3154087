//! How a node that nobody can dial is found: it keeps links to some that can be, and says so in its beacon.

use std::collections::BTreeMap;

use super::Timer;
use crate::identity::{Addr, NodeId, RecordKey};
use crate::io::Overlay;
use crate::layer::{Cx, Signal, TimerKey};
use crate::links::Claim;
use crate::presence::{GroupSecret, MAX_VIAS, Via, beacon};
use crate::records::sets;
use crate::time::{Span, Time};
use crate::topology::PeerState;

/// A node that nobody has dialed for so long after its first link says how else it is found: those whose neighbours dial them hear of
/// that within seconds (a guess).
const BELIEVE: Span = Span::from_secs(5);
/// How often it is seen to.
const EVERY: Span = Span::from_secs(2);
/// Links kept for it: as many as the beacon holds.
pub(super) const KEPT: usize = MAX_VIAS;

const CLAIM: Claim = Claim { layer: 102, overlay: Overlay::Root };

/// This node's own ways.
#[derive(Debug, Default)]
pub(super) struct Ways {
    kept: BTreeMap<NodeId, Span>,
    since: Option<Time>,
}

impl Ways {
    /// A link came up: there is something to see to.
    pub(super) fn met(&mut self, cx: &mut Cx<'_>) {
        if self.since.is_none() {
            self.since = Some(cx.now.mono);
            cx.deadlines.set(TimerKey::Routing(Timer::Ways), cx.now.mono + BELIEVE);
        }
    }

    pub(super) fn lost(&mut self, cx: &mut Cx<'_>, peer: &NodeId) {
        if self.kept.remove(peer).is_some() {
            self.tend(cx);
        }
    }

    /// Keeps the links that this node is found by, and says which.
    pub(super) fn tend(&mut self, cx: &mut Cx<'_>) {
        cx.deadlines.set(TimerKey::Routing(Timer::Ways), cx.now.mono + EVERY);
        if self.since.is_none_or(|s| cx.now.mono.since(s) < BELIEVE) {
            return;
        }
        let dialed = cx.links().up().any(|p| !cx.links().outbound(&p));
        if dialed || cx.attestations.any(cx.own_addrs) {
            for peer in std::mem::take(&mut self.kept).into_keys() {
                cx.release(peer, CLAIM);
            }
        } else {
            self.kept.retain(|p, _| cx.links().is_up(p));
            let fit = |p: &NodeId| cx.links().outbound(p) && cx.topology.state(p) == PeerState::Alive;
            let rtt = |p: NodeId| (cx.topology.rtt(&p).unwrap_or(Span::from_secs(1)), p);
            let mut more: Vec<(Span, NodeId)> =
                cx.links().up().filter(|p| fit(p) && !self.kept.contains_key(p)).map(rtt).collect();
            more.sort_unstable();
            more.truncate(KEPT.saturating_sub(self.kept.len()));
            for (rtt, peer) in more {
                self.kept.insert(peer, rtt);
                cx.claim(peer, CLAIM);
            }
        }
        let mut vias: Vec<Via> = self.kept.iter().map(|(p, rtt)| Via::new(p, *rtt)).collect();
        vias.sort_unstable_by_key(|v| (v.rtt, v.head));
        if *cx.vias != vias {
            *cx.vias = vias;
            cx.signal(Signal::ViasChanged);
        }
    }
}

/// A relay by which a node says that it is found.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    pub(super) relay: NodeId,
    pub(super) addrs: Vec<Addr>,
    /// Its round trip to the node.
    pub(super) rtt: Span,
}

fn beacon_of(cx: &Cx<'_>, group: &GroupSecret, key: &RecordKey) -> Option<beacon::Beacon> {
    let r = cx.records.get(sets::PRESENCE, key)?;
    beacon::open(cx.crypto, group, &r.claim, &r.bytes).filter(|b| !b.leaving)
}

/// Whether a node says that it is found through relays.
pub(crate) fn is_behind(cx: &Cx<'_>, group: &GroupSecret, node: &NodeId) -> bool {
    beacon_of(cx, group, &RecordKey::from(*node)).is_some_and(|b| !b.vias.is_empty())
}

/// Where a node can be dialed, by what is known.
pub(crate) fn addrs(cx: &Cx<'_>, group: &GroupSecret, node: &NodeId) -> Vec<Addr> {
    let known = cx.topology.addrs(node);
    match known.is_empty() {
        false => known.to_vec(),
        true => beacon_of(cx, group, &RecordKey::from(*node)).map(|b| b.addrs).unwrap_or_default(),
    }
}

/// The relays by which a node says that it is found.
pub(super) fn stated(cx: &Cx<'_>, group: &GroupSecret, node: &NodeId) -> Vec<Stated> {
    let Some(beacon) = beacon_of(cx, group, &RecordKey::from(*node)) else { return Vec::new() };
    let mut out = Vec::new();
    for via in beacon.vias {
        // The records with such a beginning are one, nearly always.
        for key in cx.records.beginning(sets::PRESENCE, u64::from_be_bytes(via.head)) {
            let relay = NodeId(key.0);
            if relay != cx.me && relay != *node {
                out.push(Stated { relay, addrs: addrs(cx, group, &relay), rtt: via.span() });
            }
        }
    }
    out
}
