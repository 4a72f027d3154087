//! What only QUIC can show: the key exchange, identities, and peers that break the rules on the wire.

#[path = "support/raw.rs"]
mod raw;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError};
use raw::Raw;
use rustls::NamedGroup;
use rustls::crypto::{SupportedKxGroup, aws_lc_rs};
use tidings::transport::{
    Inbound, Inbox, LinkLimits, QuicConfig, QuicTransport, Transport, TransportError, TransportEvent,
};
use tidings_proto::identity::{Addr, Network, NodeId, SecretKey};
use tidings_proto::wire::{ALPN, Frame, Lane, LinkRefusal};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);
const HYBRID: &dyn SupportedKxGroup = aws_lc_rs::kx_group::X25519MLKEM768;

fn network() -> Network {
    Network::from_name("test").unwrap()
}

fn config(seed: u8) -> QuicConfig {
    QuicConfig {
        // A debug build on a busy machine takes its time.
        dial_timeout: Duration::from_secs(3),
        ..QuicConfig::new(SecretKey::from_bytes([seed; 32]), network())
    }
}

async fn node(seed: u8) -> (Arc<QuicTransport>, Inbox) {
    let t = QuicTransport::bind(config(seed)).await.unwrap();
    let inbox = t.attach(LinkLimits::default());
    (t, inbox)
}

async fn next(inbox: &mut Inbox) -> Inbound {
    loop {
        match timeout(DEADLINE, inbox.recv()).await.expect("nothing came in time").expect("the inbox ended") {
            Inbound::Credit { .. } => {}
            event => return event,
        }
    }
}

async fn link_up(inbox: &mut Inbox) -> NodeId {
    match next(inbox).await {
        Inbound::LinkUp { peer, .. } => peer,
        other => panic!("wanted LinkUp, got {other:?}"),
    }
}

async fn link_down(inbox: &mut Inbox) -> (NodeId, LinkRefusal) {
    match next(inbox).await {
        Inbound::LinkDown { peer, reason } => (peer, reason),
        other => panic!("wanted LinkDown, got {other:?}"),
    }
}

async fn dial_failed(inbox: &mut Inbox) -> LinkRefusal {
    match next(inbox).await {
        Inbound::DialFailed { reason, .. } => reason,
        other => panic!("wanted DialFailed, got {other:?}"),
    }
}

async fn refused(events: &mut tokio::sync::broadcast::Receiver<TransportEvent>) -> LinkRefusal {
    loop {
        if let TransportEvent::Refused { reason, .. } = timeout(DEADLINE, events.recv()).await.unwrap().unwrap() {
            return reason;
        }
    }
}

/// An endpoint that is no transport of ours and may do anything.
async fn raw(seed: u8, groups: &[&'static dyn SupportedKxGroup], alpn: &[u8]) -> Raw {
    Raw::bind(seed, groups, alpn)
}

fn id_of(raw: &Raw) -> NodeId {
    raw.id
}

fn socket_of(raw: &Raw) -> Vec<Addr> {
    vec![Addr::Socket(raw.endpoint.local_addr().unwrap())]
}

/// The dialer's hello as `docs/protocol.md` describes it, written down a second time.
fn hello(conn: &Connection, dialer: NodeId, acceptor: NodeId) -> Vec<u8> {
    let mut exporter = [0; 32];
    conn.export_keying_material(&mut exporter, b"tidings 1 link", b"").unwrap();
    let mut mac = blake3::Hasher::new_keyed(&network().derive("tidings 1 link proof"));
    mac.update(&[0]).update(&exporter).update(&dialer.0).update(&acceptor.0);
    // Lane, version, length 53: five bytes more than this version knows.
    let mut out = vec![0, 1, 53, 0];
    out.extend_from_slice(mac.finalize().as_bytes());
    out.extend_from_slice(&7u64.to_le_bytes());
    out.extend_from_slice(&1u64.to_le_bytes());
    out.extend_from_slice(b"later");
    out
}

/// A link to `t` made by hand.
struct RawLink {
    endpoint: Raw,
    conn: Connection,
    control: quinn::SendStream,
}

async fn raw_link(t: &QuicTransport, inbox: &mut Inbox) -> RawLink {
    let endpoint = raw(9, &[HYBRID], ALPN).await;
    let conn = endpoint.connect(t).await.unwrap();
    let mut control = conn.open_uni().await.unwrap();
    control.write_all(&hello(&conn, id_of(&endpoint), t.local_peer_id())).await.unwrap();
    assert_eq!(link_up(inbox).await, id_of(&endpoint));
    RawLink { endpoint, conn, control }
}

async fn close_code(conn: &Connection) -> u64 {
    match timeout(DEADLINE, conn.closed()).await.unwrap() {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("wanted a close with a code, got {other:?}"),
    }
}

#[tokio::test]
async fn links_negotiate_the_hybrid_group() {
    let ((a, mut a_in), (b, mut b_in)) = (node(1).await, node(2).await);
    a.dial(b.local_peer_id(), b.local_addrs());
    link_up(&mut a_in).await;
    link_up(&mut b_in).await;
    assert_eq!(a.negotiated_group(b.local_peer_id()), Some(NamedGroup::X25519MLKEM768));
    assert_eq!(b.negotiated_group(a.local_peer_id()), Some(NamedGroup::X25519MLKEM768));
    assert_eq!(a.negotiated_group(NodeId([3; 32])), None);
}

#[tokio::test]
async fn acknowledgements_are_told_once() {
    let ((a, mut a_in), (b, mut b_in)) = (node(1).await, node(2).await);
    a.dial(b.local_peer_id(), b.local_addrs());
    link_up(&mut a_in).await;
    link_up(&mut b_in).await;
    let peer = b.local_peer_id();
    let told = async {
        // The handshake's own are on their way for a while.
        while !a.acknowledged().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        a.send(peer, Frame::new(1, b"", Bytes::new()).to_bytes()).unwrap();
        loop {
            let peers = a.acknowledged();
            if !peers.is_empty() {
                break peers;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(timeout(DEADLINE, told).await.unwrap(), [peer]);
}

#[tokio::test]
async fn a_classic_only_dialer_is_refused() {
    let (t, mut inbox) = node(1).await;
    let classic = raw(9, &[aws_lc_rs::kx_group::X25519], ALPN).await;
    let mut events = t.subscribe_events();
    let result = timeout(DEADLINE, classic.connect(&t));
    let (result, reason) = tokio::join!(result, refused(&mut events));
    assert!(!matches!(result, Ok(Ok(_))));
    assert_eq!(reason, LinkRefusal::Protocol);
    assert!(inbox.try_recv().is_none());
    assert_eq!(t.stats().links_up, 0);
}

#[tokio::test]
async fn a_classic_only_acceptor_is_refused() {
    let (t, mut inbox) = node(1).await;
    let classic = raw(9, &[aws_lc_rs::kx_group::X25519], ALPN).await;
    t.dial(id_of(&classic), socket_of(&classic));
    let accept = async {
        loop {
            let incoming = classic.endpoint.accept().await.unwrap();
            assert!(incoming.await.is_err(), "the handshake must not succeed");
        }
    };
    tokio::select! {
        reason = dial_failed(&mut inbox) => assert!(matches!(reason, LinkRefusal::Protocol | LinkRefusal::Timeout)),
        () = accept => {}
    }
}

#[tokio::test]
async fn somebody_else_at_the_address_is_a_wrong_peer() {
    let ((a, mut a_in), (b, mut b_in)) = (node(1).await, node(2).await);
    let expected = raw(3, &[HYBRID], ALPN).await.id;
    a.dial(expected, b.local_addrs());
    assert_eq!(dial_failed(&mut a_in).await, LinkRefusal::WrongPeer);
    assert!(b_in.try_recv().is_none());
}

#[tokio::test]
async fn a_dial_without_addresses_fails() {
    let (a, mut inbox) = node(1).await;
    a.dial(NodeId([3; 32]), Vec::new());
    assert_eq!(dial_failed(&mut inbox).await, LinkRefusal::NoAddress);
}

#[tokio::test]
async fn another_protocol_version_is_refused() {
    let (t, mut inbox) = node(1).await;
    let newer = raw(9, &[HYBRID], b"tidings/2").await;
    t.dial(id_of(&newer), socket_of(&newer));
    let accept = async {
        let incoming = newer.endpoint.accept().await.unwrap();
        assert!(incoming.await.is_err());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // The alert may be lost: it is sent once, and the dialer then waits for its time-out.
        reason = dial_failed(&mut inbox) => assert!(matches!(reason, LinkRefusal::Version | LinkRefusal::Timeout)),
        () = accept => {}
    }
}

#[tokio::test]
async fn a_handmade_link_follows_the_documented_bytes() {
    let (t, mut inbox) = node(1).await;
    let mut link = raw_link(&t, &mut inbox).await;
    // The acceptor's answer: lane, version, length, its proof.
    let mut recv = timeout(DEADLINE, link.conn.accept_uni()).await.unwrap().unwrap();
    let mut answer = [0; 52];
    recv.read_exact(&mut answer).await.unwrap();
    let mut exporter = [0; 32];
    link.conn.export_keying_material(&mut exporter, b"tidings 1 link", b"").unwrap();
    let mut mac = blake3::Hasher::new_keyed(&network().derive("tidings 1 link proof"));
    mac.update(&[1]).update(&exporter).update(&id_of(&link.endpoint).0).update(&t.local_peer_id().0);
    assert_eq!(answer[..4], [0, 1, 48, 0]);
    assert_eq!(answer[4..36], *mac.finalize().as_bytes());

    let frame = Frame::new(3, b"body", Bytes::from_static(b"payload"));
    link.control.write_all(&frame.to_bytes()).await.unwrap();
    match next(&mut inbox).await {
        Inbound::Frame { from, lane: Lane::Control, bytes, .. } => {
            assert_eq!((from, bytes), (id_of(&link.endpoint), frame.to_bytes()));
        }
        other => panic!("wanted the frame, got {other:?}"),
    }
    t.try_send_frame(id_of(&link.endpoint), Lane::Control, frame.clone()).unwrap();
    let mut back = vec![0; frame.len()];
    recv.read_exact(&mut back).await.unwrap();
    assert_eq!(back, frame.to_bytes());
}

/// Writes `bytes` on a handmade link's control stream, while another link stands by; how did the first end?
async fn after_writing(bytes: &[u8]) -> (LinkRefusal, u64) {
    let ((t, mut inbox), (other, mut other_in)) = (node(1).await, node(2).await);
    other.dial(t.local_peer_id(), t.local_addrs());
    link_up(&mut inbox).await;
    link_up(&mut other_in).await;
    let mut link = raw_link(&t, &mut inbox).await;
    link.control.write_all(bytes).await.unwrap();
    let (peer, reason) = link_down(&mut inbox).await;
    assert_eq!(peer, id_of(&link.endpoint));
    let code = close_code(&link.conn).await;
    assert_eq!(t.stats().protocol_errors, 1);
    // The other link has not noticed.
    other.send(t.local_peer_id(), Frame::new(1, b"", Bytes::new()).to_bytes()).unwrap();
    assert!(matches!(next(&mut inbox).await, Inbound::Frame { from, .. } if from == other.local_peer_id()));
    (reason, code)
}

#[tokio::test]
async fn an_overlong_frame_closes_its_link_only() {
    assert_eq!(after_writing(&[1, 1, 0, 0, 255, 255, 255, 255]).await, (LinkRefusal::Protocol, 5));
}

#[tokio::test]
async fn a_frame_of_another_version_closes_its_link_only() {
    assert_eq!(after_writing(&[2, 1, 0, 0, 0, 0, 0, 0]).await, (LinkRefusal::Version, 3));
}

#[tokio::test]
async fn garbage_closes_its_link_only() {
    assert_eq!(after_writing(&[0xff; 4096]).await, (LinkRefusal::Version, 3));
}

#[tokio::test]
async fn a_second_stream_for_a_lane_closes_the_link() {
    let (t, mut inbox) = node(1).await;
    let link = raw_link(&t, &mut inbox).await;
    for _ in 0..2 {
        link.conn.open_uni().await.unwrap().write_all(&[1]).await.unwrap();
    }
    assert_eq!(link_down(&mut inbox).await.1, LinkRefusal::Protocol);
}

#[tokio::test]
async fn an_unknown_lane_is_ignored_and_counted() {
    let (t, mut inbox) = node(1).await;
    let mut link = raw_link(&t, &mut inbox).await;
    let mut unknown = link.conn.open_uni().await.unwrap();
    unknown.write_all(&[77, 1, 2, 3]).await.unwrap();
    // Told to stop: it has been looked at.
    timeout(DEADLINE, unknown.stopped()).await.unwrap().unwrap();
    assert_eq!(t.stats().unknown_streams, 1);
    link.control.write_all(&Frame::new(1, b"", Bytes::new()).to_bytes()).await.unwrap();
    assert!(matches!(next(&mut inbox).await, Inbound::Frame { .. }));
}

/// Connects and says `bytes` instead of a hello: the close code, and what was counted.
async fn instead_of_a_hello(bytes: &[u8]) -> (u64, LinkRefusal) {
    let (t, mut inbox) = node(1).await;
    let mut events = t.subscribe_events();
    let endpoint = raw(9, &[HYBRID], ALPN).await;
    let conn = endpoint.connect(&t).await.unwrap();
    let mut control = conn.open_uni().await.unwrap();
    control.write_all(bytes).await.unwrap();
    let code = close_code(&conn).await;
    let reason = refused(&mut events).await;
    assert!(inbox.try_recv().is_none(), "a refused connection is no event for the driver");
    (code, reason)
}

#[tokio::test]
async fn a_forged_proof_is_a_wrong_network() {
    let mut hello = vec![0, 1, 48, 0];
    hello.extend_from_slice(&[7; 48]);
    assert_eq!(instead_of_a_hello(&hello).await, (2, LinkRefusal::WrongNetwork));
}

#[tokio::test]
async fn a_hello_of_another_version_is_refused() {
    assert_eq!(instead_of_a_hello(&[0, 2, 48, 0]).await, (3, LinkRefusal::Version));
}

#[tokio::test]
async fn a_hello_too_short_or_too_long_is_refused() {
    assert_eq!(instead_of_a_hello(&[0, 1, 47, 0]).await, (5, LinkRefusal::Protocol));
    assert_eq!(instead_of_a_hello(&[0, 1, 1, 4]).await, (5, LinkRefusal::Protocol));
}

#[tokio::test]
async fn another_lane_before_the_hello_is_refused() {
    assert_eq!(instead_of_a_hello(&[1, 1, 48, 0]).await, (5, LinkRefusal::Protocol));
}

#[tokio::test]
async fn a_dialer_that_says_nothing_is_given_up() {
    let t = QuicTransport::bind(QuicConfig { dial_timeout: Duration::from_millis(300), ..config(1) }).await.unwrap();
    let _inbox = t.attach(LinkLimits::default());
    let mut events = t.subscribe_events();
    let endpoint = raw(9, &[HYBRID], ALPN).await;
    let conn = endpoint.connect(&t).await.unwrap();
    assert_eq!(refused(&mut events).await, LinkRefusal::Timeout);
    timeout(DEADLINE, conn.closed()).await.unwrap();
}

#[tokio::test]
async fn an_acceptor_that_says_nothing_is_given_up() {
    let t = QuicTransport::bind(QuicConfig { dial_timeout: Duration::from_millis(300), ..config(1) }).await.unwrap();
    let mut inbox = t.attach(LinkLimits::default());
    let endpoint = raw(9, &[HYBRID], ALPN).await;
    t.dial(id_of(&endpoint), socket_of(&endpoint));
    let conn = timeout(DEADLINE, endpoint.endpoint.accept()).await.unwrap().unwrap().await.unwrap();
    assert_eq!(dial_failed(&mut inbox).await, LinkRefusal::Timeout);
    timeout(DEADLINE, conn.closed()).await.unwrap();
}

#[tokio::test]
async fn a_silent_death_is_noticed_after_the_idle_time_out() {
    let patient = Duration::from_secs(6);
    let hasty = Duration::from_millis(1_500);
    let bind = async |seed, idle_timeout| {
        let t = QuicTransport::bind(QuicConfig { idle_timeout, ..config(seed) }).await.unwrap();
        let inbox = t.attach(LinkLimits::default());
        (t, inbox)
    };
    let (a, mut a_in) = bind(1, patient).await;
    let (b, mut b_in) = bind(2, hasty).await;
    // The third node lives in a runtime of its own, which dies without a word.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (c, c_in) = runtime.spawn(bind(3, patient)).await.unwrap();
    for (t, inbox) in [(&a, &mut a_in), (&b, &mut b_in)] {
        t.dial(c.local_peer_id(), c.local_addrs());
        assert_eq!(link_up(inbox).await, c.local_peer_id());
    }
    runtime.shutdown_background();
    // Which comes first does not depend on how busy the machine is.
    let died = (c.local_peer_id(), LinkRefusal::Silent);
    tokio::select! {
        biased;
        _ = link_down(&mut a_in) => panic!("a longer time-out ran out first"),
        down = link_down(&mut b_in) => assert_eq!(down, died),
    }
    assert_eq!(link_down(&mut a_in).await, died);
    // Only now: a transport that is dropped says goodbye.
    drop((c, c_in));
}

#[tokio::test]
async fn an_idle_link_stays_up() {
    let idle_timeout = Duration::from_millis(600);
    let bind = |seed| QuicTransport::bind(QuicConfig { idle_timeout, ..config(seed) });
    let (a, b) = (bind(1).await.unwrap(), bind(2).await.unwrap());
    let (mut a_in, mut b_in) = (a.attach(LinkLimits::default()), b.attach(LinkLimits::default()));
    a.dial(b.local_peer_id(), b.local_addrs());
    link_up(&mut a_in).await;
    link_up(&mut b_in).await;
    let quiet = timeout(idle_timeout * 4, next(&mut b_in)).await;
    assert!(quiet.is_err(), "keep-alives must hold the link: {quiet:?}");
}

#[tokio::test]
async fn an_address_in_use_says_what_to_do() {
    let (t, _inbox) = node(1).await;
    let bind: SocketAddr = t.bound_sockets()[0];
    let error = QuicTransport::bind(QuicConfig { bind, ..config(2) }).await.err().unwrap();
    assert!(matches!(error, TransportError::AddressInUse(addr) if addr == bind), "{error:?}");
    assert_eq!(error.to_string(), format!("address {bind} is in use: choose another port with --bind"));
}

#[tokio::test]
async fn ipv6_links() {
    let bind = |seed| QuicTransport::bind(QuicConfig { bind: "[::1]:0".parse().unwrap(), ..config(seed) });
    let (a, b) = (bind(1).await.unwrap(), bind(2).await.unwrap());
    let (mut a_in, _b_in) = (a.attach(LinkLimits::default()), b.attach(LinkLimits::default()));
    a.dial(b.local_peer_id(), b.local_addrs());
    match next(&mut a_in).await {
        Inbound::LinkUp { addr: Some(Addr::Socket(addr)), .. } => assert_eq!(addr, b.bound_sockets()[0]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn of_several_addresses_one_that_answers_is_enough() {
    let ((a, mut a_in), (b, _b_in)) = (node(1).await, node(2).await);
    // Nobody answers there: the socket is ours and never read.
    let mute = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let stranger = raw(9, &[HYBRID], ALPN).await;
    let mut addrs = vec![Addr::Socket(mute.local_addr().unwrap())];
    addrs.extend(socket_of(&stranger));
    addrs.extend(b.local_addrs());
    a.dial(b.local_peer_id(), addrs);
    assert_eq!(link_up(&mut a_in).await, b.local_peer_id());
}

#[tokio::test]
async fn a_socket_that_listens_everywhere_names_addresses_to_be_dialed() {
    for (everywhere, here) in [("0.0.0.0:0", "127.0.0.1:0"), ("[::]:0", "127.0.0.1:0"), ("[::]:0", "[::1]:0")] {
        let bind = |seed, addr: &str| QuicTransport::bind(QuicConfig { bind: addr.parse().unwrap(), ..config(seed) });
        let (a, b) = (bind(1, everywhere).await.unwrap(), bind(2, here).await.unwrap());
        let named = a.local_addrs();
        let port = a.bound_sockets()[0].port();
        assert!(!named.is_empty(), "{everywhere}");
        assert!(
            named.iter().all(|n| matches!(n, Addr::Socket(n) if !n.ip().is_unspecified() && n.port() == port)),
            "{named:?}"
        );
        let (mut a_in, _b_in) = (a.attach(LinkLimits::default()), b.attach(LinkLimits::default()));
        a.dial(b.local_peer_id(), b.local_addrs());
        match next(&mut a_in).await {
            Inbound::LinkUp { addr: Some(Addr::Socket(addr)), .. } => assert_eq!(addr, b.bound_sockets()[0]),
            other => panic!("{everywhere} to {here}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_dropped_transport_leaves_nothing_running() {
    let ((a, mut a_in), (b, b_in)) = (node(1).await, node(2).await);
    a.dial(b.local_peer_id(), b.local_addrs());
    let id = link_up(&mut a_in).await;
    let socket = b.bound_sockets()[0];
    drop((b, b_in));
    assert_eq!(link_down(&mut a_in).await.0, id);
    // Its socket is free again: nothing holds the endpoint.
    let again = async {
        while QuicTransport::bind(QuicConfig { bind: socket, ..config(3) }).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, again).await.unwrap();
}
