//! Neighbours on a topic that come, go, or do not answer, as the tree is concerned.

use super::PubSub;
use super::tree::Peer;
use crate::identity::{NodeId, TopicId};
use crate::layer::Cx;
use crate::wire::{Graft, Prune};

impl PubSub {
    pub(super) fn on_neighbor_up(&mut self, cx: &mut Cx<'_>, topic: TopicId, peer: NodeId) {
        let Some(t) = self.topics.get_mut(&topic) else { return };
        if t.peers.iter().any(|p| p.id == peer) {
            return;
        }
        let eager = !t.built || !t.peers.iter().any(|p| p.eager);
        t.peers.push(Peer::new(peer, eager));
        if t.built && eager {
            cx.counters.grafts_sent += 1;
            cx.send(peer, Graft { topic, ids: Vec::new(), eager: true });
        } else if t.built {
            cx.counters.prunes_sent += 1;
            cx.send(peer, Prune { topic });
        }
        t.send_unsent(cx);
        t.compare_with_new(cx, peer);
    }

    pub(super) fn on_neighbor_down(&mut self, cx: &mut Cx<'_>, topic: TopicId, peer: NodeId) {
        let Some(t) = self.topics.get_mut(&topic) else { return };
        let Some(at) = t.peers.iter().position(|p| p.id == peer) else { return };
        let gone = t.peers.remove(at);
        t.repair.forget(&peer);
        t.forget_sync(cx, &peer);
        if gone.eager {
            t.lost(cx, gone.brought);
        }
    }

    /// A neighbour does not answer: batches go around it. They are still announced to it, so that it misses nothing
    /// if it is only slow.
    pub(super) fn on_suspected(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        for t in self.topics.values_mut() {
            let Some(p) = t.peer(&peer) else { continue };
            p.suspected = true;
            if std::mem::take(&mut p.eager) {
                let brought = p.brought;
                t.lost(cx, brought);
            }
        }
    }

    pub(super) fn on_recovered(&mut self, peer: &NodeId) {
        for t in self.topics.values_mut() {
            if let Some(p) = t.peer(peer) {
                p.suspected = false;
            }
        }
    }
}
