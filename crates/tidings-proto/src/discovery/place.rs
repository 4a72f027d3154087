//! Where a node sits, for everybody alike: what costs something to change about an address.

use std::net::IpAddr;

use crate::identity::{Addr, NodeId};

/// The /24 of an IPv4 address, the /48 of an IPv6 one; on this machine alone, the node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A network.
    Net([u8; 7]),
    /// A node that is reached on its own machine only: others there are others.
    Local(NodeId),
}

impl Place {
    /// The place of `node` at `addr`.
    pub fn of(node: &NodeId, addr: &Addr) -> Place {
        let Addr::Socket(addr) = addr;
        let mut net = [0; 7];
        match addr.ip().to_canonical() {
            ip if ip.is_loopback() || ip.is_unspecified() => return Place::Local(*node),
            IpAddr::V4(ip) => {
                net[0] = 4;
                net[1..4].copy_from_slice(&ip.octets()[..3]);
            }
            IpAddr::V6(ip) => {
                net[0] = 6;
                net[1..7].copy_from_slice(&ip.octets()[..6]);
            }
        }
        Place::Net(net)
    }

    /// To be hashed: no two places have the same bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Place::Net(net) => net,
            Place::Local(node) => node.as_bytes(),
        }
    }

    pub(super) fn is_local(&self) -> bool {
        matches!(self, Place::Local(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(node: u8, addr: &str) -> Place {
        Place::of(&NodeId([node; 32]), &Addr::Socket(addr.parse().unwrap()))
    }

    #[test]
    fn it_is_the_24_of_v4_and_the_48_of_v6() {
        assert_eq!(at(1, "192.0.2.1:1"), at(2, "192.0.2.200:9"));
        assert_ne!(at(1, "192.0.2.1:1"), at(1, "192.0.3.1:1"));
        assert_eq!(at(1, "[2001:db8:7::1]:1"), at(2, "[2001:db8:7:ffff::9]:1"));
        assert_ne!(at(1, "[2001:db8:7::1]:1"), at(1, "[2001:db8:8::1]:1"));
        assert_eq!(at(1, "192.0.2.1:1"), at(2, "[::ffff:192.0.2.7]:1"), "one network, two spellings");
    }

    #[test]
    fn nodes_on_one_machine_stand_for_themselves() {
        assert_ne!(at(1, "127.0.0.1:1"), at(2, "127.0.0.1:1"));
        assert_eq!(at(1, "127.0.0.1:1"), at(1, "[::1]:2"));
    }
}
