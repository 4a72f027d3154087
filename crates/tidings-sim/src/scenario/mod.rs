//! What happens in a simulated network, and what is measured.

pub(crate) mod broadcast;
pub(crate) mod crash;
mod ledger;
mod stage;
