//! Members that forge adverts of the index: they run the real core, withhold as holders what was left with them, know all
//! constants and every honest node's address, and have keys for the asking.
//!
//! What they do besides is one of several strategies; `best` is the one with which fewest agents are found. Whatever a
//! strategy needs ground (keys, places) is ground beforehand; adverts are signed anew each [`EVERY`], as honest ones are.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use bytes::Bytes;
use tidings_proto::discovery::{advert, shard_id};
use tidings_proto::identity::{NodeId, RecordKey, SecretKey};
use tidings_proto::records::sets::INDEX;
use tidings_proto::rng::Rng;
use tidings_proto::time::{Span, Time};
use tidings_proto::wire::{Lane, Message, VouchReached};

use super::super::stage::Stage;
use crate::network::HolderLie;
use crate::options::Forgery;

/// How often they publish anew what they have.
pub(super) const EVERY: Span = Span::from_secs(300);
/// And tell their neighbours, new ones too, whom they have reached.
const VOUCH: Span = Span::from_secs(20);
/// False adverts: as many as the set has room for.
const MANY: usize = 2_048;
/// To stand before everybody honest in one shard, and hardly be noticed elsewhere.
const FEW: usize = 128;
/// Keys or places drawn for each that is used.
const DRAWN: usize = 16;
/// Keys that really listen at an attacker's address.
const REAL: usize = 8;

pub(super) struct Forgers {
    how: Forgery,
    /// The members.
    pub(super) ids: Vec<u32>,
    /// Whose shard they want.
    pub(super) victim: u32,
    /// Where each false node is said to be.
    false_ones: Vec<(SecretKey, SocketAddrV4)>,
    attesters: Vec<SecretKey>,
    theirs: BTreeSet<NodeId>,
    due: Time,
    vouch_due: Time,
    rng: Rng,
}

fn v4(s: &mut Stage, n: u32) -> [u8; 4] {
    match s.net.peer_addr(n).addrs.first().map(ToString::to_string).and_then(|a| a.parse::<SocketAddrV4>().ok()) {
        Some(a) => a.ip().octets(),
        None => [0; 4],
    }
}

fn key(rng: &mut Rng) -> SecretKey {
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&rng.next_u64().to_le_bytes()));
    SecretKey::from_bytes(bytes)
}

/// A network in which nobody honest is.
fn nowhere(rng: &mut Rng) -> SocketAddrV4 {
    let [a, b, c, d, ..] = rng.next_u64().to_le_bytes();
    SocketAddrV4::new(Ipv4Addr::new(150 + a % 70, b, c, d), 4_000)
}

fn score(shard: u16, of: &[u8]) -> [u8; 32] {
    *blake3::hash(&[&shard.to_le_bytes()[..], of].concat()).as_bytes()
}

fn place_score(shard: u16, at: &SocketAddrV4) -> [u8; 32] {
    let [a, b, c, _] = at.ip().octets();
    score(shard, &[4, a, b, c, 0, 0, 0])
}

impl Forgers {
    pub(super) fn enter(s: &mut Stage, share: f64, how: Forgery) -> Forgers {
        let mut rng = s.net.script_rng("forgers");
        let mut all = s.alive();
        let count = ((all.len() as f64 * share).round() as usize).max(2);
        rng.sample(&mut all, count + 1);
        let (ids, victim) = (all[..count].to_vec(), all[count]);
        for n in &ids {
            s.net.lie_as_holder(*n, HolderLie::Empty);
        }
        let shard = shard_id(&s.net.agent(victim).0);
        let own: Vec<SecretKey> = ids.iter().map(|n| s.net.secret(*n)).collect();
        let mut attesters: Vec<SecretKey> = (0..64).map(|_| key(&mut rng)).collect();
        let mut theirs: BTreeSet<NodeId> = ids.iter().map(|n| s.net.id(*n)).collect();
        let best_places = |rng: &mut Rng, count: usize| {
            let mut drawn: Vec<SocketAddrV4> = (0..count * DRAWN).map(|_| nowhere(rng)).collect();
            drawn.sort_by_key(|a| std::cmp::Reverse(place_score(shard, a)));
            drawn.truncate(count);
            drawn
        };
        let false_ones: Vec<(SecretKey, SocketAddrV4)> = match how {
            Forgery::Fill => {
                // Those that stay when the set is full: the lowest by the hash of day and key.
                let wall = s.net.clocks().wall;
                let rank = |id: NodeId| advert::rank(&RecordKey::from(id), wall);
                let mut keys: Vec<SecretKey> = (0..MANY * DRAWN).map(|_| key(&mut rng)).collect();
                keys.sort_by_cached_key(|k| rank(s.net.id_of(k)));
                keys.into_iter().take(MANY).map(|k| (k, nowhere(&mut rng))).collect()
            }
            Forgery::Prefixes => (0..MANY).map(|_| (key(&mut rng), nowhere(&mut rng))).collect(),
            Forgery::Displace => {
                let honest: Vec<u32> = s.alive().into_iter().filter(|n| !ids.contains(n)).collect();
                let each = (MANY / honest.len()).clamp(1, 8);
                let mut out = Vec::new();
                for n in honest {
                    let [a, b, c, _] = v4(s, n);
                    // The first of their place in the shard they want.
                    let mut keys: Vec<SecretKey> = (0..each * DRAWN).map(|_| key(&mut rng)).collect();
                    keys.sort_by_cached_key(|k| std::cmp::Reverse(score(shard, s.net.id_of(k).as_bytes())));
                    let at = |i: usize| SocketAddrV4::new(Ipv4Addr::new(a, b, c, 66 + i as u8), 4_000);
                    out.extend(keys.into_iter().take(each).enumerate().map(|(i, k)| (k, at(i))));
                }
                out
            }
            Forgery::Grind => best_places(&mut rng, FEW).into_iter().map(|a| (key(&mut rng), a)).collect(),
            Forgery::Ring => {
                attesters = own.clone();
                best_places(&mut rng, FEW).into_iter().map(|a| (key(&mut rng), a)).collect()
            }
            Forgery::Mixed => {
                let mut out: Vec<_> = best_places(&mut rng, FEW).into_iter().map(|a| (key(&mut rng), a)).collect();
                for n in &ids {
                    let [a, b, c, _] = v4(s, *n);
                    for i in 0..REAL {
                        let at = SocketAddrV4::new(Ipv4Addr::new(a, b, c, 66 + i as u8), 4_000);
                        let puppet = s.net.add_puppet(at);
                        out.push((s.net.secret(puppet), at));
                    }
                }
                out
            }
            Forgery::Best => Vec::new(),
        };
        theirs.extend(false_ones.iter().map(|(k, _)| s.net.id_of(k)));
        // The real ones stand for what they attest where that is worth something.
        if how == Forgery::Mixed {
            attesters.extend(own);
        }
        Forgers { how, ids, victim, false_ones, attesters, theirs, due: s.now(), vouch_due: s.now(), rng }
    }

    /// Publishes what is false, if it is time.
    pub(super) fn act(&mut self, s: &mut Stage) {
        if s.now() >= self.vouch_due {
            self.vouch_due = s.now() + VOUCH;
            self.vouch(s);
        }
        if s.now() < self.due {
            return;
        }
        self.due = s.now() + EVERY;
        let adverts: Vec<Bytes> = self
            .false_ones
            .iter()
            .map(|(k, at)| {
                let first = self.rng.below(self.attesters.len());
                let second = (first + 1 + self.rng.below(self.attesters.len() - 1)) % self.attesters.len();
                let by = [&self.attesters[first], &self.attesters[second]];
                s.net.forge_advert(k, *at, by, if self.how == Forgery::Displace { 1 << 50 } else { 0 })
            })
            .collect();
        for (i, advert) in adverts.into_iter().enumerate() {
            let by = self.ids[i % self.ids.len()];
            s.net.put_record(by, INDEX, advert);
        }
    }

    /// Tells neighbours that what is false was reached.
    fn vouch(&mut self, s: &mut Stage) {
        if self.how == Forgery::Ring {
            // Beside what is true: so most of what they vouch for can be reached.
            let all = (0..s.net.len() as u32).map(|n| s.net.id(n)).chain(self.theirs.iter().copied());
            let heads: Vec<u64> =
                all.filter_map(|id| id.0.first_chunk::<8>().copied()).map(u64::from_be_bytes).collect();
            let frame = Message::from(VouchReached {
                anew: false,
                reached: VouchReached::pack(heads.into_iter()),
                lost: Vec::new(),
            })
            .frame();
            for n in &self.ids {
                for peer in s.net.puppet_links(*n) {
                    s.net.inject(*n, peer, Lane::Control, frame.clone());
                }
            }
        }
    }

    /// The share of the holders of the victim's shard, and of all shards, that are theirs or nobody's: as honest nodes see it.
    pub(super) fn share(&mut self, s: &Stage) -> (f64, f64) {
        let victim = shard_id(&s.net.agent(self.victim).0);
        let honest: Vec<u32> = s.alive().into_iter().filter(|n| !self.ids.contains(n)).collect();
        let (mut of_victim, mut of_all) = ((0, 0), (0, 0));
        for n in honest {
            let Some(index) = s.net.node(n).map(|node| node.index()) else { continue };
            let count = |shard: u16, of: &mut (usize, usize)| {
                let holders = index.nodes(shard, 8);
                of.1 += holders.len();
                of.0 += holders.iter().filter(|h| self.theirs.contains(&h.id)).count();
            };
            count(victim, &mut of_victim);
            for _ in 0..16 {
                count(self.rng.next_u64() as u16, &mut of_all);
            }
        }
        let share = |(theirs, all): (usize, usize)| theirs as f64 / all.max(1) as f64;
        (share(of_victim), share(of_all))
    }
}
