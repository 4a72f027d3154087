//! What links and circuits bring.

use bytes::Bytes;

use super::{Error, Node};
use crate::circuits::{Circuits, Did};
use crate::identity::{Addr, NodeId};
use crate::io::Output;
use crate::layer::{Cx, Layer, Request, Signal};
use crate::routing::Up;
use crate::time::Span;
use crate::wire::{Lane, LinkRefusal, Message};

impl Node {
    pub(super) fn on_datagram(&mut self, from: NodeId, bytes: Bytes) -> Result<(), Error> {
        self.counters.datagrams_in += 1;
        if !self.links.is_up(&from) || self.left {
            self.counters.datagrams_unexpected += 1;
            return Ok(());
        }
        match Message::parse(bytes) {
            Ok(Some((message @ (Message::Ping(_) | Message::Ack(_)), _))) => {
                self.swim.on_datagram(&mut cx!(self), from, message);
                Ok(())
            }
            Ok(Some((message, _))) => {
                self.counters.frames_wrong_lane += 1;
                Err(Error::Lane { from, name: message.name(), lane: Lane::Probe })
            }
            Ok(None) => {
                self.counters.frames_unknown += 1;
                Ok(())
            }
            Err(error) => {
                self.counters.frames_malformed += 1;
                Err(Error::Wire { from, error })
            }
        }
    }

    pub(super) fn on_link_up(&mut self, peer: NodeId, addr: Option<Addr>, outbound: bool, rtt: Option<Span>) {
        if peer == self.id || self.left {
            self.queues.out.push_back(Output::Close { peer, reason: LinkRefusal::Goodbye });
            return;
        }
        if self.circuits.replaced(&mut cx!(self), &peer) {
            self.links.on_down(&mut self.queues.out, peer);
            self.queues.signals.push_back(Signal::LinkDown { peer, reason: LinkRefusal::Closed, dial: false });
        }
        if self.links.on_up(&mut self.queues.out, &mut self.counters, peer, outbound, self.now.mono) {
            self.topology.reached(peer, addr, outbound, rtt);
            self.queues.signals.push_back(Signal::LinkUp { peer });
        }
    }

    pub(super) fn on_dial_failed(&mut self, peer: NodeId, reason: LinkRefusal) {
        if !self.links.is_up(&peer) && !self.circuits.dial_failed(&mut cx!(self), peer) {
            self.not_linked(peer, reason);
        }
    }

    /// A link ended.
    fn on_link_down(&mut self, peer: NodeId, reason: LinkRefusal) {
        if self.links.on_down(&mut self.queues.out, peer) {
            self.queues.signals.push_back(Signal::LinkDown { peer, reason, dial: false });
        }
    }

    /// A driver says that a link ended. A circuit that took its place meanwhile stands.
    pub(super) fn driver_lost(&mut self, peer: NodeId, reason: LinkRefusal) {
        if !self.links.is_circuit(&peer) {
            self.on_link_down(peer, reason);
        }
    }

    fn not_linked(&mut self, peer: NodeId, reason: LinkRefusal) {
        // A link that came up from the other side meanwhile stands.
        if !self.links.is_up(&peer) && self.links.on_down(&mut self.queues.out, peer) {
            self.queues.signals.push_back(Signal::LinkDown { peer, reason, dial: true });
        }
    }

    /// What came of what went through relays.
    pub(super) fn on_up(&mut self, up: Up) {
        match up {
            Up::Message { from, message, payload, back, .. } if Circuits::is_meant(&message) => {
                self.circuits.on_message(&mut cx!(self), from, *message, &payload, back);
                self.hand_in();
            }
            Up::Lost { to } => {
                self.circuits.lost(&mut cx!(self), to);
                self.hand_in();
            }
            Up::Late { to } => self.circuits.slow(&to),
            up => self.messaging.on_up(&mut cx!(self), up),
        }
    }

    /// Hands in what came of circuits, as a driver would.
    pub(super) fn hand_in(&mut self) {
        for did in self.circuits.take_did() {
            match did {
                Did::Opened(peer, rtt) => {
                    let (out, now) = (&mut self.queues.out, self.now.mono);
                    if self.links.on_up(out, &mut self.counters, peer, false, now) {
                        self.links.set_circuit(&peer);
                        self.topology.reached(peer, None, false, rtt);
                        self.queues.signals.push_back(Signal::LinkUp { peer });
                    }
                }
                Did::Failed(peer, reason) => self.not_linked(peer, reason),
                Did::Ended(peer, reason) => self.on_link_down(peer, reason),
                Did::Said(input) => {
                    // What is wrong with it is counted where it is found.
                    let _ = self.take(input);
                }
            }
        }
    }

    /// Sends what waits at relays and for circuits. Returns whether there was anything.
    pub(super) fn flush_circuits(&mut self) -> bool {
        let any = self.routing.flush(&mut cx!(self)) | self.circuits.flush(&mut cx!(self));
        self.hand_in();
        any
    }

    /// The node goes: what is for circuits leaves through relays while there are links to them.
    pub(super) fn leave_circuits(&mut self) {
        for out in std::mem::take(&mut self.queues.out) {
            let kept = self.circuits.keep(&mut cx!(self), out);
            self.queues.out.extend(kept);
        }
        self.circuits.depart(&mut cx!(self));
        self.hand_in();
        // What comes of it the layers are told when they have left as well.
        for (ticket, request) in std::mem::take(&mut self.queues.requests) {
            match request {
                Request::Convey(c) => self.routing.on_command(&mut cx!(self), *c),
                other => self.queues.requests.push_back((ticket, other)),
            }
        }
    }
}
