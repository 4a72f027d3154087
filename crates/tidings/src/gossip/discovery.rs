//! The handles on discovery: by asking friends of friends, and by asking those with whom others leave word.

use serde::{Serialize, Serializer};
use tidings_proto::discovery::{Located, Search};
use tidings_proto::identity::{Addr, AgentId, NodeId, PeerAddr};
use tidings_proto::io::Command;

use super::handle::RuntimeHandle;
use super::run::Control;
use super::runtime::RuntimeError;

pub use tidings_proto::discovery::How;

/// One node of an agent that was looked for. The node has signed that it is there, and the agent that the node speaks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Found {
    /// The agent.
    #[serde(serialize_with = "text")]
    pub agent: AgentId,
    /// Its node.
    #[serde(serialize_with = "text")]
    pub node: NodeId,
    /// Where the node says it can be reached.
    #[serde(serialize_with = "texts")]
    pub addrs: Vec<Addr>,
    /// How this was found.
    pub how: How,
    /// How long ago the node said so, in milliseconds by its clock and ours.
    pub age_ms: u64,
    /// For how long it may be believed, in milliseconds.
    pub expires_in_ms: u64,
}

fn text<T: std::fmt::Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

fn texts<S: Serializer>(value: &[Addr], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(value.iter().map(ToString::to_string))
}

impl Found {
    /// The node and its addresses, to be joined or dialed.
    pub fn peer_addr(&self) -> PeerAddr {
        PeerAddr { id: self.node, addrs: self.addrs.clone() }
    }

    fn of(l: Located) -> Found {
        Found {
            agent: l.agent,
            node: l.node,
            addrs: l.addrs,
            how: l.how,
            age_ms: l.age.as_millis(),
            expires_in_ms: l.left.as_millis(),
        }
    }

    fn all(search: Search) -> Option<Vec<Found>> {
        let found: Vec<Found> = search.found.into_iter().map(Found::of).collect();
        (!found.is_empty()).then_some(found)
    }
}

/// Finding agents by asking neighbours, who ask theirs. It needs nothing but neighbours, and reaches some way only.
#[derive(Clone)]
pub struct DiscoveryManager {
    handle: RuntimeHandle,
}

impl DiscoveryManager {
    pub(crate) fn new(handle: RuntimeHandle) -> DiscoveryManager {
        DiscoveryManager { handle }
    }

    /// Where an agent's nodes are, the latest to say so first; `None` if nobody who was asked within 30 s knows.
    pub async fn find_agent(&self, agent: AgentId) -> Result<Option<Vec<Found>>, RuntimeError> {
        Ok(Found::all(self.handle.search(Command::FindAgent { agent }).await?))
    }

    /// Lets others find this node's agent by asking neighbours, from now on or no longer.
    pub async fn advertise_self(&self, on: bool) -> Result<(), RuntimeError> {
        self.handle.command(Command::AdvertiseSelf { on }).await
    }
}

/// Finding agents by asking the nodes that hold their shard of the index, with which they have left word.
#[derive(Clone)]
pub struct RendezvousManager {
    handle: RuntimeHandle,
}

impl RendezvousManager {
    pub(crate) fn new(handle: RuntimeHandle) -> RendezvousManager {
        RendezvousManager { handle }
    }

    /// Leaves word where this node's agent is with the holders of its shard, and renews it from then on.
    pub async fn register(&self) -> Result<(), RuntimeError> {
        self.handle.command(Command::Register { on: true }).await
    }

    /// Takes that back, with a signed word to the holders.
    pub async fn unregister(&self) -> Result<(), RuntimeError> {
        self.handle.command(Command::Register { on: false }).await
    }

    /// Where an agent's nodes are, the latest to say so first; `None` if the holders of its shard have no word of it.
    pub async fn lookup(&self, agent: AgentId) -> Result<Option<Vec<Found>>, RuntimeError> {
        Ok(Found::all(self.handle.search(Command::LookUp { agent }).await?))
    }

    /// Whether this node holds the words of others, once two peers have confirmed that it can be reached.
    pub async fn serve_index(&self, on: bool) -> Result<(), RuntimeError> {
        self.handle.command(Command::ServeIndex { on }).await
    }

    /// How many nodes hold words of others, as far as this node knows, and how many words this one holds.
    pub async fn index_size(&self) -> Result<(usize, usize), RuntimeError> {
        self.handle.run()?.inspect(|view| (view.node.index().len(), view.node.agents_held())).await
    }
}

impl RuntimeHandle {
    /// Finding agents by asking neighbours.
    pub fn discovery(&self) -> DiscoveryManager {
        DiscoveryManager::new(self.clone())
    }

    /// Finding agents and being found, by way of the index.
    pub fn rendezvous(&self) -> RendezvousManager {
        RendezvousManager::new(self.clone())
    }

    /// Where an agent's nodes are: from the holders of its shard, and where they have no word of it from friends of friends.
    pub async fn find_agent(&self, agent: AgentId) -> Result<Option<Vec<Found>>, RuntimeError> {
        match self.rendezvous().lookup(agent).await? {
            Some(found) => Ok(Some(found)),
            None => self.discovery().find_agent(agent).await,
        }
    }

    async fn command(&self, command: Command) -> Result<(), RuntimeError> {
        self.run()?.command(|done| Control::Command(command, done)).await
    }

    async fn search(&self, command: Command) -> Result<Search, RuntimeError> {
        Ok(self.run()?.ask_for(|asked| Control::Search(command, asked)).await??)
    }
}
