//! The bytes on the wire: what they are, what is read from older and newer peers, and what is refused.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use minicbor::{Decoder, Encoder};
use proptest::collection::vec;
use proptest::prelude::*;
use tidings_proto::identity::{Addr, MAX_ADDRS, NodeId, PeerAddr, TopicId, hex};
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

fn announced(n: u8) -> Announced {
    Announced { id: ShortId([n; 16]), hop: 3, held: 1000 }
}

fn range(n: u8) -> Range {
    Range { author: node(n), epoch: 1_700_000_000_000, from: 4, to: 9 }
}

/// One of each, in the order of their tags, with every field set.
fn examples() -> Vec<Message> {
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
        Gossip { hop: 2, pulled: true }.into(),
        IHave { topic: topic(0xaa), batches: vec![announced(0x0b)] }.into(),
        Graft { topic: topic(0xaa), ids: vec![ShortId([0x0c; 16])], eager: true }.into(),
        Prune { topic: topic(0xaa) }.into(),
        Fetch { topic: topic(0xaa), ranges: vec![range(0x99)] }.into(),
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
    ]
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

mod bytes_are_pinned {
    use super::*;

    /// The header on a line of its own, then 32 bytes a line.
    fn lines(frame: &[u8]) -> String {
        let (head, rest) = frame.split_at(HEADER_LEN);
        std::iter::once(head).chain(rest.chunks(32)).map(hex).collect::<Vec<_>>().join("\n")
    }

    fn wire(name: &str) -> String {
        let m = examples().into_iter().find(|m| m.name() == name).unwrap();
        lines(&m.frame().to_bytes())
    }

    #[test]
    fn of_release() {
        insta::assert_snapshot!(wire("Release"), @r"
        0101010000000000
        a0
        ");
    }

    #[test]
    fn of_join() {
        insta::assert_snapshot!(wire("Join"), @r"
        010a770000000000
        a3005820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        aaaaaaaa01825820111111111111111111111111111111111111111111111111
        111111111111111182820146c0000201115182025220010db800000000000000
        0000000001115202a200030182011b0102030405060708
        ");
    }

    #[test]
    fn of_forward_join() {
        insta::assert_snapshot!(wire("ForwardJoin"), @r"
        010b460000000000
        a201825820222222222222222222222222222222222222222222222222222222
        222222222282820146c0000201115182025220010db800000000000000000000
        000111520206
        ");
    }

    #[test]
    fn of_neighbor() {
        insta::assert_snapshot!(wire("Neighbor"), @r"
        010c7b0000000000
        a5005820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        aaaaaaaa01825820111111111111111111111111111111111111111111111111
        111111111111111182820146c0000201115182025220010db800000000000000
        0000000001115202f5030404a200030182011b0102030405060708
        ");
    }

    #[test]
    fn of_neighbor_reply() {
        insta::assert_snapshot!(wire("NeighborReply"), @r"
        010dbd0000000000
        a5005820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        aaaaaaaa01f40281825820333333333333333333333333333333333333333333
        333333333333333333333382820146c0000201115182025220010db800000000
        0000000000000001115203a200030182011b0102030405060708048258201111
        1111111111111111111111111111111111111111111111111111111111118282
        0146c0000201115182025220010db80000000000000000000000011152
        ");
    }

    #[test]
    fn of_disconnect() {
        insta::assert_snapshot!(wire("Disconnect"), @r"
        010e690000000000
        a3005820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        aaaaaaaa01010282582044444444444444444444444444444444444444444444
        4444444444444444444482820146c0000201115182025220010db80000000000
        000000000000011152
        ");
    }

    #[test]
    fn of_shuffle() {
        insta::assert_snapshot!(wire("Shuffle"), @r"
        010f9d0000000000
        a401040282582001010101010101010101010101010101010101010101010101
        0101010101010158200202020202020202020202020202020202020202020202
        0202020202020202020381825820555555555555555555555555555555555555
        555555555555555555555555555582820146c0000201115182025220010db800
        0000000000000000000001115204a200030182011b0102030405060708
        ");
    }

    #[test]
    fn of_shuffle_reply() {
        insta::assert_snapshot!(wire("ShuffleReply"), @r"
        0110790000000000
        a301815820010101010101010101010101010101010101010101010101010101
        0101010101028182582066666666666666666666666666666666666666666666
        6666666666666666666682820146c0000201115182025220010db80000000000
        00000000000001115203a200030182011b0102030405060708
        ");
    }

    #[test]
    fn of_topics() {
        insta::assert_snapshot!(wire("Topics"), @r"
        01114b0000000000
        a300f50181582001010101010101010101010101010101010101010101010101
        0101010101010102815820020202020202020202020202020202020202020202
        0202020202020202020202
        ");
    }

    #[test]
    fn of_topic_walk() {
        insta::assert_snapshot!(wire("TopicWalk"), @r"
        0112690000000000
        a3005820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        aaaaaaaa01825820777777777777777777777777777777777777777777777777
        777777777777777782820146c0000201115182025220010db800000000000000
        000000000111520208
        ");
    }

    #[test]
    fn of_topic_peers() {
        insta::assert_snapshot!(wire("TopicPeers"), @r"
        0113680000000000
        a2005820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        aaaaaaaa01818258208888888888888888888888888888888888888888888888
        88888888888888888882820146c0000201115182025220010db8000000000000
        0000000000011152
        ");
    }

    #[test]
    fn of_gossip() {
        insta::assert_snapshot!(wire("Gossip"), @r"
        011e050000000000
        a2000201f5
        ");
    }

    #[test]
    fn of_ihave() {
        insta::assert_snapshot!(wire("IHave"), @r"
        011f3c0000000000
        a2005820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        aaaaaaaa018183500b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b031903e8
        ");
    }

    #[test]
    fn of_graft() {
        insta::assert_snapshot!(wire("Graft"), @r"
        0120390000000000
        a3005820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        aaaaaaaa0181500c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c02f5
        ");
    }

    #[test]
    fn of_prune() {
        insta::assert_snapshot!(wire("Prune"), @r"
        0121240000000000
        a1005820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        aaaaaaaa
        ");
    }

    #[test]
    fn of_fetch() {
        insta::assert_snapshot!(wire("Fetch"), @r"
        0122540000000000
        a2005820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        aaaaaaaa01818458209999999999999999999999999999999999999999999999
        9999999999999999991b0000018bcfe568000409
        ");
    }

    #[test]
    fn of_ping() {
        insta::assert_snapshot!(wire("Ping"), @r"
        01281b0000000000
        a3001a00011170011b018bcfe568000000021b018bcfe568000001
        ");
    }

    #[test]
    fn of_ack() {
        insta::assert_snapshot!(wire("Ack"), @r"
        0129110000000000
        a2001a00011170011b018bcfe568000000
        ");
    }

    #[test]
    fn of_ping_req() {
        insta::assert_snapshot!(wire("PingReq"), @r"
        012a2e0000000000
        a2001b0102030405060708015820bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
        bbbbbbbbbbbbbbbbbbbbbbbbbbbb
        ");
    }

    #[test]
    fn of_nack() {
        insta::assert_snapshot!(wire("Nack"), @r"
        012b0b0000000000
        a1001b0102030405060708
        ");
    }

    #[test]
    fn of_relayed_ping() {
        insta::assert_snapshot!(wire("RelayedPing"), @r"
        012c2e0000000000
        a2001b0102030405060708015820cccccccccccccccccccccccccccccccccccc
        cccccccccccccccccccccccccccc
        ");
    }

    #[test]
    fn of_alive() {
        insta::assert_snapshot!(wire("Alive"), @r"
        012d9e0000000000
        a5001b0102030405060708015820bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
        bbbbbbbbbbbbbbbbbbbbbbbbbbbb025820cccccccccccccccccccccccccccccc
        cccccccccccccccccccccccccccccccccc031b018bcfe5680000000458405a5a
        5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
        5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
        ");
    }

    #[test]
    fn of_suspect() {
        insta::assert_snapshot!(wire("Suspect"), @r"
        012e2e0000000000
        a2005820bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
        bbbbbbbb011b018bcfe568000000
        ");
    }

    #[test]
    fn of_neighbors() {
        insta::assert_snapshot!(wire("Neighbors"), @r"
        012f4f0000000000
        a2001b018bcfe5680000000181825820dddddddddddddddddddddddddddddddd
        dddddddddddddddddddddddddddddddd82820146c0000201115182025220010d
        b80000000000000000000000011152
        ");
    }

    #[test]
    fn of_the_root_overlay_and_of_empty_lists() {
        let m = Neighbor {
            overlay: None,
            me: PeerAddr { id: node(1), addrs: vec![] },
            urgent: false,
            room: 0,
            sketch: Sketch::default(),
        };
        insta::assert_snapshot!(lines(&Message::from(m).frame().to_bytes()), @r"
        010c300000000000
        a401825820010101010101010101010101010101010101010101010101010101
        01010101018002f4030004a200000180
        ");
    }

    #[test]
    fn of_a_payload_behind_a_body() {
        let f = Message::from(Gossip { hop: 1, pulled: false }).frame_with(Bytes::from_static(b"payload"));
        insta::assert_snapshot!(lines(&f.to_bytes()), @r"
        011e050007000000
        a2000101f47061796c6f6164
        ");
        assert_eq!(f.len(), f.to_bytes().len());
    }

    #[test]
    fn every_tag_has_an_example() {
        let known: Vec<u8> = (0..=255).filter(|t| !matches!(parse(*t, &[0xa0]), Ok(None))).collect();
        let shown: Vec<u8> = examples().iter().map(Message::tag).collect();
        assert_eq!(known, shown);
    }
}

mod strategies {
    use super::*;

    pub(super) fn node_id() -> impl Strategy<Value = NodeId> {
        any::<[u8; 32]>().prop_map(NodeId)
    }

    pub(super) fn topic_id() -> impl Strategy<Value = TopicId> {
        any::<[u8; 32]>().prop_map(TopicId)
    }

    fn address() -> impl Strategy<Value = Addr> {
        prop_oneof![
            (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| Addr::Socket((ip, port).into())),
            (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| Addr::Socket((ip, port).into())),
        ]
    }

    pub(super) fn peer_addr() -> impl Strategy<Value = PeerAddr> {
        (node_id(), vec(address(), 0..=MAX_ADDRS)).prop_map(|(id, addrs)| PeerAddr { id, addrs })
    }

    fn sketch() -> impl Strategy<Value = Sketch> {
        (any::<u64>(), vec(any::<u64>(), 0..=MAX_SKETCH)).prop_map(|(period, mut hashes)| {
            hashes.sort_unstable();
            Sketch { period, hashes }
        })
    }

    fn overlay() -> impl Strategy<Value = WireOverlay> {
        proptest::option::of(topic_id())
    }

    fn short_id() -> impl Strategy<Value = ShortId> {
        any::<[u8; 16]>().prop_map(ShortId)
    }

    /// Any message within the limits.
    /// The failure detector's.
    fn detection() -> impl Strategy<Value = Message> {
        let n = any::<u64>;
        prop_oneof![
            (any::<u32>(), n(), any::<Option<u64>>()).prop_map(|(seq, incarnation, suspected)| Ping {
                seq,
                incarnation,
                suspected
            }
            .into()),
            (any::<u32>(), n()).prop_map(|(seq, incarnation)| Ack { seq, incarnation }.into()),
            (n(), node_id()).prop_map(|(nonce, target)| PingReq { nonce, target }.into()),
            n().prop_map(|nonce| Nack { nonce }.into()),
            (n(), node_id()).prop_map(|(nonce, requester)| RelayedPing { nonce, requester }.into()),
            (n(), node_id(), node_id(), n(), any::<u8>()).prop_map(|(nonce, who, requester, incarnation, b)| {
                Alive { nonce, who, requester, incarnation, signature: [b; 64] }.into()
            }),
            (node_id(), n()).prop_map(|(peer, incarnation)| Suspect { peer, incarnation }.into()),
            (n(), vec(peer_addr(), 0..=MAX_PEERS))
                .prop_map(|(incarnation, peers)| Neighbors { incarnation, peers }.into()),
        ]
    }

    pub(super) fn message() -> impl Strategy<Value = Message> {
        let peers = || vec(peer_addr(), 0..=MAX_PEERS);
        let path = || vec(node_id(), 0..=MAX_PATH);
        let announced =
            (short_id(), any::<u16>(), any::<u32>()).prop_map(|(id, hop, held)| Announced { id, hop, held });
        let range = (node_id(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(author, epoch, from, to)| Range {
            author,
            epoch,
            from,
            to,
        });
        prop_oneof![
            Just(Message::from(Release {})),
            (overlay(), peer_addr(), sketch()).prop_map(|(overlay, me, sketch)| Join { overlay, me, sketch }.into()),
            (overlay(), peer_addr(), any::<u8>()).prop_map(|(overlay, newcomer, ttl)| ForwardJoin {
                overlay,
                newcomer,
                ttl
            }
            .into()),
            (overlay(), peer_addr(), any::<bool>(), any::<u8>(), sketch())
                .prop_map(|(overlay, me, urgent, room, sketch)| Neighbor { overlay, me, urgent, room, sketch }.into()),
            (overlay(), any::<bool>(), peers(), sketch(), proptest::option::of(peer_addr())).prop_map(
                |(overlay, accept, others, sketch, me)| NeighborReply { overlay, accept, others, sketch, me }.into()
            ),
            (overlay(), any::<u8>(), proptest::option::of(peer_addr()))
                .prop_map(|(overlay, reason, instead)| Disconnect { overlay, reason, instead }.into()),
            (overlay(), any::<u8>(), path(), peers(), sketch())
                .prop_map(|(overlay, ttl, path, peers, sketch)| Shuffle { overlay, ttl, path, peers, sketch }.into()),
            (overlay(), path(), peers(), sketch()).prop_map(|(overlay, path, peers, sketch)| ShuffleReply {
                overlay,
                path,
                peers,
                sketch
            }
            .into()),
            (any::<bool>(), vec(topic_id(), 0..=MAX_TOPICS), vec(topic_id(), 0..=MAX_TOPICS))
                .prop_map(|(fresh, add, remove)| Topics { fresh, add, remove }.into()),
            (topic_id(), peer_addr(), any::<u8>())
                .prop_map(|(topic, seeker, ttl)| TopicWalk { topic, seeker, ttl }.into()),
            (topic_id(), peers()).prop_map(|(topic, peers)| TopicPeers { topic, peers }.into()),
            (any::<u16>(), any::<bool>()).prop_map(|(hop, pulled)| Gossip { hop, pulled }.into()),
            (topic_id(), vec(announced, 0..=MAX_IHAVES)).prop_map(|(topic, batches)| IHave { topic, batches }.into()),
            (topic_id(), vec(short_id(), 0..=MAX_IHAVES), any::<bool>()).prop_map(|(topic, ids, eager)| Graft {
                topic,
                ids,
                eager
            }
            .into()),
            topic_id().prop_map(|topic| Prune { topic }.into()),
            (topic_id(), vec(range, 0..=MAX_RANGES)).prop_map(|(topic, ranges)| Fetch { topic, ranges }.into()),
            detection(),
        ]
    }
}

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
    fn random_bodies_of_known_tags_never_panic(which in 0usize..24, body in vec(any::<u8>(), 0..200)) {
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

mod newer_peers {
    use super::*;

    /// A value no field of ours has: an array of a text, a map and bytes.
    const STRANGE: &[u8] = &[0x83, 0x61, b'x', 0xa1, 0x02, 0x03, 0x42, 0x00, 0xff];

    #[test]
    fn a_field_this_version_does_not_know_is_skipped() {
        for m in examples() {
            for key in [9, 200, u64::from(u32::MAX)] {
                let mut with = fields(&body_of(&m));
                with.push((key, STRANGE.to_vec()));
                assert_eq!(parse(m.tag(), &map_of(&with)), Ok(Some(m.clone())), "{} with key {key}", m.name());
            }
        }
    }

    #[test]
    fn what_is_behind_the_map_is_malformed() {
        for m in examples() {
            let mut body = body_of(&m);
            body.push(0xf6);
            assert_eq!(parse(m.tag(), &body), Err(WireError::Body(m.tag())), "{}", m.name());
        }
    }

    #[test]
    fn an_unknown_tag_is_skipped_whatever_is_behind_it() {
        for tag in [0, 2, 20, 35, 255] {
            let f = Frame::new(tag, STRANGE, Bytes::from_static(b"raw")).to_bytes();
            assert_eq!(Message::parse(f), Ok(None));
        }
    }

    #[test]
    fn an_element_more_in_an_announcement_or_a_range_is_skipped() {
        let ihave: Message = IHave { topic: topic(1), batches: vec![announced(2)] }.into();
        let mut body = body_of(&ihave);
        let at = body.iter().position(|b| *b == 0x83).expect("an announcement is an array of three");
        body[at] = 0x84;
        body.push(0x07);
        assert_eq!(parse(31, &body), Ok(Some(ihave)));

        let fetch: Message = Fetch { topic: topic(1), ranges: vec![range(2)] }.into();
        let mut body = body_of(&fetch);
        let at = body.iter().position(|b| *b == 0x84).expect("a range is an array of four");
        body[at] = 0x85;
        body.push(0x07);
        assert_eq!(parse(34, &body), Ok(Some(fetch)));
    }

    #[test]
    fn a_key_more_in_a_sketch_is_skipped() {
        let m: Message = Join { overlay: None, me: peer(1), sketch: sketch() }.into();
        let mut all = fields(&body_of(&m));
        let inner = all.iter_mut().find(|f| f.0 == 2).unwrap();
        let mut sketch = fields(&inner.1);
        sketch.push((5, STRANGE.to_vec()));
        inner.1 = map_of(&sketch);
        assert_eq!(parse(10, &map_of(&all)), Ok(Some(m)));
    }

    fn prune_walk(addrs: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Result<Option<Message>, WireError> {
        let mut body = Vec::new();
        let mut e = Encoder::new(&mut body);
        e.map(3).unwrap().u8(0).unwrap().bytes(&[1; 32]).unwrap().u8(1).unwrap();
        e.array(2).unwrap().bytes(&[2; 32]).unwrap();
        addrs(&mut e);
        e.u8(2).unwrap().u8(3).unwrap();
        parse(18, &body)
    }

    fn seeker(m: Result<Option<Message>, WireError>) -> PeerAddr {
        match m {
            Ok(Some(Message::TopicWalk(w))) => w.seeker,
            other => panic!("no walk but {other:?}"),
        }
    }

    #[test]
    fn an_address_of_an_unknown_kind_is_skipped() {
        let got = seeker(prune_walk(|e| {
            e.array(3).unwrap();
            e.array(2).unwrap().u8(7).unwrap().str("relay.example").unwrap();
            e.array(2).unwrap().u8(1).unwrap().bytes(&[127, 0, 0, 1, 0x11, 0x51]).unwrap();
            e.array(3).unwrap().u16(900).unwrap().map(0).unwrap().u8(1).unwrap();
        }));
        assert_eq!(got.addrs, [addr("127.0.0.1:4433")]);
    }

    #[test]
    fn a_value_more_in_a_known_address_is_skipped() {
        let got = seeker(prune_walk(|e| {
            e.array(1).unwrap();
            e.array(3).unwrap().u8(1).unwrap().bytes(&[127, 0, 0, 1, 0x11, 0x51]).unwrap().u8(9).unwrap();
        }));
        assert_eq!(got.addrs, [addr("127.0.0.1:4433")]);
    }

    #[test]
    fn addresses_past_the_limit_are_dropped() {
        let got = seeker(prune_walk(|e| {
            e.array(20).unwrap();
            for i in 0..20 {
                e.array(2).unwrap().u8(1).unwrap().bytes(&[127, 0, 0, i, 0x11, 0x51]).unwrap();
            }
        }));
        assert_eq!(got.addrs.len(), MAX_ADDRS);
        assert_eq!(got.addrs[0], addr("127.0.0.0:4433"));
    }

    #[test]
    fn a_known_kind_of_the_wrong_length_is_malformed() {
        for (kind, len) in [(1, 5), (1, 7), (2, 6), (2, 19), (1, 0), (2, 1)] {
            let got = prune_walk(|e| {
                e.array(1).unwrap().array(2).unwrap().u8(kind).unwrap().bytes(&vec![1; len]).unwrap();
            });
            assert_eq!(got, Err(WireError::Body(18)), "kind {kind} with {len} bytes");
        }
    }
}

mod older_peers {
    use super::*;

    fn without(m: &Message, key: u64) -> Result<Option<Message>, WireError> {
        let mut fields = fields(&body_of(m));
        let before = fields.len();
        fields.retain(|f| f.0 != key);
        assert_eq!(fields.len(), before - 1, "{} has no key {key}", m.name());
        parse(m.tag(), &map_of(&fields))
    }

    /// Which keys of a tag may be missing, and what they then are.
    fn defaults(m: &Message) -> Vec<(u64, Message)> {
        let m = m.clone();
        let mut out: Vec<(u64, Message)> = Vec::new();
        macro_rules! missing {
            ($m:ident, $($key:literal $field:ident),*) => {
                {$(
                    let mut d = $m.clone();
                    d.$field = Default::default();
                    out.push(($key, d.into()));
                )*}
            };
        }
        match m {
            Message::Release(_)
            | Message::TopicWalk(_)
            | Message::TopicPeers(_)
            | Message::IHave(_)
            | Message::Prune(_)
            | Message::Fetch(_) => {}
            Message::Join(m) => missing!(m, 0 overlay, 2 sketch),
            Message::ForwardJoin(_) => {}
            Message::Neighbor(m) => missing!(m, 0 overlay, 2 urgent, 3 room, 4 sketch),
            Message::NeighborReply(m) => missing!(m, 0 overlay, 2 others, 3 sketch, 4 me),
            Message::Disconnect(m) => missing!(m, 0 overlay, 1 reason, 2 instead),
            Message::Shuffle(m) => missing!(m, 4 sketch),
            Message::ShuffleReply(m) => missing!(m, 3 sketch),
            Message::Topics(m) => missing!(m, 0 fresh, 1 add, 2 remove),
            Message::Gossip(m) => missing!(m, 1 pulled),
            Message::Graft(m) => missing!(m, 1 ids, 2 eager),
            Message::Ping(m) => missing!(m, 2 suspected),
            Message::Neighbors(m) => missing!(m, 1 peers),
            Message::Ack(_)
            | Message::PingReq(_)
            | Message::Nack(_)
            | Message::RelayedPing(_)
            | Message::Alive(_)
            | Message::Suspect(_) => {}
        }
        out
    }

    #[test]
    fn a_missing_field_has_its_default() {
        let mut seen = 0;
        for m in examples() {
            for (key, expected) in defaults(&m) {
                assert_ne!(m, expected, "the example of {} has key {key} at its default", m.name());
                assert_eq!(without(&m, key), Ok(Some(expected)), "{} without key {key}", m.name());
                seen += 1;
            }
        }
        assert_eq!(seen, 23);
    }

    #[test]
    fn a_missing_field_without_default_is_malformed() {
        for m in examples() {
            let optional: Vec<u64> = defaults(&m).iter().map(|d| d.0).collect();
            for (key, _) in fields(&body_of(&m)).into_iter().filter(|f| !optional.contains(&f.0)) {
                assert_eq!(without(&m, key), Err(WireError::Body(m.tag())), "{} without key {key}", m.name());
            }
        }
    }

    #[test]
    fn the_hashes_of_a_sketch_may_be_missing() {
        let m: Message = Join { overlay: None, me: peer(1), sketch: Sketch { period: 7, hashes: vec![] } }.into();
        let mut all = fields(&body_of(&m));
        let inner = all.iter_mut().find(|f| f.0 == 2).unwrap();
        inner.1 = map_of(&[(0, vec![7])]);
        assert_eq!(parse(10, &map_of(&all)), Ok(Some(m)));
    }
}

mod limits {
    use super::*;

    fn at_and_past(of: impl Fn(usize) -> Message, most: usize) {
        let ok = of(most);
        assert_eq!(Message::parse(ok.frame().to_bytes()), Ok(Some((ok.clone(), Bytes::new()))), "{}", ok.name());
        let over = of(most + 1);
        assert_eq!(Message::parse(over.frame().to_bytes()), Err(WireError::Limit(over.tag())), "{}", over.name());
    }

    fn hashes(n: usize) -> Sketch {
        Sketch { period: 1, hashes: (0..n as u64).collect() }
    }

    fn peers(n: usize) -> Vec<PeerAddr> {
        vec![peer(1); n]
    }

    #[test]
    fn of_sketches() {
        let me = || peer(1);
        at_and_past(|n| Join { overlay: None, me: me(), sketch: hashes(n) }.into(), MAX_SKETCH);
        at_and_past(
            |n| Neighbor { overlay: None, me: me(), urgent: false, room: 0, sketch: hashes(n) }.into(),
            MAX_SKETCH,
        );
        at_and_past(
            |n| NeighborReply { overlay: None, accept: true, others: vec![], sketch: hashes(n), me: None }.into(),
            MAX_SKETCH,
        );
        at_and_past(
            |n| Shuffle { overlay: None, ttl: 1, path: vec![], peers: vec![], sketch: hashes(n) }.into(),
            MAX_SKETCH,
        );
        at_and_past(
            |n| ShuffleReply { overlay: None, path: vec![], peers: vec![], sketch: hashes(n) }.into(),
            MAX_SKETCH,
        );
    }

    #[test]
    fn of_peers() {
        at_and_past(
            |n| NeighborReply { overlay: None, accept: false, others: peers(n), sketch: sketch(), me: None }.into(),
            MAX_PEERS,
        );
        at_and_past(
            |n| Shuffle { overlay: None, ttl: 1, path: vec![], peers: peers(n), sketch: sketch() }.into(),
            MAX_PEERS,
        );
        at_and_past(
            |n| ShuffleReply { overlay: None, path: vec![], peers: peers(n), sketch: sketch() }.into(),
            MAX_PEERS,
        );
        at_and_past(|n| TopicPeers { topic: topic(1), peers: peers(n) }.into(), MAX_PEERS);
        at_and_past(|n| Neighbors { incarnation: 1, peers: peers(n) }.into(), MAX_PEERS);
    }

    #[test]
    fn of_paths() {
        at_and_past(
            |n| Shuffle { overlay: None, ttl: 1, path: vec![node(1); n], peers: vec![], sketch: sketch() }.into(),
            MAX_PATH,
        );
        at_and_past(
            |n| ShuffleReply { overlay: None, path: vec![node(1); n], peers: vec![], sketch: sketch() }.into(),
            MAX_PATH,
        );
    }

    #[test]
    fn of_topics() {
        at_and_past(|n| Topics { fresh: false, add: vec![topic(1); n], remove: vec![] }.into(), MAX_TOPICS);
        at_and_past(|n| Topics { fresh: false, add: vec![], remove: vec![topic(1); n] }.into(), MAX_TOPICS);
    }

    #[test]
    fn of_announcements_requests_and_ranges() {
        at_and_past(|n| IHave { topic: topic(1), batches: vec![announced(1); n] }.into(), MAX_IHAVES);
        at_and_past(|n| Graft { topic: topic(1), ids: vec![ShortId([1; 16]); n], eager: false }.into(), MAX_IHAVES);
        at_and_past(|n| Fetch { topic: topic(1), ranges: vec![range(1); n] }.into(), MAX_RANGES);
    }

    #[test]
    fn a_sketch_out_of_order_is_refused() {
        let m: Message = Join { overlay: None, me: peer(1), sketch: Sketch { period: 1, hashes: vec![2, 1] } }.into();
        assert_eq!(Message::parse(m.frame().to_bytes()), Err(WireError::Limit(10)));
    }

    #[test]
    fn the_fullest_message_fits_a_body() {
        let range = Range { author: node(255), epoch: u64::MAX, from: u64::MAX, to: u64::MAX };
        let full = PeerAddr { id: node(1), addrs: vec![addr("[2001:db8::1]:4434"); MAX_ADDRS] };
        let all: Vec<Message> = vec![
            IHave {
                topic: topic(1),
                batches: vec![Announced { id: ShortId([1; 16]), hop: u16::MAX, held: u32::MAX }; MAX_IHAVES],
            }
            .into(),
            Fetch { topic: topic(1), ranges: vec![range; MAX_RANGES] }.into(),
            Topics { fresh: true, add: vec![topic(1); MAX_TOPICS], remove: vec![topic(2); MAX_TOPICS] }.into(),
            TopicPeers { topic: topic(1), peers: vec![full.clone(); MAX_PEERS] }.into(),
            Neighbors { incarnation: u64::MAX, peers: vec![full; MAX_PEERS] }.into(),
        ];
        for m in all {
            let f = m.frame().to_bytes();
            assert!(f.len() - HEADER_LEN <= MAX_BODY, "{}", m.name());
            assert_eq!(Message::parse(f), Ok(Some((m, Bytes::new()))));
        }
    }
}

mod headers {
    use super::*;

    fn header(version: u8, tag: u8, body: u16, payload: u32) -> BytesMut {
        let mut b = BytesMut::new();
        b.extend_from_slice(&[version, tag]);
        b.extend_from_slice(&body.to_le_bytes());
        b.extend_from_slice(&payload.to_le_bytes());
        b
    }

    #[test]
    fn of_another_version_are_refused() {
        for version in [0, 2, 255] {
            let mut b = header(version, 33, 0, 0);
            assert_eq!(Message::parse(b.clone().freeze()), Err(WireError::Version(version)));
            assert_eq!(split_frame(&mut b), Err(WireError::Version(version)));
        }
    }

    #[test]
    fn that_announce_too_long_a_payload_are_refused_before_it_arrives() {
        for payload in [MAX_PAYLOAD as u32 + 1, u32::MAX] {
            let mut b = header(VERSION, 30, 4, payload);
            let error = WireError::TooLong(HEADER_LEN + 4 + payload as usize);
            assert_eq!(Message::parse(b.clone().freeze()), Err(error));
            assert_eq!(split_frame(&mut b), Err(error));
        }
    }

    #[test]
    fn that_announce_the_longest_payload_are_waited_for() {
        let mut b = header(VERSION, 30, 0, MAX_PAYLOAD as u32);
        assert_eq!(split_frame(&mut b), Ok(None));
    }

    #[test]
    fn with_bytes_behind_the_frame_are_refused() {
        for m in examples() {
            let mut b = m.frame_with(Bytes::from_static(b"p")).to_bytes().to_vec();
            b.push(0);
            assert_eq!(Message::parse(b.into()), Err(WireError::Trailing));
        }
    }

    #[test]
    fn shorter_than_a_header_wait_for_more() {
        let whole = examples()[0].frame().to_bytes();
        for len in 0..HEADER_LEN {
            assert_eq!(split_frame(&mut BytesMut::from(&whole[..len])), Ok(None));
        }
    }

    #[test]
    fn name_their_lane_by_one_byte() {
        for lane in [Lane::Control, Lane::Data, Lane::Bulk, Lane::Probe] {
            assert_eq!(Lane::from_byte(lane as u8), Some(lane));
        }
        assert_eq!((4..=255).filter_map(Lane::from_byte).count(), 0);
    }
}
