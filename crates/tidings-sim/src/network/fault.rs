//! What can go wrong besides crashes: partitions, cuts in one direction, flapping links, stopped and slow processes,
//! changes of address.

use std::net::{SocketAddr, SocketAddrV4};

use tidings_proto::identity::Addr;
use tidings_proto::io::{Command, Input, Ticket};
use tidings_proto::time::Span;
use tidings_proto::wire::{Lane, LinkRefusal};

use super::{IDLE, Network, What};

/// After a cut, the next retransmission comes within the time the cut lasted (each is as late again as the ones before
/// together), and within a second (a probe of the failure detector goes out on each link, and its acknowledgement
/// shows what is missing).
const RETRY: u64 = 1_000_000;
/// Datagrams that wait for a stopped process: Linux keeps 208 KiB a socket and counts 768 bytes for a small packet.
pub(super) const SOCKET: usize = 277;

impl Network {
    /// Cuts the network in two: the nodes of `side`, and the others.
    pub fn partition(&mut self, side: &[u32]) {
        let mut inside = vec![0; self.slots.len()];
        for n in side {
            inside[*n as usize] = 1;
        }
        for (a, b) in self.pairs(|a, b| inside[a as usize] != inside[b as usize]) {
            self.hush(a, b);
        }
        for (s, group) in self.slots.iter_mut().zip(inside) {
            s.group = group;
        }
        self.partitioned = true;
    }

    /// Heals the partition. Links that did not time out go on where they were.
    pub fn heal(&mut self) {
        let cut = self.pairs(|a, b| self.slots[a as usize].group != self.slots[b as usize].group);
        self.partitioned = false;
        for s in &mut self.slots {
            s.group = 0;
        }
        for (a, b) in cut {
            self.reopen(a, b);
        }
    }

    /// From now on nobody can dial a node, as behind an address translation or a firewall that lets nothing in; it dials others,
    /// and the links it has stay.
    pub fn shield(&mut self, n: u32) {
        self.slots[n as usize].shielded = true;
    }

    /// Whether nobody can dial a node.
    pub fn is_shielded(&self, n: u32) -> bool {
        self.slots[n as usize].shielded
    }

    /// Limits what a node can send of large messages' contents, to so many bytes a second.
    pub fn limit_uplink(&mut self, n: u32, bytes_per_s: u64) {
        self.slots[n as usize].uplink = Some(bytes_per_s);
    }

    /// From now on `to` gets nothing that `from` sends; the other direction works.
    pub fn cut_way(&mut self, from: u32, to: u32) {
        self.hush(from, to);
        self.cuts.insert((from, to));
    }

    /// Ends [`Network::cut_way`].
    pub fn mend_way(&mut self, from: u32, to: u32) {
        if self.cuts.remove(&(from, to)) {
            self.reopen(from, to);
            self.expect_reset(from, to);
        }
    }

    /// Cuts the link of a pair in both directions for `cut`, mends it for `open`, and again, `times` times in all.
    pub fn flap(&mut self, a: u32, b: u32, cut: Span, open: Span, times: u32) {
        if times > 0 {
            self.cut_way(a, b);
            self.cut_way(b, a);
            self.schedule(self.now + cut.0, a, What::Flap { peer: b, cut, open, left: times - 1 });
        }
    }

    /// A flapping link is mended, and cut again later; or the other way round.
    pub(super) fn flapped(&mut self, a: u32, b: u32, cut: Span, open: Span, left: u32) {
        if self.cuts.contains(&(a, b)) {
            self.mend_way(a, b);
            self.mend_way(b, a);
            self.schedule(self.now + open.0, a, What::Flap { peer: b, cut, open, left });
        } else {
            self.flap(a, b, cut, open, left);
        }
    }

    /// Stops a node's process for a while, as SIGSTOP does: what arrives waits in order, timers are late, and no
    /// keep-alive is sent. After more than the idle time-out its links are gone.
    pub fn stall(&mut self, n: u32, span: Span) {
        if !self.slots[n as usize].runs() || self.slots[n as usize].stalled.is_some() {
            return;
        }
        self.fall_silent(n);
        let slot = &mut self.slots[n as usize];
        slot.stalled = Some(self.now);
        let start = slot.starts;
        self.schedule(self.now + span.0, n, What::Wake { start });
    }

    /// Whether a node's process is stopped.
    pub fn stalled(&self, n: u32) -> bool {
        self.slots[n as usize].stalled.is_some()
    }

    pub(super) fn wake_up(&mut self, n: u32, start: u64) {
        let slot = &mut self.slots[n as usize];
        if slot.starts != start {
            return;
        }
        let Some(since) = slot.stalled.take() else { return };
        if self.now - since >= IDLE.0 {
            // The transport's own timers are due before it reads what waits.
            let peers: Vec<u32> = slot.ends.keys().copied().collect();
            for p in peers {
                self.break_link(n, p, LinkRefusal::Silent);
            }
        }
        for what in std::mem::take(&mut self.slots[n as usize].waiting) {
            self.happen(n, what);
        }
    }

    /// From now on a node handles everything this much later; zero ends it.
    pub fn slow_down(&mut self, n: u32, by: Span) {
        self.slots[n as usize].slow = by;
    }

    /// From now on a node reads nothing from its streams, though it lives and answers probes: a program that hangs.
    /// Nothing that is sent to it makes room. (QUIC would take one window more.)
    pub fn stop_reading(&mut self, n: u32) {
        self.slots[n as usize].deaf = true;
    }

    /// Ends [`Network::stop_reading`]: everything that waits is read, in order, and makes room.
    pub fn read_again(&mut self, n: u32) {
        self.slots[n as usize].deaf = false;
        let me = self.slots[n as usize].id;
        let peers: Vec<u32> = self.slots[n as usize].ends.keys().copied().collect();
        for p in peers {
            if self.blocked(p, n) {
                continue;
            }
            let Some(end) = self.slots[n as usize].ends.get_mut(&p) else { continue };
            let conn = end.conn;
            for (lane, frame) in std::mem::take(&mut end.held) {
                self.schedule(self.now, n, What::Frame { from: p, conn, lane, frame });
            }
            for lane in Lane::STREAMS {
                let end = self.slots[p as usize].ends.get_mut(&n).filter(|e| e.conn == conn);
                let bytes = end.map_or(0, |e| std::mem::take(&mut e.unreported[lane as usize]));
                if bytes > 0 {
                    self.turn(p, Input::SendCredit { peer: me, lane, bytes });
                }
            }
        }
    }

    /// Gives a node another address under the same id. Its links survive if the transport `migrates` them, else they
    /// fall silent at both ends.
    pub fn readdress(&mut self, n: u32, addr: SocketAddrV4, migrates: bool) {
        if !migrates {
            let peers: Vec<u32> = self.slots[n as usize].ends.keys().copied().collect();
            for p in peers {
                self.hush(n, p);
                self.hush(p, n);
                for (a, b) in [(n, p), (p, n)] {
                    if let Some(end) = self.slots[a as usize].ends.get_mut(&b) {
                        end.severed = true;
                    }
                }
            }
        }
        self.slots[n as usize].addr = Addr::Socket(SocketAddr::V4(addr));
        let addrs = vec![self.slots[n as usize].addr];
        self.command(n, Ticket(0), Command::SetAddrs { addrs });
    }

    /// The directed pairs with a link end that fulfil `which`: (other end, this end).
    fn pairs(&self, which: impl Fn(u32, u32) -> bool) -> Vec<(u32, u32)> {
        let mut all = Vec::new();
        for (n, slot) in self.slots.iter().enumerate() {
            all.extend(slot.ends.keys().map(|p| (*p, n as u32)).filter(|(p, n)| which(*p, *n)));
        }
        all
    }

    /// Packets from `from` reach `to` again: what was held comes with the next retransmission.
    fn reopen(&mut self, from: u32, to: u32) {
        self.expect_reset(to, from);
        let delay = 2 * self.latency.of(self.seed, from, to);
        let at = self.now + delay + self.rng.between(0, RETRY);
        let Some(end) = self.slots[to as usize].ends.get_mut(&from) else { return };
        end.resume = end.resume.max(at);
        let (at, conn) = (end.resume, end.conn);
        for (lane, frame) in std::mem::take(&mut end.held) {
            self.schedule(at, to, What::Frame { from, conn, lane, frame });
        }
    }
}
