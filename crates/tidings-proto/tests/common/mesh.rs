//! Some real cores, with everything between them in the test's hands.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;

use bytes::Bytes;
use tidings_proto::config::GossipConfig;
use tidings_proto::crypto::SimCrypto;
use tidings_proto::identity::{AgentSecret, NodeId, PeerAddr, SecretKey};
use tidings_proto::io::*;
use tidings_proto::messaging::{Delivered, MessageStatus};
use tidings_proto::wire::*;

use super::common::*;

/// What is between two nodes on a link.
#[derive(Clone, Debug)]
pub(crate) struct Passing {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) lane: Lane,
    pub(crate) message: Message,
    pub(crate) payload: bytes::Bytes,
}

/// What becomes of a frame: nothing, itself, or others.
type Fate = Box<dyn FnMut(Passing) -> Vec<Passing>>;

/// Some nodes, and who can dial whom.
pub(crate) struct Mesh {
    pub(crate) nodes: Vec<Driven>,
    seen: Vec<usize>,
    /// Pairs of which the first cannot dial the second.
    pub(crate) barred: Vec<(usize, usize)>,
    pub(crate) links: Vec<(usize, usize)>,
    pub(crate) fate: Option<Fate>,
    /// Envelopes that were on a link, in order.
    pub(crate) envelopes: Vec<Passing>,
    down: Vec<usize>,
}

pub(crate) fn node(n: u8) -> Driven {
    agent_node(n, n)
}

pub(crate) fn agent_node(n: u8, agent: u8) -> Driven {
    on_disk(n, agent, BTreeMap::new(), WALL)
}

fn on_disk(n: u8, agent: u8, disk: BTreeMap<Bytes, Bytes>, wall: u64) -> Driven {
    let agent = AgentSecret::from_bytes([agent; 32]);
    let port = SimCrypto::with_agent(&SecretKey::from_bytes([n; 32]), &agent);
    let mut d = Driven::with_port(GossipConfig::default(), n, port);
    d.auto_ack = false;
    d.disk = disk;
    d.now.wall.0 = wall;
    d.run();
    d.command(Command::SetAddrs { addrs: vec![addr(n)] });
    d
}

impl Mesh {
    pub(crate) fn of(nodes: Vec<Driven>, barred: &[(usize, usize)]) -> Mesh {
        let seen = vec![0; nodes.len()];
        let barred = barred.to_vec();
        let mut m = Mesh { nodes, seen, barred, links: vec![], fate: None, envelopes: vec![], down: vec![] };
        for n in 1..m.nodes.len() {
            let to = (0..n).find(|to| !m.barred.contains(&(n, *to))).unwrap();
            let peers = vec![m.peer(to)];
            m.nodes[n].command(Command::Join { peers });
            m.pass(500);
        }
        m.pass(15_000);
        m
    }

    pub(crate) fn id(&self, n: usize) -> NodeId {
        self.nodes[n].id()
    }

    pub(crate) fn peer(&self, n: usize) -> PeerAddr {
        PeerAddr { id: self.id(n), addrs: vec![addr(n as u8 + 1)] }
    }

    fn index(&self, id: &NodeId) -> Option<usize> {
        self.nodes.iter().position(|n| n.id() == *id).filter(|n| !self.down.contains(n))
    }

    pub(crate) fn is_linked(&self, a: usize, b: usize) -> bool {
        self.links.contains(&(a.min(b), a.max(b)))
    }

    /// Carries what was said until all are silent.
    pub(crate) fn carry(&mut self) {
        let mut carried = 0;
        loop {
            let mut any = false;
            for n in 0..self.nodes.len() {
                while self.seen[n] < self.nodes[n].did.len() {
                    any = true;
                    carried += 1;
                    assert!(carried < 1_000_000, "they never fall silent");
                    let at = self.seen[n];
                    self.seen[n] += 1;
                    self.carry_one(n, at);
                }
            }
            if !any {
                return;
            }
        }
    }

    fn carry_one(&mut self, n: usize, at: usize) {
        let from = self.id(n);
        match &self.nodes[n].did[at] {
            Did::Dialed(peer) => {
                let peer = *peer;
                let to = self.index(&peer).filter(|to| !self.barred.contains(&(n, *to)) && !self.down.contains(&n));
                let Some(to) = to else {
                    let failed = Input::DialFailed { peer, reason: LinkRefusal::Timeout };
                    let _ = self.nodes[n].input(failed);
                    return;
                };
                if self.is_linked(n, to) {
                    return;
                }
                self.links.push((n.min(to), n.max(to)));
                for (of, peer, outbound, addr) in
                    [(n, peer, true, addr(to as u8 + 1)), (to, from, false, addr(n as u8 + 1))]
                {
                    let rtt = Some(tidings_proto::time::Span::from_millis(10));
                    let _ = self.nodes[of].input(Input::LinkUp { peer, addr: Some(addr), outbound, rtt });
                }
            }
            Did::Sent { to: peer, lane, message, payload } => {
                let Some(to) = self.index(peer).filter(|to| self.is_linked(n, *to)) else { return };
                let p = Passing { from: n, to, lane: *lane, message: message.clone(), payload: payload.clone() };
                if matches!(p.message, Message::Envelope(_)) {
                    self.envelopes.push(p.clone());
                }
                let all = match &mut self.fate {
                    Some(fate) => fate(p),
                    None => vec![p],
                };
                all.into_iter().for_each(|p| self.deliver(&p));
            }
            Did::Datagram { to: peer, message } => {
                let Some(to) = self.index(peer).filter(|to| self.is_linked(n, *to)) else { return };
                let bytes = message.frame().to_bytes();
                let _ = self.nodes[to].input(Input::Datagram { from, bytes });
            }
            Did::Closed(peer, _) => {
                let Some(to) = self.index(peer) else { return };
                self.links.retain(|l| *l != (n.min(to), n.max(to)));
                let _ = self.nodes[to].input(Input::LinkDown { peer: from, reason: LinkRefusal::Closed });
            }
            _ => {}
        }
    }

    /// Something arrives that may or may not have been sent.
    pub(crate) fn deliver(&mut self, p: &Passing) {
        let from = self.id(p.from);
        let bytes = p.message.frame_with(p.payload.clone()).to_bytes();
        let _ = self.nodes[p.to].input(Input::Frame { from, lane: p.lane, bytes });
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(50) {
            self.carry();
            for n in 0..self.nodes.len() {
                if !self.down.contains(&n) {
                    self.nodes[n].pass_ms(50);
                }
            }
        }
        self.carry();
    }

    /// A node dies, and its links with it.
    pub(crate) fn kill(&mut self, n: usize) {
        self.down.push(n);
        let gone = self.id(n);
        for other in 0..self.nodes.len() {
            if other != n && self.is_linked(n, other) {
                let _ = self.nodes[other].input(Input::LinkDown { peer: gone, reason: LinkRefusal::Silent });
            }
        }
        self.links.retain(|l| l.0 != n && l.1 != n);
        self.carry();
    }

    /// One has dialed another, whatever for.
    pub(crate) fn link(&mut self, n: usize, to: usize) {
        self.links.push((n.min(to), n.max(to)));
        for (of, peer, outbound, at) in [(n, to, true, to), (to, n, false, n)] {
            let (peer, rtt) = (self.id(peer), Some(tidings_proto::time::Span::from_millis(10)));
            let addr = Some(addr(at as u8 + 1));
            let _ = self.nodes[of].input(Input::LinkUp { peer, addr, outbound, rtt });
        }
        self.carry();
    }

    /// Two are not linked any more.
    pub(crate) fn part(&mut self, a: usize, b: usize) {
        if !self.is_linked(a, b) {
            return;
        }
        self.links.retain(|l| *l != (a.min(b), a.max(b)));
        for (of, peer) in [(a, self.id(b)), (b, self.id(a))] {
            let _ = self.nodes[of].input(Input::LinkDown { peer, reason: LinkRefusal::Timeout });
        }
        self.carry();
    }

    /// A node says goodbye and goes.
    pub(crate) fn leave(&mut self, n: usize) {
        self.nodes[n].command(Command::Leave);
        self.carry();
        self.kill(n);
    }

    /// Another node comes, whatever it is.
    pub(crate) fn add(&mut self, mut d: Driven, contact: usize) -> usize {
        let n = self.nodes.len();
        d.auto_ack = false;
        d.now.wall = self.nodes[contact].now.wall;
        d.run();
        d.command(Command::SetAddrs { addrs: vec![addr(n as u8 + 1)] });
        let peers = vec![self.peer(contact)];
        d.command(Command::Join { peers });
        self.nodes.push(d);
        self.seen.push(0);
        self.pass(10_000);
        n
    }

    /// A node is back, on its disk; it knows another.
    pub(crate) fn comes_back(&mut self, n: usize, contact: usize) {
        let disk = std::mem::take(&mut self.nodes[n].disk);
        let mut d = on_disk(n as u8 + 1, n as u8 + 1, disk, self.nodes[contact].now.wall.0);
        let peers = vec![self.peer(contact)];
        d.command(Command::Join { peers });
        self.nodes[n] = d;
        self.seen[n] = 0;
        self.down.retain(|d| *d != n);
    }

    pub(crate) fn is_up(&self, n: usize) -> bool {
        !self.down.contains(&n)
    }

    pub(crate) fn send(&mut self, from: usize, to: usize, body: &[u8]) -> Ticket {
        let agent = self.nodes[to].node.agent_id().unwrap();
        let to = self.peer(to);
        let t = self.nodes[from].command(Command::SendDirect { to, agent, body: body.to_vec().into() });
        self.carry();
        t
    }

    pub(crate) fn delivered(&self, n: usize, t: Ticket) -> Option<&Delivered> {
        match self.nodes[n].reply(t) {
            Some(Reply::Delivered(d)) => Some(d),
            _ => None,
        }
    }

    pub(crate) fn texts(&self, n: usize) -> Vec<String> {
        let text = |d: &Did| match d {
            Did::Event(Event::Direct(r)) => Some(String::from_utf8(r.body.to_vec()).unwrap()),
            _ => None,
        };
        self.nodes[n].did.iter().filter_map(text).collect()
    }

    /// What a node's program was told of its messages.
    pub(crate) fn statuses(&self, n: usize) -> Vec<MessageStatus> {
        let status = |d: &Did| match d {
            Did::Event(Event::Message(p)) => Some(p.status.clone()),
            _ => None,
        };
        self.nodes[n].did.iter().filter_map(status).collect()
    }
}
