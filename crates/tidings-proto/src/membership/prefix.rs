//! Where on the network a peer sits, as far as it matters for who is who: many ids behind one prefix may be one party.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::identity::{Addr, NodeId};
use crate::membership::view::Tokens;
use crate::time::{Span, Time};

/// The part of a peer's address that costs something to change: /24 for IPv4, /48 for IPv6.
///
/// Loopback and unspecified addresses set nobody apart on a node that has such an address itself, so there each peer
/// stands for itself. Elsewhere they share one prefix, as do peers without any address: nobody gains by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix(u64);

/// Peers of which no address says anything.
const NOWHERE: Prefix = Prefix(0);

impl Prefix {
    /// The prefix of `peer`, known at `addrs`, as seen from a node that has the addresses `own`.
    pub(crate) fn of(peer: &NodeId, addrs: &[Addr], own: &[Addr]) -> Prefix {
        let outside = addrs.iter().find(|a| !is_local(a));
        match outside {
            Some(Addr::Socket(a)) => Prefix::of_ip(a.ip()),
            // A node that does not know its addresses yet is taken for one on its own machine.
            None if !addrs.is_empty() && (own.is_empty() || own.iter().any(is_local)) => Prefix::alone(peer),
            None => NOWHERE,
        }
    }

    fn of_ip(ip: IpAddr) -> Prefix {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Prefix(1 << 56 | u64::from(u32::from_be_bytes([0, a, b, c])))
            }
            IpAddr::V6(ip) => {
                let [a, b, c, ..] = ip.segments();
                Prefix(2 << 56 | u64::from(a) << 32 | u64::from(b) << 16 | u64::from(c))
            }
        }
    }

    fn alone(peer: &NodeId) -> Prefix {
        let [a, b, c, d, e, f, g, ..] = peer.0;
        Prefix(u64::from_be_bytes([3, a, b, c, d, e, f, g]))
    }

    /// To be hashed.
    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

/// Prefixes whose use is counted at a time; the one used longest ago makes room, which costs an attacker as many prefixes.
const COUNTED: usize = 64;

/// So many now and one more each interval, for each prefix.
#[derive(Debug)]
pub(super) struct Quota {
    most: u32,
    every: Span,
    used: BTreeMap<Prefix, (Time, Tokens)>,
}

impl Quota {
    pub(super) fn new(most: u32, every: Span) -> Quota {
        Quota { most, every, used: BTreeMap::new() }
    }

    pub(super) fn take(&mut self, prefix: Prefix, now: Time) -> bool {
        if self.used.len() >= COUNTED && !self.used.contains_key(&prefix) {
            let oldest = self.used.iter().min_by_key(|(p, (at, _))| (*at, **p)).map(|(p, _)| *p);
            if let Some(oldest) = oldest {
                self.used.remove(&oldest);
            }
        }
        let (most, every) = (self.most, self.every);
        let (at, tokens) = self.used.entry(prefix).or_insert_with(|| (now, Tokens::new(most, every, now)));
        *at = now;
        tokens.take(now)
    }
}

fn is_local(addr: &Addr) -> bool {
    let Addr::Socket(a) = addr;
    let ip = a.ip().to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(peer: u8, addrs: &[&str], own: &[&str]) -> Prefix {
        let parse = |l: &[&str]| l.iter().map(|a| Addr::Socket(a.parse().unwrap())).collect::<Vec<_>>();
        Prefix::of(&NodeId([peer; 32]), &parse(addrs), &parse(own))
    }

    const HERE: &[&str] = &["198.51.100.1:1"];

    #[test]
    fn it_is_the_24_of_v4_and_the_48_of_v6() {
        assert_eq!(at(1, &["192.0.2.1:1"], HERE), at(2, &["192.0.2.200:9"], HERE));
        assert_ne!(at(1, &["192.0.2.1:1"], HERE), at(1, &["192.0.3.1:1"], HERE));
        assert_eq!(at(1, &["[2001:db8:7::1]:1"], HERE), at(2, &["[2001:db8:7:ffff::9]:1"], HERE));
        assert_ne!(at(1, &["[2001:db8:7::1]:1"], HERE), at(1, &["[2001:db8:8::1]:1"], HERE));
        assert_eq!(at(1, &["192.0.2.1:1"], HERE), at(2, &["[::ffff:192.0.2.7]:1"], HERE), "one network, two spellings");
    }

    #[test]
    fn a_quota_is_each_prefix_s_own_and_bounded() {
        let mut q = Quota::new(2, Span::from_secs(1));
        let net = |n: u64| Prefix(1 << 56 | n);
        let taken = |q: &mut Quota, n, at| (0..5).filter(|_| q.take(net(n), Time(at))).count();
        assert_eq!((taken(&mut q, 1, 0), taken(&mut q, 2, 0)), (2, 2));
        assert_eq!(taken(&mut q, 1, 1_000_000), 1);
        for n in 0..1_000 {
            q.take(net(n), Time(n));
        }
        assert_eq!(q.used.len(), COUNTED);
    }

    #[test]
    fn peers_on_this_machine_stand_for_themselves() {
        let own = &["127.0.0.1:7"];
        assert_ne!(at(1, &["127.0.0.1:1"], own), at(2, &["127.0.0.1:2"], own));
        assert_ne!(at(1, &["[::1]:1"], own), at(2, &["[::1]:1"], own));
    }

    #[test]
    fn a_local_address_does_not_hide_where_a_peer_is() {
        assert_eq!(at(1, &["127.0.0.1:1", "192.0.2.1:1"], &["127.0.0.1:7"]), at(2, &["192.0.2.9:1"], HERE));
        assert_eq!(at(1, &["127.0.0.1:1"], HERE), at(2, &["127.0.0.1:2"], HERE), "not this node's machine");
        assert_eq!(at(1, &[], HERE), at(2, &[], HERE));
    }
}
