//! Every message as bytes, against snapshots.

use super::*;

/// The header on a line of its own, then 32 bytes a line.
fn lines(frame: &[u8]) -> String {
    let (head, rest) = frame.split_at(HEADER_LEN);
    std::iter::once(head).chain(rest.chunks(32)).map(hex).collect::<Vec<_>>().join("\n")
}

pub(super) fn wire(name: &str) -> String {
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
fn of_exchange() {
    insta::assert_snapshot!(wire("Exchange"), @r"
    0114ac0000000000
    a4005820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    aaaaaaaa01825820111111111111111111111111111111111111111111111111
    111111111111111182820146c0000201115182025220010db800000000000000
    0000000001115202825820444444444444444444444444444444444444444444
    444444444444444444444482820146c0000201115182025220010db800000000
    0000000000000001115203f5
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
fn of_bundle() {
    insta::assert_snapshot!(wire("Bundle"), @r"
    01230d0000000000
    a1008183190190031a00011170
    ");
}

#[test]
fn of_compare() {
    insta::assert_snapshot!(wire("Compare"), @r"
    0132290000000000
    871baaaaaaaaaaaaaaaa071b0000018bcfe568001a00048ff81b010203040506
    070819096081820320
    ");
}

#[test]
fn of_same() {
    insta::assert_snapshot!(wire("Same"), @r"
    0133020000000000
    8107
    ");
}

#[test]
fn of_differ() {
    insta::assert_snapshot!(wire("Differ"), @r"
    0134180000000000
    85071b0000018bcfe568051b01020304050607081909600c
    ");
}

#[test]
fn of_ranges() {
    insta::assert_snapshot!(wire("Ranges"), @r"
    0135520000000000
    a5001baaaaaaaaaaaaaaaa0107021b0000018bcfe56800031a00048ff804a282
    1b01010101010101011b0000018bcfe5680082820105820719012c821b020202
    02020202021b0000018bcfe5680081820101
    ");
}

#[test]
fn of_pull() {
    insta::assert_snapshot!(wire("Pull"), @r"
    0136250000000000
    a3001baaaaaaaaaaaaaaaa0107028183821b03030303030303031b0000018bcf
    e568000409
    ");
}

#[test]
fn of_ask_symbols() {
    insta::assert_snapshot!(wire("AskSymbols"), @r"
    01371f0000000000
    a6001baaaaaaaaaaaaaaaa0107021b0000018bcfe568000318300418600502
    ");
}

#[test]
fn of_symbols() {
    insta::assert_snapshot!(wire("Symbols"), @r"
    0138200000000000
    a6001baaaaaaaaaaaaaaaa0107021b0102030405060708031909600402051830
    ");
}

#[test]
fn of_want_items() {
    insta::assert_snapshot!(wire("WantItems"), @r"
    0139230000000000
    a4001baaaaaaaaaaaaaaaa0107021b01020304050607080382011bffffffffff
    ffffff
    ");
}

#[test]
fn of_offer() {
    insta::assert_snapshot!(wire("Offer"), @r"
    013a0f0000000000
    a3001baaaaaaaaaaaaaaaa01070203
    ");
}

#[test]
fn of_served() {
    insta::assert_snapshot!(wire("Served"), @r"
    013b110000000000
    a4001baaaaaaaaaaaaaaaa0107020303f5
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

#[test]
fn of_want() {
    insta::assert_snapshot!(wire("Want"), @r"
    013c4e0000000000
    a10082825820e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1
    e1e1e1e1e1e1420102825820e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2
    e2e2e2e2e2e2e2e2e2e2e2e24102
    ");
}

#[test]
fn of_have() {
    insta::assert_snapshot!(wire("Have"), @r"
    013d280000000000
    a2005820e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1
    e1e1e1e101420704
    ");
}

#[test]
fn of_chunk() {
    insta::assert_snapshot!(wire("Chunk"), @r"
    013e280000000000
    a2005820e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1
    e1e1e1e10119012c
    ");
}

#[test]
fn of_lack() {
    insta::assert_snapshot!(wire("Lack"), @r"
    013f280000000000
    a10081825820e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1
    e1e1e1e1e1e14180
    ");
}

#[test]
fn of_unwant() {
    insta::assert_snapshot!(wire("Unwant"), @r"
    0140270000000000
    a10081825820e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1
    e1e1e1e1e1e140
    ");
}

#[test]
fn of_records() {
    insta::assert_snapshot!(wire("Records"), @r"
    01463d0000000000
    a20081840119012c0c820350f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f101818401
    1b01020304050607080c820350f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1
    ");
}

#[test]
fn of_records_held() {
    insta::assert_snapshot!(wire("RecordsHeld"), @r"
    0147090000000000
    a10082071a01020304
    ");
}

#[test]
fn of_records_wanted() {
    insta::assert_snapshot!(wire("RecordsWanted"), @r"
    0148170000000000
    a300811a01020304018182011b010203040506070802f5
    ");
}

#[test]
fn of_records_lazy() {
    insta::assert_snapshot!(wire("RecordsLazy"), @r"
    0149010000000000
    a0
    ");
}

#[test]
fn of_records_wave() {
    insta::assert_snapshot!(wire("RecordsWave"), @r"
    014a070000000000
    a1001a01020304
    ");
}

#[test]
fn of_certified() {
    insta::assert_snapshot!(wire("Certified"), @r"
    0150130000000000
    a10050f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1
    ");
}

#[test]
fn of_ask_certificates() {
    insta::assert_snapshot!(wire("AskCertificates"), @r"
    0151250000000000
    a1008250f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f150f2f2f2f2f2f2f2f2f2f2f2
    f2f2f2f2f2
    ");
}

#[test]
fn of_certificate() {
    insta::assert_snapshot!(wire("Certificate"), @r"
    0152010000000000
    a0
    ");
}

#[test]
fn of_no_certificates() {
    insta::assert_snapshot!(wire("NoCertificates"), @r"
    0153140000000000
    a1008150f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1
    ");
}

#[test]
fn of_vouch_for() {
    insta::assert_snapshot!(wire("VouchFor"), @r"
    0164110000000000
    a3000c01190d48021b0000018bcfe56800
    ");
}

#[test]
fn of_ask_capabilities() {
    insta::assert_snapshot!(wire("AskCapabilities"), @r"
    0168370000000000
    a2005820d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1
    d1d1d1d1018150f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1
    ");
}

#[test]
fn of_capability() {
    insta::assert_snapshot!(wire("Capability"), @r"
    0169010000000000
    a0
    ");
}
