//! When a link breaks because its other end falls silent.
//!
//! QUIC sends a keep-alive on a quiet link every third of the idle time-out, and the other end acknowledges it. So a
//! link lives as long as both processes run and packets pass both ways, however little the nodes say; and an end that
//! hears nothing for the idle time-out breaks its link without a word. Keep-alives are not simulated one by one:
//! whatever makes an end inaudible (death, a stop of its process, a cut, its own broken link, another address) notes
//! when it was last heard and sets a time-out, which breaks the link only if the end has been inaudible ever since.
//!
//! A process that answers for a link it no longer has sends a stateless reset, so the far end need not wait for its
//! own time-out; a process that started again cannot (its reset key is new).

use tidings_proto::io::Input;
use tidings_proto::wire::LinkRefusal;

use super::{IDLE, Network, What};

/// On a living link something is sent at least this often (each link is probed once a second; without, a keep-alive
/// would come after a third of the idle time-out).
const SPOKEN: u64 = 1_000_000;

impl Network {
    /// Whether packets from `from` to `to` vanish on the way.
    pub(super) fn blocked(&self, from: u32, to: u32) -> bool {
        (self.partitioned && self.slots[from as usize].group != self.slots[to as usize].group)
            || (!self.cuts.is_empty() && self.cuts.contains(&(from, to)))
    }

    /// Whether a packet vanishes in either direction: no handshake, no acknowledgement.
    pub(super) fn cut(&self, a: u32, b: u32) -> bool {
        self.blocked(a, b) || self.blocked(b, a)
    }

    /// Whether `to` hears nothing of `from` on their link.
    fn mute(&self, from: u32, to: u32, conn: u64) -> bool {
        let slot = &self.slots[from as usize];
        !slot.runs()
            || slot.stalled.is_some()
            || slot.ends.get(&to).is_none_or(|e| e.conn != conn || e.severed)
            || self.blocked(from, to)
    }

    /// `to` is about to stop hearing `from`, if it still does.
    pub(super) fn hush(&mut self, from: u32, to: u32) {
        let Some(conn) = self.slots[to as usize].ends.get(&from).map(|e| e.conn) else { return };
        if self.mute(from, to, conn) {
            return;
        }
        let heard = self.now + self.latency.of(self.seed, from, to);
        if let Some(end) = self.slots[to as usize].ends.get_mut(&from) {
            end.heard = heard;
        }
        self.schedule(heard + IDLE.0, to, What::Idle { peer: from, conn });
    }

    /// All peers of `n` are about to stop hearing it.
    pub(super) fn fall_silent(&mut self, n: u32) {
        let peers: Vec<u32> = self.slots[n as usize].ends.keys().copied().collect();
        for p in peers {
            self.hush(n, p);
        }
    }

    /// The link of `n` to `peer` is one the peer no longer has: the next packet will say so.
    pub(super) fn expect_reset(&mut self, n: u32, peer: u32) {
        let Some(conn) = self.slots[n as usize].ends.get(&peer).map(|e| e.conn) else { return };
        if self.slots[peer as usize].ends.get(&n).is_some_and(|e| e.conn == conn) {
            return;
        }
        let at = self.now + 2 * self.latency.of(self.seed, n, peer) + self.rng.between(0, SPOKEN);
        self.schedule(at, n, What::Idle { peer, conn });
    }

    /// A time-out of the link of `n` to `peer`: breaks it, if the peer was silent all the while, or resets it.
    pub(super) fn idle(&mut self, n: u32, peer: u32, conn: u64) {
        let Some(end) = self.slots[n as usize].ends.get(&peer).filter(|e| e.conn == conn) else { return };
        let far = &self.slots[peer as usize];
        let reset = far.ends.get(&n).is_none_or(|e| e.conn != conn)
            && far.runs()
            && far.stalled.is_none()
            && far.starts == end.peer_start
            && !end.severed
            && !self.cut(n, peer);
        let silent = end.heard + IDLE.0 <= self.now && self.mute(peer, n, conn);
        if reset || silent {
            self.break_link(n, peer, LinkRefusal::Silent);
        }
    }

    /// `n` loses its end of a link without telling the peer.
    pub(super) fn break_link(&mut self, n: u32, peer: u32, reason: LinkRefusal) {
        self.hush(n, peer);
        if self.slots[n as usize].ends.remove(&peer).is_none() {
            return;
        }
        self.expect_reset(peer, n);
        let peer = self.slots[peer as usize].id;
        self.trace.note(self.now, n, 3, &peer.0);
        self.turn(n, Input::LinkDown { peer, reason });
    }
}
