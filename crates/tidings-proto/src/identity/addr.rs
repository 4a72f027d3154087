//! Where a peer may be reached: tagged kinds, so that a newer peer can add one without breaking an older.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use minicbor::data::Type;
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

use super::NodeId;

/// Most addresses kept or carried for one peer (a host has a few interfaces; the rest is noise).
pub const MAX_ADDRS: usize = 8;

/// One way to reach a peer.
///
/// On the wire: an array `[kind, bytes]`; kind 1 is IPv4 (4 address bytes, 2 port bytes, big endian), kind 2 is
/// IPv6 (16 + 2). Unknown kinds are skipped by [`PeerAddr`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Addr {
    /// A UDP socket address on which the peer's QUIC endpoint answers.
    Socket(SocketAddr),
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Socket(s) => write!(f, "{s}"),
        }
    }
}

impl From<SocketAddr> for Addr {
    fn from(s: SocketAddr) -> Self {
        Addr::Socket(s)
    }
}

/// A peer and the addresses it is said to have: a claim, until a handshake proves the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddr {
    /// Who.
    pub id: NodeId,
    /// Where, at most [`MAX_ADDRS`].
    pub addrs: Vec<Addr>,
}

impl<C> Encode<C> for PeerAddr {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(2)?;
        self.id.encode(e, ctx)?;
        let addrs = &self.addrs[..self.addrs.len().min(MAX_ADDRS)];
        e.array(addrs.len() as u64)?;
        for Addr::Socket(addr) in addrs {
            e.array(2)?;
            match addr {
                SocketAddr::V4(a) => {
                    let mut b = [0; 6];
                    b[..4].copy_from_slice(&a.ip().octets());
                    b[4..].copy_from_slice(&a.port().to_be_bytes());
                    e.u8(1)?.bytes(&b)?;
                }
                SocketAddr::V6(a) => {
                    let mut b = [0; 18];
                    b[..16].copy_from_slice(&a.ip().octets());
                    b[16..].copy_from_slice(&a.port().to_be_bytes());
                    e.u8(2)?.bytes(&b)?;
                }
            }
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for PeerAddr {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, DecodeError> {
        let fields = d.array()?.ok_or_else(|| DecodeError::type_mismatch(Type::ArrayIndef))?;
        if fields < 2 {
            return Err(DecodeError::message("a peer address has two fields"));
        }
        let id = NodeId::decode(d, ctx)?;
        let n = d.array()?.ok_or_else(|| DecodeError::type_mismatch(Type::ArrayIndef))?;
        let mut addrs = Vec::new();
        for _ in 0..n {
            let parts = d.array()?.ok_or_else(|| DecodeError::type_mismatch(Type::ArrayIndef))?;
            if parts < 2 {
                return Err(DecodeError::message("an address has a kind and a value"));
            }
            let kind = d.u64()?;
            let known = match kind {
                1 | 2 => socket(kind, d.bytes()?)?,
                _ => {
                    d.skip()?;
                    None
                }
            };
            for _ in 2..parts {
                d.skip()?;
            }
            if let Some(a) = known.filter(|_| addrs.len() < MAX_ADDRS) {
                addrs.push(a);
            }
        }
        for _ in 2..fields {
            d.skip()?;
        }
        Ok(PeerAddr { id, addrs })
    }
}

fn socket(kind: u64, b: &[u8]) -> Result<Option<Addr>, DecodeError> {
    let wrong = || DecodeError::message("a socket address of the wrong length");
    let (ip, port) = b.split_at_checked(b.len().saturating_sub(2)).ok_or_else(wrong)?;
    let port = u16::from_be_bytes(port.try_into().map_err(|_| wrong())?);
    let addr: SocketAddr = if kind == 1 {
        let ip: [u8; 4] = ip.try_into().map_err(|_| wrong())?;
        SocketAddrV4::new(Ipv4Addr::from(ip), port).into()
    } else {
        let ip: [u8; 16] = ip.try_into().map_err(|_| wrong())?;
        SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, 0).into()
    };
    Ok(Some(Addr::Socket(addr)))
}
