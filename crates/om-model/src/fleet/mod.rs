//! A fleet: the registry, and what its commands write (chapters 05 and 06).

pub mod handoff;
pub mod policy;
pub mod registry;
pub mod state;
pub mod status;
