//! A network between processes on loopback that can be made worse: packets between two halves go through here.
//!
//! The nodes of the first half live on IPv4 only, those of the second on IPv6 only: without the proxy neither half could
//! reach the other, however hard its transport looks for a direct path. Every node advertises its two *fronts*, sockets of
//! the proxy. What node `i` sends to a front of `j` reaches `j` from the front of `i` in `j`'s family: to both, the other
//! one lives at its front.

use std::collections::{BTreeMap, BinaryHeap};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The loopback addresses of the two families.
const LOOPBACK: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];
/// How often the threads look whether the test is over.
const GLANCE: Duration = Duration::from_millis(50);

/// What happens to packets in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Path {
    /// The share that is lost.
    pub(crate) loss: f64,
    /// How much later they arrive.
    pub(crate) delay: Duration,
    /// Nothing passes.
    pub(crate) cut: bool,
}

#[derive(Default)]
struct Paths {
    all: Path,
    single: BTreeMap<(usize, usize), Path>,
}

struct Late {
    at: Instant,
    from: usize,
    to: usize,
    packet: Vec<u8>,
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Late {}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // The earliest first.
        other.at.cmp(&self.at)
    }
}

struct Shared {
    /// Of each node, one in each family.
    fronts: Vec<[UdpSocket; 2]>,
    /// What the nodes bind.
    homes: Vec<SocketAddr>,
    paths: Mutex<Paths>,
    late: Mutex<BinaryHeap<Late>>,
    over: AtomicBool,
    carried: AtomicU64,
    dice: AtomicU64,
}

/// The proxy; it ends when dropped.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// For `n` nodes.
    pub(crate) fn new(n: usize) -> Proxy {
        let bind = |family: usize| UdpSocket::bind(LOOPBACK[family]).unwrap();
        let fronts: Vec<[UdpSocket; 2]> = (0..n).map(|_| [bind(0), bind(1)]).collect();
        for front in fronts.iter().flatten() {
            front.set_read_timeout(Some(GLANCE)).unwrap();
        }
        // Held until all are drawn, so that none is drawn twice.
        let drawn: Vec<UdpSocket> = (0..n).map(|i| bind(usize::from(i >= n / 2))).collect();
        let homes = drawn.iter().map(|s| s.local_addr().unwrap()).collect();
        drop(drawn);
        let shared = Arc::new(Shared {
            fronts,
            homes,
            paths: Mutex::default(),
            late: Mutex::default(),
            over: AtomicBool::new(false),
            carried: AtomicU64::new(0),
            dice: AtomicU64::new(1),
        });
        let receiving = (0..2 * n).map(|front| {
            let shared = shared.clone();
            thread::spawn(move || shared.receive(front / 2, front % 2))
        });
        let mut threads: Vec<_> = receiving.collect();
        let delaying = shared.clone();
        threads.push(thread::spawn(move || delaying.deliver_late()));
        Proxy { shared, threads }
    }

    /// What node `i` is started with.
    pub(crate) fn args(&self, i: usize) -> Vec<String> {
        let mut args = vec!["--bind".into(), self.shared.homes[i].to_string()];
        for front in &self.shared.fronts[i] {
            args.extend(["--advertise".into(), front.local_addr().unwrap().to_string()]);
        }
        args
    }

    /// What happens between all pairs that have no path of their own.
    pub(crate) fn set_all(&self, path: Path) {
        self.shared.paths.lock().unwrap().all = path;
    }

    /// What happens on the way from `from` to `to` alone.
    pub(crate) fn set(&self, from: usize, to: usize, path: Path) {
        self.shared.paths.lock().unwrap().single.insert((from, to), path);
    }

    /// Forgets the paths of single pairs.
    pub(crate) fn mend(&self) {
        self.shared.paths.lock().unwrap().single.clear();
    }

    /// Cuts everything between `side` and the others, both ways.
    pub(crate) fn partition(&self, side: &[usize]) {
        let cut = Path { cut: true, ..Path::default() };
        for a in side {
            for b in (0..self.shared.fronts.len()).filter(|b| !side.contains(b)) {
                self.set(*a, b, cut);
                self.set(b, *a, cut);
            }
        }
    }

    /// Packets passed on so far.
    pub(crate) fn carried(&self) -> u64 {
        self.shared.carried.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// The node that lives at `addr`.
    fn who(&self, addr: SocketAddr) -> Option<usize> {
        self.homes.iter().position(|home| *home == addr)
    }

    fn receive(&self, to: usize, family: usize) {
        let mut packet = [0; 65_536];
        while !self.over.load(Ordering::Relaxed) {
            let Ok((len, from)) = self.fronts[to][family].recv_from(&mut packet) else { continue };
            let Some(from) = self.who(from) else { continue };
            let path = {
                let paths = self.paths.lock().unwrap();
                paths.single.get(&(from, to)).copied().unwrap_or(paths.all)
            };
            if path.cut || self.unit() < path.loss {
                continue;
            }
            if path.delay.is_zero() {
                self.pass(from, to, &packet[..len]);
            } else {
                let late = Late { at: Instant::now() + path.delay, from, to, packet: packet[..len].to_vec() };
                self.late.lock().unwrap().push(late);
            }
        }
    }

    fn deliver_late(&self) {
        while !self.over.load(Ordering::Relaxed) {
            let due = {
                let mut late = self.late.lock().unwrap();
                if late.peek().is_some_and(|l| l.at <= Instant::now()) { late.pop() } else { None }
            };
            match due {
                Some(l) => self.pass(l.from, l.to, &l.packet),
                None => thread::park_timeout(Duration::from_millis(1)),
            }
        }
    }

    fn pass(&self, from: usize, to: usize, packet: &[u8]) {
        self.carried.fetch_add(1, Ordering::Relaxed);
        // The node may be gone.
        let home = self.homes[to];
        let _ = self.fronts[from][usize::from(home.is_ipv6())].send_to(packet, home);
    }

    /// A number from 0 to 1, the same sequence in every run (SplitMix64).
    fn unit(&self) -> f64 {
        let mut x = self.dice.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x >> 11) as f64 / (1u64 << 53) as f64
    }
}
