//! Lists at their limits, and past them.

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
    at_and_past(|n| Neighbor { overlay: None, me: me(), urgent: false, room: 0, sketch: hashes(n) }.into(), MAX_SKETCH);
    at_and_past(
        |n| NeighborReply { overlay: None, accept: true, others: vec![], sketch: hashes(n), me: None }.into(),
        MAX_SKETCH,
    );
    at_and_past(
        |n| Shuffle { overlay: None, ttl: 1, path: vec![], peers: vec![], sketch: hashes(n) }.into(),
        MAX_SKETCH,
    );
    at_and_past(|n| ShuffleReply { overlay: None, path: vec![], peers: vec![], sketch: hashes(n) }.into(), MAX_SKETCH);
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
    at_and_past(|n| ShuffleReply { overlay: None, path: vec![], peers: peers(n), sketch: sketch() }.into(), MAX_PEERS);
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
fn of_what_reconciles() {
    let young = |n| Some(vec![Change { sum: 1, count: -1 }; n]);
    let compare = Compare { set: SET, session: 1, from: WALL, span: 1, sum: 1, count: 1, young: None };
    at_and_past(|n| Compare { young: young(n), ..compare.clone() }.into(), MAX_TOLD);
    let wanted = Wanted { stream: stream(1), from: 1, to: 2 };
    at_and_past(|n| Pull { set: SET, session: 1, ranges: vec![wanted; n] }.into(), MAX_WANTED);
    let bundled = Bundled { len: 1, hop: 1, held: 1 };
    at_and_past(|n| Bundle { batches: vec![bundled; n] }.into(), MAX_BUNDLE);
    at_and_past(|n| WantItems { set: SET, session: 1, key: 1, items: vec![1; n] }.into(), MAX_ITEMS);
    at_and_past(
        |n| AskSymbols { set: SET, session: 1, from: 1, first: 0, count: n as u32, as_of: None }.into(),
        MAX_SYMBOLS,
    );
}

#[test]
fn equal_sets_cost_no_more_than_64_bytes() {
    let compare =
        Compare { set: SET, session: 65_535, from: WALL, span: 3_600_000, sum: u64::MAX, count: 65_535, young: None };
    let both = Message::from(compare).frame().len() + Message::from(Same { session: 65_535 }).frame().len();
    assert!(both <= 64, "{both}");
}

#[test]
fn streams_that_overlap_are_refused() {
    let mut body = Vec::new();
    let mut e = Encoder::new(&mut body);
    e.map(5).unwrap().u8(0).unwrap().u64(1).unwrap().u8(1).unwrap().u8(1).unwrap().u8(2).unwrap().u8(1).unwrap();
    e.u8(3).unwrap().u8(1).unwrap().u8(4).unwrap().map(1).unwrap();
    e.array(2).unwrap().u8(1).unwrap().u8(1).unwrap();
    e.array(2).unwrap().array(2).unwrap().u8(1).unwrap().u8(5).unwrap().array(2).unwrap().u8(5).unwrap().u8(9).unwrap();
    assert_eq!(parse(53, &body), Err(WireError::Limit(53)));
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
        Pull {
            set: SetTag(u64::MAX),
            session: u32::MAX,
            ranges: vec![
                Wanted { stream: StreamTag::new(&node(255), u64::MAX), from: u64::MAX, to: u64::MAX };
                MAX_WANTED
            ],
        }
        .into(),
        Bundle { batches: vec![Bundled { len: u32::MAX, hop: u16::MAX, held: u64::MAX }; MAX_BUNDLE] }.into(),
        WantItems { set: SetTag(u64::MAX), session: u32::MAX, key: u64::MAX, items: vec![u64::MAX; MAX_ITEMS] }.into(),
        Records {
            full: vec![FullRecord { set: SetId(255), age: u32::MAX, ..whole(u16::MAX) }; MAX_RECORDS],
            fresh: vec![FreshRecord { set: SetId(255), age: u32::MAX, ..fresh() }; MAX_RECORDS],
        }
        .into(),
        RecordsWanted { ids: vec![u32::MAX; MAX_NAMED], keys: vec![(SetId(255), u64::MAX); MAX_NAMED], eager: true }
            .into(),
    ];
    for m in all {
        let f = m.frame().to_bytes();
        assert!(f.len() - HEADER_LEN <= MAX_BODY, "{}", m.name());
        assert_eq!(Message::parse(f), Ok(Some((m, Bytes::new()))));
    }
}

#[test]
fn of_contents_asked_for_at_once() {
    let asks = |n| vec![ask(1, &[0]); n];
    at_and_past(|n| Want { asks: asks(n) }.into(), MAX_ASKS);
    at_and_past(|n| Lack { asks: asks(n) }.into(), MAX_ASKS);
    at_and_past(|n| Unwant { asks: asks(n) }.into(), MAX_ASKS);
}

#[test]
fn of_certificates_asked_for_at_once() {
    let refs = |n| vec![CertificateRef([1; 16]); n];
    at_and_past(|n| AskCertificates { certificates: refs(n) }.into(), MAX_CERTIFICATES_ASKED);
    at_and_past(|n| NoCertificates { certificates: refs(n) }.into(), MAX_CERTIFICATES_ASKED);
}

#[test]
fn of_capabilities_asked_for_at_once() {
    let ask = |n| AskCapabilities { topic: TopicId([1; 32]), capabilities: vec![CapabilityRef([1; 16]); n] };
    at_and_past(|n| ask(n).into(), MAX_CAPABILITIES_ASKED);
}

#[test]
fn of_chunk_numbers() {
    let last = Have { content: ContentId([1; 32]), chunks: chunks(&[MAX_CHUNKS as u32 - 1]) };
    let body = body_of(&last.clone().into());
    assert_eq!(parse(61, &body), Ok(Some(last.into())));
    // A byte more says that there are chunks past the last.
    let mut all = fields(&body);
    let mut longer = vec![0; MAX_CHUNKS / 8];
    longer.push(1);
    all[1].1 = minicbor::to_vec(minicbor::bytes::ByteVec::from(longer)).unwrap();
    assert_eq!(parse(61, &map_of(&all)), Err(WireError::Limit(61)));
}

#[test]
fn of_records() {
    at_and_past(|n| Records { full: vec![whole(0); n], fresh: vec![] }.into(), MAX_RECORDS);
    at_and_past(|n| Records { full: vec![], fresh: vec![fresh(); n] }.into(), MAX_RECORDS);
    at_and_past(|n| RecordsHeld { ids: vec![u32::MAX; n] }.into(), MAX_NAMED);
    at_and_past(|n| RecordsWanted { ids: vec![u32::MAX; n], keys: vec![], eager: false }.into(), MAX_NAMED);
    let key = (SetId(1), u64::MAX);
    at_and_past(|n| RecordsWanted { ids: vec![], keys: vec![key; n], eager: false }.into(), MAX_NAMED);
}

#[test]
fn a_refresh_costs_no_more_than_64_bytes() {
    let refresh = Refresh { step: 64, value: ChainValue([255; 16]) };
    let fresh = FreshRecord { set: SetId(1), key: u64::MAX, age: u32::MAX, refresh };
    let m: Message = Records { full: vec![], fresh: vec![fresh] }.into();
    assert!(m.frame().len() <= 64, "{}", m.frame().len());
}
