//! The links of the simulated network: dialing, accepting, sending, closing.

use tidings_proto::identity::{Addr, NodeId};
use tidings_proto::io::Input;
use tidings_proto::time::Span;
use tidings_proto::wire::{Frame, Lane, LinkRefusal};

use super::{CREDIT, DIAL, End, Network, PACKET, Slot, What};

impl Network {
    /// A dial reached its end: the acceptor is up now, the dialer one delay later.
    pub(super) fn accept(&mut self, n: u32, dialer: u32) {
        let alive = |s: &Slot| s.node.is_some();
        if !alive(&self.slots[n as usize]) || !alive(&self.slots[dialer as usize]) || self.cut(n, dialer) {
            return;
        }
        if !self.slots[dialer as usize].dialing.contains_key(&n) {
            return;
        }
        if let Some(end) = self.slots[n as usize].ends.get(&dialer) {
            if self.slots[dialer as usize].ends.get(&n).is_some_and(|e| e.conn == end.conn) {
                // Both dialed: the first link stands.
                self.slots[dialer as usize].dialing.remove(&n);
                return;
            }
            // A link from before the dialer's restart: the new one shows that it is gone.
            self.slots[n as usize].ends.remove(&dialer);
            let peer = self.slots[dialer as usize].id;
            self.turn(n, Input::LinkDown { peer, reason: LinkRefusal::Silent });
        }
        self.conns += 1;
        let conn = self.conns;
        let delay = self.latency.of(self.seed, n, dialer);
        let up = self.now + delay;
        let end = |at| End { conn, last: [at; 3], unreported: [0; 3], drained: at };
        self.slots[n as usize].ends.insert(dialer, end(up));
        self.slots[dialer as usize].ends.insert(n, end(up));
        self.slots[n as usize].dialing.remove(&dialer);
        self.schedule(up, dialer, What::Up { peer: n, conn, outbound: true });
        let peer = self.slots[dialer as usize].id;
        self.trace.note(self.now, n, 2, &peer.0);
        let (addr, rtt) = (Some(self.addr(dialer)), Some(Span(2 * delay)));
        self.turn(n, Input::LinkUp { peer, addr, outbound: false, rtt });
    }

    pub(super) fn send(&mut self, n: u32, peer: NodeId, lane: Lane, frame: Frame, inputs: &mut Vec<Input>) {
        let Some(p) = self.by_id.get(&peer).copied() else { return };
        let mut delay = self.latency.of(self.seed, n, p);
        let rto = delay * 3 + 25_000;
        if self.jitter > 0.0 {
            delay += (delay as f64 * self.jitter * self.rng.unit()) as u64;
        }
        // Each loss costs a retransmission time-out: QUIC's probe after one and a half round trips and the peer's
        // longest delay of an acknowledgement, doubled each time.
        let mut wait = rto;
        while self.loss > 0.0 && self.rng.unit() < self.loss {
            delay += wait;
            wait *= 2;
        }
        let len = frame.len();
        match lane {
            Lane::Data => self.traffic.payload_frames += 1,
            _ => self.traffic.control_bytes += (len + PACKET) as u64,
        }
        let Some(end) = self.slots[n as usize].ends.get_mut(&p) else { return };
        let at = (self.now + delay).max(end.last[lane as usize]);
        end.last[lane as usize] = at;
        end.drained = end.drained.max(at);
        let unreported = &mut end.unreported[lane as usize];
        *unreported += len;
        if *unreported >= CREDIT {
            inputs.push(Input::SendCredit { peer, lane, bytes: std::mem::take(unreported) });
        }
        let conn = end.conn;
        self.schedule(at, p, What::Frame { from: n, conn, lane, frame });
    }

    pub(super) fn dial(&mut self, n: u32, peer: NodeId, addrs: &[Addr]) {
        self.conns += 1;
        let attempt = self.conns;
        // Only who really listens at one of the addresses can answer.
        let there = self.by_id.get(&peer).copied().filter(|p| addrs.contains(&self.addr(*p)));
        let p = self.by_id.get(&peer).copied().unwrap_or(u32::MAX);
        self.slots[n as usize].dialing.insert(p, attempt);
        self.schedule(self.now + DIAL.0, n, What::DialFailed { peer, attempt });
        if let Some(p) = there.filter(|p| !self.cut(n, *p)) {
            let mut delay = 3 * self.latency.of(self.seed, n, p);
            while self.loss > 0.0 && self.rng.unit() < self.loss {
                delay += 2 * delay;
            }
            self.schedule(self.now + delay, p, What::Accept { dialer: n });
        }
    }

    pub(super) fn close(&mut self, n: u32, peer: NodeId, reason: LinkRefusal, inputs: &mut Vec<Input>) {
        let Some(p) = self.by_id.get(&peer).copied() else { return };
        let Some(end) = self.slots[n as usize].ends.remove(&p) else { return };
        let at = (self.now + self.latency.of(self.seed, n, p)).max(end.drained);
        // Frames that arrive in order before the close are still delivered; those of other lanes may be lost.
        self.schedule(at, p, What::Down { peer: n, conn: end.conn, reason });
        inputs.push(Input::LinkDown { peer, reason: LinkRefusal::Closed });
    }
}
