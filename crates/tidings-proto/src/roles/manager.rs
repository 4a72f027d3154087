//! Who is a relay: judged by what was seen of it, and where nothing was, believed as far as others' words go.
//!
//! *Judging.* Promoted at [`PROMOTE_AT`] points, once there is enough work to judge by; demoted below [`DEMOTE_BELOW`], or when fewer
//! than four in five of the last fifty attempts succeeded. The gap between the two keeps a role from flapping; so does that a
//! relay keeps it for [`DWELL_MS`] unless it fails, and that one that was demoted must work enough anew.
//!
//! *Enough relays, and no more.* A network of n nodes wants [`wanted`]`(n)` relays. A node that has earned the role takes it only while it
//! sees fewer. When it sees a quarter more than that, as when several earn it at once, those relays whose `BLAKE3(day ‖ node)` is
//! highest lay the role down when they have had it for [`SETTLED_MS`]: nobody
//! has to trust anybody's claim for that, and who is not used falls below two points anyway. What counts are relays that this node takes
//! for such, and those that only say so and are in the index, one a /24 or /48 (`set_counted`): a node can check few claims, and
//! a thousand liars behind one prefix fill one place. Where there are more than that quarter too many for [`CROWDED_MS`], somebody does not keep to
//! this: then who has earned the role takes it if its hash is among the lowest, so that liars keep from it as many as they are, and no more.
//! Others are judged without regard to numbers.
//!
//! *Claims.* What a node says of itself is kept apart, and takes effect at most once in [`WINDOW`]; what comes meanwhile waits, and
//! the latest of it stands when the window ends. It is believed, where nothing was seen of the node, if words of customers bear out
//! [`DEMOTE_BELOW`] points of it (`flow.rs`).
//!
//! Invariants: a node's own word moves no score and no role but the claimed one; what is kept is bounded, the least worth
//! goes first; roles in the table of peers are written here alone.

use std::collections::{BTreeMap, BTreeSet};

use super::announce::{AnnounceError, RoleChangeAnnounce};
use super::metrics::RoleMetrics;
use super::scoring::MIB;
use super::seen::Seen;
use super::{PeerRole, RoleRow, flow};
use crate::identity::NodeId;
use crate::time::{Span, Time, UnixMillis};
use crate::topology::Topology;

/// A score that makes a relay.
pub const PROMOTE_AT: f64 = 10.0;
/// A score that a relay must keep.
pub const DEMOTE_BELOW: f64 = 2.0;
/// Work by which one can judge: so many messages relayed,
pub const ENOUGH_MESSAGES: f64 = 10.0;
/// or so many bytes.
pub const ENOUGH_BYTES: f64 = 10.0 * MIB;
/// Attempts that are looked at for how many succeeded.
pub const ATTEMPTS: u32 = 50;
/// Of them at least so many must have succeeded, in hundredths.
pub const SUCCEEDING: u32 = 80;
/// How long a relay stays one unless it fails (a guess).
pub const DWELL_MS: u64 = 600_000;
/// How long a relay holds the role before it lays it down because there are too many (a guess: an evaluation).
pub const SETTLED_MS: u64 = 60_000;
/// After so long too many are no coincidence: those that keep to the rule have laid it down by then.
pub const CROWDED_MS: u64 = 180_000;
/// In which one announcement of a node takes effect.
pub const WINDOW: Span = Span::from_secs(30);
/// Nodes whose work is remembered at most, also over a restart.
pub const MAX_SCORED: usize = 1_024;
/// Announcements kept at most: as many as the set of records.
pub const MAX_CLAIMS: usize = 1_024;
/// How much clocks may disagree.
const SKEW_MS: u64 = 15 * 60_000;
/// Flows are whole numbers: thousandths of a point.
const MILLI: f64 = 1_000.0;

/// Up to so many nodes one relay to 32 is enough; of those beyond, one to 16.
const SMALL: usize = 320;
/// With a quarter more than this, all that say so fit in their set of records (`sets::ROLES`).
const MOST_WANTED: usize = 800;

/// Relays that a network of `nodes` wants. One to 32 where it is small, so that those for whom they carry meet at the same ones and
/// give each about as much; eight at least, so that one of them is not far and some may be away. In a large one those who talk hardly
/// ever have a relay in common, and each wants links of its own to some: then there must be more of them, or their links
/// (`max_links`) are fewer than those that are busy at a time.
pub fn wanted(nodes: usize) -> usize {
    let (few, more) = (nodes.min(SMALL), nodes.saturating_sub(SMALL));
    (few.div_ceil(32).max(8) + more.div_ceil(16)).min(MOST_WANTED)
}

/// What came of judging.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RoleAction {
    /// A node is a relay, by this node's own judgement.
    Promoted {
        /// Which.
        node_id: NodeId,
        /// Its score.
        score: f64,
    },
    /// A node is a relay no longer, by this node's own judgement.
    Demoted {
        /// Which.
        node_id: NodeId,
        /// Its score.
        score: f64,
    },
    /// This node's own role is another.
    LocalRoleChanged {
        /// Which.
        new_role: PeerRole,
    },
}

/// What became of an announcement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Handled {
    /// It is what the node claims now. The role it claimed before.
    Applied(PeerRole),
    /// It waits until then: another took effect not long ago.
    Held(Time),
}

/// What one node says of itself.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) said: RoleChangeAnnounce,
    /// It took effect then.
    applied: Time,
    /// What came since, and waits.
    held: Option<RoleChangeAnnounce>,
    /// As much of it as can have come to us, in points.
    pub(super) covered: f64,
}

/// The judge.
#[derive(Debug)]
pub struct RoleManager {
    me: NodeId,
    pub(super) seen: BTreeMap<NodeId, Seen>,
    pub(super) claims: BTreeMap<NodeId, Claim>,
    /// Nodes of the network; none if it is not known.
    nodes: Option<usize>,
    /// Who counts as a relay though this node does not know it for one.
    counted: BTreeSet<NodeId>,
    /// Since when there are too many.
    crowded: Option<UnixMillis>,
    /// Something is to be judged at once.
    due: bool,
    /// Who was forgotten for want of room since last asked.
    pub(super) forgotten: Vec<NodeId>,
}

impl RoleManager {
    /// One that has seen nothing; `me` is this node.
    pub fn new(me: NodeId) -> RoleManager {
        RoleManager {
            me,
            seen: BTreeMap::new(),
            claims: BTreeMap::new(),
            nodes: None,
            counted: BTreeSet::new(),
            crowded: None,
            due: false,
            forgotten: Vec::new(),
        }
    }

    /// The network has about so many nodes. Until it is said, there is no limit to relays.
    pub fn set_network_size(&mut self, nodes: usize) {
        self.nodes = Some(nodes);
    }

    /// These say that they are relays, and count as such when it is asked whether there are enough.
    pub fn set_counted(&mut self, relays: BTreeSet<NodeId>) {
        self.counted = relays;
    }

    /// Whether it makes a difference for this node's own role how many others are relays.
    pub(super) fn minds_numbers(&self, now: UnixMillis) -> bool {
        self.seen.get(&self.me).is_some_and(|s| s.role == PeerRole::Relay || s.verdict(now).is_some())
    }

    /// Who claims to be a relay.
    pub(super) fn claimants(&self) -> impl Iterator<Item = &NodeId> {
        self.claims.iter().filter(|(_, c)| c.said.new_role == PeerRole::Relay).map(|(n, _)| n)
    }

    /// A message was relayed by `node`, as its receiver has signed.
    pub fn record_relay(&mut self, node: NodeId, now: UnixMillis) {
        self.record_relays(node, 1, now);
    }

    /// Messages were.
    pub fn record_relays(&mut self, node: NodeId, messages: u64, now: UnixMillis) {
        self.note(node, now, |s| {
            s.metrics.record_relay(messages, now);
            s.attempts.push(true, messages);
        });
    }

    /// A message given to `node` to relay did not arrive, or not in time.
    pub fn record_relay_failure(&mut self, node: NodeId, now: UnixMillis) {
        self.note(node, now, |s| {
            s.metrics.record_failure(now);
            s.attempts.push(false, 1);
        });
    }

    /// Bytes were relayed by `node`.
    pub fn record_bytes_relayed(&mut self, node: NodeId, bytes: u64, now: UnixMillis) {
        self.note(node, now, |s| s.metrics.record_bytes_relayed(bytes, now));
    }

    /// Bytes were relayed for `node`.
    pub fn record_bytes_received(&mut self, node: NodeId, bytes: u64, now: UnixMillis) {
        self.note(node, now, |s| s.metrics.record_bytes_received(bytes, now));
    }

    /// `node` was seen to be up for so many milliseconds. Only of those that have worked this is kept.
    pub fn record_uptime(&mut self, node: NodeId, ms: u64) {
        if let Some(s) = self.seen.get_mut(&node) {
            s.metrics.record_uptime(ms);
        }
    }

    fn note(&mut self, node: NodeId, now: UnixMillis, what: impl FnOnce(&mut Seen)) {
        if !self.seen.contains_key(&node) && self.seen.len() >= MAX_SCORED {
            self.forget_one(now);
        }
        let s = self.seen.entry(node).or_default();
        // Whom numbers keep from the role is judged with all others, and not at each message.
        let before = s.verdict(now);
        what(s);
        self.due |= before.is_none() && s.verdict(now).is_some();
    }

    /// Who is worth least goes, of those the one that was idle longest; this node itself and its relays stay.
    fn forget_one(&mut self, now: UnixMillis) {
        let worth = |s: &Seen| (s.role == PeerRole::Relay, s.metrics.score(now), s.metrics.first_seen);
        let least = self.seen.iter().filter(|(n, _)| **n != self.me).min_by(|a, b| {
            let (a, b) = (worth(a.1), worth(b.1));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
        });
        if let Some(node) = least.map(|(n, _)| *n) {
            self.seen.remove(&node);
            self.forgotten.push(node);
        }
    }

    /// Messages and bytes that a node relayed, by what they weigh now.
    pub(super) fn work_of(&self, node: &NodeId, now: UnixMillis) -> Option<(f64, f64)> {
        self.seen.get(node).map(|s| s.metrics.work(now))
    }

    /// The score of a node, by what was seen of it.
    pub fn score(&self, node: &NodeId, now: UnixMillis) -> f64 {
        self.seen.get(node).map_or(0.0, |s| s.metrics.score(now))
    }

    /// Whether somebody's role is to be judged at once, because it has just worked enough, or failed too often.
    pub fn is_due(&self) -> bool {
        self.due
    }

    /// This node's own role.
    pub fn own_role(&self) -> PeerRole {
        self.seen.get(&self.me).map_or(PeerRole::Peer, |s| s.role)
    }

    /// Judges everybody by what was seen of them, and writes what follows into the table of peers.
    pub fn evaluate(&mut self, topology: &mut Topology, now: UnixMillis) -> Vec<RoleAction> {
        self.due = false;
        let mut actions = Vec::new();
        let relays = topology.roles().filter(|(n, r)| *n != self.me && r.effective == PeerRole::Relay);
        let mut relays: BTreeSet<NodeId> = relays.map(|(n, _)| n).collect();
        relays.extend(self.counted.iter().filter(|n| **n != self.me));
        self.crowded = (relays.len() > self.many()).then(|| self.crowded.unwrap_or(now));
        let nodes: Vec<NodeId> = self.seen.keys().copied().collect();
        for node in nodes {
            let Some(s) = self.seen.get(&node) else { continue };
            let mut verdict = s.verdict(now);
            if node == self.me {
                verdict = self.within_numbers(s, verdict, &relays, now);
            }
            if let (Some(role), Some(s)) = (verdict, self.seen.get_mut(&node)) {
                s.change(role, now);
                let score = s.metrics.score(now);
                actions.push(match role {
                    PeerRole::Relay => RoleAction::Promoted { node_id: node, score },
                    PeerRole::Peer => RoleAction::Demoted { node_id: node, score },
                });
                if node == self.me {
                    actions.push(RoleAction::LocalRoleChanged { new_role: role });
                }
            }
            self.write(topology, node, now);
        }
        actions
    }

    /// More relays than this are too many.
    fn many(&self) -> usize {
        self.nodes.map_or(usize::MAX, |n| wanted(n) + wanted(n).div_ceil(4))
    }

    /// What this node's own role is to be, there being these other relays.
    fn within_numbers(
        &self,
        s: &Seen,
        verdict: Option<PeerRole>,
        relays: &BTreeSet<NodeId>,
        now: UnixMillis,
    ) -> Option<PeerRole> {
        let Some(nodes) = self.nodes else { return verdict };
        let (wanted, many) = (wanted(nodes), self.many());
        let crowded = self.crowded.is_some_and(|at| now.0.saturating_sub(at.0) >= CROWDED_MS);
        let mine = rank(&self.me, now);
        let below = || relays.iter().filter(|n| rank(n, now) < mine).count();
        match (s.role, verdict) {
            // Where there are too many, who ought to have laid it down does not keep others from it.
            (PeerRole::Peer, Some(PeerRole::Relay)) if relays.len() >= wanted => {
                (crowded && below() < wanted).then_some(PeerRole::Relay)
            }
            (PeerRole::Relay, None) if relays.len() + 1 > many => {
                let held = s.since.map_or(u64::MAX, |at| now.0.saturating_sub(at.0));
                (held >= SETTLED_MS && below() >= wanted).then_some(PeerRole::Peer)
            }
            _ => verdict,
        }
    }

    /// Writes what is known of a node's role. Returns the role it was taken for before.
    fn write(&self, topology: &mut Topology, node: NodeId, now: UnixMillis) -> PeerRole {
        let claim = self.claims.get(&node);
        let claimed = claim.map(|c| c.said.new_role);
        let evidence = self.seen.get(&node).filter(|s| node == self.me || s.is_evidence(now));
        let (effective, merit) = match (evidence, claim) {
            (Some(s), _) => (s.role, s.metrics.score(now)),
            (None, Some(c)) if c.said.new_role == PeerRole::Relay && c.covered >= DEMOTE_BELOW => {
                (PeerRole::Relay, c.covered)
            }
            (None, Some(c)) => (PeerRole::Peer, c.covered),
            (None, None) => (PeerRole::Peer, self.score(&node, now)),
        };
        let before = topology.role(&node);
        topology.set_role(node, RoleRow { claimed, effective, merit });
        before
    }

    /// Takes in an announcement whose signature was verified.
    pub fn handle_role_announce(
        &mut self,
        said: RoleChangeAnnounce,
        topology: &mut Topology,
        now: crate::time::Now,
    ) -> Result<Handled, AnnounceError> {
        if !said.score.is_finite() || !(0.0..=super::scoring::MAX_PLAUSIBLE_SCORE).contains(&said.score) {
            return Err(AnnounceError::Implausible);
        }
        if said.timestamp.0 > now.wall.0.saturating_add(SKEW_MS) || said.expires.0.saturating_add(SKEW_MS) <= now.wall.0
        {
            return Err(AnnounceError::OutOfTime);
        }
        let node = said.node_id;
        let known = self.claims.get(&node).map(|c| c.held.as_ref().unwrap_or(&c.said).sequence);
        if known.is_some_and(|k| said.sequence <= k) {
            return Err(AnnounceError::Old);
        }
        if let Some(c) = self.claims.get_mut(&node) {
            let ends = c.applied + WINDOW;
            if now.mono < ends {
                c.held = Some(said);
                return Ok(Handled::Held(ends));
            }
        } else if self.claims.len() >= MAX_CLAIMS {
            return Err(AnnounceError::Full);
        }
        Ok(Handled::Applied(self.apply(said, topology, now)))
    }

    fn apply(&mut self, said: RoleChangeAnnounce, topology: &mut Topology, now: crate::time::Now) -> PeerRole {
        let node = said.node_id;
        let before = topology.role_row(&node).claimed.unwrap_or_default();
        let covered = self.claims.get(&node).map_or(0.0, |c| c.covered);
        self.claims.insert(node, Claim { said, applied: now.mono, held: None, covered });
        self.write(topology, node, now.wall);
        before
    }

    /// Lets what was held take effect whose window has ended. Returns who claims what now, and claimed before.
    pub fn release(&mut self, topology: &mut Topology, now: crate::time::Now) -> Vec<(NodeId, PeerRole)> {
        let over = |c: &Claim| c.held.is_some() && now.mono >= c.applied + WINDOW;
        let ready: Vec<NodeId> = self.claims.iter().filter(|(_, c)| over(c)).map(|(n, _)| *n).collect();
        let mut out = Vec::new();
        for node in ready {
            if let Some(said) = self.claims.get_mut(&node).and_then(|c| c.held.take()) {
                out.push((node, self.apply(said, topology, now)));
            }
        }
        out
    }

    /// When the next window ends in which something waits.
    pub fn next_release(&self) -> Option<Time> {
        self.claims.values().filter(|c| c.held.is_some()).map(|c| c.applied + WINDOW).min()
    }

    /// A node's announcement is over, or gone.
    pub fn forget_claim(&mut self, node: &NodeId, topology: &mut Topology, now: UnixMillis) -> Option<PeerRole> {
        let was = self.claims.remove(node)?.said.new_role;
        self.write(topology, *node, now);
        Some(was)
    }

    /// What a node claims, if it claims anything.
    pub fn claim(&self, node: &NodeId) -> Option<&RoleChangeAnnounce> {
        self.claims.get(node).map(|c| &c.said)
    }

    /// Finds out how much of all claims can have come to us. Returns whose role is another by that, and which.
    pub fn believe(&mut self, topology: &mut Topology, now: UnixMillis) -> Vec<(NodeId, PeerRole)> {
        let points = |p: f64| (p * MILLI) as u64;
        let mut seen: Vec<(NodeId, u64)> = Vec::new();
        for (node, s) in self.seen.iter().filter(|(n, _)| **n != self.me) {
            let (messages, bytes) = s.metrics.work(now);
            let worth = points(work(messages, bytes));
            if worth > 0 && !s.attempts.failing() {
                seen.push((*node, worth));
            }
        }
        let mut said = Vec::new();
        let mut claims: Vec<(NodeId, u64)> = Vec::new();
        for (node, c) in &self.claims {
            if c.said.new_role == PeerRole::Relay && *node != self.me {
                claims.push((*node, points(c.said.score)));
            }
            for v in &c.said.vouches {
                let left = super::scoring::decay(now.0.saturating_sub(v.at.0));
                let amount = points((work(v.messages as f64, v.bytes as f64) * left).min(1e12));
                said.push(flow::Work { customer: v.by, relay: *node, amount });
            }
        }
        // In an order that nobody can choose for all.
        claims.sort_by_cached_key(|(n, _)| *blake3::keyed_hash(self.me.as_bytes(), n.as_bytes()).as_bytes());
        let covered = flow::covered(self.me, &seen, &said, &claims);
        for c in self.claims.values_mut() {
            c.covered = 0.0;
        }
        for ((node, _), amount) in claims.iter().zip(covered) {
            if let Some(c) = self.claims.get_mut(node) {
                c.covered = amount as f64 / MILLI;
            }
        }
        let mut changed = Vec::new();
        let nodes: Vec<NodeId> = self.claims.keys().copied().collect();
        for node in nodes {
            let before = self.write(topology, node, now);
            let after = topology.role(&node);
            if before != after {
                changed.push((node, after));
            }
        }
        changed
    }

    /// What is known of a node, in one piece.
    pub fn get_metrics(&self, node: &NodeId, topology: &Topology, now: UnixMillis) -> Option<RoleMetrics> {
        let (seen, claim) = (self.seen.get(node), self.claims.get(node));
        if seen.is_none() && claim.is_none() {
            return None;
        }
        let metrics = seen.map(|s| s.metrics).unwrap_or_default();
        Some(RoleMetrics::of(*node, &metrics, topology.role(node), claim, now))
    }

    /// Everybody of whom something was seen or said: the score by what was seen, and what it is taken for. The best first.
    pub fn get_all_scores(&self, topology: &Topology, now: UnixMillis) -> Vec<(NodeId, f64, PeerRole)> {
        let said = self.claims.keys().filter(|n| !self.seen.contains_key(n));
        let of = |n: &NodeId| (*n, self.score(n, now), topology.role(n));
        let mut all: Vec<_> = self.seen.keys().chain(said).map(of).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    }
}

/// Points of work alone.
pub(super) fn work(messages: f64, bytes: f64) -> f64 {
    super::scoring::RELAY_COUNT_WEIGHT * messages + super::scoring::BANDWIDTH_MB_WEIGHT * bytes / MIB
}

/// A node's place among the relays of a day: the lowest stay.
fn rank(node: &NodeId, wall: UnixMillis) -> [u8; 32] {
    let day = wall.0 / 86_400_000;
    *blake3::keyed_hash(&blake3::derive_key("tidings 1 relay rank", &day.to_le_bytes()), node.as_bytes()).as_bytes()
}
