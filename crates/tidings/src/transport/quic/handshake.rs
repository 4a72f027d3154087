//! From a QUIC connection to a link: the key exchange is checked, both ends prove the network, the hub decides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use quinn::{ClientConfig, Connection, ReadExactError, RecvStream};
use rustls::NamedGroup;
use tidings_proto::identity::{Addr, NodeId};
use tidings_proto::wire::{Frame, Lane, LinkRefusal};
use tokio::time::sleep;

use super::hello::{Proofs, Role};
use super::link::{Control, QuicCarrier, Streams, key_exchange, open_lane};
use super::{Inner, codes, tls};
use crate::transport::hub::{Candidate, Carried, Dial, Refusal};

/// The only key exchange a link may rest on: X25519 with ML-KEM-768.
const KEY_EXCHANGE: NamedGroup = NamedGroup::X25519MLKEM768;

/// TLS wants a server's name, which is neither sent nor looked at.
const NAME: &str = "tidings.invalid";
/// Addresses of one peer that are tried, and how much later each next one begins (RFC 8305: 250 ms; here a peer names few,
/// and a dial has 1.5 s).
const MAX_TRIED: usize = 8;
const APART: Duration = Duration::from_millis(150);

/// A connection that has become a link.
pub(super) struct Established {
    pub(super) conn: Connection,
    pub(super) carried: Carried,
    pub(super) control: Control,
}

fn check_group(conn: &Connection) -> Result<(), Refusal> {
    // Neither end offers any other group; this stands should a TLS library ever do.
    if key_exchange(conn) == Some(KEY_EXCHANGE) { Ok(()) } else { Err(Refusal::Link(LinkRefusal::Protocol)) }
}

/// Dials, and says `first` behind the hello. On an error no connection is left.
pub(super) async fn dial(
    inner: &Arc<Inner>,
    dial: &Dial,
    addrs: Vec<Addr>,
    first: &[Frame],
) -> Result<Established, Refusal> {
    if dial.peer == inner.hub.me {
        return Err(Refusal::Link(LinkRefusal::WrongPeer));
    }
    let sockets: Vec<SocketAddr> = addrs
        .into_iter()
        .filter_map(|a| match a {
            Addr::Socket(socket) => Some(socket),
            _ => None,
        })
        .take(MAX_TRIED)
        .collect();
    if sockets.is_empty() {
        return Err(Refusal::Link(LinkRefusal::NoAddress));
    }
    let conn = connect(inner, dial.peer, &sockets).await.inspect_err(|refusal| {
        tracing::debug!(peer = %dial.peer.short(), ?refusal, "dial failed");
    })?;
    let result = greet(inner, dial, conn.clone(), first).await;
    result.inspect_err(|refusal| conn.close(codes::code(*refusal), b""))
}

/// Tries one address after the other, a little apart; the first that answers counts.
async fn connect(inner: &Inner, peer: NodeId, sockets: &[SocketAddr]) -> Result<Connection, Refusal> {
    let refused = Refusal::Link(LinkRefusal::Error);
    let tls = Arc::new(inner.dialing.tls.client(peer).map_err(|_| refused)?);
    let config = ClientConfig::new(tls);
    let mut tries: FuturesUnordered<_> = sockets
        .iter()
        .enumerate()
        .map(|(i, socket)| {
            let mut config = config.clone();
            async move {
                sleep(APART * i as u32).await;
                let socket = inner.reachable(*socket);
                config.transport_config(inner.dialing.transport(socket.ip()));
                let connecting = inner.endpoint.connect_with(config, socket, NAME);
                let connecting = connecting.map_err(|_| refused)?;
                connecting.await.map_err(|error| codes::connecting(&error))
            }
        })
        .collect();
    let mut worst = refused;
    while let Some(result) = tries.next().await {
        match result {
            Ok(conn) => return Ok(conn),
            Err(refusal) => worst = refusal,
        }
    }
    Err(worst)
}

async fn greet(inner: &Arc<Inner>, dial: &Dial, conn: Connection, first: &[Frame]) -> Result<Established, Refusal> {
    check_group(&conn)?;
    let proofs = Proofs::new(&conn, &inner.network, (inner.hub.me, dial.peer), Role::Dialer).map_err(Refusal::Link)?;
    let lost = |or| conn.close_reason().map_or(Refusal::Link(or), |error| codes::refusal(&error));
    let mut send = open_lane(&conn, Lane::Control).await.ok_or_else(|| lost(LinkRefusal::Closed))?;
    let mut hello = proofs.encode(Role::Dialer, dial.stamp);
    // The peer reads them once it has brought the link up, half a round trip before this end knows of it. Whether it is of
    // this network it has not shown yet; who it is, it has.
    for frame in first {
        hello.extend_from_slice(&frame.head);
        hello.extend_from_slice(&frame.payload);
    }
    send.write_all(&hello).await.map_err(|_| lost(LinkRefusal::Closed))?;
    let mut recv = accept_control(&conn).await?;
    // A refusal is a close of the connection, and says more than the stream that it cut short.
    let peer_stamp = proofs.read(Role::Acceptor, &mut recv).await.map_err(lost)?;
    let streams = Arc::new(Streams::default());
    let carrier = Box::new(QuicCarrier::new(conn.clone(), streams.clone()));
    let candidate = Candidate { peer: dial.peer, peer_stamp, carrier };
    let link = inner.hub.dialed(dial, candidate)?;
    let carried = Carried::new(inner.hub.clone(), link);
    Ok(Established { conn, carried, control: Control { send, recv, streams } })
}

/// Answers an incoming connection. On an error it has been refused.
pub(super) async fn accept(inner: &Arc<Inner>, conn: Connection) -> Result<Established, Refusal> {
    let result = answer(inner, conn.clone()).await;
    result.inspect_err(|refusal| conn.close(codes::code(*refusal), b""))
}

async fn answer(inner: &Arc<Inner>, conn: Connection) -> Result<Established, Refusal> {
    check_group(&conn)?;
    let peer = tls::peer(&conn).ok_or(Refusal::Link(LinkRefusal::Protocol))?;
    let proofs = Proofs::new(&conn, &inner.network, (inner.hub.me, peer), Role::Acceptor).map_err(Refusal::Link)?;
    let lost = |or| conn.close_reason().map_or(Refusal::Link(or), |error| codes::refusal(&error));
    let mut recv = accept_control(&conn).await?;
    let peer_stamp = proofs.read(Role::Dialer, &mut recv).await.map_err(lost)?;
    inner.hub.own_dial_ended(peer).await;
    if let Some(error) = conn.close_reason() {
        return Err(codes::refusal(&error));
    }
    let streams = Arc::new(Streams::default());
    let carrier = Box::new(QuicCarrier::new(conn.clone(), streams.clone()));
    let candidate = Candidate { peer, peer_stamp, carrier };
    let (link, stamp) = inner.hub.accepted(candidate)?;
    let carried = Carried::new(inner.hub.clone(), link);
    let sent = async {
        let mut send = open_lane(&conn, Lane::Control).await?;
        send.write_all(&proofs.encode(Role::Acceptor, stamp)).await.ok()?;
        Some(send)
    };
    match sent.await {
        Some(send) => Ok(Established { conn, carried, control: Control { send, recv, streams } }),
        None => {
            let refusal = lost(LinkRefusal::Closed);
            let reason = if let Refusal::Link(reason) = refusal { reason } else { LinkRefusal::Closed };
            inner.hub.ended(&carried.link, reason);
            Err(refusal)
        }
    }
}

/// The peer's control stream, which must be its first.
async fn accept_control(conn: &Connection) -> Result<RecvStream, Refusal> {
    let mut recv = conn.accept_uni().await.map_err(|error| codes::refusal(&error))?;
    let mut lane = [0];
    match recv.read_exact(&mut lane).await {
        Ok(()) if lane[0] == Lane::Control as u8 => Ok(recv),
        Err(ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error))) => Err(codes::refusal(&error)),
        _ => Err(Refusal::Link(LinkRefusal::Protocol)),
    }
}
