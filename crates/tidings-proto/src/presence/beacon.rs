//! What a node says of itself to those who hold the group's secret, as the content of its record.
//!
//! ```text
//! record's content = ChaCha20-Poly1305(key, nonce, aad, CBOR map), 16 bytes longer
//!   key    BLAKE3-derive-key("tidings 1 presence", group's secret ‖ node ‖ epoch u64 LE)
//!   nonce  seq u32 LE ‖ eight zeros
//!   aad    the record before its content: owner, version, times and anchor
//! version = epoch << 20 | seq
//! map      0 agent   1 certificate   2 addresses   3 status   4 leaving   5 relays
//! ```
//!
//! The epoch is the node's, stored before anything is said in it and higher at each start; the sequence number grows with each
//! beacon. So no key and nonce serve twice, not after a SIGKILL either. What only says "still here" is a refresh of the record,
//! and seals nothing.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::crypto::{Crypto, TAG_LEN};
use crate::identity::{Addr, AgentId, CertificateId, Network, NodeId};
use crate::records::{Claim, sets, signed};
use crate::time::Span;
use crate::wire::ChainValue;

/// Longest status, in bytes: a short sentence.
pub const MAX_STATUS: usize = 96;
/// Most relays that a beacon names.
pub const MAX_VIAS: usize = 8;
/// Longest content: what the set's longest record leaves.
const LONGEST: usize = 512 - signed::OVERHEAD - TAG_LEN;
/// Bits of a version that count a start's beacons.
const SEQ_BITS: u32 = 20;
/// Most beacons of one start: at one each five seconds, two months of changes; refreshes do not count.
pub(super) const MAX_SEQ: u32 = (1 << SEQ_BITS) - 1;

/// The secret of a group. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupSecret([u8; 32]);

impl std::fmt::Debug for GroupSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GroupSecret(…)")
    }
}

impl GroupSecret {
    /// The group everybody in the network is in.
    pub fn of(network: &Network) -> GroupSecret {
        GroupSecret(network.derive("tidings 1 presence group"))
    }

    /// A group's own secret. None for a key of zeros, which is nobody's secret.
    pub fn from_bytes(secret: [u8; 32]) -> Option<GroupSecret> {
        (secret != [0; 32]).then_some(GroupSecret(secret))
    }

    fn key(&self, node: &NodeId, epoch: u64) -> [u8; 32] {
        let mut h = blake3::Hasher::new_derive_key("tidings 1 presence");
        h.update(&self.0);
        h.update(node.as_bytes());
        h.update(&epoch.to_le_bytes());
        *h.finalize().as_bytes()
    }
}

/// A relay by which a node can be found that nobody can dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    /// How its id begins: enough to tell it among those that are here.
    pub head: [u8; 8],
    /// The round trip from the node to it, in units of 2 ms.
    pub rtt: u8,
}

impl Via {
    /// Through `relay`, at this distance.
    pub fn new(relay: &NodeId, rtt: Span) -> Via {
        let mut head = [0; 8];
        head.copy_from_slice(&relay.as_bytes()[..8]);
        Via { head, rtt: u8::try_from(rtt.0.div_ceil(2_000)).unwrap_or(u8::MAX) }
    }

    /// The round trip.
    pub fn span(&self) -> Span {
        Span::from_millis(2 * u64::from(self.rtt))
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beacon {
    /// The agent it speaks for, by its own word.
    pub agent: Option<AgentId>,
    /// The certificate that proves it.
    pub certificate: Option<CertificateId>,
    /// Where it can be reached.
    pub addrs: Vec<Addr>,
    /// A short text.
    pub status: String,
    /// It is about to be gone.
    pub leaving: bool,
    /// Those through whom it is found, if nobody can dial it.
    pub vias: Vec<Via>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Said {
    #[n(0)]
    agent: Option<AgentId>,
    #[n(1)]
    certificate: Option<CertificateId>,
    /// Each as kind, length and bytes, so that unknown kinds can be skipped.
    #[n(2)]
    #[cbor(with = "minicbor::bytes", default)]
    addrs: Vec<u8>,
    #[n(3)]
    #[cbor(default)]
    status: String,
    #[n(4)]
    #[cbor(default)]
    leaving: bool,
    /// Each as the first eight bytes of an id and a distance.
    #[n(5)]
    #[cbor(with = "minicbor::bytes", default)]
    vias: Vec<u8>,
}

/// The version of a start's beacon.
pub(super) fn version(epoch: u64, seq: u32) -> u64 {
    epoch << SEQ_BITS | u64::from(seq & MAX_SEQ)
}

/// The start that a version is of.
pub(super) fn epoch(version: u64) -> u64 {
    version >> SEQ_BITS
}

/// Whose epoch fits a version: any until the year 2500.
pub(super) fn is_epoch(epoch: u64) -> bool {
    epoch >> (64 - SEQ_BITS) == 0
}

/// A sealed and signed beacon. The last addresses are left out if it would be too long.
pub fn seal(
    crypto: &dyn Crypto,
    network: &[u8; 32],
    group: &GroupSecret,
    said: &signed::Statement,
    beacon: &Beacon,
) -> Bytes {
    let (mut addrs, mut plain) = (&beacon.addrs[..], Vec::new());
    loop {
        plain.clear();
        let said = Said {
            agent: beacon.agent,
            certificate: beacon.certificate,
            addrs: pack(addrs),
            status: beacon.status.clone(),
            leaving: beacon.leaving,
            vias: beacon.vias.iter().take(MAX_VIAS).flat_map(|v| [&v.head[..], &[v.rtt]].concat()).collect(),
        };
        let done = minicbor::encode(said, &mut plain);
        debug_assert!(done.is_ok());
        match addrs.split_last() {
            Some((_, rest)) if plain.len() > LONGEST => addrs = rest,
            _ => break,
        }
    }
    let node = crypto.node_id();
    let (key, nonce) = (group.key(&node, epoch(said.version)), nonce(said.version));
    let sealed = crypto.seal(&key, &nonce, &signed::head(&node, said), &plain);
    signed::sign(sets::PRESENCE, network, crypto, said, &sealed)
}

/// What a record says to who holds the group's secret; none for everybody else, and for what is none.
pub fn open(crypto: &dyn Crypto, group: &GroupSecret, claim: &Claim, record: &Bytes) -> Option<Beacon> {
    let node = NodeId(claim.key.0);
    let (key, nonce) = (group.key(&node, epoch(claim.version)), nonce(claim.version));
    let said = signed::Statement {
        version: claim.version,
        issued: claim.issued,
        life: claim.life,
        anchor: claim.anchor.unwrap_or(ChainValue([0; 16])),
    };
    let plain = crypto.open(&key, &nonce, &signed::head(&node, &said), &signed::content(record))?;
    let said: Said = minicbor::decode(&plain).ok()?;
    let short = said.status.len() <= MAX_STATUS && !said.status.chars().any(char::is_control);
    short.then(|| Beacon {
        agent: said.agent,
        certificate: said.certificate,
        addrs: unpack(&said.addrs),
        status: said.status,
        leaving: said.leaving,
        vias: said
            .vias
            .as_chunks::<9>()
            .0
            .iter()
            .take(MAX_VIAS)
            .map(|[head @ .., rtt]| Via { head: *head, rtt: *rtt })
            .collect(),
    })
}

fn nonce(version: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&((version as u32) & MAX_SEQ).to_le_bytes());
    nonce
}

fn pack(addrs: &[Addr]) -> Vec<u8> {
    let mut out = Vec::new();
    for Addr::Socket(addr) in addrs {
        match addr.ip() {
            std::net::IpAddr::V4(ip) => {
                out.extend_from_slice(&[1, 6]);
                out.extend_from_slice(&ip.octets());
            }
            std::net::IpAddr::V6(ip) => {
                out.extend_from_slice(&[2, 18]);
                out.extend_from_slice(&ip.octets());
            }
        }
        out.extend_from_slice(&addr.port().to_be_bytes());
    }
    out
}

fn unpack(mut bytes: &[u8]) -> Vec<Addr> {
    let mut out = Vec::new();
    while let [kind, len, rest @ ..] = bytes {
        let Some((addr, behind)) = rest.split_at_checked(usize::from(*len)) else { break };
        bytes = behind;
        let Some((ip, port)) = addr.split_last_chunk::<2>() else { continue };
        let port = u16::from_be_bytes(*port);
        let socket = match kind {
            1 => <[u8; 4]>::try_from(ip).ok().map(|ip| (ip, port).into()),
            2 => <[u8; 16]>::try_from(ip).ok().map(|ip| (ip, port).into()),
            _ => None,
        };
        if out.len() < crate::identity::MAX_ADDRS {
            out.extend(socket.map(Addr::Socket));
        }
    }
    out
}
