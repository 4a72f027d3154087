//! Messages for an agent that is away, between real cores, with everything between them in the test's hands.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/mesh.rs"]
mod mesh;

mod hostile;
mod keepers;
mod liar;
mod stranger;
mod waiting;

use common::*;
use mesh::*;
use tidings_proto::io::*;
use tidings_proto::messaging::{Kept, MessageStatus};
use tidings_proto::wire::*;

/// Who sends and who is away; the others may keep something.
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;

/// So many nodes that reach each other.
pub(crate) fn network_of(nodes: u8) -> Mesh {
    let mut m = Mesh::of((1..=nodes).map(node).collect(), &[]);
    for n in &mut m.nodes {
        n.command(Command::ServeIndex { on: true });
    }
    m.pass(20_000);
    // Who joined last was dialed by nobody, and is in no index.
    let in_it = m.nodes.iter().all(|n| !n.node.index().is_empty());
    assert!(in_it || nodes < 3, "nobody is in the index");
    m
}

impl Mesh {
    /// `B` goes, and `A` says something to it.
    pub(crate) fn write_to_the_absent(&mut self) -> Ticket {
        self.leave(B);
        self.pass(1_000);
        let t = self.send(A, B, b"for later");
        self.pass(10_000);
        t
    }

    pub(crate) fn kept(&self, n: usize, t: Ticket) -> Option<&Kept> {
        match self.nodes[n].reply(t) {
            Some(Reply::Kept(k)) => Some(k),
            _ => None,
        }
    }

    /// Those that hold something.
    pub(crate) fn keepers(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|n| self.is_up(*n) && self.nodes[*n].node.kept_for_others().0 > 0).collect()
    }

    pub(crate) fn index_of(&self, id: &tidings_proto::identity::NodeId) -> usize {
        self.nodes.iter().position(|n| n.id() == *id).unwrap()
    }
}
