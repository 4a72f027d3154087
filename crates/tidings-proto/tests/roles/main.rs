//! Relays by merit: who is judged a relay, what others are told, and what is believed of it.

#[path = "../common/mod.rs"]
mod common;

mod announcing;
mod claims;
mod judging;
mod layer;

use common::*;
use tidings_proto::identity::NodeId;
use tidings_proto::records;
use tidings_proto::roles::*;
use tidings_proto::time::{Now, Span, Time, UnixMillis};
use tidings_proto::topology::Topology;

const MIB: u64 = 1 << 20;

fn id(n: u8) -> NodeId {
    Fake::new(n).id
}

fn at(seconds: u64) -> UnixMillis {
    UnixMillis(WALL + seconds * 1_000)
}

fn now(seconds: u64) -> Now {
    Now { mono: Time(1_000_000_000) + Span::from_secs(seconds), wall: at(seconds) }
}

fn key() -> [u8; 32] {
    records::key(&network())
}

/// What `who` says of itself, with the words of these customers.
fn announce(who: &Fake, sequence: u64, score: f64, customers: &[(&Fake, u64)]) -> RoleChangeAnnounce {
    let mut vouches: Vec<Vouch> =
        customers.iter().map(|(c, n)| Vouch::sign(&key(), c.port(), &who.id, *n, 0, at(0))).collect();
    vouches.sort_by_key(|v| v.by);
    let said = RoleChangeAnnounce {
        node_id: who.id,
        new_role: PeerRole::Relay,
        score,
        timestamp: at(0),
        sequence,
        expires: at(7_200),
        vouches,
        signature: [0; 64],
    };
    said.sign(&key(), who.port())
}
