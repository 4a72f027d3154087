//! What a node knows of agents, for its driver.

use super::Node;
use crate::crypto::BoxSecret;
use crate::identity::{AgentCertificate, AgentId, Card, CertificateError, Network, NodeId, Proof};
use crate::pubsub::Delivery;
use crate::time::UnixMillis;
use crate::wire::CertificateRef;

impl Node {
    /// The agent this node speaks for, if it holds one's key.
    pub fn agent_id(&self) -> Option<AgentId> {
        self.identity.agent()
    }

    /// The agent that `node` speaks for, as far as it is known.
    pub fn agent_of(&self, node: &NodeId) -> Proof {
        if *node == self.id { self.own_proof() } else { self.agents.of_node(&self.certificates, node, self.now.wall) }
    }

    /// The agent of a delivery's author.
    pub fn author_of(&self, delivery: &Delivery) -> Proof {
        if delivery.own() {
            return self.own_proof();
        }
        let h = delivery.batch().header();
        self.agents.of_author(&self.certificates, &h.author, h.epoch, h.certificate, self.now.wall)
    }

    /// The agent that `node` speaks for by the certificate it named.
    pub fn agent_by(&self, node: &NodeId, certificate: CertificateRef) -> Proof {
        self.agents.by_name(&self.certificates, node, certificate, self.now.wall)
    }

    /// The certificate that tells the author of `delivery`, if it is being asked for.
    pub fn author_pending(&self, delivery: &Delivery) -> Option<CertificateRef> {
        if delivery.own() {
            return None;
        }
        let h = delivery.batch().header();
        self.agents.pending_of(&h.author, h.epoch, h.certificate)
    }

    fn own_proof(&self) -> Proof {
        match (self.identity.agent(), self.agents.own()) {
            (Some(agent), Some(_)) => Proof::Proven(agent),
            (Some(_), None) if self.identity.is_cast_out() => Proof::Refused(CertificateError::Revoked),
            _ => Proof::None,
        }
    }

    /// The newest certificates of an agent that hold, one for each of its nodes, as far as they are known.
    pub fn newest_certificates(&self, agent: &AgentId) -> Vec<(NodeId, CertificateRef)> {
        self.certificates.nodes(agent, self.now.wall)
    }

    /// A card of this node, signed, to hand to others; `network` is its own. `None` while it names no certificate, or has no
    /// address.
    pub fn card(&self, network: &Network) -> Option<Vec<u8>> {
        let (certificate, bytes) = self.agents.own_certificate()?;
        let said = AgentCertificate::parse(bytes.clone()).ok()?;
        let card = Card {
            network: network.clone(),
            peer: crate::wire::own_address(self.id, &self.own_addrs),
            agent: said.statement().agent,
            certificate: *certificate,
            issued: self.now.wall,
            expires: UnixMillis(said.statement().expires_ms),
        };
        if card.peer.addrs.is_empty() { None } else { card.sign(&*self.crypto) }
    }

    /// The secret to the prekey of this node's with this id, if it is not too old.
    pub fn prekey_secret(&self, id: u64) -> Option<&BoxSecret> {
        self.agents.prekey_secret(id)
    }

    /// The certificate this node names as its agent's.
    pub fn certificate(&self) -> Option<CertificateRef> {
        self.agents.own()
    }

    /// The nodes of an agent, here or not, as far as certificates are known that hold.
    pub fn nodes_of(&self, agent: &AgentId) -> Vec<NodeId> {
        let nodes = self.certificates.nodes(agent, self.now.wall).into_iter().map(|(node, _)| node);
        nodes.filter(|n| *n != self.id).collect()
    }

    /// What became of a direct message of this node's, if it is remembered.
    pub fn message(&self, id: &crate::messaging::EnvelopeId) -> Option<crate::messaging::Progress> {
        self.messaging.progress(&self.id, id)
    }

    /// How many bundles of messages this node keeps for others that are away, and their bytes.
    pub fn kept_for_others(&self) -> (usize, usize) {
        self.messaging.kept_for_others()
    }

    /// Direct messages that came and were not said to be read, in the order they came.
    pub fn inbox(&self) -> impl Iterator<Item = &crate::messaging::Received> {
        self.messaging.inbox()
    }
}
