//! The links of a node, shared by its layers through counted claims.
//!
//! A layer claims a link for an overlay and releases it; the link is dialed at the first claim. It closes when
//! neither end holds a claim: the end that lets go says `Release`, and whoever receives or sends one while holding
//! none itself closes. So leaving one topic never cuts a link that another topic, here or there, still needs.
//!
//! Invariants: a link with a claim is never closed by us; at most `max` links exist; bytes sent on a lane never
//! exceed [`Lane::budget`] beyond what the driver reported as written, nor those of all links together [`UNSENT`] and
//! [`SHARE`] for each. When a peer is too slow: `links/lanes.rs`.

mod lanes;
mod manner;
mod room;

use crate::counters::Counters;
use crate::id_map::IdMap;
use crate::identity::{Addr, NodeId};
use crate::io::{Output, Overlay};
use crate::time::Time;
use crate::wire::{Frame, Lane, LinkRefusal, MAX_FRAME, Message, Release};
use lanes::Lanes;
pub(crate) use lanes::REPAIR;

/// Bytes that may wait unsent on the data and bulk lanes of all links together (a guess: sixteen full lanes), and what
/// each lane may hold beyond: two of the largest frames.
pub const UNSENT: usize = 64 << 20;
/// See [`UNSENT`].
pub const SHARE: usize = 2 * MAX_FRAME;
/// Links beyond the limit that may exist for a moment, so that a newcomer can be told that we are full.
const SLACK: usize = 8;

/// Frames that wait for one link to come up, or travel with its dial (a guess: a question or two).
const WAITING: usize = 8;

/// Who holds a link open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The layer, by number.
    pub layer: u8,
    /// For which overlay.
    pub overlay: Overlay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Dialing,
    Up,
    /// Closed by us; a claim made meanwhile dials again when the end is reported.
    Closing,
}

#[derive(Debug)]
struct Link {
    state: State,
    claims: Vec<Claim>,
    peer_released: bool,
    /// We said that we need it no more, and have heard nothing since: the peer may be closing it.
    released: bool,
    outbound: bool,
    /// It goes through relays (`circuits/`).
    circuit: bool,
    lanes: Lanes,
    /// Something was sent since the peer was last asked whether it reads.
    unread: bool,
    /// It did not say so when it was asked.
    stuck: bool,
    last_heard: Time,
    redial: Vec<Addr>,
    /// What is sent with the dial, and again if the peer's own comes through instead.
    with_dial: Vec<Frame>,
    /// What is sent when the link is up.
    when_up: Vec<Frame>,
}

/// Why a link cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is up.
    Up,
    /// It is being dialed.
    Dialing,
    /// As many links as allowed are there.
    Full,
    /// There is no link, and no address to dial.
    NoAddress,
}

/// The table of links.
#[derive(Debug)]
pub struct Links {
    map: IdMap<Link>,
    max: usize,
    /// What waits on the data and bulk lanes of all links.
    unsent: usize,
    /// When anything came last.
    heard: Time,
}

impl Link {
    fn unsent(&self) -> usize {
        self.lanes.waiting(Lane::Data) + self.lanes.waiting(Lane::Bulk)
    }
}

impl Links {
    pub(crate) fn new(max: usize) -> Self {
        Links { map: IdMap::default(), max, unsent: 0, heard: Time::default() }
    }

    /// Whether frames can be sent to `peer`.
    pub fn is_up(&self, peer: &NodeId) -> bool {
        self.map.get(peer).is_some_and(|l| l.state == State::Up)
    }

    /// Whether we dialed `peer`.
    pub fn outbound(&self, peer: &NodeId) -> bool {
        self.map.get(peer).is_some_and(|l| l.outbound && !l.circuit)
    }

    /// Links that exist or are being dialed.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The peers with a link that is up and goes through no relay, in id order.
    pub fn up(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.map.iter().filter(|(_, l)| l.state == State::Up && !l.circuit).map(|(p, _)| *p)
    }

    /// The peers with a link that is up, circuits too, in id order.
    pub fn all_up(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.map.iter().filter(|(_, l)| l.state == State::Up).map(|(p, _)| *p)
    }

    /// Who holds the link to `peer` open.
    pub fn claims(&self, peer: &NodeId) -> &[Claim] {
        self.map.get(peer).map_or(&[], |l| &l.claims)
    }

    /// Bytes that can be sent to `peer` on `lane` now.
    pub fn credit(&self, peer: &NodeId, lane: Lane) -> usize {
        match self.map.get(peer) {
            Some(l) if l.state == State::Up => self.room(l, lane),
            _ => 0,
        }
    }

    /// Bytes that fit a lane, its own budget and that of all links considered.
    fn room(&self, l: &Link, lane: Lane) -> usize {
        let all = match lane {
            Lane::Data | Lane::Bulk => {
                (UNSENT.saturating_sub(self.unsent)).max(SHARE.saturating_sub(l.lanes.waiting(lane)))
            }
            Lane::Control | Lane::Probe => usize::MAX,
        };
        l.lanes.credit(lane).min(all)
    }

    /// Bytes that wait unsent on the data and bulk lanes of all links.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Claims the link to `peer`, dialing it if there is none.
    pub(crate) fn claim(
        &mut self,
        out: &mut impl Extend<Output>,
        counters: &mut Counters,
        peer: NodeId,
        claim: Claim,
        addrs: &[Addr],
    ) -> Claimed {
        self.claim_saying(out, counters, peer, claim, addrs, None)
    }

    /// Claims the link to `peer`, and says `frame` on its control lane: at once, with the dial, or when it is up.
    pub(crate) fn claim_saying(
        &mut self,
        out: &mut impl Extend<Output>,
        counters: &mut Counters,
        peer: NodeId,
        claim: Claim,
        addrs: &[Addr],
        frame: Option<Frame>,
    ) -> Claimed {
        if let Some(l) = self.map.get_mut(&peer) {
            if !l.claims.contains(&claim) {
                l.claims.push(claim);
            }
            match l.state {
                State::Up => {
                    if l.released && l.redial.is_empty() {
                        l.redial = addrs.to_vec();
                    }
                    if let Some(frame) = frame {
                        if l.released && l.when_up.len() < WAITING {
                            l.when_up.push(frame.clone());
                        }
                        self.send(out, counters, peer, Lane::Control, frame);
                    }
                    return Claimed::Up;
                }
                State::Dialing => {}
                State::Closing => l.redial = addrs.to_vec(),
            }
            match frame {
                Some(_) if l.when_up.len() >= WAITING => counters.control_overflow += 1,
                Some(frame) => l.when_up.push(frame),
                None => {}
            }
            return Claimed::Dialing;
        }
        if addrs.is_empty() {
            return Claimed::NoAddress;
        }
        if !self.has_room(out, counters) {
            counters.links_refused += 1;
            return Claimed::Full;
        }
        self.map.insert(
            peer,
            Link {
                state: State::Dialing,
                claims: vec![claim],
                peer_released: false,
                released: false,
                outbound: true,
                circuit: false,
                lanes: Lanes::empty(),
                unread: false,
                stuck: false,
                last_heard: Time::default(),
                redial: Vec::new(),
                with_dial: frame.clone().into_iter().collect(),
                when_up: Vec::new(),
            },
        );
        let first: Vec<Frame> = frame.into_iter().collect();
        count_first(counters, &first);
        out.extend([Output::Dial { peer, addrs: addrs.to_vec(), first }]);
        Claimed::Dialing
    }

    /// Gives a claim back; the link closes when neither end has one left.
    pub(crate) fn release(
        &mut self,
        out: &mut impl Extend<Output>,
        counters: &mut Counters,
        peer: NodeId,
        claim: Claim,
    ) {
        let Some(l) = self.map.get_mut(&peer) else { return };
        let before = l.claims.len();
        l.claims.retain(|c| *c != claim);
        if l.claims.len() == before || !l.claims.is_empty() || l.state != State::Up {
            return;
        }
        self.let_go(out, counters, peer);
    }

    fn let_go(&mut self, out: &mut impl Extend<Output>, counters: &mut Counters, peer: NodeId) {
        self.send(out, counters, peer, Lane::Control, Message::Release(Release {}).frame());
        if let Some(l) = self.map.get_mut(&peer) {
            l.released = true;
            l.redial.clear();
        }
        if self.map.get(&peer).is_some_and(|l| l.peer_released) {
            self.close(out, peer, LinkRefusal::Closed);
            counters.links_reaped += 1;
        }
    }

    pub(crate) fn close(&mut self, out: &mut impl Extend<Output>, peer: NodeId, reason: LinkRefusal) {
        if let Some(l) = self.map.get_mut(&peer).filter(|l| l.state == State::Up) {
            l.state = State::Closing;
            out.extend([Output::Close { peer, reason }]);
        }
    }

    /// The peer has no claim left.
    pub(crate) fn on_release(&mut self, out: &mut impl Extend<Output>, counters: &mut Counters, peer: NodeId) {
        let Some(l) = self.map.get_mut(&peer) else { return };
        l.peer_released = true;
        if l.claims.is_empty() {
            self.close(out, peer, LinkRefusal::Closed);
            counters.links_reaped += 1;
        }
    }

    pub(crate) fn on_frame(&mut self, peer: &NodeId, now: Time) {
        self.heard = self.heard.max(now);
        if let Some(l) = self.map.get_mut(peer) {
            l.last_heard = now;
            l.peer_released = false;
            if std::mem::take(&mut l.released) && l.state == State::Up {
                l.redial.clear();
                l.when_up.clear();
            }
        }
    }

    pub(crate) fn on_credit(&mut self, peer: &NodeId, lane: Lane, bytes: usize, now: Time) {
        if let Some(l) = self.map.get_mut(peer) {
            let given = l.lanes.give(lane, bytes, now);
            if matches!(lane, Lane::Data | Lane::Bulk) {
                self.unsent -= given;
            }
        }
    }

    /// A link came up. Returns false if it is refused because there are too many.
    pub(crate) fn on_up(
        &mut self,
        out: &mut impl Extend<Output>,
        counters: &mut Counters,
        peer: NodeId,
        outbound: bool,
        now: Time,
    ) -> bool {
        self.heard = self.heard.max(now);
        let full = !self.map.contains_key(&peer) && !self.has_room(out, counters);
        let over = self.map.len() >= self.max + SLACK;
        match self.map.get_mut(&peer) {
            Some(l) => {
                l.state = State::Up;
                (l.outbound, l.circuit) = (outbound, false);
                self.unsent -= l.unsent();
                l.lanes = Lanes::empty();
                (l.unread, l.stuck) = (false, false);
                l.last_heard = now;
                l.peer_released = false;
                l.released = false;
                let mut waiting = std::mem::take(&mut l.with_dial);
                if outbound {
                    // They came with the handshake.
                    waiting.clear();
                }
                waiting.append(&mut l.when_up);
                for frame in waiting {
                    self.send(out, counters, peer, Lane::Control, frame);
                }
            }
            None if over || (full && !outbound) => {
                counters.links_refused += 1;
                out.extend([Output::Close { peer, reason: LinkRefusal::Full }]);
                return false;
            }
            None => {
                self.map.insert(
                    peer,
                    Link {
                        state: State::Up,
                        claims: Vec::new(),
                        peer_released: false,
                        released: false,
                        outbound,
                        circuit: false,
                        lanes: Lanes::empty(),
                        unread: false,
                        stuck: false,
                        last_heard: now,
                        redial: Vec::new(),
                        with_dial: Vec::new(),
                        when_up: Vec::new(),
                    },
                );
            }
        }
        if outbound && self.map.get(&peer).is_some_and(|l| l.claims.is_empty()) {
            self.let_go(out, counters, peer);
        }
        true
    }

    /// A link ended, or could not be dialed. Returns false if it is being dialed again for a newer claim.
    pub(crate) fn on_down(&mut self, out: &mut impl Extend<Output>, peer: NodeId) -> bool {
        let Some(l) = self.map.get_mut(&peer) else { return true };
        self.unsent -= l.unsent();
        l.lanes = Lanes::empty();
        // Closed by us, or by the peer that was told that we need it no more: somebody does by now.
        if (l.state == State::Closing || l.released) && !l.claims.is_empty() && !l.redial.is_empty() {
            l.state = State::Dialing;
            l.released = false;
            (l.outbound, l.circuit) = (true, false);
            let addrs = std::mem::take(&mut l.redial);
            let first = std::mem::take(&mut l.when_up);
            l.with_dial.clone_from(&first);
            // Counted as those of a first dial are.
            out.extend([Output::Dial { peer, addrs, first }]);
            return false;
        }
        self.map.remove(&peer);
        true
    }

    /// Sends a frame. Returns whether it was handed to the driver.
    pub(crate) fn send(
        &mut self,
        out: &mut impl Extend<Output>,
        counters: &mut Counters,
        peer: NodeId,
        lane: Lane,
        frame: Frame,
    ) -> bool {
        let len = frame.len();
        if !self.is_up(&peer) {
            counters.frames_unsendable += 1;
            return false;
        }
        if self.credit(&peer, lane) < len {
            if lane == Lane::Control {
                counters.control_overflow += 1;
            }
            return false;
        }
        if let Some(l) = self.map.get_mut(&peer) {
            l.lanes.spend(lane, len);
            l.unread = true;
        }
        counters.frames_out += 1;
        match lane {
            Lane::Control => counters.control_bytes_out += len as u64,
            Lane::Bulk => {
                self.unsent += len;
                counters.bulk_bytes_out += len as u64;
            }
            _ => {
                self.unsent += len;
                counters.data_bytes_out += len as u64;
            }
        }
        out.extend([Output::Send { peer, lane, frame }]);
        true
    }
}

fn count_first(counters: &mut Counters, first: &[Frame]) {
    counters.frames_out += first.len() as u64;
    counters.control_bytes_out += first.iter().map(|f| f.len() as u64).sum::<u64>();
}

#[cfg(test)]
mod tests;
