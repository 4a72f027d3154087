//! How much of what is claimed can have reached us: one maximum flow from this node to all claimants together.
//!
//! Edges say who worked for whom: from a customer to the relay that carried for it, as wide as the work it vouches for. The
//! first edges are this node's own: what relays did for it. So what flows into a claimant has come, customer by customer,
//! from work that this node saw itself. A set of conspirators is behind the edges from those who are none of them: however many there are
//! and whatever they sign for each other, all of them together receive what these edges carry, which is what they really did for
//! others. That is BarterCast's argument (Meulpolder, Pouwelse, Epema, Sips, IPDPS 2009); Seuken and Parkes (AAMAS 2014) show that not
//! much more can be had. What differs: BarterCast asks for one peer at a time, and then each of a thousand identities in a chain
//! receives as much as their one true customer gives. Here all claimants are asked for at once, so that they share it.
//!
//! Where there is less than is claimed, claimants get it in `ROUNDS` rounds, each a share of its claim, in an order that
//! nobody can choose (the caller's). Dinic's algorithm (1970).
//!
//! Invariants: nobody gets more than it claims, no edge carries more than its width, all claimants behind a set of edges get no more
//! than these carry.

use std::collections::BTreeMap;

use crate::identity::NodeId;

/// Shares in which claims are met (a guess: even to a sixteenth).
const ROUNDS: u64 = 16;

#[derive(Clone, Copy, Debug)]
struct Edge {
    to: u32,
    left: u64,
}

/// The graph. Edges are kept in pairs, the second being the first's way back.
#[derive(Debug, Default)]
struct Net {
    edges: Vec<Edge>,
    out: Vec<Vec<u32>>,
}

impl Net {
    fn node(&mut self) -> u32 {
        self.out.push(Vec::new());
        (self.out.len() - 1) as u32
    }

    fn edge(&mut self, from: u32, to: u32, width: u64) -> u32 {
        let at = self.edges.len() as u32;
        self.edges.push(Edge { to, left: width });
        self.edges.push(Edge { to: from, left: 0 });
        self.out[from as usize].push(at);
        self.out[to as usize].push(at + 1);
        at
    }

    /// How many edges each node is away; none for those that cannot be reached.
    fn levels(&self, source: u32) -> Vec<u32> {
        let mut level = vec![u32::MAX; self.out.len()];
        level[source as usize] = 0;
        let mut queue = std::collections::VecDeque::from([source]);
        while let Some(n) = queue.pop_front() {
            for e in &self.out[n as usize] {
                let e = self.edges[*e as usize];
                if e.left > 0 && level[e.to as usize] == u32::MAX {
                    level[e.to as usize] = level[n as usize] + 1;
                    queue.push_back(e.to);
                }
            }
        }
        level
    }

    /// Sends all that can be sent.
    fn fill(&mut self, source: u32, sink: u32) {
        loop {
            let level = self.levels(source);
            if level[sink as usize] == u32::MAX {
                return;
            }
            let mut next = vec![0usize; self.out.len()];
            while self.push(source, sink, &level, &mut next) > 0 {}
        }
    }

    /// Sends along one shortest way, found without recursion: an attacker's chain may be as long as there are claims.
    fn push(&mut self, source: u32, sink: u32, level: &[u32], next: &mut [usize]) -> u64 {
        let mut way: Vec<u32> = Vec::new();
        let mut at = source;
        while at != sink {
            let n = at as usize;
            let forward = self.out[n].get(next[n]).copied();
            match forward {
                Some(e) => {
                    let edge = self.edges[e as usize];
                    if edge.left > 0 && level[edge.to as usize] == level[n] + 1 {
                        way.push(e);
                        at = edge.to;
                    } else {
                        next[n] += 1;
                    }
                }
                // A dead end: back, and not here again.
                None => match way.pop() {
                    Some(e) => {
                        at = self.edges[(e ^ 1) as usize].to;
                        next[at as usize] += 1;
                    }
                    None => return 0,
                },
            }
        }
        let most = way.iter().map(|e| self.edges[*e as usize].left).min().unwrap_or(0);
        for e in way {
            self.edges[e as usize].left -= most;
            self.edges[(e ^ 1) as usize].left += most;
        }
        most
    }
}

/// Somebody worked for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// For whom.
    pub customer: NodeId,
    /// Who.
    pub relay: NodeId,
    /// How much.
    pub amount: u64,
}

/// How much of each claim is covered, in the order of the claims: `seen` is the work this node saw, `said` what others vouch for.
/// What `me` says by the mouth of others does not count.
pub fn covered(me: NodeId, seen: &[(NodeId, u64)], said: &[Work], claims: &[(NodeId, u64)]) -> Vec<u64> {
    let mut net = Net::default();
    let (source, sink) = (net.node(), net.node());
    let mut ids: BTreeMap<NodeId, u32> = BTreeMap::from([(me, source)]);
    for (node, amount) in seen {
        let at = *ids.entry(*node).or_insert_with(|| net.node());
        net.edge(source, at, *amount);
    }
    for w in said.iter().filter(|w| w.customer != w.relay && w.customer != me && w.relay != me) {
        let from = *ids.entry(w.customer).or_insert_with(|| net.node());
        let to = *ids.entry(w.relay).or_insert_with(|| net.node());
        net.edge(from, to, w.amount);
    }
    let mut ends = Vec::with_capacity(claims.len());
    for (node, _) in claims {
        let at = *ids.entry(*node).or_insert_with(|| net.node());
        ends.push(net.edge(at, sink, 0));
    }
    for round in 1..=ROUNDS {
        for (end, (_, amount)) in ends.iter().zip(claims) {
            let share = |r: u64| (u128::from(*amount) * u128::from(r) / u128::from(ROUNDS)) as u64;
            net.edges[*end as usize].left += share(round) - share(round - 1);
        }
        net.fill(source, sink);
    }
    // What came back on the edge's pair is what went.
    ends.iter().map(|e| net.edges[(*e ^ 1) as usize].left).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Rng;

    fn id(n: u32) -> NodeId {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        NodeId(id)
    }

    const ME: NodeId = NodeId([255; 32]);

    fn work(customer: u32, relay: u32, amount: u64) -> Work {
        Work { customer: id(customer), relay: id(relay), amount }
    }

    #[test]
    fn work_seen_covers_what_its_doer_claims() {
        assert_eq!(covered(ME, &[(id(1), 30)], &[], &[(id(1), 40)]), [30]);
        assert_eq!(covered(ME, &[(id(1), 30)], &[], &[(id(1), 20)]), [20]);
    }

    #[test]
    fn one_that_worked_for_us_speaks_for_one_that_worked_for_it() {
        assert_eq!(covered(ME, &[(id(1), 30)], &[work(1, 2, 50)], &[(id(2), 100)]), [30]);
        assert_eq!(covered(ME, &[(id(1), 30)], &[work(1, 2, 20)], &[(id(2), 100)]), [20]);
    }

    #[test]
    fn strangers_speak_for_nobody() {
        assert_eq!(covered(ME, &[(id(1), 30)], &[work(3, 2, 50)], &[(id(2), 100)]), [0]);
    }

    #[test]
    fn nobody_speaks_for_itself_or_in_our_name() {
        let mine = Work { customer: ME, relay: id(2), amount: 50 };
        assert_eq!(covered(ME, &[], &[mine, work(2, 2, 50)], &[(id(2), 100)]), [0]);
    }

    #[test]
    fn where_there_is_too_little_two_get_the_same() {
        let said = [work(1, 2, 100), work(1, 3, 100)];
        let got = covered(ME, &[(id(1), 32)], &said, &[(id(2), 100), (id(3), 100)]);
        assert!(got.iter().all(|g| (12..=20).contains(g)), "{got:?}");
    }

    #[test]
    fn a_chain_of_a_thousand_identities_gets_together_what_their_one_customer_gives() {
        let mut said = vec![work(1, 1_000, 7)];
        said.extend((0..999).map(|n| work(1_000 + n, 1_001 + n, u64::MAX)));
        let claims: Vec<_> = (0..1_000).map(|n| (id(1_000 + n), 1_000)).collect();
        let got = covered(ME, &[(id(1), 1_000)], &said, &claims);
        assert_eq!(got.iter().sum::<u64>(), 7);
    }

    #[test]
    fn what_conspirators_sign_takes_nothing_from_others_customers() {
        let honest = [work(1, 2, 40)];
        let mut said = honest.to_vec();
        said.push(work(1, 1_000, 5));
        said.extend((0..500).map(|n| work(1_000, 1_001 + n, 1_000)));
        let mut claims = vec![(id(2), 40)];
        claims.extend((0..501).map(|n| (id(1_000 + n), 1_000)));
        let got = covered(ME, &[(id(1), 100)], &said, &claims);
        assert_eq!(got[0], 40);
    }

    proptest! {
        /// The most that a thousand conspirators get, over random networks and whatever they sign.
        #[test]
        fn a_ring_gains_no_more_than_its_true_customers_give(seed in any::<u64>()) {
            let mut rng = Rng::derive(&[3; 32], "ring", &seed.to_le_bytes());
            let (honest, ring) = (60u32, 1_000u32);
            let any = |rng: &mut Rng, of: u32| rng.below(of as usize) as u32;
            let seen: Vec<_> = (0..6).map(|_| (id(any(&mut rng, honest)), rng.between(0, 200))).collect();
            let mut said: Vec<Work> = (0..400)
                .map(|_| work(any(&mut rng, honest), any(&mut rng, honest), rng.between(0, 100)))
                .collect();
            let mut given = 0;
            for _ in 0..rng.below(8) {
                let w = work(any(&mut rng, honest), honest + any(&mut rng, ring), rng.between(0, 50));
                given += w.amount;
                said.push(w);
            }
            for _ in 0..4_000 {
                // Anything from one of them to anybody.
                said.push(work(honest + any(&mut rng, ring), any(&mut rng, honest + ring), rng.between(0, u64::MAX >> 12)));
            }
            let claims: Vec<_> = (0..honest + ring).map(|n| (id(n), 1_000)).collect();
            let got = covered(ME, &seen, &said, &claims);
            let ring_got: u64 = got[honest as usize..].iter().sum();
            prop_assert!(ring_got <= given, "{ring_got} of {given}");
            let all: u64 = got.iter().sum();
            prop_assert!(all <= seen.iter().map(|s| s.1).sum::<u64>());
        }
    }
}
