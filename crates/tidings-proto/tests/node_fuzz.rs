//! Thousands of random inputs in random order: nothing panics, everything stays bounded, nothing is delivered twice.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use common::*;
use tidings_proto::anti_entropy::{MAX_ITEMS, MAX_SYMBOLS};
use tidings_proto::config::GossipConfig;
use tidings_proto::identity::{NodeId, PeerAddr, TopicId};
use tidings_proto::io::*;
use tidings_proto::pubsub::{Batch, BatchHeader, MAX_HEADERS, MAX_MESSAGE};
use tidings_proto::rng::Rng;
use tidings_proto::time::Span;
use tidings_proto::wire::*;

/// Peers that come and go; some of them also write.
const PEERS: u8 = 24;
const WRITERS: u8 = 3;

struct Chaos {
    rng: Rng,
    d: Driven,
    peers: Vec<Fake>,
    batches: Vec<Batch>,
    delivered: BTreeSet<(TopicId, NodeId, u64, u64)>,
    last: BTreeMap<(TopicId, NodeId), (u64, u64)>,
}

fn topics() -> [TopicId; 3] {
    [news(), TopicId::from_name("b").unwrap(), TopicId::from_name("c").unwrap()]
}

/// Usually a small number, sometimes one at an end.
fn number(rng: &mut Rng) -> u64 {
    match rng.below(20) {
        0 => 0,
        1 => u64::MAX,
        2 => u64::MAX - 1,
        3 => rng.next_u64(),
        _ => 1 + rng.below(30) as u64,
    }
}

impl Chaos {
    fn new(seed: u64) -> Chaos {
        let mut rng = Rng::derive(&[1; 32], "chaos", &seed.to_le_bytes());
        let config = GossipConfig { max_links: 16, message_cache_size: 16, ..GossipConfig::default() };
        let mut d = Driven::with(config);
        d.command(Command::Subscribe { topic: news() });
        d.command(Command::Subscribe { topic: topics()[1] });
        let peers: Vec<Fake> = (1..=PEERS).map(Fake::new).collect();
        d.neighbor(&peers[0]);
        let mut batches = Vec::new();
        for w in 0..WRITERS {
            let (mut epoch, mut seq, mut previous) = (1, 1, None);
            for _ in 0..40 {
                if rng.below(8) == 0 {
                    previous = Some(at(epoch, if rng.below(4) == 0 { number(&mut rng) } else { seq - 1 }));
                    (epoch, seq) = (epoch + 1, 1);
                }
                let count = 1 + rng.below(4);
                let payloads = vec![&b"payload"[..]; count];
                let author = &peers[usize::from(w)];
                let topic = topics()[rng.below(2)];
                let header = BatchHeader { topic, epoch, previous, ..author.header(seq, &payloads) };
                batches.push(author.seal(header, &payloads));
                seq += count as u64;
            }
            let author = &peers[usize::from(w)];
            for (epoch, seq) in [(1, u64::MAX - 1), (u64::MAX, 1), (0, 1), (u64::MAX, u64::MAX - 1), (3, 1), (2, 7)] {
                batches.push(author.seal(BatchHeader { epoch, ..author.header(seq, &[b"odd"]) }, &[b"odd"]));
            }
        }
        Chaos { rng, d, peers, batches, delivered: BTreeSet::new(), last: BTreeMap::new() }
    }

    fn peer(&mut self) -> usize {
        // A few are met again and again.
        if self.rng.below(3) > 0 { self.rng.below(4) } else { self.rng.below(self.peers.len()) }
    }

    fn id(&mut self) -> NodeId {
        match self.rng.below(12) {
            0 => self.d.id(),
            1 => NodeId([self.rng.below(256) as u8; 32]),
            _ => {
                let at = self.peer();
                self.peers[at].id
            }
        }
    }

    fn addr_of_somebody(&mut self) -> PeerAddr {
        let addrs = (0..self.rng.below(4)).map(|i| addr(i as u8)).collect();
        PeerAddr { id: self.id(), addrs }
    }

    fn some<T>(&mut self, most: usize, of: impl Fn(&mut Chaos) -> T) -> Vec<T> {
        let n = if self.rng.below(10) == 0 { most } else { self.rng.below(5) };
        (0..n).map(|_| of(self)).collect()
    }

    fn topic(&mut self) -> TopicId {
        topics()[self.rng.below(3)]
    }

    fn overlay(&mut self) -> WireOverlay {
        if self.rng.below(2) == 0 { None } else { Some(self.topic()) }
    }

    fn short_id(&mut self) -> ShortId {
        if self.rng.below(3) == 0 {
            return ShortId([self.rng.below(256) as u8; 16]);
        }
        self.rng.pick(&self.batches).unwrap().short_id()
    }

    fn sketch(&mut self) -> Sketch {
        let period = [0, WALL / 600_000, u64::MAX][self.rng.below(3)];
        let mut hashes = self.some(MAX_SKETCH, |c| c.rng.next_u64());
        hashes.sort_unstable();
        Sketch { period, hashes }
    }

    fn message(&mut self, from: NodeId) -> Message {
        let ttl = self.rng.below(256) as u8;
        let flag = self.rng.below(2) == 0;
        match self.rng.below(22) {
            16..19 => self.probe(from),
            19..22 => self.about_records(),
            0 => Release {}.into(),
            1 => Join { overlay: self.overlay(), me: self.addr_of_somebody(), sketch: self.sketch() }.into(),
            2 => ForwardJoin { overlay: self.overlay(), newcomer: self.addr_of_somebody(), ttl }.into(),
            3 => Neighbor {
                overlay: self.overlay(),
                me: self.addr_of_somebody(),
                urgent: flag,
                room: ttl % 6,
                sketch: self.sketch(),
            }
            .into(),
            4 => NeighborReply {
                overlay: self.overlay(),
                accept: flag,
                others: self.some(MAX_PEERS, Chaos::addr_of_somebody),
                sketch: self.sketch(),
                me: None,
            }
            .into(),
            5 => {
                let instead = flag.then(|| self.addr_of_somebody());
                Disconnect { overlay: self.overlay(), reason: ttl % 4, instead }.into()
            }
            6 => {
                let mut path = self.some(MAX_PATH - 1, Chaos::id);
                path.push(from);
                let peers = self.some(MAX_PEERS, Chaos::addr_of_somebody);
                Shuffle { overlay: self.overlay(), ttl: ttl % 8, path, peers, sketch: self.sketch() }.into()
            }
            7 => {
                let (path, peers) = (self.some(MAX_PATH, Chaos::id), self.some(MAX_PEERS, Chaos::addr_of_somebody));
                ShuffleReply { overlay: self.overlay(), path, peers, sketch: self.sketch() }.into()
            }
            8 => {
                let random = |c: &mut Chaos| TopicId(*blake3::hash(&c.rng.next_u64().to_le_bytes()).as_bytes());
                let mut add = self.some(MAX_TOPICS - 1, random);
                add.push(self.topic());
                let remove = self.some(4, Chaos::topic);
                Topics { fresh: flag, add, remove }.into()
            }
            9 => TopicWalk { topic: self.topic(), seeker: self.addr_of_somebody(), ttl }.into(),
            10 => TopicPeers { topic: self.topic(), peers: self.some(MAX_PEERS, Chaos::addr_of_somebody) }.into(),
            11 => {
                let announced = |c: &mut Chaos| Announced {
                    id: c.short_id(),
                    hop: number(&mut c.rng) as u16,
                    held: number(&mut c.rng) as u32,
                };
                IHave { topic: self.topic(), batches: self.some(MAX_IHAVES, announced) }.into()
            }
            12 => Graft { topic: self.topic(), ids: self.some(MAX_IHAVES, Chaos::short_id), eager: flag }.into(),
            13 => Prune { topic: self.topic() }.into(),
            14 => {
                let (me, old) = (self.addr_of_somebody(), self.addr_of_somebody());
                Exchange { overlay: self.overlay(), me, old, near: flag }.into()
            }
            _ => {
                let range = |c: &mut Chaos| Range {
                    author: c.id(),
                    epoch: number(&mut c.rng),
                    from: number(&mut c.rng),
                    to: number(&mut c.rng),
                };
                Fetch { topic: self.topic(), ranges: self.some(MAX_RANGES, range) }.into()
            }
        }
    }

    /// A message about the network's records.
    fn about_records(&mut self) -> Message {
        let set = SetId(self.rng.below(5) as u8);
        let head = |c: &mut Chaos| u64::from_be_bytes(*c.id().0.first_chunk().unwrap());
        let refresh = Refresh { step: number(&mut self.rng) as u16, value: ChainValue([self.rng.below(4) as u8; 16]) };
        let age = number(&mut self.rng) as u32;
        let session = number(&mut self.rng) as u32 | 1;
        let set_tag = SetTag::RECORDS;
        let n = number(&mut self.rng);
        match self.rng.below(12) {
            0 => {
                let fresh = self.some(MAX_RECORDS, |c| FreshRecord { set, key: head(c), age, refresh });
                let full =
                    self.some(4, |c| FullRecord { set, len: number(&mut c.rng) as u16, age, refresh: Some(refresh) });
                Records { full, fresh }.into()
            }
            1 => RecordsHeld { ids: self.some(MAX_NAMED, |c| number(&mut c.rng) as u32) }.into(),
            2 => {
                let ids = self.some(MAX_NAMED, |c| number(&mut c.rng) as u32);
                let keys = self.some(MAX_NAMED, |c| (set, head(c)));
                RecordsWanted { ids, keys, eager: session > 9 }.into()
            }
            3 => RecordsLazy {}.into(),
            4 => RecordsWave { id: session }.into(),
            5 => Compare { set: set_tag, session, from: 0, span: n, sum: n, count: n, young: None }.into(),
            6 => Differ { session, from: n, sum: n, count: n, streams: n }.into(),
            7 => Same { session }.into(),
            8 => AskSymbols {
                set: set_tag,
                session,
                from: n,
                first: n as u32,
                count: MAX_SYMBOLS as u32,
                as_of: Some(n),
            }
            .into(),
            9 => {
                WantItems { set: set_tag, session, key: n, items: self.some(MAX_ITEMS, |c| number(&mut c.rng)) }.into()
            }
            10 => Offer { set: set_tag, session, count: n }.into(),
            _ => Served { set: set_tag, session, count: n, more: n > 9 }.into(),
        }
    }

    /// A record of one of the peers, signed by itself or not, of times that may or may not be.
    fn record(&mut self) -> (Message, Bytes) {
        use tidings_proto::records::{self, sets, signed};
        let (at, other) = (self.peer(), self.peer());
        let wall = self.d.now.wall.0;
        let issued = [wall, wall - 60_000, number(&mut self.rng), wall + 1_000_000][self.rng.below(4)];
        let said = signed::Statement {
            version: number(&mut self.rng),
            issued: tidings_proto::time::UnixMillis(issued),
            life: Span::from_millis([900_000, number(&mut self.rng) >> 32][self.rng.below(2)]),
            anchor: ChainValue([self.rng.below(4) as u8; 16]),
        };
        let content = vec![7; self.rng.below(500)];
        let mut bytes =
            signed::sign(sets::PRESENCE, &records::key(&network()), self.peers[at].port(), &said, &content).to_vec();
        if self.rng.below(4) == 0 {
            bytes[..32].copy_from_slice(&self.peers[other].id.0);
        }
        let full = FullRecord {
            set: sets::PRESENCE,
            len: bytes.len() as u16,
            age: number(&mut self.rng) as u32,
            refresh: None,
        };
        (Records { full: vec![full], fresh: vec![] }.into(), bytes.into())
    }

    /// An incarnation, often one that could be.
    fn incarnation(&mut self) -> u64 {
        match self.rng.below(4) {
            0 => number(&mut self.rng),
            _ => PEERS_SINCE + (self.rng.below(3) as u64) * (1 << 16) + self.rng.below(3) as u64,
        }
    }

    /// A message of the failure detector.
    fn probe(&mut self, from: NodeId) -> Message {
        let nonce = number(&mut self.rng);
        let seq = nonce as u32;
        let incarnation = self.incarnation();
        match self.rng.below(8) {
            0 => Ping { seq, incarnation, suspected: seq.is_multiple_of(2).then_some(nonce) }.into(),
            1 => Ack { seq, incarnation }.into(),
            2 => PingReq { nonce, target: self.id() }.into(),
            3 => Nack { nonce }.into(),
            4 => RelayedPing { nonce, requester: self.id() }.into(),
            5 => Alive { nonce, who: from, requester: self.id(), incarnation, signature: [7; 64] }.into(),
            6 => Suspect { peer: self.id(), incarnation }.into(),
            _ => Neighbors { incarnation, peers: self.some(MAX_PEERS, Chaos::addr_of_somebody) }.into(),
        }
    }

    /// A frame, good or bad, and its lane.
    fn frame(&mut self, from: NodeId) -> (Lane, Bytes) {
        let (lane, mut bytes) = if self.rng.below(3) == 0 {
            let b = self.rng.pick(&self.batches).unwrap().bytes().clone();
            let m = Gossip { hop: number(&mut self.rng) as u16, pulled: self.rng.below(4) == 0 };
            (Lane::Data, Message::from(m).frame_with(b).to_bytes().to_vec())
        } else if self.rng.below(4) == 0 {
            let (m, payload) = self.record();
            let lane = [Lane::Control, Lane::Bulk][self.rng.below(2)];
            (lane, m.frame_with(payload).to_bytes().to_vec())
        } else {
            (Lane::Control, self.message(from).frame().to_bytes().to_vec())
        };
        match self.rng.below(12) {
            0 => {
                let at = self.rng.below(bytes.len());
                bytes[at] ^= 1 << self.rng.below(8);
            }
            1 => bytes.truncate(self.rng.below(bytes.len())),
            2 => {
                // A known tag, and a body of noise of the length the header says.
                let at = HEADER_LEN + self.rng.below(8);
                for b in bytes.iter_mut().skip(at) {
                    *b = self.rng.next_u64() as u8;
                }
            }
            _ => {}
        }
        let lane = if self.rng.below(40) == 0 { Lane::Bulk } else { lane };
        (lane, bytes.into())
    }

    fn command(&mut self) -> Command {
        let topic = self.topic();
        match self.rng.below(12) {
            0 => Command::Join { peers: self.some(4, Chaos::addr_of_somebody) },
            1 => Command::SetBootstrap { peers: self.some(4, Chaos::addr_of_somebody) },
            2 => Command::SetAddrs { addrs: vec![addr(200); self.rng.below(12)] },
            3 => Command::Unsubscribe { topic },
            4 | 5 => Command::Subscribe { topic },
            _ => {
                let payload = vec![1; self.rng.below(10) * (MAX_MESSAGE / 8)];
                let headers = vec![2; self.rng.below(3) * (MAX_HEADERS / 2 + 1)];
                Command::Publish {
                    topic,
                    message: Outgoing { payload: payload.into(), headers: headers.into(), ..Outgoing::default() },
                }
            }
        }
    }

    fn step(&mut self) {
        let peer = self.peer();
        let id = self.peers[peer].id;
        match self.rng.below(40) {
            0 | 1 => {
                let outbound = self.rng.below(3) == 0;
                let rtt = Some(Span(self.rng.next_u64() >> self.rng.below(64)));
                self.d.input(Input::LinkUp { peer: id, addr: Some(addr(9)), outbound, rtt }).unwrap();
            }
            2 => {
                let reason = [LinkRefusal::Silent, LinkRefusal::Full, LinkRefusal::Goodbye][self.rng.below(3)];
                self.d.input(Input::LinkDown { peer: id, reason }).unwrap();
            }
            3 => self.d.input(Input::DialFailed { peer: id, reason: LinkRefusal::Timeout }).unwrap(),
            4 => {
                let command = self.command();
                self.d.write();
                self.check();
                if let Command::Unsubscribe { topic } = command {
                    // It remembers what it delivered, and not where it was.
                    self.last.retain(|(t, _), _| *t != topic);
                }
                self.d.command(command);
            }
            5 | 6 => {
                let span = [1, 20, 300, 3_000, 20_000][self.rng.below(5)];
                self.d.pass_ms(span);
            }
            7 => self.d.auto_store = self.rng.below(2) == 0,
            8 => self.d.write(),
            9 => {
                self.d.auto_credit = self.rng.below(3) > 0;
                self.d.auto_ack = self.rng.below(3) > 0;
            }
            10 => {
                let lane = Lane::STREAMS[self.rng.below(3)];
                let bytes = self.rng.next_u64() as usize;
                self.d.input(Input::SendCredit { peer: id, lane, bytes }).unwrap();
            }
            11 => {
                let ticket = StoreTicket(number(&mut self.rng));
                let result = if self.rng.below(2) == 0 { Ok(()) } else { Err(StoreError("no".into())) };
                if ticket.0 > 5_000 {
                    self.d.input(Input::Stored { ticket, result }).unwrap();
                }
            }
            12 => {
                let bytes = match self.rng.below(3) {
                    0 => self.frame(id).1,
                    _ => self.probe(id).frame().to_bytes(),
                };
                let _ = self.d.input(Input::Datagram { from: id, bytes });
            }
            _ => {
                let (lane, bytes) = self.frame(id);
                let _ = self.d.input(Input::Frame { from: id, lane, bytes });
            }
        }
    }

    fn check(&mut self) {
        let (me, node) = (self.d.id(), &self.d.node);
        for overlay in [Overlay::Root].into_iter().chain(topics().map(Overlay::Topic)) {
            let Some(v) = node.view(overlay) else { continue };
            assert!(v.active.len() <= 10 && v.passive.len() <= 96, "{overlay:?} holds {v:?}");
            assert!(!v.active.contains(&me) && !v.passive.contains(&me), "it is its own neighbour");
            assert!(v.passive.iter().all(|p| !v.active.contains(p)), "both active and passive");
            let distinct: BTreeSet<_> = v.active.iter().chain(&v.passive).collect();
            assert_eq!(distinct.len(), v.active.len() + v.passive.len());
            for a in &v.active {
                assert!(!node.links().claims(a).is_empty(), "a neighbour's link is not claimed");
            }
        }
        assert!(node.links().len() <= 16 + 8);
        for t in node.topics() {
            assert!(t.cached_bytes <= 64 << 20 && t.authors <= usize::from(PEERS) + 1, "{t:?}");
        }
        for did in std::mem::take(&mut self.d.did) {
            let Did::Event(Event::Delivered(x)) = did else { continue };
            for m in x.messages() {
                let key = (x.topic(), x.author(), x.epoch(), m.seq);
                assert!(self.delivered.insert(key), "delivered twice: {key:?}");
            }
            let place = (x.epoch(), x.batch().header().first_seq);
            if !x.late() {
                let last = self.last.insert((x.topic(), x.author()), place);
                assert!(last < Some(place), "{last:?} before {place:?}");
            }
        }
    }

    /// A new author's batch is delivered, whatever happened before.
    fn works(&mut self) {
        self.d.auto_store = true;
        self.d.auto_credit = true;
        self.d.auto_ack = true;
        self.d.write();
        self.d.command(Command::Subscribe { topic: news() });
        self.d.pass_ms(60_000);
        self.check();
        assert!(self.d.node.topics().iter().all(|t| t.cached_messages <= 16));
        let (friend, author) = (&self.peers[0], Fake::new(250));
        let up = Input::LinkUp { peer: friend.id, addr: None, outbound: true, rtt: None };
        self.d.input(up).unwrap();
        let header = BatchHeader { wall_ms: self.d.now.wall.0, ..author.header(1, &[b"still here"]) };
        self.d.bring(friend, &author.seal(header, &[b"still here"]));
        assert_eq!(self.d.payloads().last().map(|p| &p[..]), Some(&b"still here"[..]));
    }
}

#[test]
fn random_inputs_never_panic_and_leave_a_working_node() {
    let seeds = std::env::var("TIDINGS_FUZZ_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(40u64);
    let mut delivered = 0;
    for seed in 0..seeds {
        let mut c = Chaos::new(seed);
        for i in 0..1_500 {
            c.step();
            if i % 10 == 0 {
                c.check();
            }
        }
        c.works();
        delivered += c.delivered.len();
    }
    assert!(delivered > 40 * seeds as usize, "too little came through to mean anything: {delivered}");
}

#[test]
fn random_frames_from_a_neighbour_never_panic() {
    let mut c = Chaos::new(1_000_000);
    let from = c.peers[0].id;
    for tag in [
        1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 30, 31, 32, 33, 34, 40, 41, 42, 43, 44, 45, 46, 47, 60, 61, 62, 63,
        64, 0, 77,
    ] {
        for _ in 0..500 {
            let noise =
                |c: &mut Chaos, most| (0..c.rng.below(most)).map(|_| c.rng.next_u64() as u8).collect::<Vec<_>>();
            let (body, payload) = (noise(&mut c, 120), noise(&mut c, 200));
            let bytes = Frame::new(tag, &body, payload.into()).to_bytes();
            let lane = match tag {
                30 => Lane::Data,
                62 => Lane::Bulk,
                _ => Lane::Control,
            };
            let _ = c.d.input(Input::Frame { from, lane, bytes });
        }
    }
    c.works();
}
