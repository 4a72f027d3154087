//! Setting an agent up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidings_proto::config::GossipConfig;
use tidings_proto::identity::{AgentSecret, Network, SecretKey};

use super::{Agent, AgentError, Inner};
use crate::data_dir::DataDir;
use crate::gossip::{GossipRuntime, RuntimeError, RuntimeOptions};
use crate::store::{Log, MemoryStore, Store};
use crate::transport::{QuicConfig, QuicTransport, Transport};

/// What an agent is made from. Everything has a default.
#[derive(Default)]
pub struct AgentBuilder {
    config: Option<GossipConfig>,
    secret: Option<SecretKey>,
    agent_secret: Option<AgentSecret>,
    network: Option<Network>,
    bind: Option<SocketAddr>,
    advertise: Vec<SocketAddr>,
    data_dir: Option<PathBuf>,
    transport: Option<Arc<dyn Transport>>,
    store: Option<Box<dyn Store>>,
    log: Option<Box<dyn Log>>,
    hidden: bool,
    no_index: bool,
    no_presence: bool,
    outgoing_only: bool,
}

impl AgentBuilder {
    /// The settings. Default: those in the data directory's `node.toml`, or the defaults.
    #[must_use]
    pub fn config(mut self, config: GossipConfig) -> Self {
        self.config = Some(config);
        self
    }

    /// The node's key. Default: the one in the data directory, or a new one. It is not written anywhere.
    #[must_use]
    pub fn secret(mut self, secret: SecretKey) -> Self {
        self.secret = Some(secret);
        self
    }

    /// The agent's key. Default: the one in the data directory, or a new one. It is not written anywhere.
    #[must_use]
    pub fn agent_secret(mut self, secret: AgentSecret) -> Self {
        self.agent_secret = Some(secret);
        self
    }

    /// The network, remembered in the data directory. Default: the one remembered there, or a new one that only
    /// tickets open.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = Some(network);
        self
    }

    /// The UDP address to bind. Default: a free port on 127.0.0.1, for this machine only.
    #[must_use]
    pub fn bind(mut self, addr: SocketAddr) -> Self {
        self.bind = Some(addr);
        self
    }

    /// Where others reach the node, if not at its own addresses: a forwarded port, a container's outside. Default: its
    /// own.
    #[must_use]
    pub fn advertise(mut self, addrs: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.advertise = addrs.into_iter().collect();
        self
    }

    /// Where keys, network, settings and records live, known peers among them; see [`DataDir`]. Default: in memory.
    #[must_use]
    pub fn data_dir(mut self, path: impl AsRef<Path>) -> Self {
        self.data_dir = Some(path.as_ref().to_path_buf());
        self
    }

    /// A transport instead of QUIC. It must have been made from the key given with [`AgentBuilder::secret`]; the
    /// agent shuts it down with itself.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// A store instead of memory or a data directory's journal.
    #[must_use]
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// A durable message log instead of the one in the data directory. Without either, durable messages are refused.
    #[must_use]
    pub fn log(mut self, log: impl Log) -> Self {
        self.log = Some(Box::new(log));
        self
    }

    /// Whether others can find the agent by its id. Default: they can.
    #[must_use]
    pub fn findable(mut self, findable: bool) -> Self {
        self.hidden = !findable;
        self
    }

    /// Whether the node tells others that it is here, as far as [`GossipConfig::presence`] allows. Default: it does.
    #[must_use]
    pub fn presence(mut self, tell: bool) -> Self {
        self.no_presence = !tell;
        self
    }

    /// Whether the node holds for others where agents and the members of topics are, once two peers have confirmed that it can
    /// be reached. Default: it does.
    #[must_use]
    pub fn serve_index(mut self, serve: bool) -> Self {
        self.no_index = !serve;
        self
    }

    /// Whether the node takes no links that others dial, as one behind an address translation can't: it is found through
    /// relays then. Default: it takes them.
    #[must_use]
    pub fn outgoing_only(mut self, only: bool) -> Self {
        self.outgoing_only = only;
        self
    }

    /// Makes the agent and starts it. Must be called within a tokio runtime.
    pub async fn build(self) -> Result<Agent, AgentError> {
        if self.store.is_some() && self.data_dir.is_some() {
            return Err(AgentError::TwoStores);
        }
        if self.transport.is_some() && self.secret.is_none() && self.data_dir.is_none() {
            return Err(AgentError::TransportWithoutSecret);
        }
        let dir = self.data_dir.as_deref().map(DataDir::open).transpose()?;
        let mut config = match (self.config, &dir) {
            (Some(config), _) => config,
            (None, Some(dir)) => dir.config()?,
            (None, None) => GossipConfig::default(),
        };
        config.presence &= !self.no_presence;
        let secret = match (self.secret, &dir) {
            (Some(secret), _) => secret,
            (None, Some(dir)) => dir.secret()?,
            (None, None) => crate::new_secret()?,
        };
        let agent = match (self.agent_secret, &dir) {
            (Some(secret), _) => secret,
            (None, Some(dir)) => dir.agent_secret()?,
            (None, None) => crate::new_agent_secret()?,
        };
        let network = match (&dir, self.network) {
            (Some(dir), network) => dir.network(network)?,
            (None, Some(network)) => network,
            (None, None) => Network::from_key(*crate::new_secret()?.expose()),
        };
        let store: Box<dyn Store> = match (self.store, &dir) {
            (Some(store), _) => store,
            (None, Some(dir)) => Box::new(dir.journal()?),
            (None, None) => Box::new(MemoryStore::default()),
        };
        let log = self.log.or_else(|| Some(Box::new(dir.as_ref()?.log(&config)) as Box<dyn Log>));

        let transport = match self.transport {
            Some(transport) => transport,
            None => {
                let mut quic = QuicConfig::new(secret.clone(), network.clone());
                quic.bind = self.bind.unwrap_or(quic.bind);
                quic.advertise = self.advertise;
                quic.accept = !self.outgoing_only;
                QuicTransport::bind(quic).await?
            }
        };
        let options = RuntimeOptions::new(secret, network).agent(agent).boxed_store(store).boxed_log(log);
        let runtime = GossipRuntime::new(config, transport.clone(), options)?;
        let agent = runtime.agent_id().ok_or(RuntimeError::Key)?;
        runtime.start().await?;
        let (findable, serve) = (!self.hidden, !self.no_index);
        let agent = Agent { inner: Arc::new(Inner::new(runtime, agent, transport, dir)) };
        agent.handle().rendezvous().serve_index(serve).await?;
        agent.advertise_self(findable).await?;
        Ok(agent)
    }
}
