//! Who is a relay, for whoever asks.

use super::Node;
use crate::identity::NodeId;
use crate::layer::Signal;
use crate::roles::{PeerRole, RoleMetrics, RoleRow};
use crate::time::Now;

impl Node {
    /// The relays by which this node says that it is found, the first ones first. Empty unless nobody can dial it.
    pub fn vias(&self) -> &[crate::presence::Via] {
        &self.vias
    }

    /// What is known of a node as a relay; `None` if nothing is.
    pub fn role_metrics(&self, node: &NodeId) -> Option<RoleMetrics> {
        self.roles.manager().get_metrics(node, &self.topology, self.now.wall)
    }

    /// Everybody of whom something is known as a relay: the score by what was seen, and what it is taken for. The best first.
    pub fn role_scores(&self) -> Vec<(NodeId, f64, PeerRole)> {
        self.roles.manager().get_all_scores(&self.topology, self.now.wall)
    }

    /// The role of a node, claimed and effective.
    pub fn role_row(&self, node: &NodeId) -> RoleRow {
        self.topology.role_row(node)
    }

    /// Tells all layers a fact as routing would, for tools and tests.
    pub fn tell_layers(&mut self, now: Now, signal: Signal) {
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
        self.queues.signals.push_back(signal);
        self.route();
        self.fire();
        self.route();
    }
}
