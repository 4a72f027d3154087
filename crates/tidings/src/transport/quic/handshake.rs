//! From a QUIC connection to a link: the key exchange is checked, both ends prove the network, the hub decides.

use std::sync::Arc;

use iroh::endpoint::{ConnectOptions, Connection, ReadExactError, RecvStream};
use iroh::{EndpointAddr, EndpointId};
use rustls::NamedGroup;
use tidings_proto::identity::{Addr, NodeId};
use tidings_proto::wire::{ALPN, Lane, LinkRefusal};

use super::hello::{Proofs, Role};
use super::link::{Control, open_lane};
use super::{Inner, codes};
use crate::transport::hub::{Candidate, Carried, Carrier, Dial, Refusal};

/// The only key exchange a link may rest on: X25519 with ML-KEM-768.
const KEY_EXCHANGE: NamedGroup = NamedGroup::X25519MLKEM768;

/// A connection that has become a link.
pub(super) struct Established {
    pub(super) conn: Connection,
    pub(super) carried: Carried,
    pub(super) control: Control,
}

fn check_group(conn: &Connection) -> Result<(), Refusal> {
    // Neither end offers any other group; this stands should a TLS library ever do.
    if conn.key_exchange() == Some(KEY_EXCHANGE) { Ok(()) } else { Err(Refusal::Link(LinkRefusal::Protocol)) }
}

/// Dials. On an error no connection is left.
pub(super) async fn dial(inner: &Arc<Inner>, dial: &Dial, addrs: Vec<Addr>) -> Result<Established, Refusal> {
    if dial.peer == inner.hub.me {
        return Err(Refusal::Link(LinkRefusal::WrongPeer));
    }
    let no_address = Refusal::Link(LinkRefusal::NoAddress);
    let id = EndpointId::from_bytes(&dial.peer.0).map_err(|_| no_address)?;
    let mut addr = EndpointAddr::new(id);
    for a in addrs {
        match a {
            Addr::Socket(socket) => addr = addr.with_ip_addr(socket),
            _ => continue,
        }
    }
    if addr.is_empty() {
        return Err(no_address);
    }
    let conn = connect(inner, addr).await.inspect_err(|refusal| {
        tracing::debug!(peer = %dial.peer.short(), ?refusal, "dial failed");
    })?;
    let result = greet(inner, dial, conn.clone()).await;
    result.inspect_err(|refusal| conn.close(codes::code(*refusal), b""))
}

async fn connect(inner: &Inner, addr: EndpointAddr) -> Result<Connection, Refusal> {
    let options = ConnectOptions::new().with_transport_config(inner.dialing.clone());
    let connecting = inner.endpoint.connect_with_opts(addr, ALPN, options).await;
    let connecting = connecting.map_err(|_| Refusal::Link(LinkRefusal::Error))?;
    connecting.await.map_err(|error| codes::connecting(&error))
}

async fn greet(inner: &Arc<Inner>, dial: &Dial, conn: Connection) -> Result<Established, Refusal> {
    check_group(&conn)?;
    let proofs = Proofs::new(&conn, &inner.network, inner.hub.me, Role::Dialer).map_err(Refusal::Link)?;
    let lost = |or| conn.close_reason().map_or(Refusal::Link(or), |error| codes::refusal(&error));
    let mut send = open_lane(&conn, Lane::Control).await.ok_or_else(|| lost(LinkRefusal::Closed))?;
    let hello = proofs.encode(Role::Dialer, dial.stamp);
    send.write_all(&hello).await.map_err(|_| lost(LinkRefusal::Closed))?;
    let mut recv = accept_control(&conn).await?;
    // A refusal is a close of the connection, and says more than the stream that it cut short.
    let peer_stamp = proofs.read(Role::Acceptor, &mut recv).await.map_err(lost)?;
    let candidate = Candidate { peer: dial.peer, peer_stamp, carrier: Box::new(conn.clone()) };
    let link = inner.hub.dialed(dial, candidate)?;
    let carried = Carried::new(inner.hub.clone(), link);
    Ok(Established { conn, carried, control: Control { send, recv } })
}

/// Answers an incoming connection. On an error it has been refused.
pub(super) async fn accept(inner: &Arc<Inner>, conn: Connection) -> Result<Established, Refusal> {
    let result = answer(inner, conn.clone()).await;
    result.inspect_err(|refusal| conn.close(codes::code(*refusal), b""))
}

async fn answer(inner: &Arc<Inner>, conn: Connection) -> Result<Established, Refusal> {
    check_group(&conn)?;
    let peer = NodeId(*conn.remote_id().as_bytes());
    let proofs = Proofs::new(&conn, &inner.network, inner.hub.me, Role::Acceptor).map_err(Refusal::Link)?;
    let lost = |or| conn.close_reason().map_or(Refusal::Link(or), |error| codes::refusal(&error));
    let mut recv = accept_control(&conn).await?;
    let peer_stamp = proofs.read(Role::Dialer, &mut recv).await.map_err(lost)?;
    inner.hub.own_dial_ended(peer).await;
    if let Some(error) = conn.close_reason() {
        return Err(codes::refusal(&error));
    }
    let candidate = Candidate { peer, peer_stamp, carrier: Box::new(conn.clone()) };
    let (link, stamp) = inner.hub.accepted(candidate)?;
    let carried = Carried::new(inner.hub.clone(), link);
    let sent = async {
        let mut send = open_lane(&conn, Lane::Control).await?;
        send.write_all(&proofs.encode(Role::Acceptor, stamp)).await.ok()?;
        Some(send)
    };
    match sent.await {
        Some(send) => Ok(Established { conn, carried, control: Control { send, recv } }),
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
        Err(ReadExactError::ReadError(iroh::endpoint::ReadError::ConnectionLost(error))) => Err(codes::refusal(&error)),
        _ => Err(Refusal::Link(LinkRefusal::Protocol)),
    }
}
