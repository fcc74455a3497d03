//! Control intents against real files, real processes and real sockets.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod concurrency;
mod confirming;
mod confirming_hooks;
mod kills;
mod outcomes;
mod owners;
mod pending;
mod quoting;
mod rows;
mod runtimes;
mod runtimes_odd;
mod secrets;
mod service;
mod service_answers;
mod support;
mod targets;
