//! What happens in a simulated network, and what is measured.

pub(crate) mod backup;
pub(crate) mod broadcast;
pub(crate) mod churn;
pub(crate) mod circuits;
pub(crate) mod crash;
pub(crate) mod detect;
pub(crate) mod find;
mod graph;
pub(crate) mod hostile;
mod ledger;
mod liars;
pub(crate) mod partition;
mod players;
pub(crate) mod presence;
pub(crate) mod reconcile;
pub(crate) mod rendezvous;
pub(crate) mod role_liars;
mod role_spread;
pub(crate) mod roles;
mod stage;
