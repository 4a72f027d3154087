//! Many unknown authors at once.

use super::*;

/// An author nobody knows, with a certificate nobody has.
fn nobody(n: u32) -> Fake {
    let mut secret = [n as u8; 32];
    secret[..4].copy_from_slice(&n.to_le_bytes());
    Fake::of(secret)
}

fn unknown(n: u32, topic: TopicId) -> Batch {
    let author = nobody(n);
    let mut name = [7; 16];
    name[..4].copy_from_slice(&n.to_le_bytes());
    let header = BatchHeader { topic, certificate: Some(CertificateRef(name)), ..author.header(1, &[b"x"]) };
    author.seal(header, &[b"x"])
}

#[test]
fn one_neighbour_takes_a_quarter_of_the_places_and_the_rest_costs_no_signature() {
    let (terms, topic) = listed();
    let (mut d, friends) = scene((terms, topic));
    for n in 0..2_000 {
        d.bring(&friends[0], &unknown(n, topic));
    }
    let c = d.counters();
    assert_eq!((c.batches_unproven, c.batches_unproven_shed, c.batches_forged), (256, 1_744, 0));
    assert!(c.certificates_asked <= 256);
    // Who is asked through another neighbour gets in.
    let author = speaker(9, 71);
    d.bring(&friends[1], &batch(&author, topic, None));
    give(&mut d, &friends[1], &certificate(&author));
    assert_eq!(delivered(&d), 1);
    // And later also through the same.
    d.pass(Span::from_secs(6));
    let late = speaker(10, 72);
    d.bring(&friends[0], &batch_at(&late, topic, None, 1, d.now.wall.0));
    give(&mut d, &friends[0], &certificate(&late));
    assert_eq!(delivered(&d), 2);
}

#[test]
fn forgeries_are_no_more_than_that() {
    let (terms, topic) = listed();
    let (mut d, friends) = scene((terms, topic));
    let b = unknown(1, topic);
    let mut bytes = b.bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    d.frame(&friends[0], Lane::Data, gossip_bytes(bytes.into()).to_bytes()).unwrap();
    let c = d.counters();
    assert_eq!((c.batches_forged, c.batches_unproven, c.certificates_asked), (1, 0, 0));
}
