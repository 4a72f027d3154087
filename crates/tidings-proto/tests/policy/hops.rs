//! Real cores in a row, each linked to the next: what one of them that heeds no policy gets past the others.

use std::collections::{BTreeMap, VecDeque};

use tidings_proto::node::Node;
use tidings_proto::time::{Now, Time};

use super::*;

/// Nodes in a row. Whoever is not next to another cannot be reached.
struct Row {
    nodes: Vec<Node>,
    ids: Vec<NodeId>,
    disks: Vec<BTreeMap<Bytes, Bytes>>,
    now: Now,
    inputs: VecDeque<(usize, Input)>,
    delivered: Vec<usize>,
    /// Batches' frames received, by node.
    brought: Vec<usize>,
    announced: Vec<usize>,
    replies: Vec<(usize, Reply)>,
}

impl Row {
    /// Nodes that speak for these agents.
    fn new(agents: &[u8]) -> Row {
        let now = Now { mono: Time(1_000_000_000), wall: UnixMillis(WALL) };
        let node = |(n, agent): (u8, &u8)| {
            let setup = NodeSetup {
                secret: SecretKey::from_bytes([n; 32]),
                network: network(),
                config: GossipConfig::default(),
                seed: [n; 32],
            };
            Node::new(setup, Arc::new(port(n, *agent)), now)
        };
        let nodes: Vec<Node> = (1..).zip(agents).map(node).collect();
        let mut row = Row {
            ids: nodes.iter().map(Node::id).collect(),
            disks: vec![BTreeMap::new(); agents.len()],
            delivered: vec![0; agents.len()],
            brought: vec![0; agents.len()],
            announced: vec![0; agents.len()],
            replies: Vec::new(),
            inputs: VecDeque::new(),
            nodes,
            now,
        };
        row.run();
        for n in 0..agents.len() {
            row.command(n, Command::SetAddrs { addrs: vec![addr(n as u8 + 1)] });
            if n > 0 {
                let before = PeerAddr { id: row.ids[n - 1], addrs: vec![addr(n as u8)] };
                row.command(n, Command::Join { peers: vec![before] });
            }
        }
        row.pass(Span::from_secs(2));
        row
    }

    fn command(&mut self, n: usize, command: Command) {
        self.inputs.push_back((n, Input::Command { ticket: Ticket(0), command }));
        self.run();
    }

    fn run(&mut self) {
        loop {
            while let Some((n, input)) = self.inputs.pop_front() {
                let _ = self.nodes[n].handle(self.now, input);
                self.carry_out(n);
            }
            (0..self.nodes.len()).for_each(|n| self.carry_out(n));
            if self.inputs.is_empty() {
                return;
            }
        }
    }

    fn carry_out(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].poll() {
            let at = |peer: &NodeId| self.ids.iter().position(|id| id == peer);
            match output {
                Output::Send { peer, lane, frame } => {
                    let (to, bytes) = (at(&peer).unwrap(), frame.to_bytes());
                    self.inputs.push_back((n, Input::SendCredit { peer, lane, bytes: bytes.len() }));
                    match Message::parse(bytes.clone()).unwrap().unwrap().0 {
                        Message::Gossip(_) | Message::Bundle(_) => self.brought[to] += 1,
                        Message::IHave(m) => self.announced[to] += m.batches.len(),
                        _ => {}
                    }
                    self.inputs.push_back((to, Input::Frame { from: self.ids[n], lane, bytes }));
                }
                Output::Datagram { peer, bytes } => {
                    self.inputs.push_back((at(&peer).unwrap(), Input::Datagram { from: self.ids[n], bytes }));
                }
                Output::Dial { peer, .. } => match at(&peer).filter(|m| m.abs_diff(n) == 1) {
                    Some(m) => {
                        let up = |peer, outbound| Input::LinkUp { peer, addr: None, outbound, rtt: None };
                        self.inputs.push_back((n, up(peer, true)));
                        self.inputs.push_back((m, up(self.ids[n], false)));
                    }
                    None => self.inputs.push_back((n, Input::DialFailed { peer, reason: LinkRefusal::Timeout })),
                },
                Output::Close { peer, .. } => {
                    let down = |peer| Input::LinkDown { peer, reason: LinkRefusal::Closed };
                    self.inputs.push_back((n, down(peer)));
                    self.inputs.extend(at(&peer).map(|m| (m, down(self.ids[n]))));
                }
                Output::Event(Event::Delivered(d)) => self.delivered[n] += if d.own() { 0 } else { d.len() },
                Output::Event(_) => {}
                Output::Reply { reply, .. } => self.replies.push((n, reply)),
                Output::Store { ticket, records } => {
                    for (k, v) in records {
                        match v {
                            Some(v) => drop(self.disks[n].insert(k, v)),
                            None => drop(self.disks[n].remove(&k)),
                        }
                    }
                    self.inputs.push_back((n, Input::Stored { ticket, result: Ok(()) }));
                }
                Output::Load { ticket, prefix } => {
                    let found = self.disks[n].iter().filter(|(k, _)| k.starts_with(&prefix));
                    let result = Ok(found.map(|(k, v)| (k.clone(), v.clone())).collect());
                    self.inputs.push_back((n, Input::Loaded { ticket, result }));
                }
                Output::Append { ticket, .. } => self.inputs.push_back((n, Input::Appended { ticket, result: Ok(()) })),
                Output::ReadLog { ticket, .. } => {
                    self.inputs.push_back((n, Input::LogRead { ticket, result: Ok(LogPage::default()) }));
                }
            }
        }
    }

    /// Lets time pass, in steps of at most a tenth of a second.
    fn pass(&mut self, span: Span) {
        let end = self.now.mono + span;
        while self.now.mono < end {
            let next = self.nodes.iter().filter_map(|n| n.deadline()).map(|(at, _)| at).min().unwrap_or(end);
            let step = next.since(self.now.mono).max(Span::from_micros(1_000)).min(Span::from_millis(100));
            self.now.mono += step;
            self.now.wall.0 = WALL + (self.now.mono.0 - 1_000_000_000) / 1_000;
            for n in 0..self.nodes.len() {
                self.inputs.push_back((n, Input::Tick));
            }
            self.run();
        }
    }

    /// All on the topic, those in `heedless` without its policy.
    fn subscribe(&mut self, (terms, topic): (TopicTerms, TopicId), heedless: &[usize]) {
        for n in 0..self.nodes.len() {
            if !heedless.contains(&n) {
                self.command(n, Command::Unlock { topic, terms: terms.clone() });
            }
            self.command(n, Command::Subscribe { topic });
        }
        self.pass(Span::from_secs(3));
    }

    fn publish(&mut self, n: usize, topic: TopicId) {
        self.command(n, Command::Publish { topic, message: out(b"x") });
    }

    fn kept(&self, n: usize) -> usize {
        self.nodes[n].topics().iter().map(|t| t.cached_messages).sum()
    }
}

#[test]
fn a_real_core_that_heeds_no_policy_gets_nothing_past_its_neighbours() {
    let mut row = Row::new(&[80, 71, 72, 73]);
    let (terms, topic) = terms(TopicPolicy::new(Some(agent(OWNER)), [agent(73)]).unwrap());
    row.subscribe((terms, topic), &[0]);
    for _ in 0..20 {
        row.publish(0, topic);
        row.pass(Span::from_millis(1_100));
    }
    row.command(0, Command::Reconcile { topic });
    row.command(2, Command::Reconcile { topic });
    row.pass(Span::from_secs(60));
    assert_eq!(row.kept(0), 20, "its own core has taken them");
    assert_eq!(row.delivered[1..], [0; 3]);
    assert_eq!([row.kept(1), row.kept(2), row.kept(3)], [0; 3]);
    assert!(row.brought[1] > 0, "it has tried");
    assert_eq!((row.brought[2], row.brought[3]), (0, 0), "passed on");
    assert_eq!(row.announced[2..], [0, 0], "announced");
    assert!(row.nodes[1].counters().batches_unauthorised > 0);
    // Who may is heard by all, the heedless one as well.
    row.publish(3, topic);
    row.pass(Span::from_secs(5));
    assert_eq!(row.delivered[..3], [1; 3]);
}

#[test]
fn a_capability_travels_with_what_is_published_by_it() {
    let mut row = Row::new(&[71, 72, 73, 74, 75]);
    let (terms, topic) = owned();
    row.subscribe((terms, topic), &[]);
    let c = capability(71, |_| {});
    row.command(0, Command::AcceptCapability { capability: c.bytes().clone() });
    row.publish(0, topic);
    row.pass(Span::from_secs(2));
    assert_eq!(row.delivered[1..], [1; 4]);
    for n in 1..5 {
        assert_eq!(row.nodes[n].counters().capabilities_verified, 1);
    }
    assert_eq!(row.nodes[0].counters().capabilities_served, 1, "each asks whoever brought it");
    row.publish(0, topic);
    row.pass(Span::from_secs(1));
    assert_eq!(row.delivered[1..], [2; 4]);
    assert_eq!(row.nodes[0].counters().capabilities_served, 1);
}

#[test]
fn who_comes_later_has_the_history_of_those_who_may_with_what_proves_it() {
    let mut row = Row::new(&[71, 72, 73]);
    let (terms, topic) = owned();
    for n in 0..2 {
        row.command(n, Command::Unlock { topic, terms: terms.clone() });
        row.command(n, Command::Subscribe { topic });
    }
    row.command(0, Command::AcceptCapability { capability: capability(71, |_| {}).bytes().clone() });
    row.pass(Span::from_secs(2));
    row.publish(0, topic);
    row.pass(Span::from_secs(10));
    assert_eq!(row.delivered, [0, 1, 0]);
    row.command(2, Command::Unlock { topic, terms });
    row.command(2, Command::Subscribe { topic });
    row.command(2, Command::History { topic, query: HistoryQuery::default() });
    row.pass(Span::from_secs(20));
    let histories = row.replies.iter().filter_map(|(_, r)| match r {
        Reply::History(all) => Some(all.len()),
        _ => None,
    });
    assert_eq!(histories.sum::<usize>() + row.delivered[2], 1);
}
