//! How the QUIC endpoint is set up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::{EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TokioRuntime, VarInt};
use socket2::{Domain, Protocol, Socket, Type};
use tidings_proto::identity::{Network, SecretKey};

use super::tls::Tls;
use crate::transport::TransportError;

/// A stream may be this far ahead of its reader: 2.5 MB/s at a round trip of 100 ms.
const STREAM_WINDOW: u32 = 256 * 1024;
/// All three lanes full, and a little for what is not a lane: no lane can use up another's credit.
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// Unacknowledged bytes kept for sending again; as much as a peer with our windows can take.
const SEND_WINDOW: u64 = CONNECTION_WINDOW as u64;
/// Three lanes, and room to see (and ignore) a newer peer's others.
const STREAMS: u32 = 8;
/// Datagrams waiting in either direction: some tens of probes.
const DATAGRAM_BUFFER: usize = 32 * 1024;
/// What the socket is asked to hold while the process does something else (the system may give less).
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// Path MTU discovery asks one question: does a full Ethernet frame pass? The usual search sends five more packets on
/// each connection for the sake of paths in between.
const MTU_STEP: u16 = 200;
/// The largest datagram between two nodes of one machine, which no path in between limits. The library hands the kernel ten
/// at once, and what it hands over in one call must be shorter than 64 KiB: anything longer is lost in silence. It is asked
/// for in one question as well.
const LOCAL_MTU: u16 = 6_500;
const LOCAL_MTU_STEP: u16 = LOCAL_MTU / 2;
/// Keep-alives a dialer sends in one idle time-out: two may be lost.
const KEEP_ALIVES: u32 = 3;
/// The acceptor's are this much later (a half): they only go out when the dialer's are missing, and a link costs one
/// exchange an interval, not two.
const ACCEPTOR_LATER: f64 = 1.5;

/// What a QUIC transport needs to start. See [`QuicConfig::new`] for the defaults.
#[derive(Clone, Debug)]
pub struct QuicConfig {
    /// The node's secret key: its id is the public key.
    pub secret: SecretKey,
    /// The network both ends of every link must prove.
    pub network: Network,
    /// The address to bind; port 0 picks a free one.
    pub bind: SocketAddr,
    /// Where others reach this node, if not at its own addresses: a forwarded port, a container's outside. None: its
    /// own.
    pub advertise: Vec<SocketAddr>,
    /// Whether links that others dial come up. Not: as behind an address translation that nobody has opened; what arrives is
    /// not even answered.
    pub accept: bool,
    /// How long a dial may take, both handshakes included. Advised: several round trips of the farthest peer.
    pub dial_timeout: Duration,
    /// After how long without a sign of life a link is down. The dialer sends keep-alives three times as often.
    pub idle_timeout: Duration,
}

impl QuicConfig {
    /// A configuration with a dial time-out of 1.5 s (two round trips of a slow path, and a busy machine's handshake
    /// besides: at 500 ms, joins of machines under load timed out), an idle time-out of 5 s, and a free port on
    /// 127.0.0.1.
    pub fn new(secret: SecretKey, network: Network) -> QuicConfig {
        QuicConfig {
            secret,
            network,
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: Vec::new(),
            accept: true,
            dial_timeout: Duration::from_millis(1_500),
            idle_timeout: Duration::from_secs(5),
        }
    }
}

/// What dialed connections are made of.
pub(super) struct Dialing {
    pub(super) tls: Tls,
    transport: Arc<quinn::TransportConfig>,
    local: Arc<quinn::TransportConfig>,
}

impl Dialing {
    /// What a connection to `peer` is made of.
    pub(super) fn transport(&self, peer: IpAddr) -> Arc<quinn::TransportConfig> {
        if peer.to_canonical().is_loopback() { self.local.clone() } else { self.transport.clone() }
    }
}

/// What accepted connections from this machine are made of.
pub(super) type LocalServer = Arc<ServerConfig>;

/// The endpoint, and what connections it dials are made of.
pub(super) fn bind(config: &QuicConfig) -> Result<(quinn::Endpoint, Dialing, LocalServer), TransportError> {
    let idle = IdleTimeout::try_from(config.idle_timeout)
        .map_err(|_| TransportError::Config("the idle time-out is longer than QUIC can say"))?;
    if config.idle_timeout < Duration::from_millis(100) || config.dial_timeout.is_zero() {
        return Err(TransportError::Config("an idle time-out needs 100 ms at least, a dial time-out must not be zero"));
    }
    let keep_alive = config.idle_timeout / KEEP_ALIVES;
    let cannot = |reason: String| TransportError::Bind { addr: config.bind, reason };
    let tls = Tls::new(&config.secret).map_err(|error| cannot(error.to_string()))?;
    let mut server = ServerConfig::with_crypto(Arc::new(tls.server().map_err(|error| cannot(error.to_string()))?));
    let later = keep_alive.mul_f64(ACCEPTOR_LATER);
    let mut local = server.clone();
    server.transport_config(Arc::new(transport(idle, later, wide())));
    local.transport_config(Arc::new(transport(idle, later, within())));
    let socket = socket(config.bind).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => TransportError::AddressInUse(config.bind),
        _ => cannot(error.to_string()),
    })?;
    let socket = super::socket::of(socket, LOCAL_MTU).map_err(|error| cannot(error.to_string()))?;
    let runtime = Arc::new(TokioRuntime);
    let mut endpoint = EndpointConfig::default();
    endpoint
        .max_udp_payload_size(LOCAL_MTU)
        .map_err(|_| TransportError::Config("the largest datagram is smaller or larger than QUIC can say"))?;
    let endpoint = quinn::Endpoint::new_with_abstract_socket(endpoint, Some(server), socket, runtime)
        .map_err(|error| cannot(error.to_string()))?;
    let dialing = Dialing {
        tls,
        transport: Arc::new(transport(idle, keep_alive, wide())),
        local: Arc::new(transport(idle, keep_alive, within())),
    };
    Ok((endpoint, dialing, Arc::new(local)))
}

fn socket(addr: SocketAddr) -> std::io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        // An unspecified IPv6 address takes both families, as far as the system lets it.
        let _ = socket.set_only_v6(false);
    }
    for result in [socket.set_recv_buffer_size(SOCKET_BUFFER), socket.set_send_buffer_size(SOCKET_BUFFER)] {
        if let Err(error) = result {
            tracing::debug!(%error, "the socket's buffers stay as they are");
        }
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// How large packets may be between machines.
fn wide() -> MtuDiscoveryConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.minimum_change(MTU_STEP);
    mtu
}

/// How large packets may be within this machine.
fn within() -> MtuDiscoveryConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(LOCAL_MTU).minimum_change(LOCAL_MTU_STEP);
    mtu
}

fn transport(idle: IdleTimeout, keep_alive: Duration, mtu: MtuDiscoveryConfig) -> quinn::TransportConfig {
    let mut config = quinn::TransportConfig::default();
    config
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(keep_alive))
        .mtu_discovery_config(Some(mtu))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER);
    config
}
