//! Relays by merit: who carries for others is known by those it carried for, judged, and told to everybody.
//!
//! What is credited is the relay, by the sender, on the receiver's signed receipt; a receipt that does not come is a failure. Both
//! are signals of routing. From them this node scores the relays it used (`scoring.rs`), judges them, and, by what receivers
//! credited to itself, its own role (`manager.rs`). A change of its own role it tells everybody, with words of those it carried
//! for (`announce.rs`, `evidence.rs`); of what others say of themselves it believes as much as can have come to it from work it
//! saw itself (`flow.rs`). What it saw outlives the process (`memory.rs`).
//!
//! Sources: forward decay (Cormode et al., ICDE 2009), BarterCast (Meulpolder et al., IPDPS 2009), transitive trust (Seuken,
//! Parkes, AAMAS 2014); what differs is said in those files.
//!
//! Invariants: what a node says of itself moves no score, no judgement and nobody's number of relays; a change of
//! the own role is an event and an announcement, both or neither (`tell`); an announcement goes out at most once in
//! [`WINDOW`], and without a change once in [`RENEW`], or when twice as much can be shown after [`SHOW_AGAIN`].
//!
//! Message: `VouchFor`. Timers: `Evaluate`, `Vouch`, `Release`, `Believe`, `Announce`, `Remember`.

pub mod announce;
pub(crate) mod columns;
mod evidence;
pub mod flow;
mod manager;
mod memory;
mod metrics;
mod scoring;
mod seen;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

pub use announce::{AnnounceError, RoleChangeAnnounce, Vouch};
pub use columns::RoleRow;
pub use manager::*;
pub(crate) use memory::is_ours;
pub use metrics::{RoleClaim, RoleMetrics};
pub use scoring::*;

use crate::crypto::SIGNATURE_LEN;
use crate::discovery::advert::Advert;
use crate::identity::{Network, NodeId, RecordKey};
use crate::io::Event;
use crate::layer::{Cx, Done, Layer, Request, RequestTicket, Signal, TimerKey};
use crate::records::{self, Change, sets};
use crate::rng::Rng;
use crate::time::{Span, Time, UnixMillis};
use crate::wire::Message;
use evidence::Words;
use memory::Memory;

/// How often everybody is judged.
const EVALUATE: Span = Span::from_secs(60);
/// How often a relay says that it still is one: half of what an announcement holds.
pub const RENEW: Span = announce::LIFE.half();
/// A relay whose customers say twice as much as it has shown shows it, after so long (a guess: a handful of times in the
/// life of a relay, since it doubles).
pub const SHOW_AGAIN: Span = Span::from_secs(300);
/// Claims are weighed at most so often.
const BELIEVE: Span = Span::from_secs(1);

/// Bytes that this layer holds at most; announcements are the records'.
pub(crate) const BYTES: usize = MAX_SCORED * 512 + MAX_CLAIMS * 2 * announce::MAX_ANNOUNCE + evidence::BYTES;

/// What a node is in the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerRole {
    /// One like any other.
    #[default]
    Peer,
    /// It carries messages for others, and has shown that it does it well.
    Relay,
}

impl From<PeerRole> for u8 {
    fn from(role: PeerRole) -> u8 {
        match role {
            PeerRole::Peer => 0,
            PeerRole::Relay => 1,
        }
    }
}

impl TryFrom<u8> for PeerRole {
    type Error = ();

    fn try_from(byte: u8) -> Result<PeerRole, ()> {
        match byte {
            0 => Ok(PeerRole::Peer),
            1 => Ok(PeerRole::Relay),
            _ => Err(()),
        }
    }
}

/// What a role rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RoleSource {
    /// This node's own judgement, by what it saw.
    Judged,
    /// The node's claim, borne out by others' words: it is taken for that.
    Believed,
    /// The node's claim, and no more.
    Claimed,
}

/// The timers of this layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Judge everybody.
    Evaluate,
    /// Give relays the words they are owed.
    Vouch,
    /// Let announcements take effect that waited.
    Release,
    /// Weigh what is claimed.
    Believe,
    /// Tell everybody this node's role.
    Announce,
    /// Write what is to be remembered.
    Remember,
}

/// What this layer is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The node leaves: it is no relay any more, for now.
    Leave,
}

/// What this node told of itself last.
#[derive(Clone, Copy, Debug)]
struct Told {
    role: PeerRole,
    at: Time,
    points: f64,
}

/// The layer.
pub struct Roles {
    network: [u8; 32],
    rng: Rng,
    manager: RoleManager,
    words: Words,
    memory: Memory,
    told: Option<Told>,
    believed: Option<Time>,
    evaluated: Time,
    left: bool,
}

impl std::fmt::Debug for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roles").field("role", &self.manager.own_role()).finish_non_exhaustive()
    }
}

impl Roles {
    pub(crate) fn new(me: NodeId, network: &Network, seed: &[u8; 32]) -> Roles {
        Roles {
            network: records::key(network),
            rng: Rng::derive(seed, "roles", &[]),
            manager: RoleManager::new(me),
            words: Words::default(),
            memory: Memory::default(),
            told: None,
            believed: None,
            evaluated: Time::default(),
            left: false,
        }
    }

    /// Who is worth what.
    pub fn manager(&self) -> &RoleManager {
        &self.manager
    }

    fn started(&mut self, cx: &Cx<'_>) {
        self.evaluated = cx.now.mono;
    }

    /// What was remembered is here. A relay that was away says that it is back.
    fn recalled(&mut self, cx: &mut Cx<'_>) {
        if self.manager.own_role() == PeerRole::Relay {
            cx.deadlines.set_no_later(TimerKey::Roles(Timer::Announce), cx.now.mono + WINDOW);
        }
        if !self.manager.seen.is_empty() {
            cx.deadlines.set_no_later(TimerKey::Roles(Timer::Evaluate), cx.now.mono);
        }
    }

    /// A message of a peer, with the raw payload behind it.
    pub(crate) fn on_frame(&mut self, cx: &mut Cx<'_>, from: NodeId, message: &Message, payload: &Bytes) {
        match message {
            Message::VouchFor(m) => self.on_vouch(cx, from, m, payload),
            _ => cx.counters.frames_unexpected += 1,
        }
    }

    fn evaluate_soon(&self, cx: &mut Cx<'_>) {
        let at = if self.manager.is_due() { cx.now.mono } else { cx.now.mono + EVALUATE };
        cx.deadlines.set_no_later(TimerKey::Roles(Timer::Evaluate), at);
    }

    fn evaluate(&mut self, cx: &mut Cx<'_>) {
        let up = cx.now.mono.since(std::mem::replace(&mut self.evaluated, cx.now.mono)).as_millis();
        let linked: Vec<NodeId> = self.manager.seen.keys().filter(|n| cx.links().is_up(n)).copied().collect();
        for node in linked.into_iter().chain([cx.me]) {
            self.manager.record_uptime(node, up);
        }
        self.manager.set_network_size(cx.records.len(sets::PRESENCE).max(1));
        if self.manager.minds_numbers(cx.now.wall) {
            self.manager.set_counted(self.in_place(cx));
        }
        let actions = self.manager.evaluate(cx.topology, cx.now.wall);
        for action in actions {
            let (node, role, score) = match action {
                RoleAction::Promoted { node_id, score } => (node_id, PeerRole::Relay, score),
                RoleAction::Demoted { node_id, score } => (node_id, PeerRole::Peer, score),
                RoleAction::LocalRoleChanged { new_role } => {
                    self.tell(cx, new_role);
                    continue;
                }
            };
            changed(cx, node, role, score, RoleSource::Judged);
            self.remember(cx, node);
        }
        self.believe_soon(cx);
        if !self.manager.seen.is_empty() {
            cx.deadlines.set_no_later(TimerKey::Roles(Timer::Evaluate), cx.now.mono + EVALUATE);
        }
    }

    /// Of those that say they are relays, one of each place that the index has.
    fn in_place(&self, cx: &Cx<'_>) -> BTreeSet<NodeId> {
        let claimants: BTreeSet<&NodeId> = self.manager.claimants().collect();
        let mut places = BTreeMap::new();
        for r in cx.records.iter(sets::INDEX) {
            let Ok(advert) = Advert::parse(&r.bytes) else { continue };
            if let Some(place) = advert.place().filter(|_| claimants.contains(&advert.node.id)) {
                places.entry(place).or_insert(advert.node.id);
            }
        }
        places.into_values().collect()
    }

    fn believe_soon(&self, cx: &mut Cx<'_>) {
        if !self.manager.claims.is_empty() {
            let at = self.believed.map_or(cx.now.mono, |at| at + BELIEVE);
            cx.deadlines.set_no_later(TimerKey::Roles(Timer::Believe), at.max(cx.now.mono));
        }
    }

    fn believe(&mut self, cx: &mut Cx<'_>) {
        self.believed = Some(cx.now.mono);
        for (node, role) in self.manager.believe(cx.topology, cx.now.wall) {
            let merit = cx.topology.role_row(&node).merit;
            changed(cx, node, role, merit, RoleSource::Believed);
        }
    }

    /// This node's own role is another: the program is told, and everybody else.
    fn tell(&mut self, cx: &mut Cx<'_>, role: PeerRole) {
        let score = self.manager.score(&cx.me, cx.now.wall);
        cx.event(Event::LocalRoleChanged { role, score });
        let at = self.told.map_or(cx.now.mono, |t| (t.at + WINDOW).max(cx.now.mono));
        cx.deadlines.set_no_later(TimerKey::Roles(Timer::Announce), at);
    }

    /// There is more to show.
    fn consider_announcing(&mut self, cx: &mut Cx<'_>) {
        let Some(told) = self.told.filter(|t| t.role == PeerRole::Relay) else { return };
        if self.words.points(cx.now.wall) >= 2.0 * told.points.max(1.0) {
            let at = (told.at + SHOW_AGAIN).max(cx.now.mono);
            cx.deadlines.set_no_later(TimerKey::Roles(Timer::Announce), at);
        }
    }

    /// Says to everybody what this node's role is, and why it may be believed.
    fn announce(&mut self, cx: &mut Cx<'_>, role: PeerRole) {
        let before = self.told.map_or(PeerRole::Peer, |t| t.role);
        let standing = cx.records.get(sets::ROLES, &RecordKey::from(cx.me)).map(|r| r.claim.version);
        if (role, before, standing) == (PeerRole::Peer, PeerRole::Peer, None) {
            return;
        }
        let vouches = if role == PeerRole::Relay { self.shown(cx) } else { Vec::new() };
        let points = vouches.iter().map(|v| evidence::weighs(v, cx.now.wall)).sum();
        let timestamp = cx.now.wall;
        let said = RoleChangeAnnounce {
            node_id: cx.me,
            new_role: role,
            score: (self.manager.score(&cx.me, timestamp) * 1_000.0).round() / 1_000.0,
            timestamp,
            sequence: standing.map_or(timestamp.0, |v| timestamp.0.max(v.saturating_add(1))),
            expires: UnixMillis(timestamp.0.saturating_add(announce::LIFE.as_millis())),
            vouches,
            signature: [0; SIGNATURE_LEN],
        };
        let said = said.sign(&self.network, cx.crypto);
        self.told = Some(Told { role, at: cx.now.mono, points });
        cx.counters.roles_announced += 1;
        cx.request(Request::PutRecord(sets::ROLES, said.to_bytes()));
        if role == PeerRole::Relay {
            cx.deadlines.set(TimerKey::Roles(Timer::Announce), cx.now.mono + RENEW);
        }
    }

    /// Somebody's announcement came, or is over.
    fn on_record(&mut self, cx: &mut Cx<'_>, node: NodeId, change: Change) {
        if node == cx.me {
            return;
        }
        if change == Change::Gone {
            let was = self.manager.forget_claim(&node, cx.topology, cx.now.wall);
            if was == Some(PeerRole::Relay) {
                changed(cx, node, PeerRole::Peer, 0.0, RoleSource::Claimed);
            }
            return self.believe_soon(cx);
        }
        let Some(record) = cx.records.get(sets::ROLES, &RecordKey::from(node)) else { return };
        let Ok(said) = RoleChangeAnnounce::parse(&record.bytes) else { return };
        let (role, score) = (said.new_role, said.score);
        match self.manager.handle_role_announce(said, cx.topology, cx.now) {
            Ok(Handled::Applied(before)) => {
                if role != before {
                    changed(cx, node, role, score, RoleSource::Claimed);
                }
                self.believe_soon(cx);
            }
            Ok(Handled::Held(until)) => {
                cx.counters.roles_held += 1;
                cx.deadlines.set_no_later(TimerKey::Roles(Timer::Release), until);
            }
            Err(_) => cx.counters.roles_refused += 1,
        }
    }

    fn release(&mut self, cx: &mut Cx<'_>) {
        for (node, before) in self.manager.release(cx.topology, cx.now) {
            let said = self.manager.claim(&node).map(|c| (c.new_role, c.score));
            if let Some((role, score)) = said.filter(|s| s.0 != before) {
                changed(cx, node, role, score, RoleSource::Claimed);
            }
        }
        if let Some(at) = self.manager.next_release() {
            cx.deadlines.set_no_later(TimerKey::Roles(Timer::Release), at);
        }
        self.believe_soon(cx);
    }
}

/// Tells the program, and, if a node is taken for something else now, the other layers.
fn changed(cx: &mut Cx<'_>, node: NodeId, role: PeerRole, score: f64, source: RoleSource) {
    cx.event(match role {
        PeerRole::Relay => Event::RolePromoted { node, score, source },
        PeerRole::Peer => Event::RoleDemoted { node, score, source },
    });
    if source != RoleSource::Claimed {
        cx.signal(Signal::RoleChanged { node, role });
    }
}

impl Layer for Roles {
    type Message = Message;
    type Command = Command;
    type Timer = Timer;

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        self.on_frame(cx, from, &message, &Bytes::new());
    }

    fn on_command(&mut self, cx: &mut Cx<'_>, Command::Leave: Command) {
        self.left = true;
        if self.told.is_some_and(|t| t.role == PeerRole::Relay) {
            self.announce(cx, PeerRole::Peer);
        }
        self.write(cx);
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        let wall = cx.now.wall;
        match *signal {
            Signal::RelayCredited { relay, messages, bytes } if relay != cx.me => {
                self.manager.record_relays(relay, u64::from(messages), wall);
                self.manager.record_bytes_relayed(relay, bytes, wall);
                self.manager.record_bytes_received(cx.me, bytes, wall);
                self.owe(cx, relay);
                self.remember(cx, relay);
                self.evaluate_soon(cx);
            }
            Signal::RelayFailed { relay } if relay != cx.me => {
                self.manager.record_relay_failure(relay, wall);
                self.remember(cx, relay);
                self.evaluate_soon(cx);
            }
            Signal::CreditedAsRelay { of, messages, bytes, .. } => {
                self.serves(of, cx.now.mono);
                self.manager.record_relays(cx.me, u64::from(messages), wall);
                self.manager.record_bytes_relayed(cx.me, bytes, wall);
                self.remember(cx, cx.me);
                self.evaluate_soon(cx);
            }
            Signal::RecordChanged { set: sets::ROLES, key, change } => self.on_record(cx, NodeId(key.0), change),
            _ => {}
        }
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::Evaluate => self.evaluate(cx),
            Timer::Vouch => self.vouch(cx),
            Timer::Release => self.release(cx),
            Timer::Believe => self.believe(cx),
            Timer::Announce if self.left => {}
            Timer::Announce => self.announce(cx, self.manager.own_role()),
            Timer::Remember => self.write(cx),
        }
    }
}
