//! A peer that sends what it must not: malformed, oversized, replayed, forged, and far too much.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use tidings_proto::identity::TopicId;
use tidings_proto::io::{Input, Outgoing};
use tidings_proto::pubsub::{Batch, BatchHeader};
use tidings_proto::rng::Rng;
use tidings_proto::wire::{
    Fetch, Frame, Gossip, Graft, IHave, Join, Lane, MAX_DATAGRAM, Message, Neighbor, Prune, Range, ShortId, Sketch,
};

use crate::network::Network;

/// Frames of others kept for replay.
const KEPT: usize = 256;
/// Junk frames and datagrams that one rogue sends in a round.
const FLOOD: usize = 100;

/// Plays all rogues.
pub(in crate::scenario) struct Rogues {
    ids: Vec<u32>,
    topic: TopicId,
    rng: Rng,
    /// Batches as they came: body of the frame, then the batch.
    seen: VecDeque<Bytes>,
    pub(super) sent: u64,
}

impl Rogues {
    pub(super) fn enter(net: &mut Network, ids: Vec<u32>, topic: TopicId) -> Rogues {
        Rogues { ids, topic, rng: net.script_rng("rogues"), seen: VecDeque::new(), sent: 0 }
    }

    /// One round: every rogue seeks one more link, and does its worst on those it has.
    pub(in crate::scenario) fn act(&mut self, net: &mut Network, honest: &[u32]) {
        for n in self.ids.clone() {
            net.puppet_dial(n, honest[self.rng.below(honest.len())]);
            let links = net.puppet_links(n);
            for _ in 0..FLOOD {
                let Some(to) = self.rng.pick(&links).copied() else { break };
                self.sent += 1;
                match self.rng.below(8) {
                    0 => self.malformed(net, n, to),
                    1 => self.oversized(net, n, to),
                    2 => self.replayed(net, n, to),
                    3 | 4 => self.forged(net, n, to, honest),
                    5 => {
                        let junk = self.junk(MAX_DATAGRAM);
                        net.inject_datagram(n, to, junk);
                    }
                    _ => self.flood(net, n, to, honest),
                }
            }
        }
    }

    fn junk(&mut self, most: usize) -> Bytes {
        let mut b = BytesMut::new();
        for _ in 0..self.rng.below(most) / 8 {
            b.put_u64(self.rng.next_u64());
        }
        b.freeze()
    }

    /// A right header over junk, junk alone, or a genuine frame cut short.
    fn malformed(&mut self, net: &mut Network, n: u32, to: u32) {
        let head = match self.rng.below(3) {
            0 => {
                let body = self.junk(600);
                Frame::new(self.rng.below(40) as u8, &body, Bytes::new()).head
            }
            1 => self.junk(300),
            _ => {
                let whole = self.seen.front().cloned().unwrap_or_default();
                whole.slice(..self.rng.below(whole.len() + 1))
            }
        };
        let lane = Lane::STREAMS[self.rng.below(3)];
        net.inject(n, to, lane, Frame { head, payload: Bytes::new() });
    }

    /// Lists and payloads past every limit, and lengths that lie.
    fn oversized(&mut self, net: &mut Network, n: u32, to: u32) {
        let frame = match self.rng.below(3) {
            0 => {
                let ids = (0..2_000u64).map(|i| ShortId(u128::from(i).to_le_bytes())).collect();
                Message::Graft(Graft { topic: self.topic, ids, eager: true }).frame()
            }
            1 => Frame { head: Bytes::from_static(&[1, 30, 0, 0, 255, 255, 255, 255]), payload: Bytes::new() },
            _ => {
                let me = net.peer_addr(n);
                let hashes = (0..1_000).collect();
                Message::Join(Join { overlay: None, me, sketch: Sketch { period: 7, hashes } }).frame()
            }
        };
        net.inject(n, to, Lane::Control, frame);
    }

    fn replayed(&mut self, net: &mut Network, n: u32, to: u32) {
        if self.seen.is_empty() {
            return;
        }
        let head = self.seen[self.rng.below(self.seen.len())].clone();
        net.inject(n, to, Lane::Data, Frame { head, payload: Bytes::new() });
    }

    /// A genuine batch with bits turned over, or one of its own under another's name.
    fn forged(&mut self, net: &mut Network, n: u32, to: u32, honest: &[u32]) {
        if self.rng.below(2) == 0 && !self.seen.is_empty() {
            let mut bytes = BytesMut::from(&self.seen[self.rng.below(self.seen.len())][..]);
            for _ in 0..1 + self.rng.below(3) {
                let at = 8 + self.rng.below(bytes.len().saturating_sub(8).max(1));
                if let Some(b) = bytes.get_mut(at) {
                    *b ^= 1 << self.rng.below(8);
                }
            }
            let head = bytes.freeze();
            net.inject(n, to, Lane::Data, Frame { head, payload: Bytes::new() });
            return;
        }
        let (crypto, network) = net.forgery(n);
        let payload: Bytes = Bytes::copy_from_slice(&[self.rng.next_u64().to_le_bytes(); 32].concat());
        let header = BatchHeader {
            topic: self.topic,
            author: net.id(honest[self.rng.below(honest.len())]),
            epoch: net.wall_ms() + self.rng.below(1_000) as u64,
            first_seq: 1 + self.rng.below(50) as u64,
            wall_ms: net.wall_ms(),
            previous: None,
            payloads: vec![payload.len() as u32],
            headers: Vec::new(),
            apart_ms: None,
            large: None,
            certificate: None,
            capability: None,
        };
        let message = Outgoing { payload, ..Outgoing::default() };
        let batch = Batch::seal(header, &[message], &network, &*crypto);
        let frame = Message::Gossip(Gossip { hop: 1, pulled: false }).frame_with(batch.bytes().clone());
        net.inject(n, to, Lane::Data, frame);
    }

    /// Things that may be said, said far too often.
    fn flood(&mut self, net: &mut Network, n: u32, to: u32, honest: &[u32]) {
        let topic = self.topic;
        let author = net.id(honest[self.rng.below(honest.len())]);
        let (me, sketch) = (net.peer_addr(n), Sketch::default());
        let message = match self.rng.below(5) {
            0 => {
                let from = self.rng.next_u64() >> 40;
                let ranges = vec![Range { author, epoch: net.wall_ms(), from, to: u64::MAX }; 64];
                Message::Fetch(Fetch { topic, ranges })
            }
            1 => {
                let id =
                    |r: &mut Rng| ShortId((u128::from(r.next_u64()) << 64 | u128::from(r.next_u64())).to_le_bytes());
                let batches = (0..512)
                    .map(|_| tidings_proto::wire::Announced { id: id(&mut self.rng), hop: 1, held: 0 })
                    .collect();
                Message::IHave(IHave { topic, batches })
            }
            2 => Message::Prune(Prune { topic }),
            3 => Message::Join(Join { overlay: Some(topic), me, sketch }),
            _ => Message::Topics(tidings_proto::wire::Topics {
                fresh: false,
                add: (0..128u64)
                    .map(|_| TopicId(*blake3::hash(&self.rng.next_u64().to_le_bytes()).as_bytes()))
                    .collect(),
                remove: Vec::new(),
            }),
        };
        net.inject(n, to, Lane::Control, message.frame());
    }

    /// Something reached rogue `n`: it stays in the topic, and keeps what it can use.
    pub(in crate::scenario) fn react(&mut self, net: &mut Network, n: u32, input: Input) {
        let topic = self.topic;
        match input {
            Input::Datagram { from, bytes } => net.puppet_ack(n, from, bytes),
            Input::LinkUp { peer, .. } => {
                let Some(p) = net.index(&peer) else { return };
                for overlay in [None, Some(topic)] {
                    let (me, sketch) = (net.peer_addr(n), Sketch::default());
                    let m = Neighbor { overlay, me, urgent: true, room: 16, sketch };
                    net.inject(n, p, Lane::Control, Message::Neighbor(m).frame());
                }
            }
            Input::Frame { from, bytes, .. } => {
                let Some(p) = net.index(&from) else { return };
                match Message::parse(bytes.clone()) {
                    Ok(Some((Message::Gossip(_), _))) => {
                        self.seen.push_back(bytes);
                        if self.seen.len() > KEPT {
                            self.seen.pop_front();
                        }
                    }
                    Ok(Some((Message::IHave(m), _))) => {
                        let ids = m.batches.iter().map(|b| b.id).take(32).collect();
                        let m = Message::Graft(Graft { topic, ids, eager: true });
                        net.inject(n, p, Lane::Control, m.frame());
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}
