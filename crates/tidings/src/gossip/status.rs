//! The node as seen from outside.

use serde::Serialize;
use tidings_proto::counters::Counters;
use tidings_proto::identity::NodeId;
use tidings_proto::io::Overlay;
use tidings_proto::pubsub::TopicInfo;

use super::driver::View;
use super::events::text;

/// A topic and its subscriptions on this node.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TopicStatus {
    /// Its name, if this node subscribed to it or published on it.
    pub name: Option<String>,
    /// Subscriptions on this node.
    pub subscriptions: usize,
    /// Messages that they missed because they read too slowly.
    pub lagged: u64,
    /// What the core knows of it.
    #[serde(flatten)]
    pub info: TopicInfo,
}

impl TopicStatus {
    pub(crate) fn all(view: &View<'_>) -> Vec<TopicStatus> {
        let status = |info: TopicInfo| {
            let queues = view.subscribers.queues(&info.topic);
            let name = queues.first().map(|q| q.name.clone()).or_else(|| view.run.published_name(&info.topic));
            TopicStatus {
                name: name.map(|n| n.to_string()),
                subscriptions: queues.len(),
                lagged: queues.iter().map(|q| q.lagged()).sum(),
                info,
            }
        };
        view.node.topics().into_iter().map(status).collect()
    }
}

/// A node at a glance.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its id.
    #[serde(serialize_with = "text")]
    pub node_id: NodeId,
    /// How long it has been running.
    pub uptime_ms: u64,
    /// Links that are up.
    pub links: usize,
    /// Neighbours in the network's overlay.
    pub active_view: usize,
    /// Spare neighbours in the network's overlay.
    pub passive_view: usize,
    /// Topics it takes part in.
    pub topics: Vec<TopicStatus>,
    /// Nodes that are here, this one included.
    pub online: usize,
    /// Nodes that hold for others where agents and the members of topics are.
    pub index: usize,
    /// Words of others that this node holds.
    pub held_for_others: usize,
    /// What the core has counted.
    pub counters: Counters,
    /// Frames that the transport refused.
    pub dropped_frames: u64,
}

impl NodeStatus {
    pub(crate) fn of(view: &View<'_>) -> NodeStatus {
        NodeStatus {
            node_id: view.node.id(),
            uptime_ms: view.uptime.as_millis(),
            links: view.node.peers().iter().filter(|p| p.linked).count(),
            active_view: view.node.active_view(Overlay::Root).len(),
            passive_view: view.node.passive_view(Overlay::Root).len(),
            topics: TopicStatus::all(view),
            online: view.node.presence().len(),
            index: view.node.index().len(),
            held_for_others: view.node.agents_held(),
            counters: view.node.counters().clone(),
            dropped_frames: view.dropped_frames,
        }
    }
}
