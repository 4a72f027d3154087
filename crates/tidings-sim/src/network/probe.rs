//! Datagrams over the links: one delay of the pair, lost now and then, never sent again.

use bytes::Bytes;
use tidings_proto::identity::NodeId;
use tidings_proto::io::Input;
use tidings_proto::wire::MAX_DATAGRAM;

use super::{Network, PACKET, Told, What};

impl Network {
    /// Puts a datagram on the link of `n` to `peer`, as an attacker with the key of `n` can.
    pub fn inject_datagram(&mut self, n: u32, peer: u32, bytes: Bytes) {
        let peer = self.id(peer);
        self.datagram(n, peer, bytes);
    }

    /// Sends a datagram over an existing link.
    pub(super) fn datagram(&mut self, n: u32, peer: NodeId, bytes: Bytes) {
        if bytes.len() > MAX_DATAGRAM {
            self.break_run(format!("node {n} sent a datagram of {} bytes, the limit is {MAX_DATAGRAM}", bytes.len()));
            return;
        }
        let Some(p) = self.linked(n, &peer) else { return };
        let Some(conn) = self.slots[n as usize].ends.get(&p).map(|e| e.conn) else { return };
        let size = (bytes.len() + PACKET) as u64;
        self.slots[n as usize].probes.sent += 1;
        self.slots[n as usize].probes.bytes += size;
        self.traffic.probe_bytes += size;
        if self.slots[n as usize].overheard {
            self.told.push((n, Told::Overheard(self.slots[n as usize].id, bytes.clone())));
        }
        let mut delay = self.latency.of(self.seed, n, p);
        if self.jitter > 0.0 {
            delay += (delay as f64 * self.jitter * self.rng.unit()) as u64;
        }
        if self.loss > 0.0 && self.rng.unit() < self.loss {
            return;
        }
        self.schedule(self.now + delay, p, What::Datagram { from: n, conn, bytes });
    }

    /// A datagram reached the other end: it counts and is handled, if its link is still there.
    pub(super) fn datagram_arrives(&mut self, n: u32, from: u32, conn: u64, bytes: Bytes) {
        let slot = &mut self.slots[n as usize];
        if slot.ends.get(&from).is_none_or(|e| e.conn != conn || e.severed) || self.blocked(from, n) {
            return;
        }
        let size = (bytes.len() + PACKET) as u64;
        let slot = &mut self.slots[n as usize];
        slot.probes.received += 1;
        slot.probes.bytes += size;
        self.traffic.probe_bytes += size;
        self.trace.note(self.now, n, 5, &bytes);
        let from = self.slots[from as usize].id;
        if self.slots[n as usize].overheard {
            self.told.push((n, Told::Overheard(from, bytes.clone())));
        }
        self.turn(n, Input::Datagram { from, bytes });
    }
}
