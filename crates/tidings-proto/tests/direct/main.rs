//! Direct messages between two real cores, with everything between them in the test's hands.

#[path = "../common/mod.rs"]
mod common;

mod forged;
mod restarts;
mod sending;

use common::*;
use tidings_proto::config::GossipConfig;
use tidings_proto::crypto::SimCrypto;
use tidings_proto::identity::{AgentSecret, NodeId, PeerAddr, SecretKey};
use tidings_proto::io::*;
use tidings_proto::messaging::Received;
use tidings_proto::wire::*;

/// A frame between the two.
#[derive(Clone, Debug)]
pub(crate) struct Passing {
    /// By the first of the two.
    pub(crate) by_first: bool,
    pub(crate) lane: Lane,
    pub(crate) message: Message,
    pub(crate) payload: bytes::Bytes,
}

pub(crate) struct Pair {
    pub(crate) ends: [Driven; 2],
    seen: [usize; 2],
    /// All that is about direct messages, in order.
    pub(crate) passed: Vec<Passing>,
    /// Whether what is about direct messages arrives.
    pub(crate) open: bool,
}

pub(crate) fn node(n: u8, disk: std::collections::BTreeMap<bytes::Bytes, bytes::Bytes>, wall: u64) -> Driven {
    let agent = AgentSecret::from_bytes([n; 32]);
    let port = SimCrypto::with_agent(&SecretKey::from_bytes([n; 32]), &agent);
    let mut d = Driven::with_port(GossipConfig::default(), n, port);
    d.auto_ack = false;
    d.disk = disk;
    d.now.wall.0 = wall;
    d.run();
    d.command(Command::SetAddrs { addrs: vec![addr(n)] });
    d
}

impl Pair {
    /// Two neighbours that know each other's agents.
    pub(crate) fn new() -> Pair {
        let ends = [node(1, Default::default(), WALL), node(2, Default::default(), WALL)];
        let mut p = Pair { ends, seen: [0, 0], passed: Vec::new(), open: true };
        p.meet();
        p
    }

    pub(crate) fn meet(&mut self) {
        let peer = PeerAddr { id: self.ends[1].id(), addrs: vec![addr(2)] };
        self.ends[0].command(Command::Join { peers: vec![peer] });
        self.pass(3_000);
        let known = |d: &Driven, of: NodeId| d.node.agent_of(&of).agent().is_some();
        assert!(known(&self.ends[0], self.ends[1].id()) && known(&self.ends[1], self.ends[0].id()));
    }

    pub(crate) fn id(&self, end: usize) -> NodeId {
        self.ends[end].id()
    }

    /// Carries what each has said to the other until both are silent.
    pub(crate) fn carry(&mut self) {
        loop {
            let mut any = false;
            for end in [0, 1] {
                while self.seen[end] < self.ends[end].did.len() {
                    any = true;
                    let at = self.seen[end];
                    self.seen[end] += 1;
                    self.carry_one(end, at);
                }
            }
            if !any {
                return;
            }
        }
    }

    fn carry_one(&mut self, end: usize, at: usize) {
        let (from, to) = (self.id(end), self.id(1 - end));
        match &self.ends[end].did[at] {
            Did::Dialed(peer) if *peer == to => {
                for (of, peer, outbound) in [(end, to, true), (1 - end, from, false)] {
                    let up = Input::LinkUp {
                        peer,
                        addr: None,
                        outbound,
                        rtt: Some(tidings_proto::time::Span::from_millis(1)),
                    };
                    let _ = self.ends[of].input(up);
                }
            }
            Did::Sent { to: peer, lane, message, payload } if *peer == to => {
                let p = Passing { by_first: end == 0, lane: *lane, message: message.clone(), payload: payload.clone() };
                let direct = matches!(message.tag(), 108..=111);
                if direct {
                    self.passed.push(p.clone());
                }
                if self.open || !direct {
                    self.deliver(&p);
                }
            }
            Did::Datagram { to: peer, message } if *peer == to => {
                let bytes = message.frame().to_bytes();
                let _ = self.ends[1 - end].input(Input::Datagram { from, bytes });
            }
            Did::Closed(peer, _) if *peer == to => {
                let _ = self.ends[1 - end].input(Input::LinkDown { peer: from, reason: LinkRefusal::Closed });
            }
            _ => {}
        }
    }

    /// Something arrives that may or may not have been sent.
    pub(crate) fn deliver(&mut self, p: &Passing) {
        let (from, to) = if p.by_first { (0, 1) } else { (1, 0) };
        let from = self.id(from);
        let bytes = p.message.frame_with(p.payload.clone()).to_bytes();
        let _ = self.ends[to].input(Input::Frame { from, lane: p.lane, bytes });
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(50) {
            self.carry();
            for end in [0, 1] {
                self.ends[end].pass_ms(50);
            }
        }
        self.carry();
    }

    pub(crate) fn send(&mut self, end: usize, body: &[u8]) -> Ticket {
        let ticket = self.hand_in(end, body);
        self.ends[end].run();
        self.carry();
        ticket
    }

    /// Hands one in; the turn goes on.
    pub(crate) fn hand_in(&mut self, end: usize, body: &[u8]) -> Ticket {
        let other = 1 - end;
        let to = PeerAddr { id: self.id(other), addrs: vec![addr(other as u8 + 1)] };
        let agent = self.ends[other].node.agent_id().unwrap();
        self.ends[end].hand_in_command(Command::SendDirect { to, agent, body: body.to_vec().into() })
    }

    pub(crate) fn is_delivered(&self, end: usize, ticket: Ticket) -> bool {
        matches!(self.ends[end].reply(ticket), Some(Reply::Delivered(d)) if d.node == self.id(1 - end))
    }

    /// What an end's program was shown.
    pub(crate) fn shown(&self, end: usize) -> Vec<Received> {
        let direct = |d: &Did| match d {
            Did::Event(Event::Direct(r)) => Some((**r).clone()),
            _ => None,
        };
        self.ends[end].did.iter().filter_map(direct).collect()
    }

    pub(crate) fn texts(&self, end: usize) -> Vec<String> {
        self.shown(end).iter().map(|r| String::from_utf8(r.body.to_vec()).unwrap()).collect()
    }

    /// The link breaks at both ends.
    pub(crate) fn cut(&mut self) {
        for end in [0, 1] {
            let peer = self.id(1 - end);
            let _ = self.ends[end].input(Input::LinkDown { peer, reason: LinkRefusal::Timeout });
        }
        self.carry();
    }

    /// One end is killed and starts again on its disk.
    pub(crate) fn restart(&mut self, end: usize) {
        let (disk, wall) = (std::mem::take(&mut self.ends[end].disk), self.ends[end].now.wall.0);
        self.cut();
        self.ends[end] = node(end as u8 + 1, disk, wall);
        self.seen[end] = 0;
    }

    pub(crate) fn count(&self, tag: u8) -> usize {
        self.passed.iter().filter(|p| p.message.tag() == tag).count()
    }
}
