//! Whom to ask for which chunk.

use std::collections::{BTreeMap, BTreeSet};

use super::holding::Holding;
use super::pull::Asked;
use super::{Large, Peer, TREE_CHUNKS};
use crate::identity::{ContentId, NodeId};
use crate::layer::Cx;
use crate::time::Time;
use crate::wire::{Ask, ChunkSet, MAX_ASKS, Unwant, Want};

/// Bytes asked of whoever brought the manifest of a larger content, before it said that it has them (a guess: a round trip's
/// worth on a short link).
const AHEAD: usize = 128 * 1024;

/// The neighbours that can be asked for more of a content, and how many bytes.
type Room = BTreeMap<NodeId, usize>;

impl Large {
    /// Asks for what fits the neighbours' windows: the oldest contents first.
    pub(super) fn fill(&mut self, cx: &mut Cx<'_>) {
        let mut wants: BTreeMap<NodeId, Vec<Ask>> = BTreeMap::new();
        let able = |(id, p): (&NodeId, &Peer)| (p.wants_more() && cx.links().is_up(id)).then_some(*id);
        let mut able: BTreeSet<NodeId> = self.peers.iter().filter_map(able).collect();
        let mut done = Vec::new();
        for (number, id) in &self.hungry {
            if able.is_empty() {
                break;
            }
            let id = *id;
            let Some(h) = self.contents.get_mut(&id) else { continue };
            // What only busy neighbours have holds nothing else up.
            if !h.sources.keys().any(|of| able.contains(of)) {
                continue;
            }
            for (n, of) in choose(h, &self.peers, &able, cx.now.mono) {
                let len = h.manifest.len_of(n);
                let (Some(pull), Some(s), Some(p)) = (&mut h.pull, h.sources.get_mut(&of), self.peers.get_mut(&of))
                else {
                    continue;
                };
                if p.asked == 0 {
                    p.progress = p.progress.max(cx.now.mono);
                }
                p.asked += len;
                if !p.has_room() {
                    able.remove(&of);
                }
                s.owes += 1;
                pull.asked.insert(n, Asked { of, at: cx.now.mono });
                let asks = wants.entry(of).or_default();
                match asks.last_mut().filter(|a| a.content == id) {
                    Some(a) => drop(a.chunks.insert(n)),
                    None => asks.push(Ask { content: id, chunks: ChunkSet::from_iter([n]) }),
                }
            }
            if h.pull.as_ref().is_some_and(|p| p.todo.is_empty()) {
                done.push((*number, id));
            }
        }
        for place in done {
            self.hungry.remove(&place);
        }
        for (of, asks) in wants {
            cx.counters.wants_sent += 1;
            for part in asks.chunks(MAX_ASKS) {
                cx.send(of, Want { asks: part.to_vec() });
            }
        }
    }

    /// What was asked of a neighbour for a content is to be asked of others. Returns what that was.
    pub(super) fn release(&mut self, id: ContentId, of: &NodeId) -> ChunkSet {
        let mut gone = ChunkSet::default();
        let Some(h) = self.contents.get_mut(&id) else { return gone };
        let Some(pull) = &mut h.pull else { return gone };
        let Some(p) = self.peers.get_mut(of) else { return gone };
        let todo = &mut pull.todo;
        pull.asked.retain(|n, a| {
            if a.of == *of {
                p.asked -= h.manifest.len_of(*n);
                gone.insert(*n);
                todo.insert(0, *n);
            }
            a.of != *of
        });
        if !todo.is_empty() {
            self.hungry.insert((pull.number, id));
        }
        gone
    }

    /// As [`Large::release`], for all contents.
    pub(super) fn release_all(&mut self, of: &NodeId) {
        let pulls: Vec<ContentId> = self.pulls.iter().map(|(_, id)| *id).collect();
        for id in pulls {
            self.release(id, of);
        }
    }

    /// A chunk came from elsewhere than where it was asked for last: that neighbour need not send it.
    pub(super) fn take_back(&mut self, cx: &mut Cx<'_>, id: ContentId, n: u32) {
        let Some(h) = self.contents.get_mut(&id) else { return };
        let Some(a) = h.pull.as_mut().and_then(|p| p.asked.remove(&n)) else { return };
        if let Some(p) = self.peers.get_mut(&a.of) {
            p.asked -= h.manifest.len_of(n);
        }
        self.unwant(cx, a.of, id, ChunkSet::from_iter([n]));
    }

    pub(super) fn unwant(&self, cx: &mut Cx<'_>, of: NodeId, content: ContentId, chunks: ChunkSet) {
        if !chunks.is_empty() && cx.links().is_up(&of) {
            cx.send(of, Unwant { asks: vec![Ask { content, chunks }] });
        }
    }
}

/// Chooses chunks of a content to ask for, and whom; they are taken off its list.
///
/// First from those who said they have them, the one with most room each time; then, from whom the manifest came, what
/// nobody else has; then what it has besides; then what it has yet to get itself. Of a small content that is all of it,
/// as nobody says what it has; of a large one only a little, or what it gets last would fill its window.
fn choose(h: &mut Holding, peers: &BTreeMap<NodeId, Peer>, able: &BTreeSet<NodeId>, now: Time) -> Vec<(u32, NodeId)> {
    let Some(pull) = &mut h.pull else { return Vec::new() };
    let small = h.chunks.len() <= TREE_CHUNKS;
    let (mut said, mut brought, mut ahead) = (Room::new(), Room::new(), Room::new());
    for (id, s) in h.sources.iter().filter(|(id, s)| s.banned <= now && able.contains(id)) {
        let Some(p) = peers.get(id) else { continue };
        let room = p.window - p.asked;
        let useful = !s.has.is_within(&h.have);
        if !s.promise {
            if useful {
                said.insert(*id, room);
            }
            continue;
        }
        if useful {
            brought.insert(*id, room);
        }
        let most = if small { room } else { AHEAD.saturating_sub(p.asked) };
        if most > 0 {
            ahead.insert(*id, most);
        }
    }
    if said.is_empty() && brought.is_empty() && ahead.is_empty() {
        return Vec::new();
    }
    let sources = &h.sources;
    let has = |id: &NodeId, n: u32| sources.get(id).is_some_and(|s| s.has.has(n));
    let elsewhere = |n: u32| sources.values().any(|s| !s.promise && s.banned <= now && s.has.has(n));
    let mut chosen = Vec::new();
    let mut pick = |room: &mut Room, n: u32, may: &dyn Fn(&NodeId) -> bool| {
        let best = room.iter().filter(|(id, _)| may(id)).max_by_key(|(_, room)| **room).map(|(id, _)| *id);
        let Some(best) = best else { return false };
        let len = h.manifest.len_of(n);
        match room.get_mut(&best) {
            Some(left) if *left > len => *left -= len,
            _ => drop(room.remove(&best)),
        }
        chosen.push((n, best));
        true
    };
    for from in [From::Said, From::BroughtRare, From::Brought, From::Ahead] {
        let room = match from {
            From::Said => &mut said,
            From::BroughtRare | From::Brought => &mut brought,
            From::Ahead => &mut ahead,
        };
        let mut at = 0;
        while let Some(n) = pull.todo.get(at).copied().filter(|_| !room.is_empty()) {
            let picked = match from {
                From::BroughtRare if elsewhere(n) => false,
                From::Ahead => pick(room, n, &|_| true),
                _ => pick(room, n, &|id| has(id, n)),
            };
            if picked {
                pull.todo.remove(at);
            } else {
                at += 1;
            }
        }
    }
    chosen
}

/// The turns of a choice.
#[derive(Clone, Copy)]
enum From {
    Said,
    BroughtRare,
    Brought,
    Ahead,
}
