//! Liars in the failure detector: nodes that run the real core, and besides tell everybody that others are dead.
//!
//! They pool what they overhear (whose incarnation is which), know everybody's neighbours, and know when a node is
//! stopped: then a lie is worth most. Each second each of them tells every neighbour that one of its neighbours is
//! suspected, and that it is suspected itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidings_proto::identity::NodeId;
use tidings_proto::io::Overlay;
use tidings_proto::rng::Rng;
use tidings_proto::time::Span;
use tidings_proto::wire::{Lane, Message, Ping, Suspect};

use crate::network::Network;

/// Between two rounds of lies.
pub(super) const EVERY: Span = Span::from_secs(1);

pub(super) struct Liars {
    ids: Vec<u32>,
    rng: Rng,
    incarnations: BTreeMap<NodeId, u64>,
    pub(super) told: u64,
}

impl Liars {
    pub(super) fn enter(net: &mut Network, ids: Vec<u32>) -> Liars {
        for n in &ids {
            net.overhear(*n);
        }
        Liars { ids, rng: net.script_rng("liars"), incarnations: BTreeMap::new(), told: 0 }
    }

    /// Something reached a liar, or was sent by it; its core did with it what it does.
    pub(super) fn overhear(&mut self, from: NodeId, bytes: Bytes) {
        let incarnation = match Message::parse(bytes) {
            Ok(Some((Message::Ping(m), _))) => m.incarnation,
            Ok(Some((Message::Ack(m), _))) => m.incarnation,
            _ => return,
        };
        let known = self.incarnations.entry(from).or_default();
        *known = incarnation.max(*known);
    }

    /// One round of lies.
    pub(super) fn act(&mut self, net: &mut Network) {
        for n in self.ids.clone() {
            let Some(node) = net.node(n) else { continue };
            let me = net.id(n);
            let peers: Vec<NodeId> = node.active_view(Overlay::Root);
            for peer in peers {
                let Some(p) = net.index(&peer).filter(|p| net.node(*p).is_some()) else { continue };
                let mut of: Vec<NodeId> = net.node(p).map(|n| n.active_view(Overlay::Root)).unwrap_or_default();
                of.retain(|t| *t != me);
                let stalled = |t: &&NodeId| net.index(t).is_some_and(|t| net.stalled(t));
                let Some(target) = of.iter().find(stalled).or_else(|| self.rng.pick(&of)).copied() else { continue };
                let incarnation = self.incarnations.get(&target).copied().unwrap_or(net.wall_ms());
                let lie = Message::Suspect(Suspect { peer: target, incarnation });
                net.inject(n, p, Lane::Control, lie.frame());
                if let (Some(theirs), Some(mine)) = (self.incarnations.get(&peer), self.incarnations.get(&me)) {
                    let seq = self.rng.next_u64() as u32;
                    let lie = Message::Ping(Ping { seq, incarnation: *mine, suspected: Some(*theirs) });
                    net.inject_datagram(n, p, lie.frame().to_bytes());
                }
                self.told += 1;
            }
        }
    }
}
