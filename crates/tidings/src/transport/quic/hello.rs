//! The link hello: proof that both ends belong to the same network, bound to this one TLS session.
//!
//! ```text
//! 0        version   u8    1; another version is refused
//! 1..3     length    u16   little endian, of what follows; at least 48, at most 1024
//! 3..35    proof           BLAKE3 keyed MAC, key = the network's key derived for "tidings 1 link proof",
//!                          over role (0 dialer, 1 acceptor) ‖ exporter (32) ‖ dialer id ‖ acceptor id
//! 35..43   instance  u64   little endian, drawn anew by every transport
//! 43..51   count     u64   little endian, orders what this instance did
//! 51..                     skipped: for later use
//! ```
//!
//! The exporter is TLS 1.3 keying material (RFC 5705) of 32 bytes with the label "tidings 1 link" and no context:
//! a proof cannot be carried over to another connection, and the role byte keeps one end from echoing the other's.

use quinn::{Connection, RecvStream};
use tidings_proto::identity::{Network, NodeId};
use tidings_proto::wire::LinkRefusal;

use crate::transport::hub::Stamp;

const VERSION: u8 = 1;
const FIXED: usize = 32 + 8 + 8;
/// Room for later fields (a guess), small enough to be read at once.
const MAX: usize = 1024;
const LABEL: &[u8] = b"tidings 1 link";

/// Who speaks.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Dialer = 0,
    Acceptor = 1,
}

/// The proofs of one connection.
pub(super) struct Proofs {
    key: [u8; 32],
    exporter: [u8; 32],
    dialer: NodeId,
    acceptor: NodeId,
}

impl Proofs {
    /// From the TLS session of `conn`; `local` is this node's role in it.
    pub(super) fn new(
        conn: &Connection,
        network: &Network,
        (me, peer): (NodeId, NodeId),
        local: Role,
    ) -> Result<Proofs, LinkRefusal> {
        let (dialer, acceptor) = match local {
            Role::Dialer => (me, peer),
            Role::Acceptor => (peer, me),
        };
        let mut exporter = [0; 32];
        conn.export_keying_material(&mut exporter, LABEL, &[]).map_err(|_| LinkRefusal::Error)?;
        Ok(Proofs { key: network.derive("tidings 1 link proof"), exporter, dialer, acceptor })
    }

    fn proof(&self, role: Role) -> blake3::Hash {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(&[role as u8]).update(&self.exporter).update(&self.dialer.0).update(&self.acceptor.0);
        mac.finalize()
    }

    /// The hello of `role`.
    pub(super) fn encode(&self, role: Role, stamp: Stamp) -> Vec<u8> {
        let mut out = Vec::with_capacity(3 + FIXED);
        out.push(VERSION);
        out.extend_from_slice(&(FIXED as u16).to_le_bytes());
        out.extend_from_slice(self.proof(role).as_bytes());
        out.extend_from_slice(&stamp.instance.to_le_bytes());
        out.extend_from_slice(&stamp.count.to_le_bytes());
        out
    }

    /// Reads the hello of `role` and checks its proof.
    pub(super) async fn read(&self, role: Role, recv: &mut RecvStream) -> Result<Stamp, LinkRefusal> {
        let mut head = [0; 3];
        recv.read_exact(&mut head).await.map_err(|_| LinkRefusal::Protocol)?;
        if head[0] != VERSION {
            return Err(LinkRefusal::Version);
        }
        let len = usize::from(u16::from_le_bytes([head[1], head[2]]));
        if !(FIXED..=MAX).contains(&len) {
            return Err(LinkRefusal::Protocol);
        }
        let mut body = [0; MAX];
        let body = &mut body[..len];
        recv.read_exact(body).await.map_err(|_| LinkRefusal::Protocol)?;
        self.check(role, body)
    }

    fn check(&self, role: Role, body: &[u8]) -> Result<Stamp, LinkRefusal> {
        let part = |at: usize| body.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or(LinkRefusal::Protocol);
        let proof = *body.first_chunk::<32>().ok_or(LinkRefusal::Protocol)?;
        // `blake3::Hash` compares in constant time.
        if self.proof(role) != blake3::Hash::from_bytes(proof) {
            return Err(LinkRefusal::WrongNetwork);
        }
        Ok(Stamp { instance: u64::from_le_bytes(*part(32)?), count: u64::from_le_bytes(*part(40)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proofs(network: &str) -> Proofs {
        Proofs {
            key: Network::from_name(network).unwrap().derive("tidings 1 link proof"),
            exporter: [7; 32],
            dialer: NodeId([1; 32]),
            acceptor: NodeId([2; 32]),
        }
    }

    const STAMP: Stamp = Stamp { instance: 9, count: 4 };

    #[test]
    fn a_proof_holds_for_its_network_role_and_session_only() {
        let ours = proofs("a");
        let hello = ours.encode(Role::Dialer, STAMP);
        assert_eq!(ours.check(Role::Dialer, &hello[3..]), Ok(STAMP));
        assert_eq!(ours.check(Role::Acceptor, &hello[3..]), Err(LinkRefusal::WrongNetwork));
        assert_eq!(proofs("b").check(Role::Dialer, &hello[3..]), Err(LinkRefusal::WrongNetwork));
        let other_session = Proofs { exporter: [8; 32], ..proofs("a") };
        assert_eq!(other_session.check(Role::Dialer, &hello[3..]), Err(LinkRefusal::WrongNetwork));
        let other_dialer = Proofs { dialer: NodeId([3; 32]), ..proofs("a") };
        assert_eq!(other_dialer.check(Role::Dialer, &hello[3..]), Err(LinkRefusal::WrongNetwork));
    }

    #[test]
    fn later_fields_are_skipped() {
        let ours = proofs("a");
        let mut hello = ours.encode(Role::Acceptor, STAMP);
        hello.extend_from_slice(b"later");
        assert_eq!(ours.check(Role::Acceptor, &hello[3..]), Ok(STAMP));
    }

    #[test]
    fn the_bytes_are_pinned() {
        let hello = proofs("a").encode(Role::Dialer, STAMP);
        assert_eq!(hello.len(), 51);
        assert_eq!(&hello[..3], &[1, 48, 0]);
        assert_eq!(&hello[35..], &[9, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
        let mut mac = blake3::Hasher::new_keyed(&proofs("a").key);
        mac.update(&[0]).update(&[7; 32]).update(&[1; 32]).update(&[2; 32]);
        assert_eq!(&hello[3..35], mac.finalize().as_bytes());
    }
}
