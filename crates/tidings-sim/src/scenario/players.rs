//! Those who play attackers.

use bytes::Bytes;
use tidings_proto::identity::NodeId;
use tidings_proto::io::Input;

use super::hostile::{abuse::Rogues, eclipse::Attackers};
use super::liars::Liars;
use crate::network::Network;

/// Who plays the nodes without a core, or puts words into the mouths of some that have one.
pub(super) enum Players {
    Rogues(Rogues),
    Attackers(Attackers),
    Liars(Liars),
}

impl Players {
    /// Something reached a node without a core.
    pub(super) fn react(&mut self, net: &mut Network, n: u32, input: Input) {
        match self {
            Players::Rogues(r) => r.react(net, n, input),
            Players::Attackers(a) => a.react(net, n, input),
            Players::Liars(_) => {}
        }
    }

    /// A datagram was overheard.
    pub(super) fn overhear(&mut self, from: NodeId, bytes: Bytes) {
        if let Players::Liars(l) = self {
            l.overhear(from, bytes);
        }
    }

    /// One round of whatever they do.
    pub(super) fn act(&mut self, net: &mut Network, honest: &[u32]) {
        match self {
            Players::Rogues(r) => r.act(net, honest),
            Players::Attackers(a) => a.act(net, honest),
            Players::Liars(l) => l.act(net),
        }
    }
}
