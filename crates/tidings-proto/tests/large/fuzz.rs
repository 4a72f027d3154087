//! Random words about contents in random order: nothing panics, what is delivered is true, and the node goes on.

use tidings_proto::rng::Rng;

use super::*;

const PEERS: u8 = 5;

struct Chaos {
    rng: Rng,
    d: Driven,
    peers: Vec<Fake>,
    contents: Vec<Content>,
    seq: u64,
    complete: usize,
}

impl Chaos {
    fn new(seed: u64) -> Chaos {
        let rng = Rng::derive(&[2; 32], "chaos", &seed.to_le_bytes());
        let peers: Vec<Fake> = (1..=PEERS).map(Fake::new).collect();
        let sizes = [1, 33_000, 40_000, 100_000, 20 * 32 * 1024, WHOLE + 1];
        let contents = sizes.map(|size| Content::of(vec![seed as u8; size].into()).unwrap()).into();
        Chaos { rng, d: Driven::on_topic(), peers, contents, seq: 0, complete: 0 }
    }

    fn chunks(&mut self, of: usize) -> ChunkSet {
        let n = self.contents[of].chunks().len();
        match self.rng.below(8) {
            0 => ChunkSet::full(n),
            1 => ChunkSet::full(MAX_CHUNKS),
            2 => ChunkSet::default(),
            _ => (0..self.rng.below(6)).map(|_| self.rng.below(n) as u32).collect(),
        }
    }

    fn asks(&mut self) -> Vec<Ask> {
        (0..self.rng.below(4))
            .map(|_| {
                let of = self.rng.below(self.contents.len());
                Ask { content: self.contents[of].manifest().id(), chunks: self.chunks(of) }
            })
            .collect()
    }

    fn step(&mut self) {
        let peer = self.rng.below(self.peers.len());
        let id = self.peers[peer].id;
        let of = self.rng.below(self.contents.len());
        let content = self.contents[of].clone();
        let control = |m: Message| Input::Frame { from: id, lane: Lane::Control, bytes: m.frame().to_bytes() };
        let input = match self.rng.below(24) {
            0 => {
                let rtt = Some(Span(self.rng.next_u64() >> self.rng.below(64)));
                Input::LinkUp { peer: id, addr: Some(addr(peer as u8)), outbound: false, rtt }
            }
            1 => Input::LinkDown { peer: id, reason: LinkRefusal::Silent },
            2 | 3 => {
                let me = self.peers[peer].addr.clone();
                let overlay = Some(news());
                control(Neighbor { overlay, me, urgent: true, room: 1, sketch: Sketch::default() }.into())
            }
            4 | 5 => {
                self.seq += 1;
                let wall_ms = self.d.now.wall.0;
                let payload = content.manifest().encode();
                let author = &self.peers[0];
                let header = BatchHeader { large: Some(vec![0]), wall_ms, ..author.header(self.seq, &[&payload]) };
                let batch = author.seal(header, &[&payload]);
                Input::Frame { from: id, lane: Lane::Data, bytes: gossip(&batch).to_bytes() }
            }
            6..12 => {
                let index = self.rng.below(content.chunks().len()) as u32;
                let bytes = match self.rng.below(12) {
                    0 => Bytes::from_static(b"wrong"),
                    _ => content.chunks()[index as usize].clone(),
                };
                let index = if self.rng.below(30) == 0 { u32::MAX } else { index };
                Input::Frame { from: id, lane: Lane::Bulk, bytes: chunk_frame(&content, index, bytes) }
            }
            12..14 => control(Have { content: content.manifest().id(), chunks: self.chunks(of) }.into()),
            14 => control(Lack { asks: self.asks() }.into()),
            15..18 => control(Want { asks: self.asks() }.into()),
            18 => control(Unwant { asks: self.asks() }.into()),
            19 => {
                self.d.auto_credit = self.rng.below(2) == 0;
                Input::SendCredit { peer: id, lane: Lane::Bulk, bytes: self.rng.next_u64() as usize }
            }
            20 => {
                self.d.command(publish(&content));
                return;
            }
            21 if self.rng.below(4) == 0 => {
                self.d.command(Command::Unsubscribe { topic: news() });
                self.d.command(Command::Subscribe { topic: news() });
                return;
            }
            _ => {
                let ms = [1, 30, 300, 3_000, 40_000, 400_000][self.rng.below(6)];
                self.d.pass_ms(ms);
                return;
            }
        };
        let _ = self.d.input(input);
    }

    fn check(&mut self) {
        let truth = |id: ContentId| self.contents.iter().find(|c| c.manifest().id() == id).unwrap();
        for did in std::mem::take(&mut self.d.did) {
            match did {
                Did::Event(Event::ContentComplete { content, whole }) => {
                    self.complete += 1;
                    let all = truth(content).chunks().concat();
                    assert!(whole.map_or(all.len() > WHOLE, |whole| whole == all));
                }
                Did::Event(Event::Chunk { content, index, bytes }) => {
                    assert!(truth(content).manifest().is_chunk(index, &bytes));
                }
                _ => {}
            }
        }
    }
}

#[test]
fn random_words_never_panic_and_leave_a_node_that_gets_contents() {
    let mut complete = 0;
    for seed in 0..30 {
        let mut c = Chaos::new(seed);
        for _ in 0..1_500 {
            c.step();
            c.check();
        }
        complete += c.complete;
        c.d.auto_credit = true;
        c.d.pass(Span::from_secs(600));
        let (last, friend) = (content(70_000), Fake::new(99));
        c.d.command(Command::Subscribe { topic: news() });
        c.d.neighbor(&friend);
        let payload = last.manifest().encode();
        let header = BatchHeader { large: Some(vec![0]), wall_ms: c.d.now.wall.0, ..friend.header(1, &[&payload]) };
        c.d.bring(&friend, &friend.seal(header, &[&payload]));
        for index in 0..3 {
            bring_chunk(&mut c.d, &friend, &last, index);
        }
        assert!(whole(&c.d, last.manifest().id()).is_some(), "seed {seed}");
    }
    assert!(complete > 30, "too little came through to mean anything: {complete}");
}
