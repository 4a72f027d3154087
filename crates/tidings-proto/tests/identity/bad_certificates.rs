//! Certificates that do not hold.

use super::*;

struct Stage {
    d: Driven,
    near: Fake,
    other: Fake,
    author: Fake,
}

/// A batch has come whose author names `certificate`, by two neighbours.
fn named(author: Fake, certificate: &AgentCertificate) -> Stage {
    let mut d = node();
    let (near, other) = (Fake::new(1), Fake::new(2));
    d.neighbor(&near);
    d.neighbor(&other);
    d.bring(&near, &naming(&author, 1, Some(short(certificate))));
    d.bring(&other, &naming(&author, 2, Some(short(certificate))));
    Stage { d, near, other, author }
}

/// What is known of an author whose certificate is this.
fn proof_with(certificate: &AgentCertificate) -> Proof {
    let mut s = named(speaker(9, 90), certificate);
    send(&mut s.d, &s.near, certificate);
    let proof = proof(&s.d);
    assert!(proof.agent().is_none() && s.d.node.agent_of(&s.author.id).agent().is_none());
    assert_eq!(told(&s.d), vec![]);
    assert!(s.d.counters().certificates_refused == 1 && settled(&s.d).len() == 1);
    proof
}

#[test]
fn of_another_node_proves_nothing() {
    let c = issue(&speaker(9, 90), |s| s.node = NodeId([8; 32]));
    assert_eq!(proof_with(&c), Proof::Refused(CertificateError::Other));
}

#[test]
fn that_has_expired_proves_nothing() {
    let c = issue(&speaker(9, 90), |s| (s.issued_ms, s.expires_ms) = (WALL - DAY_MS, WALL - CLOCKS_MS));
    assert_eq!(proof_with(&c), Proof::Refused(CertificateError::Expired));
}

#[test]
fn from_the_future_proves_nothing() {
    let c = issue(&speaker(9, 90), |s| s.issued_ms = WALL + CLOCKS_MS + 1);
    assert_eq!(proof_with(&c), Proof::Refused(CertificateError::Future));
}

#[test]
fn with_too_long_a_life_proves_nothing() {
    let c = issue(&speaker(9, 90), |s| s.expires_ms = s.issued_ms + MAX_LIFE_MS + 1);
    assert_eq!(proof_with(&c), Proof::Refused(CertificateError::Limit));
}

#[test]
fn of_a_clock_ten_minutes_ahead_or_behind_proves_what_it_says() {
    for issued_ms in [WALL + 600_000, WALL - 600_000] {
        let author = speaker(9, 90);
        let c = issue(&author, |s| s.issued_ms = issued_ms);
        let mut s = named(author, &c);
        send(&mut s.d, &s.near, &c);
        assert_eq!(proof(&s.d), Proof::Proven(agent_of(&s.author)));
    }
}

#[test]
fn expires_while_it_is_known() {
    let author = speaker(9, 90);
    let c = issue(&author, |s| s.expires_ms = WALL + 5_000);
    let mut s = named(author, &c);
    send(&mut s.d, &s.near, &c);
    assert_eq!(proof(&s.d), Proof::Proven(agent_of(&s.author)));
    s.d.pass_ms(5_000 + CLOCKS_MS + 60_000);
    assert_eq!(s.d.node.agent_of(&s.author.id), Proof::Refused(CertificateError::Expired));
}

#[test]
fn that_is_forged_is_asked_of_another() {
    let author = speaker(9, 90);
    let c = certificate(&author);
    let mut s = named(author, &c);
    let mut forged = c.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    send_bytes(&mut s.d, &s.near, forged.into());
    assert_eq!(s.d.counters().certificates_refused, 1);
    assert_eq!(asked(&s.d, &s.other, short(&c)), 1);
    send(&mut s.d, &s.other, &c);
    assert_eq!(proof(&s.d), Proof::Proven(agent_of(&s.author)));
}

#[test]
fn with_another_key_is_asked_of_another() {
    let author = speaker(9, 90);
    let c = certificate(&author);
    let mut s = named(author, &c);
    let mut swapped = c.bytes().to_vec();
    let key = swapped.len() - 3309 - 1952;
    swapped[key] ^= 1;
    send_bytes(&mut s.d, &s.near, swapped.into());
    assert_eq!(asked(&s.d, &s.other, short(&c)), 1);
}

#[test]
fn that_is_forged_by_everybody_proves_nothing() {
    let author = speaker(9, 90);
    let c = certificate(&author);
    let mut s = named(author, &c);
    let mut forged = c.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    send_bytes(&mut s.d, &s.near, forged.clone().into());
    send_bytes(&mut s.d, &s.other, forged.into());
    assert_eq!(proof(&s.d), Proof::Refused(CertificateError::Forged));
}

#[test]
fn nobody_asked_for_are_dropped() {
    let author = speaker(9, 90);
    let c = certificate(&author);
    let mut s = named(author, &c);
    // Of another, by another, and after it has come.
    send(&mut s.d, &s.near, &certificate(&speaker(10, 91)));
    send(&mut s.d, &s.other, &c);
    assert_eq!(proof(&s.d), Proof::Pending);
    send(&mut s.d, &s.near, &c);
    send(&mut s.d, &s.near, &c);
    assert_eq!((s.d.counters().certificates_unexpected, s.d.counters().certificates_verified), (3, 1));
}

#[test]
fn that_are_none_are_counted() {
    let author = speaker(9, 90);
    let c = certificate(&author);
    let mut s = named(author, &c);
    for bytes in [&b""[..], b"x", &[0; 5_263], &[255; 9_000]] {
        send_bytes(&mut s.d, &s.near, Bytes::copy_from_slice(bytes));
    }
    assert_eq!(s.d.counters().certificates_refused + s.d.counters().certificates_unexpected, 4);
    assert_eq!(proof(&s.d), Proof::Pending);
}

#[test]
fn answers_that_there_is_none_count_only_from_who_was_asked() {
    let author = speaker(9, 90);
    let c = certificate(&author);
    let mut s = named(author, &c);
    s.d.say(&s.other, NoCertificates { certificates: vec![short(&c)] });
    assert_eq!(s.d.counters().certificates_unexpected, 1);
    assert_eq!(asked(&s.d, &s.other, short(&c)), 0);
}

#[test]
fn named_in_a_forged_batch_are_not_asked_for() {
    let mut d = node();
    let (near, author) = (Fake::new(1), speaker(9, 90));
    d.neighbor(&near);
    let batch = naming(&author, 1, Some(short(&certificate(&author))));
    let mut forged = batch.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    d.frame(&near, Lane::Data, gossip_bytes(forged.into()).to_bytes()).unwrap();
    assert_eq!((d.counters().certificates_asked, d.counters().batches_forged), (0, 1));
}

#[test]
fn on_another_lane_are_refused() {
    let mut d = node();
    let near = speaker(1, 90);
    d.neighbor(&near);
    let frame = Message::from(Certificate {}).frame_with(certificate(&near).bytes().clone());
    assert!(d.frame(&near, Lane::Control, frame.to_bytes()).is_err());
    assert_eq!(d.counters().frames_wrong_lane, 1);
}
