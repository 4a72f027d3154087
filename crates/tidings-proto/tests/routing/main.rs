//! Direct messages between real cores that have no link, with everything between them in the test's hands.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/mesh.rs"]
mod mesh;

mod receiving;
mod relaying;
mod relays_that_misbehave;
mod reserving;
mod through_relays;

use common::*;
use mesh::*;
use tidings_proto::config::GossipConfig;
use tidings_proto::crypto::SimCrypto;
use tidings_proto::identity::{NodeId, SecretKey};
use tidings_proto::io::*;
use tidings_proto::messaging::MessageStatus;
use tidings_proto::wire::*;

/// The sender, two relays that everybody can dial, and the receiver: neither end can be dialed.
pub(crate) const A: usize = 2;
pub(crate) const B: usize = 0;
pub(crate) const D: usize = 1;
pub(crate) const C: usize = 3;

impl Mesh {
    /// Two relays, and two that nobody can dial.
    pub(crate) fn new() -> Mesh {
        let all = [A, B, C, D].map(|n| [(n, A), (n, C)]).concat();
        Mesh::of((1..=4).map(node).collect(), &all)
    }

    /// The relay by which the first of `n`'s envelopes went.
    pub(crate) fn first_relay(&self, n: usize) -> usize {
        self.envelopes.iter().find(|p| p.from == n).unwrap().to
    }
}

/// Whether this is an envelope with something to be receipted, passed on by a relay.
pub(crate) fn carried(p: &Passing, by: usize) -> bool {
    p.from == by && matches!(&p.message, Message::Envelope(m) if m.kind == 0)
}
