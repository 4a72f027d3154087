//! What is scheduled happens: arrivals, links coming up and going down, time.

use tidings_proto::io::Input;
use tidings_proto::time::Span;
use tidings_proto::wire::LinkRefusal;

use super::{Network, Scheduled, What, fault};

impl Network {
    pub(super) fn carry(&mut self, s: Scheduled) {
        let n = s.node;
        self.events += 1;
        match s.what {
            // These happen to the network or to the process, not in it.
            What::Wake { start } => return self.wake_up(n, start),
            What::Flap { peer, cut, open, left } => return self.flapped(n, peer, cut, open, left),
            _ => {}
        }
        let slot = &mut self.slots[n as usize];
        if slot.stalled.is_some() {
            if !matches!(s.what, What::Datagram { .. }) || slot.waiting.len() < fault::SOCKET {
                slot.waiting.push_back(s.what);
            }
            return;
        }
        match s.what {
            What::Late(what) => self.happen(n, *what),
            what if slot.slow > Span::ZERO || slot.behind > self.now => {
                let at = slot.behind.max(self.now + slot.slow.0);
                slot.behind = at;
                self.schedule(at, n, What::Late(Box::new(what)));
            }
            what => self.happen(n, what),
        }
    }

    /// Something reaches a process that runs.
    pub(super) fn happen(&mut self, n: u32, what: What) {
        match what {
            What::Tick { at } => {
                if self.slots[n as usize].wake == at {
                    self.slots[n as usize].wake = u64::MAX;
                    self.turn(n, Input::Tick);
                }
            }
            What::Frame { from, conn, lane, frame } => {
                let blocked = self.blocked(from, n) || self.slots[n as usize].deaf;
                let Some(end) = self.slots[n as usize].ends.get_mut(&from).filter(|e| e.conn == conn && !e.severed)
                else {
                    return;
                };
                if end.resume > self.now {
                    let at = end.resume;
                    return self.schedule(at, n, What::Frame { from, conn, lane, frame });
                }
                if blocked {
                    return end.held.push((lane, frame));
                }
                self.trace.note(self.now, n, 1, &frame.head);
                let bytes = self.shared.whole(&frame);
                self.hears(from, n, &bytes);
                let from = self.slots[from as usize].id;
                self.turn(n, Input::Frame { from, lane, bytes });
            }
            What::Datagram { from, conn, bytes } => self.datagram_arrives(n, from, conn, bytes),
            What::Accept { dialer, attempt, first } => self.accept(n, dialer, attempt, first),
            What::Up { peer, conn, outbound } => {
                let id = self.slots[peer as usize].id;
                let slot = &mut self.slots[n as usize];
                slot.dialing.remove(&id);
                if slot.ends.get(&peer).is_none_or(|e| e.conn != conn) || !slot.runs() {
                    return;
                }
                let addr = Some(self.slots[peer as usize].addr);
                let rtt = Some(Span(2 * self.latency.of(self.seed, n, peer)));
                self.trace.note(self.now, n, 2, &id.0);
                self.turn(n, Input::LinkUp { peer: id, addr, outbound, rtt });
            }
            What::Down { peer, conn, reason } => {
                // A close that is lost is noticed by what the far end answers, or by its silence.
                if self.slots[n as usize].ends.get(&peer).is_none_or(|e| e.conn != conn) || self.blocked(peer, n) {
                    return;
                }
                self.slots[n as usize].ends.remove(&peer);
                let peer = self.slots[peer as usize].id;
                self.trace.note(self.now, n, 3, &peer.0);
                self.turn(n, Input::LinkDown { peer, reason });
            }
            What::Idle { peer, conn } => self.idle(n, peer, conn),
            What::DialFailed { peer, attempt } => {
                let slot = &mut self.slots[n as usize];
                if slot.dialing.get(&peer) != Some(&attempt) {
                    return;
                }
                slot.dialing.remove(&peer);
                self.trace.note(self.now, n, 4, &peer.0);
                self.turn(n, Input::DialFailed { peer, reason: LinkRefusal::Timeout });
            }
            What::Credit { peer, lane, bytes } => self.turn(n, Input::SendCredit { peer, lane, bytes }),
            What::Written { start } => self.written(n, start),
            What::Appended { start } => self.appended(n, start),
            What::Late(_) | What::Wake { .. } | What::Flap { .. } => {}
        }
    }
}
