//! What is remembered of others over a restart.

use super::*;
use tidings_proto::identity::RecordKey;
use tidings_proto::records::sets;

/// A node that has heard an author whose certificate it has, and had time to write.
fn heard(author: &Fake) -> Driven {
    let mut d = node();
    let near = Fake::new(1);
    d.neighbor(&near);
    hear(&mut d, &near, author, &certificate(author));
    d.pass_ms(6_000);
    d
}

fn hear(d: &mut Driven, near: &Fake, author: &Fake, c: &AgentCertificate) {
    let batch = author.seal(BatchHeader { certificate: Some(short(c)), ..author.header(1, &[b"x"]) }, &[b"x"]);
    d.bring(near, &batch);
    send(d, near, c);
    assert_eq!(d.node.agent_of(&author.id).agent(), Some(agent_of(author)));
}

fn again(disk: Disk, wall: u64) -> Driven {
    let mut d = unstarted(77);
    d.disk = disk;
    d.now.wall.0 = wall;
    d.run();
    d.command(Command::Subscribe { topic: news() });
    d
}

type Disk = std::collections::BTreeMap<Bytes, Bytes>;

fn rows(d: &Driven, prefix: &str) -> Vec<Bytes> {
    d.disk.keys().filter(|k| k.starts_with(prefix.as_bytes())).cloned().collect()
}

fn key(author: &Fake) -> Bytes {
    [b"agent/of/", &author.id.0[..]].concat().into()
}

/// What is known of the author when its first message comes, which names its certificate, and whether it was asked for.
fn first_message(d: &mut Driven, author: &Fake) -> (Proof, u64) {
    let near = Fake::new(1);
    d.neighbor(&near);
    d.bring(&near, &naming(author, 2, Some(short(&certificate(author)))));
    (proof(d), d.counters().certificates_asked)
}

#[test]
fn the_first_message_after_a_restart_shows_its_agent() {
    let author = speaker(9, 90);
    let d = heard(&author);
    let mut d = again(d.disk, WALL + 60_000);
    assert_eq!(first_message(&mut d, &author), (Proof::Proven(agent_of(&author)), 0));
}

#[test]
fn and_others_can_have_the_certificate() {
    let author = speaker(9, 90);
    let mut d = again(heard(&author).disk, WALL + 60_000);
    let near = Fake::new(1);
    d.neighbor(&near);
    d.say(&near, AskCertificates { certificates: vec![short(&certificate(&author))] });
    assert_eq!(given(&d, &near), vec![short(&certificate(&author))]);
}

#[test]
fn what_has_expired_meanwhile_is_forgotten() {
    let author = speaker(9, 90);
    let d = again(heard(&author).disk, WALL + 31 * DAY_MS);
    assert_eq!((rows(&d, "agent/of/"), d.node.agent_of(&author.id)), (vec![], Proof::None));
}

#[test]
fn what_was_altered_on_the_disk_proves_nothing() {
    let author = speaker(9, 90);
    let mut disk = heard(&author).disk;
    let mut bytes = disk[&key(&author)].to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    disk.insert(key(&author), bytes.into());
    disk.insert(Bytes::from_static(b"agent/of/rubbish"), Bytes::from_static(b"rubbish"));
    let mut d = again(disk, WALL + 60_000);
    assert_eq!(rows(&d, "agent/of/"), Vec::<Bytes>::new());
    assert_eq!(first_message(&mut d, &author), (Proof::Pending, 1));
}

#[test]
fn what_is_under_another_node_s_name_is_dropped() {
    let (author, other) = (speaker(9, 90), speaker(10, 91));
    let mut disk = heard(&author).disk;
    let bytes = disk.remove(&key(&author)).unwrap();
    disk.insert(key(&other), bytes);
    assert_eq!(rows(&again(disk, WALL + 60_000), "agent/of/"), Vec::<Bytes>::new());
}

#[test]
fn those_who_only_are_here_are_not_written_down() {
    let mut d = node();
    let peer = speaker(1, 90);
    d.neighbor(&peer);
    d.say(&peer, Certified { certificate: short(&certificate(&peer)) });
    send(&mut d, &peer, &certificate(&peer));
    d.pass_ms(6_000);
    assert_eq!((d.node.agent_of(&peer.id).agent(), rows(&d, "agent/of/")), (Some(agent_of(&peer)), vec![]));
}

#[test]
fn a_newer_certificate_takes_the_place_of_the_one_before() {
    let author = speaker(9, 90);
    let mut d = heard(&author);
    let newer = issue(&author, |s| s.serial += 1);
    d.bring(&Fake::new(1), &naming(&author, 2, Some(short(&newer))));
    send(&mut d, &Fake::new(1), &newer);
    d.pass_ms(6_000);
    assert_eq!(d.disk[&key(&author)], *newer.bytes());
}

#[test]
fn only_so_many_authors_are_and_the_first_go_first() {
    let mut d = node();
    let near = Fake::new(1);
    d.neighbor(&near);
    let author = |n: usize| {
        let mut secret = [200; 32];
        secret[..2].copy_from_slice(&(n as u16).to_le_bytes());
        Fake { crypto: port(secret, 90), ..Fake::of(secret) }
    };
    for n in 0..=REMEMBERED {
        hear(&mut d, &near, &author(n), &certificate(&author(n)));
        d.pass_ms(100);
    }
    d.pass_ms(6_000);
    assert_eq!(rows(&d, "agent/of/").len(), REMEMBERED);
    assert!(!d.disk.contains_key(&key(&author(0))) && d.disk.contains_key(&key(&author(REMEMBERED))));
}

/// A node to which a neighbour has brought a stranger's revocation.
fn told_of(goes: &Fake) -> Driven {
    let mut d = node();
    let near = Fake::new(1);
    d.neighbor(&near);
    let revoked = vec![Revoked { node: goes.id, up_to: u64::MAX }];
    let said = Revocations { agent: agent_of(goes), issued_ms: WALL, revoked };
    let bytes = said.sign(&goes.crypto).unwrap();
    let full = FullRecord { set: sets::REVOCATIONS, len: bytes.len() as u16, age: 0, refresh: None };
    let m = Message::from(Records { full: vec![full], fresh: vec![] }).frame_with(bytes);
    d.frame(&near, Lane::Control, m.to_bytes()).unwrap();
    d.pass_ms(6_000);
    d
}

#[test]
fn revocations_are_in_force_after_a_restart_and_said_again() {
    let goes = speaker(9, 90);
    let mut d = again(told_of(&goes).disk, WALL + 60_000);
    let key = RecordKey(agent_of(&goes).0);
    assert!(d.node.records().get(sets::REVOCATIONS, &key).is_some());
    d.neighbor(&goes);
    d.say(&goes, Certified { certificate: short(&certificate(&goes)) });
    send(&mut d, &goes, &certificate(&goes));
    assert_eq!(d.node.agent_of(&goes.id), Proof::Refused(CertificateError::Revoked));
}

#[test]
fn revocations_that_were_altered_or_are_over_are_dropped() {
    let goes = speaker(9, 90);
    let disk = told_of(&goes).disk;
    let (key, bytes) = disk.iter().find(|(k, _)| k.starts_with(b"agent/revoked/")).unwrap();
    let mut forged = bytes.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = Disk::from([(key.clone(), forged.into())]);
    for (disk, wall) in [(forged, WALL), (disk.clone(), WALL + MAX_LIFE_MS + CLOCKS_MS)] {
        let d = again(disk, wall);
        assert_eq!((rows(&d, "agent/revoked/"), d.node.records().len(sets::REVOCATIONS)), (vec![], 0));
    }
}
