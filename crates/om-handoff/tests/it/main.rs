//! Handoffs: the rules as tables, and real runs against real files and
//! processes.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod documents;
mod done;
mod guarding;
mod hooks;
mod kills;
mod last_look;
mod orphans;
mod outcomes;
mod planning;
mod properties;
mod prune;
mod reasons;
mod refusals;
mod running;
mod stopping;
mod support;
mod targeting;
