//! Records: sets of small signed statements that the whole network keeps, such as who is here and who holds what.
//!
//! A record belongs to a set and a key, and holds for a while; its owner replaces it by a higher version, or says in some
//! thirty bytes that it still holds (`chain.rs`). What belongs in a set is the set's rule (`sets.rs`). Every node keeps all
//! records of all sets (`store.rs`): they travel along one tree over the network's overlay (`tree.rs`), and neighbours compare
//! what they have (`compare.rs`), so that a newcomer has them at once and the halves of a partition become one.
//!
//! Sources: Plumtree (Leitão, Pereira, Rodrigues, SRDS 2007) for the tree that announcements mend; Demers et al. (PODC 1987) for
//! keeping a replicated set and its death certificates. What differs is said in those files.
//!
//! How old something is comes with it, counted by those who held it, since clocks may be ten minutes apart: a receiver counts
//! from there by its own. See `store::since` for what a liar can do with it.
//!
//! Invariants: duplicates are recognised first, then what is cheap is checked, then the signature, and only then is anything
//! kept or passed on; of a key the highest version stands everywhere; what is over or was displaced does not come back; each
//! set, what waits for neighbours and what is asked for is bounded; one neighbour gets so much of our time and no more.
//!
//! Messages: `Records`, `RecordsHeld`, `RecordsWanted`, `RecordsLazy`, `RecordsWave`, and those of anti-entropy. Timers: `Flush`, `Announce`,
//! `Repair`, `Wave`, `Passed`, `Expire`, `Reconcile`.

pub mod chain;
mod compare;
mod peers;
pub mod sets;
pub mod signed;
mod store;
mod take;
mod tree;
mod young;

pub use sets::{Claim, Refused, SetId};
pub use store::{Record, Store};
pub use young::MAX_TOLD;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::anti_entropy::serving::Serving;
use crate::anti_entropy::sync::{Sessions, Sync};
use crate::crypto::Crypto;
use crate::identity::{Network, NodeId, RecordKey};
use crate::io::Overlay;
use crate::layer::{Cx, Done, Layer, RequestTicket, Signal, TimerKey};
use crate::rng::Rng;
use crate::time::{Span, Time};
use crate::wire::{Lane, Message, Refresh};
use peers::Peer;
use tree::{Missing, Wave};

/// What a set's rules may use to check a record.
pub struct Context<'a> {
    /// The crypto port.
    pub crypto: &'a dyn Crypto,
    /// The key of this network's records: what is signed in one network says nothing in another.
    pub network: &'a [u8; 32],
    /// That of its attestations ([`crate::discovery::reach`]).
    pub reached: &'a [u8; 32],
}

/// How a record changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There was none of its key.
    New,
    /// A higher version took its place.
    Replaced,
    /// Its owner says that it still holds.
    Refreshed,
    /// It is over, or was displaced.
    Gone,
}

/// The timers of the records layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Send what was held back for a moment.
    Flush,
    /// Send waiting announcements.
    Announce,
    /// Ask for what was announced and did not come.
    Repair,
    /// Begin a wave.
    Wave,
    /// Take links out of the tree that the last wave did not need.
    Passed,
    /// Drop what is over.
    Expire,
    /// Compare with the neighbours.
    Reconcile,
}

/// What the records layer is asked to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Publish a record of this node's own.
    Put(SetId, Bytes),
    /// Say that a record of this node's own still holds.
    Refresh(SetId, RecordKey, Refresh),
}

/// The key of a network's records.
pub fn key(network: &Network) -> [u8; 32] {
    network.derive("tidings 1 records")
}

/// Bytes that the records of all sets take at most, with everything that is kept of them, of neighbours, and of a comparison that
/// takes `comparing`; see [`crate::limits`]. A record costs some 640 bytes beside its own (an estimate from the sizes of the
/// structures), its items under three keys as in a topic's log, and its place in the roster half a kilobyte.
pub(crate) fn bytes(neighbors: usize, comparing: usize) -> usize {
    let sets: usize = sets::all().iter().map(|r| r.most_bytes + r.most * (640 + 3 * 96 + 512)).sum();
    sets + store::REMEMBERED + tree::WAITING + neighbors * peers::WAITING * 64 + comparing
}

/// The records layer.
pub struct Records {
    network: [u8; 32],
    reached: [u8; 32],
    rng: Rng,
    peers: Vec<Peer>,
    missing: BTreeMap<u32, Missing>,
    wave: Option<Wave>,
    /// When the last wave was seen.
    waved: Option<Time>,
    /// Whom records come from, as far as the last wave told.
    parent: Option<NodeId>,
    /// Whole records that were asked for, and when.
    asked_keys: BTreeMap<(SetId, u64), Time>,
    sync: Sync,
    /// The numbers of comparisons.
    sessions: Sessions,
    /// What neighbours are being sent, and whether they have none of it.
    serving: Serving<bool>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("peers", &self.peers).field("missing", &self.missing).finish_non_exhaustive()
    }
}

impl Records {
    pub(crate) fn new(network: &Network, seed: &[u8; 32]) -> Records {
        Records {
            network: key(network),
            reached: crate::discovery::reach::key(network),
            rng: Rng::derive(seed, "records", &[]),
            peers: Vec::new(),
            missing: BTreeMap::new(),
            wave: None,
            waved: None,
            parent: None,
            asked_keys: BTreeMap::new(),
            sync: Sync::default(),
            sessions: Sessions::of_records(),
            serving: Serving::default(),
        }
    }

    /// A message of a peer, with the raw payload behind it.
    pub(crate) fn on_frame(&mut self, cx: &mut Cx<'_>, from: NodeId, lane: Lane, message: Message, payload: Bytes) {
        if !self.peers.iter().any(|p| p.id == from) {
            cx.counters.frames_unexpected += 1;
            return;
        }
        match message {
            Message::Records(m) => self.on_records(cx, from, lane, &m, payload),
            Message::RecordsHeld(_) | Message::RecordsWanted(_) | Message::RecordsLazy(_) | Message::RecordsWave(_) => {
                self.on_message(cx, from, message);
            }
            other => self.on_comparing(cx, from, other, &payload),
        }
    }

    fn peer(&mut self, id: &NodeId) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|p| p.id == *id)
    }

    fn expire(&mut self, cx: &mut Cx<'_>) {
        while let Some((set, key)) = cx.records.over(cx.now.mono) {
            cx.counters.records_expired += 1;
            cx.records.remove(cx.now, set, &key);
            cx.signal(Signal::RecordChanged { set, key, change: Change::Gone });
        }
        self.arm_expiry(cx);
    }

    /// Once a second is enough.
    fn arm_expiry(&self, cx: &mut Cx<'_>) {
        if let Some(at) = cx.records.next_expiry() {
            cx.deadlines.set_no_later(TimerKey::Records(Timer::Expire), at.max(cx.now.mono + Span::from_secs(1)));
        }
    }
}

impl Layer for Records {
    type Message = Message;
    type Command = Command;
    type Timer = Timer;

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        match message {
            Message::RecordsHeld(m) => self.on_held(cx, from, &m),
            Message::RecordsWanted(m) => self.on_wanted(cx, from, &m),
            Message::RecordsLazy(_) => self.on_lazy(cx, from),
            Message::RecordsWave(m) => self.on_wave(cx, Some(from), m.id),
            _ => cx.counters.frames_unexpected += 1,
        }
    }

    fn on_command(&mut self, cx: &mut Cx<'_>, command: Command) {
        match command {
            Command::Put(set, bytes) => self.put(cx, set, bytes),
            Command::Refresh(set, key, refresh) => self.refresh_own(cx, set, &key, refresh),
        }
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match *signal {
            Signal::NeighborUp { overlay: Overlay::Root, peer } => self.on_neighbor_up(cx, peer),
            Signal::NeighborDown { overlay: Overlay::Root, peer, .. } => self.on_neighbor_down(cx, peer),
            Signal::Suspected { peer } => self.on_suspected(cx, &peer),
            Signal::Recovered { peer } => self.on_recovered(&peer),
            _ => {}
        }
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::Flush => {}
            Timer::Announce => self.announce(cx),
            Timer::Repair => self.repair(cx),
            Timer::Wave => self.begin_wave(cx),
            Timer::Passed => self.end_wave(cx),
            Timer::Expire => self.expire(cx),
            Timer::Reconcile => self.reconcile(cx),
        }
    }
}
