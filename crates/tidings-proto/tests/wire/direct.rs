//! The messages about direct messages.

use super::*;

/// One of each.
pub(super) fn examples() -> Vec<Message> {
    let session = 0x0102_0304_0506_0708;
    let (to, certificate) = (peer(0x11).id, CertificateRef([0xce; 16]));
    vec![
        OpenSession { session, to, certificate, prekey: 7, epoch: 1_767_225_600_000, at_ms: 1_767_225_600_001 }.into(),
        Envelopes { session, frame: 3, first: 17 }.into(),
        Receipt { session, next: 18 }.into(),
        CloseSession { session, why: 2, at_ms: 1_767_225_600_001, epoch: 1_767_225_600_000 }.into(),
        envelope(Some(credits())).into(),
        RelayAck { id: PassageId([0x1d; 16]), why: 3, load: 255 }.into(),
        Reserve { hold: true }.into(),
        Reserved { why: 2, load: 255 }.into(),
        OpenCircuit { session }.into(),
        CircuitOpened { session }.into(),
        CircuitPiece { session, piece: 300 }.into(),
        CircuitAck { session, next: 301 }.into(),
        CloseCircuit { session, why: 2, next: 7 }.into(),
    ]
}

fn credits() -> Credits {
    let credit = Credit { id: PassageId([0x2d; 16]), relays: vec![peer(0x22).id], messages: 2, bytes: 513 };
    Credits { at_ms: 1_767_225_600_001, list: vec![credit], signature: [0x51; 64] }
}

fn envelope(credits: Option<Credits>) -> Envelope {
    let (from, to, via) = (peer(0x11).id, peer(0x33).id, vec![peer(0x22).id]);
    let at_ms = 1_767_225_600_000;
    Envelope { id: PassageId([0x1d; 16]), from, to, via, kind: 1, ttl: 2, at_ms, messages: 2, credits }
}

pub(super) fn message() -> impl Strategy<Value = Message> {
    let n = any::<u64>;
    prop_oneof![
        (n(), any::<[u8; 32]>(), any::<[u8; 16]>(), n(), n(), n()).prop_map(
            |(session, to, c, prekey, epoch, at_ms)| {
                OpenSession { session, to: NodeId(to), certificate: CertificateRef(c), prekey, epoch, at_ms }.into()
            }
        ),
        (n(), n(), n()).prop_map(|(session, frame, first)| Envelopes { session, frame, first }.into()),
        (n(), n()).prop_map(|(session, next)| Receipt { session, next }.into()),
        envelopes(),
        (any::<[u8; 16]>(), any::<u8>(), any::<u8>()).prop_map(|(id, why, load)| RelayAck {
            id: PassageId(id),
            why,
            load
        }
        .into()),
        any::<bool>().prop_map(|hold| Reserve { hold }.into()),
        (any::<u8>(), any::<u8>()).prop_map(|(why, load)| Reserved { why, load }.into()),
        n().prop_map(|session| OpenCircuit { session }.into()),
        n().prop_map(|session| CircuitOpened { session }.into()),
        (n(), n()).prop_map(|(session, piece)| CircuitPiece { session, piece }.into()),
        (n(), n()).prop_map(|(session, next)| CircuitAck { session, next }.into()),
        (n(), any::<u8>(), n()).prop_map(|(session, why, next)| CloseCircuit { session, why, next }.into()),
        (n(), any::<u8>(), n(), n()).prop_map(|(session, why, at_ms, epoch)| CloseSession {
            session,
            why,
            at_ms,
            epoch
        }
        .into()),
    ]
}

fn envelopes() -> impl Strategy<Value = Message> {
    let node = || any::<[u8; 32]>().prop_map(NodeId);
    let id = || any::<[u8; 16]>().prop_map(PassageId);
    let relays = move || vec(node(), 1..=MAX_VIA);
    let credit = (id(), relays(), any::<u16>(), any::<u32>()).prop_map(|(id, relays, messages, bytes)| Credit {
        id,
        relays,
        messages,
        bytes,
    });
    let credits = (any::<u64>(), vec(credit, 1..=MAX_CREDITS), any::<u8>()).prop_map(|(at_ms, list, s)| Credits {
        at_ms,
        list,
        signature: [s; 64],
    });
    let head = (id(), node(), node(), relays(), any::<(u8, u8, u64, u16)>());
    (head, proptest::option::of(credits)).prop_map(|((id, from, to, via, (kind, ttl, at_ms, messages)), credits)| {
        Envelope { id, from, to, via, kind, ttl, at_ms, messages, credits }.into()
    })
}

fn wire(name: &str) -> String {
    bytes_are_pinned::wire(name)
}

#[test]
fn the_bytes_of_open_session() {
    insta::assert_snapshot!(wire("OpenSession"), @r"
    016c560000000000
    a6001b0102030405060708015820111111111111111111111111111111111111
    11111111111111111111111111110250cececececececececececececececece
    0307041b0000019b76daa800051b0000019b76daa801
    ");
}

#[test]
fn the_bytes_of_envelopes() {
    insta::assert_snapshot!(wire("Envelopes"), @r"
    016d0f0000000000
    a3001b010203040506070801030211
    ");
}

#[test]
fn the_bytes_of_receipt() {
    insta::assert_snapshot!(wire("Receipt"), @r"
    016e0d0000000000
    a2001b01020304050607080112
    ");
}

#[test]
fn the_bytes_of_close_session() {
    insta::assert_snapshot!(wire("CloseSession"), @r"
    016f210000000000
    a4001b01020304050607080102021b0000019b76daa801031b0000019b76daa8
    00
    ");
}

#[test]
fn the_bytes_of_open_circuit() {
    insta::assert_snapshot!(wire("OpenCircuit"), @r"
    01740b0000000000
    a1001b0102030405060708
    ");
}

#[test]
fn the_bytes_of_circuit_opened() {
    insta::assert_snapshot!(wire("CircuitOpened"), @r"
    01750b0000000000
    a1001b0102030405060708
    ");
}

#[test]
fn the_bytes_of_circuit_piece() {
    insta::assert_snapshot!(wire("CircuitPiece"), @r"
    01760f0000000000
    a2001b01020304050607080119012c
    ");
}

#[test]
fn the_bytes_of_circuit_ack() {
    insta::assert_snapshot!(wire("CircuitAck"), @r"
    01770f0000000000
    a2001b01020304050607080119012d
    ");
}

#[test]
fn the_bytes_of_close_circuit() {
    insta::assert_snapshot!(wire("CloseCircuit"), @r"
    01780f0000000000
    a3001b010203040506070801020207
    ");
}

#[test]
fn the_bytes_of_envelope() {
    insta::assert_snapshot!(wire("Envelope"), @r"
    0170170100000000
    a900501d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d01582011111111111111111111
    1111111111111111111111111111111111111111111102582033333333333333
    3333333333333333333333333333333333333333333333333303815820222222
    2222222222222222222222222222222222222222222222222222222222040105
    02061b0000019b76daa800070208a3001b0000019b76daa801018184502d2d2d
    2d2d2d2d2d2d2d2d2d2d2d2d2d81582022222222222222222222222222222222
    2222222222222222222222222222222202190201025840515151515151515151
    5151515151515151515151515151515151515151515151515151515151515151
    5151515151515151515151515151515151515151515151
    ");
}

#[test]
fn the_bytes_of_relay_ack() {
    insta::assert_snapshot!(wire("RelayAck"), @r"
    0171180000000000
    a300501d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d01030218ff
    ");
}

#[test]
fn an_envelope_through_none_or_three_and_one_with_too_many_credits_is_refused() {
    let refused = |m: Envelope| {
        let bytes = Message::from(m).frame().to_bytes();
        assert_eq!(Message::parse(bytes), Err(WireError::Limit(112)));
    };
    refused(Envelope { via: vec![], ..envelope(None) });
    refused(Envelope { via: vec![peer(1).id, peer(2).id, peer(3).id], ..envelope(None) });
    refused(envelope(Some(Credits { list: vec![], ..credits() })));
    let one = credits().list.remove(0);
    refused(envelope(Some(Credits { list: vec![one.clone(); MAX_CREDITS + 1], ..credits() })));
    refused(envelope(Some(Credits { list: vec![Credit { relays: vec![], ..one }], ..credits() })));
}
