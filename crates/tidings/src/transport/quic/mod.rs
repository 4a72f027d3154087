//! Links over QUIC (quinn): TLS 1.3 with raw public keys and the hybrid key exchange X25519MLKEM768 and nothing else. `docs/protocol.md` describes the handshake and the streams byte by byte.

mod codes;
mod config;

mod handshake;
mod hello;
mod link;
mod socket;
mod tls;

pub use config::QuicConfig;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use quinn::{Endpoint, Incoming};
use rustls::NamedGroup;
use tidings_proto::identity::{Addr, Network, NodeId};
use tidings_proto::wire::{Frame, Lane, LinkRefusal};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::hub::{Hub, Refusal};
use super::inbox::parking::{Mutex, lock};
use super::{Inbox, LinkLimits, SendError, Transport, TransportError, TransportEvent, TransportStats};
use handshake::Established;

/// Incoming handshakes at once: at 2 ms of processor time each (measured), a tenth of a second's worth. Past it
/// connections are refused before any of that is spent.
const MAX_HANDSHAKES: usize = 64;

/// Addresses of its own that a node names.
const MAX_OWN: usize = 8;

/// How long saying goodbye may take in all.
const GOODBYE: Duration = Duration::from_millis(500);

struct Inner {
    hub: Arc<Hub>,
    endpoint: Endpoint,
    /// How connections are made that this node dials.
    dialing: config::Dialing,
    local: config::LocalServer,
    bound: SocketAddr,
    network: Network,
    advertise: Vec<SocketAddr>,
    accept: bool,
    dial_timeout: Duration,
    handshakes: Arc<Semaphore>,
    runtime: Handle,
    /// Everything this transport runs; emptied when it is dropped.
    tasks: Mutex<JoinSet<()>>,
}

impl Inner {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime);
    }

    /// An address as this node's socket takes it: one for both families wants IPv4 addresses mapped.
    fn reachable(&self, addr: SocketAddr) -> SocketAddr {
        match addr.ip() {
            IpAddr::V4(ip) if self.bound.ip() == Ipv6Addr::UNSPECIFIED => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port())
            }
            _ => addr,
        }
    }
}

/// Links over QUIC. Made by [`QuicTransport::bind`]; dropping it ends every task it started.
pub struct QuicTransport {
    inner: Arc<Inner>,
}

impl QuicTransport {
    /// Binds the socket. No link comes up before [`Transport::attach`]. Must be called within a tokio runtime.
    pub async fn bind(config: QuicConfig) -> Result<Arc<QuicTransport>, TransportError> {
        let (endpoint, dialing, local) = config::bind(&config)?;
        let cannot = |reason: String| TransportError::Bind { addr: config.bind, reason };
        let bound = endpoint.local_addr().map_err(|error| cannot(error.to_string()))?;
        let me = dialing.tls.id().ok_or_else(|| cannot("no id in the key".into()))?;
        let inner = Arc::new(Inner {
            hub: Arc::new(Hub::new(me)),
            endpoint,
            dialing,
            local,
            bound,
            network: config.network,
            advertise: config.advertise,
            accept: config.accept,
            dial_timeout: config.dial_timeout,
            handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
            runtime: Handle::current(),
            tasks: Mutex::default(),
        });
        inner.spawn(accept_all(inner.clone()));
        Ok(Arc::new(QuicTransport { inner }))
    }

    /// The key exchange group of the link to `peer`, as TLS negotiated it.
    pub fn negotiated_group(&self, peer: NodeId) -> Option<NamedGroup> {
        self.inner.hub.link(peer)?.carrier.key_exchange()
    }

    /// Stops reading the streams of all links, as a program that is stuck does, or goes on: for tests and
    /// demonstrations. Datagrams and acknowledgements pass, so that the node looks alive; flow control closes.
    pub fn hold_reading(&self, held: bool) {
        self.inner.hub.hold(held);
    }

    /// The bound socket addresses.
    pub fn bound_sockets(&self) -> Vec<SocketAddr> {
        vec![self.inner.bound]
    }
}

/// Where others reach a socket: its address, or, if it listens everywhere, that of each interface, those of this machine
/// alone only if there is no other.
fn own_addrs(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let all: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|i| !i.is_link_local() && (i.ip().is_ipv4() || bound.is_ipv6()))
        .map(|i| i.ip())
        .collect();
    let anywhere = all.iter().any(|ip| !ip.is_loopback());
    let mut ips: Vec<IpAddr> = all.into_iter().filter(|ip| !anywhere || !ip.is_loopback()).collect();
    ips.sort_unstable();
    ips.truncate(MAX_OWN);
    ips.into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

async fn accept_all(inner: Arc<Inner>) {
    while let Some(incoming) = inner.endpoint.accept().await {
        if !inner.accept {
            incoming.ignore();
            continue;
        }
        let permit = inner.handshakes.clone().try_acquire_owned();
        let (true, Ok(permit)) = (inner.hub.is_attached(), permit) else {
            inner.hub.refused(None, Refusal::Link(LinkRefusal::Full));
            incoming.refuse();
            continue;
        };
        let task = accept_one(inner.clone(), incoming, permit);
        inner.spawn(task);
    }
}

async fn accept_one(inner: Arc<Inner>, incoming: Incoming, permit: tokio::sync::OwnedSemaphorePermit) {
    let mut peer = None;
    let handshake = async {
        let local = incoming.remote_address().ip().to_canonical().is_loopback();
        let connecting = if local { incoming.accept_with(inner.local.clone()) } else { incoming.accept() };
        let refused = |error: quinn::ConnectionError| {
            tracing::debug!(%error, "an incoming handshake failed");
            codes::connecting(&error)
        };
        let conn = connecting.map_err(refused)?.await.map_err(refused)?;
        peer = tls::peer(&conn);
        handshake::accept(&inner, conn).await
    };
    // Twice the dialer's patience: it may have begun waiting for our own dial to end.
    let result = timeout(inner.dial_timeout * 2, handshake).await;
    drop(permit);
    match result {
        Ok(Ok(link)) => carry(&inner, link).await,
        Ok(Err(refusal)) => inner.hub.refused(peer, refusal),
        Err(_) => inner.hub.refused(peer, Refusal::Link(LinkRefusal::Timeout)),
    }
}

async fn carry(inner: &Inner, link: Established) {
    link::run(inner.hub.clone(), link.conn, link.carried, link.control).await;
}

impl Transport for QuicTransport {
    fn local_peer_id(&self) -> NodeId {
        self.inner.hub.me
    }

    fn local_addrs(&self) -> Vec<Addr> {
        if !self.inner.advertise.is_empty() {
            return self.inner.advertise.iter().copied().map(Addr::Socket).collect();
        }
        own_addrs(self.inner.bound).into_iter().map(Addr::Socket).collect()
    }

    fn subscribe_events(&self) -> broadcast::Receiver<TransportEvent> {
        self.inner.hub.subscribe()
    }

    fn attach(&self, limits: LinkLimits) -> Inbox {
        self.inner.hub.attach(limits)
    }

    fn dial(&self, peer: NodeId, addrs: Vec<Addr>) {
        self.dial_saying(peer, addrs, Vec::new());
    }

    fn dial_saying(&self, peer: NodeId, addrs: Vec<Addr>, first: Vec<Frame>) -> Vec<Frame> {
        let Some(dial) = self.inner.hub.begin_dial(peer) else { return Vec::new() };
        let inner = self.inner.clone();
        self.inner.spawn(async move {
            let result = timeout(inner.dial_timeout, handshake::dial(&inner, &dial, addrs, &first)).await;
            match result.unwrap_or(Err(Refusal::Link(LinkRefusal::Timeout))) {
                Ok(link) => {
                    inner.hub.end_dial(&dial, Ok(()));
                    drop(dial);
                    carry(&inner, link).await;
                }
                Err(refusal) => inner.hub.end_dial(&dial, Err(refusal)),
            }
        });
        Vec::new()
    }

    fn close(&self, peer: NodeId, reason: LinkRefusal) {
        self.inner.hub.close(peer, reason);
    }

    fn try_send_frame(&self, peer: NodeId, lane: Lane, frame: Frame) -> Result<(), SendError> {
        self.inner.hub.try_send(peer, lane, frame)
    }

    fn detach(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.inner.hub.detach();
            // Whoever has not heard by then will notice the silence.
            let _ = timeout(GOODBYE, self.inner.hub.idle()).await;
        })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.detach().await;
            self.inner.endpoint.close(codes::code(Refusal::Link(LinkRefusal::Goodbye)), b"");
            let _ = timeout(GOODBYE, self.inner.endpoint.wait_idle()).await;
            lock(&self.inner.tasks).abort_all();
        })
    }

    fn acknowledged(&self) -> Vec<NodeId> {
        self.inner.hub.acknowledged()
    }

    fn stats(&self) -> TransportStats {
        self.inner.hub.stats()
    }

    fn rtt(&self, peer: NodeId) -> Option<Duration> {
        Some(self.inner.hub.link(peer)?.carrier.rtt())
    }
}

impl Drop for QuicTransport {
    fn drop(&mut self) {
        self.inner.hub.detach();
        lock(&self.inner.tasks).abort_all();
        // Only tells the peers; nothing waits for it.
        self.inner.endpoint.close(codes::code(Refusal::Link(LinkRefusal::Goodbye)), b"");
    }
}
