//! Membership: who is a neighbour of whom, in the network's overlay and in each topic's.
//!
//! HyParView (Leitão, Pereira, Rodrigues, DSN 2007): a small active view of neighbours over open links, and a larger
//! passive view of spares, refreshed by shuffles. Each overlay has its own two views; their links are shared.
//!
//! What differs, and why:
//! - *Joins split edges instead of evicting.* In the paper a full node that accepts a newcomer drops a random
//!   neighbour, which is left with a hole. Here it hands that neighbour to the newcomer: x–y becomes x–n–y. Degrees
//!   stay what they were, and the newcomer gets two neighbours at once. The older half of a view is never split, and
//!   splits are rate-limited, so that a flood of strangers cannot turn a view over.
//! - *Promotion only after an accepted `Neighbor`.* A peer is active when both said so, never on a guess.
//! - *Addresses travel* with `Join`, `ForwardJoin`, `Neighbor` and `Shuffle`: what a peer says of itself over its own
//!   link stands, what others say fills in.
//! - *The answer to a shuffle goes back the way it came*, along links that exist: no dial per shuffle.
//! - *A topic's view holds* min(`active_view_size`, 4 + ⌈ln members⌉), members being estimated by a sketch that
//!   travels with these messages (`size.rs`).
//! - *A topic's members are found* among the neighbours' topic lists, at the bootstrap peers, and by a bounded walk
//!   of the network's overlay that a member ends by letting the seeker in.
//! - *A suspected neighbour keeps its place in name only*: it is replaced at once, and if it recovers when its place is
//!   taken, one of the newest neighbours makes room.
//! - *Holes are filled in parallel*, with as many dials at once (32 at most) as recent dials and losses make necessary;
//!   after a mass crash nearly all spares are dead. Who failed is backed off from, in and out of the views.
//! - *Spares are looked at* in the background, and *those lost together are looked for* for ever (`repair.rs`).
//! - *Known peers outlive the process* (`memory.rs`).
//! - *Part of a view is biased* toward near neighbours (`bias.rs`).
//! - *Prefixes count, not ids* (`prefix.rs`, `spares.rs`, `View::counted`, `View::lets_in`, `View::victim`).
//!
//! What a party with k prefixes (/24 or /48) and any number of ids can get: of the active view, k places, as long as any
//! peer of another prefix is known: a second neighbour of a prefix (a fourth of the node's own) does not count while its
//! place could be another's. Views have room for one neighbour more than they look for, so that honest peers say yes as
//! readily as attackers do; and of those who ask by themselves only one prefix in so many is let in by each node, by a
//! secret hash, so that asking everywhere gains no more than twice the fair share. Walks for newcomers end at a node that
//! would let them in. A guest displaces nobody but guests once half of a view are guests, and never the older half. Of
//! the passive view, up to k fair shares by prefix as its floods go on, but never the kept sixth beyond its share x of
//! all prefixes advertised (all of it with probability x^16). It gets half of the rate limits for joins and splits per
//! prefix, all of them with two. Newcomers are the easiest to take: until they know others, up to k places. A node whose
//! first and only contacts are the party's is the party's until it hears of somebody else. A prefix is what a link
//! shows, for neighbours, and what others say, for spares: made-up addresses win places among the spares until they are
//! looked at, and none among neighbours. A network that sits behind one prefix altogether works: the limits bind as soon
//! as there is anybody else. `tidings sim hostile` measures it.
//!
//! Invariants: an active view, suspects aside, never exceeds its target, the passive view never `passive_view_size`;
//! no node is in its own views; a peer is never both active and passive; every active or pending peer is covered by a
//! claim on its link; the bootstrap peers are never forgotten, and a node without neighbours goes back to them, and to
//! the peers it remembers, for ever, with jittered back-off; no list grows without a bound.
//!
//! Messages: `Join`, `ForwardJoin`, `Neighbor`, `NeighborReply`, `Disconnect`, `Shuffle`, `ShuffleReply`, `Exchange`,
//! `Topics`, `TopicWalk`, `TopicPeers`. Timers, per overlay: `Tend` (fill, give up on requests, trade, visit bootstrap
//! peers) and `Shuffle`; for the node: `Look`, `Lost`, `Save` and `Sweep`.

mod bias;
mod fill;
mod hyparview;
mod local_health;
mod memory;
mod neighbors;
pub(crate) mod prefix;
mod repair;
mod shuffle;
mod signals;
mod size;
mod spares;
pub mod swim;
mod topics;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::{NodeId, PeerAddr, TopicId};
use crate::io::{LeaveReason, Overlay};
use crate::layer::{Cx, Done, Layer, Request, RequestTicket, Signal, TimerKey};
use crate::links::Claim;
use crate::rng::Rng;
use crate::time::{Now, Span};
use crate::wire::Message;
use memory::Memory;
pub(crate) use memory::is_ours;
pub(crate) use view::Tokens;
use view::View;

/// Topics a node takes part in at most (each costs up to `active_view_size` claims and two views; a guess).
pub const MAX_TOPICS: usize = 1024;
/// Bootstrap peers kept at most.
pub const MAX_BOOTSTRAP: usize = 64;
/// How often known peers that no view refers to are forgotten.
const SWEEP: Span = Span::from_secs(60);

/// This layer's number on its claims.
const LAYER: u8 = 1;

/// Membership's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Fill an overlay's active view, give up on requests, visit bootstrap peers.
    Tend(Overlay),
    /// Shuffle an overlay's passive view.
    Shuffle(Overlay),
    /// Look whether a spare is still there.
    Look,
    /// Look whether a lost neighbour is back.
    Lost,
    /// Write down whom this node knows.
    Save,
    /// Forget peers that nothing refers to.
    Sweep,
}

/// What membership is asked to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Add bootstrap peers and go to them.
    Join(Vec<PeerAddr>),
    /// Replace the bootstrap peers.
    SetBootstrap(Vec<PeerAddr>),
    /// A request of another layer.
    Request(RequestTicket, Request),
    /// Say goodbye everywhere.
    Leave,
}

/// The membership layer.
#[derive(Debug)]
pub struct Membership {
    views: BTreeMap<Overlay, View>,
    bootstrap: Vec<PeerAddr>,
    /// The topics of the network overlay's neighbours.
    topics: BTreeMap<NodeId, BTreeSet<TopicId>>,
    walks: view::Tokens,
    /// Peers dialed only to see whether they are there.
    looking: BTreeSet<NodeId>,
    /// Looks so far.
    looks: u32,
    memory: Memory,
    rng: Rng,
    done: Vec<(RequestTicket, Done)>,
}

/// What a view looks like from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewInfo {
    /// Neighbours, oldest first.
    pub active: Vec<NodeId>,
    /// Spares.
    pub passive: Vec<NodeId>,
    /// How many neighbours it wants.
    pub target: usize,
    /// Estimated number of members.
    pub members: f64,
}

impl Membership {
    pub(crate) fn new(me: NodeId, seed: &[u8; 32], now: Now) -> Self {
        let mut views = BTreeMap::new();
        views.insert(Overlay::Root, View::new(Overlay::Root, me, seed, now));
        Membership {
            views,
            bootstrap: Vec::new(),
            topics: BTreeMap::new(),
            // Walks we answer or pass on for others: a seeker sends a few a minute (a guess).
            walks: view::Tokens::new(64, Span::from_millis(100), now.mono),
            looking: BTreeSet::new(),
            looks: 0,
            memory: Memory::default(),
            rng: Rng::derive(seed, "membership repair", &[]),
            done: Vec::new(),
        }
    }

    /// The neighbours in an overlay that are not suspected, oldest first; empty if this node is not in it.
    pub fn active(&self, overlay: Overlay) -> Vec<NodeId> {
        let Some(v) = self.views.get(&overlay) else { return Vec::new() };
        let mut by_age: Vec<_> = v.active.iter().filter(|a| !a.suspected).map(|a| (a.since, a.id)).collect();
        by_age.sort_unstable();
        by_age.into_iter().map(|(_, p)| p).collect()
    }

    /// The spares in an overlay.
    pub fn passive(&self, overlay: Overlay) -> Vec<NodeId> {
        self.views.get(&overlay).map_or(Vec::new(), |v| v.spares.iter().map(|s| s.id).collect())
    }

    /// Everything about one overlay; `None` if this node is not in it.
    pub fn view(&self, overlay: Overlay, config: &crate::config::GossipConfig, now: Now) -> Option<ViewInfo> {
        let v = self.views.get(&overlay)?;
        Some(ViewInfo {
            active: self.active(overlay),
            passive: self.passive(overlay),
            target: target(v, config, now),
            members: v.size.estimate(now.wall),
        })
    }

    /// The overlays this node is in.
    pub fn overlays(&self) -> impl Iterator<Item = Overlay> + '_ {
        self.views.keys().copied()
    }

    /// The bootstrap peers.
    pub fn bootstrap(&self) -> &[PeerAddr] {
        &self.bootstrap
    }

    /// The node begins: what membership does by itself starts here.
    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>) {
        cx.deadlines.set(TimerKey::Membership(Timer::Sweep), cx.now.mono + SWEEP);
        self.look_later(cx);
        self.recall(cx);
    }

    pub(crate) fn take_done(&mut self) -> Vec<(RequestTicket, Done)> {
        std::mem::take(&mut self.done)
    }

    fn sweep(&mut self, cx: &mut Cx<'_>) {
        cx.deadlines.set(TimerKey::Membership(Timer::Sweep), cx.now.mono + SWEEP);
        let mut keep: BTreeSet<NodeId> = cx.links.all_up().collect();
        keep.extend(self.bootstrap.iter().map(|b| b.id));
        for v in self.views.values() {
            keep.extend(v.active.iter().map(|a| a.id));
            keep.extend(v.spares.iter().map(|s| s.id));
            keep.extend(v.pending.iter().map(|p| p.peer));
            keep.extend(v.lost.iter());
        }
        keep.extend(self.looking.iter());
        cx.topology.retain(&keep, cx.now.mono);
    }

    fn set_bootstrap(&mut self, cx: &mut Cx<'_>, peers: Vec<PeerAddr>, replace: bool) {
        if replace {
            self.bootstrap.clear();
        }
        for p in peers {
            if p.id == cx.me {
                continue;
            }
            cx.topology.claim(&p);
            self.bootstrap.retain(|b| b.id != p.id);
            if self.bootstrap.len() < MAX_BOOTSTRAP {
                self.bootstrap.push(p);
            }
        }
        for v in self.views.values_mut() {
            v.visits = 0;
            v.visit_at = cx.now.mono;
            cx.deadlines.set(TimerKey::Membership(Timer::Tend(v.overlay)), cx.now.mono);
        }
    }
}

/// How many neighbours a view wants.
fn target(view: &View, config: &crate::config::GossipConfig, now: Now) -> usize {
    match view.overlay {
        Overlay::Root => config.active_view_size,
        Overlay::Topic(_) => {
            let members = view.size.estimate(now.wall).max(1.0);
            config.active_view_size.min(4 + members.ln().ceil() as usize)
        }
    }
}

fn claim(overlay: Overlay) -> Claim {
    Claim { layer: LAYER, overlay }
}

fn overlay_of(wire: crate::wire::WireOverlay) -> Overlay {
    wire.map_or(Overlay::Root, Overlay::Topic)
}

fn wire_of(overlay: Overlay) -> crate::wire::WireOverlay {
    match overlay {
        Overlay::Root => None,
        Overlay::Topic(t) => Some(t),
    }
}

impl Layer for Membership {
    type Message = Message;
    type Command = Command;
    type Timer = Timer;

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        match message {
            Message::Join(m) => self.on_join(cx, from, m),
            Message::ForwardJoin(m) => self.on_forward_join(cx, from, m),
            Message::Neighbor(m) => self.on_neighbor(cx, from, m),
            Message::NeighborReply(m) => self.on_neighbor_reply(cx, from, m),
            Message::Disconnect(m) => self.on_disconnect(cx, from, m),
            Message::Shuffle(m) => self.on_shuffle(cx, from, m),
            Message::ShuffleReply(m) => self.on_shuffle_reply(cx, from, m),
            Message::Exchange(m) => self.on_exchange(cx, from, m),
            Message::Topics(m) => self.on_topics(cx, from, m),
            Message::TopicWalk(m) => self.on_topic_walk(cx, from, m),
            Message::TopicPeers(m) => self.on_topic_peers(cx, from, m),
            _ => cx.counters.frames_unexpected += 1,
        }
    }

    fn on_command(&mut self, cx: &mut Cx<'_>, command: Command) {
        match command {
            Command::Join(peers) => self.set_bootstrap(cx, peers, false),
            Command::SetBootstrap(peers) => self.set_bootstrap(cx, peers, true),
            Command::Request(ticket, Request::Enter(topic)) => {
                let done = self.enter(cx, topic);
                self.done.push((ticket, done));
            }
            Command::Request(_, Request::Introduce(topic, peers)) => self.introduce(cx, topic, &peers),
            Command::Request(ticket, Request::Exit(topic)) => {
                self.exit(cx, topic);
                self.done.push((ticket, Done::Ok));
            }
            // Not for this layer.
            Command::Request(..) => {}
            Command::Leave => self.leave(cx),
        }
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match *signal {
            Signal::LinkUp { peer } => self.on_link_up(cx, peer),
            Signal::LinkDown { peer, reason, dial } => self.on_link_down(cx, peer, reason, dial),
            Signal::NeighborUp { overlay: Overlay::Root, peer } => {
                self.memory.note(cx, peer);
                self.tell_topics(cx, peer);
            }
            Signal::Suspected { peer } => self.on_suspected(cx, peer),
            Signal::Recovered { peer } => self.on_recovered(cx, peer),
            Signal::Dead { peer, reason } => self.on_dead(cx, peer, reason),
            Signal::Candidate { peer } => self.on_candidate(cx, peer),
            Signal::NeighborDown { overlay: Overlay::Root, peer, .. } => {
                self.topics.remove(&peer);
            }
            _ => {}
        }
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::Tend(overlay) => self.tend(cx, overlay),
            Timer::Shuffle(overlay) => self.shuffle(cx, overlay),
            Timer::Look => self.look(cx),
            Timer::Lost => self.seek_lost(cx),
            Timer::Save => self.save(cx),
            Timer::Sweep => self.sweep(cx),
        }
    }
}

impl Membership {
    /// Says goodbye in every overlay. The node closes the links afterwards.
    fn leave(&mut self, cx: &mut Cx<'_>) {
        self.save(cx);
        for v in self.views.values_mut() {
            for a in std::mem::take(&mut v.active) {
                let bye = crate::wire::Disconnect { overlay: wire_of(v.overlay), reason: view::GOODBYE, instead: None };
                cx.send(a.id, bye);
            }
            v.pending.clear();
            v.spares.clear();
            v.lost = Default::default();
            cx.deadlines.cancel(TimerKey::Membership(Timer::Tend(v.overlay)));
            cx.deadlines.cancel(TimerKey::Membership(Timer::Shuffle(v.overlay)));
        }
        self.bootstrap.clear();
        for timer in [Timer::Look, Timer::Lost, Timer::Save] {
            cx.deadlines.cancel(TimerKey::Membership(timer));
        }
        let all: Vec<NodeId> = cx.links.all_up().collect();
        for peer in all {
            cx.links.close(&mut cx.queues.out, peer, crate::wire::LinkRefusal::Goodbye);
        }
    }

    /// The reason to report for a `Disconnect` of this wire reason.
    fn leave_reason(reason: u8) -> LeaveReason {
        match reason {
            view::LEFT => LeaveReason::Unsubscribed,
            view::GOODBYE => LeaveReason::Goodbye,
            _ => LeaveReason::Replaced,
        }
    }
}
