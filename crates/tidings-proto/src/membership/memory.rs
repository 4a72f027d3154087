//! Peers that outlive the process: a short list of former neighbours, written rarely and read at the start.
//!
//! One record, `member/peers`: a CBOR array of at most [`KEPT`] peers, newest first. A node that finds nobody at its
//! bootstrap peers tries these. They are not bootstrap peers: they never crowd out those the program named.

use bytes::Bytes;

use crate::identity::{NodeId, PeerAddr};
use crate::io::{Event, Output, Overlay, StoreError, StoreTicket};
use crate::layer::{Cx, TimerKey};
use crate::membership::prefix::Prefix;
use crate::membership::{Membership, Timer};
use crate::time::Span;

/// Peers remembered: several times an active view, so that some are still there after days (a guess).
const KEPT: usize = 64;
/// Of one prefix at most, while there are others to forget instead.
const A_PREFIX: usize = 8;
/// Soon after the start, when the first neighbours are there; then rarely (both are guesses).
const FIRST: Span = Span::from_secs(10);
const EVERY: Span = Span::from_secs(300);

const KEY: &[u8] = b"member/peers";
/// Tells membership's tickets from those of publish and subscribe.
const OURS: u64 = 1 << 63;
const LOAD: StoreTicket = StoreTicket(OURS);
const SAVE: StoreTicket = StoreTicket(OURS + 1);

/// Whether a storage ticket is membership's.
pub(crate) fn is_ours(ticket: StoreTicket) -> bool {
    ticket.0 & OURS != 0
}

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Newest first.
    peers: Vec<PeerAddr>,
    changed: bool,
}

impl Memory {
    pub(super) fn peers(&self) -> &[PeerAddr] {
        &self.peers
    }

    /// A peer became a neighbour in the network's overlay.
    pub(super) fn note(&mut self, cx: &Cx<'_>, peer: NodeId) {
        let peer = cx.topology.peer_addr(&peer);
        if peer.addrs.is_empty() {
            return;
        }
        self.changed |= !self.peers.contains(&peer);
        self.peers.retain(|p| p.id != peer.id);
        self.peers.insert(0, peer);
        self.trim(cx);
    }

    /// A way back that somebody advertises; former neighbours come first.
    fn add(&mut self, peer: PeerAddr) {
        if peer.addrs.is_empty() || self.peers.iter().any(|p| p.id == peer.id) {
            return;
        }
        if self.peers.len() >= KEPT {
            self.peers.pop();
        }
        self.peers.push(peer);
        self.changed = true;
    }

    /// The oldest goes, of a prefix with too many if there is one.
    fn trim(&mut self, cx: &Cx<'_>) {
        while self.peers.len() > KEPT {
            let prefixes: Vec<Prefix> = self.peers.iter().map(|p| Prefix::of(&p.id, &p.addrs, cx.own_addrs)).collect();
            let crowded = |at: &usize| prefixes.iter().filter(|p| **p == prefixes[*at]).count() > A_PREFIX;
            let at = (0..prefixes.len()).rev().find(crowded).unwrap_or(prefixes.len() - 1);
            self.peers.remove(at);
        }
    }
}

impl Membership {
    /// Asks for what was written.
    pub(super) fn recall(&mut self, cx: &mut Cx<'_>) {
        cx.output(Output::Load { ticket: LOAD, prefix: Bytes::from_static(KEY) });
        cx.deadlines.set(TimerKey::Membership(Timer::Save), cx.now.mono + FIRST);
    }

    /// What was written is here. A record that makes no sense is counted and passed over.
    pub(crate) fn on_loaded(&mut self, cx: &mut Cx<'_>, result: Result<Vec<(Bytes, Bytes)>, StoreError>) {
        let records = match result {
            Ok(records) => records,
            Err(error) => return failed(cx, error),
        };
        let Some((_, value)) = records.into_iter().find(|(k, _)| k.as_ref() == KEY) else { return };
        let Ok(peers) = minicbor::decode::<Vec<PeerAddr>>(&value) else {
            return failed(cx, StoreError("the record of known peers makes no sense".into()));
        };
        for p in peers.into_iter().take(KEPT) {
            if p.id != cx.me && !p.addrs.is_empty() && !self.memory.peers.iter().any(|k| k.id == p.id) {
                self.memory.peers.push(p);
            }
        }
        self.memory.trim(cx);
        cx.deadlines.set_no_later(TimerKey::Membership(Timer::Tend(Overlay::Root)), cx.now.mono);
    }

    /// Remembers a way back.
    pub(crate) fn remember_way(&mut self, peer: PeerAddr) {
        self.memory.add(peer);
    }

    /// Writes what changed, if anything did, and arms the next time.
    pub(super) fn save(&mut self, cx: &mut Cx<'_>) {
        cx.deadlines.set(TimerKey::Membership(Timer::Save), cx.now.mono + EVERY);
        if !std::mem::take(&mut self.memory.changed) {
            return;
        }
        let mut value = Vec::with_capacity(4_096);
        let done = minicbor::encode(&self.memory.peers, &mut value);
        debug_assert!(done.is_ok(), "encoding into memory cannot fail");
        cx.output(Output::Store { ticket: SAVE, records: vec![(Bytes::from_static(KEY), Some(value.into()))] });
    }

    /// What was to be written is, or is not.
    pub(crate) fn on_stored(&mut self, cx: &mut Cx<'_>, result: Result<(), StoreError>) {
        if let Err(error) = result {
            self.memory.changed = true;
            failed(cx, error);
        }
    }
}

fn failed(cx: &mut Cx<'_>, error: StoreError) {
    cx.counters.storage_failures += 1;
    cx.event(Event::StorageFailed { error });
}
