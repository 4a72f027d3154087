//! The command line.

mod id;
mod policy;
mod sim;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};

pub(crate) use id::{ExportArgs, IdArgs, IdCommand, ImportArgs, NameArgs};
pub(crate) use policy::{AcceptArgs, GrantArgs, TopicArgs};
pub(crate) use sim::{Crypto, Network, SimScenario, Switch};

/// A peer-to-peer network: topics without a broker, a server or a DHT.
#[derive(Debug, Parser)]
#[command(
    name = "tidings",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  tidings demo                        sixteen nodes on this machine, nothing else needed
  tidings up                          a node that runs until Ctrl-C
  tidings up --join TICKET            a node that joins another one's network
  tidings sub news                    listen, in a second terminal
  tidings pub news \"hello\"            speak, in a third"
)]
pub(crate) struct Cli {
    /// Print JSON: one object, or one a line where output streams
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run many real nodes on this machine, publish, and check that everything arrives exactly once
    Demo(DemoArgs),
    /// Run a node until Ctrl-C
    Up(UpArgs),
    /// Print the node's id and its agent's, or move the agent's key
    Id(IdArgs),
    /// Give an agent a name of your own, or list the names
    Name(NameArgs),
    /// Print the ticket others join with
    #[command(after_help = "Example:\n  tidings up --data ~/node-b --join \"$(tidings ticket --data ~/node-a)\"")]
    Ticket(DataArgs),
    /// List the peers the node is linked to
    #[command(after_help = "Example:\n  tidings peers --json")]
    Peers(DataArgs),
    /// List the nodes that offer themselves as ways into the network, the best by the node's own measure first
    #[command(after_help = "Example:\n  tidings coordinators --data ~/node-a")]
    Coordinators(DataArgs),
    /// List who carries messages for others, or explain a node's score
    Roles(RolesArgs),
    /// Find out where an agent is
    Find(FindAgentArgs),
    /// Send a message to an agent, and wait until it is in its inbox
    Send(SendArgs),
    /// Print messages from other agents that are unread
    Inbox(InboxArgs),
    /// List the topics the node takes part in
    #[command(after_help = "Example:\n  tidings topics")]
    Topics(DataArgs),
    /// Print the node's counters and views
    #[command(after_help = "Example:\n  tidings status --json")]
    Status(DataArgs),
    /// Publish one message
    Pub(PubArgs),
    /// Print a topic's messages as they arrive
    Sub(SubArgs),
    /// List who is here
    Presence(PresenceArgs),
    /// Print what happens to the node, as it happens
    Events(EventsArgs),
    /// Make a private topic, or one on which not everyone may publish: a ticket that stands for it
    Topic(TopicArgs),
    /// Let an agent publish on a topic of the node's agent
    Grant(GrantArgs),
    /// Keep a capability that the node's agent was given, and publish by it
    Accept(AcceptArgs),
    /// Compare a topic's log with the neighbours' and fetch what it lacks
    Reconcile(ReconcileArgs),
    /// Stop the node and wait until it is gone
    #[command(after_help = "Example:\n  tidings down --data ~/node-a")]
    Down(DataArgs),
    /// Simulate a network: thousands of nodes, repeatable from a seed
    #[command(subcommand, after_help = "Example:\n  tidings sim broadcast --nodes 1000 --seeds 1..4")]
    Sim(SimScenario),
}

/// Whose node.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataArgs {
    /// The node's directory [default: $TIDINGS_DATA, or ~/.local/share/tidings]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// `tidings demo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Every node has its own key and its own QUIC endpoint on 127.0.0.1; no relay server, no internet. Each is told the
address of one random earlier node. Exits with 0 only if every message reached every other node exactly once.

With --stuck, some nodes read nothing more from their links once all have joined, though they live and answer probes:
a program that hangs. What the others get is counted, and they must get everything.

Latency runs from the call that publishes to the subscriber that reads. CPU time is the whole process's, from the
first publish to the last delivery. Wire bytes are all UDP payload bytes the nodes sent in that time and half a second
more, packet headers not counted.

Examples:
  tidings demo
  tidings demo --nodes 48 --rate max --messages 20000
  tidings demo --publishers rotating --size 4096 --json")]
pub(crate) struct DemoArgs {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u32).range(2..=1000))]
    pub(crate) nodes: u32,
    /// How many messages, in all
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u64).range(1..=100_000_000))]
    pub(crate) messages: u64,
    /// Bytes in each message: 16 to 32768
    #[arg(long, value_name = "BYTES", default_value_t = 256, value_parser = parse_size)]
    pub(crate) size: usize,
    /// Messages a second, or max
    #[arg(long, value_name = "N|max", default_value = "50", value_parser = parse_rate)]
    pub(crate) rate: Rate,
    /// Who publishes: one node, or all of them in turn
    #[arg(long, value_enum, default_value_t = Publishers::One)]
    pub(crate) publishers: Publishers,
    /// How many nodes stop reading from their links before the first message; they expect none
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub(crate) stuck: u32,
}

/// How fast to publish.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    /// Messages a second.
    PerSecond(f64),
    /// As fast as the node takes them.
    Max,
}

/// Who publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Publishers {
    /// One node.
    One,
    /// All, in turn.
    Rotating,
}

/// Longest message.
pub(crate) const MAX_SIZE: usize = tidings::proto::large::MAX_LARGE;

fn parse_size(text: &str) -> Result<usize, String> {
    let size: usize = text.parse().map_err(|_| "a number of bytes, such as 256".to_owned())?;
    match size {
        0..16 => Err("each message carries its time and its number, so 16 bytes at least".to_owned()),
        16..=MAX_SIZE => Ok(size),
        _ => Err(format!("a message has {MAX_SIZE} bytes at most")),
    }
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && (0.01..=1e7).contains(&rate) => Ok(Rate::PerSecond(rate)),
        _ => Err("messages a second from 0.01 to 10000000, or max".to_owned()),
    }
}

fn parse_advertised(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(addr) if addr.port() != 0 && !addr.ip().is_unspecified() => Ok(addr),
        _ => Err("an address others can dial, such as 203.0.113.7:4000".to_owned()),
    }
}

/// `tidings up`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The settings are those in DIR/node.toml. Without --network or a ticket the node stays in the network it was in last;
the first time it makes one of its own, with a random secret that its ticket carries. The other commands find the node
through DIR/api.json, which only you can read.

Examples:
  tidings up
  tidings up --data ~/node-b --network lobby --join TICKET
  tidings up --bind 127.0.0.1:0 --network secret:correct-horse --json")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// The network to be in: a name, or secret:WORDS
    #[arg(long, value_name = "NAME|SECRET")]
    pub(crate) network: Option<String>,
    /// UDP address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:0")]
    pub(crate) bind: SocketAddr,
    /// Address others reach the node at, if not its own (a forwarded port); give it again for more
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_advertised)]
    pub(crate) advertise: Vec<SocketAddr>,
    /// Offer the node as a way into the network whenever others have confirmed that they can reach it
    #[arg(long, conflicts_with = "no_coordinator")]
    pub(crate) coordinator: bool,
    /// Never offer the node as a way into the network
    #[arg(long)]
    pub(crate) no_coordinator: bool,
    /// Keep the agent from being found by its id
    #[arg(long)]
    pub(crate) hidden: bool,
    /// Don't tell others that the node is here: its addresses, its agent, its status
    #[arg(long, conflicts_with = "outgoing_only")]
    pub(crate) no_presence: bool,
    /// Hold nothing for others about where agents and the members of topics are
    #[arg(long)]
    pub(crate) no_index: bool,
    /// Take no links that others dial: the node is found through relays
    #[arg(long)]
    pub(crate) outgoing_only: bool,
    /// Neither announce the node on the local network nor look for others there
    #[arg(long)]
    pub(crate) no_lan: bool,
    /// Loopback address of the local API
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub(crate) api: SocketAddr,
    /// A node to join; give it again for more
    #[arg(long, value_name = "TICKET|CARD|NODE@ADDR:PORT")]
    pub(crate) join: Vec<String>,
    /// Settings to use in place of those in DIR/node.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `tidings pub`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Standard input and files are sent whole, as one message of up to 64 MiB, bytes unchanged.

Examples:
  tidings pub news \"hello\"
  date | tidings pub news -
  tidings pub orders \"one more\" --durable
  tidings pub news --file picture.png --json")]
pub(crate) struct PubArgs {
    /// The topic's name
    pub(crate) topic: String,
    /// The message; - reads it from standard input
    #[arg(value_name = "TEXT|-", required_unless_present = "file", allow_hyphen_values = false)]
    pub(crate) text: Option<String>,
    /// Send this file's content as the message
    #[arg(long, value_name = "F", conflicts_with = "text")]
    pub(crate) file: Option<PathBuf>,
    /// Wait until the message is on the node's disk; if it cannot be stored, it is not sent
    #[arg(long)]
    pub(crate) durable: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// `tidings sub`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Says \"listening on TOPIC\" on standard error once nothing published from now on is missed. The node's own messages
are shown too. With --json each line is a message {topic, author, agent, epoch, seq, id, at, late, text or base64}
(at: the author's clock, in milliseconds since 1970), or {\"gap\":…}, {\"lagged\":N} or {\"unavailable\":…} where something
was missed. A message over 1 MiB has \"content\":{id, size} in the place of its text. With --save each message is written
to DIR/AUTHOR-EPOCH-SEQ as it comes, and its line has \"saved\", the file's name, in the place of its text.

Examples:
  tidings sub news
  tidings sub news --since 10m
  tidings sub news --last 20 --count 20 --json
  tidings sub pictures --save received")]
pub(crate) struct SubArgs {
    /// The topic's name
    pub(crate) topic: String,
    /// Begin with what was published in so long, as far as this node or its neighbours still have it
    #[arg(long, value_name = "10m", value_parser = humantime::parse_duration)]
    pub(crate) since: Option<Duration>,
    /// Begin with so many messages from before
    #[arg(long, value_name = "N", value_parser = parse_last)]
    pub(crate) last: Option<usize>,
    /// Stop after this many messages
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Write each message to a file of its own in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,
    /// Keep the topic's messages on the node's disk while this listens
    #[arg(long)]
    pub(crate) durable: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

fn parse_last(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("a number of messages from 1, such as 20".to_owned()),
    }
}

/// `tidings reconcile`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A node compares by itself: at once with a new neighbour, and then every anti_entropy_interval.

Example:
  tidings reconcile news")]
pub(crate) struct ReconcileArgs {
    /// The topic's name
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// `tidings find`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
An agent is found with those nodes that hold its shard of the network's index (rendezvous), or else by asking neighbours, who
ask theirs (foaf), or it is known already. SAID is how long ago the node found said that it is there.

Examples:
  tidings find AGENT
  tidings find AGENT --how foaf --json")]
pub(crate) struct FindAgentArgs {
    /// The agent: its id, a name you gave it, or its card
    pub(crate) agent: String,
    /// By what means
    #[arg(long, value_enum, default_value_t = FindHow::Any)]
    pub(crate) how: FindHow,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// `tidings roles`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
ROLE is what a node is taken for: by what it was seen to carry, where it carried for this node, else by its claim, if that can
have come from work this node saw. SAYS is the claim, OF THAT as much of its score as is believed.

Examples:
  tidings roles
  tidings roles NODE --json")]
pub(crate) struct RolesArgs {
    /// Explain this node's score: its id, or the first ten digits of it
    pub(crate) node: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// `tidings send`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The message is sealed to one of the agent's nodes, and delivered when that node has signed that it is in its inbox, on its disk.
Without a receipt within 30 s it has failed, and this says so.

Examples:
  tidings send alice \"see you at eight\"
  tidings send AGENT - < letter.txt")]
pub(crate) struct SendArgs {
    /// The agent: its id, its name, or its card
    pub(crate) agent: String,
    /// The message, at most 64 KiB; standard input if it is - or left out
    pub(crate) text: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// `tidings inbox`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
What is printed is read, and printed no second time.

Examples:
  tidings inbox
  tidings inbox --follow --json")]
pub(crate) struct InboxArgs {
    /// Go on with what comes from now on
    #[arg(long)]
    pub(crate) follow: bool,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Leave what is printed unread
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// By what means an agent is looked for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum FindHow {
    /// The holders of its shard first, then friends of friends
    Any,
    /// The holders of its shard alone
    Rendezvous,
    /// Friends of friends alone
    Foaf,
}

impl FindHow {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            FindHow::Any => "any",
            FindHow::Rendezvous => "rendezvous",
            FindHow::Foaf => "foaf",
        }
    }
}

/// `tidings presence`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
SEEN is how long ago a node last said that it is here, LEARNED whether it said so over its own link (direct) or through
others (relayed), under its signature. With --follow, who comes, changes and goes from now on is printed as it happens.

Examples:
  tidings presence
  tidings presence --say \"back at four\"
  tidings presence --follow --json")]
pub(crate) struct PresenceArgs {
    /// Print who comes and goes, as it happens
    #[arg(long)]
    pub(crate) follow: bool,
    /// Tell everybody this status; an empty one for none
    #[arg(long, value_name = "STATUS", conflicts_with = "follow")]
    pub(crate) say: Option<String>,
    /// Stop after so many, with --follow
    #[arg(long, value_name = "N", requires = "follow")]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// `tidings events`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Neighbours that come and go, in the network's overlay (\"root\") and in each topic's. Says \"listening\" on standard error
once nothing that happens from now on is missed. With --json each line is {event, peer, overlay, topic, reason}, with
the fields that apply.

Examples:
  tidings events
  tidings events --count 1 --json")]
pub(crate) struct EventsArgs {
    /// Stop after this many
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}
