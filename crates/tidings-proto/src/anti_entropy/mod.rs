//! Anti-entropy: making two sets equal at a cost that grows with their difference, not with their size.

pub mod riblt;
