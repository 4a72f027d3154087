//! Coordinators: nodes that can be reached by anybody, known to everybody, as ways into the network and back.
//!
//! A node whose address is confirmed ([`super::reach`]) advertises itself when the network has few coordinators, so that some
//! [`WANTED`] of them stand whatever its size; the program can force or forbid it. Adverts are records of the set of
//! coordinators ([`crate::records`]), known in other designs as the topic `x0x.coordinators`: signed by the node's key like every
//! record, and by the agent's ML-DSA key, which the advert carries, so that it can be checked by who knows neither.
//!
//! ```text
//! record's content:  length of the offer u16 LE ‖ offer (CBOR map, see `Offer`) ‖ key (1952) ‖ signature (3309)
//! ```
//!
//! The signature is over `BLAKE3-keyed(BLAKE3-derive-key("tidings 1 coordinator", network's records key), record's head ‖ length ‖
//! offer)`. An advert holds 24 hours at most; what would hold longer is refused. It is renewed at half its life.
//!
//! Ranking is by what this node has measured: how often its links to a coordinator came up, then the round-trip time. What an
//! advert claims counts for nothing. Each coordinator is remembered on the disk as a way back.
//!
//! When many stand, those whose `BLAKE3(day ‖ node)` is highest let theirs lapse. Invariants: one advert a node; only
//! confirmed addresses are advertised; what is measured is kept for coordinators alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::reach::{self, Attestation};
use crate::crypto::{AGENT_KEY_LEN, AGENT_SIGNATURE_LEN};
use crate::identity::{Addr, AgentId, MAX_ADDRS, Network, NodeId, PeerAddr, RecordKey};
use crate::io::{CommandError, Reply, Ticket};
use crate::layer::{Cx, Done, Layer, Request, RequestTicket, Signal, TimerKey};
use crate::records::{self, Change, Claim, Context, Refused, SetId, Store, sets, signed};
use crate::rng::Rng;
use crate::time::{Span, UnixMillis};
use crate::wire::ChainValue;

/// How many a network wants, whatever its size (a guess: several ways in for a newcomer, a hundred kilobytes for all).
pub const WANTED: usize = 16;
/// How long an advert holds.
pub const LIFE: Span = Span::from_secs(24 * 3_600);
/// How often a node looks whether one more is wanted, or one less; drawn anew each time, so that not all decide at once.
const LOOK: (Span, Span) = (Span::from_secs(20), Span::from_secs(120));
/// How long a node whose address has just been confirmed lets others go first, if it need not be one.
const FIRST: (Span, Span) = (Span::from_secs(5), Span::from_secs(60));
/// How often it is looked whether an address is confirmed.
const UNCONFIRMED: Span = Span::from_secs(4);

/// Whether a node is to be a coordinator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// When it can be reached and one is wanted.
    #[default]
    Auto,
    /// Whenever it can be reached.
    Always,
    /// Never.
    Never,
}

/// What a coordinator offers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Offer {
    #[n(0)]
    me: PeerAddr,
    #[n(1)]
    attestations: Vec<Attestation>,
}

/// A coordinator, as this node knows it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct CoordinatorAdvert {
    /// Who.
    #[serde(serialize_with = "text")]
    pub node: NodeId,
    /// The agent that signed the advert.
    #[serde(serialize_with = "text")]
    pub agent: AgentId,
    /// Where it can be reached, as others have confirmed.
    #[serde(serialize_with = "texts")]
    pub addrs: Vec<Addr>,
    /// When it said so, by its own clock.
    #[serde(rename = "issued_ms", serialize_with = "millis")]
    pub issued: UnixMillis,
    /// For how long it can still be believed.
    pub expires_in_ms: u64,
    /// How often a link to it came up here.
    pub reached: u32,
    /// How often a dial failed here.
    pub failed: u32,
    /// The round trip measured here last.
    pub rtt_ms: Option<f64>,
}

fn text<T: std::fmt::Display, S: serde::Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

fn texts<S: serde::Serializer>(value: &[Addr], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(value.iter().map(ToString::to_string))
}

fn millis<S: serde::Serializer>(value: &UnixMillis, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u64(value.0)
}

/// An advert's parts.
struct Parts {
    offer: Offer,
    key: Bytes,
    signature: Bytes,
    /// What the signature is over, the head excepted.
    said: Bytes,
}

fn parse(content: &Bytes) -> Option<Parts> {
    let (len, _) = content.split_first_chunk::<2>()?;
    let len = usize::from(u16::from_le_bytes(*len));
    if content.len() != 2 + len + AGENT_KEY_LEN + AGENT_SIGNATURE_LEN {
        return None;
    }
    let said = content.slice(..2 + len);
    let offer: Offer = minicbor::decode(&said[2..]).ok()?;
    let fits = !offer.me.addrs.is_empty() && offer.attestations.len() <= MAX_ADDRS * reach::UNRELATED;
    let key = content.slice(2 + len..2 + len + AGENT_KEY_LEN);
    fits.then(|| Parts { offer, key, signature: content.slice(content.len() - AGENT_SIGNATURE_LEN..), said })
}

fn digest(network: &[u8; 32], head: &[u8], said: &[u8]) -> [u8; 32] {
    let mut h = blake3::Hasher::new_keyed(&blake3::derive_key("tidings 1 coordinator", network));
    h.update(head).update(said);
    *h.finalize().as_bytes()
}

/// What an advert says of itself, for the table of sets. It cannot be refreshed.
pub(crate) fn peek(bytes: &[u8]) -> Result<Claim, Refused> {
    let claim = signed::peek(bytes)?;
    Ok(Claim { anchor: None, ..claim })
}

/// Whether an advert is its node's, its agent's, and proven, for the table of sets.
pub(crate) fn verify(set: SetId, bytes: &[u8], context: &Context<'_>) -> bool {
    let record = Bytes::copy_from_slice(bytes);
    let (Ok(claim), Some(parts)) = (signed::peek(bytes), parse(&signed::content(&record))) else { return false };
    let node = NodeId(claim.key.0);
    parts.offer.me.id == node
        && signed::verify(set, bytes, context)
        && reach::proves(
            &parts.offer.attestations,
            context.crypto,
            context.reached,
            &node,
            &parts.offer.me.addrs,
            claim.issued,
        )
        && context.crypto.agent_verify(
            &parts.key,
            &digest(context.network, signed::head_of(bytes), &parts.said),
            &parts.signature,
        )
}

/// What this node measured of a coordinator.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    reached: u32,
    failed: u32,
}

/// What the layer is asked to do.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Be a coordinator, or not.
    Set(Ticket, Mode),
    /// Leave.
    Leave,
}

/// The timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// See whether one more is wanted, or one less.
    Look,
}

/// The layer of coordinators.
pub struct Coordinators {
    network: [u8; 32],
    rng: Rng,
    mode: Mode,
    measured: BTreeMap<NodeId, Measured>,
    /// An address was confirmed when last looked.
    confirmed: bool,
    left: bool,
}

impl std::fmt::Debug for Coordinators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coordinators").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// A node's place among those that may be coordinators today: the lowest stay.
fn rank(node: &NodeId, wall: UnixMillis) -> u64 {
    let day = wall.0 / 86_400_000;
    let hash =
        blake3::keyed_hash(&blake3::derive_key("tidings 1 coordinator rank", &day.to_le_bytes()), node.as_bytes());
    hash.as_bytes().first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}

impl Coordinators {
    pub(crate) fn new(network: &Network, seed: &[u8; 32]) -> Coordinators {
        Coordinators {
            network: records::key(network),
            rng: Rng::derive(seed, "coordinators", &[]),
            mode: Mode::Auto,
            measured: BTreeMap::new(),
            confirmed: false,
            left: false,
        }
    }

    /// Looks whether this node is to advertise itself, and does.
    fn look(&mut self, cx: &mut Cx<'_>) {
        if self.left || self.mode == Mode::Never {
            return;
        }
        let confirmed = cx.attestations.confirmed(cx.now.wall, cx.own_addrs, cx.topology);
        let news = std::mem::replace(&mut self.confirmed, !confirmed.is_empty()) != self.confirmed;
        let waits = self.confirmed && news && self.mode == Mode::Auto;
        let next = match (self.confirmed, waits) {
            (false, _) => UNCONFIRMED,
            (true, true) => Span(self.rng.between(FIRST.0.0, FIRST.1.0)),
            (true, false) => Span(self.rng.between(LOOK.0.0, LOOK.1.0)),
        };
        cx.deadlines.set(TimerKey::Coordinators(Timer::Look), cx.now.mono + next);
        if !self.confirmed || waits {
            return;
        }
        let addrs: Vec<Addr> = confirmed.iter().map(|c| c.0).collect();
        let own = cx.records.get(sets::COORDINATORS, &RecordKey::from(cx.me));
        let others = cx.records.len(sets::COORDINATORS) - usize::from(own.is_some());
        if let Some(own) = own {
            let fresh = own.expires().since(cx.now.mono) > LIFE.half();
            let same = parse(&signed::content(&own.bytes)).is_some_and(|p| p.offer.me.addrs == addrs);
            if fresh && same {
                return;
            }
        }
        if self.mode == Mode::Auto && others >= WANTED && !self.stays(cx, own.is_some(), others) {
            return;
        }
        let attestations = confirmed.into_iter().flat_map(|c| c.1).collect();
        self.advertise(cx, Offer { me: PeerAddr { id: cx.me, addrs }, attestations });
    }

    /// Whether a node that is a coordinator goes on being one though there are enough: of twice as many, the lowest do.
    fn stays(&self, cx: &Cx<'_>, stands: bool, others: usize) -> bool {
        if !stands || others < 2 * WANTED {
            return stands;
        }
        let mine = rank(&cx.me, cx.now.wall);
        let lower = cx.records.iter(sets::COORDINATORS).filter(|r| rank(&NodeId(r.claim.key.0), cx.now.wall) < mine);
        lower.count() < WANTED
    }

    fn advertise(&mut self, cx: &mut Cx<'_>, offer: Offer) {
        let Some(key) = cx.crypto.agent_key().map(<[u8]>::to_vec) else { return };
        let Ok(encoded) = minicbor::to_vec(&offer) else { return };
        let Ok(len) = u16::try_from(encoded.len()) else { return };
        let issued = UnixMillis(cx.now.wall.0 / 1_000 * 1_000);
        // By the clock: one that was set back says nothing until it has caught up.
        let said = signed::Statement { version: issued.0, issued, life: LIFE, anchor: ChainValue([0; 16]) };
        let mut content = len.to_le_bytes().to_vec();
        content.extend_from_slice(&encoded);
        let head = signed::head(&cx.me, &said);
        let Some(signature) = cx.crypto.agent_sign(&digest(&self.network, &head, &content)) else { return };
        content.extend_from_slice(&key);
        content.extend_from_slice(&signature);
        let record = signed::sign(sets::COORDINATORS, &self.network, cx.crypto, &said, &content);
        cx.counters.coordinator_adverts += 1;
        cx.request(Request::PutRecord(sets::COORDINATORS, record));
    }

    /// The coordinators known, the best by this node's own measure first.
    pub(crate) fn list(
        &self,
        cx_now: crate::time::Time,
        store: &Store,
        topology: &crate::topology::Topology,
    ) -> Vec<CoordinatorAdvert> {
        let advert = |r: &records::Record| {
            let node = NodeId(r.claim.key.0);
            let parts = parse(&signed::content(&r.bytes))?;
            let m = self.measured.get(&node).copied().unwrap_or_default();
            Some(CoordinatorAdvert {
                node,
                agent: AgentId::of_key(&parts.key),
                addrs: parts.offer.me.addrs,
                issued: r.claim.issued,
                expires_in_ms: r.expires().since(cx_now).as_millis(),
                reached: m.reached,
                failed: m.failed,
                rtt_ms: topology.rtt(&node).map(|rtt| rtt.0 as f64 / 1_000.0),
            })
        };
        let mut all: Vec<CoordinatorAdvert> = store.iter(sets::COORDINATORS).filter_map(advert).collect();
        // One success and one failure are assumed of each, so that one good try is not worth more than nine of ten.
        let failing = |c: &CoordinatorAdvert| {
            u64::from(c.failed + 1) * 1_000_000 / (u64::from(c.reached) + u64::from(c.failed) + 2)
        };
        let rtt = |c: &CoordinatorAdvert| c.rtt_ms.map_or(u64::MAX, |ms| (ms * 1_000.0) as u64);
        all.sort_by_cached_key(|c| (failing(c), rtt(c), c.node));
        all
    }

    fn measure(&mut self, cx: &Cx<'_>, peer: NodeId, note: impl FnOnce(&mut Measured)) {
        if cx.records.get(sets::COORDINATORS, &RecordKey::from(peer)).is_some() {
            note(self.measured.entry(peer).or_default());
        }
    }
}

impl Layer for Coordinators {
    type Message = ();
    type Command = Command;
    type Timer = Timer;

    fn on_message(&mut self, _: &mut Cx<'_>, _: NodeId, (): ()) {}

    fn on_command(&mut self, cx: &mut Cx<'_>, command: Command) {
        match command {
            Command::Set(ticket, mode) => {
                if mode == Mode::Always && cx.crypto.agent_key().is_none() {
                    return cx.reply(ticket, Reply::Refused(CommandError::NoAgent));
                }
                self.mode = mode;
                self.look(cx);
                cx.reply(ticket, Reply::Done);
            }
            Command::Leave => self.left = true,
        }
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match *signal {
            Signal::RecordChanged { set: sets::COORDINATORS, key, change } => {
                let node = NodeId(key.0);
                if change == Change::Gone {
                    self.measured.remove(&node);
                } else if let Some(r) = cx.records.get(sets::COORDINATORS, &key).filter(|_| node != cx.me)
                    && let Some(parts) = parse(&signed::content(&r.bytes))
                {
                    cx.request(Request::Remember(Box::new(parts.offer.me)));
                }
            }
            Signal::LinkUp { peer } if cx.links().is_circuit(&peer) => {}
            Signal::LinkUp { peer } => {
                self.measure(cx, peer, |m| m.reached = m.reached.saturating_add(1));
                if !self.left && !cx.deadlines.armed(&TimerKey::Coordinators(Timer::Look)) {
                    cx.deadlines.set(TimerKey::Coordinators(Timer::Look), cx.now.mono + UNCONFIRMED);
                }
            }
            Signal::LinkDown { peer, dial: true, .. } => {
                self.measure(cx, peer, |m| m.failed = m.failed.saturating_add(1));
            }
            _ => {}
        }
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, _: Timer) {
        self.look(cx);
    }
}
