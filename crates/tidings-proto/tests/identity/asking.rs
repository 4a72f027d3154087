//! How a node learns whose agent an author is.

use super::*;

struct Stage {
    d: Driven,
    /// Who brings the batch, and another neighbour.
    near: Fake,
    other: Fake,
    /// Speaks for an agent; not linked.
    author: Fake,
    certificate: AgentCertificate,
}

impl Stage {
    fn new() -> Stage {
        let mut d = node();
        let (near, other, author) = (Fake::new(1), Fake::new(2), speaker(9, 90));
        d.neighbor(&near);
        d.neighbor(&other);
        let certificate = certificate(&author);
        Stage { d, near, other, author, certificate }
    }

    fn name(&self) -> CertificateRef {
        short(&self.certificate)
    }

    /// A batch that names the certificate has come.
    fn named() -> Stage {
        let mut s = Stage::new();
        s.bring(1);
        s
    }

    fn bring(&mut self, seq: u64) {
        let batch = naming(&self.author, seq, Some(self.name()));
        self.d.bring(&self.near, &batch);
    }

    fn known() -> Stage {
        let mut s = Stage::named();
        send(&mut s.d, &s.near, &s.certificate);
        s
    }
}

#[test]
fn the_neighbour_that_brought_the_name_is_asked_and_nobody_else() {
    let s = Stage::named();
    assert_eq!(asked(&s.d, &s.near, s.name()), 1);
    assert_eq!(asked(&s.d, &s.other, s.name()), 0);
    assert_eq!(proof(&s.d), Proof::Pending);
    assert_eq!(s.d.node.author_pending(&last(&s.d)), Some(s.name()));
}

#[test]
fn the_answer_proves_the_author() {
    let s = Stage::known();
    assert_eq!(proof(&s.d), Proof::Proven(agent_of(&s.author)));
    assert_eq!(told(&s.d), vec![(s.author.id, Some(agent_of(&s.author)))]);
    assert_eq!(settled(&s.d), vec![s.name()]);
    assert_eq!(s.d.node.author_pending(&last(&s.d)), None);
}

#[test]
fn no_message_waits_for_it() {
    let s = Stage::named();
    assert_eq!(s.d.payloads(), vec![Bytes::from_static(b"x")]);
}

#[test]
fn a_batch_that_names_nothing_is_by_whom_the_others_of_its_epoch_are() {
    let mut s = Stage::known();
    let batch = naming(&s.author, 2, None);
    s.d.bring(&s.near, &batch);
    assert_eq!(proof(&s.d), Proof::Proven(agent_of(&s.author)));
}

#[test]
fn a_batch_of_another_epoch_that_names_nothing_is_by_nobody() {
    let mut s = Stage::known();
    let header = BatchHeader { epoch: 2, previous: Some(at(1, 1)), ..s.author.header(1, &[b"y"]) };
    let batch = s.author.seal(header, &[b"y"]);
    s.d.bring(&s.near, &batch);
    assert_eq!(proof(&s.d), Proof::None);
}

#[test]
fn a_known_certificate_is_not_asked_for_again() {
    let mut s = Stage::known();
    s.bring(2);
    assert_eq!(asked(&s.d, &s.near, s.name()), 1);
    assert_eq!(s.d.counters().certificates_verified, 1);
}

#[test]
fn one_that_is_being_asked_for_is_not_asked_for_again() {
    let mut s = Stage::named();
    s.bring(2);
    assert_eq!(asked(&s.d, &s.near, s.name()), 1);
}

#[test]
fn who_does_not_answer_is_followed_by_who_else_brought_the_name() {
    let mut s = Stage::named();
    let batch = naming(&s.author, 2, Some(s.name()));
    s.d.bring(&s.other, &batch);
    s.d.pass_ms(1_000);
    assert_eq!(asked(&s.d, &s.other, s.name()), 1);
    assert_eq!(s.d.counters().certificates_timed_out, 1);
}

#[test]
fn who_has_it_not_is_followed_at_once() {
    let mut s = Stage::named();
    let batch = naming(&s.author, 2, Some(s.name()));
    s.d.bring(&s.other, &batch);
    s.d.say(&s.near, NoCertificates { certificates: vec![s.name()] });
    assert_eq!(asked(&s.d, &s.other, s.name()), 1);
}

#[test]
fn who_leaves_is_followed_at_once() {
    let mut s = Stage::named();
    let batch = naming(&s.author, 2, Some(s.name()));
    s.d.bring(&s.other, &batch);
    s.d.input(Input::LinkDown { peer: s.near.id, reason: LinkRefusal::Goodbye }).unwrap();
    assert_eq!(asked(&s.d, &s.other, s.name()), 1);
}

#[test]
fn who_comes_late_is_still_heard() {
    let mut s = Stage::named();
    let batch = naming(&s.author, 2, Some(s.name()));
    s.d.bring(&s.other, &batch);
    s.d.pass_ms(1_000);
    send(&mut s.d, &s.near, &s.certificate);
    assert_eq!(proof(&s.d), Proof::Proven(agent_of(&s.author)));
}

#[test]
fn a_program_waits_no_longer_than_for_the_first_answer() {
    let mut s = Stage::named();
    s.d.pass_ms(999);
    assert!(settled(&s.d).is_empty());
    let batch = naming(&s.author, 2, Some(s.name()));
    s.d.bring(&s.other, &batch);
    s.d.pass_ms(1);
    assert_eq!((settled(&s.d), proof(&s.d)), (vec![s.name()], Proof::Pending));
    assert_eq!(s.d.node.author_pending(&last(&s.d)), None);
}

#[test]
fn what_nobody_has_is_not_asked_for_again_for_a_minute() {
    let mut s = Stage::named();
    s.d.say(&s.near, NoCertificates { certificates: vec![s.name()] });
    assert_eq!(proof(&s.d), Proof::Lacking);
    assert_eq!(settled(&s.d), vec![s.name()]);
    s.d.pass_ms(59_000);
    s.bring(2);
    assert_eq!(asked(&s.d, &s.near, s.name()), 1);
    s.d.pass_ms(1_000);
    s.bring(3);
    assert_eq!(asked(&s.d, &s.near, s.name()), 2);
}

#[test]
fn a_neighbours_own_is_asked_of_itself() {
    let mut d = node();
    let peer = speaker(1, 90);
    d.neighbor(&peer);
    let c = certificate(&peer);
    d.say(&peer, Certified { certificate: short(&c) });
    assert_eq!(asked(&d, &peer, short(&c)), 1);
    send(&mut d, &peer, &c);
    assert_eq!(d.node.agent_of(&peer.id), Proof::Proven(agent_of(&peer)));
    let shown = d.node.peers().into_iter().find(|p| p.id == peer.id).unwrap();
    assert_eq!(shown.agent, Some(agent_of(&peer)));
}

#[test]
fn the_old_certificate_holds_while_a_new_one_is_on_its_way() {
    let mut s = Stage::known();
    let new = issue(&s.author, |c| c.serial += 1);
    let batch = naming(&s.author, 2, Some(short(&new)));
    s.d.bring(&s.near, &batch);
    assert_eq!(asked(&s.d, &s.near, short(&new)), 1);
    assert_eq!(proof(&s.d), Proof::Proven(agent_of(&s.author)));
    send(&mut s.d, &s.near, &new);
    assert_eq!(proof(&s.d), Proof::Proven(agent_of(&s.author)));
}

#[test]
fn an_older_certificate_named_later_changes_nothing() {
    let mut s = Stage::new();
    let new = issue(&s.author, |c| c.serial += 1);
    for (seq, c) in [(1, &new), (2, &s.certificate)] {
        let batch = naming(&s.author, seq, Some(short(c)));
        s.d.bring(&s.near, &batch);
        send(&mut s.d, &s.near, c);
    }
    let batch = naming(&s.author, 3, None);
    s.d.bring(&s.near, &batch);
    assert_eq!(s.d.node.agent_of(&s.author.id), Proof::Proven(agent_of(&s.author)));
    assert_eq!(s.d.node.newest_certificates(&agent_of(&s.author)), vec![(s.author.id, short(&new))]);
}

#[test]
fn a_node_that_names_another_certificate_each_time_is_not_followed() {
    let mut s = Stage::known();
    for seq in 2..16 {
        let nonsense = CertificateRef([seq as u8; 16]);
        let batch = naming(&s.author, seq, Some(nonsense));
        s.d.bring(&s.near, &batch);
        s.d.pass_ms(100);
        assert_eq!(asked(&s.d, &s.near, nonsense), usize::from(seq < 6));
    }
    assert_eq!(s.d.counters().certificates_limited, 10);
    s.d.pass_ms(60_000);
    let batch = naming(&s.author, 16, Some(CertificateRef([16; 16])));
    s.d.bring(&s.near, &batch);
    assert_eq!(asked(&s.d, &s.near, CertificateRef([16; 16])), 1);
}

#[test]
fn how_many_are_asked_for_at_once_is_bounded() {
    let mut d = node();
    let near = Fake::new(1);
    d.neighbor(&near);
    for n in 0..1_500_u32 {
        let secret = *blake3::hash(&n.to_le_bytes()).as_bytes();
        let author = Fake { crypto: port(secret, 90), ..Fake::new(1) };
        let author = Fake { id: author.crypto.node_id(), ..author };
        let named = CertificateRef(secret[..16].try_into().unwrap());
        d.bring(&near, &naming(&author, 1, Some(named)));
    }
    assert_eq!((d.counters().certificates_asked, d.counters().certificates_limited), (1_024, 476));
}
