//! Failure detection among neighbours: who does not answer is suspected, routed around and replaced at once, and
//! removed if it does not recover.
//!
//! SWIM (Das, Gupta, Motivala, DSN 2002): pings, indirect pings through others, suspicion before death, refutation by
//! incarnation numbers. Lifeguard (Dadgar, Phillips, Currey, DSN 2018): local health (`local_health.rs`), a suspicion
//! time that shrinks with each independent confirmation, negative acknowledgements, and telling the suspect itself.
//!
//! What differs, and why:
//! - *Only neighbours are watched*, in whatever overlay, each by one entry: views are partial, so there is no list of
//!   all members to keep consistent. A verdict is this node's own; nothing is spread beyond a suspect's neighbours.
//! - *Every link is probed each `probe_interval`*, instead of one random member: ten links cost little, and the time to
//!   suspicion becomes a bound. One end probes, chosen by the parity of both ids; the other expects those pings and
//!   probes by itself when one is overdue.
//! - *Acknowledged packets count as an answered ping.* Where the transport says that a peer acknowledged what was sent
//!   less than an interval ago, the next ping is due an interval after that. It is only put off, sixteen times at most:
//!   what decides about a suspect are pings. (With traffic on most links, half of the pings are saved.)
//! - *A round is three pings*, a time-out apart: two datagrams; then a third together with a ping on the control lane,
//!   which loss can delay but not swallow, and requests to those of the suspect's other neighbours we are linked with.
//!   At 5 % loss one round in ten thousand of a healthy peer fails.
//! - *Others are dialed only at a suspicion*, not at each unanswered ping: strangers to us, they cost a handshake. Two
//!   at most a suspicion, they vouch for the suspect or come to the same conclusion, and they lost a neighbour too:
//!   membership may make them neighbours of ours, so that the hole closes around the dead.
//! - *A vouched-for suspect is not dead, and not well either.* Its signed word proves it alive; but a link on which our
//!   pings go unanswered is of no use. It stays suspected until a ping of ours is answered, and is removed as
//!   unreachable, not as dead. The same goes for a peer that is heard and never answers (a one-way cut).
//! - *Suspicion is a hint, never a verdict.* Hearing a neighbour suspected by another neighbour of it, we probe it at
//!   once; the word counts as a confirmation only if our own probes fail. A liar costs us a few pings a minute.
//! - *Who does not read is no neighbour either*, however well it answers pings: what was pushed to it reaches nobody
//!   (`swim/reading.rs`).
//! - *An incarnation begins with the time of the node's start*, so that a restart is told from a refutation and two
//!   lives with one key are noticed (`swim/incarnation.rs`).
//! - *A stall of our own is noticed by our own timers being late*; whoever was being judged gets a fresh start.
//!
//! Invariants: whatever others say, only silence towards our own probes makes a suspect, and only its lasting a death;
//! a signed sign of life answers a nonce of ours and cannot be forged by a relay; we relay probes to our own neighbours
//! only, never to an address; every list is bounded and every drop counted; a suspicion always ends, by recovery, death
//! or the end of the neighbourhood.
//!
//! Messages: `Ping` and `Ack`, as datagrams and on the control lane; `PingReq`, `Nack`, `RelayedPing`, `Alive`,
//! `Suspect` and `Neighbors` on the control lane. Timers: `Peer`, one a watched neighbour (its next ping, the end of a
//! round or of a suspicion); `Chores` (relayed probes, visits, looking for the removed, telling our neighbours).

mod incarnation;
mod indirect;
mod probe;
mod reading;
mod rescue;
mod watched;

use crate::id_map::IdMap;
use crate::identity::{Network, NodeId};
use crate::io::{Event, LeaveReason, Overlay};
use crate::layer::{Cx, Done, Layer, RequestTicket, Signal, TimerKey};
use crate::links::Claim;
use crate::membership::local_health::LocalHealth;
use crate::membership::view::Tokens;
use crate::rng::Rng;
use crate::time::{Now, Span, Time};
use crate::topology::PeerState;
use crate::wire::{LinkRefusal, Message, Suspect};
use incarnation::{Incarnation, Incarnations, Noted};
use reading::Reading;
use watched::{Allowance, Doubt, Rtt, Suspicion, Watched};

/// This layer's number on its claims.
const LAYER: u8 = 3;
const CLAIM: Claim = Claim { layer: LAYER, overlay: Overlay::Root };
/// Confirmations that bring the suspicion time down to its least (Lifeguard's k, 3).
const CONFIRMATIONS: usize = 3;
/// The suspicion time without any confirmation, in units of `suspect_timeout` (Lifeguard: 6; here half as many
/// neighbours could confirm, and the transport gives a silent link up after 5 s).
const ALONE: u64 = 2;
/// A word of others counts for so many `suspect_timeout`s.
const HEARSAY: u64 = 2;
/// A second node with our own key is believed in when this many peers met it: one could be lying.
const ACCUSERS: usize = 2;
const ACCUSED_FOR: Span = Span::from_secs(3600);

/// The failure detector's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A watched neighbour's next ping, or the end of its round or of its suspicion.
    Peer(NodeId),
    /// Relayed probes, visits, looking for removed neighbours, telling who our neighbours are.
    Chores,
}

/// The failure detector.
#[derive(Debug)]
pub struct Swim {
    incarnation: Incarnation,
    key: indirect::AliveKey,
    rng: Rng,
    health: LocalHealth,
    watched: IdMap<Watched>,
    known: Incarnations,
    /// What linked peers may still ask of us.
    allowances: IdMap<Allowance>,
    relays: Vec<indirect::Relay>,
    rescue: rescue::Rescue,
    /// Who met a later life of this node, and when.
    accusers: Vec<(NodeId, Time)>,
    clone_reported: Option<Time>,
    stalled: Option<Time>,
}

impl Swim {
    pub(crate) fn new(network: &Network, seed: &[u8; 32], now: Now) -> Self {
        Swim {
            incarnation: Incarnation::begin(now.wall.0),
            key: indirect::AliveKey::new(network),
            rng: Rng::derive(seed, "swim", &[]),
            health: LocalHealth::default(),
            watched: IdMap::default(),
            known: Incarnations::default(),
            allowances: IdMap::default(),
            relays: Vec::new(),
            rescue: rescue::Rescue::new(now.mono),
            accusers: Vec::new(),
            clone_reported: None,
            stalled: None,
        }
    }

    /// The node's start is known: a number that grows at each.
    pub(crate) fn begin(&mut self, now: Now, start: u64) {
        let ours = Incarnation::begin(start);
        // A disk that names the far future would make everybody refuse our word.
        self.incarnation = if ours.is_possible(now.wall) { ours } else { Incarnation::begin(now.wall.0) };
    }

    /// How slow or cut off this node takes itself to be, from 0 (not at all) to 8.
    pub fn local_health(&self) -> u8 {
        self.health.score()
    }

    /// Something came from a linked peer: it is alive.
    pub(crate) fn heard(&mut self, cx: &mut Cx<'_>, from: NodeId) {
        let Some(w) = self.watched.get_mut(&from) else { return };
        w.heard = cx.now.mono;
        if w.suspicion.as_ref().is_some_and(|s| s.doubt == Doubt::Silent) {
            self.recover(cx, from);
        }
    }

    /// The transport knows of packets that reached these peers, and of their acknowledgements that reached us.
    pub(crate) fn acknowledged(&mut self, now: Time, peers: &[NodeId]) {
        for peer in peers {
            if let Some(w) = self.watched.get_mut(peer) {
                w.acknowledged = now;
            }
        }
    }

    /// A datagram's message.
    pub(crate) fn on_datagram(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        self.heard(cx, from);
        match message {
            Message::Ping(m) => self.on_ping(cx, from, &m, true),
            Message::Ack(m) => self.on_ack(cx, from, &m, false),
            _ => cx.counters.frames_unexpected += 1,
        }
    }

    /// Notes what a peer says of its own incarnation.
    fn note(&mut self, cx: &mut Cx<'_>, peer: NodeId, said: u64) {
        match self.known.note(peer, Incarnation(said), cx.now) {
            Noted::Fine => {}
            Noted::Impossible => cx.counters.incarnations_refused += 1,
            Noted::Stale => cx.counters.incarnations_stale += 1,
            Noted::Restarted => {
                cx.counters.restarts_seen += 1;
                if let Some(w) = self.watched.get_mut(&peer) {
                    // What was known of its last life says nothing of this one.
                    w.hearsay.clear();
                    w.neighbors.clear();
                    w.deaf_rounds = 0;
                }
            }
            Noted::Clone => {
                cx.counters.clones_seen += 1;
                cx.event(Event::CloneSeen { peer });
            }
        }
    }

    fn watch(&mut self, cx: &mut Cx<'_>, peer: NodeId, overlay: Overlay) {
        let now = cx.now.mono;
        if let Some(w) = self.watched.get_mut(&peer) {
            if !w.overlays.contains(&overlay) {
                w.overlays.push(overlay);
            }
            return;
        }
        let interval = cx.config.probe_interval_span();
        let rtt = Rtt::first(cx.topology.rtt(&peer));
        let prober = probes(&cx.me, &peer);
        // A random phase, so that the pings of many links do not come in bursts.
        let wait = if prober { Span(self.rng.between(0, interval.0)) } else { interval + probe::margin(rtt) };
        let w = Watched {
            overlays: vec![overlay],
            prober,
            rtt,
            seq: 0,
            sent: Vec::new(),
            round: None,
            due: now + wait,
            armed: now,
            heard: now,
            acknowledged: now,
            answered: now,
            measured: Time::default(),
            deaf_rounds: 0,
            suspicion: None,
            hearsay: Vec::new(),
            nonce: None,
            neighbors: Vec::new(),
            told: 0,
            reading: Reading::new(now + interval),
        };
        self.watched.insert(peer, w);
        self.arm(cx, peer);
    }

    fn unwatch(&mut self, cx: &mut Cx<'_>, peer: NodeId) -> Option<Watched> {
        let w = self.watched.remove(&peer)?;
        cx.deadlines.cancel(TimerKey::Swim(Timer::Peer(peer)));
        cx.topology.set_state(peer, PeerState::Alive);
        Some(w)
    }

    /// When a suspicion ends unless it is refuted: the sooner, the more others suspect the same (Lifeguard, section
    /// IV-B).
    fn ends(&self, cx: &Cx<'_>, s: &Suspicion) -> Time {
        let least = cx.config.suspect_timeout_span();
        if s.doubt == Doubt::Stuck {
            return s.since + least.times(reading::ENDURED);
        }
        let most = least.times(ALONE);
        let share = ((s.by.len().min(CONFIRMATIONS) + 1) as f64).ln() / ((CONFIRMATIONS + 1) as f64).ln();
        let shorter = ((most.0 - least.0) as f64 * share) as u64;
        s.since + self.health.stretch(Span(most.0 - shorter))
    }

    fn arm(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(w) = self.watched.get(&peer) else { return };
        let ends = w.suspicion.as_ref().map(|s| self.ends(cx, s));
        let at = w.next(ends);
        cx.deadlines.set(TimerKey::Swim(Timer::Peer(peer)), at);
        if let Some(w) = self.watched.get_mut(&peer) {
            w.armed = at;
        }
    }

    /// A neighbour failed a round.
    fn suspect(&mut self, cx: &mut Cx<'_>, peer: NodeId, doubt: Doubt) {
        let now = cx.now.mono;
        let fresh = now - cx.config.suspect_timeout_span().times(HEARSAY);
        let Some(w) = self.watched.get_mut(&peer) else { return };
        let by = w.hearsay.iter().filter(|(_, at)| *at >= fresh).map(|(p, _)| *p).collect();
        w.suspicion = Some(Suspicion { since: now, by, doubt });
        let incarnation = self.known.of(&peer).unwrap_or_default().0;
        let others: Vec<NodeId> = w.neighbors.iter().map(|p| p.id).filter(|p| cx.links.is_up(p)).collect();
        for other in others {
            cx.send(other, Suspect { peer, incarnation });
        }
        cx.counters.suspicions += 1;
        cx.topology.set_state(peer, PeerState::Suspected);
        cx.signal(Signal::Suspected { peer });
        cx.event(Event::PeerSuspected { peer });
        self.visit_others(cx, peer);
    }

    fn recover(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(w) = self.watched.get_mut(&peer) else { return };
        w.suspicion = None;
        w.hearsay.clear();
        self.have_patience(cx, &peer);
        cx.counters.suspicions_refuted += 1;
        cx.topology.set_state(peer, PeerState::Alive);
        cx.signal(Signal::Recovered { peer });
        cx.event(Event::PeerRecovered { peer });
        self.arm(cx, peer);
    }

    /// A suspicion was not refuted in time.
    fn remove(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(w) = self.unwatch(cx, peer) else { return };
        let reason = if w.suspicion.is_some_and(|s| s.doubt != Doubt::Silent) {
            cx.counters.unreachable += 1;
            LeaveReason::Link(LinkRefusal::Silent)
        } else {
            cx.counters.deaths += 1;
            LeaveReason::Died
        };
        self.bury(cx, peer);
        cx.signal(Signal::Dead { peer, reason });
        cx.close(peer, LinkRefusal::Silent);
    }

    /// Another peer says that one is suspected.
    fn on_suspect(&mut self, cx: &mut Cx<'_>, from: NodeId, m: &Suspect) {
        if m.peer == cx.me {
            self.refute(cx, from, m.incarnation);
            return;
        }
        let now = cx.now.mono;
        let stale = self.known.of(&m.peer).is_some_and(|i| i.0 != m.incarnation);
        let credible = self.watched.get(&m.peer).is_some_and(|w| w.is_neighbor_of(&from));
        if stale || !credible || !self.allowance(from, now).alarms.take(now) {
            cx.counters.suspicions_ignored += 1;
            return;
        }
        let Some(w) = self.watched.get_mut(&m.peer) else { return };
        w.hear(from, now);
        match &mut w.suspicion {
            Some(s) if !s.by.contains(&from) => {
                s.by.push(from);
                self.arm(cx, m.peer);
            }
            Some(_) => {}
            None if w.round.is_none() => self.begin_round(cx, m.peer),
            None => {}
        }
    }

    /// Somebody suspects this node in that incarnation of it.
    fn refute(&mut self, cx: &mut Cx<'_>, from: NodeId, incarnation: u64) {
        let now = cx.now.mono;
        let said = Incarnation(incarnation);
        if !self.allowance(from, now).refutes.take(now) {
            cx.counters.suspicions_ignored += 1;
            return;
        }
        if said == self.incarnation {
            self.incarnation = said.next();
            self.health.worse(1);
            cx.counters.suspected_ourselves += 1;
        } else if said > self.incarnation && said.is_possible(cx.now.wall) {
            self.accused(cx, from);
        } else {
            cx.counters.suspicions_ignored += 1;
        }
    }

    /// A peer knows this node in an incarnation it was never in.
    fn accused(&mut self, cx: &mut Cx<'_>, by: NodeId) {
        let now = cx.now.mono;
        self.accusers.retain(|(p, at)| *p != by && now.since(*at) < ACCUSED_FOR);
        self.accusers.push((by, now));
        self.accusers.truncate(ACCUSERS);
        let due = self.clone_reported.is_none_or(|at| now.since(at) >= ACCUSED_FOR);
        if self.accusers.len() >= ACCUSERS && due {
            self.clone_reported = Some(now);
            cx.counters.clones_seen += 1;
            cx.event(Event::CloneSeen { peer: cx.me });
        }
    }

    fn allowance(&mut self, peer: NodeId, now: Time) -> &mut Allowance {
        // Only linked peers are heard, and an entry goes with the link: as many as links at most.
        self.allowances.get_or_insert_with(peer, || Allowance::new(now))
    }

    fn on_link_down(&mut self, cx: &mut Cx<'_>, peer: NodeId, reason: LinkRefusal) {
        self.allowances.remove(&peer);
        self.rescue.link_down(&peer);
        if self.unwatch(cx, peer).is_some() && may_be_back(reason) {
            self.bury(cx, peer);
        }
    }

    /// The node says goodbye.
    pub(crate) fn leave(&mut self, cx: &mut Cx<'_>) {
        let all: Vec<NodeId> = self.watched.keys().copied().collect();
        for peer in all {
            self.unwatch(cx, peer);
        }
        self.relays.clear();
        self.rescue = rescue::Rescue::new(cx.now.mono);
        cx.deadlines.cancel(TimerKey::Swim(Timer::Chores));
    }
}

/// Whether this end of a link is the one that probes: both ends agree, and each probes about half of its links.
fn probes(me: &NodeId, peer: &NodeId) -> bool {
    let odd = (me.0[31] ^ peer.0[31]) & 1 == 1;
    odd == (me < peer)
}

/// Whether a neighbour whose link ended in this way may come back.
fn may_be_back(reason: LinkRefusal) -> bool {
    use LinkRefusal::{Full, Goodbye, Protocol, Version, WrongNetwork, WrongPeer};
    !matches!(reason, Goodbye | Full | Protocol | Version | WrongNetwork | WrongPeer)
}

impl Layer for Swim {
    type Message = Message;
    type Command = std::convert::Infallible;
    type Timer = Timer;

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        match message {
            Message::Ping(m) => self.on_ping(cx, from, &m, false),
            Message::Ack(m) => self.on_ack(cx, from, &m, true),
            Message::PingReq(m) => self.on_ping_req(cx, from, &m),
            Message::Nack(m) => self.on_nack(cx, from, &m),
            Message::RelayedPing(m) => self.on_relayed_ping(cx, from, &m),
            Message::Alive(m) => self.on_alive(cx, from, m),
            Message::Suspect(m) => self.on_suspect(cx, from, &m),
            Message::Neighbors(m) => self.on_neighbors(cx, from, m),
            _ => cx.counters.frames_unexpected += 1,
        }
    }

    fn on_command(&mut self, _: &mut Cx<'_>, command: Self::Command) {
        match command {}
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match *signal {
            Signal::LinkUp { peer } => self.on_link_up(cx, peer),
            Signal::LinkDown { peer, reason, .. } => self.on_link_down(cx, peer, reason),
            Signal::NeighborUp { overlay, peer } => {
                self.watch(cx, peer, overlay);
                self.neighbor_up(cx, peer, overlay);
            }
            Signal::NeighborDown { overlay, peer, .. } => {
                self.neighbor_down(cx, peer, overlay);
                let Some(w) = self.watched.get_mut(&peer) else { return };
                w.overlays.retain(|o| *o != overlay);
                if w.overlays.is_empty() {
                    self.unwatch(cx, peer);
                }
            }
            _ => {}
        }
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::Peer(peer) => self.on_peer_timer(cx, peer),
            Timer::Chores => self.chores(cx),
        }
    }
}

/// So many at once, one more each span: a bound on work that others or mass failures could cause.
fn dials(now: Time) -> Tokens {
    // A suspicion takes two, a removed neighbour one each time; when most of the network dies, the rest waits its turn
    // (guesses).
    Tokens::new(8, Span::from_millis(250), now)
}
