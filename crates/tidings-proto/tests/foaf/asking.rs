//! Queries of this node's own.

use super::*;
use tidings_proto::discovery::{How, Located};

fn find(d: &mut Driven, agent: AgentId) -> Ticket {
    d.command(Command::FindAgent { agent })
}

fn located(d: &Driven, ticket: Ticket) -> &[Located] {
    match d.reply(ticket) {
        Some(Reply::Located(search)) => &search.found,
        other => panic!("not located but {other:?}"),
    }
}

#[test]
fn a_query_names_neither_the_agent_nor_the_asker() {
    let mut d = among(6);
    let agent = AgentId([0xab; 32]);
    find(&mut d, agent);
    let (_, m) = &passed_on(&d)[0];
    let bytes = Message::from(m.clone()).frame().to_bytes();
    let contains = |id: &[u8]| bytes.windows(8).any(|w| id.windows(8).any(|i| i == w));
    assert!(!contains(agent.as_bytes()) && !contains(d.id().as_bytes()));
}

#[test]
fn two_queries_for_one_agent_look_different() {
    let mut d = among(6);
    find(&mut d, AgentId([0xab; 32]));
    find(&mut d, AgentId([0xab; 32]));
    let on = passed_on(&d);
    assert_eq!(on.len(), 2);
    let (a, b) = (&on[0].1, &on[1].1);
    assert!(a.salt != b.salt && a.target != b.target && a.key != b.key && a.id != b.id);
}

#[test]
fn a_query_begins_with_a_stem_of_one_to_three() {
    let mut d = among(6);
    for n in 0..60 {
        find(&mut d, AgentId([n; 32]));
    }
    let mut stems = [0; 5];
    passed_on(&d).iter().for_each(|(_, m)| stems[usize::from(m.stem)] += 1);
    assert_eq!((stems[0], stems[4]), (0, 0));
    assert!(stems[1] > stems[2] && stems[2] > stems[3] && stems[3] > 0, "{stems:?}");
}

#[test]
fn what_is_found_is_told_with_its_age() {
    let (mut d, sought) = (among(6), Somebody::new(90));
    let ticket = find(&mut d, sought.agent);
    let (through, m) = passed_on(&d).remove(0);
    let said = sought.says_at(WALL - 120_000, LIFE, false);
    found(&mut d, &peer(through), m.id, seal(&m, &sought.agent, &[(&said, &sought.certificate)]));
    let l = &located(&d, ticket)[0];
    assert_eq!((l.agent, l.node, &l.addrs), (sought.agent, sought.node.id, &sought.node.addr.addrs));
    assert_eq!((l.how, l.age, l.left), (How::Foaf, Span::from_secs(120), Span::from_secs(3_480)));
}

#[test]
fn of_several_nodes_the_latest_to_speak_comes_first() {
    let (a, b) = (Somebody::new(90), Somebody::with(91, 90, |_| {}));
    let mut d = among(6);
    let ticket = find(&mut d, a.agent);
    let (through, m) = passed_on(&d).remove(0);
    let (old, new) = (a.says_at(WALL - 1_000, LIFE, false), b.says());
    let sealed = seal(&m, &a.agent, &[(&old, &a.certificate), (&new, &b.certificate)]);
    found(&mut d, &peer(through), m.id, sealed);
    let nodes: Vec<NodeId> = located(&d, ticket).iter().map(|l| l.node).collect();
    assert_eq!(nodes, [b.node.id, a.node.id]);
}

#[test]
fn nothing_found_is_told() {
    let mut d = among(6);
    let ticket = find(&mut d, AgentId([9; 32]));
    let (through, m) = passed_on(&d).remove(0);
    d.say(&peer(through), NotFound { id: m.id });
    assert_eq!(located(&d, ticket), []);
}

#[test]
fn this_node_s_own_agent_is_not_asked_for() {
    let mut d = with_neighbors(Driven::agent(&secret(44)), 3);
    let own = Somebody::with(200, 44, |_| {}).agent;
    let ticket = find(&mut d, own);
    assert_eq!(located(&d, ticket)[0].how, How::Own);
    assert_eq!(passed_on(&d), []);
}

#[test]
fn who_is_known_here_is_not_asked_for() {
    let (mut d, sought) = (among(6), Somebody::new(90));
    deposit(&mut d, &Fake::new(2), &sought.says(), &sought.certificate, 0);
    let ticket = find(&mut d, sought.agent);
    assert_eq!(located(&d, ticket)[0].how, How::Known);
    assert_eq!(passed_on(&d), []);
}

#[test]
fn a_query_that_comes_back_is_not_passed_on() {
    let mut d = among(6);
    find(&mut d, AgentId([9; 32]));
    let (_, m) = passed_on(&d).remove(0);
    d.did.clear();
    d.say(&Fake::new(3), Seek { id: 5, stem: 0, ttl: 3, ..m });
    assert_eq!(passed_on(&d), []);
    assert_eq!(answers(&d), [(Fake::new(3).id, 5, None)]);
}

#[test]
fn silence_is_answered_by_another_stem_with_another_query() {
    let mut d = among(6);
    find(&mut d, AgentId([9; 32]));
    let (first, m) = passed_on(&d).remove(0);
    d.did.clear();
    d.pass_ms(9_100);
    let on = passed_on(&d);
    assert_eq!(on.len(), 1);
    assert!(on[0].0 != first && on[0].1.salt != m.salt && on[0].1.key != m.key);
}

#[test]
fn silence_is_told_within_half_a_minute() {
    let mut d = among(6);
    let ticket = find(&mut d, AgentId([9; 32]));
    d.pass_ms(30_000);
    assert_eq!(located(&d, ticket), []);
    assert!(passed_on(&d).len() <= 3);
}

#[test]
fn a_node_without_neighbours_waits_for_one() {
    let mut d = Driven::new();
    let ticket = find(&mut d, AgentId([9; 32]));
    d.pass_ms(2_000);
    assert_eq!(d.reply(ticket), None);
    d = with_neighbors(d, 1);
    d.pass_ms(600);
    assert_eq!(passed_on(&d).len(), 1);
}

#[test]
fn a_node_that_stays_alone_says_so_within_half_a_minute() {
    let mut d = Driven::new();
    let ticket = find(&mut d, AgentId([9; 32]));
    d.pass_ms(31_000);
    assert_eq!(located(&d, ticket), []);
}

#[test]
fn too_many_queries_at_once_are_refused() {
    let mut d = among(6);
    for n in 0..64 {
        find(&mut d, AgentId([n; 32]));
    }
    let ticket = find(&mut d, AgentId([99; 32]));
    assert_eq!(d.reply(ticket), Some(&Reply::Refused(CommandError::TooManyQueries { limit: 64 })));
}

/// Answers that are not believed, and do not keep a good one out that comes after them.
mod an_answer_is_refused {
    use super::*;

    fn after(bad: impl Fn(&Seek, &Somebody) -> Bytes) {
        let (mut d, sought) = (among(6), Somebody::new(90));
        let ticket = find(&mut d, sought.agent);
        let (through, m) = passed_on(&d).remove(0);
        found(&mut d, &peer(through), m.id, bad(&m, &sought));
        assert_eq!(d.reply(ticket), None, "believed");
        assert_eq!(d.counters().answers_forged, 1);
    }

    #[test]
    fn that_does_not_open() {
        after(|_, _| Bytes::from_static(&[7; 300]));
        after(|_, _| Bytes::new());
    }

    #[test]
    fn that_is_empty() {
        after(|m, s| seal(m, &s.agent, &[]));
    }

    #[test]
    fn that_is_about_another_agent() {
        let other = Somebody::new(91);
        after(move |m, s| seal(m, &s.agent, &[(&other.says(), &other.certificate)]));
    }

    #[test]
    fn that_has_expired() {
        after(|m, s| seal(m, &s.agent, &[(&s.says_at(WALL - 5 * 3_600_000, LIFE, false), &s.certificate)]));
    }

    #[test]
    fn that_was_withdrawn() {
        after(|m, s| seal(m, &s.agent, &[(&s.says_at(WALL, LIFE, true), &s.certificate)]));
    }

    #[test]
    fn that_the_agent_has_not_certified() {
        // A liar's own node and certificate, under the agent's name.
        let liar = Somebody::new(66);
        after(move |m, s| {
            let key = WhereaboutsKey::new(&network());
            let (id, when) = (liar.certificate.id(), (UnixMillis(WALL), LIFE));
            let w =
                Whereabouts::issue(About::Agent(s.agent, id), liar.node.addr.clone(), when, false, &key, &liar.crypto);
            seal(m, &s.agent, &[(&w, &liar.certificate)])
        });
    }

    #[test]
    fn that_names_the_agent_s_certificate_for_another_node() {
        let liar = Somebody::new(66);
        after(move |m, s| {
            let key = WhereaboutsKey::new(&network());
            let (id, when) = (s.certificate.id(), (UnixMillis(WALL), LIFE));
            let w =
                Whereabouts::issue(About::Agent(s.agent, id), liar.node.addr.clone(), when, false, &key, &liar.crypto);
            seal(m, &s.agent, &[(&w, &s.certificate)])
        });
    }

    #[test]
    fn and_a_good_one_behind_it_counts() {
        let (mut d, sought) = (among(6), Somebody::new(90));
        let ticket = find(&mut d, sought.agent);
        let (through, m) = passed_on(&d).remove(0);
        found(&mut d, &peer(through), m.id, Bytes::from_static(&[7; 300]));
        found(&mut d, &peer(through), m.id, seal(&m, &sought.agent, &[(&sought.says(), &sought.certificate)]));
        assert_eq!(located(&d, ticket).len(), 1);
    }
}
