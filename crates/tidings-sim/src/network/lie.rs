//! Nodes that run the real core and lie about the contents of large messages: what they send is changed on its way out.

use bytes::Bytes;
use tidings_proto::wire::{Frame, Lane};

use super::Network;

/// What a node does with the chunks it ought to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Sends other bytes.
    WrongBytes,
    /// Sends nothing.
    Nothing,
}

impl Network {
    /// From now on a node lies.
    pub fn lie(&mut self, n: u32, lie: Lie) {
        self.slots[n as usize].lie = Some(lie);
    }

    /// Bytes of contents that all nodes sent so far, packets included.
    pub fn bulk_bytes(&self) -> u64 {
        self.traffic.bulk_bytes
    }

    /// What of a frame leaves node `n`.
    pub(super) fn lied(&self, n: u32, lane: Lane, frame: Frame) -> Option<Frame> {
        match self.slots[n as usize].lie.filter(|_| lane == Lane::Bulk) {
            None => Some(frame),
            Some(Lie::Nothing) => None,
            Some(Lie::WrongBytes) => {
                let payload = Bytes::from(vec![0xee; frame.payload.len()]);
                Some(Frame { payload, ..frame })
            }
        }
    }
}
