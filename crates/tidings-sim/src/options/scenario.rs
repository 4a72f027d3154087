//! The scenarios and what each can be told.

use std::time::Duration;

use tidings_proto::config::GossipConfig;

use super::{OptionsError, within};

/// What relays in use begin to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RelayFault {
    /// Nothing.
    #[default]
    None,
    /// Die without a word.
    Crash,
    /// Drop one in so many of what they say they have taken.
    Drop(u64),
}

impl std::str::FromStr for RelayFault {
    type Err = OptionsError;

    fn from_str(s: &str) -> Result<Self, OptionsError> {
        let every = s.strip_prefix("drop:").and_then(|n| n.parse().ok()).filter(|n| *n > 0);
        match (s, every) {
            ("none", _) => Ok(RelayFault::None),
            ("crash", _) => Ok(RelayFault::Crash),
            ("drop", _) => Ok(RelayFault::Drop(1)),
            (_, Some(n)) => Ok(RelayFault::Drop(n)),
            _ => Err(OptionsError {
                what: "--relay-fault",
                value: format!("{s:?}"),
                hint: "say crash, drop, or drop:N for one in N, such as drop:3",
            }),
        }
    }
}

impl std::fmt::Display for RelayFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RelayFault::None => f.write_str("none"),
            RelayFault::Crash => f.write_str("crash"),
            RelayFault::Drop(1) => f.write_str("drop"),
            RelayFault::Drop(n) => write!(f, "drop:{n}"),
        }
    }
}

/// What members do that forge adverts of the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forgery {
    /// Fill the set, with keys drawn to stay in it.
    Fill,
    /// Stand before honest nodes in their own places, with higher versions and keys drawn to come first.
    Displace,
    /// Claim two thousand prefixes in which nobody is.
    Prefixes,
    /// Draw prefixes in which nobody is to be the first in one shard, and few enough to go unnoticed elsewhere.
    Grind,
    /// Attest each other's false adverts, and vouch for them.
    Ring,
    /// Many keys that listen, in the attackers' own prefixes, beside false ones.
    Mixed,
    /// That of these with which fewest agents are found.
    #[default]
    Best,
}

impl Forgery {
    /// All of them, but for the best.
    pub const ALL: [Forgery; 6] =
        [Forgery::Fill, Forgery::Displace, Forgery::Prefixes, Forgery::Grind, Forgery::Ring, Forgery::Mixed];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Forgery::Fill => "fill",
            Forgery::Displace => "displace",
            Forgery::Prefixes => "prefixes",
            Forgery::Grind => "grind",
            Forgery::Ring => "ring",
            Forgery::Mixed => "mixed",
            Forgery::Best => "best",
        }
    }
}

impl std::str::FromStr for Forgery {
    type Err = OptionsError;

    fn from_str(s: &str) -> Result<Forgery, OptionsError> {
        let all = Forgery::ALL.into_iter().chain([Forgery::Best]);
        let hint = "fill, displace, prefixes, grind, ring, mixed, or best";
        let unknown = || OptionsError { what: "--strategy", value: s.to_owned(), hint };
        all.into_iter().find(|f| f.name() == s).ok_or_else(unknown)
    }
}

/// Direct messages: who says how much to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Talk {
    /// Messages of each node, one a second.
    pub messages: usize,
    /// Nodes, drawn at random, to which each says them in turn.
    pub partners: usize,
}

impl Talk {
    fn check(self) -> Result<(), OptionsError> {
        within("--messages", self.messages as f64, 1.0..=10_000.0, "from 1 to 10000")?;
        within("--partners", self.partners as f64, 1.0..=100.0, "from 1 to 100")
    }
}

impl Default for Talk {
    fn default() -> Talk {
        Talk { messages: 120, partners: 8 }
    }
}

impl std::fmt::Display for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, " --messages {} --partners {}", self.messages, self.partners)
    }
}

/// The scenarios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scenario {
    /// Messages on one topic that everybody subscribed.
    Broadcast {
        /// Messages before the measured ones.
        warmup: usize,
        /// Messages measured.
        messages: usize,
        /// Share of the nodes that crash while they are published.
        crash: f64,
    },
    /// Many nodes crash at once.
    Crash {
        /// Which share.
        fraction: f64,
        /// They start again at once with the same keys and disks.
        restart: bool,
    },
    /// Single nodes crash; others stall now and then, or lie.
    Detect {
        /// Share of the nodes that stall for 2 s about once a minute.
        stalled: f64,
        /// Share of the nodes that suspect others falsely.
        liars: f64,
        /// For how long nodes crash, in seconds.
        seconds: f64,
    },
    /// The network is cut in two for a while.
    Partition {
        /// Share of the nodes on one side.
        split: f64,
        /// For how long, in seconds.
        seconds: f64,
        /// Messages published a second meanwhile.
        rate: f64,
    },
    /// Two sets find out how they differ, without a network.
    Reconcile {
        /// Items of each set.
        items: usize,
        /// Items that only one of them has.
        diff: usize,
    },
    /// Nodes leave and others come, all the time.
    Churn {
        /// Share of the nodes replaced in an hour.
        rate: f64,
        /// For how long, in seconds.
        seconds: f64,
    },
    /// Every node is an agent that leaves word with the holders of its shard, and some look for others there.
    Rendezvous {
        /// How many look-ups.
        lookups: usize,
        /// Nodes leave and others come meanwhile, and half the holders of a shard crash at once now and then.
        churn: bool,
        /// Share of the nodes that lie as holders.
        liars: f64,
        /// Share of the nodes that forge adverts of the index.
        forgers: f64,
        /// How.
        strategy: Forgery,
    },
    /// Every node is an agent, and each sends messages to random others.
    Roles {
        /// Who says how much to whom.
        talk: Talk,
        /// What relays in use do, half-way.
        fault: RelayFault,
    },
    /// As roles, and a share of the relays lies about its merit.
    RoleLiars {
        /// Share of the nodes that lie.
        fraction: f64,
        /// How many times as much as they did they say they did.
        factor: f64,
        /// How they lie; all ways in turn if none, of which the one counts that gains most.
        strategy: Option<RoleLie>,
        /// Identities without nodes besides.
        sybils: usize,
        /// Who says how much to whom.
        talk: Talk,
    },
    /// Agents are written to while they are away.
    Backup {
        /// Messages in all.
        messages: usize,
        /// Share of the nodes that go away and come back.
        away: f64,
        /// Share of those that keep something that are replaced meanwhile.
        replaced: f64,
        /// For how long, in seconds.
        seconds: f64,
    },
    /// A topic whose members nobody can dial.
    Circuits {
        /// How many members.
        members: usize,
        /// Messages in all.
        messages: usize,
        /// Share of the relays in use that crash half way.
        crashed: f64,
    },
    /// Every node is an agent, and some look for others by asking neighbours.
    Find {
        /// How many look-ups, one after the other.
        lookups: usize,
    },
    /// Nodes say that they are here, come, go and crash.
    Presence {
        /// For how long, in seconds.
        seconds: f64,
        /// How long a beacon lives, in seconds.
        ttl: f64,
    },
    /// Peers that break every rule.
    Hostile {
        /// How many addresses (each alone in its /24) they have, as a share of the honest nodes.
        attackers: f64,
        /// How many ids there are behind each address.
        ids: usize,
        /// For how long they attack, in seconds, in each of the ways tried.
        seconds: f64,
    },
}

impl Scenario {
    /// `detect` as the command line runs it without options.
    pub const DETECT: Scenario = Scenario::Detect { stalled: 0.125, liars: 0.0, seconds: 120.0 };

    /// The settings of its nodes.
    pub(crate) fn config(&self) -> GossipConfig {
        match *self {
            Scenario::Presence { ttl, .. } => {
                GossipConfig { presence_beacon_ttl: Duration::from_secs_f64(ttl), ..GossipConfig::default() }
            }
            _ => GossipConfig::default(),
        }
    }

    /// Whether what it measures is membership and topics, which need not know who is here.
    pub(super) fn is_of_membership(&self) -> bool {
        matches!(
            self,
            Scenario::Broadcast { .. }
                | Scenario::Crash { .. }
                | Scenario::Detect { .. }
                | Scenario::Partition { .. }
                | Scenario::Churn { .. }
        )
    }

    /// The scenario's name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Scenario::Broadcast { .. } => "broadcast",
            Scenario::Crash { .. } => "crash",
            Scenario::Detect { .. } => "detect",
            Scenario::Partition { .. } => "partition",
            Scenario::Reconcile { .. } => "reconcile",
            Scenario::Churn { .. } => "churn",
            Scenario::Presence { .. } => "presence",
            Scenario::Hostile { .. } => "hostile",
            Scenario::Find { .. } => "find",
            Scenario::Rendezvous { .. } => "rendezvous",
            Scenario::Roles { .. } => "roles",
            Scenario::RoleLiars { .. } => "liars",
            Scenario::Backup { .. } => "backup",
            Scenario::Circuits { .. } => "circuits",
        }
    }

    /// The share of packets lost when nothing else is said: detecting failures is easy without loss.
    pub fn default_loss(&self) -> f64 {
        match self {
            Scenario::Detect { .. } => 0.05,
            _ => 0.0,
        }
    }

    /// The share of nodes that nobody can dial when nothing else is said.
    pub fn default_unreachable(&self) -> f64 {
        match self {
            Scenario::Roles { .. } | Scenario::RoleLiars { .. } => 0.2,
            Scenario::Backup { .. } | Scenario::Circuits { .. } => 0.2,
            _ => 0.0,
        }
    }

    pub(super) fn validate(&self) -> Result<(), OptionsError> {
        let seconds = |s| within("--for", s, 1.0..=86_400.0, "seconds, from 1 to 86400");
        match *self {
            Scenario::Broadcast { messages, warmup, crash } => {
                within("--crash", crash, 0.0..=0.9, "a share from 0 to 0.9, such as 0.1")?;
                let all = messages as f64 + if messages == 0 { 0.0 } else { warmup as f64 };
                within("--messages", all, 1.0..=1_000_000.0, "from 1 to 1000000, warm-up included")
            }
            Scenario::Crash { fraction, .. } => {
                within("--fraction", fraction, 0.0..=0.99, "a share from 0 to 0.99, such as 0.5")
            }
            Scenario::Detect { stalled, liars, seconds: s } => {
                within("--stalled", stalled, 0.0..=0.9, "a share from 0 to 0.9, such as 0.125")?;
                within("--liars", liars, 0.0..=0.5, "a share from 0 to 0.5, such as 0.1")?;
                seconds(s)
            }
            Scenario::Partition { split, seconds: s, rate } => {
                within("--split", split, 0.01..=0.99, "a share from 0.01 to 0.99, such as 0.5")?;
                within("--rate", rate, 0.0..=10_000.0, "messages a second, from 0 to 10000")?;
                seconds(s)
            }
            Scenario::Reconcile { items, diff } => {
                within("--items", items as f64, 1.0..=10_000_000.0, "items of each set, from 1 to 10000000")?;
                let most = (items as f64 * 2.0).min(100_000.0);
                within("--diff", diff as f64, 0.0..=most, "items that differ, from 0 to twice the items and 100000")
            }
            Scenario::Churn { rate, seconds: s } => {
                within("--rate", rate, 0.0..=1_000.0, "the share replaced in an hour, from 0 to 1000, such as 3")?;
                seconds(s)
            }
            Scenario::Rendezvous { lookups, liars, forgers, .. } => {
                within("--liars", liars, 0.0..=0.9, "a share from 0 to 0.9, such as 0.2")?;
                within("--forgers", forgers, 0.0..=0.5, "a share from 0 to 0.5, such as 0.1")?;
                within("--lookups", lookups as f64, 1.0..=10_000_000.0, "from 1 to 10000000")
            }
            Scenario::Roles { talk, .. } => talk.check(),
            Scenario::RoleLiars { fraction, factor, sybils, talk, .. } => {
                within("--fraction", fraction, 0.01..=0.9, "a share from 0.01 to 0.9, such as 0.3")?;
                within("--factor", factor, 1.0..=1e9, "from 1 to 1000000000, such as 100")?;
                within("--sybils", sybils as f64, 0.0..=10_000.0, "from 0 to 10000")?;
                talk.check()
            }
            Scenario::Backup { messages, away, replaced, seconds: s } => {
                within("--messages", messages as f64, 1.0..=100_000.0, "from 1 to 100000")?;
                within("--away", away, 0.01..=0.9, "a share from 0.01 to 0.9, such as 0.2")?;
                within("--replaced", replaced, 0.0..=1.0, "a share from 0 to 1, such as 0.34")?;
                seconds(s)
            }
            Scenario::Circuits { members, messages, crashed } => {
                within("--members", members as f64, 2.0..=10_000.0, "from 2 to 10000")?;
                within("--messages", messages as f64, 1.0..=100_000.0, "from 1 to 100000")?;
                within("--crashed", crashed, 0.0..=0.9, "a share from 0 to 0.9, such as 0.34")
            }
            Scenario::Find { lookups } => within("--lookups", lookups as f64, 1.0..=1_000_000.0, "from 1 to 1000000"),
            Scenario::Presence { seconds: s, ttl } => {
                within("--ttl", ttl, 30.0..=86_400.0, "seconds, from 30 to 86400, such as 900")?;
                seconds(s)
            }
            Scenario::Hostile { attackers, ids, seconds: s } => {
                within("--attackers", attackers, 0.0..=1.0, "a share from 0 to 1, such as 0.05")?;
                within("--ids", ids as f64, 1.0..=10_000.0, "ids behind each address, from 1 to 10000")?;
                seconds(s)
            }
        }
    }

    /// The options that say what happens, as on the command line.
    pub(super) fn flags(&self) -> String {
        match *self {
            Scenario::Broadcast { warmup, messages, crash } => {
                let crash = if crash > 0.0 { format!(" --crash {crash}") } else { String::new() };
                format!(" --warmup {warmup} --messages {messages}{crash}")
            }
            Scenario::Crash { fraction, restart } => {
                format!(" --fraction {fraction}{}", if restart { " --restart" } else { "" })
            }
            Scenario::Detect { stalled, liars, seconds } => {
                format!(" --stalled {stalled} --liars {liars} --for {seconds}")
            }
            Scenario::Partition { split, seconds, rate } => format!(" --split {split} --for {seconds} --rate {rate}"),
            Scenario::Reconcile { items, diff } => format!(" --items {items} --diff {diff}"),
            Scenario::Churn { rate, seconds } => format!(" --rate {rate} --for {seconds}"),
            Scenario::Rendezvous { lookups, churn, liars, forgers, strategy } => {
                let churn = if churn { " --churn" } else { "" };
                let forgers = match forgers > 0.0 {
                    true => format!(" --forgers {forgers} --strategy {}", strategy.name()),
                    false => String::new(),
                };
                format!(" --lookups {lookups} --liars {liars}{churn}{forgers}")
            }
            Scenario::Roles { talk, fault } => format!("{talk} --relay-fault {fault}"),
            Scenario::RoleLiars { fraction, factor, strategy, sybils, talk } => {
                let strategy = strategy.map_or("best", |s| s.name());
                format!(" --fraction {fraction} --factor {factor} --strategy {strategy} --sybils {sybils}{talk}")
            }
            Scenario::Backup { messages, away, replaced, seconds } => {
                format!(" --messages {messages} --away {away} --replaced {replaced} --for {seconds}")
            }
            Scenario::Circuits { members, messages, crashed } => {
                format!(" --members {members} --messages {messages} --crashed {crashed}")
            }
            Scenario::Find { lookups } => format!(" --lookups {lookups}"),
            Scenario::Presence { seconds, ttl } => format!(" --for {seconds} --ttl {ttl}"),
            Scenario::Hostile { attackers, ids, seconds } => {
                format!(" --attackers {attackers} --ids {ids} --for {seconds}")
            }
        }
    }
}

/// How relays lie about their merit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleLie {
    /// They say a score, and nothing that bears it out.
    Boast,
    /// They show words of neighbours that these never gave.
    Forge,
    /// They sign for each other.
    Ring,
    /// They and identities without nodes sign for each other, and all of them claim.
    Sybils,
    /// They sign for each other, and give honest relays words that these did not earn, to be shown in others' place.
    Flood,
}

impl RoleLie {
    /// All of them.
    pub const ALL: [RoleLie; 5] = [RoleLie::Boast, RoleLie::Forge, RoleLie::Ring, RoleLie::Sybils, RoleLie::Flood];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            RoleLie::Boast => "boast",
            RoleLie::Forge => "forge",
            RoleLie::Ring => "ring",
            RoleLie::Sybils => "sybils",
            RoleLie::Flood => "flood",
        }
    }

    /// The figure that says what it gains.
    pub(crate) fn figure(self) -> &'static str {
        match self {
            RoleLie::Boast => "gain_boast",
            RoleLie::Forge => "gain_forge",
            RoleLie::Ring => "gain_ring",
            RoleLie::Sybils => "gain_sybils",
            RoleLie::Flood => "gain_flood",
        }
    }

    /// One by its name; `best` is none: all of them in turn.
    pub fn parse(name: &str) -> Result<Option<RoleLie>, String> {
        match RoleLie::ALL.into_iter().find(|l| l.name() == name) {
            Some(lie) => Ok(Some(lie)),
            None if name == "best" => Ok(None),
            None => Err("boast, forge, ring, sybils, flood, or best".to_owned()),
        }
    }
}
