//! One hardened client, as a specification.

#![allow(
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

mod client;
mod failures;
mod retry;
mod secrets;
mod server;
mod urls;
