//! Records put by hand, for tests of how they travel.

use bytes::Bytes;
use tidings_proto::crypto::Crypto;
use tidings_proto::io::Input;
use tidings_proto::records::{self, SetId, signed};

use super::Network;

impl Network {
    /// Node `n` publishes a record, as one of its layers would.
    pub fn put_record(&mut self, n: u32, set: SetId, bytes: Bytes) {
        let now = self.clocks();
        if let Some(node) = self.slots[n as usize].node.as_mut() {
            node.put_record(now, set, bytes);
        }
        self.turn(n, Input::Tick);
    }

    /// A record signed by the key of node `n`.
    pub fn sign_record(&self, n: u32, set: SetId, said: &signed::Statement, content: &[u8]) -> Bytes {
        let crypto = self.port(&self.slots[n as usize].secret);
        signed::sign(set, &records::key(&self.network), &*crypto as &dyn Crypto, said, content)
    }
}
