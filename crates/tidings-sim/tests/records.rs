//! The network's records: each node has all of them soon, and no other.

use tidings_proto::identity::RecordKey;
use tidings_proto::io::{Command, Ticket};
use tidings_proto::records::{sets, signed};
use tidings_proto::time::{Span, UnixMillis};
use tidings_proto::wire::ChainValue;
use tidings_sim::{CrashKind, Network, Options, Scenario};

const DAY: Span = Span::from_secs(24 * 3_600);
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
    let said = signed::Statement { version, issued, life: DAY, anchor: ChainValue([n as u8; 16]) };
    let record = net.sign_record(n, sets::PRESENCE, &said, format!("{n} says {version}").as_bytes());
    net.put_record(n, sets::PRESENCE, record);
}

/// How many nodes have this version of the record of `n`.
fn having(net: &Network, n: u32, version: u64) -> usize {
    let key = RecordKey::from(net.id(n));
    let all = (0..net.len() as u32).filter_map(|m| net.node(m));
    all.filter(|node| node.records().get(sets::PRESENCE, &key).is_some_and(|r| r.claim.version == version)).count()
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
