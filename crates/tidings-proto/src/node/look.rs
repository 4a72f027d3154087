//! Looking at a node from outside.

use std::sync::Arc;

use super::{Node, PeerInfo};
use crate::counters::Counters;
use crate::crypto::Crypto;
use crate::discovery::coordinator::CoordinatorAdvert;
use crate::identity::{Addr, ContentId, NodeId, PeerAddr};
use crate::io::Overlay;
use crate::large::ContentView;
use crate::links::Links;
use crate::membership::ViewInfo;
use crate::pubsub::TopicInfo;

impl Node {
    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The neighbours in an overlay, oldest first.
    pub fn active_view(&self, overlay: Overlay) -> Vec<NodeId> {
        self.membership.active(overlay)
    }

    /// The spare neighbours in an overlay.
    pub fn passive_view(&self, overlay: Overlay) -> Vec<NodeId> {
        self.membership.passive(overlay)
    }

    /// Both views of an overlay, their target and the estimated number of members.
    pub fn view(&self, overlay: Overlay) -> Option<ViewInfo> {
        self.membership.view(overlay, &self.config, self.now)
    }

    /// `peer` with the addresses known of it.
    pub fn peer_addr(&self, peer: &NodeId) -> PeerAddr {
        self.topology.peer_addr(peer)
    }

    /// Linked peers and neighbours.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.links
            .all_up()
            .map(|id| PeerInfo {
                id,
                addrs: self.topology.addrs(&id).to_vec(),
                linked: true,
                outbound: self.links.outbound(&id),
                circuit: self.links.is_circuit(&id),
                rtt: self.topology.rtt(&id),
                slow: self.links.is_slow(&id),
                state: self.topology.state(&id),
                agent: self.agent_of(&id).agent(),
                active_in: self.membership.overlays().filter(|o| self.active_view(*o).contains(&id)).collect(),
            })
            .collect()
    }

    /// The addresses at which unrelated peers have reached this node.
    pub fn confirmed_addrs(&self) -> Vec<Addr> {
        let confirmed = self.attestations.confirmed(self.now.wall, &self.own_addrs, &self.topology);
        confirmed.into_iter().map(|c| c.0).collect()
    }

    /// The coordinators known, the best by this node's own measure first.
    pub fn coordinators(&self) -> Vec<CoordinatorAdvert> {
        self.coordinators.list(self.now.mono, &self.store, &self.topology)
    }

    /// The topics this node takes part in.
    pub fn topics(&self) -> Vec<TopicInfo> {
        self.pubsub
            .topics()
            .map(|t| match self.view(Overlay::Topic(t.topic)) {
                Some(v) => TopicInfo { passive: v.passive.len(), members_estimate: v.members, ..t },
                None => t,
            })
            .collect()
    }

    /// The content of a large message, if it is here or on its way.
    pub fn content(&self, id: &ContentId) -> Option<ContentView<'_>> {
        self.large.content(id)
    }

    /// What the node signs, seals and opens with.
    pub fn crypto(&self) -> &Arc<dyn Crypto> {
        &self.crypto
    }

    /// How many statements where agents are this node can answer with.
    pub fn agents_known(&self) -> usize {
        self.foaf.known()
    }

    /// The relays that what there is to say to a node goes through now; none on a direct way.
    pub fn way_to(&self, node: &NodeId) -> &[NodeId] {
        self.routing.way(node).unwrap_or_default()
    }

    /// The peers at the other ends of circuits.
    pub fn circuits(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.circuits.peers()
    }

    /// How slow or cut off this node takes itself to be, from 0 (not at all) to 8.
    pub fn local_health(&self) -> u8 {
        self.swim.local_health()
    }

    /// Links that are up or being dialed.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
