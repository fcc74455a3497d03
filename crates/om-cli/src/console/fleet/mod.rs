//! What a person sees of a fleet.

pub mod cycle;
pub mod handoff;
pub mod page;
pub mod paint;
