//! What kind of link one is: whether it goes through relays, and whether its peer takes what it is sent.

use super::{Links, State};
use crate::counters::Counters;
use crate::identity::NodeId;
use crate::io::Overlay;
use crate::time::Time;

impl Links {
    /// Whether there is a link to `peer` that goes through no relay.
    pub fn is_direct(&self, peer: &NodeId) -> bool {
        self.map.get(peer).is_some_and(|l| l.state == State::Up && !l.circuit)
    }

    /// Whether this node closes the link to `peer`.
    pub(crate) fn is_closing(&self, peer: &NodeId) -> bool {
        self.map.get(peer).is_some_and(|l| l.state == State::Closing)
    }

    /// Whether the link to `peer` goes through relays.
    pub fn is_circuit(&self, peer: &NodeId) -> bool {
        self.map.get(peer).is_some_and(|l| l.state == State::Up && l.circuit)
    }

    /// Says that the link to `peer`, which has just come up, is a circuit.
    pub(crate) fn set_circuit(&mut self, peer: &NodeId) {
        if let Some(l) = self.map.get_mut(peer) {
            l.circuit = true;
        }
    }

    /// Links for an overlay that are up.
    pub(crate) fn claimed_for(&self, overlay: Overlay) -> usize {
        self.all_up().filter(|p| self.claims(p).iter().any(|c| c.overlay == overlay)).count()
    }

    /// Whether `peer` does not take what it is sent: nothing is pushed to it.
    pub fn is_slow(&self, peer: &NodeId) -> bool {
        self.map.get(peer).is_some_and(|l| l.lanes.is_slow())
    }

    /// Whether something was sent to `peer` since it was last asked whether it reads.
    pub(crate) fn has_unread(&self, peer: &NodeId) -> bool {
        self.map.get(peer).is_some_and(|l| l.unread)
    }

    /// See [`Links::has_unread`].
    pub(crate) fn set_unread(&mut self, peer: &NodeId, unread: bool) {
        if let Some(l) = self.map.get_mut(peer) {
            l.unread = unread;
        }
    }

    /// Whether `peer` was found to read nothing that is sent to it.
    pub(crate) fn is_stuck(&self, peer: &NodeId) -> bool {
        self.map.get(peer).is_some_and(|l| l.stuck)
    }

    /// See [`Links::is_stuck`].
    pub(crate) fn set_stuck(&mut self, peer: &NodeId, stuck: bool) {
        if let Some(l) = self.map.get_mut(peer) {
            l.stuck = stuck;
        }
    }

    /// Whether a batch of `len` bytes may be pushed to `peer`.
    pub(crate) fn may_push(&mut self, counters: &mut Counters, peer: &NodeId, len: usize, now: Time) -> bool {
        let Some(l) = self.map.get_mut(peer).filter(|l| l.state == State::Up) else { return false };
        let before = l.lanes.is_slow();
        let may = l.lanes.may_push(len, now);
        counters.peers_slowed += u64::from(!before && !may);
        may
    }

    /// Whether announcements may be sent to `peer` now.
    pub(crate) fn may_announce(&self, peer: &NodeId) -> bool {
        self.map.get(peer).is_some_and(|l| l.state == State::Up && l.lanes.may_announce())
    }
}
