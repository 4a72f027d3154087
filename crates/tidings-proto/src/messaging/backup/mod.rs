//! Backup: what is for a node that is away waits at three relays, sealed, and is handed over once when it is back.
//!
//! *What is kept.* A *bundle* (`bundle.rs`): consecutive messages of one sender for one node, under their own numbers, sealed to the
//! node's prekey and signed like a session of one frame, with the certificate of the sender's agent. So it needs neither of the
//! two: whoever holds it can hand it over, read nothing, change nothing, and make none. It is good for [`KEPT_FOR`].
//!
//! *By whom.* The sender gives it to [`COPIES`] *keepers* that are here by their beacons: nodes that it takes for relays, or where it
//! knows fewer, those drawn for the day from the index (as `routing/ways.rs`), or in a small network those it has links to. Each says, once it has the bundle on
//! its disk, that it keeps it; another is taken for one that does not (`deposit.rs`). The sender may go then.
//!
//! *For how long.* Keepers know each other. A copy that is lost is made anew by the first of them that is there, and who is a
//! relay no longer hands over what it holds (`copies.rs`).
//!
//! *Handing over.* When the node's beacon is back, the first keeper gives it what it has, and the others what is left after a while. The
//! node takes each number once, whichever way it comes first (`ledger.rs`), writes it down, and then tells the keepers to drop it and
//! the sender that it is delivered (`collect.rs`). A sender that is still there and reaches the node itself does
//! so, and tells the keepers too. A keeper drops a bundle for the word of its sender or its receiver, or when it is over.
//!
//! All of it travels as direct messages between the nodes' agents ([`super`]), of kinds of their own: sealed, receipted, through
//! relays where need be, and bounded like them.
//!
//! *What a keeper learns*: who sends to whom, how much, and when. It can withhold; then two others have it.
//!
//! Deviations from mailboxes as in Signal's or in Briar's: nobody has a mailbox that others choose for it, nobody asks for its
//! messages, and a keeper can't be made to hold on by one that is neither end.
//!
//! Invariants: nothing is said to be kept that is not on a disk; nothing is shown twice, whatever keepers do; a message that was kept ends
//! as delivered or, when its time is over, as failed; what is kept is bounded in all, by who gave it and by whom it is for.
//!
//! Messages: envelopes of the kinds below. Timers: `Backup`.

mod bundle;
mod collect;
mod copies;
mod deposit;
mod keeper;

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

pub use deposit::Kept;

use super::Messaging;
use super::inbox::EnvelopeId;
use crate::identity::{AgentId, NodeId, PeerAddr};
use crate::io::StoreTicket;
use crate::layer::{Cx, Request, Signal, TimerKey};
use crate::membership::Tokens;
use crate::records::{Change, sets};
use crate::roles::{PeerRole, wanted};
use crate::routing;
use crate::time::{Span, Time};

/// Copies of each bundle: two keepers may die at once, and nothing is lost.
pub const COPIES: usize = 3;
/// Keepers named at most: a copy may be made before another is known to be gone.
const LIST: usize = 2 * COPIES;
/// For how long a bundle is good, by the clock of who sealed it.
pub const KEPT_FOR: Span = Span::from_secs(24 * 3_600);
/// A bundle is full with so many plain bytes, the last message's excess aside.
const FULL: usize = 32 << 10;
/// Longest envelope that carries one: the longest message, what seals it, and a certificate.
pub(super) const MAX_BODY: usize = super::MAX_BODY_LEN + crate::identity::MAX_CERTIFICATE + 2_048;
/// How often it is seen to, while there is anything.
const TEND: Span = Span::from_secs(1);
/// Who is drawn is asked so often.
const DRAW: Span = Span::from_secs(60);
/// Ids in one note.
const NOTE_IDS: usize = 1_024;

/// Keep this for another.
pub(super) const KEEP: u8 = 2;
/// Whether it is kept; or, from whom it is for, that it can't be taken now.
pub(super) const KEEPS: u8 = 3;
/// Drop it, or know who keeps it too.
pub(super) const NOTE: u8 = 4;
/// This was kept for you.
pub(super) const HAND: u8 = 5;
/// I have what was kept for me.
pub(super) const HAVE: u8 = 6;

/// See [`KEEPS`].
const LATER: u8 = 7;

/// Whether an envelope's kind is one of these.
pub(super) fn is_ours(kind: u8) -> bool {
    (KEEP..=HAVE).contains(&kind)
}

/// Whether what a node has to say of this kind may wait at keepers.
fn may_wait(kind: u8) -> bool {
    kind == 0 || kind == super::READ || kind == HAVE
}

/// Names a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct BundleId(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

impl BundleId {
    fn of(bundle: &[u8]) -> BundleId {
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::hash(bundle).as_bytes()[..16]);
        BundleId(id)
    }
}

/// KEEP and HAND: a bundle, and who keeps it.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct Carried {
    #[n(0)]
    keepers: Vec<NodeId>,
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    bundle: Vec<u8>,
}

/// KEEPS: zero if it is kept, or why not; or [`LATER`].
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct Answer {
    #[n(0)]
    id: BundleId,
    #[n(1)]
    why: u8,
}

/// NOTE: these are kept by those; by nobody any more if there are none.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct Note {
    #[n(0)]
    ids: Vec<BundleId>,
    #[n(1)]
    keepers: Vec<NodeId>,
}

/// HAVE: what a keeper had for the one who says so.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct Have {
    #[n(0)]
    id: BundleId,
    #[n(1)]
    keeper: NodeId,
    /// Zero if all of it is in the inbox, or why none of it ever will be.
    #[n(2)]
    why: u8,
}

fn decode<T: for<'b> Decode<'b, ()>>(body: &[u8]) -> Option<T> {
    let mut d = minicbor::Decoder::new(body);
    let value = d.decode().ok()?;
    (d.position() == body.len()).then_some(value)
}

/// What is known of backups.
pub(super) struct Backup {
    key: [u8; 32],
    deposits: deposit::Deposits,
    keeping: keeper::Keeping,
    collecting: BTreeMap<StoreTicket, collect::Collected>,
    /// What each node may hand over, and of what this node has told the senders that it came.
    handing: BTreeMap<NodeId, Tokens>,
    told: BTreeSet<BundleId>,
    drawn: Vec<PeerAddr>,
    drawn_at: Option<Time>,
}

/// Bytes this takes.
pub(super) const BYTES: usize = keeper::BYTES + deposit::BYTES + collect::BYTES;

impl Backup {
    pub(super) fn new(network: &crate::identity::Network) -> Backup {
        Backup {
            key: network.derive("tidings 1 backup"),
            deposits: deposit::Deposits::default(),
            keeping: keeper::Keeping::default(),
            collecting: BTreeMap::new(),
            handing: BTreeMap::new(),
            told: BTreeSet::new(),
            drawn: Vec::new(),
            drawn_at: None,
        }
    }

    /// What was written is here again. Returns whether it was a keeper's, and made sense.
    pub(super) fn recall(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.keeping.recall(name, value)
    }

    fn is_idle(&self) -> bool {
        self.deposits.is_empty() && self.keeping.is_idle()
    }

    /// What became of a message that is kept elsewhere.
    pub(super) fn keeps(&self, id: &EnvelopeId) -> Option<(NodeId, Vec<NodeId>)> {
        self.deposits.keeps(id)
    }
}

/// Whether a node says that it is here.
fn is_here(cx: &Cx<'_>, m: &Messaging, node: &NodeId) -> bool {
    cx.links().is_direct(node) || routing::says_it_is_here(cx, &m.group, node)
}

impl Messaging {
    /// These may be relays.
    pub(crate) fn set_drawn(&mut self, drawn: &[PeerAddr]) {
        self.backup.drawn = drawn.to_vec();
    }

    /// How many bundles are kept here for others, and their bytes.
    pub fn kept_for_others(&self) -> (usize, usize) {
        self.backup.keeping.size()
    }

    /// A backup's envelope came.
    pub(super) fn on_backup(&mut self, cx: &mut Cx<'_>, from: NodeId, agent: AgentId, kind: u8, body: &[u8]) {
        let sound = match kind {
            KEEP => decode(body).map(|c| self.on_keep(cx, from, agent, c)),
            KEEPS => decode(body).map(|a| self.on_keeps(cx, from, &a)),
            NOTE => decode(body).map(|n| self.on_note(cx, from, n)),
            HAND => decode(body).map(|c| self.on_hand(cx, from, agent, c)),
            _ => decode(body).map(|h| self.on_have(cx, from, &h)),
        };
        if sound.is_none() {
            cx.counters.backups_malformed += 1;
        }
        self.backup_soon(cx);
    }

    pub(super) fn tend_backup(&mut self, cx: &mut Cx<'_>) {
        if !self.left {
            self.tend_deposits(cx);
            self.tend_keeping(cx);
        }
        self.backup_soon(cx);
    }

    /// Sees to it within a second, if there is anything.
    pub(super) fn backup_soon(&self, cx: &mut Cx<'_>) {
        if !self.backup.is_idle() {
            cx.deadlines.set_no_later(TimerKey::Messaging(super::Timer::Backup), cx.now.mono + TEND);
        }
    }

    pub(super) fn backup_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match *signal {
            Signal::RecordChanged { set: sets::PRESENCE, key, change: Change::New | Change::Replaced } => {
                self.backup.keeping.is_back(&NodeId(key.0), cx.now.mono);
            }
            Signal::RoleChanged { node, role } if node == cx.me => {
                self.backup.keeping.copies.demoted = role != PeerRole::Relay;
            }
            Signal::LinkDown { peer, dial: true, .. } => self.backup.keeping.copies.not_reached(cx, &peer),
            _ => {}
        }
    }

    /// Says something about backups to another node, if its agent is known. Returns whether it is on its way.
    fn tell(&mut self, cx: &mut Cx<'_>, to: NodeId, kind: u8, body: impl Encode<()>) -> bool {
        routing::agent(cx, &self.group, &to).is_some_and(|agent| self.tell_agent(cx, to, agent, kind, body))
    }

    fn tell_agent(&mut self, cx: &mut Cx<'_>, to: NodeId, agent: AgentId, kind: u8, body: impl Encode<()>) -> bool {
        let Ok(body) = minicbor::to_vec(body) else { return false };
        let to = PeerAddr { id: to, addrs: routing::addrs(cx, &self.group, &to) };
        self.queue(cx, None, to, agent, kind, body.into()).is_ok()
    }

    /// Tells each of these who keeps which bundles.
    fn note(&mut self, cx: &mut Cx<'_>, to: &[NodeId], ids: &[BundleId], keepers: &[NodeId]) {
        for node in to.iter().filter(|n| **n != cx.me).copied().collect::<BTreeSet<_>>() {
            for some in ids.chunks(NOTE_IDS) {
                self.tell(cx, node, NOTE, Note { ids: some.to_vec(), keepers: keepers.to_vec() });
            }
        }
    }

    /// Up to `most` nodes that may keep something, relays first, none that is `but`.
    fn keepers(&mut self, cx: &mut Cx<'_>, most: usize, but: impl Fn(&NodeId) -> bool) -> Vec<NodeId> {
        let (now, first) = (cx.now.mono, self.backup.drawn_at.is_none());
        if self.backup.drawn_at.is_none_or(|at| now.since(at) >= DRAW) {
            self.backup.drawn_at = Some(now);
            cx.request(Request::DrawRelays(wanted(cx.records.len(sets::PRESENCE))));
        }
        let fit = |n: &NodeId, cx: &Cx<'_>, m: &Messaging| {
            *n != cx.me && !but(n) && is_here(cx, m, n) && routing::agent(cx, &m.group, n).is_some()
        };
        let relays = cx.topology.roles().filter(|(_, r)| r.effective == PeerRole::Relay).map(|(n, _)| n).collect();
        let drawn = self.backup.drawn.iter().map(|p| p.id).collect();
        // Who is drawn is not known yet when it is asked for the first time.
        let linked = if first { Vec::new() } else { cx.links().up().collect() };
        let mut taken: Vec<NodeId> = Vec::new();
        for mut some in [relays, drawn, linked] as [Vec<NodeId>; 3] {
            some.retain(|n| taken.len() < most && !taken.contains(n) && fit(n, cx, self));
            self.rng.sample(&mut some, most - taken.len());
            taken.extend(some);
        }
        taken
    }
}
