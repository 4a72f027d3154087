//! An agent at a glance.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use tidings_proto::identity::Addr;
use tidings_proto::wire::LinkRefusal;

use crate::gossip::NodeStatus;
use crate::transport::TransportStats;

/// An agent at a glance: the node, its addresses, and its transport's counters.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The node.
    #[serde(flatten)]
    pub node: NodeStatus,
    /// Where it can be reached.
    #[serde(serialize_with = "all_as_text")]
    pub addrs: Vec<Addr>,
    /// Its transport's counters.
    #[serde(serialize_with = "stats")]
    pub transport: TransportStats,
}

fn all_as_text<S: Serializer>(addrs: &[Addr], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(addrs.iter().map(ToString::to_string))
}

/// [`TransportStats`] as it is shown.
#[derive(Serialize)]
struct Shown<'a> {
    links: usize,
    links_up: u64,
    dials: u64,
    dials_failed: &'a BTreeMap<LinkRefusal, u64>,
    refused: &'a BTreeMap<LinkRefusal, u64>,
    duplicates: u64,
    frames_out: u64,
    frames_in: u64,
    frame_bytes_out: u64,
    frame_bytes_in: u64,
    datagrams_out: u64,
    datagrams_in: u64,
    datagrams_dropped: u64,
    wire_bytes_out: u64,
    wire_bytes_in: u64,
    unknown_streams: u64,
    protocol_errors: u64,
}

fn stats<S: Serializer>(t: &TransportStats, s: S) -> Result<S::Ok, S::Error> {
    let shown = Shown {
        links: t.links,
        links_up: t.links_up,
        dials: t.dials,
        dials_failed: &t.dials_failed,
        refused: &t.refused,
        duplicates: t.duplicates,
        frames_out: t.frames_out,
        frames_in: t.frames_in,
        frame_bytes_out: t.frame_bytes_out,
        frame_bytes_in: t.frame_bytes_in,
        datagrams_out: t.datagrams_out,
        datagrams_in: t.datagrams_in,
        datagrams_dropped: t.datagrams_dropped,
        wire_bytes_out: t.wire_bytes_out,
        wire_bytes_in: t.wire_bytes_in,
        unknown_streams: t.unknown_streams,
        protocol_errors: t.protocol_errors,
    };
    shown.serialize(s)
}
