//! Giving certificates to those who ask.

use super::*;

struct Stage {
    d: Driven,
    /// Who brought the batch, and who asks.
    near: Fake,
    far: Fake,
    certificate: AgentCertificate,
}

/// A batch that names a certificate has come, and its bearer has been asked.
fn stage() -> Stage {
    let mut d = node();
    let (near, far, author) = (Fake::new(1), Fake::new(2), speaker(9, 90));
    d.neighbor(&near);
    d.neighbor(&far);
    let certificate = certificate(&author);
    d.bring(&near, &naming(&author, 1, Some(short(&certificate))));
    Stage { d, near, far, certificate }
}

fn ask(s: &mut Stage, who: fn(&Stage) -> Fake) {
    let (peer, certificates) = (who(s), vec![short(&s.certificate)]);
    s.d.say(&peer, AskCertificates { certificates });
}

fn far(s: &Stage) -> Fake {
    let _ = &s.far;
    Fake::new(2)
}

fn near(s: &Stage) -> Fake {
    let _ = &s.near;
    Fake::new(1)
}

#[test]
fn a_known_one_is_given() {
    let mut s = stage();
    send(&mut s.d, &s.near, &s.certificate);
    ask(&mut s, far);
    assert_eq!(given(&s.d, &s.far), vec![short(&s.certificate)]);
}

#[test]
fn an_unknown_one_is_denied() {
    let mut s = stage();
    let unknown = CertificateRef([7; 16]);
    s.d.say(&s.far, AskCertificates { certificates: vec![unknown] });
    assert_eq!(denied(&s.d, &s.far), vec![unknown]);
    assert_eq!(s.d.counters().certificates_not_held, 1);
}

#[test]
fn one_that_is_on_its_way_is_given_when_it_comes() {
    let mut s = stage();
    ask(&mut s, far);
    assert!(given(&s.d, &s.far).is_empty() && denied(&s.d, &s.far).is_empty());
    send(&mut s.d, &s.near, &s.certificate);
    assert_eq!(given(&s.d, &s.far), vec![short(&s.certificate)]);
}

#[test]
fn one_that_does_not_come_is_denied_then() {
    let mut s = stage();
    ask(&mut s, far);
    s.d.say(&s.near, NoCertificates { certificates: vec![short(&s.certificate)] });
    assert_eq!(denied(&s.d, &s.far), vec![short(&s.certificate)]);
}

#[test]
fn two_that_ask_each_other_do_not_wait_for_each_other() {
    let mut s = stage();
    ask(&mut s, near);
    assert_eq!(denied(&s.d, &s.near), vec![short(&s.certificate)]);
}

#[test]
fn one_that_was_forged_is_not_passed_on() {
    let mut s = stage();
    ask(&mut s, far);
    let mut forged = s.certificate.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    send_bytes(&mut s.d, &s.near, forged.into());
    assert!(given(&s.d, &s.far).is_empty());
    assert_eq!(denied(&s.d, &s.far), vec![short(&s.certificate)]);
}

#[test]
fn nobody_gets_more_than_a_fair_number() {
    let mut s = stage();
    send(&mut s.d, &s.near, &s.certificate);
    for _ in 0..20 {
        s.d.say(&s.far, AskCertificates { certificates: vec![short(&s.certificate); MAX_CERTIFICATES_ASKED] });
    }
    assert_eq!(given(&s.d, &s.far).len(), 512);
    assert!(s.d.counters().certificates_limited > 0);
    s.d.pass_ms(10_000);
    ask(&mut s, far);
    assert_eq!(given(&s.d, &s.far).len(), 513);
}

#[test]
fn one_that_has_no_room_is_denied_rather_than_owed() {
    let mut s = stage();
    send(&mut s.d, &s.near, &s.certificate);
    s.d.auto_credit = false;
    let asks = Lane::Bulk.budget() / s.certificate.bytes().len() / 64 + 2;
    for _ in 0..asks {
        s.d.pass_ms(10_000);
        s.d.say(&s.far, AskCertificates { certificates: vec![short(&s.certificate); MAX_CERTIFICATES_ASKED] });
    }
    let sent = given(&s.d, &s.far).len() * s.certificate.bytes().len();
    assert!(sent <= Lane::Bulk.budget(), "{sent}");
    assert!(!denied(&s.d, &s.far).is_empty());
}
