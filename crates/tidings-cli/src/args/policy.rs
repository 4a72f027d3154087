//! Topics that are more than a name, and who may publish on them.

use std::time::Duration;

use clap::Args;
use tidings::AgentId;

use super::DataArgs;

/// `tidings topic`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The ticket stands wherever a topic's name may, and holds the topic's secret: hand it to the members and to nobody else.
With --open it holds no secret, and everybody who knows the name and who may publish can find and read the topic.

With --publisher or --owner nobody else may publish, and every node of the topic sees to that. An owner lets others publish
with tidings grant. Both are part of what the topic is: to change them is to make another topic. Agents' ids are what
tidings id shows.

Examples:
  tidings topic family
  tidings sub $(tidings topic family)
  tidings topic council --owner AGENT
  tidings topic bulletin --open --publisher AGENT --publisher AGENT")]
pub(crate) struct TopicArgs {
    /// The topic's name, as its members see it
    pub(crate) name: String,
    /// Who may publish and let others: this agent
    #[arg(long, value_name = "AGENT")]
    pub(crate) owner: Option<AgentId>,
    /// Who else may publish; give it again for more
    #[arg(long, value_name = "AGENT")]
    pub(crate) publisher: Vec<AgentId>,
    /// Let everybody find and read the topic
    #[arg(long)]
    pub(crate) open: bool,
}

/// `tidings grant`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Prints a capability: text to hand to the agent, who gives it to tidings accept. It serves nobody else, so it need not be kept
secret. It cannot be taken back: choose a short time and grant it anew.

Examples:
  tidings grant TICKET AGENT
  tidings grant TICKET AGENT --for 12h --json")]
pub(crate) struct GrantArgs {
    /// The ticket of a topic whose owner the node's agent is
    pub(crate) topic: String,
    /// Who may publish on it
    pub(crate) agent: AgentId,
    /// For how long, at most 400 days
    #[arg(long = "for", value_name = "30d", default_value = "30d", value_parser = humantime::parse_duration)]
    pub(crate) life: Duration,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// `tidings accept`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The node keeps the capability and publishes by it from now on, also after it was started again.

Examples:
  tidings accept CAPABILITY
  tidings accept - < capability.txt")]
pub(crate) struct AcceptArgs {
    /// What tidings grant printed; - reads it from standard input
    #[arg(value_name = "CAPABILITY|-")]
    pub(crate) capability: String,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}
