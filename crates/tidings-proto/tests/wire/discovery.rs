//! The messages of discovery.

use tidings_proto::identity::CertificateId;

use super::*;

/// One of each.
pub(super) fn examples() -> Vec<Message> {
    let certificate = CertificateId([0xce; 32]);
    vec![
        Seek { id: 0x0102_0304_0506_0708, salt: [0x5a; 16], target: [0x7a; 16], key: [0x4e; 32], stem: 2, ttl: 3 }
            .into(),
        Found { id: 0x0102_0304_0506_0708 }.into(),
        NotFound { id: 0x0102_0304_0506_0708 }.into(),
        Deposit { whereabouts: vec![0xbe; 70], walk: 3, ttl: 23, known: 1 }.into(),
        LackProof { certificate, walk: 3, ttl: 23, known: 1 }.into(),
        Register { id: 0x0102_0304_0506_0708, statement: vec![0xbe; 70], find: true }.into(),
        Registered { id: 0x0102_0304_0506_0708, outcome: 1, members: vec![vec![0xbe; 70].into()], crowd: 300 }.into(),
        LookUp { id: 0x0102_0304_0506_0708, subject: [0x5b; 32], have: vec![certificate.into()] }.into(),
        Holds { id: 0x0102_0304_0506_0708, statements: vec![vec![0xbe; 70].into()] }.into(),
        AskReach { me: peer(0x11) }.into(),
        Reached { you: peer(0x11), at_ms: 1_767_225_600_000, signature: [0x5a; 64] }.into(),
        VouchReached { anew: true, reached: vec![0x11; 16], lost: vec![0x22; 8] }.into(),
    ]
}

/// Any of them.
pub(super) fn message() -> impl Strategy<Value = Message> {
    let n = any::<u8>;
    prop_oneof![
        (any::<u64>(), any::<[u8; 16]>(), any::<[u8; 32]>(), n(), n()).prop_map(|(id, salt, key, stem, ttl)| Seek {
            id,
            salt,
            target: salt,
            key,
            stem,
            ttl
        }
        .into()),
        any::<u64>().prop_map(|id| Found { id }.into()),
        any::<u64>().prop_map(|id| NotFound { id }.into()),
        (vec(n(), 0..=MAX_WHEREABOUTS), n(), n(), n())
            .prop_map(|(whereabouts, walk, ttl, known)| { Deposit { whereabouts, walk, ttl, known }.into() }),
        (any::<[u8; 32]>(), n(), n(), n())
            .prop_map(|(c, walk, ttl, known)| { LackProof { certificate: CertificateId(c), walk, ttl, known }.into() }),
        n().prop_map(|p| AskReach { me: peer(p) }.into()),
        (n(), any::<u64>(), n()).prop_map(|(p, at_ms, s)| Reached { you: peer(p), at_ms, signature: [s; 64] }.into()),
        (any::<u64>(), vec(n(), 0..=MAX_WHEREABOUTS), any::<bool>()).prop_map(|(id, statement, find)| Register {
            id,
            statement,
            find
        }
        .into()),
        (any::<u64>(), n(), statements(), any::<u32>())
            .prop_map(|(id, outcome, members, crowd)| { Registered { id, outcome, members, crowd }.into() }),
        (any::<u64>(), any::<[u8; 32]>(), vec(any::<[u8; 32]>().prop_map(|b| CertificateId(b).into()), 0..=MAX_HAVE))
            .prop_map(|(id, subject, have)| LookUp { id, subject, have }.into()),
        (any::<u64>(), statements()).prop_map(|(id, statements)| Holds { id, statements }.into()),
        (any::<bool>(), vec(any::<u64>(), 0..20), vec(any::<u64>(), 0..20)).prop_map(|(anew, reached, lost)| {
            let [reached, lost] = [reached, lost].map(|h| VouchReached::pack(h.into_iter()));
            VouchReached { anew, reached, lost }.into()
        }),
    ]
}

fn statements() -> impl Strategy<Value = Vec<minicbor::bytes::ByteVec>> {
    vec(vec(any::<u8>(), 0..60).prop_map(Into::into), 0..=MAX_HELD)
}

fn held(n: usize, len: usize) -> Bytes {
    Message::from(Holds { id: 1, statements: vec![vec![0; len].into(); n] }).frame().to_bytes()
}

#[test]
fn nodes_vouched_for_at_their_limit_and_past_it() {
    let frame = |reached: usize, lost: usize| {
        Message::from(VouchReached { anew: false, reached: vec![7; reached], lost: vec![7; lost] }).frame().to_bytes()
    };
    assert!(Message::parse(frame(8 * MAX_VOUCHED, 8 * MAX_VOUCHED)).is_ok());
    for (reached, lost) in [(8 * MAX_VOUCHED + 8, 0), (0, 8 * MAX_VOUCHED + 8), (9, 0), (0, 7)] {
        assert_eq!(Message::parse(frame(reached, lost)), Err(WireError::Limit(98)), "{reached} {lost}");
    }
}

#[test]
fn statements_at_their_limits_and_past_them() {
    assert!(Message::parse(held(MAX_HELD, MAX_WHEREABOUTS)).is_ok());
    assert_eq!(Message::parse(held(MAX_HELD + 1, 1)), Err(WireError::Limit(95)));
    assert_eq!(Message::parse(held(1, MAX_WHEREABOUTS + 1)), Err(WireError::Limit(95)));
    let have = vec![CertificateRef([1; 16]); MAX_HAVE + 1];
    let asks = Message::from(LookUp { id: 1, subject: [0; 32], have }).frame().to_bytes();
    assert_eq!(Message::parse(asks), Err(WireError::Limit(94)));
}

#[test]
fn a_statement_at_its_limit_and_past_it() {
    let of = |n| Message::from(Deposit { whereabouts: vec![0; n], walk: 0, ttl: 0, known: 0 }).frame().to_bytes();
    assert!(Message::parse(of(MAX_WHEREABOUTS)).is_ok());
    assert_eq!(Message::parse(of(MAX_WHEREABOUTS + 1)), Err(WireError::Limit(88)));
}

fn wire(name: &str) -> String {
    bytes_are_pinned::wire(name)
}

#[test]
fn the_bytes_of_seek() {
    insta::assert_snapshot!(wire("Seek"), @r"
    0155560000000000
    a6001b010203040506070801505a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a02507a
    7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a0358204e4e4e4e4e4e4e4e4e4e4e4e4e4e
    4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e04020503
    ");
}

#[test]
fn the_bytes_of_found() {
    insta::assert_snapshot!(wire("Found"), @r"
    01560b0000000000
    a1001b0102030405060708
    ");
}

#[test]
fn the_bytes_of_not_found() {
    insta::assert_snapshot!(wire("NotFound"), @r"
    01570b0000000000
    a1001b0102030405060708
    ");
}

#[test]
fn the_bytes_of_deposit() {
    insta::assert_snapshot!(wire("Deposit"), @r"
    0158500000000000
    a4005846bebebebebebebebebebebebebebebebebebebebebebebebebebebebe
    bebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebe
    bebebebebebebebebebe010302170301
    ");
}

#[test]
fn the_bytes_of_lack_proof() {
    insta::assert_snapshot!(wire("LackProof"), @r"
    01592a0000000000
    a4005820cececececececececececececececececececececececececececece
    cececece010302170301
    ");
}

#[test]
fn the_bytes_of_register() {
    insta::assert_snapshot!(wire("Register"), @r"
    015c560000000000
    a3001b0102030405060708015846bebebebebebebebebebebebebebebebebebe
    bebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebe
    bebebebebebebebebebebebebebebebebebebebe02f5
    ");
}

#[test]
fn the_bytes_of_registered() {
    insta::assert_snapshot!(wire("Registered"), @r"
    015d5b0000000000
    a4001b0102030405060708010102815846bebebebebebebebebebebebebebebe
    bebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebe
    bebebebebebebebebebebebebebebebebebebebebebebe0319012c
    ");
}

#[test]
fn the_bytes_of_look_up() {
    insta::assert_snapshot!(wire("LookUp"), @r"
    015e410000000000
    a3001b01020304050607080158205b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b
    5b5b5b5b5b5b5b5b5b5b5b5b5b5b028150cecececececececececececececece
    ce
    ");
}

#[test]
fn the_bytes_of_holds() {
    insta::assert_snapshot!(wire("Holds"), @r"
    015f550000000000
    a2001b010203040506070801815846bebebebebebebebebebebebebebebebebe
    bebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebebe
    bebebebebebebebebebebebebebebebebebebebebe
    ");
}

#[test]
fn the_bytes_of_ask_reach() {
    insta::assert_snapshot!(wire("AskReach"), @r"
    0160440000000000
    a100825820111111111111111111111111111111111111111111111111111111
    111111111182820146c0000201115182025220010db800000000000000000000
    00011152
    ");
}

#[test]
fn the_bytes_of_reached() {
    insta::assert_snapshot!(wire("Reached"), @r"
    0161910000000000
    a300825820111111111111111111111111111111111111111111111111111111
    111111111182820146c0000201115182025220010db800000000000000000000
    00011152011b0000019b76daa8000258405a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
    5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
    5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
    ");
}

#[test]
fn the_bytes_of_vouch() {
    insta::assert_snapshot!(wire("VouchReached"), @r"
    01621f0000000000
    a300f501501111111111111111111111111111111102482222222222222222
    ");
}
