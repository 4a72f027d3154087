//! Manifests, and contents cut into chunks.

use minicbor::Encoder;

use super::*;

fn encoded(size: u64, chunk_len: u64, hashes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut e = Encoder::new(&mut out);
    e.map(3).unwrap().u8(0).unwrap().u64(size).unwrap().u8(1).unwrap().u64(chunk_len).unwrap();
    e.u8(2).unwrap().bytes(&vec![7; hashes]).unwrap();
    out
}

#[test]
fn the_bytes_are_pinned() {
    let c = Content::of(vec![1; 40_000].into()).unwrap();
    let manifest = c.manifest().encode();
    let hashes = c.chunks().iter().flat_map(|c| *blake3::hash(c).as_bytes()).collect::<Vec<u8>>();
    assert_eq!(manifest[..13], [0xa3, 0, 0x19, 0x9c, 0x40, 1, 0x19, 0x80, 0x00, 2, 0x58, 0x40, hashes[0]]);
    assert_eq!(manifest[12..], hashes);
    let mut id = blake3::Hasher::new_derive_key("tidings 1 content");
    id.update(&40_000_u64.to_le_bytes()).update(&32_768_u32.to_le_bytes()).update(&hashes);
    assert_eq!(c.manifest().id().as_bytes(), id.finalize().as_bytes());
}

#[test]
fn the_largest_manifest_fits_a_message_and_comes_back() {
    for size in [1, MAX_MESSAGE + 1, WHOLE, WHOLE + 1, 60 << 20, (60 << 20) + 1, MAX_LARGE] {
        let c = Content::of(vec![0; size].into()).unwrap();
        let payload = c.manifest().encode();
        assert!(payload.len() <= MAX_MESSAGE, "{size}: {}", payload.len());
        assert_eq!(Manifest::decode(&payload).as_ref(), Ok(&**c.manifest()));
        assert!((0..).zip(c.chunks()).all(|(i, b)| c.manifest().is_chunk(i, b)), "{size}");
    }
}

#[test]
fn over_the_limit_is_refused_before_anything_is_hashed() {
    assert_eq!(Content::of(vec![0; MAX_LARGE + 1].into()).unwrap_err(), ManifestError::TooLarge);
    let mut builder = ContentBuilder::new(None);
    builder.push(&vec![0; MAX_LARGE]).unwrap();
    assert_eq!(builder.push(&[0]), Err(ManifestError::TooLarge));
}

#[test]
fn what_comes_bit_by_bit_is_the_same_content() {
    for (size, expected) in
        [(100, Some(100)), (100_000, Some(100_000)), (3_000_000, Some(3_000_000)), (5_000_000, None)]
    {
        let bytes: Vec<u8> = (0..size).map(|i| i as u8).collect();
        let mut builder = ContentBuilder::new(expected);
        for piece in bytes.chunks(7_001) {
            builder.push(piece).unwrap();
        }
        let message = builder.finish().unwrap();
        match &message.content {
            None => assert_eq!(message.payload, bytes),
            Some(c) => assert_eq!(c.chunks().concat(), bytes),
        }
        assert_eq!(expected.is_some(), message == Outgoing::of(bytes.into()).unwrap(), "{size}");
    }
}

#[test]
fn numbers_that_contradict_each_other_are_malformed() {
    assert!(Manifest::decode(&encoded(100_000, 32_768, 4 * 32)).is_ok());
    for (size, chunk_len, hashes) in [
        (0, 32_768, 0),
        (100_000, 32_768, 3 * 32),
        (100_000, 32_768, 5 * 32),
        (100_000, 32_768, 4 * 32 + 1),
        (100_000, 100, 1_000 * 32),
        (100_000, 100_000, 32),
        (100_000, 0, 4 * 32),
        (u64::MAX, 32_768, 4 * 32),
    ] {
        let e = Manifest::decode(&encoded(size, chunk_len, hashes));
        assert!(e.is_err(), "{size} bytes in chunks of {chunk_len} with {hashes} bytes of hashes");
    }
    let mut trailing = encoded(100_000, 32_768, 4 * 32);
    trailing.push(0);
    assert_eq!(Manifest::decode(&trailing), Err(ManifestError::Malformed));
}

#[test]
fn a_large_message_that_is_no_manifest_is_delivered_and_counted() {
    let (mut d, a, _) = three();
    let header = BatchHeader { large: Some(vec![0]), ..a.header(1, &[b"nonsense"]) };
    d.bring(&a, &a.seal(header, &[b"nonsense"]));
    assert_eq!((d.payloads().len(), d.counters().manifests_malformed), (1, 1));
    assert_eq!(asked(&d, &a), []);
}

#[test]
fn places_out_of_order_or_past_the_batch_are_malformed() {
    let (mut d, a, _) = three();
    for places in [vec![1], vec![0, 0], vec![u16::MAX]] {
        let before = d.counters().batches_malformed;
        d.bring(&a, &a.seal(BatchHeader { large: Some(places), ..a.header(1, &[b"x"]) }, &[b"x"]));
        assert_eq!(d.counters().batches_malformed, before + 1);
    }
}

#[test]
fn any_bytes_are_a_manifest_or_an_error() {
    let good = content(100_000).manifest().encode();
    for bit in 0..good.len() * 8 {
        let mut flipped = good.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = Manifest::decode(&flipped);
    }
    for len in 0..good.len() {
        assert!(Manifest::decode(&good[..len]).is_err());
    }
}
