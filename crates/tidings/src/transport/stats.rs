//! Counters of a transport.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use tidings_proto::wire::LinkRefusal;

use super::inbox::parking::{Mutex, lock};

/// A transport's counters since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportStats {
    /// Links that are up.
    pub links: usize,
    /// Links that came up.
    pub links_up: u64,
    /// Dials begun.
    pub dials: u64,
    /// Dials that failed, by reason.
    pub dials_failed: BTreeMap<LinkRefusal, u64>,
    /// Incoming connections refused, by reason.
    pub refused: BTreeMap<LinkRefusal, u64>,
    /// Connections given up because their peer and this node held another one already.
    pub duplicates: u64,
    /// Frames accepted for sending.
    pub frames_out: u64,
    /// Frames received.
    pub frames_in: u64,
    /// Bytes of the frames accepted for sending.
    pub frame_bytes_out: u64,
    /// Bytes of the frames received.
    pub frame_bytes_in: u64,
    /// Datagrams handed to the network.
    pub datagrams_out: u64,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams dropped because the driver left too many unread.
    pub datagrams_dropped: u64,
    /// Bytes sent in UDP payloads on connections that became links; those of frames, where there is no UDP.
    pub wire_bytes_out: u64,
    /// Bytes received in UDP payloads on connections that became links.
    pub wire_bytes_in: u64,
    /// Streams ignored because their first byte named no lane of ours.
    pub unknown_streams: u64,
    /// Links closed because the peer broke the protocol.
    pub protocol_errors: u64,
}

/// The live counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) links_up: AtomicU64,
    pub(super) dials: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) frames_out: AtomicU64,
    pub(super) frames_in: AtomicU64,
    pub(super) frame_bytes_out: AtomicU64,
    pub(super) frame_bytes_in: AtomicU64,
    pub(super) datagrams_out: AtomicU64,
    pub(super) datagrams_in: AtomicU64,
    pub(super) datagrams_dropped: AtomicU64,
    pub(super) wire_bytes_out: AtomicU64,
    pub(super) wire_bytes_in: AtomicU64,
    pub(super) unknown_streams: AtomicU64,
    pub(super) protocol_errors: AtomicU64,
    dials_failed: Mutex<BTreeMap<LinkRefusal, u64>>,
    refused: Mutex<BTreeMap<LinkRefusal, u64>>,
}

/// Adds to a counter. Nothing else depends on its order.
pub(super) fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn dial_failed(&self, reason: LinkRefusal) {
        *lock(&self.dials_failed).entry(reason).or_default() += 1;
    }

    pub(super) fn refused(&self, reason: LinkRefusal) {
        *lock(&self.refused).entry(reason).or_default() += 1;
    }

    pub(super) fn snapshot(&self, links: usize) -> TransportStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TransportStats {
            links,
            links_up: read(&self.links_up),
            dials: read(&self.dials),
            dials_failed: lock(&self.dials_failed).clone(),
            refused: lock(&self.refused).clone(),
            duplicates: read(&self.duplicates),
            frames_out: read(&self.frames_out),
            frames_in: read(&self.frames_in),
            frame_bytes_out: read(&self.frame_bytes_out),
            frame_bytes_in: read(&self.frame_bytes_in),
            datagrams_out: read(&self.datagrams_out),
            datagrams_in: read(&self.datagrams_in),
            datagrams_dropped: read(&self.datagrams_dropped),
            wire_bytes_out: read(&self.wire_bytes_out),
            wire_bytes_in: read(&self.wire_bytes_in),
            unknown_streams: read(&self.unknown_streams),
            protocol_errors: read(&self.protocol_errors),
        }
    }
}
