//! Whatever is said about agents, certificates, holders and reachability, in whatever order: nothing panics, what is held stays
//! bounded, and nobody is believed to be who it is not.

use std::collections::BTreeSet;

use super::*;
use tidings_proto::rng::Rng;
use tidings_proto::wire::Records as RecordsFrame;

const PEERS: u8 = 30;

struct Noise {
    rng: Rng,
    d: Driven,
    somebodies: Vec<Somebody>,
    /// Who speaks for whom.
    true_ones: BTreeSet<(AgentId, NodeId)>,
    tickets: Vec<Ticket>,
}

impl Noise {
    fn new(seed: u64) -> Noise {
        let rng = Rng::derive(&[7; 32], "noise", &seed.to_le_bytes());
        let mut d = agent_among(12);
        for command in [
            Command::ServeIndex { on: true },
            Command::Register { on: true },
            Command::AdvertiseSelf { on: true },
            Command::Subscribe { topic: news() },
        ] {
            d.command(command);
        }
        for n in 2..12 {
            d.link(&Fake::new(n));
            d.befriend(&Fake::new(n), Overlay::Root);
        }
        // Some agents are on two nodes.
        let somebodies: Vec<Somebody> = (2..PEERS).map(|n| Somebody::new(n, n % 9)).collect();
        let mut true_ones: BTreeSet<_> = somebodies.iter().map(|s| (s.agent, s.node.id)).collect();
        true_ones.insert((d.node.agent_id().unwrap(), d.id()));
        Noise { rng, d, somebodies, true_ones, tickets: Vec::new() }
    }

    fn who(&mut self) -> usize {
        self.rng.below(self.somebodies.len())
    }

    fn number(&mut self) -> u64 {
        match self.rng.below(4) {
            0 => [0, u64::MAX, u64::MAX - 1][self.rng.below(3)],
            1 => self.rng.next_u64(),
            _ => self.rng.below(6) as u64,
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        [self.rng.below(4) as u8; N]
    }

    /// The number of something the node has asked, mostly.
    fn question(&mut self) -> u64 {
        let asked = |x: &Did| match x {
            Did::Sent { message: Message::LookUp(m), .. } => Some(m.id),
            Did::Sent { message: Message::Register(m), .. } => Some(m.id),
            Did::Sent { message: Message::Seek(m), .. } => Some(m.id),
            _ => None,
        };
        let ids: Vec<u64> = self.d.did.iter().filter_map(asked).collect();
        if self.rng.below(5) == 0 { self.number() } else { self.rng.pick(&ids).copied().unwrap_or(1) }
    }

    /// A statement: true, of another's agent, of a topic, of strange times, or damaged.
    fn statement(&mut self, from: usize) -> Vec<u8> {
        let (s, other) = (&self.somebodies[from], self.rng.below(self.somebodies.len()));
        let now = self.d.now.wall.0;
        let at = [now - 1_000, now, now - 900_000, now + 10_000_000, 0, u64::MAX - 9_000_000][self.rng.below(6)];
        let life = [LEFT_LIFE, Span::from_secs(10), Span::from_secs(100 * 3_600)][self.rng.below(3)];
        let about = match self.rng.below(5) {
            0 => About::Topic(news()),
            1 => About::Agent(self.somebodies[other].agent, s.certificate.id()),
            2 => About::Agent(self.somebodies[other].agent, self.somebodies[other].certificate.id()),
            _ => About::Agent(s.agent, s.certificate.id()),
        };
        let node = if self.rng.below(6) == 0 { &self.somebodies[other].node } else { &s.node };
        let key = WhereaboutsKey::new(&network());
        let withdrawn = self.rng.below(5) == 0;
        let w = Whereabouts::issue(about, node.addr.clone(), (UnixMillis(at), life), withdrawn, &key, &s.crypto);
        let mut bytes = w.bytes().to_vec();
        if self.rng.below(5) == 0 {
            let at = self.rng.below(bytes.len());
            bytes[at] ^= 1 << self.rng.below(8);
        }
        bytes
    }

    fn certificate(&mut self, from: usize) -> Vec<u8> {
        let of = if self.rng.below(4) == 0 { self.who() } else { from };
        let mut bytes = self.somebodies[of].certificate.bytes().to_vec();
        match self.rng.below(6) {
            0 => bytes.truncate(self.rng.below(bytes.len())),
            1 => {
                let at = self.rng.below(bytes.len());
                bytes[at] ^= 1 << self.rng.below(8);
            }
            2 => bytes.clear(),
            _ => {}
        }
        bytes
    }

    fn message(&mut self, from: usize) -> (Message, Vec<u8>) {
        let reference: CertificateRef = self.somebodies[self.rng.below(self.somebodies.len())].certificate.id().into();
        let who = self.who();
        let subject = [self.somebodies[who].agent.0, news().0, [0; 32]][self.rng.below(3)];
        let (ttl, id) = (self.number() as u8, self.question());
        match self.rng.below(14) {
            0 => {
                let (salt, target, key) = (self.bytes(), self.bytes(), self.bytes());
                (Seek { id, salt, target, key, stem: self.number() as u8, ttl }.into(), vec![])
            }
            1 => {
                let answer = vec![self.rng.below(256) as u8; self.rng.below(400)];
                (Found { id }.into(), answer)
            }
            2 => (NotFound { id }.into(), vec![]),
            3 | 4 => {
                let whereabouts = self.statement(from);
                (Deposit { whereabouts, walk: ttl, ttl, known: ttl }.into(), self.certificate(from))
            }
            5 => {
                let certificate = self.somebodies[from].certificate.id();
                (LackProof { certificate, walk: ttl, ttl, known: ttl }.into(), vec![])
            }
            6 | 7 => {
                let (statement, find) = (self.statement(from), self.rng.below(2) == 0);
                (Register { id, statement, find }.into(), self.certificate(from))
            }
            8 => {
                let members = (0..self.rng.below(MAX_HELD + 1)).map(|_| self.statement(from).into()).collect();
                (Registered { id, outcome: self.number() as u8, members, crowd: self.number() as u32 }.into(), vec![])
            }
            9 => (LookUp { id, subject, have: vec![reference; self.rng.below(MAX_HAVE + 1)] }.into(), vec![]),
            10 => {
                let statements = (0..self.rng.below(MAX_HELD + 1)).map(|_| self.statement(from).into()).collect();
                let mut payload = Vec::new();
                for _ in 0..self.rng.below(3) {
                    let c = self.certificate(from);
                    payload.extend_from_slice(&(c.len() as u16).to_le_bytes());
                    payload.extend_from_slice(&c);
                }
                (Holds { id, statements }.into(), payload)
            }
            11 => (AskReach { me: self.somebodies[from].node.addr.clone() }.into(), vec![]),
            12 => {
                let mut m = word(&self.d, self.somebodies[from].node.id.0[0]);
                if self.rng.below(2) == 0 {
                    m = word(&self.d, from as u8 + 2);
                }
                (m.into(), vec![])
            }
            _ => {
                let record = advert(10 + self.rng.below(40) as u8);
                let full = vec![FullRecord { set: INDEX, len: record.len() as u16, age: ttl.into(), refresh: None }];
                (RecordsFrame { full, fresh: vec![] }.into(), record.to_vec())
            }
        }
    }

    fn step(&mut self) {
        let from = self.who();
        let node = Fake::new(from as u8 + 2);
        match self.rng.below(30) {
            0 => {
                let who = self.who();
                let agent = self.somebodies[who].agent;
                let command = match self.rng.below(3) {
                    0 => Command::FindAgent { agent },
                    _ => Command::LookUp { agent },
                };
                let ticket = self.d.command(command);
                self.tickets.push(ticket);
            }
            1 => self.d.pass_ms([5, 300, 4_000, 60_000][self.rng.below(4)]),
            2 => {
                let to: Vec<NodeId> = dialed(&self.d);
                if let Some(to) = self.rng.pick(&to).copied().filter(|to| !self.d.node.links().is_up(to)) {
                    // It may be too late for it.
                    let up = Input::LinkUp { peer: to, addr: None, outbound: true, rtt: None };
                    let failed = Input::DialFailed { peer: to, reason: LinkRefusal::Timeout };
                    let _ = self.d.input(if self.rng.below(3) == 0 { failed } else { up });
                }
            }
            3 => {
                let (topic, on) = (news(), self.rng.below(2) == 0);
                let one_of = [
                    Command::Register { on },
                    Command::ServeIndex { on },
                    Command::AdvertiseSelf { on },
                    if on { Command::Subscribe { topic } } else { Command::Unsubscribe { topic } },
                    Command::SetAddrs { addrs: vec![addr(200 + self.rng.below(3) as u8)] },
                ];
                let at = self.rng.below(one_of.len());
                self.d.command(one_of[at].clone());
            }
            4..7 => self.answer_honestly(),
            _ => {
                if !self.d.node.links().is_up(&node.id) {
                    self.d.link(&node);
                }
                let (m, payload) = self.message(from);
                let mut bytes = m.frame_with(payload.into()).to_bytes().to_vec();
                if self.rng.below(12) == 0 {
                    let at = self.rng.below(bytes.len());
                    bytes[at] ^= 1 << self.rng.below(8);
                }
                // What cannot be read is an error, and no more.
                let _ = self.d.frame(&node, Lane::Control, bytes);
            }
        }
    }

    /// A holder that was asked says what is so.
    fn answer_honestly(&mut self) {
        let Some((to, m)) = self.rng.pick(&questions(&self.d)).cloned() else { return };
        let now = self.d.now.wall.0;
        let of: Vec<&Somebody> = self.somebodies.iter().filter(|s| s.agent.0 == m.subject).take(2).collect();
        let said: Vec<Whereabouts> = of.iter().map(|s| s.says_at(now - 1_000, false)).collect();
        let certificates: Vec<AgentCertificate> = of.iter().map(|s| s.certificate.clone()).collect();
        if !self.d.node.links().is_up(&to) {
            return;
        }
        holds(&mut self.d, to, m.id, &said.iter().collect::<Vec<_>>(), &certificates.iter().collect::<Vec<_>>());
    }

    fn check(&self, seed: u64) -> usize {
        let mut found = 0;
        for ticket in &self.tickets {
            let Some(Reply::Located(search)) = self.d.reply(*ticket) else { continue };
            for l in &search.found {
                assert!(self.true_ones.contains(&(l.agent, l.node)), "seed {seed}: {l:?}");
                found += 1;
            }
        }
        assert!(self.d.node.agents_held() <= 16_384 && self.d.node.agents_known() <= 1_024);
        found
    }
}

#[test]
fn nothing_panics_and_nobody_is_taken_for_somebody_else() {
    let mut found = 0;
    for seed in 0..150 {
        let mut n = Noise::new(seed);
        for _ in 0..300 {
            n.step();
        }
        n.d.pass(Span::from_secs(60));
        found += n.check(seed);
    }
    assert!(found > 50, "only {found} were found: the noise drowns everything");
}
