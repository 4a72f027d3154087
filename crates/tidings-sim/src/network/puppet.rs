//! Nodes without a core, for scenarios that play attackers: a key, an address, links, and nothing that follows a rule.

use std::net::SocketAddrV4;

use tidings_proto::crypto::Crypto;
use tidings_proto::io::Input;
use tidings_proto::pubsub::BatchKey;
use tidings_proto::wire::{Frame, Lane, LinkRefusal};

use super::Network;

impl Network {
    /// Adds a node without a core. Several may share an address, at different ports.
    pub(crate) fn add_puppet(&mut self, addr: SocketAddrV4) -> u32 {
        let secret = self.new_key();
        let n = self.add_slot(secret, addr);
        self.slots[n as usize].puppet = true;
        n
    }

    /// Whether a node is a puppet.
    pub(crate) fn is_puppet(&self, n: u32) -> bool {
        self.slots[n as usize].puppet
    }

    /// What a puppet signs with, and the key of the network's batch ids.
    pub(crate) fn forgery(&self, n: u32) -> (std::sync::Arc<dyn Crypto>, BatchKey) {
        (self.port(&self.slots[n as usize].secret), BatchKey::new(&self.network))
    }

    /// A puppet opens a link, unless it has one.
    pub(crate) fn puppet_dial(&mut self, n: u32, peer: u32) {
        let id = self.slots[peer as usize].id;
        let slot = &self.slots[n as usize];
        if !slot.ends.contains_key(&peer) && !slot.dialing.contains_key(&id) {
            let addrs = [self.slots[peer as usize].addr];
            self.dial(n, id, &addrs);
        }
    }

    /// A puppet sends a frame on a link it has.
    pub(crate) fn puppet_send(&mut self, n: u32, peer: u32, lane: Lane, frame: Frame) {
        let peer = self.slots[peer as usize].id;
        let mut credit: Vec<Input> = Vec::new();
        self.send(n, peer, lane, frame, &mut credit);
    }

    /// A puppet closes a link.
    pub(crate) fn puppet_close(&mut self, n: u32, peer: u32) {
        let peer = self.slots[peer as usize].id;
        let mut down: Vec<Input> = Vec::new();
        self.close(n, peer, LinkRefusal::Closed, &mut down);
    }

    /// The nodes a puppet is linked with.
    pub(crate) fn puppet_links(&self, n: u32) -> Vec<u32> {
        self.slots[n as usize].ends.keys().copied().collect()
    }
}
