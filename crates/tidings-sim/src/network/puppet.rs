//! Nodes without a core, for scenarios that play attackers: a key, an address, links, and nothing that follows a rule.

use std::net::SocketAddrV4;

use bytes::Bytes;
use tidings_proto::crypto::Crypto;
use tidings_proto::identity::NodeId;
use tidings_proto::io::Input;
use tidings_proto::pubsub::BatchKey;
use tidings_proto::wire::{Ack, Frame, Lane, LinkRefusal, Message};

use super::{Network, WALL};

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
            self.dial(n, id, &addrs, Vec::new());
        }
    }

    /// Puts a frame on a link of `n`, as an attacker with its key can.
    pub(crate) fn inject(&mut self, n: u32, peer: u32, lane: Lane, frame: Frame) {
        let peer = self.slots[peer as usize].id;
        let mut credit: Vec<Input> = Vec::new();
        self.send(n, peer, lane, frame, &mut credit);
    }

    /// A puppet answers a probe, as any node would: who keeps silent is soon removed.
    pub(crate) fn puppet_ack(&mut self, n: u32, from: NodeId, bytes: Bytes) {
        if let (Ok(Some((Message::Ping(m), _))), Some(p)) = (Message::parse(bytes), self.linked(n, &from)) {
            let ack = Message::Ack(Ack { seq: m.seq, incarnation: WALL });
            self.inject_datagram(n, p, ack.frame().to_bytes());
        }
    }

    /// From now on the datagrams of a node are told to the scenario.
    pub(crate) fn overhear(&mut self, n: u32) {
        self.slots[n as usize].overheard = true;
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
