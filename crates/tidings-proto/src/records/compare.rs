//! The records of all sets as one set that neighbours keep equal; what is done about a difference is
//! [`crate::anti_entropy::sync`]'s.
//!
//! Each record counts as it is now, its last refresh included. So two neighbours hardly ever hold quite the same: something is
//! always on its way. Who asks tells what changed with it a moment ago; a difference that this and the changes of the last
//! seconds here explain, in whatever combination, is none; what remains is found by symbols. Who holds next to nothing asks for everything instead.
//!
//! What is fetched is kept but not passed on: neighbours compare and fetch it themselves, each once.

use std::collections::VecDeque;

use super::peers::Push;
use super::store::Store;
use super::{Records, Timer, tree};
use crate::anti_entropy::serving::Page;
use crate::anti_entropy::session::Way;
use crate::anti_entropy::sync::{Serve, Set};
use crate::anti_entropy::{Digest, Streams, Symbols};
use crate::identity::NodeId;
use crate::layer::{Cx, TimerKey};
use crate::time::Span;
use crate::wire::{self, Message, Ranges, SetTag, ShortId, Wanted};

/// Who holds so few asks for everything: finding the difference would take longer than the few that come twice.
const FEW: u64 = 4;
/// What was issued so recently is served whole: who lacks its last refresh probably lacks all of it.
const RECENT: Span = Span::from_secs(60);

/// All records, shared with these neighbours.
pub(super) struct All<'a> {
    peers: &'a [super::peers::Peer],
}

impl Set for All<'_> {
    fn tag(&self) -> SetTag {
        SetTag::RECORDS
    }

    fn timer(&self) -> TimerKey {
        TimerKey::Records(Timer::Reconcile)
    }

    fn peers(&self) -> Vec<NodeId> {
        self.peers.iter().map(|p| p.id).collect()
    }

    fn until(&self, _: &Cx<'_>, _: bool) -> u64 {
        0
    }

    fn len(&self, cx: &Cx<'_>) -> usize {
        cx.records.digest().count as usize
    }

    fn is_empty(&self, cx: &Cx<'_>) -> bool {
        cx.records.digest().count == 0
    }

    fn digest(&self, cx: &Cx<'_>, _: u64, _: u64) -> Digest {
        cx.records.digest()
    }

    /// Who has just become a neighbour was not told of what changed before.
    fn is_on_its_way(&self, cx: &Cx<'_>, peer: &NodeId, theirs: Digest, told: &[Digest]) -> bool {
        let peer = self.peers.iter().find(|p| p.id == *peer);
        peer.is_some_and(|p| cx.records.may_be(cx.now.mono, p.since, theirs, told))
    }

    fn young(&self, cx: &Cx<'_>, peer: &NodeId) -> Vec<Digest> {
        let peer = self.peers.iter().find(|p| p.id == *peer);
        peer.map_or(Vec::new(), |p| cx.records.told(cx.now.mono, p.since))
    }

    fn streams(&self, _: &Cx<'_>, _: u64, _: u64) -> Streams {
        Streams::default()
    }

    fn way(&self, _: &Cx<'_>, _: u64, mine: Digest, theirs: Digest, _: u64, failed: bool) -> Way {
        match failed {
            _ if mine.count <= FEW && mine.count < theirs.count => Way::Streams,
            false => Way::Symbols,
            true => Way::Neither,
        }
    }

    fn ids(&self, cx: &Cx<'_>, _: u64) -> Vec<ShortId> {
        cx.records.ids().collect()
    }

    fn symbols(&mut self, cx: &mut Cx<'_>, _: u64, as_of: Option<u64>, which: (usize, usize)) -> Option<Symbols> {
        cx.records.symbols(cx.now.wall, as_of, which)
    }

    fn item(&self, cx: &Cx<'_>, key: u64, item: u64) -> Option<(u64, ShortId)> {
        cx.records.item(key, item).map(|id| (0, id))
    }

    /// Who asks like this has next to nothing.
    fn lacking(&self, cx: &Cx<'_>, _: &Ranges) -> Vec<ShortId> {
        cx.records.ids().collect()
    }

    fn missing(&self, _: &Cx<'_>, _: &Ranges) -> Vec<Wanted> {
        Vec::new()
    }

    fn wanted(&self, _: &Cx<'_>, _: &Wanted) -> Vec<(u64, ShortId)> {
        Vec::new()
    }

    fn settles(&self, _: &Cx<'_>, _: u64) -> Span {
        Span::ZERO
    }
}

impl Records {
    /// A message of anti-entropy about records.
    pub(super) fn on_comparing(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message, payload: &[u8]) {
        let mut set = All { peers: &self.peers };
        let sync = &mut self.sync;
        let mut serve: Option<(Serve, bool)> = None;
        match message {
            Message::Compare(m) => sync.on_compare(cx, &mut set, from, &m),
            Message::Same(m) if sync.has_asked(&from, m.session) => sync.on_same(cx, &set, &m),
            Message::Differ(m) if sync.has_asked(&from, m.session) => sync.on_differ(cx, &set, from, &m),
            Message::Ranges(m) => serve = sync.on_ranges(cx, &set, from, &m).map(|s| (s, true)),
            Message::Pull(m) => serve = Some((sync.on_pull(cx, &set, from, &m), false)),
            Message::AskSymbols(m) => sync.on_ask_symbols(cx, &mut set, from, &m),
            Message::Symbols(m) => sync.on_symbols(cx, &set, from, &m, payload),
            Message::WantItems(m) => serve = Some((sync.on_want_items(cx, &set, &m), false)),
            Message::Offer(m) => sync.on_offer(cx, &set, from, &m),
            Message::Served(m) => sync.on_served(cx, &set, from, &m),
            _ => cx.counters.frames_unexpected += 1,
        }
        if let Some((serve, whole)) = serve {
            self.serving.add(cx, from, whole, SetTag::RECORDS, serve);
            self.pump(cx, from);
        }
    }

    /// The bulk lane to a neighbour has room.
    pub(crate) fn pump(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let sent = self.serving.pump(cx, peer, |cx, whole, ids| page(cx, *whole, ids));
        cx.counters.records_sent += sent;
    }

    /// The timer, and after every answer: what is due.
    pub(super) fn reconcile(&mut self, cx: &mut Cx<'_>) {
        let mut set = All { peers: &self.peers };
        self.sync.turn(cx, &mut set, &mut self.sessions);
        self.sync.arm(cx, &set);
    }

    /// A neighbour came: what either lacks is found at once.
    pub(super) fn compare_with_new(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        self.sync.compare_with_new(cx, &All { peers: &self.peers }, peer, false);
    }

    pub(super) fn forget_sync(&mut self, cx: &mut Cx<'_>, peer: &NodeId) {
        self.serving.forget_peer(peer);
        self.sync.forget(cx, &All { peers: &self.peers }, peer);
    }
}

/// The first of these records that fit a frame; `whole`: for somebody who has none of them.
fn page(cx: &Cx<'_>, whole: bool, ids: &VecDeque<ShortId>) -> Page {
    let push = |id: &ShortId| {
        let r = cx.records.by_id(id);
        r.map(|r| {
            let issued = r.since - r.claim.life.times(u64::from(r.step())).half();
            let fresh = !whole && r.step() > 0 && cx.now.mono.since(issued) > RECENT;
            Push { set: r.set, key: r.claim.key, fresh }
        })
    };
    let pushes: Vec<Option<Push>> = ids.iter().take(wire::MAX_RECORDS).map(push).collect();
    let there: Vec<Push> = pushes.iter().flatten().copied().collect();
    let (m, payload, taken) = tree::frame(cx, &there);
    // Those behind the last that fits come with the next.
    let taken = if taken == there.len() {
        pushes.len()
    } else {
        pushes.iter().enumerate().filter(|(_, p)| p.is_some()).nth(taken).map_or(pushes.len(), |(at, _)| at)
    };
    let count = (m.full.len() + m.fresh.len()) as u64;
    let frame = (count > 0).then(|| Message::from(m).frame_with(payload.freeze()));
    Page { frame, count, taken }
}

impl Store {
    /// Whether a message is about records and not about a topic.
    pub fn is_meant(message: &Message) -> bool {
        use crate::anti_entropy::sync::Sessions;
        match message {
            Message::Compare(m) => m.set == SetTag::RECORDS,
            Message::Same(m) => Sessions::is_of_records(m.session),
            Message::Differ(m) => Sessions::is_of_records(m.session),
            Message::Ranges(m) => m.set == SetTag::RECORDS,
            Message::Pull(m) => m.set == SetTag::RECORDS,
            Message::AskSymbols(m) => m.set == SetTag::RECORDS,
            Message::Symbols(m) => m.set == SetTag::RECORDS,
            Message::WantItems(m) => m.set == SetTag::RECORDS,
            Message::Offer(m) => m.set == SetTag::RECORDS,
            Message::Served(m) => m.set == SetTag::RECORDS,
            Message::Records(_)
            | Message::RecordsHeld(_)
            | Message::RecordsWanted(_)
            | Message::RecordsLazy(_)
            | Message::RecordsWave(_) => true,
            _ => false,
        }
    }
}
