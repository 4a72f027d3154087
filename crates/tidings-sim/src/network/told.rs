//! What a network tells its scenario, and what it counts.

use bytes::Bytes;
use tidings_proto::discovery::Search;
use tidings_proto::identity::NodeId;
use tidings_proto::io::{CommandError, Event, Input, Ticket};
use tidings_proto::messaging::{Delivered, Kept};

/// Something a node told its program.
#[derive(Debug)]
pub(crate) enum Told {
    Event(Event),
    /// The answer to a command; most scenarios only need to know that it came.
    Reply,
    /// Where an agent was found.
    Located(Ticket, Search),
    /// What came of a direct message, or of another command that can be refused.
    Sent(Ticket, Result<Delivered, CommandError>),
    /// A direct message is kept for a receiver that is away.
    Kept(Ticket, Kept),
    /// What reached a node without a core.
    Puppet(Input),
    /// A datagram from this node reached, or left, one that is listened to.
    Overheard(NodeId, Bytes),
}

/// What was sent, in all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Batches pushed or served, every copy.
    pub(crate) payload_frames: u64,
    /// Bytes on the data lane, packets included.
    pub(crate) payload_bytes: u64,
    /// Bytes on the bulk lane, packets included: what is fetched because logs differ, and contents of large messages; not
    /// records, nor certificates.
    pub(crate) bulk_bytes: u64,
    /// Bytes on the control lane, packets included.
    pub(crate) control_bytes: u64,
    /// Those of them that compare logs.
    pub(crate) comparing_bytes: u64,
    /// Bytes of the network's records on any lane, packets included: pushed, announced, asked for, compared, fetched.
    pub(crate) record_bytes: u64,
    /// Those of them that compare and fetch.
    pub(crate) record_comparing_bytes: u64,
    /// Bytes of certificates and of questions for them, packets included.
    pub(crate) certificate_bytes: u64,
    /// Bytes of datagrams, packets included: once where sent, once where received.
    pub(crate) probe_bytes: u64,
}

/// The datagrams of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Sent, lost ones included.
    pub sent: u64,
    /// Received.
    pub received: u64,
    /// Bytes of both, packets included.
    pub bytes: u64,
}
