//! What peers are told first on links that are being dialed, where the transport does not say it with the handshake.

use std::collections::BTreeMap;

use tidings_proto::identity::{Addr, NodeId};
use tidings_proto::wire::{Frame, Lane};

use crate::transport::{Inbound, Transport};

/// By peer. There are no more than dials under way, which the core bounds.
#[derive(Default)]
pub(super) struct First(BTreeMap<NodeId, Vec<Frame>>);

impl First {
    /// Dials, and keeps what the transport does not say itself.
    pub(super) fn dial(&mut self, transport: &dyn Transport, peer: NodeId, addrs: Vec<Addr>, first: Vec<Frame>) {
        if first.is_empty() {
            return transport.dial(peer, addrs);
        }
        let left = transport.dial_saying(peer, addrs, first);
        if !left.is_empty() {
            self.0.insert(peer, left);
        }
    }

    /// Says what was kept, before the core hears of the link: nothing goes out before it.
    pub(super) fn on(&mut self, transport: &dyn Transport, inbound: &Inbound) {
        match inbound {
            Inbound::LinkUp { peer, outbound, .. } => {
                let frames = self.0.remove(peer).unwrap_or_default();
                for frame in frames.into_iter().filter(|_| *outbound) {
                    // If there is no link any more, the core hears so.
                    let _ = transport.try_send_frame(*peer, Lane::Control, frame);
                }
            }
            Inbound::DialFailed { peer, .. } => drop(self.0.remove(peer)),
            _ => {}
        }
    }
}
