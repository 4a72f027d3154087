//! Neighbours on the local network, found without any configuration: multicast DNS (RFC 6762) and service discovery over it
//! (RFC 6763), by a well-kept library.
//!
//! A node announces the service `_tidings._udp.local.` with its port, its addresses, its node id, and a tag that says which
//! network it is in to those who are in it: `BLAKE3-keyed(key of the network, node id)`. To others all it says is that there is
//! a node. Whoever is in the same network, has few neighbours or does not know the node yet, joins through it; the link proves
//! the network and the id like any other, so a forged announcement costs a failed dial.
//!
//! Bounds: one join a [`PACE`], whatever is announced; ids remembered for [`AGAIN`], at most [`KNOWN`] of them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mdns_sd::{Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use tidings_proto::identity::{Addr, Network, NodeId, PeerAddr};
use tokio::task::JoinHandle;

use crate::agent::Agent;

const SERVICE: &str = "_tidings._udp.local.";
/// Joins through announced nodes are so far apart.
const PACE: Duration = Duration::from_secs(1);
/// A node that is no neighbour is joined again after so long, should it still be announced.
const AGAIN: Duration = Duration::from_secs(300);
const KNOWN: usize = 1_024;
/// With so many neighbours the network is found; the others are met through it.
const ENOUGH: usize = 4;
/// Addresses taken from one announcement.
const ADDRS: usize = 8;

/// Why the local network cannot be searched.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LanError {
    /// The node can be reached from this machine alone.
    #[error(
        "the node is bound to an address that only this machine reaches: bind it to another to be found on the local network"
    )]
    Loopback,
    /// Multicast DNS could not be started.
    #[error("multicast DNS: {0}")]
    Mdns(String),
}

impl From<mdns_sd::Error> for LanError {
    fn from(error: mdns_sd::Error) -> Self {
        LanError::Mdns(error.to_string())
    }
}

/// Announces an agent's node on the local network and joins those it finds there, until it is dropped.
pub struct Lan {
    daemon: ServiceDaemon,
    service: String,
    search: JoinHandle<()>,
}

impl Lan {
    /// Begins to announce and to search. Must be called within a tokio runtime.
    pub fn start(agent: &Agent) -> Result<Lan, LanError> {
        let (ips, port) = reachable(&agent.addrs()).ok_or(LanError::Loopback)?;
        let daemon = ServiceDaemon::new()?;
        let id = agent.node_id();
        // Names must differ and say nothing.
        let name = id.to_string()[..16].to_owned();
        let said = [("id", id.to_string()), ("net", tag(agent.network(), &id))];
        let info = ServiceInfo::new(SERVICE, &name, &format!("{name}.local."), &ips[..], port, &said[..])?;
        let service = info.get_fullname().to_owned();
        daemon.register(info)?;
        let found = daemon.browse(SERVICE)?;
        let search = tokio::spawn(search(agent.clone(), found));
        Ok(Lan { daemon, service, search })
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.search.abort();
        // The goodbye and the end are the library's thread's work; whether it is still there makes no difference.
        let _ = self.daemon.unregister(&self.service);
        let _ = self.daemon.shutdown();
    }
}

/// Where others on the local network reach the node.
fn reachable(addrs: &[Addr]) -> Option<(Vec<IpAddr>, u16)> {
    let sockets = addrs.iter().filter_map(|a| match a {
        Addr::Socket(s) if !s.ip().is_loopback() && !s.ip().is_unspecified() => Some(*s),
        _ => None,
    });
    let sockets: Vec<SocketAddr> = sockets.collect();
    let port = sockets.first()?.port();
    Some((sockets.iter().filter(|s| s.port() == port).map(SocketAddr::ip).collect(), port))
}

fn tag(network: &Network, id: &NodeId) -> String {
    let key = network.derive("tidings 1 local network");
    blake3::keyed_hash(&key, id.as_bytes()).to_hex()[..32].to_owned()
}

/// The node of this network that an announcement is of.
fn announced(network: &Network, service: &ResolvedService) -> Option<PeerAddr> {
    let id: NodeId = service.get_property_val_str("id")?.parse().ok()?;
    if service.get_property_val_str("net")? != tag(network, &id) {
        return None;
    }
    let mut ips: Vec<IpAddr> = service.get_addresses_v4().into_iter().map(IpAddr::from).collect();
    ips.sort_unstable();
    let addrs = ips.into_iter().take(ADDRS).map(|ip| Addr::Socket(SocketAddr::new(ip, service.get_port())));
    let addrs: Vec<Addr> = addrs.collect();
    (!addrs.is_empty()).then_some(PeerAddr { id, addrs })
}

async fn search(agent: Agent, found: Receiver<ServiceEvent>) {
    let mut tried: HashMap<NodeId, Instant> = HashMap::new();
    while let Ok(event) = found.recv_async().await {
        let ServiceEvent::ServiceResolved(service) = event else { continue };
        let Some(peer) = announced(agent.network(), &service).filter(|p| p.id != agent.node_id()) else { continue };
        tried.retain(|_, at| at.elapsed() < AGAIN);
        if tried.contains_key(&peer.id) || tried.len() >= KNOWN {
            continue;
        }
        tried.insert(peer.id, Instant::now());
        let membership = agent.membership();
        let (Ok(active), Ok(passive)) = (membership.active_view().await, membership.passive_view().await) else {
            return;
        };
        if active.contains(&peer.id) || active.len() >= ENOUGH && passive.contains(&peer.id) {
            continue;
        }
        tracing::info!(node = %peer.id, "a node of this network is on the local network");
        if agent.join_network([peer]).await.is_err() {
            return;
        }
        tokio::time::sleep(PACE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Addr {
        Addr::Socket(text.parse().expect("an address"))
    }

    fn service(network: &Network, id: NodeId, tagged: NodeId) -> ResolvedService {
        let said = [("id", id.to_string()), ("net", tag(network, &tagged))];
        let ips: [IpAddr; 1] = [IpAddr::from([192, 0, 2, 7])];
        let info = ServiceInfo::new(SERVICE, "x", "x.local.", &ips[..], 4_242, &said[..]);
        info.expect("valid").as_resolved_service()
    }

    #[test]
    fn only_what_others_reach_is_announced() {
        assert!(reachable(&[addr("127.0.0.1:4242")]).is_none());
        let (ips, port) = reachable(&[addr("127.0.0.1:4242"), addr("192.0.2.7:4242")]).expect("reachable");
        assert_eq!((ips, port), (vec![IpAddr::from([192, 0, 2, 7])], 4242));
    }

    #[test]
    fn those_of_this_network_alone_are_understood() {
        let (ours, other) = (Network::from_name("ours").expect("a name"), Network::from_name("other").expect("a name"));
        let (id, another) = (NodeId([7; 32]), NodeId([8; 32]));
        let peer = announced(&ours, &service(&ours, id, id)).expect("one of ours");
        assert_eq!(peer, PeerAddr { id, addrs: vec![addr("192.0.2.7:4242")] });
        assert_eq!(announced(&ours, &service(&other, id, id)), None);
        assert_eq!(announced(&ours, &service(&ours, id, another)), None, "somebody else's tag");
    }
}
