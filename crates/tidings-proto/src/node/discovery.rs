//! Where what is about discovery goes.

use bytes::Bytes;

use super::Node;
use crate::discovery::index::Index;
use crate::discovery::{foaf, rendezvous};
use crate::identity::NodeId;
use crate::io::{Command, Ticket};
use crate::layer::{Cx, Layer};
use crate::wire::Message;

/// Whether a message is discovery's.
pub(super) fn is_ours(m: &Message) -> bool {
    (85..100).contains(&m.tag())
}

impl Node {
    pub(super) fn on_discovery(&mut self, from: NodeId, message: Message, payload: Bytes) {
        match message.tag() {
            85..90 => self.foaf.on_frame(&mut cx!(self), from, message, payload),
            96..98 => self.reach.on_message(&mut cx!(self), from, message),
            _ => self.rendezvous.on_frame(&mut cx!(self), from, message, payload),
        }
    }

    pub(super) fn discover(&mut self, ticket: Ticket, command: &Command) {
        let cx = &mut cx!(self);
        match *command {
            Command::FindAgent { agent } => self.foaf.on_command(cx, foaf::Command::Find(ticket, agent)),
            Command::AdvertiseSelf { on } => self.foaf.on_command(cx, foaf::Command::Advertise(ticket, on)),
            Command::ServeIndex { on } => self.rendezvous.on_command(cx, rendezvous::Command::Serve(ticket, on)),
            Command::Register { on } => self.rendezvous.on_command(cx, rendezvous::Command::Register(ticket, on)),
            Command::LookUp { agent } => self.rendezvous.on_command(cx, rendezvous::Command::LookUp(ticket, agent)),
            _ => {}
        }
    }

    /// How many statements this node holds for others, as one of the index.
    pub fn agents_held(&self) -> usize {
        self.rendezvous.held()
    }

    /// The nodes that hold statements for others.
    pub fn index(&self) -> &Index {
        self.rendezvous.index()
    }
}
