//! Adverts of the index as an attacker with keys for the asking makes them: well formed, and true or not.

use std::net::SocketAddrV4;

use bytes::Bytes;
use tidings_proto::discovery::advert::{ADVERT_LIFE, Advert};
use tidings_proto::discovery::reach::{self, Attestation};
use tidings_proto::identity::{Addr, NodeId, PeerAddr, SecretKey};
use tidings_proto::records::{self, sets, signed};
use tidings_proto::time::UnixMillis;
use tidings_proto::wire::ChainValue;

use super::Network;

impl Network {
    /// The key of node `n`.
    pub(crate) fn secret(&self, n: u32) -> SecretKey {
        self.slots[n as usize].secret.clone()
    }

    /// The id that goes with a key.
    pub(crate) fn id_of(&self, secret: &SecretKey) -> NodeId {
        self.port(secret).node_id()
    }

    /// The advert of whoever has `secret`, at `addr`, attested by two other keys, of a version `ahead` of what is usual.
    pub(crate) fn forge_advert(
        &self,
        secret: &SecretKey,
        addr: SocketAddrV4,
        by: [&SecretKey; 2],
        ahead: u64,
    ) -> Bytes {
        let wall = self.clocks().wall;
        let crypto = self.port(secret);
        let node = PeerAddr { id: crypto.node_id(), addrs: vec![Addr::Socket(addr.into())] };
        let reached = reach::key(&self.network);
        let attest = |by: &SecretKey| Attestation::issue(&*self.port(by), &reached, node.clone(), wall.0);
        let attested = by.map(attest).to_vec();
        let said = signed::Statement {
            version: wall.0 + ahead,
            issued: UnixMillis(wall.0),
            life: ADVERT_LIFE,
            anchor: ChainValue([9; 16]),
        };
        Advert { node, attested }.sign(&records::key(&self.network), &said, sets::INDEX, &*crypto)
    }
}
