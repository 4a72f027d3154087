//! The handle on coordinators.

use tidings_proto::discovery::coordinator::{CoordinatorAdvert, Mode};
use tidings_proto::identity::Addr;
use tidings_proto::io::Command;

use super::handle::RuntimeHandle;
use super::run::Control;
use super::runtime::RuntimeError;

/// Coordinators: nodes that anybody can reach, known to everybody, as ways into the network and back.
#[derive(Clone)]
pub struct CoordinatorManager {
    handle: RuntimeHandle,
}

impl CoordinatorManager {
    pub(crate) fn new(handle: RuntimeHandle) -> CoordinatorManager {
        CoordinatorManager { handle }
    }

    /// Advertises this node whenever unrelated peers have confirmed that it can be reached, wanted or not. By default it
    /// is when the network has few coordinators.
    pub async fn advertise_as_coordinator(&self) -> Result<(), RuntimeError> {
        self.set_mode(Mode::Always).await
    }

    /// Whether this node is to be a coordinator.
    pub async fn set_mode(&self, mode: Mode) -> Result<(), RuntimeError> {
        self.handle.run()?.command(|done| Control::Command(Command::Coordinate { mode }, done)).await
    }

    /// The coordinators known, the best first by what this node has measured of them.
    pub async fn get_coordinators(&self) -> Result<Vec<CoordinatorAdvert>, RuntimeError> {
        self.handle.run()?.inspect(|view| view.node.coordinators()).await
    }

    /// The addresses at which unrelated peers have reached this node.
    pub async fn confirmed_addrs(&self) -> Result<Vec<Addr>, RuntimeError> {
        self.handle.run()?.inspect(|view| view.node.confirmed_addrs()).await
    }
}
