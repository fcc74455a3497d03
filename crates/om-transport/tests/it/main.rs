//! How a loop is observed, as a specification.

#![allow(
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

mod bad_input;
mod cursor;
mod event;
mod identity;
mod polling;
mod properties;
mod samples;
#[path = "../../../om-http/tests/it/server.rs"]
mod server;
mod service_client;
mod service_hook;
mod snapshot;
mod sprite_service;
mod support;
