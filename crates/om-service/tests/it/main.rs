//! A real service on a real port, over a real repository.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod access_log;
mod authorization;
mod bodies;
mod changes;
mod connections;
mod control;
mod heartbeat;
mod idempotency;
mod observation;
mod routes;
mod scripts;
mod shutdown;
mod support;
