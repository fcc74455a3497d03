//! Alerts, chapter by chapter, against a real HTTP receiver.

#![allow(
    clippy::expect_used,
    clippy::needless_pass_by_value,
    reason = "helpers take literals and stop at the first surprise"
)]

mod documents;
mod hooks;
mod kills;
mod lines;
mod payloads;
mod properties;
mod quiet;
mod receiver;
mod retries;
mod routing;
mod secrets;
mod sinks;
mod state;
mod support;
mod validation;
