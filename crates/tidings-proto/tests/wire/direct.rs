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
    ]
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
        (n(), any::<u8>(), n(), n()).prop_map(|(session, why, at_ms, epoch)| CloseSession {
            session,
            why,
            at_ms,
            epoch
        }
        .into()),
    ]
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
