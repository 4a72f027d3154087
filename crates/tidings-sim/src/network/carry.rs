//! What is scheduled happens: arrivals, links coming up and going down, time.

use tidings_proto::io::Input;
use tidings_proto::time::Span;
use tidings_proto::wire::LinkRefusal;

use super::{Network, Scheduled, Slot, What};

impl Network {
    pub(super) fn carry(&mut self, s: Scheduled) {
        let n = s.node;
        self.events += 1;
        match s.what {
            What::Tick => {
                if self.slots[n as usize].wake == self.now {
                    self.slots[n as usize].wake = u64::MAX;
                    self.turn(n, Input::Tick);
                }
            }
            What::Frame { from, conn, lane, frame } => {
                if self.slots[n as usize].ends.get(&from).is_none_or(|e| e.conn != conn) {
                    return;
                }
                if self.cut(n, from) {
                    self.held.push(Scheduled { node: n, what: What::Frame { from, conn, lane, frame } });
                    return;
                }
                self.trace.note(self.now, n, 1, &frame.head);
                let from = self.slots[from as usize].id;
                self.turn(n, Input::Frame { from, lane, bytes: frame.to_bytes() });
            }
            What::Datagram { from, conn, bytes } => self.datagram_arrives(n, from, conn, bytes),
            What::Accept { dialer } => self.accept(n, dialer),
            What::Up { peer, conn, outbound } => {
                let slot = &mut self.slots[n as usize];
                slot.dialing.remove(&peer);
                if slot.ends.get(&peer).is_none_or(|e| e.conn != conn) || slot.node.is_none() {
                    return;
                }
                let addr = Some(self.addr(peer));
                let rtt = Some(Span(2 * self.latency.of(self.seed, n, peer)));
                let peer = self.slots[peer as usize].id;
                self.trace.note(self.now, n, 2, &peer.0);
                self.turn(n, Input::LinkUp { peer, addr, outbound, rtt });
            }
            What::Down { peer, conn, reason } => {
                let slot = &mut self.slots[n as usize];
                if slot.ends.get(&peer).is_none_or(|e| e.conn != conn) {
                    return;
                }
                // A partition that healed in time leaves the link as it was.
                let lives = |a: &Slot| a.node.is_some() && a.ends.get(&n).is_some_and(|e| e.conn == conn);
                if reason == LinkRefusal::Silent && lives(&self.slots[peer as usize]) && !self.cut(n, peer) {
                    return;
                }
                self.slots[n as usize].ends.remove(&peer);
                let peer = self.slots[peer as usize].id;
                self.trace.note(self.now, n, 3, &peer.0);
                self.turn(n, Input::LinkDown { peer, reason });
            }
            What::DialFailed { peer, attempt } => {
                let p = self.by_id.get(&peer).copied().unwrap_or(u32::MAX);
                let slot = &mut self.slots[n as usize];
                if slot.dialing.get(&p) != Some(&attempt) {
                    return;
                }
                slot.dialing.remove(&p);
                self.trace.note(self.now, n, 4, &peer.0);
                self.turn(n, Input::DialFailed { peer, reason: LinkRefusal::Timeout });
            }
        }
    }
}
