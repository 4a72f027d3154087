//! Records put by hand, for tests of how they travel.

use bytes::Bytes;
use tidings_proto::crypto::Crypto;
use tidings_proto::identity::SecretKey;
use tidings_proto::io::Input;
use tidings_proto::records::{self, SetId, Store, signed};
use tidings_proto::wire::{Frame, Lane, Message};

use super::{Network, PACKET};

impl Network {
    /// Notes a frame about records or certificates. Returns whether it is one.
    pub(super) fn count_records(&mut self, lane: Lane, frame: &Frame) -> bool {
        let tag = frame.head.get(1).copied().unwrap_or(0);
        let compares = (50..60).contains(&tag)
            && Message::parse(frame.to_bytes()).is_ok_and(|m| m.is_some_and(|(m, _)| Store::is_meant(&m)));
        let bytes = (frame.len() + PACKET) as u64;
        if (80..85).contains(&tag) {
            self.traffic.certificate_bytes += bytes;
            return true;
        }
        let is_one = (70..80).contains(&tag) || compares;
        if is_one {
            self.traffic.record_bytes += bytes;
            self.traffic.record_comparing_bytes += if compares || lane == Lane::Bulk { bytes } else { 0 };
        }
        is_one
    }

    /// Node `n` publishes a record, as one of its layers would.
    pub fn put_record(&mut self, n: u32, set: SetId, bytes: Bytes) {
        let now = self.clocks_of(n);
        if let Some(node) = self.slots[n as usize].node.as_mut() {
            node.put_record(now, set, bytes);
        }
        self.turn(n, Input::Tick);
    }

    /// What node `n` signs with, for who plays it.
    pub(crate) fn crypto_of(&self, n: u32) -> std::sync::Arc<dyn Crypto> {
        self.port(&self.slots[n as usize].secret)
    }

    /// What somebody without a node signs with.
    pub(crate) fn crypto_by(&self, secret: &SecretKey) -> std::sync::Arc<dyn Crypto> {
        self.port(secret)
    }

    /// The key of the network's records.
    pub(crate) fn records_key(&self) -> [u8; 32] {
        records::key(&self.network)
    }

    /// A record signed by the key of node `n`.
    pub fn sign_record(&self, n: u32, set: SetId, said: &signed::Statement, content: &[u8]) -> Bytes {
        let crypto = self.port(&self.slots[n as usize].secret);
        signed::sign(set, &records::key(&self.network), &*crypto as &dyn Crypto, said, content)
    }
}
