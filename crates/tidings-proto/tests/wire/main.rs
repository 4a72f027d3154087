//! The bytes on the wire: what they are, what is read from older and newer peers, and what is refused.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use minicbor::{Decoder, Encoder};
use proptest::collection::vec;
use proptest::prelude::*;
use tidings_proto::anti_entropy::{MAX_BUNDLE, MAX_ITEMS, MAX_SYMBOLS, MAX_WANTED, StreamTag, Streams};
use tidings_proto::identity::{Addr, ContentId, MAX_ADDRS, NodeId, PeerAddr, TopicId, hex};
use tidings_proto::records::MAX_TOLD;
use tidings_proto::wire::*;

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn topic(n: u8) -> TopicId {
    TopicId([n; 32])
}

fn addr(text: &str) -> Addr {
    Addr::from(text.parse::<SocketAddr>().unwrap())
}

fn peer(n: u8) -> PeerAddr {
    PeerAddr { id: node(n), addrs: vec![addr("192.0.2.1:4433"), addr("[2001:db8::1]:4434")] }
}

fn sketch() -> Sketch {
    Sketch { period: 3, hashes: vec![1, 0x0102_0304_0506_0708] }
}

/// An incarnation: a start in ms, and 16 bits of refutations.
const LIFE: u64 = 1_700_000_000_000 << 16;

const WALL: u64 = 1_700_000_000_000;
const SET: SetTag = SetTag(0xaaaa_aaaa_aaaa_aaaa);

fn stream(n: u8) -> StreamTag {
    StreamTag::new(&node(n), WALL)
}

fn streams() -> Streams {
    let mut s = Streams::default();
    s.add(stream(1), 1, 5);
    s.add(stream(1), 7, 300);
    s.add(stream(2), 1, 1);
    s
}

fn announced(n: u8) -> Announced {
    Announced { id: ShortId([n; 16]), hop: 3, held: 1000 }
}

fn range(n: u8) -> Range {
    Range { author: node(n), epoch: 1_700_000_000_000, from: 4, to: 9 }
}

fn chunks(numbers: &[u32]) -> ChunkSet {
    numbers.iter().copied().collect()
}

fn ask(n: u8, numbers: &[u32]) -> Ask {
    Ask { content: ContentId([n; 32]), chunks: chunks(numbers) }
}

fn refresh() -> Refresh {
    Refresh { step: 3, value: ChainValue([0xf1; 16]) }
}

fn whole(len: u16) -> FullRecord {
    FullRecord { set: SetId(1), len, age: 12, refresh: Some(refresh()) }
}

fn fresh() -> FreshRecord {
    FreshRecord { set: SetId(1), key: 0x0102_0304_0506_0708, age: 12, refresh: refresh() }
}

/// One of each, with every field set.
fn examples() -> Vec<Message> {
    let mut all = [other_examples(), discovery::examples(), direct::examples()].concat();
    all.sort_by_key(Message::tag);
    all
}

/// Those that are not discovery's.
fn other_examples() -> Vec<Message> {
    vec![
        Release {}.into(),
        Join { overlay: Some(topic(0xaa)), me: peer(0x11), sketch: sketch() }.into(),
        ForwardJoin { overlay: None, newcomer: peer(0x22), ttl: 6 }.into(),
        Neighbor { overlay: Some(topic(0xaa)), me: peer(0x11), urgent: true, room: 4, sketch: sketch() }.into(),
        NeighborReply {
            overlay: Some(topic(0xaa)),
            accept: false,
            others: vec![peer(0x33)],
            sketch: sketch(),
            me: Some(peer(0x11)),
        }
        .into(),
        Disconnect { overlay: Some(topic(0xaa)), reason: 1, instead: Some(peer(0x44)) }.into(),
        Shuffle { overlay: None, ttl: 4, path: vec![node(1), node(2)], peers: vec![peer(0x55)], sketch: sketch() }
            .into(),
        ShuffleReply { overlay: None, path: vec![node(1)], peers: vec![peer(0x66)], sketch: sketch() }.into(),
        Topics { fresh: true, add: vec![topic(1)], remove: vec![topic(2)] }.into(),
        TopicWalk { topic: topic(0xaa), seeker: peer(0x77), ttl: 8 }.into(),
        TopicPeers { topic: topic(0xaa), peers: vec![peer(0x88)] }.into(),
        Exchange { overlay: Some(topic(0xaa)), me: peer(0x11), old: peer(0x44), near: true }.into(),
        Gossip { hop: 2, pulled: true }.into(),
        IHave { topic: topic(0xaa), batches: vec![announced(0x0b)] }.into(),
        Graft { topic: topic(0xaa), ids: vec![ShortId([0x0c; 16])], eager: true }.into(),
        Prune { topic: topic(0xaa) }.into(),
        Fetch { topic: topic(0xaa), ranges: vec![range(0x99)] }.into(),
        Bundle { batches: vec![Bundled { len: 400, hop: 3, held: 70_000 }] }.into(),
        Ping { seq: 70_000, incarnation: LIFE, suspected: Some(LIFE + 1) }.into(),
        Ack { seq: 70_000, incarnation: LIFE }.into(),
        PingReq { nonce: 0x0102_0304_0506_0708, target: node(0xbb) }.into(),
        Nack { nonce: 0x0102_0304_0506_0708 }.into(),
        RelayedPing { nonce: 0x0102_0304_0506_0708, requester: node(0xcc) }.into(),
        Alive {
            nonce: 0x0102_0304_0506_0708,
            who: node(0xbb),
            requester: node(0xcc),
            incarnation: LIFE,
            signature: [0x5a; 64],
        }
        .into(),
        Suspect { peer: node(0xbb), incarnation: LIFE }.into(),
        Neighbors { incarnation: LIFE, peers: vec![peer(0xdd)] }.into(),
        Compare {
            set: SET,
            session: 7,
            from: WALL,
            span: 299_000,
            sum: 0x0102_0304_0506_0708,
            count: 2_400,
            young: Some(vec![Change { sum: 3, count: -1 }]),
        }
        .into(),
        Same { session: 7 }.into(),
        Differ { session: 7, from: WALL + 5, sum: 0x0102_0304_0506_0708, count: 2_400, streams: 12 }.into(),
        Ranges { set: SET, session: 7, from: WALL, span: 299_000, streams: streams() }.into(),
        Pull { set: SET, session: 7, ranges: vec![Wanted { stream: stream(3), from: 4, to: 9 }] }.into(),
        AskSymbols { set: SET, session: 7, from: WALL, first: 48, count: 96, as_of: Some(2) }.into(),
        Symbols { set: SET, session: 7, key: 0x0102_0304_0506_0708, items: 2_400, as_of: 2, first: 48 }.into(),
        WantItems { set: SET, session: 7, key: 0x0102_0304_0506_0708, items: vec![1, u64::MAX] }.into(),
        Offer { set: SET, session: 7, count: 3 }.into(),
        Served { set: SET, session: 7, count: 3, more: true }.into(),
        Want { asks: vec![ask(0xe1, &[0, 9]), ask(0xe2, &[1])] }.into(),
        Have { content: ContentId([0xe1; 32]), chunks: chunks(&[0, 1, 2, 10]) }.into(),
        Chunk { content: ContentId([0xe1; 32]), index: 300 }.into(),
        Lack { asks: vec![ask(0xe1, &[7])] }.into(),
        Unwant { asks: vec![ask(0xe1, &[])] }.into(),
        Records { full: vec![whole(300)], fresh: vec![fresh()] }.into(),
        RecordsHeld { ids: vec![7, 0x0102_0304] }.into(),
        RecordsWanted { ids: vec![0x0102_0304], keys: vec![(SetId(1), 0x0102_0304_0506_0708)], eager: true }.into(),
        RecordsLazy {}.into(),
        RecordsWave { id: 0x0102_0304 }.into(),
        Certified { certificate: CertificateRef([0xf1; 16]) }.into(),
        AskCertificates { certificates: vec![CertificateRef([0xf1; 16]), CertificateRef([0xf2; 16])] }.into(),
        Certificate {}.into(),
        VouchFor { messages: 12, bytes: 3_400, at_ms: 1_700_000_000_000 }.into(),
        AskCapabilities { topic: TopicId([0xd1; 32]), capabilities: vec![CapabilityRef([0xf1; 16])] }.into(),
        Capability {}.into(),
        NoCertificates { certificates: vec![CertificateRef([0xf1; 16])] }.into(),
    ]
}

/// Those whose body is a map: the others are arrays, for brevity.
fn maps() -> Vec<Message> {
    examples().into_iter().filter(|m| body_of(m)[0] >> 5 == 5).collect()
}

fn body_of(message: &Message) -> Vec<u8> {
    message.frame().head[HEADER_LEN..].to_vec()
}

/// A frame around a body that no message of ours encodes to.
fn frame(tag: u8, body: &[u8]) -> Bytes {
    Frame::new(tag, body, Bytes::new()).to_bytes()
}

fn parse(tag: u8, body: &[u8]) -> Result<Option<Message>, WireError> {
    Message::parse(frame(tag, body)).map(|m| m.map(|(m, _)| m))
}

/// The keys of a map and their values, as encoded.
fn fields(body: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut d = Decoder::new(body);
    let n = d.map().unwrap().unwrap();
    (0..n)
        .map(|_| {
            let key = d.u64().unwrap();
            let from = d.position();
            d.skip().unwrap();
            (key, body[from..d.position()].to_vec())
        })
        .collect()
}

fn map_of(fields: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(&mut out).map(fields.len() as u64).unwrap();
    for (key, value) in fields {
        Encoder::new(&mut out).u64(*key).unwrap();
        out.extend_from_slice(value);
    }
    out
}

mod bytes_are_pinned;

mod direct;
mod discovery;

mod strategies;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_message_survives_the_wire(m in strategies::message(), payload in vec(any::<u8>(), 0..200)) {
        let payload = Bytes::from(payload);
        let frame = m.frame_with(payload.clone());
        prop_assert!(frame.head.len() <= HEADER_LEN + MAX_BODY);
        prop_assert_eq!(Message::parse(frame.to_bytes()), Ok(Some((m, payload))));
    }

    #[test]
    fn a_stream_is_cut_into_the_same_frames_however_it_arrives(
        messages in vec((strategies::message(), vec(any::<u8>(), 0..300)), 1..6),
        chunks in vec(1usize..700, 1..40),
    ) {
        let frames: Vec<Bytes> =
            messages.into_iter().map(|(m, p)| m.frame_with(Bytes::from(p)).to_bytes()).collect();
        let stream = frames.concat();
        let (mut at, mut buf, mut cut) = (0, BytesMut::new(), Vec::new());
        for size in chunks.iter().cycle() {
            if at == stream.len() {
                break;
            }
            let to = (at + size).min(stream.len());
            buf.extend_from_slice(&stream[at..to]);
            at = to;
            while let Some(f) = split_frame(&mut buf).unwrap() {
                cut.push(f);
            }
        }
        prop_assert_eq!(cut, frames);
        prop_assert!(buf.is_empty());
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = Message::parse(Bytes::from(bytes.clone()));
        let _ = Header::peek(&bytes);
        let _ = split_frame(&mut BytesMut::from(&bytes[..]));
    }

    #[test]
    fn random_bodies_of_known_tags_never_panic(which in 0usize..46, body in vec(any::<u8>(), 0..200)) {
        let tag = examples()[which].tag();
        if let Ok(Some(m)) = parse(tag, &body) {
            prop_assert_eq!(m.tag(), tag);
        }
    }
}

#[test]
fn a_frame_cut_short_is_truncated_at_every_length() {
    for m in examples() {
        let whole = m.frame_with(Bytes::from_static(b"behind")).to_bytes();
        for len in 0..whole.len() {
            assert_eq!(Message::parse(whole.slice(..len)), Err(WireError::Truncated), "{} at {len}", m.name());
        }
    }
}

#[test]
fn a_body_cut_short_is_malformed_at_every_length() {
    for m in examples() {
        let body = body_of(&m);
        for len in 0..body.len() {
            assert_eq!(parse(m.tag(), &body[..len]), Err(WireError::Body(m.tag())), "{} at {len}", m.name());
        }
    }
}

#[test]
fn no_flipped_bit_makes_a_frame_panic_or_decode_into_what_cannot_be_sent_on() {
    for m in examples() {
        let whole = m.frame_with(Bytes::from_static(b"behind")).to_bytes();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(Some((read, payload))) = Message::parse(flipped.into()) {
                let again = Message::parse(read.frame_with(payload.clone()).to_bytes());
                assert_eq!(again, Ok(Some((read, payload))), "{} with bit {bit} flipped", m.name());
            }
        }
    }
}

mod newer_peers;

mod older_peers;

mod limits;

mod headers;
