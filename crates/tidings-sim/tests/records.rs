//! The network's records: each node has all of them soon, and no other.

use tidings_proto::identity::RecordKey;
use tidings_proto::io::{Command, Ticket};
use tidings_proto::records::{sets, signed};
use tidings_proto::time::{Span, UnixMillis};
use tidings_proto::wire::ChainValue;
use tidings_sim::{Network, Options, Scenario};

const DAY: Span = Span::from_secs(24 * 3_600);
/// Above all versions of the nodes' own beacons, which are in the same set.
const FAR: u64 = 1 << 63;
const WALL: u64 = 1_767_225_600_000;

fn network(nodes: u32, seed: u64) -> Network {
    let mut net = Network::new(&Options::new(Scenario::DETECT), seed);
    for i in 0..nodes {
        add(&mut net, i.checked_sub(1).map(|last| (u64::from(i) * 7_919 + seed) as u32 % (last + 1)));
        net.run_for(Span::from_millis(50));
    }
    net
}

fn add(net: &mut Network, contact: Option<u32>) -> u32 {
    let n = net.add();
    if let Some(c) = contact {
        let peers = vec![net.peer_addr(c)];
        net.command(n, Ticket(0), Command::Join { peers });
    }
    n
}

/// Node `n` publishes version `version` of its record.
fn put(net: &mut Network, n: u32, version: u64) {
    let issued = UnixMillis(WALL + net.now().0 / 1000);
    let said = signed::Statement { version: FAR + version, issued, life: DAY, anchor: ChainValue([n as u8; 16]) };
    let record = net.sign_record(n, sets::PRESENCE, &said, format!("{n} says {version}").as_bytes());
    net.put_record(n, sets::PRESENCE, record);
}

/// How many nodes have this version of the record of `n`.
fn having(net: &Network, n: u32, version: u64) -> usize {
    let key = RecordKey::from(net.id(n));
    let all = (0..net.len() as u32).filter_map(|m| net.node(m));
    all.filter(|node| node.records().get(sets::PRESENCE, &key).is_some_and(|r| r.claim.version == FAR + version))
        .count()
}

#[test]
fn what_each_node_puts_every_node_has() {
    let mut net = network(100, 1);
    net.run_for(Span::from_secs(5));
    for n in 0..100 {
        put(&mut net, n, 1);
        net.run_for(Span::from_millis(20));
    }
    net.run_for(Span::from_secs(2));
    for n in 0..100 {
        assert_eq!(having(&net, n, 1), 100, "the record of {n}");
    }
}

#[test]
fn a_newcomer_has_them_all_at_once() {
    let mut net = network(60, 2);
    net.run_for(Span::from_secs(5));
    for n in 0..60 {
        put(&mut net, n, 1);
    }
    net.run_for(Span::from_secs(5));
    let newcomer = add(&mut net, Some(17));
    net.run_for(Span::from_secs(2));
    assert_eq!(net.node(newcomer).map(|n| n.records().len(sets::PRESENCE)), Some(61), "its own included");
}

#[test]
fn the_highest_version_stands_everywhere_whoever_was_away() {
    let mut net = network(40, 3);
    net.run_for(Span::from_secs(5));
    for n in 0..40 {
        put(&mut net, n, 1);
    }
    net.run_for(Span::from_secs(5));
    let side: Vec<u32> = (0..20).collect();
    net.partition(&side);
    net.run_for(Span::from_secs(60));
    for n in [3, 33] {
        put(&mut net, n, 2);
    }
    net.run_for(Span::from_secs(5));
    assert_eq!((having(&net, 3, 2), having(&net, 33, 2)), (20, 20), "the halves hear of each other");
    net.heal();
    net.run_for(Span::from_secs(90));
    assert_eq!((having(&net, 3, 2), having(&net, 33, 2)), (40, 40));
}

#[test]
fn what_is_over_is_gone_everywhere_and_does_not_come_back() {
    let mut net = network(30, 4);
    net.run_for(Span::from_secs(5));
    let issued = UnixMillis(WALL + net.now().0 / 1000);
    let said = signed::Statement { version: FAR + 1, issued, life: Span::from_secs(60), anchor: ChainValue([0; 16]) };
    let record = net.sign_record(7, sets::PRESENCE, &said, b"for a minute");
    net.put_record(7, sets::PRESENCE, record.clone());
    net.run_for(Span::from_secs(55));
    let late = add(&mut net, Some(11));
    net.run_for(Span::from_secs(4));
    assert_eq!(having(&net, 7, 1), 31, "{late} came late");
    net.run_for(Span::from_secs(6));
    assert_eq!(having(&net, 7, 1), 0);
    net.put_record(7, sets::PRESENCE, record);
    net.run_for(Span::from_secs(40));
    assert_eq!(having(&net, 7, 1), 0);
}
