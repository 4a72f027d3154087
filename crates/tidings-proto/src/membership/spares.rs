//! The passive view: spare neighbours, who among them stays, and when one may be asked.
//!
//! HyParView keeps whatever shuffles bring and evicts at random, so that whoever is advertised most fills the view.
//! Two things stand against that. Eviction takes from the prefix that has most entries, so that a party with k prefixes
//! gets k fair shares of the view, not more, however many ids it makes up. And a sixth of the view are *kept*: for each of
//! [`KEPT`] secret hash functions the peer with the smallest hash of its prefix, of all that were ever advertised and
//! not found dead: min-wise samples, as in Brahms (Bortnikov, Gurevich, Keidar, Kliot, Shraer 2009), over prefixes
//! rather than ids. Advertising an id or a prefix more often changes nothing about them.
//!
//! Invariants: no duplicates; never more than the capacity; a kept peer leaves only by becoming a neighbour or by being
//! found dead.

use crate::id_map::IdMap;
use crate::identity::NodeId;
use crate::membership::prefix::Prefix;
use crate::rng::Rng;
use crate::time::{Span, Time};

/// Peers kept by min-wise hashes (a guess: enough that all of them are an attacker's with probability x^16 when it holds a
/// share x of the prefixes, few enough to leave room for fresh ones).
pub(super) const KEPT: usize = 16;
/// Refusals remembered; the one that expires first makes room. More than a passive view holds.
const REFUSALS: usize = 192;
/// After this many refusals in a row a spare is the first to be evicted.
const UNWILLING: u8 = 2;

/// A spare neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spare {
    pub(super) id: NodeId,
    pub(super) prefix: Prefix,
    /// When this node itself last had a link to it.
    pub(super) met: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
struct Refusal {
    times: u8,
    until: Time,
}

/// A spare, and what decides whether it may be evicted.
#[derive(Debug)]
struct Listed {
    spare: Spare,
    /// By how many of the samples it is kept.
    kept: usize,
    /// It refused again and again.
    unwilling: bool,
}

/// The spares of one overlay.
#[derive(Debug)]
pub(super) struct Spares {
    list: Vec<Listed>,
    /// The first bytes of their ids, in the order of the list: most look-ups end here.
    heads: Vec<u64>,
    /// How many there are at each prefix, in order.
    at: Vec<(Prefix, usize)>,
    refusals: IdMap<Refusal>,
    kept: [Option<(u64, NodeId)>; KEPT],
    secret: [u8; 32],
}

impl Spares {
    pub(super) fn new(seed: &[u8; 32], instance: &[u8]) -> Spares {
        let secret = *blake3::Hasher::new_keyed(seed).update(b"kept spares").update(instance).finalize().as_bytes();
        Spares {
            list: Vec::new(),
            heads: Vec::new(),
            at: Vec::new(),
            refusals: IdMap::default(),
            kept: [None; KEPT],
            secret,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Spare> {
        self.list.iter().map(|l| &l.spare)
    }

    /// Where in the list `peer` is.
    fn position(&self, peer: &NodeId) -> Option<usize> {
        let head = peer.head();
        (0..self.heads.len()).find(|i| self.heads[*i] == head && self.list[*i].spare.id == *peer)
    }

    pub(super) fn contains(&self, peer: &NodeId) -> bool {
        self.position(peer).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.heads.clear();
        self.at.clear();
        self.kept = [None; KEPT];
    }

    /// The prefixes that have a spare.
    pub(super) fn prefixes(&self) -> impl ExactSizeIterator<Item = Prefix> {
        self.at.iter().map(|(p, _)| *p)
    }

    fn remove(&mut self, at: usize) -> Spare {
        self.heads.swap_remove(at);
        let spare = self.list.swap_remove(at).spare;
        if let Ok(i) = self.at.binary_search_by_key(&spare.prefix, |(p, _)| *p) {
            self.at[i].1 -= 1;
            if self.at[i].1 == 0 {
                self.at.remove(i);
            }
        }
        spare
    }

    /// Takes a spare in. When full, one goes: of those that refused again and again, or else of the most frequent
    /// prefix, at random; never a kept one.
    pub(super) fn add(&mut self, rng: &mut Rng, spare: Spare, capacity: usize) {
        if let Some(at) = self.position(&spare.id) {
            let known = &mut self.list[at].spare;
            known.met = known.met.max(spare.met);
            return;
        }
        self.sample(&spare);
        let kept = self.kept.iter().flatten().filter(|(_, k)| *k == spare.id).count();
        let unwilling = self.is_unwilling(&spare.id);
        self.heads.push(spare.id.head());
        self.list.push(Listed { spare, kept, unwilling });
        match self.at.binary_search_by_key(&spare.prefix, |(p, _)| *p) {
            Ok(i) => self.at[i].1 += 1,
            Err(i) => self.at.insert(i, (spare.prefix, 1)),
        }
        while self.list.len() > capacity {
            let Some(at) = self.evictable(rng) else { break };
            self.remove(at);
        }
    }

    /// Offers a peer to the min-wise samples. The first of a prefix stays: another id in it has the same hash.
    fn sample(&mut self, spare: &Spare) {
        let mut hashes = [0; KEPT * 8];
        let mut hash = blake3::Hasher::new_keyed(&self.secret);
        hash.update(&spare.prefix.to_bytes()).finalize_xof().fill(&mut hashes);
        let (hashes, _) = hashes.as_chunks::<8>();
        for (i, h) in hashes.iter().enumerate() {
            let h = u64::from_le_bytes(*h);
            if self.kept[i].is_none_or(|(least, _)| h < least) {
                let before = self.kept[i].replace((h, spare.id));
                if let Some(at) = before.and_then(|(_, k)| self.position(&k)) {
                    self.list[at].kept -= 1;
                }
            }
        }
    }

    /// Whether this node favours a prefix: it does so for one in so many, by a secret hash.
    pub(super) fn favours(&self, prefix: Prefix, of: f64) -> bool {
        let hash = blake3::Hasher::new_keyed(&self.secret).update(b"favoured").update(&prefix.to_bytes()).finalize();
        let [a, b, c, d, ..] = *hash.as_bytes();
        f64::from(u32::from_le_bytes([a, b, c, d])) < of * f64::from(u32::MAX)
    }

    fn evictable(&self, rng: &mut Rng) -> Option<usize> {
        let free = || (0..self.list.len()).filter(|i| self.list[*i].kept == 0);
        let refused = || free().filter(|i| self.list[*i].unwilling);
        if let Some(at) = pick(rng, refused) {
            return Some(at);
        }
        if self.at.len() == self.list.len() {
            // All prefixes differ.
            return pick(rng, free);
        }
        let count = |i: &usize| {
            let at = self.at.binary_search_by_key(&self.list[*i].spare.prefix, |(p, _)| *p);
            at.map_or(0, |at| self.at[at].1)
        };
        let most = free().map(|i| count(&i)).max()?;
        pick(rng, || free().filter(|i| count(i) == most))
    }

    fn is_unwilling(&self, peer: &NodeId) -> bool {
        self.refusals.get(peer).is_some_and(|r| r.times > UNWILLING)
    }

    /// The refusals of `peer` changed.
    fn mark(&mut self, peer: &NodeId) {
        if let Some(at) = self.position(peer) {
            self.list[at].unwilling = self.is_unwilling(peer);
        }
    }

    /// Takes a spare out: it is a neighbour now.
    pub(super) fn take(&mut self, peer: &NodeId) -> Option<Spare> {
        self.refusals.remove(peer);
        let at = self.position(peer)?;
        Some(self.remove(at))
    }

    /// Takes a spare out for good: it could not be reached.
    pub(super) fn forget(&mut self, peer: &NodeId) {
        if let Some(at) = self.position(peer) {
            self.remove(at);
        }
        for kept in &mut self.kept {
            if kept.is_some_and(|(_, k)| k == *peer) {
                *kept = None;
            }
        }
    }

    /// A link to it came up.
    pub(super) fn met(&mut self, peer: &NodeId, now: Time) {
        if let Some(at) = self.position(peer) {
            self.list[at].spare.met = Some(now);
        }
    }

    /// A peer said no: it is not asked again for 2 s, 4 s, … 64 s (guesses), whether it stays a spare or not.
    pub(super) fn refused(&mut self, peer: NodeId, now: Time) {
        if self.refusals.len() >= REFUSALS && !self.refusals.contains_key(&peer) {
            let first = self.refusals.iter().min_by_key(|(p, r)| (r.until, **p)).map(|(p, _)| *p);
            if let Some(first) = first {
                self.refusals.remove(&first);
                self.mark(&first);
            }
        }
        let r = self.refusals.get_or_insert_with(peer, || Refusal { times: 0, until: now });
        r.times = r.times.saturating_add(1);
        r.until = now + Span::from_millis(1_000 << u32::from(r.times).min(6));
        self.mark(&peer);
    }

    /// Nobody's refusal counts any longer.
    pub(super) fn forgive(&mut self) {
        self.refusals = IdMap::default();
        self.list.iter_mut().for_each(|l| l.unwilling = false);
    }

    /// Whether a peer has not refused lately.
    pub(super) fn is_willing(&self, peer: &NodeId, now: Time) -> bool {
        self.refusals.get(peer).is_none_or(|r| r.until <= now)
    }

    /// A uniform sample of `k` spares.
    pub(super) fn pick(&self, rng: &mut Rng, k: usize) -> Vec<NodeId> {
        let mut all: Vec<usize> = (0..self.list.len()).collect();
        rng.sample(&mut all, k);
        all.into_iter().map(|at| self.list[at].spare.id).collect()
    }
}

/// One of those that `of` goes through, uniformly.
fn pick<I: Iterator<Item = usize>>(rng: &mut Rng, of: impl Fn() -> I) -> Option<usize> {
    let count = of().count();
    if count == 0 { None } else { of().nth(rng.below(count)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Addr;

    fn rng() -> Rng {
        Rng::derive(&[1; 32], "test", &[])
    }

    fn spare(n: u32, net: u32) -> Spare {
        let id = NodeId(*blake3::hash(&n.to_le_bytes()).as_bytes());
        let [_, a, b, c] = net.to_be_bytes();
        let addr = Addr::Socket(([a, b, c, 1], 1).into());
        Spare { id, prefix: Prefix::of(&id, &[addr], &[]), met: None }
    }

    fn of_net(s: &Spares, net: u32) -> usize {
        s.iter().filter(|x| x.prefix == spare(0, net).prefix).count()
    }

    #[test]
    fn a_flood_from_one_prefix_gets_one_fair_share() {
        let (mut s, mut rng) = (Spares::new(&[2; 32], &[]), rng());
        for n in 0..96 {
            s.add(&mut rng, spare(n, 1 + n), 96);
        }
        for n in 1_000..11_000 {
            s.add(&mut rng, spare(n, 500), 96);
        }
        assert_eq!(s.len(), 96);
        assert!(of_net(&s, 500) <= 2, "{} of one prefix", of_net(&s, 500));
    }

    #[test]
    fn peers_of_one_prefix_fill_the_view_when_there_are_no_others() {
        let (mut s, mut rng) = (Spares::new(&[2; 32], &[]), rng());
        for n in 0..200 {
            s.add(&mut rng, spare(n, 7), 96);
        }
        assert_eq!(s.len(), 96);
    }

    #[test]
    fn frequent_advertisement_does_not_displace_a_kept_peer() {
        let (mut s, mut rng) = (Spares::new(&[2; 32], &[]), rng());
        for n in 0..1_000 {
            s.add(&mut rng, spare(n, 1 + n), 96);
        }
        let kept: Vec<NodeId> = s.kept.iter().flatten().map(|k| k.1).collect();
        // Ten attackers' prefixes, each with a thousand ids, told again and again.
        for n in 0..20_000 {
            s.add(&mut rng, spare(10_000 + n % 10_000, 2_000 + n % 10), 96);
        }
        let stayed = kept.iter().filter(|k| s.contains(k)).count();
        assert!(stayed >= KEPT - 2, "only {stayed} of {KEPT} kept peers are left");
    }

    #[test]
    fn a_kept_peer_that_is_dead_makes_room() {
        let (mut s, mut rng) = (Spares::new(&[2; 32], &[]), rng());
        s.add(&mut rng, spare(1, 1), 96);
        let kept = |s: &Spares| s.kept.iter().flatten().filter(|(_, k)| *k == spare(1, 1).id).count();
        assert!(kept(&s) > 0);
        s.forget(&spare(1, 1).id);
        assert!(kept(&s) == 0 && s.is_empty());
    }

    #[test]
    fn a_refusal_outlives_the_spare_and_doubles() {
        let (mut s, mut rng) = (Spares::new(&[2; 32], &[]), rng());
        let p = spare(1, 1);
        let at = |ms| Time(0) + Span::from_millis(ms);
        s.add(&mut rng, p, 96);
        s.refused(p.id, at(0));
        s.forget(&p.id);
        s.add(&mut rng, p, 96);
        assert!(!s.is_willing(&p.id, at(1_999)));
        assert!(s.is_willing(&p.id, at(2_000)));
        s.refused(p.id, at(2_000));
        assert!(!s.is_willing(&p.id, at(5_999)));
        s.take(&p.id);
        assert!(s.is_willing(&p.id, at(2_001)), "who said yes is forgiven");
    }

    #[test]
    fn refusals_are_bounded() {
        let mut s = Spares::new(&[2; 32], &[]);
        for n in 0..1_000 {
            s.refused(spare(n, 1).id, Time(u64::from(n)));
        }
        assert_eq!(s.refusals.len(), REFUSALS);
        assert!(!s.is_willing(&spare(999, 1).id, Time(1_000)), "the newest are remembered");
    }

    #[test]
    fn who_refused_again_and_again_goes_first() {
        let (mut s, mut rng) = (Spares::new(&[2; 32], &[]), rng());
        for n in 0..96 {
            s.add(&mut rng, spare(n, 1 + n), 96);
        }
        let free = s.list.iter().find(|l| l.kept == 0).unwrap().spare.id;
        for _ in 0..=UNWILLING {
            s.refused(free, Time(0));
        }
        s.add(&mut rng, spare(500, 500), 96);
        assert!(!s.contains(&free));
    }
}
