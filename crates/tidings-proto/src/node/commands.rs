//! What the program asks for, and to which layer it goes.

use super::Node;
use crate::discovery::coordinator;
use crate::discovery::{foaf, rendezvous};
use crate::identity::layer as certifying;
use crate::io::{Command, CommandError, Output, Reply, Ticket};
use crate::layer::{Cx, Layer};
use crate::{identity, membership, messaging, presence, pubsub, roles};

impl Node {
    pub(super) fn on_command(&mut self, ticket: Ticket, command: Command) {
        use Command::{Join, SetBootstrap, Subscribe};
        if self.left && matches!(command, Join { .. } | SetBootstrap { .. } | Subscribe { .. }) {
            let reply = Reply::Refused(CommandError::Leaving);
            return self.queues.out.push_back(Output::Reply { ticket, reply });
        }
        let mut done = true;
        match command {
            Command::Join { peers } => {
                self.membership.on_command(&mut cx!(self), membership::Command::Join(peers));
            }
            Command::SetBootstrap { peers } => {
                self.membership.on_command(&mut cx!(self), membership::Command::SetBootstrap(peers));
            }
            Command::SetAddrs { addrs } => {
                let moved = self.own_addrs != addrs;
                self.own_addrs = addrs;
                if moved {
                    self.membership.tell_addrs(&mut cx!(self));
                    self.foaf.on_command(&mut cx!(self), foaf::Command::Moved);
                    self.presence.on_command(&mut cx!(self), presence::Command::Moved);
                    self.rendezvous.on_command(&mut cx!(self), rendezvous::Command::Moved);
                }
            }
            Command::Subscribe { topic } => {
                self.pubsub.on_command(&mut cx!(self), pubsub::Command::Subscribe(ticket, topic));
                done = false;
            }
            Command::Unsubscribe { topic } => {
                self.pubsub.on_command(&mut cx!(self), pubsub::Command::Unsubscribe(ticket, topic));
                done = false;
            }
            Command::Unlock { topic, terms } => {
                self.pubsub.on_command(&mut cx!(self), pubsub::Command::Unlock(ticket, topic, terms));
                done = false;
            }
            Command::AcceptCapability { capability } => {
                self.pubsub.on_command(&mut cx!(self), pubsub::Command::Accept(ticket, capability));
                done = false;
            }
            Command::IssueCapability { topic, owner, agent, expires } => {
                self.pubsub.on_command(&mut cx!(self), pubsub::Command::Grant(ticket, topic, owner, agent, expires));
                done = false;
            }
            Command::Publish { topic, message } => {
                self.pubsub.on_command(&mut cx!(self), pubsub::Command::Publish(ticket, topic, message));
                done = false;
            }
            Command::History { topic, query } => {
                self.pubsub.on_command(&mut cx!(self), pubsub::Command::History(ticket, topic, query));
                done = false;
            }
            Command::Reconcile { topic } => {
                self.pubsub.on_command(&mut cx!(self), pubsub::Command::Reconcile(ticket, topic));
                done = false;
            }
            Command::PublishDurable { topic, message } => {
                self.pubsub.on_command(&mut cx!(self), pubsub::Command::PublishDurable(ticket, topic, message));
                done = false;
            }
            Command::KeepLog { topic, keep } => {
                self.pubsub.on_command(&mut cx!(self), pubsub::Command::KeepLog(ticket, topic, keep));
                done = false;
            }
            Command::RevokeNode { .. } | Command::RenewCertificate if self.identity.agent().is_none() => {
                let reply = Reply::Refused(CommandError::NoAgent);
                self.queues.out.push_back(Output::Reply { ticket, reply });
                done = false;
            }
            Command::RevokeNode { node } if node == self.id || !self.identity.may_revoke(&node) => {
                let why = match node == self.id {
                    true => CommandError::RevokesItself,
                    false => CommandError::TooManyRevoked { limit: identity::MAX_REVOKED },
                };
                self.queues.out.push_back(Output::Reply { ticket, reply: Reply::Refused(why) });
                done = false;
            }
            Command::RevokeNode { node } => {
                self.identity.on_command(&mut cx!(self), certifying::Command::Revoke(node));
            }
            Command::RenewCertificate => self.identity.on_command(&mut cx!(self), certifying::Command::Renew),
            Command::FindAgent { .. }
            | Command::AdvertiseSelf { .. }
            | Command::ServeIndex { .. }
            | Command::Register { .. }
            | Command::LookUp { .. } => {
                self.discover(ticket, &command);
                done = false;
            }
            Command::Coordinate { mode } => {
                self.coordinators.on_command(&mut cx!(self), coordinator::Command::Set(ticket, mode));
                done = false;
            }
            Command::SetStatus { status } => {
                self.presence.on_command(&mut cx!(self), presence::Command::Status(ticket, status));
                done = false;
            }
            Command::SendDirect { to, agent, body } => {
                self.messaging.on_command(&mut cx!(self), messaging::Command::Send(ticket, to, agent, body));
                done = false;
            }
            Command::ReadDirect { ids } => {
                self.messaging.on_command(&mut cx!(self), messaging::Command::Read(ticket, ids));
                done = false;
            }
            Command::TellRead { agent, on } => {
                self.messaging.on_command(&mut cx!(self), messaging::Command::TellRead(ticket, agent, on));
                done = false;
            }
            Command::Leave => {
                self.messaging.on_command(&mut cx!(self), messaging::Command::Leave);
                self.foaf.on_command(&mut cx!(self), foaf::Command::Leave);
                self.rendezvous.on_command(&mut cx!(self), rendezvous::Command::Leave);
                self.presence.on_command(&mut cx!(self), presence::Command::Leave);
                self.roles.on_command(&mut cx!(self), roles::Command::Leave);
                self.coordinators.on_command(&mut cx!(self), coordinator::Command::Leave);
                self.route();
                self.records.flush(&mut cx!(self));
                // What was accepted for publishing still leaves before the links close.
                self.pubsub.hurry();
                while self.pubsub.flush(&mut cx!(self)) {}
                self.leave_circuits();
                self.routing.depart();
                self.pubsub.on_command(&mut cx!(self), pubsub::Command::Leave);
                self.swim.leave(&mut cx!(self));
                self.membership.on_command(&mut cx!(self), membership::Command::Leave);
                self.left = true;
            }
        }
        if done {
            self.queues.out.push_back(Output::Reply { ticket, reply: Reply::Done });
        }
    }
}
