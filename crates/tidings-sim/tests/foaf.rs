//! What each node on the way of a query can learn: everything that every node receives is written down, and is held
//! against `docs/discovery.md`.
#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tidings_proto::io::{Command, Ticket};
use tidings_proto::rng::Rng;
use tidings_proto::time::Span;
use tidings_proto::wire::Message;
use tidings_sim::{Heard, Network, Options, Scenario};

const NODES: u32 = 120;
const QUERIES: usize = 450;

/// One query: who asked for whom, and all that nodes received because of it.
struct Query {
    asker: u32,
    target: u32,
    /// By whom it was received, from whom, and with how much of the stem left.
    asked: Vec<(u32, u32, u8)>,
    /// The answers, hop by hop: by whom, from whom.
    answers: Vec<(u32, u32)>,
    ids: Vec<u64>,
    frames: Vec<Bytes>,
}

fn queries() -> (Network, Vec<Query>) {
    let mut net = Network::new(&Options::new(Scenario::Find { lookups: 1 }), 4);
    let mut rng = Rng::derive(&[3; 32], "foaf test", &[]);
    for n in 0..NODES {
        net.add();
        if n > 0 {
            let peers = vec![net.peer_addr(rng.below(n as usize) as u32)];
            net.command(n, Ticket(0), Command::Join { peers });
        }
        net.run_for(Span::from_millis(50));
    }
    net.run_for(Span::from_secs(10));
    // Few can be found, so that walks are long.
    for n in 0..NODES / 10 {
        net.command(n, Ticket(0), Command::AdvertiseSelf { on: true });
    }
    net.run_for(Span::from_secs(20));
    net.record();
    let mut out = Vec::new();
    for _ in 0..QUERIES {
        let asker = NODES / 2 + rng.below(NODES as usize / 2) as u32;
        // Half of them ask for somebody who cannot be found.
        let target = rng.below(NODES as usize / 5) as u32;
        let agent = net.agent(target);
        net.recorded();
        net.command(asker, Ticket(0), Command::FindAgent { agent });
        net.run_for(Span::from_secs(2));
        let q = query(asker, target, net.recorded());
        if !q.asked.is_empty() {
            out.push(q);
        }
    }
    (net, out)
}

fn query(asker: u32, target: u32, heard: Vec<Heard>) -> Query {
    let mut q = Query { asker, target, asked: vec![], answers: vec![], ids: vec![], frames: vec![] };
    for h in heard {
        match Message::parse(h.frame.clone()) {
            Ok(Some((Message::Seek(m), _))) => {
                q.asked.push((h.to, h.from, m.stem));
                q.ids.push(m.id);
            }
            Ok(Some((Message::Found(_), _))) => q.answers.push((h.to, h.from)),
            Ok(Some((Message::NotFound(_), _))) => {}
            _ => continue,
        }
        q.frames.push(h.frame);
    }
    q
}

fn contains(frame: &Bytes, what: &[u8]) -> bool {
    frame.windows(what.len()).any(|w| w == what)
}

#[test]
fn what_each_hop_learns() {
    let (net, queries) = queries();
    assert!(queries.len() > QUERIES / 2, "{} are too few to mean anything", queries.len());
    let found = queries.iter().filter(|q| !q.answers.is_empty()).count();
    assert!(found > 20, "{found}");
    for q in &queries {
        no_frame_names_anybody(&net, q);
        every_hop_has_an_id_of_its_own(q);
        nobody_but_neighbours_talk_to_each_other(q);
    }
    nobody_on_the_way_has_seen_all_of_it(&queries);
    who_answers_has_not_heard_of_the_asker(&queries);
    the_odds_that_a_hop_was_reached_by_the_asker(&queries);
}

/// Neither the agent, nor its node, nor the asker, nor anybody else is named in what travels.
fn no_frame_names_anybody(net: &Network, q: &Query) {
    for f in &q.frames {
        assert!(!contains(f, net.agent(q.target).as_bytes()), "the agent is named");
        for n in 0..NODES {
            assert!(!contains(f, net.id(n).as_bytes()), "a node is named");
        }
    }
}

fn every_hop_has_an_id_of_its_own(q: &Query) {
    let distinct: BTreeSet<u64> = q.ids.iter().copied().collect();
    assert_eq!(distinct.len(), q.ids.len());
}

/// Answers go the way back, link by link.
fn nobody_but_neighbours_talk_to_each_other(q: &Query) {
    let links: BTreeSet<(u32, u32)> = q.asked.iter().map(|(to, from, _)| (*to, *from)).collect();
    for (to, from) in &q.answers {
        assert!(links.contains(&(*from, *to)), "an answer took a short cut");
    }
}

/// A node knows the links it is an end of; that is never the whole way unless the way is one link.
fn nobody_on_the_way_has_seen_all_of_it(queries: &[Query]) {
    let mut longest = 0;
    for q in queries.iter().filter(|q| !q.answers.is_empty()) {
        let back: BTreeMap<u32, u32> = q.answers.iter().map(|(to, from)| (*to, *from)).collect();
        let (mut at, mut way) = (q.asker, Vec::new());
        while let Some(next) = back.get(&at) {
            way.push((at, *next));
            at = *next;
        }
        longest = longest.max(way.len());
        if way.len() > 2 {
            for n in way.iter().map(|(a, _)| *a).chain([at]) {
                assert!(way.iter().any(|(a, b)| *a != n && *b != n), "{n} is an end of every link of {way:?}");
            }
        }
    }
    assert!(longest > 3, "no way was long enough to mean anything: {longest}");
}

/// It hears from the hop before it. Only when that is the asker itself, it is spoken to by the asker, and cannot tell.
fn who_answers_has_not_heard_of_the_asker(queries: &[Query]) {
    for q in queries {
        let passed_back: BTreeSet<u32> = q.answers.iter().map(|(to, _)| *to).collect();
        for (_, by) in q.answers.iter().filter(|(_, by)| !passed_back.contains(by)) {
            let heard: Vec<_> = q.asked.iter().filter(|(to, ..)| to == by).collect();
            let from_asker = heard.iter().filter(|(_, from, _)| *from == q.asker).count();
            assert!(from_asker == 0 || heard.iter().all(|(_, _, stem)| *stem > 0), "asked directly, behind the stem");
        }
    }
}

/// Four in seven at the end of a stem, two in three one hop before, always two hops before.
fn the_odds_that_a_hop_was_reached_by_the_asker(queries: &[Query]) {
    let odds = |left: u8| {
        let all = queries.iter().flat_map(|q| q.asked.iter().map(move |a| (q.asker, a)));
        let at: Vec<bool> = all.filter(|(_, a)| a.2 == left).map(|(asker, a)| a.1 == asker).collect();
        (at.iter().filter(|yes| **yes).count() as f64 / at.len() as f64, at.len())
    };
    let (last, n) = odds(1);
    assert!((last - 4.0 / 7.0).abs() < 0.12, "{last} of {n}");
    let (before, n) = odds(2);
    assert!((before - 2.0 / 3.0).abs() < 0.2, "{before} of {n}");
    assert_eq!(odds(3).0, 1.0);
    let (behind, _) = odds(0);
    assert!(behind < 0.05, "behind the stem {behind} were asked by the asker itself");
}
