//! The links of the simulated network: dialing, accepting, sending, closing.

use tidings_proto::identity::{Addr, NodeId};
use tidings_proto::io::Input;
use tidings_proto::time::Span;
use tidings_proto::wire::{Frame, Lane, LinkRefusal, Message};

use super::{CREDIT, DIAL, End, Network, PACKET, Slot, What};

impl Network {
    /// A dial reached its end: the acceptor is up now, the dialer one delay later.
    pub(super) fn accept(&mut self, n: u32, dialer: u32, attempt: u64, first: Vec<Frame>) {
        // The handshake needs both processes, and packets both ways.
        let awake = |s: &Slot| s.runs() && s.stalled.is_none();
        if !awake(&self.slots[n as usize]) || !awake(&self.slots[dialer as usize]) || self.cut(n, dialer) {
            return;
        }
        let (id, dialer_id) = (self.slots[n as usize].id, self.slots[dialer as usize].id);
        if self.slots[dialer as usize].dialing.get(&id) != Some(&attempt) {
            return;
        }
        // One link a key: the first stands if both dialed at once; one from before the dialer's restart, or to
        // another process with its key, makes way.
        if let Some(old) = self.linked(n, &dialer_id)
            && let Some(end) = self.slots[n as usize].ends.get(&old)
        {
            let conn = end.conn;
            if self.slots[dialer as usize].ends.get(&n).is_some_and(|e| e.conn == conn) {
                self.slots[dialer as usize].dialing.remove(&id);
                return;
            }
            self.part(n, old, LinkRefusal::Closed);
            self.turn(n, Input::LinkDown { peer: dialer_id, reason: LinkRefusal::Closed });
        }
        self.conns += 1;
        let conn = self.conns;
        let delay = self.latency.of(self.seed, n, dialer);
        let up = self.now + delay;
        for (a, b) in [(n, dialer), (dialer, n)] {
            let peer_start = self.slots[b as usize].starts;
            let end = End {
                conn,
                peer_start,
                last: [up; 3],
                unreported: [0; 3],
                drained: up,
                heard: up,
                resume: 0,
                held: Vec::new(),
                severed: false,
            };
            self.slots[a as usize].ends.insert(b, end);
        }
        self.slots[n as usize].dialing.remove(&dialer_id);
        self.schedule(up, dialer, What::Up { peer: n, conn, outbound: true });
        self.trace.note(self.now, n, 2, &dialer_id.0);
        let (addr, rtt) = (Some(self.slots[dialer as usize].addr), Some(Span(2 * delay)));
        self.turn(n, Input::LinkUp { peer: dialer_id, addr, outbound: false, rtt });
        for frame in first {
            let bytes = frame.to_bytes();
            self.hears(dialer, n, &bytes);
            self.trace.note(self.now, n, 1, &frame.head);
            self.turn(n, Input::Frame { from: dialer_id, lane: Lane::Control, bytes });
        }
    }

    pub(super) fn send(&mut self, n: u32, peer: NodeId, lane: Lane, frame: Frame, inputs: &mut Vec<Input>) {
        let Some(p) = self.linked(n, &peer) else { return };
        if lane == Lane::Probe {
            self.break_run(format!("node {n} sent a frame on the lane of datagrams"));
            return;
        }
        let Some(frame) = self.lied(n, lane, frame) else { return };
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
        let of_topics = !self.count_records(lane, &frame);
        match lane {
            Lane::Data => {
                self.traffic.payload_frames += 1;
                self.traffic.payload_bytes += (len + PACKET) as u64;
            }
            Lane::Bulk if !of_topics => {}
            Lane::Bulk => {
                if let Ok(Some((Message::Bundle(b), _))) = Message::parse(frame.to_bytes()) {
                    self.traffic.payload_frames += b.batches.len() as u64;
                }
                self.traffic.bulk_bytes += (len + PACKET) as u64;
            }
            _ => {
                self.traffic.control_bytes += (len + PACKET) as u64;
                let compares = of_topics && frame.head.get(1).is_some_and(|tag| (50..60).contains(tag));
                self.traffic.comparing_bytes += if compares { (len + PACKET) as u64 } else { 0 };
            }
        }
        let slot = &mut self.slots[n as usize];
        let uplink = slot.uplink.filter(|_| lane == Lane::Bulk);
        if let Some(rate) = uplink {
            slot.busy = slot.busy.max(self.now) + (len + PACKET) as u64 * 1_000_000 / rate;
            let gone = slot.busy;
            delay += gone - self.now;
            self.schedule(gone, n, What::Credit { peer, lane, bytes: len });
        }
        let cut = self.cut(n, p) || self.slots[p as usize].deaf;
        let Some(end) = self.slots[n as usize].ends.get_mut(&p) else { return };
        let at = (self.now + delay).max(end.last[lane as usize]);
        end.last[lane as usize] = at;
        end.drained = end.drained.max(at);
        let unreported = &mut end.unreported[lane as usize];
        if uplink.is_none() {
            *unreported += len;
        }
        // Nothing is acknowledged across a cut, and nothing taken by who does not read, so nothing makes room.
        if *unreported >= CREDIT && !cut {
            inputs.push(Input::SendCredit { peer, lane, bytes: std::mem::take(unreported) });
        }
        let conn = end.conn;
        self.schedule(at, p, What::Frame { from: n, conn, lane, frame: Box::new(frame) });
    }

    pub(super) fn dial(&mut self, n: u32, peer: NodeId, addrs: &[Addr], first: Vec<Frame>) {
        self.conns += 1;
        let attempt = self.conns;
        // Only who really listens at one of the addresses can answer.
        let known = self.by_id.get(&peer);
        let others = self.clones.get(&peer).into_iter().flatten().copied();
        let there = known.into_iter().chain(others).find(|p| addrs.contains(&self.slots[*p as usize].addr));
        self.slots[n as usize].dialing.insert(peer, attempt);
        self.traffic.control_bytes += first.iter().map(|f| (f.len() + PACKET) as u64).sum::<u64>();
        self.schedule(self.now + DIAL.0, n, What::DialFailed { peer, attempt });
        if let Some(p) = there.filter(|p| !self.cut(n, *p) && !self.slots[*p as usize].shielded) {
            let mut delay = 3 * self.latency.of(self.seed, n, p);
            while self.loss > 0.0 && self.rng.unit() < self.loss {
                delay += 2 * delay;
            }
            self.schedule(self.now + delay, p, What::Accept { dialer: n, attempt, first });
        }
    }

    pub(super) fn close(&mut self, n: u32, peer: NodeId, reason: LinkRefusal, inputs: &mut Vec<Input>) {
        let Some(p) = self.linked(n, &peer) else { return };
        if self.part(n, p, reason) {
            inputs.push(Input::LinkDown { peer, reason: LinkRefusal::Closed });
        }
    }

    /// Takes the end of `n` away and tells the other one. Returns whether there was a link.
    fn part(&mut self, n: u32, p: u32, reason: LinkRefusal) -> bool {
        self.hush(n, p);
        let Some(end) = self.slots[n as usize].ends.remove(&p) else { return false };
        let mut at = (self.now + self.latency.of(self.seed, n, p)).max(end.drained);
        if let Some(far) = self.slots[p as usize].ends.get(&n).filter(|e| e.conn == end.conn) {
            at = at.max(far.resume);
        }
        // Frames that arrive in order before the close are still delivered; those of other lanes may be lost.
        self.schedule(at, p, What::Down { peer: n, conn: end.conn, reason });
        true
    }
}
