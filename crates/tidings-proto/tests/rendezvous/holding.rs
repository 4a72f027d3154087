//! A holder's side.

use super::*;

/// A node that is a holder of everything: there are few others.
fn holder() -> Driven {
    let mut d = Driven::new();
    for n in [1, 2, 3] {
        d.link(&Fake::new(n));
        d.befriend(&Fake::new(n), Overlay::Root);
    }
    d.command(Command::ServeIndex { on: true });
    d.pass_ms(2_100);
    for n in [2, 3] {
        let m = word(&d, n);
        d.say(&Fake::new(n), m);
    }
    d.pass_ms(1_100);
    assert!(d.node.index().contains(&d.id()));
    d.did.clear();
    d
}

fn now(d: &Driven) -> u64 {
    d.now.wall.0
}

fn leave(d: &mut Driven, from: &Fake, w: &Whereabouts, certificate: Option<&AgentCertificate>) -> Registered {
    leave_finding(d, from, w, certificate, false)
}

fn leave_finding(
    d: &mut Driven,
    from: &Fake,
    w: &Whereabouts,
    certificate: Option<&AgentCertificate>,
    find: bool,
) -> Registered {
    if !d.node.links().is_up(&from.id) {
        d.link(from);
    }
    d.did.clear();
    let m = Register { id: 77, statement: w.bytes().to_vec(), find };
    let payload = certificate.map_or(Bytes::new(), |c| c.bytes().clone());
    d.frame(from, Lane::Control, Message::from(m).frame_with(payload).to_bytes()).unwrap();
    let answers = d.sent_to(&from.id);
    match answers[0] {
        Message::Registered(m) => m.clone(),
        other => panic!("{other:?}"),
    }
}

/// What the node answers to a question: the statements, and how long the certificates are.
fn look(d: &mut Driven, subject: [u8; 32], have: Vec<CertificateId>) -> (Vec<Whereabouts>, usize) {
    let asker = Fake::new(99);
    if !d.node.links().is_up(&asker.id) {
        d.link(&asker);
    }
    d.did.clear();
    d.say(&asker, LookUp { id: 5, subject, have: have.into_iter().map(Into::into).collect() });
    let found = |x: &Did| match x {
        Did::Sent { message: Message::Holds(m), payload, .. } => Some((m.clone(), payload.len())),
        _ => None,
    };
    let (m, payload) = d.did.iter().find_map(found).unwrap();
    assert_eq!(m.id, 5);
    (m.statements.into_iter().map(|s| Whereabouts::parse(Bytes::from(Vec::from(s))).unwrap()).collect(), payload)
}

const KEPT: u8 = 0;
const LACKS: u8 = 1;
const NO_HOLDER: u8 = 2;
const NOT_BELIEVED: u8 = 3;

#[test]
fn a_statement_with_its_certificate_is_kept_and_answered_with() {
    let (mut d, s) = (holder(), Somebody::new(90, 9));
    let w = s.says_at(now(&d), false);
    assert_eq!(leave(&mut d, &s.node, &w, Some(&s.certificate)).outcome, KEPT);
    let (said, certificates) = look(&mut d, s.agent.0, vec![]);
    assert_eq!((said, certificates), (vec![w], 2 + s.certificate.bytes().len()));
}

#[test]
fn the_answer_s_id_is_the_question_s() {
    let (mut d, s) = (holder(), Somebody::new(90, 9));
    let w = s.says_at(now(&d), false);
    assert_eq!(leave(&mut d, &s.node, &w, Some(&s.certificate)).id, 77);
}

#[test]
fn a_certificate_that_the_asker_has_is_not_sent() {
    let (mut d, s) = (holder(), Somebody::new(90, 9));
    let w = s.says_at(now(&d), false);
    leave(&mut d, &s.node, &w, Some(&s.certificate));
    assert_eq!(look(&mut d, s.agent.0, vec![s.certificate.id()]), (vec![w], 0));
}

#[test]
fn a_certificate_is_needed_once() {
    let (mut d, s) = (holder(), Somebody::new(90, 9));
    let (w, newer) = (s.says_at(now(&d), false), s.says_at(now(&d) + 1, false));
    assert_eq!(leave(&mut d, &s.node, &w, None).outcome, LACKS);
    assert_eq!(d.node.agents_held(), 0);
    assert_eq!(leave(&mut d, &s.node, &w, Some(&s.certificate)).outcome, KEPT);
    assert_eq!(leave(&mut d, &s.node, &newer, None).outcome, KEPT);
    assert_eq!(look(&mut d, s.agent.0, vec![]).0, [newer]);
}

#[test]
fn the_same_again_is_kept_already() {
    let (mut d, s) = (holder(), Somebody::new(90, 9));
    let w = s.says_at(now(&d), false);
    leave(&mut d, &s.node, &w, Some(&s.certificate));
    assert_eq!(leave(&mut d, &s.node, &w, None).outcome, KEPT);
    assert_eq!(d.node.agents_held(), 1);
}

#[test]
fn an_older_one_replaces_nothing() {
    let (mut d, s) = (holder(), Somebody::new(90, 9));
    let (w, older) = (s.says_at(now(&d), false), s.says_at(now(&d) - 1, false));
    leave(&mut d, &s.node, &w, Some(&s.certificate));
    assert_eq!(leave(&mut d, &s.node, &older, None).outcome, NOT_BELIEVED);
    assert_eq!(look(&mut d, s.agent.0, vec![]).0, [w]);
}

#[test]
fn one_that_takes_it_back_is_answered_with() {
    let (mut d, s) = (holder(), Somebody::new(90, 9));
    let (w, gone) = (s.says_at(now(&d), false), s.says_at(now(&d) + 1, true));
    leave(&mut d, &s.node, &w, Some(&s.certificate));
    leave(&mut d, &s.node, &gone, None);
    assert_eq!(look(&mut d, s.agent.0, vec![]).0, [gone]);
}

#[test]
fn an_agent_s_nodes_are_all_answered_with_the_latest_first() {
    let mut d = holder();
    let (a, b) = (Somebody::new(90, 9), Somebody::new(91, 9));
    let (first, second) = (a.says_at(now(&d), false), b.says_at(now(&d) + 1, false));
    leave(&mut d, &a.node, &first, Some(&a.certificate));
    leave(&mut d, &b.node, &second, Some(&b.certificate));
    assert_eq!(look(&mut d, a.agent.0, vec![]).0, [second, first]);
}

#[test]
fn it_expires() {
    let (mut d, s) = (holder(), Somebody::new(90, 9));
    let w = s.says_at(now(&d), false);
    leave(&mut d, &s.node, &w, Some(&s.certificate));
    d.pass(LEFT_LIFE + Span::from_secs(17 * 60));
    assert_eq!(d.node.agents_held(), 0);
    assert_eq!(look(&mut d, s.agent.0, vec![]).0, []);
}

#[test]
fn of_what_is_not_here_nothing_is_said() {
    let mut d = holder();
    assert_eq!(look(&mut d, [7; 32], vec![]), (vec![], 0));
}

#[test]
fn what_is_not_believed() {
    let (s, liar) = (Somebody::new(90, 9), Somebody::new(66, 6));
    let key = WhereaboutsKey::new(&network());
    let when = (UnixMillis(WALL), LEFT_LIFE);
    let mut forged = s.says_at(WALL, false).bytes().to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let forged = Whereabouts::parse(forged.into()).unwrap();
    let own = |about| Whereabouts::issue(about, liar.node.addr.clone(), when, false, &key, &liar.crypto);
    let cases = [
        ("another's", &liar, s.says_at(WALL, false), &s.certificate),
        ("forged", &s, forged, &s.certificate),
        ("expired", &s, s.says_at(WALL - 3_600_000, false), &s.certificate),
        ("from the future", &s, s.says_at(WALL + 1_000_000, false), &s.certificate),
        (
            "of an agent that is not its own",
            &liar,
            own(About::Agent(s.agent, liar.certificate.id())),
            &liar.certificate,
        ),
        ("by a certificate for another node", &liar, own(About::Agent(s.agent, s.certificate.id())), &s.certificate),
    ];
    for (what, who, w, certificate) in cases {
        let mut d = holder();
        assert_eq!(leave(&mut d, &who.node, &w, Some(certificate)).outcome, NOT_BELIEVED, "{what}");
        assert_eq!(d.node.agents_held(), 0, "{what}");
    }
}

#[test]
fn who_is_far_from_a_shard_holds_nothing_of_it() {
    let mut d = indexed(40);
    let s = Somebody::new(90, 9);
    let w = s.says_at(d.now.wall.0, false);
    assert_eq!(leave(&mut d, &s.node, &w, Some(&s.certificate)).outcome, NO_HOLDER);
    assert_eq!(d.node.agents_held(), 0);
}

#[test]
fn a_flood_of_questions_is_not_answered() {
    let mut d = holder();
    let (asker, other) = (Fake::new(98), Fake::new(99));
    d.link(&asker);
    d.link(&other);
    for _ in 0..200 {
        d.say(&asker, LookUp { id: 1, subject: [1; 32], have: vec![] });
    }
    let answers = |m: &&Message| matches!(m, Message::Holds(_));
    assert_eq!(d.sent_to(&asker.id).into_iter().filter(answers).count(), 64);
    assert_eq!(d.counters().questions_limited, 200 - 64);
    d.say(&other, LookUp { id: 1, subject: [1; 32], have: vec![] });
    assert_eq!(d.sent_to(&other.id).into_iter().filter(answers).count(), 1, "the others' suffer");
}

mod of_topics {
    use super::*;

    fn topic() -> TopicId {
        TopicId([0x70; 32])
    }

    fn join(d: &mut Driven, n: u8, find: bool) -> Registered {
        let w = member(n, topic(), now(d));
        leave_finding(d, &Fake::new(n), &w, None, find)
    }

    fn names(m: &Registered) -> Vec<NodeId> {
        let read = |s: &minicbor::bytes::ByteVec| Whereabouts::parse(Bytes::copy_from_slice(s)).unwrap().node();
        m.members.iter().map(read).collect()
    }

    #[test]
    fn members_are_answered_with_members() {
        let mut d = holder();
        assert_eq!(names(&join(&mut d, 90, true)), []);
        assert_eq!(names(&join(&mut d, 91, true)), [Fake::new(90).id]);
        assert_eq!(names(&join(&mut d, 92, false)), [], "it did not ask");
    }

    #[test]
    fn who_registers_again_and_again_is_no_crowd() {
        let mut d = holder();
        join(&mut d, 90, false);
        for _ in 0..30 {
            d.pass_ms(1_000);
            join(&mut d, 91, false);
        }
        assert_eq!(join(&mut d, 92, false).crowd, 3);
    }

    #[test]
    fn a_question_is_answered_with_members() {
        let mut d = holder();
        join(&mut d, 90, true);
        let (said, _) = look(&mut d, topic().0, vec![]);
        assert_eq!(said.iter().map(Whereabouts::node).collect::<Vec<_>>(), [Fake::new(90).id]);
    }

    #[test]
    fn eight_are_named_and_not_always_the_same() {
        let mut d = holder();
        (100..130).for_each(|n| drop(join(&mut d, n, false)));
        let mut a = names(&join(&mut d, 90, true));
        let mut b = names(&join(&mut d, 91, true));
        assert_eq!((a.len(), b.len()), (8, 8));
        a.sort_unstable();
        b.sort_unstable();
        assert_ne!(a, b);
    }

    #[test]
    fn sixty_four_are_held_and_all_are_counted() {
        let mut d = holder();
        let mut crowd = 0;
        for n in 100..200 {
            crowd = join(&mut d, n, false).crowd;
            let gone = Fake::new(n).id;
            d.input(Input::LinkDown { peer: gone, reason: LinkRefusal::Closed }).unwrap();
        }
        assert_eq!((d.node.agents_held(), crowd), (64, 100));
    }

    #[test]
    fn a_place_that_floods_displaces_its_own() {
        let mut d = holder();
        for n in 100..110 {
            join(&mut d, n, false);
        }
        // One prefix, many ids; the link says where they are.
        for i in 0..200u32 {
            let mut secret = [0x66; 32];
            secret[..4].copy_from_slice(&i.to_le_bytes());
            let crypto = SimCrypto::new(&SecretKey::from_bytes(secret));
            let peer = crypto.node_id();
            let from = Some(at_addr("203.0.113.7:9"));
            d.input(Input::LinkUp { peer, addr: from, outbound: false, rtt: None }).unwrap();
            let node = PeerAddr { id: peer, addrs: vec![at_addr("192.0.2.1:1")] };
            let when = (d.now.wall, LEFT_LIFE);
            let key = WhereaboutsKey::new(&network());
            let w = Whereabouts::issue(About::Topic(topic()), node, when, false, &key, &crypto);
            let m = Register { id: 1, statement: w.bytes().to_vec(), find: false };
            let bytes = Message::from(m).frame().to_bytes();
            d.input(Input::Frame { from: peer, lane: Lane::Control, bytes }).unwrap();
            d.input(Input::LinkDown { peer, reason: LinkRefusal::Closed }).unwrap();
        }
        assert_eq!(d.node.agents_held(), 64);
        let held = (0..40).flat_map(|_| look(&mut d, topic().0, vec![]).0).map(|w| w.node());
        let held: std::collections::BTreeSet<NodeId> = held.collect();
        assert!((100..110).all(|n| held.contains(&Fake::new(n).id)), "honest members were displaced");
    }
}
