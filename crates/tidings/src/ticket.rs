//! Tickets: all that is needed to join somebody's network, as one word.
//!
//! `tidings1` followed by lower-case base32 without padding of `CBOR [network key, [peer, …]] ‖ check`, where the
//! check is the first four bytes of `BLAKE3-derive-key("tidings 1 ticket", CBOR)`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use minicbor::{Decode, Encode};
use tidings_proto::identity::{Addr, Card, IdError, Network, NodeId, PeerAddr};

use crate::card::{CardTextError, is_card, read_card};

/// How every ticket begins.
const PREFIX: &str = "tidings1";
const DOMAIN: &str = "tidings 1 ticket";
/// Most peers in a ticket: more ways in than ever needed, short enough to paste.
pub const MAX_TICKET_PEERS: usize = 8;
const CHECK_LEN: usize = 4;

/// Peers to join through, and the key of their network. Whoever has the text can join: `Display` shows the key,
/// `Debug` does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The network.
    pub network: Network,
    /// Whom to join through, at most [`MAX_TICKET_PEERS`].
    pub peers: Vec<PeerAddr>,
}

#[derive(Encode, Decode)]
struct Body {
    #[cbor(n(0), with = "minicbor::bytes")]
    network: [u8; 32],
    #[n(1)]
    peers: Vec<PeerAddr>,
}

/// Why a text is not a ticket, or not a peer to join through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// It does not begin as tickets do.
    #[error("a ticket begins with {PREFIX}: copy the whole of what `tidings ticket` prints")]
    Prefix,
    /// Characters that no ticket has, or too few of them.
    #[error("the ticket is cut short or has wrong characters in it: copy it again, as one word")]
    Encoding,
    /// The check does not match.
    #[error("the ticket has been altered: copy it again, as one word")]
    Check,
    /// Correctly copied, and not understood.
    #[error("the ticket is of a kind this version does not know: update tidings, or ask for an older one's ticket")]
    Format,
    /// Nobody in it.
    #[error("the ticket names no peer: ask for a new one from a running node")]
    NoPeers,
    /// Neither a ticket nor `NODE@ADDR:PORT`.
    #[error("{0:?} is neither a ticket nor a card nor NODE@ADDR:PORT")]
    NeitherNor(String),
    /// It is a card, and does not hold.
    #[error(transparent)]
    Card(#[from] CardTextError),
    /// The part before the `@` is no node id.
    #[error("the node id before the @ is wrong: {0}")]
    Node(#[from] IdError),
    /// The part behind the `@` is no socket address.
    #[error("{0:?} is no address and port, such as 192.0.2.7:4242 or [2001:db8::7]:4242")]
    Addr(String),
}

impl Ticket {
    /// A ticket for `network` through `peers`; those past [`MAX_TICKET_PEERS`] are left out.
    pub fn new(network: Network, peers: impl IntoIterator<Item = PeerAddr>) -> Ticket {
        Ticket { network, peers: peers.into_iter().take(MAX_TICKET_PEERS).collect() }
    }

    /// Reads a ticket. White space around it does no harm, nor do capitals.
    pub fn parse(text: &str) -> Result<Ticket, TicketError> {
        let body = unspell(PREFIX, DOMAIN, text)?;
        let body: Body = minicbor::decode(&body).map_err(|_| TicketError::Format)?;
        if body.peers.is_empty() {
            return Err(TicketError::NoPeers);
        }
        Ok(Ticket::new(Network::from_key(body.network), body.peers))
    }
}

fn check_of(domain: &str, body: &[u8]) -> [u8; CHECK_LEN] {
    let hash = blake3::derive_key(domain, body);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// Bytes as one word that can be copied: prefix, base32, and a check of its kind.
pub(crate) fn spell(prefix: &str, domain: &str, mut body: Vec<u8>) -> String {
    let check = check_of(domain, &body);
    body.extend_from_slice(&check);
    format!("{prefix}{}", BASE32_NOPAD.encode(&body).to_ascii_lowercase())
}

/// The bytes that [`spell`] made a word of.
pub(crate) fn unspell(prefix: &str, domain: &str, text: &str) -> Result<Vec<u8>, TicketError> {
    let text = text.trim().to_ascii_uppercase();
    let data = text.strip_prefix(&prefix.to_ascii_uppercase()).ok_or(TicketError::Prefix)?;
    let mut bytes = BASE32_NOPAD.decode(data.as_bytes()).map_err(|_| TicketError::Encoding)?;
    let (body, check) = bytes.split_last_chunk::<CHECK_LEN>().ok_or(TicketError::Encoding)?;
    if *check != check_of(domain, body) {
        return Err(TicketError::Check);
    }
    bytes.truncate(body.len());
    Ok(bytes)
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = Body { network: *self.network.expose(), peers: self.peers.clone() };
        let bytes = minicbor::to_vec(&body).map_err(|_| fmt::Error)?;
        f.write_str(&spell(PREFIX, DOMAIN, bytes))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("network", &self.network).field("peers", &self.peers).finish()
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(s: &str) -> Result<Self, TicketError> {
        Ticket::parse(s)
    }
}

/// Whom to join through, as given on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinTarget {
    /// A ticket: peers and the network they belong to.
    Ticket(Ticket),
    /// A card: a node, its network, and whose it is.
    Card(Box<Card>),
    /// A peer alone, of the network the node is in already.
    Peer(PeerAddr),
}

impl JoinTarget {
    /// The peers to join through.
    pub fn peers(&self) -> &[PeerAddr] {
        match self {
            JoinTarget::Ticket(ticket) => &ticket.peers,
            JoinTarget::Card(card) => std::slice::from_ref(&card.peer),
            JoinTarget::Peer(peer) => std::slice::from_ref(peer),
        }
    }

    /// The network, if it is known.
    pub fn network(&self) -> Option<&Network> {
        match self {
            JoinTarget::Ticket(ticket) => Some(&ticket.network),
            JoinTarget::Card(card) => Some(&card.network),
            JoinTarget::Peer(_) => None,
        }
    }
}

/// Reads `TICKET`, `CARD` or `NODE@ADDR:PORT`.
pub fn parse_join(text: &str) -> Result<JoinTarget, TicketError> {
    let text = text.trim();
    if let Some((node, addr)) = text.split_once('@') {
        let id: NodeId = node.parse()?;
        let addr: SocketAddr = addr.parse().map_err(|_| TicketError::Addr(addr.into()))?;
        return Ok(JoinTarget::Peer(PeerAddr { id, addrs: vec![Addr::Socket(addr)] }));
    }
    if is_card(text) {
        return Ok(JoinTarget::Card(Box::new(read_card(text)?)));
    }
    match Ticket::parse(text) {
        Ok(ticket) => Ok(JoinTarget::Ticket(ticket)),
        Err(TicketError::Prefix) => Err(TicketError::NeitherNor(shortened(text))),
        Err(error) => Err(error),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into(),
    }
}

impl FromStr for JoinTarget {
    type Err = TicketError;

    fn from_str(s: &str) -> Result<Self, TicketError> {
        parse_join(s)
    }
}
