//! What came for this node's agent and nobody has read yet, on the disk until somebody has.

use std::collections::BTreeMap;

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::identity::{AgentId, NodeId};

/// Messages kept, and their bytes (a guess: a few weeks of people's talk). When it is full, senders are told.
pub(super) const MAX: usize = 4_096;
pub(super) const MAX_BYTES: usize = 16 << 20;
/// An agent has at most one part in so many: nobody fills it alone.
const SHARE: usize = 4;
/// With what keeping them takes.
pub(super) const BYTES: usize = MAX_BYTES + MAX * 512;

/// Names a direct message, here and at its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvelopeId(pub [u8; 16]);

impl std::fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::identity::hex(&self.0))
    }
}

impl std::str::FromStr for EnvelopeId {
    type Err = crate::identity::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 16];
        let pairs = text.as_bytes().chunks(2);
        if text.len() != 32 {
            return Err(crate::identity::IdError::Length(text.len()));
        }
        if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(crate::identity::IdError::Digit);
        }
        for (byte, pair) in id.iter_mut().zip(pairs) {
            let digits = std::str::from_utf8(pair).unwrap_or_default();
            *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        }
        Ok(EnvelopeId(id))
    }
}

impl EnvelopeId {
    /// That of the `number`th message of a node's epoch to another.
    pub(super) fn of(from: &NodeId, to: &NodeId, epoch: u64, number: u64) -> EnvelopeId {
        let mut h = blake3::Hasher::new_derive_key("tidings 1 envelope id");
        h.update(from.as_bytes()).update(to.as_bytes()).update(&epoch.to_le_bytes()).update(&number.to_le_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&h.finalize().as_bytes()[..16]);
        EnvelopeId(id)
    }
}

/// A direct message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its id.
    pub id: EnvelopeId,
    /// The node that sent it.
    pub from: NodeId,
    /// The agent that node speaks for: proven.
    pub agent: AgentId,
    /// When it was sent, by the sender's clock, in milliseconds since 1970.
    pub at_ms: u64,
    /// When it came, by this node's.
    pub received_ms: u64,
    /// What was sent.
    pub body: Bytes,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Kept {
    #[n(0)]
    from: NodeId,
    #[cbor(n(1), with = "minicbor::bytes")]
    agent: [u8; 32],
    #[n(2)]
    at_ms: u64,
    #[n(3)]
    received_ms: u64,
    #[cbor(n(4), with = "minicbor::bytes")]
    body: Vec<u8>,
}

/// The messages, in the order they came.
#[derive(Default)]
pub(super) struct Inbox {
    kept: BTreeMap<u64, Received>,
    order: BTreeMap<EnvelopeId, u64>,
    next: u64,
    bytes: usize,
    /// Messages of each agent, and their bytes.
    shares: BTreeMap<AgentId, (usize, usize)>,
}

/// Where messages are on the disk.
pub(super) const PREFIX: &[u8] = b"direct/inbox/";

fn key(at: u64, id: &EnvelopeId) -> Bytes {
    [PREFIX, &at.to_be_bytes(), &id.0].concat().into()
}

impl Inbox {
    pub(super) fn all(&self) -> impl Iterator<Item = &Received> {
        self.kept.values()
    }

    pub(super) fn get(&self, id: &EnvelopeId) -> Option<&Received> {
        self.kept.get(self.order.get(id)?)
    }

    fn has_room(&self, messages: usize, bytes: usize) -> bool {
        self.kept.len() + messages <= MAX && self.bytes + bytes <= MAX_BYTES
    }

    /// Whether these fit, of an agent that takes no more than its share.
    pub(super) fn has_room_for(&self, agent: &AgentId, sizes: &[usize]) -> bool {
        let (count, bytes) = self.shares.get(agent).copied().unwrap_or_default();
        let more: usize = sizes.iter().sum();
        let share = count + sizes.len() <= MAX / SHARE && bytes + more <= MAX_BYTES / SHARE;
        sizes.is_empty() || (share && self.has_room(sizes.len(), more))
    }

    /// Takes one in. Returns what is to be written.
    pub(super) fn put(&mut self, r: Received) -> (Bytes, Option<Bytes>) {
        let kept =
            Kept { from: r.from, agent: r.agent.0, at_ms: r.at_ms, received_ms: r.received_ms, body: r.body.to_vec() };
        let record = (key(self.next, &r.id), minicbor::to_vec(&kept).ok().map(Bytes::from));
        self.place(self.next, r);
        record
    }

    fn place(&mut self, at: u64, r: Received) {
        if self.order.contains_key(&r.id) {
            return;
        }
        self.next = self.next.max(at + 1);
        self.bytes += r.body.len();
        let share = self.shares.entry(r.agent).or_default();
        *share = (share.0 + 1, share.1 + r.body.len());
        self.order.insert(r.id, at);
        self.kept.insert(at, r);
    }

    /// One was read. Returns what is to be written.
    pub(super) fn take(&mut self, id: &EnvelopeId) -> Option<(Bytes, Option<Bytes>)> {
        let at = self.order.remove(id)?;
        let r = self.kept.remove(&at)?;
        self.bytes -= r.body.len();
        if let Some(share) = self.shares.get_mut(&r.agent) {
            *share = (share.0 - 1, share.1 - r.body.len());
            if share.0 == 0 {
                self.shares.remove(&r.agent);
            }
        }
        Some((key(at, id), None))
    }

    /// What was written is here again. Returns whether it made sense.
    pub(super) fn recall(&mut self, name: &[u8], value: &[u8]) -> bool {
        let Some((at, id)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_first_chunk::<8>()) else {
            return false;
        };
        let (Ok(id), Ok(k)) = (id.try_into().map(EnvelopeId), minicbor::decode::<Kept>(value)) else { return false };
        if !self.has_room(1, k.body.len()) {
            return false;
        }
        let (agent, body) = (AgentId(k.agent), k.body.into());
        let r = Received { id, from: k.from, agent, at_ms: k.at_ms, received_ms: k.received_ms, body };
        self.place(u64::from_be_bytes(*at), r);
        true
    }
}
