//! Attackers who want to be everybody's neighbours: many ids behind few addresses, playing by no rule.
//!
//! They know every honest node's address, never refuse, answer every shuffle with each other, and differ in how they
//! press in.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use bytes::Bytes;
use tidings_proto::identity::PeerAddr;
use tidings_proto::io::Input;
use tidings_proto::rng::Rng;
use tidings_proto::wire::{
    ForwardJoin, Frame, Join, Lane, MAX_PEERS, Message, Neighbor, NeighborReply, Shuffle, ShuffleReply, Sketch,
};

use crate::network::Network;

/// Links one id holds at most; the oldest makes way.
const LINKS: usize = 48;

/// How the attackers press in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// `Join` at one node after the other.
    Joins,
    /// Urgent `Neighbor` requests to one node after the other.
    Neighbors,
    /// As neighbours, then a flood of shuffles that name only attackers.
    Shuffles,
    /// As neighbours, then a flood of walks for newcomers that are attackers.
    Walks,
    /// All of it at once.
    Everything,
}

impl Strategy {
    pub(super) const ALL: [Strategy; 5] =
        [Strategy::Joins, Strategy::Neighbors, Strategy::Shuffles, Strategy::Walks, Strategy::Everything];

    /// The name of its figure.
    pub(super) fn figure(self) -> &'static str {
        match self {
            Strategy::Joins => "view_share_joins",
            Strategy::Neighbors => "view_share_neighbors",
            Strategy::Shuffles => "view_share_shuffles",
            Strategy::Walks => "view_share_walks",
            Strategy::Everything => "view_share_everything",
        }
    }
}

/// Plays all attackers.
pub(in crate::scenario) struct Attackers {
    strategy: Strategy,
    ids: Vec<u32>,
    rng: Rng,
    /// Attacker and honest node that count each other as neighbours.
    won: BTreeSet<(u32, u32)>,
}

impl Attackers {
    /// `ids` attackers behind each of `prefixes` addresses, none of which shares a /24 with anybody.
    pub(super) fn enter(net: &mut Network, strategy: Strategy, prefixes: usize, ids: usize, rng: Rng) -> Attackers {
        let mut all = Vec::new();
        for p in 0..prefixes as u32 {
            let [_, _, a, b] = p.to_be_bytes();
            for i in 0..ids as u16 {
                all.push(net.add_puppet(SocketAddrV4::new(Ipv4Addr::new(172, a, b, 1), 1_000 + i)));
            }
        }
        Attackers { strategy, ids: all, rng, won: BTreeSet::new() }
    }

    fn some(&mut self, net: &Network) -> Vec<PeerAddr> {
        let mut ids = self.ids.clone();
        self.rng.sample(&mut ids, MAX_PEERS);
        ids.into_iter().map(|n| net.peer_addr(n)).collect()
    }

    fn request(&self, net: &Network, n: u32) -> Vec<Frame> {
        let (overlay, me, sketch) = (None, net.peer_addr(n), Sketch::default());
        let join = Message::Join(Join { overlay, me: me.clone(), sketch: sketch.clone() });
        let neighbor = Message::Neighbor(Neighbor { overlay, me, urgent: true, room: 16, sketch });
        match self.strategy {
            Strategy::Joins => vec![join.frame()],
            Strategy::Everything => vec![neighbor.frame(), join.frame()],
            _ => vec![neighbor.frame()],
        }
    }

    /// One round: every attacker tries one more node, and uses what it has won.
    pub(in crate::scenario) fn act(&mut self, net: &mut Network, honest: &[u32]) {
        for n in self.ids.clone() {
            let target = honest[self.rng.below(honest.len())];
            let links = net.puppet_links(n);
            if links.contains(&target) {
                for f in self.request(net, n) {
                    net.inject(n, target, Lane::Control, f);
                }
            } else {
                if let Some(old) = links.iter().find(|l| !self.won.contains(&(n, **l))).filter(|_| links.len() >= LINKS)
                {
                    net.puppet_close(n, *old);
                }
                net.puppet_dial(n, target);
            }
            let won: Vec<u32> = self.won.range((n, 0)..(n + 1, 0)).map(|(_, h)| *h).collect();
            let Some(at) = self.rng.pick(&won).copied() else { continue };
            if matches!(self.strategy, Strategy::Shuffles | Strategy::Everything) {
                let (path, peers) = (vec![net.id(n)], self.some(net));
                let m =
                    Shuffle { overlay: None, ttl: 1 + self.rng.below(4) as u8, path, peers, sketch: Sketch::default() };
                net.inject(n, at, Lane::Control, Message::Shuffle(m).frame());
            }
            if matches!(self.strategy, Strategy::Walks | Strategy::Everything) {
                for newcomer in self.some(net).into_iter().take(4) {
                    let m = ForwardJoin { overlay: None, newcomer, ttl: self.rng.below(7) as u8 };
                    net.inject(n, at, Lane::Control, Message::ForwardJoin(m).frame());
                }
            }
        }
    }

    /// Something reached attacker `n`.
    pub(in crate::scenario) fn react(&mut self, net: &mut Network, n: u32, input: Input) {
        match input {
            Input::Datagram { from, bytes } => net.puppet_ack(n, from, bytes),
            Input::LinkUp { peer, .. } => {
                let Some(p) = net.index(&peer).filter(|p| !net.is_puppet(*p)) else { return };
                for f in self.request(net, n) {
                    net.inject(n, p, Lane::Control, f);
                }
            }
            Input::LinkDown { peer, .. } => {
                if let Some(p) = net.index(&peer) {
                    self.won.remove(&(n, p));
                }
            }
            Input::Frame { from, bytes, .. } => {
                if let Some(p) = net.index(&from) {
                    self.answer(net, n, p, bytes);
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, net: &mut Network, n: u32, p: u32, bytes: Bytes) {
        let Ok(Some((message, _))) = Message::parse(bytes) else { return };
        let me = Some(net.peer_addr(n));
        let reply = match message {
            Message::NeighborReply(m) if m.overlay.is_none() => {
                if m.accept {
                    self.won.insert((n, p));
                }
                return;
            }
            Message::Neighbor(m) if m.overlay.is_none() => {
                self.won.insert((n, p));
                let (others, sketch) = (Vec::new(), Sketch::default());
                Message::NeighborReply(NeighborReply { overlay: None, accept: true, others, sketch, me })
            }
            Message::Join(m) if m.overlay.is_none() => {
                self.won.insert((n, p));
                let (others, sketch) = (self.some(net), Sketch::default());
                Message::NeighborReply(NeighborReply { overlay: None, accept: true, others, sketch, me })
            }
            Message::Disconnect(m) if m.overlay.is_none() => {
                self.won.remove(&(n, p));
                return;
            }
            Message::Shuffle(mut m) => {
                m.path.pop();
                let (peers, sketch) = (self.some(net), Sketch::default());
                Message::ShuffleReply(ShuffleReply { overlay: m.overlay, path: m.path, peers, sketch })
            }
            _ => return,
        };
        net.inject(n, p, Lane::Control, reply.frame());
    }
}
