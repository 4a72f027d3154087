//! What the core reports, told to whom it concerns.

use tidings_proto::io::Event;

use super::super::direct::DirectMessage;
use super::super::events::AgentEvent;
use super::super::presence::PresenceEvent;
use super::Driver;

impl Driver {
    pub(super) fn event(&mut self, event: Event) {
        // No observer is no failure.
        match event {
            Event::Delivered(delivery) => {
                let wanted = self.subscribers.queues(&delivery.topic()).iter().any(|q| q.wants(&delivery));
                if wanted {
                    let contents = self.downloads.of(&self.node, &delivery);
                    let author = self.authors.of(&self.node, &delivery);
                    self.subscribers.deliver(&delivery, &contents, &author);
                }
            }
            Event::Certificate { certificate } => self.authors.settled(&self.node, certificate),
            Event::Agent { node, agent } => self.told.events.tell(AgentEvent::Agent { peer: node, agent }),
            Event::CastOut => self.told.events.tell(AgentEvent::CastOut),
            Event::Chunk { content, index, bytes } => self.downloads.chunk(&content, index, bytes),
            Event::ContentComplete { content, whole } => self.downloads.complete(&content, whole),
            Event::ContentLost { content } => self.downloads.lost(&content),
            Event::Gap { topic, author, epoch, from, to } => self.subscribers.gap(&topic, author, epoch, from, to),
            Event::PeerJoined { peer, overlay } => self.told.events.tell(AgentEvent::PeerJoined { peer, overlay }),
            Event::PeerLeft { peer, overlay, reason } => {
                self.told.events.tell(AgentEvent::PeerLeft { peer, overlay, reason });
            }
            Event::PeerSuspected { peer } => self.told.events.tell(AgentEvent::PeerSuspected { peer }),
            Event::PeerRecovered { peer } => self.told.events.tell(AgentEvent::PeerRecovered { peer }),
            Event::CloneSeen { peer } => self.told.events.tell(AgentEvent::CloneSeen { peer }),
            Event::Presence(event) => {
                if let Some(event) = PresenceEvent::of(event) {
                    self.told.presence.tell(event);
                }
            }
            Event::RolePromoted { node, score, source } => {
                self.told.events.tell(AgentEvent::RolePromoted { peer: node, score, source });
            }
            Event::RoleDemoted { node, score, source } => {
                self.told.events.tell(AgentEvent::RoleDemoted { peer: node, score, source });
            }
            Event::LocalRoleChanged { role, score } => {
                self.told.events.tell(AgentEvent::LocalRoleChanged { role, score });
            }
            Event::Direct(message) => self.told.direct.tell(DirectMessage::of(&message)),
            // Whoever wants to know asks.
            Event::Message(_) => {}
            Event::StorageFailed { error } => self.storage_failed(error.0),
            other => tracing::warn!(?other, "an event this driver does not know"),
        }
    }

    pub(super) fn storage_failed(&self, error: String) {
        tracing::warn!(node = %self.run.node_id.short(), error, "storage failed");
        self.told.events.tell(AgentEvent::StorageFailed { error });
    }
}
