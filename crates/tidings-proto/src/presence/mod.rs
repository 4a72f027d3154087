//! Presence: who is here, told to everybody within a second and forgotten when it stops being true.
//!
//! Each node has one record in the set of presence ([`crate::records`]): a beacon, sealed for the group and signed
//! (`beacon.rs`). It is published when the node meets its first neighbour and whenever it changes, refreshed every half of
//! its life, and replaced by a goodbye when the node leaves. The roster follows the records, and so reaches a newcomer by
//! reconciliation, at once.
//!
//! Who goes without a word is gone when its beacon has not been refreshed for its life, by each receiver's own clock. Its
//! neighbours know sooner, from the failure detector, and keep it to themselves: what a node says of another's death takes
//! nobody offline, so that liars cannot. If the dead is heard again it is here again.
//!
//! Who is set not to say so (`presence = false`) publishes nothing, not even a goodbye, and keeps and passes on what others say as
//! everybody does.
//!
//! Refreshes begin at a random time between a quarter and a half of the life, so that nodes started together do not speak
//! together for ever.
//!
//! A beacon names its agent's certificate, and whose agent a node is counts as proven when that certificate is here and holds; it
//! is asked for by the identity layer, some at a time (`proving.rs`). An agent may run on several nodes: it is here with the first
//! and gone with the last, and what does not prove itself keeps nobody here who did (`agents.rs`).
//!
//! Invariants: a beacon's key and nonce serve once, whatever happens to the process; nothing is said before the epoch is
//! stored; an event for each coming and going, and none twice in a row.

mod agents;
pub(crate) mod beacon;
mod proving;
mod roster;

use std::collections::BTreeSet;

pub use beacon::{Beacon, GroupSecret, MAX_STATUS, MAX_VIAS, Via, open, seal};
pub use roster::{Learned, OfflineReason, OnlineAgent, PresenceEvent, PresenceInfo, by_agent};

use crate::identity::{AgentId, Network, NodeId, RecordKey};
use crate::io::{CommandError, Event, LeaveReason, Overlay, Reply, Ticket};
use crate::layer::{Cx, Done, Layer, Request, RequestTicket, Signal, TimerKey};
use crate::records::chain::Chain;
use crate::records::{self, Change, sets, signed};
use crate::rng::Rng;
use crate::time::{Span, Time, UnixMillis};
use crate::wire::{LinkRefusal, Refresh};
use agents::Speaking;
use proving::Proving;
use roster::{Entry, Roster};

/// Changes closer together than this are told together (a key that changes more often for long is not heard,
/// `records/store.rs`).
const APART: Span = Span::from_secs(5);

/// Presence's timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Say that this node is still here, or what changed.
    Beacon,
    /// Have certificates asked for.
    Prove,
}

/// What presence is asked to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Tell the group this status.
    Status(Ticket, String),
    /// This node can be reached elsewhere.
    Moved,
    /// Say goodbye.
    Leave,
}

/// What was said last.
struct Own {
    beacon: Beacon,
    chain: Chain,
    step: u16,
    at: Time,
}

/// The presence layer.
pub struct Presence {
    group: GroupSecret,
    network: [u8; 32],
    rng: Rng,
    epoch: Option<u64>,
    seq: u32,
    status: String,
    own: Option<Own>,
    refresh_at: Time,
    neighbors: BTreeSet<NodeId>,
    roster: Roster,
    speaking: Speaking,
    proving: Proving,
    left: bool,
}

impl std::fmt::Debug for Presence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presence")
            .field("epoch", &self.epoch)
            .field("roster", &self.roster.len())
            .finish_non_exhaustive()
    }
}

impl Presence {
    pub(crate) fn new(network: &Network, seed: &[u8; 32]) -> Presence {
        Presence {
            group: GroupSecret::of(network),
            network: records::key(network),
            rng: Rng::derive(seed, "presence", &[]),
            epoch: None,
            seq: 0,
            status: String::new(),
            own: None,
            refresh_at: Time::default(),
            neighbors: BTreeSet::new(),
            roster: Roster::default(),
            speaking: Speaking::default(),
            proving: Proving::default(),
            left: false,
        }
    }

    /// The epoch of this start is stored: what is sealed in it is sealed in no other start.
    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>, epoch: u64) {
        if self.epoch.is_none() && beacon::is_epoch(epoch) {
            self.epoch = Some(epoch);
            self.say(cx);
        }
    }

    /// Whether [`Presence::begin`] was called.
    pub(crate) fn has_begun(&self) -> bool {
        self.epoch.is_some()
    }

    fn beacon(&self, cx: &Cx<'_>, leaving: bool) -> Beacon {
        Beacon {
            agent: AgentId::own(cx.crypto),
            certificate: cx.agents.own_certificate().map(|(id, _)| *id),
            addrs: if leaving { Vec::new() } else { cx.own_addrs.to_vec() },
            status: if leaving { String::new() } else { self.status.clone() },
            leaving,
            vias: if leaving { Vec::new() } else { cx.vias.clone() },
        }
    }

    /// Tells the group what this node is now, if it is not what it said last and there is anybody to tell.
    fn say(&mut self, cx: &mut Cx<'_>) {
        if self.neighbors.is_empty() || self.left || !cx.config.presence {
            return;
        }
        let beacon = self.beacon(cx, false);
        match &self.own {
            Some(own) if own.beacon == beacon => {}
            Some(own) if cx.now.mono.since(own.at) < APART => {
                cx.deadlines.set_no_later(TimerKey::Presence(Timer::Beacon), own.at + APART);
            }
            _ => self.publish(cx, beacon),
        }
    }

    fn publish(&mut self, cx: &mut Cx<'_>, beacon: Beacon) {
        let Some(epoch) = self.epoch.filter(|_| self.seq < beacon::MAX_SEQ) else { return };
        self.seq += 1;
        let version = beacon::version(epoch, self.seq);
        let secret = blake3::keyed_hash(cx.seed, format!("presence chain {version}").as_bytes());
        let chain = Chain::new(&RecordKey::from(cx.me), secret.as_bytes());
        let life = Span::from_millis(Span::from(cx.config.presence_beacon_ttl).as_millis());
        // Whole seconds: more would only tell clocks apart.
        let issued = UnixMillis(cx.now.wall.0 / 1_000 * 1_000);
        let said = signed::Statement { version, issued, life, anchor: chain.anchor() };
        let record = beacon::seal(cx.crypto, &self.network, &self.group, &said, &beacon);
        cx.request(Request::PutRecord(sets::PRESENCE, record));
        self.own = Some(Own { beacon, chain, step: 0, at: cx.now.mono });
        self.refresh_at = cx.now.mono + Span(self.rng.between(life.0 / 4, life.0 / 2));
        cx.deadlines.set(TimerKey::Presence(Timer::Beacon), self.refresh_at);
    }

    /// Says that what was said last still holds.
    fn refresh(&mut self, cx: &mut Cx<'_>) {
        let Some(own) = &mut self.own else { return };
        let Some(value) = own.chain.value(own.step + 1) else {
            // The chain is at its end.
            let beacon = own.beacon.clone();
            return self.publish(cx, beacon);
        };
        own.step += 1;
        let refresh = Refresh { step: own.step, value };
        cx.request(Request::RefreshRecord(sets::PRESENCE, RecordKey::from(cx.me), refresh));
        self.refresh_at = cx.now.mono + Span::from(cx.config.presence_beacon_ttl).half();
        cx.deadlines.set(TimerKey::Presence(Timer::Beacon), self.refresh_at);
    }

    /// A record of somebody's presence changed.
    fn on_record(&mut self, cx: &mut Cx<'_>, key: RecordKey, change: Change) {
        let node = NodeId(key.0);
        if node == cx.me {
            if change == Change::Gone && !self.left {
                // This node was stopped for so long.
                if let Some(own) = self.own.take() {
                    self.publish(cx, own.beacon);
                }
            }
            return;
        }
        match change {
            Change::New | Change::Replaced => self.heard(cx, node),
            Change::Refreshed => {
                self.back(cx, node);
                self.see_proof(cx, node);
            }
            Change::Gone => {
                self.gone(cx, node, OfflineReason::Expired);
                self.forget(node);
            }
        }
    }

    fn forget(&mut self, node: NodeId) {
        self.roster.remove(&node);
        self.proving.forget(&node);
    }

    /// A node said something new of itself.
    fn heard(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let Some(r) = cx.records.get(sets::PRESENCE, &node.into()) else { return };
        let Some(beacon) = beacon::open(cx.crypto, &self.group, &r.claim, &r.bytes) else {
            // Another group's, or of somebody who has no say in ours.
            cx.counters.beacons_sealed += 1;
            self.gone(cx, node, OfflineReason::Expired);
            self.forget(node);
            return;
        };
        if beacon.leaving {
            self.gone(cx, node, OfflineReason::Goodbye);
            self.roster.insert(node, Entry { beacon, online: None, proven: false });
            return;
        }
        let proven = proving::is_proven(cx, &node, &beacon);
        let was = self.roster.get(&node).filter(|e| e.online.is_some());
        let was = was.map(|e| (e.beacon == beacon && e.proven == proven, e.beacon.agent, e.online));
        let since = was.and_then(|(.., since)| since);
        let other = was.is_some_and(|(_, agent, _)| agent != beacon.agent);
        if other {
            self.gone(cx, node, OfflineReason::Replaced);
        }
        let agent = beacon.agent;
        let before = self.roster.get(&node).is_some_and(|e| e.online.is_some() && e.proven);
        self.roster.insert(node, Entry { beacon, online: Some(since.unwrap_or(cx.now.mono)), proven });
        match was {
            Some((true, ..)) => {}
            Some(_) if !other => {
                let comes = self.speaking.proves(cx, agent, before, proven);
                self.tell(cx, node, comes);
            }
            _ => {
                let comes = self.speaking.comes(cx, agent, proven);
                self.tell(cx, node, comes);
            }
        }
        self.prove(cx, node);
    }

    /// A node that counted as gone was heard.
    fn back(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let Some(e) = self.roster.get_mut(&node).filter(|e| e.online.is_none() && !e.beacon.leaving) else { return };
        e.online = Some(cx.now.mono);
        e.proven = proving::is_proven(cx, &node, &e.beacon);
        let comes = self.speaking.comes(cx, e.beacon.agent, e.proven);
        self.tell(cx, node, comes);
        self.prove(cx, node);
    }

    /// Tells of a node that is here, and whether its agent comes with it.
    fn tell(&self, cx: &mut Cx<'_>, node: NodeId, comes: bool) {
        let Some(info) = self.info_of(cx.now.mono, cx.records, &node).map(Box::new) else { return };
        let event = if comes { PresenceEvent::AgentOnline(info) } else { PresenceEvent::AgentChanged(info) };
        cx.event(Event::Presence(event));
    }

    fn gone(&mut self, cx: &mut Cx<'_>, node: NodeId, reason: OfflineReason) {
        let Some(e) = self.roster.get_mut(&node).filter(|e| e.online.is_some()) else { return };
        e.online = None;
        let (agent, proven) = (e.beacon.agent, std::mem::take(&mut e.proven));
        cx.event(Event::Presence(match self.speaking.goes(cx, agent, proven) {
            true => PresenceEvent::AgentOffline { node, agent, reason },
            false => PresenceEvent::NodeOffline { node, agent, reason },
        }));
    }

    /// Everybody who is here, this node included, in the order of their ids.
    pub(crate) fn online(&self, now: Time, store: &records::Store) -> Vec<PresenceInfo> {
        self.roster.iter().filter_map(|(node, _)| self.info_of(now, store, node)).collect()
    }

    fn info_of(&self, now: Time, store: &records::Store, node: &NodeId) -> Option<PresenceInfo> {
        let e = self.roster.get(node)?;
        let since = e.online?;
        let r = store.get(sets::PRESENCE, &RecordKey::from(*node))?;
        Some(info(now, *node, (&e.beacon, e.proven), since, r))
    }

    /// This node, as others see it; none before it has said anything.
    pub(crate) fn me(&self, now: Time, store: &records::Store, me: NodeId) -> Option<PresenceInfo> {
        let own = self.own.as_ref().filter(|_| !self.left)?;
        let r = store.get(sets::PRESENCE, &RecordKey::from(me))?;
        // Its own certificate is nobody's word but its own.
        Some(info(now, me, (&own.beacon, own.beacon.certificate.is_some()), own.at, r))
    }
}

fn info(now: Time, node: NodeId, (beacon, proven): (&Beacon, bool), since: Time, r: &records::Record) -> PresenceInfo {
    let learned = match r.from {
        None => Learned::Own,
        Some(from) if from == node => Learned::Direct,
        Some(_) => Learned::Relayed,
    };
    PresenceInfo {
        node,
        agent: beacon.agent,
        proven,
        addrs: beacon.addrs.clone(),
        status: beacon.status.clone(),
        online_ms: now.since(since).as_millis(),
        seen_ms: now.since(r.since).as_millis(),
        expires_in_ms: r.expires().since(now).as_millis(),
        learned,
        via: r.from,
    }
}

impl Layer for Presence {
    type Message = ();
    type Command = Command;
    type Timer = Timer;

    fn on_message(&mut self, _: &mut Cx<'_>, _: NodeId, (): ()) {}

    fn on_command(&mut self, cx: &mut Cx<'_>, command: Command) {
        match command {
            Command::Status(ticket, _) if !cx.config.presence => {
                cx.reply(ticket, Reply::Refused(CommandError::NoPresence));
            }
            Command::Status(ticket, status) => {
                let size = status.len();
                if size > MAX_STATUS || status.chars().any(char::is_control) {
                    let why = CommandError::StatusRefused { size, limit: MAX_STATUS };
                    return cx.reply(ticket, Reply::Refused(why));
                }
                self.status = status;
                self.say(cx);
                cx.reply(ticket, Reply::Done);
            }
            Command::Moved => self.say(cx),
            Command::Leave => {
                if self.own.is_some() && !self.left {
                    let goodbye = self.beacon(cx, true);
                    self.publish(cx, goodbye);
                }
                self.left = true;
                cx.deadlines.cancel(TimerKey::Presence(Timer::Beacon));
                cx.deadlines.cancel(TimerKey::Presence(Timer::Prove));
            }
        }
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match *signal {
            Signal::RecordChanged { set: sets::PRESENCE, key, change } => self.on_record(cx, key, change),
            Signal::NeighborUp { overlay: Overlay::Root, peer } => {
                self.neighbors.insert(peer);
                self.say(cx);
                self.back(cx, peer);
            }
            Signal::NeighborDown { overlay: Overlay::Root, peer, reason } => {
                self.neighbors.remove(&peer);
                match reason {
                    LeaveReason::Goodbye => self.gone(cx, peer, OfflineReason::Goodbye),
                    LeaveReason::Died | LeaveReason::Link(LinkRefusal::Silent) => {
                        self.gone(cx, peer, OfflineReason::Died);
                    }
                    _ => {}
                }
            }
            Signal::Dead { peer, reason: LeaveReason::Died } => self.gone(cx, peer, OfflineReason::Died),
            Signal::Recovered { peer } => self.back(cx, peer),
            Signal::Agent { node, .. } => self.see_proof(cx, node),
            Signal::OwnCertificate | Signal::ViasChanged => self.say(cx),
            _ => {}
        }
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        if self.left {
            return;
        }
        if timer == Timer::Prove {
            return self.prove_some(cx);
        }
        self.say(cx);
        if self.refresh_at <= cx.now.mono {
            self.refresh(cx);
        } else {
            cx.deadlines.set_no_later(TimerKey::Presence(Timer::Beacon), self.refresh_at);
        }
    }
}
