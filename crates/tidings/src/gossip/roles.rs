//! Who is a relay, and why.

use tidings_proto::identity::NodeId;
use tidings_proto::roles::{PeerRole, RoleMetrics};

use super::handle::RuntimeHandle;
use super::runtime::RuntimeError;
use crate::agent::{Agent, AgentError};

impl RuntimeHandle {
    /// What is known of a node as a relay: the score by what this node saw of it, term by term, and what it says of itself; `None`
    /// if nothing is known.
    pub async fn get_role_metrics(&self, node: NodeId) -> Result<Option<RoleMetrics>, RuntimeError> {
        self.run()?.inspect(move |view| view.node.role_metrics(&node)).await
    }

    /// Everybody of whom something is known as a relay: the score by what this node saw, and what it is taken for. The best first.
    pub async fn get_all_role_scores(&self) -> Result<Vec<(NodeId, f64, PeerRole)>, RuntimeError> {
        self.run()?.inspect(|view| view.node.role_scores()).await
    }

    /// As [`RuntimeHandle::get_role_metrics`], of everybody of whom something is known, the best first.
    pub async fn get_all_role_metrics(&self) -> Result<Vec<RoleMetrics>, RuntimeError> {
        let all = |node: &tidings_proto::Node| -> Vec<RoleMetrics> {
            node.role_scores().iter().filter_map(|(id, ..)| node.role_metrics(id)).collect()
        };
        self.run()?.inspect(move |view| all(view.node)).await
    }
}

impl Agent {
    /// What is known of a node as a relay: see [`RuntimeHandle::get_role_metrics`].
    pub async fn get_role_metrics(&self, node: NodeId) -> Result<Option<RoleMetrics>, AgentError> {
        Ok(self.handle().get_role_metrics(node).await?)
    }

    /// Everybody of whom something is known as a relay: see [`RuntimeHandle::get_all_role_scores`].
    pub async fn get_all_role_scores(&self) -> Result<Vec<(NodeId, f64, PeerRole)>, AgentError> {
        Ok(self.handle().get_all_role_scores().await?)
    }
}
