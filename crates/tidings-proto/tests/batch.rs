//! Batches: their bytes and ids, and that nothing but their author's own bytes passes.

use bytes::Bytes;
use minicbor::{Decoder, Encoder};
use proptest::collection::vec;
use proptest::prelude::*;
use tidings_proto::crypto::{Crypto, SIGNATURE_LEN, SimCrypto};
use tidings_proto::identity::{Network, NodeId, SecretKey, TopicId, hex};
use tidings_proto::io::Outgoing;
use tidings_proto::pubsub::*;

fn crypto() -> SimCrypto {
    SimCrypto::new(&SecretKey::from_bytes([7; 32]))
}

fn key() -> BatchKey {
    BatchKey::new(&Network::from_name("pinned").unwrap())
}

fn out(payload: &[u8], headers: &[u8]) -> Outgoing {
    Outgoing {
        payload: Bytes::copy_from_slice(payload),
        headers: Bytes::copy_from_slice(headers),
        ..Outgoing::default()
    }
}

fn header(messages: &[Outgoing]) -> BatchHeader {
    let plain = messages.iter().all(|m| m.headers.is_empty());
    BatchHeader {
        topic: TopicId::from_name("news").unwrap(),
        author: crypto().node_id(),
        epoch: 1_700_000_000_000,
        first_seq: 5,
        wall_ms: 1_700_000_000_123,
        previous: Some(Position { epoch: 1_600_000_000_000, seq: 9 }),
        payloads: messages.iter().map(|m| m.payload.len() as u32).collect(),
        headers: if plain { vec![] } else { messages.iter().map(|m| m.headers.len() as u32).collect() },
        apart_ms: Some(2_500),
        large: None,
        certificate: None,
        capability: None,
    }
}

fn seal(messages: &[Outgoing]) -> Batch {
    Batch::seal(header(messages), messages, &key(), &crypto())
}

fn open(bytes: &Bytes) -> Result<Batch, BatchError> {
    let peeked = Batch::peek(bytes)?;
    Batch::verify(bytes.clone(), peeked, &key(), &crypto())
}

fn example() -> Batch {
    seal(&[out(b"hello", b""), out(b"", b"k=v"), out(b"world", b"")])
}

/// A batch with this header, whatever it says, and this body, correctly signed.
fn signed(header: &BatchHeader, body: &[u8]) -> Bytes {
    signed_raw(&minicbor::to_vec(header).unwrap(), body)
}

/// The layout, written a second time from `docs/protocol.md`.
fn signed_raw(head: &[u8], body: &[u8]) -> Bytes {
    let key = blake3::derive_key("tidings 1 batch id", Network::from_name("pinned").unwrap().expose());
    let mut id = blake3::Hasher::new_keyed(&key);
    id.update(&(head.len() as u32).to_le_bytes());
    id.update(head);
    id.update(blake3::hash(body).as_bytes());
    let signature = crypto().sign(id.finalize().as_bytes());
    let mut bytes = (head.len() as u16).to_le_bytes().to_vec();
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(&signature);
    bytes.extend_from_slice(body);
    bytes.into()
}

fn lines(bytes: &[u8]) -> String {
    bytes.chunks(32).map(hex).collect::<Vec<_>>().join("\n")
}

mod bytes_are_pinned {
    use super::*;

    #[test]
    fn of_a_batch() {
        insta::assert_snapshot!(lines(example().bytes()), @r"
        7700a90058203a2c015ec5f8ed6b41c4bd9bd850165fbfdb63ce78672bd18d6c
        c6d29f991526015820746e6a726b6673626327746e60696673727562742b2769
        62716275277562666b021b0000018bcfe568000305041b0000018bcfe5687b05
        821b00000174876e80000906830500050783000300081909c41612682fa15d7f
        34fa63325af34f35dd992a89b61b1f73990f6afe86e68a90d400000000000000
        0000000000000000000000000000000000000000000000000068656c6c6f6b3d
        76776f726c64
        ");
    }

    #[test]
    fn of_a_first_batch_without_headers() {
        let messages = [out(b"x", b"")];
        let first = BatchHeader { first_seq: 1, previous: None, apart_ms: None, ..header(&messages) };
        insta::assert_snapshot!(lines(Batch::seal(first, &messages, &key(), &crypto()).bytes()), @r"
        6200a70058203a2c015ec5f8ed6b41c4bd9bd850165fbfdb63ce78672bd18d6c
        c6d29f991526015820746e6a726b6673626327746e60696673727562742b2769
        62716275277562666b021b0000018bcfe568000301041b0000018bcfe5687b06
        810107809113ed658153432c5e1ff9ed8150ce0270876baa1b1dc1f9ebed1786
        8c4824b800000000000000000000000000000000000000000000000000000000
        0000000078
        ");
    }

    #[test]
    fn of_ids() {
        let b = example();
        insta::assert_snapshot!(b.id(), @"e3d20af0ffaade2bc178844c7186bebaea6f9d63cc07c8cbb76c9ab694d1476d");
        insta::assert_snapshot!(b.message_id(0), @"25f886b5528a47690271b62e9ba6383787ec171aaa0e3665264334fe268abe0f");
        insta::assert_snapshot!(b.message_id(2), @"553bc55d4141f283c328aeef756d9475cb6527f93e8318d511d0031657f23832");
        assert_eq!(b.short_id().0, b.id().0[..16]);
    }

    #[test]
    fn of_topic_ids_and_network_keys() {
        insta::assert_snapshot!(TopicId::from_name("news").unwrap(), @"3a2c015ec5f8ed6b41c4bd9bd850165fbfdb63ce78672bd18d6cc6d29f991526");
        insta::assert_snapshot!(hex(Network::from_name("pinned").unwrap().expose()), @"e19bf932bc1cf3fa8802dc22efa94190a88168899af8ad73a066abc07422df76");
        insta::assert_snapshot!(hex(Network::from_secret(b"pinned").expose()), @"21d6ade599006b11716dffb332962617d7b4cefbdd29abcdb1aac6e36bc47923");
        insta::assert_snapshot!(hex(&Network::from_name("pinned").unwrap().derive("a purpose")), @"d50dcb41674ea69abffe1bfb689a48253150b57abd0545fcd89b73213aea8dfe");
    }

    #[test]
    fn as_the_document_says() {
        let messages = [out(b"hello", b""), out(b"", b"k=v"), out(b"world", b"")];
        assert_eq!(seal(&messages).bytes(), &signed(&header(&messages), b"hellok=vworld"));
    }
}

fn messages() -> impl Strategy<Value = Vec<Outgoing>> {
    vec((vec(any::<u8>(), 0..80), vec(any::<u8>(), 0..20)), 1..20)
        .prop_map(|m| m.into_iter().map(|(p, h)| out(&p, &h)).collect())
}

proptest! {
    #[test]
    fn a_sealed_batch_is_read_as_it_was(messages in messages()) {
        let sealed = seal(&messages);
        let read = open(sealed.bytes()).unwrap();
        prop_assert_eq!(read.header(), &header(&messages));
        prop_assert_eq!(read.id(), sealed.id());
        prop_assert_eq!(read.bytes(), sealed.bytes());
        prop_assert_eq!(read.signature(), sealed.signature());
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = open(&bytes.into());
    }

    #[test]
    fn a_random_header_of_the_right_length_never_panics(head in vec(any::<u8>(), 0..200), body in vec(any::<u8>(), 0..80)) {
        let _ = open(&signed_raw(&head, &body));
    }

    #[test]
    fn a_random_header_never_panics(
        numbers in any::<[u64; 6]>(),
        payloads in vec(any::<u32>(), 0..6),
        headers in vec(any::<u32>(), 0..6),
        body in vec(any::<u8>(), 0..40),
    ) {
        let [epoch, first_seq, wall_ms, e, s, apart] = numbers;
        let h = BatchHeader {
            epoch, first_seq, wall_ms, previous: Some(Position { epoch: e, seq: s }), payloads, headers,
            apart_ms: Some(apart),
            ..header(&[])
        };
        let _ = open(&signed(&h, &body));
    }
}

#[test]
fn no_bit_can_be_changed() {
    let whole = example().bytes().clone();
    for bit in 0..whole.len() * 8 {
        let mut tampered = whole.to_vec();
        tampered[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&tampered.into()).is_err(), "bit {bit} is not covered");
    }
}

#[test]
fn a_batch_cut_short_is_malformed_at_every_length() {
    let whole = example().bytes().clone();
    for len in 0..whole.len() {
        assert_eq!(open(&whole.slice(..len)).err(), Some(BatchError::Malformed), "at {len}");
    }
}

#[test]
fn a_batch_of_another_network_is_forged_here() {
    let messages = [out(b"x", b"")];
    let other = BatchKey::new(&Network::from_name("other").unwrap());
    let b = Batch::seal(header(&messages), &messages, &other, &crypto());
    assert_eq!(open(b.bytes()).err(), Some(BatchError::Forged));
}

#[test]
fn a_batch_in_anothers_name_is_forged() {
    let messages = [out(b"x", b"")];
    let theirs = BatchHeader { author: NodeId([9; 32]), ..header(&messages) };
    let b = Batch::seal(theirs, &messages, &key(), &crypto());
    assert_eq!(open(b.bytes()).err(), Some(BatchError::Forged));
}

#[test]
fn equal_payloads_are_different_messages() {
    let b = seal(&[out(b"same", b""), out(b"same", b"")]);
    assert_ne!(b.message_id(0), b.message_id(1));
}

#[cfg(feature = "aws-lc")]
#[test]
fn real_signatures_reject_what_simulated_ones_do() {
    use tidings_proto::crypto::AwsLc;
    let real = AwsLc::new(&SecretKey::from_bytes([7; 32])).unwrap();
    let messages = [out(b"x", b"")];
    let mine = BatchHeader { author: real.node_id(), ..header(&messages) };
    let b = Batch::seal(mine.clone(), &messages, &key(), &real);
    let verify = |bytes: Bytes, key: &BatchKey| {
        Batch::peek(&bytes).and_then(|p| Batch::verify(bytes.clone(), p, key, &real)).map(|b| b.id())
    };
    assert_eq!(verify(b.bytes().clone(), &key()), Ok(b.id()));
    assert_eq!(
        verify(b.bytes().clone(), &BatchKey::new(&Network::from_name("other").unwrap())),
        Err(BatchError::Forged)
    );
    for at in b.bytes().len() - SIGNATURE_LEN - 1..b.bytes().len() {
        let mut tampered = b.bytes().to_vec();
        tampered[at] ^= 1;
        assert_eq!(verify(tampered.into(), &key()), Err(BatchError::Forged), "byte {at}");
    }
    let theirs = BatchHeader { author: NodeId([9; 32]), ..mine };
    let b = Batch::seal(theirs, &messages, &key(), &real);
    assert_eq!(verify(b.bytes().clone(), &key()), Err(BatchError::Forged));
}

mod headers {
    use super::*;

    fn refused(change: impl FnOnce(&mut BatchHeader), body: &[u8], error: BatchError) {
        let mut h = header(&[out(b"hello", b"")]);
        change(&mut h);
        assert_eq!(open(&signed(&h, body)).err(), Some(error), "{h:?}");
    }

    #[test]
    fn without_messages_are_malformed() {
        refused(|h| h.payloads.clear(), b"", BatchError::Malformed);
    }

    #[test]
    fn that_begin_before_number_one_are_malformed() {
        refused(|h| h.first_seq = 0, b"hello", BatchError::Malformed);
    }

    #[test]
    fn whose_lengths_do_not_add_up_are_malformed() {
        refused(|_| (), b"hell", BatchError::Malformed);
        refused(|_| (), b"hello!", BatchError::Malformed);
        refused(|h| h.headers = vec![1], b"hello", BatchError::Malformed);
    }

    #[test]
    fn with_lengths_of_headers_for_some_messages_only_are_malformed() {
        refused(|h| h.headers = vec![0, 0], b"hello", BatchError::Malformed);
    }

    #[test]
    fn whose_numbers_run_over_are_refused() {
        refused(|h| h.first_seq = u64::MAX, b"hello", BatchError::Limit);
        let mut h = header(&[out(b"hello", b"")]);
        h.first_seq = u64::MAX - 1;
        let last = open(&signed(&h, b"hello")).unwrap();
        assert_eq!(last.header().last_seq(), u64::MAX - 1);
    }

    #[test]
    fn with_a_payload_too_long_are_refused() {
        let long = vec![0; MAX_MESSAGE + 1];
        refused(|h| h.payloads = vec![long.len() as u32], &long, BatchError::Limit);
        let mut h = header(&[]);
        h.payloads = vec![MAX_MESSAGE as u32; 2];
        assert!(open(&signed(&h, &vec![0; 2 * MAX_MESSAGE])).is_ok());
    }

    #[test]
    fn with_headers_too_long_are_refused() {
        let long = vec![0; MAX_HEADERS + 1];
        refused(
            |h| {
                h.payloads = vec![0];
                h.headers = vec![long.len() as u32];
            },
            &long,
            BatchError::Limit,
        );
    }

    #[test]
    fn with_too_many_messages_are_refused() {
        refused(|h| h.payloads = vec![0; MAX_MESSAGES + 1], b"", BatchError::Limit);
        let mut h = header(&[]);
        h.payloads = vec![0; MAX_MESSAGES];
        assert!(open(&signed(&h, b"")).is_ok());
    }

    #[test]
    fn with_a_body_too_long_are_refused() {
        let body = vec![0; MAX_BODY + 1];
        refused(|h| h.payloads = vec![MAX_MESSAGE as u32, MAX_MESSAGE as u32, 2 * 1024 + 1], &body, BatchError::Limit);
    }

    #[test]
    fn longer_than_allowed_are_refused() {
        let mut head = minicbor::to_vec(header(&[out(b"hello", b"")])).unwrap();
        head.resize(28 * 1024 + 1, 0);
        assert_eq!(open(&signed_raw(&head, b"hello")).err(), Some(BatchError::Limit));
    }

    #[test]
    fn with_a_field_this_version_does_not_know_are_read() {
        let h = header(&[out(b"hello", b"")]);
        let head = minicbor::to_vec(&h).unwrap();
        let n = Decoder::new(&head).map().unwrap().unwrap();
        let mut newer = Vec::new();
        Encoder::new(&mut newer).map(n + 1).unwrap();
        newer.extend_from_slice(&head[1..]);
        Encoder::new(&mut newer).u8(99).unwrap().str("news").unwrap();
        let read = open(&signed_raw(&newer, b"hello")).unwrap();
        assert_eq!(read.header(), &h);
    }

    #[test]
    fn with_bytes_behind_the_header_are_malformed() {
        let mut head = minicbor::to_vec(header(&[out(b"hello", b"")])).unwrap();
        head.push(0xf6);
        assert_eq!(open(&signed_raw(&head, b"hello")).unwrap_err(), BatchError::Malformed);
    }

    #[test]
    fn without_what_may_be_missing_are_read() {
        let h = header(&[out(b"hello", b"")]);
        let mut head = Vec::new();
        let mut e = Encoder::new(&mut head);
        e.map(6).unwrap();
        e.u8(0).unwrap().bytes(h.topic.as_bytes()).unwrap();
        e.u8(1).unwrap().bytes(h.author.as_bytes()).unwrap();
        e.u8(2).unwrap().u64(h.epoch).unwrap();
        e.u8(3).unwrap().u64(h.first_seq).unwrap();
        e.u8(4).unwrap().u64(h.wall_ms).unwrap();
        e.u8(6).unwrap().array(1).unwrap().u8(5).unwrap();
        let read = open(&signed_raw(&head, b"hello")).unwrap();
        assert_eq!(read.header(), &BatchHeader { previous: None, headers: vec![], apart_ms: None, ..h });
    }
}

#[test]
fn the_fullest_batch_fits_a_frame() {
    let mut h = header(&[]);
    h.payloads = vec![0; MAX_MESSAGES];
    h.headers = vec![0; MAX_MESSAGES];
    (h.epoch, h.first_seq, h.wall_ms) = (u64::MAX, u64::MAX - MAX_MESSAGES as u64, u64::MAX);
    h.previous = Some(Position { epoch: u64::MAX, seq: u64::MAX });
    h.apart_ms = Some(u64::MAX);
    // 64 KiB in messages of 300 bytes and less, so that most lengths take three bytes.
    for i in 0..225 {
        h.payloads[i] = 300;
    }
    let body = vec![1; 225 * 300];
    let bytes = signed(&h, &body);
    assert!(bytes.len() <= tidings_proto::wire::MAX_PAYLOAD);
    assert!(open(&bytes).is_ok());
}
