//! How the QUIC endpoint is set up.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::{BindError, IdleTimeout, PortmapperConfig, QuicTransportConfig, VarInt, presets};
use iroh::{Endpoint, RelayMode};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tidings_proto::identity::{Network, SecretKey};
use tidings_proto::wire::ALPN;

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
/// TLS sessions remembered: we never send early data, so they save little (iroh keeps 256 in 150 KiB by default).
const TLS_TICKETS: usize = 8;
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
            dial_timeout: Duration::from_millis(1_500),
            idle_timeout: Duration::from_secs(5),
        }
    }
}

/// Cryptography with the hybrid key exchange and no fall-back.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    Arc::new(provider)
}

/// The endpoint, and the configuration of the connections it dials.
pub(super) async fn bind(config: &QuicConfig) -> Result<(Endpoint, QuicTransportConfig), TransportError> {
    let idle = IdleTimeout::try_from(config.idle_timeout)
        .map_err(|_| TransportError::Config("the idle time-out is longer than QUIC can say"))?;
    if config.idle_timeout < Duration::from_millis(100) || config.dial_timeout.is_zero() {
        return Err(TransportError::Config("an idle time-out needs 100 ms at least, a dial time-out must not be zero"));
    }
    let keep_alive = config.idle_timeout / KEEP_ALIVES;
    let dialer = quic(config, idle, keep_alive);
    let acceptor = quic(config, idle, keep_alive.mul_f64(ACCEPTOR_LATER));
    let cannot = |reason: String| TransportError::Bind { addr: config.bind, reason };
    let endpoint = Endpoint::builder(presets::Empty)
        .crypto_provider(provider())
        .secret_key(iroh::SecretKey::from_bytes(config.secret.expose()))
        .alpns(vec![ALPN.to_vec()])
        .relay_mode(RelayMode::Disabled)
        .clear_address_lookup()
        .portmapper_config(PortmapperConfig::Disabled)
        .max_tls_tickets(TLS_TICKETS)
        .transport_config(acceptor)
        .clear_ip_transports()
        .bind_addr(config.bind)
        .map_err(|error| cannot(error.to_string()))?
        .bind()
        .await
        .map_err(|error| match &error {
            BindError::Sockets { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                TransportError::AddressInUse(config.bind)
            }
            _ => cannot(error.to_string()),
        })?;
    Ok((endpoint, dialer))
}

fn quic(config: &QuicConfig, idle: IdleTimeout, keep_alive: Duration) -> QuicTransportConfig {
    QuicTransportConfig::builder()
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(keep_alive)
        .default_path_max_idle_timeout(config.idle_timeout)
        .default_path_keep_alive_interval(keep_alive)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .build()
}
