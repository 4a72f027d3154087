//! The owner of a node's tasks.

use std::sync::{Arc, Mutex};

use tidings_proto::Node;
use tidings_proto::config::{ConfigError, GossipConfig};
use tidings_proto::crypto::{AwsLc, Crypto};
use tidings_proto::identity::{AgentId, AgentSecret, Network, NodeId, SecretKey};
use tidings_proto::io::{CommandError, NodeSetup};
use tokio::task::JoinHandle;

use super::disk::{Disk, SharedStore};
use super::driver::{Driver, Parts};
use super::handle::{MembershipManager, PubSubManager, RuntimeHandle};
use super::log::{LogPort, LogThread};
use super::run::Run;
use crate::store::{Log, MemoryStore, Store};
use crate::sync::lock;
use crate::topic::TopicTicketError;
use crate::transport::{LinkLimits, Transport};

/// Links the transport allows beyond what the core holds: those that are being closed while others come up.
const SPARE_LINKS: usize = 16;

/// What went wrong with a node's runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The transport proves another identity than the secret key.
    #[error("the transport is node {transport:?}, the secret key is node {secret:?}: build both from one key")]
    WrongKey {
        /// Whom the transport proves to be.
        transport: NodeId,
        /// Whose the key is.
        secret: NodeId,
    },
    /// The crypto library refused the key.
    #[error("the crypto library refused the secret key")]
    Key,
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Random(String),
    /// The operating system started no thread for the message log.
    #[error("cannot start a thread for the message log: {0}")]
    Thread(String),
    /// The topic's name cannot be one.
    #[error(transparent)]
    Topic(#[from] TopicTicketError),
    /// The node refused.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The node is not running, or stopped meanwhile.
    #[error("the node is not running")]
    Stopped,
}

/// Who the node is and what it remembers.
pub struct RuntimeOptions {
    secret: SecretKey,
    agent: Option<AgentSecret>,
    network: Network,
    store: Box<dyn Store>,
    log: Option<Box<dyn Log>>,
}

impl RuntimeOptions {
    /// A node of `network` with the key `secret`, which forgets everything with its process.
    pub fn new(secret: SecretKey, network: Network) -> RuntimeOptions {
        RuntimeOptions { secret, agent: None, network, store: Box::new(MemoryStore::default()), log: None }
    }

    /// The key of the agent the node speaks for. Default: none.
    #[must_use]
    pub fn agent(self, agent: AgentSecret) -> RuntimeOptions {
        RuntimeOptions { agent: Some(agent), ..self }
    }

    /// Where it keeps its records instead.
    #[must_use]
    pub fn store(self, store: impl Store) -> RuntimeOptions {
        self.boxed_store(Box::new(store))
    }

    /// Where it keeps batches. Default: nowhere; what is published as durable is refused.
    #[must_use]
    pub fn log(self, log: impl Log) -> RuntimeOptions {
        self.boxed_log(Some(Box::new(log)))
    }

    pub(crate) fn boxed_log(self, log: Option<Box<dyn Log>>) -> RuntimeOptions {
        RuntimeOptions { log, ..self }
    }

    pub(crate) fn boxed_store(self, store: Box<dyn Store>) -> RuntimeOptions {
        RuntimeOptions { store, ..self }
    }
}

/// A node that can be started, stopped, and started again. Owns every task it spawns; dropping it ends them without
/// a goodbye.
///
/// Between runs it keeps what its store holds: numbers are never used twice, and nothing is delivered twice.
pub struct GossipRuntime {
    config: GossipConfig,
    transport: Arc<dyn Transport>,
    secret: SecretKey,
    network: Network,
    agent: Option<AgentId>,
    crypto: Arc<dyn Crypto>,
    store: SharedStore,
    log: Mutex<Option<LogThread>>,
    handle: RuntimeHandle,
    /// Held while starting or stopping: one at a time.
    changing: tokio::sync::Mutex<()>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl GossipRuntime {
    /// A node that is not running yet.
    pub fn new(
        config: GossipConfig,
        transport: Arc<dyn Transport>,
        options: RuntimeOptions,
    ) -> Result<GossipRuntime, RuntimeError> {
        config.validate()?;
        let crypto = match &options.agent {
            Some(agent) => AwsLc::with_agent(&options.secret, agent),
            None => AwsLc::new(&options.secret),
        };
        let crypto = crypto.ok_or(RuntimeError::Key)?;
        let (id, proven) = (crypto.node_id(), transport.local_peer_id());
        if id != proven {
            return Err(RuntimeError::WrongKey { transport: proven, secret: id });
        }
        Ok(GossipRuntime {
            config,
            transport,
            secret: options.secret,
            network: options.network,
            agent: AgentId::own(&crypto),
            crypto: Arc::new(crypto),
            store: Arc::new(Mutex::new(options.store)),
            log: Mutex::new(options.log.map(LogThread::new).transpose()?),
            handle: RuntimeHandle::new(id),
            changing: tokio::sync::Mutex::default(),
            task: Mutex::default(),
        })
    }

    /// Starts the node. Does nothing if it runs. Needs a tokio runtime with its timer enabled.
    pub async fn start(&self) -> Result<(), RuntimeError> {
        let _one = self.changing.lock().await;
        if self.is_running() {
            return Ok(());
        }
        let setup = NodeSetup {
            secret: self.secret.clone(),
            network: self.network.clone(),
            config: self.config.clone(),
            seed: crate::os_random().map_err(RuntimeError::Random)?,
        };
        let (run, controls, told) = Run::new(self.handle.node_id(), self.crypto.clone());
        let limits = LinkLimits { max_links: self.config.max_links + SPARE_LINKS, ..LinkLimits::default() };
        let inbox = self.transport.attach(limits);
        let disk = Disk::new(self.store.clone(), run.work.clone());
        let log = LogPort::new(lock(&self.log).as_ref(), run.work.clone());
        let transport = self.transport.clone();
        let parts = Parts { run: run.clone(), controls, told, transport, inbox, disk, log };
        let crypto = self.crypto.clone();
        let driver = Driver::new(parts, |now| Node::new(setup, crypto, now));
        *lock(&self.task) = Some(tokio::spawn(driver.run()));
        self.handle.set(Some(run));
        Ok(())
    }

    /// Says goodbye and stops the node, within a second. Subscriptions end, waiting requests are refused. Does
    /// nothing if it does not run. Dropping the future does not call the shutdown off.
    pub async fn shutdown(&self) {
        if let Ok(run) = self.handle.run() {
            run.stop();
            run.wait_ended().await;
        }
        let _one = self.changing.lock().await;
        if !self.is_running() {
            self.handle.set(None);
            let task = lock(&self.task).take();
            if let Some(task) = task {
                // It has ended; if it panicked, that was reported.
                let _ = task.await;
            }
        }
    }

    /// Whether the node is running.
    pub fn is_running(&self) -> bool {
        self.handle.run().is_ok()
    }

    /// The node's id.
    pub fn node_id(&self) -> NodeId {
        self.handle.node_id()
    }

    /// The agent it speaks for, if it was given one's key.
    pub fn agent_id(&self) -> Option<AgentId> {
        self.agent
    }

    /// Its settings.
    pub fn config(&self) -> &GossipConfig {
        &self.config
    }

    /// Its network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// A handle on the node, for whichever run is under way.
    pub fn handle(&self) -> RuntimeHandle {
        self.handle.clone()
    }

    /// Its membership.
    pub fn membership(&self) -> MembershipManager {
        self.handle.membership()
    }

    /// Its topics.
    pub fn pubsub(&self) -> PubSubManager {
        self.handle.pubsub()
    }

    /// Closes the store for good, after the last shutdown: another node may open it.
    pub(crate) fn close_store(&self) {
        let old = std::mem::replace(&mut *lock(&self.store), Box::new(MemoryStore::default()));
        drop(old);
        let log = lock(&self.log).take();
        if let Some(log) = log {
            log.close();
        }
    }
}

impl Drop for GossipRuntime {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}
