//! Neighbours that went silent are looked for, taken back, and remembered across restarts.

mod common;

use common::*;
use tidings_proto::config::GossipConfig;
use tidings_proto::identity::NodeId;
use tidings_proto::io::*;
use tidings_proto::time::Span;
use tidings_proto::wire::*;

fn full() -> (Driven, Vec<Fake>) {
    let mut d = Driven::new();
    let neighbors: Vec<Fake> = (1..11).map(Fake::new).collect();
    for f in &neighbors {
        d.link(f);
        d.befriend(f, Overlay::Root);
        d.pass_ms(10);
    }
    d.did.clear();
    (d, neighbors)
}

fn dies(d: &mut Driven, peer: &Fake) {
    d.input(Input::LinkDown { peer: peer.id, reason: LinkRefusal::Silent }).unwrap();
}

fn up(d: &mut Driven, peer: NodeId) {
    d.input(Input::LinkUp { peer, addr: None, outbound: true, rtt: Some(Span::from_millis(9)) }).unwrap();
}

/// Others take the free places.
fn fill_up(d: &mut Driven) {
    for f in (20..30).map(Fake::new) {
        if d.node.active_view(Overlay::Root).len() < 10 {
            d.link(&f);
            d.befriend(&f, Overlay::Root);
            d.pass_ms(10);
        }
    }
    d.did.clear();
}

/// When each dial happened, in ms; each fails.
fn dials(d: &mut Driven, seconds: u64) -> Vec<(u64, NodeId)> {
    let began = d.now.mono;
    let mut all = Vec::new();
    for _ in 0..seconds * 4 {
        d.did.clear();
        d.pass_ms(250);
        for x in std::mem::take(&mut d.did) {
            if let Did::Dialed(peer) = x {
                all.push((d.now.mono.since(began).as_millis(), peer));
                d.input(Input::DialFailed { peer, reason: LinkRefusal::Timeout }).unwrap();
            }
        }
    }
    all
}

#[test]
fn those_lost_together_are_looked_for_every_few_seconds() {
    let (mut d, neighbors) = full();
    for f in &neighbors[..5] {
        dies(&mut d, f);
    }
    fill_up(&mut d);
    let lost: Vec<NodeId> = neighbors[..5].iter().map(|f| f.id).collect();
    let n = dials(&mut d, 120);
    assert!((45..=90).contains(&n.len()), "{} dials in two minutes", n.len());
    assert!(n.iter().all(|(_, p)| lost.contains(p)));
    assert!(lost.iter().all(|l| n.iter().any(|(_, p)| p == l)), "all of them");
}

#[test]
fn those_lost_together_are_looked_for_for_ever() {
    let (mut d, neighbors) = full();
    for f in &neighbors[..5] {
        dies(&mut d, f);
    }
    fill_up(&mut d);
    dials(&mut d, 3_600);
    assert!((8..=40).contains(&dials(&mut d, 600).len()));
}

#[test]
fn one_lost_alone_is_left_to_the_failure_detector() {
    let (mut d, neighbors) = full();
    dies(&mut d, &neighbors[4]);
    fill_up(&mut d);
    dials(&mut d, 600);
    assert_eq!(dials(&mut d, 3_600), []);
}

#[test]
fn who_says_goodbye_is_not_looked_for() {
    let (mut d, neighbors) = full();
    for f in &neighbors[..5] {
        d.input(Input::LinkDown { peer: f.id, reason: LinkRefusal::Goodbye }).unwrap();
    }
    fill_up(&mut d);
    assert_eq!(dials(&mut d, 120), []);
}

#[test]
fn a_full_node_takes_a_lost_neighbour_back_by_an_exchange() {
    let (mut d, neighbors) = full();
    for f in &neighbors[5..8] {
        dies(&mut d, f);
    }
    fill_up(&mut d);
    let lost = &neighbors[6];
    up(&mut d, lost.id);
    let asked: Vec<Exchange> = d
        .sent_to(&lost.id)
        .iter()
        .filter_map(|m| match m {
            Message::Exchange(x) => Some(x.clone()),
            _ => None,
        })
        .collect();
    let [x] = &asked[..] else { panic!("{asked:?}") };
    assert!(d.node.active_view(Overlay::Root).contains(&x.old.id), "one of ours");
    let old = x.old.id;
    d.did.clear();
    d.say(lost, NeighborReply { overlay: None, accept: true, others: vec![], sketch: Sketch::default(), me: None });
    let view = d.node.active_view(Overlay::Root);
    assert!(view.contains(&lost.id) && !view.contains(&old) && view.len() == 10, "{view:?}");
    assert!(matches!(d.sent_to(&old)[..], [Message::Disconnect(Disconnect { reason: 3, instead: None, .. }), ..]));
}

#[test]
fn who_is_asked_for_an_exchange_sends_one_of_its_own_to_the_askers() {
    let (mut d, neighbors) = full();
    let (asker, old) = (Fake::new(30), Fake::new(31));
    d.link(&asker);
    let before = d.node.active_view(Overlay::Root);
    d.say(&asker, Exchange { overlay: None, me: asker.addr.clone(), old: old.addr.clone(), near: false });
    let after = d.node.active_view(Overlay::Root);
    assert!(after.contains(&asker.id) && after.len() == 10);
    let gone: Vec<&NodeId> = before.iter().filter(|p| !after.contains(p)).collect();
    assert_eq!(gone.len(), 1);
    let told = d.sent_to(gone[0]);
    assert!(told.iter().any(|m| matches!(m, Message::Disconnect(x) if x.instead == Some(old.addr.clone()))));
    assert!(neighbors[..5].iter().all(|f| after.contains(&f.id)), "the older half stays");
}

#[test]
fn a_flood_of_exchanges_is_limited() {
    let (mut d, neighbors) = full();
    for n in 100..180 {
        let f = Fake::new(n);
        d.link(&f);
        d.say(&f, Exchange { overlay: None, me: f.addr.clone(), old: f.addr.clone(), near: false });
    }
    let after = d.node.active_view(Overlay::Root);
    assert!(neighbors.iter().filter(|f| after.contains(&f.id)).count() >= 5);
    assert!(d.counters().neighbors_replaced <= 5);
}

#[test]
fn neighbours_are_written_and_visited_after_a_restart() {
    let (mut d, neighbors) = full();
    d.pass(Span::from_secs(11));
    let mut d = d.restart(Span::from_secs(60));
    let ids: Vec<NodeId> = neighbors.iter().map(|f| f.id).collect();
    let mut all = Vec::new();
    for x in std::mem::take(&mut d.did) {
        if let Did::Dialed(peer) = x {
            all.push(peer);
            d.input(Input::DialFailed { peer, reason: LinkRefusal::Timeout }).unwrap();
        }
    }
    all.extend(dials(&mut d, 60).into_iter().map(|(_, p)| p));
    let tries = all.len();
    all.sort_unstable();
    all.dedup();
    assert!(all.iter().all(|p| ids.contains(p)) && all.len() == 10, "{} of 10 in {tries} tries", all.len());
    assert!(!dials(&mut d, 600).is_empty(), "for ever");
}

#[test]
fn bootstrap_peers_are_visited_before_the_remembered() {
    let (mut d, neighbors) = full();
    d.pass(Span::from_secs(11));
    let mut d2 = Driven::unloaded(GossipConfig::default());
    d2.disk = std::mem::take(&mut d.disk);
    let way = Fake::new(77);
    d2.hand_in_command(Command::Join { peers: vec![way.addr.clone()] });
    d2.run();
    let all = dials(&mut d2, 20);
    assert_eq!(all[0].1, way.id);
    assert!(all.iter().any(|(_, p)| neighbors.iter().any(|f| f.id == *p)), "the remembered come second");
}

#[test]
fn peers_are_written_rarely() {
    let (mut d, _) = full();
    d.pass(Span::from_secs(11));
    d.did.clear();
    d.pass(Span::from_secs(600));
    assert!(!d.did.iter().any(|x| matches!(x, Did::Stored(_))), "nothing changed");
    let f = Fake::new(40);
    d.link(&f);
    d.say(&f, Exchange { overlay: None, me: f.addr.clone(), old: f.addr.clone(), near: false });
    d.pass(Span::from_secs(600));
    assert_eq!(d.did.iter().filter(|x| matches!(x, Did::Stored(_))).count(), 1);
}

#[test]
fn the_last_neighbours_are_written_at_a_goodbye() {
    let (mut d, _) = full();
    d.command(Command::Leave);
    assert!(d.disk.keys().any(|k| k.as_ref() == b"member/peers"));
}

#[test]
fn a_record_of_peers_that_makes_no_sense_is_counted() {
    let mut d = Driven::unloaded(GossipConfig::default());
    d.disk.insert("member/peers".into(), "nonsense".into());
    d.run();
    assert_eq!(d.counters().storage_failures, 1);
}

#[test]
fn peers_that_could_not_be_written_are_written_later() {
    let (mut d, _) = full();
    d.store_result = Err(StoreError("full".into()));
    d.pass(Span::from_secs(11));
    assert_eq!(d.counters().storage_failures, 1);
    d.store_result = Ok(());
    d.pass(Span::from_secs(301));
    assert!(d.disk.keys().any(|k| k.as_ref() == b"member/peers"));
}
