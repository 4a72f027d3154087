//! The command line of the simulator.

use clap::{Args, Subcommand, ValueEnum};
use tidings_sim::{Latency, Options, RelayFault, Scenario, Seeds, Talk};

use super::Publishers;

/// What to simulate.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SimScenario {
    /// Messages on one topic that every node subscribes to
    Broadcast(BroadcastArgs),
    /// Many nodes crash at once
    Crash(CrashArgs),
    /// Single nodes crash while others stall: how soon is it noticed, and how often is one seen that was none
    Detect(DetectArgs),
    /// The network is cut in two for a while
    Partition(PartitionArgs),
    /// Two sets find out how they differ: what coded symbols cost
    Reconcile(ReconcileArgs),
    /// Nodes leave and others come, all the time
    Churn(ChurnArgs),
    /// Nodes say that they are here, come, go and crash: how soon is it known, and what does it cost
    Presence(PresenceArgs),
    /// Every node is an agent, and some look for others by asking neighbours, who ask theirs
    Find(FindArgs),
    /// Every node is an agent that leaves word with the holders of its shard, and some look for others there
    Rendezvous(RendezvousArgs),
    /// Every node is an agent and sends messages to a random other, through relays where it can't be dialed
    Roles(RolesArgs),
    /// Relays that lie about their merit, and what that gains them
    Liars(LiarsArgs),
    /// Agents are written to while they are away, and come back
    Backup(BackupArgs),
    /// A topic whose members nobody can dial: it goes through relays, some of which crash
    Circuits(CircuitsArgs),
    /// Peers that break every rule: what gets through, and how much of the views they can take
    Hostile(HostileArgs),
}

/// `tidings sim broadcast`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tidings sim broadcast --nodes 1000 --seeds 1..4
  tidings sim broadcast --publishers rotating --loss 0.02 --latency wan --json")]
pub(crate) struct BroadcastArgs {
    /// Messages before the measured ones
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) warmup: usize,
    /// Messages measured
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) messages: usize,
    /// Share of the nodes that crash meanwhile
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    pub(crate) crash: f64,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim crash`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tidings sim crash --fraction 0.5
  tidings sim crash --nodes 1000 --fraction 0.8 --restart --json")]
pub(crate) struct CrashArgs {
    /// Share of the nodes that crash
    #[arg(long, value_name = "F")]
    pub(crate) fraction: f64,
    /// They start again, with the same keys and disks
    #[arg(long)]
    pub(crate) restart: bool,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim detect`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Without options: 5 % of packets lost, one node in eight stalled for 2 s about once a minute, a crash every 4 s for two
minutes. Times are until the last of the crashed node's neighbours knows; suspect_ms and remove_ms leave out the time
for which a neighbour was itself stopped, the figures ending in stalled_too_ms do not.

Examples:
  tidings sim detect --nodes 1000
  tidings sim detect --nodes 1000 --liars 0.1 --for 600 --seeds 1..4 --json")]
pub(crate) struct DetectArgs {
    /// Share of the nodes that stall for 2 s about once a minute
    #[arg(long, value_name = "F", default_value_t = 0.125)]
    pub(crate) stalled: f64,
    /// Share of the nodes that suspect others falsely
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    pub(crate) liars: f64,
    /// For how long nodes crash
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 120.0)]
    pub(crate) seconds: f64,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim presence`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
First all nodes run undisturbed for as long as was said: what that costs, and who seems to come or go that does not. Then some
come, some say goodbye and some crash, and the last is waited for until its beacon is over everywhere.

Examples:
  tidings sim presence --nodes 1000 --for 450
  tidings sim presence --nodes 100 --for 86400 --loss 0.05 --seeds 1..3 --json")]
pub(crate) struct PresenceArgs {
    /// For how long nothing happens
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 900.0)]
    pub(crate) seconds: f64,
    /// How long a beacon lives
    #[arg(long, value_name = "SECONDS", default_value_t = 900.0)]
    pub(crate) ttl: f64,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim backup`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A share of the nodes go away, half of them without a word, and are written to. Then half of the senders go for good, and a share of
those that keep something are replaced by new nodes one after the other, half of them without a word, before all come back. lost
counts what nobody was told has failed; sender_told_ratio is of the senders that are still there.

Examples:
  tidings sim backup
  tidings sim backup --nodes 300 --messages 1000 --replaced 0.34 --for 3600 --seeds 1..10 --json")]
pub(crate) struct BackupArgs {
    /// Messages to those that are away, in all
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) messages: usize,
    /// Share of the nodes that go away and come back
    #[arg(long, value_name = "F", default_value_t = 0.2)]
    pub(crate) away: f64,
    /// Share of those that keep something that are replaced meanwhile
    #[arg(long, value_name = "F", default_value_t = 0.34)]
    pub(crate) replaced: f64,
    /// For how long they are away
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 3_600.0)]
    pub(crate) seconds: f64,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim circuits`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Of the nodes that nobody can dial so many subscribe to a topic that nobody else is in. together_ms is the time from then until all
of them are one overlay. They publish in turn, five messages a second in all; half way a share of the relays that carry for them crash.

Examples:
  tidings sim circuits
  tidings sim circuits --nodes 300 --members 40 --crashed 0.5 --seeds 1..10 --json")]
pub(crate) struct CircuitsArgs {
    /// Members of the topic, if so many cannot be dialed
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub(crate) members: usize,
    /// Messages in all
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) messages: usize,
    /// Share of the relays in use that crash half way
    #[arg(long, value_name = "F", default_value_t = 0.34)]
    pub(crate) crashed: f64,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim find`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tidings sim find --nodes 1000
  tidings sim find --nodes 300 --lookups 1000 --latency wan --seeds 1..4 --json")]
pub(crate) struct FindArgs {
    /// How many look-ups, one after the other
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) lookups: usize,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim rendezvous`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tidings sim rendezvous --nodes 1000
  tidings sim rendezvous --nodes 1000 --churn --seeds 1..4 --json
  tidings sim rendezvous --nodes 300 --liars 0.2 --latency wan
  tidings sim rendezvous --nodes 200 --forgers 0.1 --strategy best")]
pub(crate) struct RendezvousArgs {
    /// How many look-ups
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) lookups: usize,
    /// Replace 30 % of the nodes an hour, and crash half the holders of some shard every 30 s
    #[arg(long)]
    pub(crate) churn: bool,
    /// Share of the nodes that lie as holders: with empty answers, or with old ones
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) liars: f64,
    /// Share of the nodes that forge adverts of the index
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) forgers: f64,
    /// How: fill, displace, prefixes, grind, ring, mixed, or the best of them
    #[arg(long, value_name = "NAME", default_value = "best")]
    pub(crate) strategy: tidings_sim::Forgery,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Direct messages.
#[derive(Clone, Debug, Args)]
pub(crate) struct TalkArgs {
    /// Messages of each node, one a second
    #[arg(long, value_name = "N", default_value_t = Talk::default().messages)]
    messages: usize,
    /// Nodes, drawn at random, to which each says them in turn
    #[arg(long, value_name = "N", default_value_t = Talk::default().partners)]
    partners: usize,
}

impl From<&TalkArgs> for Talk {
    fn from(a: &TalkArgs) -> Talk {
        Talk { messages: a.messages, partners: a.partners }
    }
}

/// `tidings sim roles`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
latency_over_direct is the way through relays over the direct one, both as they were, of all but first messages; where a
relay is no more than a fifth farther, latency_over_direct_good. first_ms is what first messages take, look-up and session
included, in first_direct_ms where there is a direct way.

Examples:
  tidings sim roles --nodes 1000 --unreachable 0.2
  tidings sim roles --nodes 300 --relay-fault drop:3 --seeds 1..4 --json")]
pub(crate) struct RolesArgs {
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
    /// What relays in use do half-way: die, or drop all, or one in N, of what they say they have taken
    #[arg(long, value_name = "crash|drop|drop:N", default_value_t = RelayFault::None)]
    pub(crate) relay_fault: RelayFault,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim liars`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The same traffic, once with all nodes honest and once with liars. traffic_share_over_true_share is the share of what relays carried
that went through liars, over the share of the same nodes when they are honest; gain_NAME is that for each strategy.

Examples:
  tidings sim liars --nodes 300 --fraction 0.3 --factor 100
  tidings sim liars --strategy sybils --sybils 1000 --json")]
pub(crate) struct LiarsArgs {
    /// Share of the nodes that lie
    #[arg(long, value_name = "F", default_value_t = 0.3)]
    pub(crate) fraction: f64,
    /// How many times as much as they did they say they did
    #[arg(long, value_name = "X", default_value_t = 100.0)]
    pub(crate) factor: f64,
    /// How they lie: boast, forge, ring, sybils, flood; or the best of all
    #[arg(long, value_name = "NAME|best", default_value = "best", value_parser = ["best", "boast", "forge", "ring", "sybils", "flood"])]
    pub(crate) strategy: String,
    /// Sign for each other: as --strategy ring
    #[arg(long, conflicts_with = "strategy")]
    pub(crate) collude: bool,
    /// Identities without nodes besides, in the strategy of that name
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) sybils: usize,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim partition`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
missed counts the messages not delivered when the network heals, one for each node that lacks one; recovered is the
share of them that came within a minute. A figure without a number (null) did not come about.

Examples:
  tidings sim partition --split 0.5 --for 120
  tidings sim partition --nodes 1000 --split 0.1 --for 120 --rate 5 --json")]
pub(crate) struct PartitionArgs {
    /// Share of the nodes on one side
    #[arg(long, value_name = "F", default_value_t = 0.5)]
    pub(crate) split: f64,
    /// For how long
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 120.0)]
    pub(crate) seconds: f64,
    /// Messages published a second meanwhile, on both sides
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    pub(crate) rate: f64,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim reconcile`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Two sets and the messages two nodes would exchange, without a network between them: nodes, delays and losses do not
matter here. overhead is the coded symbols it takes until the difference is known, over its size; overhead_sent those
that were asked for; bytes all there was to say, without the items themselves.

Examples:
  tidings sim reconcile --items 10000 --diff 1000
  tidings sim reconcile --items 1000000 --diff 8 --seeds 1..10 --json")]
pub(crate) struct ReconcileArgs {
    /// Items in each set
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) items: usize,
    /// Items that only one of them has, half of them each
    #[arg(long, value_name = "D", default_value_t = 1_000)]
    pub(crate) diff: usize,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim churn`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A rate of 3 replaces half the nodes every ten minutes: half of them die, half say goodbye. path_length_random,
clustering_random and in_degree_spread_random are those of a random graph in which every node has as many neighbours.

Examples:
  tidings sim churn --rate 3 --for 600
  tidings sim churn --nodes 1000 --rate 3 --for 3600 --seeds 1..5 --json")]
pub(crate) struct ChurnArgs {
    /// Share of the nodes replaced in an hour
    #[arg(long, value_name = "SHARE", default_value_t = 3.0)]
    pub(crate) rate: f64,
    /// For how long
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 600.0)]
    pub(crate) seconds: f64,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `tidings sim hostile`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
First some peers send malformed, oversized, replayed and forged frames, and far too many; then, in networks of their
own, attackers with many ids behind few addresses press into the views in five ways. view_share_over_fair_share is
the best they come to: the share of honest nodes' views (active or passive) that they hold, over their share of all
addresses by /24. memory_growth_ratio is the memory of the process, over that of the same run without abuse; the first
seed tells most.

Examples:
  tidings sim hostile
  tidings sim hostile --nodes 500 --attackers 0.02 --ids 50 --for 120 --seeds 1..2 --json")]
pub(crate) struct HostileArgs {
    /// How many addresses the attackers have, as a share of the honest nodes
    #[arg(long, value_name = "F", default_value_t = 0.05)]
    pub(crate) attackers: f64,
    /// How many ids there are behind each address
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) ids: usize,
    /// For how long they attack in each of the ways tried
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 60.0)]
    pub(crate) seconds: f64,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// The network that every scenario runs on.
#[derive(Clone, Debug, Args)]
pub(crate) struct Network {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = defaults().nodes)]
    pub(crate) nodes: usize,
    /// Which seeds: one, or a range that includes its end [default: 1..20, fewer above 500 nodes]
    #[arg(long, value_name = "N|A..B")]
    pub(crate) seeds: Option<Seeds>,
    /// One-way delay of each pair of nodes, in ms
    #[arg(long, value_name = "lan|wan|A..B", default_value_t = Latency::default())]
    pub(crate) latency: Latency,
    /// Each frame takes up to this share longer
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub(crate) jitter: f64,
    /// Share of packets lost [default: 0.05 for detect, else 0]
    #[arg(long, value_name = "P")]
    pub(crate) loss: Option<f64>,
    /// Share of the nodes that nobody can dial, as behind an address translation: they dial others [default: 0.2 for roles,
    /// else 0]
    #[arg(long, value_name = "F")]
    pub(crate) unreachable: Option<f64>,
    /// Whether nodes say that they are here [default: on; off above 2000 nodes in broadcast, crash, detect, partition and churn]
    #[arg(long, value_enum)]
    pub(crate) presence: Option<Switch>,
    /// Real signatures, or simulated ones of the same size
    #[arg(long, value_enum, default_value_t = Crypto::Sim)]
    pub(crate) crypto: Crypto,
    /// Who publishes: one node, or another one each time
    #[arg(long, value_enum, default_value_t = Publishers::One)]
    pub(crate) publishers: Publishers,
}

/// Whether something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// Which signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Crypto {
    /// Those of production.
    Real,
    /// Simulated: the same sizes and refusals, nearly free.
    Sim,
}

fn defaults() -> Options {
    Options::new(Scenario::Broadcast { warmup: 0, messages: 1, crash: 0.0 })
}
