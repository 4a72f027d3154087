//! The columns of roles in the table of known peers, written by the roles layer alone.
//!
//! They are kept beside the peers' rows and not in them: a claim about a node of which nothing else is known makes it no peer.

use super::PeerRole;
use crate::id_map::IdMap;
use crate::identity::NodeId;

/// What is known of one node's role.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoleRow {
    /// What it says of itself, if it says anything.
    pub claimed: Option<PeerRole>,
    /// What it is taken for: by our own judgement where we have evidence, else by a claim that others' words bear out.
    pub effective: PeerRole,
    /// What the latter rests on: a score of our own, or as much of its claim as can have come to us.
    pub merit: f64,
}

/// The columns.
#[derive(Debug, Default)]
pub(crate) struct RoleColumns(IdMap<RoleRow>);

impl RoleColumns {
    pub(crate) fn get(&self, node: &NodeId) -> RoleRow {
        self.0.get(node).copied().unwrap_or_default()
    }

    /// Rows that say nothing are not kept.
    pub(crate) fn set(&mut self, node: NodeId, row: RoleRow) {
        if row == RoleRow::default() {
            self.0.remove(&node);
        } else {
            self.0.insert(node, row);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, RoleRow)> {
        self.0.iter().map(|(n, r)| (*n, *r))
    }
}
