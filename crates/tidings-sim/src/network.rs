//! Discrete events in integer time: nodes, the links between them, their disks, and what goes wrong.
//!
//! The link model: the delay is drawn once per pair, `jitter` adds up to its share per frame; lanes are first-in
//! first-out; bandwidth is unlimited, but for the contents of large messages where a scenario limits a node's uplink. A lost packet of a stream delays its frame, and those behind it, by a
//! retransmission time-out; a lost datagram is gone. A dial takes two round trips, as QUIC with a proof of the
//! network does. A clean close takes one delay, and comes after the frames sent before it. A link whose other end
//! falls silent breaks after the transport's idle time-out (`silence.rs`); what can go wrong is in `fault.rs`.

mod carry;
mod clock;
mod directory;
mod disk;
mod fault;
mod forge;
mod lie;
mod link;
mod log;
mod look;
mod probe;
mod puppet;
mod records;
mod shared;
mod silence;
mod tap;
mod told;
mod turn;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use bytes::Bytes;
use tidings_proto::Node;
use tidings_proto::config::GossipConfig;
use tidings_proto::crypto::{AwsLc, Crypto, SimCrypto};
use tidings_proto::identity::{Addr, AgentSecret, NodeId, SecretKey};
use tidings_proto::io::{Command, Input, NodeSetup, Ticket};
use tidings_proto::rng::Rng;
use tidings_proto::time::{Span, Time};
use tidings_proto::wire::{Frame, Lane, LinkRefusal};

use crate::calendar::Calendar;
use crate::latency::Latency;
use crate::options::{CryptoKind, Options};
use crate::trace::Trace;

/// The transport's idle time-out, as on QUIC.
pub(crate) const IDLE: Span = Span::from_secs(5);
/// How long a dial may take, as on QUIC.
const DIAL: Span = Span::from_millis(1_500);
/// Wall time at the start of every simulation: 2026-01-01.
const WALL: u64 = 1_767_225_600_000;
/// What each frame or datagram costs on the wire besides its own bytes.
const PACKET: usize = 60;
/// Sent bytes are reported as written in pieces of this size, to save events.
const CREDIT: usize = 32 << 10;

pub use lie::{HolderLie, Lie};
pub use tap::Heard;
pub use told::Probes;
pub(crate) use told::{Told, Traffic};

/// How a node goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashKind {
    /// It dies without a word: its links swallow frames until the idle time-out.
    Silent,
    /// It says goodbye.
    Goodbye,
}

enum What {
    Frame {
        from: u32,
        conn: u64,
        lane: Lane,
        frame: Box<Frame>,
    },
    Datagram {
        from: u32,
        conn: u64,
        bytes: Bytes,
    },
    Accept {
        dialer: u32,
        attempt: u64,
        /// What the dialer says with its proof.
        first: Vec<Frame>,
    },
    Up {
        peer: u32,
        conn: u64,
        outbound: bool,
    },
    Down {
        peer: u32,
        conn: u64,
        reason: LinkRefusal,
    },
    /// The idle time-out of a link, if its other end has been silent since it was set.
    Idle {
        peer: u32,
        conn: u64,
    },
    DialFailed {
        peer: NodeId,
        attempt: u64,
    },
    Tick {
        at: u64,
    },
    /// Bytes left for the network, on a link of a node whose uplink is limited.
    Credit {
        peer: NodeId,
        lane: Lane,
        bytes: usize,
    },
    /// The oldest write under way reached the disk.
    Written {
        start: u64,
    },
    /// The oldest append under way reached the disk.
    Appended {
        start: u64,
    },
    /// Something a slow node only gets to now.
    Late(Box<What>),
    /// A stalled node goes on.
    Wake {
        start: u64,
    },
    /// A flapping link is cut or mended.
    Flap {
        peer: u32,
        cut: Span,
        open: Span,
        left: u32,
    },
}

struct Scheduled {
    node: u32,
    what: What,
}

/// One end of a link.
struct End {
    conn: u64,
    /// Which start of the peer's process it leads to.
    peer_start: u64,
    /// Nothing sent before arrives later than this, per lane.
    last: [u64; 3],
    unreported: [usize; 3],
    /// When the frames sent so far have all arrived.
    drained: u64,
    /// When something last arrived, as long as the other end is silent.
    heard: u64,
    /// Nothing arrives on a stream before: after a cut, the next retransmission.
    resume: u64,
    /// Frames that a cut keeps from arriving, in order.
    held: Vec<(Lane, Box<Frame>)>,
    /// The other end has another address now, and does not know this link there.
    severed: bool,
}

struct Slot {
    id: NodeId,
    secret: SecretKey,
    addr: Addr,
    node: Option<Node>,
    /// It has no core: the scenario plays it.
    puppet: bool,
    /// Nobody can dial it.
    shielded: bool,
    /// What it sends of contents is a lie.
    lie: Option<Lie>,
    /// What it answers as a holder of the index is a lie.
    holder_lie: Option<HolderLie>,
    /// It drops what it says it has passed on.
    relay_lie: Option<lie::RelayLie>,
    /// Bytes a second it can send of contents, and until when it is busy with those sent so far.
    uplink: Option<u64>,
    busy: u64,
    /// The scenario listens to its datagrams.
    overheard: bool,
    ends: BTreeMap<u32, End>,
    dialing: BTreeMap<NodeId, u64>,
    disk: disk::Disk,
    wake: u64,
    starts: u64,
    group: u8,
    /// The process is stopped since then.
    stalled: Option<u64>,
    /// By how much its wall clock is ahead of the true time.
    ahead_ms: i64,
    /// What arrived meanwhile.
    waiting: VecDeque<What>,
    /// Every input is handled so much later.
    slow: Span,
    /// It reads nothing from its links.
    deaf: bool,
    /// When the last input put off like this is handled.
    behind: u64,
    probes: Probes,
}

impl Slot {
    /// Whether its process is there, stopped or not.
    fn runs(&self) -> bool {
        self.node.is_some() || self.puppet
    }
}

/// A simulated network of production nodes.
pub struct Network {
    seed: u64,
    now: u64,
    conns: u64,
    queue: Calendar<Scheduled>,
    slots: Vec<Slot>,
    by_id: directory::Directory,
    /// Further nodes with a key that another has already.
    clones: BTreeMap<NodeId, Vec<u32>>,
    latency: Latency,
    jitter: f64,
    loss: f64,
    crypto: CryptoKind,
    network: tidings_proto::identity::Network,
    config: GossipConfig,
    rng: Rng,
    trace: Trace,
    told: Vec<(u32, Told)>,
    heard: Option<Vec<Heard>>,
    partitioned: bool,
    /// Pairs of which the second hears nothing of the first.
    cuts: BTreeSet<(u32, u32)>,
    pub(crate) traffic: Traffic,
    shared: shared::Shared,
    pub(crate) events: u64,
    broken: Vec<String>,
    inputs: Vec<Input>,
    /// Of nodes added from now on.
    ahead_ms: i64,
}

impl Network {
    /// An empty network.
    pub fn new(options: &Options, seed: u64) -> Self {
        let master = *blake3::keyed_hash(&[7; 32], &seed.to_le_bytes()).as_bytes();
        Network {
            seed,
            now: 0,
            conns: 0,
            queue: Calendar::new(),
            slots: Vec::new(),
            by_id: directory::Directory::new(),
            clones: BTreeMap::new(),
            latency: options.latency,
            jitter: options.jitter,
            loss: options.loss,
            crypto: options.crypto,
            network: tidings_proto::identity::Network::from_key(master),
            config: GossipConfig { presence: options.presence, ..options.scenario.config() },
            rng: Rng::derive(&master, "network", &[]),
            trace: Trace::default(),
            told: Vec::new(),
            heard: None,
            partitioned: false,
            cuts: BTreeSet::new(),
            traffic: Traffic::default(),
            shared: shared::Shared::default(),
            events: 0,
            broken: Vec::new(),
            inputs: Vec::new(),
            ahead_ms: 0,
        }
    }

    /// Settings of the nodes started from now on.
    pub fn set_config(&mut self, config: GossipConfig) {
        self.config = config;
    }

    /// A random stream for a `purpose` of the scenario, apart from the network's own.
    pub fn script_rng(&self, purpose: &str) -> Rng {
        let master = *blake3::keyed_hash(&[8; 32], &self.seed.to_le_bytes()).as_bytes();
        Rng::derive(&master, purpose, &[])
    }

    /// Simulated time since the start.
    pub fn now(&self) -> Time {
        Time(self.now)
    }

    /// The port of the node with this key. Every node is an agent, each another.
    fn port(&self, secret: &SecretKey) -> Arc<dyn Crypto> {
        let agent = AgentSecret::from_bytes(blake3::derive_key("tidings simulated agent", secret.expose()));
        match self.crypto {
            CryptoKind::Sim => Arc::new(SimCrypto::with_agent(secret, &agent)),
            CryptoKind::Real => match AwsLc::with_agent(secret, &agent) {
                Some(c) => Arc::new(c),
                None => Arc::new(SimCrypto::with_agent(secret, &agent)),
            },
        }
    }

    /// Adds a node and starts it. It knows nobody. Its address is alone in its /24.
    pub fn add(&mut self) -> u32 {
        let [_, a, b, c] = (self.slots.len() as u32).to_be_bytes();
        self.add_at(SocketAddrV4::new(Ipv4Addr::new(10 + a, b, c, 1), 4_000))
    }

    /// Adds a node at an address of the caller's choosing and starts it. Several may share one.
    pub fn add_at(&mut self, addr: SocketAddrV4) -> u32 {
        let secret = self.new_key();
        let n = self.add_slot(secret, addr);
        self.start(n);
        n
    }

    /// Starts a second node with the key of `n`, at an address of its own; `disk`: with a copy of its disk as well.
    pub fn clone_key(&mut self, n: u32, disk: bool) -> u32 {
        let [_, a, b, c] = (self.slots.len() as u32).to_be_bytes();
        let of = &self.slots[n as usize];
        let (secret, copy) = (of.secret.clone(), of.disk.copy());
        let clone = self.add_slot(secret, SocketAddrV4::new(Ipv4Addr::new(10 + a, b, c, 1), 4_000));
        if disk {
            self.slots[clone as usize].disk = copy;
        }
        self.start(clone);
        clone
    }

    fn new_key(&mut self) -> SecretKey {
        let mut key = [0; 32];
        for part in key.chunks_mut(8) {
            part.copy_from_slice(&self.rng.next_u64().to_le_bytes());
        }
        SecretKey::from_bytes(key)
    }

    fn add_slot(&mut self, secret: SecretKey, addr: SocketAddrV4) -> u32 {
        let n = self.slots.len() as u32;
        let id = self.port(&secret).node_id();
        if self.by_id.add(id) != n {
            self.clones.entry(id).or_default().push(n);
        }
        self.slots.push(Slot {
            id,
            secret,
            addr: Addr::Socket(SocketAddr::V4(addr)),
            node: None,
            puppet: false,
            shielded: false,
            lie: None,
            holder_lie: None,
            relay_lie: None,
            uplink: None,
            busy: 0,
            overheard: false,
            ends: BTreeMap::new(),
            dialing: BTreeMap::new(),
            disk: disk::Disk::default(),
            wake: u64::MAX,
            starts: 0,
            group: 0,
            stalled: None,
            waiting: VecDeque::new(),
            slow: Span::ZERO,
            deaf: false,
            behind: 0,
            probes: Probes::default(),
            ahead_ms: self.ahead_ms,
        });
        n
    }

    /// Starts a node that is down, with the key and the disk it had.
    pub fn start(&mut self, n: u32) {
        let now = self.clocks_of(n);
        let slot = &mut self.slots[n as usize];
        if slot.node.is_some() {
            return;
        }
        slot.starts += 1;
        let mut seed = blake3::Hasher::new_keyed(slot.secret.expose());
        seed.update(&self.seed.to_le_bytes());
        seed.update(&slot.starts.to_le_bytes());
        let setup = NodeSetup {
            secret: slot.secret.clone(),
            network: self.network.clone(),
            config: self.config.clone(),
            seed: *seed.finalize().as_bytes(),
        };
        let crypto = self.port(&self.slots[n as usize].secret.clone());
        self.slots[n as usize].node = Some(Node::new(setup, crypto, now));
        self.turn(n, Input::Tick);
        let addrs = vec![self.slots[n as usize].addr];
        self.command(n, Ticket(0), Command::SetAddrs { addrs });
    }

    /// Gives a node a command.
    pub fn command(&mut self, n: u32, ticket: Ticket, command: Command) {
        self.turn(n, Input::Command { ticket, command });
    }

    /// Takes a node down.
    pub fn stop(&mut self, n: u32, kind: CrashKind) {
        if kind == CrashKind::Goodbye {
            self.command(n, Ticket(0), Command::Leave);
        }
        self.fall_silent(n);
        let slot = &mut self.slots[n as usize];
        slot.node = None;
        slot.dialing.clear();
        slot.ends.clear();
        slot.waiting.clear();
        slot.stalled = None;
        slot.wake = u64::MAX;
        slot.disk.crash(&mut self.rng);
    }

    /// The datagrams a node sent and received.
    pub fn probes(&self, n: u32) -> Probes {
        self.slots[n as usize].probes
    }

    /// Something happened that must not.
    fn break_run(&mut self, why: String) {
        if self.broken.len() < 100 {
            self.broken.push(why);
        }
    }

    /// What happened that must not, so far.
    pub fn take_broken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.broken)
    }

    fn schedule(&mut self, at: u64, node: u32, what: What) {
        self.queue.push(at, Scheduled { node, what });
    }

    /// Runs until something is told, or until `until`. Returns false when the time is up.
    pub(crate) fn step(&mut self, until: Time, told: &mut Vec<(u32, Told)>) -> bool {
        while self.told.is_empty() {
            if self.queue.peek().is_none_or(|at| at > until.0) {
                self.now = self.now.max(until.0);
                return false;
            }
            let Some((at, s)) = self.queue.pop() else { return false };
            self.now = at;
            self.carry(s);
        }
        told.append(&mut self.told);
        true
    }

    /// Runs for a while; what nodes tell their programs is dropped.
    pub fn run_for(&mut self, span: Span) {
        let until = Time(self.now) + span;
        let mut told = Vec::new();
        while self.step(until, &mut told) {
            told.clear();
        }
    }

    /// The trace so far.
    pub fn trace_hash(&self) -> [u8; 32] {
        self.trace.finish()
    }
}
