//! Large messages: contents of up to [`MAX_LARGE`] bytes, in chunks that are pulled from several neighbours at once.
//!
//! The message itself is an ordinary one, with a number of its own in its author's stream: its payload is a *manifest*
//! (`manifest.rs`), marked as such under the signature. It travels the tree like any other. The content is named by the
//! hash of the manifest and travels apart, on the last lane, so that it delays nothing else.
//!
//! After BitTorrent (Cohen, 2003) and bounded-degree swarms over a tree (Bullet: Kostić et al., SOSP 2003). What
//! differs, and why:
//! - *Whoever brought the manifest is asked first*, for chunks it may not have yet: it sends them on as they come. So
//!   data streams down the tree without a round trip a hop, and since a manifest comes from who had it earlier, nobody
//!   waits in a circle. All others are asked only for what they said they have.
//! - *Small contents follow the tree alone*: up to [`TREE_CHUNKS`] chunks nobody tells anybody what it has, until
//!   something goes wrong. Larger ones are fetched in an order of each node's own, so that neighbours soon have
//!   different parts and serve each other; whom the manifest came from is asked last for what others have.
//! - *No choking, no tit for tat*: members of a topic want the same. A server sends to each asker what fits its lane.
//! - *The window follows the delay*: a neighbour is asked for as much as it sends within some 100 ms beyond the
//!   round trip, as LEDBAT (RFC 6817) does it, so that a slow one holds little and another can be asked.
//! - *What goes wrong costs the one who did it*: wrong bytes, and chunks claimed and not had, are never forgiven for
//!   that content; silence is for a while.
//!
//! Invariants: no byte is kept or passed on that was not checked against the manifest; a chunk is asked of one neighbour
//! at a time, and of another only after a refusal, a loss or a time-out; what was not asked for is dropped unread; a
//! chunk is in memory once, shared by the transfer, by what is served and by the program; only neighbours in a topic of
//! the content are served; everything held is bounded by bytes, count and age, the oldest going first.
//!
//! Messages: `Want`, `Have`, `Chunk`, `Lack`, `Unwant`. Timers: `Look` (time-outs), `Tell` (what we have by now) and
//! `Trim` (age).

mod ask;
mod holding;
mod manifest;
mod pull;
mod sealed;
mod serve;
mod tell;

pub use holding::ContentView;
pub use manifest::{Content, ContentBuilder, MAX_CHUNK, MAX_LARGE, MIN_CHUNK, Manifest, ManifestError, WHOLE};
pub use sealed::{ContentKey, MAX_SEALED};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::identity::{ContentId, NodeId, TopicId};
use crate::io::Overlay;
use crate::layer::{Cx, Done, Layer, RequestTicket, Signal, TimerKey};
use crate::rng::Rng;
use crate::time::{Span, Time};
use crate::wire::{Lane, Message};
use holding::Holding;

/// Bytes and number of contents held, complete and not (the bytes: four of the longest; both are guesses). Past them the
/// complete go first, the oldest before the others, then the youngest of the unfinished.
pub const MAX_HELD: u64 = 256 << 20;
/// See [`MAX_HELD`].
pub const MAX_CONTENTS: usize = 4_096;
/// Bytes of own contents, and of what neighbours asked for, that may wait to be sent when more is published (a guess:
/// a second's worth of a fast link). A content is no longer waited for when each of its chunks was sent once.
pub const MAX_OWED: u64 = 16 << 20;
/// Contents of more chunks are exchanged between neighbours; others follow the tree (256 KiB; a guess: below it, saying
/// who has what costs more than it spreads).
pub const TREE_CHUNKS: usize = 8;

/// How often time-outs are looked for.
const LOOK: Span = Span::from_millis(250);
/// The delay, beyond the round trip, up to which a neighbour is asked for more at once, and from which on for less.
const QUICK: Span = Span::from_millis(100);
const SLOW: Span = Span::from_millis(500);
/// Bytes asked of a neighbour at once: at first, at least and at most.
const WINDOW: usize = 512 * 1024;
const WINDOW_LEAST: usize = 2 * MAX_CHUNK;
const WINDOW_MOST: usize = 4 << 20;
/// Contents that are given up after so long without a chunk, and in any case (guesses: longer than it takes to find new
/// neighbours; 64 MiB at 75 kB/s).
const PATIENCE: Span = Span::from_secs(30);
const PATIENCE_MOST: Span = Span::from_secs(15 * 60);

/// The timers of large messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Look for time-outs.
    Look,
    /// Tell neighbours what we have by now.
    Tell,
    /// Drop what is too old.
    Trim,
}

/// What the layer is asked to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Serve a content published here.
    Offer(TopicId, Arc<Content>),
    /// Get the content of a manifest, which a neighbour brought.
    Pull(TopicId, NodeId, Manifest),
    /// A topic was left.
    Forget(TopicId),
}

/// What waits to be sent, for whoever publishes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uploads {
    /// Bytes of own contents never sent, and bytes neighbours wait for.
    pub owed: u64,
}

/// A neighbour on some topic.
#[derive(Debug)]
struct Peer {
    topics: BTreeSet<TopicId>,
    suspected: bool,
    /// Bytes asked of it and not there yet, and how many may be.
    asked: usize,
    window: usize,
    /// When a chunk last came from it.
    progress: Time,
    /// What it wants and we have.
    queue: VecDeque<(ContentId, u32)>,
    /// What it wants and we are getting.
    parked: BTreeSet<(ContentId, u32)>,
    /// When something last left its queue, or came into the empty one.
    moved: Time,
}

impl Peer {
    fn new() -> Self {
        Peer {
            topics: BTreeSet::new(),
            suspected: false,
            asked: 0,
            window: WINDOW,
            progress: Time::default(),
            queue: VecDeque::new(),
            parked: BTreeSet::new(),
            moved: Time::default(),
        }
    }

    /// Whether it may be asked for more.
    fn has_room(&self) -> bool {
        !self.suspected && self.asked < self.window
    }

    /// Whether it is time to ask it for more: half of its window has come, so that one question asks for several chunks.
    fn wants_more(&self) -> bool {
        self.has_room() && self.asked <= self.window / 2
    }
}

/// The layer of large messages.
#[derive(Debug)]
pub struct Large {
    contents: BTreeMap<ContentId, Holding>,
    peers: BTreeMap<NodeId, Peer>,
    /// The unfinished contents, oldest first, and those of them with chunks to ask for.
    pulls: BTreeSet<(u64, ContentId)>,
    hungry: BTreeSet<(u64, ContentId)>,
    /// The complete ones by age.
    complete: BTreeSet<(Time, ContentId)>,
    /// Those of which neighbours have yet to hear news.
    telling: BTreeSet<ContentId>,
    /// Our own of which chunks were never sent, and when one last was.
    owing: BTreeMap<ContentId, Time>,
    held: u64,
    unsent: u64,
    queued: u64,
    next: u64,
    rng: Rng,
}

impl Large {
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        Large {
            contents: BTreeMap::new(),
            peers: BTreeMap::new(),
            pulls: BTreeSet::new(),
            hungry: BTreeSet::new(),
            complete: BTreeSet::new(),
            telling: BTreeSet::new(),
            owing: BTreeMap::new(),
            held: 0,
            unsent: 0,
            queued: 0,
            next: 0,
            rng: Rng::derive(seed, "large", &[]),
        }
    }

    /// A content held, complete or not.
    pub fn content(&self, id: &ContentId) -> Option<ContentView<'_>> {
        self.contents.get(id).map(ContentView)
    }

    /// Bytes held.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// A message of a peer, with the raw payload behind it.
    pub(crate) fn on_frame(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message, payload: Bytes) {
        match message {
            Message::Chunk(m) => self.on_chunk(cx, from, &m, payload),
            other => self.on_message(cx, from, other),
        }
        self.tally(cx);
    }

    /// A lane has room again.
    pub(crate) fn on_credit(&mut self, cx: &mut Cx<'_>, peer: NodeId, lane: Lane) {
        if lane == Lane::Bulk {
            self.pump(cx, peer);
            self.tally(cx);
        }
    }

    /// Says how much waits to be sent, and sees to it that time-outs are looked for.
    fn tally(&self, cx: &mut Cx<'_>) {
        cx.uploads.owed = self.unsent + self.queued;
        if !self.pulls.is_empty() || cx.uploads.owed > 0 {
            cx.deadlines.set_no_later(TimerKey::Large(Timer::Look), cx.now.mono + LOOK);
        }
    }

    fn neighbor_down(&mut self, cx: &mut Cx<'_>, topic: TopicId, peer: NodeId) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        p.topics.remove(&topic);
        if !p.topics.is_empty() {
            return;
        }
        self.release_all(&peer);
        self.drop_wants(&peer);
        self.peers.remove(&peer);
        for h in self.contents.values_mut() {
            h.sources.remove(&peer);
        }
        self.fill(cx);
    }

    fn forget(&mut self, cx: &mut Cx<'_>, topic: TopicId) {
        let mut lost = Vec::new();
        for (id, h) in &mut self.contents {
            h.topics.retain(|t| *t != topic);
            if h.topics.is_empty() && h.pull.is_some() {
                lost.push(*id);
            }
        }
        for id in lost {
            self.give_up(cx, id);
        }
    }

    fn trim(&mut self, cx: &mut Cx<'_>) {
        let ttl = Span::from(cx.config.message_cache_ttl);
        while let Some((since, id)) = self.complete.first().copied() {
            if cx.now.mono.since(since) < ttl {
                cx.deadlines.set(TimerKey::Large(Timer::Trim), since + ttl);
                break;
            }
            self.evict(cx, id);
        }
    }
}

impl Layer for Large {
    type Message = Message;
    type Command = Command;
    type Timer = Timer;

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        match message {
            Message::Want(m) => self.on_want(cx, from, m),
            Message::Have(m) => self.on_have(cx, from, m),
            Message::Lack(m) => self.on_lack(cx, from, m),
            Message::Unwant(m) => self.on_unwant(from, m),
            _ => cx.counters.frames_unexpected += 1,
        }
    }

    fn on_command(&mut self, cx: &mut Cx<'_>, command: Command) {
        match command {
            Command::Offer(topic, content) => self.offer(cx, topic, &content),
            Command::Pull(topic, from, manifest) => self.pull(cx, topic, from, manifest),
            Command::Forget(topic) => self.forget(cx, topic),
        }
        self.tally(cx);
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match *signal {
            Signal::NeighborUp { overlay: Overlay::Topic(topic), peer } => {
                self.peers.entry(peer).or_insert_with(Peer::new).topics.insert(topic);
                self.greet(cx, topic, peer);
            }
            Signal::NeighborDown { overlay: Overlay::Topic(topic), peer, .. } => self.neighbor_down(cx, topic, peer),
            Signal::Suspected { peer } => {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.suspected = true;
                    self.release_all(&peer);
                    self.fill(cx);
                }
            }
            Signal::Recovered { peer } => {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.suspected = false;
                    self.fill(cx);
                }
            }
            _ => return,
        }
        self.tally(cx);
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::Look => self.look(cx),
            Timer::Tell => self.tell(cx),
            Timer::Trim => self.trim(cx),
        }
        self.tally(cx);
    }
}
